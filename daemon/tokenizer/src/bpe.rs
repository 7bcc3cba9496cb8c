//! Byte-pair encoding of pieces of any length in linear time and constant memory.
//!
//! A long piece is encoded in windows that overlap. Two neighbouring windows are joined at a token that both
//! hold at the same place. That is exact: a sequence of tokens is the encoding of its text if and only if each
//! pair of neighbours is the encoding of theirs, and every pair of the joined sequence comes from one of the
//! windows. (See the corollaries in the documentation of the crate `bpe`.)

use std::collections::BinaryHeap;

use crate::layout::NONE;
use crate::vocabulary::Vocabulary;

/// Up to this many bytes a plain search for the lowest rank is quicker than a queue.
const SHORT: usize = 64;
/// Bytes of a window at first; doubled until neighbours can be joined.
const WINDOW: usize = 4096;

/// Counts pieces one after the other and reuses its memory.
pub(crate) struct Encoder<'v> {
    vocabulary: &'v Vocabulary,
    merge: Merge,
}

impl Encoder<'_> {
    pub(crate) fn new(vocabulary: &Vocabulary) -> Encoder<'_> {
        Encoder {
            vocabulary,
            merge: Merge::default(),
        }
    }

    /// Number of tokens of a piece.
    pub(crate) fn count(&mut self, piece: &[u8]) -> u64 {
        if self.vocabulary.rank(piece) != NONE {
            return 1;
        }
        if piece.len() <= SHORT {
            return count_short(self.vocabulary, piece) as u64;
        }
        let mut window = WINDOW;
        loop {
            if let Some(count) = self.count_in_windows(piece, window) {
                return count as u64;
            }
            window *= 2;
        }
    }

    /// `None` when two neighbouring windows have no token in common. A window as long as the piece always works.
    fn count_in_windows(&mut self, piece: &[u8], window: usize) -> Option<usize> {
        let mut here = self.encode(piece, 0, window);
        let (mut counted, mut total) = (0, 0);
        while here.last().is_some_and(|token| token.end < piece.len()) {
            // From the beginning of a token in the last quarter of this window.
            let quarter = here.last()?.end - window / 4;
            let first = here.partition_point(|token| token.start < quarter).max(counted);
            let there = self.encode(piece, here.get(first)?.start, window);
            let (last, same) = common(&here, first, &there)?;
            total += last + 1 - counted;
            counted = same + 1;
            here = there;
        }
        Some(total + here.len() - counted)
    }

    /// The tokens of at most `window` bytes of `piece` from `from` on, as if there were nothing else.
    fn encode(&mut self, piece: &[u8], from: usize, window: usize) -> Vec<Span> {
        let end = piece.len().min(from + window);
        self.merge.run(self.vocabulary, &piece[from..end]);
        self.merge.tokens(from)
    }
}

/// Joins the two neighbours whose union has the lowest rank, leftmost first, until there are none.
fn count_short(vocabulary: &Vocabulary, piece: &[u8]) -> usize {
    let mut starts = [0; SHORT + 1];
    for (at, start) in starts.iter_mut().enumerate() {
        *start = at;
    }
    let mut parts = piece.len();
    // Of each part together with the next one.
    let mut ranks = [NONE; SHORT];
    let rate = |starts: &[usize], parts: usize, at: usize| match at + 2 <= parts {
        true => vocabulary.rank(&piece[starts[at]..starts[at + 2]]),
        false => NONE,
    };
    for (at, rank) in ranks.iter_mut().enumerate().take(parts) {
        *rank = rate(&starts, parts, at);
    }
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
        starts.copy_within(at + 2..=parts, at + 1);
        ranks.copy_within((at + 2).min(parts)..parts, at + 1);
        parts -= 1;
        ranks[at] = rate(&starts, parts, at);
        if let Some(before) = at.checked_sub(1) {
            ranks[before] = rate(&starts, parts, before);
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

/// A part of the window while merging, named by its first byte.
struct Part {
    before: u32,
    end: u32,
    /// Rank of this part together with the next one.
    rank: u32,
}

/// The same as [`count_short`] with a queue, for windows.
#[derive(Default)]
struct Merge {
    parts: Vec<Part>,
    /// `!(rank << 32 | start)`: the greatest is the lowest rank, and the leftmost among equals.
    queue: BinaryHeap<u64>,
}

impl Merge {
    fn run(&mut self, vocabulary: &Vocabulary, bytes: &[u8]) {
        self.parts.clear();
        self.queue.clear();
        let len = u32::try_from(bytes.len()).unwrap_or(NONE);
        self.parts.extend((0..len).map(|at| Part {
            before: at.wrapping_sub(1),
            end: at + 1,
            rank: NONE,
        }));
        for at in 0..len {
            self.rate(vocabulary, bytes, at);
        }
        while let Some(entry) = self.queue.pop() {
            let (rank, left) = unpack(entry);
            if self.parts[left as usize].rank != rank {
                continue;
            }
            let right = self.parts[left as usize].end;
            let end = self.parts[right as usize].end;
            self.parts[left as usize].end = end;
            self.parts[right as usize].rank = NONE;
            if let Some(next) = self.parts.get_mut(end as usize) {
                next.before = left;
            }
            self.rate(vocabulary, bytes, left);
            let before = self.parts[left as usize].before;
            if before != NONE {
                self.rate(vocabulary, bytes, before);
            }
        }
    }

    /// Looks up what the part at `at` and the next one would become.
    fn rate(&mut self, vocabulary: &Vocabulary, bytes: &[u8], at: u32) {
        let middle = self.parts[at as usize].end;
        let rank = match self.parts.get(middle as usize) {
            Some(next) => vocabulary.rank(&bytes[at as usize..next.end as usize]),
            None => NONE,
        };
        self.parts[at as usize].rank = rank;
        if rank != NONE {
            self.queue.push(!(u64::from(rank) << 32 | u64::from(at)));
        }
    }

    fn tokens(&self, offset: usize) -> Vec<Span> {
        let mut spans = Vec::with_capacity(self.parts.len() / 2);
        let mut start = 0;
        while let Some(part) = self.parts.get(start) {
            let end = part.end as usize;
            spans.push(Span {
                start: offset + start,
                end: offset + end,
            });
            start = end;
        }
        spans
    }
}

fn unpack(entry: u64) -> (u32, u32) {
    let entry = !entry;
    ((entry >> 32) as u32, entry as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::O200K;

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
            let mut encoder = Encoder::new(&O200K);
            let whole = encoder.count_in_windows(&piece, piece.len());
            assert_eq!(whole, Some(encoder.encode(&piece, 0, piece.len()).len()));
            for window in [512, 1024, 4096] {
                assert_eq!(encoder.count_in_windows(&piece, window), whole, "{window}");
            }
        }
    }

    #[test]
    fn search_and_queue_agree() {
        let mut encoder = Encoder::new(&O200K);
        for text in [
            "x",
            "zqxjkvbp",
            "internationalisierungsbehörde",
            "字字字字字字",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            let piece = text.as_bytes();
            assert_eq!(
                count_short(&O200K, piece),
                encoder.encode(piece, 0, piece.len()).len(),
                "{text}"
            );
        }
    }
}
