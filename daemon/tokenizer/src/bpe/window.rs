//! Merging a window of a long stretch, and where two windows have a token in common.

use crate::joins::{APART, GROUP_BITS, Joins};
use crate::vocabulary::Vocabulary;

/// First token from `here[first..]` on that `there` has at the same place.
pub(super) fn common(here: &[Span], first: usize, there: &[Span]) -> Option<(usize, usize)> {
    let (mut i, mut j) = (first, 0);
    while i < here.len() && j < there.len() {
        if here[i] == there[j] {
            return Some((i, j));
        }
        if here[i].end <= there[j].end {
            i += 1;
        } else {
            j += 1;
        }
    }
    None
}

/// Where a token lies in its piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Parts of which the lowest rank is kept together.
const BLOCK: usize = 32;
/// Bits that tell the place of a part in its block, below those of its rank.
const PLACE_BITS: u32 = BLOCK.ilog2();
/// Bits that tell the block below those of the lowest rank in it: a rank has 18, and a sign there is, since processors
/// compare numbers with one more quickly.
const BLOCK_BITS: u32 = 13;
/// Comes after all ranks.
const NO_KEY: i32 = i32::MAX;

/// Merges a window: parts stay where they are, named by their first byte, and the lowest rank of each block of them is
/// known.
#[derive(Default)]
pub(super) struct Merge {
    len: usize,
    before: Vec<u32>,
    end: Vec<u32>,
    /// Which token a part is.
    ranks: Vec<u32>,
    /// Figure of a part together with the next one, and its place in the block; whole blocks.
    keys: Vec<i32>,
    /// The lowest rank of each block, and the number of the block as far as it fits.
    lowest: Vec<i32>,
    /// Where in each block that is.
    places: Vec<u8>,
    /// Bits of the number of a block that do not fit: none in windows of a usual size.
    beyond: u32,
}

impl Merge {
    pub(super) fn run(&mut self, vocabulary: &Vocabulary, bytes: &[u8]) {
        self.len = bytes.len();
        self.before.clear();
        self.end.clear();
        self.ranks.clear();
        self.keys.clear();
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.before.extend((0..len).map(|at| at.wrapping_sub(1)));
        self.end.extend(1..=len);
        let single = bytes.iter().map(|byte| vocabulary.single[usize::from(*byte)]);
        self.ranks.extend(single);
        let pairs = bytes.windows(2).enumerate();
        self.keys
            .extend(pairs.map(|(at, two)| key(vocabulary.pair(two[0], two[1]), PLACE_BITS, at % BLOCK)));
        self.keys.resize(bytes.len().next_multiple_of(BLOCK), NO_KEY);
        let blocks = self.keys.len() / BLOCK;
        self.beyond = (blocks.max(1).next_power_of_two().ilog2()).saturating_sub(BLOCK_BITS);
        self.lowest.resize(blocks, NO_KEY);
        self.places.resize(blocks, 0);
        (0..blocks).for_each(|block| self.review(block));
        while let Some(left) = self.next() {
            let right = self.end[left] as usize;
            let end = self.end[right];
            self.end[left] = end;
            self.ranks[left] = (self.keys[left] >> PLACE_BITS).cast_unsigned();
            self.keys[right] = NO_KEY;
            if let Some(before) = self.before.get_mut(end as usize) {
                *before = left as u32;
            }
            self.rate(&vocabulary.joins, left);
            let before = self.before[left];
            if before != u32::MAX {
                self.rate(&vocabulary.joins, before as usize);
                if before as usize / BLOCK != left / BLOCK {
                    self.review(before as usize / BLOCK);
                }
            }
            self.review(left / BLOCK);
            if right / BLOCK != left / BLOCK {
                self.review(right / BLOCK);
            }
        }
    }

    /// The leftmost of the parts with the lowest rank.
    #[inline]
    fn next(&self) -> Option<usize> {
        let wanted = least(&self.lowest);
        if wanted == NO_KEY {
            return None;
        }
        let first = (wanted as usize % (1 << BLOCK_BITS)) << self.beyond;
        let among = self.lowest[first..].iter();
        let block = first + among.take_while(|lowest| **lowest != wanted).count();
        Some(block * BLOCK + usize::from(*self.places.get(block)?))
    }

    /// Looks up what the part at `at` and the next one would become.
    #[inline]
    fn rate(&mut self, joins: &Joins, at: usize) {
        self.keys[at] = match self.ranks.get(self.end[at] as usize) {
            Some(next) => key(joins.of(self.ranks[at], *next), PLACE_BITS, at % BLOCK),
            None => NO_KEY,
        };
    }

    #[inline]
    fn review(&mut self, block: usize) {
        if let Some(keys) = self.keys.as_chunks::<BLOCK>().0.get(block) {
            let least = least(keys);
            self.places[block] = least as u8 % BLOCK as u8;
            self.lowest[block] = match least {
                NO_KEY => NO_KEY,
                _ => key(
                    least as u32 >> (PLACE_BITS + GROUP_BITS),
                    BLOCK_BITS,
                    block >> self.beyond,
                ),
            };
        }
    }

    pub(super) fn tokens(&self, offset: usize, spans: &mut Vec<Span>) {
        spans.clear();
        let mut start = 0;
        while start < self.len {
            let end = self.end[start] as usize;
            spans.push(Span {
                start: offset + start,
                end: offset + end,
            });
            start = end;
        }
    }
}

/// A rank and a place, of so many bits, as one number.
#[inline]
fn key(rank: u32, bits: u32, place: usize) -> i32 {
    match rank {
        APART => NO_KEY,
        rank => (rank << bits | place as u32).cast_signed(),
    }
}

#[inline]
fn least(keys: &[i32]) -> i32 {
    keys.iter().fold(NO_KEY, |least, key| least.min(*key))
}
