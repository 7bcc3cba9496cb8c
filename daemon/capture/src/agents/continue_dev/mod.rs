//! Continue: `sessions/<id>.json`, where its command line keeps what was used ([`session`]), and `dev_data`, where the
//! editors' extensions tell of each call by an estimate that their own tokenizer made, in a database and in lines.
//!
//! The extensions keep no figures in sessions, and the command line writes no `dev_data`: no call is in both. The two kinds
//! of `dev_data` tell the same, the database in whole seconds, which may be those before or after; so from the first line
//! on only the lines count.

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
    version: 3,
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

/// The lines of the versions that there have been, beside the database.
const LINES: [&str; 2] = ["0.1.0/tokensGenerated.jsonl", "0.2.0/tokensGenerated.jsonl"];
/// How much of them is read for the first one, in bytes.
const MAX_LINE: usize = 64 * 1024;
/// How far apart the two may put one call, milliseconds: a second, cut off, and what it takes to write.
const APART_MS: i64 = 2_000;

type Text<'a> = Option<Cow<'a, str>>;

/// When the first line was written; `None`: there are no lines.
fn lines_from(origin: &Origin) -> Option<i64> {
    let first = |name: &&str| {
        let bytes = origin.beside(name, MAX_LINE)?;
        let line = bytes.split(|byte| *byte == b'\n').next()?;
        let mut at_ms = None;
        let read = Reader::new(line).object(|reader, key| {
            match key {
                b"timestamp" => at_ms = moment(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        });
        read.ok().and(at_ms)
    };
    LINES.iter().filter_map(first).min()
}

/// An estimate of one call. `known_by`: what tells it from others of the same figures.
fn estimate(
    at_ms: Option<i64>,
    known_by: &str,
    model: &str,
    provider: &str,
    tokens: Tokens,
    origin: &Origin,
    names: &mut Names,
) -> Observation {
    let figures = format!("{} {}", tokens.input, tokens.output);
    let key = Key::new(
        at_ms.map_or(0, Key::day_of),
        &["continue-estimate", known_by, model, &figures],
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
}

fn open(_: &[u8], origin: Origin) -> Box<dyn LineParser> {
    Box::new(Parser {
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
        if tokens.total() == 0 {
            return Ok(());
        }
        let (model, provider) = (model.unwrap_or_default(), provider.unwrap_or_default());
        let known_by = at_ms.unwrap_or_default().to_string();
        let (origin, names) = (&self.origin, &mut self.names);
        let mut seen = estimate(at_ms, &known_by, &model, &provider, tokens, origin, names);
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
    let lines_from = lines_from(notes.origin);
    for (row, generated) in rows {
        let (at_ms, model, provider, tokens) = match generated {
            Ok(generated) => generated,
            Err(problem) => {
                notes.fail(row.cast_unsigned(), problem.0);
                continue;
            }
        };
        let in_lines =
            lines_from.is_some_and(|from| at_ms.is_some_and(|at_ms| at_ms >= from.saturating_sub(APART_MS)));
        if tokens.total() > 0 && !in_lines {
            let known_by = format!("row {row} {}", at_ms.unwrap_or_default());
            let (origin, names) = (notes.origin, &mut notes.names);
            let mut seen = estimate(at_ms, &known_by, &model, &provider, tokens, origin, names);
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

    const SCHEMA: &str =
        "CREATE TABLE tokens_generated(id INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT, provider TEXT,
        tokens_generated INTEGER, tokens_prompt INTEGER, timestamp TEXT);
        INSERT INTO tokens_generated VALUES (1, 'm', 'ollama', 5, 10, '2026-11-20 08:59:00'),
        (2, 'm', 'ollama', 5, 10, '2026-11-20 08:59:00'), (3, 'm', 'ollama', 5, 10, '2026-11-20 08:59:59'),
        (4, 'm', 'ollama', 5, 10, '2026-11-20 09:00:01'), (5, 'm', 'ollama', 5, 10, NULL);";

    #[test]
    fn the_database_counts_where_there_are_no_lines_yet() {
        let mut alone = Database::new(super::database, "dev_data/devdata.sqlite", SCHEMA);
        let found = alone.read();
        // Equal ones in one second are as many calls.
        assert_eq!(rows(&found), ["dev_data m 10+5 r0 w0"; 5]);
        let mut different = keys(&found);
        different.dedup();
        assert_eq!(different.len(), 5);
        assert_eq!(rows(&alone.read()), [""; 0]);
        let mut both = Database::new(super::database, "dev_data/devdata.sqlite", SCHEMA);
        both.origin.beside = Beside(|path, _| {
            let text = format!("{LINE}\n{LINE}\n{{");
            path.ends_with("dev_data/0.2.0/tokensGenerated.jsonl")
                .then(|| text.into_bytes())
        });
        let times: Vec<i64> = both.read().observations.iter().map(|seen| seen.at_ms).collect();
        // The last one knows no time.
        let written = testing::WRITTEN_MS;
        assert_eq!(times, [1_795_165_140_000, 1_795_165_140_000, written]);
    }
}
