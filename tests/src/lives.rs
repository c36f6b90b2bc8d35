//! Random lives of balancers, written down as vector cases with what each step gave here, so that other languages can be held to it.
//!
//! Each life has a service of a few instances that come, change, go and drain, and one balancer of any preset with random parts before and after
//! the pick. What is expected is what the core did: these cases show that languages agree, and nothing else.

use callboard::Value;
use callboard::balance::{OutcomeKind, Policy};

use crate::dice::Dice;
use crate::host::Host;
use crate::vector::describe;

/// Parts of policies, as a document has them.
const PARTS: [(&str, &str); 14] = [
    ("outliers", r#""envoy""#),
    ("outliers", r#""adaptive""#),
    ("hold", "{}"),
    ("breaker", r#"{"instance":2,"retries":4}"#),
    ("retry", r#"{"budget":{"kind":"share","reserve":0.1}}"#),
    ("hedge", "{}"),
    ("limit", r#"{"kind":"fixed","max":6}"#),
    ("limit", r#"{"kind":"gradient2"}"#),
    ("levels", "{}"),
    ("levels", r#"{"panic":70}"#),
    ("localities", r#"{"mode":"weights","weights":{"a":1,"b":2}}"#),
    ("localities", r#"{"peers":{"a":4,"b":4,"c":2},"local":"a"}"#),
    ("slow_start", r#"{"window":60}"#),
    ("subset", r#"{"size":3}"#),
];

struct Life {
    dice: Dice,
    host: Host,
    now: u64,
    steps: Vec<Value>,
    /// Tokens of picks that may be open.
    open: Vec<Value>,
}

/// The life of a seed as a case, with so many steps after the first.
pub fn life(seed: u64, steps: u32) -> Value {
    let config = Value::map([("seed", Value::from(seed)), ("epoch", 1u64.into())]);
    let host = Host::new(&config).expect("a config");
    let mut life = Life { dice: Dice(seed), host, now: 0, steps: Vec::new(), open: Vec::new() };
    for _ in 0..3 + life.dice.below(6) {
        life.register();
    }
    life.balancer();
    for _ in 0..steps {
        if life.dice.percent(70) {
            life.now += life.dice.below(200_000);
        } else if life.dice.percent(10) {
            life.now += life.dice.below(40_000_000);
        }
        life.step();
    }
    life.perform("balancer_stats", Value::Map(Vec::new()));
    Value::map([("name", Value::from(format!("life {seed}"))), ("config", config), ("steps", Value::List(life.steps))])
}

impl Life {
    /// Does a step, and writes it down with what it gave.
    fn perform(&mut self, verb: &str, args: Value) -> Option<Value> {
        let result = self.host.perform(verb, &args, None, self.now);
        let (expect, result) = match result {
            // Who it is and what it is called by are enough of a pick.
            Ok(pick) if verb.contains("pick") => {
                let told = pick.as_map().unwrap_or_default().iter().filter(|(name, _)| ["id", "token"].contains(&name.as_str()));
                (Value::map(told.cloned()), Some(pick))
            }
            Ok(result) => (result.clone(), Some(result)),
            Err(error) => (Value::map([("error", describe(&error))]), None),
        };
        let now = Value::from(self.now);
        self.steps.push(Value::map([("at", now), ("do", verb.into()), ("args", args), ("expect", expect)]));
        result
    }

    fn id(&mut self) -> (&'static str, Value) {
        ("id", format!("i{}", self.dice.below(9)).into())
    }

    fn register(&mut self) {
        let (id, weight) = (self.id(), self.dice.of(&[1.0, 1.0, 2.0, 0.0, 0.25, 7.5]));
        let locality = Value::map([("zone", Value::from(self.dice.of(&["a", "b", "c"])))]);
        let metadata = Value::map([("priority", Value::from(self.dice.of(&["0", "0", "1", "2"])))]);
        let health = self.dice.of(&["healthy", "healthy", "healthy", "degraded", "unhealthy", "unknown"]);
        let endpoint = Value::from(format!("http://10.0.0.{}:80", self.dice.below(200)));
        let instance = Value::map([
            ("service", "s".into()),
            id,
            ("weight", weight.into()),
            ("locality", locality),
            ("metadata", metadata),
            ("health", health.into()),
            ("endpoints", Value::List(vec![endpoint])),
        ]);
        self.perform("register", Value::map([("instance", instance)]));
    }

    fn balancer(&mut self) {
        let preset = self.dice.of(Policy::catalogue()).name;
        let mut policy = vec![("preset", Value::from(preset))];
        for _ in 0..self.dice.below(4) {
            let (name, part) = self.dice.of(&PARTS);
            if policy.iter().all(|(known, _)| *known != name) {
                policy.push((name, Value::from_json(part.as_bytes()).expect("a part")));
            }
        }
        let options = Value::map([("seed", Value::from(self.dice.below(1 << 53))), ("reap_after", 5u64.into())]);
        let args =
            Value::map([("query", Value::map([("service", Value::from("s"))])), ("policy", Value::map(policy)), ("options", options)]);
        let made = self.perform("balancer", args);
        assert!(made.is_some(), "no policy: {:?}", self.steps.last().map(Value::to_json).map(String::from_utf8));
    }

    /// A key or none, and at times who was tried before.
    fn request(&mut self) -> Vec<(&'static str, Value)> {
        let mut request = Vec::new();
        if self.dice.percent(50) {
            request.push(("key", Value::from(format!("key {}", self.dice.below(50)))));
        }
        if self.dice.percent(20) {
            let ids = (0..1 + self.dice.below(3)).map(|_| self.id().1).collect();
            request.push(("exclude", Value::List(ids)));
        }
        request
    }

    fn outcome(&mut self) -> Value {
        let kind = if self.dice.percent(70) { OutcomeKind::Success } else { self.dice.of(OutcomeKind::ALL) };
        let mut outcome = vec![("kind", Value::from(kind.as_str()))];
        if self.dice.percent(80) {
            outcome.push(("latency", (self.dice.below(300_000) as f64 / 1e6).into()));
        }
        if self.dice.percent(5) {
            outcome.push(("retry_after", (1 + self.dice.below(5)).into()));
        }
        if self.dice.percent(10) {
            let (cpu, rif) = (self.dice.below(1_000) as f64 / 1e3, self.dice.below(20));
            outcome.push(("load", Value::map([("cpu", cpu.into()), ("rif", rif.into()), ("qps", 5u64.into())])));
        }
        Value::map(outcome)
    }

    fn step(&mut self) {
        let picked = match self.dice.below(100) {
            0..10 => return self.register(),
            10..14 => {
                let key = [("service", "s".into()), self.id()];
                self.perform("deregister", Value::map(key));
                return;
            }
            14..18 => {
                let state = self.dice.of(&["draining", "disabled", "enabled"]);
                let admin = Value::map([("state", Value::from(state))]);
                let args = [("service", "s".into()), self.id(), ("admin", admin)];
                self.perform("set_admin", Value::map(args));
                return;
            }
            18..24 => {
                let verb = self.dice.of(&["may_retry", "may_hedge", "hedge_delay", "admit", "reap", "balancer_deadline"]);
                self.perform(verb, Value::Map(Vec::new()));
                return;
            }
            24..54 => {
                let request = self.request();
                self.perform("pick", Value::map(request))
            }
            step => {
                let Some(last) = self.open.len().checked_sub(1) else { return };
                let token = self.open.swap_remove(self.dice.below(last as u64 + 1) as usize);
                let mut args = vec![("token", token), ("outcome", self.outcome())];
                if step < 80 {
                    self.perform("finish", Value::map(args));
                    return;
                }
                args.extend(self.request());
                self.perform("finish_and_pick", Value::map(args))
            }
        };
        self.open.extend(picked.and_then(|pick| pick.get("token").cloned()));
    }
}
