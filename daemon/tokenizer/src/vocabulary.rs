//! The vocabularies, laid out for looking up when they are needed, in a hundredth of a second, and gone when they are
//! not: tables that lay in the program would stay in memory as far as they were read.

use crate::encoding::Tables;
use crate::keys::{NONE, hash, middle_place, pack_middle, pack_short, short_place};
use crate::seams::Seams;

macro_rules! list {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".list"))
    };
}

/// No token of any vocabulary has more bytes.
pub(crate) const LONGEST: usize = 128;

/// Bytes of one place of the table `short`.
const SHORT_PLACE: usize = 12;
/// Bytes of one place of the table `middle`.
const MIDDLE_PLACE: usize = 20;

/// Bits of the table `some`: 128 KB, so that it stays near the processor.
const SOME_BITS: usize = 1 << 20;

/// The ordinary tokens of an encoding, from bytes to rank. A table for each length of token.
pub(crate) struct Vocabulary {
    /// The ranks of the 256 tokens of one byte.
    single: Vec<u32>,
    /// The rank of each two bytes, or [`NONE`].
    pairs: Vec<u32>,
    /// Open addressing for 3 to 7 bytes: the key ([`pack_short`]), then the rank.
    short: Vec<[u8; SHORT_PLACE]>,
    /// The same for 8 to 15 bytes.
    middle: Vec<[u8; MIDDLE_PLACE]>,
    long: Long,
    /// A bit for each token of 3 bytes and more, at a place that others may share: most of what is looked up while pieces
    /// are merged is no token, and this much smaller table says so at once.
    some: Vec<u64>,
    /// Where pieces fall apart, and what they are merged from.
    pub(crate) seams: Seams,
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vocabulary").finish_non_exhaustive()
    }
}

impl Vocabulary {
    /// Lays out the tokens of an encoding.
    pub(crate) fn new(tables: Tables) -> Vocabulary {
        Vocabulary::lay_out(match tables {
            Tables::O200k => list!("o200k"),
            Tables::Cl100k => list!("cl100k"),
            Tables::P50k => list!("p50k"),
            Tables::R50k => list!("r50k"),
        })
    }

    fn lay_out(list: &'static [u8]) -> Vocabulary {
        let (mut short, mut middle, mut long) = (0, 0, 0);
        for (token, _) in Tokens::of(list) {
            match token.len() {
                1 | 2 => {}
                3..=7 => short += 1,
                8..=15 => middle += 1,
                _ => long += 1,
            }
        }
        // At most five places in eight are taken, so that a search ends after a step or two.
        let places = |tokens: usize| tokens * 8 / 5 + 1;
        let mut vocabulary = Vocabulary {
            single: vec![NONE; 1 << 8],
            pairs: vec![NONE; 1 << 16],
            short: vec![[0; SHORT_PLACE]; places(short)],
            middle: vec![[0; MIDDLE_PLACE]; places(middle)],
            long: Long::new(list, long),
            some: vec![0; SOME_BITS / 64],
            seams: Seams::new(),
        };
        for (token, rank) in Tokens::of(list) {
            vocabulary.put(token, rank);
        }
        vocabulary.seams = Seams::of(&vocabulary, Tokens::of(list));
        vocabulary
    }

    fn put(&mut self, token: &'static [u8], rank: u32) {
        match *token {
            [byte] => self.single[usize::from(byte)] = rank,
            [first, second] => self.pairs[usize::from(u16::from_le_bytes([first, second]))] = rank,
            _ if token.len() < 8 => {
                let key = pack_short(token);
                let bit = some_bit(key);
                self.some[bit / 64] |= 1 << (bit % 64);
                let free = free(&self.short, short_place(key, self.short.len()));
                self.short[free][..8].copy_from_slice(&key.to_le_bytes());
                self.short[free][8..].copy_from_slice(&rank.to_le_bytes());
            }
            _ if token.len() < 16 => {
                let key = pack_middle(token);
                let bit = some_bit(key as u64 ^ (key >> 64) as u64);
                self.some[bit / 64] |= 1 << (bit % 64);
                let free = free(&self.middle, middle_place(key, self.middle.len()));
                self.middle[free][..16].copy_from_slice(&key.to_le_bytes());
                self.middle[free][16..].copy_from_slice(&rank.to_le_bytes());
            }
            _ => {
                let bit = some_bit(hash(token) as u64);
                self.some[bit / 64] |= 1 << (bit % 64);
                self.long.put(token, rank);
            }
        }
    }

