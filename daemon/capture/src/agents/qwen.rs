//! Qwen Code's chats: `projects/<project>/chats/*.jsonl`, lines that are appended.
//!
//! A call is an `assistant` line with `usageMetadata`, known by the line's `uuid`. Before it the agent writes down what
//! it tells its own telemetry: of that call, but also of calls that have no line of their own here, which are those of
//! subagents and of compaction. So an event waits for the answer with its figures; when the conversation goes on
//! without one, it is a call of its own. A subagent's answers stand in another file, so its events do not wait; where they stand here too, the events count.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokmon_core::id::Key;
use tokmon_core::observation::{Observation, Place};
use tokmon_core::tokens::Tokens;

use super::google::Usage;
use super::json::{Problem, Reader};
use super::lines::{LineParser, restore, save};
use super::values::{Names, id, instant, is_uuid, moment};
use super::{Form, Format, Found, Origin, Reading};
use crate::roots::Places;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "qwen-code",
    version: 2,
    places,
    forms: &[Form {
        files: "*/chats/**/*.jsonl",
        kind: "qwen-chat",
        read: Reading::Lines(open),
    }],
};

fn places(at: &Places<'_>) -> Vec<PathBuf> {
    let dir = ["QWEN_RUNTIME_DIR", "QWEN_HOME", "QWEN_DATA_DIR"]
        .iter()
        .find_map(|name| at.var(name));
    vec![dir.unwrap_or_else(|| at.home.join(".qwen")).join("projects")]
}

/// Events that wait for their answers: a turn and its subagents make a handful at a time.
const MOST_WAITING: usize = 32;

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Debug, Default)]
struct Line<'a> {
    kind: Text<'a>,
    subtype: Text<'a>,
    uuid: Text<'a>,
    session: Text<'a>,
    at_ms: Option<i64>,
    cwd: Text<'a>,
    branch: Text<'a>,
    model: Text<'a>,
    sidechain: bool,
    usage: Option<Usage>,
    tool: Text<'a>,
    event: Option<Event>,
}

/// What the agent told its telemetry of one call.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Event {
    response: String,
    at: String,
    model: String,
    subagent: String,
    tokens: [u64; 11],
    /// Where its line begins.
    offset: u64,
}

