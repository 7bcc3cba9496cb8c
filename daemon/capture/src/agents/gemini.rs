//! Gemini CLI's chats: `tmp/<project>/chats/session-*.jsonl`, in older versions one JSON document for each session.
//!
//! A message is written again while it streams, and a checkpoint (`$set`) may hold all messages once more; each is one
//! call, known by its id. What was rewound was billed all the same.
//!
//! A subagent's chat lies in a directory that is named after the session which started it. Its calls are that session's,
//! as telemetry has it too.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokmon_core::Name;
use tokmon_core::id::Key;
use tokmon_core::observation::Observation;

use super::google::Usage;
use super::json::{Problem, Reader};
use super::lines::{LineParser, restore, save};
use super::notes::Notes;
use super::values::{Names, instant, is_uuid, subagent};
use super::{Form, Format, Found, Origin, Reading};
use crate::roots::Places;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "gemini-cli",
    version: 2,
    places,
    forms: &[
        Form {
            files: "*/chats/**/*.jsonl",
            kind: KIND,
            read: Reading::Lines(open),
        },
        Form {
            files: "*/chats/**/*.json",
            kind: KIND,
            read: Reading::Document(read),
        },
    ],
};

const KIND: &str = "gemini-chat";

fn places(at: &Places<'_>) -> Vec<PathBuf> {
    if let Some(home) = at.var("GEMINI_CLI_HOME") {
        return vec![home.join(".gemini/tmp")];
    }
    let dirs = at.list_or_home("GEMINI_DATA_DIR", ".gemini").into_iter();
    dirs.map(|dir| dir.join("tmp")).collect()
}

type Text<'a> = Option<Cow<'a, str>>;

/// What is known of a session besides its messages.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Session {
    id: Option<Name>,
    project: Option<Name>,
    subagent: bool,
    /// The model of the latest message that named one.
    model: Option<Name>,
}

/// A message, or any other record.
#[derive(Debug, Default)]
struct Record<'a> {
    session: Text<'a>,
    kind: Text<'a>,
    id: Text<'a>,
    at_ms: Option<i64>,
    role: Text<'a>,
    model: Text<'a>,
    usage: Option<Usage>,
    tool: Text<'a>,
    /// The messages in it, and where each begins.
    messages: Vec<(usize, &'a [u8])>,
}

