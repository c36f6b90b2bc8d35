//! What the policies that send a key where it was sent before have in common: what is hashed, and how a request is
//! answered from a table of who owns what.
//!
//! A request without a key is given to the owner of a random hash. When the owner is excluded, or bears more than the bound
//! allows, the table's own order says who is next: never the same host twice, the same for the same key.

use alloc::borrow::ToOwned as _;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::Candidates;
use super::bounded::Bound;
use super::config::Generator;
use super::digest::{crc32, md5, xxhash};
use super::maglev::{Places, permutation};
use super::points::Points;
use super::ring::{Layout, Ring};
use super::{jump, ketama};
use crate::balance::filter::TRIES;
use crate::balance::members::Members;
use crate::error::{Code, Error};
use crate::limits;
use crate::model::Handle;
use crate::registry::Registry;
use crate::rng::Rng;
use crate::value::{Fields, Value};

/// What is hashed of a host, and so says where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashKey {
    /// `address`: host and port of its first endpoint, as Envoy has it; of an instance without one, its id. The default.
    #[default]
    Address,
    /// `id`: its id, so that it keeps its keys when it moves.
    Id,
    /// `hostname`: the host of its first endpoint; of an instance without one, its id.
    Hostname,
    /// `metadata.KEY`: a metadata value; of an instance that lacks it, its address.
    Metadata(String),
}

impl HashKey {
    const METADATA: &str = "metadata.";

