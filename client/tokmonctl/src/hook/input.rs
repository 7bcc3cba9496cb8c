//! What an agent tells its hook: read in bounds and in time, and understood as far as it goes. Agents send whole
//! prompts and results of tools; nothing of those is kept.

use std::fmt;
use std::io::Read as _;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::agent::Agent;

/// Most bytes of a message that are looked at. What matters stands at the beginning.
const MOST_BYTES: u64 = 8 * 1024 * 1024;
/// Longest name; the daemon takes no longer one.
const LONGEST_NAME: usize = 1024;

/// What is known of the agent's message. Empty: it does not say, or not in a way that was understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The event.
    pub(crate) event: String,
    /// The session.
    pub(crate) session: String,
    /// The working directory.
    pub(crate) project: String,
    /// The model.
    pub(crate) model: String,
    /// The model's provider.
    pub(crate) provider: String,
    /// The tool.
    pub(crate) tool: String,
    /// The file that the session is written to.
    pub(crate) transcript: String,
    /// The last use of a tool that it tells of.
    pub(crate) tool_use: String,
    /// The subagent that asks; empty: the session itself.
    pub(crate) subagent: String,
    /// It has a prompt; a tool's result.
    pub(super) prompt: bool,
    pub(super) result: bool,
    /// It was a JSON object, as far as it was read.
    pub(super) object: bool,
}

impl Message {
    /// Reads as much as can be read.
    pub(crate) fn parse(agent: Agent, bytes: &[u8]) -> Message {
        let mut message = Message::default();
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut json = serde_json::Deserializer::from_slice(bytes);
        // What was read before something went wrong stays.
        let _partial = Fields(&mut message).deserialize(&mut json);
        if agent == Agent::CopilotCli && message.event.is_empty() {
            message.guess_event();
        }
        message
    }

    /// Copilot's messages do not say what they are about.
    fn guess_event(&mut self) {
        let event = match (self.tool.is_empty(), self.result, self.prompt) {
            (true, false, true) => "userPromptSubmitted",
            (false, true, _) => "postToolUse",
            (false, false, _) => "preToolUse",
            _ => return,
        };
        event.clone_into(&mut self.event);
    }

    /// The question that it asks is known.
    pub(crate) fn is_understood(&self) -> bool {
        self.object && !self.event.is_empty()
    }

    fn take(&mut self, key: Key, value: Loose) {
        let texts = match value {
            Loose::Text(text) => text,
            Loose::Other => return,
        };
        let field = match key {
            Key::Event => &mut self.event,
            Key::Session => &mut self.session,
            Key::Project => &mut self.project,
            Key::Model => &mut self.model,
            Key::Provider => &mut self.provider,
            Key::Tool => &mut self.tool,
            Key::Transcript => &mut self.transcript,
            Key::Subagent => &mut self.subagent,
            Key::Prompt | Key::Result | Key::Calls | Key::Other => return,
        };
        if texts.len() <= LONGEST_NAME && field.is_empty() {
            *field = texts;
        }
    }
}

/// The fields of all agents; no agent uses another one's name for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Event,
    Session,
    Project,
    Model,
    Provider,
    Tool,
    Transcript,
    Subagent,
    Prompt,
    Result,
    Calls,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Key, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "hook_event_name" | "hookEventName" => Key::Event,
                    "session_id" | "sessionId" | "conversation_id" => Key::Session,
                    "cwd" | "workspace_roots" => Key::Project,
                    "model" => Key::Model,
                    "provider" => Key::Provider,
                    "tool_name" | "toolName" => Key::Tool,
                    "transcript_path" | "transcriptPath" => Key::Transcript,
                    "agent_id" => Key::Subagent,
                    "prompt" => Key::Prompt,
                    "tool_response" | "toolResult" => Key::Result,
                    "tool_calls" => Key::Calls,
                    _ => Key::Other,
                })
            }
        }
        json.deserialize_str(Name)
    }
}

/// A text, or the first one of a list; anything else is passed over.
enum Loose {
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Loose, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Loose;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
                Ok(Loose::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Loose, A::Error> {
                let first = list.next_element::<Loose>()?.unwrap_or(Loose::Other);
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(first)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Loose::Other)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Loose, E> {
                Ok(Loose::Other)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Loose, E> {
                Ok(Loose::Other)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Loose, E> {
                Ok(Loose::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Loose, E> {
                Ok(Loose::Other)
            }
            fn visit_unit<E>(self) -> Result<Loose, E> {
                Ok(Loose::Other)
            }
        }
        json.deserialize_any(Any)
    }
}

/// The id of one use of a tool; empty where there is none.
struct Call(String);

impl<'de> Deserialize<'de> for Call {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Call, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Call;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Call, A::Error> {
                let mut id = String::new();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "tool_use_id" => {
                            if let Loose::Text(text) = map.next_value()? {
                                id = text;
                            }
                        }
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Call(id))
            }
        }
        json.deserialize_map(Object)
    }
}

/// Fills a message field by field, so that what came before a mistake is kept.
struct Fields<'a>(&'a mut Message);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let message = self.0;
        message.object = true;
        while let Some(key) = map.next_key::<Key>()? {
            message.prompt |= key == Key::Prompt;
            message.result |= key == Key::Result;
            match key {
                Key::Prompt | Key::Result | Key::Other => drop(map.next_value::<IgnoredAny>()?),
                Key::Calls => {
                    let calls: Vec<Call> = map.next_value()?;
                    let fit = |id: &String| !id.is_empty() && id.len() <= LONGEST_NAME;
                    message.tool_use = calls
                        .into_iter()
                        .rev()
                        .map(|call| call.0)
                        .find(fit)
                        .unwrap_or_default();
                }
                _ => message.take(key, map.next_value()?),
            }
        }
        Ok(())
    }
}

