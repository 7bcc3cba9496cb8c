//! What readers of databases share: looking again while the owner writes, not reading twice what cannot change, and what
//! another table says of the sessions that were met.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::json::Problem;
use super::values::hash;
use crate::sqlite::{Row, Snapshot, Table, Trouble};

/// Looks at a database whose owner is writing before it is left for later. Between two writes of a busy agent there are
/// milliseconds, and reading what is new takes less.
const LOOKS: usize = 8;
/// Rows that may still change and are looked at again each time.
const MAX_OPEN: usize = 64;
/// Rows that are taken from one look: fewer, and a busy owner would hardly ever let a first import come through.
const ROWS_A_LOOK: usize = 5_000;

/// A row with what was made of it, or what is wrong with it.
pub(super) type Parsed<T> = (i64, Result<T, Problem>);

/// Does the reading until it was of one piece. Nothing may leave `read` but its answer.
pub(super) fn settled<T>(
    path: &Path,
    mut read: impl FnMut(&mut Snapshot) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let mut look = || {
        let mut snapshot = Snapshot::open(path)?;
        let answer = read(&mut snapshot);
        // What was read while it changed may look like anything, so this comes first.
        snapshot.verify()?;
        answer
    };
    for _ in 1..LOOKS {
        match look() {
            Err(Trouble::Busy) => {}
            settled => return settled,
        }
    }
    look()
}

/// How far a table was read whose rows are added with growing row ids, and change at most for a while afterwards.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The last row that was read, and a hash of its key.
    last: Option<(i64, u64)>,
    /// Rows that may still change.
    open: Vec<i64>,
}

impl Mark {
    /// What [`Mark::save`] made; anything else is the beginning.
    pub(super) fn load(state: &[u8]) -> Mark {
        serde_json::from_slice(state).unwrap_or_default()
    }

    pub(super) fn save(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the next rows that are new or may have changed; false when there are more of them. The first wanted
    /// column is the row's key. `parse` gives what is in a row, if anything, and whether it may still change.
    pub(super) fn read<T>(
        &mut self,
        snapshot: &mut Snapshot,
        table: &Table,
        mut parse: impl FnMut(&Row<'_>) -> Result<(Option<T>, bool), Problem>,
    ) -> Result<(Vec<Parsed<T>>, bool), Trouble> {
        let mut rows = Vec::new();
        let mut take = |row: &Row<'_>, open: &mut Vec<i64>| match parse(row) {
            Ok((parsed, may_change)) => {
                rows.extend(parsed.map(|parsed| (row.id, Ok(parsed))));
                if may_change {
                    open.push(row.id);
                }
            }
            Err(problem) => {
                rows.push((row.id, Err(problem)));
                // Told of each time, as long as it is there.
                open.push(row.id);
            }
        };
        if let Some((last, key)) = self.last {
            let mut still = false;
            snapshot.rows(table, last, |row| {
                still = row.id == last && key_of(row) == key;
                Ok(false)
            })?;
            if !still {
                // Rows were removed or numbered anew (VACUUM does that): everything is looked at again.
                *self = Mark::default();
            }
        }
        let mut open = Vec::new();
        for id in std::mem::take(&mut self.open) {
            snapshot.rows(table, id, |row| {
                if row.id == id {
                    take(row, &mut open);
                }
                Ok(false)
            })?;
        }
        let (mut taken, mut all) = (0, true);
        let from = self.last.map_or(i64::MIN, |(last, _)| last.saturating_add(1));
        let mut last = self.last;
        snapshot.rows(table, from, |row| {
            if taken == ROWS_A_LOOK {
                all = false;
                return Ok(false);
            }
            taken += 1;
            take(row, &mut open);
            last = Some((row.id, key_of(row)));
            Ok(true)
        })?;
        open.drain(..open.len().saturating_sub(MAX_OPEN));
        (self.last, self.open) = (last, open);
        Ok((rows, all))
    }
}

/// What is known of each session that these rows belong to.
pub(super) fn sessions_of<T, S>(
    rows: &[Parsed<T>],
    session: impl Fn(&T) -> &str,
    mut find: impl FnMut(&str) -> Result<S, Trouble>,
) -> Result<HashMap<String, S>, Trouble> {
    let mut sessions = HashMap::new();
    for row in rows.iter().filter_map(|(_, row)| row.as_ref().ok()) {
        let id = session(row);
        if !sessions.contains_key(id) {
            sessions.insert(id.to_owned(), find(id)?);
        }
    }
    Ok(sessions)
}

/// Shows the row of this key to `visit`, if there is a table with such columns and such a row in it.
pub(super) fn row_of(
    snapshot: &mut Snapshot,
    table: &str,
    needed: &[&str],
    known: &[&str],
    key: &str,
    mut visit: impl FnMut(&Row<'_>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let found = snapshot.table(table, needed, known).and_then(|table| {
        let row = snapshot.row_id_of(&table, key)?;
        Ok((table, row))
    });
    match found {
        Ok((table, Some(row))) => snapshot.rows(&table, row, |row| visit(row).map(|()| false)),
        Ok((_, None)) | Err(Trouble::Unusable(_)) => Ok(()),
        Err(trouble) => Err(trouble),
    }
}

fn key_of(row: &Row<'_>) -> u64 {
    row.value(0)
        .ok()
        .and_then(|value| value.bytes().map(|bytes| hash(&[bytes])))
        .unwrap_or(0)
}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Problem {
        Problem(trouble.to_string())
    }
}
