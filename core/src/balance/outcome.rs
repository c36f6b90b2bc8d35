//! What became of a call.

use core::time::Duration;

use crate::error::{Code, Error};
use crate::time::{duration_from_secs, micros, secs};
use crate::value::{Fields, Value};

/// What became of a call: how it ended, how long it took, and what the instance said of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub kind: OutcomeKind,
    /// From the pick to the end of the call, when the host measured it; to the microsecond.
    pub latency: Option<Duration>,
    /// How long the instance asks to be spared: HTTP `Retry-After`, gRPC `grpc-retry-pushback-ms`.
    pub retry_after: Option<Duration>,
    /// What the instance reported of its load.
    pub load: Option<Load>,
}

/// What the counters and the averages take of an outcome; two registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) kind: OutcomeKind,
    latency: u64,
}

impl Ending {
    /// In place of a latency: it was not told.
    const UNTOLD: u64 = u64::MAX;

    #[inline]
    pub(super) fn new(kind: OutcomeKind, latency: Option<Duration>) -> Self {
        // Averages are made of signed numbers.
        Self { kind, latency: latency.map_or(Self::UNTOLD, |latency| micros(latency).min(i64::MAX.cast_unsigned())) }
    }

    #[inline]
    pub(super) const fn is_ok(self) -> bool {
        matches!(self.kind, OutcomeKind::Success)
    }

    /// In microseconds, if it was told.
    #[inline]
    pub(super) fn latency(self) -> Option<u64> {
        (self.latency < Self::UNTOLD).then_some(self.latency)
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OutcomeKind {
    /// `success`: the instance did its job. A refusal that is the caller's fault is a success.
    #[default]
    Success,
    /// `error`: the instance failed: an HTTP 5xx that is none of the following.
    Error,
    /// `gateway`: somebody behind the instance failed: HTTP 502, 503, 504.
    Gateway,
    /// `connect`: the call did not reach the instance: refused, reset, no route. A failure of local origin.
    Connect,
    /// `timeout`: no answer in time. A failure of local origin.
    Timeout,
    /// `throttled`: the instance asked to be spared: HTTP 429, gRPC RESOURCE_EXHAUSTED.
    Throttled,
    /// `cancelled`: the caller gave up, as with the slower one of two hedged calls. It counts neither for nor against.
    Cancelled,
}

/// What an instance reports of its load (ORCA); none of the numbers is negative.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Load {
    /// Utilization as the application sees it; 1 is its capacity.
    pub utilization: f64,
    /// Utilization of the processor; 1 is its capacity.
    pub cpu: f64,
    /// Requests a second.
    pub qps: f64,
    /// Errors a second.
    pub eps: f64,
    /// Requests in flight.
    pub rif: f64,
}

impl OutcomeKind {
    /// Every kind.
    pub const ALL: &[Self] = &[Self::Success, Self::Error, Self::Gateway, Self::Connect, Self::Timeout, Self::Throttled, Self::Cancelled];

    /// The name in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Gateway => "gateway",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Throttled => "throttled",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the name.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] for any other word.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.iter().copied().find(|kind| kind.as_str() == name);
        known.ok_or_else(|| {
            Error::new(Code::InvalidArgument, "kind").message("one of success error gateway connect timeout throttled cancelled")
        })
    }

    /// What an HTTP status says: 429 is throttled, 502, 503 and 504 are a gateway's, any other 5xx is an error, and all else a success, be it the
    /// caller's fault.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] for what is no status, 100 to 599.
    pub fn of_http_status(status: u64) -> Result<Self, Error> {
        match status {
            429 => Ok(Self::Throttled),
            502..=504 => Ok(Self::Gateway),
            500..=599 => Ok(Self::Error),
            100..=499 => Ok(Self::Success),
            _ => Err(Error::new(Code::InvalidArgument, "status").message("an HTTP status, 100 to 599")),
        }
    }

