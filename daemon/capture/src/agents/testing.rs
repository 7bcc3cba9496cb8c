//! For the tests of parsers: files given as text, calls shown as one row each.

use super::counters::Counters;
use super::lines::{OpenLines, Parser};
use super::{Found, Notes, Origin, ReadDatabase, ReadDocument};
use tokmon_core::id::Key;

/// 2026-11-20T09:00:00Z: when files were written last, and a moment before the present.
pub(super) const WRITTEN_MS: i64 = 1_795_165_200_000;

/// An origin with this path.
pub(super) fn origin(path: &str) -> Origin {
    Origin {
        path: path.into(),
        user: "ann".into(),
        mtime_ms: WRITTEN_MS,
        kind: "test",
        ..Origin::default()
    }
}

/// Reads lines from their beginning to their end.
pub(super) fn lines(open: OpenLines, origin: Origin, text: &str) -> Found {
    let mut found = Found::default();
    let mut parser = Parser::resume(open, &[], origin);
    parser.read(text.as_bytes(), 0, &mut found);
    parser.settle(&mut found);
    found
}

/// Reads a document once.
pub(super) fn document(read: ReadDocument, path: &str, text: &str) -> Found {
    Documents::new(read, path).read(text)
}

/// Reads a document again and again, as it changes.
pub(super) struct Documents {
    pub(super) read: ReadDocument,
    pub(super) origin: Origin,
    pub(super) counters: Counters,
    state: Vec<u8>,
}

impl Documents {
    pub(super) fn new(read: ReadDocument, path: &str) -> Documents {
        let (origin, counters) = (origin(path), Counters::default());
        let state = Vec::new();
        Documents {
            read,
            origin,
            counters,
            state,
        }
    }

    pub(super) fn read(&mut self, text: &str) -> Found {
        self.read_bytes(text.as_bytes())
    }

    pub(super) fn read_bytes(&mut self, bytes: &[u8]) -> Found {
        let state = std::mem::take(&mut self.state);
        let mut notes = Notes::new(
            "agent",
            &self.origin,
            WRITTEN_MS + 1_000,
            state,
            &mut self.counters,
        );
        let outcome = (self.read)(bytes, &mut notes);
        let (mut found, state, _) = notes.close();
        if let Err(problem) = outcome {
            found.fail(0, problem.0);
        }
        self.state = state;
        found
    }
}

/// A database in a folder of its own, read again and again as SQLite changes it.
pub(super) struct Database {
    pub(super) writer: rusqlite::Connection,
    read: ReadDatabase,
    pub(super) origin: Origin,
    pub(super) counters: Counters,
    pub(super) state: Vec<u8>,
    dir: tempfile::TempDir,
}

impl Database {
    /// A database at this path below its folder, made by these statements.
    pub(super) fn new(read: ReadDatabase, path: &str, sql: &str) -> Database {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let writer = rusqlite::Connection::open(&path).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = OFF")
            .unwrap();
        writer.execute_batch(sql).unwrap();
        Database {
            writer,
            read,
            origin: origin(path.to_str().unwrap()),
            counters: Counters::default(),
            state: Vec::new(),
            dir,
        }
    }

    /// The path that the database's folder has.
    pub(super) fn dir(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    pub(super) fn run(&self, sql: &str) {
        self.writer
            .execute_batch(sql)
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// Reads to the end. What is wrong with all of it is a failure at 0.
    pub(super) fn read(&mut self) -> Found {
        let mut all = Found::default();
        loop {
            let state = std::mem::take(&mut self.state);
            let now_ms = WRITTEN_MS + 1_000;
            let mut notes = Notes::new("agent", &self.origin, now_ms, state, &mut self.counters);
            let outcome = (self.read)(std::path::Path::new(&*self.origin.path), &mut notes);
            let (mut found, state, more) = notes.close();
            if let Err(trouble) = outcome {
                found.fail(0, trouble.to_string());
            }
            self.state = state;
            all.observations.append(&mut found.observations);
            all.failures += found.failures;
            all.shown.append(&mut found.shown);
            if !more {
                return all;
            }
        }
    }
}

/// Session, model, input+output, and what else there is.
pub(super) fn rows(found: &Found) -> Vec<String> {
    let row = |seen: &tokmon_core::observation::Observation| {
        let tokens = &seen.tokens;
        let mut row = format!(
            "{} {} {}+{} r{} w{}",
            seen.who.session,
            seen.model,
            tokens.input,
            tokens.output,
            tokens.cache_read,
            tokens.cache_write_5m + tokens.cache_write_1h
        );
        if tokens.reasoning > 0 {
            row += &format!(" reasoning {}", tokens.reasoning);
        }
        row
    };
    found.observations.iter().map(row).collect()
}

/// The calls' keys.
pub(super) fn keys(found: &Found) -> Vec<Key> {
    found.observations.iter().map(|seen| seen.key).collect()
}
