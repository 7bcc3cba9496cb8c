//! Why the ledger could not do what was asked.

use tokmon_core::refusal::Refusal;

use crate::store::StoreError;

/// Why the ledger could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The rules refuse it: it names what is wrong and what is allowed. Nothing was written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many callers wait for the writer. Nothing was written; try again.
    #[error("the ledger is busy; try again")]
    Busy,
    /// The ledger cannot write now; it keeps trying to recover. Says whether anything was written.
    #[error("the ledger cannot write now: {0}")]
    Unavailable(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger was closed.
    #[error("the ledger is closed")]
    Closed,
}
