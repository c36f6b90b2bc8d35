//! What a source says again is not read again.
//!
//! A listing is cut into its entries without being parsed. An entry whose bytes were taken before, and whose record stands as they made it, is known
//! by their hash; what is left, with all that stands around the entries, is a shorter payload for the reader of the format. So a listing in which
//! little has changed costs little more than to look at its bytes, whatever order it comes in and whatever stands around it.
//!
//! Nothing depends on it: whenever something does not fit (an entry that was skipped, a name that stands twice, entries that cannot be told apart)
//! the payload is read as a whole.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Decoded, Entry, FeedConfig};
use crate::limits;
use crate::model::Handle;
use crate::registry::{Position, Registry};

/// Where a format has its entries.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// The keys of the lists they are in; an empty one is the list that is the payload.
    lists: &'static [&'static str],
    /// How an entry is told from the next in what was read.
    by: By,
    /// Whether the map that its list is in says something of an entry.
    around: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Each is one instance.
    Index,
    /// [`Entry::part`](super::Entry::part) is its place in the list.
    Part,
    /// Each is one of [`Decoded::parts`].
    Parts,
}

impl Shape {
    fn of(config: &FeedConfig) -> Option<Self> {
        let asked = config.service.is_some();
        let (lists, by, around): (&[&str], _, _) = match config.format.name() {
            "consul-health" | "consul-catalog" if asked => (&[""], By::Index, false),
            "consul-query" if asked => (&["Nodes"], By::Index, false),
            "callboard" if asked => (&["instances"], By::Index, false),
            "curator" => (&["", "services"], By::Index, false),
            "dubbo" => (&[""], By::Index, false),
            "nacos" if asked => (&["hosts"], By::Index, false),
            "envoy" if asked => (&["lb_endpoints", "lbEndpoints"], By::Index, true),
            "eureka-vips" => (&["instance"], By::Index, true),
            "eureka-app" if asked => (&["instance"], By::Index, true),
            "prometheus" => (&[""], By::Part, false),
            "kubernetes" => (&["items"], By::Parts, false),
            "etcd-grpc" | "etcd-kratos" | "etcd-micro" | "etcd-zero" => (&["kvs"], By::Parts, false),
            _ => return None,
        };
        Some(Self { lists, by, around })
    }
}

/// What an entry has made.
#[derive(Clone, Debug)]
enum Made {
    Record(Handle),
    /// A part, which names so many instances.
    Part(String, usize),
}

/// The entries of the last listing, those of one entry side by side.
#[derive(Clone, Debug, Default)]
pub(super) struct Recall {
    rows: Vec<(u64, Made)>,
    /// The places of the rows, by hash.
    places: Vec<u32>,
    /// Where the registry stood.
    position: Position,
}

/// A payload without what is known.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// What is left to read; none when nothing is known, and the payload is to be read as it is.
    pub(super) body: Option<Vec<u8>>,
    by: Option<By>,
    /// The revision that known records stood at.
    pub(super) revision: u64,
    /// How many instances known entries name: all of them, and those that stand before each entry that is read.
    names: usize,
    before: Vec<usize>,
    /// The records that are named by what is known.
    pub(super) same: Vec<Handle>,
    /// The parts that are known.
    pub(super) parts: BTreeSet<String>,
    /// The hashes of all entries, and what the known ones have made, by places in the rows.
    entries: Vec<(u64, Option<(u32, u32)>)>,
}

impl Rest {
    /// Gives what was read its place among all that the payload names.
    pub(super) fn place(&self, entries: &mut [Entry]) {
        for entry in entries {
            let at = if self.by == Some(By::Index) { entry.index } else { entry.part };
            entry.index = entry.index.saturating_add(self.before.get(at).copied().unwrap_or(0));
        }
    }

    fn know(&mut self, made: &Made) {
        let names = match made {
            Made::Record(handle) => {
                self.same.push(*handle);
                1
            }
            Made::Part(key, names) => {
                self.parts.insert(key.clone());
                *names
            }
        };
        self.names = self.names.saturating_add(names);
    }

