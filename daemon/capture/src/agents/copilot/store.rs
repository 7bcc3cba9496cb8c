//! The database: `assistant_usage_events`, one row for each call, and `sessions`, which says where.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tokmon_core::id::Key;
use tokmon_core::money::Pico;
use tokmon_core::observation::Place;
use tokmon_core::tokens::Tokens;

use super::disjoint;
use crate::agents::Notes;
use crate::agents::database::{Mark, row_of, sessions_of, settled};
use crate::agents::json::Problem;
use crate::agents::values::{instant, total};
use crate::sqlite::{Row, Snapshot, Trouble};

const TABLE: &str = "assistant_usage_events";
const NEEDED: [&str; 5] = [
    "created_at",
    "session_id",
    "model",
    "input_tokens",
    "output_tokens",
];
const KNOWN: [&str; 6] = [
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "total_nano_aiu",
    "copilot_usage_model",
    "agent_id",
];
/// A nano-AIU, of which 10¹¹ are a dollar, in pico-dollars.
const PICO_PER_NANO_AIU: i64 = 10;

struct Call {
    created: String,
    session: String,
    model: String,
    tokens: Tokens,
    cost: Option<Pico>,
    agent: String,
}

/// Where a session was.
#[derive(Debug, Default, Clone)]
struct Session {
    directory: String,
    branch: String,
}

/// Reads what is new.
pub(super) fn read(path: &Path, notes: &mut Notes<'_>) -> Result<(), Trouble> {
    let before = Mark::load(&notes.state);
    let (calls, sessions, mark, all) = settled(path, |snapshot| {
        let mut mark = before.clone();
        let table = match snapshot.table(TABLE, &NEEDED, &KNOWN) {
            // Older versions keep no usage here.
            Err(Trouble::Unusable(_)) => return Ok((Vec::new(), HashMap::new(), mark, true)),
            table => table?,
        };
        let (calls, all) = mark.read(snapshot, &table, |row| {
            let call = call(row)?;
            Ok(((call.tokens.total() > 0).then_some(call), false))
        })?;
        let sessions = sessions_of(&calls, |call| &call.session, |id| session(snapshot, id))?;
        Ok((calls, sessions, mark, all))
    })?;
    for (row, call) in calls {
        match call {
            Ok(call) => {
                let session = sessions.get(&call.session).cloned().unwrap_or_default();
                book(call, &session, row, notes);
            }
            Err(problem) => notes.fail(row.cast_unsigned(), problem.0),
        }
    }
    (notes.state, notes.more) = (mark.save(), !all);
    Ok(())
}

fn call(row: &Row<'_>) -> Result<Call, Problem> {
    let text = |at| -> Result<String, Problem> { Ok(row.value(at)?.text().unwrap_or_default().to_owned()) };
    let count = |at: usize, name: &str| total(&row.value(at)?, name);
    let (named, used) = (text(2)?, text(9)?);
    Ok(Call {
        created: text(0)?,
        session: text(1)?,
        // The one that answered, where a family was asked for.
        model: if used.is_empty() { named } else { used },
        tokens: disjoint(
            count(3, NEEDED[3])?,
            count(5, KNOWN[0])?,
            count(6, KNOWN[1])?,
            count(4, NEEDED[4])?,
            count(7, KNOWN[2])?,
        ),
        cost: row
            .value(8)?
            .integer()
            .filter(|nano| *nano > 0)
            .and_then(|nano| nano.checked_mul(PICO_PER_NANO_AIU))
            .map(|pico| Pico(pico.into())),
        agent: text(10)?,
    })
}

fn book(call: Call, session: &Session, row: i64, notes: &mut Notes<'_>) {
    // "2026-11-20 09:00:00" in some versions, in UTC.
    let at_ms =
        instant(&call.created).or_else(|| instant(&format!("{}Z", call.created.replacen(' ', "T", 1))));
    let key = Key::new(
        at_ms.map_or(0, Key::day_of),
        &["copilot-usage", &call.session, &row.to_string(), &call.created],
    );
    let at_ms = at_ms.unwrap_or(notes.origin.mtime_ms);
    let mut seen = notes.call(key, at_ms, &call.session, &call.model);
    seen.tokens = call.tokens;
    seen.reported_cost = call.cost;
    seen.sidechain = !call.agent.is_empty();
    seen.who.project = notes.names.get(&session.directory);
    let place = Place {
        branch: notes.names.get(&session.branch),
        subagent: notes.names.get(&call.agent),
        ..Place::default()
    };
    seen.place = (place != Place::default()).then(|| Arc::new(place));
    seen.source.offset = row.cast_unsigned();
    notes.book(seen);
}

