//! The vocabularies, laid out for looking up when they are needed, in a few hundredths of a second, and gone when they are
//! not: tables that lay in the program would stay in memory as far as they were read.

use crate::chars::Chars;
use crate::encoding::Tables;
use crate::joins::{APART, GROUP_BITS, Joins, group};
use crate::keys::{hash, middle_place, pack_middle, pack_short, short_place};
use crate::seams::Seams;

macro_rules! list {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".list"))
    };
}

/// No token of any vocabulary has more bytes.
pub(crate) const LONGEST: usize = 128;

/// Bits of the table `some`: 128 KB, so that it stays near the processor.
const SOME_BITS: u32 = 20;

/// The ordinary tokens of an encoding. A table for each length of token tells which bytes are one, and another what
/// tokens join to.
pub(crate) struct Vocabulary {
    /// The ranks of the 256 tokens of one byte.
    pub(crate) single: [u32; 256],
    /// The rank of each two bytes, or [`APART`].
    pairs: Vec<u32>,
    /// Open addressing for 3 to 7 bytes, by [`pack_short`].
    short: Vec<u64>,
    /// The same for 8 to 15 bytes, by [`pack_middle`].
    middle: Vec<u128>,
    long: Long,
    /// A bit for each token of 3 bytes and more, at a place that others may share: most pieces that are no token need no
    /// other look.
    some: Vec<u64>,
    pub(crate) joins: Joins,
    /// Where pieces fall apart.
    pub(crate) seams: Seams,
    /// What they are merged from.
    pub(crate) chars: Chars,
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vocabulary").finish_non_exhaustive()
    }
}

impl Vocabulary {
    /// Lays out the tokens of an encoding.
    pub(crate) fn new(tables: Tables) -> Vocabulary {
        let list: &[u8] = match tables {
            Tables::O200k => list!("o200k"),
            Tables::Cl100k => list!("cl100k"),
            Tables::P50k => list!("p50k"),
            Tables::R50k => list!("r50k"),
        };
        let mut layout = Layout::of(list);
        layout.vocabulary.seams = Seams::of(Tokens::of(list));
        layout.vocabulary.chars = Chars::of(&layout, Tokens::of(list));
        layout.vocabulary
    }

    /// Whether `text[start..end]` is a token.
    ///
    /// What lies behind `end` is read, so that a few bytes come in one go, but does not matter.
    #[inline]
    pub(crate) fn has(&self, text: &[u8], start: usize, end: usize) -> bool {
        match end - start {
            0 => false,
            1 => true,
            2 => self.pair(text[start], text[start + 1]) != APART,
            len @ 3..=7 => {
                let key = short_key(text, start, len);
                self.some(key) && self.short(key).is_some()
            }
            len @ 8..=15 => {
                let key = middle_key(text, start, len);
                self.some(folded(key)) && self.middle(key).is_some()
            }
            16..=LONGEST => {
                let token = &text[start..end];
                let hash = hash(token);
                self.some(hash as u64) && self.long.rank(token, hash) != APART
            }
            _ => false,
        }
    }

    /// The rank of two bytes, or [`APART`].
    #[inline(always)]
    pub(crate) fn pair(&self, first: u8, second: u8) -> u32 {
        self.pairs[usize::from(u16::from_le_bytes([second, first]))]
    }

    /// Whether there may be a token with this key.
    #[inline(always)]
    fn some(&self, key: u64) -> bool {
        let bit = some_bit(key);
        self.some[bit / 64] >> (bit % 64) & 1 != 0
    }

    fn note(&mut self, key: u64) {
        let bit = some_bit(key);
        self.some[bit / 64] |= 1 << (bit % 64);
    }

    #[inline(always)]
    fn short(&self, key: u64) -> Option<usize> {
        find(&self.short, short_place(key, self.short.len()), key, 0)
    }

    #[inline(always)]
    fn middle(&self, key: u128) -> Option<usize> {
        find(&self.middle, middle_place(key, self.middle.len()), key, 0)
    }
}

#[inline(always)]
fn some_bit(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SOME_BITS)) as usize
}

/// A key of middle length in 64 bits.
#[inline(always)]
fn folded(key: u128) -> u64 {
    key as u64 ^ (key >> 64) as u64
}

