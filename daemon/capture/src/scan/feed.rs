//! From the lines of one file to chunks: at most so many observations each, and a position never ahead of them.

use tokmon_core::limits::{MAX_AHEAD_MS, MAX_CHUNK};
use tokmon_core::observation::Observation;
use tokmon_ledger::Chunk;

use super::table::Entry;
use super::{CHUNK_OBSERVATIONS, OPEN_MS, failure, settle};
use crate::agents::{Agent, Found, OpenLines, Origin, Parser};
use crate::shared::Shared;
use crate::sink::{Outcome, Sink, SinkError};
use crate::tail::{Lines, Mark};
use crate::walk::Stat;

/// One file while it is read.
pub(super) struct Feed<'a, S> {
    pub(super) parser: Parser,
    pub(super) agent: &'a Agent,
    pub(super) open: OpenLines,
    pub(super) origin: Origin,
    pub(super) mark: Mark,
    pub(super) found: Found,
    pub(super) records: u64,
    pub(super) failures: u64,
    pub(super) sink: &'a mut S,
    pub(super) source: usize,
    pub(super) chunk: &'a mut Chunk,
    pub(super) shared: &'a Shared,
    pub(super) before: Entry,
    /// The sink's error, which ended the reading.
    pub(super) error: Option<SinkError>,
}

impl<S: Sink> Feed<'_, S> {
    pub(super) fn fail(&mut self, offset: u64, problem: String) {
        self.failures += 1;
        self.shared.source(self.source, |status| {
            status.show(failure(&self.origin.path, offset, problem))
        });
    }

    /// Moves what the parser found into the chunk.
    fn collect(&mut self) {
        self.records += self.found.observations.len() as u64;
        self.chunk.observations.append(&mut self.found.observations);
        self.chunk.quotas.append(&mut self.found.quotas);
        self.failures += self.found.failures;
        self.found.failures = 0;
        if !self.found.unknown.is_empty() {
            let met = std::mem::take(&mut self.found.unknown);
            self.shared
                .source(self.source, |status| status.met(&self.origin.path, met));
        }
        for (offset, problem) in std::mem::take(&mut self.found.shown) {
            self.shared.source(self.source, |status| {
                status.show(failure(&self.origin.path, offset, problem))
            });
        }
    }

    /// The file has been read to its end.
    pub(super) fn close(mut self, stat: Stat, now_ms: i64) -> Entry {
        self.parser.settle(&mut self.found);
        self.collect();
        tell_latest(self.shared, self.source, &self.chunk.observations, now_ms);
        self.entry(stat, now_ms.saturating_sub(OPEN_MS))
    }

    fn entry(&self, read: Stat, open_since_ms: i64) -> Entry {
        Entry {
            seen: read,
            read,
            mark: self.mark,
            state: self.parser.state(open_since_ms).into(),
            records: self.records,
            failures: self.failures,
            ..self.before.clone()
        }
    }
}

impl<S: Sink> Lines for Feed<'_, S> {
    fn restart(&mut self) {
        self.parser = Parser::resume(self.open, &[], self.origin.clone());
        (self.mark, self.records, self.failures) = (Mark::default(), 0, 0);
    }

    fn lines(&mut self, block: &[u8], offset: u64) {
        self.parser.read(block, offset, &mut self.found);
    }

    fn too_long(&mut self, offset: u64) {
        self.fail(
            offset,
            format!("a line longer than {} bytes", tokmon_core::limits::MAX_LINE_BYTES),
        );
    }

    fn reached(&mut self, mark: Mark) -> bool {
        self.mark = mark;
        self.collect();
        if self.chunk.observations.len() >= CHUNK_OBSERVATIONS {
            self.parser.settle(&mut self.found);
            self.collect();
            // Not yet at the end: with this size the file counts as changed when we come back.
            let part = self.entry(
                Stat {
                    size: mark.offset,
                    mtime_ns: 0,
                    ..self.before.seen
                },
                i64::MIN,
            );
            self.chunk
                .positions
                .push(part.position(self.agent, &self.origin.path));
            match put(self.sink, self.source, std::mem::take(self.chunk)) {
                Ok(outcomes) => settle(self.shared, outcomes),
                Err(error) => {
                    self.error = Some(error);
                    return false;
                }
            }
        }
        !self.shared.stopping()
    }
}

/// Tells when the latest of these calls ended.
pub(super) fn tell_latest(shared: &Shared, source: usize, calls: &[Observation], now_ms: i64) {
    let latest = calls
        .iter()
        .map(|seen| seen.at_ms)
        // What lies further ahead the ledger does not take.
        .filter(|at_ms| *at_ms <= now_ms.saturating_add(MAX_AHEAD_MS))
        .max()
        .unwrap_or(0);
    shared.source(source, |status| {
        status.last_record_ms = status.last_record_ms.max(latest)
    });
}

/// Hands a chunk over, in parts when it has too many observations; the positions go with the last part.
pub(super) fn put<S: Sink>(sink: &mut S, source: usize, mut chunk: Chunk) -> Result<Vec<Outcome>, SinkError> {
    let mut outcomes = Vec::new();
    while chunk.observations.len() > MAX_CHUNK {
        let rest = chunk.observations.split_off(MAX_CHUNK);
        let part = Chunk {
            observations: std::mem::replace(&mut chunk.observations, rest),
            ..Chunk::default()
        };
        outcomes.append(&mut sink.put(source, part)?);
    }
    outcomes.append(&mut sink.put(source, chunk)?);
    Ok(outcomes)
}
