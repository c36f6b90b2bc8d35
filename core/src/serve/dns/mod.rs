//! DNS: the services of a registry as names below a domain, for whoever has no other client (RFC 1035, 2308, 2782, 6891).
//!
//! | name, below the domain | asked for | answer |
//! |---|---|---|
//! | `web`, `web.service` | A, AAAA | the addresses of the instances |
//! | the same | SRV, TXT | a place for each instance, with its addresses behind; what no other record says |
//! | `v1.web.service` | as above | those that have the tag, as in Consul |
//! | `_web._tcp.service`, `_web._v1.service` | as above | the same in Consul's other spelling; `_tcp` and `_udp` are no tags |
//! | `_http._tcp.web` | as above | those whose endpoint has that name or scheme |
//! | the target of a place | A, AAAA, TXT | that instance |
//! | the domain | SOA | that it is ours; the serial is the registry's revision |
//!
//! Named are the instances that are available; else those that are degraded or drain. Who has weight 0 is in no answer. The order starts at another one for each
//! message. Case does not matter.
//!
//! A name that is not there is told so, and for how long (`NXDOMAIN`, or no data where another type would have some, with the SOA record). What is not below
//! the domain is refused. An answer over UDP has at most 512 bytes, or what the question allows (EDNS), up to 1 232; what does not fit is left out and the
//! message says so (TC), after which clients ask over TCP.

mod asked;

use alloc::vec::Vec;
use core::net::IpAddr;

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::message_builder::{AdditionalBuilder, PushError, RecordSectionBuilder};
use domain::base::wire::Composer;
use domain::base::{Message, MessageBuilder, ParsedName, Question, Serial, StaticCompressor, ToName, Ttl};
use domain::rdata::{A, Aaaa, Soa, Srv, Txt};

use self::asked::Asked;
use super::server::Server;
use crate::formats::dns::write::{Name, Place, name};
use crate::serve::desk::Desk;

type Buffer = StaticCompressor<Vec<u8>>;

/// Bytes of an answer over UDP: the least that everybody takes, and the most that no network cuts.
const UDP: u16 = 512;
const UDP_MOST: u16 = 1_232;
const TCP: u16 = 65_535;

/// What is to be said.
enum Said {
    /// These places.
    Places(Vec<Place>),
    /// There is such a name, and nothing of that type.
    Nothing,
    /// There is no such name.
    NoName,
    Soa,
    Refused,
}

pub(super) fn answer(server: &Server, registry: &Desk<'_>, bytes: &[u8], udp: bool) -> Option<Vec<u8>> {
    let message = Message::from_slice(bytes).ok()?;
    // An answer to an answer would go on for ever.
    if message.header().qr() {
        return None;
    }
    let opt = message.opt();
    let most = match (&opt, udp) {
        (_, false) => TCP,
        (Some(opt), true) => opt.udp_payload_size().clamp(UDP, UDP_MOST),
        (None, true) => UDP,
    };
    let question = message.sole_question().ok();
    let rcode = match &question {
        _ if message.header().opcode() != Opcode::QUERY => Rcode::NOTIMP,
        None => Rcode::FORMERR,
        Some(_) => Rcode::NOERROR,
    };
    let version = opt.as_ref().map_or(0, |opt| opt.version());
    let said = match &question {
        Some(question) if rcode == Rcode::NOERROR && version == 0 => say(server, registry, question, message.header().id()),
        _ => Said::Nothing,
    };
    let answer = Answer { server, registry, message, question, said, rcode, version, has_opt: opt.is_some() };
    // What is cut keeps the room for what must be there.
    answer.write(most.into()).or_else(|_| answer.write(TCP.into())).ok()
}

/// What there is to say about a question.
fn say(server: &Server, registry: &Desk<'_>, question: &Question<ParsedName<&[u8]>>, turn: u16) -> Said {
    if !matches!(question.qclass(), Class::IN | Class::ANY) {
        return Said::Refused;
    }
    let Some(asked) = Asked::new(server, registry, question.qname()) else { return Said::Refused };
    let mut places = match asked {
        Asked::Domain if question.qtype() == Rtype::SOA => return Said::Soa,
        Asked::Domain | Asked::Between => return Said::Nothing,
        Asked::Nobody => return Said::NoName,
        Asked::Places(places) => places,
    };
    if let Some(start) = usize::from(turn).checked_rem(places.len()) {
        places.rotate_left(start);
    }
    let kind = question.qtype();
    places.retain(|place| match kind {
        Rtype::A | Rtype::AAAA | Rtype::ANY => place.addresses.iter().any(|address| is_of(*address, kind)),
        Rtype::SRV => true,
        Rtype::TXT => !place.texts.is_empty(),
        _ => false,
    });
    if places.is_empty() { Said::Nothing } else { Said::Places(places) }
}

fn is_of(address: IpAddr, kind: Rtype) -> bool {
    match kind {
        Rtype::A => address.is_ipv4(),
        Rtype::AAAA => address.is_ipv6(),
        _ => true,
    }
}

/// An answer that is to be written.
struct Answer<'a> {
    server: &'a Server,
    registry: &'a Desk<'a>,
    message: &'a Message<[u8]>,
    question: Option<Question<ParsedName<&'a [u8]>>>,
    said: Said,
    rcode: Rcode,
    /// Of EDNS, as it is asked.
    version: u8,
    has_opt: bool,
}

