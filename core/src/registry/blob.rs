//! What is an instance's alone (id, incarnation, endpoints), packed into a run of bytes.
//!
//! ```text
//! id          255 and 16 bytes of a UUID in its usual spelling, or its length and its bytes
//! incarnation LEB128
//! endpoints   their number, then of each: kind LEB128 | 4 and 4 bytes, 6 and 16 bytes, or 0, length and name | port, two bytes, 0 for none
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::intern::Pools;
use crate::model::{Endpoint, Host, check_id};

const UUID: u8 = 255;

/// An id as its blob spells it; blobs of one id start with the same bytes and no other blob does.
pub(super) struct Spelled {
    bytes: [u8; 256],
    length: usize,
}

impl Spelled {
    /// Spells an id. One that is too long for any record is spelled as none is.
    pub(super) fn new(id: &str) -> Self {
        let mut bytes = [0; 256];
        let uuid = parse_uuid(id);
        let (first, rest) = match &uuid {
            Some(uuid) => (UUID, uuid.as_slice()),
            None => (id.len().min(254) as u8, id.as_bytes().get(..254).unwrap_or(id.as_bytes())),
        };
        // At most 254 bytes.
        if let Some((head, tail)) = bytes.split_first_mut() {
            *head = first;
            if let Some(tail) = tail.get_mut(..rest.len()) {
                tail.copy_from_slice(rest);
            }
        }
        Self { bytes, length: rest.len().saturating_add(1) }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Packs an instance; the kinds of its endpoints gain a user each.
pub(super) fn encode(id: &[u8], incarnation: u64, endpoints: &[Endpoint], pools: &mut Pools, out: &mut Vec<u8>) {
    out.extend_from_slice(id);
    push_number(out, incarnation);
    // An instance has at most 100 endpoints.
    out.push(endpoints.len() as u8);
    for endpoint in endpoints {
        let kind = pools.acquire_kind(&endpoint.name, &endpoint.scheme, endpoint.secure);
        push_endpoint(kind, &endpoint.host, endpoint.port, out);
    }
}

/// Packs one endpoint.
pub(super) fn push_endpoint(kind: u32, host: &Host, port: Option<u16>, out: &mut Vec<u8>) {
    push_number(out, kind.into());
    match host {
        Host::V4(v4) => {
            out.push(4);
            out.extend_from_slice(&v4.octets());
        }
        Host::V6(v6) => {
            out.push(6);
            out.extend_from_slice(&v6.octets());
        }
        Host::Name(name) => {
            out.push(0);
            // A host name has at most 253 bytes.
            out.push(name.len() as u8);
            out.extend_from_slice(name.as_bytes());
        }
    }
    out.extend_from_slice(&port.unwrap_or(0).to_le_bytes());
}

/// Reads a blob from its start. Every read past the end is none, so hostile bytes end early and harm nothing.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

/// One endpoint of a blob, its kind still a number.
pub(super) struct Packed {
    pub(super) kind: u32,
    pub(super) host: Host,
    pub(super) port: Option<u16>,
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// The kinds of the endpoints of a whole blob.
    pub(super) fn kinds(mut self) -> impl Iterator<Item = u32> {
        let count = self.id().and_then(|_| self.number()).and_then(|_| self.byte()).unwrap_or(0);
        (0..count).map_while(move |_| self.raw_endpoint()).map(|(kind, _)| kind)
    }

    /// The kind of an endpoint, and its host and port as they are packed.
    pub(super) fn raw_endpoint(&mut self) -> Option<(u32, &'a [u8])> {
        let kind = u32::try_from(self.number()?).ok()?;
        let length = match self.0 {
            [4, ..] => 5,
            [6, ..] => 17,
            [0, length, ..] => usize::from(*length).saturating_add(2),
            _ => return None,
        };
        Some((kind, self.take(length.saturating_add(2))?))
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// The bytes of the id as the blob spells it.
    pub(super) fn id(&mut self) -> Option<&'a [u8]> {
        let all = self.0;
        let length = match self.byte()? {
            UUID => 16,
            length => usize::from(length),
        };
        self.take(length)?;
        all.get(..length.saturating_add(1))
    }

    pub(super) fn endpoint(&mut self) -> Option<Packed> {
        let kind = u32::try_from(self.number()?).ok()?;
        let (host, port) = self.place()?;
        Some(Packed { kind, host, port })
    }

    /// A host and a port.
    pub(super) fn place(&mut self) -> Option<(Host, Option<u16>)> {
        let host = match self.byte()? {
            4 => Host::V4(Ipv4Addr::from(<[u8; 4]>::try_from(self.take(4)?).ok()?)),
            6 => Host::V6(Ipv6Addr::from(<[u8; 16]>::try_from(self.take(16)?).ok()?)),
            0 => {
                let length = self.byte()?;
                Host::Name(core::str::from_utf8(self.take(length.into())?).ok()?.into())
            }
            _ => return None,
        };
        let port = u16::from_le_bytes(<[u8; 2]>::try_from(self.take(2)?).ok()?);
        Some((host, Some(port).filter(|port| *port != 0)))
    }
}

/// Orders two spelled ids as their texts are ordered.
pub(super) fn compare_ids(one: &[u8], other: &[u8]) -> Ordering {
    match (one.split_first(), other.split_first()) {
        (Some((&UUID, one)), Some((&UUID, other))) => one.cmp(other),
        (Some((first, plain)), Some((second, other_plain))) if *first != UUID && *second != UUID => plain.cmp(other_plain),
        _ => id_text(one).cmp(&id_text(other)),
    }
}

/// The first eight bytes of the text of a spelled id, as a number that orders as they do.
pub(super) fn text_prefix(spelled: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    match spelled {
        [UUID, a, b, c, d, ..] => {
            let nibbles = [a, b, c, d].into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
            bytes.iter_mut().zip(nibbles).for_each(|(to, nibble)| *to = digit(nibble));
        }
        [_, text @ ..] => bytes.iter_mut().zip(text).for_each(|(to, from)| *to = *from),
        [] => {}
    }
    u64::from_be_bytes(bytes)
}

/// The hexadecimal digit of a number below 16.
const fn digit(nibble: u8) -> u8 {
    if nibble < 10 { nibble.wrapping_add(b'0') } else { nibble.wrapping_add(b'a' - 10) }
}

/// Whether these bytes are how an id is spelled.
pub(super) fn is_spelled(spelled: &[u8]) -> bool {
    match spelled.split_first() {
        Some((&UUID, _)) => true,
        Some((_, plain)) => core::str::from_utf8(plain).is_ok_and(|id| check_id("id", id).is_ok() && parse_uuid(id).is_none()),
        None => false,
    }
}

/// The text of a spelled id.
pub(super) fn id_text(spelled: &[u8]) -> String {
    match spelled.split_first() {
        Some((&UUID, uuid)) => {
            let mut text = Vec::with_capacity(36);
            for (at, byte) in uuid.iter().enumerate() {
                if matches!(at, 4 | 6 | 8 | 10) {
                    text.push(b'-');
                }
                text.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            }
            String::from_utf8(text).unwrap_or_default()
        }
        Some((_, plain)) => String::from_utf8_lossy(plain).into_owned(),
        None => String::new(),
    }
}

/// The bytes of a UUID in lower-case hexadecimal with hyphens; any other spelling stays text, so that ids round-trip.
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let [h, i, j, k] = [8, 13, 18, 23].map(|at: usize| text.get(at));
    if [h, i, j, k] != [Some(&b'-'); 4] {
        return None;
    }
    // More than 15 for what is no digit.
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => digit.wrapping_sub(b'0'),
        b'a'..=b'f' => digit.wrapping_sub(b'a').wrapping_add(10),
        _ => 0x80,
    };
    let mut uuid = [0; 16];
    let mut wrong = 0;
    // Where each pair of digits stands.
    let pairs = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34usize];
    for (byte, at) in uuid.iter_mut().zip(pairs) {
        if let Some([high, low]) = text.get(at..).and_then(|rest| rest.first_chunk()) {
            let (high, low) = (nibble(*high), nibble(*low));
            wrong |= high | low;
            *byte = high << 4 | low & 15;
        }
    }
    (wrong < 0x80).then_some(uuid)
}

pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn ids_keep_their_text_and_order() {
        let mut ids = vec![
            "00000000-0000-0000-0000-000000000000",
            "6f1e9c52-8b0a-4f6e-9d3b-0123456789ab",
            "6F1E9C52-8B0A-4F6E-9D3B-0123456789AB",
            "6f1e9c52-8b0a-4f6e-9d3b-0123456789ac",
            "6f1e9c528-b0a-4f6e-9d3b-0123456789ab",
            "6f1e9c52",
            "b1",
            "b10",
            "b2",
            "z",
        ];
        let spell = |id: &str| Spelled::new(id).bytes().to_vec();
        for id in &ids {
            assert_eq!(id_text(&spell(id)), *id);
        }
        ids.sort_unstable();
        let mut sorted = ids.clone();
        sorted.sort_by(|one, other| compare_ids(&spell(one), &spell(other)));
        assert_eq!(sorted, ids);
        assert!(ids.is_sorted_by_key(|id| text_prefix(&spell(id))));
    }

    #[test]
    fn numbers_of_every_length_round_trip() {
        let numbers = (0..53).flat_map(|bits| [(1u64 << bits) - 1, 1 << bits, (1 << bits) + 1]);
        for number in numbers {
            let mut bytes = Vec::new();
            push_number(&mut bytes, number);
            let mut reader = Reader(&bytes);
            assert_eq!((reader.number(), reader.0), (Some(number), &[][..]));
        }
    }

    #[test]
    fn blobs_round_trip_and_cut_ones_end_early() {
        let mut pools = Pools::new(0);
        let endpoints = ["http://10.0.0.1:80", "grpcs://[2001:db8::1]", "tcp://db-1.example:5432"].map(|url| Endpoint::parse(url).unwrap());
        let mut blob = Vec::new();
        encode(Spelled::new("b1").bytes(), u64::MAX >> 11, &endpoints, &mut pools, &mut blob);
        assert_eq!(Reader(&blob).kinds().collect::<Vec<_>>(), [1, 2, 3]);
        let read = |bytes| {
            let mut reader = Reader(bytes);
            let id = id_text(reader.id()?);
            let (incarnation, count) = (reader.number()?, reader.byte()?);
            let endpoints = (0..count).map(|_| reader.endpoint()).collect::<Option<Vec<_>>>()?;
            Some((id, incarnation, endpoints))
        };
        let (id, incarnation, packed) = read(&blob).unwrap();
        assert_eq!((id.as_str(), incarnation), ("b1", u64::MAX >> 11));
        for (packed, endpoint) in packed.iter().zip(&endpoints) {
            assert_eq!((&packed.host, packed.port), (&endpoint.host, endpoint.port));
            assert_eq!(pools.kinds.get(packed.kind).unwrap().scheme, endpoint.scheme);
        }
        assert!((0..blob.len()).all(|cut| read(&blob[..cut]).is_none()));
    }
}
