//! The log of any program, described by the user: which files, and where in a line each figure stands.
//!
//! A line is a call when it has one of the token figures; all other lines are passed over. So that a copy or a rotated
//! file counts once, a call is known by its id or its time, one of which the description has to name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tokmon_core::id::Key;
use tokmon_core::limits::{MAX_NAME_BYTES, MAX_TOKENS_PER_CALL};
use tokmon_core::tokens::Tokens;

use super::json::Problem;
use super::lines::LineParser;
use super::values::{Names, hash, id as unique, instant, reported_cost};
use super::{Form, Format, Found, Origin, Reading};

/// What all described logs have in common.
pub(super) const FORMAT: Format = Format {
    name: "log",
    version: 1,
    places: |_| Vec::new(),
    forms: &[Form {
        files: "**/*.jsonl",
        kind: "log",
        read: Reading::Lines(open),
    }],
};

/// Longest line of a described log that is read: its values are all taken apart.
const MAX_LINE: usize = 4 * 1024 * 1024;
/// Deepest place of a value in a line.
const MAX_STEPS: usize = 16;

/// How a program's log is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogMap {
    /// Name of the agent in records.
    pub agent: String,
    /// A file, or a directory that is walked.
    pub path: PathBuf,
    /// Which files below a directory, such as `**/*.jsonl`.
    pub files: String,
    /// Where each figure stands, by its name in [`LogMap::FIELDS`].
    fields: BTreeMap<&'static str, Vec<String>>,
    /// The prompt's figure includes what was read from and written to the cache.
    pub input_includes_cache: bool,
    /// The reasoning comes beside the answer's figure, not within it.
    pub reasoning_is_extra: bool,
}

impl LogMap {
    /// The figures and names that a line may have.
    pub const FIELDS: [&str; 14] = [
        "input",
        "output",
        "cache_read",
        "cache_write",
        "cache_write_1h",
        "reasoning",
        "model",
        "provider",
        "time",
        "id",
        "session",
        "project",
        "tool",
        "cost",
    ];

    /// A description; `fields` are pairs of a name and a place in a line, either a JSON pointer (`/usage/input`) or
    /// names with dots between them (`usage.input`).
    ///
    /// # Errors
    /// Says which key is wrong and what is allowed.
    pub fn new<'a>(
        agent: &str,
        path: PathBuf,
        files: &str,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<LogMap, String> {
        if agent.trim().is_empty() || agent.len() > MAX_NAME_BYTES {
            return Err(format!("agent: allowed: a name of 1 to {MAX_NAME_BYTES} bytes"));
        }
        if !path.is_absolute() {
            return Err(format!(
                "path: {path:?}: allowed: an absolute path, or one that begins with ~/"
            ));
        }
        if files.is_empty() || files.starts_with('/') || files.split('/').any(|part| part == "..") {
            return Err(format!(
                "files: {files:?}: allowed: a pattern such as \"**/*.jsonl\""
            ));
        }
        let mut known = BTreeMap::new();
        for (name, place) in fields {
            let Some(name) = LogMap::FIELDS.into_iter().find(|field| *field == name) else {
                let allowed = LogMap::FIELDS.join(", ");
                return Err(format!("fields.{name}: no such field; allowed: {allowed}"));
            };
            known.insert(name, steps(place).ok_or_else(|| {
                format!("fields.{name}: {place:?}: allowed: a place such as \"/usage/input\" or \"usage.input\"")
            })?);
        }
        let has = |names: &[&str]| names.iter().any(|name| known.contains_key(name));
        if !has(&["input", "output"]) {
            return Err("fields: allowed: a table with at least input or output".to_owned());
        }
        if !has(&["time", "id"]) {
            return Err(
                "fields: time or id is missing: without one of them a copied line would count twice"
                    .to_owned(),
            );
        }
        Ok(LogMap {
            agent: agent.to_owned(),
            path,
            files: files.to_owned(),
            fields: known,
            input_includes_cache: false,
            reasoning_is_extra: false,
        })
    }

    /// Another description reads the same bytes in another way.
    pub(super) fn version(&self) -> u32 {
        let described = format!(
            "{:?} {} {}",
            self.fields, self.input_includes_cache, self.reasoning_is_extra
        );
        hash(&[described.as_bytes()]) as u32
    }