fn record<'a>(reader: &mut Reader<'a>, into: &mut Record<'a>) -> Result<bool, Problem> {
    reader.object(|reader, key| {
        match key {
            b"sessionId" => into.session = reader.text()?,
            b"kind" => into.kind = reader.text()?,
            b"id" => into.id = reader.text()?,
            b"timestamp" => into.at_ms = reader.text()?.as_deref().and_then(instant),
            b"type" => into.role = reader.text()?,
            b"model" => into.model = reader.text()?,
            b"tokens" => into.usage = tokens(reader)?,
            b"messages" => {
                into.messages.clear();
                reader.array(|reader| {
                    into.messages.push((reader.next_position()?, reader.raw()?));
                    Ok(())
                })?;
            }
            b"toolCalls" => {
                reader.array(|reader| {
                    reader.object(|reader, key| {
                        match key {
                            b"name" => into.tool = into.tool.take().or(reader.text()?),
                            _ => reader.skip()?,
                        }
                        Ok(())
                    })?;
                    Ok(())
                })?;
            }
            b"$set" => {
                let mut inner = Record::default();
                record(reader, &mut inner)?;
                into.messages = inner.messages;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })
}

fn tokens(reader: &mut Reader<'_>) -> Result<Option<Usage>, Problem> {
    let mut usage = Usage::default();
    let is_object = reader.object(|reader, key| {
        match key {
            b"input" => usage.prompt = reader.count("tokens.input")?.unwrap_or(0),
            b"output" => usage.candidates = reader.count("tokens.output")?.unwrap_or(0),
            b"cached" => usage.cached = reader.count("tokens.cached")?.unwrap_or(0),
            b"thoughts" => usage.thoughts = reader.count("tokens.thoughts")?.unwrap_or(0),
            b"tool" => usage.tool = reader.count("tokens.tool")?.unwrap_or(0),
            b"total" => usage.total = reader.count("tokens.total")?,
            _ => reader.unknown(key)?,
        }
        Ok(())
    })?;
    Ok(is_object.then_some(usage))
}

impl Session {
    fn learn(&mut self, record: &Record<'_>, names: &mut Names) {
        if let Some(id) = record.session.as_deref().filter(|id| !id.is_empty()) {
            self.id = Some(names.get(id));
        }
        self.subagent |= record.kind.as_deref() == Some("subagent");
    }

    /// The call that a message tells of.
    fn call(&mut self, message: &Record<'_>, origin: &Origin, names: &mut Names) -> Option<Observation> {
        if let Some(model) = message.model.as_deref().filter(|model| !model.is_empty()) {
            self.model = Some(names.get(model));
        }
        // Other types hold what the user wrote, or what went wrong.
        let is_answer = message.role.as_deref().is_none_or(|role| role == "gemini");
        let tokens = message.usage.filter(|_| is_answer)?.tokens();
        if tokens.total() == 0 {
            return None;
        }
        let at_ms = message.at_ms.unwrap_or(origin.mtime_ms);
        let stem = origin.name_without(".json");
        let session = self
            .id
            .clone()
            .unwrap_or_else(|| names.get(stem.strip_suffix(".jsonl").unwrap_or(stem)));
        let key = match message.id.as_deref().filter(|id| !id.is_empty()) {
            Some(id) if is_uuid(id) => Key::new(0, &["gemini-message", id]),
            Some(id) => Key::new(0, &["gemini-message", &session, id]),
            None => Key::new(
                0,
                &[
                    "gemini-line",
                    &session,
                    &format!("{at_ms} {:?}", tokens.to_array()),
                ],
            ),
        };
        let model = self.model.clone().unwrap_or_default();
        let below = origin.below("chats");
        let owner = match below.as_slice() {
            [parent, _, ..] if self.subagent && is_uuid(parent) => parent,
            _ => &*session,
        };
        let mut seen = origin.call(names, FORMAT.name, key, at_ms, owner, &model);
        if seen.provider.is_empty() {
            seen.provider = names.get("google");
        }
        seen.tokens = tokens;
        seen.sidechain = self.subagent;
        if self.subagent {
            seen.place = subagent("subagent");
        }
        seen.who.tool = names.get(message.tool.as_deref().unwrap_or_default());
        seen.who.project = self
            .project
            .get_or_insert_with(|| names.get(&project(origin)))
            .clone();
        Some(seen)
    }
}

/// The project's root, which newer versions write down beside the chats.
fn project(origin: &Origin) -> String {
    let root = ["../.project_root", "../../.project_root"]
        .iter()
        .find_map(|name| origin.beside(name, 4096));
    let root = String::from_utf8(root.unwrap_or_default()).unwrap_or_default();
    root.trim().to_owned()
}

#[derive(Debug)]
struct Parser {
    origin: Origin,
    names: Names,
    session: Session,
    /// The latest message: it may be written again at once.
    latest: Option<Observation>,
}

pub(super) fn open(state: &[u8], origin: Origin) -> Box<dyn LineParser> {
    Box::new(Parser {
        origin,
        names: Names::default(),
        session: restore(state),
        latest: None,
    })
}

impl Parser {
    fn message(&mut self, message: &Record<'_>, offset: u64, found: &mut Found) {
        let Some(mut seen) = self.session.call(message, &self.origin, &mut self.names) else {
            return;
        };
        seen.source.offset = offset;
        if let Some(before) = self.latest.replace(seen)
            && self.latest.as_ref().is_some_and(|seen| seen.key != before.key)
        {
            found.observations.push(before);
        }
    }
}

impl LineParser for Parser {
    fn line(&mut self, line: &[u8], offset: u64, found: &mut Found) -> Result<(), Problem> {
        let (mut reader, mut whole) = (Reader::new(line), Record::default());
        record(&mut reader, &mut whole)?;
        reader.end()?;
        self.session.learn(&whole, &mut self.names);
        for (_, bytes) in std::mem::take(&mut whole.messages) {
            let mut message = Record::default();
            record(&mut Reader::new(bytes), &mut message)?;
            self.message(&message, offset, found);
        }
        self.message(&whole, offset, found);
        Ok(())
    }

    fn settle(&mut self, found: &mut Found) {
        found.observations.extend(self.latest.take());
    }

    fn state(&self, _: i64) -> Vec<u8> {
        save(&self.session)
    }
}

fn read(bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), Problem> {
    let (mut reader, mut whole) = (Reader::new(bytes), Record::default());
    let is_object = record(&mut reader, &mut whole)?;
    reader.end()?;
    if !is_object {
        return Err(Problem("not a JSON object".into()));
    }
    let mut session = Session::default();
    session.learn(&whole, &mut notes.names);
    for (offset, bytes) in whole.messages {
        let mut message = Record::default();
        if let Err(problem) = record(&mut Reader::new(bytes), &mut message) {
            notes.fail(offset as u64, problem.0);
            continue;
        }
        if let Some(mut seen) = session.call(&message, notes.origin, &mut notes.names) {
            seen.source.offset = offset as u64;
            notes.book(seen);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Beside;
    use crate::agents::testing::{self, keys, rows};

    const HEAD: &str =
        r#"{"sessionId":"s1","projectHash":"h","startTime":"2026-11-20T09:00:00.000Z","kind":"main"}"#;
    const MESSAGE: &str = r#"{"id":"m2","timestamp":"2026-11-20T09:01:00.000Z","type":"gemini","model":"gemini-2.5-pro","tokens":{"input":900,"output":120,"cached":300,"thoughts":60,"tool":0,"total":1080},"toolCalls":[{"name":"read_file"}]}"#;
    const ROW: &str = "s1 gemini-2.5-pro 600+180 r300 w0 reasoning 60";

    fn lines(text: &str) -> Found {
        let mut origin = testing::origin("/g/tmp/h/chats/session-1.jsonl");
        origin.beside = Beside(|path, _| path.ends_with("../.project_root").then(|| b"/w/app\n".to_vec()));
        testing::lines(open, origin, text)
    }

    #[test]
    fn a_message_is_one_call_however_often_it_is_written() {
        let early = MESSAGE.replace("120", "2").replace("1080", "962");
        for text in [
            format!("{HEAD}\n{MESSAGE}\n"),
            format!("{HEAD}\n{early}\n{MESSAGE}\n{MESSAGE}\n"),
            format!("\u{feff}{HEAD}\r\n{MESSAGE}\r\n"),
            format!("{HEAD}\n{MESSAGE}\n{{\"$rewindTo\":\"m1\"}}\n"),
            format!("{HEAD}\n{{\"$set\":{{\"messages\":[{MESSAGE}]}}}}\n{MESSAGE}\n"),
            format!("{HEAD}\n{{\"type\":\"user\",\"tokens\":null}}\n{MESSAGE}"),
        ] {
            let found = lines(&text);
            assert_eq!(
                (rows(&found), found.failures),
                (vec![ROW.to_owned()], 0),
                "{text}"
            );
            let seen = &found.observations[0];
            assert_eq!((&*seen.who.project, &*seen.who.tool), ("/w/app", "read_file"));
            assert_eq!((&*seen.provider, seen.at_ms), ("google", 1_795_165_260_000));
        }
    }

    #[test]
    fn old_documents_tell_the_same() {
        let document = format!(
            r#"{{"sessionId":"s1","messages":[{{"type":"user"}},{MESSAGE},{{"id":"b","tokens":{{"input":-1}}}}]}}"#
        );
        let found = testing::document(read, "/g/tmp/h/chats/session-1.json", &document);
        assert_eq!((rows(&found), found.failures), (vec![ROW.to_owned()], 1));
        assert_eq!(keys(&found), keys(&lines(&format!("{HEAD}\n{MESSAGE}"))));
    }

    #[test]
    fn sessions_with_the_same_short_id_are_apart_and_long_ids_hold_everywhere() {
        let other = HEAD.replace("s1", "s2");
        let one = |head: &str, message: &str| keys(&lines(&format!("{head}\n{message}")));
        assert_ne!(one(HEAD, MESSAGE), one(&other, MESSAGE));
        let long = MESSAGE.replace("m2", "0197a1b2-0000-4000-8000-00000000000a");
        assert_eq!(one(HEAD, &long), one(&other, &long));
    }

    #[test]
    fn a_subagent_works_for_the_session_that_its_directory_names() {
        let head = HEAD.replace("s1", SUB).replace("main", "subagent");
        const MAIN: &str = "ad12ddc4-ec82-49c6-adab-6cf2d0003512";
        const SUB: &str = "fef82c8e-de18-4df3-b0c7-1719ba8375b1";
        for (dir, owner) in [(MAIN, MAIN), ("old", SUB), (".", SUB)] {
            let origin = testing::origin(&format!("/g/tmp/h/chats/{dir}/{SUB}.jsonl"));
            let found = testing::lines(open, origin, &format!("{head}\n{MESSAGE}\n"));
            assert_eq!(rows(&found), [ROW.replace("s1", owner)], "{dir}");
            let seen = &found.observations[0];
            assert!(
                seen.sidechain
                    && seen
                        .place
                        .as_ref()
                        .is_some_and(|place| &*place.subagent == "subagent")
            );
        }
    }

    #[test]
    fn nonsense_is_a_failure_and_nothing_else() {
        for (bad, failures) in [
            (r#"{"id":"x","tokens":{"input":-1}}"#, 1),
            (r#"{"id":"x","tokens":{"output":NaN}}"#, 1),
            (r#"{"id":"x","tokens":{"output":1e12}}"#, 1),
            (r#"{"id":"x","tokens":[1,2]}"#, 0),
            (r#"{"id":7,"tokens":{"input":null}}"#, 0),
            (r#"{"id":"x","tok"#, 1),
            ("7", 1),
        ] {
            let found = lines(&format!("{HEAD}\n{bad}\n{MESSAGE}\n"));
            assert_eq!(
                (rows(&found), found.failures),
                (vec![ROW.to_owned()], failures),
                "{bad}"
            );
        }
    }
}
