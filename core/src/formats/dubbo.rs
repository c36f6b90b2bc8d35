//! Dubbo's providers by interface: the URLs that ZooKeeper has as names of nodes, escaped or not, as a list in JSON or one a line.
//!
//! | ours | Dubbo's |
//! |---|---|
//! | service | the one that was asked for, else `interface`, else the path |
//! | id | protocol, host and port, with `/group` and `:version` where there are such |
//! | endpoint | protocol, host and port; a port that is not there is not guessed |
//! | weight | a hundredth of `weight`, whose usual value is 100 |
//! | admin | disabled when `enabled` is false or `disabled` is true |
//! | version | `version`, where it is a semantic one |
//! | region, zone | `region`, `zone` |
//! | metadata | the other parameters |
//!
//! A parameter `default.x` stands for an `x` that is not there. URLs of other categories (consumers, routers, configurators) say nothing here. `empty://`
//! of the providers, and nothing beside it, says that there is nobody, for certain. User names and passwords are dropped.
//!
//! A name of a node is escaped once, as a whole; within a URL nothing is escaped, so `+` and `%` in a value are themselves.
//!
//! [`metadata`] reads what an application tells of its revision: the interfaces that it offers.

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::document::{Document, Node, text};
use super::{Context, Decoded, Entry, fit};
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{AdminState, Endpoint, Host, Locality, Registration, Weight, check_name};
use crate::registry::Extent;

/// Protocols of URLs that are no providers.
const OTHERS: &[&str] = &["consumer", "override", "route", "condition", "script", "absent", "admin", "tag", "app"];
/// Parameters that are more than a description.
const READ: &[&str] = &["interface", "weight", "enabled", "disabled", "region", "zone", "category"];

/// The most parameters of a URL that are looked at.
const PARAMETERS: usize = 256;

/// Reads the names of the providers of an interface.
///
/// # Errors
/// [`Code::Malformed`] for what is no list and no URL a line; and those of the document.
pub(super) fn decode(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let mut decoded = listed(bytes, context)?;
    // Who names somebody does not say that there is nobody.
    if !decoded.instances.is_empty() || decoded.skipped_total > 0 {
        decoded.extent = Extent::Whole;
    }
    Ok(decoded)
}

fn listed(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let mut decoded = Decoded::default();
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        let document = Document::json(bytes)?;
        decoded.expect(document.root().items().filter(|node| node.as_str().is_some_and(|url| url.contains("://"))).count());
        for (index, node) in document.root().items().enumerate() {
            match node.as_str() {
                Some(name) => take(index, name, context, &mut decoded),
                None => decoded.skip(index, String::new(), String::new(), Error::new(Code::InvalidArgument, "url")),
            }
        }
        return Ok(decoded);
    }
    let lines = text(bytes)?.lines().map(str::trim).filter(|line| !line.is_empty());
    for (index, line) in lines.enumerate() {
        if !line.contains("://") && !line.contains("%3A%2F%2F") && !line.contains("%3a%2f%2f") {
            return Err(Error::new(Code::Malformed, "body").message("expected a URL a line, or a list of them"));
        }
        take(index, line, context, &mut decoded);
    }
    Ok(decoded)
}

fn take(index: usize, name: &str, context: &Context<'_>, decoded: &mut Decoded) {
    if name.len() > limits::DOCUMENT_STRING_BYTES {
        return decoded.skip(index, String::new(), String::new(), Error::too_large("url", limits::DOCUMENT_STRING_BYTES as u64));
    }
    let whole = if name.contains("://") { Ok(Cow::Borrowed(name)) } else { unescape(name) };
    let whole = match whole {
        Ok(whole) => whole,
        Err(error) => return decoded.skip(index, String::new(), String::new(), error),
    };
    let Some(url) = Url::read(&whole) else {
        let error = Error::new(Code::InvalidAddress, "url").message("not a URL");
        return decoded.skip(index, String::new(), String::new(), error);
    };
    let category = url.parameter("category");
    if !category.is_empty() && !category.split(',').any(|one| one == "providers") {
        return;
    }
    if url.protocol == "empty" {
        decoded.extent = Extent::Certain;
    } else if !OTHERS.contains(&url.protocol) {
        let service = context.service.map_or_else(|| url.service(), str::to_string);
        let id = url.id();
        decoded.take(index, url.entry(&service, &id, context), || (service.clone(), id.clone()));
    }
}

