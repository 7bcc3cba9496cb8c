//! Which model a task's requests went to: the conversation beside the messages names it in what the editor tells the
//! model about its surroundings.

use crate::agents::json::Reader;
use crate::agents::values::hash;

const OPEN: &[u8] = b"<model>";
const CLOSE: &[u8] = b"</model>";
/// Longest name of a model that is believed, in bytes.
const MAX_MODEL: usize = 200;

/// The models of a conversation, each with the time that it is named at; versions that name no time have zeros.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Models(Vec<(i64, String)>);

impl Models {
    /// Reads a conversation, as far as it is whole.
    pub(super) fn read(conversation: &[u8]) -> Models {
        let mut models = Models::default();
        drop(Reader::new(conversation).array(|reader| {
            let message = reader.raw()?;
            let Some(model) = named(message) else {
                return Ok(());
            };
            let mut at_ms = 0;
            Reader::new(message).object(|reader, key| {
                match key {
                    b"ts" => at_ms = reader.number_text()?.and_then(|ts| ts.parse().ok()).unwrap_or(0),
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            if models.0.last().is_none_or(|(_, last)| *last != model) {
                models.0.push((at_ms, model));
            }
            Ok(())
        }));
        models
    }

    /// The model at a time; empty when none is named.
    pub(super) fn at(&self, at_ms: i64) -> &str {
        // A request is written down before the message that it sends.
        const AHEAD_MS: i64 = 5_000;
        let before = self
            .0
            .iter()
            .rev()
            .find(|(named_ms, _)| *named_ms <= at_ms.saturating_add(AHEAD_MS));
        before.or(self.0.first()).map_or("", |(_, model)| model)
    }
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
