//! What waits in the writer's queues: each piece of work with the place where its answer goes.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokmon_core::actor::Actor;
use tokmon_core::budget::{Caller, Grounds};
use tokmon_core::id::Key;
use tokmon_core::observation::Observation;

use crate::answer::{Change, Changed, Chunk, Claim, Claimed, Imported, Receipt, Swapped};
use crate::error::LedgerError;
use crate::store::Cut;

/// Where an answer goes. The asker may have gone away; then nobody reads it.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

/// Who asks, where that is kept.
pub(crate) type By = Option<Arc<Actor>>;

/// Work that somebody waits for.
pub(crate) enum Quick {
    /// Record calls: all of them or, when one is refused, none.
    Record(Vec<Observation>, Reply<Vec<Receipt>>),
    /// Change a setting that the ledger keeps.
    Change(Change, By, Reply<Changed>),
    /// Claims on budgets, each by itself and in order. What has expired is ended first; so are claims of none.
    Claim(Vec<Claim>, By, Reply<Claims>),
    /// Take note of a denial that was decided from the published state. Nobody waits for it.
    Denied(Box<(Caller, Grounds)>, By),
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
    Swap(Option<Incoming>, By, Reply<Swapped>),
}

/// A ledger on its way into another one's place.
pub(crate) struct Incoming {
    /// The checked copy beside it.
    pub(crate) staged: PathBuf,
    /// What it is a copy of.
    pub(crate) from: PathBuf,
}

impl Quick {
    /// Observations in it.
    pub(crate) fn calls(&self) -> usize {
        match self {
            Quick::Record(calls, _) => calls.len(),
            Quick::Claim(claims, ..) => claims.len(),
            Quick::Change(..) | Quick::Denied(..) => 1,
        }
    }

    /// Answers that it cannot be done.
    pub(crate) fn fail(self, error: LedgerError) {
        match self {
            Quick::Record(_, reply) => drop(reply.send(Err(error))),
            Quick::Change(_, _, reply) => drop(reply.send(Err(error))),
            Quick::Claim(_, _, reply) => drop(reply.send(Err(error))),
            Quick::Denied(..) => {}
        }
    }
}

impl Bulk {
    /// Answers that it cannot be done.
    pub(crate) fn fail(self, error: LedgerError) {
        match self {
            Bulk::Import(_, reply) => drop(reply.send(Err(error))),
            Bulk::Reprice(_, reply) | Bulk::Purge(_, reply) => drop(reply.send(Err(error))),
            Bulk::Swap(_, _, reply) => drop(reply.send(Err(error))),
        }
    }
}