    /// Whether what was read fits what is known: each entry by itself, and nobody named twice.
    pub(super) fn fits(&self, registry: &Registry, config: &FeedConfig, decoded: &Decoded) -> bool {
        let mut same = self.same.clone();
        same.sort_unstable();
        let known = |service: &str, id: &str| registry.lookup(&config.namespace, service, id).filter(|own| same.binary_search(own).is_ok());
        let clean = decoded.skipped_total == 0 && decoded.kept.is_empty() && decoded.removed.is_empty() && !decoded.fake_health;
        let room = self.names.saturating_add(decoded.instances.len()) <= limits::PAYLOAD_INSTANCES;
        let again = |part: &super::Part| self.parts.contains(&part.key);
        clean
            && room
            && !decoded.parts.iter().any(again)
            && decoded.instances.iter().all(|entry| known(&entry.registration.service, &entry.registration.id).is_none())
    }
}

impl Recall {
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes what is known out of a payload.
    pub(super) fn rest(&self, registry: &Registry, config: &FeedConfig, body: &[u8]) -> Rest {
        // A registry that was restored has the same records under other handles.
        let may = !self.rows.is_empty() && self.position.epoch == registry.epoch() && body.len() <= limits::PAYLOAD_BYTES;
        let Some(shape) = Shape::of(config).filter(|_| may) else { return Rest::default() };
        let Some(cuts) = Cuts::of(body, shape.lists) else { return Rest::default() };
        let mut rest = Rest { by: Some(shape.by), revision: self.position.revision, ..Rest::default() };
        let (mut used, mut hint) = (alloc::vec![false; self.rows.len()], 0usize);
        for print in cuts.prints(body, shape, config.seed) {
            let known = self.find(print, &mut hint).filter(|(from, _)| used.get(*from as usize) == Some(&false));
            let rows = known.and_then(|(from, to)| self.rows.get(from as usize..to as usize)).unwrap_or_default();
            let stands = |(_, made): &(u64, Made)| match made {
                Made::Record(handle) => registry.stands(*handle, self.position.revision),
                Made::Part(..) => true,
            };
            let known = known.filter(|_| rows.iter().all(stands));
            match known {
                Some((from, _)) => {
                    used.get_mut(from as usize).into_iter().for_each(|used| *used = true);
                    rows.iter().for_each(|(_, made)| rest.know(made));
                }
                None => rest.before.push(rest.names),
            }
            rest.entries.push((print, known));
        }
        if rest.same.is_empty() && rest.parts.is_empty() {
            return Rest::default();
        }
        rest.body = Some(cuts.without(body, |at| rest.entries.get(at).is_some_and(|(_, known)| known.is_some())));
        rest
    }

    /// The rows of an entry, most likely those behind the ones of the entry before it.
    fn find(&self, print: u64, hint: &mut usize) -> Option<(u32, u32)> {
        let at = |place: usize| self.rows.get(place).map(|(print, _)| *print);
        let from = if at(*hint) == Some(print) {
            *hint
        } else {
            let first = self.places.partition_point(|place| at(*place as usize).is_some_and(|own| own < print));
            self.places.get(first).map(|place| *place as usize).filter(|place| at(*place) == Some(print))?
        };
        let count = self.rows.get(from..).unwrap_or_default().iter().take_while(|(own, _)| *own == print).count();
        *hint = from.saturating_add(count);
        // There are at most as many as instances in a payload.
        Some((from as u32, *hint as u32))
    }

