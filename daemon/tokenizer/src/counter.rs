//! Counting with one encoding: whole texts, up to a limit, many at once, and as they grow.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::Encoding;
use crate::blocks::{Blocks, SHORTEST};
use crate::bpe::Merger;
use crate::encoding::Tables;
use crate::memo::Memo;
use crate::scan::{Cl100k, Gpt2, O200k, Scan};
use crate::vocabulary::{LONGEST, Vocabulary};

/// Most threads that count one batch.
const MOST_THREADS: usize = 4;
/// From this many bytes on, a batch is counted by several threads.
const BATCH_BYTES: usize = 256 * 1024;
/// Most sets of working memory that are kept for the next count, a quarter of a megabyte each.
const MOST_KEPT: usize = MOST_THREADS;

/// Pieces of fewer bytes are merged as quickly as they would be remembered.
const SHORTEST_KEPT: usize = 5;

/// Counts text in one encoding, exactly; special tokens such as `<|endoftext|>` count as the text that they are.
///
/// Never panics, takes time in proportion to the text, and needs the same little memory for any.
#[derive(Debug)]
pub struct Counter {
    encoding: Encoding,
    /// Laid out when it is first needed.
    vocabulary: OnceLock<Vocabulary>,
    kept: Mutex<Vec<Work>>,
    blocks: OnceLock<Blocks>,
}

/// What one thread needs to count quickly.
#[derive(Default)]
struct Work {
    memo: Memo,
    merger: Merger,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").finish_non_exhaustive()
    }
}

impl Counter {
    /// A counter without memory of its own until it counts.
    pub fn new(encoding: Encoding) -> Counter {
        Counter {
            encoding,
            vocabulary: OnceLock::new(),
            kept: Mutex::default(),
            blocks: OnceLock::new(),
        }
    }

    /// The encoding that it counts in.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Exact count of `text`.
    pub fn count(&self, text: &str) -> u64 {
        self.with_work(|work| self.run(work, text, u64::MAX))
            .unwrap_or(u64::MAX)
    }

    /// Exact count of `text` when that is at most `limit`; `None` as soon as it is more.
    pub fn count_till_limit(&self, text: &str, limit: u64) -> Option<u64> {
        self.with_work(|work| self.run(work, text, limit))
    }

    /// Exact count of every text, in order; of many together, by several threads.
    pub fn count_batch<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Vec<u64> {
        let one_by_one = || texts.iter().map(|text| self.count(text.as_ref())).collect();
        let bytes: usize = texts.iter().map(|text| text.as_ref().len()).sum();
        if bytes < BATCH_BYTES || texts.len() < 2 {
            return one_by_one();
        }
        // Asking costs more than counting ten kilobytes.
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(MOST_THREADS).min(texts.len());
        if threads < 2 {
            return one_by_one();
        }
        let next = AtomicUsize::new(0);
        let counted = |_| {
            let mut counted = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(text) = texts.get(at) else {
                    return counted;
                };
                counted.push((at, self.count(text.as_ref())));
            }
        };
        let mut counts = vec![None; texts.len()];
        std::thread::scope(|scope| {
            let running: Vec<_> = (1..threads)
                .filter_map(|n| {
                    std::thread::Builder::new()
                        .spawn_scoped(scope, move || counted(n))
                        .ok()
                })
                .collect();
            let mine = counted(0);
            let theirs = running.into_iter().filter_map(|thread| thread.join().ok());
            for (at, count) in theirs.chain([mine]).flatten() {
                counts[at] = Some(count);
            }
        });
        let whole = counts.into_iter().zip(texts);
        whole
            .map(|(count, text)| count.unwrap_or_else(|| self.count(text.as_ref())))
            .collect()
    }

    /// As [`Counter::count_batch`], for texts that come again: those of some length are remembered by a hash, with
    /// nothing of the text, and not counted twice.
    pub fn count_blocks<T: AsRef<str>>(&self, texts: &[T]) -> Vec<u64> {
        let blocks = self.blocks.get_or_init(Blocks::default);
        let mut counts = Vec::with_capacity(texts.len());
        let (mut unknown, mut places) = (Vec::new(), Vec::new());
        for (at, text) in texts.iter().map(AsRef::as_ref).enumerate() {
            let key = (text.len() >= SHORTEST).then(|| blocks.key(text));
            let known = key.and_then(|key| blocks.get(key));
            counts.push(known.unwrap_or_default());
            if known.is_none() {
                unknown.push(text);
                places.push((at, key));
            }
        }
        for ((at, key), count) in places.into_iter().zip(self.count_batch(&unknown)) {
            counts[at] = count;
            if let Some(key) = key {
                blocks.put(key, count);
            }
        }
        counts
    }

    /// Counts `text` and says where each of its last `keep` pieces begins.
    pub(crate) fn count_but_last(&self, text: &str, keep: usize) -> (u64, usize) {
        let vocabulary = self.vocabulary();
        self.with_work(|work| match self.encoding.tables() {
            Tables::O200k => but_last::<O200k>(work, vocabulary, text, keep),
            Tables::Cl100k => but_last::<Cl100k>(work, vocabulary, text, keep),
            Tables::P50k => but_last::<Gpt2>(work, vocabulary, text, keep),
            Tables::R50k => but_last::<Gpt2>(work, vocabulary, text, keep),
        })
    }

    fn vocabulary(&self) -> &Vocabulary {
        self.vocabulary
            .get_or_init(|| Vocabulary::new(self.encoding.tables()))
    }

    fn run(&self, work: &mut Work, text: &str, limit: u64) -> Option<u64> {
        let vocabulary = self.vocabulary();
        match self.encoding.tables() {
            Tables::O200k => count::<O200k>(work, vocabulary, text, limit),
            Tables::Cl100k => count::<Cl100k>(work, vocabulary, text, limit),
            Tables::P50k => count::<Gpt2>(work, vocabulary, text, limit),
            Tables::R50k => count::<Gpt2>(work, vocabulary, text, limit),
        }
    }

    fn with_work<R>(&self, run: impl FnOnce(&mut Work) -> R) -> R {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut work = kept().pop().unwrap_or_default();
        let result = run(&mut work);
        let mut kept = kept();
        if kept.len() < MOST_KEPT {
            kept.push(work);
        }
        result
    }
}

