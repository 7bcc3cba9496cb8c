//! The vocabularies, read where they lie in the program. How they lie is told in [`crate::layout`].

use crate::layout::{NONE, hash, middle_place, pack_middle, pack_short, short_place};

macro_rules! part {
    ($name:literal, $part:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".", $part))
    };
}

macro_rules! vocabulary {
    ($name:literal) => {
        Vocabulary {
            single: numbers(part!($name, "single")),
            pairs: numbers(part!($name, "pairs")),
            short: places(part!($name, "short")),
            middle: places(part!($name, "middle")),
            long: Long {
                table: numbers(part!($name, "long")),
                ranks: numbers(part!($name, "ranks")),
                starts: numbers(part!($name, "starts")),
                tokens: part!($name, "tokens"),
            },
        }
    };
}

pub(crate) static O200K: Vocabulary = vocabulary!("o200k");
pub(crate) static CL100K: Vocabulary = vocabulary!("cl100k");
pub(crate) static P50K: Vocabulary = vocabulary!("p50k");
pub(crate) static R50K: Vocabulary = vocabulary!("r50k");

/// No token of any vocabulary has more bytes.
pub(crate) const LONGEST: usize = 128;

/// Bytes of one place of the table `short`.
const SHORT_PLACE: usize = 12;
/// Bytes of one place of the table `middle`.
const MIDDLE_PLACE: usize = 20;

type Number = [u8; 4];

/// The ordinary tokens of an encoding, from bytes to rank.
pub(crate) struct Vocabulary {
    single: &'static [Number],
    pairs: &'static [Number],
    short: &'static [[u8; SHORT_PLACE]],
    middle: &'static [[u8; MIDDLE_PLACE]],
    long: Long,
}

impl Vocabulary {
    /// The rank of the token that is `text[start..end]`, or [`NONE`] when that is none.
    ///
    /// What lies behind `end` is read, so that a few bytes come in one go, but does not matter.
    #[inline]
    pub(crate) fn rank(&self, text: &[u8], start: usize, end: usize) -> u32 {
        match end - start {
            0 => NONE,
            1 => number(self.single, usize::from(text[start])),
            2 => self.pair(text, start),
            len @ 3..=7 => self.short(short_key(text, start, len)),
            len @ 8..=15 => self.middle(middle_key(text, start, len)),
            _ => self.long.rank(&text[start..end]),
        }
    }

    /// The rank of the two bytes at `start`.
    #[inline]
    pub(crate) fn pair(&self, text: &[u8], start: usize) -> u32 {
        number(
            self.pairs,
            usize::from(u16::from_le_bytes([text[start], text[start + 1]])),
        )
    }

    #[inline]
    fn short(&self, key: u64) -> u32 {
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
}

/// Tokens of 16 bytes and more: few, so they may cost more.
struct Long {
    table: &'static [Number],
    ranks: &'static [Number],
    starts: &'static [Number],
    tokens: &'static [u8],
}

impl Long {
    fn rank(&self, bytes: &[u8]) -> u32 {
        if bytes.len() > LONGEST {
            return NONE;
        }
        let mask = self.table.len() - 1;
        let mut place = hash(bytes) & mask;
        loop {
            let index = number(self.table, place);
            if index == NONE {
                return NONE;
            }
            if self.token(index as usize) == bytes {
                return number(self.ranks, index as usize);
            }
            place = (place + 1) & mask;
        }
    }

    fn token(&self, index: usize) -> &[u8] {
        &self.tokens[number(self.starts, index) as usize..number(self.starts, index + 1) as usize]
    }
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

const fn numbers(bytes: &'static [u8]) -> &'static [Number] {
    bytes.as_chunks().0
}

const fn places<const N: usize>(bytes: &'static [u8]) -> &'static [[u8; N]] {
    bytes.as_chunks().0
}

#[inline]
fn number(numbers: &[Number], index: usize) -> u32 {
    u32::from_le_bytes(numbers[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [(&'static Vocabulary, &'static tiktoken_rs::CoreBPE, usize); 4] {
        [
            (&O200K, tiktoken_rs::o200k_base_singleton(), 199_998),
            (&CL100K, tiktoken_rs::cl100k_base_singleton(), 100_256),
            (&P50K, tiktoken_rs::p50k_base_singleton(), 50_280),
            (&R50K, tiktoken_rs::r50k_base_singleton(), 50_256),
        ]
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
                assert_eq!(rank(vocabulary, &token), expected, "{token:?}");
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
                assert_ne!(rank(vocabulary, &[byte]), NONE, "{byte}");
            }
            for none in [
                "",
                "<|endoftext|>",
                "qzx",
                "no token at all",
                "certainly no token at all",
            ] {
                assert_eq!(rank(vocabulary, none.as_bytes()), NONE, "{none}");
            }
            assert_eq!(rank(vocabulary, &[0; 7]), NONE);
            assert_eq!(rank(vocabulary, &b"a".repeat(10_000)), NONE);
        }
    }
}
