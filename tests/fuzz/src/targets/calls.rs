//! Calls on a registry and balancers that follow it, one after the other, as the bytes say.

use std::time::Duration;

use callboard::balance::{Balancer, Options, Outcome, OutcomeKind, Policy, Request};
use callboard::model::{AdminState, Handle, Health, Override, Registration};
use callboard::query::Query;
use callboard::registry::{Config, Extent, Listing, Mode, Put, Registry, View};
use callboard::{Error, Timestamp};

use super::{registry, state};
use crate::bounds;

const CALLS: usize = 200;
pub(super) const HEALTH: &[Health] = &[Health::Healthy, Health::Degraded, Health::Unhealthy];
pub(super) const STATES: &[AdminState] = &[AdminState::Enabled, AdminState::Draining, AdminState::Disabled];
/// Steps of time, with one that runs into the end of time.
const STEPS: &[u64] = &[0, 1, 1_000, 1_000_000, 10_000_000, 600_000_000, 1 << 42, 1 << 52];

/// The bytes, taken from the front; zeros when they are at an end.
pub(super) struct Source<'a>(pub(super) &'a [u8]);

impl Source<'_> {
    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    pub(super) fn id(&mut self) -> String {
        format!("i{}", self.byte() % 8)
    }

    fn service(&mut self) -> &'static str {
        self.of(&["web", "api"])
    }

    fn registration(&mut self) -> Registration {
        let mut own = Registration::new(self.service(), self.id());
        let bits = self.byte();
        if bits & 1 > 0 {
            own = own.lease(Duration::from_secs(u64::from(self.byte()) + 1), Duration::from_secs(2)).expect("a lease");
        }
        if bits & 2 > 0 {
            own = own.endpoint(&format!("http://10.0.0.{}:80", self.byte())).expect("an endpoint");
        }
        if bits & 4 > 0 {
            own = own.metadata([("env", self.of(&["prod", "test"]))]).expect("metadata");
        }
        if bits & 8 > 0 {
            own = own.zone(self.of(&["z1", "z2"]));
        }
        own.health = HEALTH[usize::from(bits >> 4) % HEALTH.len()];
        own.incarnation(u64::from(bits >> 6))
    }

    fn outcome(&mut self) -> Outcome {
        let latency = Some(Duration::from_micros(STEPS[usize::from(self.byte()) % 6]));
        Outcome { latency, ..Outcome::of(self.of(OutcomeKind::ALL)) }
    }
}

/// Whether a call may go there at this time.
fn fair(registry: &Registry, balancer: &Balancer, handle: Handle) {
    let instance = registry.instance(handle).expect("an instance on record");
    assert_eq!(Some(instance.registration.service.as_str()), balancer.query().service.as_deref());
    // One that drains is called when nobody else is left; one that is disabled never.
    assert!(instance.admin.is_none_or(|own| own.state != AdminState::Disabled), "an operator took it out");
}

pub fn run(bytes: &[u8]) {
    let mut source = Source(bytes);
    let (mut registry, mut now) = (registry(), 0u64);
    let presets: Vec<_> = Policy::presets().collect();
    let policy = Policy::named(source.of(&presets)).expect("a preset");
    let mut balancer = Balancer::new(Query::service("web"), policy, Options::default()).expect("a balancer");
    let mut view = View::new(Query::everything()).expect("a view");
    let mut tokens = vec![0u64];
    bounds::within(bounds::HEAP, || {
        for _ in 0..CALLS {
            if source.0.is_empty() {
                break;
            }
            call(&mut source, &mut registry, &mut balancer, &mut view, &mut tokens, &mut now);
        }
    });
    let config = Config { allow_local_addresses: true, epoch: 1, ..Config::default() };
    let same = Registry::restore(&registry.snapshot(), config, registry.now()).expect("its own snapshot");
    assert_eq!((same.len(), state(&same).1), (registry.len(), state(&registry).1));
}

fn call(source: &mut Source<'_>, registry: &mut Registry, balancer: &mut Balancer, view: &mut View, tokens: &mut Vec<u64>, now: &mut u64) {
    let step = source.byte();
    *now = (*now + STEPS[usize::from(step >> 4) % STEPS.len()]).min((1 << 53) - 1);
    let at = Timestamp::from_micros(*now).expect("a time");
    registry.advance(at);
    // The digests cost much: the position is looked at always, they now and then.
    let (position, before) = (registry.position(), (step & 4 > 0).then(|| state(registry)));
    let incarnation = (step & 8 > 0).then(|| u64::from(source.byte() % 4));
    let result: Result<(), Error> = match source.byte() % 12 {
        0 | 1 => {
            let put = Put {
                mode: source.of(&[Mode::Upsert, Mode::Create, Mode::Update]),
                if_revision: incarnation.map(|back| registry.revision().saturating_sub(back)),
            };
            registry.register(&source.registration(), put, at).map(drop)
        }
        2 => registry.renew("default", source.service(), &source.id(), incarnation.unwrap_or_default(), at).map(drop),
        3 => registry.deregister("default", source.service(), &source.id(), incarnation, at).map(drop),
        4 => registry.set_health("default", source.service(), &source.id(), source.of(HEALTH), incarnation, at).map(drop),
        5 => {
            let until = Some(at.saturating_add(Duration::from_secs(u64::from(source.byte()))));
            let own = Override { state: source.of(STATES), until, reason: String::new() };
            registry.set_admin("default", source.service(), &source.id(), incarnation.is_none().then_some(own), at).map(drop)
        }
        6 => {
            let listing = Listing {
                source: source.of(&["consul", "dns"]).into(),
                namespace: "default".into(),
                service: incarnation.is_none().then(|| "web".into()),
                instances: (0..source.byte() % 12).map(|_| source.registration()).collect(),
                same: Vec::new(),
                removed: (0..source.byte() % 2).map(|_| ("web".into(), source.id())).collect(),
                kept: (0..source.byte() % 2).map(|_| ("web".into(), source.id())).collect(),
                unread: Vec::new(),
                extent: source.of(&[Extent::Whole, Extent::Certain, Extent::Part]),
            };
            registry.reconcile(&listing, at).map(drop)
        }
        7 => registry.acknowledge(source.of(&["consul", "dns", "nobody"]), at).map(drop),
        8 => {
            view.poll(registry);
            let known = registry.query(&Query::everything());
            assert!(known.handles.iter().all(|handle| registry.instance(*handle).is_some()));
            Ok(())
        }
        9 => {
            let token = tokens[usize::from(source.byte()) % tokens.len()];
            balancer.finish(token, source.outcome(), at);
            Ok(())
        }
        _ => {
            balancer.follow(registry);
            let key = [source.byte()];
            let picked = balancer.pick(&Request::keyed(&key), at);
            if let Ok(pick) = picked {
                fair(registry, balancer, pick.handle);
                tokens.push(pick.token);
            }
            for handle in balancer.probe_requests(at) {
                balancer.probed(handle, u32::from(key[0]), Duration::from_millis(5), at);
            }
            balancer.may_retry(at);
            balancer.advance(at);
            picked.map(drop)
        }
    };
    if result.is_err() {
        assert_eq!(registry.position(), position);
        before.into_iter().for_each(|before| assert_eq!(state(registry), before));
    }
}
