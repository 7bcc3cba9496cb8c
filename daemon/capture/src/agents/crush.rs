//! Crush: `.crush/crush.db` in each project, in which a row for each session holds its cost so far and its tokens.
//!
//! The cost is a running total, and a subagent's is added to its parent's when it is done, so children's own are passed
//! over, and a parent that costs more without another call has none. The tokens, whatever their names say, are those of the latest call, what was read from the cache among the
//! prompt's; a title's are added to what is there. So each state of a row that is seen is a call; those between two looks
//! are not, and of a session that was over before anybody looked there is the last call only, beside the whole cost. Hence
//! all of it is marked as an estimate, and costs what Crush says that it cost.
//!
//! Before January 2026 (the schema of those versions lacks the table `read_files`) what was read from the cache stood among
//! the answer's tokens. Of them only the growth counts, as a lower bound. Where the projects are, `projects.json` says.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokmon_core::id::Key;
use tokmon_core::limits::MAX_PARSER_STATE;
use tokmon_core::money::Pico;
use tokmon_core::observation::{CallKind, Confidence};
use tokmon_core::tokens::Tokens;

use super::counters::Step;
use super::database::{Parsed, settled};
use super::json::{Problem, Reader};
use super::lines::{restore, save};
use super::values::{dollars, hash, subagent, total};
use super::{Form, Format, Notes, Reading};
use crate::open::open_regular;
use crate::roots::Places;
use crate::sqlite::{Row, Snapshot, Trouble};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "crush",
    version: 3,
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
/// Sessions whose last state is remembered: so many that they fit into half of a position's state.
const REMEMBERED: usize = MAX_PARSER_STATE / 2 / 80;
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
    if let Ok(file) = open_regular(&list)
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

/// What is known from the last time.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    /// The last message that was looked at.
    message: Option<i64>,
    /// The latest states of sessions: a hash of the id, prompt, answer, a hash of the title.
    states: Vec<(u64, u64, u64, u64)>,
}

/// What a row says.
struct Session {
    id: String,
    title: u64,
    is_child: bool,
    parent: String,
    tokens: Tokens,
    cost: Option<Pico>,
    updated_ms: i64,
}

const NEEDED: [&str; 4] = ["id", "prompt_tokens", "completion_tokens", "cost"];
const KNOWN: [&str; 3] = ["updated_at", "parent_session_id", "title"];

