//! OpenCode, and Kilo CLI which is made from it: a database of messages, and before it a small document for each.
//!
//! `input` is what was not in the cache; `reasoning` is counted beside `output`. A fork copies messages under new ids
//! into a new session, and an update moves them from documents into the database, so a call is known by when it began
//! and all its figures.

mod database;
mod message;

use std::path::PathBuf;

use tokmon_core::id::Key;

use self::message::Message;
use super::values::subagent;
use super::{Form, Format, Notes, Reading};
use crate::roots::Places;

/// OpenCode.
pub(super) const OPENCODE: Format = Format {
    name: "opencode",
    version: 1,
    places: |at| data(at, "OPENCODE_DATA_DIR", "opencode"),
    forms: &[
        Form {
            files: "opencode.db",
            kind: "opencode-database",
            read: Reading::Database(database::read),
        },
        // One for each channel: opencode-dev.db.
        Form {
            files: "opencode-*.db",
            kind: "opencode-database",
            read: Reading::Database(database::read),
        },
        Form {
            files: "storage/message/*/msg_*.json",
            kind: "opencode-message",
            read: Reading::Document(message::read),
        },
        Form {
            files: "project/*/storage/session/message/*/msg_*.json",
            kind: "opencode-message",
            read: Reading::Document(message::read),
        },
    ],
};

/// Kilo's command line.
pub(super) const KILO_CLI: Format = Format {
    name: "kilo-cli",
    version: 1,
    places: |at| data(at, "KILO_DATA_DIR", "kilo"),
    forms: &[
        Form {
            files: "kilo*.db",
            kind: "kilo-database",
            read: Reading::Database(database::read),
        },
        Form {
            files: "storage/message/*/msg_*.json",
            kind: "kilo-message",
            read: Reading::Document(message::read),
        },
    ],
};

fn data(at: &Places<'_>, variable: &str, name: &str) -> Vec<PathBuf> {
    vec![at.var(variable).unwrap_or_else(|| at.data().join(name))]
}

/// What a session adds to its messages.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Session {
    directory: String,
    /// It was begun by a message of another session.
    is_child: bool,
}

/// Books a message's call.
fn book(message: Message, session: &Session, offset: u64, notes: &mut Notes<'_>) {
    let created = message.created_ms.unwrap_or(notes.origin.mtime_ms);
    let figures = format!("{:?}", message.tokens.to_array());
    let parts = [
        "opencode-message",
        // Both are made from one source, but what one of them did the other did not.
        notes.agent,
        &created.to_string(),
        &message.provider,
        &message.model,
        &figures,
    ];
    let key = Key::new(Key::day_of(created), &parts);
    let at_ms = message.completed_ms.unwrap_or(created);
    let mut seen = notes.call(key, at_ms, &message.session, &message.model);
    if !message.provider.is_empty() {
        seen.provider = notes.names.get(&message.provider);
    }
    let project = if message.root.is_empty() {
        &session.directory
    } else {
        &message.root
    };
    seen.who.project = notes.names.get(project);
    if session.is_child {
        seen.sidechain = true;
        seen.place = subagent(&message.agent);
    }
    seen.tokens = message.tokens;
    seen.reported_cost = message.cost;
    seen.failed = message.failed;
    seen.source.offset = offset;
    notes.book(seen);
}

#[cfg(test)]
mod tests;
