//! Byte-pair encoding of pieces of any length in linear time and constant memory.
//!
//! A long piece is encoded in windows that overlap. Two neighbouring windows are joined at a token that both
//! hold at the same place. That is exact: a sequence of tokens is the encoding of its text if and only if each
//! pair of neighbours is the encoding of theirs, and every pair of the joined sequence comes from one of the
//! windows. (See the corollaries in the documentation of the crate `bpe`.)

use std::collections::{BinaryHeap, HashSet};

use tiktoken_rs::CoreBPE;

/// Bytes of a window at first; doubled until neighbours can be joined.
const WINDOW: usize = 4096;
/// No rank in any of the encodings is as high.
const RANKS: u32 = 200_100;
/// Stands for "no token".
const NONE: u32 = u32::MAX;

/// The tokens of an encoding, from bytes to rank: an open-addressing table over one block of bytes.
pub(crate) struct Vocabulary {
    bytes: Vec<u8>,
    /// Where each rank's bytes begin; one more at the end.
    starts: Vec<u32>,
    /// Ranks, or [`NONE`]; the length is a power of two.
    table: Vec<u32>,
}

impl Vocabulary {
    /// Reads the tokens out of `bpe`, special ones left out.
    pub(crate) fn of(bpe: &CoreBPE) -> Vocabulary {
        let special: HashSet<&[u8]> = bpe.special_tokens().into_iter().map(str::as_bytes).collect();
        let mut vocabulary = Vocabulary {
            bytes: Vec::new(),
            starts: vec![0],
            table: vec![NONE; 2 * (RANKS as usize).next_power_of_two()],
        };
        for rank in 0..RANKS {
            let token = bpe.decode_bytes(&[rank]).unwrap_or_default();
            if !special.contains(token.as_slice()) {
                vocabulary.bytes.extend_from_slice(&token);
            }
            vocabulary
                .starts
                .push(u32::try_from(vocabulary.bytes.len()).unwrap_or(NONE));
            vocabulary.insert(rank);
        }
        vocabulary
    }

    fn insert(&mut self, rank: u32) {
        if self.token(rank).is_empty() {
            return;
        }
        let mask = self.table.len() - 1;
        let mut at = hash(self.token(rank)) & mask;
        while self.table[at] != NONE {
            at = (at + 1) & mask;
        }
        self.table[at] = rank;
    }

    fn token(&self, rank: u32) -> &[u8] {
        let rank = rank as usize;
        &self.bytes[self.starts[rank] as usize..self.starts[rank + 1] as usize]
    }

    fn rank(&self, token: &[u8]) -> u32 {
        let mask = self.table.len() - 1;
        let mut at = hash(token) & mask;
        loop {
            let rank = self.table[at];
            if rank == NONE || self.token(rank) == token {
                return rank;
            }
            at = (at + 1) & mask;
        }
    }

    /// Number of tokens of a piece.
    pub(crate) fn count(&self, piece: &[u8]) -> u64 {
        if self.rank(piece) != NONE {
            return 1;
        }
        let mut window = WINDOW;
        loop {
            if let Some(count) = self.count_in_windows(piece, window) {
                return count;
            }
            window *= 2;
        }
    }

    /// `None` when two neighbouring windows have no token in common. A window as long as the piece always works.
    fn count_in_windows(&self, piece: &[u8], window: usize) -> Option<u64> {
        let mut merge = Merge::default();
        let mut here = self.encode(&mut merge, piece, 0, window);
        let mut counted = 0;
        let mut total = 0;
        while here.end() < piece.len() {
            // From a token's beginning in this window, a quarter before its end.
            let overlap = here.end() - window / 4;
            let first = here
                .tokens
                .partition_point(|token| token.start < overlap)
                .max(counted);
            let from = here.tokens.get(first)?.start;
            let there = self.encode(&mut merge, piece, from, window);
            let (last, same) = common(&here.tokens, first, &there.tokens)?;
            total += last + 1 - counted;
            counted = same + 1;
            here = there;
        }
        total += here.tokens.len() - counted;
        Some(total as u64)
    }

    /// The tokens of at most `window` bytes of `piece` from `from` on, as if the window were all there is.
    fn encode(&self, merge: &mut Merge, piece: &[u8], from: usize, window: usize) -> Window {
        let end = piece.len().min(from + window);
        merge.run(self, &piece[from..end]);
        Window {
            tokens: merge.tokens(from),
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
            i += 1
        } else {
            j += 1
        }
    }
    None
}

/// Where a token lies in its piece.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

struct Window {
    tokens: Vec<Span>,
}

impl Window {
    fn end(&self) -> usize {
        self.tokens.last().map_or(0, |token| token.end)
    }
}

/// A part of the window while merging, named by its first byte.
struct Part {
    before: u32,
    end: u32,
    /// Rank of this part together with the next one.
    rank: u32,
}

/// Repeatedly joins the two neighbours whose union has the lowest rank, leftmost first. Reuses its memory.
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

/// Fast and good enough for tokens of a few bytes; the table is at most half full.
fn hash(bytes: &[u8]) -> usize {
    const FACTOR: u64 = 0x517c_c1b7_2722_0a95;
    let mut state = bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = (state.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
    }
    (state ^ (state >> 29)) as usize
}
