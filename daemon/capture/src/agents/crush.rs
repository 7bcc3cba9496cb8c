//! Crush: `.crush/crush.db` in each project, in which a row for each session holds its cost so far and its tokens.
//!
//! The cost is a running total. The tokens, whatever their names say, are those of the latest call, with what was read
//! from the cache in one of the two: their growth is what is certain, so they are a lower bound and marked as an
//! estimate. Where the projects are, `projects.json` says.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use tokmon_core::money::Pico;
use tokmon_core::observation::{CallKind, Confidence};
use tokmon_core::tokens::Tokens;

use super::database::{Parsed, settled};
use super::json::{Problem, Reader};
use super::values::{dollars, subagent, total};
use super::{Form, Format, Notes, Reading};
use crate::roots::Places;
use crate::sqlite::{Row, Snapshot, Trouble};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "crush",
    version: 1,
    places,
    forms: &[Form {
        files: "crush.db",
        kind: "crush-database",
        read: Reading::Database(read),
    }],
};

/// Projects that are looked at.
const MAX_PROJECTS: usize = 1_000;
/// Messages that are looked at again for their models.
const LATEST: i64 = 64;
/// Longest list of projects that is read, in bytes.
const MAX_LIST: u64 = 4 * 1024 * 1024;

fn places(at: &Places<'_>) -> Vec<PathBuf> {
    let own = at
        .var("CRUSH_GLOBAL_DATA")
        .unwrap_or_else(|| at.data().join("crush"));
    let list = own.join("projects.json");
    let mut places = vec![own];
    let mut bytes = Vec::new();
    // Whatever can be had of it.
    if list.is_file()
        && let Ok(file) = File::open(&list)
        && file.take(MAX_LIST).read_to_end(&mut bytes).is_ok()
    {
        places.extend(projects(&bytes));
    }
    places
}

