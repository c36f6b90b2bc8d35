//! From the records that a name leads to, to instances.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use domain::base::iana::Rtype;

use super::Taken;
use super::message::{Message, Name, Record};
use super::name::{Asked, hex_address, host_text, label_text};
use crate::error::{Code, Error};
use crate::formats::{Context, fit};
use crate::limits;
use crate::model::{Endpoint, Host, Lease, Registration, Weight, check_id};
use crate::registry::Extent;

/// The metadata key of the balancer's level, and the last level.
pub(super) const PRIORITY: &str = "priority";
const LAST_LEVEL: u16 = 15;
/// The pair of a target's TXT record that names the instance.
pub(super) const ID: &str = "callboard-id";
/// Strings of TXT records that are looked at for one instance.
const STRINGS: usize = 256;
/// Pairs of them: as much metadata as an instance has, and what is not metadata.
const PAIRS: usize = limits::METADATA_PAIRS + 8;

/// Makes instances of a message's records.
pub(super) struct Reader<'m, 'a> {
    pub message: &'m Message<'a>,
    pub asked: &'m Asked,
    pub context: &'m Context<'m>,
}

/// The data of an SRV record.
#[derive(Clone, Copy)]
struct Srv<'a> {
    priority: u16,
    weight: u16,
    port: u16,
    target: Name<'a>,
}

fn unread(field: &str) -> Error {
    Error::new(Code::Malformed, field).message("the record cannot be read")
}

