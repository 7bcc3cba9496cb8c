//! Counts of blocks of text that were counted before: an agent sends the same messages again with every turn.
//!
//! Nothing of a text is kept, only a hash of 128 bits with seeds of its own, and its count. A false match would need
//! two such texts among those of one process; nobody can make them without knowing the seeds.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

/// Blocks that are remembered, at most: 24 bytes each, 768 KiB.
const PLACES: usize = 32 * 1024;
/// Places that one block may be at; the one that was not used for longest gives way.
const WAYS: usize = 4;
/// Shorter texts are counted as quickly as they are looked up.
pub(crate) const SHORTEST: usize = 256;

#[derive(Debug)]
pub(crate) struct Blocks {
    seeds: [u64; 4],
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    /// Two words of the hash (0 and 0: nothing there), then the count in the upper half and the time of use.
    places: Vec<[u64; 3]>,
    /// Uses so far.
    now: u32,
}

impl Default for Blocks {
    fn default() -> Blocks {
        let random = RandomState::new();
        Blocks {
            seeds: [1_u64, 2, 3, 4].map(|number| random.hash_one(number) | 1),
            table: Mutex::new(Table {
                places: vec![[0; 3]; PLACES],
                now: 0,
            }),
        }
    }
}

impl Blocks {
    /// What is known of this text.
    pub(crate) fn get(&self, key: u128) -> Option<u64> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let now = table.tick();
        let place = table.set(key).iter_mut().find(|place| is(place, key))?;
        place[2] = place[2] & !u64::from(u32::MAX) | u64::from(now);
        Some(place[2] >> 32)
    }

    pub(crate) fn put(&self, key: u128, count: u64) {
        let Ok(count) = u32::try_from(count) else {
            return;
        };
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let now = table.tick();
        let oldest = |place: &&mut [u64; 3]| now.wrapping_sub(place[2] as u32);
        let set = table.set(key);
        let known = set.iter().position(|place| is(place, key));
        let place = match known {
            Some(at) => set.get_mut(at),
            None => set.iter_mut().max_by_key(oldest),
        };
        if let Some(place) = place {
            *place = [
                key as u64,
                (key >> 64) as u64,
                u64::from(count) << 32 | u64::from(now),
            ];
        }
    }

    /// A hash that only this process can tell.
    pub(crate) fn key(&self, text: &str) -> u128 {
        let [one, two, three, four] = self.seeds;
        let (chunks, rest) = text.as_bytes().as_chunks::<16>();
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        let (mut low, mut high) = (three, four ^ text.len() as u64);
        for chunk in chunks.iter().chain([&last]) {
            let word = u128::from_le_bytes(*chunk);
            let (a, b) = (word as u64, (word >> 64) as u64);
            low = fold(a ^ one, b ^ low.rotate_left(29));
            high = fold(b ^ two, a ^ high.rotate_left(31));
        }
        let key = u128::from(fold(low ^ one, high ^ four)) << 64 | u128::from(fold(high ^ two, low ^ three));
        // Nothing there is not a key.
        key.max(1)
    }
}

impl Table {
    fn tick(&mut self) -> u32 {
        self.now = self.now.wrapping_add(1);
        self.now
    }

    fn set(&mut self, key: u128) -> &mut [[u64; 3]] {
        let first = key as usize % (PLACES / WAYS) * WAYS;
        &mut self.places[first..first + WAYS]
    }
}

fn is(place: &[u64; 3], key: u128) -> bool {
    place[0] == key as u64 && place[1] == (key >> 64) as u64
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_found_until_it_was_not_used_for_long() {
        let blocks = Blocks::default();
        let key = |number: usize| blocks.key(&format!("block {number}"));
        for number in 0..10 * PLACES {
            blocks.put(key(number), number as u64);
            assert_eq!(blocks.get(key(number)), Some(number as u64));
            // This one is always in use.
            if number % WAYS == 0 {
                assert_eq!(blocks.get(key(0)), Some(0), "{number}");
            }
        }
        let known = (0..10 * PLACES)
            .filter(|number| blocks.get(key(*number)).is_some())
            .count();
        assert!((PLACES / 2..=PLACES).contains(&known), "{known}");
        blocks.put(key(0), 7);
        assert_eq!(blocks.get(key(0)), Some(7));
        blocks.put(1, u64::MAX);
        assert_eq!(blocks.get(1), None);
    }

    #[test]
    fn texts_that_are_almost_the_same_have_other_keys() {
        let blocks = Blocks::default();
        let mut keys = std::collections::HashSet::new();
        let text = "a".repeat(100);
        for len in 0..=text.len() {
            assert!(keys.insert(blocks.key(&text[..len])), "{len}");
        }
        for at in 0..text.len() {
            let mut other = text.clone();
            other.replace_range(at..=at, "b");
            assert!(keys.insert(blocks.key(&other)), "{at}");
        }
        for zeros in 1..40 {
            assert!(keys.insert(blocks.key(&"\0".repeat(zeros))), "{zeros}");
        }
        assert_ne!(Blocks::default().key("a"), blocks.key("a"));
    }
}
