//! The one place that holds the open store, so that it can be closed and opened again under running readers.
//!
//! Reads hold the slot shared for as long as they last; whoever replaces the store waits for them. A store that is
//! gone is an error of the read, not a wait.

use std::sync::{Arc, PoisonError, RwLock};

use crate::error::LedgerError;
use crate::store::Store;

/// Holds the store, or why there is none.
pub(crate) struct Slot(RwLock<Result<Arc<dyn Store>, String>>);

impl Slot {
    pub(crate) fn new(store: Arc<dyn Store>) -> Slot {
        Slot(RwLock::new(Ok(store)))
    }

    /// Runs a read. The store stays where it is meanwhile.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Ok(store) => read(&**store),
            Err(reason) => Err(LedgerError::Unavailable(reason.clone())),
        }
    }

    /// Takes the store out; waits until no read uses it. It is closed when this returns.
    pub(crate) fn empty(&self, reason: &str) {
        let former = std::mem::replace(
            &mut *self.0.write().unwrap_or_else(PoisonError::into_inner),
            Err(reason.to_owned()),
        );
        drop(former);
    }

    /// Puts a store in.
    pub(crate) fn fill(&self, store: Arc<dyn Store>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Ok(store);
    }
}
