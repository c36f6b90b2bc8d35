//! Several servers, each with a registry, over one etcd: what each has to write there, and what it learns from there.
//!
//! The entries are those of a [`Store`](super::Store), without `registry`: each server has epochs and revisions of its own. etcd puts all writes in one order,
//! and everybody hears of them in that order; a server writes a key only on the condition that nobody has written it since it looked.
//!
//! - **Leases.** Whoever heard an instance last watches its lease: its entry hangs on a lease of etcd's that this server keeps alive (one for each
//!   [`ttl`](super::Write::ttl), not one for each instance, so that renewals cost etcd nothing). To every other server the record has no end of its own. A
//!   renewal there takes the lease over, which is one write; the renewal need not wait for it. When the lease ends by the rules of the registry, its server
//!   removes the entry. When that server dies, etcd removes what nobody has taken over, no earlier than a whole lease later.
//! - **Two writers.** Nothing is acknowledged before it is written ([`fate`](Replica::fate)), and the newer incarnation stays. Of equal ones, what is written
//!   last; a report of health is put on what is there. To whatever was written meanwhile gives way: an expiry, an override that time ended, and a change of
//!   which nobody could be told in time whether it is kept. Overrides and saved queries are shared likewise: what is said last stays.
//! - **Tokens.** An entry has the digest of its instance's token, so that it guards at every server. A change that was taken where the token was not known yet
//!   gives way to it, and is not acknowledged. Proofs name the epoch and the handle of one server, and are good at no other; nor are they when another token,
//!   or none, has been there between.
//! - **An engine that is away.** All that is known is served, flagged stale; renewals are taken. Changes are refused, or taken and written later, up to
//!   [`queue`](Settings::queue) of them. If etcd has ended a lease that its server kept alive, the server writes again whom it has heard since it was last
//!   frozen or paused; if etcd comes back knowing less than before, every server writes again what it knows, and watches it for a lease.
//! - **Who vanishes.** An entry goes because its instance signed out, or with a lease that etcd ended: because the server that kept it alive died, or because etcd
//!   was frozen for longer. As long as etcd answers all the time, nobody need ask which. After a silence, or where a lease is as short as one, etcd is asked
//!   whether the lease is there. If not, the instance stays for a lease more, and for five seconds at least, flagged stale: whoever hears it writes it
//!   again. Who signs out meanwhile at another server than its own may be back for a lease.
//! - **Compaction, a watch that ends, a server that was away**: everything is listed again, and what is not in the listing is gone, or missed likewise.
//! - **What is not ours or is damaged** is told and left alone; a record stays as it was.
//!
//! A host carries questions and answers: one after the other for [`ask`](Replica::ask), and besides them the one stream of [`follow`](Replica::follow).

mod gateway;
mod say;
mod take;
mod types;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use self::gateway::{Change, Hang, Kv, Outcome, Said};
use self::say::Next;
pub use self::types::{Ask, Fate, Settings, Told};
use super::Mark;
use super::entry::{self, Name, Unread};
use crate::error::Error;
use crate::registry::{Key, Registry};
use crate::time::Timestamp;

/// How many entries are written at once: etcd takes 128.
const AT_ONCE: usize = 100;
/// With nothing else to ask, whether etcd is there is asked this often, in microseconds.
const PING: u64 = 2_000_000;
/// When nothing was heard for longer than this, the engine was away, or we were.
const SILENCE: u64 = 2_500_000;
/// The shortest and the longest pause after a question in vain.
const PAUSES: (u64, u64) = (100_000, 2_000_000);
/// Who is missed is waited for at least this long: another server may be at the end of its longest pause, and has then to write.
const WAIT: u64 = 5_000_000;

/// What the engine has under a name.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// When it was written, by the engine's count.
    revision: u64,
    /// A hash of what it says; 0 when that cannot be taken, and is none of our business.
    print: u64,
    incarnation: u64,
    lease: u64,
    /// Of the digest of its token as much as tells it from others; 0 for none.
    token: u64,
}

impl Held {
    /// Whether it says what is there; what is spelled otherwise is read to know.
    fn is(&self, kv: &Kv) -> bool {
        self.lease == kv.lease && self.print == entry::print(&kv.value)
    }
}

/// What we have to say about a name.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    why: Why,
    /// The first edition of the registry that may have it.
    since: u64,
    /// Whether a question that is under way says it.
    asked: bool,
    /// Whether the engine may have it without our knowing.
    unsure: bool,
    /// Whether nobody was told that it is kept, and somebody that this is not known: they may have said something else elsewhere.
    late: bool,
    /// Whose token the engine may have it with by our own writing; 0 for none.
    token: u64,
}

