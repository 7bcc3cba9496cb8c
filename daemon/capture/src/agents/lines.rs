//! Files that grow line by line: each line that is an object goes to the agent's parser, whole ones inside broken
//! ones too.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokmon_core::limits::MAX_PARSER_STATE;

use super::json::{Problem, Reader};
use super::{Found, Origin};

/// Reads the lines of one file, in order. Pure: bytes and its own state in, observations out.
pub(crate) trait LineParser: Debug {
    /// Reads one line, an object by its first and last byte, that begins at `offset` of the file.
    fn line(&mut self, line: &[u8], offset: u64, found: &mut Found) -> Result<(), Problem>;

    /// Hands over what is known so far of calls whose lines may still be coming. The parser stays usable.
    fn settle(&mut self, found: &mut Found) {
        let _ = found;
    }

    /// What the parser needs to go on later, after [`LineParser::settle`], at most
    /// [`MAX_PARSER_STATE`] bytes. Calls whose last line was written before
    /// `open_since_ms` are not expected to go on.
    fn state(&self, open_since_ms: i64) -> Vec<u8>;
}

/// Opens a parser that goes on from a state that [`LineParser::state`] gave; an empty or unreadable one is the start.
pub(crate) type OpenLines = fn(state: &[u8], origin: Origin) -> Box<dyn LineParser>;

/// A state as a parser keeps it; an unreadable one is the start.
pub(super) fn restore<T: DeserializeOwned + Default>(state: &[u8]) -> T {
    serde_json::from_slice(state).unwrap_or_default()
}

/// The inverse of [`restore`]; nothing when it would be too long to keep.
pub(super) fn save<T: Serialize>(state: &T) -> Vec<u8> {
    let state = serde_json::to_vec(state).unwrap_or_default();
    if state.len() > MAX_PARSER_STATE {
        Vec::new()
    } else {
        state
    }
}

/// A parser in the middle of one file.
#[derive(Debug)]
pub(crate) struct Parser(Box<dyn LineParser>);

impl Parser {
    /// A parser that goes on from a state that [`Parser::state`] gave.
    pub(crate) fn resume(open: OpenLines, state: &[u8], origin: Origin) -> Parser {
        Parser(open(state, origin))
    }

    /// Reads whole lines, the first of which begins at `offset` of the file.
    pub(crate) fn read(&mut self, lines: &[u8], offset: u64, found: &mut Found) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', lines).chain(std::iter::once(lines.len())) {
            let line = lines[start..end].trim_ascii();
            let at = offset + start as u64;
            // Some editors put a byte order mark in front.
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            start = (end + 1).min(lines.len());
            if line.is_empty() {
                continue;
            }
            let read = self.line(line, at, found);
            found.take_unknown(at);
            if let Err(problem) = read {
                found.fail(at, problem.0);
                for (start, piece) in salvage(line) {
                    // Its own problem is the line's, which was counted.
                    drop(self.line(piece, at + start as u64, found));
                }
            }
        }
    }

    fn line(&mut self, line: &[u8], at: u64, found: &mut Found) -> Result<(), Problem> {
        if line.first() != Some(&b'{') || line.last() != Some(&b'}') {
            return Err(Problem("not a JSON object".into()));
        }
        self.0.line(line, at, found)
    }

    /// See [`LineParser::settle`].
    pub(crate) fn settle(&mut self, found: &mut Found) {
        self.0.settle(found);
    }

    /// See [`LineParser::state`].
    pub(crate) fn state(&self, open_since_ms: i64) -> Vec<u8> {
        self.0.state(open_since_ms)
    }
}

/// Whether a line is a whole JSON object, though nothing ends it. Looked at only where a file stops.
pub(crate) fn is_whole_line(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    if line.first() != Some(&b'{') || line.last() != Some(&b'}') {
        return false;
    }
    let mut reader = Reader::new(line);
    reader.skip().and_then(|()| reader.end()).is_ok()
}

/// How the lines of every version begin.
const BEGINNINGS: [&str; 5] = [
    "{\"parentUuid\":",
    "{\"type\":",
    "{\"timestamp\":",
    "{\"isSidechain\":",
    "{\"sessionId\":",
];
/// Places in one broken line that are tried in vain as the beginning of a whole one.
const SALVAGE_TRIES: usize = 16;

/// The whole objects in a line that is none: a write that was cut off and the next lines written right behind it, or
/// lines that nothing parts.
fn salvage(line: &[u8]) -> Vec<(usize, &[u8])> {
    let mut pieces = Vec::new();
    let mut from = 0;
    if let Some(end) = whole_object(line) {
        pieces.push((0, &line[..end]));
        from = end;
    }
    let find = |beginning: &str, from: usize| {
        let rest = line.get(from..)?;
        memchr::memmem::find(rest, beginning.as_bytes()).map(|at| from + at)
    };
    let mut next = BEGINNINGS.map(|beginning| find(beginning, from.max(1)));
    let mut tries = 0;
    while let Some(start) = next.iter().flatten().min().copied()
        && tries < SALVAGE_TRIES
    {
        let end = whole_object(&line[start..]).map(|length| start + length);
        // What is nested in the cut line is followed by more of it.
        let nested =
            |end: &usize| matches!(line[*end..].trim_ascii_start().first(), Some(b',' | b'}' | b']'));
        match end.filter(|end| !nested(end)) {
            Some(end) => {
                pieces.push((start, &line[start..end]));
                from = end;
            }
            None => {
                tries += 1;
                from = start + 1;
            }
        }
        for (at, beginning) in next.iter_mut().zip(BEGINNINGS) {
            if at.is_some_and(|at| at < from) {
                *at = find(beginning, from);
            }
        }
    }
    pieces
}

/// The length of the object at the beginning. Behind a cut in a string nothing is what it seems, so all of it is read.
fn whole_object(text: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(text);
    let ends = text.first() == Some(&b'{') && reader.skip().is_ok();
    let object = &text[..reader.position()];
    let valid = ends && serde_json::from_slice::<serde::de::IgnoredAny>(object).is_ok();
    valid.then_some(object.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_whole_line_in_a_broken_one_is_saved() {
        let nested = r#"{"type":"assistant","message":{"usage":1},"data":{"type":"x","a":2},"z":3}"#;
        let other = r#"{"timestamp":"t","text":"}{\"type\":1}"}"#;
        let cut = &nested[..nested.len() - 5];
        for (line, wanted) in [
            (format!("{nested}{other}{nested}"), vec![nested, other, nested]),
            (format!("{cut}{nested}{other}"), vec![nested, other]),
            (format!("{cut}{other} {nested}\0"), vec![other, nested]),
            (format!("\0\0{nested}{cut}"), vec![nested]),
            (format!("{}{cut}", nested.repeat(100)), vec![nested; 100]),
            (cut.to_owned(), vec![]),
            (String::new(), vec![]),
        ] {
            let pieces = salvage(line.as_bytes());
            let got: Vec<&str> = pieces
                .iter()
                .map(|(_, piece)| std::str::from_utf8(piece).unwrap())
                .collect();
            assert_eq!(got, wanted, "{line}");
            let at =
                |(start, piece): &(usize, &[u8])| &line.as_bytes()[*start..start + piece.len()] == *piece;
            assert!(pieces.iter().all(at));
        }
    }
}
