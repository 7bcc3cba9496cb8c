//! Hashing of what nobody outside chooses: keys of calls, which are hashes already, and numbers that the store gave.
//!
//! The standard hasher withstands chosen keys, and costs a twentieth of a bulk import.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A map by keys of calls or by ids.
pub(crate) type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;
/// A set of keys of calls.
pub(crate) type QuickSet<K> = HashSet<K, BuildHasherDefault<Quick>>;

/// An odd number whose bits look random: 2⁶⁴ divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Multiplies and turns, word by word.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Quick(u64);

impl Quick {
    fn take(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    }
}

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.take(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.take(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.take(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.take(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.take(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.take(number as u64);
    }

    /// The map goes by the highest and by the lowest bits; the highest depend on all.
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, Hash};

    use tokmon_core::id::Key;

    use super::*;

    fn spread<K: Hash>(keys: impl Iterator<Item = K>) -> usize {
        let build = BuildHasherDefault::<Quick>::default();
        let slots: HashSet<u64> = keys.map(|key| build.hash_one(key) & 0xffff).collect();
        slots.len()
    }

    #[test]
    fn keys_and_ids_in_sequence_fall_into_slots_of_their_own() {
        // Thrown at random, 4,096 fall into some 3,970 of 65,536 slots.
        let runs = (0..4_096).map(|n| Key::of_run(20_000, 0x0123_4567_89ab_cdef, n));
        assert!(spread(runs) > 3_800);
        let hashes = (0..4_096).map(|n: u32| Key::new(0, &[&n.to_string()]));
        assert!(spread(hashes) > 3_800);
        let dims = (0..4_096_u32).map(|n| (n / 100, [1, 2, n % 4, 3, n / 64, n % 64, 1, 0]));
        assert!(spread(dims) > 3_800);
        assert!(spread((0..4_096_u64).map(|n| n << 32 | 1)) > 3_800);
    }
}
