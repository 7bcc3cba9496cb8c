//! Goose: `sessions/sessions.db`, in which a row for each session holds what it has used so far. Before there was a
//! database each session was a file of lines of which the first has the totals; the database takes those over.
//!
//! What was used between two looks goes to the model that is set at the second. The input includes what was read from and
//! written to the cache, which newer versions tell besides; of older ones all of the prompt counts as sent anew. Thinking
//! stands in the total alone. Of sessions from before there were totals the latest call is known. Newer versions keep a row for each call too (`usage_ledger`), of which the totals are the sum.

use std::path::{Path, PathBuf};

use tokmon_core::money::Pico;
use tokmon_core::observation::CallKind;
use tokmon_core::tokens::Tokens;

use super::database::{Parsed, settled};
use super::json::{Problem, Reader};
use super::values::{MAX_SESSION_TOKENS, dollars, instant, subagent, total};
use super::{Form, Format, Notes, Reading};
use crate::roots::Places;
use crate::sqlite::{Row, Trouble};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "goose",
    version: 3,
    places,
    forms: &[
        Form {
            files: "sessions.db",
            kind: "goose-database",
            read: Reading::Database(read),
        },
        Form {
            files: "*.jsonl",
            kind: "goose-session",
            read: Reading::Document(former),
        },
    ],
};

fn places(at: &Places<'_>) -> Vec<PathBuf> {
    let mut data = match at.var("GOOSE_PATH_ROOT") {
        Some(root) => vec![root.join("data")],
        None => vec![at.data().join("goose"), at.data().join("Block/goose")],
    };
    if cfg!(target_os = "macos") {
        data.push(at.app_data().join("goose"));
        data.push(at.app_data().join("Block/goose"));
    }
    data.iter().map(|data| data.join("sessions")).collect()
}

/// What a row says.
struct Session {
    id: String,
    tokens: Tokens,
    cost: Option<Pico>,
    model: String,
    provider: String,
    project: String,
    updated_ms: Option<i64>,
    kind: String,
}

const NEEDED: [&str; 3] = ["id", "accumulated_input_tokens", "accumulated_output_tokens"];
const KNOWN: [&str; 12] = [
    "accumulated_total_tokens",
    "accumulated_cost",
    "model_config_json",
    "provider_name",
    "working_dir",
    "updated_at",
    "session_type",
    "accumulated_cache_read_tokens",
    "accumulated_cache_write_tokens",
    "input_tokens",
    "output_tokens",
    "total_tokens",
];

fn read(path: &Path, notes: &mut Notes<'_>) -> Result<(), Trouble> {
    let sessions = settled(path, |snapshot| {
        let table = snapshot.table("sessions", &NEEDED, &KNOWN)?;
        let mut sessions: Vec<Parsed<Session>> = Vec::new();
        snapshot.rows(&table, i64::MIN, |row| {
            sessions.push((row.id, session(row)));
            Ok(true)
        })?;
        Ok(sessions)
    })?;
    for (row, session) in sessions {
        let session = match session {
            Ok(session) => session,
            Err(problem) => {
                notes.fail(row.cast_unsigned(), problem.0);
                continue;
            }
        };
        let Some(step) = notes.since(&session.id, session.tokens, session.cost) else {
            continue;
        };
        let at_ms = session
            .updated_ms
            .unwrap_or(notes.origin.mtime_ms)
            .min(notes.now_ms);
        let mut seen = notes.call(step.key, at_ms, &session.id, &session.model);
        if !session.provider.is_empty() {
            seen.provider = notes.names.get(&session.provider);
        }
        seen.who.project = notes.names.get(&session.project);
        if session.kind == "sub_agent" {
            seen.sidechain = true;
            seen.place = subagent(&session.kind);
        }
        seen.tokens = step.tokens;
        seen.kind = CallKind::Several;
        seen.reported_cost = step.cost;
        seen.source.offset = row.cast_unsigned();
        notes.book(seen);
    }
    Ok(())
}

