//! Kimi CLI's wire logs: `sessions/<directory>/<session>/wire.jsonl`, and those of its subagents below.
//!
//! Each step tells what it used in a `StatusUpdate`; the model stands in the configuration only. Steps of subagents
//! may also be wrapped into their parent's log. A step is known by its message's id.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokmon_core::Name;
use tokmon_core::id::Key;
use tokmon_core::tokens::Tokens;

use super::json::{Problem, Reader};
use super::lines::{LineParser, restore, save};
use super::md5;
use super::values::{Names, id as unique, moment};
use super::{Form, Format, Found, Origin, Reading};
use crate::roots::Places;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "kimi-cli",
    version: 2,
    places,
    forms: &[Form {
        files: "**/wire.jsonl",
        kind: "kimi-wire",
        read: Reading::Lines(open),
    }],
};

fn places(at: &Places<'_>) -> Vec<PathBuf> {
    let share = at.var("KIMI_SHARE_DIR").unwrap_or_else(|| at.home.join(".kimi"));
    vec![share.join("sessions")]
}

/// The model of an installation that names none.
const DEFAULT_MODEL: &str = "kimi-for-coding";
/// So much of the configuration is looked at.
const CONFIG_BYTES: usize = 256 * 1024;

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Debug, Default)]
struct Step<'a> {
    kind: Text<'a>,
    message: Text<'a>,
    tokens: Option<Tokens>,
    /// What a subagent did, wrapped.
    inner: Option<Box<Step<'a>>>,
}

