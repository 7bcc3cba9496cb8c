//! Chunks of a source: what it saw and how far it was read, in one piece.

use tokmon_core::decide::{Manner, Recorded};
use tokmon_core::id::Key;
use tokmon_core::merge::{Candidate, Loss, Verdict, merge};

use super::batch::{Turn, held, source_of};
use super::witness::former_of;
use crate::answer::{Chunk, Imported};
use crate::quick::QuickMap;
use crate::store::same_call;

impl Turn<'_> {
    /// Takes a source's chunk. Lines of one call are merged before they meet the ledger, so a call that streamed in
    /// ten lines is one entry.
    pub(super) fn import(&mut self, chunk: Chunk) -> Imported {
        let mut imported = Imported::default();
        let mut calls: Vec<Candidate> = Vec::with_capacity(chunk.observations.len());
        let mut places: QuickMap<Key, usize> = QuickMap::default();
        places.reserve(chunk.observations.len());
        for (index, seen) in chunk.observations.into_iter().enumerate() {
            let seen = match self.draft.prepare(seen, self.now_ms, Manner::Read) {
                Ok(seen) => seen,
                Err(refusal) => {
                    imported.refused.push((index, refusal));
                    continue;
                }
            };
            let Some(place) = same_call(seen.key).find_map(|key| places.get(&key).copied()) else {
                places.insert(seen.key, calls.len());
                calls.push(Candidate::new(seen));
                continue;
            };
            let call = &mut calls[place];
            let (key, former, line) = (call.seen.key, source_of(&call.seen), source_of(&seen));
            let verdict = merge(call, Candidate::new(seen));
            imported.duplicates += u64::from(verdict != Verdict::Lost(Loss::Reread));
            self.drop_by(key, former, line, verdict);
        }
        for call in calls {
            self.import_one(call, &mut imported);
        }
        self.batch.positions.extend(chunk.positions);
        self.batch.forgotten.extend(chunk.forgotten);
        imported
    }

    fn import_one(&mut self, call: Candidate, imported: &mut Imported) {
        let key = call.seen.key;
        let witness = call.witness();
        let mut known = self.take_known(key);
        if known.is_none() && !self.purged.contains(&key) && self.counterpart(&call.seen).is_some() {
            known = self.take_known(key);
        }
        let line = known.as_ref().map(|_| source_of(&call.seen));
        match self
            .draft
            .record(call, held(&self.purged, key, known.as_ref()), self.now_ms)
        {
            Recorded::Written {
                opened,
                body,
                verdict,
                ..
            } => {
                opened.into_iter().for_each(|body| drop(self.push(body, None)));
                match (&known, verdict, line) {
                    (Some(known), Some(verdict), Some(line)) => {
                        imported.amended += 1;
                        self.drop_by(
                            known.record.seen.key,
                            former_of(&known.record, witness),
                            line,
                            verdict,
                        );
                    }
                    _ => imported.added += 1,
                }
                self.push(body, known.map(|known| Box::new(known.record)));
            }
            Recorded::Known(loss) => {
                imported.duplicates += u64::from(loss != Loss::Reread);
                if let (Some(known), Some(line)) = (known, line) {
                    self.drop_reason(known.record.seen.key, line, loss);
                    // Another account of it may be in the same chunk.
                    self.known.insert(known.record.seen.key, known);
                }
            }
            Recorded::Purged => imported.purged += 1,
        }
    }
}
