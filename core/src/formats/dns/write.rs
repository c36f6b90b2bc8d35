//! Writing response messages.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use domain::base::iana::{Class, Rtype};
use domain::base::message_builder::{AdditionalBuilder, AnswerBuilder, PushError};
use domain::base::{MessageBuilder, NameBuilder, StaticCompressor, Ttl};
use domain::rdata::{A, Aaaa, Srv, Txt};
use xxhash_rust::xxh3::xxh3_64;

use super::instances::{ID, PRIORITY};
use super::message::MESSAGE_BYTES;
use crate::model::{Endpoint, Health, Host, Registration, Version};

/// How long an answer is good for, in seconds.
const TTL: u32 = 5;

pub(crate) type Name = domain::base::Name<Vec<u8>>;
type Buffer = StaticCompressor<Vec<u8>>;

/// What is told of an instance: its SRV record, and what comes with it.
pub(crate) struct Place {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) port: u16,
    pub(crate) target: Name,
    pub(crate) addresses: Vec<IpAddr>,
    /// The strings of a TXT record, each with its length before it.
    pub(crate) texts: Vec<u8>,
}

/// Writes an answer to a question for SRV records: `_http._tcp.web`, with the addresses and a TXT record of each target.
///
/// It is about the service of the first instance, and names those of it that may be called: not those of weight 0, that are unhealthy or start. A target
/// is the endpoint's host, or the instance's id below the service. What does not fit into 65 535 bytes is cut, and the message says so.
pub(in crate::formats) fn encode(instances: &[Registration]) -> Vec<u8> {
    let Ok(mut builder) = MessageBuilder::from_target(Buffer::new(Vec::new()));
    builder.set_push_limit(MESSAGE_BYTES);
    let header = builder.header_mut();
    header.set_qr(true);
    header.set_aa(true);
    let first = instances.first();
    let (asked, base) = first.map_or_else(|| (Name::root_vec(), Name::root_vec()), question);
    let places = places(instances, first, &base);
    let mut question = builder.question();
    let asked_for = question.push((&asked, Rtype::SRV, Class::IN));
    let mut answer = question.answer();
    let told = asked_for.and_then(|()| places.iter().try_for_each(|place| tell(&mut answer, &asked, place)));
    let mut additional = answer.additional();
    let told = told.and_then(|()| places.iter().try_for_each(|place| describe(&mut additional, place)));
    additional.header_mut().set_tc(told.is_err());
    additional.finish().into_target()
}

fn tell(answer: &mut AnswerBuilder<Buffer>, asked: &Name, place: &Place) -> Result<(), PushError> {
    let data = Srv::new(place.priority, place.weight, place.port, &place.target);
    answer.push((asked, Ttl::from_secs(TTL), data))
}

fn describe(additional: &mut AdditionalBuilder<Buffer>, place: &Place) -> Result<(), PushError> {
    for address in &place.addresses {
        match address {
            IpAddr::V4(v4) => additional.push((&place.target, Ttl::from_secs(TTL), A::new(*v4)))?,
            IpAddr::V6(v6) => additional.push((&place.target, Ttl::from_secs(TTL), Aaaa::new(*v6)))?,
        }
    }
    match Txt::from_octets(place.texts.as_slice()) {
        Ok(texts) if !place.texts.is_empty() => additional.push((&place.target, Ttl::from_secs(TTL), texts)),
        _ => Ok(()),
    }
}

/// The name of the question about the service of an instance, and that of the service itself.
fn question(first: &Registration) -> (Name, Name) {
    let base = name([first.service.as_bytes()]).unwrap_or_else(Name::root_vec);
    let protocol = first.endpoints.first().and_then(|endpoint| {
        let word = match (endpoint.name.as_str(), endpoint.scheme.as_str()) {
            ("", scheme) => scheme,
            (name, scheme) if scheme == "http" || name.split('-').next() == Some(scheme) => name,
            (_, scheme) => scheme,
        };
        let transport: &[u8] = if endpoint.scheme == "udp" { b"_udp" } else { b"_tcp" };
        name([alloc::format!("_{word}").as_bytes(), transport, first.service.as_bytes()])
    });
    (protocol.unwrap_or_else(|| base.clone()), base)
}

/// A name of these labels, when it is one.
pub(crate) fn name<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Option<Name> {
    let mut builder = NameBuilder::new_vec();
    for label in labels {
        builder.append_label(label).ok()?;
    }
    builder.into_name().ok()
}

