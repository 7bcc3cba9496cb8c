//! Byte-pair encoding of pieces of any length in linear time and constant memory.
//!
//! A long piece is encoded in windows that overlap. Two neighbouring windows are joined at a token that both
//! hold at the same place. That is exact: a sequence of tokens is the encoding of its text if and only if each
//! pair of neighbours is the encoding of theirs, and every pair of the joined sequence comes from one of the
//! windows. (See the corollaries in the documentation of the crate `bpe`.)

use crate::keys::NONE;
use crate::vocabulary::Vocabulary;

/// Up to this many bytes a plain search for the lowest rank is quicker than keeping blocks of parts.
const FEW: usize = 32;
const SEVERAL: usize = 128;
/// Bytes of a window at first; doubled until neighbours can be joined.
const WINDOW: usize = 1024;
/// Bytes that neighbouring windows share at least: the longest token and some more.
const OVERLAP: usize = 192;

/// Counts pieces that are no token themselves, one after the other, and reuses its memory.
#[derive(Default)]
pub(crate) struct Merger {
    merge: Merge,
    here: Vec<Span>,
    there: Vec<Span>,
}

impl Merger {
    /// Number of tokens that the merges make of `text[start..end]`.
    pub(crate) fn count(&mut self, vocabulary: &Vocabulary, text: &[u8], start: usize, end: usize) -> u64 {
        match end - start {
            0 => 0,
            1..=FEW => count_short::<FEW>(vocabulary, text, start, end) as u64,
            33..=SEVERAL => count_short::<SEVERAL>(vocabulary, text, start, end) as u64,
            _ => self.count_long(vocabulary, &text[start..end], WINDOW),
        }
    }

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
        let Merger { merge, here, there } = self;
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

/// Joins the two neighbours whose union has the lowest rank, leftmost first, until there are none.
fn count_short<const MOST: usize>(vocabulary: &Vocabulary, text: &[u8], start: usize, end: usize) -> usize {
    let mut parts = end - start;
    // Of each part together with the next one; the last one has none.
    let mut ranks = [NONE; MOST];
    // How many bytes of the piece are before each part; the last entry is the end.
    let mut starts = [0_u8; MOST];
    for at in 0..parts {
        starts[at] = at as u8;
        if at + 1 < parts {
            ranks[at] = vocabulary.pair(text, start + at);
        }
    }
    let piece = parts;
    let place = |starts: &[u8; MOST], parts: usize, at: usize| match at < parts {
        true => start + usize::from(starts[at]),
        false => start + piece,
    };
    loop {
        let (mut lowest, mut at) = (NONE, 0);
        for (index, rank) in ranks[..parts].iter().enumerate() {
            if *rank < lowest {
                (lowest, at) = (*rank, index);
            }
        }
        if lowest == NONE {
            return parts;
        }
        starts.copy_within(at + 2..parts, at + 1);
        ranks.copy_within(at + 2..parts, at + 1);
        parts -= 1;
        ranks[parts] = NONE;
        let rate = |at: usize| match at + 1 < parts {
            true => vocabulary.rank(text, place(&starts, parts, at), place(&starts, parts, at + 2)),
            false => NONE,
        };
        ranks[at] = rate(at);
        if let Some(before) = at.checked_sub(1) {
            ranks[before] = rate(before);
        }
    }
}

/// First token from `here[first..]` on that `there` has at the same place.
fn common(here: &[Span], first: usize, there: &[Span]) -> Option<(usize, usize)> {
    let (mut i, mut j) = (first, 0);
    while i < here.len() && j < there.len() {
        if here[i] == there[j] {
            return Some((i, j));
        }
        if here[i].end <= there[j].end {
            i += 1;
        } else {
            j += 1;
        }
    }
    None
}

/// Where a token lies in its piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

/// Parts of which the lowest rank is kept together.
const BLOCK: usize = 32;
/// As [`NONE`], among ranks that are compared with a sign: processors do that more quickly.
const NO_RANK: i32 = i32::MAX;

/// The same as [`count_short`] for windows: parts stay where they are, named by their first byte, and the lowest rank
/// of each block of them is known.
#[derive(Default)]
struct Merge {
    len: usize,
    before: Vec<u32>,
    end: Vec<u32>,
    /// Rank of a part together with the next one; whole blocks.
    ranks: Vec<i32>,
    /// The lowest rank of each block.
    lowest: Vec<i32>,
}

impl Merge {
    fn run(&mut self, vocabulary: &Vocabulary, bytes: &[u8]) {
        self.len = bytes.len();
        self.before.clear();
        self.end.clear();
        self.ranks.clear();
        self.lowest.clear();
        let len = u32::try_from(bytes.len()).unwrap_or(NONE);
        self.before.extend((0..len).map(|at| at.wrapping_sub(1)));
        self.end.extend(1..=len);
        let pairs = 0..bytes.len().saturating_sub(1);
        self.ranks
            .extend(pairs.map(|at| signed(vocabulary.pair(bytes, at))));
        self.ranks.resize(bytes.len().next_multiple_of(BLOCK), NO_RANK);
        let (blocks, _) = self.ranks.as_chunks::<BLOCK>();
        self.lowest.extend(blocks.iter().map(|block| lowest(block)));
        while let Some(left) = self.next() {
            let right = self.end[left] as usize;
            let end = self.end[right];
            self.end[left] = end;
            self.ranks[right] = NO_RANK;
            if let Some(before) = self.before.get_mut(end as usize) {
                *before = left as u32;
            }
            self.rate(vocabulary, bytes, left);
            let before = self.before[left];
            if before != NONE {
                self.rate(vocabulary, bytes, before as usize);
                self.review(before as usize / BLOCK);
            }
            self.review(left / BLOCK);
            if right / BLOCK != left / BLOCK {
                self.review(right / BLOCK);
            }
        }
    }

