//! Byte-pair encoding of pieces of any length in linear time and constant memory.
//!
//! A piece falls into stretches that no token reaches across, so that no merge does ([`crate::seams`]). A long
//! stretch is encoded in windows that overlap. Two neighbouring windows are joined at a token that both
//! hold at the same place. That is exact: a sequence of tokens is the encoding of its text if and only if each
//! pair of neighbours is the encoding of theirs, and every pair of the joined sequence comes from one of the
//! windows. (See the corollaries in the documentation of the crate `bpe`.)

mod few;
mod window;

use crate::seams::{Seam, char_len};
use crate::vocabulary::Vocabulary;
use few::{BYTES, Bounds};
use window::{Merge, Span, common};

/// Bytes of a window at first; doubled until neighbours can be joined.
const WINDOW: usize = 1024;
/// Bytes that neighbouring windows share at least: the longest token and some more.
const OVERLAP: usize = 192;

/// Counts pieces that are no token themselves, one after the other, and reuses its memory.
#[derive(Default)]
pub(crate) struct Merger {
    bounds: Bounds,
    merge: Merge,
    here: Vec<Span>,
    there: Vec<Span>,
}

impl Merger {
    /// Number of tokens that the merges make of `text[start..end]`, which are whole characters.
    pub(crate) fn count(&mut self, vocabulary: &Vocabulary, text: &[u8], start: usize, end: usize) -> u64 {
        let seams = &vocabulary.seams;
        let piece = &text[start..end];
        if piece.is_ascii() {
            // Words and names hardly ever fall apart, so they are not asked.
            return match BYTES.count(vocabulary, text, start, piece.len()) {
                Some(count) => count,
                None => self.count_long(vocabulary, piece, WINDOW),
            };
        }
        // Where the stretch begins, and in how many parts it is so far.
        let (mut from, mut parts, mut total) = (0, 0, 0);
        let (mut at, mut left) = (0, Seam::default());
        while at < piece.len() {
            let next = piece.len().min(at + char_len(piece[at]));
            let right = match next < piece.len() {
                true => seams.before(piece, next),
                false => Seam::END,
            };
            let is_whole = next - at > 1 && !left.ragged & !right.ragged && seams.whole(&piece[at..next]);
            let mut part = if is_whole { next } else { at + 1 };
            loop {
                let apart = match part < next {
                    true => seams.before(piece, part).apart,
                    false => right.apart,
                };
                if !apart || parts > 0 {
                    parts = self.bounds.push(parts, part - from);
                }
                if apart {
                    total += match parts {
                        0 => 1,
                        _ => self.count_stretch(vocabulary, text, parts, start + from, start + part),
                    };
                    (from, parts) = (part, 0);
                }
                if part == next {
                    break;
                }
                part += 1;
            }
            (left, at) = (right, next);
        }
        total
    }

    #[inline(always)]
    fn count_stretch(
        &mut self,
        vocabulary: &Vocabulary,
        text: &[u8],
        parts: usize,
        start: usize,
        end: usize,
    ) -> u64 {
        let count = self.bounds.count(vocabulary, text, start, parts);
        count.unwrap_or_else(|| self.count_long(vocabulary, &text[start..end], WINDOW))
    }

    #[inline(never)]
    fn count_long(&mut self, vocabulary: &Vocabulary, piece: &[u8], mut window: usize) -> u64 {
        loop {
            if let Some(count) = self.count_in_windows(vocabulary, piece, window) {
                return count as u64;
            }
            window *= 2;
        }
    }

    /// `None` when two neighbouring windows have no token in common. A window as long as the piece always works.
    fn count_in_windows(&mut self, vocabulary: &Vocabulary, piece: &[u8], window: usize) -> Option<usize> {
        let Merger {
            merge, here, there, ..
        } = self;
        // The tokens of a window of the piece, as if there were nothing else.
        let mut encode = |from: usize, into: &mut Vec<Span>| {
            let end = piece.len().min(from + window);
            merge.run(vocabulary, &piece[from..end]);
            merge.tokens(from, into);
        };
        encode(0, here);
        let (mut counted, mut total) = (0, 0);
        while here.last().is_some_and(|token| token.end < piece.len()) {
            // From the beginning of a token near the end of this window.
            let near = here.last()?.end - OVERLAP.max(window / 8);
            let first = here.partition_point(|token| token.start < near).max(counted);
            encode(here.get(first)?.start, there);
            let (last, same) = common(here, first, there)?;
            total += last + 1 - counted;
            counted = same + 1;
            std::mem::swap(here, there);
        }
        Some(total + here.len() - counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    use crate::encoding::Tables;

    static O200K: LazyLock<Vocabulary> = LazyLock::new(|| Vocabulary::new(Tables::O200k));

    #[test]
    fn windows_of_any_size_agree() {
        let letters: Vec<u8> = (0..5_000_u32)
            .map(|n| b'a' + (n.wrapping_mul(n) / 7 % 26) as u8)
            .collect();
        for piece in [
            letters,
            b"a".repeat(5_000),
            b"-".repeat(5_000),
            "字あ".repeat(900).into_bytes(),
        ] {
            let mut merger = Merger::default();
            let whole = merger.count_in_windows(&O200K, &piece, piece.len());
            assert_eq!(whole, Some(merger.here.len()));
            for window in [512, 1024, 4096] {
                let joined = merger.count_in_windows(&O200K, &piece, window);
                assert_eq!(joined, whole, "{window}");
            }
        }
    }

    /// Merging by stretches, and from whole characters, against merging bytes alone.
    #[test]
    fn stretches_and_bytes_agree() {
        let mut merger = Merger::default();
        let mut agree = |vocabulary: &Vocabulary, text: &str| {
            let piece = text.as_bytes();
            let bytes = merger.count_in_windows(vocabulary, piece, piece.len());
            let stretches = merger.count(vocabulary, piece, 0, piece.len());
            assert_eq!(Some(stretches as usize), bytes, "{text}");
        };
        for text in [
            "x",
            "xq",
            "xqz",
            "字",
            "the",
            "zqxjkvbp",
            "internationalisierungsbehörde",
            "字字字字字字",
            "𒀀🙂\u{e000}鿿ᄀ가힣",
            " 🏽👨‍👩‍👧",
            "это слово",
            "، سلام",
            "नमस्ते",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            agree(&O200K, text);
            agree(&O200K, &text.repeat(3));
            agree(&O200K, &text.repeat(30));
        }
        // Neighbours in every script, and with its own characters.
        let mut state = 7_u32;
        let mut below = |bound: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % bound
        };
        for tables in [Tables::O200k, Tables::Cl100k, Tables::P50k, Tables::R50k] {
            let vocabulary = Vocabulary::new(tables);
            for _ in 0..30_000 {
                let script = [
                    0x20, 0xa0, 0x400, 0x600, 0x900, 0xe00, 0x3040, 0x4e00, 0xac00, 0x1_f300,
                ];
                let first = script[below(10) as usize];
                let width = if below(8) == 0 { 0x1_0000 } else { 0x60 << below(6) };
                let text: String = (0..=below(12))
                    .map(|_| char::from_u32(first + below(width)).unwrap_or(' '))
                    .collect();
                agree(&vocabulary, &text);
            }
        }
    }
}