/// A URL of Dubbo's, taken apart.
struct Url<'a> {
    protocol: &'a str,
    host: &'a str,
    port: &'a str,
    path: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Url<'a> {
    fn read(url: &'a str) -> Option<Self> {
        let (url, _) = url.split_once('#').unwrap_or((url, ""));
        let (protocol, rest) = url.split_once("://")?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
        let (host, port) = match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').unwrap_or("")),
            // Dubbo writes IPv6 without brackets: the last colon stands before the port when what is before it is an address.
            None => authority.rsplit_once(':').filter(|(host, port)| splits(host, port)).unwrap_or((authority, "")),
        };
        let host = unscoped(host);
        let pair = |part: &'a str| part.split_once('=').unwrap_or((part, part));
        let parameters = query.split(['&', ';']).map(pair).filter(|(key, _)| !key.is_empty()).take(PARAMETERS).collect();
        Some(Self { protocol, host, port, path, parameters })
    }

    /// A parameter, or its default; empty when there is none.
    fn parameter(&self, name: &str) -> &str {
        let find = |name: &str| self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        find(name).or_else(|| find(&alloc::format!("default.{name}"))).unwrap_or_default()
    }

    fn service(&self) -> String {
        let named = self.parameter("interface");
        if named.is_empty() { self.path.into() } else { named.into() }
    }

    fn id(&self) -> String {
        let host = Host::parse(self.host).map_or_else(|_| self.host.to_string(), |host| host.to_string());
        let with = |mark: &str, text: &str| if text.is_empty() { String::new() } else { alloc::format!("{mark}{text}") };
        let (port, group, version) = (with(":", self.port), with("/", self.parameter("group")), with(":", self.parameter("version")));
        alloc::format!("{}://{host}{port}{group}{version}", self.protocol)
    }

    fn entry(&self, service: &str, id: &str, context: &Context<'_>) -> Result<Entry, Error> {
        let mut own = Registration::new(service, id).namespace(context.namespace);
        let wrong = || Error::new(Code::InvalidAddress, "port").limit(65_535).message("a port is 0 to 65535");
        let port = if self.port.is_empty() { 0 } else { self.port.parse::<u16>().map_err(|_| wrong())? };
        own.endpoints = alloc::vec![Endpoint::new(self.protocol, self.host, Some(port).filter(|port| *port > 0))?];
        let weight = self.parameter("weight");
        if !weight.is_empty() {
            let wrong = || Error::new(Code::InvalidWeight, "weight").message("a whole number");
            own.weight = Weight::new(f64::from(weight.parse::<u32>().map_err(|_| wrong())?) / 100.0)?;
        }
        let [region, zone] = ["region", "zone"].map(|name| fit::place(self.parameter(name)));
        own.locality = Locality { region, zone, ..Locality::default() };
        own.version = fit::version([self.parameter("version")]);
        let told = self.parameters.iter().filter(|(key, _)| !READ.contains(key)).map(|(key, value)| (*key, Cow::Borrowed(*value)));
        own.metadata = fit::metadata(told);
        own.validate()?;
        let out = self.parameter("enabled") == "false" || self.parameter("disabled") == "true";
        let admin = if out { AdminState::Disabled } else { AdminState::Enabled };
        Ok(Entry { admin, ..Entry::new(0, own) })
    }
}

/// Whether a colon stands between a host and a port, not within an IPv6 address.
fn splits(host: &str, port: &str) -> bool {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    !host.contains(':') || (digits && Host::parse(unscoped(host)).is_ok())
}

/// A scope means something on one host only.
fn unscoped(host: &str) -> &str {
    host.split_once('%').map_or(host, |(host, _)| host)
}

/// Takes percent escapes out.
fn unescape(text: &str) -> Result<Cow<'_, str>, Error> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    let wrong = || Error::new(Code::Malformed, "url").message("a bad percent escape");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match byte {
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => bytes.push((high << 4 | low) as u8),
                _ => return Err(wrong()),
            },
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| wrong())
}

/// Reads what an application tells of a revision: `{app, revision?, services: {..}}`, or the lines `revision={..}` of a cache.
///
/// # Errors
/// [`Code::Malformed`] when it is no such map, and those of the document.
pub(super) fn metadata(bytes: &[u8], _: &Context<'_>) -> Result<Decoded, Error> {
    let mut decoded = Decoded::default();
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        offered(Document::json(bytes)?.root(), &mut decoded)?;
        return Ok(decoded);
    }
    let lines = text(bytes)?.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let (_, json) = line.split_once('=').ok_or_else(|| Error::new(Code::Malformed, "body").message("expected revision={..}"))?;
        offered(Document::json(json.as_bytes())?.root(), &mut decoded)?;
    }
    decoded.services.sort_unstable();
    decoded.services.dedup();
    Ok(decoded)
}

fn offered(root: Node<'_>, decoded: &mut Decoded) -> Result<(), Error> {
    if !root.is_map() || root.get("services").is_some_and(|services| !services.is_map()) {
        return Err(Error::new(Code::Malformed, "services").message("expected a map of interfaces"));
    }
    for (index, (_, service)) in root.get("services").into_iter().flat_map(Node::pairs).enumerate() {
        let name = service.text("name");
        match check_name("service", &name) {
            Ok(()) => decoded.services.push(name.into_owned()),
            Err(error) => decoded.skip(index, name.into_owned(), String::new(), error),
        }
    }
    Ok(())
}
