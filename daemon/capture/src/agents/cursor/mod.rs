//! Cursor: the editor's own state ([`database`]), and the transcripts of its agents ([`transcript`]), of which the command
//! line has nothing else.
//!
//! Neither has all figures, so whatever is found here is marked as an estimate, and of most prompts nothing is known. What
//! an account used exactly only its vendor tells. Both tell of the same conversations: where the state has one, its
//! transcript counts for nothing.

mod database;
mod transcript;

use std::path::PathBuf;

use super::{Form, Format, Reading};
use crate::roots::Places;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "cursor",
    version: 2,
    places,
    forms: &[
        Form {
            files: "state.vscdb",
            kind: "cursor-database",
            read: Reading::Database(database::read),
        },
        Form {
            files: "*/agent-transcripts/**/*.jsonl",
            kind: "cursor-transcript",
            read: Reading::Document(transcript::lines),
        },
        Form {
            files: "*/agent-transcripts/**/*.json",
            kind: "cursor-transcript",
            read: Reading::Document(transcript::list),
        },
        Form {
            files: "*/agent-transcripts/**/*.txt",
            kind: "cursor-transcript",
            read: Reading::Document(transcript::text),
        },
    ],
};

fn places(at: &Places<'_>) -> Vec<PathBuf> {
    vec![
        at.app_data().join("Cursor/User/globalStorage/state.vscdb"),
        at.home.join(".cursor/projects"),
    ]
}

/// Tokens of answers, and the characters that they come to: text and tool calls of whole conversations, in English for the
/// most part, have 3.1 to 5.0 characters a token with OpenAI's vocabulary, and 2.7 to 4.3 with Anthropic's.
const TOKENS: u64 = 2;
const CHARACTERS: u64 = 7;
/// What is said of a figure that is made of a text's length.
const GUESSED: &str = "output estimated from the text (±30 %), prompt not known";

/// The tokens of an answer of so many characters.
fn tokens_of(characters: u64) -> u64 {
    characters.saturating_mul(TOKENS).div_ceil(CHARACTERS)
}