    /// Checks the length of the metadata key.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`].
    pub fn validate(&self) -> Result<(), Error> {
        match self {
            Self::Metadata(key) if key.len() > limits::METADATA_KEY_BYTES => {
                Err(Error::too_large("hash_key", limits::METADATA_KEY_BYTES as u64))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn from_fields(fields: &Fields<'_>) -> Result<Self, Error> {
        let text = fields.text("hash_key")?;
        text.map_or(Ok(Self::Address), |text| Self::parse(text).ok_or_else(|| Self::wrong("hash_key")))
    }

    /// Reads `address`, `id`, `hostname` or `metadata.KEY`.
    pub(in crate::balance) fn parse(text: &str) -> Option<Self> {
        match text {
            "address" => Some(Self::Address),
            "id" => Some(Self::Id),
            "hostname" => Some(Self::Hostname),
            text => text.strip_prefix(Self::METADATA).filter(|key| !key.is_empty()).map(|key| Self::Metadata(key.to_owned())),
        }
    }

    /// What is said of a text that is none.
    pub(in crate::balance) fn wrong(field: &str) -> Error {
        Error::new(Code::InvalidArgument, field).message("`address`, `id`, `hostname` or `metadata.KEY`")
    }

    pub(in crate::balance) fn to_value(&self) -> Value {
        match self {
            Self::Address => "address".into(),
            Self::Id => "id".into(),
            Self::Hostname => "hostname".into(),
            Self::Metadata(key) => {
                let mut text = Self::METADATA.to_string();
                text.push_str(key);
                text.into()
            }
        }
    }

    /// The text to hash for an instance; none when it is its id.
    pub(in crate::balance) fn text(&self, registry: &Registry, handle: Handle) -> Option<String> {
        let place = |port: bool| {
            let endpoint = registry.first_endpoint(handle)?;
            let mut text = endpoint.host.to_string();
            if let Some(port) = endpoint.port.filter(|_| port) {
                text.push(':');
                text.push_str(&port.to_string());
            }
            Some(text)
        };
        match self {
            Self::Id => None,
            Self::Hostname => place(false),
            Self::Address => place(true),
            Self::Metadata(key) => registry.metadata_value(handle, key).or_else(|| place(true)),
        }
    }
}

/// What a hash policy keeps for one pool.
#[derive(Clone, Debug)]
pub(in crate::balance) struct Owners {
    table: Table,
    bound: Option<Bound>,
}

/// Who owns what, and what of a key is looked up.
#[derive(Clone, Debug)]
enum Table {
    Ring(Points),
    Elastic(Elastic),
    /// Points of 32 bits by MD5.
    Ketama(Points),
    /// Points of 32 bits by CRC-32.
    Nginx(Points),
    Maglev(Places),
    Jump,
}

/// A ring whose points do not depend on who else is there: it follows changes.
#[derive(Clone, Debug)]
struct Elastic {
    points: Points,
    ring: Ring,
    halvings: u32,
    /// Who left since it was settled last, and the hashes of their points then.
    left: Vec<u32>,
    gone: Vec<u64>,
}

impl Owners {
    /// For the generators that look keys up; another is taken for `jump`.
    pub(super) fn build(generator: &Generator, slots: &[u32], members: &Members) -> Self {
        let table = match generator {
            Generator::Ring(ring) => {
                let (points, halvings) = ring.points(slots, members);
                let points = Points::build(&points);
                match ring.layout {
                    Layout::Scaled { .. } => Table::Ring(points),
                    Layout::Fixed(_) => {
                        Table::Elastic(Elastic { points, ring: ring.clone(), halvings, left: Vec::new(), gone: Vec::new() })
                    }
                }
            }
            Generator::Ketama(ketama) => {
                let points = Points::build(&ketama.points(slots, members));
                match ketama.layout {
                    ketama::KetamaLayout::Libketama => Table::Ketama(points),
                    ketama::KetamaLayout::Nginx => Table::Nginx(points),
                }
            }
            Generator::Maglev(maglev) => {
                let total = slots.iter().fold(0u64, |sum, slot| sum.saturating_add(u64::from(members.weight(*slot)))).max(1);
                let host = |slot: &u32| {
                    let share = f64::from(members.weight(*slot)) / total as f64;
                    (permutation(members.hash_key(*slot).as_bytes(), maglev.table_size), share, *slot)
                };
                Table::Maglev(Places::build(slots.iter().map(host), maglev.table_size))
            }
            _ => Table::Jump,
        };
        Self { table, bound: Bound::new(generator.load_factor(), slots, members) }
    }

    #[inline]
    pub(super) fn pick(&mut self, candidates: &Candidates<'_>, key: Option<&[u8]>, rng: &mut Rng) -> Option<u32> {
        let hash = match key {
            Some(key) => self.table.hash(key),
            None => rng.next_u64(),
        };
        if candidates.excluded.is_empty() && self.bound.is_none() {
            // A host without a point owns nothing; a ring without points has no owners.
            return self.table.owner(hash, candidates).or_else(|| candidates.slot(0));
        }
        self.walk(candidates, hash)
    }

    /// The owner of a key when the load of hosts has no bound; none where it takes more to say.
    #[inline(always)]
    pub(in crate::balance) fn look_up(&self, key: &[u8]) -> Option<u32> {
        match &self.table {
            _ if self.bound.is_some() => None,
            Table::Ring(points) | Table::Elastic(Elastic { points, .. }) => points.owner(xxhash(key)),
            Table::Maglev(places) => places.owner(xxhash(key)),
            _ => None,
        }
    }

    #[cold]
    #[inline(never)]
    fn walk(&mut self, candidates: &Candidates<'_>, hash: u64) -> Option<u32> {
        let first = self.table.first_open(candidates, hash).or_else(|| candidates.open().next())?;
        match &mut self.bound {
            Some(bound) => Some(bound.choose(first, hash, candidates)),
            None => Some(first),
        }
    }

    /// Whether it follows changes, by [`Owners::leave`] before and [`Owners::settle`] after each.
    pub(super) fn is_elastic(&self) -> bool {
        matches!(self.table, Table::Elastic(_))
    }

    /// Told before an instance that may be in it changes.
    pub(super) fn leave(&mut self, slot: u32, members: &Members) {
        if let Table::Elastic(elastic) = &mut self.table
            // The first time counts: later in the same change it may not be what it was built from.
            && !elastic.left.contains(&slot)
        {
            elastic.left.push(slot);
            elastic.gone.extend(elastic.ring.points_of(slot, members, elastic.halvings));
        }
    }

    /// Told after a change, with those that joined and all that are there now. False when it must be built anew, which for
    /// many changes at once is the cheaper way.
    pub(super) fn settle(&mut self, joining: &[u32], slots: &[u32], members: &Members) -> bool {
        let Table::Elastic(elastic) = &mut self.table else { return false };
        let many = elastic.left.len().max(joining.len()) > slots.len() / 8;
        if many || elastic.ring.halvings(slots, members) != elastic.halvings {
            return false;
        }
        let new = joining.iter().flat_map(|slot| elastic.ring.points_of(*slot, members, elastic.halvings).map(|hash| (hash, *slot)));
        let left = core::mem::take(&mut elastic.left);
        let gone = core::mem::take(&mut elastic.gone);
        elastic.points.change(&gone, |slot| left.contains(&slot), new.collect(), |one, other| members.compare(one, other));
        self.bound = self.bound.take().and_then(|bound| Bound::new(bound.percent(), slots, members));
        true
    }
}

impl Table {
    /// What of a key is looked up.
    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        match self {
            Self::Ketama(_) => u64::from(md5(key)[0]) << 32,
            Self::Nginx(_) => u64::from(!crc32(!0, key)) << 32,
            _ => xxhash(key),
        }
    }

    #[inline]
    fn owner(&self, hash: u64, candidates: &Candidates<'_>) -> Option<u32> {
        match self {
            Self::Ring(points) | Self::Elastic(Elastic { points, .. }) => points.owner(hash),
            Self::Ketama(points) | Self::Nginx(points) => points.owner(hash),
            Self::Maglev(places) => places.owner(hash),
            Self::Jump => candidates.slot(jump::bucket(hash, candidates.len())),
        }
    }

    /// The first in the table's order that the request leaves.
    fn first_open(&self, candidates: &Candidates<'_>, hash: u64) -> Option<u32> {
        let open = |slot: &u32| candidates.is_open(*slot);
        match self {
            Self::Ring(points) | Self::Elastic(Elastic { points, .. }) => points.walk(hash).find(open),
            Self::Ketama(points) | Self::Nginx(points) => points.walk(hash).find(open),
            Self::Maglev(places) => places.walk(hash, u64::from(TRIES)).find(open),
            Self::Jump => jump::walk(hash, candidates.slots, u64::from(TRIES)).find(open),
        }
    }
}