    /// The rank of the token that is `text[start..end]`, or [`NONE`] when that is none.
    ///
    /// What lies behind `end` is read, so that a few bytes come in one go, but does not matter.
    #[inline]
    pub(crate) fn rank(&self, text: &[u8], start: usize, end: usize) -> u32 {
        match end - start {
            0 => NONE,
            1 => self.single[usize::from(text[start])],
            2 => self.pair(text, start),
            len @ 3..=7 => self.short(short_key(text, start, len)),
            len @ 8..=15 => self.middle(middle_key(text, start, len)),
            16..=LONGEST => self.long(&text[start..end]),
            _ => NONE,
        }
    }

    /// The rank of the two bytes at `start`.
    #[inline]
    pub(crate) fn pair(&self, text: &[u8], start: usize) -> u32 {
        self.pairs[usize::from(u16::from_le_bytes([text[start], text[start + 1]]))]
    }

    /// Whether there may be a token at this place of the bits.
    #[inline]
    fn some(&self, bit: usize) -> bool {
        self.some[bit / 64] >> (bit % 64) & 1 != 0
    }

    #[inline]
    fn short(&self, key: u64) -> u32 {
        if !self.some(some_bit(key)) {
            return NONE;
        }
        let mut place = short_place(key, self.short.len());
        loop {
            let [a, b, c, d, e, f, g, h, rank @ ..] = self.short[place];
            let found = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            if found == key {
                return u32::from_le_bytes(rank);
            }
            if found == 0 {
                return NONE;
            }
            place += 1;
            if place == self.short.len() {
                place = 0;
            }
        }
    }

    #[inline]
    fn middle(&self, key: u128) -> u32 {
        if !self.some(some_bit(key as u64 ^ (key >> 64) as u64)) {
            return NONE;
        }
        let mut place = middle_place(key, self.middle.len());
        loop {
            let (found, rank) = split(&self.middle[place]);
            if found == key {
                return rank;
            }
            if found == 0 {
                return NONE;
            }
            place += 1;
            if place == self.middle.len() {
                place = 0;
            }
        }
    }

    fn long(&self, token: &[u8]) -> u32 {
        let hash = hash(token);
        match self.some(some_bit(hash as u64)) {
            true => self.long.rank(token, hash),
            false => NONE,
        }
    }
}

/// The bit of a key in the table `some`.
#[inline]
fn some_bit(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SOME_BITS.ilog2())) as usize
}

/// Tokens of 16 bytes and more: few, so they may cost more.
struct Long {
    list: &'static [u8],
    /// At the places that [`hash`] gives: where the token lies in the list, how long it is, and its rank.
    table: Vec<(u32, u32, u32)>,
}

impl Long {
    fn new(list: &'static [u8], tokens: usize) -> Long {
        Long {
            list,
            table: vec![(0, 0, NONE); (2 * tokens).next_power_of_two()],
        }
    }

    fn put(&mut self, token: &'static [u8], rank: u32) {
        let mask = self.table.len() - 1;
        let mut place = hash(token) & mask;
        while self.table[place].1 != 0 {
            place = (place + 1) & mask;
        }
        // The token is a part of the list: its place is the distance between the two.
        let start = token.as_ptr().addr() - self.list.as_ptr().addr();
        self.table[place] = (start as u32, token.len() as u32, rank);
    }

    /// The rank of these bytes, of which this is the hash.
    fn rank(&self, bytes: &[u8], hash: usize) -> u32 {
        let mask = self.table.len() - 1;
        let mut place = hash & mask;
        loop {
            let (start, len, rank) = self.table[place];
            if len == 0 {
                return NONE;
            }
            let start = start as usize;
            if len as usize == bytes.len() && self.list[start..start + bytes.len()] == *bytes {
                return rank;
            }
            place = (place + 1) & mask;
        }
    }
}

/// The tokens of a list with their ranks, see the build script.
#[derive(Clone)]
pub(crate) struct Tokens {
    rest: &'static [u8],
    rank: u32,
}

