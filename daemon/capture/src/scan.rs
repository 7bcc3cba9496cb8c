//! One pass over the sources: which files are new or changed, what is new in them, and off to the sink with it.

mod feed;
mod table;
#[cfg(test)]
mod tests;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokmon_core::Name;
use tokmon_ledger::Chunk;
use tokmon_ledger::store::Position;

use self::feed::Feed;
use self::table::{Entry, Table};
use crate::agents::{Beside, Counters, Form, Origin, Parser, Reading};
use crate::roots::Root;
use crate::shared::Shared;
use crate::sink::{Outcome, Sink, SinkError};
use crate::status::{ParseFailure, SourceState};
use crate::tail::{Mark, Tail, is_packed};
use crate::walk::{Seen, Stat, Walk, without_log};

/// Observations that make a chunk worth its transaction: the fewer there are, the more pages of the ledger are written
/// again and again.
const CHUNK_OBSERVATIONS: usize = 3_000;
/// Positions that make one.
const CHUNK_POSITIONS: usize = 1_000;
/// A call whose last line is older than this has no more of them: no answer streams for so long.
const OPEN_MS: i64 = 60 * 60 * 1000;

/// Scans sources on demand. Blocking; it waits for nothing but the sink.
pub struct Scanner<S> {
    roots: Vec<Root>,
    user: Name,
    sink: S,
    shared: Arc<Shared>,
    table: Table,
    counters: Counters,
    tail: Tail,
    chunk: Chunk,
    /// Directories that the last scan walked.
    dirs: Vec<PathBuf>,
    /// How long the last walk over everything took, reading aside.
    walking: Duration,
}

impl<S: Sink> Scanner<S> {
    /// A scanner that knows of no file yet: [`Scanner::reload`] comes first.
    pub fn new(roots: Vec<Root>, user: Name, sink: S, shared: Arc<Shared>) -> Scanner<S> {
        Scanner {
            roots,
            user,
            sink,
            shared,
            table: Table::default(),
            counters: Counters::default(),
            tail: Tail::default(),
            chunk: Chunk::default(),
            dirs: Vec::new(),
            walking: Duration::ZERO,
        }
    }

    /// Adds the roots that are not known yet; true when there are any: [`Scanner::reload`] comes next.
    pub fn add(&mut self, mut roots: Vec<Root>) -> bool {
        roots.retain(|root| !self.roots.iter().any(|known| known.is(root)));
        self.shared.add(&roots);
        let any = !roots.is_empty();
        self.roots.append(&mut roots);
        any
    }

    /// Forgets what is not durable and takes the positions from the sink again.
    pub fn reload(&mut self) -> Result<(), SinkError> {
        self.chunk = Chunk::default();
        let mut positions = self.sink.positions()?;
        self.counters = Counters::load(&mut positions);
        self.table = Table::load(&self.roots, positions);
        Ok(())
    }

    /// Looks at everything. When it returns, all that was there is durable (or the stop was asked for).
    pub fn scan(&mut self) -> Result<(), SinkError> {
        self.table.begin_walk();
        self.walking = Duration::ZERO;
        for source in 0..self.roots.len() {
            let root = &mut self.roots[source];
            root.look();
            if root.absent {
                self.dirs.extend(nearest(&root.dir));
            }
            let began = Instant::now();
            let walk = Walk::of(root, &root.dir);
            self.walking += began.elapsed();
            self.take(source, walk, true)?;
        }
        // Only now: a file may have moved from one source to another.
        for source in 0..self.roots.len() {
            if !self.roots[source].absent && self.forget_vanished(source) {
                self.flush(source)?;
                self.tally(source);
            }
        }
        self.finish()
    }

    /// Looks at some files or directories only.
    pub fn scan_paths(&mut self, paths: impl IntoIterator<Item = PathBuf>) -> Result<(), SinkError> {
        let mut by_source: BTreeMap<usize, Walk> = BTreeMap::new();
        // In this order a directory comes right before what is in it, which its own walk covers.
        let paths: BTreeSet<PathBuf> = paths.into_iter().map(without_log).collect();
        let mut covered: Option<&Path> = None;
        let mut awaited = BTreeSet::new();
        for path in &paths {
            if covered.is_some_and(|above| path.starts_with(above)) {
                continue;
            }
            let Some(source) = self.source_of(path) else {
                awaited.extend(self.awaited_below(path));
                continue;
            };
            covered = Some(path);
            let found = Walk::of(&self.roots[source], path);
            let walk = by_source.entry(source).or_default();
            walk.files.extend(found.files);
            walk.dirs.extend(found.dirs);
            walk.problem = walk.problem.take().or(found.problem);
        }
        for (source, walk) in by_source {
            // What is found below it shows that it is there.
            self.roots[source].absent &= walk.dirs.is_empty() && walk.files.is_empty();
            self.take(source, walk, false)?;
        }
        for source in awaited {
            let root = &mut self.roots[source];
            root.look();
            if root.absent {
                self.dirs.extend(nearest(&root.dir));
            } else {
                let walk = Walk::of(root, &root.dir);
                self.take(source, walk, true)?;
            }
        }
        self.finish()
    }

