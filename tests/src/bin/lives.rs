//! Writes random lives of balancers as vector files. `cargo xtask lives --help`.

use std::process::ExitCode;

use callboard::Value;
use callboard_tests::lives::life;

/// How many lives a file has.
const FILE: u64 = 500;

const HELP: &str = "\
lives FOLDER COUNT STEPS

Writes COUNT random lives of balancers, of STEPS steps each, with what the core answered, as vector files into FOLDER.
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
    for first in (0..count).step_by(FILE as usize) {
        let cases = (first..count.min(first + FILE)).map(|seed| life(seed, steps)).collect();
        let (name, source) = ("lives".into(), "the core itself: that languages agree, and nothing else".into());
        let file =
            Value::map([("name", name), ("about", "Random lives of balancers.".into()), ("source", source), ("cases", Value::List(cases))]);
        std::fs::write(folder.join(format!("{first:06}.json")), file.to_json()).expect("a file");
    }
    println!("lives: {count} of {steps} steps");
    ExitCode::SUCCESS
}
