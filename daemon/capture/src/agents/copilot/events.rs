//! A session's event log: `session.shutdown` sums up, model by model, what the session has used so far. What came since
//! the sum before it is booked then; a sum that is less began anew. Single messages tell of their answers only.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokmon_core::Name;
use tokmon_core::id::Key;
use tokmon_core::observation::{CallKind, Place};
use tokmon_core::tokens::Tokens;

use super::{Better, FORMAT, disjoint};
use crate::agents::json::{Problem, Reader};
use crate::agents::lines::{LineParser, restore, save};
use crate::agents::values::{Names, moment};
use crate::agents::{Found, Origin};

/// Most tokens of one session that is believed.
const MAX_SESSION_TOKENS: u64 = 1_000_000_000_000;
/// Models of one session whose sums are remembered.
const MAX_MODELS: usize = 64;

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Debug, Default)]
struct Line<'a> {
    kind: Text<'a>,
    id: Text<'a>,
    at_ms: Option<i64>,
    session: Text<'a>,
    cwd: Text<'a>,
    branch: Text<'a>,
    sums: Vec<(String, Tokens)>,
}

fn parse(bytes: &[u8]) -> Result<Line<'_>, Problem> {
    let mut line = Line::default();
    let mut reader = Reader::new(bytes);
    reader.object(|reader, key| {
        match key {
            b"type" => line.kind = reader.text()?,
            b"id" => line.id = reader.text()?,
            b"timestamp" => line.at_ms = moment(reader)?,
            b"data" => {
                reader.object(|reader, key| data(reader, key, &mut line))?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    Ok(line)
}

fn data<'a>(reader: &mut Reader<'a>, key: &[u8], line: &mut Line<'a>) -> Result<(), Problem> {
    match key {
        b"sessionId" => line.session = reader.text()?,
        b"cwd" => line.cwd = reader.text()?,
        b"branch" => line.branch = reader.text()?,
        b"context" => {
            reader.object(|reader, key| {
                match key {
                    b"cwd" => line.cwd = reader.text()?,
                    b"branch" => line.branch = reader.text()?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
        }
        b"modelMetrics" => {
            line.sums.clear();
            reader.object(|reader, model| {
                let model = String::from_utf8_lossy(model).into_owned();
                let mut tokens = None;
                reader.object(|reader, key| {
                    match key {
                        b"usage" => tokens = usage(reader)?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
                line.sums.extend(tokens.map(|tokens| (model, tokens)));
                Ok(())
            })?;
        }
        _ => reader.skip()?,
    }
    Ok(())
}

fn usage(reader: &mut Reader<'_>) -> Result<Option<Tokens>, Problem> {
    let [mut input, mut read, mut written, mut output, mut reasoning] = [0; 5];
    let is_object = reader.object(|reader, key| {
        let (name, count) = match key {
            b"inputTokens" => ("inputTokens", &mut input),
            b"cacheReadTokens" => ("cacheReadTokens", &mut read),
            b"cacheWriteTokens" => ("cacheWriteTokens", &mut written),
            b"outputTokens" => ("outputTokens", &mut output),
            b"reasoningTokens" => ("reasoningTokens", &mut reasoning),
            _ => return reader.unknown(key),
        };
        *count = reader.count_up_to(name, MAX_SESSION_TOKENS)?.unwrap_or(0);
        Ok(())
    })?;
    Ok(is_object.then(|| disjoint(input, read, written, output, reasoning)))
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    session: Option<Name>,
    cwd: Option<Name>,
    branch: Option<Name>,
    /// The last sum of each model.
    sums: Vec<(Name, [u64; 11])>,
}

#[derive(Debug)]
struct Parser {
    better: Better,
    origin: Origin,
    names: Names,
    saved: Saved,
}

pub(super) fn open(state: &[u8], origin: Origin) -> Box<dyn LineParser> {
    Box::new(Parser {
        // session-state/<session>/events.jsonl
        better: Better::above(Path::new(&*origin.path), 3),
        origin,
        names: Names::default(),
        saved: restore(state),
    })
}

impl Parser {
    /// What came since the sum before.
    fn since(&mut self, model: &Name, sum: Tokens) -> Tokens {
        let known = self.saved.sums.iter().position(|(known, _)| known == model);
        let mut tokens = sum;
        match known {
            Some(at) => {
                let before = Tokens::from_array(self.saved.sums[at].1);
                if sum.prompt() >= before.prompt() && sum.answer() >= before.answer() {
                    tokens.sub(&before);
                }
                self.saved.sums[at].1 = sum.to_array();
            }
            None => {
                if self.saved.sums.len() >= MAX_MODELS {
                    self.saved.sums.remove(0);
                }
                self.saved.sums.push((model.clone(), sum.to_array()));
            }
        }
        tokens
    }
}

impl LineParser for Parser {
    fn line(&mut self, bytes: &[u8], offset: u64, found: &mut Found) -> Result<(), Problem> {
        let of_interest = |needle: &[u8]| memchr::memmem::find(bytes, needle).is_some();
        if !of_interest(b"\"session.") {
            return Ok(());
        }
        let line = parse(bytes)?;
        let mut learn = |to: &mut Option<Name>, text: &Text<'_>| {
            if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
                *to = Some(self.names.get(text));
            }
        };
        learn(&mut self.saved.session, &line.session);
        learn(&mut self.saved.cwd, &line.cwd);
        learn(&mut self.saved.branch, &line.branch);
        if line.kind.as_deref() != Some("session.shutdown") {
            return Ok(());
        }
        let own = self
            .origin
            .path
            .rsplit(['/', '\\'])
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        let session = self.saved.session.clone().unwrap_or_else(|| self.names.get(&own));
        for (model, sum) in line.sums {
            let model = self.names.get(&model);
            let tokens = self.since(&model, sum);
            if tokens.total() == 0 || self.better.knows(&session) {
                continue;
            }
            let at_ms = line.at_ms.unwrap_or(self.origin.mtime_ms);
            let key = match line.id.as_deref().filter(|id| !id.is_empty()) {
                Some(id) => Key::new(0, &["copilot-shutdown", &session, id, &model]),
                None => {
                    let led_to = format!("{:?}", sum.to_array());
                    Key::new(0, &["copilot-sum", &session, &model, &led_to])
                }
            };
            let names = &mut self.names;
            let mut seen = self.origin.call(names, FORMAT.name, key, at_ms, &session, &model);
            seen.tokens = tokens;
            seen.kind = CallKind::Several;
            seen.who.project = self.saved.cwd.clone().unwrap_or_default();
            seen.place = self.saved.branch.clone().map(|branch| {
                Arc::new(Place {
                    branch,
                    ..Place::default()
                })
            });
            seen.source.offset = offset;
            found.observations.push(seen);
        }
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

    const START: &str = r#"{"type":"session.start","id":"e0","timestamp":"2026-11-20T09:00:00Z","data":{"sessionId":"s1","context":{"cwd":"/w/app","branch":"main"}}}"#;

    fn shutdown(id: &str, sums: &[(&str, u64, u64)]) -> String {
        let sums: Vec<String> = sums
            .iter()
            .map(|(model, input, output)| {
                format!(r#""{model}":{{"requests":{{"count":2}},"usage":{{"inputTokens":{input},"outputTokens":{output},"cacheReadTokens":60,"cacheWriteTokens":10,"reasoningTokens":5}}}}"#)
            })
            .collect();
        format!(
            r#"{{"type":"session.shutdown","id":"{id}","timestamp":"2026-11-20T09:10:00Z","data":{{"modelMetrics":{{{}}}}}}}"#,
            sums.join(",")
        )
    }

    fn lines(text: &str) -> Found {
        testing::lines(open, testing::origin("/c/session-state/s1/events.jsonl"), text)
    }

    #[test]
    fn sums_become_differences_model_by_model() {
        let text = [
            START.to_owned(),
            shutdown("e1", &[("gpt-5-mini", 100, 20), ("claude-haiku-4.5", 80, 8)]),
            shutdown("e2", &[("gpt-5-mini", 150, 30), ("claude-haiku-4.5", 80, 8)]),
            // Counting began anew.
            shutdown("e3", &[("gpt-5-mini", 90, 7)]),
        ]
        .join("\n");
        let found = lines(&text);
        assert_eq!(
            rows(&found),
            [
                "s1 gpt-5-mini 30+20 r60 w10 reasoning 5",
                "s1 claude-haiku-4.5 10+8 r60 w10 reasoning 5",
                "s1 gpt-5-mini 50+10 r0 w0",
                "s1 gpt-5-mini 20+7 r60 w10 reasoning 5",
            ]
        );
        let seen = &found.observations[0];
        assert_eq!(
            (&*seen.who.project, &*seen.place.as_ref().unwrap().branch),
            ("/w/app", "main")
        );
        assert_eq!(keys(&lines(&text)), keys(&found));
    }

    #[test]
    fn traps() {
        let line = shutdown("e1", &[("m", 100, 20)]);
        for (from, to, count, failures) in [
            (":100,", ":null,", 1, 0),
            (":100,", ":-1,", 0, 1),
            ("{\"m\"", "[{\"m\"", 0, 1),
            ("session.shutdown", "session.idle", 0, 0),
            ("\"usage\":{", "\"usage\":7,\"x\":{", 0, 0),
        ] {
            let found = lines(&format!("{START}\n{}\n", line.replace(from, to)));
            assert_eq!(
                (found.observations.len(), found.failures),
                (count, failures),
                "{to}"
            );
        }
    }
}
