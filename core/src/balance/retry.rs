//! Whether a call may be tried again, and when.

use core::time::Duration;

use super::settings::{Settings, kind, time};
use crate::error::{Code, Error};
use crate::limits;
use crate::rng::Rng;
use crate::time::micros;
use crate::value::Value;

/// When a call may be tried again: a budget that all calls share, and a delay that grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// How many retries there may be; default a share of the calls, as in Finagle.
    pub budget: Budget,
    /// How often one call may be tried in all: 1 to 100, default 5 (the cap of gRPC A6).
    pub attempts: u32,
    /// The delay before the first retry: at most 1 h, default 100 ms.
    pub first: Duration,
    /// By how much the delay grows from one retry to the next: 1 to 100, default 2.
    pub factor: f64,
    /// The longest delay: at most 1 h, default 1 s.
    pub most: Duration,
    /// The share by which a delay is drawn longer or shorter: 0 to 1, default 0.2 (gRPC A6).
    pub jitter: f64,
}

/// How many retries there may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// `share`: some for each call that ended, and some for each second: Finagle's RetryBudget, tower's TpsBudget.
    Share {
        /// How long what was earned can be spent: 1 ms to 1 h, default 10 s.
        window: Duration,
        /// Retries a second that need no calls: 0 to 1 000 000, default 10.
        reserve: f64,
        /// Retries for each call: 0 to 1 000, default 0.2.
        share: f64,
    },
    /// `tokens`: a failure takes a token, a success gives back a part of one, and retries need more than half of them: gRPC A6.
    Tokens {
        /// How many there are at most, and at first: above 0 and up to 1 000, default 10.
        most: f64,
        /// What a success gives back: 0.001 to 1 000, default 0.1.
        ratio: f64,
    },
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            budget: Budget::default(),
            attempts: 5,
            first: Duration::from_millis(100),
            factor: 2.0,
            most: Duration::from_secs(1),
            jitter: 0.2,
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::Share { window: Duration::from_secs(10), reserve: 10.0, share: 0.2 }
    }
}

impl Retry {
    /// Reads `{budget?, attempts?, first?, factor?, most?, jitter?}`, `budget` being `share`, `tokens` or
    /// `{kind: "share", window?, reserve?, share?}`, `{kind: "tokens", most?, ratio?}`; times are in seconds.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`], [`Code::InvalidDuration`], [`Code::InvalidArgument`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let settings = Settings::new(value, &["budget", "attempts", "first", "factor", "most", "jitter"])?;
        let default = Self::default();
        let attempts = settings.count("attempts", default.attempts, 1)?;
        if attempts > limits::ATTEMPTS {
            return Err(Error::too_large("attempts", u64::from(limits::ATTEMPTS)));
        }
        Ok(Self {
            budget: settings.part("budget", Some(default.budget), Budget::from_value)?.unwrap_or(Budget::NONE),
            attempts,
            first: settings.time("first", default.first)?,
            factor: settings.number("factor", default.factor, 1.0, 100.0)?,
            most: settings.time("most", default.most)?,
            jitter: settings.number("jitter", default.jitter, 0.0, 1.0)?,
        })
    }

    /// Writes `{budget, attempts, first, factor, most, jitter}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("budget", self.budget.to_value()),
            ("attempts", u64::from(self.attempts).into()),
            ("first", time(self.first)),
            ("factor", self.factor.into()),
            ("most", time(self.most)),
            ("jitter", self.jitter.into()),
        ])
    }

    /// The delay before a retry, the first being 1: `min(first x factor^(n-1), most)`, drawn up to `jitter` longer or
    /// shorter. None when the call was tried as often as it may be.
    pub(super) fn delay(&self, retry: u32, rng: &mut Rng) -> Option<Duration> {
        if retry == 0 || retry >= self.attempts {
            return None;
        }
        let most = micros(self.most) as f64;
        let grown = (1..retry).fold(micros(self.first) as f64, |delay, _| delay * self.factor);
        let delay = if grown < most { grown } else { most };
        let drawn = delay * (1.0 + self.jitter * (2.0 * rng.unit() - 1.0));
        Some(Duration::from_micros((drawn + 0.5) as u64))
    }
}

impl Budget {
    /// No retry at all.
    const NONE: Self = Self::Share { window: Duration::from_secs(10), reserve: 0.0, share: 0.0 };

