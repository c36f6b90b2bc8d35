//! Where a call can go.

use alloc::string::{String, ToString as _};
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::names::graphic;
use crate::error::{Code, Error};
use crate::limits;
use crate::value::{Fields, Pairs, Value};

/// A host: an IP address or a DNS name. Parsed strictly, so that one host has one spelling and no octal, short
/// or hexadecimal IPv4 form slips through as a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, without a zone.
    V6(Ipv6Addr),
    /// A DNS name in lower case: letters, digits, `-` and `_`.
    Name(String),
}

/// Which kind of place an address is, as far as spoofing is concerned (CVE-2021-25737 and its relatives).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// Anything another machine can have, private ranges included.
    Ordinary,
    /// The machine itself.
    Loopback,
    /// Only the local link, cloud metadata services among it.
    LinkLocal,
    /// Many machines.
    Multicast,
    /// No machine.
    Unspecified,
}

impl Host {
    /// The host alone, as everything but a URL has it: an IPv6 address without brackets.
    pub(crate) fn bare(&self) -> String {
        match self {
            Self::V6(v6) => v6.to_string(),
            host => host.to_string(),
        }
    }

    /// Reads an IPv4 address, an IPv6 address with or without brackets, or a DNS name (folded to lower case, a final dot dropped).
    ///
    /// # Errors
    /// [`Code::InvalidAddress`], [`Code::LimitExceeded`], [`Code::MissingField`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::new(Code::MissingField, "host"));
        }
        if text.len() > limits::HOST_BYTES {
            return Err(Error::too_large("host", limits::HOST_BYTES as u64));
        }
        if let Ok(v4) = text.parse() {
            return Ok(Self::V4(v4));
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(v6) = bare.parse() {
            return Ok(Self::V6(v6));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if is_dns_name(&name) {
            Ok(Self::Name(name))
        } else {
            Err(Error::new(Code::InvalidAddress, "host").message("not an IP address or a DNS name"))
        }
    }

    /// The kind of place it is. An IPv4 address inside an IPv6 one (mapped, compatible, NAT64) counts as the IPv4 one.
    pub fn class(&self) -> AddressClass {
        match self {
            Self::V4(v4) => class_v4(*v4),
            Self::V6(v6) => class_v6(*v6),
            Self::Name(name) if name == "localhost" || name.ends_with(".localhost") => AddressClass::Loopback,
            Self::Name(_) => AddressClass::Ordinary,
        }
    }
}

/// As a URL spells it: IPv6 in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(v4) => v4.fmt(f),
            Self::V6(v6) => write!(f, "[{v6}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A named address of an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// What the port is for, such as `metrics`; often empty.
    pub name: String,
    /// The protocol, such as `http`, `grpc` or `tcp`; `http` when none is named.
    pub scheme: String,
    /// The host.
    pub host: Host,
    /// The port, 1 to 65 535; `None` leaves it to the scheme.
    pub port: Option<u16>,
    /// Whether to speak TLS. True for the schemes `https`, `wss`, `grpcs` and `tls`.
    pub secure: bool,
}

impl Endpoint {
    /// An unnamed endpoint of a scheme, host and port.
    ///
    /// # Errors
    /// [`Code::InvalidAddress`], [`Code::LimitExceeded`], [`Code::MissingField`].
    pub fn new(scheme: &str, host: &str, port: Option<u16>) -> Result<Self, Error> {
        Self::build("", scheme, Host::parse(host)?, port, false)
    }

    /// Reads `scheme://host:port`, `host:port` or `host`; IPv6 hosts stand in brackets. User names, paths, queries
    /// and fragments are refused: an endpoint is a place, not a resource.
    ///
    /// # Errors
    /// [`Code::InvalidAddress`], [`Code::LimitExceeded`], [`Code::MissingField`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') && (!host.contains(':') || host.ends_with(']')) => (host, Some(parse_port(port)?)),
            _ => (rest, None),
        };
        if host.contains(':') && !host.starts_with('[') {
            return Err(Error::new(Code::InvalidAddress, "host").message("an IPv6 host in a URL stands in brackets"));
        }
        Self::build("", scheme, Host::parse(host)?, port, false)
    }

    pub(crate) fn build(name: &str, scheme: &str, host: Host, port: Option<u16>, secure: bool) -> Result<Self, Error> {
        let lower = if scheme.is_empty() { String::from("http") } else { scheme.to_ascii_lowercase() };
        let tail = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.');
        if lower.len() > limits::LABEL_BYTES {
            return Err(Error::too_large("scheme", limits::LABEL_BYTES as u64));
        }
        if !lower.starts_with(|c: char| c.is_ascii_lowercase()) || !lower.bytes().all(tail) {
            return Err(Error::new(Code::InvalidAddress, "scheme").message("a letter, then letters, digits, '+', '-' and '.'"));
        }
        if !name.is_empty() {
            graphic("name", name, limits::LABEL_BYTES)?;
        }
        if port == Some(0) {
            return Err(Error::new(Code::InvalidAddress, "port").message("a port is 1 to 65535"));
        }
        let secure_scheme = match (secure, lower.as_str()) {
            (true, "http") => "https",
            (true, "ws") => "wss",
            (true, "grpc") => "grpcs",
            (_, other) => other,
        };
        let secure = secure || matches!(secure_scheme, "https" | "wss" | "grpcs" | "tls");
        Ok(Self { name: name.into(), scheme: secure_scheme.into(), host, port, secure })
    }

    /// Reads a URL, or `{name?, scheme?, host, port?, secure?}`.
    ///
    /// # Errors
    /// As [`Endpoint::parse`], with [`Code::UnknownField`] and [`Code::InvalidArgument`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        if let Some(url) = value.as_str() {
            return Self::parse(url);
        }
        let fields = Fields::new(value, "", &["name", "scheme", "host", "port", "secure"])?;
        let port = match fields.u64("port")? {
            Some(port) => Some(
                u16::try_from(port).map_err(|_| Error::new(Code::InvalidAddress, "port").limit(65_535).message("a port is 1 to 65535"))?,
            ),
            None => None,
        };
        let text = |name| fields.text(name).map(Option::unwrap_or_default);
        Self::build(
            text("name")?,
            text("scheme")?,
            Host::parse(fields.required_text("host")?)?,
            port,
            fields.bool("secure")?.unwrap_or(false),
        )
    }

    /// Writes `{name?, scheme, host, port?, secure}`.
    pub fn to_value(&self) -> Value {
        Value::of(|out| self.write(out))
    }

    pub(super) fn write(&self, out: &mut impl Pairs) {
        if !self.name.is_empty() {
            out.text("name", &self.name);
        }
        out.text("scheme", &self.scheme);
        out.put("host", self.host.bare());
        if let Some(port) = self.port {
            out.put("port", u64::from(port));
        }
        out.put("secure", self.secure);
    }
}