    /// Remembers what the entries of a payload have made.
    pub(super) fn remember(&mut self, registry: &Registry, config: &FeedConfig, body: &[u8], rest: &Rest, read: &Read) {
        let before = core::mem::take(self);
        let Some(shape) = Shape::of(config).filter(|_| read.clean) else { return };
        let mut prints: Vec<(u64, Option<(u32, u32)>)> = Vec::new();
        let entries = if rest.body.is_some() {
            if in_order(&rest.entries) == Some(before.rows.len() as u32) {
                *self = Self { position: registry.position(), ..before };
                return;
            }
            &rest.entries
        } else {
            let Some(cuts) = Cuts::of(body, shape.lists) else { return };
            prints.extend(cuts.prints(body, shape, config.seed).map(|print| (print, None)));
            &prints
        };
        let made = match shape.by {
            By::Index => read.made(|made| made.index),
            By::Part => read.made(|made| made.part),
            // Of a part that stands twice only the last is kept.
            By::Parts if read.parts.iter().map(|(key, _)| key).collect::<BTreeSet<_>>().len() < read.parts.len() => return,
            By::Parts => read.parts.iter().cloned().map(|(key, names)| alloc::vec![Made::Part(key, names)]).collect(),
        };
        if made.len() != entries.iter().filter(|(_, known)| known.is_none()).count() || made.iter().any(Vec::is_empty) {
            return;
        }
        let (mut made, mut rows) = (made.into_iter(), Vec::with_capacity(entries.len()));
        for (print, known) in entries {
            match known {
                Some((from, to)) => rows.extend(before.rows.get(*from as usize..*to as usize).unwrap_or_default().iter().cloned()),
                None => rows.extend(made.next().unwrap_or_default().into_iter().map(|made| (*print, made))),
            }
        }
        let mut places: Vec<u32> = (0..rows.len() as u32).collect();
        places.sort_unstable_by_key(|place| rows.get(*place as usize).map(|(print, _)| (*print, *place)));
        *self = Self { rows, places, position: registry.position() };
    }
}

/// How many rows these entries are, when all are known and stand in the order of the rows.
fn in_order(entries: &[(u64, Option<(u32, u32)>)]) -> Option<u32> {
    entries.iter().try_fold(0u32, |at, (_, known)| known.filter(|(from, _)| *from == at).map(|(_, to)| to))
}

/// What became of the entries that were read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Whether every one of them was taken.
    pub(super) clean: bool,
    /// Each instance.
    pub(super) instances: Vec<Taken>,
    /// The keys of the parts, and how many instances each names.
    pub(super) parts: Vec<(String, usize)>,
}

/// Where an instance stood in what was read, and its record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) index: usize,
    pub(super) part: usize,
    pub(super) handle: Handle,
}

impl Read {
    /// The records of each entry, by its place; none when the places have gaps.
    fn made(&self, place: impl Fn(&Taken) -> usize) -> Vec<Vec<Made>> {
        let mut made: Vec<Vec<Made>> = Vec::with_capacity(self.instances.len());
        for taken in &self.instances {
            let at = place(taken);
            if at == made.len() {
                made.push(Vec::new());
            }
            match made.get_mut(at) {
                Some(own) => own.push(Made::Record(taken.handle)),
                None => return Vec::new(),
            }
        }
        made
    }
}

/// Where the entries of a payload are.
#[derive(Debug, Default)]
struct Cuts {
    entries: Vec<(u32, u32)>,
    lists: Vec<List>,
}

/// Where a list of entries is.
#[derive(Clone, Copy, Debug)]
struct List {
    /// The place behind the bracket that opens it, and that of the one that closes it.
    open: u32,
    close: u32,
    /// How many entries there are up to its end.
    end: u32,
    /// The map it is in.
    holder: (u32, u32),
}

impl Cuts {
    /// Cuts a payload. `None` for what is no JSON of the usual form; what is cut need not be JSON, which its reader will find.
    fn of(body: &[u8], names: &[&str]) -> Option<Self> {
        let (mut cuts, mut maps) = (Self::default(), Vec::new());
        let (mut at, mut text, mut key): (usize, &[u8], Option<&[u8]>) = (0, b"", None);
        let root = body.iter().position(|byte| !byte.is_ascii_whitespace())?;
        while let Some(byte) = body.get(at) {
            match byte {
                b'"' => {
                    let end = string(body, at)?;
                    text = body.get(at.saturating_add(1)..end)?;
                    if text.contains(&b'\\') {
                        return None;
                    }
                    at = end;
                }
                b':' => key = Some(text),
                b'[' if names.iter().any(|name| if name.is_empty() { at == root } else { key == Some(name.as_bytes()) }) => {
                    let holder = maps.last().copied().unwrap_or(0);
                    at = cuts.list(body, at, holder)?;
                    key = None;
                }
                b'{' if maps.len() >= limits::DOCUMENT_DEPTH => return None,
                b'{' => {
                    maps.push(at as u32);
                    key = None;
                }
                b'}' => {
                    let start = maps.pop()?;
                    let inside = cuts.lists.iter_mut().rev().take_while(|list| list.open > start);
                    inside.filter(|list| list.holder.0 == start).for_each(|list| list.holder.1 = at as u32);
                    key = None;
                }
                b'[' | b',' => key = None,
                _ => {}
            }
            at = at.checked_add(1)?;
        }
        Some(cuts)
    }

