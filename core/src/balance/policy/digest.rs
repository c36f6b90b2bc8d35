//! The hash functions of the systems whose tables are made here.

use xxhash_rust::xxh64::xxh64;

/// xxHash64 with the seed 0: Envoy's and gRPC's hash.
#[inline]
pub(super) fn xxhash(bytes: &[u8]) -> u64 {
    xxh64(bytes, 0)
}

/// MurmurHash2, the 64-bit variant by Austin Appleby, with the seed of libstdc++'s `std::hash`: Envoy's `MURMUR_HASH_2`.
pub(super) fn murmur2(bytes: &[u8]) -> u64 {
    const MIX: u64 = 0xc6a4_a793_5bd1_e995;
    const SEED: u64 = 0xc70f_6907;
    let shift = |value: u64| value ^ value >> 47;
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(MIX);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash ^= shift(u64::from_le_bytes(*word).wrapping_mul(MIX)).wrapping_mul(MIX);
        hash = hash.wrapping_mul(MIX);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        hash = (hash ^ last).wrapping_mul(MIX);
    }
    shift(shift(hash).wrapping_mul(MIX))
}

/// The digest of RFC 1321 as four little-endian words.
pub(super) fn md5(bytes: &[u8]) -> [u32; 4] {
    let digest = ::md5::compute(bytes).0;
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(digest.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

/// CRC-32 of IEEE 802.3, continued: start with `!0`, end with a complement.
pub(super) fn crc32(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, byte| {
        let place = (crc as u8 ^ byte) as usize;
        CRC.get(place).copied().unwrap_or_default() ^ crc >> 8
    })
}

// Places below 256 of a table of 256, written by the compiler.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
const CRC: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut place = 0;
    while place < 256 {
        let mut crc = place as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[place] = crc;
        place += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_the_published_ones() {
        // The check value of the CRC catalogue, RFC 1321's examples, xxHash's of the empty input.
        assert_eq!(!crc32(!0, b"123456789"), 0xcbf4_3926);
        assert_eq!(md5(b""), [0xd98c_1dd4, 0x04b2_008f, 0x9809_80e9, 0x7e42_f8ec]);
        assert_eq!(md5(b"abc"), [0x9850_0190, 0xb04f_d23c, 0x7d3f_96d6, 0x727f_e128]);
        assert_eq!(xxhash(b""), 0xef46_db37_51d8_e999);
    }
}