/// The directories of a list of projects: what stands before a break in it counts.
fn projects(list: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    drop(Reader::new(list).object(|reader, key| {
        if key != b"projects" {
            return reader.skip();
        }
        reader.array(|reader| {
            let (mut path, mut data) = (String::new(), String::new());
            reader.object(|reader, key| {
                match key {
                    b"path" => path = reader.plain()?,
                    b"data_dir" => data = reader.plain()?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            let data = if data.is_empty() { ".crush" } else { &data };
            let place = Path::new(&path).join(data);
            if place.is_absolute() && found.len() < MAX_PROJECTS {
                found.push(place);
            }
            Ok(())
        })
    }));
    found
}

/// What a row says.
struct Session {
    id: String,
    is_child: bool,
    tokens: Tokens,
    cost: Option<Pico>,
    updated_ms: i64,
}

const NEEDED: [&str; 4] = ["id", "prompt_tokens", "completion_tokens", "cost"];
const KNOWN: [&str; 2] = ["updated_at", "parent_session_id"];

fn read(path: &Path, notes: &mut Notes<'_>) -> Result<(), Trouble> {
    // Messages that have been looked at, save the latest: one may be there before its call is done.
    let looked_at = std::str::from_utf8(&notes.state)
        .ok()
        .and_then(|text| text.parse::<i64>().ok());
    let from = looked_at.map_or(i64::MIN, |last| last.saturating_sub(LATEST));
    let (sessions, models, last) = settled(path, |snapshot| {
        let table = snapshot.table("sessions", &NEEDED, &KNOWN)?;
        let mut sessions: Vec<Parsed<Session>> = Vec::new();
        snapshot.rows(&table, i64::MIN, |row| {
            sessions.push((row.id, session(row)));
            Ok(true)
        })?;
        let (models, last) = match models(snapshot, from) {
            // Without the models there are the figures.
            Err(Trouble::Unusable(_)) => (HashMap::new(), None),
            models => models?,
        };
        Ok((sessions, models, last))
    })?;
    if let Some(last) = last {
        notes.state = last.to_string().into_bytes();
    }
    let project = Path::new(&*notes.origin.path).ancestors().nth(2);
    let project = project.and_then(Path::to_str).unwrap_or_default().to_owned();
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
        let (model, provider) = models
            .get(&session.id)
            .map_or(("", ""), |(model, provider)| (model, provider));
        let at_ms = session.updated_ms.min(notes.now_ms);
        let mut seen = notes.call(step.key, at_ms, &session.id, model);
        if !provider.is_empty() {
            seen.provider = notes.names.get(provider);
        }
        seen.who.project = notes.names.get(&project);
        seen.sidechain = session.is_child;
        if session.is_child {
            seen.place = subagent("task");
        }
        seen.tokens = step.tokens;
        seen.kind = CallKind::Several;
        seen.reported_cost = step.cost;
        seen.confidence = Confidence::Estimated;
        seen.source.offset = row.cast_unsigned();
        notes.book(seen);
    }
    Ok(())
}

fn session(row: &Row<'_>) -> Result<Session, Problem> {
    Ok(Session {
        id: row.value(0)?.text().unwrap_or_default().to_owned(),
        tokens: Tokens {
            input: total(&row.value(1)?, NEEDED[1])?,
            output: total(&row.value(2)?, NEEDED[2])?,
            ..Tokens::default()
        },
        cost: dollars(&row.value(3)?),
        // Seconds, or milliseconds in some versions.
        updated_ms: match row.value(4)?.integer() {
            Some(seconds) if seconds < 100_000_000_000 => seconds.saturating_mul(1_000),
            Some(ms) => ms,
            None => i64::MAX,
        },
        is_child: row.value(5)?.text().is_some_and(|parent| !parent.is_empty()),
    })
}

/// The model and provider of each session's latest answer, from a row on, and the last row.
type Models = (HashMap<String, (String, String)>, Option<i64>);

fn models(snapshot: &mut Snapshot, from: i64) -> Result<Models, Trouble> {
    let table = snapshot.table("messages", &["session_id", "model"], &["provider"])?;
    let (mut found, mut last) = (HashMap::new(), None);
    snapshot.rows(&table, from, |row| {
        last = Some(row.id);
        let text =
            |at| -> Result<String, Trouble> { Ok(row.value(at)?.text().unwrap_or_default().to_owned()) };
        // A broken message names no model.
        let named = text(0).and_then(|session| Ok([session, text(1)?, text(2)?]));
        if let Ok([session, model, provider]) = named
            && !model.is_empty()
        {
            found.insert(session, (model, provider));
        }
        Ok(true)
    })?;
    Ok((found, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{Database, rows};

    const SCHEMA: &str = "CREATE TABLE sessions (id TEXT PRIMARY KEY, parent_session_id TEXT, title TEXT NOT NULL,
        message_count INTEGER NOT NULL DEFAULT 0 CHECK (message_count >= 0),
        prompt_tokens  INTEGER NOT NULL DEFAULT 0 CHECK (prompt_tokens >= 0),
        completion_tokens  INTEGER NOT NULL DEFAULT 0 CHECK (completion_tokens>= 0),
        cost REAL NOT NULL DEFAULT 0.0 CHECK (cost >= 0.0),
        updated_at INTEGER NOT NULL,  -- Unix timestamp in seconds
        created_at INTEGER NOT NULL);
        CREATE TABLE messages (id TEXT PRIMARY KEY, session_id TEXT NOT NULL, role TEXT NOT NULL,
        parts TEXT NOT NULL default '[]', model TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
        finished_at INTEGER);
        ALTER TABLE messages ADD COLUMN provider TEXT;
        INSERT INTO sessions VALUES('s1', NULL, 't', 2, 900, 100, 0.05, 1795165000, 1795164000),
            ('s2', 's1', 't', 0, 0, 0, 0, 1795165000, 1795164000);
        INSERT INTO messages VALUES('m0', 's1', 'user', '[]', NULL, 1, 1, NULL, NULL),
            ('m1', 's1', 'assistant', '[]', 'claude-opus-4-8', 1, 1, 1, 'anthropic');";

    #[test]
    fn what_grew_is_counted_and_marked() {
        let mut database = Database::new(read, "app/.crush/crush.db", SCHEMA);
        let found = database.read();
        assert_eq!(rows(&found), ["s1 claude-opus-4-8 900+100 r0 w0"]);
        let call = &found.observations[0];
        assert_eq!(
            (call.confidence, call.at_ms),
            (Confidence::Estimated, 1_795_165_000_000)
        );
        assert_eq!(*call.who.project, format!("{}/app", database.dir()));
        assert_eq!(call.reported_cost, Pico::parse_usd("0.05"));
        assert_eq!(rows(&database.read()), [""; 0]);
        database.run(
            "INSERT INTO messages VALUES('m2', 's1', 'assistant', '[]', 'gpt-5.4', 1, 1, 1, 'openai');
             UPDATE sessions SET prompt_tokens = 1000, cost = 0.07 WHERE id = 's1';
             UPDATE sessions SET prompt_tokens = 10, completion_tokens = 5 WHERE id = 's2'",
        );
        let found = database.read();
        assert_eq!(rows(&found), ["s1 gpt-5.4 100+0 r0 w0", "s2 unknown 10+5 r0 w0"]);
        assert_eq!(found.observations[0].reported_cost, Pico::parse_usd("0.02"));
        assert!(found.observations[1].sidechain);
        // Summarised: counting begins anew, and the cost goes on.
        database.run(
            "UPDATE sessions SET prompt_tokens = 50, completion_tokens = 20, cost = 0.08 WHERE id = 's1'",
        );
        let found = database.read();
        assert_eq!(rows(&found), ["s1 gpt-5.4 50+20 r0 w0"]);
        assert_eq!(found.observations[0].reported_cost, Pico::parse_usd("0.01"));
    }

    #[test]
    fn without_messages_there_are_the_figures() {
        let mut database = Database::new(read, "app/.crush/crush.db", SCHEMA);
        database.run("DROP TABLE messages");
        assert_eq!(rows(&database.read()), ["s1 unknown 900+100 r0 w0"]);
    }

    #[test]
    fn projects_as_the_list_has_them() {
        let text = br#"{"projects":[{"path":"/w/app","data_dir":"/w/app/.crush","last_accessed":"x"},{"path":"/w/b"},{"path":"relative"},{"path":"/w/c","data_dir":"own"},{"#;
        let wanted: Vec<PathBuf> = ["/w/app/.crush", "/w/b/.crush", "/w/c/own"]
            .map(PathBuf::from)
            .into();
        assert_eq!(projects(text), wanted);
    }
}
