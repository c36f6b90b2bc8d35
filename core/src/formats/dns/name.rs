//! What names say.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use domain::base::iana::Rtype;

use super::message::Name;
use crate::model::Host;

/// What was asked for.
pub(super) struct Asked {
    /// The service; empty when nothing names it.
    pub service: String,
    /// The endpoints' scheme.
    pub scheme: &'static str,
    /// The endpoints' name.
    pub endpoint: String,
}

impl Asked {
    /// Reads `_http._tcp.web`, `web`, `web.service.consul`, or a type of service discovery; a service that is known beforehand is that.
    pub fn new(name: &Name<'_>, kind: Rtype, known: Option<&str>) -> Self {
        let labels: Vec<&[u8]> = name.iter().filter(|label| !label.is_root()).map(|label| label.as_slice()).collect();
        let is = |at: usize, text: &str| labels.get(at).is_some_and(|label| label.eq_ignore_ascii_case(text.as_bytes()));
        let word = |at: usize| labels.get(at).map(|label| plain(label)).unwrap_or_default();
        let transport = (1..labels.len()).find(|at| is(*at, "_tcp") || is(*at, "_udp"));
        let udp = transport.is_some_and(|at| is(at, "_udp"));
        let consul = (1..labels.len().saturating_sub(1)).find(|at| is(*at, "service"));
        let (service, protocol) = match (consul, transport) {
            // `_web._green.service.consul`, `green.web.service.consul`: a tag may stand between or before.
            (Some(at), _) if labels.first().is_some_and(|label| label.starts_with(b"_")) && at == 2 => (word(0), String::new()),
            (Some(at), None) => (word(at.saturating_sub(1)), String::new()),
            (_, Some(at)) => {
                let (protocol, rest) = (word(at.saturating_sub(1)), at.saturating_add(1));
                let typed = kind == Rtype::PTR || at > 1 || rest >= labels.len();
                (if typed { protocol.clone() } else { word(rest) }, protocol)
            }
            (None, None) => (word(0), String::new()),
        };
        let first = protocol.split('-').next().unwrap_or_default();
        let known_scheme = ["http", "https", "ws", "wss", "grpc", "grpcs", "tcp", "tls"].into_iter().find(|scheme| *scheme == first);
        let scheme = if udp { "udp" } else { known_scheme.unwrap_or("http") };
        let spoken = protocol == scheme || protocol == service;
        let endpoint = if spoken { String::new() } else { protocol };
        Self { service: known.map_or(service, String::from), scheme, endpoint }
    }
}

/// A label as a word: lower case, without the underscore before it, and nothing when it is not ASCII.
fn plain(label: &[u8]) -> String {
    let label = label.strip_prefix(b"_").unwrap_or(label);
    core::str::from_utf8(label).ok().filter(|text| text.is_ascii()).map(str::to_ascii_lowercase).unwrap_or_default()
}

/// A name in words: lower case and dots, when each label is made of letters, digits, `-` and `_`.
pub(super) fn host_text(name: &Name<'_>) -> Option<String> {
    let mut text = String::new();
    for label in name.iter().filter(|label| !label.is_root()) {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label.as_slice() {
            let fits = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            text.push(char::from(fits.then(|| byte.to_ascii_lowercase())?));
        }
    }
    (!text.is_empty()).then_some(text)
}

/// A label as an id: what is not printable ASCII, and the backslash, as `\\032` (the spelling of zone files).
pub(super) fn label_text(label: &[u8]) -> String {
    let mut text = String::new();
    for byte in label {
        match byte {
            b'\\' => text.push_str("\\092"),
            byte if byte.is_ascii_graphic() => text.push(char::from(*byte)),
            byte => text.push_str(&alloc::format!("\\{byte:03}")),
        }
    }
    text
}

/// The address in a name of Consul's: `0a000001.addr.dc1.consul`.
pub(super) fn hex_address(name: &Name<'_>) -> Option<Host> {
    let mut labels = name.iter();
    let digits = core::str::from_utf8(labels.next()?.as_slice()).ok()?;
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hexadecimal || !labels.next()?.as_slice().eq_ignore_ascii_case(b"addr") {
        return None;
    }
    match digits.len() {
        8 => u32::from_str_radix(digits, 16).ok().map(|bits| Host::V4(Ipv4Addr::from_bits(bits))),
        32 => u128::from_str_radix(digits, 16).ok().map(|bits| Host::V6(Ipv6Addr::from_bits(bits))),
        _ => None,
    }
}
