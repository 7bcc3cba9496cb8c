//! Counting a text that grows, without counting again what was there before.

use std::sync::Arc;

use crate::counter::Counter;

/// Pieces at the end that are not final yet. What is appended changes two at most ([`crate::scan`]); two more cost
/// nothing.
const OPEN: usize = 4;
/// Bytes that are collected before they are looked at.
const AT_ONCE: usize = 4096;

/// The exact count of a text that arrives in chunks.
///
/// A chunk costs what its own bytes cost, on average; what is held is the end of the text that later chunks may still
/// change: some kilobytes, or the last word when that is longer.
#[derive(Debug)]
pub struct Stream {
    counter: Arc<Counter>,
    /// Tokens before the tail.
    settled: u64,
    tail: String,
    /// Length of the tail from which on it is worth looking at again.
    look_at: usize,
    /// Tokens of the tail, when it was counted as it is now.
    open: Option<u64>,
}

impl Stream {
    /// An empty text.
    pub fn new(counter: Arc<Counter>) -> Stream {
        Stream {
            counter,
            settled: 0,
            tail: String::new(),
            look_at: AT_ONCE,
            open: Some(0),
        }
    }

    /// Appends to the text. A chunk may end anywhere between two characters.
    pub fn push(&mut self, chunk: &str) {
        if chunk.is_empty() {
            return;
        }
        self.tail.push_str(chunk);
        self.open = None;
        if self.tail.len() >= self.look_at {
            self.settle();
        }
    }

    /// The count of the text so far: what counting all of it at once gives.
    pub fn total(&mut self) -> u64 {
        let open = match self.open {
            Some(open) => open,
            None => {
                self.settle();
                self.counter.count(&self.tail)
            }
        };
        self.open = Some(open);
        self.settled + open
    }

    /// Counts what cannot change any more and lets go of it.
    fn settle(&mut self) {
        let (tokens, open) = self.counter.count_but_last(&self.tail, OPEN);
        self.settled += tokens;
        self.tail.drain(..open);
        // A word that does not end is looked at each time it has doubled, so that each byte costs the same.
        self.look_at = AT_ONCE.max(2 * self.tail.len());
        if self.tail.capacity() > 4 * self.look_at {
            self.tail.shrink_to(self.look_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoding;

    #[test]
    fn what_is_settled_is_let_go() {
        let counter = Arc::new(Counter::new(Encoding::O200kBase));
        let mut stream = Stream::new(Arc::clone(&counter));
        let mut text = String::new();
        for n in 0..20_000 {
            let chunk = format!("word{n} und noch eins,\n");
            stream.push(&chunk);
            text.push_str(&chunk);
            if n % 1000 == 0 {
                assert_eq!(stream.total(), counter.count(&text), "{n}");
            }
        }
        assert_eq!(stream.total(), counter.count(&text));
        assert!(stream.tail.len() < AT_ONCE && stream.tail.capacity() < 5 * AT_ONCE);
    }

    #[test]
    fn a_word_without_end_costs_no_more_per_byte() {
        let counter = Arc::new(Counter::new(Encoding::Cl100kBase));
        let mut stream = Stream::new(Arc::clone(&counter));
        for _ in 0..200_000 {
            stream.push("abcde");
        }
        assert_eq!(stream.total(), counter.count(&"abcde".repeat(200_000)));
    }
}