/// Why; the last word counts, but for what only adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// A provider was heard whose lease another server watches.
    Heard,
    /// Health, or a newer incarnation.
    Report,
    /// A provider signed in, or says something new.
    Said,
    /// It says the same again: whether the engine has heard nothing else meanwhile is found out.
    Again,
    /// It signed out.
    Left,
    /// Its lease ended.
    Expired,
    /// The operator's word, or a query that is saved or dropped.
    Word,
    /// The end of it.
    Ended,
}

/// An instance whose entry vanished with a lease of etcd's: because that ended, or because somebody signed it out.
#[derive(Clone, Copy, Debug)]
struct Missed {
    lease: u64,
    /// Whether that is being asked.
    asked: bool,
    /// The lease ended: until then it may be written again.
    until: Option<Timestamp>,
}

/// A lease of the engine's that we keep alive.
#[derive(Clone, Copy, Debug)]
struct Kept {
    id: u64,
    told: Timestamp,
}

/// The question that is under way.
#[derive(Debug, Clone)]
enum Question {
    KeepAlive { ttl: u64, id: u64 },
    Look { lease: u64 },
    Grant { ttl: u64 },
    Write(Vec<Sent>),
    Ping,
}

/// A change that is under way: whose, the revision it was made on, and what the engine has then.
#[derive(Debug, Clone)]
struct Sent {
    name: Name,
    since: u64,
    held: Option<Held>,
}

/// A listing that comes in pages.
#[derive(Debug, Clone)]
struct Listing {
    revision: u64,
    last: Vec<u8>,
    names: BTreeSet<Name>,
}

/// A registry's part in an engine that several share.
///
/// - **Getters**: [`fate`](Self::fate), [`follow`](Self::follow), [`deadline`](Self::deadline), [`is_stale`](Self::is_stale).
/// - **Mutators that take `now`**: [`ask`](Self::ask), then [`answer`](Self::answer) or [`failed`](Self::failed); [`push`](Self::push) and
///   [`lost`](Self::lost).
#[derive(Clone, Debug)]
pub struct Replica {
    settings: Settings,
    held: BTreeMap<Name, Held>,
    waiting: BTreeMap<Name, Waiting>,
    leases: BTreeMap<u64, Kept>,
    missed: BTreeMap<Key, Missed>,
    /// What we removed lately: what is told late is older.
    gone: BTreeMap<Name, u64>,
    /// Up to where of the engine's revisions everything is known.
    position: Option<u64>,
    listing: Option<Listing>,
    /// The newest revision of which anything told, and the newest at the last line: a listing that was asked for after that is no older.
    newest: u64,
    past: u64,
    /// Whether all is to be listed again, and whether the listing or the watch goes on.
    relist: bool,
    current: bool,
    /// Streams that ended since the last thing that was heard.
    lost: u32,
    asked: Option<Question>,
    /// Questions in vain since the last answer, and no question before this.
    vain: u32,
    not_before: Timestamp,
    answered: Timestamp,
    /// When anything was heard last, and since when without a silence.
    heard: Timestamp,
    steady: Timestamp,
    /// Up to where of the registry's changes everything is held or waits.
    mark: Option<Mark>,
    kept: u64,
    /// Editions of which some, the last that were, are not kept and never will be.
    refused: (u64, u64),
}

