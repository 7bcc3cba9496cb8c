//! What is known of each file: little, for there may be twenty thousand of them.

use std::collections::HashMap;
use std::path::Path;

use tokmon_core::Name;
use tokmon_ledger::store::Position;

use super::FileCounts;
use crate::agents::Agent;
use crate::roots::Root;
use crate::tail::Mark;
use crate::walk::Stat;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(super) source: usize,
    /// As it was when it was looked at last.
    pub(super) seen: Stat,
    /// As it was when it was read last; zeros: never, or by another version of the parser.
    pub(super) read: Stat,
    pub(crate) mark: Mark,
    pub(super) state: Box<[u8]>,
    pub(crate) records: u64,
    pub(crate) failures: u64,
    /// The walk that saw it last.
    pub(super) walk: u32,
}

const NEVER: Stat = Stat {
    id: (0, 0),
    size: 0,
    mtime_ns: i64::MIN,
};

impl Entry {
    /// Nothing happened to the file since it was read.
    pub(super) fn is_done(&self) -> bool {
        self.seen == self.read
    }

    /// What the file adds to its source's status.
    pub(super) fn counts(&self) -> FileCounts {
        let done = self.is_done();
        FileCounts {
            done,
            // A last line without an end was read too, and waits.
            bytes: if done { self.seen.size } else { self.mark.offset },
            records: self.records,
            failures: self.failures,
        }
    }

    pub(super) fn position(&self, agent: &Agent, name: &Name) -> Position {
        Position {
            agent: agent.name().into(),
            path: name.clone(),
            file_id: self.read.id,
            offset: self.mark.offset,
            size: self.read.size,
            mtime_ns: self.read.mtime_ns,
            tail_hash: self.mark.tail_hash,
            state: self.state.to_vec(),
            parser_version: agent.version(),
            records: self.records,
            failures: self.failures,
        }
    }
}

/// What a look at a file told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Nothing to do.
    Unchanged,
    /// It is new or has changed.
    Changed(Name),
    /// It is a known file under another name.
    Moved { from: Name, to: Name },
}

/// Sums over one source.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) files: u64,
    pub(super) files_done: u64,
    pub(super) bytes: u64,
    pub(super) bytes_read: u64,
    pub(super) records: u64,
    pub(super) failures: u64,
}

/// Every file of every source.
#[derive(Debug, Default)]
pub(super) struct Table {
    files: HashMap<Name, Entry>,
    /// Number of the present walk over everything.
    walk: u32,
    by_id: HashMap<(u64, u64), Name>,
}

impl Table {
    /// The table as the kept positions have it. Positions outside of all sources are left alone.
    pub(super) fn load(roots: &[Root], positions: Vec<Position>) -> Table {
        let mut table = Table::default();
        for position in positions {
            let of = |root: &Root| {
                root.agent.name() == &*position.agent && root.form(Path::new(&*position.path)).is_some()
            };
            let Some(source) = roots.iter().position(of) else {
                continue;
            };
            let current = position.parser_version == roots[source].agent.version();
            let read = Stat {
                id: position.file_id,
                size: position.size,
                mtime_ns: position.mtime_ns,
            };
            let mark = Mark {
                offset: position.offset,
                tail_hash: position.tail_hash,
            };
            table.by_id.insert(position.file_id, position.path.clone());
            table.files.insert(
                position.path,
                Entry {
                    source,
                    seen: read,
                    read: if current { read } else { NEVER },
                    mark: if current { mark } else { Mark::default() },
                    state: if current {
                        position.state.into()
                    } else {
                        Box::default()
                    },
                    records: if current { position.records } else { 0 },
                    failures: if current { position.failures } else { 0 },
                    walk: 0,
                },
            );
        }
        table
    }

    pub(super) fn get(&self, name: &Name) -> Option<&Entry> {
        self.files.get(name)
    }

    pub(super) fn put(&mut self, name: &Name, entry: Entry) {
        self.by_id.insert(entry.read.id, name.clone());
        self.files.insert(name.clone(), entry);
    }

    pub(super) fn remove(&mut self, name: &Name) -> Option<Entry> {
        let entry = self.files.remove(name)?;
        if self.by_id.get(&entry.seen.id) == Some(name) {
            self.by_id.remove(&entry.seen.id);
        }
        Some(entry)
    }

    /// A walk over everything begins.
    pub(super) fn begin_walk(&mut self) {
        self.walk = self.walk.wrapping_add(1);
    }

    /// A file was seen on disk.
    pub(super) fn see(&mut self, source: usize, path: &str, stat: Stat) -> Sight {
        if let Some((name, _)) = self.files.get_key_value(path) {
            let name = name.clone();
            if let Some(entry) = self.files.get_mut(&name) {
                (entry.seen, entry.walk) = (stat, self.walk);
                if entry.is_done() {
                    return Sight::Unchanged;
                }
            }
            return Sight::Changed(name);
        }
        let name = Name::from(path);
        let known = self.by_id.get(&stat.id).filter(|_| stat.id != (0, 0)).cloned();
        if let Some(from) =
            known.filter(|from| self.files.get(from).is_some_and(|entry| entry.seen.id == stat.id))
        {
            if same_file(&from, stat) {
                // Two names of one file: it is read under the first.
                return Sight::Unchanged;
            }
            if let Some(mut entry) = self.remove(&from) {
                (entry.source, entry.seen, entry.walk) = (source, stat, self.walk);
                self.by_id.insert(stat.id, name.clone());
                self.files.insert(name.clone(), entry);
                return Sight::Moved { from, to: name };
            }
        }
        let fresh = Entry {
            source,
            seen: stat,
            read: NEVER,
            mark: Mark::default(),
            state: Box::default(),
            records: 0,
            failures: 0,
            walk: self.walk,
        };
        self.by_id.insert(stat.id, name.clone());
        self.files.insert(name.clone(), fresh);
        Sight::Changed(name)
    }

    /// Files of a source that the walk has not seen and that are indeed not there any more.
    pub(super) fn vanished(&self, source: usize) -> Vec<Name> {
        let gone = |name: &Name| {
            std::fs::symlink_metadata(Path::new(&**name)).is_err_and(|error| crate::walk::is_gone(&error))
        };
        let unseen = |entry: &Entry| entry.source == source && entry.walk != self.walk;
        let of_source = self.files.iter().filter(|(_, entry)| unseen(entry));
        of_source
            .filter(|(name, _)| gone(name))
            .map(|(name, _)| name.clone())
            .collect()
    }

    pub(super) fn tally(&self, source: usize) -> Tally {
        let mut tally = Tally::default();
        for entry in self.files.values().filter(|entry| entry.source == source) {
            let counts = entry.counts();
            tally.files += 1;
            tally.files_done += u64::from(counts.done);
            tally.bytes += entry.seen.size;
            tally.bytes_read += counts.bytes;
            tally.records += counts.records;
            tally.failures += counts.failures;
        }
        tally
    }
}

/// Whether a path still leads to the file with this identity.
fn same_file(path: &Name, stat: Stat) -> bool {
    std::fs::metadata(Path::new(&**path)).is_ok_and(|meta| Stat::of(&meta).id == stat.id)
}
