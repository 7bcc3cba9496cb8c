//! The agents whose files are understood: one module and one line of [`KNOWN`] for each.
//!
//! An agent's module is a pure parser and a [`Format`] that says where its files lie, what they are called and how
//! they are read: as lines that grow, as documents that are rewritten, or as databases.

mod amp;
mod claude;
mod cline;
mod codex;
mod continue_dev;
mod copilot;
mod counters;
mod crush;
mod cursor;
mod database;
mod droid;
mod gemini;
pub(crate) mod google;
mod goose;
pub(crate) mod json;
mod kimi_cli;
mod kimi_code;
mod lines;
mod log;
mod md5;
mod notes;
mod opencode;
mod pi;
mod qwen;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod traps;
mod unknown;
pub(crate) mod values;
mod zed;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokmon_core::Name;
use tokmon_core::id::Key;
use tokmon_core::limits::{MAX_FAILURES_SHOWN, MAX_UNKNOWN_FIELDS};
use tokmon_core::observation::{Attribution, Observation, Provenance};
use tokmon_core::quota;

pub(crate) use self::counters::Counters;
pub(crate) use self::json::Problem;
pub(crate) use self::lines::{OpenLines, Parser, is_whole_line};
pub use self::log::LogMap;
pub(crate) use self::notes::Notes;
use self::values::Names;
use crate::pattern;
use crate::roots::Places;
use crate::sqlite::Trouble;

/// Every agent, in the order in which they are shown.
const KNOWN: &[&Format] = &[
    &claude::FORMAT,
    &codex::FORMAT,
    &gemini::FORMAT,
    &qwen::FORMAT,
    &copilot::FORMAT,
    &opencode::OPENCODE,
    &opencode::KILO_CLI,
    &cline::CLINE,
    &cline::ROO_CODE,
    &cline::KILO_CODE,
    &cline::CLINE_CLI,
    &cursor::FORMAT,
    &zed::FORMAT,
    &goose::FORMAT,
    &crush::FORMAT,
    &kimi_cli::FORMAT,
    &kimi_code::FORMAT,
    &amp::FORMAT,
    &droid::FORMAT,
    &pi::FORMAT,
    &continue_dev::FORMAT,
];

/// What is known of an agent's files.
#[derive(Debug)]
pub(crate) struct Format {
    /// The agent's name in records, configuration and status.
    pub(crate) name: &'static str,
    /// Raised when the same bytes would give other observations than before: a file that another version has read
    /// is read again from its start.
    pub(crate) version: u32,
    /// Where the agent keeps its files: what its own variables say, else the usual places. A place is a directory,
    /// or one file that is named outright.
    pub(crate) places: fn(&Places<'_>) -> Vec<PathBuf>,
    /// The files below such a directory. The first form that fits is the file's.
    pub(crate) forms: &'static [Form],
}

/// One kind of files of an agent.
#[derive(Debug)]
pub(crate) struct Form {
    /// Which files: a pattern over the path relative to the root, see [`crate::pattern`].
    pub(crate) files: &'static str,
    /// The kind of source in a record's provenance.
    pub(crate) kind: &'static str,
    /// How they are read.
    pub(crate) read: Reading,
}

/// How a file is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reading {
    /// Lines that are appended, read on from where they were left.
    Lines(OpenLines),
    /// A whole file that is rewritten, read again when it changes. Calls that have not changed since the last time
    /// are not handed on again.
    Document(ReadDocument),
    /// A database, read again when it or its write-ahead log changes. As with documents, calls that have not changed
    /// are not handed on again; what it has read long ago the reader passes over by [`Notes::state`].
    Database(ReadDatabase),
}

/// Reads a document: all its bytes, which may be half written or hostile, into notes. A problem is one of the whole
/// file; one of a part goes to [`Notes::fail`].
pub(crate) type ReadDocument = fn(bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), Problem>;

