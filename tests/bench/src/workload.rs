//! The instances that the registry is measured with: ten texts each, of which some are shared by many.
//!
//! 100 instances a service, ids that are UUIDs, 3 zones, 300 versions, and four metadata pairs of 3, 6, 40 and 20 values,
//! drawn independently of one another: 14 400 distinct sets, the worst case for whoever shares them.

use std::time::Duration;

use callboard::model::Registration;

use crate::Random;

/// Instances of one service.
pub const PER_SERVICE: usize = 100;
/// How long a lease lasts.
pub const TTL: Duration = Duration::from_secs(30);
/// The pairs that the query asks for, with the zone and the versions.
pub const ENV: &str = "staging";
pub const TIER: &str = "tier-3";
pub const ZONE: &str = "eu-west-1b";
pub const VERSIONS: &str = "^2.3";

/// One instance, as somebody would describe it.
#[derive(Clone, Debug)]
pub struct Seed {
    pub service: String,
    pub id: String,
    pub host: String,
    pub port: u16,
    pub region: &'static str,
    pub zone: &'static str,
    pub version: (u64, u64, u64),
    pub env: &'static str,
    pub tier: String,
    pub team: String,
    pub build: String,
}

/// The instances `from..to` of a world of `count`; the same ones every time.
pub fn seeds(from: usize, to: usize, count: usize) -> Vec<Seed> {
    (from..to).map(|at| seed(at, count)).collect()
}

fn seed(at: usize, count: usize) -> Seed {
    let mut random = Random(at as u64 ^ 0xCA11_B0A2_D000_0000);
    let (high, low) = (random.bits(), random.bits());
    let id = format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFF,
        low >> 48 & 0x3FFF | 0x8000,
        low & 0xFFFF_FFFF_FFFF
    );
    Seed {
        service: format!("service-{:05}", at % (count / PER_SERVICE).max(1)),
        id,
        host: format!("10.{}.{}.{}", at >> 16 & 0xFF, at >> 8 & 0xFF, at & 0xFF),
        port: 8080,
        region: "eu-west-1",
        zone: ["eu-west-1a", ZONE, "eu-west-1c"][random.below(3)],
        version: (1 + random.below(3) as u64, random.below(10) as u64, random.below(10) as u64),
        env: ["production", ENV, "canary"][random.below(3)],
        tier: format!("tier-{}", random.below(6)),
        team: format!("team-{:02}", random.below(40)),
        build: format!("build-{}", 1000 + random.below(20)),
    }
}

impl Seed {
    /// Its version as text.
    pub fn version_text(&self) -> String {
        let (major, minor, patch) = self.version;
        format!("{major}.{minor}.{patch}")
    }

    /// As callboard takes it.
    pub fn registration(&self) -> Registration {
        let pairs = [("env", self.env), ("tier", &self.tier), ("team", &self.team), ("build", &self.build)];
        let mut registration = Registration::new(&self.service, &self.id)
            .endpoint(&format!("http://{}:{}", self.host, self.port))
            .and_then(|registration| registration.version(&self.version_text()))
            .and_then(|registration| registration.metadata(pairs))
            .and_then(|registration| registration.lease(TTL, Duration::ZERO))
            .expect("the workload is within the limits")
            .zone(self.zone);
        registration.locality.region = self.region.into();
        registration
    }
}
