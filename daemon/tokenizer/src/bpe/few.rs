//! Merging stretches that are so short that all of their parts are looked through for each merge.

use crate::joins::{APART, Joins};
use crate::vocabulary::Vocabulary;

/// Most parts of such a stretch.
pub(super) const MOST_PARTS: usize = 128;
/// Bits of a key that tell the place, below those that tell the rank.
const PLACE_BITS: u32 = MOST_PARTS.ilog2();
/// Comes after all ranks.
const NO_KEY: i32 = i32::MAX;
/// No key of two that join is as high.
const LEAST_APART: i32 = (APART << PLACE_BITS).cast_signed();

/// The parts of a stretch that merging starts with.
pub(super) struct Parts {
    /// The rank of each.
    ranks: [u32; MOST_PARTS],
    /// What it and the next one join to, and its place.
    keys: [i32; MOST_PARTS],
}

impl Default for Parts {
    fn default() -> Parts {
        Parts {
            ranks: [0; MOST_PARTS],
            keys: [NO_KEY; MOST_PARTS],
        }
    }
}

impl Parts {
    /// Sets the part behind so many, and what it and the one before it join to, and says how many they are then: more
    /// than there may be, once they are too many.
    #[inline(always)]
    pub(super) fn push(&mut self, parts: usize, joined: u32, rank: u32) -> usize {
        let Some(place) = self.ranks.get_mut(parts) else {
            return MOST_PARTS + 1;
        };
        *place = rank;
        if let Some(last) = parts.checked_sub(1) {
            self.keys[last] = key(joined, last);
        }
        parts + 1
    }

    /// What the last of so many parts and this one join to.
    #[inline(always)]
    pub(super) fn joined(&self, joins: &Joins, parts: usize, rank: u32) -> u32 {
        let last = parts.checked_sub(1).and_then(|last| self.ranks.get(last));
        last.map_or(APART, |last| joins.of(*last, rank))
    }

    /// Sets the bytes of a piece as parts; of too many, only as many as there may be.
    #[inline(always)]
    pub(super) fn set(&mut self, vocabulary: &Vocabulary, piece: &[u8]) {
        for (place, byte) in self.ranks.iter_mut().zip(piece) {
            *place = vocabulary.single[usize::from(*byte)];
        }
        for (at, (place, two)) in self.keys.iter_mut().zip(piece.windows(2)).enumerate() {
            *place = key(vocabulary.pair(two[0], two[1]), at);
        }
    }

    /// The tokens that the first so many parts merge to; `None` when there are not so many.
    #[inline(always)]
    pub(super) fn count(&mut self, joins: &Joins, parts: usize) -> Option<u64> {
        Some(match parts {
            ..=1 => parts as u64,
            2 => 1 + u64::from(self.keys[0] >= LEAST_APART),
            3 => self.merge_three(joins),
            4..=8 => self.merge::<8>(joins, parts),
            9..=16 => self.merge::<16>(joins, parts),
            17..=32 => self.merge::<32>(joins, parts),
            33..=64 => self.merge::<64>(joins, parts),
            65..=MOST_PARTS => self.merge::<MOST_PARTS>(joins, parts),
            _ => return None,
        })
    }

    #[inline(always)]
    fn merge_three(&self, joins: &Joins) -> u64 {
        let ([first, _, last, ..], [left, right, ..]) = (&self.ranks, &self.keys);
        if left.min(right) >= &LEAST_APART {
            return 3;
        }
        let joined = match left < right {
            true => joins.of((left >> PLACE_BITS).cast_unsigned(), *last),
            false => joins.of(*first, (right >> PLACE_BITS).cast_unsigned()),
        };
        1 + u64::from(joined == APART)
    }

    /// Joins the two neighbours that become the token of the lowest rank, leftmost first, until there are none.
    ///
    /// Parts keep their places, the joined one that of its first. The rank of a part together with the next one and its
    /// place are one figure, so that the least of these, which processors find without a branch, tells both.
    #[inline(never)]
    fn merge<const MOST: usize>(&mut self, joins: &Joins, mut parts: usize) -> u64 {
        const { assert!(MOST <= MOST_PARTS && MOST.is_power_of_two()) };
        let len = parts;
        let (Some(ranks), Some(keys)) = (
            self.ranks.first_chunk_mut::<MOST>(),
            self.keys.first_chunk_mut::<MOST>(),
        ) else {
            return parts as u64;
        };
        for key in &mut keys[len - 1..] {
            *key = NO_KEY;
        }
        let (mut next, mut before) = ([0_u8; MOST], [0_u8; MOST]);
        for at in 0..MOST {
            next[at] = at as u8 + 1;
            before[at] = (at as u8).wrapping_sub(1);
        }
        let mut lowest = least(keys);
        while lowest < LEAST_APART {
            parts -= 1;
            let at = lowest as usize % MOST;
            let joined = (lowest >> PLACE_BITS).cast_unsigned();
            let right = usize::from(next[at]) % MOST;
            let end = usize::from(next[right]);
            let left = usize::from(before[at]) % MOST;
            ranks[at] = joined;
            next[at] = end as u8;
            keys[at] = NO_KEY;
            keys[right] = NO_KEY;
            if at > 0 {
                keys[left] = NO_KEY;
            }
            // Of the others: a processor does this while it waits for what is looked up.
            lowest = least(keys);
            if end < len {
                before[end % MOST] = at as u8;
                keys[at] = key(joins.of(joined, ranks[end % MOST]), at);
                lowest = lowest.min(keys[at]);
            }
            if at > 0 {
                keys[left] = key(joins.of(ranks[left], joined), left);
                lowest = lowest.min(keys[left]);
            }
        }
        parts as u64
    }
}

#[inline(always)]
fn key(rank: u32, at: usize) -> i32 {
    (rank << PLACE_BITS | at as u32).cast_signed()
}

#[inline(always)]
fn least<const MOST: usize>(keys: &[i32; MOST]) -> i32 {
    keys.iter().fold(NO_KEY, |least, key| least.min(*key))
}
