//! A response message, as far as we read it: who was asked for, and the records of its answer and additional sections by owner and type.
//!
//! Names stay where they are in the message, so that one of 255 bytes that a thousand records point to is there once. Compression pointers
//! lead backwards only and labels and names have their lengths (RFC 9267); `domain` holds all of that.

use alloc::vec::Vec;
use core::cmp::Ordering;

use domain::base::ParsedName;
use domain::base::iana::{Rcode, Rtype};
use domain::dep::octseq::Parser;
use domain::rdata::Soa;

use crate::error::{Code, Error};

/// A name where it lies in a message.
pub(super) type Name<'a> = ParsedName<&'a [u8]>;

/// Bytes of a message: its length is 16 bits on TCP.
pub(super) const MESSAGE_BYTES: usize = 65_535;
const HEADER: usize = 12;
/// Bytes of the smallest record, whose owner is the root.
const RECORD: usize = 11;
/// Aliases in a row.
const ALIASES: usize = 8;
/// The longest time to live there is (RFC 2181); more is none.
const TTL_MOST: u32 = 0x7fff_ffff;

/// A record: where its owner and its data lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    owner: u16,
    at: u16,
    len: u16,
    pub kind: Rtype,
    /// Its place among all records that are kept.
    pub order: u16,
    /// How long it is good for, in seconds.
    pub ttl: u32,
    answers: bool,
}

/// A response message.
pub(super) struct Message<'a> {
    bytes: &'a [u8],
    /// The name and type that was asked for; none in an announcement of mDNS.
    pub question: Option<(Name<'a>, Rtype)>,
    /// Sorted by owner and type, and by their order in the message.
    records: Vec<Record>,
    /// Whether it was cut to fit its transport (TC).
    pub cut: bool,
    /// How long it is good for that there is nothing: the SOA record of the authority section (RFC 2308).
    pub nothing: Option<u32>,
    /// Whether it does not answer and names other servers to ask.
    pub referral: bool,
}

fn malformed(field: &str, message: &'static str) -> Error {
    Error::new(Code::Malformed, field).message(message)
}