/// Reads the database at a path into notes, without locking or changing it. What is in the notes counts, also when
/// there is trouble with the rest of the file.
pub(crate) type ReadDatabase = fn(path: &Path, notes: &mut Notes<'_>) -> Result<(), Trouble>;

/// An agent whose files are understood.
#[derive(Clone)]
pub struct Agent {
    format: &'static Format,
    /// The user described its log.
    log: Option<Arc<LogMap>>,
}

impl Agent {
    /// Anthropic's Claude Code.
    pub const CLAUDE_CODE: Agent = Agent::known(&claude::FORMAT);
    /// OpenAI's Codex CLI.
    pub const CODEX: Agent = Agent::known(&codex::FORMAT);

    const fn known(format: &'static Format) -> Agent {
        Agent { format, log: None }
    }

    /// A program whose log the user has described.
    pub fn of_log(log: LogMap) -> Agent {
        Agent {
            format: &log::FORMAT,
            log: Some(Arc::new(log)),
        }
    }

    /// Every agent that is known, those of described logs not among them.
    pub fn all() -> impl Iterator<Item = Agent> {
        KNOWN.iter().map(|format| Agent::known(format))
    }

    /// The agent's name in records, configuration and status.
    pub fn name(&self) -> &str {
        self.log.as_ref().map_or(self.format.name, |log| &log.agent)
    }

    /// The inverse of [`Agent::name`].
    pub fn parse(name: &str) -> Option<Agent> {
        Agent::all().find(|agent| agent.name() == name)
    }

    /// Version of the agent's parser. Another description of a log is another version.
    pub(crate) fn version(&self) -> u32 {
        self.log.as_ref().map_or(self.format.version, |log| log.version())
    }

    /// The description of the user's log.
    pub(crate) fn log(&self) -> Option<Arc<LogMap>> {
        self.log.clone()
    }

    /// Where its files may lie.
    pub(crate) fn places(&self, places: &Places<'_>) -> Vec<PathBuf> {
        (self.format.places)(places)
    }

    /// How a file is read, by its path relative to the root; `None`: it is not the agent's. `deeper`: its path may
    /// begin further down.
    pub(crate) fn form(&self, relative: &Path, deeper: bool) -> Option<&'static Form> {
        let fits = |form: &&Form| match &self.log {
            Some(log) => pattern::fits(&log.files, relative),
            None if deeper => pattern::fits(&format!("**/{}", form.files), relative),
            None => pattern::fits(form.files, relative),
        };
        self.format.forms.iter().find(fits)
    }

    /// How a file that is itself a root is read: as its name says, else as the agent's first form.
    pub(crate) fn form_of_root(&self, file: &Path) -> Option<&'static Form> {
        let name = file.file_name()?.to_string_lossy();
        let forms = self.format.forms;
        let named = forms.iter().find(|form| pattern::fits_name(form.files, &name));
        named.or(forms.first())
    }

    /// Whether a directory, relative to the root, may hold the agent's files at any depth.
    pub(crate) fn enters(&self, relative: &Path) -> bool {
        match &self.log {
            Some(log) => pattern::leads_on(&log.files, relative),
            None => {
                let mut forms = self.format.forms.iter();
                forms.any(|form| pattern::leads_on(form.files, relative))
            }
        }
    }
}

impl PartialEq for Agent {
    fn eq(&self, other: &Agent) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Agent {}

impl Hash for Agent {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

/// What a parser is told about the file that it reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// The file's path.
    pub(crate) path: Name,
    /// Whom its calls are booked to.
    pub(crate) user: Name,
    /// When the file was written last, milliseconds: the time of calls in a file that names no time at all.
    pub(crate) mtime_ms: i64,
    /// The kind of source, see [`Form::kind`].
    pub(crate) kind: &'static str,
    /// What lies beside it.
    pub(crate) beside: Beside,
    /// How the user described it.
    pub(crate) log: Option<Arc<LogMap>>,
}

/// Access to the files beside one, for what the file itself leaves out: the model in a configuration, say.
#[derive(Clone, Copy)]
pub(crate) struct Beside(pub(crate) fn(&Path, usize) -> Option<Vec<u8>>);

impl Default for Beside {
    /// Nothing lies beside.
    fn default() -> Beside {
        Beside(|_, _| None)
    }
}

impl fmt::Debug for Beside {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Beside")
    }
}

