//! Reads the files of `tests/vectors`; their format is described there.

use callboard::Value;

use crate::document::{Kept, json, matches, resolve};
use crate::host::Host;

/// One file.
pub struct File {
    /// Its name.
    pub name: String,
    /// The whole document.
    pub document: Value,
    /// Its cases.
    pub cases: Vec<Case>,
}

/// One script.
pub struct Case {
    /// What it shows.
    pub name: String,
    config: Value,
    steps: Vec<Step>,
}

struct Step {
    at: Option<u64>,
    verb: String,
    args: Value,
    keep: Option<String>,
    expect: Option<Value>,
}

/// The files that `index.json` lists, in its order.
pub fn load() -> Vec<File> {
    let index = parse(&crate::read("tests/vectors/index.json"));
    let names = index.get("files").and_then(Value::as_list).expect("a list of files");
    names.iter().filter_map(Value::as_str).map(|name| File::read(parse(&crate::read(&format!("tests/vectors/{name}"))))).collect()
}

fn parse(text: &str) -> Value {
    Value::from_json(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {}", text.chars().take(80).collect::<String>()))
}

impl File {
    /// Takes a document apart; its form is the schema's business.
    pub fn read(document: Value) -> Self {
        let name = document.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let cases = document.get("cases").and_then(Value::as_list).unwrap_or_default().iter().map(Case::read).collect();
        Self { name, document, cases }
    }
}

impl Case {
    fn read(case: &Value) -> Self {
        let steps = case.get("steps").and_then(Value::as_list).unwrap_or_default();
        Self {
            name: case.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            config: case.get("config").cloned().unwrap_or(empty()),
            steps: steps.iter().map(Step::read).collect(),
        }
    }

    /// Runs the script; an error tells the step and what is wrong.
    pub fn run(&self) -> Result<(), String> {
        let mut host = Host::new(&self.config).map_err(|error| format!("config: {error}"))?;
        let (mut kept, mut now) = (Kept::new(), 0);
        for (at, step) in self.steps.iter().enumerate() {
            now = step.at.unwrap_or(now);
            step.run(&mut host, &mut kept, now).map_err(|why| format!("step {at} ({} at {now}): {why}", step.verb))?;
        }
        Ok(())
    }
}

impl Step {
    fn read(step: &Value) -> Self {
        Self {
            // A time may be one that is too large on purpose.
            at: step.get("at").and_then(Value::as_f64).map(|at| at as u64),
            verb: step.get("do").and_then(Value::as_str).unwrap_or_default().to_owned(),
            args: step.get("args").cloned().unwrap_or(empty()),
            keep: step.get("as").and_then(Value::as_str).map(str::to_owned),
            expect: step.get("expect").cloned(),
        }
    }

    fn run(&self, host: &mut Host, kept: &mut Kept, now: u64) -> Result<(), String> {
        let args = resolve(&self.args, kept)?;
        let outcome = host.perform(&self.verb, &args, self.keep.as_deref(), now);
        let expect = self.expect.as_ref().map(|expect| resolve(expect, kept)).transpose()?;
        let wanted = expect.as_ref().and_then(|expect| expect.get("error"));
        match (outcome, wanted) {
            (Ok(result), None) => {
                expect.map_or(Ok(()), |expect| matches(&expect, &result))?;
                if let Some(name) = &self.keep {
                    kept.insert(name.clone(), result);
                }
                Ok(())
            }
            (Err(error), Some(wanted)) => matches(wanted, &describe(&error)),
            (Ok(result), Some(wanted)) => Err(format!("expected the error {}, found {}", json(wanted), json(&result))),
            (Err(error), None) => Err(error.to_string()),
        }
    }
}

/// The error document: what of an error is the same in every language.
pub(crate) fn describe(error: &callboard::Error) -> Value {
    Value::map([
        ("code", Value::from(error.code().as_str())),
        ("kind", error.code().kind().class().into()),
        ("field", error.field().into()),
        ("limit", error.limit_value().into()),
    ])
}

fn empty() -> Value {
    Value::Map(Vec::new())
}
