//! `ring-hash`: every host has points on a circle, and a key belongs to the next one (Karger et al. 1997).
//!
//! # Points
//! A host's points are the hashes of `<key>_<i>`, as in Envoy and gRPC; the key is by default the address of its first
//! endpoint. How many there are is a matter of the layout:
//!
//! - **Scaled**, Envoy's and gRPC's: the ring is as large as it takes to give the lightest host a whole number of points
//!   and to have `min_size` in all, but no larger than `max_size`, which may leave light hosts without any. The numbers
//!   depend on who else is there, so a change moves more keys than it must.
//! - **Fixed**: so many points for a weight of 1. A host's points depend on nothing but itself, so when one comes, goes or
//!   changes its weight only its own keys move, and only its points are touched: the least disruption there can be, and a
//!   fraction of the cost of a new ring. At most 65 536 points a host; a ring that would pass 8 388 608 has half of them,
//!   or a quarter, and so on.
//!
//! # Retries
//! An excluded host is passed on the circle, so each next try goes to the next distinct host. (Envoy goes to the next
//! point, which may be the same host's.)

use alloc::string::String;
use alloc::vec::Vec;

use super::digest::{murmur2, xxhash};
use super::hash::HashKey;
use super::points::Point;
use crate::balance::members::Members;
use crate::error::{Code, Error};
use crate::limits;
use crate::value::{Fields, Value};

/// A hash ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// How many points each host has.
    pub layout: Layout,
    /// What the points are hashed by; keys are hashed by xxHash64 in either case, as in Envoy.
    pub hash: RingHash,
    /// What is hashed of a host; default its address.
    pub hash_key: HashKey,
    /// The bound on a host's load, as a percentage of its fair share: 100 to 10 000; 0, the default, for none.
    pub load_factor: u32,
}

/// How many points each host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A ring of a size that fits the weights, from `min` (default 1024) to `max` (default 4096): 1 to 8 388 608.
    Scaled {
        /// The fewest points of the ring.
        min: u32,
        /// The most.
        max: u32,
    },
    /// So many points for a weight of 1: 1 to 65 536; 160 is usual.
    Fixed(u32),
}

/// What the points of a ring are hashed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RingHash {
    /// `xxhash64`.
    #[default]
    XxHash64,
    /// `murmur2`: Envoy's `MURMUR_HASH_2`.
    Murmur2,
}

impl RingHash {
    const NAMES: [(&str, Self); 2] = [("xxhash64", Self::XxHash64), ("murmur2", Self::Murmur2)];

    fn of(self, bytes: &[u8]) -> u64 {
        match self {
            Self::XxHash64 => xxhash(bytes),
            Self::Murmur2 => murmur2(bytes),
        }
    }
}