/// Reads standard input in a thread of its own: an agent that never closes it must not hold us.
pub(crate) struct Reader {
    head: Receiver<Vec<u8>>,
    end: Receiver<()>,
}

impl Reader {
    /// Begins to read.
    pub(crate) fn start() -> Reader {
        let (head, head_in) = sync_channel(1);
        let (end, end_in) = sync_channel(1);
        let read = move || {
            let mut stdin = std::io::stdin().lock();
            let mut bytes = Vec::new();
            // An input that breaks off is understood as far as it came.
            let _broken = stdin.by_ref().take(MOST_BYTES).read_to_end(&mut bytes);
            let _late = head.send(bytes);
            // An agent that still writes when we are gone would take that for a failure.
            let _broken = std::io::copy(&mut stdin, &mut std::io::sink());
            let _late = end.send(());
        };
        // Without a thread nothing is read, and nothing understood.
        drop(std::thread::Builder::new().name("stdin".to_owned()).spawn(read));
        Reader {
            head: head_in,
            end: end_in,
        }
    }

    /// The message, as far as it comes before the deadline.
    pub(crate) fn message(&self, agent: Agent, deadline: Instant) -> Message {
        // A part of the time is kept for asking.
        let left = deadline.saturating_duration_since(Instant::now()) / 2;
        let bytes = self.head.recv_timeout(left).unwrap_or_default();
        Message::parse(agent, &bytes)
    }

    /// Waits for the end of the input, at most until the deadline.
    pub(crate) fn drain(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let _late = self.end.recv_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claude(text: &str) -> Message {
        Message::parse(Agent::ClaudeCode, text.as_bytes())
    }

    #[test]
    fn fields_are_found_among_others() {
        let message = claude(
            r#"{"session_id":"s","transcript_path":"/t.jsonl","agent_id":"a1","cwd":"/p","permission_mode":"default",
               "effort":{"level":"high"},"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"a":[1,2.5,null]}}"#,
        );
        assert_eq!(message.event, "PreToolUse");
        assert_eq!((message.session.as_str(), message.project.as_str()), ("s", "/p"));
        assert_eq!(
            (message.tool.as_str(), message.transcript.as_str()),
            ("Bash", "/t.jsonl")
        );
        assert_eq!(message.subagent, "a1");
        assert!(message.is_understood());
    }

    #[test]
    fn the_last_use_of_a_tool_is_known() {
        let batch = |calls: &str| {
            let text =
                format!(r#"{{"hook_event_name":"PostToolBatch","session_id":"s","tool_calls":{calls}}}"#);
            let message = claude(&text);
            assert!(message.is_understood() && message.session == "s");
            message.tool_use
        };
        let two = r#"[{"tool_use_id":"a","tool_input":{"x":[1]}},{"tool_response":"r","tool_use_id":"b"}]"#;
        assert_eq!(batch(two), "b");
        assert_eq!(batch(r#"[{"tool_use_id":"a"},{"tool_use_id":7},{}]"#), "a");
        for nothing in ["[]", "7", "null", "[7]", "{}", r#""x""#] {
            assert_eq!(batch(nothing), "");
        }
        assert_eq!(
            batch(&format!(r#"[{{"tool_use_id":"{}"}}]"#, "x".repeat(5_000))),
            ""
        );
    }

    #[test]
    fn what_came_before_a_mistake_is_kept() {
        let cut = claude(r#"{"session_id":"s","hook_event_name":"UserPromptSubmit","prompt":"so lo"#);
        assert_eq!((cut.session.as_str(), cut.is_understood()), ("s", true));
        let late = claude(r#"{"prompt":"so lo"#);
        assert!(!late.is_understood());
    }

    #[test]
    fn nothing_that_is_sent_breaks_it() {
        let deep = "[".repeat(100_000);
        let deep = format!("{{\"x\":{deep}");
        for text in [
            "",
            "{",
            "null",
            "[]",
            "7",
            "\"hook_event_name\"",
            "{\"hook_event_name\":7,\"session_id\":{}}",
            "{\"hook_event_name\":null}",
            "\u{0}\u{1}",
            &deep,
        ] {
            assert!(!claude(text).is_understood(), "{text:.40}");
        }
        assert!(!Message::parse(Agent::Codex, b"\xff\xfe{").is_understood());
    }

    #[test]
    fn an_endless_name_is_no_name() {
        let text = format!(
            r#"{{"hook_event_name":"Stop","session_id":"{}"}}"#,
            "x".repeat(5_000)
        );
        assert_eq!(claude(&text).session, "");
    }

    #[test]
    fn copilots_messages_are_told_apart_by_what_they_carry() {
        for (text, event) in [
            (
                r#"{"sessionId":"s","timestamp":1,"cwd":"/p","prompt":"x"}"#,
                "userPromptSubmitted",
            ),
            (
                r#"{"sessionId":"s","toolName":"bash","toolArgs":"{}"}"#,
                "preToolUse",
            ),
            (
                r#"{"sessionId":"s","toolName":"bash","toolResult":{"resultType":"success"}}"#,
                "postToolUse",
            ),
            (r#"{"sessionId":"s","stopReason":"end_turn"}"#, ""),
        ] {
            assert_eq!(
                Message::parse(Agent::CopilotCli, text.as_bytes()).event,
                event,
                "{text}"
            );
        }
    }

    #[test]
    fn the_first_workspace_is_the_project() {
        let text = r#"{"conversation_id":"c","hook_event_name":"stop","workspace_roots":["/a","/b"]}"#;
        let message = Message::parse(Agent::Cursor, text.as_bytes());
        assert_eq!((message.project.as_str(), message.session.as_str()), ("/a", "c"));
    }
}
