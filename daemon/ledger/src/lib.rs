//! The durable ledger: one sequence of entries, one writer, exactly once.
//!
//! [`Ledger`] is the handle. What it writes goes through one thread that makes every batch durable before it answers;
//! what it reads comes from consistent snapshots. The rules are `tokmon-core`'s, the keeping is a [`store`]'s.

mod answer;
mod audit;
mod blocks;
mod clock;
mod error;
mod explain;
mod follow;
mod lanes;
mod ledger;
mod official;
mod ops;
mod page;
mod place;
mod promise;
mod query;
mod quick;
mod quota;
mod replay;
mod reprice;
mod seed;
mod shared;
mod slot;
pub mod store;
mod suggest;
mod upkeep;
mod writer;

#[cfg(test)]
mod tests;

pub use answer::{
    Chunk, Claim, Claimed, Health, Imported, Outcome, Page, Purged, Receipt, Repriced, RepricedModel,
    SessionResetDone, Swapped,
};
pub use audit::ActsQuery;
pub use clock::{Clock, ManualClock, SystemClock};
pub use error::LedgerError;
pub use explain::{Explained, Explanation, WitnessSum};
pub use follow::Follower;
pub use ledger::{Ledger, Settings};
pub use query::{RecordsQuery, SessionsQuery};
pub use store::{DropReason, Dropped, Position, SessionRow, Stats, StoreError, Verification};
