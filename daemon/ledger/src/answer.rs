//! What the ledger is asked to write, and what it answers.

use std::path::PathBuf;

use tokmon_core::Name;
use tokmon_core::budget::{Ask, Crossing, Decision, End, Reservation};
use tokmon_core::decide::Spent;
use tokmon_core::entry::{Entry, Record};
use tokmon_core::id::Key;
use tokmon_core::money::Pico;
use tokmon_core::observation::Observation;
use tokmon_core::price::{Costing, PriceRow};
use tokmon_core::refusal::Refusal;

use crate::store::{Cut, Position, SessionRow};

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The call was not known.
    Added,
    /// The call was known; this record was better, or told more about who made it.
    Amended,
    /// The call was known as well or better.
    Duplicate,
    /// The call was counted once and its record has been purged; it does not count again.
    Purged,
}

/// The answer to one recorded call, given when it is durable.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The entry that holds the call's record; 0 when it was purged.
    pub seq: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// The record as it stands now.
    pub record: Record,
    /// How its cost was found; `None`: the model has no known price.
    pub costing: Option<Costing>,
    /// Totals of its session, this record included.
    pub session: SessionRow,
    /// Budget thresholds that it crossed.
    pub alerts: Vec<Crossing>,
}

/// What a source read, to be written in one piece.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    /// The calls, at most [`MAX_CHUNK`](tokmon_core::limits::MAX_CHUNK).
    pub observations: Vec<Observation>,
    /// How far the files were read with it.
    pub positions: Vec<Position>,
    /// Files that are gone.
    pub forgotten: Vec<Name>,
    /// What providers said of the limits of subscriptions. What cannot be believed is left out.
    pub quotas: Vec<tokmon_core::quota::Reading>,
}

/// What became of a chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Calls that were not known.
    pub added: u64,
    /// Known calls that became better.
    pub amended: u64,
    /// Observations that told nothing new.
    pub duplicates: u64,
    /// Observations of calls whose record has been purged.
    pub purged: u64,
    /// Observations that the rules refuse: their place in the chunk, and why.
    pub refused: Vec<(usize, Refusal)>,
}

/// What a session reset did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionResetDone {
    /// The session that ended with its totals, when there was one.
    pub ended: Option<SessionRow>,
    /// The new session.
    pub started: Name,
}

/// What a new price book changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repriced {
    /// Kept records that were looked at.
    pub records: u64,
    /// Those whose cost is another one now.
    pub changed: u64,
    /// Cost of all of them before and after.
    pub before: Pico,
    /// See `before`.
    pub after: Pico,
    /// The models whose cost changed, the largest change first.
    pub models: Vec<RepricedModel>,
}

/// What a new price book changes for one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepricedModel {
    /// "provider/model".
    pub model: String,
    /// Records whose cost changed.
    pub records: u64,
    /// Their cost before and after.
    pub before: Pico,
    /// See `before`.
    pub after: Pico,
}

/// What a purge did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// Records that went.
    pub records: u64,
    /// Records that ended before this instant are gone.
    pub horizon_ms: i64,
}

/// A ledger was put in the place of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swapped {
    /// Entries of the new one.
    pub entries: u64,
    /// Where the former one lies now.
    pub set_aside: PathBuf,
}

/// Whether the ledger can write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Serving,
    /// It cannot, and why; it keeps trying. Reads go on as far as possible.
    ReadOnly(String),
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; `None`: this was the last one.
    pub next: Option<String>,
}

/// A change of what the ledger itself knows, as the writer takes it.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Ends an agent's current session.
    ResetSession(Name),
    /// Sets budgets: all of them, or none.
    SetBudgets(Vec<tokmon_core::budget::Budget>),
    /// Removes a budget.
    RemoveBudget(Name),
    /// Raises a budget's limit for a while.
    LiftBudget(Name, tokmon_core::budget::Lift),
    /// Learns from bills.
    Learn(Vec<tokmon_core::calibration::Bill>),
    /// Takes back what was lifted: the budget, and the session if it was for one.
    UnliftBudget(Name, Name),
    /// Sets prices.
    SetPrices(Vec<PriceRow>),
    /// Removes the user's price of a model.
    RemovePrice(Name, Name),
    /// Sets the limits of an API.
    SetApi(Box<tokmon_core::api::Api>),
    /// Forgets what was set for an API.
    RemoveApi(Name),
    /// Tells that so many records have another cost now.
    Repriced(u64),
    /// Takes a record of several witnesses apart.
    Split(u64),
    /// Takes over what an agent says that its session has cost.
    Official(Box<tokmon_core::official::Told>),
    /// Keeps what providers said of the limits of subscriptions, as far as it is news.
    Quotas(Vec<tokmon_core::quota::Reading>),
    /// Begins a purge.
    Purge(Cut),
}

/// Something to do with a reservation.
#[derive(Debug, Clone)]
pub enum Claim {
    /// Reserve.
    Reserve(Box<Ask>),
    /// Hold more, or for longer: the whole of what it shall hold.
    Extend(Name, Box<Ask>),
    /// The call was made: record it and end the reservation.
    Settle(Name, Box<Spent>),
    /// Nothing was used.
    Release(Name),
    /// Keep a share for a task.
    Allocate(Box<tokmon_core::task::Allocation>),
    /// A task, by its session and name, is complete.
    Complete(Name, Name),
}

impl Claim {
    /// The key of the call that it settles.
    pub(crate) fn key(&self) -> Option<Key> {
        match self {
            Claim::Settle(_, spent) if spent.named => Some(spent.seen.key),
            Claim::Settle(id, _) => Some(tokmon_core::decide::settled_key(id)),
            _ => None,
        }
    }
}

/// What became of a claim.
#[derive(Debug, Clone)]
pub enum Claimed {
    /// It is held. With how it has ended when it was asked before, and why it was granted when it is new.
    Held(Box<Reservation>, Option<End>, Option<Box<Decision>>),
    /// There is no room.
    Denied(Box<Decision>),
    /// It is settled: the call's receipt, and whether it had expired before.
    Settled(Box<Receipt>, bool),
    /// It has ended in this way, now or before. `true`: before.
    Ended(End, bool),
    /// The share is kept, or the task is complete.
    Task,
    /// There is no room for the share.
    NoRoom(Box<tokmon_core::budget::Binding>),
}

/// The entries that a change made.
pub(crate) type Changed = Vec<Entry>;
