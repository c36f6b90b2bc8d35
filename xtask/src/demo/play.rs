//! The play itself, and what is said about it at the end.

use std::path::Path;
use std::time::Duration;

use super::stage::{LEASE, Stage};
use super::tally::Tally;
use super::{Pace, SERVICE, prepare, record, wall};
use crate::Result;

/// Providers at the start, with version and zone.
const CAST: [(&str, &str, &str); 5] = [
    ("billing-1", "1.4.0", "a"),
    ("billing-2", "1.4.0", "a"),
    ("billing-3", "1.4.2", "b"),
    ("billing-4", "1.4.2", "b"),
    ("billing-5", "1.4.2", "c"),
];
const KILLED: &str = "billing-2";
const DRAINED: &str = "billing-3";
const JOINING: (&str, &str, &str) = ("billing-6", "1.5.0", "c");

/// Plays it through, to the point at which every request is accounted for.
pub fn run(stage: &mut Stage, pace: &Pace) -> Result {
    stage.start_server()?;
    stage.say(&format!("the registry listens on {}", stage.address));
    stage.watch();
    for (id, version, zone) in CAST {
        stage.start_provider(id, version, zone)?;
    }
    stage.run_until("every provider is on the board", |stage| CAST.iter().all(|(id, ..)| is(&stage.tally, id, "live")))?;
    stage.say(&format!("{} providers are on the board as {}/{}", CAST.len(), SERVICE.0, SERVICE.1));

    stage.start_consumers()?;
    stage.run_until("every consumer sees every provider and uses it", |stage| CAST.iter().all(|(id, ..)| used_by_all(&stage.tally, id)))?;
    stage.say("consumers in Rust, Python, Node and workerd use all of them");
    stage.run_for(pace.calm)?;

    stage.say(&format!("kill -9 {KILLED}"));
    stage.tally.provider(KILLED).killed = Some(wall());
    if let Some(program) = stage.providers.get_mut(KILLED) {
        program.kill();
    }
    stage.run_until("the killed provider is off every view", |stage| gone_from_all(&stage.tally, KILLED))?;
    stage.say(&format!("{KILLED} is off the board, and every consumer knows"));
    stage.run_for(pace.calm)?;

    stage.say(&format!("{} joins", JOINING.0));
    stage.start_provider(JOINING.0, JOINING.1, JOINING.2)?;
    stage.run_until("every consumer uses the new provider", |stage| used_by_all(&stage.tally, JOINING.0))?;
    stage.say(&format!("{} is used by every consumer", JOINING.0));

    stage.say(&format!("{DRAINED} drains"));
    stage.admin(DRAINED, &Stage::drain_document(60))?;
    stage.run_until("every consumer knows of the drain", |stage| {
        stage.tally.providers.get(DRAINED).is_some_and(|row| row.draining_at.iter().all(Option::is_some))
    })?;
    stage.run_for(pace.drain)?;
    stage.say(&format!("{DRAINED} has drained and is told to stop"));
    if let Some(program) = stage.providers.get_mut(DRAINED) {
        program.terminate();
    }
    stage.run_until("the drained provider is off every view", |stage| gone_from_all(&stage.tally, DRAINED))?;

    restart_server(stage)?;
    stage.run_for(pace.calm)?;
    stage.dismiss_consumers()?;
    for program in stage.providers.values_mut() {
        program.terminate();
    }
    for program in stage.providers.values_mut() {
        program.wait(Duration::from_secs(10))?;
    }
    Ok(())
}

/// SIGTERM, a look at the journal, and the next life of the server: the registrations survive, the traffic goes on.
fn restart_server(stage: &mut Stage) -> Result {
    let epoch = stage.epoch;
    stage.say("the registry server is stopped with SIGTERM");
    if let Some(mut server) = stage.server.take() {
        server.terminate();
        let status = server.wait(Duration::from_secs(10))?;
        if !status.success() {
            return Err(format!("the server ended with {status}:\n{}", server.log_tail()).into());
        }
    }
    let bytes = std::fs::metadata(Stage::journal()).map(|file| file.len()).unwrap_or(0);
    if bytes == 0 {
        return Err("the server wrote no journal".into());
    }
    stage.start_server()?;
    stage.run_until("the server answers in a new epoch", |stage| stage.epoch != epoch)?;
    let survivors = stage.tally.providers.values().filter(|row| row.state == "live").count();
    stage.say(&format!("it is back in a new epoch, with {survivors} providers from a journal of {bytes} bytes"));
    Ok(())
}

