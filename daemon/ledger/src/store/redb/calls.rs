//! What a batch changes in the two indexes that lead to the present record of a call.

use std::collections::hash_map::Entry as Slot;
use std::ops::Bound;

use redb::{CursorError, ReadableTable, Table, Value, WriteTransaction};

use super::super::{Result, StoreError};
use super::tables::{self, time_bytes};
use crate::quick::QuickMap;

/// Runs of a single key, one after the other, that show that the keys of a batch are no neighbours.
const SCATTERED: usize = 4;

/// Fewer rows are not worth looking for neighbours.
const FEW: usize = 8;

/// Where the present record of a call stood before the batch, and where it stands after it.
struct Moved {
    from: Option<u64>,
    to: Option<u64>,
}

/// The changes of one batch.
#[derive(Default)]
pub(super) struct Calls {
    keys: QuickMap<[u8; 16], Moved>,
    come: Vec<[u8; 16]>,
    gone: Vec<[u8; 16]>,
}

impl Calls {
    /// Of a batch of so many entries.
    pub(super) fn of(entries: usize) -> Calls {
        let mut calls = Calls::default();
        calls.keys.reserve(entries);
        calls.come.reserve(entries);
        calls
    }

    pub(super) fn replace(&mut self, key: [u8; 16], at_ms: i64, seq: u64) -> Result<()> {
        let moved = self.keys.entry(key).or_insert(Moved {
            from: Some(seq),
            to: Some(seq),
        });
        if moved.to.take() != Some(seq) {
            return Err(conflict(format!(
                "entry {seq} is amended, but does not hold the call"
            )));
        }
        self.gone.push(time_bytes(at_ms, seq));
        Ok(())
    }

    pub(super) fn add(&mut self, key: [u8; 16], at_ms: i64, seq: u64) -> Result<()> {
        match self.keys.entry(key) {
            Slot::Vacant(slot) => {
                slot.insert(Moved {
                    from: None,
                    to: Some(seq),
                });
            }
            Slot::Occupied(mut slot) => {
                if let Some(other) = slot.get_mut().to.replace(seq) {
                    return Err(conflict(format!(
                        "the call of entry {seq} is known as entry {other}"
                    )));
                }
            }
        }
        self.come.push(time_bytes(at_ms, seq));
        Ok(())
    }

    /// Writes them, in the order of the keys: neighbours meet the same page.
    pub(super) fn write(mut self, txn: &WriteTransaction) -> Result<()> {
        let mut table = txn.open_table(tables::KEY)?;
        let mut new: Vec<([u8; 16], u64)> = Vec::with_capacity(self.keys.len());
        let mut changed = Vec::new();
        for (key, moved) in self.keys {
            match moved {
                Moved {
                    from: None,
                    to: Some(seq),
                } => new.push((key, seq)),
                _ => changed.push((key, moved)),
            }
        }
        changed.sort_unstable_by_key(|change| u128::from_be_bytes(change.0));
        for (key, moved) in changed {
            let found = match moved.to {
                Some(seq) => table.insert(&key, seq)?.map(|old| old.value()),
                None => table.remove(&key)?.map(|old| old.value()),
            };
            if found != moved.from {
                return Err(known_as(moved.to.or(moved.from), found));
            }
        }
        new.sort_unstable_by_key(|(key, _)| u128::from_be_bytes(*key));
        insert_new(&mut table, &new, |table, at| {
            let (key, seq) = &new[at];
            let found = table.get(key)?.map(|old| old.value());
            Ok(known_as(Some(*seq), found))
        })?;
        self.come.sort_unstable_by_key(|time| u128::from_be_bytes(*time));
        let come: Vec<([u8; 16], ())> = self.come.into_iter().map(|time| (time, ())).collect();
        let mut table = txn.open_table(tables::TIME)?;
        insert_new(&mut table, &come, |_, at| {
            let (at_ms, seq) = tables::time_of(&come[at].0);
            Ok(conflict(format!("entry {seq} has a call at {at_ms} ms already")))
        })?;
        for time in &self.gone {
            if table.remove(time)?.is_none() {
                let (at_ms, seq) = tables::time_of(time);
                return Err(conflict(format!("entry {seq} has no call at {at_ms} ms")));
            }
        }
        Ok(())
    }
}