    /// How long it takes to look at everything when nothing is new.
    pub fn walking(&self) -> Duration {
        self.walking
    }

    /// The directories that the scans since the last call have walked.
    pub fn take_dirs(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.dirs)
    }

    fn source_of(&self, path: &Path) -> Option<usize> {
        let roots = self
            .roots
            .iter()
            .enumerate()
            .filter(|(_, root)| path.starts_with(&root.dir));
        roots
            .max_by_key(|(_, root)| root.dir.components().count())
            .map(|(source, _)| source)
    }

    /// Sources that are not there yet and will appear below a directory.
    fn awaited_below(&self, path: &Path) -> impl Iterator<Item = usize> {
        let sources = self.roots.iter().enumerate();
        sources
            .filter(move |(_, root)| root.absent && root.dir.starts_with(path))
            .map(|(source, _)| source)
    }

    /// Reads what a walk found. Oldest first: an original owns its calls before its copies come.
    fn take(&mut self, source: usize, mut walk: Walk, whole: bool) -> Result<(), SinkError> {
        self.dirs.append(&mut walk.dirs);
        let mut pending: Vec<(i64, Name)> = Vec::new();
        let mut moved = Vec::new();
        for Seen { path, stat, since_ns } in walk.files {
            let Some(text) = path.to_str() else { continue };
            match self.table.see(source, text, stat) {
                table::Sight::Unchanged => {}
                table::Sight::Changed(name) => pending.push((since_ns, name)),
                table::Sight::Moved { from, to } => {
                    self.chunk.forgotten.push(from);
                    moved.push((since_ns, to));
                }
            }
        }
        for (since_ns, name) in moved {
            match self.table.get(&name).filter(|entry| entry.is_done()) {
                Some(entry) => self.chunk.positions.push(self.position(source, &name, entry)),
                None => pending.push((since_ns, name)),
            }
        }
        pending.sort();
        self.show(source, walk.problem, whole, !pending.is_empty());
        for (_, name) in pending {
            if self.shared.stopping() {
                return Ok(());
            }
            self.read(source, &name)?;
            if self.chunk.observations.len() >= CHUNK_OBSERVATIONS
                || self.chunk.positions.len() >= CHUNK_POSITIONS
            {
                self.flush(source)?;
            }
        }
        self.flush(source)
    }

    /// Reads what is new in one file.
    fn read(&mut self, source: usize, name: &Name) -> Result<(), SinkError> {
        let path = Path::new(&**name);
        let (Some(entry), Some(form)) = (self.table.get(name).cloned(), self.roots[source].form(path)) else {
            return Ok(());
        };
        let origin = Origin {
            path: name.clone(),
            user: self.user.clone(),
            mtime_ms: entry.seen.mtime_ms(),
            kind: form.kind,
            beside: Beside(whole::beside),
            log: self.roots[source].agent.log(),
        };
        let open = match form.read {
            Reading::Lines(open) => open,
            _ => return self.read_whole(source, form, entry, origin),
        };
        let mut feed = Feed {
            parser: Parser::resume(open, &entry.state, origin.clone()),
            agent: &self.roots[source].agent,
            open,
            origin,
            mark: entry.mark,
            found: Default::default(),
            records: entry.records,
            failures: entry.failures,
            sink: &mut self.sink,
            source,
            chunk: &mut self.chunk,
            shared: &self.shared,
            before: entry.clone(),
            error: None,
        };
        let outcome = self.tail.read(path, entry.mark, &mut feed);
        if let Some(error) = feed.error.take() {
            return Err(error);
        }
        if self.shared.stopping() {
            // Perhaps in the middle of the file: what has no position yet is read again.
            return Ok(());
        }
        let stat = match outcome {
            Ok(stat) => stat,
            Err(error) if crate::walk::is_gone(&error) => return Ok(()),
            Err(error) if is_packed(path) => {
                // A broken archive is not read again until it changes.
                feed.fail(0, error.to_string());
                feed.mark = Mark {
                    offset: entry.seen.size,
                    tail_hash: 0,
                };
                entry.seen
            }
            Err(error) => {
                self.unreadable(source, name, &error);
                return Ok(());
            }
        };
        let after = feed.close(stat, self.shared.now_ms());
        self.done(source, name, &entry, after);
        Ok(())
    }

    /// A file could not be read, for now.
    fn unreadable(&self, source: usize, name: &Name, error: &std::io::Error) {
        let problem = format!("{name}: {error}");
        self.shared.source(source, |status| {
            (status.state, status.error) = (SourceState::Error, problem);
        });
    }

    /// A file has been read to its end.
    fn done(&mut self, source: usize, name: &Name, before: &Entry, after: Entry) {
        let position = self.position(source, name, &after);
        self.shared.read_one(source, before.counts(), after.counts());
        self.table.put(name, after);
        self.chunk.positions.push(position);
    }

    fn position(&self, source: usize, name: &Name, entry: &Entry) -> Position {
        entry.position(&self.roots[source].agent, name)
    }

    /// Files that are gone keep their calls; only where they were read to is forgotten.
    fn forget_vanished(&mut self, source: usize) -> bool {
        let vanished = self.table.vanished(source);
        for name in &vanished {
            self.table.remove(name);
        }
        let any = !vanished.is_empty();
        self.chunk.forgotten.extend(vanished);
        any
    }

    fn flush(&mut self, source: usize) -> Result<(), SinkError> {
        let chunk = &self.chunk;
        if chunk.observations.is_empty() && chunk.positions.is_empty() && chunk.forgotten.is_empty() {
            return Ok(());
        }
        let outcomes = feed::put(&mut self.sink, source, std::mem::take(&mut self.chunk))?;
        settle(&self.shared, outcomes);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let outcomes = self.sink.finish()?;
        settle(&self.shared, outcomes);
        for (source, root) in self.roots.iter().enumerate() {
            self.shared.source(source, |status| {
                if status.state == SourceState::Importing {
                    status.state = SourceState::Watching;
                }
                if root.absent {
                    status.state = SourceState::Absent;
                }
            });
        }
        self.shared.publish(true);
        Ok(())
    }

    fn show(&mut self, source: usize, problem: Option<String>, whole: bool, busy: bool) {
        self.tally(source);
        self.shared.source(source, |status| {
            if whole || problem.is_some() {
                status.error = problem.unwrap_or_default();
            }
            status.state = match (status.error.is_empty(), busy) {
                (false, _) => SourceState::Error,
                (true, true) => SourceState::Importing,
                (true, false) => SourceState::Watching,
            };
        });
        self.shared.publish(true);
    }

    /// Sums the source's files up.
    fn tally(&self, source: usize) {
        let tally = self.table.tally(source);
        self.shared.source(source, |status| {
            (status.files, status.files_done) = (tally.files, tally.files_done);
            (status.bytes, status.bytes_read) = (tally.bytes, tally.bytes_read);
            status.records = tally.records;
            status.parse_failures = tally.failures + status.refused;
        });
    }
}

/// Where a directory that does not exist will first show: the nearest one above it that does. Not the file system's
/// root, where everything shows.
fn nearest(dir: &Path) -> Option<PathBuf> {
    let above = dir.ancestors().skip(1).find(|above| above.is_dir())?;
    above.parent().map(|_| above.to_path_buf())
}

/// What a file adds to its source's status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FileCounts {
    /// Nothing new is in it.
    pub(crate) done: bool,
    /// How much of it was read.
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) failures: u64,
}

/// Books what became of chunks.
fn settle(shared: &Shared, outcomes: Vec<Outcome>) {
    for Outcome {
        source,
        duplicates,
        refused,
    } in outcomes
    {
        shared.source(source, |status| {
            status.duplicates += duplicates;
            status.refused += refused.len() as u64;
            status.parse_failures += refused.len() as u64;
            for failure in refused {
                status.show(failure);
            }
        });
    }
    shared.publish(false);
}

/// A failure to show.
fn failure(path: &Name, offset: u64, message: String) -> ParseFailure {
    ParseFailure {
        path: path.clone(),
        offset,
        message,
    }
}