impl Replica {
    /// Of a registry and an engine that do not know each other yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            held: BTreeMap::new(),
            waiting: BTreeMap::new(),
            leases: BTreeMap::new(),
            missed: BTreeMap::new(),
            gone: BTreeMap::new(),
            position: None,
            listing: None,
            newest: 0,
            past: 0,
            relist: true,
            current: false,
            lost: 0,
            asked: None,
            vain: 0,
            not_before: Timestamp::ZERO,
            answered: Timestamp::ZERO,
            heard: Timestamp::ZERO,
            steady: Timestamp::ZERO,
            mark: None,
            kept: 0,
            refused: (0, 0),
        }
    }

    /// Whether what the registry says may be behind what other servers know.
    pub fn is_stale(&self) -> bool {
        !self.current || self.is_away() || self.missed.values().any(|missed| missed.until.is_some())
    }

    /// What became of all changes up to an [edition](Registry::edition) of the registry. One that is newer than the last [`ask`](Self::ask) waits.
    pub fn fate(&self, edition: u64) -> Fate {
        let (first, last) = self.refused;
        match (edition <= self.kept, self.is_away()) {
            (true, _) if (first..=last).contains(&edition) && last > 0 => Fate::Unknown,
            (true, _) => Fate::Kept,
            (_, false) => Fate::Waiting,
            _ if self.settings.queue > 0 => Fate::Kept,
            _ => Fate::Unknown,
        }
    }

    /// When [`ask`](Self::ask) has a question next, if nothing changes before; none before the first listing.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.position?;
        let keeping = self.leases.iter().map(|(ttl, lease)| due(*ttl, lease.told));
        let ping = Timestamp::clamped(self.answered.as_micros().saturating_add(PING));
        let missing = self.missed.values().map(|missed| missed.until.unwrap_or(Timestamp::ZERO));
        let work = if self.waiting.is_empty() { ping } else { Timestamp::ZERO };
        Some(keeping.chain(missing).fold(ping.min(work), Timestamp::min).max(self.not_before))
    }

    /// What to follow the others with: a page of the listing, or a watch.
    pub fn follow(&self) -> Ask {
        let prefix = self.settings.prefix.as_str();
        let (path, body) = match (&self.listing, self.position) {
            (Some(listing), _) => ("/v3/kv/range", gateway::page(prefix, Some(&listing.last), listing.revision)),
            (None, Some(position)) if !self.relist => ("/v3/watch", gateway::watch(prefix, position)),
            _ => ("/v3/kv/range", gateway::page(prefix, None, 0)),
        };
        Ask { path, body, stream: path == "/v3/watch", after: pause(self.lost) }
    }

    /// The next question about what we have to say, if there is one: a body to post, then [`answer`](Self::answer) or [`failed`](Self::failed). One at a time.
    pub fn ask(&mut self, registry: &mut Registry, now: Timestamp) -> Option<Ask> {
        registry.advance(now);
        let now = registry.now();
        self.collect(registry);
        self.miss_no_more(registry);
        let question = self.question(registry, now);
        self.settle(registry);
        let prefix = self.settings.prefix.as_str();
        let (path, body) = match question.as_ref()? {
            Next::KeepAlive(_, id) => ("/v3/lease/keepalive", gateway::lease(*id)),
            Next::Look(lease) => ("/v3/lease/timetolive", gateway::lease(*lease)),
            Next::Grant(ttl) => ("/v3/lease/grant", gateway::grant(*ttl)),
            Next::Write(changes, _) => ("/v3/kv/txn", gateway::transaction(prefix, changes)),
            Next::Ping => ("/v3/kv/range", gateway::ping(prefix)),
        };
        self.asked = question.map(|question| match question {
            Next::KeepAlive(ttl, id) => Question::KeepAlive { ttl, id },
            Next::Look(lease) => Question::Look { lease },
            Next::Grant(ttl) => Question::Grant { ttl },
            Next::Write(_, sent) => Question::Write(sent),
            Next::Ping => Question::Ping,
        });
        Some(Ask { path, body, stream: false, after: Duration::ZERO })
    }

    /// Takes the answer to the last question.
    ///
    /// # Errors
    /// [`Code::Malformed`](crate::Code::Malformed) and what else is wrong with the body: it counts as none ([`failed`](Self::failed)).
    pub fn answer(&mut self, registry: &mut Registry, body: &[u8], now: Timestamp) -> Result<Told, Error> {
        let mut told = Told::default();
        let Some(question) = self.asked.clone() else { return Ok(told) };
        self.begin(registry, now);
        let now = registry.now();
        self.hear(now);
        let taken = match question {
            Question::KeepAlive { ttl, id } => gateway::read_keep_alive(body).map(|alive| self.kept_alive(registry, ttl, id, alive)),
            Question::Look { lease } => gateway::read_time_to_live(body).map(|alive| self.looked(registry, lease, alive)),
            Question::Grant { ttl } => gateway::read_grant(body).map(|id| {
                self.leases.insert(ttl, Kept { id, told: now });
            }),
            Question::Write(sent) => gateway::read_transaction(body).and_then(|outcome| self.written(registry, sent, outcome, &mut told)),
            Question::Ping => gateway::read_ping(body),
        };
        if let Err(error) = taken {
            if gateway::is_lease_lost(body) {
                // Which one, their own answers tell.
                self.leases.values_mut().for_each(|lease| lease.told = Timestamp::ZERO);
            }
            self.failed(registry, now);
            return Err(error);
        }
        (self.asked, self.vain, self.answered) = (None, 0, now);
        self.finish(registry);
        Ok(told)
    }

    /// There was no answer to the last question, or none in time.
    pub fn failed(&mut self, registry: &mut Registry, now: Timestamp) {
        self.begin(registry, now);
        if let Some(Question::Write(sent)) = self.asked.take() {
            for Sent { name, .. } in sent {
                if let Some(waiting) = self.waiting.get_mut(&name) {
                    (waiting.asked, waiting.unsure) = (false, true);
                }
            }
        }
        self.missed.values_mut().for_each(|missed| missed.asked = false);
        if self.settings.queue == 0 {
            self.waiting.values_mut().for_each(|waiting| waiting.late = true);
        }
        self.vain = self.vain.saturating_add(1);
        self.steady = registry.now();
        self.not_before = registry.now().saturating_add(pause(self.vain));
        self.settle(registry);
    }

    /// Takes a body or a line that [`follow`](Self::follow) was answered with.
    ///
    /// # Errors
    /// [`Code::Malformed`](crate::Code::Malformed) and what else is wrong with it: the stream counts as [`lost`](Self::lost).
    pub fn push(&mut self, registry: &mut Registry, body: &[u8], now: Timestamp) -> Result<Told, Error> {
        self.begin(registry, now);
        let mut told = Told::default();
        match gateway::read(body).and_then(|said| self.check(said)) {
            Ok(Said::Page { revision, kvs, more }) => {
                self.hear(registry.now());
                self.listed(registry, revision, kvs, more, &mut told);
            }
            Ok(Said::Events { kvs, position, end }) => {
                self.hear(registry.now());
                for kv in kvs {
                    self.take(registry, kv, &mut told);
                }
                // What is told with an end is not where we stand.
                self.position = self.position.max(position.filter(|_| !end));
                self.newest = self.newest.max(self.position.unwrap_or(0));
                let position = self.position.unwrap_or(0);
                self.gone.retain(|_, revision| *revision > position);
                (self.relist, self.current, told.again) = (end, !end, end);
            }
            Err(error) => {
                self.lost(registry, now);
                return Err(error);
            }
        }
        (self.lost, self.past) = (0, self.newest);
        self.finish(registry);
        Ok(told)
    }

    /// The stream, or the question for it, ended.
    pub fn lost(&mut self, registry: &mut Registry, now: Timestamp) {
        registry.advance(now);
        // An engine that was away may have lost what it knew, which no watch would tell.
        (self.relist, self.current, self.listing) = (true, false, None);
        self.past = self.newest;
        self.lost = self.lost.saturating_add(1);
        self.settle(registry);
    }

    /// Whether a page of a listing comes next, and no line of a watch.
    fn is_listing(&self) -> bool {
        self.listing.is_some() || self.relist || self.position.is_none()
    }

    /// Whether the engine does not answer, or has never.
    fn is_away(&self) -> bool {
        self.vain > 0 || self.position.is_none()
    }

    /// The engine answers.
    fn hear(&mut self, now: Timestamp) {
        if now.as_micros().saturating_sub(self.heard.as_micros()) > SILENCE {
            self.steady = now;
        }
        self.heard = now;
    }

    fn is_frozen(&self) -> bool {
        let changes = self.waiting.values().filter(|waiting| waiting.why != Why::Heard).count();
        self.is_away() && changes >= self.settings.queue as usize
    }

    fn settle(&self, registry: &mut Registry) {
        registry.set_apart(self.is_stale(), self.is_frozen());
    }

    /// Before anything is taken: what we have said so far is noted, so that it is told from what is taken.
    fn begin(&mut self, registry: &mut Registry, now: Timestamp) {
        registry.advance(now);
        self.collect(registry);
    }

    fn finish(&mut self, registry: &mut Registry) {
        self.mark = Some(Mark::of(registry));
        self.count(registry);
        self.settle(registry);
    }

    /// Up to where everything is held.
    fn count(&mut self, registry: &Registry) {
        let waiting = self.waiting.values().filter(|waiting| waiting.why != Why::Heard).map(|waiting| waiting.since);
        self.kept = waiting.min().map_or(registry.edition(), |since| since.saturating_sub(1));
    }
}

/// When a lease is to be told to begin anew.
fn due(ttl: u64, told: Timestamp) -> Timestamp {
    Timestamp::clamped(told.as_micros().saturating_add(ttl.saturating_mul(super::QUARTER)))
}

/// Twice as long after each failure.
fn pause(vain: u32) -> Duration {
    let (shortest, longest) = PAUSES;
    let times = 1u64.checked_shl(vain.saturating_sub(1).min(10)).unwrap_or(1);
    if vain == 0 { Duration::ZERO } else { Duration::from_micros(shortest.saturating_mul(times).min(longest)) }
}
