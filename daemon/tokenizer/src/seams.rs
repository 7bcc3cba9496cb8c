//! What can happen between two bytes while a piece is merged: at some places nothing ever does, so that the piece falls
//! apart there, and at most the characters on both sides come first, so that merging can begin with them.
//!
//! Both follow from which tokens there are. A merge makes a token; where no token has two bytes inside, they are never
//! joined. And a character that is a token by itself is joined before anything else happens to its bytes if no token
//! that would fit there has a part of it together with something outside, and every token that has all of it and more
//! is of a higher rank than the merges that make it.

use crate::keys::NONE;
use crate::vocabulary::{Tokens, Vocabulary};

/// Bits of a place in the table of three bytes, of which each has two: 32 KB.
const TRIPLE_BITS: u32 = 17;
/// Characters up to here may be whole: all of which there are tokens.
const POINTS: usize = 0x2_0000;

/// No token has these two bytes inside.
const NEVER: u64 = 0;
/// Only longer ones have.
const LONGER: u64 = 1;
/// The two are a token.
const TOKEN: u64 = 3;

/// Some token has these three bytes inside.
const INSIDE: u64 = 1;
/// One that begins or ends within a character next to where two characters meet among the three.
const RAGGED: u64 = 2;

/// What is between two bytes, or two characters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seam {
    /// They are never in the same token.
    pub(crate) apart: bool,
    /// A token could take a part of the character on one side with something of the other side.
    pub(crate) ragged: bool,
}

impl Seam {
    /// Behind the last byte.
    pub(crate) const END: Seam = Seam {
        apart: true,
        ragged: false,
    };
}

/// The seams of a vocabulary.
pub(crate) struct Seams {
    /// For each two bytes what they are inside of, in two bits: 16 KB.
    pairs: Vec<u64>,
    /// The same for three that are not all ASCII, at a place that others may share.
    triples: Vec<u64>,
    /// A bit for each character that merges to one token before it is joined with others.
    whole: Vec<u64>,
}

impl Seams {
    /// Of no token yet.
    pub(crate) fn new() -> Seams {
        Seams {
            pairs: vec![0; 1 << (16 - 5)],
            triples: vec![0; 1 << (TRIPLE_BITS - 5)],
            whole: vec![0; POINTS / 64],
        }
    }

    /// The seams of all these tokens, which `vocabulary` already knows.
    pub(crate) fn of(vocabulary: &Vocabulary, tokens: Tokens) -> Seams {
        let mut seams = Seams::new();
        // Of each whole character the highest rank of the merges that make it.
        let mut highest = vec![NONE; POINTS];
        for (token, _) in tokens.clone() {
            seams.put(token);
            if char_len(token[0]) == token.len()
                && let Some(point) = point(token)
                && let Some(rank) = rank_of_merges(vocabulary, token)
            {
                highest[point] = rank;
            }
        }
        for (token, rank) in tokens {
            if token.is_ascii() {
                continue;
            }
            for (start, end) in chars(token) {
                let part = &token[start..end];
                if part.len() < token.len()
                    && let Some(point) = point(part)
                    && highest[point] > rank
                {
                    highest[point] = NONE;
                }
            }
        }
        for (point, _) in highest.iter().enumerate().filter(|(_, rank)| **rank != NONE) {
            seams.whole[point / 64] |= 1 << (point % 64);
        }
        seams
    }

    fn put(&mut self, token: &[u8]) {
        let figure = if token.len() == 2 { TOKEN } else { LONGER };
        for at in 1..token.len() {
            let (word, shift) = pair_place(token[at - 1], token[at]);
            self.pairs[word] |= figure << shift;
        }
        if token.is_ascii() {
            return;
        }
        // Where a character begins of which the token has not all, and where one ends.
        let begun = (0..token.len()).rfind(|at| !is_inner(token[*at]));
        let begun = begun.filter(|at| token.len() - at < char_len(token[*at]));
        let ended = token.iter().position(|byte| !is_inner(*byte));
        for at in 1..token.len() {
            let ragged = match Some(at) == begun || Some(at) == ended {
                true => RAGGED,
                false => 0,
            };
            for from in at.saturating_sub(2)..at {
                if let Some([a, b, c]) = token[from..].first_chunk() {
                    let (word, shift) = triple_place(*a, *b, *c);
                    self.triples[word] |= (INSIDE | ragged) << shift;
                }
            }
        }
    }

    /// What is before the byte at `at` of `piece`, which is neither its first nor beyond its end.
    #[inline(always)]
    pub(crate) fn before(&self, piece: &[u8], at: usize) -> Seam {
        let (a, b) = (piece[at - 1], piece[at]);
        let (word, shift) = pair_place(a, b);
        let figure = self.pairs[word] >> shift & 3;
        if figure == NEVER || a | b < 0x80 {
            return Seam {
                apart: figure == NEVER,
                ragged: false,
            };
        }
        // A longer token across has one of these inside.
        let before = if at > 1 {
            self.triple(piece[at - 2], a, b)
        } else {
            0
        };
        let after = match piece.get(at + 1) {
            Some(c) => self.triple(a, b, *c),
            None => 0,
        };
        let found = before | after;
        // Without branches: of random text nobody foresees where they go.
        Seam {
            apart: (figure != TOKEN) & (found & INSIDE == 0),
            ragged: (found & RAGGED != 0) | (figure == TOKEN) & !is_inner(b),
        }
    }

