//! `Registry`: who is here now.

use callboard::Value;
use callboard::model::{Handle, Health, Override, Registration};
use callboard::registry::{self as core, Config, Listing, Op, Position, Put};
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::errors::{Result, number, time};
use crate::query::Query;

#[wasm_bindgen]
pub struct Registry {
    pub(crate) inner: core::Registry,
}

/// A handle as JS keeps it: a number below 2^53.
pub fn handle(bits: f64) -> Result<Handle> {
    Ok(Handle::from_bits(number("handle", bits)?)?)
}

fn incarnation(given: Option<f64>) -> Result<Option<u64>> {
    given.map(|given| number("incarnation", given)).transpose()
}

#[wasm_bindgen]
impl Registry {
    #[wasm_bindgen(constructor)]
    pub fn new(config: JsValue) -> Result<Registry> {
        let config = Config::from_value(&convert::value(config)?)?;
        Ok(Self { inner: core::Registry::new(config)? })
    }

    pub fn restore(bytes: &[u8], config: JsValue, now: f64) -> Result<Registry> {
        let config = Config::from_value(&convert::value(config)?)?;
        Ok(Self { inner: core::Registry::restore(bytes, config, time(now)?)? })
    }

    pub fn epoch(&self) -> f64 {
        self.inner.epoch() as f64
    }

    pub fn edition(&self) -> f64 {
        self.inner.edition() as f64
    }

    pub fn revision(&self) -> f64 {
        self.inner.revision() as f64
    }

    pub fn size(&self) -> f64 {
        self.inner.len() as f64
    }

    /// Infinity when nothing is ever due.
    pub fn deadline(&self) -> f64 {
        self.inner.deadline().map_or(f64::INFINITY, |deadline| deadline.as_micros() as f64)
    }

    pub fn stats(&self) -> Result<JsValue> {
        convert::object(&self.inner.stats().to_value())
    }

    pub fn lookup(&self, namespace: &str, service: &str, id: &str) -> Option<f64> {
        self.inner.lookup(namespace, service, id).map(|handle| handle.to_bits() as f64)
    }

    pub fn instance(&self, bits: f64) -> Result<JsValue> {
        match self.inner.instance(handle(bits)?) {
            Some(instance) => convert::object(&instance.to_value()),
            None => Ok(JsValue::UNDEFINED),
        }
    }

    /// The revision of a record; 0 when there is none.
    pub fn instance_revision(&self, bits: f64) -> Result<f64> {
        Ok(self.inner.instance_revision(handle(bits)?).unwrap_or(0) as f64)
    }

    /// The incarnation of a record; a renewal may raise it without a revision. 0 when there is no record.
    pub fn instance_incarnation(&self, bits: f64) -> Result<f64> {
        Ok(self.inner.instance_incarnation(handle(bits)?).unwrap_or(0) as f64)
    }

    pub fn services(&self, namespace: Option<String>) -> Result<JsValue> {
        let summaries = self.inner.services(namespace.as_deref());
        convert::object(&Value::List(summaries.iter().map(|summary| summary.to_value()).collect()))
    }

    /// Revision, epoch, rung, stale, protected, and then the handles.
    pub fn query(&self, query: &Query) -> Vec<f64> {
        let answer = self.inner.query(&query.inner);
        let flag = |is: bool| f64::from(u8::from(is));
        let head = [answer.revision as f64, answer.epoch as f64, answer.rung.into(), flag(answer.stale), flag(answer.protected)];
        head.into_iter().chain(answer.handles.iter().map(|handle| handle.to_bits() as f64)).collect()
    }

    pub fn changes(&self, since: JsValue) -> Result<JsValue> {
        let since = Position::from_value(&convert::value(since)?)?;
        convert::object(&self.inner.changes(since).to_value())
    }

    pub fn digest(&self, namespace: &str, service: &str) -> Option<String> {
        self.inner.digest(namespace, service)
    }

