//! `Balancer`: which one. The way of a pick carries numbers and strings only.

use callboard::balance::{self as core, Options, Outcome, Pick, Policy, Request};
use callboard::model::Handle;
use callboard::{Error, Timestamp, Value};
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::errors::{Raised, Result, number, time};
use crate::query::Query;
use crate::registry::{Registry, handle};

/// The methods on the way of a pick return plain numbers, of which a negative one says that there is an error to be
/// raised: a `Result` would cost an array a call.
#[wasm_bindgen]
pub struct Balancer {
    inner: core::Balancer,
    /// The handle of the last pick: a second number beside the token that `pick` returns.
    picked: f64,
    trouble: Option<Error>,
}

/// A request's key, handed over once for many picks: a string costs more to hand over than to hash.
#[wasm_bindgen]
pub struct Key {
    text: Box<[u8]>,
}

#[wasm_bindgen]
impl Key {
    #[wasm_bindgen(constructor)]
    pub fn new(text: String) -> Key {
        Self { text: text.into_bytes().into() }
    }
}

/// An error is kept in `trouble`.
const TROUBLE: f64 = -1.0;

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
        let policy = policy.filter(|policy| *policy != Value::Null);
        let policy = policy.map_or_else(|| Ok(Policy::default()), |policy| Policy::from_value(&policy))?;
        let inner = core::Balancer::new(query.inner.clone(), policy, Options::from_value(&settings)?)?;
        Ok(Self { inner, picked: 0.0, trouble: None })
    }

    /// Whether anything changed.
    pub fn follow(&mut self, registry: &Registry) -> bool {
        self.inner.follow(&registry.inner)
    }

    /// The token; the handle is in `picked`.
    pub fn pick(&mut self, now: f64) -> f64 {
        match time(now) {
            Ok(now) => self.choose(&Request::default(), now),
            Err(raised) => self.keep(raised),
        }
    }

    /// `pick` for a request with a key, exclusions or more: `{labels?, prefer?}`.
    pub fn pick_for(&mut self, key: Option<String>, exclude: Option<Vec<f64>>, more: JsValue, now: f64) -> f64 {
        match asked(key, exclude, more, |request| Ok(self.inner.pick(request, time(now)?)?)) {
            Ok(pick) => self.note(pick),
            Err(raised) => self.keep(raised),
        }
    }

    /// `pick` for a key that is here already.
    pub fn pick_by(&mut self, key: &Key, now: f64) -> f64 {
        match time(now) {
            Ok(now) => self.choose(&Request::keyed(&key.text), now),
            Err(raised) => self.keep(raised),
        }
    }

    /// 1 when it counted, 0 when the token was good no more. The latency is in seconds.
    pub fn finish(&mut self, token: f64, ok: bool, latency: Option<f64>, now: f64) -> f64 {
        match self.settle(token, ok, latency, now) {
            Ok((known, _)) => f64::from(u8::from(known)),
            Err(raised) => self.keep(raised),
        }
    }

    /// `finish` with an outcome that is more than a truth value and a number, or is wrong.
    pub fn finish_with(&mut self, token: f64, outcome: JsValue, now: f64) -> Result<bool> {
        let outcome = Outcome::from_value(&convert::value(outcome)?)?;
        Ok(self.inner.finish(number("token", token)?, outcome, time(now)?))
    }

    pub fn may_retry(&mut self, now: f64) -> Result<bool> {
        Ok(self.inner.may_retry(time(now)?))
    }

    /// In seconds.
    pub fn retry_delay(&mut self, retry: f64) -> Result<Option<f64>> {
        let retry = u32::try_from(number("retry", retry)?).unwrap_or(u32::MAX);
        Ok(self.inner.retry_delay(retry).map(|delay| delay.as_secs_f64()))
    }

    /// In seconds.
    pub fn hedge_delay(&mut self, now: f64) -> Result<Option<f64>> {
        Ok(self.inner.hedge_delay(time(now)?).map(|delay| delay.as_secs_f64()))
    }

    pub fn may_hedge(&mut self, now: f64) -> Result<bool> {
        Ok(self.inner.may_hedge(time(now)?))
    }

    pub fn admit(&mut self, now: f64) -> Result<bool> {
        Ok(self.inner.admit(time(now)?))
    }

    /// The handles of those to ask.
    pub fn probe_requests(&mut self, now: f64) -> Result<Vec<f64>> {
        Ok(self.inner.probe_requests(time(now)?).into_iter().map(|handle| handle.to_bits() as f64).collect())
    }

    /// The latency is in seconds.
    pub fn probed(&mut self, of: f64, rif: f64, latency: f64, now: f64) -> Result<bool> {
        let load = u32::try_from(number("rif", rif)?).unwrap_or(u32::MAX);
        let latency = Outcome::measured(true, Some(latency))?.latency.unwrap_or_default();
        Ok(self.inner.probed(handle(of)?, load, latency, time(now)?))
    }

    pub fn limit(&self) -> Option<u32> {
        self.inner.limit()
    }

    /// `finish`, then `pick`.
    pub fn finish_and_pick(&mut self, token: f64, ok: bool, latency: Option<f64>, now: f64) -> f64 {
        match self.settle(token, ok, latency, now) {
            Ok((_, now)) => self.choose(&Request::default(), now),
            Err(raised) => self.keep(raised),
        }
    }

    pub fn picked(&self) -> f64 {
        self.picked
    }

    /// Throws the error that was kept.
    pub fn raise(&mut self) -> Result {
        self.trouble.take().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Whether the token was good, and the time.
    #[inline(always)]
    fn settle(&mut self, token: f64, ok: bool, latency: Option<f64>, now: f64) -> Result<(bool, Timestamp)> {
        let token = number("token", token)?;
        let outcome = if latency.is_none() { Outcome::new(ok, None) } else { Outcome::measured(ok, latency)? };
        let now = time(now)?;
        Ok((self.inner.finish(token, outcome, now), now))
    }

    #[inline(always)]
    fn choose(&mut self, request: &Request<'_>, now: Timestamp) -> f64 {
        match self.inner.pick(request, now) {
            Ok(pick) => self.note(pick),
            Err(error) => self.keep(error.into()),
        }
    }

    #[inline]
    fn note(&mut self, pick: Pick) -> f64 {
        self.picked = pick.handle.to_bits() as f64;
        pick.token as f64
    }

    #[cold]
    fn keep(&mut self, raised: Raised) -> f64 {
        self.trouble = Some(raised.0);
        TROUBLE
    }

    /// Infinity when there is none.
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

#[cfg(feature = "serve")]
#[wasm_bindgen]
impl Balancer {
    pub fn metrics(&self) -> String {
        self.inner.metrics()
    }

    pub fn explain(&self, key: Option<String>, exclude: Option<Vec<f64>>, more: JsValue, now: f64) -> Result<JsValue> {
        let told = asked(key, exclude, more, |request| Ok(self.inner.explain(request, time(now)?)))?;
        convert::object(&told.to_value())
    }

    pub fn explained(&self) -> Result<JsValue> {
        self.inner.explained().map_or(Ok(JsValue::UNDEFINED), |told| convert::object(&told.to_value()))
    }

    pub fn trace(&self) -> Result<JsValue> {
        self.inner.trace().map_or(Ok(JsValue::UNDEFINED), |trace| convert::object(&trace))
    }
}

/// Does a trace again.
#[cfg(feature = "serve")]
#[wasm_bindgen]
pub fn replay(trace: JsValue) -> Result<JsValue> {
    convert::object(&core::Balancer::replay(&convert::value(trace)?)?.to_value())
}

/// Answers a request made of its parts.
fn asked<T>(key: Option<String>, exclude: Option<Vec<f64>>, more: JsValue, answer: impl FnOnce(&Request<'_>) -> Result<T>) -> Result<T> {
    let exclude = handles(exclude)?;
    let more = if more.is_undefined() { Value::Null } else { convert::value(more)? };
    let labels = more.get("labels").map_or(Ok(Vec::new()), Request::read_labels)?;
    let prefer = more.get("prefer").map_or(Ok(Vec::new()), Request::read_prefer)?;
    answer(&Request { key: key.as_ref().map(String::as_bytes), exclude: &exclude, labels: &labels, prefer: &prefer })
}

fn handles(bits: Option<Vec<f64>>) -> Result<Vec<Handle>> {
    bits.unwrap_or_default().into_iter().map(handle).collect()
}
