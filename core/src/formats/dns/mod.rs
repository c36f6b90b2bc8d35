//! DNS: the response messages of A, AAAA, SRV, TXT and of service discovery (RFC 1035, 2782, 6763), from a server or in announcements of mDNS.
//!
//! | ours | DNS |
//! |---|---|
//! | an instance | a PTR record's instance, with its SRV and TXT records; else an SRV record; else an address |
//! | id | the instance's own label; the pair `callboard-id` of the target's TXT record, else `target:port`; the address |
//! | service | the one that was asked for, else of the question's name: `_http._tcp.web.example` and `web.example` are `web`, `_http._tcp.local` asked for PTR is `http`, `green.web.service.consul` is `web` |
//! | endpoint | every address of the target with the SRV record's port; the target's name when the message has no address for it. An address record alone has no port |
//! | scheme, endpoint's name | of `_https._tcp` the scheme `https`; of `_metrics._tcp` the name `metrics` |
//! | weight | the SRV record's. Of several in a priority of which some have more, one of 0 has the least weight there is (RFC 2782: a very small chance); when all have 0, all have 1 |
//! | metadata | `priority` of the SRV record unless it is 0, in the balancer's levels: as it is while all are at most 15, else its rank. The pairs of TXT |
//! | version, region, zone, subzone, node | the pairs of these names of TXT |
//!
//! Only records that the question leads to are read, over at most eight aliases. That there is no such name, or nothing there, is an empty listing
//! (doubted like any other); a single SRV record whose target is the root says that the service is decidedly not available, and is believed at once.
//! A server's failure, a referral and an alias that leads nowhere are errors: they say nothing of who is there.
//!
//! A message that was cut (TC) removes nobody and asks for all again, which the host does over TCP. One without a question is an announcement of
//! mDNS: it is a part of what there is, its instances have a lease of their time to live, and a time of 0 is a goodbye.
//!
//! The least time to live tells when to ask again; at 0, which says only that nothing is to be kept, the feed's interval does.

mod instances;
mod message;
mod name;
#[cfg(test)]
mod tests;
pub(crate) mod write;

use alloc::string::{String, ToString as _};
use core::time::Duration;

use domain::base::iana::Rtype;

use self::instances::Reader;
use self::message::Message;
use self::name::Asked;
pub(super) use self::write::encode;
use super::{Context, Decoded, Entry};
use crate::error::{Code, Error};
use crate::model::{Endpoint, Host, Registration};
use crate::registry::Extent;

/// Reads a response message.
///
/// # Errors
/// [`Code::Malformed`] when it is none, or says nothing of who is there; [`Code::MissingField`] when nothing names the service.
pub(super) fn decode(bytes: &[u8], context: &Context<'_>) -> Result<Decoded, Error> {
    let message = Message::read(bytes)?;
    let wrong = |field, text| Error::new(Code::Malformed, field).message(text);
    let (name, kind) = message.asked().ok_or_else(|| wrong("question", "neither a question nor an answer"))?;
    if ![Rtype::A, Rtype::AAAA, Rtype::SRV, Rtype::PTR, Rtype::ANY].contains(&kind) {
        return Err(wrong("question", "one for A, AAAA, SRV or PTR records names instances"));
    }
    let (end, aliased) = message.follow(name)?;
    let asked = Asked::new(&name, kind, context.service);
    if asked.service.is_empty() {
        return Err(Error::new(Code::MissingField, "service"));
    }
    let announced = message.question.is_none();
    let mut taken =
        Taken { decoded: Decoded::default(), service: &asked.service, announced, expected: 0, index: 0, left: budget(bytes.len()) };
    Reader { message: &message, asked: &asked, context }.instances(&end, &mut taken);
    let mut decoded = taken.decoded;
    if taken.index == 0 && decoded.extent == Extent::Whole && !message.cut && (message.referral || (aliased && message.nothing.is_none())) {
        return Err(wrong("answer", "it refers to others and does not answer"));
    }
    decoded.ttl = message.least_ttl().filter(|ttl| *ttl > 0).map(|ttl| Duration::from_secs(ttl.into()));
    if announced || message.cut {
        decoded.extent = Extent::Part;
    }
    decoded.resync = message.cut.then_some("the answer was cut: ask again over TCP");
    Ok(decoded)
}

/// What is made of a message: as much as the size of the message allows for, so that records of a few bytes that share long names do not fill the memory.
struct Taken<'m> {
    decoded: Decoded,
    service: &'m str,
    announced: bool,
    /// How many there are in all.
    expected: usize,
    index: usize,
    left: Option<usize>,
}

fn budget(bytes: usize) -> Option<usize> {
    Some(bytes.saturating_mul(14).saturating_add(40_960))
}

impl Taken<'_> {
    /// Takes an instance, or tells why not.
    fn take(&mut self, ttl: u32, id: String, read: impl FnOnce(&str) -> Result<Registration, Error>) {
        let (index, service) = (self.index, self.service.to_string());
        self.index = index.saturating_add(1);
        let Some(left) = self.left else { return };
        if self.announced && ttl == 0 {
            self.left = left.checked_sub(cost(None).saturating_add(id.len()));
            self.decoded.removed.push((service, id));
            return;
        }
        let read = read(&id);
        let cost = cost(read.as_ref().ok()).saturating_add(id.len());
        if self.decoded.instances.is_empty() {
            // A list that grows is there twice for a moment.
            self.decoded.instances.reserve_exact(self.expected.min(left.checked_div(cost).unwrap_or(0)));
        }
        self.left = left.checked_sub(cost);
        match (self.left, read) {
            (None, _) => {
                let error = Error::new(Code::LimitExceeded, "body").message("too many instances for a message of this size");
                self.decoded.skip(index, service, String::new(), error);
            }
            (_, read) => self.decoded.take(index, read.map(|own| Entry::new(index, own)), || (service, id)),
        }
    }
}

/// About how many bytes an instance takes, or one that was skipped.
fn cost(own: Option<&Registration>) -> usize {
    let Some(own) = own else { return 512 };
    let named = |endpoint: &Endpoint| match &endpoint.host {
        Host::Name(name) => name.len(),
        _ => 0,
    };
    let places =
        own.endpoints.iter().map(|own| size_of::<Endpoint>().saturating_add(own.name.len()).saturating_add(named(own)).saturating_add(8));
    let pairs = own.metadata.iter().map(|(key, value)| 64usize.saturating_add(key.len()).saturating_add(value.len()));
    // A list begins with room for four.
    let room = if own.metadata.is_empty() { 0 } else { size_of::<[(String, String); 4]>() };
    let parts = own.locality.parts().into_iter().map(|(_, part)| part.len());
    let texts = own.namespace.len().saturating_add(own.service.len()).saturating_add(own.id.len());
    places.chain(pairs).chain(parts).fold(size_of::<Entry>().saturating_add(texts).saturating_add(room), usize::saturating_add)
}
