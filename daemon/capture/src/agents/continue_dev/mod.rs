//! Continue: `sessions/<id>.json`, in newer versions with what was used ([`session`]), and `dev_data`, where each call is
//! told of by an estimate that its own tokenizer made, in a database and in lines.
//!
//! From the first session on whose figures are known, the estimates are passed over: they tell of the same calls. The
//! two kinds of `dev_data` tell the same, one of them in whole seconds, so a call is known by its second and figures.

mod session;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use tokmon_core::id::Key;
use tokmon_core::observation::{Confidence, Observation};
use tokmon_core::tokens::Tokens;

use super::database::{Mark, settled};
use super::json::{Problem, Reader};
use super::lines::LineParser;
use super::notes::Notes;
use super::values::{Names, instant, moment, total};
use super::{Form, Format, Found, Origin, Reading};
use crate::roots::Places;
use crate::sqlite::{Row, Trouble};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "continue",
    version: 2,
    places,
    forms: &[
        // The list of all sessions, which holds no figures.
        Form {
            files: "sessions/sessions.json",
            kind: "continue-session",
            read: Reading::Document(|_, _| Ok(())),
        },
        Form {
            files: "sessions/*.json",
            kind: "continue-session",
            read: Reading::Document(session::read),
        },
        Form {
            files: "dev_data/**/tokensGenerated.jsonl",
            kind: "continue-data",
            read: Reading::Lines(open),
        },
        Form {
            files: "dev_data/devdata.sqlite",
            kind: "continue-database",
            read: Reading::Database(database),
        },
    ],
};

fn places(at: &Places<'_>) -> Vec<PathBuf> {
    vec![
        at.var("CONTINUE_GLOBAL_DIR")
            .unwrap_or_else(|| at.home.join(".continue")),
    ]
}

/// How much of the list of sessions, and of a session, is looked at for figures.
const LOOK_BYTES: usize = 1024 * 1024;
/// The sessions that are looked at for figures: the latest.
const LOOK_SESSIONS: usize = 3;

type Text<'a> = Option<Cow<'a, str>>;