/// The place of a key that is looked for from `place` on; `None` when a free place comes first.
#[inline(always)]
fn find<K: Copy + Eq>(places: &[K], mut place: usize, key: K, free: K) -> Option<usize> {
    loop {
        let found = places[place];
        if found == key {
            return Some(place);
        }
        if found == free {
            return None;
        }
        place += 1;
        if place == places.len() {
            place = 0;
        }
    }
}

/// A vocabulary that is being laid out, and what is no longer needed then.
pub(crate) struct Layout {
    vocabulary: Vocabulary,
    /// The ranks of the tokens in the table `short`, at the same places.
    short: Vec<u32>,
    /// The same for `middle`.
    middle: Vec<u32>,
}

impl Layout {
    fn of(list: &'static [u8]) -> Layout {
        let mut layout = Layout::new(list);
        Tokens::of(list).for_each(|token| layout.put(&token));
        layout
    }

    fn new(list: &'static [u8]) -> Layout {
        let (mut short, mut middle, mut long) = (0, 0, 0);
        // Of each group of first parts.
        let mut joined = [0; 1 << GROUP_BITS];
        for token in Tokens::of(list) {
            joined[group(token.parts().0) as usize] += 1;
            match token.bytes.len() {
                1 | 2 => {}
                3..=7 => short += 1,
                8..=15 => middle += 1,
                _ => long += 1,
            }
        }
        // At most five places in eight are taken, so that a search ends after a step or two.
        let places = |tokens: usize| tokens * 8 / 5 + 1;
        Layout {
            vocabulary: Vocabulary {
                single: [APART; 256],
                pairs: vec![APART; 1 << 16],
                short: vec![0; places(short)],
                middle: vec![0; places(middle)],
                long: Long::new(list, long),
                some: vec![0; (1 << SOME_BITS) / 64],
                joins: Joins::new(&joined),
                seams: Seams::new(),
                chars: Chars::default(),
            },
            short: vec![0; places(short)],
            middle: vec![0; places(middle)],
        }
    }

    /// Puts a token behind all of lower ranks.
    fn put(&mut self, token: &Token) {
        let Token { bytes, first, .. } = *token;
        let rank = token.rank() | group(bytes);
        let vocabulary = &mut self.vocabulary;
        match *bytes {
            [byte] => vocabulary.single[usize::from(byte)] = rank,
            [a, b] => vocabulary.pairs[usize::from(u16::from_le_bytes([b, a]))] = rank,
            _ if bytes.len() < 8 => {
                let key = pack_short(bytes);
                let place = free(&vocabulary.short, short_place(key, vocabulary.short.len()));
                vocabulary.short[place] = key;
                vocabulary.note(key);
                self.short[place] = rank;
            }
            _ if bytes.len() < 16 => {
                let key = pack_middle(bytes);
                let place = free(&vocabulary.middle, middle_place(key, vocabulary.middle.len()));
                vocabulary.middle[place] = key;
                vocabulary.note(folded(key));
                self.middle[place] = rank;
            }
            _ => {
                vocabulary.note(hash(bytes) as u64);
                vocabulary.long.put(bytes, rank);
            }
        }
        if first < bytes.len() {
            let (left, right) = bytes.split_at(first);
            let (left, right) = (self.rank(left), self.rank(right));
            self.vocabulary.joins.put(left, right, rank);
        }
    }

    /// The rank of a token, or [`APART`] when these bytes are none.
    pub(crate) fn rank(&self, token: &[u8]) -> u32 {
        let vocabulary = &self.vocabulary;
        let found = match *token {
            [] => return APART,
            [byte] => return vocabulary.single[usize::from(byte)],
            [a, b] => return vocabulary.pair(a, b),
            _ if token.len() < 8 => vocabulary.short(pack_short(token)).map(|at| self.short[at]),
            _ if token.len() < 16 => vocabulary.middle(pack_middle(token)).map(|at| self.middle[at]),
            _ => return vocabulary.long.rank(token, hash(token)),
        };
        found.unwrap_or(APART)
    }
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
            table: vec![(0, 0, APART); (2 * tokens).next_power_of_two()],
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

    /// The rank of these bytes, of which this is the hash, or [`APART`].
    fn rank(&self, bytes: &[u8], hash: usize) -> u32 {
        let mask = self.table.len() - 1;
        let mut place = hash & mask;
        loop {
            let (start, len, rank) = self.table[place];
            if len == 0 {
                return APART;
            }
            let start = start as usize;
            if len as usize == bytes.len() && self.list[start..start + bytes.len()] == *bytes {
                return rank;
            }
            place = (place + 1) & mask;
        }
    }
}

