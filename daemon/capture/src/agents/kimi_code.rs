//! Kimi Code's wire logs: `sessions/<workspace>/<session>/agents/<agent>/wire.jsonl`.
//!
//! A `usage.record` tells what one call used: one of a turn, or one of the session outside of turns, such as compaction.
//! They have no ids, so a call is known by its time, model and figures, which every copy keeps. The record names the model
//! as the user's configuration does, the request before it as the provider does.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokmon_core::Name;
use tokmon_core::id::Key;
use tokmon_core::observation::Place;
use tokmon_core::tokens::Tokens;

use super::json::{Problem, Reader};
use super::kimi_cli::tokens;
use super::lines::{LineParser, restore, save};
use super::values::{Names, moment};
use super::{Form, Format, Found, Origin, Reading};
use crate::roots::Places;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "kimi-code",
    version: 2,
    places,
    forms: &[Form {
        files: "**/wire.jsonl",
        kind: "kimi-code-wire",
        read: Reading::Lines(open),
    }],
};

fn places(at: &Places<'_>) -> Vec<PathBuf> {
    let home = at
        .var("KIMI_CODE_HOME")
        .unwrap_or_else(|| at.home.join(".kimi-code"));
    vec![home.join("sessions")]
}

/// The model of calls in a log that names none.
const DEFAULT_MODEL: &str = "kimi-for-coding";
/// The agent that the user speaks to; others are its subagents.
const MAIN: &str = "main";

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Debug, Default)]
struct Line<'a> {
    kind: Text<'a>,
    at_ms: Option<i64>,
    model: Text<'a>,
    profile: Text<'a>,
    cwd: Text<'a>,
    tokens: Option<Tokens>,
}