fn session(row: &Row<'_>) -> Result<Session, Problem> {
    let text = |at| -> Result<String, Problem> { Ok(row.value(at)?.text().unwrap_or_default().to_owned()) };
    let count = |at: usize| {
        let name = NEEDED.iter().chain(&KNOWN).nth(at).copied();
        total(&row.value(at)?, name.unwrap_or_default())
    };
    let sums = Sums {
        input: count(1)?,
        output: count(2)?,
        all: count(3)?,
        read: count(10)?,
        written: count(11)?,
    };
    let latest = Sums {
        input: count(12)?,
        output: count(13)?,
        all: count(14)?,
        ..Sums::default()
    };
    let tokens = sums.or(latest).tokens();
    let config = text(5)?;
    Ok(Session {
        id: text(0)?,
        tokens,
        cost: dollars(&row.value(4)?),
        model: model(config.as_bytes()),
        provider: text(6)?,
        project: text(7)?,
        updated_ms: instant_of(&text(8)?),
        kind: text(9)?,
    })
}

/// Figures as Goose counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sums {
    input: u64,
    output: u64,
    all: u64,
    read: u64,
    written: u64,
}

impl Sums {
    /// These, or those when these are none.
    fn or(self, latest: Sums) -> Sums {
        match self.input == 0 && self.output == 0 && self.all == 0 {
            true => latest,
            false => self,
        }
    }

    fn tokens(self) -> Tokens {
        let Sums {
            input, output, all, ..
        } = self;
        // With nothing but a total there is no telling what is what.
        if input == 0 && output == 0 {
            return Tokens {
                input: all,
                ..Tokens::default()
            };
        }
        let read = self.read.min(input);
        let written = self.written.min(input - read);
        let thinking = all.saturating_sub(input.saturating_add(output));
        Tokens {
            input: input - read - written,
            cache_read: read,
            cache_write_5m: written,
            output: output.saturating_add(thinking),
            reasoning: thinking,
            ..Tokens::default()
        }
    }
}

/// Reads a session from before there was a database.
fn former(bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), Problem> {
    // The database has it.
    if notes.origin.beside("sessions.db", 1).is_some() {
        return Ok(());
    }
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let (mut sums, mut latest, mut project) = (Sums::default(), Sums::default(), String::new());
    let mut reader = Reader::new(line);
    reader.object(|reader, key| {
        let (field, count) = match key {
            b"accumulated_input_tokens" => (NEEDED[1], &mut sums.input),
            b"accumulated_output_tokens" => (NEEDED[2], &mut sums.output),
            b"accumulated_total_tokens" => (KNOWN[0], &mut sums.all),
            b"input_tokens" => (KNOWN[9], &mut latest.input),
            b"output_tokens" => (KNOWN[10], &mut latest.output),
            b"total_tokens" => (KNOWN[11], &mut latest.all),
            b"working_dir" => {
                project = reader.plain()?;
                return Ok(());
            }
            _ => return reader.skip(),
        };
        *count = reader.count_up_to(field, MAX_SESSION_TOKENS)?.unwrap_or(0);
        Ok(())
    })?;
    reader.end()?;
    let session = notes.origin.stem().to_owned();
    let Some(step) = notes.since(&session, sums.or(latest).tokens(), None) else {
        return Ok(());
    };
    let at_ms = notes.origin.mtime_ms.min(notes.now_ms);
    let mut seen = notes.call(step.key, at_ms, &session, "");
    seen.who.project = notes.names.get(&project);
    seen.tokens = step.tokens;
    seen.kind = CallKind::Several;
    notes.book(seen);
    Ok(())
}

/// The name in a model's configuration.
fn model(config: &[u8]) -> String {
    let mut name = String::new();
    // A broken configuration names no model.
    drop(Reader::new(config).object(|reader, key| {
        match key {
            b"model_name" => name = reader.plain()?,
            _ => reader.skip()?,
        }
        Ok(())
    }));
    name
}

