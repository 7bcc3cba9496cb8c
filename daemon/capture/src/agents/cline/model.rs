//! Which model a task's requests went to, and through whom: Cline keeps a list of that beside the messages, and Roo Code
//! names the model in the conversation, in what it tells the model about its surroundings.

use crate::agents::Origin;
use crate::agents::json::{Problem, Reader};
use crate::agents::values::hash;

const OPEN: &[u8] = b"<model>";
const CLOSE: &[u8] = b"</model>";
/// Where Cline keeps its list, and most that is read of it, in bytes: the files that the model saw stand there too.
const METADATA: &str = "task_metadata.json";
const MAX_METADATA: usize = 4 * 1024 * 1024;
/// Longest name of a model that is believed, in bytes.
const MAX_MODEL: usize = 200;

/// A model, and who passes it on; empty where that is not told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) provider: String,
}

/// A task's models, each with the time that it is named at; versions that name no time have zeros.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Models(Vec<(i64, Model)>);

impl Models {
    /// Reads what lies beside a task's messages, and its conversation.
    pub(super) fn read(origin: &Origin, conversation: &[u8]) -> Models {
        let list = origin.beside(METADATA, MAX_METADATA).unwrap_or_default();
        let models = Models::listed(&list);
        if models.0.is_empty() {
            Models::said(conversation)
        } else {
            models
        }
    }

    /// Reads Cline's list, as far as it is whole.
    fn listed(list: &[u8]) -> Models {
        let mut models = Models::default();
        drop(Reader::new(list).object(|reader, key| {
            if key != b"model_usage" {
                return reader.skip();
            }
            reader.array(|reader| {
                let (mut at_ms, mut model) = (0, Model::default());
                reader.object(|reader, key| {
                    match key {
                        b"ts" => at_ms = millis(reader)?,
                        b"model_id" => model.name = reader.plain()?,
                        b"model_provider_id" => model.provider = reader.plain()?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
                if model.name.len() <= MAX_MODEL {
                    models.0.push((at_ms, model));
                }
                Ok(())
            })?;
            Ok(())
        }));
        models
    }

    /// Reads a conversation, as far as it is whole.
    fn said(conversation: &[u8]) -> Models {
        let mut models = Models::default();
        drop(Reader::new(conversation).array(|reader| {
            let message = reader.raw()?;
            let Some(name) = named(message) else {
                return Ok(());
            };
            let mut at_ms = 0;
            Reader::new(message).object(|reader, key| {
                match key {
                    b"ts" => at_ms = millis(reader)?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            if models.0.last().is_none_or(|(_, last)| last.name != name) {
                let provider = String::new();
                models.0.push((at_ms, Model { name, provider }));
            }
            Ok(())
        }));
        models
    }

    /// The model at a time.
    pub(super) fn at(&self, at_ms: i64) -> Option<&Model> {
        // A request is written down before the message that it sends.
        const AHEAD_MS: i64 = 5_000;
        let before = self
            .0
            .iter()
            .rev()
            .find(|(named_ms, _)| *named_ms <= at_ms.saturating_add(AHEAD_MS));
        before.or(self.0.first()).map(|(_, model)| model)
    }
}

fn millis(reader: &mut Reader<'_>) -> Result<i64, Problem> {
    Ok(reader.number_text()?.and_then(|ts| ts.parse().ok()).unwrap_or(0))
}

/// The last model that a message names.
fn named(message: &[u8]) -> Option<String> {
    let open = memchr::memmem::rfind(message, OPEN)? + OPEN.len();
    let length = memchr::memmem::find(&message[open..], CLOSE)?;
    let name = std::str::from_utf8(&message[open..open + length]).ok()?.trim();
    let plain = !name.is_empty() && name.len() <= MAX_MODEL && !name.contains(['\\', '"', '<', '\n']);
    plain.then(|| name.to_owned())
}

/// A hash for the order between two tellings of one request: the one that knows more is the better one.
pub(super) fn order(knows_model: bool, knows_cost: bool, text: &[u8]) -> u64 {
    u64::from(knows_cost) << 63 | u64::from(knows_model) << 62 | hash(&[text]) >> 2 | 1
}
