//! Where a task works, and whose part it is: newer versions of Roo Code keep that beside the messages, and all of them
//! tell the model of the directory at the beginning of the conversation.

use tokmon_core::observation::Observation;

use crate::agents::json::Reader;
use crate::agents::values::subagent;
use crate::agents::{Notes, Origin};

/// What newer versions keep of a task.
const SUMMARY: &str = "history_item.json";
/// Most that is read of it, in bytes.
const MAX_SUMMARY: usize = 256 * 1024;
/// How the model is told: Cline's words, and Roo Code's. Behind them stands the path.
const OPENINGS: [&[u8]; 2] = [
    b"# Current Working Directory (",
    b"# Current Workspace Directory (",
];
const CLOSE: &[u8] = b") Files";
/// Longest path that is believed, in bytes.
const MAX_PATH: usize = 4096;

/// What is known of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Workspace {
    directory: String,
    /// What kind of part of another task it is; empty when it is none.
    part: String,
}

impl Workspace {
    /// Reads what lies beside a task's messages, and its conversation.
    pub(super) fn read(origin: &Origin, conversation: &[u8]) -> Workspace {
        let summary = origin.beside(SUMMARY, MAX_SUMMARY).unwrap_or_default();
        let mut workspace = Workspace::default();
        let (mut parent, mut mode) = (String::new(), String::new());
        drop(Reader::new(&summary).object(|reader, key| {
            match key {
                b"workspace" => workspace.directory = reader.plain()?,
                b"parentTaskId" => parent = reader.plain()?,
                b"mode" => mode = reader.plain()?,
                _ => reader.skip()?,
            }
            Ok(())
        }));
        if !parent.is_empty() {
            workspace.part = if mode.is_empty() { "subtask".into() } else { mode };
        }
        if workspace.directory.is_empty() {
            workspace.directory = OPENINGS
                .iter()
                .find_map(|opening| told(conversation, opening))
                .unwrap_or_default();
        }
        workspace
    }

    /// Tells a call of it.
    pub(super) fn tell(&self, seen: &mut Observation, notes: &mut Notes<'_>) {
        seen.who.project = notes.names.get(&self.directory);
        if !self.part.is_empty() {
            seen.sidechain = true;
            seen.place = subagent(&self.part);
        }
    }
}

/// The path that stands behind some words.
fn told(conversation: &[u8], opening: &[u8]) -> Option<String> {
    let from = memchr::memmem::find(conversation, opening)? + opening.len();
    let rest = &conversation[from..conversation.len().min(from + MAX_PATH)];
    let path = std::str::from_utf8(&rest[..memchr::memmem::find(rest, CLOSE)?]).ok()?;
    // In JSON a backslash is two.
    let path = path.replace("\\\\", "\\");
    (!path.is_empty() && !path.contains(['"', '\n'])).then_some(path)
}