    fn from_value(value: &Value) -> Result<Self, Error> {
        let (kind, document) = kind(value)?;
        match kind {
            "share" => {
                let settings = Settings::new(document, &["kind", "window", "reserve", "share"])?;
                Ok(Self::Share {
                    window: settings.span("window", Duration::from_secs(10))?,
                    reserve: settings.number("reserve", 10.0, 0.0, 1e6)?,
                    share: settings.number("share", 0.2, 0.0, 1e3)?,
                })
            }
            "tokens" => {
                let settings = Settings::new(document, &["kind", "most", "ratio"])?;
                Ok(Self::Tokens { most: settings.number("most", 10.0, 0.001, 1e3)?, ratio: settings.number("ratio", 0.1, 0.001, 1e3)? })
            }
            _ => Err(Error::new(Code::InvalidArgument, "kind").message("one of share tokens")),
        }
    }

    fn to_value(self) -> Value {
        match self {
            Self::Share { window, reserve, share } => {
                Value::map([("kind", Value::from("share")), ("window", time(window)), ("reserve", reserve.into()), ("share", share.into())])
            }
            Self::Tokens { most, ratio } => Value::map([("kind", Value::from("tokens")), ("most", most.into()), ("ratio", ratio.into())]),
        }
    }
}

/// What is left of a budget.
#[derive(Clone, Debug)]
pub(super) enum Purse {
    Share(Window),
    /// In thousandths, as gRPC counts them.
    Tokens {
        left: u64,
        most: u64,
        ratio: u64,
    },
}

/// How many parts a window has.
const PARTS: u64 = 10;
/// What a call earns, so that a share of one call's worth is a whole number.
const DEPOSIT: i64 = 1_000;

/// Earnings and expenses of a while, which are forgotten a tenth at a time.
#[derive(Clone, Debug)]
pub(super) struct Window {
    parts: [i64; PARTS as usize],
    /// Their sum.
    sum: i64,
    /// The number of the part being filled, since the beginning of time.
    part: u64,
    width: u64,
    reserve: i64,
    deposit: i64,
    price: i64,
}

impl Purse {
    pub(super) fn new(budget: Budget) -> Self {
        match budget {
            Budget::Share { window, reserve, share } => {
                // Without a share calls earn nothing, and the price is whatever the reserve is counted in.
                let (deposit, price) = if share > 0.0 { (DEPOSIT, (DEPOSIT as f64 / share) as i64) } else { (0, 1) };
                let price = price.max(1);
                let reserve = (reserve * (micros(window) as f64 / 1e6) * price as f64) as i64;
                Self::Share(Window {
                    parts: [0; PARTS as usize],
                    sum: 0,
                    part: 0,
                    width: micros(window).div_euclid(PARTS).max(1),
                    reserve,
                    deposit,
                    price,
                })
            }
            Budget::Tokens { most, ratio } => {
                let thousandths = |number: f64| (number * 1e3 + 0.5) as u64;
                Self::Tokens { left: thousandths(most), most: thousandths(most), ratio: thousandths(ratio) }
            }
        }
    }

    /// Takes note of a call that ended. `counts` is false for one that was itself paid for.
    #[inline]
    pub(super) fn earn(&mut self, failed: bool, counts: bool, now: u64) {
        match self {
            Self::Share(window) if counts => window.add(window.deposit, now),
            Self::Share(_) => {}
            Self::Tokens { left, .. } if failed => *left = left.saturating_sub(1_000),
            Self::Tokens { left, most, ratio } => *left = left.saturating_add(*ratio).min(*most),
        }
    }

    /// Whether there is enough for a call more.
    pub(super) fn affords(&mut self, now: u64) -> bool {
        match self {
            Self::Share(window) => {
                window.turn(now);
                window.sum.saturating_add(window.reserve) >= window.price
            }
            Self::Tokens { left, most, .. } => left.saturating_mul(2) > *most,
        }
    }

    /// Pays for a call more, if there is enough.
    pub(super) fn spend(&mut self, now: u64) -> bool {
        let affords = self.affords(now);
        if let Self::Share(window) = self
            && affords
        {
            window.add(window.price.saturating_neg(), now);
        }
        affords
    }
}

impl Window {
    fn place(part: u64) -> usize {
        (part % PARTS) as usize
    }

    /// Forgets what is older than the window.
    #[inline]
    fn turn(&mut self, now: u64) {
        // Cheaper than a division, for the call after call that fall into one part.
        if now.wrapping_sub(self.part.wrapping_mul(self.width)) < self.width {
            return;
        }
        let part = now.checked_div(self.width).unwrap_or_default();
        let passed = part.saturating_sub(self.part).min(PARTS);
        for age in 0..passed {
            if let Some(old) = self.parts.get_mut(Self::place(part.saturating_sub(age))) {
                self.sum = self.sum.saturating_sub(core::mem::take(old));
            }
        }
        self.part = part;
    }

