//! Merging stretches that are so short that all of their parts are looked through for each merge.

use crate::keys::NONE;
use crate::vocabulary::Vocabulary;

/// Most parts of such a stretch, and most bytes.
pub(super) const MOST_PARTS: usize = 128;
const MOST_BYTES: usize = 255;
/// Up to so many parts they move together instead of keeping their places.
const FEW: usize = 24;
/// Bits of a key that tell the place, below those that tell the rank.
const PLACE_BITS: u32 = 7;
/// Comes after all ranks.
const NO_KEY: i32 = i32::MAX;

/// Where the parts of a stretch begin that merging starts with, from the beginning of the stretch, and where the last
/// one ends.
pub(super) struct Bounds([u8; MOST_PARTS + 1]);

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds([0; MOST_PARTS + 1])
    }
}

/// Each byte is a part.
pub(super) static BYTES: Bounds = Bounds(bytes());

const fn bytes() -> [u8; MOST_PARTS + 1] {
    let mut bounds = [0; MOST_PARTS + 1];
    let mut at = 0;
    while at < bounds.len() {
        bounds[at] = at as u8;
        at += 1;
    }
    bounds
}

impl Bounds {
    /// One more part than so many, up to so many bytes from the beginning, and how many they are then: more than there
    /// may be, once they are too many or too long.
    #[inline(always)]
    pub(super) fn push(&mut self, parts: usize, end: usize) -> usize {
        match self.0.get_mut(parts + 1) {
            Some(bound) if end <= MOST_BYTES => {
                *bound = end as u8;
                parts + 1
            }
            _ => MOST_PARTS + 1,
        }
    }

    /// The tokens of the stretch that begins at `start` and has so many parts; `None` when it is too long.
    #[inline(always)]
    pub(super) fn count(
        &self,
        vocabulary: &Vocabulary,
        text: &[u8],
        start: usize,
        parts: usize,
    ) -> Option<u64> {
        let rank = |from: usize, to: usize| {
            let at = |part: usize| start + usize::from(self.0[part]);
            vocabulary.rank(text, at(from), at(to))
        };
        Some(match parts {
            ..=1 => parts as u64,
            2 => 1 + u64::from(rank(0, 2) == NONE),
            // Two of them may join, and then all three.
            3 if rank(0, 2) == NONE && rank(1, 3) == NONE => 3,
            3 => 1 + u64::from(rank(0, 3) == NONE),
            4..=FEW => self.merge_few(vocabulary, text, start, parts),
            25..=32 => self.merge::<32>(vocabulary, text, start, parts),
            33..=64 => self.merge::<64>(vocabulary, text, start, parts),
            65..=MOST_PARTS => self.merge::<MOST_PARTS>(vocabulary, text, start, parts),
            _ => return None,
        })
    }

    /// As [`Bounds::merge`], for so few parts that it is quicker to move them together than to look at all places.
    #[inline(never)]
    fn merge_few(&self, vocabulary: &Vocabulary, text: &[u8], start: usize, mut parts: usize) -> u64 {
        // Of each part together with the next one; the last one has none.
        let mut ranks = [NONE; FEW];
        let mut bounds = [0_u8; FEW + 1];
        bounds.copy_from_slice(&self.0[..=FEW]);
        for at in 0..parts.min(FEW) - 1 {
            let (from, to) = (
                start + usize::from(bounds[at]),
                start + usize::from(bounds[at + 2]),
            );
            ranks[at] = match to - from {
                2 => vocabulary.pair(text, from),
                _ => vocabulary.rank(text, from, to),
            };
        }
        loop {
            let (mut lowest, mut at) = (NONE, 0);
            for (index, rank) in ranks[..parts - 1].iter().enumerate() {
                if *rank < lowest {
                    (lowest, at) = (*rank, index);
                }
            }
            if lowest == NONE {
                return parts as u64;
            }
            bounds.copy_within(at + 2..=parts, at + 1);
            ranks.copy_within(at + 2..parts, at + 1);
            parts -= 1;
            let rate = |at: usize| match at + 1 < parts {
                true => vocabulary.rank(
                    text,
                    start + usize::from(bounds[at]),
                    start + usize::from(bounds[at + 2]),
                ),
                false => NONE,
            };
            ranks[at] = rate(at);
            if let Some(before) = at.checked_sub(1) {
                ranks[before] = rate(before);
            }
        }
    }

    /// Joins the two neighbours whose union has the lowest rank, leftmost first, until there are none.
    ///
    /// Parts keep their numbers, the joined one that of its first. The rank of a part together with the next one and its
    /// number are one figure, so that the least of these, which processors find without a branch, tells both.
    #[inline(never)]
    fn merge<const MOST: usize>(
        &self,
        vocabulary: &Vocabulary,
        text: &[u8],
        start: usize,
        mut parts: usize,
    ) -> u64 {
        const { assert!(MOST <= MOST_PARTS && MOST <= 1 << PLACE_BITS) };
        let len = parts;
        let bound = |at: usize| start + usize::from(self.0[at % (MOST_PARTS + 1)]);
        let mut keys = [NO_KEY; MOST];
        let (mut next, mut before) = ([0_u8; MOST], [0_u8; MOST]);
        for at in 0..len.min(MOST) {
            next[at] = at as u8 + 1;
            before[at] = (at as u8).wrapping_sub(1);
            if at + 1 < len {
                let (from, to) = (bound(at), bound(at + 2));
                let rank = match to - from {
                    2 => vocabulary.pair(text, from),
                    _ => vocabulary.rank(text, from, to),
                };
                keys[at] = key(rank, at);
            }
        }
        loop {
            let lowest = least(&keys);
            if lowest == NO_KEY {
                return parts as u64;
            }
            parts -= 1;
            let at = lowest as usize % MOST;
            let right = usize::from(next[at]) % MOST;
            let end = usize::from(next[right]);
            next[at] = end as u8;
            keys[right] = NO_KEY;
            keys[at] = NO_KEY;
            if end < len {
                before[end % MOST] = at as u8;
                let beyond = usize::from(next[end % MOST]);
                keys[at] = key(vocabulary.rank(text, bound(at), bound(beyond)), at);
            }
            if at > 0 {
                let left = usize::from(before[at]) % MOST;
                keys[left] = key(vocabulary.rank(text, bound(left), bound(end)), left);
            }
        }
    }
}

#[inline(always)]
fn key(rank: u32, at: usize) -> i32 {
    match rank {
        NONE => NO_KEY,
        // A rank has 18 bits.
        rank => (rank << PLACE_BITS | at as u32).cast_signed(),
    }
}

#[inline(always)]
fn least<const MOST: usize>(keys: &[i32; MOST]) -> i32 {
    keys.iter().fold(NO_KEY, |least, key| least.min(*key))
}
