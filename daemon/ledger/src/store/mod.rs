//! What a store must do: append batches atomically and durably, and answer reads from consistent snapshots.
//!
//! The rules live in `tokmon-core`, the order of events in the writer; a store only keeps. Every
//! implementation passes the same conformance suite.

use std::ops::Range;
use std::path::Path;

use tokmon_core::Name;
use tokmon_core::entry::{Body, Entry, Record};
use tokmon_core::id::Key;
use tokmon_core::rollup::{Agg, Dimension, Dims};

pub mod conformance;
pub mod memory;
pub mod redb;
pub mod samples;

pub use memory::MemoryStore;
pub use redb::RedbStore;

/// Version of the layout on disk that this program writes, and the newest that it reads.
pub const SCHEMA_VERSION: u32 = 1;

/// Dropped lines that are kept by name for one call; the rest is only counted. A file copied a thousand
/// times must not grow the ledger a thousandfold.
pub const MAX_DROPPED_KEPT: usize = 8;

/// Findings that a verification names; a file full of damage needs no longer list.
pub const MAX_FINDINGS: usize = 100;

/// What the writer hands over: all of it becomes durable, or none of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Entries in order; the first has seq `last_seq() + 1`, the rest follow without a hole.
    pub entries: Vec<Staged>,
    /// How far sources have been read.
    pub positions: Vec<Position>,
    /// Sources that are gone for good: their positions are removed.
    pub forgotten: Vec<Name>,
    /// Lines that told of a call which is known already and were not counted.
    pub dropped: Vec<(Key, Dropped)>,
    /// The rules' state after this batch, to start from at the next open. `None`: keep the former one.
    pub checkpoint: Option<Vec<u8>>,
}

/// An entry on its way into the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    /// The entry.
    pub entry: Entry,
    /// For an amendment: the record as it stood, whose share leaves the rollups.
    pub previous: Option<Box<Record>>,
}

impl Batch {
    /// Refuses a batch that breaks the sequence or contradicts itself.
    pub(crate) fn check(&self, last_seq: u64) -> Result<()> {
        let mut expected = last_seq;
        for Staged { entry, previous } in &self.entries {
            expected = expected.saturating_add(1);
            if entry.seq != expected {
                return Err(StoreError::Conflict(format!(
                    "entry {} does not follow entry {}",
                    entry.seq,
                    expected - 1
                )));
            }
            if matches!(entry.body, Body::Amend { .. }) != previous.is_some() {
                return Err(StoreError::Conflict(format!(
                    "entry {expected}: an amendment, and nothing else, comes with the record that it replaces"
                )));
            }
        }
        Ok(())
    }
}

/// The record that an entry brings, if it brings one.
pub(crate) fn record_of(entry: &Entry) -> Option<&Record> {
    match &entry.body {
        Body::Usage(record) | Body::Amend { record, .. } => Some(record),
        _ => None,
    }
}

/// A record's names in the order of [`Dims`], without its place.
pub(crate) fn names_of(record: &Record) -> [&Name; 7] {
    let seen = &record.seen;
    let who = &seen.who;
    [
        &who.agent,
        &seen.provider,
        &seen.model,
        &who.project,
        &who.session,
        &who.tool,
        &who.user,
    ]
}

/// The keys under which a call may be known: copies of a call may carry a time on the other side of midnight.
pub(crate) fn same_call(key: Key) -> impl Iterator<Item = Key> {
    let near = [key.day.checked_sub(1), key.day.checked_add(1)];
    let near = near
        .into_iter()
        .flatten()
        .filter(move |&day| key.day != 0 && day != 0);
    std::iter::once(key).chain(near.map(move |day| Key { day, hash: key.hash }))
}

/// What keys are sorted by as their rows are, as one number: comparing those is several times quicker.
pub(crate) fn in_order(key: &Key) -> u128 {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&key.day.to_be_bytes());
    bytes[4..].copy_from_slice(&key.hash);
    u128::from_be_bytes(bytes)
}

/// A stored sum is what its records add up to. Its bounds in time may be wider: an amended call leaves them.
pub(crate) fn agrees(stored: &Agg, counted: &Agg) -> bool {
    let bounds = stored.first_ms <= counted.first_ms && stored.last_ms >= counted.last_ms;
    let mut counted = counted.clone();
    counted.first_ms = stored.first_ms;
    counted.last_ms = stored.last_ms;
    bounds && *stored == counted
}

