//! What can go wrong below, as the contract names it.

use std::any::Any;
use std::io::ErrorKind;

use super::super::StoreError;

/// An operating system's error.
pub(super) fn of_io(e: &std::io::Error) -> StoreError {
    match e.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            StoreError::Full(e.to_string())
        }
        // redb's words for a file that is none of its own, and for one that ends too early.
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => StoreError::Damaged(e.to_string()),
        ErrorKind::WouldBlock => StoreError::InUse,
        _ => StoreError::Io(e.to_string()),
    }
}

/// A panic inside redb: it met pages that it did not expect.
pub(super) fn of_panic(panic: &(dyn Any + Send)) -> StoreError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given");
    StoreError::Damaged(format!("the database cannot be read ({text})"))
}

impl From<std::io::Error> for StoreError {
    fn from(e: std::io::Error) -> StoreError {
        of_io(&e)
    }
}

impl From<redb::StorageError> for StoreError {
    fn from(e: redb::StorageError) -> StoreError {
        match e {
            redb::StorageError::Io(e) => of_io(&e),
            redb::StorageError::Corrupted(why) => StoreError::Damaged(why),
            other => StoreError::Io(other.to_string()),
        }
    }
}

impl From<redb::TableError> for StoreError {
    fn from(e: redb::TableError) -> StoreError {
        match e {
            redb::TableError::Storage(e) => e.into(),
            other => StoreError::Damaged(other.to_string()),
        }
    }
}

impl From<redb::DatabaseError> for StoreError {
    fn from(e: redb::DatabaseError) -> StoreError {
        match e {
            redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse,
            redb::DatabaseError::Storage(e) => e.into(),
            other => StoreError::Damaged(other.to_string()),
        }
    }
}

impl From<redb::TransactionError> for StoreError {
    fn from(e: redb::TransactionError) -> StoreError {
        match e {
            redb::TransactionError::Storage(e) => e.into(),
            other => StoreError::Io(other.to_string()),
        }
    }
}

impl From<redb::CommitError> for StoreError {
    fn from(e: redb::CommitError) -> StoreError {
        match e {
            redb::CommitError::Storage(e) => e.into(),
            other => StoreError::Io(other.to_string()),
        }
    }
}

impl From<redb::CompactionError> for StoreError {
    fn from(e: redb::CompactionError) -> StoreError {
        match e {
            redb::CompactionError::Storage(e) => e.into(),
            other => StoreError::Conflict(other.to_string()),
        }
    }
}

impl From<redb::SetDurabilityError> for StoreError {
    fn from(e: redb::SetDurabilityError) -> StoreError {
        StoreError::Io(e.to_string())
    }
}

impl From<redb::CursorError> for StoreError {
    fn from(e: redb::CursorError) -> StoreError {
        match e {
            redb::CursorError::Storage(e) => e.into(),
            // Rows go to the end in ascending order; a row beyond them is one that must not be there.
            other => StoreError::Damaged(other.to_string()),
        }
    }
}
