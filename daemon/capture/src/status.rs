//! What capture says about itself: per source for status, summed up for the progress of an import.

use std::collections::VecDeque;
use std::path::PathBuf;

use tokmon_core::Name;
use tokmon_core::limits::{MAX_FAILURES_SHOWN, MAX_UNKNOWN_FIELDS};

use crate::agents::{Agent, Unknown};

/// One place that usage is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// Whose files.
    pub agent: Agent,
    /// The directory.
    pub path: PathBuf,
    /// What is going on there.
    pub state: SourceState,
    /// Files that belong to the agent.
    pub files: u64,
    /// Those of them that have been read to their end.
    pub files_done: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// How many of these bytes have been read.
    pub bytes_read: u64,
    /// Calls found in the files that are still there, copies of a call in several files included.
    pub records: u64,
    /// Calls since the start that the ledger knew already.
    pub duplicates: u64,
    /// Lines of these files that could not be used, and calls that the ledger refused.
    pub parse_failures: u64,
    /// Calls since the start that the ledger refused: the part of `parse_failures` that no file accounts for.
    pub(crate) refused: u64,
    /// The latest of them since the start, at most [`MAX_FAILURES_SHOWN`].
    pub failures: VecDeque<ParseFailure>,
    /// Figures among token counts whose names are not known, met since the start; at most [`MAX_UNKNOWN_FIELDS`].
    pub unknown: Vec<UnknownField>,
    /// When the latest call since the start ended, milliseconds since the epoch; 0: none.
    pub last_record_ms: i64,
    /// The system does not tell of every change: some are only found by looking once in a while.
    pub polled: bool,
    /// What is wrong with the source; empty when nothing is.
    pub error: String,
}

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// Everything was read; changes are awaited.
    Watching,
    /// Files are being read.
    Importing,
    /// The directory does not exist.
    Absent,
    /// See the error.
    Error,
}

impl SourceState {
    /// The state's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            SourceState::Watching => "watching",
            SourceState::Importing => "importing",
            SourceState::Absent => "absent",
            SourceState::Error => "error",
        }
    }
}

/// A line that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseFailure {
    /// The file.
    pub path: Name,
    /// Byte offset of the line.
    pub offset: u64,
    /// What is wrong with it; never its text.
    pub message: String,
}

/// A figure among an agent's token counts whose name is not known: it is in no total.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownField {
    /// The name.
    pub field: String,
    /// How often it was met.
    pub count: u64,
    /// The file where it was met first.
    pub path: Name,
    /// Byte offset of the line there.
    pub offset: u64,
}

/// How far an import has come: the sum over all sources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files that are there.
    pub files_total: u64,
    /// Files that have been read to their end.
    pub files_done: u64,
    /// Their bytes.
    pub bytes_total: u64,
    /// Bytes that have been read.
    pub bytes_done: u64,
    /// Calls found.
    pub records: u64,
    /// Calls that the ledger knew already.
    pub duplicates: u64,
    /// Lines that could not be used.
    pub parse_failures: u64,
    /// Everything that was there at the request has been read and is durable.
    pub done: bool,
}

impl SourceStatus {
    /// A source of which nothing is known yet.
    pub(crate) fn new(agent: Agent, path: PathBuf) -> SourceStatus {
        SourceStatus {
            agent,
            path,
            state: SourceState::Absent,
            files: 0,
            files_done: 0,
            bytes: 0,
            bytes_read: 0,
            records: 0,
            duplicates: 0,
            parse_failures: 0,
            refused: 0,
            failures: VecDeque::new(),
            unknown: Vec::new(),
            last_record_ms: 0,
            polled: false,
            error: String::new(),
        }
    }

    /// Notes figures that were met in a file.
    pub(crate) fn met(&mut self, path: &Name, met: Vec<Unknown>) {
        for Unknown { field, count, offset } in met {
            let known = self.unknown.iter().position(|known| known.field == field);
            match known {
                Some(at) => self.unknown[at].count += count,
                None if self.unknown.len() < MAX_UNKNOWN_FIELDS => self.unknown.push(UnknownField {
                    field,
                    count,
                    path: path.clone(),
                    offset,
                }),
                None => {}
            }
        }
    }

    /// Keeps a failure for show; the oldest makes room. Counting is the caller's.
    pub(crate) fn show(&mut self, failure: ParseFailure) {
        if self.failures.len() >= MAX_FAILURES_SHOWN {
            self.failures.pop_front();
        }
        self.failures.push_back(failure);
    }
}

impl Progress {
    /// Sums sources up.
    pub fn of<'a>(sources: impl IntoIterator<Item = &'a SourceStatus>, done: bool) -> Progress {
        let mut sum = Progress {
            done,
            ..Progress::default()
        };
        for source in sources {
            sum.files_total += source.files;
            sum.files_done += source.files_done;
            sum.bytes_total += source.bytes;
            sum.bytes_done += source.bytes_read;
            sum.records += source.records;
            sum.duplicates += source.duplicates;
            sum.parse_failures += source.parse_failures;
        }
        sum
    }
}
