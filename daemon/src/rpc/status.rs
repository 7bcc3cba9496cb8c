//! Errors on their way out: ledger errors and refusals become gRPC statuses, in one place.

use tokmon_core::refusal::Refusal;
use tokmon_ledger::{LedgerError, StoreError};
use tokmon_proto::error::Kind;
use tonic::Status;
use tracing::{error, warn};

use crate::error::{kind_of_ledger, kind_of_refusal};

/// The status of a refusal: its text is meant for the caller.
pub(super) fn refusal(refusal: &Refusal) -> Status {
    kind_of_refusal(refusal).status(refusal.to_string(), None)
}

/// The status of a field that is wrong.
pub(super) fn invalid(field: &'static str, problem: impl Into<String>, allowed: impl Into<String>) -> Status {
    self::refusal(&Refusal::invalid(field, problem, allowed))
}

/// The status of a ledger error. What the caller cannot use is logged and not sent.
pub(super) fn ledger(e: LedgerError) -> Status {
    let kind = kind_of_ledger(&e);
    match &e {
        LedgerError::Refused(r) => refusal(r),
        LedgerError::Busy => kind.status("the daemon is busy", Some("try again in a moment")),
        LedgerError::Unavailable(why) => kind.status(
            format!("the ledger cannot be written now: {why}"),
            Some("see `tokmonctl status`"),
        ),
        LedgerError::Closed => kind.status("the daemon is stopping", Some("try again")),
        LedgerError::Store(store) => {
            match store {
                StoreError::Damaged(_) => error!("{store}"),
                _ => warn!("{store}"),
            }
            let hint = match store {
                StoreError::Damaged(_) => Some(
                    "run `tokmonctl ledger verify`; restore a backup with `tokmonctl ledger restore FILE`",
                ),
                StoreError::Full(_) => Some("free some disk space; nothing that was acknowledged is lost"),
                _ => None,
            };
            kind.status(e.to_string(), hint)
        }
    }
}

/// Runs a blocking read of the ledger away from the async threads.
pub(super) async fn read<T, F>(f: F) -> Result<T, Status>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, LedgerError> + Send + 'static,
{
    joined(tokio::task::spawn_blocking(f).await)?.map_err(ledger)
}

/// What a blocking task gave back. Errors: it panicked.
pub(super) fn joined<T>(done: Result<T, tokio::task::JoinError>) -> Result<T, Status> {
    done.map_err(|e| {
        error!("a read panicked: {e}");
        Kind::Bug.status("a fault in tokmond; the log has the details", None)
    })
}