/// A call that the store knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The entry that holds the call's present record.
    pub seq: u64,
    /// That record.
    pub record: Record,
}

/// A line that was not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Source kind, e.g. "claude-code-transcript".
    pub kind: Name,
    /// The file.
    pub path: Name,
    /// Byte offset of the line.
    pub offset: u64,
    /// Why.
    pub reason: DropReason,
}

/// Why a line was not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The same record again in another place: a resumed, forked or copied file.
    Copy,
    /// A weaker record of a call that is known better (a streaming partial, a sidechain replay).
    Weaker,
    /// It was counted, and a better record of the same call took its place.
    Replaced,
}

/// How far a source has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Whose file.
    pub agent: Name,
    /// The file's path: the key.
    pub path: Name,
    /// Device and inode, so that a moved file is recognised.
    pub file_id: (u64, u64),
    /// Everything before this offset has been read.
    pub offset: u64,
    /// Size and modification time (ns) when it was read last, to skip unchanged files by one stat call.
    pub size: u64,
    /// See `size`.
    pub mtime_ns: i64,
    /// Hash of the bytes just before `offset`, to notice a rewritten file.
    pub tail_hash: u64,
    /// What the parser needs to go on from `offset`; at most 64 KiB.
    pub state: Vec<u8>,
    /// Version of the parser that read it.
    pub parser_version: u32,
    /// Records that came from this file, for status.
    pub records: u64,
    /// Lines that could not be parsed, for status.
    pub failures: u64,
}

/// Which records a purge takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Calls that ended before this instant, milliseconds …
    pub horizon_ms: i64,
    /// … and whose present record lies before this position: what was read in lately stays for a while, however
    /// long ago the call was.
    pub before_seq: u64,
}

impl Cut {
    /// Everything that ended before an instant.
    pub fn before(horizon_ms: i64) -> Cut {
        Cut {
            horizon_ms,
            before_seq: u64::MAX,
        }
    }
}

/// Figures about a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Version of the layout.
    pub schema_version: u32,
    /// Entries that are kept.
    pub entries: u64,
    /// The last entry's position; 0 when there is none.
    pub last_seq: u64,
    /// Bytes that the file occupies.
    pub file_bytes: u64,
    /// Earliest and latest kept call, milliseconds; 0 when there is none.
    pub oldest_ms: i64,
    /// See `oldest_ms`.
    pub newest_ms: i64,
    /// Records before this instant were purged; 0: none.
    pub purge_horizon_ms: i64,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Entries whose checksum and place in the chain were checked.
    pub entries_checked: u64,
    /// What is wrong, at most 100 findings. Empty: all is well.
    pub findings: Vec<String>,
    /// Hash of the chain at its end.
    pub chain_head: [u8; 32],
}

/// A session's row, kept beside the rollups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The session.
    pub session: Name,
    /// Its agent.
    pub agent: Name,
    /// The project of its latest call.
    pub project: Name,
    /// The user of its latest call.
    pub user: Name,
    /// Everything it used; `first_ms` and `last_ms` bound it.
    pub agg: Agg,
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error("the disk is full: {0}")]
    Full(String),
    /// Reading or writing failed. Whether the batch became durable is not known: reopen and look.
    #[error("the store failed: {0}")]
    Io(String),
    /// Stored data is damaged.
    #[error("the ledger is damaged: {0}")]
    Damaged(String),
    /// Another process has it open.
    #[error("the ledger is in use by another process")]
    InUse,
    /// The file was written by a newer tokmon.
    #[error("the ledger has schema {found}, this program knows up to {known}; update tokmon")]
    Newer {
        /// Schema of the file.
        found: u32,
        /// Newest schema that this program reads.
        known: u32,
    },
    /// Something stands in the way, e.g. the target of a backup exists.
    #[error("{0}")]
    Conflict(String),
}