    /// The leftmost of the parts with the lowest rank.
    fn next(&self) -> Option<usize> {
        let wanted = lowest(&self.lowest);
        if wanted == NO_RANK {
            return None;
        }
        let block = self.lowest.iter().position(|rank| *rank == wanted)?;
        let first = block * BLOCK;
        let at = self.ranks[first..].iter().position(|rank| *rank == wanted)?;
        Some(first + at)
    }

    /// Looks up what the part at `at` and the next one would become.
    fn rate(&mut self, vocabulary: &Vocabulary, bytes: &[u8], at: usize) {
        let middle = self.end[at] as usize;
        self.ranks[at] = match self.end.get(middle) {
            Some(end) => signed(vocabulary.rank(bytes, at, *end as usize)),
            None => NO_RANK,
        };
    }

    fn review(&mut self, block: usize) {
        if let Some(ranks) = self.ranks.as_chunks::<BLOCK>().0.get(block) {
            self.lowest[block] = lowest(ranks);
        }
    }

    fn tokens(&self, offset: usize, spans: &mut Vec<Span>) {
        spans.clear();
        let mut start = 0;
        while start < self.len {
            let end = self.end[start] as usize;
            spans.push(Span {
                start: offset + start,
                end: offset + end,
            });
            start = end;
        }
    }
}

/// [`NONE`] becomes [`NO_RANK`]; no rank is as high.
fn signed(rank: u32) -> i32 {
    i32::try_from(rank).unwrap_or(NO_RANK)
}

fn lowest(ranks: &[i32]) -> i32 {
    ranks.iter().fold(NO_RANK, |lowest, rank| lowest.min(*rank))
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

    #[test]
    fn search_and_blocks_agree() {
        let mut merger = Merger::default();
        for text in [
            "x",
            "xq",
            "zqxjkvbp",
            "internationalisierungsbehörde",
            "字字字字字字",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            let piece = text.as_bytes();
            let blocks = merger.count_in_windows(&O200K, piece, piece.len()).unwrap();
            assert_eq!(
                count_short::<FEW>(&O200K, piece, 0, piece.len()),
                blocks,
                "{text}"
            );
            assert_eq!(
                count_short::<SEVERAL>(&O200K, piece, 0, piece.len()),
                blocks,
                "{text}"
            );
        }
    }
}
