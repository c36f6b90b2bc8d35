//! `ketama`: the rings of memcached clients and of nginx, point by point, so that keys stay where those put them.
//!
//! - **libketama** (Richard Jones, 2007; also Finagle's and Twemproxy's): of n servers one with a share p of the weight has
//!   the whole part of `40 n p` digests, MD5 of `<key>-<k>`, and each digest is four points of 32 bits. A key is the first
//!   of the four words of its own MD5. The numbers depend on who else is there. (libketama computes the share in 32-bit
//!   floats, which loses a digest here and there; the whole part here is exact.)
//! - **nginx** (`hash $key consistent`, after Cache::Memcached::Fast): a server has 160 points for a weight of 1. A point is
//!   the CRC-32 of the host, a zero byte, the port and the point before (four bytes, little-endian, 0 at first); a key is its
//!   CRC-32. A server's points depend on nothing but itself. They are bounded as those of a fixed `ring-hash` are.
//!
//! A key belongs to the first point that is not before it. An excluded server is passed on the ring.

use alloc::vec::Vec;

use super::digest::{crc32, md5};
use super::hash::HashKey;
use super::points::Point;
use super::ring::{halvings, push_decimal};
use crate::balance::members::Members;
use crate::error::{Code, Error};
use crate::limits;
use crate::value::{Fields, Value};

/// A ring of 32-bit points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ketama {
    /// Whose points: by default libketama's.
    pub layout: KetamaLayout,
    /// What is hashed of a host; default its address.
    pub hash_key: HashKey,
    /// The bound on a host's load, as a percentage of its fair share: 100 to 10 000; 0, the default, for none.
    pub load_factor: u32,
}

/// Whose points a [`Ketama`] ring has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KetamaLayout {
    /// `libketama`.
    #[default]
    Libketama,
    /// `nginx`.
    Nginx,
}

/// Digests of an average server, four points each.
const DIGESTS: u64 = 40;
/// Points of a server of weight 1 in nginx.
const POINTS: u64 = 160;

impl Ketama {
    const LAYOUTS: [(&str, KetamaLayout); 2] = [("libketama", KetamaLayout::Libketama), ("nginx", KetamaLayout::Nginx)];

    /// libketama's ring, by address.
    pub const DEFAULT: Self = Self { layout: KetamaLayout::Libketama, hash_key: HashKey::Address, load_factor: 0 };

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`], [`Code::InvalidArgument`].
    pub fn validate(&self) -> Result<(), Error> {
        super::bounded::validate(self.load_factor)?;
        self.hash_key.validate()
    }

    /// Reads `{kind?, layout?, hash_key?, load_factor?}`.
    ///
    /// # Errors
    /// As [`Ketama::validate`]; [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["kind", "layout", "hash_key", "load_factor"])?;
        let layout = match fields.text("layout")? {
            None => KetamaLayout::default(),
            Some(name) => {
                let known = Self::LAYOUTS.iter().find(|(known, _)| *known == name);
                known.ok_or_else(|| fields.error(Code::InvalidArgument, "layout").message("`libketama` or `nginx`"))?.1
            }
        };
        let ketama = Self { layout, hash_key: HashKey::from_fields(&fields)?, load_factor: super::bounded::from_fields(&fields)? };
        ketama.validate()?;
        Ok(ketama)
    }

    /// Writes `{kind, layout, hash_key, load_factor}`.
    pub fn to_value(&self) -> Value {
        let layout = Self::LAYOUTS.iter().find(|(_, layout)| *layout == self.layout).map_or("", |(name, _)| name);
        Value::map([
            ("kind", "ketama".into()),
            ("layout", layout.into()),
            ("hash_key", self.hash_key.to_value()),
            ("load_factor", super::bounded::to_value(self.load_factor)),
        ])
    }

    /// The points of these hosts, in the upper halves of the hashes.
    pub(super) fn points(&self, slots: &[u32], members: &Members) -> Vec<Point> {
        let weight = |slot: u32| u64::from(members.weight(slot));
        let total = slots.iter().fold(0u64, |sum, slot| sum.saturating_add(weight(*slot)));
        let point = |hash: u32, slot: u32| (u64::from(hash) << 32, slot);
        let share = |slot: u32| (weight(slot).saturating_mul(POINTS) / 1_000).clamp(1, u64::from(limits::HOST_POINTS));
        let all = slots.iter().fold(0u64, |sum, slot| sum.saturating_add(share(*slot)));
        let halvings = halvings(all);
        let mut points = Vec::new();
        for slot in slots {
            let key = members.hash_key(*slot);
            match self.layout {
                KetamaLayout::Libketama => {
                    let count = digests(weight(*slot), total, slots.len() as u64);
                    points.extend((0..count).flat_map(|number| digest_points(key, number)).map(|hash| point(hash, *slot)));
                }
                KetamaLayout::Nginx => {
                    let count = (share(*slot) >> halvings).max(1);
                    points.extend(chained_points(key, count as u32).map(|hash| point(hash, *slot)));
                }
            }
        }
        points
    }
}

/// How many digests a server of this weight has among so many of this total.
fn digests(weight: u64, total: u64, count: u64) -> u32 {
    let exact = u128::from(weight).saturating_mul(u128::from(DIGESTS.saturating_mul(count))).checked_div(u128::from(total));
    // The whole ring has no more digests than 40 times its servers.
    exact.unwrap_or_default() as u32
}

/// The four points of one digest.
fn digest_points(key: &str, number: u32) -> [u32; 4] {
    let mut text = key.as_bytes().to_vec();
    text.push(b'-');
    push_decimal(&mut text, number);
    md5(&text)
}

/// nginx's points, each made from the one before.
fn chained_points(key: &str, count: u32) -> impl Iterator<Item = u32> {
    let (host, port) = match key.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (key, ""),
    };
    let base = crc32(crc32(crc32(!0, host.as_bytes()), &[0]), port.as_bytes());
    let mut last = 0u32;
    (0..count).map(move |_| {
        last = !crc32(base, &last.to_le_bytes());
        last
    })
}