/// Replays, sums up, and prints the last line.
pub fn finish(mut stage: Stage) -> Result {
    if let Some(mut server) = stage.server.take() {
        server.terminate();
        server.wait(Duration::from_secs(10))?;
    }
    let tally = &stage.tally;
    let counts = tally.counts();
    let recording = stage.recording.write(tally)?;
    println!("demo: replaying {} events, {} of them picks, through Rust, Python and JS", recording.events, recording.picks);
    let identical = record::compare(&replay_all(&recording.path)?);

    println!("demo: summary");
    for line in timings(tally) {
        println!("  {line}");
    }
    println!("  requests picked for {DRAINED} after that consumer knew of its drain: {}", counts.to_draining);
    println!("  failures that the kill does not explain: {}", counts.unexplained);
    println!(
        "  failed_after_expiry counts requests picked at or after the moment the first observer was told of the removal; no allowance"
    );
    let complete = tally.consumers.len() == 4 && tally.attempts.len() >= 100;
    println!(
        "demo: requests={} failed_before_expiry={} failed_after_expiry={} consumers={} decisions_identical={}",
        counts.requests,
        counts.before_expiry,
        counts.after_expiry,
        tally.consumers.len(),
        if identical { "yes" } else { "no" }
    );
    let good = complete && identical && counts.after_expiry == 0 && counts.unexplained == 0 && counts.to_draining == 0;
    // Empty: the last line has said it.
    if good { Ok(()) } else { Err("".into()) }
}

fn replay_all(log: &Path) -> Result<Vec<(&'static str, Vec<record::Decisions>)>> {
    prepare::replayers().into_iter().map(|(name, command)| Ok((name, record::replay(name, command, log)?))).collect()
}

fn timings(tally: &Tally) -> Vec<String> {
    let span = |from: Option<u64>, to: Option<u64>| match (from, to) {
        (Some(from), Some(to)) => format!("{:.3} s", to.saturating_sub(from) as f64 / 1e6),
        _ => "never".to_owned(),
    };
    let mut lines = Vec::new();
    let (ttl, grace) = LEASE;
    if let Some(row) = tally.providers.get(KILLED) {
        let last =
            tally.attempts.iter().filter(|attempt| !attempt.ok && attempt.provider.as_deref() == Some(KILLED)).map(|a| a.picked).max();
        lines.push(format!(
            "kill to expiry: {} (lease: suspect after {ttl} s, expired after {} s)",
            span(row.killed, row.removed),
            ttl + grace
        ));
        lines.push(format!("kill to the last failed pick: {}", span(row.killed, last)));
        lines.push(format!("expiry to the last consumer's view: {}", span(row.removed, Tally::last(&row.removed_from))));
    }
    if let Some(row) = tally.providers.get(DRAINED) {
        lines.push(format!("deregistration to the last consumer's view: {}", span(row.removed, Tally::last(&row.removed_from))));
    }
    let mut latencies: Vec<u64> = tally.attempts.iter().filter(|a| a.ok).map(|a| a.ended - a.picked).collect();
    latencies.sort_unstable();
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100).map_or(0.0, |micros| *micros as f64 / 1e3);
    lines.push(format!("latency of the requests that succeeded: median {:.1} ms, 99th percentile {:.1} ms", at(50), at(99)));
    lines
}

fn is(tally: &Tally, id: &str, state: &str) -> bool {
    tally.providers.get(id).is_some_and(|row| row.state == state)
}

fn used_by_all(tally: &Tally, id: &str) -> bool {
    tally.known_to_all(id) && tally.providers.get(id).is_some_and(|row| row.requests.iter().all(|count| *count > 0))
}

fn gone_from_all(tally: &Tally, id: &str) -> bool {
    tally.providers.get(id).is_some_and(|row| row.state == "gone" && row.removed_from.iter().all(Option::is_some))
}