impl<'a> Reader<'_, 'a> {
    /// The instances at a name: what points to them, else the SRV records, else the addresses.
    pub fn instances(&self, name: &Name<'a>, taken: &mut Taken<'_>) {
        let found = |kind| self.message.answers(name, kind);
        if found(Rtype::PTR).next().is_some() {
            let first = |record| self.message.target(record).and_then(|name| self.services(&name).into_iter().next());
            let scale = Scale::new(found(Rtype::PTR).filter_map(first));
            taken.expected = found(Rtype::PTR).count();
            for record in found(Rtype::PTR) {
                let name = self.message.target(record);
                let label = name.as_ref().and_then(|name| name.iter().next().map(|label| label_text(label.as_slice())));
                let read = |id: &str| self.discovered(id, &name.ok_or_else(|| unread("PTR"))?, &scale);
                taken.take(record.ttl, label.unwrap_or_default(), read);
            }
        } else if found(Rtype::SRV).next().is_some() {
            let mut all: Vec<(u32, Option<Srv<'a>>)> = Vec::new();
            all.reserve_exact(found(Rtype::SRV).count());
            all.extend(found(Rtype::SRV).map(|record| (record.ttl, self.srv(record))));
            if all.iter().all(|(_, srv)| srv.is_some_and(|srv| srv.target.is_root())) {
                taken.decoded.extent = Extent::Certain;
                return;
            }
            let scale = Scale::new(all.iter().filter_map(|(_, srv)| *srv));
            taken.expected = all.len();
            for (ttl, srv) in all {
                let read = |id: &str| {
                    let srv = srv.ok_or_else(|| unread("SRV"))?;
                    self.registration(id, &[srv], &srv.target, ttl, &scale)
                };
                taken.take(ttl, srv.map(|srv| self.id(&srv)).unwrap_or_default(), read);
            }
        } else {
            taken.expected = found(Rtype::A).count().saturating_add(found(Rtype::AAAA).count());
            for record in found(Rtype::A).chain(found(Rtype::AAAA)) {
                let host = self.address(record);
                let id = host.as_ref().map(address_text).unwrap_or_default();
                taken.take(record.ttl, id, |id| {
                    let mut own = self.nameless(id);
                    own.endpoints.push(self.endpoint(host?, 0)?);
                    self.finish(own, record.ttl)
                });
            }
        }
    }

    /// The instance of service discovery at this name.
    fn discovered(&self, id: &str, name: &Name<'a>, scale: &Scale) -> Result<Registration, Error> {
        let ttl = self.message.records(name, Rtype::SRV).next().map(|record| record.ttl);
        let ttl = ttl.ok_or_else(|| Error::new(Code::MissingField, "SRV").message("the message has no SRV record of the instance"))?;
        self.registration(id, &self.services(name), name, ttl, scale)
    }

    fn registration(&self, id: &str, srvs: &[Srv<'a>], described: &Name<'a>, ttl: u32, scale: &Scale) -> Result<Registration, Error> {
        let first = srvs.first().ok_or_else(|| unread("SRV"))?;
        let mut own = self.nameless(id);
        for srv in srvs {
            for host in self.hosts(&srv.target)? {
                let endpoint = self.endpoint(host, srv.port)?;
                if own.endpoints.len() < limits::ENDPOINTS && !own.endpoints.contains(&endpoint) {
                    own.endpoints.push(endpoint);
                }
            }
        }
        own.weight = scale.weight(first);
        let mut pairs = self.pairs(described);
        let mut part = |name: &str| {
            let at = pairs.iter().position(|(key, value)| key == name && !fit::place(value).is_empty());
            at.map(|at| pairs.swap_remove(at).1.to_string()).unwrap_or_default()
        };
        own.locality.region = part("region");
        own.locality.zone = part("zone");
        own.locality.subzone = part("subzone");
        own.locality.node = part("node");
        own.version = fit::version(pairs.iter().filter(|(key, _)| key == "version").map(|(_, value)| *value));
        let level = scale.level(first);
        let told = |key: &str| key == ID || key == PRIORITY || (key == "version" && own.version.is_some());
        pairs.retain(|(key, _)| !told(key));
        pairs.extend(level.as_deref().map(|level| (PRIORITY.into(), level)));
        own.metadata = fit::metadata(pairs.iter().map(|(key, value)| (key.as_str(), (*value).into())));
        self.finish(own, ttl)
    }

    fn nameless(&self, id: &str) -> Registration {
        Registration::new(self.asked.service.as_str(), id).namespace(self.context.namespace)
    }

    fn finish(&self, mut own: Registration, ttl: u32) -> Result<Registration, Error> {
        if self.message.question.is_none() {
            let most = Duration::from_micros(limits::TTL_MAX_MICROS);
            own.lease = Some(Lease::new(Duration::from_secs(ttl.max(1).into()).min(most), Duration::ZERO)?);
        }
        // There may be thousands, and a list that has grown has room for more.
        own.endpoints.shrink_to_fit();
        own.validate()?;
        Ok(own)
    }

    fn endpoint(&self, host: Host, port: u16) -> Result<Endpoint, Error> {
        Endpoint::build(&self.asked.endpoint, self.asked.scheme, host, (port > 0).then_some(port), false)
    }

    /// What an SRV record's instance is called.
    fn id(&self, srv: &Srv<'a>) -> String {
        let told = self.pairs(&srv.target).into_iter().find(|(key, id)| key == ID && check_id(ID, id).is_ok());
        told.map(|(_, id)| id.to_string()).unwrap_or_else(|| match (host_text(&srv.target), srv.port) {
            (Some(host), 0) => host,
            (Some(host), port) => alloc::format!("{host}:{port}"),
            (None, _) => String::new(),
        })
    }

    fn srv(&self, record: &Record) -> Option<Srv<'a>> {
        let [p0, p1, w0, w1, port0, port1, ..] = *self.message.data(record) else { return None };
        let target = self.message.target_from(record, 6)?;
        let [priority, weight, port] = [[p0, p1], [w0, w1], [port0, port1]].map(u16::from_be_bytes);
        Some(Srv { priority, weight, port, target })
    }

    /// The SRV records of an instance of service discovery, best first.
    fn services(&self, name: &Name<'a>) -> Vec<Srv<'a>> {
        let records = self.message.records(name, Rtype::SRV).take(limits::ENDPOINTS);
        let mut srvs: Vec<Srv<'a>> = records.filter_map(|record| self.srv(record)).collect();
        srvs.sort_by_key(|srv| srv.priority);
        srvs
    }

    /// Where a target is. A target should not be an alias; some are.
    fn hosts(&self, target: &Name<'a>) -> Result<Vec<Host>, Error> {
        let wrong = |text| Error::new(Code::InvalidAddress, "target").message(text);
        if target.is_root() {
            return Err(wrong("the root is no host"));
        }
        let (end, _) = self.message.follow(*target)?;
        let addresses = self.message.records(&end, Rtype::A).chain(self.message.records(&end, Rtype::AAAA));
        let hosts: Vec<Host> = addresses.take(limits::ENDPOINTS).map(|record| self.address(record)).collect::<Result<_, _>>()?;
        if !hosts.is_empty() {
            return Ok(hosts);
        }
        let named = || Host::parse(&host_text(&end).ok_or_else(|| wrong("not a host name"))?);
        Ok(alloc::vec![hex_address(&end).map_or_else(named, Ok)?])
    }

    fn address(&self, record: &Record) -> Result<Host, Error> {
        let data = self.message.data(record);
        let v4 = || <[u8; 4]>::try_from(data).map(|octets| Host::V4(Ipv4Addr::from(octets)));
        let v6 = || <[u8; 16]>::try_from(data).map(|octets| Host::V6(Ipv6Addr::from(octets)));
        if record.kind == Rtype::A { v4() } else { v6() }.map_err(|_| unread("address"))
    }

    /// What TXT records say: the first `=` of a string divides it, one without any is true, and the first of a key counts (RFC 6763).
    fn pairs(&self, name: &Name<'a>) -> Vec<(String, &'a str)> {
        let mut pairs: Vec<(String, &str)> = Vec::new();
        let strings = self.message.records(name, Rtype::TXT).flat_map(|record| strings(self.message.data(record)));
        for text in strings.take(STRINGS).filter_map(|string| core::str::from_utf8(string).ok()) {
            let (key, value) = text.split_once('=').unwrap_or((text, "true"));
            let key = key.to_ascii_lowercase();
            if pairs.len() < PAIRS && !key.is_empty() && pairs.iter().all(|(own, _)| *own != key) {
                pairs.push((key, value));
            }
        }
        pairs
    }
}

/// The strings of a TXT record's data; a string that ends early is none.
fn strings(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let (len, rest) = data.split_first()?;
        let (string, rest) = rest.split_at_checked(usize::from(*len))?;
        data = rest;
        Some(string)
    })
}

