//! Keeping what providers say of the limits of subscriptions.

use tokmon_core::quota::Reading;

use crate::answer::Change;
use crate::error::LedgerError;
use crate::ledger::{Ledger, check_batch};

impl Ledger {
    /// Keeps readings of limits. What is no news is not written, and costs nothing.
    ///
    /// # Errors
    /// As [`Ledger::record`]; `Refused` when a reading cannot be believed: then none is kept.
    pub async fn note_quotas(&self, readings: Vec<Reading>) -> Result<(), LedgerError> {
        check_batch("readings", readings.len())?;
        let state = self.state();
        let now_ms = self.shared().clock.now_ms().max(state.last_recorded_ms);
        for reading in &readings {
            reading.check(now_ms)?;
        }
        self.write_news(readings).await
    }

    /// The same for what was read from a file, where nobody can be told: what cannot be believed is left out.
    pub(crate) async fn note_believable(&self, mut readings: Vec<Reading>) -> Result<(), LedgerError> {
        let now_ms = self.shared().clock.now_ms().max(self.state().last_recorded_ms);
        readings.retain(|reading| reading.check(now_ms).is_ok());
        self.write_news(readings).await
    }

    async fn write_news(&self, readings: Vec<Reading>) -> Result<(), LedgerError> {
        let state = self.state();
        let news: Vec<Reading> = readings
            .into_iter()
            .filter(|reading| state.quotas.is_news(reading))
            .collect();
        if news.is_empty() {
            return Ok(());
        }
        self.change(Change::Quotas(news)).await.map(drop)
    }
}
