//! What the pieces that were merged lately came to: the same few come again and again in every real text.

/// Places; a piece has one.
const PLACES: usize = 4096;
/// Bytes of a place: the length of the piece, its tokens, the piece.
const PLACE: usize = 64;
/// Longest piece that is kept.
const LONGEST: usize = PLACE - 2;

/// A quarter of a megabyte that forgets by being written over. It is exact: the piece itself is compared.
pub(crate) struct Memo {
    // One stretch of zeros: the system gives its memory only where something is written.
    bytes: Vec<u8>,
}

impl Default for Memo {
    fn default() -> Memo {
        Memo {
            bytes: vec![0; PLACES * PLACE],
        }
    }
}

impl Memo {
    /// The tokens of `text[start..end]`: what is known, or what `count` says.
    #[inline]
    pub(crate) fn get(&mut self, text: &[u8], start: usize, end: usize, count: impl FnOnce() -> u64) -> u64 {
        let piece = &text[start..end];
        if piece.is_empty() || piece.len() > LONGEST {
            return count();
        }
        let Some(place) = self.bytes.as_chunks_mut::<PLACE>().0.get_mut(place(piece)) else {
            return count();
        };
        if usize::from(place[0]) == piece.len() && place[2..2 + piece.len()] == *piece {
            return place[1].into();
        }
        let tokens = count();
        // At most one for each byte.
        place[0] = piece.len() as u8;
        place[1] = tokens as u8;
        place[2..2 + piece.len()].copy_from_slice(piece);
        tokens
    }
}

#[inline]
fn place(piece: &[u8]) -> usize {
    crate::keys::hash(piece).wrapping_mul(0x9e37_79b9) >> 16 & (PLACES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_counted_once_and_never_mistaken_for_another() {
        let mut memo = Memo::default();
        let text = b"abcabd";
        assert_eq!(memo.get(text, 0, 3, || 2), 2);
        assert_eq!(memo.get(text, 0, 3, || panic!("known")), 2);
        assert_eq!(memo.get(text, 3, 6, || 3), 3);
        assert_eq!(memo.get(text, 0, 0, || 0), 0);
        let long = [b'x'; LONGEST + 1];
        assert_eq!(memo.get(&long, 0, LONGEST, || 7), 7);
        assert_eq!(memo.get(&long, 0, LONGEST, || panic!("known")), 7);
        assert_eq!(memo.get(&long, 0, LONGEST + 1, || 8), 8);
        assert_eq!(memo.get(&long, 0, LONGEST + 1, || 9), 9);
    }

    #[test]
    fn pieces_that_share_a_place_take_turns() {
        let mut memo = Memo::default();
        for round in 0..3_u64 {
            for number in 0..50_000_u64 {
                let piece = format!("p{number}");
                let tokens = memo.get(piece.as_bytes(), 0, piece.len(), || number % 7 + 1);
                assert_eq!(tokens, number % 7 + 1, "{round}");
            }
        }
    }
}
