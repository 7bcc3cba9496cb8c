//! pi's sessions: `sessions/--<directory>--/<time>_<id>.jsonl`.
//!
//! A fork begins with a copy of its parent's lines, and artefacts of subagents repeat them, both under new ids: a call is
//! known by its own time, its model and its figures.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokmon_core::Name;
use tokmon_core::id::Key;
use tokmon_core::tokens::Tokens;

use super::json::{Problem, Reader};
use super::lines::{LineParser, restore, save};
use super::values::{Names, id, moment, reported_cost};
use super::{Form, Format, Found, Origin, Reading};
use crate::roots::Places;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "pi",
    version: 1,
    places,
    forms: &[Form {
        files: "**/*.jsonl",
        kind: "pi-session",
        read: Reading::Lines(open),
    }],
};

fn places(at: &Places<'_>) -> Vec<PathBuf> {
    if let Some(dir) = at.var("PI_CODING_AGENT_DIR") {
        return vec![dir.join("sessions")];
    }
    let dirs = at.list_or_home("PI_AGENT_DIR", ".pi/agent").into_iter();
    let sessions = |dir: PathBuf| match dir.ends_with("sessions") {
        true => dir,
        false => dir.join("sessions"),
    };
    dirs.map(sessions).collect()
}

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Debug, Default)]
struct Line<'a> {
    kind: Text<'a>,
    id: Text<'a>,
    cwd: Text<'a>,
    at_ms: Option<i64>,
    message: Option<Message<'a>>,
}

#[derive(Debug, Default)]
struct Message<'a> {
    role: Text<'a>,
    provider: Text<'a>,
    model: Text<'a>,
    response: Text<'a>,
    stop: Text<'a>,
    at_ms: Option<i64>,
    tokens: Option<Tokens>,
    cost: Option<&'a str>,
    tool: Text<'a>,
}

