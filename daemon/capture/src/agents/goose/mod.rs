//! Goose: `sessions/sessions.db`, which holds what each session has used so far, and in newer versions each call too; and
//! before it a file of lines for each session, whose first says the same.
//!
//! The input includes what was read from and written to the cache, which newer versions tell besides; of older ones all
//! of the prompt counts as sent anew. Thinking stands in the total alone.

mod database;
mod file;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use tokmon_core::tokens::Tokens;

use super::{Form, Format, Reading};
use crate::roots::Places;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "goose",
    version: 4,
    places,
    forms: &[
        Form {
            files: "sessions.db",
            kind: "goose-database",
            read: Reading::Database(database::read),
        },
        Form {
            files: "*.jsonl",
            kind: "goose-session",
            read: Reading::Document(file::read),
        },
    ],
};

fn places(at: &Places<'_>) -> Vec<PathBuf> {
    let mut data = match at.var("GOOSE_PATH_ROOT") {
        Some(root) => vec![root.join("data")],
        None => vec![at.data().join("goose"), at.data().join("Block/goose")],
    };
    if cfg!(target_os = "macos") {
        data.push(at.app_data().join("goose"));
        data.push(at.app_data().join("Block/goose"));
    }
    data.iter().map(|data| data.join("sessions")).collect()
}

/// What Goose says that was used, by one call or by a session so far.
#[derive(Debug, Default, Clone, Copy)]
struct Used {
    all: u64,
    /// The whole prompt.
    input: u64,
    /// The answer without the thinking.
    output: u64,
    read: u64,
    written: u64,
}

impl Used {
    fn tokens(self) -> Tokens {
        let Used {
            all, input, output, ..
        } = self;
        // With nothing but a total there is no telling what is what.
        if input == 0 && output == 0 {
            return Tokens {
                input: all,
                ..Tokens::default()
            };
        }
        let read = self.read.min(input);
        let written = self.written.min(input - read);
        let thinking = all.saturating_sub(input.saturating_add(output));
        Tokens {
            input: input - read - written,
            cache_read: read,
            cache_write_5m: written,
            output: output.saturating_add(thinking),
            reasoning: thinking,
            ..Tokens::default()
        }
    }
}

/// What a session's latest call is kept under, where that is all that is known: its total begins at nothing when it goes on.
fn of_latest(session: &str) -> String {
    format!("{session} latest")
}
