//! Splitting text into the pieces that byte-pair encoding works on, by hand: the published patterns, without an
//! engine for patterns, in one pass and without a stack that could overflow.
//!
//! An end of a piece depends on little of what follows. Whatever is appended to a text, all but its last two pieces
//! stay as they are (what [`crate::stream`] rests on): looking ahead ends at a letter after capitals, at a short
//! ending such as `'re`, or at the end of a run of white space.

use crate::classes::{LETTER, LINE_END, LOWER, NUMBER, SPACE, UPPER, class_at};

/// One way of splitting.
pub(crate) trait Scan {
    /// Where the piece ends that begins at `start`: beyond it, and within `text`, which is UTF-8.
    fn end(text: &[u8], start: usize) -> usize;
}

/// `o200k_base` and `o200k_harmony`:
///
/// ```text
/// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
/// |[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
/// |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
/// ```
pub(crate) struct O200k;

/// `cl100k_base`:
///
/// ```text
/// '(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+
/// |\s++$|\s*[\r\n]|\s+(?!\S)|\s
/// ```
pub(crate) struct Cl100k;

/// `p50k_base`, `p50k_edit` and `r50k_base`:
///
/// ```text
/// '(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s
/// ```
pub(crate) struct Gpt2;

impl Scan for O200k {
    #[inline(always)]
    fn end(text: &[u8], start: usize) -> usize {
        let (class, len) = class_at(text, start);
        if class & LETTER != 0 {
            // A letter is in one of the two classes of the word, so there is one.
            return word(text, start).0;
        }
        if class & NUMBER != 0 {
            return digits(text, start + len);
        }
        if class & LINE_END == 0 {
            let body = start + len;
            let (end, first_way) = word(text, body);
            if class & UPPER != 0 && !first_way {
                // A mark that could stand before a word: the first way wins, and it can only take the mark alone.
                return ending(text, body);
            }
            if end > body {
                return end;
            }
        }
        if let Some(end) = signs(text, start, class, len) {
            return trailing(text, end, |byte| matches!(byte, b'\r' | b'\n' | b'/'));
        }
        let blanks = Blanks::at(text, start);
        if blanks.line_end > start {
            blanks.line_end
        } else {
            blanks.give_back(text, start)
        }
    }
}

impl Scan for Cl100k {
    #[inline(always)]
    fn end(text: &[u8], start: usize) -> usize {
        let (class, len) = class_at(text, start);
        if class & LETTER != 0 {
            return run(text, start + len, LETTER);
        }
        if class & NUMBER != 0 {
            return digits(text, start + len);
        }
        if class & LINE_END == 0 {
            if text[start] == b'\'' {
                let end = ending(text, start);
                if end > start {
                    return end;
                }
            }
            let body = start + len;
            let end = run(text, body, LETTER);
            if end > body {
                return end;
            }
        }
        if let Some(end) = signs(text, start, class, len) {
            return trailing(text, end, |byte| matches!(byte, b'\r' | b'\n'));
        }
        let blanks = Blanks::at(text, start);
        if blanks.line_end > start && blanks.end < text.len() {
            return blanks.line_end;
        }
        blanks.give_back(text, start)
    }
}

impl Scan for Gpt2 {
    fn end(text: &[u8], start: usize) -> usize {
        if text[start] == b'\'' {
            let end = small_ending(text, start);
            if end > start {
                return end;
            }
        }
        let (mut class, mut len) = class_at(text, start);
        let mut body = start;
        if text[start] == b' ' {
            body += 1;
            let (next, next_len) = class_at(text, body);
            if next_len > 0 && next & SPACE == 0 {
                (class, len) = (next, next_len);
            }
        }
        if class & SPACE != 0 {
            return Blanks::at(text, start).give_back(text, start);
        }
        match class & (LETTER | NUMBER) {
            0 => others(text, body + len),
            kind => run(text, body + len, kind),
        }
    }
}

/// The end of the word at `at`, which may be `at`, and whether the first of the two ways to be a word gave it.
///
/// The first way wants a small letter at the end and gives back capitals until it has one: so a letter without case
/// ends a word when only capitals follow it.
#[inline(always)]
fn word(text: &[u8], at: usize) -> (usize, bool) {
    let (mut end, mut caseless) = (at, at);
    loop {
        let (class, len) = class_at(text, end);
        if class & UPPER == 0 {
            if class & LOWER != 0 {
                return (ending(text, run(text, end + len, LOWER)), true);
            }
            break;
        }
        end += len;
        if class & LOWER != 0 {
            caseless = end;
        }
    }
    if caseless > at {
        (ending(text, caseless), true)
    } else if end > at {
        (ending(text, end), false)
    } else {
        (at, false)
    }
}

/// The end of characters of this class from `at` on.
#[inline(always)]
fn run(text: &[u8], mut at: usize, kind: u8) -> usize {
    loop {
        let (class, len) = class_at(text, at);
        if class & kind == 0 {
            return at;
        }
        at += len;
    }
}

/// The end of characters that are neither letters nor digits nor blanks.
#[inline(always)]
fn others(text: &[u8], mut at: usize) -> usize {
    loop {
        let (class, len) = class_at(text, at);
        if len == 0 || class & (LETTER | NUMBER | SPACE) != 0 {
            return at;
        }
        at += len;
    }
}

