//! Writes random lives of balancers, and streams of answers of sources, as vector files: `cargo xtask lives`.

use std::process::ExitCode;

use callboard::Value;
use callboard_tests::lives::life;
use callboard_tests::streams::{samples, stream};

/// How many lives a file has.
const FILE: u64 = 500;

const HELP: &str = "\
lives FOLDER COUNT STEPS

Writes COUNT random lives of balancers, of STEPS steps each, and a tenth as many streams of answers of sources, with what the
core answered, as vector files into FOLDER.
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, count, steps] = args.as_slice() else {
        eprint!("{HELP}");
        return ExitCode::from(2);
    };
    let (Ok(count), Ok(steps)) = (count.parse::<u64>(), steps.parse::<u32>()) else {
        eprintln!("{count} {steps}: not two whole numbers");
        return ExitCode::from(2);
    };
    let folder = std::path::Path::new(folder);
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).expect("a folder");
    let samples = samples();
    let write = |name: String, cases: Vec<Value>| {
        let source = "the core itself: that languages agree, and nothing else";
        let file =
            [("name", "lives".into()), ("about", Value::from("Random lives.")), ("source", source.into()), ("cases", Value::List(cases))];
        std::fs::write(folder.join(name), Value::map(file).to_json()).expect("a file");
    };
    for first in (0..count).step_by(FILE as usize) {
        let seeds = first..count.min(first + FILE);
        write(format!("balancers-{first:06}.json"), seeds.clone().map(|seed| life(seed, steps)).collect());
        // A stream has much more in it than a life.
        write(format!("streams-{first:06}.json"), seeds.filter(|seed| seed % 10 == 0).map(|seed| stream(&samples, seed, 8)).collect());
    }
    println!("lives: {count} of {steps} steps");
    ExitCode::SUCCESS
}
