//! Other systems' payloads.

use callboard::formats::{self, Context, Feed, FeedConfig, Format};
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::errors::{Result, time};
use crate::registry::Registry;

/// Reads a payload of another registry.
#[wasm_bindgen]
pub fn decode(body: &[u8], format: &str, namespace: &str) -> Result<JsValue> {
    convert::object(&formats::decode(Format::parse(format)?, body, &Context::new(namespace))?.to_value())
}

#[wasm_bindgen]
impl Registry {
    /// Takes over a payload of another registry. `feed` says whose it is.
    pub fn feed(&mut self, feed: JsValue, body: &[u8], now: f64) -> Result<JsValue> {
        let mut feed = Feed::new(FeedConfig::from_value(&convert::value(feed)?)?)?;
        convert::object(&feed.take(&mut self.inner, body, time(now)?)?.to_value())
    }
}