/// A message or a wrapped event: type and payload.
fn step<'a>(reader: &mut Reader<'a>) -> Result<Step<'a>, Problem> {
    let mut found = Step::default();
    reader.object(|reader, key| {
        match key {
            b"type" => found.kind = reader.text()?,
            b"payload" => {
                reader.object(|reader, key| {
                    match key {
                        b"message_id" => found.message = reader.text()?,
                        b"token_usage" => found.tokens = tokens(reader, COUNTS)?,
                        b"event" => found.inner = Some(Box::new(step(reader)?)),
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(found)
}

/// What was sent anew, what was answered, what was read from the cache and what was written to it.
const COUNTS: [&str; 4] = [
    "input_other",
    "output",
    "input_cache_read",
    "input_cache_creation",
];

/// Both of Kimi's programs count the same four things; they spell them in their own way.
pub(super) fn tokens(reader: &mut Reader<'_>, names: [&str; 4]) -> Result<Option<Tokens>, Problem> {
    let mut tokens = Tokens::default();
    let is_object = reader.object(|reader, key| {
        let buckets = [
            &mut tokens.input,
            &mut tokens.output,
            &mut tokens.cache_read,
            &mut tokens.cache_write_5m,
        ];
        match names
            .into_iter()
            .zip(buckets)
            .find(|(name, _)| name.as_bytes() == key)
        {
            Some((name, bucket)) => *bucket = reader.count(name)?.unwrap_or(0),
            None => reader.unknown(key)?,
        }
        Ok(())
    })?;
    Ok(is_object.then_some(tokens))
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    /// The model that was configured when the file was read first: a later change is not of earlier calls.
    model: Option<Name>,
    /// Where the session is; empty: that is not known.
    project: Option<Name>,
}

#[derive(Debug)]
struct Parser {
    origin: Origin,
    names: Names,
    session: Name,
    subagent: bool,
    saved: Saved,
}

pub(super) fn open(state: &[u8], origin: Origin) -> Box<dyn LineParser> {
    let below = origin.below("sessions");
    // The session is the directory that holds the log; a subagent's lies below its session's.
    let subagent = below.iter().position(|name| *name == "subagents");
    let session = match subagent {
        Some(at) => at.checked_sub(1).and_then(|at| below.get(at)),
        None => below.iter().rev().nth(1),
    };
    let mut names = Names::default();
    let session = names.get(session.copied().unwrap_or(origin.stem()));
    let saved = restore(state);
    Box::new(Parser {
        session,
        subagent: subagent.is_some(),
        origin,
        names,
        saved,
    })
}

impl LineParser for Parser {
    fn line(&mut self, bytes: &[u8], offset: u64, found: &mut Found) -> Result<(), Problem> {
        if memchr::memmem::find(bytes, b"\"token_usage\"").is_none() {
            return Ok(());
        }
        let (mut at_ms, mut outer) = (None, Step::default());
        let mut reader = Reader::new(bytes);
        reader.object(|reader, key| {
            match key {
                b"timestamp" => at_ms = moment(reader)?,
                b"message" => outer = step(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.end()?;
        let (mut status, mut wrapped) = (outer, false);
        while let Some(inner) = status.inner.take() {
            (status, wrapped) = (*inner, true);
        }
        let is_status = status.kind.as_deref() == Some("StatusUpdate");
        let Some(tokens) = status.tokens.filter(|tokens| is_status && tokens.total() > 0) else {
            return Ok(());
        };
        let at_ms = at_ms.unwrap_or(self.origin.mtime_ms);
        let id = status.message.as_deref().unwrap_or_default();
        let key = match id {
            "" => {
                let figures = format!("{at_ms} {:?}", tokens.to_array());
                Key::new(0, &["kimi-step", &self.session, "", &figures])
            }
            // What providers make up is unique; short numbers are not.
            id if id.len() >= 20 => Key::new(0, &["kimi-message", id]),
            id => Key::new(0, &["kimi-step", &self.session, id]),
        };
        let (origin, names) = (&self.origin, &mut self.names);
        let model = self.saved.model.get_or_insert_with(|| names.get(&model(origin)));
        let mut seen = origin.call(names, FORMAT.name, key, at_ms, &self.session, model);
        let project = self
            .saved
            .project
            .get_or_insert_with(|| names.get(&project(origin).unwrap_or_default()));
        seen.who.project = project.clone();
        if seen.provider.is_empty() {
            seen.provider = names.get("moonshotai");
        }
        seen.tokens = tokens;
        seen.sidechain = self.subagent || wrapped;
        seen.request_id = unique(id);
        seen.source.offset = offset;
        found.observations.push(seen);
        Ok(())
    }

    fn state(&self, _: i64) -> Vec<u8> {
        save(&self.saved)
    }
}

/// The directory that the session works in, among those of `kimi.json`: the sessions' directory is named by its hash.
fn project(origin: &Origin) -> Option<String> {
    let below = origin.below("sessions");
    let hash = below.first()?.rsplit('_').next()?;
    let list = format!("{}kimi.json", "../".repeat(below.len()));
    let bytes = origin.beside(&list, CONFIG_BYTES)?;
    let mut found = None;
    // What stands before a break in it counts.
    drop(Reader::new(&bytes).object(|reader, key| match key {
        b"work_dirs" => reader.array(|reader| {
            let mut path = None;
            reader.object(|reader, key| match key {
                b"path" => {
                    path = reader.text()?;
                    Ok(())
                }
                _ => reader.skip(),
            })?;
            found = found.take().or_else(|| {
                path.filter(|path| md5::hex(path.as_bytes()) == hash)
                    .map(Cow::into_owned)
            });
            Ok(())
        }),
        _ => reader.skip(),
    }));
    found
}

/// The model that is configured beside the sessions: `default_model` in `config.toml`, by the name that its own table
/// gives it, or in an older `config.json`.
fn model(origin: &Origin) -> String {
    let up = "../".repeat(origin.below("sessions").len().max(1));
    let read = |name: &str| origin.beside(&format!("{up}{name}"), CONFIG_BYTES);
    let from_toml = read("config.toml").and_then(|bytes| in_toml(&String::from_utf8_lossy(&bytes)));
    let from_json = || {
        let bytes = read("config.json")?;
        let mut model = None;
        let mut reader = Reader::new(&bytes);
        drop(reader.object(|reader, key| {
            match key {
                b"default_model" | b"model" => model = reader.text()?.map(Cow::into_owned),
                _ => reader.skip()?,
            }
            Ok(())
        }));
        model
    };
    from_toml
        .or_else(from_json)
        .filter(|model| !model.is_empty())
        .unwrap_or_else(|| DEFAULT_MODEL.to_owned())
}

/// Enough of TOML for two keys: `default_model` before any table, and `model` in the table of that name.
fn in_toml(text: &str) -> Option<String> {
    let value = |line: &str, key: &str| {
        let rest = line.trim().strip_prefix(key)?.trim_start().strip_prefix('=')?;
        let quoted = rest.trim();
        let quote = quoted
            .chars()
            .next()
            .filter(|quote| matches!(quote, '"' | '\''))?;
        quoted[1..].split(quote).next().map(str::to_owned)
    };
    let is_table = |line: &&str| line.trim_start().starts_with('[');
    let named = text
        .lines()
        .take_while(|line| !is_table(line))
        .find_map(|line| value(line, "default_model"))?;
    let tables = [format!("[models.{named}]"), format!("[models.\"{named}\"]")];
    let own = text
        .lines()
        .skip_while(|line| !tables.iter().any(|table| line.trim() == table))
        .skip(1)
        .take_while(|line| !is_table(line))
        .find_map(|line| value(line, "model"));
    Some(own.unwrap_or(named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Beside;
    use crate::agents::testing::{self, keys, rows};

    const LINE: &str = r#"{"timestamp":1795166640.5,"message":{"type":"StatusUpdate","payload":{"message_id":"k1","token_usage":{"input_other":200,"output":90,"input_cache_read":3000,"input_cache_creation":7}}}}"#;
    const CONFIG: &str = "default_model = \"fast\"\n[models.slow]\nmodel = \"kimi-k1\"\n[models.fast]\nprovider = \"x\"\nmodel = 'kimi-k2.5'\n";

    fn lines(path: &str, text: &str) -> Found {
        let mut origin = testing::origin(path);
        origin.beside = Beside(|path, _| {
            let real =
                path.ends_with("s1/../../../config.toml") || path.ends_with("sub/../../../../../config.toml");
            real.then(|| CONFIG.as_bytes().to_vec())
        });
        testing::lines(open, origin, text)
    }

    const PATH: &str = "/k/sessions/abc/s1/wire.jsonl";

    #[test]
    fn a_step_is_a_call_of_the_configured_model() {
        let found = lines(PATH, LINE);
        assert_eq!(rows(&found), ["s1 kimi-k2.5 200+90 r3000 w7"]);
        let seen = &found.observations[0];
        assert_eq!(
            (seen.at_ms, &*seen.provider, seen.sidechain),
            (1_795_166_640_500, "moonshotai", false)
        );
        let nameless = testing::lines(open, testing::origin("/elsewhere/wire.jsonl"), LINE);
        assert_eq!(rows(&nameless), ["elsewhere kimi-for-coding 200+90 r3000 w7"]);
    }

    #[test]
    fn the_project_is_the_directory_whose_hash_names_the_sessions() {
        let mut origin = testing::origin("/k/sessions/88b917843fbc859c6c410d34ba465703/s1/wire.jsonl");
        let project = |origin: &Origin| {
            let found = testing::lines(open, origin.clone(), LINE);
            found.observations[0].who.project.to_string()
        };
        assert_eq!(project(&origin), "");
        origin.beside = Beside(|path, _| {
            let list = r#"{"work_dirs":[{"path":"/w/other"},{"last_session_id":null,"path":"/w/app"},{"path":7}],"x":1"#;
            path.ends_with("s1/../../../kimi.json")
                .then(|| list.as_bytes().to_vec())
        });
        assert_eq!(project(&origin), "/w/app");
        origin.path = origin.path.replace("sessions/", "sessions/ssh_").into();
        assert_eq!(project(&origin), "/w/app");
        origin.path = "/k/sessions/abc/s1/wire.jsonl".into();
        assert_eq!(project(&origin), "");
    }

    #[test]
    fn a_subagents_step_told_twice_is_one_call() {
        let own = lines("/k/sessions/abc/s1/subagents/sub/wire.jsonl", LINE);
        let inner = &LINE[LINE.find("{\"type\"").unwrap()..LINE.len() - 1];
        let wrapped = format!(
            r#"{{"timestamp":1795166640.5,"message":{{"type":"SubagentEvent","payload":{{"event":{inner}}}}}}}"#
        );
        let wrapped = lines(PATH, &wrapped);
        assert_eq!(rows(&own), rows(&wrapped));
        assert_eq!(keys(&own), keys(&wrapped));
        assert!(own.observations[0].sidechain && wrapped.observations[0].sidechain);
    }

    #[test]
    fn traps() {
        for (from, to, count, failures) in [
            ("StatusUpdate", "TurnBegin", 0, 0),
            (":90,", ":-1,", 0, 1),
            (":90,", ":null,", 1, 0),
            (":3000,", ":\"3000\",", 1, 0),
            ("\"k1\"", "null", 1, 0),
            ("1795166640.5", "\"soon\"", 1, 0),
            ("{\"input_other\"", "[{\"input_other\"", 0, 1),
        ] {
            let found = lines(PATH, &LINE.replace(from, to));
            assert_eq!(
                (found.observations.len() as u64, found.failures),
                (count, failures),
                "{to}"
            );
        }
        let other = LINE.replace("k1", "k2");
        let both = lines(PATH, &format!("{LINE}\n{other}\n{LINE}\n"));
        assert_ne!(keys(&both)[0], keys(&both)[1]);
        assert_eq!(keys(&both)[0], keys(&both)[2]);
    }
}