/// The URL of the endpoint, without a path.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn parse_port(text: &str) -> Result<u16, Error> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = if digits { text.parse().ok() } else { None };
    port.filter(|port| *port != 0).ok_or_else(|| Error::new(Code::InvalidAddress, "port").limit(65_535).message("a port is 1 to 65535"))
}

/// Labels of 1 to 63 letters, digits, `-` and `_`, no `-` at an edge. A last label that is a number would be read
/// as an IPv4 address by URL parsers, so it is none of ours.
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
    };
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit()) || label.starts_with("0x");
    name.split('.').all(label) && !name.rsplit('.').next().is_some_and(numeric)
}

fn class_v4(v4: Ipv4Addr) -> AddressClass {
    match v4.octets() {
        [0, ..] => AddressClass::Unspecified,
        [127, ..] => AddressClass::Loopback,
        [169, 254, ..] => AddressClass::LinkLocal,
        [224..=239, ..] | [255, 255, 255, 255] => AddressClass::Multicast,
        _ => AddressClass::Ordinary,
    }
}

fn class_v6(v6: Ipv6Addr) -> AddressClass {
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressClass::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            class_v4(Ipv4Addr::new(a, b, c, d))
        }
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        [0xff00..=0xffff, ..] => AddressClass::Multicast,
        _ => AddressClass::Ordinary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn urls_round_trip() {
        for (text, printed) in [
            ("http://10.0.0.5:8080", "http://10.0.0.5:8080"),
            ("10.0.0.5:8080", "http://10.0.0.5:8080"),
            ("GRPCS://Api.Example.:443/", "grpcs://api.example:443"),
            ("https://[2001:DB8:0::1]:443", "https://[2001:db8::1]:443"),
            ("[::1]", "http://[::1]"),
            ("tcp://node_1", "tcp://node_1"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(format!("{endpoint}"), printed);
            assert_eq!(Endpoint::from_value(&endpoint.to_value()).unwrap(), endpoint);
        }
        assert!(Endpoint::parse("https://a").unwrap().secure);
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, field) in [
            ("", "host"),
            ("http://", "host"),
            ("http://a/b", "host"),
            ("http://u:p@a", "port"),
            ("http://a?x", "host"),
            ("a:0", "port"),
            ("a:70000", "port"),
            ("a:+80", "port"),
            ("a:", "port"),
            ("::1", "host"),
            ("fe80::1%eth0", "host"),
            ("[fe80::1%25eth0]:80", "host"),
            ("0177.0.0.1", "host"),
            ("127.1", "host"),
            ("0x7f000001", "host"),
            ("2130706433", "host"),
            ("a..b", "host"),
            ("-a", "host"),
            ("a\r\nb", "host"),
            ("é", "host"),
            ("1http://a", "scheme"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap_err().field(), field, "{text:?}");
        }
        let label = "a".repeat(63);
        let exact = format!("{label}.{label}.{label}.{}", "a".repeat(limits::HOST_BYTES - 192));
        assert!(Host::parse(&exact).is_ok());
        assert!(Host::parse(&exact[1..]).is_ok());
        assert_eq!(Host::parse(&format!("{exact}a")).unwrap_err().code(), Code::LimitExceeded);
        assert!(Host::parse(&"a".repeat(64)).is_err());
    }

    #[test]
    fn address_classes_see_through_spellings() {
        use AddressClass::*;
        for (host, class) in [
            ("10.0.0.1", Ordinary),
            ("fd00:ec2::254", Ordinary),
            ("127.8.8.8", Loopback),
            ("::1", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("::7f00:1", Loopback),
            ("64:ff9b::a9fe:a9fe", LinkLocal),
            ("169.254.169.254", LinkLocal),
            ("febf::1", LinkLocal),
            ("224.0.0.1", Multicast),
            ("255.255.255.255", Multicast),
            ("ff02::1", Multicast),
            ("0.0.0.0", Unspecified),
            ("::", Unspecified),
            ("localhost", Loopback),
            ("a.localhost.", Loopback),
            ("localhost.example", Ordinary),
        ] {
            assert_eq!(Host::parse(host).unwrap().class(), class, "{host}");
        }
    }
}
