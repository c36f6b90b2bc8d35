//! `Balancer`: which one. The way of a pick carries numbers and strings only.

use callboard::balance::{self as core, Options, Outcome, Pick, Policy, Request};
use callboard::model::Handle;
use callboard::{Code, Error, Timestamp, Value};
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::errors::{Result, number, time};
use crate::query::Query;
use crate::registry::{Registry, handle};

#[wasm_bindgen]
pub struct Balancer {
    inner: core::Balancer,
    /// The handle of the last pick: a second number beside the token that `pick` returns.
    picked: f64,
}

/// What a call asks for, as it crossed.
struct Asked {
    key: Option<String>,
    exclude: Vec<Handle>,
    now: Timestamp,
}

impl Asked {
    fn new(key: Option<String>, exclude: Option<Vec<f64>>, now: f64) -> Result<Self> {
        let exclude = exclude.unwrap_or_default().into_iter().map(handle).collect::<Result<_>>()?;
        Ok(Self { key, exclude, now: time(now)? })
    }

    fn request(&self) -> Request<'_> {
        Request { key: self.key.as_ref().map(String::as_bytes), exclude: &self.exclude }
    }
}

#[wasm_bindgen]
impl Balancer {
    /// `settings` are the policy and the options in one.
    #[wasm_bindgen(constructor)]
    pub fn new(query: &Query, settings: JsValue) -> Result<Balancer> {
        let mut settings = convert::value(settings)?;
        let mut policy = None;
        if let Value::Map(pairs) = &mut settings {
            policy = pairs.extract_if(.., |(name, _)| name == "policy").next().map(|(_, policy)| policy);
        }
        let policy = policy.filter(|policy| *policy != Value::Null).ok_or(Error::new(Code::MissingField, "policy"))?;
        let name = policy.as_str().ok_or_else(|| Error::new(Code::InvalidArgument, "policy").message("expected a string"))?;
        let inner = core::Balancer::new(query.inner.clone(), Policy::parse(name)?, Options::from_value(&settings)?)?;
        Ok(Self { inner, picked: 0.0 })
    }

    /// Whether anything changed.
    pub fn follow(&mut self, registry: &Registry) -> bool {
        self.inner.follow(&registry.inner)
    }

    /// The token; the handle is in `picked`.
    pub fn pick(&mut self, key: Option<String>, exclude: Option<Vec<f64>>, now: f64) -> Result<f64> {
        let asked = Asked::new(key, exclude, now)?;
        let pick = self.inner.pick(&asked.request(), asked.now)?;
        Ok(self.note(pick))
    }

    pub fn picked(&self) -> f64 {
        self.picked
    }

    /// The latency in seconds.
    pub fn finish(&mut self, token: f64, ok: bool, latency: Option<f64>, now: f64) -> Result<bool> {
        Ok(self.inner.finish(number("token", token)?, Outcome::measured(ok, latency)?, time(now)?))
    }

    pub fn finish_and_pick(
        &mut self,
        token: f64,
        ok: bool,
        latency: Option<f64>,
        key: Option<String>,
        exclude: Option<Vec<f64>>,
        now: f64,
    ) -> Result<f64> {
        let (token, outcome) = (number("token", token)?, Outcome::measured(ok, latency)?);
        let asked = Asked::new(key, exclude, now)?;
        let pick = self.inner.finish_and_pick(token, outcome, &asked.request(), asked.now)?;
        Ok(self.note(pick))
    }

    fn note(&mut self, pick: Pick) -> f64 {
        self.picked = pick.handle.to_bits() as f64;
        pick.token as f64
    }

    /// Infinity while every pick is finished.
    pub fn deadline(&self) -> f64 {
        self.inner.deadline().map_or(f64::INFINITY, |deadline| deadline.as_micros() as f64)
    }

    pub fn advance(&mut self, now: f64) -> Result<u32> {
        Ok(self.inner.advance(time(now)?))
    }

    pub fn size(&self) -> f64 {
        self.inner.len() as f64
    }

    pub fn in_flight(&self) -> f64 {
        self.inner.in_flight() as f64
    }

    pub fn stats(&self) -> Result<JsValue> {
        convert::object(&self.inner.stats().to_value())
    }
}

/// Reads an outcome that is more than a truth value and a number, or is wrong.
#[wasm_bindgen]
pub fn outcome(document: JsValue) -> Result<JsValue> {
    convert::object(&Outcome::from_value(&convert::value(document)?)?.to_value())
}
