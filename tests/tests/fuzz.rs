//! The fuzzer's targets without libFuzzer, as every test run has them: its corpus, its seeds, and what becomes of two of them joined.
//!
//! `cargo xtask fuzz` goes on from there; what it finds is tried here from then on, once it is in `tests/fuzz/corpus`.
#![cfg(unix)]

#[path = "../fuzz/src/bounds.rs"]
mod bounds;
#[path = "../fuzz/src/seeds.rs"]
mod seeds;
#[path = "../fuzz/src/targets/mod.rs"]
mod targets;
#[path = "../fuzz/src/variants.rs"]
mod variants;

use std::path::Path;

use callboard_tests::dice::Dice;
use targets::Target;

#[global_allocator]
static ALLOCATOR: bounds::Counting = bounds::Counting;

/// So many inputs are made of those that are there.
const JOINED: usize = 4_000;
/// What takes a while for an input gets fewer.
const JOINED_CALLS: usize = 200;
/// The longest that is made, bytes.
const LONGEST: usize = 1_024;

/// The corpus and the seeds of a target.
fn inputs(target: Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name());
    let mut files: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let corpus = files.into_iter().map(|path| std::fs::read(path).expect("a file"));
    corpus.chain(seeds::of(target.name()).iter().cloned()).collect()
}

/// The beginning of one and the end of another.
fn joined(inputs: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut below = |bound: usize| dice.below(bound as u64) as usize;
    let (one, other) = (&inputs[below(inputs.len())], &inputs[below(inputs.len())]);
    let mut joined = one[..below(one.len() + 1)].to_vec();
    joined.extend_from_slice(&other[below(other.len() + 1)..]);
    joined.truncate(LONGEST);
    joined
}

fn smoke(wanted: fn(Target) -> bool) {
    for target in Target::all().into_iter().filter(|target| wanted(*target)) {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "{} starts from nothing", target.name());
        inputs.iter().for_each(|input| target.run(input));
        let mut dice = Dice(7);
        for _ in 0..if target.reads() { JOINED } else { JOINED_CALLS } {
            target.run(&joined(&inputs, &mut dice));
        }
    }
}

#[test]
fn readers_of_formats_stand_what_they_are_given() {
    smoke(|target| matches!(target, Target::Format(_)));
}

#[test]
fn other_readers_stand_what_they_are_given() {
    smoke(|target| matches!(target, Target::Reader(..)));
}

#[test]
fn sequences_of_calls_and_requests_break_nothing() {
    smoke(|target| matches!(target, Target::Calls(..)));
}