    pub fn register(&mut self, registration: JsValue, put: JsValue, now: f64) -> Result<JsValue> {
        let (registration, put) = (convert::value(registration)?, convert::value(put)?);
        let done = self.inner.register(&Registration::from_value(&registration)?, Put::from_value(&put)?, time(now)?)?;
        convert::object(&done.to_value())
    }

    pub fn renew(&mut self, namespace: &str, service: &str, id: &str, given: Option<f64>, now: f64) -> Result<f64> {
        let renewed = self.inner.renew(namespace, service, id, incarnation(given)?.unwrap_or(0), time(now)?)?;
        Ok(renewed.to_bits() as f64)
    }

    pub fn renew_handle(&mut self, bits: f64, given: Option<f64>, now: f64) -> Result {
        Ok(self.inner.renew_handle(handle(bits)?, incarnation(given)?.unwrap_or(0), time(now)?)?)
    }

    pub fn deregister(&mut self, namespace: &str, service: &str, id: &str, given: Option<f64>, now: f64) -> Result<f64> {
        Ok(self.inner.deregister(namespace, service, id, incarnation(given)?, time(now)?)? as f64)
    }

    pub fn set_health(&mut self, namespace: &str, service: &str, id: &str, health: &str, given: Option<f64>, now: f64) -> Result<f64> {
        let health = Health::parse(health)?;
        Ok(self.inner.set_health(namespace, service, id, health, incarnation(given)?, time(now)?)? as f64)
    }

    pub fn set_admin(&mut self, namespace: &str, service: &str, id: &str, admin: JsValue, now: f64) -> Result<f64> {
        let (admin, now) = (convert::value(admin)?, time(now)?);
        let admin = if admin == Value::Null { None } else { Some(Override::from_value(&admin, self.inner.clamp(now))?) };
        Ok(self.inner.set_admin(namespace, service, id, admin, now)? as f64)
    }

    pub fn apply(&mut self, ops: JsValue, now: f64) -> Result<f64> {
        let now = time(now)?;
        let ops = Op::list_from_value(&convert::value(ops)?, self.inner.clamp(now))?;
        Ok(self.inner.apply(&ops, now)? as f64)
    }

    pub fn reconcile(&mut self, listing: JsValue, now: f64) -> Result<JsValue> {
        let listing = Listing::from_value(&convert::value(listing)?)?;
        convert::object(&self.inner.reconcile(&listing, time(now)?)?.to_value())
    }

    pub fn acknowledge(&mut self, source: &str, now: f64) -> Result<JsValue> {
        convert::object(&self.inner.acknowledge(source, time(now)?)?.to_value())
    }

    pub fn advance(&mut self, now: f64) -> Result<JsValue> {
        convert::object(&self.inner.advance(time(now)?).to_value())
    }

    pub fn snapshot(&self) -> Vec<u8> {
        self.inner.snapshot()
    }
}

/// What follows a query, change by change.
#[wasm_bindgen]
pub struct View {
    pub(crate) inner: core::View,
}

#[wasm_bindgen]
impl View {
    #[wasm_bindgen(constructor)]
    pub fn new(query: &Query) -> Result<View> {
        Ok(Self { inner: core::View::new(query.inner.clone())? })
    }

    /// What is different since the last call, with handles for instances; undefined when nothing is.
    pub fn poll(&mut self, registry: &Registry) -> Result<JsValue> {
        let Some(delta) = self.inner.poll(&registry.inner) else { return Ok(JsValue::UNDEFINED) };
        let bits = |handles: &[Handle]| Value::List(handles.iter().map(|handle| handle.to_bits().into()).collect());
        let Value::Map(mut pairs) = delta.to_value(&registry.inner) else { return Ok(JsValue::UNDEFINED) };
        for (name, value) in &mut pairs {
            match name.as_str() {
                "added" => *value = bits(&delta.added),
                "updated" => *value = bits(&delta.updated),
                _ => {}
            }
        }
        convert::object(&Value::Map(pairs))
    }
}