type Keyed<'txn, V> = Table<'txn, &'static [u8; 16], V>;

/// Inserts rows that are new, in the order of their keys. Between two rows of the table as many as belong there go in
/// at once, which costs a third of looking for the place of each. `clash` says what is wrong when a row is there.
fn insert_new<'txn, V>(
    table: &mut Keyed<'txn, V>,
    rows: &[([u8; 16], V)],
    clash: impl Fn(&Keyed<'txn, V>, usize) -> Result<StoreError>,
) -> Result<()>
where
    V: for<'a> Value<SelfType<'a> = V> + Copy + 'static,
{
    let mut at = 0;
    let mut alone = if rows.len() < FEW { SCATTERED } else { 0 };
    while at < rows.len() {
        let first = at;
        if alone < SCATTERED {
            let mut gap = table.lower_bound_mut(Bound::Included(&rows[at].0))?;
            while let Some((key, value)) = rows.get(at) {
                match gap.insert_before(key, *value) {
                    Ok(()) => at += 1,
                    Err(CursorError::UnorderedKey) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            gap.close()?;
            alone = if at - first <= 1 { alone + 1 } else { 0 };
            if at == first {
                return Err(clash(table, at)?);
            }
        } else {
            let (key, value) = &rows[at];
            if table.insert(key, *value)?.is_some() {
                return Err(clash(table, at)?);
            }
            at += 1;
        }
    }
    Ok(())
}

fn known_as(seq: Option<u64>, found: Option<u64>) -> StoreError {
    conflict(format!("the call of entry {seq:?} is known as entry {found:?}"))
}

fn conflict(why: String) -> StoreError {
    StoreError::Conflict(why)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase};

    use super::*;

    fn key(number: u16, scattered: bool) -> [u8; 16] {
        let number = u128::from(number);
        // Multiplied by an odd number they stay apart and lie anywhere.
        let factor = if scattered {
            0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835
        } else {
            1
        };
        number.wrapping_mul(factor).to_be_bytes()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn rows_come_in_whole_beside_those_that_are_there(
            batches in proptest::collection::vec((any::<bool>(), proptest::collection::btree_set(0..600_u16, 0..200)), 1..8),
        ) {
            let db = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
            let mut kept: BTreeMap<[u8; 16], u64> = BTreeMap::new();
            let (mut seq, mut times) = (0, 0);
            for (scattered, numbers) in batches {
                let mut calls = Calls::of(numbers.len());
                let before = kept.clone();
                let mut clash = false;
                for number in numbers {
                    seq += 1;
                    let key = key(number, scattered);
                    calls.add(key, i64::from(number), seq).unwrap();
                    clash |= kept.insert(key, seq).is_some();
                }
                let txn = db.begin_write().unwrap();
                let written = calls.write(&txn);
                prop_assert_eq!(written.is_err(), clash);
                if clash {
                    prop_assert!(matches!(written, Err(StoreError::Conflict(_))));
                    txn.abort().unwrap();
                    kept = before;
                } else {
                    txn.commit().unwrap();
                    times = kept.len();
                }
            }
            let read = db.begin_read().unwrap();
            if let Ok(table) = read.open_table(tables::KEY) {
                let rows = table.range::<&[u8; 16]>(..).unwrap();
                let rows: Vec<_> = rows.map(|row| row.map(|(key, seq)| (*key.value(), seq.value())).unwrap()).collect();
                prop_assert_eq!(rows, kept.into_iter().collect::<Vec<_>>());
                let table = read.open_table(tables::TIME).unwrap();
                prop_assert_eq!(table.range::<&[u8; 16]>(..).unwrap().count(), times);
            }
        }
    }
}