/// The result of a store call.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A store. Reads see the last durable batch. One thread appends; any thread reads.
///
/// After `Io` or `Full` nothing has to be done: the store recovers at the next call, and `last_seq` then tells
/// whether the batch is there. A function that visits rows must not call the store: the snapshot is still open.
pub trait Store: Send + Sync + 'static {
    /// Makes a batch durable: entries, keys, dictionaries, rollups, sessions, positions and the chain in one
    /// transaction. When it fails with anything but `Io`, nothing was written.
    fn append(&self, batch: &Batch) -> Result<()>;

    /// The last entry's position; 0 when there is none.
    fn last_seq(&self) -> Result<u64>;

    /// The present records of the given calls, in the order of the keys.
    fn known(&self, keys: &[Key]) -> Result<Vec<Option<Known>>>;

    /// Entries with `seq > after`, in order, at most `max`. Purged ones are missing.
    fn entries_after(&self, after: u64, max: usize) -> Result<Vec<Entry>>;

    /// Entries that are no calls, newest first, within a range of positions, until `visit` says that it is enough.
    fn acts(&self, seqs: Range<u64>, visit: &mut dyn FnMut(Entry) -> bool) -> Result<()>;

    /// One entry, if it is kept.
    fn entry(&self, seq: u64) -> Result<Option<Entry>>;

    /// The present records of calls with `from_ms <= at_ms < to_ms`, newest first, strictly before the position
    /// `before` in that order when given, at most `max`. Each is its entry, whose body is `Usage` or `Amend`.
    fn records(&self, range_ms: Range<i64>, before: Option<(i64, u64)>, max: usize) -> Result<Vec<Entry>>;

    /// Lines that were dropped for a call, at most 8, and their number.
    fn dropped(&self, key: Key) -> Result<(Vec<Dropped>, u64)>;

    /// Rollup rows of a range of buckets by agent, provider and model only (the other ids are 0), in bucket order.
    fn rollup_coarse(&self, buckets: Range<u32>, visit: &mut dyn FnMut(u32, &Dims, &Agg)) -> Result<()>;

    /// Rollup rows of a range of buckets by every dimension, in bucket order.
    fn rollup_full(&self, buckets: Range<u32>, visit: &mut dyn FnMut(u32, &Dims, &Agg)) -> Result<()>;

    /// The name of a dictionary id.
    fn name(&self, dimension: Dimension, id: u32) -> Result<Option<Name>>;

    /// The dictionary id of a name.
    fn id(&self, dimension: Dimension, name: &str) -> Result<Option<u32>>;

    /// Every place that the dictionary knows, as [`Place::text`](tokmon_core::place::Place::text) writes it.
    fn places(&self) -> Result<Vec<(u32, Name)>>;

    /// One session's row. `session` is unique together with its agent; an empty agent finds any.
    fn session(&self, agent: &str, session: &str) -> Result<Option<SessionRow>>;

    /// The rows of several sessions, by agent and session, in the order they are asked for: each as of [`Store::session`].
    fn sessions_of(&self, who: &[(Name, Name)]) -> Result<Vec<Option<SessionRow>>> {
        who.iter()
            .map(|(agent, session)| self.session(agent, session))
            .collect()
    }

    /// Every session's row whose last call is at or after `from_ms`, in no order.
    fn sessions(&self, from_ms: i64, visit: &mut dyn FnMut(SessionRow)) -> Result<()>;

    /// Every read position.
    fn positions(&self) -> Result<Vec<Position>>;

    /// The checkpoint and the seq after which entries are not in it.
    fn checkpoint(&self) -> Result<Option<(u64, Vec<u8>)>>;

    /// Figures for status.
    fn stats(&self) -> Result<Stats>;

    /// Removes the records of calls that the cut covers (entries, dropped lines), at most `max` of them; returns how
    /// many went. Rollups, sessions and the chain's digests stay, and so do the keys: [`Store::purged`] knows them
    /// for ever. Called again until 0.
    fn purge(&self, cut: &Cut, max: usize) -> Result<u64>;

    /// Which of the given calls were counted once and have been purged, in the order of the keys.
    fn purged(&self, keys: &[Key]) -> Result<Vec<bool>>;

    /// The first kept entry that was accepted at or after an instant; one past the last when there is none.
    fn first_recorded_since(&self, recorded_ms: i64) -> Result<u64>;

    /// How many records a purge would remove.
    fn count_before(&self, cut: &Cut) -> Result<u64>;

    /// Writes a consistent copy into a new file while appends go on; returns its size and last seq.
    fn backup(&self, to: &Path) -> Result<(u64, u64)>;

    /// Checks checksums, the chain, keys against entries, and rollups against entries (for buckets whose records
    /// are all kept).
    fn verify(&self) -> Result<Verification>;

    /// Gives free space back; returns the sizes before and after. Reads and appends wait meanwhile.
    fn compact(&self) -> Result<(u64, u64)>;

    /// Gives memory back that only makes the next reads quicker. Does nothing while somebody reads or appends.
    fn rest(&self) -> Result<()> {
        Ok(())
    }
}
