//! The servers as the registry knows them.

use std::collections::HashMap;

use callboard::Timestamp;
use callboard::model::{Handle, Health, Registration};
use callboard::registry::{Config, Put, Registry};

use crate::Nanos;
use crate::scenario::Servers;

/// The service all servers provide.
pub const SERVICE: &str = "lab";

/// The registry, and which server stands behind a handle.
pub struct Fleet {
    pub registry: Registry,
    servers: Servers,
    /// How often each server was replaced.
    generations: Vec<u32>,
    by_handle: HashMap<u64, u32>,
}

/// Virtual time as callboard has it.
pub fn timestamp(now: Nanos) -> Timestamp {
    Timestamp::from_micros(now / 1_000).unwrap_or(Timestamp::MAX)
}

impl Fleet {
    /// All servers registered, at time 0.
    pub fn new(servers: &Servers) -> Result<Self, callboard::Error> {
        let mut fleet = Self {
            registry: Registry::new(Config::default())?,
            servers: servers.clone(),
            generations: vec![0; servers.count],
            by_handle: HashMap::new(),
        };
        (0..servers.count).try_for_each(|server| fleet.add(server, 0))?;
        Ok(fleet)
    }

    /// The server behind a handle.
    pub fn server(&self, handle: Handle) -> Option<usize> {
        self.by_handle.get(&handle.to_bits()).map(|server| *server as usize)
    }

    pub fn add(&mut self, server: usize, now: Nanos) -> Result<(), callboard::Error> {
        let mut registration = Registration::new(SERVICE, self.id(server)).weight(self.servers.weight(server))?;
        if !self.servers.zones.is_empty() {
            registration = registration.zone(self.servers.zone(server));
        }
        let registered = self.registry.register(&registration, Put::default(), timestamp(now))?;
        self.by_handle.insert(registered.handle.to_bits(), server as u32);
        Ok(())
    }

    pub fn remove(&mut self, server: usize, now: Nanos) -> Result<(), callboard::Error> {
        let id = self.id(server);
        self.registry.deregister("default", SERVICE, &id, None, timestamp(now)).map(|_| ())
    }

    /// Somebody says how a server is.
    pub fn tell(&mut self, server: usize, health: Health, now: Nanos) -> Result<(), callboard::Error> {
        let id = self.id(server);
        self.registry.set_health("default", SERVICE, &id, health, None, timestamp(now)).map(|_| ())
    }

    /// Another takes its place, under another name.
    pub fn replace(&mut self, server: usize, now: Nanos) -> Result<(), callboard::Error> {
        self.remove(server, now)?;
        self.generations[server] += 1;
        self.add(server, now)
    }

    fn id(&self, server: usize) -> String {
        format!("s{server:04}-{}", self.generations[server])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_server_has_another_handle() {
        let servers = Servers { count: 3, zones: Vec::new(), weights: Vec::new(), scale: Vec::new() };
        let mut fleet = Fleet::new(&servers).unwrap();
        let handle = |fleet: &Fleet, id: &str| fleet.registry.lookup("default", SERVICE, id);
        let old = handle(&fleet, "s0001-0").unwrap();
        fleet.replace(1, 5).unwrap();
        let new = handle(&fleet, "s0001-1").unwrap();
        assert_eq!((fleet.server(old), fleet.server(new), fleet.registry.len()), (Some(1), Some(1), 3));
        assert_ne!(old, new);
    }
}
