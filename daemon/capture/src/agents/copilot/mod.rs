//! GitHub's Copilot CLI, which tells of a call in up to three places: a database with a row for each, the sums at the end
//! of a session in its event log, and, where that is switched on, OpenTelemetry in a file (Copilot Chat of VS Code
//! writes such files, too).
//!
//! The database is the best record. The other two are read only for sessions that it does not know: those of older
//! versions, and of the editor.

mod events;
mod otel;
mod store;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tokmon_core::tokens::Tokens;

use super::{Form, Format, Reading};
use crate::roots::Places;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "copilot-cli",
    version: 1,
    places,
    forms: &[
        Form {
            files: "otel/*.jsonl",
            kind: "copilot-otel",
            read: Reading::Lines(otel::open),
        },
        Form {
            files: STORE,
            kind: "copilot-store",
            read: Reading::Database(store::read),
        },
        Form {
            files: "session-state/*/events.jsonl",
            kind: "copilot-events",
            read: Reading::Lines(events::open),
        },
    ],
};

const STORE: &str = "session-store.db";

fn places(at: &Places<'_>) -> Vec<PathBuf> {
    let home = at.var("COPILOT_HOME").unwrap_or_else(|| at.home.join(".copilot"));
    let mut places = vec![home];
    places.extend(at.var("COPILOT_OTEL_FILE_EXPORTER_PATH"));
    places
}

/// Figures as Copilot gives them everywhere: the prompt includes what was read from and written to the cache.
fn disjoint(input: u64, read: u64, written: u64, output: u64, reasoning: u64) -> Tokens {
    let read = read.min(input);
    let written = written.min(input - read);
    Tokens {
        input: input - read - written,
        cache_read: read,
        cache_write_5m: written,
        output,
        reasoning: reasoning.min(output),
        ..Tokens::default()
    }
}

/// The database above another of Copilot's files, and which sessions it knows.
#[derive(Debug, Default)]
struct Better {
    store: Option<PathBuf>,
    /// What was asked before.
    known: HashMap<String, bool>,
}

impl Better {
    /// The database that lies so many directories above a file.
    fn above(file: &Path, levels: usize) -> Better {
        let store = file.ancestors().nth(levels).map(|dir| dir.join(STORE));
        let store = store.filter(|store| store.is_file());
        Better {
            store,
            known: HashMap::new(),
        }
    }

    /// Whether the session's calls are in the database.
    fn knows(&mut self, session: &str) -> bool {
        let Some(store) = &self.store else { return false };
        if let Some(known) = self.known.get(session) {
            return *known;
        }
        let known = store::knows(store, session);
        self.known.insert(session.to_owned(), known);
        known
    }
}