    /// What a status of gRPC says, 0 to 16: what its HTTP status does by the table of `google/rpc/code.proto`, save that CANCELLED is cancelled and
    /// DEADLINE_EXCEEDED a timeout. So UNAVAILABLE is a gateway's, RESOURCE_EXHAUSTED throttled, UNKNOWN, UNIMPLEMENTED, INTERNAL and DATA_LOSS are
    /// errors, and all else a success. Any other number is UNKNOWN, as gRPC's clients have it.
    pub const fn of_grpc_status(status: u64) -> Self {
        match status {
            0 | 3 | 5..=7 | 9..=11 | 16 => Self::Success,
            1 => Self::Cancelled,
            4 => Self::Timeout,
            8 => Self::Throttled,
            14 => Self::Gateway,
            _ => Self::Error,
        }
    }

    /// Whether the fault is the instance's or the way's to it; neither of a success nor of a call that was cancelled.
    #[inline]
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Success | Self::Cancelled)
    }
}

/// Whether a call by an HTTP method that ended so may be made again, by another instance: the method is one that may be done twice (RFC 9110, 9.2.2), and
/// the fault may be this instance's alone: it was not reached, did not answer in time, could not reach somebody itself, or asked to be spared.
/// For a call of gRPC the method is its `idempotency_level` in protobuf: `NO_SIDE_EFFECTS` and `IDEMPOTENT` may be done twice.
/// Whether there is a budget for that is [`may_retry`](super::Balancer::may_retry)'s to say.
pub fn is_repeatable(method: &str, outcome: &Outcome) -> bool {
    let elsewhere = matches!(outcome.kind, OutcomeKind::Connect | OutcomeKind::Timeout | OutcomeKind::Gateway | OutcomeKind::Throttled);
    elsewhere && matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE" | "NO_SIDE_EFFECTS" | "IDEMPOTENT")
}

impl Outcome {
    /// A call that ended so, of unknown latency.
    #[inline]
    pub const fn of(kind: OutcomeKind) -> Self {
        Self { kind, latency: None, retry_after: None, load: None }
    }

    /// It went well, in `latency`.
    pub const fn success(latency: Duration) -> Self {
        Self { latency: Some(latency), ..Self::of(OutcomeKind::Success) }
    }

    /// It failed.
    pub const fn failure() -> Self {
        Self::of(OutcomeKind::Error)
    }

    /// It went well or failed, in `latency` if that is known.
    #[inline]
    pub const fn new(ok: bool, latency: Option<Duration>) -> Self {
        Self { latency, ..Self::of(if ok { OutcomeKind::Success } else { OutcomeKind::Error }) }
    }

    /// What a host measured, the latency in seconds.
    ///
    /// # Errors
    /// [`Code::InvalidDuration`].
    #[inline]
    pub fn measured(ok: bool, latency: Option<f64>) -> Result<Self, Error> {
        Ok(Self::new(ok, latency.map(|latency| duration_from_secs("latency", latency)).transpose()?))
    }

    /// Whether the instance did its job.
    #[inline]
    pub const fn is_ok(&self) -> bool {
        matches!(self.kind, OutcomeKind::Success)
    }

    /// Reads `{ok?, kind?, status?, grpc_status?, latency?, retry_after?, load?}`: without a kind it is what the HTTP status says, 100 to 599, or that of gRPC,
    /// or a success or, when `ok` is false, an error; times are in seconds.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], also for an `ok` that contradicts the kind; [`Code::InvalidDuration`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["ok", "kind", "status", "grpc_status", "latency", "retry_after", "load"])?;
        let span = |name: &str| fields.f64(name)?.map(|number| duration_from_secs(name, number)).transpose();
        let ok = fields.bool("ok")?;
        let told = [
            ("kind", fields.text("kind")?.map(OutcomeKind::parse).transpose()?),
            ("status", fields.u64("status")?.map(OutcomeKind::of_http_status).transpose()?),
            ("grpc_status", fields.u64("grpc_status")?.map(OutcomeKind::of_grpc_status)),
        ];
        let mut told = told.into_iter().filter_map(|(field, kind)| Some((field, kind?)));
        let otherwise = if ok == Some(false) { OutcomeKind::Error } else { OutcomeKind::Success };
        let kind = told.next().map_or(otherwise, |(_, kind)| kind);
        if let Some((field, _)) = told.next() {
            return Err(Error::new(Code::InvalidArgument, field).message("a kind or one status, not both"));
        }
        if ok.is_some_and(|ok| ok != (kind == OutcomeKind::Success)) {
            return Err(Error::new(Code::InvalidArgument, "ok").message("contradicts the kind"));
        }
        let load = fields.value("load").map(Load::from_value).transpose().map_err(|error| error.within("load"))?;
        Ok(Self { kind, latency: span("latency")?, retry_after: span("retry_after")?, load })
    }

    /// Writes `{ok, kind?, latency?, retry_after?, load?}`; a kind that `ok` tells is left out.
    pub fn to_value(&self) -> Value {
        let mut pairs = alloc::vec![("ok", Value::from(self.is_ok()))];
        if !matches!(self.kind, OutcomeKind::Success | OutcomeKind::Error) {
            pairs.push(("kind", self.kind.as_str().into()));
        }
        pairs.extend(self.latency.map(|latency| ("latency", secs(latency).into())));
        pairs.extend(self.retry_after.map(|spared| ("retry_after", secs(spared).into())));
        pairs.extend(self.load.as_ref().map(|load| ("load", load.to_value())));
        Value::map(pairs)
    }
}

