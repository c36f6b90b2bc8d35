//! How much a host takes at a time, and for how long it waits.

use core::time::Duration;

use super::http::Response;
use crate::error::{Code, Error};
use crate::limits;
use crate::time::{duration_from_secs, micros};
use crate::value::{Fields, Value};

/// Bytes of a body that is none of the large ones: a request costs about so much anyway.
const LARGE: u64 = 64 * 1_024;

/// The bounds of a host. What comes above them is answered 503 with `Retry-After`, so that whoever is there already is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Requests in hand: their bodies are read, or they wait. 8 192 when not named.
    pub requests: usize,
    /// Large bodies, of more than 64 KiB, that are read at a time; 32 when not named.
    pub bodies: usize,
    /// Long polls, and streams with nothing to tell, at a time; 4 096 when not named.
    pub waits: usize,
    /// How long a body may take to arrive; 10 s when not named.
    pub patience: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { requests: 8_192, bodies: 32, waits: 4_096, patience: Duration::from_secs(10) }
    }
}

impl Bounds {
    /// Reads `{requests?, bodies?, waits?, patience?}`: numbers up to 1 048 576, and seconds from 0.001 to 3 600.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], [`Code::LimitExceeded`], [`Code::UnknownField`].
    pub(super) fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "bounds", &["requests", "bodies", "waits", "patience"])?;
        let usual = Self::default();
        let number = |name: &str, usual: usize| match fields.u64(name)? {
            Some(number) if number > limits::HELD.into() => Err(Error::too_large(name, limits::HELD.into()).within("bounds")),
            Some(number) => Ok(usize::try_from(number).unwrap_or(usual)),
            None => Ok(usual),
        };
        let patience = fields.f64("patience")?.map(|seconds| duration_from_secs("bounds.patience", seconds)).transpose()?;
        let patience = patience.unwrap_or(usual.patience);
        if micros(patience) > limits::SPAN_MAX_MICROS {
            return Err(Error::too_large("bounds.patience", limits::SPAN_MAX_MICROS));
        }
        if micros(patience) < limits::SPAN_MIN_MICROS {
            return Err(Error::new(Code::LimitExceeded, "bounds.patience").limit(limits::SPAN_MIN_MICROS).message("at least 1 ms"));
        }
        Ok(Self {
            requests: number("requests", usual.requests)?,
            bodies: number("bodies", usual.bodies)?,
            waits: number("waits", usual.waits)?,
            patience,
        })
    }
}

/// What a host has in hand, beside what waits ([`Waits`](super::Waits)).
///
/// A request that comes [`enter`](Self::enter)s, says how much of its body there is ([`take`](Self::take)), that this was read ([`read`](Self::read)), and in
/// the end [`leave`](Self::leave)s. Whatever it is refused with is to be sent in place of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    requests: usize,
    bodies: usize,
}

/// The place of a request, given back by [`Room::leave`]. In another language it is a number: the bytes that it holds of a body.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Place {
    /// At least so many bytes of its body are held, or will be.
    pub bytes: u64,
}

impl Place {
    fn is_large(&self) -> bool {
        self.bytes > LARGE
    }
}

impl Room {
    /// Lets a request in.
    ///
    /// # Errors
    /// The answer to one more than there is room for.
    pub fn enter(&mut self, bounds: &Bounds) -> Result<Place, Response> {
        if self.requests >= bounds.requests {
            return Err(Response::overloaded("requests"));
        }
        self.requests = self.requests.saturating_add(1);
        Ok(Place { bytes: 0 })
    }

    /// Notes that a body has so many bytes at least, as its head says or as were read of it so far.
    ///
    /// # Errors
    /// The answer to a body that is too large, or to one large body more than there is room for.
    pub fn take(&mut self, bounds: &Bounds, place: &mut Place, bytes: u64) -> Result<(), Response> {
        if bytes > limits::PAYLOAD_BYTES as u64 {
            return Err(Response::error(&Error::too_large("body", limits::PAYLOAD_BYTES as u64)));
        }
        if bytes > LARGE && !place.is_large() {
            if self.bodies >= bounds.bodies {
                return Err(Response::overloaded("bodies"));
            }
            self.bodies = self.bodies.saturating_add(1);
        }
        place.bytes = place.bytes.max(bytes);
        Ok(())
    }

    /// Notes that the body was read to its end.
    pub fn read(&mut self, place: &mut Place) {
        self.bodies = self.bodies.saturating_sub(usize::from(place.is_large()));
        place.bytes = 0;
    }

    /// Takes the place back.
    pub fn leave(&mut self, mut place: Place) {
        self.read(&mut place);
        self.requests = self.requests.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1_024 * 1_024;

    #[test]
    fn a_host_takes_so_much_and_no_more() {
        let bounds = Bounds { requests: 3, bodies: 1, ..Bounds::default() };
        let mut room = Room::default();
        let [mut first, mut second, third] = core::array::from_fn(|_| room.enter(&bounds).unwrap());
        assert_eq!(room.enter(&bounds).unwrap_err().status, 503);
        // What is small needs no place of its own; the one that grows has the only one.
        for bytes in [0, 64 * 1_024, 64 * 1_024 + 1, MIB, 8 * MIB] {
            room.take(&bounds, &mut first, bytes).unwrap();
        }
        room.take(&bounds, &mut second, 64 * 1_024).unwrap();
        let refused = room.take(&bounds, &mut second, 64 * 1_024 + 1).unwrap_err();
        assert_eq!((refused.status, refused.headers.contains(&("retry-after", "1".into()))), (503, true));
        assert_eq!(room.take(&bounds, &mut first, 8 * MIB + 1).unwrap_err().status, 413);
        // Read, it is in the way of none; and who leaves in the middle leaves nothing behind.
        room.read(&mut first);
        room.take(&bounds, &mut second, MIB).unwrap();
        [first, second, third].into_iter().for_each(|place| room.leave(place));
        assert_eq!(room, Room::default());
    }

    #[test]
    fn bounds_are_read() {
        let read = |text: &str| Bounds::from_value(&Value::from_json(text.as_bytes()).unwrap());
        let told = read(r#"{"requests":1,"waits":0,"patience":0.5}"#).unwrap();
        assert_eq!(told, Bounds { requests: 1, waits: 0, patience: Duration::from_millis(500), ..Bounds::default() });
        for (text, field) in [
            (r#"{"waits":1048577}"#, "bounds.waits"),
            (r#"{"bodies":-1}"#, "bounds.bodies"),
            (r#"{"patience":0}"#, "bounds.patience"),
            (r#"{"patience":3601}"#, "bounds.patience"),
            (r#"{"connections":1}"#, "bounds.connections"),
        ] {
            assert_eq!(read(text).unwrap_err().field(), field, "{text}");
        }
    }
}
