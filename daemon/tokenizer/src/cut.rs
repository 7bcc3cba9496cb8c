//! Where a text may be cut without changing its count.
//!
//! `tiktoken-rs` needs stack and memory in proportion to the longest stretch that its pattern takes at once, and
//! panics when that is a million blanks. So long texts are handed to it in chunks, cut only where all patterns
//! (`o200k`, `cl100k`, `p50k`, `r50k`) end a match whatever follows, and where nothing before the cut depends
//! on what comes after it. See [`is_cut`] for the argument.

/// Longest chunk that is handed over at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// The next part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Its length in bytes.
    pub(crate) len: usize,
    /// Longer than a chunk and without a place to cut.
    pub(crate) unbroken: bool,
}

/// The part to count next from the beginning of `text`.
pub(crate) fn next(text: &str) -> Stretch {
    if text.len() <= CHUNK {
        return Stretch {
            len: text.len(),
            unbroken: false,
        };
    }
    let end = (0..=CHUNK)
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    if let Some(len) = last_cut(&text[..end]) {
        return Stretch { len, unbroken: false };
    }
    let last = text[..end].chars().next_back().map_or(0, char::len_utf8);
    let len = end - last + first_cut(&text[end - last..]);
    Stretch { len, unbroken: true }
}

/// The last cut inside of `text`.
fn last_cut(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().rev();
    let (mut at, mut next) = chars.next()?;
    for (before, prev) in chars {
        if is_cut(prev, next) {
            return Some(at);
        }
        (at, next) = (before, prev);
    }
    None
}

/// The first cut inside of `text`, or its end.
fn first_cut(text: &str) -> usize {
    let mut chars = text.char_indices();
    let Some((_, mut prev)) = chars.next() else {
        return 0;
    };
    for (at, next) in chars {
        if is_cut(prev, next) {
            return at;
        }
        prev = next;
    }
    text.len()
}

/// Whether a text may be cut between `prev` and `next`.
///
/// The patterns have no look-behind, so what follows a cut only has to start where a match would have started.
///
/// - A blank or tab after anything that is not white space: in every pattern white space other than line ends is
///   only ever the first character of a match or part of a match of white space alone, so the match that holds
///   `prev` ends here. The only look-ahead, `\s+(?!\S)`, concerns white space before `prev` and sees `prev`.
/// - A letter before a character that is no letter, number, mark or apostrophe: words hold letters, marks and,
///   at their end, a contraction that begins with an apostrophe, nothing else.
/// - A digit before a character that is no number: runs of numbers hold numbers only.
fn is_cut(prev: char, next: char) -> bool {
    match next {
        ' ' | '\t' => !prev.is_whitespace(),
        _ if prev.is_ascii_digit() => is_break(next) || next.is_ascii_alphabetic(),
        _ if is_letter(prev) => is_break(next) || next.is_ascii_digit(),
        _ => false,
    }
}

/// Surely of the category Letter; not all of them.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic()
        || matches!(c,
            '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
}

/// Surely no letter, number, mark or apostrophe; not all of them.
fn is_break(c: char) -> bool {
    (c.is_ascii() && !c.is_ascii_alphanumeric() && c != '\'')
        || matches!(
            c,
            '、' | '。' | '「' | '」' | '，' | '．' | '！' | '？' | '：' | '；' | '（' | '）'
        )
}

/// `text` cut at every place there is.
#[cfg(test)]
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_at(first_cut(rest));
        rest = tail;
        (!head.is_empty()).then_some(head)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_stay_whole() {
        assert_eq!(
            next("a b"),
            Stretch {
                len: 3,
                unbroken: false
            }
        );
    }

    #[test]
    fn long_texts_are_cut_at_the_last_place_of_a_chunk() {
        let text = "word ".repeat(CHUNK);
        let stretch = next(&text);
        assert!(!stretch.unbroken);
        assert!(stretch.len <= CHUNK && stretch.len > CHUNK - 10);
        assert!(text[stretch.len..].starts_with(" word"));
    }

    #[test]
    fn an_unbroken_stretch_reaches_to_the_first_place() {
        for unit in ["a", " ", "-", "é", "字", "\n", "7"] {
            let run = unit.repeat(2 * CHUNK);
            let text = format!("{run}end now");
            let expected = if unit == "7" { run.len() } else { run.len() + 3 };
            assert_eq!(
                next(&text),
                Stretch {
                    len: expected,
                    unbroken: true
                },
                "{unit:?}"
            );
            assert_eq!(
                next(&run),
                Stretch {
                    len: run.len(),
                    unbroken: true
                },
                "{unit:?}"
            );
        }
    }

    #[test]
    fn cuts() {
        let yes = [
            ('a', ' '),
            ('.', ' '),
            ('a', '\n'),
            ('9', ','),
            ('字', '。'),
            ('\u{301}', ' '),
            ('a', '1'),
            ('1', 'a'),
        ];
        let no = [
            (' ', ' '),
            ('\n', ' '),
            ('\u{a0}', ' '),
            ('.', '\n'),
            ('a', '\''),
            ('a', 'b'),
            ('1', '2'),
            ('a', '\u{301}'),
            ('\u{301}', '.'),
            (' ', 'a'),
            ('-', '-'),
            ('字', '字'),
            ('.', 'a'),
        ];
        for (prev, next) in yes {
            assert!(is_cut(prev, next), "{prev:?} {next:?}");
        }
        for (prev, next) in no {
            assert!(!is_cut(prev, next), "{prev:?} {next:?}");
        }
    }
}