impl Load {
    /// Reads `{utilization?, cpu?, qps?, eps?, rif?}`; what is absent is 0.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] for a number that is negative or none; [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["utilization", "cpu", "qps", "eps", "rif"])?;
        let number = |name: &str| {
            let number = fields.f64(name)?.unwrap_or_default();
            // Written so that NaN fails too.
            if number >= 0.0 && number.is_finite() {
                Ok(number)
            } else {
                Err(fields.error(Code::InvalidArgument, name).message("a number, at least 0"))
            }
        };
        Ok(Self { utilization: number("utilization")?, cpu: number("cpu")?, qps: number("qps")?, eps: number("eps")?, rif: number("rif")? })
    }

    /// Writes what is not 0 of `{utilization?, cpu?, qps?, eps?, rif?}`.
    pub fn to_value(&self) -> Value {
        let pairs = [("utilization", self.utilization), ("cpu", self.cpu), ("qps", self.qps), ("eps", self.eps), ("rif", self.rif)];
        Value::map(pairs.into_iter().filter(|(_, number)| *number > 0.0).map(|(name, number)| (name, Value::from(number))))
    }
}

/// A success of unknown latency.
impl Default for Outcome {
    #[inline]
    fn default() -> Self {
        Self::of(OutcomeKind::Success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_round_trip() {
        for kind in OutcomeKind::ALL {
            let load = Some(Load { cpu: 0.3, rif: 7.0, ..Load::default() });
            let full = Outcome { retry_after: Some(Duration::from_secs(3)), load, ..Outcome::of(*kind) };
            for outcome in [Outcome::of(*kind), full, Outcome { latency: Some(Duration::from_millis(10)), ..full }] {
                assert_eq!(Outcome::from_value(&outcome.to_value()), Ok(outcome));
            }
        }
        assert_eq!(Outcome::from_value(&Value::Map(Default::default())), Ok(Outcome::default()));
        assert_eq!(
            Outcome::measured(false, Some(0.01)).unwrap().to_value(),
            Value::map([("ok", false.into()), ("latency", Value::from(0.01))])
        );
    }

    #[test]
    fn a_wrong_one_is_told() {
        for (bad, code, field) in [
            (Value::map([("latency", Value::from(-1.0))]), Code::InvalidDuration, "latency"),
            (Value::map([("kind", Value::from("eror"))]), Code::InvalidArgument, "kind"),
            (Value::map([("ok", Value::from(true)), ("kind", "timeout".into())]), Code::InvalidArgument, "ok"),
            (Value::map([("load", Value::map([("cpu", Value::from(-0.1))]))]), Code::InvalidArgument, "load.cpu"),
            (Value::map([("load", Value::map([("cpus", Value::from(0.1))]))]), Code::UnknownField, "load.cpus"),
        ] {
            let error = Outcome::from_value(&bad).unwrap_err();
            assert_eq!((error.code(), error.field()), (code, field));
        }
    }
}
