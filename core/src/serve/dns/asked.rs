//! What a name asks for.

use alloc::string::String;
use alloc::vec::Vec;

use domain::base::ParsedName;

use crate::formats::dns::write::{Name, Place, name, places};
use crate::model::{Endpoint, Registration};
use crate::query::{HealthFilter, Query};
use crate::serve::desk::Desk;
use crate::serve::server::Server;

/// What is behind a name below the domain.
pub(super) enum Asked {
    /// The domain itself.
    Domain,
    /// There are names below it, and nothing at it.
    Between,
    /// There is no such name.
    Nobody,
    /// Instances; none that may be called, when it is empty.
    Places(Vec<Place>),
}

/// A service as a name spells it, and which of its instances are meant.
#[derive(Default)]
struct Spelled<'a> {
    service: &'a str,
    /// A tag, or a label of an instance.
    tag: Option<&'a str>,
    /// The name or scheme of an endpoint.
    protocol: Option<&'a str>,
    /// The labels of an instance before its service.
    target: &'a [String],
    /// The labels of the service, below the domain.
    base: &'a [String],
}

impl Asked {
    /// None for a name that is not below the domain.
    pub(super) fn new(server: &Server, registry: &Desk<'_>, qname: &ParsedName<&[u8]>) -> Option<Self> {
        let labels: Vec<String> = qname
            .iter()
            .filter(|label| !label.is_root())
            .map(|label| String::from_utf8_lossy(label.as_slice()).to_ascii_lowercase())
            .collect();
        let own = server.domain.split('.').count();
        let (below, domain) = labels.split_at_checked(labels.len().checked_sub(own)?)?;
        if !domain.iter().map(String::as_str).eq(server.domain.split('.')) {
            return None;
        }
        let Some(last) = below.last() else { return Some(Self::Domain) };
        if below.len() == 1 && last == "service" {
            return Some(Self::Between);
        }
        let Some(spelled) = spelled(below) else { return Some(Self::Nobody) };
        Some(find(server, registry, &spelled))
    }
}

fn spelled(below: &[String]) -> Option<Spelled<'_>> {
    let texts: Vec<&str> = below.iter().map(String::as_str).collect();
    let word = |label: &'_ str| label.starts_with('_');
    match texts.as_slice() {
        [.., tag, "service"] if word(tag) => {
            let [service, tag, _] = texts.as_slice() else { return None };
            let tag = tag.strip_prefix('_').filter(|tag| !matches!(*tag, "tcp" | "udp"));
            Some(Spelled { service: service.strip_prefix('_')?, tag, base: below, ..Spelled::default() })
        }
        [protocol, "_tcp" | "_udp", service] => {
            Some(Spelled { service, protocol: Some(protocol.strip_prefix('_')?), base: below.get(2..)?, ..Spelled::default() })
        }
        [.., service, "service"] => {
            let (target, base) = below.split_at_checked(below.len().checked_sub(2)?)?;
            let tag = match target {
                [tag] => Some(tag.as_str()),
                _ => None,
            };
            Some(Spelled { service, tag, target, base, ..Spelled::default() })
        }
        [.., service] => {
            let (target, base) = below.split_at_checked(below.len().checked_sub(1)?)?;
            Some(Spelled { service, target, base, ..Spelled::default() })
        }
        [] => None,
    }
}

fn find(server: &Server, registry: &Desk<'_>, spelled: &Spelled<'_>) -> Asked {
    // A name as it is spelled is found at once; others are looked for.
    let own = Some(spelled.service).filter(|service| registry.has_service(&server.namespace, service));
    let other = || registry.service_names(&server.namespace).find(|own| own.eq_ignore_ascii_case(spelled.service));
    let Some(service) = own.or_else(other) else { return Asked::Nobody };
    let query = |health| registry.query(&Query::service(service).namespace(server.namespace.as_str()).health(health)).handles;
    let mut handles = query(HealthFilter::Available);
    if handles.is_empty() {
        handles = query(HealthFilter::Serving);
    }
    let mut all: Vec<Registration> = handles.into_iter().filter_map(|handle| registry.registration(handle)).collect();
    if let Some(protocol) = spelled.protocol {
        let is =
            |endpoint: &Endpoint| endpoint.name.eq_ignore_ascii_case(protocol) || (endpoint.name.is_empty() && endpoint.scheme == protocol);
        for own in &mut all {
            own.endpoints.retain(is);
        }
        all.retain(|own| !own.endpoints.is_empty());
        if all.is_empty() {
            return Asked::Nobody;
        }
    }
    let base =
        name(spelled.base.iter().map(String::as_bytes).chain(server.domain.split('.').map(str::as_bytes))).unwrap_or_else(Name::root_vec);
    if !spelled.target.is_empty() {
        let own = name(
            spelled.target.iter().map(String::as_bytes).chain(base.iter().filter(|label| !label.is_root()).map(|label| label.as_slice())),
        );
        let one = places(&all, all.first(), &base).into_iter().find(|place| own.as_ref() == Some(&place.target));
        if let Some(one) = one {
            return Asked::Places(alloc::vec![one]);
        }
        if spelled.tag.is_none() {
            return Asked::Nobody;
        }
    }
    if let Some(tag) = spelled.tag {
        all.retain(|own| own.tags.iter().any(|own| own.eq_ignore_ascii_case(tag)));
        if all.is_empty() {
            return Asked::Nobody;
        }
    }
    Asked::Places(places(&all, all.first(), &base))
}