    /// Cuts the list that opens here. Tells where it closes.
    fn list(&mut self, body: &[u8], open: usize, holder: u32) -> Option<usize> {
        let mut at = open.checked_add(1)?;
        let (mut may_begin, mut may_end) = (true, true);
        loop {
            match body.get(at)? {
                byte @ (b'{' | b'"') if may_begin => {
                    let end = if *byte == b'{' { map(body, at)? } else { string(body, at)?.checked_add(1)? };
                    self.entries.push((at as u32, end as u32));
                    (at, may_begin, may_end) = (end, false, true);
                    continue;
                }
                b']' if may_end => break,
                b',' if !may_begin => (may_begin, may_end) = (true, false),
                b' ' | b'\n' | b'\r' | b'\t' => {}
                _ => return None,
            }
            at = at.checked_add(1)?;
        }
        let (open, close, end) = (open.saturating_add(1) as u32, at as u32, self.entries.len() as u32);
        self.lists.push(List { open, close, end, holder: (holder, close) });
        Some(at)
    }

    /// The hashes of the entries; where it matters, with what else is in the map that has the list.
    fn prints(&self, body: &[u8], shape: Shape, seed: u64) -> impl Iterator<Item = u64> {
        let hash = move |from: u32, to: u32, seed| xxh3_64_with_seed(body.get(from as usize..to as usize).unwrap_or_default(), seed);
        let mut begin = 0u32;
        self.lists.iter().flat_map(move |list| {
            let around = || hash(list.close, list.holder.1, hash(list.holder.0, list.open, seed));
            let seed = if shape.around { around() } else { seed };
            let entries = self.entries.get(begin as usize..list.end as usize).unwrap_or_default();
            begin = list.end;
            entries.iter().map(move |(from, to)| hash(*from, *to, seed))
        })
    }

    /// The payload without some of its entries.
    fn without(&self, body: &[u8], known: impl Fn(usize) -> bool) -> Vec<u8> {
        let mut rest = Vec::new();
        let (mut from, mut number) = (0usize, 0usize);
        let entries = |number: usize, end: u32| self.entries.get(number..end as usize).unwrap_or_default();
        for List { open, close, end, .. } in &self.lists {
            rest.extend_from_slice(body.get(from..*open as usize).unwrap_or_default());
            let mut first = true;
            for (at, (start, stop)) in entries(number, *end).iter().enumerate() {
                if known(number.saturating_add(at)) {
                    continue;
                }
                if !core::mem::take(&mut first) {
                    rest.push(b',');
                }
                rest.extend_from_slice(body.get(*start as usize..*stop as usize).unwrap_or_default());
            }
            (from, number) = (*close as usize, *end as usize);
        }
        rest.extend_from_slice(body.get(from..).unwrap_or_default());
        rest
    }
}

/// The quotation mark that ends the string that begins here.
fn string(body: &[u8], at: usize) -> Option<usize> {
    let mut at = at.checked_add(1)?;
    loop {
        match body.get(at)? {
            b'"' => return Some(at),
            b'\\' => at = at.checked_add(2)?,
            _ => at = at.checked_add(1)?,
        }
    }
}

/// The place behind the map that begins here.
fn map(body: &[u8], at: usize) -> Option<usize> {
    let (mut at, mut depth) = (at, 0usize);
    loop {
        match body.get(at)? {
            b'"' => at = string(body, at)?,
            b'{' | b'[' => depth = depth.checked_add(1)?,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return at.checked_add(1);
                }
            }
            _ => {}
        }
        at = at.checked_add(1)?;
    }
}
