//! The database: `sessions` with a running total in each row, and in newer versions (of 2026) `usage_ledger`, with a row
//! for each call that was added to its session's total.
//!
//! The totals say how much is new; the rows say of which calls. What no row tells of (older versions wrote none, and of
//! what there was before them Goose makes one row without a model) counts as several calls of the session's model.

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokmon_core::id::Key;
use tokmon_core::money::{PICO_PER_USD, Pico};
use tokmon_core::observation::{CallKind, Confidence, Observation};
use tokmon_core::tokens::Tokens;

use super::Used;
use crate::agents::Notes;
use crate::agents::counters::Step;
use crate::agents::database::{Parsed, settled};
use crate::agents::json::{Problem, Reader};
use crate::agents::lines::{restore, save};
use crate::agents::values::{dollars, hash, instant, subagent, total};
use crate::sqlite::{Row, Snapshot, Trouble, Value};

/// Calls that are looked at together: of more, the oldest count as several.
const MAX_CALLS: usize = 100_000;
/// Money that is no more than what adding up fractions leaves over.
const DUST: Pico = Pico(PICO_PER_USD / 1_000_000_000);

/// What is known from the last time.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    /// The ledger's last row, and a hash of what stood there.
    last: Option<(i64, u64)>,
}

/// What a row of `sessions` says.
struct Session {
    id: String,
    created: String,
    tokens: Tokens,
    cost: Option<Pico>,
    model: String,
    provider: String,
    project: String,
    updated_ms: Option<i64>,
    kind: String,
    /// Its figures are the latest call's.
    is_estimate: bool,
}

/// What a row of `usage_ledger` says.
struct Call {
    row: i64,
    at_ms: i64,
    model: String,
    tokens: Tokens,
    cost: Option<Pico>,
    /// It was not one call, but all that was used before there were such rows.
    is_rest: bool,
}

/// The rows of `usage_ledger` that are new.
#[derive(Default)]
struct Calls {
    of: HashMap<String, Vec<Call>>,
    problems: Vec<(i64, Problem)>,
    last: Option<(i64, u64)>,
    /// When the oldest row was written, milliseconds.
    begun_ms: Option<i64>,
}

const NEEDED: [&str; 3] = ["id", "accumulated_input_tokens", "accumulated_output_tokens"];
const KNOWN: [&str; 13] = [
    "accumulated_total_tokens",
    "accumulated_cost",
    "model_config_json",
    "provider_name",
    "working_dir",
    "updated_at",
    "session_type",
    "accumulated_cache_read_tokens",
    "accumulated_cache_write_tokens",
    "created_at",
    "total_tokens",
    "input_tokens",
    "output_tokens",
];
const OF_CALL: [&str; 5] = [
    "session_id",
    "created_timestamp",
    "input_tokens",
    "output_tokens",
    "total_tokens",
];
const MORE_OF_CALL: [&str; 5] = [
    "cache_read_tokens",
    "cache_write_tokens",
    "cost",
    "model",
    "cost_source",
];

/// Reads what is new.
pub(super) fn read(path: &Path, notes: &mut Notes<'_>) -> Result<(), Trouble> {
    let known: Known = restore(&notes.state);
    let (sessions, mut calls) = settled(path, |snapshot| {
        let table = snapshot.table("sessions", &NEEDED, &KNOWN)?;
        let mut sessions: Vec<Parsed<Session>> = Vec::new();
        snapshot.rows(&table, i64::MIN, |row| {
            sessions.push((row.id, session(row)));
            Ok(true)
        })?;
        let calls = match calls(snapshot, &known) {
            // Older versions have none.
            Err(Trouble::Unusable(_)) => Calls::default(),
            calls => calls?,
        };
        Ok((sessions, calls))
    })?;
    for (row, problem) in std::mem::take(&mut calls.problems) {
        notes.fail(row.cast_unsigned(), problem.0);
    }
    begin(&sessions, &calls, notes);
    for (row, session) in sessions {
        match session {
            Ok(session) => {
                let calls = calls.of.remove(&session.id).unwrap_or_default();
                book(row, &session, &calls, notes);
            }
            Err(problem) => notes.fail(row.cast_unsigned(), problem.0),
        }
    }
    notes.state = save(&Known { last: calls.last });
    Ok(())
}

