//! Why the daemon could not start or had to end: a message for people and an exit code for programs.

use tokmon_ledger::{LedgerError, StoreError};
use tokmon_proto::error::Kind;

/// Exit code of a bad configuration (sysexits: EX_CONFIG).
pub(crate) const EXIT_CONFIG: u8 = 78;

/// A failure of the process as a whole.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    exit_code: u8,
    message: String,
    hint: Option<String>,
}

impl Failure {
    fn of(kind: Kind, message: impl Into<String>) -> Failure {
        Failure {
            exit_code: kind.exit_code(),
            message: message.into(),
            hint: None,
        }
    }

    /// Something that should be there is not, or cannot be used now.
    pub(crate) fn unavailable(message: impl Into<String>) -> Failure {
        Failure::of(Kind::Unavailable, message)
    }

    /// Somebody else has it.
    pub(crate) fn conflict(message: impl Into<String>) -> Failure {
        Failure::of(Kind::Conflict, message)
    }

    /// Not ours.
    pub(crate) fn forbidden(message: impl Into<String>) -> Failure {
        Failure::of(Kind::Forbidden, message)
    }

    /// Our own fault.
    pub(crate) fn bug(what: &str) -> Failure {
        Failure {
            hint: Some("please report it; nothing that was acknowledged is lost".to_owned()),
            ..Failure::of(Kind::Bug, format!("a fault in tokmond itself: {what}"))
        }
    }

    /// The configuration is wrong.
    pub(crate) fn config(message: impl Into<String>) -> Failure {
        Failure {
            exit_code: EXIT_CONFIG,
            message: message.into(),
            hint: None,
        }
    }

    /// The ledger cannot be opened; says what to do about it.
    pub(crate) fn ledger(path: &std::path::Path, error: &LedgerError) -> Failure {
        let mut failure = Failure::of(kind_of_ledger(error), format!("{}: {error}", path.display()));
        failure.hint = match error {
            LedgerError::Store(StoreError::Damaged(_)) => Some(
                "nothing was changed. Restore a backup with `tokmonctl ledger restore FILE`, or save what is \
                 readable with `tokmond salvage NEW_FILE`"
                    .to_owned(),
            ),
            LedgerError::Store(StoreError::Newer { .. }) => Some("update tokmon; nothing was changed".to_owned()),
            _ => None,
        };
        failure
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// What the user can do, when something helps.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// The error kind that a ledger error is told as.
pub(crate) fn kind_of_ledger(error: &LedgerError) -> Kind {
    match error {
        LedgerError::Refused(refusal) => kind_of_refusal(refusal),
        LedgerError::Busy => Kind::Busy,
        LedgerError::Unavailable(_) | LedgerError::Closed => Kind::Unavailable,
        LedgerError::Store(error) => match error {
            StoreError::Full(_) | StoreError::Io(_) => Kind::Unavailable,
            StoreError::Damaged(_) => Kind::Damaged,
            StoreError::InUse | StoreError::Conflict(_) => Kind::Conflict,
            StoreError::Newer { .. } => Kind::Incompatible,
        },
    }
}

/// The error kind that a refusal is told as.
pub(crate) fn kind_of_refusal(refusal: &tokmon_core::refusal::Refusal) -> Kind {
    use tokmon_core::refusal::Refusal;
    match refusal {
        Refusal::Invalid { .. } => Kind::Invalid,
        Refusal::NotFound { .. } => Kind::NotFound,
        Refusal::Conflict { .. } => Kind::Conflict,
    }
}
