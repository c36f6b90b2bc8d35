//! Patterns with `*` and `?`, matched without backtracking.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::Error;
use crate::limits;
use crate::order;

/// Words of 64 states that the longest pattern needs: one state before each of 512 characters and one at the end.
const WORDS: usize = limits::METADATA_VALUE_BYTES / 64 + 1;

/// A pattern over whole texts: `*` is any run of characters (also none), `?` any one character, everything else itself.
///
/// It is the nondeterministic automaton of the pattern with one bit for each state (Baeza-Yates and Gonnet's
/// shift-and, with stars as states that hold): each character of the text costs one shift over at most nine
/// words, so the time is at most proportional to the text whatever the pattern is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    pattern: String,
    /// The characters the pattern names, sorted. Their rows of `masks` come in this order, then one for all others.
    alphabet: Vec<char>,
    /// Rows of `words`: bit i tells whether element i of the pattern takes the character.
    masks: Vec<u64>,
    /// Bit i tells whether a star stands before element i.
    holds: Vec<u64>,
    /// Elements that are no star; the state with this index accepts.
    elements: usize,
}

impl core::fmt::Debug for Glob {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Glob({:?})", self.pattern)
    }
}

impl Glob {
    /// # Errors
    /// `limit-exceeded` past 512 bytes, the longest metadata value: nothing longer could match.
    pub(crate) fn new(pattern: &str) -> Result<Self, Error> {
        if pattern.len() > limits::METADATA_VALUE_BYTES {
            return Err(Error::too_large("selector pattern", limits::METADATA_VALUE_BYTES as u64));
        }
        let elements = pattern.chars().filter(|c| *c != '*').count();
        let words = (elements / 64).saturating_add(1);
        let mut alphabet: Vec<char> = pattern.chars().filter(|c| !matches!(c, '*' | '?')).collect();
        order::sort_few(&mut alphabet, &mut char::cmp);
        alphabet.dedup();
        let mut masks = alloc::vec![0u64; alphabet.len().saturating_add(1).saturating_mul(words)];
        let mut holds = alloc::vec![0u64; words];
        let mut state = 0usize;
        for c in pattern.chars() {
            let (word, bit) = (state / 64, 1u64 << (state % 64));
            let set = |slot: Option<&mut u64>| slot.into_iter().for_each(|slot| *slot |= bit);
            match c {
                '*' => set(holds.get_mut(word)),
                '?' => masks.chunks_exact_mut(words).for_each(|row| set(row.get_mut(word))),
                _ => {
                    let row = alphabet.binary_search(&c).ok().and_then(|row| masks.chunks_exact_mut(words).nth(row));
                    set(row.and_then(|row| row.get_mut(word)));
                }
            }
            state = state.saturating_add(usize::from(c != '*'));
        }
        Ok(Self { pattern: pattern.into(), alphabet, masks, holds, elements })
    }

    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let words = self.holds.len();
        let mut states = [0u64; WORDS];
        states[0] = 1;
        for c in text.chars() {
            let row = self.alphabet.binary_search(&c).unwrap_or(self.alphabet.len());
            // Below the length of `masks`, which is a small Vec's.
            let row = self.masks.get(row.saturating_mul(words)..).unwrap_or_default();
            let (mut carry, mut alive) = (0, 0);
            for ((state, mask), hold) in states.iter_mut().zip(row).zip(&self.holds) {
                let moved = *state & mask;
                *state = (moved << 1) | carry | (*state & hold);
                carry = moved >> 63;
                alive |= *state;
            }
            if alive == 0 {
                return false;
            }
        }
        states.get(self.elements / 64).is_some_and(|word| word >> (self.elements % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    /// The obvious definition.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => naive(rest, text) || (!text.is_empty() && naive(pattern, &text[1..])),
            (Some((p, rest)), Some((c, tail))) => (*p == '?' || p == c) && naive(rest, tail),
            _ => false,
        }
    }

    #[test]
    fn globs_take_whole_texts() {
        for (pattern, text, expected) in [
            ("eu-*", "eu-west-1", true),
            ("eu-*", "eu-", true),
            ("eu-*", "us-eu-1", false),
            ("*-1?", "eu-west-1a", true),
            ("*-1?", "eu-west-1", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("?", "\u{e9}", true),
            ("??", "\u{e9}", false),
            ("*a*b*", "xaxxbx", true),
            ("a", "ab", false),
            ("[a]", "a", false),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn every_short_pattern_agrees_with_the_definition() {
        let spell = |mut n: usize, letters: &[char]| {
            let mut word = Vec::new();
            while n > 0 {
                word.push(letters[n % letters.len()]);
                n /= letters.len();
            }
            word
        };
        for p in 0..4usize.pow(6) {
            let pattern = spell(p, &['a', 'b', '?', '*']);
            let glob = Glob::new(&pattern.iter().collect::<String>()).unwrap();
            for t in 0..2usize.pow(6) {
                let text = spell(t, &['a', 'b']);
                assert_eq!(glob.matches(&text.iter().collect::<String>()), naive(&pattern, &text), "{pattern:?} {text:?}");
            }
        }
    }

    #[test]
    fn long_patterns_cross_word_borders() {
        for length in [62, 63, 64, 65, 127, 128, 129, 511, 512] {
            let text = "ab".repeat(length).chars().take(length).collect::<String>();
            assert!(Glob::new(&text).unwrap().matches(&text), "{length}");
            assert!(Glob::new(&"?".repeat(length)).unwrap().matches(&text), "{length}");
            assert!(!Glob::new(&"?".repeat(length)).unwrap().matches(&text[1..]), "{length}");
            assert!(!Glob::new(&text).unwrap().matches(&text.replacen('a', "b", 1)), "{length}");
            let star = text.chars().take(length / 2).collect::<String>() + "*";
            assert!(Glob::new(&star).unwrap().matches(&text), "{length}");
        }
    }

    #[test]
    fn patterns_keep_their_limit() {
        let limit = limits::METADATA_VALUE_BYTES;
        for (length, good) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
            assert_eq!(Glob::new(&"x".repeat(length)).is_ok(), good);
        }
        let error = Glob::new(&"x".repeat(limit + 1)).err().unwrap();
        assert_eq!(error.to_string(), "limit-exceeded: selector pattern: above the limit (limit 512)");
    }

    /// What takes a backtracking matcher 2^100 steps is a few thousand here; it would not end otherwise.
    #[test]
    fn no_pattern_makes_it_slow() {
        let glob = Glob::new(&("*a".repeat(200) + "b")).unwrap();
        let text = "a".repeat(512);
        for _ in 0..200 {
            assert!(!glob.matches(&text));
        }
    }
}
