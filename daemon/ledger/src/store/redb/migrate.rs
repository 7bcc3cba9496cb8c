//! Bringing an older file to the present schema.
//!
//! To change the layout: raise `SCHEMA_VERSION`, give the new table a new name (`entry.v2`), add a step below
//! that fills it from the old one inside the transaction it gets, keep the old table until the version after,
//! and add a fixture of the version that was the newest so far to the tests. A step is one transaction
//! together with the new version number: a crash leaves the file at the one version or at the other.

use std::path::Path;

use redb::{Database, WriteTransaction};

use super::super::{Result, SCHEMA_VERSION, StoreError};
use super::handle::guarded;
use super::lifecycle::{Unfinished, put_schema};

/// Brings a file from version `from` to `from + 1`.
struct Step {
    from: u32,
    apply: fn(&WriteTransaction) -> Result<()>,
}

/// Every step since the first release.
const STEPS: &[Step] = &[];

/// Migrates `db`, whose schema is `found`, after keeping a copy of the file beside it.
pub(super) fn to_present(
    path: &Path,
    db: Database,
    found: u32,
    reopen: impl FnOnce() -> Result<Database>,
) -> Result<Database> {
    if found == SCHEMA_VERSION {
        return Ok(db);
    }
    drop(db);
    keep_copy(path, found)?;
    let db = reopen()?;
    guarded(|| run(&db, found, SCHEMA_VERSION, STEPS))?;
    Ok(db)
}

fn run(db: &Database, found: u32, wanted: u32, steps: &[Step]) -> Result<()> {
    for from in found..wanted {
        let step = steps.iter().find(|step| step.from == from).ok_or_else(|| {
            StoreError::Conflict(format!(
                "there is no way from schema {from} to schema {}",
                from + 1
            ))
        })?;
        let txn = db.begin_write()?;
        (step.apply)(&txn)?;
        put_schema(&txn, from + 1)?;
        txn.commit()?;
    }
    Ok(())
}

/// Copies the file to `<name>.schema-<version>`; a copy that is there already was made before the first try.
fn keep_copy(path: &Path, version: u32) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".schema-{version}"));
    let target = path.with_file_name(name);
    let unfinished = Unfinished::begin(&target)?;
    std::io::copy(&mut std::fs::File::open(path)?, &mut unfinished.file()?)?;
    match unfinished.publish(&target) {
        Err(StoreError::Conflict(_)) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::{ReadableDatabase, TableDefinition, TableHandle};

    const NEW: TableDefinition<'static, u64, u64> = TableDefinition::new("new.v2");

    fn add_table(txn: &WriteTransaction) -> Result<()> {
        txn.open_table(NEW)?.insert(1, 2)?;
        Ok(())
    }

    fn fail(_: &WriteTransaction) -> Result<()> {
        Err(StoreError::Damaged("a row".to_owned()))
    }

    fn memory() -> Database {
        Database::builder()
            .create_with_backend(redb::backends::InMemoryBackend::new())
            .unwrap()
    }

    fn has_new(db: &Database) -> bool {
        let txn = db.begin_read().unwrap();
        txn.list_tables().unwrap().any(|t| t.name() == NEW.name())
    }

    #[test]
    fn steps_run_in_order_and_each_wholly_or_not_at_all() {
        let db = memory();
        let steps = [
            Step { from: 2, apply: fail },
            Step {
                from: 1,
                apply: add_table,
            },
        ];
        assert!(run(&db, 1, 3, &steps).is_err());
        assert!(has_new(&db));
        assert!(run(&memory(), 2, 3, &steps).is_err());
    }

    #[test]
    fn a_missing_step_is_an_error() {
        let db = memory();
        assert!(matches!(run(&db, 0, 1, STEPS), Err(StoreError::Conflict(_))));
        assert!(!has_new(&db));
    }

    #[test]
    fn the_copy_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.redb");
        std::fs::write(&path, "old").unwrap();
        keep_copy(&path, 1).unwrap();
        std::fs::write(&path, "half migrated").unwrap();
        keep_copy(&path, 1).unwrap();
        let names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|f| f.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(
            std::fs::read(dir.path().join("ledger.redb.schema-1")).unwrap(),
            b"old"
        );
    }
}
