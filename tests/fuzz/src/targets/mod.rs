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

use crate::variants;

/// What is fuzzed.
#[derive(Clone, Copy)]
pub enum Target {
    /// The reader of a format, and what a feed makes of what it reads. Each format of the core is one.
    Format(Format),
    /// Another reader: its name, and what is done with the bytes.
    Reader(&'static str, fn(&[u8])),
    /// What does much more than read: sequences of calls and of requests.
    Calls(&'static str, fn(&[u8])),
}

const OTHERS: &[Target] = &[
    Target::Calls("calls", calls::run),
    Target::Calls("consul-server", requests::consul),
    Target::Reader("dns-server", names::run),
    Target::Calls("eureka-server", requests::eureka),
    Target::Reader("journal", journals::run),
    Target::Calls("nacos-server", requests::nacos),
    Target::Reader("policy", texts::policy),
    Target::Calls("replica", replica::run),
    Target::Calls("rest", requests::rest),
    Target::Reader("restore", snapshots::run),
    Target::Reader("selector", texts::selector),
    Target::Reader("version-range", texts::range),
];

impl Target {
    /// Every target.
    pub fn all() -> Vec<Self> {
        Format::ALL.iter().copied().map(Self::Format).chain(OTHERS.iter().copied()).collect()
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Format(format) => format.name(),
            Self::Reader(name, _) | Self::Calls(name, _) => name,
        }
    }

    /// Whether it reads, and little more.
    pub fn reads(self) -> bool {
        !matches!(self, Self::Calls(..))
    }

    /// Tries an input, and small changes of it where that costs little.
    pub fn run(self, bytes: &[u8]) {
        self.once(bytes, true);
        if self.reads() {
            variants::each(bytes, |variant| self.once(variant, false));
        }
    }

    fn once(self, bytes: &[u8], thorough: bool) {
        match self {
            Self::Format(format) => formats::run(format, bytes, thorough),
            Self::Reader(_, run) | Self::Calls(_, run) => run(bytes),
        }
        variants::count();
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