impl Origin {
    /// A call that one line or part of the file tells of; what is known of it beyond this the parser adds.
    pub(crate) fn call(
        &self,
        names: &mut Names,
        agent: &str,
        key: Key,
        at_ms: i64,
        session: &str,
        model: &str,
    ) -> Observation {
        let model = names.get(if model.is_empty() { "unknown" } else { model });
        Observation {
            key,
            at_ms,
            who: Attribution {
                agent: names.get(agent),
                session: names.get(session),
                user: self.user.clone(),
                ..Attribution::default()
            },
            provider: names.provider(&model),
            model,
            source: Provenance {
                kind: names.get(self.kind),
                path: self.path.clone(),
                offset: 0,
                lines: 1,
            },
            ..Observation::default()
        }
    }

    /// The file's name without an ending.
    fn name_without(&self, ending: &str) -> &str {
        let name = self.path.rsplit(['/', '\\']).next().unwrap_or_default();
        name.strip_suffix(ending).unwrap_or(name)
    }

    /// The names of the path behind the last directory of a name; the last one is the file's. Where there is no such
    /// directory, the file's own one and the file.
    fn below(&self, dir: &str) -> Vec<&str> {
        let names: Vec<&str> = self.path.split(['/', '\\']).collect();
        let at = names[..names.len() - 1].iter().rposition(|name| *name == dir);
        let from = at.map_or(names.len().saturating_sub(2), |at| at + 1);
        names[from..].to_vec()
    }

    /// The name of a directory above the file: 1 is the one that it lies in. Empty when there is none.
    fn folder(&self, above: usize) -> &str {
        self.path.rsplit(['/', '\\']).nth(above).unwrap_or_default()
    }

    /// The beginning, of at most so many bytes, of a file that is named relative to this one's directory.
    fn beside(&self, name: &str, most: usize) -> Option<Vec<u8>> {
        let dir = Path::new(&*self.path).parent()?;
        (self.beside.0)(&dir.join(name), most)
    }

    /// The file's name without its endings: the session's name of last resort.
    fn stem(&self) -> &str {
        let name = self.path.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = name.strip_suffix(".zst").unwrap_or(name);
        name.strip_suffix(".jsonl").unwrap_or(name)
    }
}

/// A figure among token counts whose name is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// The name.
    pub(crate) field: String,
    /// In how many lines or parts it was.
    pub(crate) count: u64,
    /// Where the first of them is.
    pub(crate) offset: u64,
}

/// What a parser found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Calls, each with its key. The same call may come again, better known.
    pub(crate) observations: Vec<Observation>,
    /// What providers said of limits: the newest of each.
    pub(crate) quotas: Vec<quota::Reading>,
    /// Figures among token counts whose names are not known.
    pub(crate) unknown: Vec<Unknown>,
    /// How many lines could not be used.
    pub(crate) failures: u64,
    /// The first of them: offset and what is wrong, never the line's text.
    pub(crate) shown: Vec<(u64, String)>,
}

impl Found {
    /// A provider said how much of a limit is used.
    pub(crate) fn quota(&mut self, reading: quota::Reading) {
        let same = |known: &quota::Reading| known.limit == reading.limit && known.account == reading.account;
        match self.quotas.iter().position(same) {
            Some(at) if self.quotas[at].at_ms > reading.at_ms => {}
            Some(at) => self.quotas[at] = reading,
            // One file tells of a handful.
            None if self.quotas.len() < MAX_FAILURES_SHOWN => self.quotas.push(reading),
            None => {}
        }
    }

    /// Takes what parsers met since the last time, at this offset of the file.
    pub(crate) fn take_unknown(&mut self, offset: u64) {
        for field in unknown::take() {
            let known = self.unknown.iter().position(|known| known.field == field);
            match known {
                Some(at) => self.unknown[at].count += 1,
                None if self.unknown.len() < MAX_UNKNOWN_FIELDS => self.unknown.push(Unknown {
                    field,
                    count: 1,
                    offset,
                }),
                None => {}
            }
        }
    }

    pub(crate) fn fail(&mut self, offset: u64, problem: String) {
        self.failures += 1;
        if self.shown.len() < MAX_FAILURES_SHOWN {
            self.shown.push((offset, problem));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for agent in Agent::all() {
            assert_eq!(
                Agent::all().filter(|other| *other == agent).count(),
                1,
                "{agent:?}"
            );
            assert_eq!(Agent::parse(agent.name()), Some(agent));
        }
        assert_eq!(Agent::parse("nobody"), None);
    }
}