/// One of a list, see the build script.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) bytes: &'static [u8],
    rank: u32,
    /// Bytes of the first of the two that it is joined from.
    first: usize,
}

/// The tokens of a list in the order of their ranks.
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

impl Token {
    /// Its rank, where those of others have their groups too: it compares as they do.
    pub(crate) fn rank(&self) -> u32 {
        self.rank << GROUP_BITS
    }

    /// The two that it is joined from; the second is empty when it is a single byte.
    pub(crate) fn parts(&self) -> (&'static [u8], &'static [u8]) {
        self.bytes.split_at(self.first)
    }
}

impl Iterator for Tokens {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            let (len, rest) = self.rest.split_first()?;
            self.rest = rest;
            self.rank += 1;
            if *len == 0 {
                continue;
            }
            let (first, rest) = rest.split_first()?;
            let (bytes, rest) = rest.split_at_checked(usize::from(*len))?;
            self.rest = rest;
            return Some(Token {
                bytes,
                rank: self.rank - 1,
                first: usize::from(*first).min(bytes.len()),
            });
        }
    }
}

/// The first free place from `place` on.
fn free<K: Copy + Default + Eq>(places: &[K], mut place: usize) -> usize {
    while places[place] != K::default() {
        place = (place + 1) % places.len();
    }
    place
}

#[inline(always)]
fn short_key(text: &[u8], start: usize, len: usize) -> u64 {
    match text[start..].first_chunk() {
        Some(word) => u64::from_le_bytes(*word) & (u64::MAX >> (64 - 8 * len)) | (len as u64) << 56,
        None => pack_short(&text[start..start + len]),
    }
}

#[inline(always)]
fn middle_key(text: &[u8], start: usize, len: usize) -> u128 {
    match text[start..].first_chunk() {
        Some(word) => u128::from_le_bytes(*word) & (u128::MAX >> (128 - 8 * len)) | (len as u128) << 120,
        None => pack_middle(&text[start..start + len]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [(Layout, &'static tiktoken_rs::CoreBPE, usize); 4] {
        [
            (
                Layout::of(list!("o200k")),
                tiktoken_rs::o200k_base_singleton(),
                199_998,
            ),
            (
                Layout::of(list!("cl100k")),
                tiktoken_rs::cl100k_base_singleton(),
                100_256,
            ),
            (
                Layout::of(list!("p50k")),
                tiktoken_rs::p50k_base_singleton(),
                50_280,
            ),
            (
                Layout::of(list!("r50k")),
                tiktoken_rs::r50k_base_singleton(),
                50_256,
            ),
        ]
    }

    #[test]
    fn every_token_is_found_whatever_follows_and_is_what_its_parts_join_to() {
        for (layout, bpe, size) in all() {
            let vocabulary = &layout.vocabulary;
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
                let expected = expected << GROUP_BITS | group(&token);
                assert_eq!(layout.rank(&token), expected, "{token:?}");
                assert!(vocabulary.has(&token, 0, token.len()), "{token:?}");
                let inside = [b"x".as_slice(), &token, "…".repeat(6).as_bytes()].concat();
                assert!(vocabulary.has(&inside, 1, 1 + token.len()), "{token:?}");
                let joined = (1..token.len()).filter(|at| {
                    let (left, right) = token.split_at(*at);
                    let (left, right) = (layout.rank(left), layout.rank(right));
                    left != APART && right != APART && vocabulary.joins.of(left, right) == expected
                });
                assert_eq!(joined.count(), usize::from(token.len() > 1), "{token:?}");
            }
            assert_eq!(found, size);
        }
    }

    #[test]
    fn single_bytes_are_tokens_and_special_tokens_are_not() {
        for (layout, ..) in all() {
            let has = |token: &[u8]| layout.vocabulary.has(token, 0, token.len());
            for byte in 0..=u8::MAX {
                assert!(has(&[byte]), "{byte}");
                assert_ne!(layout.rank(&[byte]), APART, "{byte}");
            }
            for none in [
                "",
                "<|endoftext|>",
                "qzx",
                "no token at all",
                "certainly no token at all",
            ] {
                assert!(!has(none.as_bytes()), "{none}");
                assert_eq!(layout.rank(none.as_bytes()), APART, "{none}");
            }
            assert!(!has(&[0; 7]));
            assert!(!has(&b"a".repeat(10_000)));
        }
    }
}
