//! Byte-pair encoding of pieces of any length in linear time and constant memory.
//!
//! A piece falls into stretches that no token reaches across, so that no merge does ([`crate::seams`]). A long
//! stretch is encoded in windows that overlap. Two neighbouring windows are joined at a token that both
//! hold at the same place. That is exact: a sequence of tokens is the encoding of its text if and only if each
//! pair of neighbours is the encoding of theirs, and every pair of the joined sequence comes from one of the
//! windows. (See the corollaries in the documentation of the crate `bpe`.)

mod few;
mod window;

use crate::chars::{Char, Chars};
use crate::joins::APART;
use crate::vocabulary::Vocabulary;
use few::Parts;
use window::{Merge, Span, common};

/// Bytes of a window at first; doubled until neighbours can be joined.
const WINDOW: usize = 1024;
/// Bytes that neighbouring windows share at least: the longest token and some more.
const OVERLAP: usize = 192;

/// Counts pieces that are no token themselves, one after the other, and reuses its memory.
#[derive(Default)]
pub(crate) struct Merger {
    parts: Parts,
    merge: Merge,
    here: Vec<Span>,
    there: Vec<Span>,
}

impl Merger {
    /// Number of tokens that the merges make of `piece`, which are whole characters.
    pub(crate) fn count(&mut self, vocabulary: &Vocabulary, piece: &[u8]) -> u64 {
        if piece.is_ascii() {
            // Words and names hardly ever fall apart, so they are not asked.
            self.parts.set(vocabulary, piece);
            return match self.parts.count(&vocabulary.joins, piece.len()) {
                Some(count) => count,
                None => self.count_long(vocabulary, piece, WINDOW),
            };
        }
        self.count_chars(vocabulary, piece)
    }

    /// The same from characters: those that are whole before anything reaches across their ends, and the bytes of others.
    fn count_chars(&mut self, vocabulary: &Vocabulary, piece: &[u8]) -> u64 {
        let Vocabulary {
            single,
            chars,
            seams,
            joins,
            ..
        } = vocabulary;
        // Where the stretch begins, in how many parts it is so far, and the tokens of those before it.
        let (mut from, mut parts, mut total) = (0, 0, 0);
        let (mut char, mut end) = chars.at(piece, 0);
        let (mut next, mut next_end) = chars.at(piece, end);
        let (mut start, mut rank, mut torn) = (0, char.rank(), false);
        if next.torn_by_blank(char) {
            // So begins a word of many scripts.
            let spaced = chars.spaced(&piece[end..next_end]);
            let (third, third_end) = chars.at(piece, next_end);
            if spaced.is_token() && !spaced.torn_by_next(third) {
                (char, start, rank) = (next.whole(), end, spaced.rank());
                end = next_end;
                (next, next_end) = (third, third_end);
            }
        }
        // What the last part and this character join to, if that is known already.
        let mut joined = None;
        loop {
            let (third, third_end) = chars.at(piece, next_end);
            let next_torn = next.torn_by_last(char);
            let is_whole = char.is_token() & !torn & !char.torn_by_next(next);
            let next_is_whole = next.is_token() & !next_torn & !next.torn_by_next(third);
            let mut next_joined = None;
            let apart = if end == piece.len() || !char.meets(next) {
                true
            } else if is_whole & next_is_whole & !char.is_ascii_with(next) {
                !chars.together(char, next)
            } else {
                seams.apart(piece, end)
            };
            if apart & (parts == 0) {
                total += self.count_char(vocabulary, char, &piece[start..end]);
                from = end;
            } else if is_whole {
                let joined = joined.unwrap_or_else(|| self.parts.joined(joins, parts, rank));
                parts = self.parts.push(parts, joined, rank);
                if next_is_whole & !apart {
                    next_joined = Some(match char.is_ascii_with(next) && rank == char.rank() {
                        true => vocabulary.pair(piece[end - 1], piece[end]),
                        false => joins.of(rank, next.rank()),
                    });
                }
            } else {
                for at in start..end {
                    let rank = single[usize::from(piece[at])];
                    let joined = match at > start {
                        true => vocabulary.pair(piece[at - 1], piece[at]),
                        false => self.parts.joined(joins, parts, rank),
                    };
                    parts = self.parts.push(parts, joined, rank);
                    if at + 1 < end && seams.apart(piece, at + 1) {
                        total += self.count_stretch(vocabulary, &piece[from..=at], parts);
                        (from, parts) = (at + 1, 0);
                    }
                }
            }
            if apart && parts > 0 {
                total += self.count_stretch(vocabulary, &piece[from..end], parts);
                (from, parts) = (end, 0);
            }
            if end == piece.len() {
                return total;
            }
            (start, end, char, rank, torn) = (end, next_end, next, next.rank(), next_torn);
            (next, next_end, joined) = (third, third_end, next_joined);
        }
    }