/// When the first of the latest sessions began whose figures are known; `None`: none of them.
fn exact_from(origin: &Origin) -> Option<i64> {
    let up = "../".repeat(origin.below("dev_data").len());
    let list = origin.beside(&format!("{up}sessions/sessions.json"), LOOK_BYTES)?;
    let mut sessions: Vec<(i64, String)> = Vec::new();
    drop(Reader::new(&list).array(|reader| {
        let (mut id, mut created) = (None, None);
        reader.object(|reader, key| {
            match key {
                b"sessionId" => id = reader.text()?.map(Cow::into_owned),
                b"dateCreated" => created = moment(reader)?.or(created),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        sessions.extend(created.zip(id.filter(|id| !id.contains(['/', '\\']))));
        Ok(())
    }));
    sessions.sort();
    let latest = sessions.len().saturating_sub(LOOK_SESSIONS);
    let has_figures = |id: &str| {
        let bytes = origin.beside(&format!("{up}sessions/{id}.json"), LOOK_BYTES);
        bytes.is_some_and(|bytes| memchr::memmem::find(&bytes, b"\"promptTokens\"").is_some())
    };
    let exact = sessions[latest..].iter().find(|(_, id)| has_figures(id));
    exact.map(|(created, _)| *created)
}

/// An estimate of one call.
fn estimate(
    at_ms: Option<i64>,
    model: &str,
    provider: &str,
    tokens: Tokens,
    origin: &Origin,
    names: &mut Names,
) -> Observation {
    let figures = format!("{} {}", tokens.input, tokens.output);
    let second = at_ms.map_or(0, |at_ms| at_ms.div_euclid(1_000));
    let key = Key::new(
        at_ms.map_or(0, Key::day_of),
        &["continue-estimate", &second.to_string(), model, &figures],
    );
    let at_ms = at_ms.unwrap_or(origin.mtime_ms);
    let mut seen = origin.call(names, FORMAT.name, key, at_ms, "dev_data", model);
    if !provider.is_empty() {
        seen.provider = names.get(provider);
    }
    seen.tokens = tokens;
    seen.confidence = Confidence::Estimated;
    seen
}

#[derive(Debug)]
struct Parser {
    origin: Origin,
    names: Names,
    exact_from: Option<i64>,
}

fn open(_: &[u8], origin: Origin) -> Box<dyn LineParser> {
    Box::new(Parser {
        exact_from: exact_from(&origin),
        names: Names::default(),
        origin,
    })
}

impl LineParser for Parser {
    fn line(&mut self, bytes: &[u8], offset: u64, found: &mut Found) -> Result<(), Problem> {
        let (mut at_ms, mut model, mut provider): (Option<i64>, Text<'_>, Text<'_>) = (None, None, None);
        let mut tokens = Tokens::default();
        let mut reader = Reader::new(bytes);
        reader.object(|reader, key| {
            match key {
                b"timestamp" => at_ms = moment(reader)?,
                b"model" => model = reader.text()?,
                b"provider" => provider = reader.text()?,
                b"promptTokens" => tokens.input = reader.count("promptTokens")?.unwrap_or(0),
                b"generatedTokens" => tokens.output = reader.count("generatedTokens")?.unwrap_or(0),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.end()?;
        let told_exactly = self
            .exact_from
            .is_some_and(|from| at_ms.is_some_and(|at_ms| at_ms >= from));
        if tokens.total() == 0 || told_exactly {
            return Ok(());
        }
        let (model, provider) = (model.unwrap_or_default(), provider.unwrap_or_default());
        let mut seen = estimate(at_ms, &model, &provider, tokens, &self.origin, &mut self.names);
        seen.source.offset = offset;
        found.observations.push(seen);
        Ok(())
    }

    fn state(&self, _: i64) -> Vec<u8> {
        Vec::new()
    }
}

const COLUMNS: [&str; 4] = ["timestamp", "model", "tokens_prompt", "tokens_generated"];

fn database(path: &Path, notes: &mut Notes<'_>) -> Result<(), Trouble> {
    let before = Mark::load(&notes.state);
    let (rows, mark, all) = settled(path, |snapshot| {
        let mut mark = before.clone();
        let table = snapshot.table("tokens_generated", &COLUMNS, &["provider"])?;
        let (rows, all) = mark.read(snapshot, &table, |row| Ok((Some(generated(row)?), false)))?;
        Ok((rows, mark, all))
    })?;
    let exact_from = exact_from(notes.origin);
    for (row, generated) in rows {
        let (at_ms, model, provider, tokens) = match generated {
            Ok(generated) => generated,
            Err(problem) => {
                notes.fail(row.cast_unsigned(), problem.0);
                continue;
            }
        };
        let told_exactly = exact_from.is_some_and(|from| at_ms.is_some_and(|at_ms| at_ms >= from));
        if tokens.total() > 0 && !told_exactly {
            let mut seen = estimate(at_ms, &model, &provider, tokens, notes.origin, &mut notes.names);
            seen.source.offset = row.cast_unsigned();
            notes.book(seen);
        }
    }
    (notes.state, notes.more) = (mark.save(), !all);
    Ok(())
}

type Generated = (Option<i64>, String, String, Tokens);

fn generated(row: &Row<'_>) -> Result<Generated, Problem> {
    let text = |at| -> Result<String, Problem> { Ok(row.value(at)?.text().unwrap_or_default().to_owned()) };
    // "2026-11-20 09:00:00", in UTC.
    let time = text(0)?;
    let at_ms = instant(&time).or_else(|| instant(&format!("{}Z", time.replacen(' ', "T", 1))));
    let tokens = Tokens {
        input: total(&row.value(2)?, COLUMNS[2])?,
        output: total(&row.value(3)?, COLUMNS[3])?,
        ..Tokens::default()
    };
    Ok((at_ms, text(1)?, text(4)?, tokens))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Beside;
    use crate::agents::testing::{self, Database, keys, rows};

    const SESSION: &str = r#"{"sessionId":"s1","workspaceDirectory":"file:///w/app","chatModelTitle":"gpt-5","history":[],"usage":{"promptTokens":1000,"completionTokens":50,"promptTokensDetails":{"cachedTokens":600,"cacheWriteTokens":100},"totalCost":0.25}}"#;
    const LINE: &str = r#"{"eventName":"tokensGenerated","timestamp":"2026-11-20T09:00:00.250Z","model":"m","provider":"ollama","promptTokens":10,"generatedTokens":5}"#;

    fn lines(text: &str) -> Found {
        testing::lines(
            open,
            testing::origin("/c/dev_data/0.2.0/tokensGenerated.jsonl"),
            text,
        )
    }

    #[test]
    fn estimates_are_marked_and_told_once() {
        let found = lines(LINE);
        assert_eq!(rows(&found), ["dev_data m 10+5 r0 w0"]);
        let seen = &found.observations[0];
        assert_eq!(
            (seen.confidence, &*seen.provider),
            (Confidence::Estimated, "ollama")
        );
        let schema =
            "CREATE TABLE tokens_generated(id INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT, provider TEXT,
            tokens_generated INTEGER, tokens_prompt INTEGER, timestamp TEXT);
            INSERT INTO tokens_generated VALUES (1, 'm', 'ollama', 5, 10, '2026-11-20 09:00:00');";
        let mut database = Database::new(super::database, "dev_data/devdata.sqlite", schema);
        assert_eq!(keys(&database.read()), keys(&found));
        assert_eq!(rows(&database.read()), [""; 0]);
        for (from, to, count, failures) in [
            (":10,", ":null,", 1, 0),
            (":10,", ":-1,", 0, 1),
            ("\"2026", "\"x2026", 1, 0),
        ] {
            let found = lines(&LINE.replace(from, to));
            assert_eq!(
                (found.observations.len(), found.failures),
                (count, failures),
                "{to}"
            );
        }
    }

    #[test]
    fn where_sessions_have_figures_estimates_do_not_count() {
        let mut origin = testing::origin("/c/dev_data/0.2.0/tokensGenerated.jsonl");
        origin.beside = Beside(|path, _| {
            let list =
                br#"[{"sessionId":"s1","dateCreated":"1795165200000"},{"sessionId":"../x","dateCreated":1}]"#;
            match path.to_str()?.rsplit('/').next()? {
                "sessions.json" => Some(list.to_vec()),
                "s1.json" => Some(SESSION.as_bytes().to_vec()),
                _ => None,
            }
        });
        let number = LINE.replace("2026-11-20T09:00:00.250Z", "2026-11-20T08:00:00Z");
        let found = testing::lines(open, origin, &format!("{LINE}\n{number}\n"));
        assert_eq!(found.observations.len(), 1);
        assert_eq!(found.observations[0].at_ms, 1_795_161_600_000);
    }
}
