//! What an agent says of its session's cost, and what is booked for it.

use crate::entry::{AmendReason, Body, Record};
use crate::limits::MAX_REPORTED_USD;
use crate::merge::Candidate;
use crate::model::guess_provider;
use crate::money::{PICO_PER_USD, Pico};
use crate::official::{Heard, Official, Part, Told};
use crate::price::Origin;
use crate::refusal::Refusal;
use crate::state::Draft;

use super::Manner;

impl Draft {
    /// What to write down of a total that was told, beside what the ledger holds of the session. What is told is never
    /// less than what was. `None`: it cannot be compared with prices that the user has set.
    ///
    /// # Errors
    /// It cannot be what a session costs.
    pub fn official(&self, mut told: Told, known: Pico, unpriced: u64) -> Result<Option<Body>, Refusal> {
        if told.own.0 > MAX_REPORTED_USD * PICO_PER_USD || told.session.is_empty() || told.model.is_empty() {
            let problem = format!("${} for a session", told.own);
            return Err(Refusal::invalid(
                "session_cost",
                problem,
                "0 to 1,000,000 dollars",
            ));
        }
        let provider = guess_provider(&told.model).unwrap_or_default();
        let price = self.state.book.get(provider, &told.model, told.at_ms);
        if price.is_some_and(|row| row.origin == Origin::Override) {
            return Ok(None);
        }
        if let Some(before) = self.state.officials.get(&told.agent, &told.session) {
            told.own = told.own.max(before.told.own);
        }
        let heard = Heard {
            told,
            known,
            unpriced,
        };
        Ok(Some(Body::Official(
            serde_json::to_string(&heard).unwrap_or_default().into(),
        )))
    }

    /// A booking as it has to be from here on, in the place of the record that holds it now.
    ///
    /// # Errors
    /// It is no call that the ledger takes.
    pub fn book(
        &mut self,
        official: &Official,
        part: &Part,
        now: Option<(u64, &Record)>,
        now_ms: i64,
    ) -> Result<Body, Refusal> {
        let seen = self.prepare(official.booking(part), now_ms, Manner::Ask)?;
        let (record, _) = self.price(Candidate::new(seen), None);
        let mut record = Box::new(record);
        Ok(match now {
            None => Body::Usage(record),
            Some((replaces, former)) => {
                record.seen.who = former.seen.who.clone();
                Body::Amend {
                    replaces,
                    reason: AmendReason::Better,
                    record,
                }
            }
        })
    }
}