impl Answer<'_> {
    /// The message in at most so many bytes.
    fn write(&self, most: usize) -> Result<Vec<u8>, PushError> {
        let Ok(mut builder) = MessageBuilder::from_target(Buffer::new(Vec::new()));
        // The limit is the first length that is too much, and an OPT record without options has 11 bytes.
        builder.set_push_limit(most.saturating_add(1).saturating_sub(if self.has_opt { 11 } else { 0 }));
        let asked = self.message.header();
        let header = builder.header_mut();
        header.set_id(asked.id());
        header.set_qr(true);
        header.set_opcode(asked.opcode());
        header.set_rd(asked.rd());
        let answers = self.rcode == Rcode::NOERROR && self.version == 0 && !matches!(self.said, Said::Refused);
        header.set_aa(answers);
        header.set_rcode(match (&self.said, answers) {
            (Said::NoName, true) => Rcode::NXDOMAIN,
            (Said::Refused, _) => Rcode::REFUSED,
            _ => self.rcode,
        });
        let mut builder = builder.question();
        if let Some(question) = &self.question {
            builder.push(question)?;
        }
        let mut builder = builder.answer();
        let mut is_cut = false;
        if let (Some(question), true) = (&self.question, answers) {
            match &self.said {
                Said::Places(places) => is_cut = tell(&mut builder, question, places, self.ttl()).is_err(),
                Said::Soa => self.push_soa(&mut builder)?,
                _ => {}
            }
        }
        let mut builder = builder.authority();
        if answers && matches!(self.said, Said::Nothing | Said::NoName) && self.question.is_some() {
            self.push_soa(&mut builder)?;
        }
        let mut builder = builder.additional();
        if let (Said::Places(places), Some(question), false) = (&self.said, &self.question, is_cut) {
            is_cut = describe(&mut builder, question.qtype(), places, self.ttl()).is_err();
        }
        builder.header_mut().set_tc(is_cut);
        if self.has_opt {
            builder.clear_push_limit();
            builder.opt(|opt| {
                opt.set_udp_payload_size(UDP_MOST);
                if self.version > 0 {
                    opt.set_rcode(domain::base::iana::OptRcode::BADVERS);
                }
                Ok(())
            })?;
        }
        Ok(builder.finish().into_target())
    }

    fn ttl(&self) -> Ttl {
        Ttl::from_secs(self.server.dns_ttl)
    }

    /// Whose domain it is, and how long it is good for that there is nothing.
    fn push_soa(&self, builder: &mut impl RecordSectionBuilder<Buffer>) -> Result<(), PushError> {
        let below = |label: &str| {
            let labels = core::iter::once(label).filter(|label| !label.is_empty()).chain(self.server.domain.split('.'));
            name(labels.map(str::as_bytes)).unwrap_or_else(Name::root_vec)
        };
        let serial = Serial(self.registry.revision() as u32);
        let (refresh, retry, expire) = (Ttl::from_secs(3_600), Ttl::from_secs(600), Ttl::from_secs(86_400));
        let soa = Soa::new(below("ns"), below("hostmaster"), serial, refresh, retry, expire, self.ttl());
        builder.push((below(""), Class::IN, self.ttl(), soa))
    }
}

/// The records of the type that is asked for, as far as they fit.
fn tell(
    builder: &mut impl RecordSectionBuilder<Buffer>,
    question: &Question<ParsedName<&[u8]>>,
    places: &[Place],
    ttl: Ttl,
) -> Result<(), PushError> {
    let (owner, kind) = (question.qname(), question.qtype());
    let mut told: Vec<IpAddr> = Vec::new();
    for place in places {
        match kind {
            Rtype::SRV => builder.push((owner, Class::IN, ttl, Srv::new(place.priority, place.weight, place.port, &place.target)))?,
            Rtype::TXT => push_texts(builder, owner, place, ttl)?,
            _ => {
                for address in place.addresses.iter().filter(|address| is_of(**address, kind)) {
                    // Two instances may share an address.
                    if !told.contains(address) {
                        told.push(*address);
                        push_address(builder, owner, *address, ttl)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// The addresses of targets, and their texts when there is room.
fn describe(builder: &mut AdditionalBuilder<Buffer>, kind: Rtype, places: &[Place], ttl: Ttl) -> Result<(), PushError> {
    if kind != Rtype::SRV {
        return Ok(());
    }
    for place in places {
        for address in &place.addresses {
            push_address(builder, &place.target, *address, ttl)?;
        }
    }
    // Nobody must know these: they are left out, and nothing is said of that.
    let _ = places.iter().try_for_each(|place| push_texts(builder, &place.target, place, ttl));
    Ok(())
}

fn push_address(builder: &mut impl RecordSectionBuilder<Buffer>, owner: impl ToName, address: IpAddr, ttl: Ttl) -> Result<(), PushError> {
    match address {
        IpAddr::V4(v4) => builder.push((owner, Class::IN, ttl, A::new(v4))),
        IpAddr::V6(v6) => builder.push((owner, Class::IN, ttl, Aaaa::new(v6))),
    }
}

fn push_texts<T: Composer>(
    builder: &mut impl RecordSectionBuilder<T>,
    owner: impl ToName,
    place: &Place,
    ttl: Ttl,
) -> Result<(), PushError> {
    match Txt::from_octets(place.texts.as_slice()) {
        Ok(texts) if !place.texts.is_empty() => builder.push((owner, Class::IN, ttl, texts)),
        _ => Ok(()),
    }
}