fn read(path: &Path, notes: &mut Notes<'_>) -> Result<(), Trouble> {
    let mut known: Known = restore(&notes.state);
    // Messages that have been looked at, save the latest: one may be there before its call is done.
    let from = known.message.map_or(i64::MIN, |last| last.saturating_sub(LATEST));
    let (sessions, models, last, is_new) = settled(path, |snapshot| {
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
        let is_new = match snapshot.table("read_files", &[], &[]) {
            Err(Trouble::Unusable(_)) => false,
            table => table.map(|_| true)?,
        };
        Ok((sessions, models, last, is_new))
    })?;
    known.message = last.or(known.message);
    let project = Path::new(&*notes.origin.path).ancestors().nth(2);
    let project = project.and_then(Path::to_str).unwrap_or_default().to_owned();
    let read = sessions.iter().filter_map(|(_, session)| session.as_ref().ok());
    let parents: HashSet<String> = read.map(|session| session.parent.clone()).collect();
    for (row, session) in sessions {
        let session = match session {
            Ok(session) => session,
            Err(problem) => {
                notes.fail(row.cast_unsigned(), problem.0);
                continue;
            }
        };
        let step = match is_new {
            true => known.step(&session, parents.contains(&session.id), notes),
            false => notes.since(&session.id, session.tokens, session.cost),
        };
        let Some(step) = step else {
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
        // A child's is in its parent's.
        seen.reported_cost = step.cost.or(session.is_child.then_some(Pico::ZERO));
        seen.confidence = Confidence::Estimated;
        seen.source.offset = row.cast_unsigned();
        notes.book(seen);
    }
    let many = known.states.len().saturating_sub(REMEMBERED);
    known.states.drain(..many);
    notes.state = save(&known);
    Ok(())
}

impl Known {
    /// The call that a row shows now, if it is another than before.
    fn step(&mut self, session: &Session, is_parent: bool, notes: &mut Notes<'_>) -> Option<Step> {
        let name = hash(&[session.id.as_bytes()]);
        let now = (name, session.tokens.input, session.tokens.output, session.title);
        let before = self.states.iter().position(|state| state.0 == name);
        let before = before.map(|at| self.states.remove(at));
        self.states.push(now);
        // The cost is told as a total.
        let paid = notes.since(&session.id, Tokens::default(), session.cost);
        let paid = paid.and_then(|step| step.cost);
        let mut tokens = session.tokens;
        match before {
            // Only its name is another, or nothing but the money.
            Some((_, input, output, _)) if (input, output) == (now.1, now.2) && paid.is_none() => {
                return None;
            }
            // What a subagent cost.
            Some((_, input, output, _)) if (input, output) == (now.1, now.2) && is_parent => {
                tokens = Tokens::default();
            }
            // A title was made, and what it used added to what stood there.
            Some((_, input, output, title)) if title != now.3 && input <= now.1 && output <= now.2 => {
                tokens.input -= input;
                tokens.output -= output;
            }
            _ => {}
        }
        if tokens.total() == 0 && paid.is_none() {
            return None;
        }
        let figures = format!("{} {} {:?}", now.1, now.2, session.cost);
        let key = Key::new(0, &["crush-state", &session.id, &figures]);
        Some(Step {
            key,
            tokens,
            cost: paid,
        })
    }
}

fn session(row: &Row<'_>) -> Result<Session, Problem> {
    let parent = row.value(5)?.text().unwrap_or_default().to_owned();
    let is_child = !parent.is_empty();
    Ok(Session {
        parent,
        id: row.value(0)?.text().unwrap_or_default().to_owned(),
        title: hash(&[row.value(6)?.text().unwrap_or_default().as_bytes()]),
        tokens: Tokens {
            input: total(&row.value(1)?, NEEDED[1])?,
            output: total(&row.value(2)?, NEEDED[2])?,
            ..Tokens::default()
        },
        cost: dollars(&row.value(3)?).filter(|_| !is_child),
        // Seconds, or milliseconds in some versions.
        updated_ms: match row.value(4)?.integer() {
            Some(seconds) if seconds < 100_000_000_000 => seconds.saturating_mul(1_000),
            Some(ms) => ms,
            None => i64::MAX,
        },
        is_child,
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
    use crate::agents::testing::{Database, WRITTEN_MS, keys, rows};

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
        assert!(found.observations[0].is_surer_of_money());
        assert!(found.observations[1].sidechain);
        assert_eq!(found.observations[1].reported_cost, Some(Pico::ZERO));
        // Summarised: counting begins anew, and the cost goes on.
        database.run(
            "UPDATE sessions SET prompt_tokens = 50, completion_tokens = 20, cost = 0.08 WHERE id = 's1'",
        );
        let found = database.read();
        assert_eq!(rows(&found), ["s1 gpt-5.4 50+20 r0 w0"]);
        assert_eq!(found.observations[0].reported_cost, Pico::parse_usd("0.01"));
    }

    #[test]
    fn of_newer_versions_each_state_of_a_row_is_a_call() {
        let mut database = Database::new(read, "app/.crush/crush.db", SCHEMA);
        database.run("CREATE TABLE read_files (session_id TEXT, path TEXT, read_at INTEGER)");
        assert_eq!(rows(&database.read()), ["s1 claude-opus-4-8 900+100 r0 w0"]);
        assert_eq!(rows(&database.read()), [""; 0]);
        let set = |database: &Database, what: &str| {
            database.run(&format!("UPDATE sessions SET {what} WHERE id = 's1'"));
        };
        // A title, whose tokens are added.
        set(
            &database,
            "title = 'named', prompt_tokens = 930, completion_tokens = 104, cost = 0.051",
        );
        let found = database.read();
        assert_eq!(rows(&found), ["s1 claude-opus-4-8 30+4 r0 w0"]);
        assert_eq!(found.observations[0].reported_cost, Pico::parse_usd("0.001"));
        set(&database, "title = 'renamed'");
        assert_eq!(rows(&database.read()), [""; 0]);
        // Calls as they come, whatever is more or less.
        for (prompt, answer, cost) in [(2000, 50, 0.07), (1500, 80, 0.08)] {
            set(
                &database,
                &format!("prompt_tokens = {prompt}, completion_tokens = {answer}, cost = {cost}"),
            );
            assert_eq!(
                rows(&database.read()),
                [format!("s1 claude-opus-4-8 {prompt}+{answer} r0 w0")]
            );
        }
        // A child's cost comes in its parent's.
        database
            .run("UPDATE sessions SET prompt_tokens = 10, completion_tokens = 5, cost = 0.5 WHERE id = 's2'");
        let child = database.read();
        assert_eq!(rows(&child), ["s2 unknown 10+5 r0 w0"]);
        assert_eq!(child.observations[0].reported_cost, Some(Pico::ZERO));
        // And then there.
        set(&database, "cost = 0.58");
        let found = database.read();
        assert_eq!(rows(&found), ["s1 claude-opus-4-8 0+0 r0 w0"]);
        assert_eq!(found.observations[0].reported_cost, Pico::parse_usd("0.5"));
        // Of a session without subagents it was another call, which used as much.
        database.run("DELETE FROM sessions WHERE id = 's2'");
        set(&database, "cost = 0.59");
        assert_eq!(rows(&database.read()), ["s1 claude-opus-4-8 1500+80 r0 w0"]);
        // Somewhere else, and at once, there is only the last state, under the key that it had.
        let mut copy = Database::new(read, "app/.crush/crush.db", SCHEMA);
        copy.run("CREATE TABLE read_files (session_id TEXT)");
        copy.run("DELETE FROM sessions WHERE id = 's1'; UPDATE sessions SET prompt_tokens = 10, completion_tokens = 5");
        assert_eq!(keys(&copy.read()), keys(&child));
    }

    #[test]
    fn without_messages_there_are_the_figures() {
        let mut database = Database::new(read, "app/.crush/crush.db", SCHEMA);
        database.run("DROP TABLE messages");
        assert_eq!(rows(&database.read()), ["s1 unknown 900+100 r0 w0"]);
    }

    #[test]
    fn figures_that_are_none() {
        for (prompt, answer, cost, wanted, failures) in [
            ("'12'", "5.0", "'0.5'", Some("12+5"), 0),
            ("NULL", "NULL", "NULL", None, 0),
            ("0", "0", "-3", None, 0),
            ("0", "0", "1e300", None, 0),
            ("0", "0", "0.5", Some("0+0"), 0),
            ("-1", "5", "0.1", None, 1),
            ("'many'", "5", "0.1", None, 1),
            ("5", "9223372036854775807", "0.1", None, 1),
            ("5", "9007199254740993", "0.1", None, 1),
            ("x'00ff'", "5", "0.1", None, 1),
        ] {
            let schema = format!(
                "CREATE TABLE read_files(x); CREATE TABLE sessions(id, prompt_tokens, completion_tokens, cost, updated_at);
                 INSERT INTO sessions VALUES('s', {prompt}, {answer}, {cost}, 99999999999999999);"
            );
            let found = Database::new(read, "app/.crush/crush.db", &schema).read();
            let wanted: Vec<String> = wanted
                .iter()
                .map(|row| format!("s unknown {row} r0 w0"))
                .collect();
            assert_eq!(
                (rows(&found), found.failures),
                (wanted, failures),
                "{prompt} {answer} {cost}"
            );
            // A time in the future is now.
            assert!(
                found
                    .observations
                    .iter()
                    .all(|call| call.at_ms == WRITTEN_MS + 1_000)
            );
        }
    }

    #[test]
    fn a_database_without_tables_is_one_that_is_still_to_be_made() {
        let found = Database::new(read, "app/.crush/crush.db", "PRAGMA user_version = 1").read();
        assert_eq!(found.shown, [(0, "it has no tables yet".to_owned())]);
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