impl<'a> Message<'a> {
    /// Reads a message. Records of other types and classes are left out.
    ///
    /// # Errors
    /// [`Code::Malformed`] for a question, for one that ends early unless it says that it was cut, and for one that says that the server failed;
    /// [`Code::LimitExceeded`] above 65 535 bytes.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > MESSAGE_BYTES {
            return Err(Error::too_large("body", MESSAGE_BYTES as u64));
        }
        let short = || malformed("header", "a message has a header of 12 bytes");
        let whole = domain::base::Message::from_slice(bytes).map_err(|_| short())?;
        let (header, counts) = (whole.header(), whole.header_counts());
        if !header.qr() {
            return Err(malformed("header", "this is a question, not an answer"));
        }
        if header.opcode().to_int() != 0 {
            return Err(malformed("header", "this is no answer to a query"));
        }
        if header.rcode() != Rcode::NOERROR && header.rcode() != Rcode::NXDOMAIN {
            return Err(Error::new(Code::Malformed, "rcode").detail(alloc::format!("the server answers {}", header.rcode())));
        }
        let cut = header.tc();
        let mut parser = Parser::from_ref(bytes);
        parser.advance(HEADER).map_err(|_| short())?;
        let mut message = Self { bytes, question: None, records: Vec::new(), cut, nothing: None, referral: false };
        for number in 0..counts.qdcount() {
            let question = question(&mut parser).ok_or_else(|| malformed("question", "it cannot be read"))?;
            if number == 0 {
                message.question = Some(question);
            }
        }
        let (answers, authority) = (usize::from(counts.ancount()), usize::from(counts.nscount()));
        let all = answers.saturating_add(authority).saturating_add(counts.arcount().into());
        message.records.reserve_exact(all.min(parser.remaining() / RECORD));
        let mut names_others = false;
        for number in 0..all {
            let Some((record, class)) = record(&mut parser, number) else {
                if cut {
                    break;
                }
                let (section, first) = match number {
                    number if number < answers => ("answer", 0),
                    number if number < answers.saturating_add(authority) => ("authority", answers),
                    _ => ("additional", answers.saturating_add(authority)),
                };
                let place = number.saturating_sub(first);
                return Err(malformed(&alloc::format!("{section}[{place}]"), "the record cannot be read"));
            };
            // The highest bit is mDNS' flag that caches are to be flushed.
            if class & 0x7fff != 1 {
                continue;
            }
            let said = (answers..answers.saturating_add(authority)).contains(&number);
            match record.kind {
                Rtype::NS if said => names_others = true,
                Rtype::SOA if said => message.nothing = message.soa(&record),
                Rtype::A | Rtype::AAAA | Rtype::CNAME | Rtype::PTR | Rtype::SRV | Rtype::TXT if !said => {
                    message.records.push(Record { answers: number < answers, ..record });
                }
                _ => {}
            }
        }
        message.referral = names_others && message.nothing.is_none() && !header.aa() && !message.records.iter().any(|own| own.answers);
        let mut records = core::mem::take(&mut message.records);
        records.sort_unstable_by(|one, other| {
            let owners = compare(message.owner(one).as_ref(), message.owner(other).as_ref());
            owners.then(one.kind.cmp(&other.kind)).then(one.order.cmp(&other.order))
        });
        message.records = records;
        Ok(message)
    }

    /// The name that all is about, and the type: the question's, else that of the first record that points to instances, is one, or has an address.
    pub fn asked(&self) -> Option<(Name<'a>, Rtype)> {
        if self.question.is_some() {
            return self.question;
        }
        [Rtype::PTR, Rtype::SRV, Rtype::A, Rtype::AAAA].into_iter().find_map(|kind| {
            let own = self.records.iter().filter(|record| record.answers && record.kind == kind);
            let first = own.min_by_key(|record| record.order)?;
            Some((self.owner(first)?, kind))
        })
    }

    /// Where a chain of aliases ends, and whether there were any.
    ///
    /// # Errors
    /// [`Code::Malformed`] when it is longer than eight, as a loop is.
    pub fn follow(&self, name: Name<'a>) -> Result<(Name<'a>, bool), Error> {
        let mut end = name;
        for count in 0..=ALIASES {
            let alias = self.records(&end, Rtype::CNAME).next().and_then(|record| self.target(record));
            match alias {
                Some(alias) => end = alias,
                None => return Ok((end, count > 0)),
            }
        }
        Err(malformed("CNAME", "an alias of an alias, too often"))
    }

    /// The records of an owner and a type, in the order of the message.
    pub fn records(&self, owner: &Name<'a>, kind: Rtype) -> impl Iterator<Item = &Record> + use<'_, 'a> {
        let owner = Some(*owner);
        let place = move |record: &Record| compare(self.owner(record).as_ref(), owner.as_ref()).then(record.kind.cmp(&kind));
        let from = self.records.partition_point(|record| place(record).is_lt());
        self.records.get(from..).unwrap_or_default().iter().take_while(move |record| place(record).is_eq())
    }

    /// Those of them that are in the answer section.
    pub fn answers(&self, owner: &Name<'a>, kind: Rtype) -> impl Iterator<Item = &Record> + use<'_, 'a> {
        self.records(owner, kind).filter(|record| record.answers)
    }

    /// The shortest time that a record is good for, in seconds; those of mDNS that say goodbye do not count.
    pub fn least_ttl(&self) -> Option<u32> {
        let goodbyes = self.question.is_none();
        let good = self.records.iter().map(|record| record.ttl).filter(|ttl| !goodbyes || *ttl > 0);
        good.chain(self.nothing).min()
    }

    /// The data of a record.
    pub fn data(&self, record: &Record) -> &'a [u8] {
        let (at, len) = (usize::from(record.at), usize::from(record.len));
        self.bytes.get(at..at.saturating_add(len)).unwrap_or_default()
    }

    /// The one name that is a record's data.
    pub fn target(&self, record: &Record) -> Option<Name<'a>> {
        let (name, end) = self.name(record.at)?;
        (end == usize::from(record.at).saturating_add(record.len.into())).then_some(name)
    }

    /// The name that ends a record's data, from this place in it on.
    pub fn target_from(&self, record: &Record, from: u16) -> Option<Name<'a>> {
        let len = record.len.checked_sub(from)?;
        self.target(&Record { at: record.at.checked_add(from)?, len, ..*record })
    }

    fn owner(&self, record: &Record) -> Option<Name<'a>> {
        self.name(record.owner).map(|(name, _)| name)
    }

    fn name(&self, at: u16) -> Option<(Name<'a>, usize)> {
        let mut parser = Parser::from_ref(self.bytes);
        parser.seek(at.into()).ok()?;
        let name = ParsedName::parse(&mut parser).ok()?;
        Some((name, parser.pos()))
    }

    fn soa(&self, record: &Record) -> Option<u32> {
        let mut parser = Parser::from_ref(self.bytes);
        parser.seek(record.at.into()).ok()?;
        let soa = Soa::parse(&mut parser).ok()?;
        Some(record.ttl.min(seconds(soa.minimum().as_secs())))
    }
}

/// An order of names that takes one walk over each: label by label from the front, in any case.
fn compare(one: Option<&Name<'_>>, other: Option<&Name<'_>>) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => one.iter().cmp(other.iter()),
        _ => one.is_some().cmp(&other.is_some()),
    }
}

fn seconds(ttl: u32) -> u32 {
    if ttl > TTL_MOST { 0 } else { ttl }
}

fn question<'a>(parser: &mut Parser<'a, [u8]>) -> Option<(Name<'a>, Rtype)> {
    let name = ParsedName::parse(parser).ok()?;
    let kind = Rtype::from_int(parser.parse_u16_be().ok()?);
    parser.parse_u16_be().ok()?;
    Some((name, kind))
}

/// A record of any kind, with its class.
fn record(parser: &mut Parser<'_, [u8]>, number: usize) -> Option<(Record, u16)> {
    let owner = u16::try_from(parser.pos()).ok()?;
    ParsedName::parse(parser).ok()?;
    let kind = Rtype::from_int(parser.parse_u16_be().ok()?);
    let class = parser.parse_u16_be().ok()?;
    let ttl = seconds(parser.parse_u32_be().ok()?);
    let len = parser.parse_u16_be().ok()?;
    let at = u16::try_from(parser.pos()).ok()?;
    parser.advance(len.into()).ok()?;
    // Each takes 11 bytes or more of 65 535.
    let order = u16::try_from(number).ok()?;
    Some((Record { owner, at, len, kind, order, ttl, answers: false }, class))
}
