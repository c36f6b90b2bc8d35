//! Work for `cargo xtask counts`, which runs this under callgrind.
//!
//! `counts NAME ROUNDS`: so many rounds of a case's operations. What two rounds cost more than one is the cost of the operations
//! alone. Without a name the cases are printed, each with its operations in a round.

mod picks;
mod work;

use callboard::Error;

/// Registers what a case needs, and does so many operations.
type Case<'a> = Box<dyn Fn(u64) -> Result<(), Error> + 'a>;

fn main() -> Result<(), Error> {
    let cases: Vec<(&str, u64, Case<'_>)> = picks::cases().chain(work::cases()).collect();
    let Some(name) = std::env::args().nth(1) else {
        cases.iter().for_each(|(name, operations, _)| println!("{operations} {name}"));
        return Ok(());
    };
    let Some((_, operations, run)) = cases.iter().find(|(known, ..)| *known == name) else {
        eprintln!("no case {name:?}");
        std::process::exit(2);
    };
    let rounds = std::env::args().nth(2).and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    run(rounds * operations)
}
