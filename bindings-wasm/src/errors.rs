//! The core's errors as plain JS objects; the facade makes real Error classes of them.

use callboard::{Code, Error, Timestamp};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// A bare object, which costs no stack trace.
    #[wasm_bindgen(js_name = Object)]
    type Thrown;
    #[wasm_bindgen(constructor, js_class = "Object")]
    fn new() -> Thrown;
    #[wasm_bindgen(method, setter)]
    fn set_kind(this: &Thrown, class: &str);
    #[wasm_bindgen(method, setter)]
    fn set_code(this: &Thrown, code: &str);
    #[wasm_bindgen(method, setter)]
    fn set_field(this: &Thrown, field: &str);
    #[wasm_bindgen(method, setter)]
    fn set_limit(this: &Thrown, limit: f64);
    #[wasm_bindgen(method, setter)]
    fn set_message(this: &Thrown, message: &str);
}

/// What a method throws.
pub struct Raised(pub Error);

impl From<Error> for Raised {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<Raised> for JsValue {
    fn from(Raised(error): Raised) -> Self {
        let thrown = Thrown::new();
        thrown.set_kind(error.code().kind().class());
        thrown.set_code(error.code().as_str());
        thrown.set_field(error.field());
        if let Some(limit) = error.limit_value() {
            thrown.set_limit(limit as f64);
        }
        thrown.set_message(&error.to_string());
        thrown.into()
    }
}

/// What a method returns.
pub type Result<T = ()> = core::result::Result<T, Raised>;

/// The catalogue: codes and classes in turn.
#[wasm_bindgen]
pub fn codes() -> Vec<String> {
    Code::ALL.iter().flat_map(|code| [code.as_str().to_owned(), code.kind().class().to_owned()]).collect()
}

/// A time: whole microseconds from 0 to 2^53 - 1.
#[inline]
pub fn time(now: f64) -> Result<Timestamp> {
    match whole(now) {
        Some(micros) => Ok(Timestamp::from_micros(micros)?),
        None => Err(Error::new(Code::InvalidTime, "now")
            .limit(Timestamp::MAX.as_micros())
            .message("a time is a whole number of microseconds, at least 0 and below 2^53")
            .into()),
    }
}

/// Another whole number from 0 to 2^53 - 1, such as an incarnation.
#[inline]
pub fn number(field: &str, number: f64) -> Result<u64> {
    whole(number).ok_or_else(|| Error::new(Code::InvalidArgument, field).message("expected a whole number from 0 to 2^53 - 1").into())
}

#[inline]
fn whole(number: f64) -> Option<u64> {
    const END: f64 = 9_007_199_254_740_992.0;
    ((0.0..END).contains(&number) && (number as u64) as f64 == number).then_some(number as u64)
}
