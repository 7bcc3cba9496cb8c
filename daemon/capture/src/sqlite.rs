//! Reading the SQLite databases of programs that are using them, without their noticing.
//!
//! SQLite's own library cannot do that. It takes shared locks, on which a writer in rollback mode fails and which keep
//! a WAL from being reset; it creates or writes `-shm` even when it opens read-only; with `immutable=1` it misses the
//! WAL; and a private copy of a database of gigabytes for each change of one row is no answer. The file format is
//! public and fixed, so the few things needed are done here: pages are read with plain reads, the committed frames of
//! the WAL lie over them, and tables are walked in the order of their row ids. No lock is taken, nothing is written,
//! and only the pages that hold new rows are touched.
//!
//! What locks would have promised is checked instead: a [`Snapshot`] counts only if [`Snapshot::verify`] finds after
//! the reading that neither the file, nor the header of the WAL, nor the progress of a checkpoint, nor a journal has
//! moved since before it. Else it is [`Trouble::Busy`] and the same is read again later. SQLite itself is the oracle
//! of the tests.

mod pages;
mod record;
mod schema;
#[cfg(test)]
mod tests;
mod tree;
mod wal;

use std::path::Path;

use self::pages::Pages;
pub(crate) use self::record::Value;
use self::schema::Columns;
pub(crate) use self::tree::Row;

/// Why a database, or a part of it, cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Its owner is writing right now: what was read does not count, and the next look may find it settled.
    Busy,
    /// It has no tables at all yet: made a moment ago, or never used.
    Empty,
    /// It is not what it should be, until it changes: says what is wrong.
    Unusable(String),
    /// The system does not let us read it.
    Io(std::io::ErrorKind, String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Busy => f.write_str("it is being written"),
            Trouble::Empty => f.write_str("it has no tables yet"),
            Trouble::Unusable(problem) | Trouble::Io(_, problem) => f.write_str(problem),
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Trouble {
        Trouble::Io(error.kind(), error.to_string())
    }
}

/// Shorthand for what cannot be used.
fn unusable<T>(problem: impl Into<String>) -> Result<T> {
    Err(Trouble::Unusable(problem.into()))
}

type Result<T> = std::result::Result<T, Trouble>;

/// A database as it stood when it was opened.
pub(crate) struct Snapshot {
    pages: Pages,
}

/// A table of a snapshot, and which of its columns are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    name: String,
    root: u32,
    /// Where each wanted column lies in a record; `None`: the table does not have it, or it is the row id.
    wanted: Vec<Place>,
}

/// Where a wanted column is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the record.
    Field(usize),
    /// It is another name of the row id.
    RowId,
    /// The table has no such column.
    Absent,
}

impl Snapshot {
    /// Opens a database and the committed part of its WAL.
    ///
    /// # Errors
    /// It is not a database, is encrypted or of an unknown version, or is being written.
    pub(crate) fn open(path: &Path) -> Result<Snapshot> {
        let pages = Pages::open(path)?;
        Ok(Snapshot { pages })
    }

    /// Whether all that was read since the opening was of one piece.
    ///
    /// # Errors
    /// [`Trouble::Busy`]: it may not have been.
    pub(crate) fn verify(&self) -> Result<()> {
        self.pages.verify()
    }

    /// A table with its wanted columns; those behind `needed` must be there, those behind `known` need not.
    /// A row gives them in this order.
    ///
    /// # Errors
    /// There is no such table, or it lacks a needed column: says which.
    pub(crate) fn table(&mut self, name: &str, needed: &[&str], known: &[&str]) -> Result<Table> {
        let Some(entry) = schema::find(&mut self.pages, "table", name)? else {
            if schema::is_empty(&mut self.pages)? {
                return Err(Trouble::Empty);
            }
            return unusable(format!("it has no table {name:?}"));
        };
        let columns = Columns::parse(&entry.sql);
        if columns.without_rowid {
            return unusable(format!("table {name:?} has no row ids"));
        }
        let place = |column: &&str| columns.place(column);
        let wanted: Vec<Place> = needed.iter().chain(known).map(place).collect();
        if let Some(at) = wanted[..needed.len()]
            .iter()
            .position(|place| *place == Place::Absent)
        {
            return unusable(format!("table {name:?} has no column {:?}", needed[at]));
        }
        Ok(Table {
            name: name.to_owned(),
            root: entry.root,
            wanted,
        })
    }

    /// Whether there is such a table.
    ///
    /// # Errors
    /// The schema is damaged.
    pub(crate) fn has(&mut self, name: &str) -> Result<bool> {
        Ok(schema::find(&mut self.pages, "table", name)?.is_some())
    }

    /// Calls `visit` for each row from a row id on, in the order of row ids, until it says `false`.
    ///
    /// # Errors
    /// The table is damaged, or what `visit` says.
    pub(crate) fn rows(
        &mut self,
        table: &Table,
        from: i64,
        mut visit: impl FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        tree::walk(&mut self.pages, table, from, &mut visit).map(drop)
    }

    /// The row id of the row whose primary key, of one text column, is `key`.
    ///
    /// # Errors
    /// The index is damaged, or there is none.
    pub(crate) fn row_id_of(&mut self, table: &Table, key: &str) -> Result<Option<i64>> {
        let index = format!("sqlite_autoindex_{}_1", table.name);
        let Some(entry) = schema::find(&mut self.pages, "index", &index)? else {
            return unusable(format!("table {:?} has no index of its key", table.name));
        };
        tree::seek(&mut self.pages, entry.root, key.as_bytes())
    }
}