fn parse(bytes: &[u8]) -> Result<Line<'_>, Problem> {
    let mut line = Line::default();
    let mut reader = Reader::new(bytes);
    reader.object(|reader, key| {
        match key {
            b"type" => line.kind = reader.text()?,
            b"time" | b"timestamp" => line.at_ms = moment(reader)?.or(line.at_ms),
            b"model" => line.model = reader.text()?,
            b"profileName" => line.profile = reader.text()?,
            b"cwd" => line.cwd = reader.text()?,
            b"environmentDisclosure" => {
                reader.object(|reader, key| {
                    match key {
                        b"cwd" => line.cwd = reader.text()?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            b"usage" => line.tokens = tokens(reader, COUNTS)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    Ok(line)
}

/// The names of its counts, see [`tokens`].
const COUNTS: [&str; 4] = ["inputOther", "output", "inputCacheRead", "inputCacheCreation"];

#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    /// The latest that was named, by whomever.
    model: Option<Name>,
    /// Of the latest request.
    #[serde(default)]
    requested: Option<Name>,
    profile: Option<Name>,
    project: Option<Name>,
}

#[derive(Debug)]
struct Parser {
    origin: Origin,
    names: Names,
    session: Name,
    agent: Name,
    saved: Saved,
}

pub(super) fn open(state: &[u8], origin: Origin) -> Box<dyn LineParser> {
    let mut names = Names::default();
    let below = origin.below("agents");
    let agent = match below.as_slice() {
        [agent, _] => names.get(agent),
        _ => names.get(MAIN),
    };
    let session = if below.len() == 2 {
        origin.path.rsplit(['/', '\\']).nth(3)
    } else {
        origin.path.rsplit(['/', '\\']).nth(1)
    };
    let session = names.get(session.unwrap_or(origin.stem()));
    Box::new(Parser {
        session,
        agent,
        origin,
        names,
        saved: restore(state),
    })
}

impl LineParser for Parser {
    fn line(&mut self, bytes: &[u8], offset: u64, found: &mut Found) -> Result<(), Problem> {
        let line = parse(bytes)?;
        let names = &mut self.names;
        if let Some(cwd) = line.cwd.as_deref().filter(|cwd| !cwd.is_empty()) {
            self.saved.project = Some(names.get(cwd));
        }
        if let Some(profile) = line.profile.as_deref().filter(|profile| !profile.is_empty()) {
            self.saved.profile = Some(names.get(profile));
        }
        if let Some(model) = line.model.as_deref().filter(|model| !model.is_empty()) {
            let model = names.get(model.strip_prefix("kimi-code/").unwrap_or(model));
            if line.kind.as_deref() == Some("llm.request") {
                self.saved.requested = Some(model.clone());
            }
            self.saved.model = Some(model);
        }
        let is_record = line.kind.as_deref() == Some("usage.record");
        let Some(tokens) = line.tokens.filter(|tokens| is_record && tokens.total() > 0) else {
            return Ok(());
        };
        let at_ms = line.at_ms.unwrap_or(self.origin.mtime_ms);
        let model = self
            .saved
            .model
            .clone()
            .unwrap_or_else(|| names.get(DEFAULT_MODEL));
        let figures = format!("{:?}", tokens.to_array());
        let key = match line.at_ms {
            Some(at_ms) => Key::new(
                Key::day_of(at_ms),
                &["kimi-code-call", &at_ms.to_string(), &model, &figures],
            ),
            // Without a time only the place in the file tells two calls apart.
            None => Key::new(
                0,
                &[
                    "kimi-code-line",
                    &self.session,
                    &self.agent,
                    &offset.to_string(),
                    &figures,
                ],
            ),
        };
        let model = self.saved.requested.clone().unwrap_or(model);
        let mut seen = self
            .origin
            .call(names, FORMAT.name, key, at_ms, &self.session, &model);
        if seen.provider.is_empty() {
            seen.provider = names.get("moonshotai");
        }
        seen.tokens = tokens;
        seen.sidechain = &*self.agent != MAIN;
        seen.who.project = self.saved.project.clone().unwrap_or_default();
        if seen.sidechain {
            seen.place = Some(Arc::new(Place {
                subagent: self.saved.profile.clone().unwrap_or_else(|| self.agent.clone()),
                ..Place::default()
            }));
        }
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

    const REQUEST: &str = r#"{"type":"llm.request","time":1795166639000,"model":"kimi-code/kimi-k2.5"}"#;
    const RECORD: &str = r#"{"type":"usage.record","time":1795166640500,"usage":{"inputOther":200,"output":90,"inputCacheRead":3000,"inputCacheCreation":7}}"#;

    fn lines(agent: &str, text: &str) -> Found {
        let path = format!("/k/sessions/wd_app_1/s1/agents/{agent}/wire.jsonl");
        testing::lines(open, testing::origin(&path), text)
    }

    #[test]
    fn a_record_is_a_call_of_the_requested_model() {
        let found = lines("main", &format!("{REQUEST}\n{RECORD}\n"));
        assert_eq!(rows(&found), ["s1 kimi-k2.5 200+90 r3000 w7"]);
        assert!(found.observations[0].place.is_none());
        let found = lines(
            "a7",
            &format!("{{\"type\":\"config.update\",\"profileName\":\"explore\"}}\n{RECORD}"),
        );
        assert_eq!(rows(&found), ["s1 kimi-for-coding 200+90 r3000 w7"]);
        let seen = &found.observations[0];
        assert_eq!(
            (seen.sidechain, &*seen.place.as_ref().unwrap().subagent),
            (true, "explore")
        );
    }

    #[test]
    fn calls_outside_of_turns_count_and_copies_are_the_same_ones() {
        let aside = RECORD
            .replace("640500", "640900")
            .replace("\"usage\"", "\"usageScope\":\"session\",\"usage\"");
        let turn = RECORD.replace("\"usage\"", "\"usageScope\":\"turn\",\"usage\"");
        assert_eq!(lines("main", &format!("{turn}\n{aside}\n")).observations.len(), 2);
        let other = RECORD.replace("640500", "640501");
        let both = keys(&lines("main", &format!("{RECORD}\n{other}\n")));
        assert_ne!(both[0], both[1]);
        assert_eq!(keys(&lines("fork", &format!("{RECORD}\n")))[0], both[0]);
    }

    #[test]
    fn the_model_is_the_providers_and_the_project_is_disclosed() {
        const BOUND: &str =
            r#"{"type":"profile.bind","modelAlias":"mine","environmentDisclosure":{"cwd":"/w/app"}}"#;
        let aliased = RECORD.replace("\"usage\"", "\"model\":\"mine\",\"usage\"");
        let found = lines("main", &format!("{BOUND}\n{REQUEST}\n{aliased}\n{aliased}\n"));
        assert_eq!(rows(&found)[0], "s1 kimi-k2.5 200+90 r3000 w7");
        assert_eq!(&*found.observations[0].who.project, "/w/app");
        // As it was known when the alias was taken for the model.
        assert_eq!(
            keys(&found),
            keys(&lines("main", &format!("{aliased}\n{aliased}\n")))
        );
    }

    #[test]
    fn traps() {
        for (from, to, count, failures) in [
            (":90,", ":-1,", 0, 1),
            (":90,", ":null,", 1, 0),
            ("1795166640500", "null", 1, 0),
            ("{\"inputOther\":200", "{\"inputOther\":1e30", 0, 1),
            ("usage.record", "usage", 0, 0),
        ] {
            let found = lines("main", &RECORD.replace(from, to));
            assert_eq!(
                (found.observations.len(), found.failures),
                (count, failures),
                "{to}"
            );
        }
    }
}
