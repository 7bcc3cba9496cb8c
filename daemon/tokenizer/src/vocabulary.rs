//! The vocabularies, read where they lie in the program.

use crate::layout::{NONE, hash};

macro_rules! vocabulary {
    ($name:literal) => {
        Vocabulary {
            tokens: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".tokens")),
            starts: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".starts")),
            table: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".table")),
        }
    };
}

pub(crate) static O200K: Vocabulary = vocabulary!("o200k");
pub(crate) static CL100K: Vocabulary = vocabulary!("cl100k");
pub(crate) static P50K: Vocabulary = vocabulary!("p50k");
pub(crate) static R50K: Vocabulary = vocabulary!("r50k");

/// The ordinary tokens of an encoding, from bytes to rank.
pub(crate) struct Vocabulary {
    tokens: &'static [u8],
    starts: &'static [u8],
    table: &'static [u8],
}

impl Vocabulary {
    /// The rank of a token, or [`NONE`] when the bytes are none.
    pub(crate) fn rank(&self, bytes: &[u8]) -> u32 {
        let mask = self.table.len() / 4 - 1;
        let mut place = hash(bytes) & mask;
        loop {
            let rank = number(self.table, place);
            if rank == NONE || self.token(rank) == bytes {
                return rank;
            }
            place = (place + 1) & mask;
        }
    }

    fn token(&self, rank: u32) -> &[u8] {
        let rank = rank as usize;
        &self.tokens[number(self.starts, rank) as usize..number(self.starts, rank + 1) as usize]
    }
}

fn number(numbers: &[u8], index: usize) -> u32 {
    let at = 4 * index;
    u32::from_le_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_found_at_its_rank() {
        let sizes = [
            (&O200K, 199_998),
            (&CL100K, 100_256),
            (&P50K, 50_281),
            (&R50K, 50_256),
        ];
        for (vocabulary, size) in sizes {
            assert_eq!(vocabulary.starts.len() / 4 - 1, size);
            for rank in 0..size as u32 {
                let token = vocabulary.token(rank);
                // p50k has a gap where the special token of r50k was.
                if !token.is_empty() {
                    assert_eq!(vocabulary.rank(token), rank, "{token:?}");
                }
            }
        }
    }

    #[test]
    fn single_bytes_are_tokens_and_special_tokens_are_not() {
        for vocabulary in [&O200K, &CL100K, &P50K, &R50K] {
            for byte in 0..=u8::MAX {
                assert_ne!(vocabulary.rank(&[byte]), NONE, "{byte}");
            }
            for none in ["", "<|endoftext|>", "no token at all"] {
                assert_eq!(vocabulary.rank(none.as_bytes()), NONE, "{none}");
            }
        }
    }
}
