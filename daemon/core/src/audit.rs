//! The audit: entries that are no calls, as somebody reads them who asks who did or decided what, when and why.

mod filter;
mod text;

use std::sync::Arc;

use crate::Name;
use crate::actor::Actor;
use crate::budget::{Caller, End, Estimate, Grounds};
use crate::entry::{Body, Entry, Whose};
use crate::runaway::Episode;

pub use filter::ActFilter;

/// What an act was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// A reservation was granted.
    Granted,
    /// Reservations were refused.
    Denied,
    /// More was granted for an open one.
    Extended,
    /// A reservation was settled with the real usage.
    Settled,
    /// It was given back unused.
    Released,
    /// Its time was over.
    Expired,
    /// A budget was created or replaced.
    BudgetSet,
    /// A budget's limit was decided anew at the turn of its window, from what was used.
    BudgetAdjusted,
    /// A budget was removed.
    BudgetRemoved,
    /// A budget's limit was raised for a while.
    BudgetLifted,
    /// What was lifted was taken back.
    BudgetUnlifted,
    /// A budget's threshold was crossed.
    Alert,
    /// A session may be running away.
    Runaway,
    /// An agent's session was ended, or one was opened for calls without one.
    SessionReset,
    /// Prices were set or imported.
    PriceSet,
    /// The user's own price was removed.
    PriceRemoved,
    /// The costs of records were computed again.
    Repriced,
    /// A record of several witnesses was taken apart.
    Split,
    /// Old records were removed.
    Purged,
    /// The ledger was put in the place of another one.
    LedgerReplaced,
    /// A share was kept for a task.
    TaskAllocated,
    /// A task was completed.
    TaskCompleted,
    /// What is set for an API changed.
    ApiSet,
}

impl What {
    /// All of them.
    pub const ALL: [What; 23] = [
        What::Granted,
        What::Denied,
        What::Extended,
        What::Settled,
        What::Released,
        What::Expired,
        What::BudgetSet,
        What::BudgetAdjusted,
        What::BudgetRemoved,
        What::BudgetLifted,
        What::BudgetUnlifted,
        What::Alert,
        What::Runaway,
        What::SessionReset,
        What::PriceSet,
        What::PriceRemoved,
        What::Repriced,
        What::Split,
        What::Purged,
        What::LedgerReplaced,
        What::TaskAllocated,
        What::TaskCompleted,
        What::ApiSet,
    ];

    /// The name on the wire and in filters.
    pub fn name(self) -> &'static str {
        match self {
            What::Granted => "granted",
            What::Denied => "denied",
            What::Extended => "extended",
            What::Settled => "settled",
            What::Released => "released",
            What::Expired => "expired",
            What::BudgetSet => "budget_set",
            What::BudgetAdjusted => "budget_adjusted",
            What::BudgetRemoved => "budget_removed",
            What::BudgetLifted => "budget_lifted",
            What::BudgetUnlifted => "budget_unlifted",
            What::Alert => "alert",
            What::Runaway => "runaway",
            What::SessionReset => "session_reset",
            What::PriceSet => "price_set",
            What::PriceRemoved => "price_removed",
            What::Repriced => "repriced",
            What::Split => "split",
            What::Purged => "purged",
            What::LedgerReplaced => "ledger_replaced",
            What::TaskAllocated => "task_allocated",
            What::TaskCompleted => "task_completed",
            What::ApiSet => "api_set",
        }
    }
}

/// One act.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// Its entry.
    pub seq: u64,
    /// When the ledger accepted it, milliseconds since the epoch.
    pub at_ms: i64,
    /// What it was.
    pub what: What,
    /// Who asked for it. `None`: nobody (time did, or a rule), or it is not known.
    pub by: Option<Arc<Actor>>,
    /// For whom. Names that are not known are empty.
    pub caller: Caller,
    /// The budget that it is about, or that decided.
    pub budget: Name,
    /// The reservation's id; empty when it is about none.
    pub reservation: Name,
    /// What a decision rested on.
    pub grounds: Option<Box<Grounds>>,
    /// What was reserved.
    pub estimate: Option<Estimate>,
    /// Until when it holds, milliseconds; 0: it does not end, or that means nothing.
    pub until_ms: i64,
    /// Denials that the entry stands for; all counts add up to the number of denials.
    pub count: u64,
    /// Denials of the same kind so far.
    pub times: u64,
    /// Why, in the words of whoever did it.
    pub reason: Name,
    /// A figure of that kind of act: percent of an alert, records of a purge.
    pub figure: u64,
    /// What a session that may be running away showed.
    pub episode: Option<Box<Episode>>,
    /// The model or file that it is about.
    pub subject: Name,
}