/// ` ?[^\s\p{L}\p{N}]+`, where the first character has this class and length.
#[inline(always)]
fn signs(text: &[u8], start: usize, class: u8, len: usize) -> Option<usize> {
    if class & SPACE == 0 {
        return Some(others(text, start + len));
    }
    let end = others(text, start + 1);
    (text[start] == b' ' && end > start + 1).then_some(end)
}

/// At most two more digits.
#[inline(always)]
fn digits(text: &[u8], mut at: usize) -> usize {
    for _ in 0..2 {
        let (class, len) = class_at(text, at);
        if class & NUMBER == 0 {
            break;
        }
        at += len;
    }
    at
}

#[inline(always)]
fn trailing(text: &[u8], mut at: usize, takes: impl Fn(u8) -> bool) -> usize {
    while text.get(at).is_some_and(|byte| takes(*byte)) {
        at += 1;
    }
    at
}

/// The end of `(?i:'s|'t|'re|'ve|'m|'ll|'d)?` at `at`. The long s is a small form of S.
#[inline(always)]
fn ending(text: &[u8], at: usize) -> usize {
    if text.get(at) != Some(&b'\'') {
        return at;
    }
    let lower = |at: usize| text.get(at).map_or(0, u8::to_ascii_lowercase);
    match (lower(at + 1), lower(at + 2)) {
        (b's' | b't' | b'm' | b'd', _) => at + 2,
        (b'r' | b'v', b'e') | (b'l', b'l') => at + 3,
        (0xc5, 0xbf) => at + 3,
        _ => at,
    }
}

/// The end of `'(?:[sdmt]|ll|ve|re)` at `at`, or `at`.
fn small_ending(text: &[u8], at: usize) -> usize {
    match text.get(at + 1..).unwrap_or_default() {
        [b's' | b't' | b'm' | b'd', ..] => at + 2,
        [b'r' | b'v', b'e', ..] | [b'l', b'l', ..] => at + 3,
        _ => at,
    }
}

/// A run of white space.
struct Blanks {
    end: usize,
    /// Where its last character begins.
    last: usize,
    /// Behind its last line end, or 0.
    line_end: usize,
}

impl Blanks {
    #[inline]
    fn at(text: &[u8], start: usize) -> Blanks {
        let mut blanks = Blanks {
            end: start,
            last: start,
            line_end: 0,
        };
        loop {
            let (class, len) = class_at(text, blanks.end);
            if class & SPACE == 0 {
                return blanks;
            }
            blanks.last = blanks.end;
            blanks.end += len;
            if class & LINE_END != 0 {
                blanks.line_end = blanks.end;
            }
        }
    }

    /// `\s+(?!\S)|\s+`: two or more blanks before something else leave the last one to it.
    #[inline]
    fn give_back(&self, text: &[u8], start: usize) -> usize {
        if self.end < text.len() && self.last > start {
            self.last
        } else {
            self.end
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split<S: Scan>(text: &str) -> Vec<&str> {
        let (mut pieces, mut at) = (Vec::new(), 0);
        while at < text.len() {
            let end = S::end(text.as_bytes(), at);
            pieces.push(&text[at..end]);
            at = end;
        }
        pieces
    }

    #[test]
    fn o200k() {
        let cases: [(&str, &[&str]); 16] = [
            ("  a", &[" ", " a"]),
            ("  ", &["  "]),
            (" \n  a", &[" \n", " ", " a"]),
            (" \n ", &[" \n", " "]),
            ("\t\t1", &["\t", "\t", "1"]),
            ("HTTPServer", &["HTTPServer"]),
            ("camelCaseX", &["camel", "Case", "X"]),
            ("字ABC", &["字", "ABC"]),
            ("字ABc", &["字ABc"]),
            ("\u{301}AB", &["\u{301}", "AB"]),
            ("-\u{301}AB", &["-\u{301}", "AB"]),
            ("they'LL'x", &["they'LL", "'x"]),
            ("x'ſy", &["x'ſ", "y"]),
            ("12345", &["123", "45"]),
            ("a//\n/b", &["a", "//\n/", "b"]),
            (" !!\n\nb", &[" !!\n\n", "b"]),
        ];
        for (text, expected) in cases {
            assert_eq!(split::<O200k>(text), expected, "{text:?}");
        }
    }

    #[test]
    fn cl100k_and_gpt2() {
        let cases: [(&str, &[&str]); 6] = [
            (" \n ", &[" \n "]),
            (" \n  x", &[" \n", " ", " x"]),
            ("!\n\n a", &["!\n\n", " a"]),
            ("I'Dlike", &["I", "'D", "like"]),
            ("camelCase", &["camelCase"]),
            ("'ſa'llo", &["'ſ", "a", "'ll", "o"]),
        ];
        for (text, expected) in cases {
            assert_eq!(split::<Cl100k>(text), expected, "{text:?}");
        }
        let cases: [(&str, &[&str]); 6] = [
            ("a\n\nb", &["a", "\n", "\n", "b"]),
            ("\u{3000}\u{3000}b", &["\u{3000}", "\u{3000}", "b"]),
            (" 12345!", &[" 12345", "!"]),
            ("I'Dlike", &["I", "'", "Dlike"]),
            ("   x", &["  ", " x"]),
            ("a ", &["a", " "]),
        ];
        for (text, expected) in cases {
            assert_eq!(split::<Gpt2>(text), expected, "{text:?}");
        }
    }
}
