//! Qwen Code's chats: `projects/<project>/chats/*.jsonl`, lines that are appended.
//!
//! A call is an `assistant` line with `usageMetadata`; the telemetry that stands between the lines repeats it and is
//! passed over. Known by the line's `uuid`.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use tokmon_core::id::Key;
use tokmon_core::observation::Place;

use super::google::Usage;
use super::json::{Problem, Reader};
use super::lines::LineParser;
use super::values::{Names, is_uuid, moment};
use super::{Form, Format, Found, Origin, Reading};
use crate::roots::Places;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "qwen-code",
    version: 1,
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

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Debug, Default)]
struct Line<'a> {
    kind: Text<'a>,
    uuid: Text<'a>,
    session: Text<'a>,
    at_ms: Option<i64>,
    cwd: Text<'a>,
    branch: Text<'a>,
    model: Text<'a>,
    sidechain: bool,
    usage: Option<Usage>,
    tool: Text<'a>,
}

fn parse(bytes: &[u8]) -> Result<Line<'_>, Problem> {
    let mut line = Line::default();
    let mut reader = Reader::new(bytes);
    reader.object(|reader, key| {
        match key {
            b"type" => line.kind = reader.text()?,
            b"uuid" => line.uuid = reader.text()?,
            b"sessionId" => line.session = reader.text()?,
            b"timestamp" => line.at_ms = moment(reader)?,
            b"cwd" => line.cwd = reader.text()?,
            b"gitBranch" => line.branch = reader.text()?,
            b"model" => line.model = reader.text()?,
            b"isSidechain" => line.sidechain = reader.flag()?,
            b"usageMetadata" => line.usage = usage(reader)?,
            b"message" => line.tool = tool(reader)?,
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
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(is_object.then_some(usage))
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

#[derive(Debug)]
struct Parser {
    origin: Origin,
    names: Names,
}

pub(super) fn open(_: &[u8], origin: Origin) -> Box<dyn LineParser> {
    let names = Names::default();
    Box::new(Parser { origin, names })
}

impl LineParser for Parser {
    fn line(&mut self, bytes: &[u8], offset: u64, found: &mut Found) -> Result<(), Problem> {
        if memchr::memmem::find(bytes, b"\"usageMetadata\"").is_none() {
            return Ok(());
        }
        let line = parse(bytes)?;
        let Some(usage) = line.usage.filter(|_| line.kind.as_deref() == Some("assistant")) else {
            return Ok(());
        };
        let tokens = usage.tokens();
        if tokens.total() == 0 {
            return Ok(());
        }
        let (origin, names) = (&self.origin, &mut self.names);
        let at_ms = line.at_ms.unwrap_or(origin.mtime_ms);
        let session = line.session.as_deref().filter(|session| !session.is_empty());
        let session = session.unwrap_or(origin.stem());
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
        seen.source.offset = offset;
        found.observations.push(seen);
        Ok(())
    }

    fn state(&self, _: i64) -> Vec<u8> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
