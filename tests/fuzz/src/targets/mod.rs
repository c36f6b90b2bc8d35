//! What is fuzzed, and what must hold of it.

mod calls;
mod formats;
mod journals;
mod lies;
mod names;
mod replica;
pub mod requests;
mod snapshots;
mod texts;

use callboard::formats::Format;
use callboard::registry::{Config, Position, Registry};

/// What is fuzzed.
#[derive(Clone, Copy)]
pub enum Target {
    /// The reader of a format, and what a feed makes of what it reads. Each format of the core is one.
    Format(Format),
    /// Anything else: its name, and what is done with the bytes.
    Other(&'static str, fn(&[u8])),
}

const OTHERS: &[Target] = &[
    Target::Other("calls", calls::run),
    Target::Other("consul-server", requests::consul),
    Target::Other("dns-server", names::run),
    Target::Other("eureka-server", requests::eureka),
    Target::Other("journal", journals::run),
    Target::Other("nacos-server", requests::nacos),
    Target::Other("policy", texts::policy),
    Target::Other("replica", replica::run),
    Target::Other("rest", requests::rest),
    Target::Other("restore", snapshots::run),
    Target::Other("selector", texts::selector),
    Target::Other("version-range", texts::range),
];

impl Target {
    /// Every target.
    pub fn all() -> Vec<Self> {
        Format::ALL.iter().copied().map(Self::Format).chain(OTHERS.iter().copied()).collect()
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Format(format) => format.name(),
            Self::Other(name, _) => name,
        }
    }

    pub fn run(self, bytes: &[u8]) {
        match self {
            Self::Format(format) => formats::run(format, bytes),
            Self::Other(_, run) => run(bytes),
        }
    }
}

/// A registry that takes every address.
fn registry() -> Registry {
    Registry::new(Config { allow_local_addresses: true, epoch: 1, ..Config::default() }).expect("a registry")
}

/// Where a registry stands, and the digests of all it has: what an error must not change.
fn state(registry: &Registry) -> (Position, Vec<(String, String, Option<String>)>) {
    let digest = |namespace: String, service: String| {
        let digest = registry.digest(&namespace, &service);
        (namespace, service, digest)
    };
    let services = registry.services(None).into_iter();
    (registry.position(), services.map(|summary| digest(summary.namespace, summary.service)).collect())
}
