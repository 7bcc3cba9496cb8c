//! The lines of a transcript by what they follow: which are left out when the session is taken up again.

use std::collections::{HashMap, HashSet};

/// Lines that are remembered of one file.
const MOST_LINES: usize = 100_000;
/// Bytes of texts that are remembered of one file: past them nothing is said to be left out.
const MOST_TEXT: usize = 32 * 1024 * 1024;
/// How often a session is taken up again at most: each time all lines are looked at.
const MOST_TIMES: u32 = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lines {
    known: HashMap<String, Line>,
    bytes: usize,
    /// How often it was asked what lies aside.
    asked: u32,
}

/// A call of a conversation: which one, and what its prompt and its answer were billed as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Billed {
    pub(super) number: u32,
    pub(super) prompt: u64,
    pub(super) answer: u64,
}

#[derive(Debug)]
struct Line {
    /// The conversation that it belongs to, and the call of it that was made last.
    chain: usize,
    call: Billed,
    parent: String,
    /// What it adds to the prompt.
    texts: Vec<String>,
}

impl Lines {
    /// The conversation of a line.
    pub(super) fn chain(&self, uuid: &str) -> Option<usize> {
        self.known.get(uuid).map(|line| line.chain)
    }

    /// The call of the same conversation that was made last when a line was written.
    pub(super) fn call(&self, uuid: &str, chain: usize) -> Option<Billed> {
        let line = self.known.get(uuid).filter(|line| line.chain == chain)?;
        Some(line.call)
    }

    pub(super) fn add(&mut self, uuid: &str, parent: &str, chain: usize, call: Billed, texts: Vec<String>) {
        if self.known.len() >= MOST_LINES || uuid.is_empty() {
            return;
        }
        self.bytes += texts.iter().map(String::len).sum::<usize>();
        let line = Line {
            chain,
            call,
            parent: parent.to_owned(),
            texts: if self.bytes > MOST_TEXT { Vec::new() } else { texts },
        };
        self.known.insert(uuid.to_owned(), line);
    }

    /// The texts of a conversation are no longer part of its prompts.
    pub(super) fn forget(&mut self, chain: usize) {
        let lines = self.known.values_mut().filter(|line| line.chain == chain);
        lines.for_each(|line| line.texts.clear());
    }

    /// The texts of a conversation that do not lie on the way from a line to the first one. They are forgotten.
    pub(super) fn aside(&mut self, uuid: &str, chain: usize) -> Vec<String> {
        self.asked += 1;
        if self.asked > MOST_TIMES {
            return Vec::new();
        }
        let mut way: Vec<&str> = Vec::new();
        let mut at = uuid;
        // A line that follows itself must not be followed for ever.
        while let Some((uuid, line)) = self.known.get_key_value(at)
            && way.len() <= self.known.len()
        {
            way.push(uuid);
            at = &line.parent;
        }
        // A line that follows none is no way at all.
        let whole = at.is_empty() && way.len() > 1 && self.bytes <= MOST_TEXT;
        let way: HashSet<String> = way.into_iter().map(str::to_owned).collect();
        let mut aside = Vec::new();
        for (uuid, line) in &mut self.known {
            if whole && line.chain == chain && !way.contains(uuid) {
                aside.append(&mut line.texts);
            }
        }
        aside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_the_way_is_told_once() {
        let mut lines = Lines::default();
        for (uuid, parent, text) in [
            ("1", "", "a"),
            ("2", "1", "b"),
            ("3", "2", "c"),
            ("4", "2", "d"),
            ("5", "4", ""),
        ] {
            lines.add(uuid, parent, 0, Billed::default(), vec![text.to_owned()]);
        }
        lines.add(
            "x",
            "1",
            1,
            Billed::default(),
            vec!["another conversation".to_owned()],
        );
        assert_eq!(lines.chain("x"), Some(1));
        assert_eq!(lines.aside("5", 0), ["c"]);
        assert!(lines.aside("5", 0).is_empty());
    }

    #[test]
    fn a_way_that_does_not_begin_at_the_beginning_says_nothing() {
        let mut lines = Lines::default();
        lines.add("2", "cut off", 0, Billed::default(), vec!["b".to_owned()]);
        lines.add("3", "2", 0, Billed::default(), vec!["c".to_owned()]);
        lines.add("4", "2", 0, Billed::default(), vec!["d".to_owned()]);
        lines.add("a", "b", 0, Billed::default(), vec!["e".to_owned()]);
        lines.add("b", "a", 0, Billed::default(), vec!["f".to_owned()]);
        for from in ["4", "a", "none", ""] {
            assert!(lines.aside(from, 0).is_empty(), "{from}");
        }
    }
}
