//! Where a piece falls apart while it is merged: a merge makes a token, so where no token has two bytes inside, they are
//! never joined.

use crate::vocabulary::Tokens;

/// Bits of a place in the table of three bytes: 32 KB.
const TRIPLE_BITS: u32 = 18;

/// No token has these two bytes inside.
const NEVER: u64 = 0;
/// Only longer ones have.
const LONGER: u64 = 1;
/// The two are a token.
const TOKEN: u64 = 3;

/// The seams of a vocabulary.
pub(crate) struct Seams {
    /// For each two bytes what they are inside of, in two bits: 16 KB.
    pairs: Vec<u64>,
    /// A bit for each three that are not all ASCII and inside of one, at a place that others may share: 32 KB.
    triples: Vec<u64>,
}

impl Seams {
    /// Of no token yet.
    pub(crate) fn new() -> Seams {
        Seams {
            pairs: vec![0; 1 << (16 - 5)],
            triples: vec![0; 1 << (TRIPLE_BITS - 6)],
        }
    }

    /// The seams of all these tokens.
    pub(crate) fn of(tokens: Tokens) -> Seams {
        let mut seams = Seams::new();
        tokens.for_each(|token| seams.put(token.bytes));
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
        for three in token.windows(3) {
            let place = triple_place(three[0], three[1], three[2]);
            self.triples[place / 64] |= 1 << (place % 64);
        }
    }

    /// Whether the byte at `at` of `piece`, which is neither its first nor beyond its end, is never in the same token as
    /// the one before it.
    #[inline(always)]
    pub(crate) fn apart(&self, piece: &[u8], at: usize) -> bool {
        let (a, b) = (piece[at - 1], piece[at]);
        let (word, shift) = pair_place(a, b);
        let figure = self.pairs[word] >> shift & 3;
        if figure == NEVER || a | b < 0x80 {
            return figure == NEVER;
        }
        // A longer token across has one of these inside.
        let before = if at > 1 {
            self.triple(piece[at - 2], a, b)
        } else {
            false
        };
        let after = match piece.get(at + 1) {
            Some(c) => self.triple(a, b, *c),
            None => false,
        };
        // Without branches: of random text nobody foresees where they go.
        (figure != TOKEN) & !(before | after)
    }

    #[inline(always)]
    fn triple(&self, a: u8, b: u8, c: u8) -> bool {
        let place = triple_place(a, b, c);
        self.triples[place / 64] >> (place % 64) & 1 != 0
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

/// Whether this is a byte of a character behind its first.
#[inline(always)]
pub(crate) fn is_inner(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[inline(always)]
fn pair_place(a: u8, b: u8) -> (usize, u32) {
    let pair = usize::from(u16::from_be_bytes([a, b]));
    (pair / 32, pair as u32 % 32 * 2)
}

#[inline(always)]
fn triple_place(a: u8, b: u8, c: u8) -> usize {
    let spread = u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9e37_79b1);
    (spread >> (32 - TRIPLE_BITS)) as usize
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
        (1..piece.len()).filter(|at| seams.apart(piece, *at)).collect()
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
}