/// An address without the brackets of a URL.
fn address_text(host: &Host) -> String {
    match host {
        Host::V6(v6) => v6.to_string(),
        host => host.to_string(),
    }
}

/// What priorities and weights mean beside those of the others.
struct Scale {
    /// The priorities in order, when they are not levels as they are.
    ranks: Vec<u16>,
    /// The priorities in which some have weight.
    weighted: Vec<u16>,
}

impl Scale {
    fn new<'a>(srvs: impl Iterator<Item = Srv<'a>>) -> Self {
        let (mut ranks, mut weighted) = (Vec::new(), Vec::new());
        for srv in srvs {
            let lists = [(true, &mut ranks), (srv.weight > 0, &mut weighted)];
            for list in lists.into_iter().filter_map(|(holds, list)| holds.then_some(list)) {
                if let Err(place) = list.binary_search(&srv.priority) {
                    list.insert(place, srv.priority);
                }
            }
        }
        if ranks.last().is_none_or(|most| *most <= LAST_LEVEL) {
            ranks.clear();
        }
        Self { ranks, weighted }
    }

    /// The level as metadata has it; none for the first.
    fn level(&self, srv: &Srv<'_>) -> Option<String> {
        let level = match self.ranks.binary_search(&srv.priority) {
            Ok(rank) => rank,
            Err(_) => srv.priority.into(),
        };
        (level > 0).then(|| level.to_string())
    }

    fn weight(&self, srv: &Srv<'_>) -> Weight {
        match srv.weight {
            0 if self.weighted.binary_search(&srv.priority).is_ok() => Weight::from_thousandths(1).unwrap_or_default(),
            0 => Weight::ONE,
            weight => Weight::new(weight.into()).unwrap_or_default(),
        }
    }
}
