//! What waits in the writer's queues: each piece of work with the place where its answer goes.

use std::path::PathBuf;

use tokio::sync::oneshot;
use tokmon_core::id::Key;
use tokmon_core::observation::Observation;

use crate::answer::{Change, Changed, Chunk, Claim, Claimed, Imported, Receipt, Swapped};
use crate::error::LedgerError;
use crate::store::Cut;

/// Where an answer goes. The asker may have gone away; then nobody reads it.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

/// Work that somebody waits for.
pub(crate) enum Quick {
    /// Record calls: all of them or, when one is refused, none.
    Record(Vec<Observation>, Reply<Vec<Receipt>>),
    /// Change a setting that the ledger keeps.
    Change(Change, Reply<Changed>),
    /// Claims on budgets, each by itself and in order. What has expired is ended first; so are claims of none.
    Claim(Vec<Claim>, Reply<Claims>),
}

/// What became of claims, each by itself.
pub(crate) type Claims = Vec<Result<Claimed, LedgerError>>;

/// Work that may take its time.
pub(crate) enum Bulk {
    /// Take a chunk of a source.
    Import(Chunk, Reply<Imported>),
    /// Compute the cost of calls again and amend those that changed; answers how many did.
    Reprice(Vec<Key>, Reply<u64>),
    /// Remove records that the cut covers, one step; answers how many went.
    Purge(Cut, Reply<u64>),
    /// Put another ledger in place: a copy of a file, or an empty one.
    Swap(Option<PathBuf>, Reply<Swapped>),
}

impl Quick {
    /// Observations in it.
    pub(crate) fn calls(&self) -> usize {
        match self {
            Quick::Record(calls, _) => calls.len(),
            Quick::Claim(claims, _) => claims.len(),
            Quick::Change(..) => 1,
        }
    }

    /// Answers that it cannot be done.
    pub(crate) fn fail(self, error: LedgerError) {
        match self {
            Quick::Record(_, reply) => drop(reply.send(Err(error))),
            Quick::Change(_, reply) => drop(reply.send(Err(error))),
            Quick::Claim(_, reply) => drop(reply.send(Err(error))),
        }
    }
}

impl Bulk {
    /// Answers that it cannot be done.
    pub(crate) fn fail(self, error: LedgerError) {
        match self {
            Bulk::Import(_, reply) => drop(reply.send(Err(error))),
            Bulk::Reprice(_, reply) | Bulk::Purge(_, reply) => drop(reply.send(Err(error))),
            Bulk::Swap(_, reply) => drop(reply.send(Err(error))),
        }
    }
}
