//! Holds what agents say that their sessions cost against what the ledger knows of them.

use std::sync::Arc;
use std::time::Duration;

use tokmon_core::Name;
use tokmon_core::limits::MAX_PAGE;
use tokmon_core::money::Pico;
use tokmon_core::official::{Holds, Told as Official, Verdict};
use tokmon_core::report::Filter;
use tokmon_ledger::{LedgerError, SessionRow, SessionsQuery};
use tracing::debug;

use super::{Session, Told};
use crate::context::Context;

/// Shortest pause before a difference is looked at again: a clock that jumped may make it due at once, and again.
const PAUSE: Duration = Duration::from_secs(1);
/// How far back a session may lie whose counter another one goes on with: what is resumed is rarely older.
const CARRIED_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Looks whenever a total was told and when a difference has stayed long enough. Never wakes while there is none.
pub(crate) async fn run(app: Arc<Context>) {
    loop {
        let wait = app.statuslines.next_due_ms().map(|due| {
            let ms = due.saturating_sub(app.clock.now_ms());
            Duration::from_millis(u64::try_from(ms).unwrap_or(0)).max(PAUSE)
        });
        tokio::select! {
            () = tokio::time::sleep(wait.unwrap_or(PAUSE)), if wait.is_some() => {}
            () = app.statuslines.looks.notified() => {}
            () = app.cancel.cancelled() => return,
        }
        for due in app.statuslines.to_look_at(app.clock.now_ms()) {
            if let Err(e) = look(&app, due).await {
                debug!("a session's total was not held against the ledger: {e}");
            }
        }
    }
}

async fn look(app: &Arc<Context>, due: Due) -> Result<(), LedgerError> {
    let (here, of) = (app.clone(), due.clone());
    let read = tokio::task::spawn_blocking(move || read(&here, &of)).await;
    let Ok(known) = read else { return Ok(()) };
    let known = known?;
    let Due { session, told, .. } = due;
    let Some(verdict) = app.statuslines.judge(app, &session, &told, &known) else {
        return Ok(());
    };
    let (agent, session) = session;
    let project = known.row.map_or(told.project, |row| row.project);
    let Verdict { own, carried, at_ms } = verdict;
    let official = Official {
        agent,
        session,
        own,
        carried,
        at_ms,
        model: told.model,
        project,
    };
    app.ledger.note_official(official).await
}

/// A session to look at.
#[derive(Clone)]
struct Due {
    session: Session,
    told: Told,
    /// A difference has stayed long enough; otherwise a total was told.
    is_due: bool,
}

/// What the ledger knows of a session and those beside it.
struct Known {
    row: Option<SessionRow>,
    /// What other sessions have cost whose counter it may go on with.
    others: Pico,
}

/// Blocks.
fn read(app: &Context, due: &Due) -> Result<Known, LedgerError> {
    let (agent, session) = &due.session;
    let row = app.ledger.session(agent, session)?;
    // Others matter once, when a difference is to be judged whose counter is not known.
    let is_open = app.ledger.state().officials.get(agent, session).is_none();
    let others = match due.is_due && is_open {
        true => others(app, due, row.as_ref())?,
        false => Pico::ZERO,
    };
    Ok(Known { row, others })
}

/// What sessions have cost whose counter this one may go on with: the agent's in the same project, unless they are alive.
fn others(app: &Context, due: &Due, row: Option<&SessionRow>) -> Result<Pico, LedgerError> {
    let (agent, session) = &due.session;
    let now_ms = app.clock.now_ms();
    let row = row.filter(|row| !row.agg.is_empty());
    let begin_ms = row.map_or(now_ms, |row| row.agg.first_ms);
    let project: &Name = row.map_or(&due.told.project, |row| &row.project);
    let recent = app.ledger.sessions(&SessionsQuery {
        from_ms: Some(now_ms - CARRIED_MS),
        filter: Filter {
            agents: vec![agent.to_string()],
            ..Filter::default()
        },
        page_size: MAX_PAGE,
        ..SessionsQuery::default()
    })?;
    let lines = app.statuslines.all();
    // One that still shows a line of its own has a counter of its own.
    let lives = |other: &Name| {
        let mut told = lines
            .iter()
            .filter(|((by, session), _)| by == agent && session == other);
        told.any(|(_, told)| told.at_ms > begin_ms)
    };
    let before = recent.items.iter().filter(|other| {
        other.session != *session
            && (project.is_empty() || other.project.is_empty() || other.project == *project)
            && !lives(&other.session)
    });
    Ok(before.map(|row| row.agg.cost).sum())
}

impl super::Statuslines {
    /// When the next difference has stayed long enough.
    fn next_due_ms(&self) -> Option<i64> {
        self.lock().values().filter_map(|line| line.sight.due_ms()).min()
    }

    /// The sessions that were told of since the last look, or whose difference has stayed long enough.
    fn to_look_at(&self, now_ms: i64) -> Vec<Due> {
        let mut lines = self.lock();
        let due = lines.iter_mut().filter_map(|(session, line)| {
            let is_due = line.sight.due_ms().is_some_and(|due| due <= now_ms);
            let is_new = std::mem::take(&mut line.is_new);
            (is_due || is_new).then(|| Due {
                session: session.clone(),
                told: line.told.clone(),
                is_due,
            })
        });
        due.collect()
    }

    fn judge(&self, app: &Context, session: &Session, told: &Told, known: &Known) -> Option<Verdict> {
        let state = app.ledger.state();
        let kept = state.officials.get(&session.0, &session.1);
        let booked = kept.map_or(Pico::ZERO, |kept| kept.booked());
        let (cost, unpriced) = known
            .row
            .as_ref()
            .map_or((Pico::ZERO, 0), |row| (row.agg.cost, row.agg.unpriced_requests));
        let holds = Holds {
            known: cost - booked,
            booked,
            unpriced,
        };
        let now_ms = app.clock.now_ms();
        let mut lines = self.lock();
        let sight = &mut lines.get_mut(session)?.sight;
        match told.cost.filter(|cost| *cost >= Pico::ZERO) {
            Some(cost) => sight.hear(cost, holds, kept, now_ms),
            None => sight.look(holds, now_ms),
        }
        sight.verdict(holds, kept.is_some(), now_ms, || known.others)
    }
}
