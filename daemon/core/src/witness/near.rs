//! When each kind of witness saw calls: where only one kind ever did, no other account need be looked for.

use serde::{Deserialize, Serialize};

use super::{NEAR_LOGGED_MS, Witness};
use crate::entry::Record;

/// The first and the last call that each kind of witness saw, milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans([Option<(i64, i64)>; Witness::ALL.len()]);

impl Spans {
    /// Of a ledger that did not keep them: any kind may have seen calls at any time.
    pub fn unknown() -> Spans {
        Spans([Some((i64::MIN, i64::MAX)); Witness::ALL.len()])
    }

    /// A record came in.
    pub fn add(&mut self, record: &Record) {
        let at_ms = record.seen.at_ms;
        // It is no account of a call that another could tell of.
        if record.seen.is_booking() {
            return;
        }
        for witness in record.witnesses() {
            let span = self.0[witness as usize].get_or_insert((at_ms, at_ms));
            *span = (span.0.min(at_ms), span.1.max(at_ms));
        }
    }

    /// Another kind of witness saw calls at about this time.
    pub fn others_near(&self, witness: Witness, at_ms: i64) -> bool {
        let near = |(first, last): (i64, i64)| {
            first.saturating_sub(NEAR_LOGGED_MS) <= at_ms && at_ms <= last.saturating_add(NEAR_LOGGED_MS)
        };
        let others = Witness::ALL.into_iter().filter(|&other| other != witness);
        others.filter_map(|other| self.0[other as usize]).any(near)
    }
}