impl Act {
    /// The act that an entry tells of. `None`: it is a call, what bills taught, or what a provider said of a limit.
    pub fn of(entry: &Entry) -> Option<Act> {
        let mut act = Act {
            seq: entry.seq,
            at_ms: entry.recorded_at_ms,
            what: What::Alert,
            by: entry.by.clone(),
            caller: Caller::default(),
            budget: "".into(),
            reservation: "".into(),
            grounds: None,
            estimate: None,
            until_ms: 0,
            count: 0,
            times: 0,
            reason: "".into(),
            figure: 0,
            episode: None,
            subject: "".into(),
        };
        act.what = match &entry.body {
            Body::Usage(_) | Body::Amend { .. } | Body::Learned(_) | Body::Quota(_) | Body::Official(_) => {
                return None;
            }
            Body::Reserved(reservation, grounds) => {
                act.caller = reservation.caller.clone();
                act.reservation = reservation.id.clone();
                act.estimate = Some(reservation.estimate);
                act.until_ms = reservation.expires_at_ms;
                act.rests_on(grounds.clone());
                What::Granted
            }
            Body::Denied(denial) => {
                act.caller = denial.caller.clone();
                act.estimate = Some(denial.estimate);
                act.rests_on(Some(Box::new(denial.grounds.clone())));
                (act.count, act.times) = (denial.count, denial.times);
                What::Denied
            }
            Body::Extended {
                id,
                whose,
                grounds,
                estimate,
                expires_at_ms,
            } => {
                act.concerns(id, whose);
                act.estimate = Some(*estimate);
                act.until_ms = *expires_at_ms;
                act.rests_on(grounds.clone());
                What::Extended
            }
            Body::Resolved { id, whose, end, .. } => {
                act.concerns(id, whose);
                match end {
                    End::Settled => What::Settled,
                    End::Released => What::Released,
                    End::Expired => What::Expired,
                }
            }
            Body::BudgetSet(json) => {
                (act.budget, act.reason) = budget_in(json);
                if act.reason.is_empty() {
                    What::BudgetSet
                } else {
                    What::BudgetAdjusted
                }
            }
            Body::BudgetRemoved(name) => {
                act.budget = name.clone();
                What::BudgetRemoved
            }
            Body::BudgetLifted { budget, lift } => {
                act.budget = budget.clone();
                act.caller.session = lift.session.clone();
                act.reason = lift.reason.clone();
                act.until_ms = if lift.until_ms == i64::MAX {
                    0
                } else {
                    lift.until_ms
                };
                act.estimate = Some(Estimate {
                    tokens: lift.by.tokens,
                    cost: Some(lift.by.cost),
                    requests: lift.by.requests,
                    ..Estimate::default()
                });
                What::BudgetLifted
            }
            Body::BudgetUnlifted { budget, session } => {
                act.budget = budget.clone();
                act.caller.session = session.clone();
                What::BudgetUnlifted
            }
            Body::BudgetAlert { budget, percent, .. } => {
                act.budget = budget.clone();
                act.figure = (*percent).into();
                What::Alert
            }
            Body::Runaway(episode) => {
                act.caller.agent = episode.agent.clone();
                act.caller.session = episode.session.clone();
                act.budget = episode.stops.first().cloned().unwrap_or_default();
                act.episode = Some(episode.clone());
                What::Runaway
            }
            Body::SessionReset { agent, started, .. } => {
                act.caller.agent = agent.clone();
                act.caller.session = started.clone();
                What::SessionReset
            }
            Body::PriceSet(json) => {
                act.figure = rows_in(json);
                What::PriceSet
            }
            Body::PriceRemoved { provider, model } => {
                act.caller.provider = provider.clone();
                act.caller.model = model.clone();
                What::PriceRemoved
            }
            Body::Repriced { records } => {
                act.figure = *records;
                What::Repriced
            }
            Body::Split {
                agent,
                session,
                model,
                calls,
            } => {
                act.caller.agent = agent.clone();
                act.caller.session = session.clone();
                act.caller.model = model.clone();
                act.figure = *calls;
                What::Split
            }
            Body::Purged { records, horizon_ms } => {
                act.figure = *records;
                act.until_ms = *horizon_ms;
                What::Purged
            }
            Body::LedgerReplaced { from, .. } => {
                act.subject = from.clone();
                What::LedgerReplaced
            }
            Body::TaskAllocated(share) => {
                act.caller.agent = share.agent.clone();
                act.caller.session = share.session.clone();
                act.caller.task = share.task.clone();
                act.figure = share.priority.into();
                act.estimate = Some(Estimate {
                    tokens: share.tokens,
                    cost: Some(share.cost),
                    ..Estimate::default()
                });
                What::TaskAllocated
            }
            Body::ApiSet(json) => {
                let change: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
                act.subject = change["api"]["name"].as_str().unwrap_or_default().into();
                act.figure = u64::from(change["removed"] == true);
                What::ApiSet
            }
            Body::TaskCompleted { session, task } => {
                act.caller.session = session.clone();
                act.caller.task = task.clone();
                What::TaskCompleted
            }
        };
        Some(act)
    }

    fn concerns(&mut self, reservation: &Name, whose: &Whose) {
        self.reservation = reservation.clone();
        self.caller.agent = whose.agent.clone();
        self.caller.session = whose.session.clone();
    }

    fn rests_on(&mut self, grounds: Option<Box<Grounds>>) {
        if let Some(binding) = grounds.as_ref().and_then(|grounds| grounds.binding.as_ref()) {
            self.budget = binding.budget.clone();
        }
        self.grounds = grounds;
    }
}

/// The name of the budget that an entry sets, and why its limit was adjusted. Empty when an older program wrote something
/// that this one cannot read.
fn budget_in(json: &str) -> (Name, Name) {
    let value: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let budget = &value["budget"];
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().into();
    (text(&budget["name"]), text(&budget["adjust"]["why"]))
}

/// How many prices an entry sets.
fn rows_in(json: &str) -> u64 {
    let rows: Vec<serde::de::IgnoredAny> = serde_json::from_str(json).unwrap_or_default();
    rows.len() as u64
}

#[cfg(test)]
mod tests;
