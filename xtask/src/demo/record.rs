//! The recording of a run, and its replay: the same events and the same seed, once in every language.
//!
//! `target/demo-run/decisions.jsonl` is one JSON document a line. The first is the header `{seed, source, namespace,
//! service, policies}`. The others are events in the order of time, `at` microseconds after the first:
//! - `{at, do: "feed", answer}`: the registry server's answer to a watch, to be followed as a consumer follows it;
//! - `{at, do: "pick", call, key}`: a request wants an instance; `call` numbers the requests;
//! - `{at, do: "finish", call, ok}`: what became of it.
//!
//! A replayer prints one line for each policy, `{policy, picks: [..]}`: the chosen ids in the order of the picks, or
//! the code of the error where there was nobody to choose.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::tally::Tally;
use super::{SEED, SERVICE, folder};
use crate::{Result, sh};

/// Every policy there is.
const POLICIES: [&str; 5] = ["first", "random", "round-robin", "least-request", "rendezvous"];

/// The answers of the watch, as they came.
#[derive(Default)]
pub struct Recording {
    answers: Vec<(u64, Value)>,
}

/// A recording on disk.
pub struct Written {
    pub path: PathBuf,
    pub events: usize,
    pub picks: usize,
}

/// What one language chose under one policy.
pub struct Decisions {
    pub policy: String,
    pub picks: Vec<String>,
}

impl Recording {
    pub fn feed(&mut self, at: u64, answer: Value) {
        self.answers.push((at, answer));
    }

    /// Writes the answers and the requests of all consumers as one sequence.
    pub fn write(&self, tally: &Tally) -> Result<Written> {
        let mut attempts: Vec<_> = tally.attempts.iter().collect();
        attempts.sort_by_key(|attempt| attempt.picked);
        // At one and the same time: first the news, then the picks, then the outcomes.
        let mut events: Vec<(u64, u8, Value)> =
            self.answers.iter().map(|(at, answer)| (*at, 0, json!({ "do": "feed", "answer": answer }))).collect();
        for (call, attempt) in attempts.iter().enumerate() {
            events.push((attempt.picked, 1, json!({ "do": "pick", "call": call, "key": attempt.key })));
            events.push((attempt.ended.max(attempt.picked), 2, json!({ "do": "finish", "call": call, "ok": attempt.ok })));
        }
        events.sort_by_key(|(at, rank, _)| (*at, *rank));

        let path = folder().join("decisions.jsonl");
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
        let (namespace, service) = SERVICE;
        writeln!(
            file,
            "{}",
            json!({ "seed": SEED, "source": "callboard", "namespace": namespace, "service": service, "policies": POLICIES })
        )?;
        let origin = events.first().map_or(0, |(at, ..)| *at);
        for (at, _, event) in &mut events {
            event["at"] = json!(*at - origin);
            writeln!(file, "{event}")?;
        }
        file.flush()?;
        Ok(Written { path, events: events.len(), picks: attempts.len() })
    }
}

/// Runs one replayer.
pub fn replay(name: &str, mut command: Command, log: &Path) -> Result<Vec<Decisions>> {
    let done = sh::must(&format!("demo: replay in {name}"), command.arg(log))?;
    let mut all = Vec::new();
    for line in done.lines.iter().filter(|line| line.starts_with('{')) {
        let line: Value = serde_json::from_str(line)?;
        let picks = line["picks"].as_array().ok_or("no picks")?.iter().map(|id| id.as_str().unwrap_or("?").to_owned()).collect();
        all.push(Decisions { policy: line["policy"].as_str().unwrap_or("?").to_owned(), picks });
    }
    Ok(all)
}

/// Compares pick by pick and says where they part.
pub fn compare(languages: &[(&str, Vec<Decisions>)]) -> bool {
    let mut identical = languages.len() == 3;
    let Some(((first, reference), others)) = languages.split_first() else { return false };
    for policy in POLICIES {
        let Some(expected) = reference.iter().find(|decisions| decisions.policy == policy).map(|decisions| &decisions.picks) else {
            println!("  {policy}: {first} made no picks");
            identical = false;
            continue;
        };
        let mut parted = false;
        for (name, decisions) in others {
            let picks = decisions
                .iter()
                .find(|decisions| decisions.policy == policy)
                .map(|decisions| decisions.picks.as_slice())
                .unwrap_or_default();
            if let Some(at) = (0..expected.len().max(picks.len())).find(|at| expected.get(*at) != picks.get(*at)) {
                println!("  {policy}: pick {at} is {:?} in {first} and {:?} in {name}", expected.get(at), picks.get(at));
                parted = true;
            }
        }
        if !parted {
            println!("  {policy:<14} {} picks, the same in all {} languages", expected.len(), languages.len());
        }
        identical &= !parted && !expected.is_empty();
    }
    identical
}