    fn value<'a>(&self, line: &'a Value, field: &str) -> Option<&'a Value> {
        let mut at = line;
        for step in self.fields.get(field)? {
            at = match at {
                Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
                other => other.get(step)?,
            };
        }
        Some(at).filter(|value| !value.is_null())
    }

    fn text(&self, line: &Value, field: &str) -> String {
        match self.value(line, field) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        }
    }

    /// A count; `None` where the line has none.
    fn count(&self, line: &Value, field: &str) -> Result<Option<u64>, Problem> {
        let Some(value) = self.value(line, field) else {
            return Ok(None);
        };
        let count = match value {
            Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64())),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match count {
            Some(count) if count <= MAX_TOKENS_PER_CALL => Ok(Some(count)),
            _ => Err(Problem(format!(
                "{field} is not a whole number from 0 to {MAX_TOKENS_PER_CALL}"
            ))),
        }
    }

    /// An instant: RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970, whichever
    /// lies in our times.
    fn time(&self, line: &Value) -> Option<i64> {
        let number = match self.value(line, "time")? {
            Value::String(text) => match instant(text) {
                Some(at_ms) => return Some(at_ms),
                None => text.trim().parse::<f64>().ok()?,
            },
            value => value.as_f64()?,
        };
        let scale = match number.abs() {
            number if number < 1e11 => 1e3,
            number if number < 1e14 => 1.0,
            number if number < 1e17 => 1e-3,
            _ => 1e-6,
        };
        Some((number * scale) as i64)
    }

    fn tokens(&self, line: &Value) -> Result<Option<Tokens>, Problem> {
        let (input, output) = (self.count(line, "input")?, self.count(line, "output")?);
        if input.is_none() && output.is_none() {
            return Ok(None);
        }
        let part = |field| Ok::<u64, Problem>(self.count(line, field)?.unwrap_or(0));
        let mut tokens = Tokens {
            input: input.unwrap_or(0),
            output: output.unwrap_or(0),
            reasoning: part("reasoning")?,
            cache_read: part("cache_read")?,
            cache_write_5m: part("cache_write")?,
            cache_write_1h: part("cache_write_1h")?,
            ..Tokens::default()
        };
        if self.input_includes_cache {
            let cached = tokens.cache_read + tokens.cache_write_5m + tokens.cache_write_1h;
            tokens.input = tokens.input.saturating_sub(cached);
        }
        if self.reasoning_is_extra {
            tokens.output += tokens.reasoning;
        }
        tokens.reasoning = tokens.reasoning.min(tokens.output);
        Ok(Some(tokens))
    }
}

/// A number with a fraction of nothing.
fn whole(number: Option<f64>) -> Option<u64> {
    number
        .filter(|number| number.fract() == 0.0 && (0.0..1e18).contains(number))
        .map(|number| number as u64)
}

/// The steps to a place in a line.
fn steps(place: &str) -> Option<Vec<String>> {
    let steps: Vec<String> = match place.strip_prefix('/') {
        Some(pointer) => pointer
            .split('/')
            .map(|step| step.replace("~1", "/").replace("~0", "~"))
            .collect(),
        None => place.split('.').map(str::to_owned).collect(),
    };
    (steps.len() <= MAX_STEPS && steps.iter().all(|step| !step.is_empty())).then_some(steps)
}

#[derive(Debug)]
struct Parser {
    origin: Origin,
    names: Names,
    log: Option<Arc<LogMap>>,
}

pub(super) fn open(_: &[u8], origin: Origin) -> Box<dyn LineParser> {
    Box::new(Parser {
        log: origin.log.clone(),
        names: Names::default(),
        origin,
    })
}