/// Lets those sessions begin that are seen for the first time and have used something that is counted already.
fn begin(sessions: &[Parsed<Session>], calls: &Calls, notes: &mut Notes<'_>) {
    let sessions = || sessions.iter().filter_map(|(_, session)| session.as_ref().ok());
    // Totals that sessions have or had, and whose; `None` for more than one.
    let mut had: Option<HashMap<Tokens, Option<&str>>> = None;
    for session in sessions() {
        let (name, its) = (session.name(), calls.of.get(&session.id));
        if session.tokens.total() == 0 || notes.known(&name).is_some() {
            continue;
        }
        if notes.state.is_empty()
            && let Some((tokens, cost)) = notes.known(&session.id)
        {
            // A former version of this reader knew it by its id alone.
            notes.begin(&name, tokens, cost);
            continue;
        }
        // What was there before its calls, of a session that is younger than the ledger, came with an import. If it is
        // what another session had, it is a copy of that.
        let first = its.and_then(|its| its.first());
        let (tokens, cost) = match first {
            None => (session.tokens, session.cost),
            Some(first) if first.is_rest => (first.tokens, first.cost),
            Some(_) => continue,
        };
        if calls.begun_ms.is_none() || session.created_ms() <= calls.begun_ms {
            continue;
        }
        let had = had.get_or_insert_with(|| totals(sessions(), calls));
        if had.get(&tokens).is_some_and(|whose| *whose != Some(&session.id)) {
            notes.begin(&name, tokens, cost);
        }
    }
}

fn totals<'a>(
    sessions: impl Iterator<Item = &'a Session>,
    calls: &Calls,
) -> HashMap<Tokens, Option<&'a str>> {
    let mut had: HashMap<Tokens, Option<&str>> = HashMap::new();
    for session in sessions {
        let mut total = session.tokens;
        let its = calls.of.get(&session.id).into_iter().flatten();
        let before = its.rev().map(|call| call.tokens);
        for tokens in [Tokens::default()].into_iter().chain(before) {
            total.sub(&tokens);
            let whose = had.entry(total).or_insert(Some(&session.id));
            *whose = whose.filter(|whose| *whose == session.id);
        }
    }
    had
}

/// Books what a session has used since it was seen last: as its latest calls, as far as they tell of it.
fn book(row: i64, session: &Session, calls: &[Call], notes: &mut Notes<'_>) {
    let name = session.name();
    let Some(step) = notes.since(&name, session.tokens, session.cost) else {
        return;
    };
    let mut rest = step.tokens;
    let told = calls
        .iter()
        .rev()
        .take_while(|call| take(&mut rest, &call.tokens))
        .count();
    let told = &calls[calls.len() - told..];
    let paid: i128 = told.iter().filter_map(|call| call.cost).map(|cost| cost.0).sum();
    let unpaid = Pico(step.cost.map_or(0, |cost| cost.0 - paid));
    let updated_ms = session.updated_ms.unwrap_or(notes.origin.mtime_ms);
    if rest.total() > 0 || unpaid > DUST {
        let at_ms = told.first().map_or(updated_ms, |call| call.at_ms);
        let (tokens, cost) = (rest, Some(unpaid).filter(|cost| *cost > DUST));
        let mut seen = call(
            session,
            at_ms,
            &session.model,
            Step { tokens, cost, ..step },
            notes,
        );
        seen.kind = CallKind::Several;
        seen.source.offset = row.cast_unsigned();
        notes.book(seen);
    }
    for one in told.iter().filter(|call| call.tokens.total() > 0) {
        let figures = format!("{:?}", one.tokens.to_array());
        let key = Key::new(
            Key::day_of(one.at_ms),
            &["goose-call", &name, &one.row.to_string(), &figures],
        );
        let model = if one.model.is_empty() {
            &session.model
        } else {
            &one.model
        };
        let (tokens, cost) = (one.tokens, one.cost);
        let mut seen = call(session, one.at_ms, model, Step { key, tokens, cost }, notes);
        if one.is_rest {
            seen.kind = CallKind::Several;
        }
        seen.source.offset = one.row.cast_unsigned();
        notes.book(seen);
    }
}

/// Takes a call's tokens from what is left, if they are in it.
fn take(left: &mut Tokens, tokens: &Tokens) -> bool {
    let fits = tokens
        .to_array()
        .iter()
        .zip(left.to_array())
        .all(|(used, left)| *used <= left);
    if fits {
        left.sub(tokens);
    }
    fits
}

fn call(session: &Session, at_ms: i64, model: &str, used: Step, notes: &mut Notes<'_>) -> Observation {
    let mut seen = notes.call(used.key, at_ms.min(notes.now_ms), &session.id, model);
    if !session.provider.is_empty() {
        seen.provider = notes.names.get(&session.provider);
    }
    seen.who.project = notes.names.get(&session.project);
    if session.kind == "sub_agent" {
        seen.sidechain = true;
        seen.place = subagent(&session.kind);
    }
    seen.tokens = used.tokens;
    seen.reported_cost = used.cost;
    if session.is_estimate {
        seen.confidence = Confidence::Estimated;
    }
    seen
}