    /// The tokens of a character that nothing is joined with.
    #[inline(always)]
    fn count_char(&mut self, vocabulary: &Vocabulary, figure: Char, char: &[u8]) -> u64 {
        let joins = |at: usize| vocabulary.pair(char[at], char[at + 1]);
        let is_token = u64::from(figure.is_token());
        // Without branches: of random text nobody foresees where they go.
        match *char {
            [_, _, _] => 3 - u64::from(joins(0).min(joins(1)) != APART) - is_token,
            [_, _, _, _] if is_token == 0 => {
                let [start, middle, end] = [joins(0), joins(1), joins(2)];
                let lowest = start.min(middle).min(end);
                if lowest == APART {
                    return 4;
                }
                if !Chars::holds(char) {
                    self.parts.set(vocabulary, char);
                    return self.count_stretch(vocabulary, char, 4);
                }
                let [first, second, third, fourth] =
                    [0, 1, 2, 3].map(|at| vocabulary.single[usize::from(char[at])]);
                // One more may join; the whole character is no token.
                let of = |left, right| vocabulary.joins.of(left, right);
                let more = if lowest == middle {
                    of(first, middle).min(of(middle, fourth))
                } else if lowest == start {
                    of(start, third).min(end)
                } else {
                    of(second, end).min(start)
                };
                3 - u64::from(more != APART)
            }
            _ if is_token != 0 => 1,
            _ => char.len() as u64,
        }
    }

    /// The tokens of a stretch that is in so many parts.
    #[inline(always)]
    fn count_stretch(&mut self, vocabulary: &Vocabulary, stretch: &[u8], parts: usize) -> u64 {
        let count = self.parts.count(&vocabulary.joins, parts);
        count.unwrap_or_else(|| self.count_long(vocabulary, stretch, WINDOW))
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
            let stretches = merger.count(vocabulary, piece);
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

    /// Every token that is not ASCII, alone and between others; where it has a part of a character, in many that have it.
    #[test]
    fn tokens_with_parts_of_characters_agree() {
        let mut merger = Merger::default();
        for (tables, bpe) in [
            (Tables::O200k, tiktoken_rs::o200k_base_singleton()),
            (Tables::Cl100k, tiktoken_rs::cl100k_base_singleton()),
            (Tables::P50k, tiktoken_rs::p50k_base_singleton()),
        ] {
            let vocabulary = Vocabulary::new(tables);
            let tokens = (0..200_100).filter_map(|rank| bpe.decode_bytes(&[rank]).ok());
            for token in tokens.filter(|token| token.len() > 1 && !token.is_ascii()) {
                let mut texts: Vec<Vec<u8>> = vec![token.clone()];
                if std::str::from_utf8(&token).is_err() {
                    let before: [&[u8]; 7] = [
                        b"",
                        b"\xd0",
                        b"\xe3\x81",
                        b"\xe6",
                        b"\xeb",
                        b"\xed\x95",
                        b"\xf0\x9f\x98",
                    ];
                    let behind: [&[u8]; 6] = [b"", b"\x80", b"\xb0", b"\xbd", b"\x84\xa0", b"\x98\x80\x80"];
                    let around = before.iter().flat_map(|one| behind.map(|other| (*one, other)));
                    texts = around.map(|(one, other)| [one, &token, other].concat()).collect();
                }
                for text in texts {
                    let Ok(text) = std::str::from_utf8(&text) else {
                        continue;
                    };
                    for (one, other) in [("", ""), (" ", " "), ("x", "p"), ("中", "о"), ("\u{4e50a}", "다")]
                    {
                        let piece = format!("{one}{text}{other}").into_bytes();
                        let bytes = merger.count_in_windows(&vocabulary, &piece, piece.len());
                        assert_eq!(
                            Some(merger.count(&vocabulary, &piece) as usize),
                            bytes,
                            "{one}{text}{other}"
                        );
                    }
                }
            }
        }
    }
}