    #[inline]
    fn add(&mut self, amount: i64, now: u64) {
        self.turn(now);
        if let Some(part) = self.parts.get_mut(Self::place(self.part)) {
            *part = part.saturating_add(amount);
            self.sum = self.sum.saturating_add(amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const SECOND: u64 = 1_000_000;

    fn spendable(purse: &mut Purse, now: u64) -> usize {
        (0..10_000).take_while(|_| purse.spend(now)).count()
    }

    /// Finagle's defaults: 10 s, 10 a second, 20 %: 1 000 earned a call, 5 000 paid, 500 000 in reserve.
    #[test]
    fn finagle_s_budget_has_its_numbers() {
        let mut purse = Purse::new(Budget::default());
        let Purse::Share(window) = &purse else { panic!() };
        assert_eq!((window.deposit, window.price, window.reserve), (1_000, 5_000, 500_000));
        assert_eq!(spendable(&mut purse, 0), 100);
        // What was spent is forgotten after the window, and what was earned too.
        assert_eq!(spendable(&mut purse, 9 * SECOND), 0);
        assert_eq!(spendable(&mut purse, 10 * SECOND), 100);
        for _ in 0..500 {
            purse.earn(false, true, 20 * SECOND);
        }
        assert_eq!(spendable(&mut purse.clone(), 20 * SECOND), 200);
        assert_eq!(spendable(&mut purse.clone(), 29 * SECOND), 200);
        assert_eq!(spendable(&mut purse, 30 * SECOND), 100);
    }

    #[test]
    fn without_a_share_only_the_reserve_is_left() {
        let mut purse = Purse::new(Budget::Share { window: Duration::from_secs(10), reserve: 1.0, share: 0.0 });
        purse.earn(false, true, 0);
        assert_eq!(spendable(&mut purse, 0), 10);
        assert_eq!(spendable(&mut Purse::new(Budget::NONE), 0), 0);
    }

    /// gRPC A6: 10 tokens, a tenth for a success: the fifth failure stops retries, ten successes make up for one.
    #[test]
    fn grpc_s_tokens_have_their_numbers() {
        let mut purse = Purse::new(Budget::Tokens { most: 10.0, ratio: 0.1 });
        for failures in 1..=5 {
            assert!(purse.spend(0));
            purse.earn(true, true, 0);
            assert_eq!(purse.affords(0), failures < 5, "{failures}");
        }
        for _ in 0..9 {
            purse.earn(false, true, 0);
        }
        purse.earn(true, true, 0);
        for successes in 1..=11 {
            purse.earn(false, true, 0);
            assert_eq!(purse.affords(0), successes > 1, "{successes}");
        }
    }

    #[test]
    fn delays_double_to_the_most_and_are_drawn_around() {
        let mut rng = Rng::new(1);
        let plain = Retry { jitter: 0.0, attempts: 7, ..Retry::default() };
        let delays: Vec<_> = (0..8).map(|retry| plain.delay(retry, &mut rng).map(|delay| delay.as_millis())).collect();
        assert_eq!(delays, [None, Some(100), Some(200), Some(400), Some(800), Some(1_000), Some(1_000), None]);
        let drawn: Vec<_> = (0..1_000).map(|_| Retry::default().delay(1, &mut rng).unwrap().as_micros()).collect();
        let (low, high) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
        assert!((80_000..82_000).contains(low) && (118_000..=120_000).contains(high), "{low} {high}");
    }

    #[test]
    fn settings_round_trip_and_keep_their_ranges() {
        for budget in [Budget::default(), Budget::Tokens { most: 100.0, ratio: 0.5 }] {
            let retry = Retry { budget, attempts: 3, ..Retry::default() };
            assert_eq!(Retry::from_value(&retry.to_value()), Ok(retry));
        }
        for (attempts, good) in [(0u64, false), (1, true), (99, true), (100, true), (101, false)] {
            assert_eq!(Retry::from_value(&Value::map([("attempts", attempts.into())])).is_ok(), good, "{attempts}");
        }
        for (bad, field) in [
            (Value::map([("budget", Value::from("shares"))]), "budget.kind"),
            (Value::map([("budget", Value::map([("kind", Value::from("tokens")), ("ratio", 0.0.into())]))]), "budget.ratio"),
            (Value::map([("budget", Value::map([("kind", Value::from("tokens")), ("share", 0.1.into())]))]), "budget.share"),
            (Value::map([("jitter", Value::from(1.1))]), "jitter"),
            (Value::map([("first", Value::from(3_601.0))]), "first"),
        ] {
            assert_eq!(Retry::from_value(&bad).unwrap_err().field(), field);
        }
    }
}