/// SQLite's own form, `2026-11-20 09:01:00`, is in UTC.
fn instant_of(text: &str) -> Option<i64> {
    instant(text).or_else(|| instant(&format!("{}Z", text.replacen(' ', "T", 1))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Beside;
    use crate::agents::testing::{self, Database, Documents, rows};

    const SCHEMA: &str = "CREATE TABLE sessions(id TEXT PRIMARY KEY, name TEXT NOT NULL DEFAULT '',
        session_type TEXT NOT NULL DEFAULT 'user', working_dir TEXT NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
        updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, total_tokens INTEGER, input_tokens INTEGER, output_tokens INTEGER,
        accumulated_total_tokens INTEGER, accumulated_input_tokens INTEGER, accumulated_output_tokens INTEGER,
        accumulated_cost REAL, provider_name TEXT, model_config_json TEXT);
        INSERT INTO sessions(id, working_dir, updated_at, model_config_json, provider_name) VALUES
        ('20261120_1', '/w/app', '2026-11-20 08:30:00', '{\"model_name\":\"gpt-5.4\",\"context_limit\":null}', 'openai');";

    fn set(database: &Database, total: &str, input: &str, output: &str, cost: &str) {
        database.run(&format!(
            "UPDATE sessions SET accumulated_total_tokens = {total}, accumulated_input_tokens = {input},
             accumulated_output_tokens = {output}, accumulated_cost = {cost}"
        ));
    }

    #[test]
    fn differences_go_to_the_model_of_the_moment() {
        let mut database = Database::new(read, "sessions.db", SCHEMA);
        assert_eq!(rows(&database.read()), [""; 0]);
        set(&database, "1500", "1200", "300", "0.25");
        let found = database.read();
        assert_eq!(rows(&found), ["20261120_1 gpt-5.4 1200+300 r0 w0"]);
        let call = &found.observations[0];
        assert_eq!(
            (&*call.who.project, &*call.provider, call.at_ms),
            ("/w/app", "openai", 1_795_163_400_000)
        );
        assert_eq!(call.reported_cost, Pico::parse_usd("0.25"));
        database.run("UPDATE sessions SET model_config_json = '{\"model_name\":\"claude-opus-4-8\"}', provider_name = ''");
        assert_eq!(rows(&database.read()), [""; 0]);
        set(&database, "1700", "1300", "360", "0.75");
        let found = database.read();
        assert_eq!(
            rows(&found),
            ["20261120_1 claude-opus-4-8 100+100 r0 w0 reasoning 40"]
        );
        assert_eq!(&*found.observations[0].provider, "anthropic");
        assert_eq!(found.observations[0].reported_cost, Pico::parse_usd("0.5"));
        // A new version of the reader, or a copy elsewhere, begins without its state; the totals are still known.
        database.state.clear();
        database.origin.user = "bob".into();
        assert_eq!(rows(&database.read()), [""; 0]);
    }

    #[test]
    fn newer_versions_tell_what_of_the_input_was_cached() {
        let mut database = Database::new(read, "sessions.db", SCHEMA);
        set(&database, "1500", "1200", "300", "0.25");
        assert_eq!(rows(&database.read()), ["20261120_1 gpt-5.4 1200+300 r0 w0"]);
        database.run(
            "ALTER TABLE sessions ADD COLUMN accumulated_cache_read_tokens INTEGER;
             ALTER TABLE sessions ADD COLUMN accumulated_cache_write_tokens INTEGER;",
        );
        assert_eq!(rows(&database.read()), [""; 0]);
        let cached = |database: &Database, read: u64, written: u64| {
            database.run(&format!(
                "UPDATE sessions SET accumulated_cache_read_tokens = {read}, accumulated_cache_write_tokens = {written}"
            ));
        };
        // Told of what was counted already.
        cached(&database, 100, 20);
        assert_eq!(rows(&database.read()), [""; 0]);
        set(&database, "3000", "2600", "400", "0.5");
        cached(&database, 900, 120);
        assert_eq!(rows(&database.read()), ["20261120_1 gpt-5.4 500+100 r800 w100"]);
        let mut fresh = Database::new(read, "sessions.db", SCHEMA);
        fresh.run("ALTER TABLE sessions ADD COLUMN accumulated_cache_read_tokens INTEGER");
        set(&fresh, "1500", "1200", "300", "0.25");
        fresh.run("UPDATE sessions SET accumulated_cache_read_tokens = 5000");
        assert_eq!(rows(&fresh.read()), ["20261120_1 gpt-5.4 0+300 r1200 w0"]);
    }

    #[test]
    fn sessions_from_before_there_were_totals_and_databases() {
        let mut database = Database::new(read, "sessions.db", SCHEMA);
        database.run("UPDATE sessions SET total_tokens = 900, input_tokens = 700, output_tokens = 100");
        assert_eq!(
            rows(&database.read()),
            ["20261120_1 gpt-5.4 700+200 r0 w0 reasoning 100"]
        );
        set(&database, "1000", "800", "200", "NULL");
        assert_eq!(rows(&database.read()), ["20261120_1 gpt-5.4 100+0 r0 w0"]);
        let line = r#"{"working_dir":"/w/app","description":"x","message_count":2,"total_tokens":900,"input_tokens":800,"output_tokens":100,"accumulated_total_tokens":1500,"accumulated_input_tokens":1200,"accumulated_output_tokens":300}"#;
        let text = format!("{line}\n{{\"role\":\"user\",\"created\":1754043300,\"content\":[]}}\n");
        let mut documents = Documents::new(former, "/g/sessions/20250801_101500.jsonl");
        let found = documents.read(&text);
        assert_eq!(rows(&found), ["20250801_101500 unknown 1200+300 r0 w0"]);
        assert_eq!(&*found.observations[0].who.project, "/w/app");
        assert_eq!(
            rows(&documents.read(&text.replace(":300}", ":340}"))),
            ["20250801_101500 unknown 0+40 r0 w0"]
        );
        // Copied beside itself by the same name, and with figures of the latest call alone.
        documents.origin.path = "/backup/sessions/20250801_101500.jsonl".into();
        assert_eq!(rows(&documents.read(&text)), [""; 0]);
        let old = r#"{"total_tokens":900,"input_tokens":800,"output_tokens":100}"#;
        let mut documents = Documents::new(former, "/g/sessions/s.jsonl");
        assert_eq!(rows(&documents.read(old)), ["s unknown 800+100 r0 w0"]);
        // The database has them.
        documents.origin.beside = Beside(|path, _| path.ends_with("sessions/sessions.db").then(Vec::new));
        assert_eq!(rows(&documents.read(&text)), [""; 0]);
        for (bad, failures) in [
            ("", 1),
            ("{}", 0),
            ("[]", 0),
            (r#"{"input_tokens":-1}"#, 1),
            (r#"{"input_tokens":1e40}"#, 1),
            (r#"{"input_tokens":3"#, 1),
        ] {
            let found = testing::document(former, "/g/sessions/s.jsonl", bad);
            assert_eq!((found.observations.len(), found.failures), (0, failures), "{bad}");
        }
    }

    #[test]
    fn nothing_and_nonsense() {
        for (total, input, output, wanted, failures) in [
            ("NULL", "NULL", "NULL", None, 0),
            ("90", "NULL", "NULL", Some("20261120_1 gpt-5.4 90+0 r0 w0"), 0),
            ("0", "10.0", "'5'", Some("20261120_1 gpt-5.4 10+5 r0 w0"), 0),
            ("5", "-1", "5", None, 1),
            ("5", "'many'", "5", None, 1),
            ("5", "9223372036854775807", "5", None, 1),
        ] {
            let mut database = Database::new(read, "sessions.db", SCHEMA);
            set(&database, total, input, output, "NULL");
            let found = database.read();
            let wanted: Vec<&str> = wanted.into_iter().collect();
            assert_eq!(
                (rows(&found), found.failures),
                (wanted.iter().map(|row| (*row).to_owned()).collect(), failures)
            );
        }
        let found = Database::new(read, "sessions.db", "CREATE TABLE sessions(id TEXT)").read();
        assert!(
            found.shown[0]
                .1
                .contains("no column \"accumulated_input_tokens\""),
            "{:?}",
            found.shown
        );
    }
}