impl Session {
    /// What its total is kept under. Ids are numbers of a day, `20261120_1`, which two databases share, and of which the
    /// last is given again when its session was removed; those of files, `20250801_101112` or a name, are the session's.
    fn name(&self) -> String {
        let of_day = |(day, number): (&str, &str)| {
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            day.len() == 8 && digits(day) && digits(number) && number.len() < 6
        };
        if self.is_estimate {
            return super::of_latest(&self.id);
        }
        match self.id.split_once('_').is_some_and(of_day) {
            true => format!("{} {}", self.id, self.created),
            false => self.id.clone(),
        }
    }

    fn created_ms(&self) -> Option<i64> {
        instant_of(&self.created)
    }
}

fn session(row: &Row<'_>) -> Result<Session, Problem> {
    let text = |at| -> Result<String, Problem> { Ok(row.value(at)?.text().unwrap_or_default().to_owned()) };
    let whole = Used {
        all: total(&row.value(3)?, KNOWN[0])?,
        input: total(&row.value(1)?, NEEDED[1])?,
        output: total(&row.value(2)?, NEEDED[2])?,
        read: total(&row.value(10)?, KNOWN[7])?,
        written: total(&row.value(11)?, KNOWN[8])?,
    };
    // Of the sessions of the very first versions there are the latest call's figures only.
    let is_estimate = [1, 2, 3].into_iter().try_fold(true, |none, at| {
        Ok::<bool, Problem>(none && row.value(at)? == Value::Null)
    })?;
    let used = match is_estimate {
        false => whole,
        true => Used {
            all: total(&row.value(13)?, KNOWN[10])?,
            input: total(&row.value(14)?, KNOWN[11])?,
            output: total(&row.value(15)?, KNOWN[12])?,
            ..whole
        },
    };
    let config = text(5)?;
    Ok(Session {
        id: text(0)?,
        created: text(12)?,
        tokens: used.tokens(),
        is_estimate,
        cost: dollars(&row.value(4)?),
        model: model(config.as_bytes()),
        provider: text(6)?,
        project: text(7)?,
        updated_ms: instant_of(&text(8)?),
        kind: text(9)?,
    })
}

/// The rows behind those that were looked at the last time, or all if it is another ledger.
fn calls(snapshot: &mut Snapshot, known: &Known) -> Result<Calls, Trouble> {
    let table = snapshot.table("usage_ledger", &OF_CALL, &MORE_OF_CALL)?;
    let mut found = Calls::default();
    snapshot.rows(&table, i64::MIN, |row| {
        found.begun_ms = row.value(1)?.integer().map(milliseconds);
        Ok(false)
    })?;
    if let Some((last, mark)) = known.last {
        snapshot.rows(&table, last, |row| {
            found.last = known.last.filter(|_| row.id == last && mark_of(row) == mark);
            Ok(false)
        })?;
    }
    let from = found.last.map_or(i64::MIN, |(last, _)| last.saturating_add(1));
    let mut new: VecDeque<(String, Call)> = VecDeque::new();
    snapshot.rows(&table, from, |row| {
        found.last = Some((row.id, mark_of(row)));
        match one(row) {
            Ok(one) => new.push_back(one),
            Err(problem) => found.problems.push((row.id, problem)),
        }
        if new.len() > MAX_CALLS {
            new.pop_front();
        }
        Ok(true)
    })?;
    for (session, call) in new {
        found.of.entry(session).or_default().push(call);
    }
    Ok(found)
}

fn mark_of(row: &Row<'_>) -> u64 {
    let bytes = |at| match row.value(at) {
        Ok(value) => value.text().unwrap_or_default().as_bytes().to_vec(),
        Err(_) => Vec::new(),
    };
    let at = row.value(1).ok().and_then(|value| value.integer()).unwrap_or(0);
    hash(&[&bytes(0), &at.to_le_bytes()])
}

fn one(row: &Row<'_>) -> Result<(String, Call), Problem> {
    let text = |at| -> Result<String, Problem> { Ok(row.value(at)?.text().unwrap_or_default().to_owned()) };
    let used = Used {
        all: total(&row.value(4)?, OF_CALL[4])?,
        input: total(&row.value(2)?, OF_CALL[2])?,
        output: total(&row.value(3)?, OF_CALL[3])?,
        read: total(&row.value(5)?, MORE_OF_CALL[0])?,
        written: total(&row.value(6)?, MORE_OF_CALL[1])?,
    };
    let call = Call {
        row: row.id,
        at_ms: row.value(1)?.integer().map_or(i64::MAX, milliseconds),
        model: text(8)?,
        tokens: used.tokens(),
        cost: dollars(&row.value(7)?),
        is_rest: text(9)? == "carried_forward",
    };
    Ok((text(0)?, call))
}

/// A time in seconds, which some messages have in milliseconds.
fn milliseconds(time: i64) -> i64 {
    if time < 100_000_000_000 {
        time.saturating_mul(1_000)
    } else {
        time
    }
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