impl LineParser for Parser {
    fn line(&mut self, bytes: &[u8], offset: u64, found: &mut Found) -> Result<(), Problem> {
        let Some(log) = &self.log else { return Ok(()) };
        if bytes.len() > MAX_LINE {
            return Err(Problem(format!("a line longer than {MAX_LINE} bytes")));
        }
        let line: Value =
            serde_json::from_slice(bytes).map_err(|error| Problem(format!("malformed JSON: {error}")))?;
        let Some(tokens) = log.tokens(&line)?.filter(|tokens| tokens.total() > 0) else {
            return Ok(());
        };
        let (id, time, model) = (log.text(&line, "id"), log.time(&line), log.text(&line, "model"));
        let (origin, names) = (&self.origin, &mut self.names);
        let at_ms = time.unwrap_or(origin.mtime_ms);
        let key = match (&*id, time) {
            ("", None) => return Err(Problem("neither an id nor a time".to_owned())),
            ("", Some(at_ms)) => {
                let figures = format!("{at_ms} {:?}", tokens.to_array());
                let session = log.text(&line, "session");
                Key::new(
                    Key::day_of(at_ms),
                    &["log-line", &log.agent, &session, &model, &figures],
                )
            }
            (id, _) => Key::new(0, &["log-id", &log.agent, id]),
        };
        let session = log.text(&line, "session");
        let session = if session.is_empty() {
            origin.stem()
        } else {
            &session
        };
        let mut seen = origin.call(names, &log.agent, key, at_ms, session, &model);
        let provider = log.text(&line, "provider");
        if !provider.is_empty() {
            seen.provider = names.get(&provider);
        }
        seen.tokens = tokens;
        seen.who.project = names.get(&log.text(&line, "project"));
        seen.who.tool = names.get(&log.text(&line, "tool"));
        seen.reported_cost = reported_cost(&log.text(&line, "cost"));
        seen.request_id = unique(&id);
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

    fn map(fields: &[(&str, &str)]) -> Result<LogMap, String> {
        LogMap::new(
            "mine",
            "/var/log/mine".into(),
            "**/*.jsonl",
            fields.iter().copied(),
        )
    }

    fn lines(change: fn(&mut LogMap), text: &str) -> Found {
        let mut log = map(&[
            ("input", "/usage/prompt"),
            ("output", "usage.completion"),
            ("cache_read", "usage.details.0"),
            ("reasoning", "/usage/a~1b"),
            ("model", "model"),
            ("time", "ts"),
            ("id", "id"),
            ("cost", "usd"),
        ])
        .unwrap();
        change(&mut log);
        let mut origin = testing::origin("/var/log/mine/a.jsonl");
        origin.log = Some(Arc::new(log));
        testing::lines(open, origin, text)
    }

    const LINE: &str = r#"{"id":"c1","ts":1795166640,"model":"m","usd":"0.5","usage":{"prompt":100,"completion":20,"details":[30],"a/b":7}}"#;

    #[test]
    fn figures_are_found_where_the_description_says() {
        let found = lines(|_| {}, LINE);
        assert_eq!(rows(&found), ["a m 100+20 r30 w0 reasoning 7"]);
        let seen = &found.observations[0];
        assert_eq!(
            (seen.at_ms, &*seen.who.agent, &*seen.request_id),
            (1_795_166_640_000, "mine", "c1")
        );
        assert_eq!(seen.reported_cost.map(|cost| cost.0), Some(500_000_000_000));
        let disjoint = |log: &mut LogMap| (log.input_includes_cache, log.reasoning_is_extra) = (true, true);
        assert_eq!(rows(&lines(disjoint, LINE)), ["a m 70+27 r30 w0 reasoning 7"]);
    }

    #[test]
    fn traps() {
        for (from, to, count, failures) in [
            (":20,", ":null,", 1, 0),
            (":20,", ":-1,", 0, 1),
            (":20,", ":1.5,", 0, 1),
            (":20,", ":2e1,", 1, 0),
            (":20,", ":\"20\",", 1, 0),
            (":20,", ":1e30,", 0, 1),
            ("\"usage\"", "\"other\"", 0, 0),
            ("\"usage\":{", "\"usage\":[{", 0, 1),
            ("\"id\":\"c1\",\"ts\":1795166640,", "", 0, 1),
            ("1795166640", "\"2026-11-20T09:24:00Z\"", 1, 0),
            ("1795166640", "1795166640000", 1, 0),
            ("1795166640", "1795166640000000000", 1, 0),
        ] {
            let found = lines(|_| {}, &LINE.replace(from, to));
            assert_eq!(
                (found.observations.len(), found.failures),
                (count, failures),
                "{to}"
            );
            assert!(
                found
                    .observations
                    .iter()
                    .all(|seen| seen.at_ms == 1_795_166_640_000),
                "{to}"
            );
        }
        let nameless = LINE.replace("\"c1\"", "null");
        let later = nameless.replace("6640", "6641");
        let found = keys(&lines(|_| {}, &format!("{nameless}\n{later}\n{nameless}\n")));
        assert_ne!(found[0], found[1]);
        assert_eq!(found[0], found[2]);
    }

    #[test]
    fn bad_descriptions_say_what_is_allowed() {
        for (fields, part) in [
            (
                &[("model", "model"), ("id", "id")][..],
                "at least input or output",
            ),
            (&[("input", "i")], "time or id is missing"),
            (
                &[("input", "i"), ("idd", "id")],
                "fields.idd: no such field; allowed: input",
            ),
            (&[("input", "a..b"), ("id", "id")], "fields.input"),
            (&[("input", ""), ("id", "id")], "fields.input"),
        ] {
            let error = map(fields).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let fields = || [("input", "i"), ("id", "id")];
        let new = |agent: &str, path: &str, files: &str| LogMap::new(agent, path.into(), files, fields());
        assert!(new(" ", "/x", "*").unwrap_err().starts_with("agent"));
        assert!(new("a", "x", "*").unwrap_err().starts_with("path"));
        assert!(new("a", "/x", "../*").unwrap_err().starts_with("files"));
        assert_ne!(
            new("a", "/x", "*").unwrap().version(),
            map(&[("input", "j"), ("id", "id")]).unwrap().version()
        );
    }
}