impl Tokens {
    fn of(list: &'static [u8]) -> Tokens {
        Tokens { rest: list, rank: 0 }
    }
}

impl Iterator for Tokens {
    type Item = (&'static [u8], u32);

    fn next(&mut self) -> Option<(&'static [u8], u32)> {
        loop {
            let (len, rest) = self.rest.split_first()?;
            let (token, rest) = rest.split_at_checked(usize::from(*len))?;
            self.rest = rest;
            self.rank += 1;
            if !token.is_empty() {
                return Some((token, self.rank - 1));
            }
        }
    }
}

/// The first free place from `place` on.
fn free<const N: usize>(places: &[[u8; N]], mut place: usize) -> usize {
    // The highest byte of a key is the token's length, which is not 0.
    while places[place][N - 5] != 0 {
        place = (place + 1) % places.len();
    }
    place
}

#[inline]
fn short_key(text: &[u8], start: usize, len: usize) -> u64 {
    match text[start..].first_chunk() {
        Some(word) => u64::from_le_bytes(*word) & (u64::MAX >> (64 - 8 * len)) | (len as u64) << 56,
        None => pack_short(&text[start..start + len]),
    }
}

#[inline]
fn middle_key(text: &[u8], start: usize, len: usize) -> u128 {
    match text[start..].first_chunk() {
        Some(word) => u128::from_le_bytes(*word) & (u128::MAX >> (128 - 8 * len)) | (len as u128) << 120,
        None => pack_middle(&text[start..start + len]),
    }
}

#[inline]
fn split(place: &[u8; MIDDLE_PLACE]) -> (u128, u32) {
    let (key, rank) = (place.first_chunk(), place.last_chunk());
    (
        key.map_or(0, |key| u128::from_le_bytes(*key)),
        rank.map_or(NONE, |rank| u32::from_le_bytes(*rank)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [(Vocabulary, &'static tiktoken_rs::CoreBPE, usize); 4] {
        [
            (Tables::O200k, tiktoken_rs::o200k_base_singleton(), 199_998),
            (Tables::Cl100k, tiktoken_rs::cl100k_base_singleton(), 100_256),
            (Tables::P50k, tiktoken_rs::p50k_base_singleton(), 50_280),
            (Tables::R50k, tiktoken_rs::r50k_base_singleton(), 50_256),
        ]
        .map(|(tables, bpe, size)| (Vocabulary::new(tables), bpe, size))
    }

    fn rank(vocabulary: &Vocabulary, token: &[u8]) -> u32 {
        vocabulary.rank(token, 0, token.len())
    }

    #[test]
    fn every_token_is_found_at_its_rank_whatever_follows() {
        for (vocabulary, bpe, size) in all() {
            let special: Vec<&str> = bpe.special_tokens().into_iter().collect();
            let mut found = 0;
            for expected in 0..200_100 {
                let Ok(token) = bpe.decode_bytes(&[expected]) else {
                    continue;
                };
                if token.is_empty() || special.iter().any(|s| s.as_bytes() == token) {
                    continue;
                }
                found += 1;
                assert!(token.len() <= LONGEST, "{token:?}");
                assert_eq!(rank(&vocabulary, &token), expected, "{token:?}");
                let inside = [b"x".as_slice(), &token, "…".repeat(6).as_bytes()].concat();
                assert_eq!(
                    vocabulary.rank(&inside, 1, 1 + token.len()),
                    expected,
                    "{token:?}"
                );
            }
            assert_eq!(found, size);
        }
    }

    #[test]
    fn single_bytes_are_tokens_and_special_tokens_are_not() {
        for (vocabulary, ..) in all() {
            for byte in 0..=u8::MAX {
                assert_ne!(rank(&vocabulary, &[byte]), NONE, "{byte}");
            }
            for none in [
                "",
                "<|endoftext|>",
                "qzx",
                "no token at all",
                "certainly no token at all",
            ] {
                assert_eq!(rank(&vocabulary, none.as_bytes()), NONE, "{none}");
            }
            assert_eq!(rank(&vocabulary, &[0; 7]), NONE);
            assert_eq!(rank(&vocabulary, &b"a".repeat(10_000)), NONE);
        }
    }
}