impl Ring {
    /// gRPC's ring: 1024 to 4096 points by address.
    pub const DEFAULT: Self =
        Self { layout: Layout::Scaled { min: 1_024, max: 4_096 }, hash: RingHash::XxHash64, hash_key: HashKey::Address, load_factor: 0 };

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`], [`Code::InvalidArgument`].
    pub fn validate(&self) -> Result<(), Error> {
        let within = |field, size: u32, most: u32| match size {
            0 => Err(Error::new(Code::InvalidArgument, field).message("at least 1")),
            _ if size > most => Err(Error::too_large(field, u64::from(most))),
            _ => Ok(()),
        };
        match self.layout {
            Layout::Fixed(points) => within("points", points, limits::HOST_POINTS)?,
            Layout::Scaled { min, max } => {
                within("min_size", min, limits::RING_POINTS)?;
                within("max_size", max, limits::RING_POINTS)?;
                if min > max {
                    return Err(Error::new(Code::InvalidArgument, "min_size").message("above `max_size`"));
                }
            }
        }
        super::bounded::validate(self.load_factor)?;
        self.hash_key.validate()
    }

    /// Reads `{kind?, min_size?, max_size?, points?, hash?, hash_key?, load_factor?}`; `points` makes a fixed layout and
    /// excludes the sizes. A `min_size` above the default `max_size` raises it.
    ///
    /// # Errors
    /// As [`Ring::validate`]; [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["kind", "min_size", "max_size", "points", "hash", "hash_key", "load_factor"])?;
        let size = |name| Ok(fields.u64(name)?.map(|size| u32::try_from(size).unwrap_or(u32::MAX)));
        let layout = match (size("points")?, size("min_size")?, size("max_size")?) {
            (Some(points), None, None) => Layout::Fixed(points),
            (Some(_), ..) => return Err(Error::new(Code::InvalidArgument, "points").message("excludes `min_size` and `max_size`")),
            (None, min, max) => {
                let max = max.unwrap_or_else(|| min.unwrap_or_default().max(4_096));
                Layout::Scaled { min: min.unwrap_or(1_024.min(max)), max }
            }
        };
        let hash = match fields.text("hash")? {
            None => RingHash::default(),
            Some(name) => {
                let known = RingHash::NAMES.iter().find(|(known, _)| *known == name);
                known.ok_or_else(|| Error::new(Code::InvalidArgument, "hash").message("`xxhash64` or `murmur2`"))?.1
            }
        };
        let hash_key = HashKey::from_fields(&fields)?;
        let ring = Self { layout, hash, hash_key, load_factor: super::bounded::from_fields(&fields)? };
        ring.validate()?;
        Ok(ring)
    }

    /// Writes `{kind, min_size, max_size, hash, hash_key, load_factor}`, with `points` for a fixed layout.
    pub fn to_value(&self) -> Value {
        let (min, max, points) = match self.layout {
            Layout::Scaled { min, max } => (Some(u64::from(min)), Some(u64::from(max)), None),
            Layout::Fixed(points) => (None, None, Some(u64::from(points))),
        };
        let hash = RingHash::NAMES.iter().find(|(_, hash)| *hash == self.hash).map_or("", |(name, _)| name);
        let sizes = [("min_size", min), ("max_size", max), ("points", points)];
        let sizes = sizes.into_iter().filter_map(|(name, size)| Some((name, Value::from(size?))));
        Value::map(sizes.chain([
            ("kind", "ring-hash".into()),
            ("hash", hash.into()),
            ("hash_key", self.hash_key.to_value()),
            ("load_factor", super::bounded::to_value(self.load_factor)),
        ]))
    }

    /// The points of these hosts. With a fixed layout also how many times they are halved.
    pub(super) fn points(&self, slots: &[u32], members: &Members) -> (Vec<Point>, u32) {
        match self.layout {
            Layout::Scaled { min, max } => {
                let total = slots.iter().fold(0u64, |sum, slot| sum.saturating_add(u64::from(members.weight(*slot))));
                let share = |slot: &u32| f64::from(members.weight(*slot)) / total.max(1) as f64;
                let shares: Vec<f64> = slots.iter().map(share).collect();
                let counts = scale(&shares, min, max);
                let mut points = Vec::with_capacity(counts.iter().fold(0usize, |sum, count| sum.saturating_add(*count as usize)));
                for (slot, count) in slots.iter().zip(counts) {
                    points.extend(spread(self.hash, members.hash_key(*slot), count).map(|hash| (hash, *slot)));
                }
                (points, 0)
            }
            Layout::Fixed(_) => {
                let halvings = self.halvings(slots, members);
                let points = slots.iter().flat_map(|slot| self.points_of(*slot, members, halvings).map(|hash| (hash, *slot)));
                (points.collect(), halvings)
            }
        }
    }

    /// How many times the points of a fixed layout are halved, lest they be too many.
    pub(super) fn halvings(&self, slots: &[u32], members: &Members) -> u32 {
        let total = slots.iter().fold(0u64, |sum, slot| sum.saturating_add(self.count(members.weight(*slot))));
        halvings(total)
    }

    /// The hashes of one host's points, with a fixed layout.
    pub(super) fn points_of<'a>(&self, slot: u32, members: &'a Members, halvings: u32) -> impl Iterator<Item = u64> + use<'a> {
        let count = (self.count(members.weight(slot)) >> halvings).max(1);
        spread(self.hash, members.hash_key(slot), count as u32)
    }

    /// How many points a host of this weight, in thousandths, has with a fixed layout before they are halved.
    fn count(&self, weight: u32) -> u64 {
        let Layout::Fixed(points) = self.layout else { return 0 };
        let exact = u64::from(points).saturating_mul(u64::from(weight)).saturating_add(500) / 1_000;
        exact.clamp(1, u64::from(limits::HOST_POINTS))
    }
}

/// How many times so many points are halved, to be no more than a ring may have.
pub(super) fn halvings(points: u64) -> u32 {
    const MOST: u32 = 32;
    (0..MOST).find(|halvings| points >> halvings <= u64::from(limits::RING_POINTS)).unwrap_or(MOST)
}

/// How many points each host has in Envoy's layout, given its share of the weight.
pub(super) fn scale(shares: &[f64], min: u32, max: u32) -> Vec<u32> {
    let least =
        shares.iter().copied().filter(|share| *share > 0.0).fold(1.0, |least: f64, share| if share < least { share } else { least });
    let whole = libm::ceil(least * f64::from(min)) / least;
    let scale = if whole < f64::from(max) { whole } else { f64::from(max) };
    let (mut target, mut current) = (0.0, 0.0);
    let count = |share: &f64| {
        target += scale * share;
        let mut count = 0u32;
        while current < target {
            count = count.saturating_add(1);
            current += 1.0;
        }
        count
    };
    shares.iter().map(count).collect()
}

/// The hashes of `<key>_0`, `<key>_1` and so on.
pub(super) fn spread(hash: RingHash, key: &str, count: u32) -> impl Iterator<Item = u64> + use<> {
    let mut text = String::with_capacity(key.len().saturating_add(11));
    text.push_str(key);
    text.push('_');
    let stem = text.len();
    let mut text = text.into_bytes();
    (0..count).map(move |number| {
        text.truncate(stem);
        push_decimal(&mut text, number);
        hash.of(&text)
    })
}

/// Appends a number in decimal.
pub(super) fn push_decimal(text: &mut Vec<u8>, mut number: u32) {
    let mut digits = [0u8; 10];
    let mut used = 0usize;
    for cell in digits.iter_mut().rev() {
        // A remainder of ten is a digit.
        *cell = b'0'.wrapping_add((number % 10) as u8);
        number /= 10;
        used = used.saturating_add(1);
        if number == 0 {
            break;
        }
    }
    text.extend_from_slice(digits.get(digits.len().saturating_sub(used)..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::super::points::Points;
    use super::*;
    use std::format;

    fn addresses(ports: core::ops::Range<u32>) -> Vec<String> {
        ports.map(|port| format!("127.0.0.1:{port}")).collect()
    }

    /// A ring in Envoy's layout, its owners by place.
    fn ring(hash: RingHash, keys: &[String], shares: &[f64], min: u32, max: u32) -> (Points, Vec<u32>) {
        let counts = scale(shares, min, max);
        let spread = |(at, key): (u32, &String)| spread(hash, key, counts[at as usize]).map(move |point| (point, at));
        (Points::build(&(0u32..).zip(keys).flat_map(spread).collect::<Vec<_>>()), counts)
    }

    fn even(count: usize) -> Vec<f64> {
        alloc::vec![1.0 / count as f64; count]
    }

    /// Each locality's share of the weight, shared by its hosts.
    fn local(localities: &[&[f64]], weights: &[f64]) -> Vec<f64> {
        let total: f64 = weights.iter().sum();
        let hosts = localities.iter().zip(weights).map(|(hosts, weight)| {
            let sum: f64 = hosts.iter().sum();
            hosts.iter().map(move |host| weight / total * (host / sum))
        });
        hosts.flatten().collect()
    }

    /// grpc/grpc-go#9357: the sum of many great weights wrapped in 32 bits, and the ring had no end.
    #[test]
    fn great_weights_make_the_ring_of_small_ones() {
        let points = |weight| {
            let (members, slots) = Members::fixture(&[weight; 70]);
            Ring::DEFAULT.points(&slots, &members).0
        };
        assert_eq!(points(limits::WEIGHT_THOUSANDTHS), points(1_000));
    }

    /// Envoy's ring_hash_lb_test.cc, `Basic`, `BasicWithMurmur2`, `BasicWithHostname`, `UnevenHosts`.
    #[test]
    fn rings_are_envoys() {
        let names: Vec<String> = (90..96).map(|name| format!("{name}")).collect();
        for (hash, keys, min, expected) in [
            (
                RingHash::XxHash64,
                addresses(90..96),
                12,
                &[
                    (833437586790550860, 4),
                    (928266305478181108, 2),
                    (1033482794131418490, 0),
                    (3551244743356806947, 5),
                    (3851675632748031481, 3),
                    (5583722120771150861, 1),
                    (6311230543546372928, 1),
                    (7700377290971790572, 3),
                    (13144177310400110813, 5),
                    (13444792449719432967, 2),
                    (15516499411664133160, 4),
                    (16117243373044804889, 0),
                ][..],
            ),
            (
                RingHash::Murmur2,
                addresses(80..86),
                12,
                &[
                    (1358027074129602068, 5),
                    (4361834613929391114, 3),
                    (7224494972555149682, 4),
                    (7701421856454313576, 1),
                    (8649315368077433379, 2),
                    (8739448859063030639, 4),
                    (9887544217113020895, 1),
                    (10150910876324007731, 2),
                    (15168472011420622455, 3),
                    (15427156902705414897, 0),
                    (16375050414328759093, 5),
                    (17613279263364193813, 0),
                ],
            ),
            (
                RingHash::XxHash64,
                names,
                12,
                &[
                    (1975508444536362413, 5),
                    (2376063919839173711, 5),
                    (2386806903309390596, 3),
                    (6749904478991551885, 4),
                    (6803900775736438537, 3),
                    (7225015537174310577, 2),
                    (8787465352164086522, 0),
                    (11282020843382717940, 2),
                    (13723418369486627818, 1),
                    (13776502110861797421, 0),
                    (14338313586354474791, 1),
                    (15364271037087512980, 4),
                ],
            ),
            (
                RingHash::XxHash64,
                addresses(80..82),
                3,
                &[(5454692015285649509, 0), (7859399908942313493, 1), (13838424394637650569, 0), (16064866803292627174, 1)],
            ),
        ] {
            let (points, counts) = ring(hash, &keys, &even(keys.len()), min, 8_388_608);
            assert_eq!(counts, alloc::vec![2; keys.len()]);
            assert_eq!(points.len(), expected.len());
            for ((hash, owner), (next, after)) in expected.iter().zip(expected.iter().cycle().skip(1)) {
                assert_eq!((points.owner(*hash), points.owner(hash + 1)), (Some(*owner), Some(*after)), "{next}");
            }
            for hash in [0, u64::MAX] {
                assert_eq!(points.owner(hash), Some(expected[0].1));
            }
        }
    }

    /// Envoy's next tries: the next point for the first, whoever's it is.
    #[test]
    fn next_points_are_envoys() {
        let (points, _) = ring(RingHash::XxHash64, &addresses(90..96), &even(6), 12, 8_388_608);
        let walk: Vec<u32> = points.walk(0).collect();
        assert_eq!((walk[0], walk[1], walk[2], walk[13 % 12]), (4, 2, 0, 2));
    }

    /// Envoy's ring_hash_lb_test.cc, the weighted cases.
    #[test]
    fn weighted_rings_are_envoys() {
        let three = [1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0];
        let tiny = [
            (928266305478181108, 2),
            (4443673547860492590, 2),
            (5583722120771150861, 1),
            (6311230543546372928, 1),
            (13444792449719432967, 2),
            (16117243373044804889, 0),
        ];
        let by_locality = local(&[&[1.0], &[1.0], &[1.0], &[1.0]], &[1.0, 2.0, 3.0, 0.0]);
        for (keys, shares) in [(addresses(90..93), &three[..]), (addresses(90..94), &by_locality)] {
            let (points, counts) = ring(RingHash::XxHash64, &keys, shares, 6, 6);
            assert_eq!(counts[..3], [1, 2, 3]);
            assert_eq!(points.len(), 6);
            assert!(tiny.iter().all(|(hash, owner)| points.owner(*hash) == Some(*owner)));
        }
        let both = local(&[&[1.0, 2.0], &[1.0, 2.0]], &[1.0, 2.0]);
        let (points, counts) = ring(RingHash::XxHash64, &addresses(90..94), &both, 9, 9);
        assert_eq!(counts, [1, 2, 2, 4]);
        for (hash, owner) in [
            (928266305478181108, 2),
            (3851675632748031481, 3),
            (5583722120771150861, 1),
            (6311230543546372928, 1),
            (7700377290971790572, 3),
            (12559126875973811811, 3),
            (13444792449719432967, 2),
            (13784988426630141778, 3),
            (16117243373044804889, 0),
        ] {
            assert_eq!(points.owner(hash), Some(owner));
        }
        for (ports, shares, min, max, sweep, expected) in [
            (90..93, &three[..], 6_144, 8_388_608, 6_000u64, &[987, 1_932, 3_081][..]),
            (90..94, &both, 9_216, 8_388_608, 9_000, &[924, 2_009, 2_053, 4_014]),
            (90..92, &even(2), 1_023, 1_023, 1_023, &[526, 497]),
        ] {
            let (points, _) = ring(RingHash::XxHash64, &addresses(ports), shares, min, max);
            let mut counts = alloc::vec![0u32; shares.len()];
            for at in 0..sweep {
                counts[points.owner(at * (u64::MAX / sweep)).unwrap() as usize] += 1;
            }
            assert_eq!(counts, expected);
        }
    }

    /// Envoy's ring_hash_lb_test.cc: rings too small for everybody.
    #[test]
    fn small_scales_are_envoys() {
        assert_eq!(scale(&even(2), 1_023, 1_023), [512, 511]);
        let (_, counts) = ring(RingHash::XxHash64, &addresses(90..94), &even(4), 2, 2);
        assert_eq!(counts.iter().filter(|count| **count > 0).count(), 2);
        let others = alloc::vec![1.0; 1_023];
        let lopsided = local(&[&[1.0], &others], &[127.0, 1.0]);
        let (points, counts) = ring(RingHash::XxHash64, &addresses(0..1_024), &lopsided, 1_024, 1_024);
        assert_eq!(counts[0], 1_016);
        for (hash, owner) in [
            (11664790346325243808, 1),
            (15894554872961148518, 128),
            (13958138884277627155, 256),
            (15803774069438192949, 384),
            (3829253010855396576, 512),
            (17918147347826565154, 640),
            (6442769608292299103, 768),
            (5881074926069334434, 896),
        ] {
            assert_eq!(points.owner(hash), Some(owner));
        }
    }
}