fn parse(bytes: &[u8]) -> Result<Line<'_>, Problem> {
    let mut line = Line::default();
    let mut reader = Reader::new(bytes);
    reader.object(|reader, key| {
        match key {
            b"type" => line.kind = reader.text()?,
            b"id" => line.id = reader.text()?,
            b"cwd" => line.cwd = reader.text()?,
            b"timestamp" => line.at_ms = moment(reader)?,
            b"message" => line.message = message(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    Ok(line)
}

fn message<'a>(reader: &mut Reader<'a>) -> Result<Option<Message<'a>>, Problem> {
    let mut message = Message::default();
    let is_object = reader.object(|reader, key| {
        match key {
            b"role" => message.role = reader.text()?,
            b"provider" => message.provider = reader.text()?,
            b"model" => message.model = reader.text()?,
            b"responseId" => message.response = reader.text()?,
            b"stopReason" => message.stop = reader.text()?,
            b"timestamp" => message.at_ms = moment(reader)?,
            b"usage" => usage(reader, &mut message)?,
            b"content" => message.tool = tool(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(is_object.then_some(message))
}

fn usage<'a>(reader: &mut Reader<'a>, message: &mut Message<'a>) -> Result<(), Problem> {
    let mut tokens = Tokens::default();
    let is_object = reader.object(|reader, key| {
        match key {
            b"input" => tokens.input = reader.count("usage.input")?.unwrap_or(0),
            b"output" => tokens.output = reader.count("usage.output")?.unwrap_or(0),
            b"cacheRead" => tokens.cache_read = reader.count("usage.cacheRead")?.unwrap_or(0),
            b"cacheWrite" => tokens.cache_write_5m = reader.count("usage.cacheWrite")?.unwrap_or(0),
            b"cost" => {
                reader.object(|reader, key| {
                    match key {
                        b"total" => message.cost = reader.number_text()?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            _ => reader.unknown(key)?,
        }
        Ok(())
    })?;
    message.tokens = is_object.then_some(tokens);
    Ok(())
}

/// The first tool that the answer calls.
fn tool<'a>(reader: &mut Reader<'a>) -> Result<Text<'a>, Problem> {
    let mut tool: Text<'a> = None;
    reader.array(|reader| {
        let (mut kind, mut name): (Text<'a>, Text<'a>) = (None, None);
        reader.object(|reader, key| {
            match key {
                b"type" => kind = reader.text()?,
                b"name" => name = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if tool.is_none() && kind.as_deref() == Some("toolCall") {
            tool = name;
        }
        Ok(())
    })?;
    Ok(tool)
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    session: Option<Name>,
    project: Option<Name>,
}

#[derive(Debug)]
struct Parser {
    origin: Origin,
    names: Names,
    saved: Saved,
}

pub(super) fn open(state: &[u8], origin: Origin) -> Box<dyn LineParser> {
    Box::new(Parser {
        origin,
        names: Names::default(),
        saved: restore(state),
    })
}

impl LineParser for Parser {
    fn line(&mut self, bytes: &[u8], offset: u64, found: &mut Found) -> Result<(), Problem> {
        let of_interest = |needle: &[u8]| memchr::memmem::find(bytes, needle).is_some();
        if !of_interest(b"\"usage\"") && !of_interest(b"\"session\"") {
            return Ok(());
        }
        let line = parse(bytes)?;
        let (origin, names) = (&self.origin, &mut self.names);
        if line.kind.as_deref() == Some("session") {
            let session = line.id.as_deref().filter(|id| !id.is_empty());
            self.saved.session = session.map(|id| names.get(id));
            self.saved.project = line.cwd.as_deref().map(|cwd| names.get(cwd));
            return Ok(());
        }
        let Some(message) = line.message.filter(|message| {
            message.role.as_deref() == Some("assistant")
                && line.kind.as_deref().is_none_or(|kind| kind == "message")
        }) else {
            return Ok(());
        };
        let Some(tokens) = message.tokens.filter(|tokens| tokens.total() > 0) else {
            return Ok(());
        };
        let own_ms = message.at_ms.or(line.at_ms);
        let at_ms = own_ms.unwrap_or(origin.mtime_ms);
        let session = self.saved.session.clone();
        let session = session.unwrap_or_else(|| names.get(origin.stem()));
        let model = message.model.as_deref().unwrap_or_default();
        let figures = format!("{:?}", tokens.to_array());
        let key = match own_ms {
            Some(at_ms) => Key::new(
                Key::day_of(at_ms),
                &["pi-call", &at_ms.to_string(), model, &figures],
            ),
            None => {
                let id = line.id.as_deref().unwrap_or_default();
                Key::new(0, &["pi-line", &session, id, model, &figures])
            }
        };
        let mut seen = origin.call(names, FORMAT.name, key, at_ms, &session, model);
        if let Some(provider) = message.provider.filter(|provider| !provider.is_empty()) {
            seen.provider = names.get(&provider);
        }
        seen.tokens = tokens;
        seen.reported_cost = message.cost.and_then(reported_cost);
        seen.failed = matches!(message.stop.as_deref(), Some("error" | "aborted"));
        seen.who.project = self.saved.project.clone().unwrap_or_default();
        seen.who.tool = names.get(message.tool.as_deref().unwrap_or_default());
        seen.request_id = id(message.response.as_deref().unwrap_or_default());
        seen.source.offset = offset;
        found.observations.push(seen);
        Ok(())
    }

    fn state(&self, _: i64) -> Vec<u8> {
        save(&self.saved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{self, keys, rows};

    const HEAD: &str = r#"{"type":"session","version":3,"id":"s1","cwd":"/w/app"}"#;
    const LINE: &str = r#"{"type":"message","id":"a1","parentId":"a0","timestamp":"2026-11-20T09:06:00.000Z","message":{"role":"assistant","provider":"anthropic","model":"claude-opus-4-8","timestamp":1795166760000,"responseId":"msg_1","content":[{"type":"text","text":"x"},{"type":"toolCall","name":"bash","arguments":{}}],"usage":{"input":8,"output":120,"cacheRead":6000,"cacheWrite":300,"totalTokens":6428,"cost":{"input":0.00004,"output":0.003,"cacheRead":0.003,"cacheWrite":0.0019,"total":0.0079}}}}"#;

    fn lines(text: &str) -> Found {
        testing::lines(open, testing::origin("/p/sessions/--w-app--/t_s.jsonl"), text)
    }

    #[test]
    fn an_answer_is_a_call() {
        let found = lines(&format!("{HEAD}\n{LINE}\n"));
        assert_eq!(rows(&found), ["s1 claude-opus-4-8 8+120 r6000 w300"]);
        let seen = &found.observations[0];
        assert_eq!(
            (&*seen.who.project, &*seen.who.tool, &*seen.request_id),
            ("/w/app", "bash", "msg_1")
        );
        assert_eq!(seen.reported_cost.map(|cost| cost.0), Some(7_900_000_000));
    }

    #[test]
    fn a_fork_is_the_same_call_and_branches_are_two() {
        let fork = LINE.replace("\"a1\"", "\"b9\"");
        let twin = LINE.replace("1795166760000", "1795166760001");
        let found = keys(&lines(&format!("{HEAD}\n{LINE}\n{twin}\n")));
        assert_eq!(
            keys(&lines(&format!("{}\n{fork}", HEAD.replace("s1", "s2"))))[0],
            found[0]
        );
        assert_ne!(found[0], found[1]);
    }

    #[test]
    fn traps() {
        for (from, to, count, failures) in [
            ("assistant", "toolResult", 0, 0),
            (":120,", ":-120,", 0, 1),
            (":120,", ":NaN,", 0, 1),
            (":120,", ":null,", 1, 0),
            ("1795166760000", "null", 1, 0),
            ("0.0079", "\"free\"", 1, 0),
            ("{\"input\":0.00004", "[{\"input\":0.00004", 0, 1),
        ] {
            let found = lines(&format!("{HEAD}\r\n{}\r\n", LINE.replace(from, to)));
            assert_eq!(
                (found.observations.len(), found.failures),
                (count, failures),
                "{to}"
            );
        }
    }
}
