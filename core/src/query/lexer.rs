//! The words of a selector.

use alloc::string::String;

use crate::error::{Code, Error};

/// What a comparison asks of the order of two numbers or versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    pub(super) fn holds(self, order: core::cmp::Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A run of word characters.
    Word(&'a str),
    /// A quoted string, unescaped.
    Quoted(String),
    Open,
    Close,
    Comma,
    Bang,
    Equal,
    NotEqual,
    Compare(Order),
    End,
}

/// Whether `byte` may stand in a word, that is in a value that needs no quotes.
pub(super) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':' | b'@' | b'%' | b'+' | b'~' | b'^' | b'*' | b'?')
}

#[derive(Clone)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// Where the next token is looked for; always on the border of a character.
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// An error at byte `at`, told as a column counted in characters from 1.
    pub(super) fn error(&self, at: usize, what: &str) -> Error {
        let column = self.text.get(..at).map_or(0, |head| head.chars().count()).saturating_add(1);
        Error::new(Code::InvalidSelector, "selector").detail(alloc::format!("column {column}: {what}"))
    }

    /// The next token and where it starts.
    pub(super) fn next(&mut self) -> Result<(Token<'a>, usize), Error> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let start = self.text.len().saturating_sub(trimmed.len());
        let mut bytes = trimmed.bytes();
        let (token, length) = match (bytes.next(), bytes.next()) {
            (None, _) => (Token::End, 0),
            (Some(b'('), _) => (Token::Open, 1),
            (Some(b')'), _) => (Token::Close, 1),
            (Some(b','), _) => (Token::Comma, 1),
            (Some(b'='), Some(b'=')) => (Token::Equal, 2),
            (Some(b'='), _) => (Token::Equal, 1),
            (Some(b'!'), Some(b'=')) => (Token::NotEqual, 2),
            (Some(b'!'), _) => (Token::Bang, 1),
            (Some(b'<'), Some(b'=')) => (Token::Compare(Order::LessOrEqual), 2),
            (Some(b'<'), _) => (Token::Compare(Order::Less), 1),
            (Some(b'>'), Some(b'=')) => (Token::Compare(Order::GreaterOrEqual), 2),
            (Some(b'>'), _) => (Token::Compare(Order::Greater), 1),
            (Some(b'"' | b'\''), _) => self.quoted(trimmed, start)?,
            (Some(byte), _) if is_word(byte) => {
                let length = trimmed.bytes().take_while(|byte| is_word(*byte)).count();
                (Token::Word(trimmed.get(..length).unwrap_or_default()), length)
            }
            _ => return Err(self.error(start, "a character that needs quotes")),
        };
        self.at = start.saturating_add(length);
        Ok((token, start))
    }

    /// A string in the quotes it starts with; a backslash stands before a quote or a backslash.
    fn quoted(&self, rest: &str, start: usize) -> Result<(Token<'a>, usize), Error> {
        let mut chars = rest.char_indices();
        let quote = chars.next().map(|(_, quote)| quote);
        let mut out = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                _ if Some(c) == quote => return Ok((Token::Quoted(out), at.saturating_add(1))),
                '\\' => match chars.next() {
                    Some((_, escaped @ ('\\' | '"' | '\''))) => out.push(escaped),
                    _ => return Err(self.error(start.saturating_add(at), "a backslash stands before a quote or a backslash")),
                },
                _ if c.is_control() => return Err(self.error(start.saturating_add(at), "a control character")),
                _ => out.push(c),
            }
        }
        Err(self.error(start, "a string without its closing quote"))
    }
}
