//! Which tokens join to which, by their ranks.
//!
//! Merging joins whatever two neighbours make a token together. But what stands between two places while bytes are
//! merged depends on nothing outside as long as nothing reaches across, so whenever exactly two parts cover the bytes of
//! a token they are the same two: those that merging it alone ends with. One pair of ranks for each token is all there
//! is to know, and the bytes need not be looked at again.

use crate::chars::point;
use crate::seams::{char_len, is_inner};

/// Bits of a rank: more than any has.
const RANK_BITS: u32 = 18;
/// Bits of a group, see [`group`].
pub(crate) const GROUP_BITS: u32 = 6;
const GROUPS: usize = 1 << GROUP_BITS;
/// Bits of a figure: the rank of a token, and below it its group.
pub(crate) const FIGURE_BITS: u32 = RANK_BITS + GROUP_BITS;
/// Stands for "they do not join", and comes after the figures of all tokens.
pub(crate) const APART: u32 = (1 << FIGURE_BITS) - 1;

/// The group of a blank.
pub(crate) const BLANK: u32 = 1;

/// The group of a token: its script, more or less. What is written in one script finds its joins close together.
pub(crate) fn group(token: &[u8]) -> u32 {
    let Some(at) = token.iter().position(|byte| !byte.is_ascii()) else {
        return if token == b" " { BLANK } else { 0 };
    };
    let char = token[at..].iter().position(|byte| !is_inner(*byte));
    let char = char.and_then(|more| token.get(at + more..at + more + char_len(token[at + more])));
    // Parts of characters are no script's.
    let Some(char) = char.filter(|char| char.len() > 1) else {
        return 2;
    };
    match point(char) as u32 {
        ..0x250 => 3,
        0x250..0x370 => 4,
        point @ 0x370..0x2000 => 5 + (point - 0x370) / 128,
        0x2000..0x3400 => 62,
        0x3400.. => 63,
    }
}

/// A place without an entry: its figure is [`APART`].
const FREE: u64 = u64::MAX;

/// The pair of each token of two bytes and more.
pub(crate) struct Joins {
    /// Open addressing: the ranks of the two, then the figure of the token.
    places: Vec<u64>,
    /// A bit for each pair, at a place that others may share: most pairs that are looked up do not join, and this much
    /// smaller table says so at once.
    some: Vec<u64>,
    /// What each group of first tokens has of both.
    parts: [Part; GROUPS],
}

/// A part of the two tables.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    start: u32,
    places: u32,
    first_bit: u32,
    bits: u32,
}

impl Joins {
    /// Without any, with room for so many of each group of first tokens.
    pub(crate) fn new(tokens: &[u32; GROUPS]) -> Joins {
        let (mut start, mut first_bit) = (0, 0);
        let parts = tokens.map(|tokens| {
            // At most five places in eight are taken, so that a search ends after a step or two.
            let (places, bits) = (tokens * 8 / 5 + 1, tokens * 5 + 64);
            let part = Part {
                start,
                places,
                first_bit,
                bits,
            };
            (start, first_bit) = (start + places, first_bit + bits);
            part
        });
        Joins {
            places: vec![FREE; start as usize],
            some: vec![0; (first_bit as usize).div_ceil(64)],
            parts,
        }
    }

    /// Notes that these two join to this token.
    pub(crate) fn put(&mut self, left: u32, right: u32, token: u32) {
        let part = self.part(left);
        let key = key(left, right);
        let spread = spread(key);
        let bit = part.bit(spread);
        self.some[bit / 64] |= 1 << (bit % 64);
        let mut place = part.place(spread);
        while self.places[part.start as usize + place] != FREE {
            place = (place + 1) % part.places as usize;
        }
        self.places[part.start as usize + place] = key << FIGURE_BITS | u64::from(token);
    }

    /// The figure of what these two join to, or [`APART`].
    #[inline(always)]
    pub(crate) fn of(&self, left: u32, right: u32) -> u32 {
        let part = self.part(left);
        let key = key(left, right);
        let spread = spread(key);
        let bit = part.bit(spread);
        if self.some[bit / 64] >> (bit % 64) & 1 == 0 {
            return APART;
        }
        let mut place = part.place(spread);
        loop {
            let found = self.places[part.start as usize + place];
            if found >> FIGURE_BITS == key || found == FREE {
                return found as u32 & APART;
            }
            place += 1;
            if place == part.places as usize {
                place = 0;
            }
        }
    }

    #[inline(always)]
    fn part(&self, left: u32) -> Part {
        self.parts[left as usize % GROUPS]
    }
}

impl Part {
    #[inline(always)]
    fn bit(self, spread: u64) -> usize {
        self.first_bit as usize + (((spread >> 32) * u64::from(self.bits)) >> 32) as usize
    }

    /// Where an entry is looked for first.
    #[inline(always)]
    fn place(self, spread: u64) -> usize {
        (((spread >> 12 & 0xffff_ffff) * u64::from(self.places)) >> 32) as usize
    }
}

#[inline(always)]
fn key(left: u32, right: u32) -> u64 {
    u64::from(left >> GROUP_BITS) << RANK_BITS | u64::from(right >> GROUP_BITS)
}

#[inline(always)]
fn spread(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_join_to_what_was_noted_and_others_do_not() {
        let mut counts = [0; GROUPS];
        (0..1000).for_each(|left| counts[left * 7 % GROUPS] += 1);
        let mut joins = Joins::new(&counts);
        let other = |token: u32| APART - ((1 + token) << GROUP_BITS);
        for token in 0..1000 {
            joins.put(token * 7, other(token), token);
        }
        for token in 0..1000 {
            assert_eq!(joins.of(token * 7, other(token)), token);
            assert_eq!(joins.of(token * 7, other(token + 1)), APART);
            assert_eq!(joins.of(other(token), token * 7), APART);
        }
        assert_eq!(Joins::new(&[0; GROUPS]).of(0, 0), APART);
    }

    #[test]
    fn tokens_of_a_script_are_of_one_group() {
        for (token, expected) in [
            ("a", 0),
            (" ", BLANK),
            ("  ", 0),
            ("é", 3),
            ("é à", 3),
            ("中", 63),
            ("の", 62),
        ] {
            assert_eq!(group(token.as_bytes()), expected, "{token}");
        }
        assert_eq!(group("שלום".as_bytes()), group(" ם".as_bytes()));
        assert_ne!(group("שלום".as_bytes()), group("ไทย".as_bytes()));
        for part in [&[0x80][..], &[0xe0], &[b' ', 0xe0, 0xb8], &[0xc3]] {
            assert_eq!(group(part), 2, "{part:?}");
        }
    }
}
