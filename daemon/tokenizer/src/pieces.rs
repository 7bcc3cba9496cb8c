//! Splitting text into the pieces that byte-pair encoding works on, without a stack that can overflow.
//!
//! The published patterns need look-ahead in one place only: a run of white space gives its last character to
//! what follows. Here the patterns are stated without it, for an engine that runs in linear time, and that one
//! rule is applied by hand. Possessive quantifiers become greedy ones: where they stand, nothing could be given
//! back anyway.

use regex::{Regex, RegexBuilder};

use crate::encoding::Tables;

/// Most memory of a thread's own tables for the pattern, in bytes. With the usual 2 MiB, text of random Unicode
/// makes the engine give them up and crawl at a fifteenth of its speed; such a text fills about 5 MB.
const DFA_BYTES: usize = 8 << 20;

const O200K: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"|\s*[\r\n]+",
    r"|\s+",
);
const CL100K: &str = concat!(
    r"'(?i:[sdmt]|ll|ve|re)",
    r"|[^\r\n\p{L}\p{N}]?\p{L}+",
    r"|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"|\s+$",
    r"|\s*[\r\n]",
    r"|\s+",
);
const GPT2: &str = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";

/// One of the patterns, ready to split.
pub(crate) struct Pieces {
    pattern: Regex,
    /// Whether a run of white space that ends in a line end is a piece by itself.
    keeps_line_ends: bool,
}

impl Pieces {
    pub(crate) fn new(tables: Tables) -> Pieces {
        let (pattern, keeps_line_ends) = match tables {
            Tables::O200k => (O200K, true),
            Tables::Cl100k => (CL100K, true),
            Tables::P50k | Tables::R50k => (GPT2, false),
        };
        Pieces {
            pattern: RegexBuilder::new(pattern)
                .dfa_size_limit(DFA_BYTES)
                .build()
                .expect("the patterns are constants"),
            keeps_line_ends,
        }
    }

    /// The pieces of `text`, in order; together they are the text.
    pub(crate) fn split<'p, 't>(&'p self, text: &'t str) -> impl Iterator<Item = &'t str> + use<'p, 't> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let found = self.pattern.find_at(text, at)?;
            let end = self.give_back(text, found.start(), found.end());
            let piece = &text[found.start()..end];
            at = end;
            Some(piece)
        })
    }

    /// `\s+(?!\S)`: a run of two or more blanks before something else leaves the last one to it.
    fn give_back(&self, text: &str, start: usize, end: usize) -> usize {
        let Some(last) = text[start..end].chars().next_back() else {
            return end;
        };
        let line_end = matches!(last, '\r' | '\n') && self.keeps_line_ends;
        if !last.is_whitespace() || line_end || end == text.len() {
            return end;
        }
        let shorter = end - last.len_utf8();
        // A match that ends in white space is a run of white space, except for the line ends that `o200k` and
        // `cl100k` let follow punctuation.
        if shorter > start { shorter } else { end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_leaves_its_last_character_to_what_follows() {
        let cases: [(Tables, &str, &[&str]); 8] = [
            (Tables::O200k, "  a", &[" ", " a"]),
            (Tables::O200k, "  ", &["  "]),
            (Tables::O200k, " \n  a", &[" \n", " ", " a"]),
            (Tables::O200k, "\t\t1", &["\t", "\t", "1"]),
            (Tables::Cl100k, " \n ", &[" \n "]),
            (Tables::Cl100k, "!\n\n a", &["!\n\n", " a"]),
            (Tables::R50k, "a\n\nb", &["a", "\n", "\n", "b"]),
            (Tables::R50k, "\u{3000}\u{3000}b", &["\u{3000}", "\u{3000}", "b"]),
        ];
        for (tables, text, expected) in cases {
            let pieces: Vec<&str> = Pieces::new(tables).split(text).collect();
            assert_eq!(pieces, expected, "{tables:?} {text:?}");
        }
    }
}
