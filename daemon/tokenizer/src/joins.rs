//! Which tokens join to which, by their ranks.
//!
//! Merging joins whatever two neighbours make a token together. But what stands between two places while bytes are
//! merged depends on nothing outside as long as nothing reaches across, so whenever exactly two parts cover the bytes of
//! a token they are the same two: those that merging it alone ends with. One pair of ranks for each token is all there
//! is to know, and the bytes need not be looked at again.

/// Bits of a rank: more than any has.
pub(crate) const RANK_BITS: u32 = 18;
/// Stands for "they do not join", and comes after all ranks.
pub(crate) const APART: u32 = (1 << RANK_BITS) - 1;

/// Bits of the table `some`: 128 KB, so that it stays near the processor.
const SOME_BITS: u32 = 20;
/// A place without an entry: its rank is [`APART`].
const FREE: u64 = u64::MAX;

/// The pair of each token of two bytes and more.
pub(crate) struct Joins {
    /// Open addressing: the ranks of the two, then that of the token.
    places: Vec<u64>,
    /// A bit for each pair, at a place that others may share: most pairs that are looked up do not join, and this much
    /// smaller table says so at once.
    some: Vec<u64>,
}

impl Joins {
    /// Without any, with room for so many.
    pub(crate) fn new(tokens: usize) -> Joins {
        Joins {
            // At most five places in eight are taken, so that a search ends after a step or two.
            places: vec![FREE; tokens * 8 / 5 + 1],
            some: vec![0; (1 << SOME_BITS) / 64],
        }
    }

    /// Notes that these two join to this token.
    pub(crate) fn put(&mut self, left: u32, right: u32, token: u32) {
        let key = key(left, right);
        let spread = spread(key);
        let bit = (spread >> (64 - SOME_BITS)) as usize;
        self.some[bit / 64] |= 1 << (bit % 64);
        let mut place = place(spread, self.places.len());
        while self.places[place] != FREE {
            place = (place + 1) % self.places.len();
        }
        self.places[place] = key << RANK_BITS | u64::from(token);
    }

    /// The rank of what these two join to, or [`APART`].
    #[inline(always)]
    pub(crate) fn of(&self, left: u32, right: u32) -> u32 {
        let key = key(left, right);
        let spread = spread(key);
        let bit = (spread >> (64 - SOME_BITS)) as usize;
        if self.some[bit / 64] >> (bit % 64) & 1 == 0 {
            return APART;
        }
        let mut place = place(spread, self.places.len());
        loop {
            let found = self.places[place];
            if found >> RANK_BITS == key || found == FREE {
                return found as u32 & APART;
            }
            place += 1;
            if place == self.places.len() {
                place = 0;
            }
        }
    }
}

#[inline(always)]
fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << RANK_BITS | u64::from(right)
}

#[inline(always)]
fn spread(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Where an entry is looked for first.
#[inline(always)]
fn place(spread: u64, places: usize) -> usize {
    (((spread >> 12 & 0xffff_ffff) * places as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_join_to_what_was_noted_and_others_do_not() {
        let mut joins = Joins::new(1000);
        for token in 0..1000 {
            joins.put(token * 7, APART - 1 - token, token);
        }
        for token in 0..1000 {
            assert_eq!(joins.of(token * 7, APART - 1 - token), token);
            assert_eq!(joins.of(token * 7, APART - 2 - token), APART);
            assert_eq!(joins.of(APART - 1 - token, token * 7), APART);
        }
        assert_eq!(Joins::new(0).of(0, 0), APART);
    }
}
