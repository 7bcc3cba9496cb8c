//! One parser per agent. Pure: bytes and the parser's own state in, observations and failures out.

mod claude;
mod codex;
mod json;
mod values;

use tokmon_core::Name;
use tokmon_core::limits::MAX_FAILURES_SHOWN;
use tokmon_core::observation::Observation;

/// An agent whose files are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Agent {
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// OpenAI's Codex CLI.
    Codex,
}

impl Agent {
    /// Every agent.
    pub const ALL: [Agent; 2] = [Agent::ClaudeCode, Agent::Codex];

    /// The agent's name in records, configuration and status.
    pub fn name(self) -> &'static str {
        match self {
            Agent::ClaudeCode => "claude-code",
            Agent::Codex => "codex",
        }
    }

    /// The inverse of [`Agent::name`].
    pub fn parse(name: &str) -> Option<Agent> {
        Agent::ALL.into_iter().find(|agent| agent.name() == name)
    }

    /// The kind of source in a record's provenance.
    pub fn source_kind(self) -> &'static str {
        match self {
            Agent::ClaudeCode => "claude-code-transcript",
            Agent::Codex => "codex-rollout",
        }
    }

    /// Version of the agent's parser. A file that another version has read is read again from its start.
    pub fn parser_version(self) -> u32 {
        match self {
            Agent::ClaudeCode => claude::VERSION,
            Agent::Codex => codex::VERSION,
        }
    }

    /// Whether a file of this name is one of the agent's transcripts.
    pub fn owns(self, file_name: &str) -> bool {
        match self {
            Agent::ClaudeCode => file_name.ends_with(".jsonl"),
            Agent::Codex => file_name.ends_with(".jsonl") || file_name.ends_with(".jsonl.zst"),
        }
    }
}

/// What a parser is told about the file that it reads.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The file's path.
    pub path: Name,
    /// Whom its calls are booked to.
    pub user: Name,
    /// When the file was written last, milliseconds: the time of calls in a file that names no time at all.
    pub mtime_ms: i64,
}

impl Origin {
    /// The file's name without its endings: the session's name of last resort.
    fn stem(&self) -> &str {
        let name = self.path.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = name.strip_suffix(".zst").unwrap_or(name);
        name.strip_suffix(".jsonl").unwrap_or(name)
    }
}

/// Whether a line is a whole JSON object, though nothing ends it. Looked at only where a file stops.
pub(crate) fn is_whole_line(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    if line.first() != Some(&b'{') || line.last() != Some(&b'}') {
        return false;
    }
    let mut reader = json::Reader::new(line);
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
    let mut reader = json::Reader::new(text);
    let ends = text.first() == Some(&b'{') && reader.skip().is_ok();
    let object = &text[..reader.position()];
    let valid = ends && serde_json::from_slice::<serde::de::IgnoredAny>(object).is_ok();
    valid.then_some(object.len())
}

/// What a parser found.
#[derive(Debug, Default)]
pub struct Found {
    /// Calls, each with its key. The same call may come again, better known.
    pub observations: Vec<Observation>,
    /// How many lines could not be used.
    pub failures: u64,
    /// The first of them: offset and what is wrong, never the line's text.
    pub shown: Vec<(u64, String)>,
}

impl Found {
    fn fail(&mut self, offset: u64, problem: String) {
        self.failures += 1;
        if self.shown.len() < MAX_FAILURES_SHOWN {
            self.shown.push((offset, problem));
        }
    }
}

/// A parser in the middle of one file.
#[derive(Debug)]
pub enum Parser {
    /// For Claude Code.
    ClaudeCode(claude::Parser),
    /// For Codex.
    Codex(Box<codex::Parser>),
}

impl Parser {
    /// A parser that goes on from a state that [`Parser::state`] gave; an empty or unreadable one is the start.
    pub fn resume(agent: Agent, state: &[u8], origin: Origin) -> Parser {
        match agent {
            Agent::ClaudeCode => Parser::ClaudeCode(claude::Parser::resume(state, origin)),
            Agent::Codex => Parser::Codex(Box::new(codex::Parser::resume(state, origin))),
        }
    }

    /// Reads whole lines, the first of which begins at `offset` of the file.
    pub fn read(&mut self, lines: &[u8], offset: u64, found: &mut Found) {
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
            if let Err(problem) = self.line(line, at, found) {
                found.fail(at, problem.0);
                for (start, piece) in salvage(line) {
                    // Its own problem is the line's, which was counted.
                    drop(self.line(piece, at + start as u64, found));
                }
            }
        }
    }

    fn line(&mut self, line: &[u8], at: u64, found: &mut Found) -> Result<(), json::Problem> {
        if line.first() != Some(&b'{') || line.last() != Some(&b'}') {
            return Err(json::Problem("not a JSON object".into()));
        }
        match self {
            Parser::ClaudeCode(parser) => parser.line(line, at, found),
            Parser::Codex(parser) => parser.line(line, at, found),
        }
    }

    /// Hands over what is known so far of calls whose lines may still be coming. The parser stays usable.
    pub fn settle(&mut self, found: &mut Found) {
        match self {
            Parser::ClaudeCode(parser) => parser.settle(found),
            Parser::Codex(_) => {}
        }
    }

    /// What the parser needs to go on later, after [`Parser::settle`]. Calls whose last line was written before
    /// `open_since_ms` are not expected to go on.
    pub fn state(&self, open_since_ms: i64) -> Vec<u8> {
        match self {
            Parser::ClaudeCode(parser) => parser.state(open_since_ms),
            Parser::Codex(parser) => parser.state(),
        }
    }
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