fn parse(bytes: &[u8]) -> Result<Line<'_>, Problem> {
    let mut line = Line::default();
    let mut reader = Reader::new(bytes);
    reader.object(|reader, key| {
        match key {
            b"type" => line.kind = reader.text()?,
            b"subtype" => line.subtype = reader.text()?,
            b"uuid" => line.uuid = reader.text()?,
            b"sessionId" => line.session = reader.text()?,
            b"timestamp" => line.at_ms = moment(reader)?,
            b"cwd" => line.cwd = reader.text()?,
            b"gitBranch" => line.branch = reader.text()?,
            b"model" => line.model = reader.text()?,
            b"isSidechain" => line.sidechain = reader.flag()?,
            b"usageMetadata" => line.usage = usage(reader)?,
            b"message" => line.tool = tool(reader)?,
            b"systemPayload" => {
                reader.object(|reader, key| {
                    match key {
                        b"uiEvent" => line.event = event(reader)?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    Ok(line)
}

fn usage(reader: &mut Reader<'_>) -> Result<Option<Usage>, Problem> {
    let mut usage = Usage::default();
    let is_object = reader.object(|reader, key| {
        match key {
            b"promptTokenCount" => usage.prompt = reader.count("promptTokenCount")?.unwrap_or(0),
            b"cachedContentTokenCount" => {
                usage.cached = reader.count("cachedContentTokenCount")?.unwrap_or(0);
            }
            b"candidatesTokenCount" => {
                usage.candidates = reader.count("candidatesTokenCount")?.unwrap_or(0);
            }
            b"thoughtsTokenCount" => usage.thoughts = reader.count("thoughtsTokenCount")?.unwrap_or(0),
            b"toolUsePromptTokenCount" => {
                usage.tool = reader.count("toolUsePromptTokenCount")?.unwrap_or(0);
            }
            b"totalTokenCount" => usage.total = reader.count("totalTokenCount")?,
            _ => reader.unknown(key)?,
        }
        Ok(())
    })?;
    Ok(is_object.then_some(usage))
}

/// The event, if it tells of an answer.
fn event(reader: &mut Reader<'_>) -> Result<Option<Event>, Problem> {
    let (mut event, mut usage, mut name) = (Event::default(), Usage::default(), None);
    reader.object(|reader, key| {
        let count = |reader: &mut Reader<'_>, name: &str| reader.count(name);
        match key {
            b"event.name" => name = reader.text()?,
            b"event.timestamp" => event.at = reader.plain()?,
            b"response_id" => event.response = id(&reader.plain()?).to_string(),
            b"model" => event.model = id(&reader.plain()?).to_string(),
            b"subagent_name" => event.subagent = id(&reader.plain()?).to_string(),
            b"input_token_count" => usage.prompt = count(reader, "input_token_count")?.unwrap_or(0),
            b"output_token_count" => usage.candidates = count(reader, "output_token_count")?.unwrap_or(0),
            b"cached_content_token_count" => {
                usage.cached = count(reader, "cached_content_token_count")?.unwrap_or(0);
            }
            b"thoughts_token_count" => usage.thoughts = count(reader, "thoughts_token_count")?.unwrap_or(0),
            b"tool_token_count" => usage.tool = count(reader, "tool_token_count")?.unwrap_or(0),
            b"total_token_count" => usage.total = count(reader, "total_token_count")?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    event.tokens = usage.tokens().to_array();
    let is_answer = name.is_some_and(|name| name.ends_with(".api_response"));
    Ok(Some(event).filter(|event| is_answer && usage.tokens().total() > 0 && instant(&event.at).is_some()))
}

/// The first tool that the answer calls.
fn tool<'a>(reader: &mut Reader<'a>) -> Result<Text<'a>, Problem> {
    let mut tool: Text<'a> = None;
    reader.object(|reader, key| {
        if key != b"parts" {
            return reader.skip();
        }
        reader.array(|reader| {
            reader.object(|reader, key| {
                if key != b"functionCall" {
                    return reader.skip();
                }
                reader.object(|reader, key| {
                    match key {
                        b"name" => tool = tool.take().or(reader.text()?),
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
                Ok(())
            })?;
            Ok(())
        })
    })?;
    Ok(tool)
}

/// What is known of the lines before.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    /// Events whose answers may still come, in their order.
    waiting: Vec<Event>,
    /// Figures of subagents' events, in case that their answers stand here all the same.
    told: Vec<[u64; 11]>,
}

#[derive(Debug)]
struct Parser {
    origin: Origin,
    names: Names,
    known: Known,
}

pub(super) fn open(state: &[u8], origin: Origin) -> Box<dyn LineParser> {
    let (names, known) = (Names::default(), restore(state));
    Box::new(Parser { origin, names, known })
}

impl Parser {
    /// The call of a line, or of an event in one.
    fn call(&mut self, line: &Line<'_>, key: Key, at_ms: i64, model: &str, tokens: Tokens) -> Observation {
        let (origin, names) = (&self.origin, &mut self.names);
        let session = line.session.as_deref().filter(|session| !session.is_empty());
        let session = session.unwrap_or(origin.stem());
        let mut seen = origin.call(names, FORMAT.name, key, at_ms, session, model);
        seen.tokens = tokens;
        seen.sidechain = line.sidechain;
        seen.who.project = names.get(line.cwd.as_deref().unwrap_or_default());
        seen.who.tool = names.get(line.tool.as_deref().unwrap_or_default());
        if let Some(branch) = line.branch.as_deref().filter(|branch| !branch.is_empty()) {
            seen.place = Some(Arc::new(Place {
                branch: names.get(branch),
                ..Place::default()
            }));
        }
        seen
    }

    /// Nobody answered for these events: they are calls of their own.
    fn book(&mut self, events: Vec<Event>, line: &Line<'_>, found: &mut Found) {
        for event in events {
            let tokens = Tokens::from_array(event.tokens);
            let figures = format!("{:?}", event.tokens);
            let key = Key::new(0, &["qwen-event", &event.response, &event.at, &figures]);
            let at_ms = instant(&event.at).unwrap_or(self.origin.mtime_ms);
            let mut seen = self.call(line, key, at_ms, &event.model, tokens);
            seen.request_id = self.names.get(&event.response);
            seen.sidechain = !event.subagent.is_empty();
            if seen.sidechain {
                let place = seen.place.take().as_deref().cloned().unwrap_or_default();
                let subagent = self.names.get(&event.subagent);
                seen.place = self.names.place(Place { subagent, ..place });
            }
            seen.source.offset = event.offset;
            found.observations.push(seen);
        }
    }
}

impl LineParser for Parser {
    fn line(&mut self, bytes: &[u8], offset: u64, found: &mut Found) -> Result<(), Problem> {
        let holds = |needle: &str| memchr::memmem::find(bytes, needle.as_bytes()).is_some();
        if self.known.waiting.is_empty() && !holds("\"usageMetadata\"") && !holds(".api_response\"") {
            return Ok(());
        }
        let mut line = parse(bytes)?;
        if let Some(event) = line.event.take() {
            let event = Event { offset, ..event };
            if !event.subagent.is_empty() {
                self.known.told.push(event.tokens);
                let many = self.known.told.len().saturating_sub(MOST_WAITING);
                self.known.told.drain(..many);
                self.book(vec![event], &line, found);
                return Ok(());
            }
            self.known.waiting.push(event);
            let late = self.known.waiting.len().saturating_sub(MOST_WAITING);
            let late = self.known.waiting.drain(..late).collect();
            self.book(late, &line, found);
            return Ok(());
        }
        let is_answer = line.kind.as_deref() == Some("assistant");
        let Some(usage) = line.usage.filter(|_| is_answer) else {
            // More telemetry, and answers without figures, stand between an event and its answer.
            let is_note = line.kind.as_deref() == Some("system")
                && line
                    .subtype
                    .as_deref()
                    .is_some_and(|subtype| subtype != "chat_compression");
            if !is_answer && !is_note {
                let waiting = std::mem::take(&mut self.known.waiting);
                self.book(waiting, &line, found);
            }
            return Ok(());
        };
        let tokens = usage.tokens();
        if tokens.total() == 0 {
            return Ok(());
        }
        let told = &mut self.known.told;
        if line.sidechain
            && let Some(at) = told.iter().position(|told| *told == tokens.to_array())
        {
            told.remove(at);
            return Ok(());
        }
        let waiting = &mut self.known.waiting;
        let told = waiting.iter().position(|event| event.tokens == tokens.to_array());
        let told = told.map(|at| waiting.remove(at));
        let at_ms = line.at_ms.unwrap_or(self.origin.mtime_ms);
        let session = line.session.as_deref().filter(|session| !session.is_empty());
        let session = session.unwrap_or(self.origin.stem());
        let key = match line.uuid.as_deref().filter(|uuid| !uuid.is_empty()) {
            Some(uuid) if is_uuid(uuid) => Key::new(0, &["qwen-line", uuid]),
            Some(uuid) => Key::new(0, &["qwen-line", session, uuid]),
            None => Key::new(
                0,
                &[
                    "qwen-figures",
                    session,
                    &format!("{at_ms} {:?}", tokens.to_array()),
                ],
            ),
        };
        let model = line.model.as_deref().unwrap_or_default();
        let mut seen = self.call(&line, key, at_ms, model, tokens);
        seen.request_id = self.names.get(told.as_ref().map_or("", |event| &event.response));
        seen.source.offset = offset;
        found.observations.push(seen);
        Ok(())
    }

    fn state(&self, _: i64) -> Vec<u8> {
        save(&self.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::lines::Parser as LineParsers;
    use crate::agents::testing::{self, keys, rows};

    const LINE: &str = r#"{"uuid":"q1","sessionId":"s1","timestamp":"2026-11-20T09:05:00.000Z","type":"assistant","cwd":"/w/app","gitBranch":"main","model":"qwen3-coder-plus","message":{"role":"model","parts":[{"text":"x"},{"functionCall":{"name":"edit","args":{}}}]},"usageMetadata":{"promptTokenCount":1500,"cachedContentTokenCount":1000,"candidatesTokenCount":70,"thoughtsTokenCount":0,"totalTokenCount":1570}}"#;

    fn lines(text: &str) -> Found {
        testing::lines(open, testing::origin("/q/projects/p/chats/c1.jsonl"), text)
    }

    #[test]
    fn an_answer_is_a_call_and_the_prompt_includes_the_cache() {
        let found = lines(&format!(
            "{LINE}\n{{\"type\":\"system\",\"subtype\":\"ui_telemetry\",\"usageMetadata\":{{\"promptTokenCount\":9}}}}\n"
        ));
        assert_eq!(rows(&found), ["s1 qwen3-coder-plus 500+70 r1000 w0"]);
        let seen = &found.observations[0];
        assert_eq!((&*seen.who.project, &*seen.who.tool), ("/w/app", "edit"));
        assert_eq!(&*seen.place.as_ref().unwrap().branch, "main");
    }

    #[test]
    fn an_event_that_nobody_answers_for_is_a_call() {
        let event = |response: &str, input: u64, more: &str| {
            format!(
                r#"{{"uuid":"e","sessionId":"s1","timestamp":"2026-11-20T09:04:59.000Z","type":"system","cwd":"/w/app","gitBranch":"main","subtype":"ui_telemetry","systemPayload":{{"uiEvent":{{"event.name":"qwen-code.api_response","event.timestamp":"2026-11-20T09:04:59.900Z","response_id":"{response}","model":"qwen3-coder-plus","input_token_count":{input},"output_token_count":70,"cached_content_token_count":1000,"thoughts_token_count":0,"total_token_count":{}{more}}}}}}}"#,
                input + 70
            )
        };
        let (own, aside) = (event("r1", 1500, ""), event("r2", 1700, ""));
        let helper = event("r3", 1600, r#","subagent_name":"general-purpose""#);
        const TOOL: &str = r#"{"uuid":"t","sessionId":"s1","type":"system","subtype":"ui_telemetry","systemPayload":{"uiEvent":{"event.name":"qwen-code.tool_call"}}}"#;
        const USER: &str = r#"{"uuid":"u","sessionId":"s1","type":"tool_result","message":{"parts":[]}}"#;
        const NOTE: &str =
            r#"{"uuid":"n","sessionId":"s1","type":"user","subtype":"notification","message":{"parts":[]}}"#;
        let beside = LINE
            .replace("\"q1\",", "\"q2\",\"isSidechain\":true,")
            .replace("1500", "1600")
            .replace("1570", "1670");
        const DONE: &str = r#"{"uuid":"c","sessionId":"s1","type":"system","subtype":"chat_compression","systemPayload":{}}"#;
        let (main, side) = (
            "s1 qwen3-coder-plus 500+70 r1000 w0",
            "s1 qwen3-coder-plus 600+70 r1000 w0",
        );
        let squeezed = "s1 qwen3-coder-plus 700+70 r1000 w0";
        for (text, wanted) in [
            (vec![&own, LINE, TOOL, USER], vec![main]),
            (vec![&own, &helper, LINE, TOOL, USER], vec![side, main]),
            (
                vec![&own, TOOL, LINE, &helper, TOOL, &helper, USER],
                vec![main, side, side],
            ),
            (vec![&aside, &aside, DONE], vec![squeezed, squeezed]),
            (vec![LINE, USER], vec![main]),
            (vec![&own, LINE, &aside, NOTE], vec![main, squeezed]),
            (vec![&helper, &beside], vec![side]),
            // Its answer may still come.
            (vec![LINE, USER, &own], vec![main]),
        ] {
            assert_eq!(rows(&lines(&text.join("\n"))), wanted, "{text:?}");
        }
        let found = lines(&[&own, LINE, &helper, USER].join("\n"));
        let [answer, helped] = found.observations.as_slice() else {
            panic!()
        };
        assert_eq!((&*answer.request_id, &*helped.request_id), ("r1", "r3"));
        assert_eq!((answer.sidechain, helped.sidechain), (false, true));
        let place = helped.place.as_ref().unwrap();
        assert_eq!(&*place.subagent, "general-purpose");
        assert_eq!(helped.at_ms, 1_795_165_499_900);
        // Wherever reading stops in between, it comes to the same.
        let whole = [&own, &helper, LINE, USER, &aside, DONE].join("\n");
        for cut in whole.match_indices('\n').map(|(at, _)| at + 1) {
            let mut found = Found::default();
            let origin = || testing::origin("/q/projects/p/chats/c1.jsonl");
            let mut first = LineParsers::resume(open, &[], origin());
            first.read(&whole.as_bytes()[..cut], 0, &mut found);
            first.settle(&mut found);
            let mut second = LineParsers::resume(open, &first.state(0), origin());
            second.read(&whole.as_bytes()[cut..], cut as u64, &mut found);
            second.settle(&mut found);
            assert_eq!(keys(&found), keys(&lines(&whole)), "{cut}");
        }
    }

    #[test]
    fn traps() {
        for (from, to, wanted, failures) in [
            (":70,", ":null,", vec!["s1 qwen3-coder-plus 500+0 r1000 w0"], 0),
            (":70,", ":-70,", vec![], 1),
            (":70,", ":\"many\",", vec![], 1),
            (":1500,", ":1e30,", vec![], 1),
            ("\"s1\"", "null", vec!["c1 qwen3-coder-plus 500+70 r1000 w0"], 0),
            (
                "\"qwen3-coder-plus\"",
                "null",
                vec!["s1 unknown 500+70 r1000 w0"],
                0,
            ),
            ("assistant", "user", vec![], 0),
            ("\"usageMetadata\":{", "\"usageMetadata\":[", vec![], 0),
        ] {
            let found = lines(&format!("{}\r\n", LINE.replace(from, to)));
            assert_eq!(
                (rows(&found), found.failures),
                (wanted.iter().map(|row| row.to_string()).collect(), failures),
                "{to}"
            );
        }
        let half = &LINE[..LINE.len() - 9];
        assert_eq!(rows(&lines(&format!("{half}\n{LINE}"))).len(), 1);
        assert_eq!(keys(&lines(&format!("{LINE}\n{LINE}")))[0], keys(&lines(LINE))[0]);
    }
}
