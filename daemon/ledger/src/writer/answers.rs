//! Answers that wait until what they tell of is durable.

use std::collections::HashMap;

use tokio::sync::OwnedSemaphorePermit;
use tokmon_core::Name;
use tokmon_core::budget::Crossing;
use tokmon_core::entry::Record;
use tokmon_core::price::Costing;
use tokmon_core::rollup::Agg;

use crate::answer::{Changed, Claimed, Imported, Outcome, Receipt};
use crate::error::LedgerError;
use crate::ops::{Claims, Reply};
use crate::shared::Shared;
use crate::store::SessionRow;

/// One answer.
pub(crate) enum Answer {
    Record(Reply<Vec<Receipt>>, Vec<Pending>),
    Change(Reply<Changed>, Changed),
    Claim(Reply<Claims>, Vec<Result<Owed, LedgerError>>),
    Import(Reply<Imported>, Imported, OwnedSemaphorePermit),
    Reprice(Reply<u64>, u64, OwnedSemaphorePermit),
}

/// What became of a claim; a receipt waits for its session's totals.
pub(crate) enum Owed {
    Now(Claimed),
    Settled(Box<Pending>, bool),
}

/// A receipt without the totals of its session, which are known when it is durable.
pub(crate) struct Pending {
    pub(crate) seq: u64,
    pub(crate) outcome: Outcome,
    pub(crate) record: Record,
    pub(crate) costing: Option<Costing>,
    pub(crate) alerts: Vec<Crossing>,
}

/// The totals of the sessions that the answers tell of, by agent and session.
type Sessions = HashMap<(Name, Name), SessionRow>;

/// Says to all of them that it is done. Who asked may have gone away; then nobody hears it.
pub(crate) fn deliver(answers: Vec<Answer>, shared: &Shared) {
    let sessions = sessions(&answers, shared);
    for answer in answers {
        match answer {
            Answer::Record(reply, pending) => drop(reply.send(match &sessions {
                Ok(sessions) => Ok(receipts(sessions, pending)),
                Err(why) => Err(LedgerError::Unavailable(why.clone())),
            })),
            Answer::Change(reply, entries) => drop(reply.send(Ok(entries))),
            Answer::Claim(reply, owed) => {
                let claims = owed.into_iter().map(|owed| claimed(&sessions, owed?)).collect();
                drop(reply.send(Ok(claims)));
            }
            Answer::Import(reply, imported, _permit) => drop(reply.send(Ok(imported))),
            Answer::Reprice(reply, changed, _permit) => drop(reply.send(Ok(changed))),
        }
    }
}

impl Answer {
    /// Says that it was not done, or that nobody knows.
    pub(crate) fn fail(self, error: LedgerError) {
        match self {
            Answer::Record(reply, _) => drop(reply.send(Err(error))),
            Answer::Change(reply, _) => drop(reply.send(Err(error))),
            Answer::Claim(reply, _) => drop(reply.send(Err(error))),
            Answer::Import(reply, ..) => drop(reply.send(Err(error))),
            Answer::Reprice(reply, ..) => drop(reply.send(Err(error))),
        }
    }
}

fn claimed(sessions: &Result<Sessions, String>, owed: Owed) -> Result<Claimed, LedgerError> {
    match owed {
        Owed::Now(claimed) => Ok(claimed),
        Owed::Settled(pending, late) => {
            let sessions = sessions.as_ref();
            let sessions = sessions.map_err(|why| LedgerError::Unavailable(why.clone()))?;
            let receipt = receipts(sessions, vec![*pending]).pop();
            let receipt = receipt.ok_or(LedgerError::Closed)?;
            Ok(Claimed::Settled(Box::new(receipt), late))
        }
    }
}

fn receipts(sessions: &Sessions, pending: Vec<Pending>) -> Vec<Receipt> {
    let receipt = |pending: Pending| Receipt {
        session: row(sessions, &pending.record),
        seq: pending.seq,
        outcome: pending.outcome,
        record: pending.record,
        costing: pending.costing,
        alerts: pending.alerts,
    };
    pending.into_iter().map(receipt).collect()
}

fn who(record: &Record) -> (Name, Name) {
    let who = &record.seen.who;
    (who.agent.clone(), who.session.clone())
}

/// Reads every session once, all from one snapshot.
fn sessions(answers: &[Answer], shared: &Shared) -> Result<Sessions, String> {
    let mut asked: Vec<(Name, Name)> = Vec::new();
    for answer in answers {
        match answer {
            Answer::Record(_, pending) => asked.extend(pending.iter().map(|p| who(&p.record))),
            Answer::Claim(_, owed) => asked.extend(owed.iter().filter_map(|owed| match owed {
                Ok(Owed::Settled(pending, _)) => Some(who(&pending.record)),
                _ => None,
            })),
            _ => {}
        }
    }
    if asked.is_empty() {
        return Ok(Sessions::new());
    }
    asked.sort_unstable();
    asked.dedup();
    let rows = shared.slot.read(|store| Ok(store.sessions_of(&asked)?));
    let rows =
        rows.map_err(|error| format!("this was written, but its session could not be read: {error}"))?;
    let found = asked.into_iter().zip(rows);
    Ok(found.filter_map(|(who, row)| Some((who, row?))).collect())
}

fn row(sessions: &Sessions, record: &Record) -> SessionRow {
    let found = sessions.get(&who(record)).cloned();
    found.unwrap_or_else(|| {
        let who = &record.seen.who;
        SessionRow {
            session: who.session.clone(),
            agent: who.agent.clone(),
            project: who.project.clone(),
            user: who.user.clone(),
            agg: Agg::empty(),
        }
    })
}