    /// Whether the character merges to one token before anything else when the seams on both sides are not ragged.
    #[inline(always)]
    pub(crate) fn whole(&self, char: &[u8]) -> bool {
        point(char).is_some_and(|point| self.whole[point / 64] >> (point % 64) & 1 != 0)
    }

    /// Whether `piece` falls apart within its first bytes, which are not ASCII.
    #[inline(always)]
    pub(crate) fn soon(&self, piece: &[u8]) -> bool {
        let first = piece.first_chunk::<2>();
        first.is_some_and(|[a, b]| (a | b) >= 0x80)
            && (1..piece.len().min(5)).any(|at| self.before(piece, at).apart)
    }

    #[inline(always)]
    fn triple(&self, a: u8, b: u8, c: u8) -> u64 {
        let (word, shift) = triple_place(a, b, c);
        self.triples[word] >> shift & 3
    }
}

/// Bytes of the character that begins with this one; 1 for what begins none.
#[inline(always)]
pub(crate) fn char_len(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

fn is_inner(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Where the complete characters of a token begin and end.
fn chars(token: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    (0..token.len()).filter_map(|start| {
        let end = start + char_len(token[start]);
        (!is_inner(token[start]) && end <= token.len()).then_some((start, end))
    })
}

/// The number of this character beyond ASCII, if it may be whole.
#[inline(always)]
fn point(char: &[u8]) -> Option<usize> {
    let low = |byte: u8| usize::from(byte & 0x3f);
    let point = match *char {
        [a, b] => usize::from(a & 0x1f) << 6 | low(b),
        [a, b, c] => usize::from(a & 0xf) << 12 | low(b) << 6 | low(c),
        [a, b, c, d] => usize::from(a & 7) << 18 | low(b) << 12 | low(c) << 6 | low(d),
        _ => return None,
    };
    (point < POINTS).then_some(point)
}

/// The highest rank of the merges that make these few bytes one token; `None` when they do not.
fn rank_of_merges(vocabulary: &Vocabulary, char: &[u8]) -> Option<u32> {
    let mut bounds: Vec<usize> = (0..=char.len()).collect();
    let mut highest = 0;
    while bounds.len() > 2 {
        let ranks = bounds
            .windows(3)
            .map(|three| vocabulary.rank(char, three[0], three[2]));
        let (lowest, at) = ranks.zip(1..).min()?;
        if lowest == NONE {
            return None;
        }
        highest = highest.max(lowest);
        bounds.remove(at);
    }
    Some(highest)
}

#[inline(always)]
fn pair_place(a: u8, b: u8) -> (usize, u32) {
    let pair = usize::from(u16::from_be_bytes([a, b]));
    (pair / 32, pair as u32 % 32 * 2)
}

#[inline(always)]
fn triple_place(a: u8, b: u8, c: u8) -> (usize, u32) {
    let place = u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9e37_79b1) >> (32 - TRIPLE_BITS);
    (place as usize / 32, place % 32 * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seams_of(tokens: &[&[u8]]) -> Seams {
        let mut seams = Seams::new();
        tokens.iter().for_each(|token| seams.put(token));
        seams
    }

    fn apart(seams: &Seams, piece: &[u8]) -> Vec<usize> {
        (1..piece.len())
            .filter(|at| seams.before(piece, *at).apart)
            .collect()
    }

    #[test]
    fn a_piece_falls_apart_where_no_token_reaches_across() {
        let tokens: [&[u8]; 4] = [b"ab", b"xyz", "字形".as_bytes(), &[0xf0, 0x9f]];
        let seams = seams_of(&tokens);
        for token in tokens {
            assert!(apart(&seams, token).is_empty(), "{token:?}");
        }
        assert_eq!(apart(&seams, b"abab"), [2]);
        // By two bytes of ASCII alone: there may be a token around.
        assert!(apart(&seams, b"xy").is_empty());
        assert_eq!(apart(&seams, "字一".as_bytes()), [3, 4, 5]);
        // What would make these a token is missing on both sides.
        let [_, b, c, ..] = *"字".as_bytes() else {
            return;
        };
        assert_eq!(apart(&seams, &[b'x', b, c, b'x']), [1, 2, 3]);
    }

    #[test]
    fn a_seam_is_ragged_where_a_token_has_a_part_of_a_character() {
        let [a, b, c, d, ..] = *"字形".as_bytes() else {
            return;
        };
        let ragged = |token: &[u8]| seams_of(&[token]).before("x字形y".as_bytes(), 4).ragged;
        for (token, expected) in [
            (&[c, d][..], true),
            (&[b, c, d], true),
            (&[a, b, c, d], true),
            ("字形".as_bytes(), false),
            ("x字形".as_bytes(), false),
            (&[a, b, c], false),
            (b"xy", false),
        ] {
            assert_eq!(ragged(token), expected, "{token:?}");
        }
    }

    #[test]
    fn most_characters_that_are_tokens_are_whole_and_others_are_not() {
        let vocabulary = Vocabulary::new(crate::encoding::Tables::O200k);
        let whole = |char: char| vocabulary.seams.whole(char.to_string().as_bytes());
        for char in ['é', 'я', 'ش', 'न', '字', '한', 'の', '，'] {
            assert!(whole(char), "{char}");
        }
        for char in ['\u{e000}', '𒀀', '\u{10ffff}', 'x'] {
            assert!(!whole(char), "{char}");
        }
    }
}