/// The places of the instances that may be called, of the service of the first: where their endpoint of the first one's kind is.
pub(crate) fn places(instances: &[Registration], first: Option<&Registration>, base: &Name) -> Vec<Place> {
    let serves = |own: &&Registration| {
        let well = !matches!(own.health, Health::Unhealthy | Health::Starting) && own.weight.thousandths() > 0;
        well && first.is_some_and(|first| own.service == first.service && own.namespace == first.namespace)
    };
    let kind = |endpoint: &Endpoint| (endpoint.name.clone(), endpoint.scheme.clone());
    let asked = first.and_then(|first| first.endpoints.first()).map(kind);
    let chosen = |own: &'_ Registration| own.endpoints.iter().position(|endpoint| Some(kind(endpoint)) == asked).unwrap_or(0);
    let all: Vec<(&Registration, &Endpoint)> =
        instances.iter().filter(serves).filter_map(|own| Some((own, own.endpoints.get(chosen(own))?))).collect();
    let mut shared: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, endpoint) in &all {
        if let Host::Name(host) = &endpoint.host {
            let count = shared.entry(host).or_default();
            *count = count.saturating_add(1);
        }
    }
    let scale = Scale::new(&all);
    let place = |(own, endpoint): &(&Registration, &Endpoint)| {
        let port = endpoint.port.unwrap_or(0);
        let (target, spelled, alone) = match &endpoint.host {
            Host::Name(host) => (name(host.split('.').map(str::as_bytes))?, host.clone(), shared.get(host.as_str()) == Some(&1)),
            _ => (below(&own.id, base)?, String::new(), true),
        };
        let is = |other: &&Endpoint| kind(other) == kind(endpoint) && other.port == endpoint.port;
        let addresses = own.endpoints.iter().filter(is).filter_map(|endpoint| match endpoint.host {
            Host::V4(v4) => Some(IpAddr::V4(v4)),
            Host::V6(v6) => Some(IpAddr::V6(v6)),
            Host::Name(_) => None,
        });
        let addresses = if spelled.is_empty() { addresses.collect() } else { Vec::new() };
        let plain = if port > 0 { alloc::format!("{spelled}:{port}") } else { spelled };
        let texts = if alone { texts(own, plain != own.id) } else { Vec::new() };
        let priority = own.metadata.get(PRIORITY).and_then(|level| level.parse().ok()).unwrap_or(0);
        Some(Place { priority, weight: scale.weight(own), port, target, addresses, texts })
    };
    all.iter().filter_map(place).collect()
}

/// The name of an instance below its service: its id where that is a host's name, else a hash of it.
fn below(id: &str, base: &Name) -> Option<Name> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    let labels = |text: &str| {
        let own = text.split('.').map(str::as_bytes);
        name(own.chain(base.iter().filter(|label| !label.is_root()).map(|label| label.as_slice())))
    };
    let spelled = id.bytes().all(fits).then(|| labels(id)).flatten();
    spelled.or_else(|| labels(&alloc::format!("x{:016x}", xxh3_64(id.as_bytes()))))
}

/// What no other record says, as the strings of a TXT record; a pair that is longer than a string can be is left out.
fn texts(own: &Registration, named: bool) -> Vec<u8> {
    let version = own.version.as_ref().map(Version::text).unwrap_or_default();
    let id = if named { own.id.as_str() } else { "" };
    let ours = [(ID, id), ("version", &version)].into_iter().chain(own.locality.parts()).filter(|(_, value)| !value.is_empty());
    let metadata = own.metadata.iter().filter(|(key, _)| *key != PRIORITY);
    let mut texts = Vec::new();
    for (key, value) in ours.chain(metadata) {
        if let Ok(length) = u8::try_from(key.len().saturating_add(value.len()).saturating_add(1)) {
            texts.push(length);
            texts.extend([key, "=", value].concat().bytes());
        }
    }
    texts
}

/// Weights as whole numbers: as they are, else all of them times the same.
struct Scale {
    whole: bool,
    most: u64,
}

impl Scale {
    fn new(all: &[(&Registration, &Endpoint)]) -> Self {
        let thousandths = || all.iter().map(|(own, _)| own.weight.thousandths());
        Self {
            whole: thousandths().all(|weight| weight.is_multiple_of(1_000) || weight == 1),
            most: thousandths().max().unwrap_or(1).into(),
        }
    }

    /// The least weight is DNS' 0, a very small chance.
    fn weight(&self, own: &Registration) -> u16 {
        let thousandths = u64::from(own.weight.thousandths());
        let most = u64::from(u16::MAX);
        let scaled = match (self.whole, self.most <= most) {
            (true, _) => thousandths / 1_000,
            (_, true) => thousandths,
            _ => thousandths.saturating_mul(most).checked_div(self.most).unwrap_or(0).max(1),
        };
        u16::try_from(scaled).unwrap_or(u16::MAX)
    }
}
