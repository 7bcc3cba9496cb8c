//! Answers that wait until what they tell of is durable.

use tokio::sync::OwnedSemaphorePermit;
use tokmon_core::budget::Crossing;
use tokmon_core::entry::Record;
use tokmon_core::price::Costing;
use tokmon_core::rollup::Agg;

use crate::answer::{Changed, Imported, Outcome, Receipt};
use crate::error::LedgerError;
use crate::ops::Reply;
use crate::shared::Shared;
use crate::store::SessionRow;

/// One answer.
pub(crate) enum Answer {
    Record(Reply<Vec<Receipt>>, Vec<Pending>),
    Change(Reply<Changed>, Changed),
    Import(Reply<Imported>, Imported, OwnedSemaphorePermit),
    Reprice(Reply<u64>, u64, OwnedSemaphorePermit),
}

/// A receipt without the totals of its session, which are known when it is durable.
pub(crate) struct Pending {
    pub(crate) seq: u64,
    pub(crate) outcome: Outcome,
    pub(crate) record: Record,
    pub(crate) costing: Option<Costing>,
    pub(crate) alerts: Vec<Crossing>,
}

impl Answer {
    /// Says that it is done. Who asked may have gone away; then nobody hears it.
    pub(crate) fn deliver(self, shared: &Shared) {
        match self {
            Answer::Record(reply, pending) => drop(reply.send(receipts(shared, pending))),
            Answer::Change(reply, entries) => drop(reply.send(Ok(entries))),
            Answer::Import(reply, imported, _permit) => drop(reply.send(Ok(imported))),
            Answer::Reprice(reply, changed, _permit) => drop(reply.send(Ok(changed))),
        }
    }

    /// Says that it was not done, or that nobody knows.
    pub(crate) fn fail(self, error: LedgerError) {
        match self {
            Answer::Record(reply, _) => drop(reply.send(Err(error))),
            Answer::Change(reply, _) => drop(reply.send(Err(error))),
            Answer::Import(reply, ..) => drop(reply.send(Err(error))),
            Answer::Reprice(reply, ..) => drop(reply.send(Err(error))),
        }
    }
}

fn receipts(shared: &Shared, pending: Vec<Pending>) -> Result<Vec<Receipt>, LedgerError> {
    let mut receipts: Vec<Receipt> = Vec::with_capacity(pending.len());
    for pending in pending {
        let who = &pending.record.seen.who;
        let same = |r: &&Receipt| r.session.session == who.session && r.session.agent == who.agent;
        let session = match receipts.last().filter(same) {
            Some(former) => former.session.clone(),
            None => session(shared, &pending.record)?,
        };
        receipts.push(Receipt {
            seq: pending.seq,
            outcome: pending.outcome,
            record: pending.record,
            costing: pending.costing,
            session,
            alerts: pending.alerts,
        });
    }
    Ok(receipts)
}

fn session(shared: &Shared, record: &Record) -> Result<SessionRow, LedgerError> {
    let who = &record.seen.who;
    let row = shared
        .slot
        .read(|store| Ok(store.session(&who.agent, &who.session)?));
    let row = row.map_err(|error| {
        LedgerError::Unavailable(format!(
            "this was written, but its session could not be read: {error}"
        ))
    })?;
    Ok(row.unwrap_or_else(|| SessionRow {
        session: who.session.clone(),
        agent: who.agent.clone(),
        project: who.project.clone(),
        user: who.user.clone(),
        agg: Agg::empty(),
    }))
}
