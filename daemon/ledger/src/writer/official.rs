//! What agents say that their sessions cost, against what their calls add up to.

use tokmon_core::entry::Record;
use tokmon_core::money::Pico;
use tokmon_core::official::{Official, Part, Told};

use super::batch::{Turn, look};
use crate::error::LedgerError;
use crate::store::{StoreError, record_of};

impl Turn<'_> {
    /// Takes a total over, and books what nothing else shows.
    pub(super) fn told(&mut self, told: Told) -> Result<(), LedgerError> {
        let (agent, session) = (told.agent.clone(), told.session.clone());
        let (known, unpriced) = match self.draft.state.officials.get(&agent, &session) {
            Some(official) => (official.known, official.unpriced),
            None => self.held_of(&told).map_err(LedgerError::Store)?,
        };
        let Some(body) = self.draft.official(told, known, unpriced)? else {
            return Ok(());
        };
        self.push(body, None);
        let official = self.draft.state.officials.get(&agent, &session).cloned();
        if let Some(official) = official
            && let Some(part) = official.missing()
        {
            self.book(&official, &part, true).map_err(LedgerError::Store)?;
        }
        Ok(())
    }

    /// The cost of a session's calls, and how many have none.
    fn held_of(&self, told: &Told) -> Result<(Pico, u64), StoreError> {
        let row = look(self.shared, |store| store.session(&told.agent, &told.session))?;
        let mut held = row.map_or((Pico::ZERO, 0), |row| (row.agg.cost, row.agg.unpriced_requests));
        // Calls of this very batch are not in the store yet.
        for staged in &self.batch.entries {
            let mut add = |record: &Record, sign: i64| {
                let who = &record.seen.who;
                if (&who.agent, &who.session) == (&told.agent, &told.session) {
                    let cost = record.cost.unwrap_or_default();
                    held.0 += if sign > 0 { cost } else { -cost };
                    let unpriced = i64::from(record.cost.is_none()) * sign;
                    held.1 = held.1.saturating_add_signed(unpriced);
                }
            };
            if let Some(record) = record_of(&staged.entry) {
                staged.previous.iter().for_each(|former| add(former, -1));
                add(record, 1);
            }
        }
        Ok(held)
    }

    /// Takes back what other witnesses have told of since it was booked.
    pub(super) fn take_back(&mut self) {
        if self.trouble.is_some() || !self.draft.state.officials.is_over() {
            return;
        }
        let over = std::sync::Arc::make_mut(&mut self.draft.state.officials).take_over();
        for official in over {
            for part in official.excess() {
                if let Err(error) = self.book(&official, &part, false) {
                    // What was decided without it is void.
                    self.trouble = Some(error);
                    return;
                }
            }
        }
    }

    /// Writes a booking; `new`: also when there is none yet.
    fn book(&mut self, official: &Official, part: &Part, new: bool) -> Result<(), StoreError> {
        self.index();
        let known = self.peek(part.key)?;
        // One that was purged stays as it is.
        if known.is_none() && !new {
            return Ok(());
        }
        let held = known.as_ref().map(|known| (known.seq, &known.record));
        let body = self.draft.book(official, part, held, self.now_ms);
        match body {
            Ok(body) => {
                self.known.remove(&part.key);
                self.push(body, known.map(|known| Box::new(known.record)));
            }
            Err(refusal) => tracing::warn!(%refusal, "what only an agent's total shows was not booked"),
        }
        Ok(())
    }
}