/// What is known of a session. Without it a call counts all the same.
fn session(snapshot: &mut Snapshot, id: &str) -> Result<Session, Trouble> {
    let mut session = Session::default();
    row_of(snapshot, "sessions", &["cwd"], &["branch"], id, |row| {
        session.directory = row.value(0)?.text().unwrap_or_default().to_owned();
        session.branch = row.value(1)?.text().unwrap_or_default().to_owned();
        Ok(())
    })?;
    Ok(session)
}

/// Whether a session has calls in a database; not, when it cannot be read.
pub(super) fn knows(path: &Path, session: &str) -> bool {
    let found = settled(path, |snapshot| {
        let table = snapshot.table(TABLE, &["session_id"], &[])?;
        let mut known = false;
        snapshot.rows(&table, i64::MIN, |row| {
            known = row.value(0)?.text() == Some(session);
            Ok(!known)
        })?;
        Ok(known)
    });
    found.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{Database, keys, rows};

    const SCHEMA: &str = "CREATE TABLE sessions(id TEXT PRIMARY KEY, cwd TEXT, repository TEXT, branch TEXT);
        INSERT INTO sessions VALUES ('s1', '/w/app', 'me/app', 'main');
        CREATE TABLE assistant_usage_events(id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT, turn_index INTEGER,
        model TEXT, input_tokens INTEGER, output_tokens INTEGER, cache_read_tokens INTEGER, cache_write_tokens INTEGER,
        reasoning_tokens INTEGER, total_nano_aiu INTEGER, initiator TEXT, agent_id TEXT, created_at TEXT);
        INSERT INTO assistant_usage_events VALUES
        (1, 's1', 0, 'gpt-5.5', 8471, 49, 3979, 517, 24, 2500000000, 'user', NULL, '2026-11-20 09:00:00'),
        (2, 's1', 1, 'gpt-5.5', 8471, 49, 3979, 517, 24, NULL, 'agent', 'explore', '2026-11-20T09:00:01Z');";

    #[test]
    fn a_row_is_a_call_and_only_new_ones_are_read() {
        let mut database = Database::new(read, "session-store.db", SCHEMA);
        let found = database.read();
        let row = "s1 gpt-5.5 3975+49 r3979 w517 reasoning 24";
        assert_eq!(
            (rows(&found), found.failures),
            (vec![row.to_owned(), row.to_owned()], 0)
        );
        let [first, second] = &found.observations[..] else {
            panic!("two")
        };
        assert_ne!(first.key, second.key);
        assert_eq!((&*first.who.project, first.at_ms), ("/w/app", 1_795_165_200_000));
        assert_eq!(first.reported_cost, Pico::parse_usd("0.025"));
        let place = second.place.as_ref().unwrap();
        assert_eq!(
            (&*place.branch, &*place.subagent, second.sidechain),
            ("main", "explore", true)
        );
        assert_eq!(rows(&database.read()), [""; 0]);
        database.run("INSERT INTO assistant_usage_events(session_id, model, input_tokens, output_tokens) VALUES ('s2', 'm', 5, 1)");
        assert_eq!(rows(&database.read()), ["s2 m 5+1 r0 w0"]);
        // From the beginning, under another name: the same calls.
        let before = keys(&found);
        database.state.clear();
        assert_eq!(keys(&database.read())[..2], before);
        let path = std::path::PathBuf::from(&*database.origin.path);
        assert!(knows(&path, "s1") && knows(&path, "s2") && !knows(&path, "s3"));
    }

    #[test]
    fn nothing_and_nonsense() {
        for (values, wanted, failures) in [
            ("NULL, NULL, NULL", 0, 0),
            ("-1, 5, 0", 0, 1),
            ("'many', 5, 0", 0, 1),
            ("5, 9223372036854775807, 0", 0, 1),
            ("5, 5, 100", 1, 0),
        ] {
            let mut database = Database::new(read, "session-store.db", SCHEMA);
            database.run(&format!(
                "DELETE FROM assistant_usage_events;
                 INSERT INTO assistant_usage_events(session_id, model, input_tokens, output_tokens, cache_read_tokens)
                 VALUES ('s1', 'm', {values})"
            ));
            let found = database.read();
            assert_eq!(
                (found.observations.len(), found.failures),
                (wanted, failures),
                "{values}"
            );
        }
        let mut old = Database::new(read, "session-store.db", "CREATE TABLE sessions(id TEXT)");
        let found = old.read();
        assert_eq!((found.observations.len(), found.failures), (0, 0));
    }
}
