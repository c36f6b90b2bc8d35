//! The verbs of the vectors, done in Rust.

use callboard::model::Registration;
use callboard::query::{Query, Selector, VersionRange};
use callboard::{Code, Error, Value};

/// Everything one case works on.
pub struct Host {}

impl Host {
    /// A host with a new registry.
    pub fn new(_config: &Value) -> Result<Self, Error> {
        Ok(Self {})
    }

    /// Does one verb. `keep` is the name under which what is no document (snapshot bytes, a wait) is kept.
    pub fn perform(&mut self, verb: &str, args: &Value, _keep: Option<&str>, _now: u64) -> Result<Value, Error> {
        match verb {
            "parse_selector" => Ok(Value::map([("text", Selector::parse(text(args, "text")?)?.text().into())])),
            "match" => {
                let compiled = Query::from_value(part(args, "query")?)?.compile()?;
                let instance = Registration::from_value(part(args, "instance")?)?;
                Ok(Value::map([("match", compiled.matches(&instance).into())]))
            }
            "version_match" => {
                let range = VersionRange::parse(text(args, "range")?)?;
                let version = callboard::model::Version::parse(text(args, "version")?)?;
                Ok(Value::map([("match", range.matches(&version).into())]))
            }
            other => panic!("no verb {other:?}"),
        }
    }
}

fn part<'a>(args: &'a Value, name: &str) -> Result<&'a Value, Error> {
    args.get(name).ok_or_else(|| Error::new(Code::MissingField, name))
}

fn text<'a>(args: &'a Value, name: &str) -> Result<&'a str, Error> {
    part(args, name)?.as_str().ok_or_else(|| Error::new(Code::InvalidArgument, name))
}
