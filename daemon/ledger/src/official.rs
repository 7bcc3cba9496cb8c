//! Taking over what agents say that their sessions cost.

use tokmon_core::official::Told;

use crate::answer::Change;
use crate::error::LedgerError;
use crate::ledger::Ledger;

impl Ledger {
    /// Takes over what an agent says that its session has cost; what no other witness shows is booked, until one does.
    /// Telling the same again changes nothing.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    pub async fn note_official(&self, told: Told) -> Result<(), LedgerError> {
        self.change(Change::Official(Box::new(told))).await.map(drop)
    }
}