/// The tokens of the piece `text[start..end]`.
#[inline(always)]
fn piece(work: &mut Work, vocabulary: &Vocabulary, text: &[u8], start: usize, end: usize) -> u64 {
    let Work { memo, merger } = work;
    // What falls apart at once is no token; it is random, so it does not come again, and is merged as quickly as it would
    // be remembered.
    if text[start] >= 0x80 && vocabulary.chars.apart_soon(&text[start..end]) {
        return merger.count(vocabulary, &text[start..end]);
    }
    if vocabulary.has(text, start, end) {
        return 1;
    }
    if end - start < SHORTEST_KEPT {
        return merger.count(vocabulary, &text[start..end]);
    }
    memo.get(text, start, end, || merger.count(vocabulary, &text[start..end]))
}

fn count<S: Scan>(work: &mut Work, vocabulary: &Vocabulary, text: &str, limit: u64) -> Option<u64> {
    let text = text.as_bytes();
    let (mut at, mut total) = (0, 0);
    while at < text.len() {
        let end = S::end(text, at);
        // Even in the longest tokens there are, this piece would be too much.
        let fewest = end.saturating_sub(at).div_ceil(LONGEST) as u64;
        if fewest > limit - total {
            return None;
        }
        total += piece(work, vocabulary, text, at, end);
        if total > limit {
            return None;
        }
        at = end;
    }
    Some(total)
}

/// The count of all but the last `keep` pieces, and where those begin.
fn but_last<S: Scan>(work: &mut Work, vocabulary: &Vocabulary, text: &str, keep: usize) -> (u64, usize) {
    let text = text.as_bytes();
    // Where the last `keep` pieces begin, oldest first.
    let mut starts = std::collections::VecDeque::with_capacity(keep + 1);
    let (mut at, mut total) = (0, 0);
    while at < text.len() {
        starts.push_back(at);
        at = S::end(text, at);
        if starts.len() > keep
            && let Some(start) = starts.pop_front()
        {
            let end = starts.front().copied().unwrap_or(at);
            total += piece(work, vocabulary, text, start, end);
        }
    }
    (total, starts.front().copied().unwrap_or(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_a_limit() {
        let counter = Counter::new(Encoding::O200kBase);
        let text = "the quick brown fox, internationalisierungsbehörde ".repeat(50);
        let whole = counter.count(&text);
        for limit in [0, 1, whole - 1, whole, whole + 1, u64::MAX] {
            let expected = (whole <= limit).then_some(whole);
            assert_eq!(counter.count_till_limit(&text, limit), expected, "{limit}");
        }
        assert_eq!(counter.count_till_limit("", 0), Some(0));
        // Refused by length alone.
        assert_eq!(counter.count_till_limit(&"a".repeat(30 << 20), 1000), None);
    }

    #[test]
    fn a_batch_is_counted_in_order() {
        for encoding in Encoding::ALL {
            let counter = Counter::new(encoding);
            let texts: Vec<String> = (0..300).map(|n| format!("text {n} of many ").repeat(n)).collect();
            let single: Vec<u64> = texts.iter().map(|text| counter.count(text)).collect();
            assert_eq!(counter.count_batch(&texts), single);
            assert_eq!(counter.count_batch(&texts[..3]), single[..3]);
            // Unknown, known, and some of both.
            assert_eq!(counter.count_blocks(&texts[..200]), single[..200]);
            assert_eq!(counter.count_blocks(&texts[..200]), single[..200]);
            assert_eq!(counter.count_blocks(&texts), single);
        }
    }
}
