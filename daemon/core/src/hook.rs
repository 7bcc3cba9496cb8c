//! Hooks: whether an agent may go on, asked by its own hook before the next call of a model.
//!
//! A hook does not know what the next call will use, so the rule is simple: an agent may go on while every budget that
//! refuses and covers it has something left. What cannot be told falls to the budget's own policy for that
//! ([`Unreachable`]): a budget that is closed then covers, and refuses, whenever it cannot be ruled out.

mod memory;

use jiff::Timestamp;

use crate::Name;
use crate::budget::{Account, Binding, Caller, Grounds, Scope, Span, Standing, Unit, Unreachable};
use crate::model;
use crate::money::{PICO_PER_USD, Pico};
use crate::runaway::Stop;
use crate::state::State;
pub use memory::{Fired, Memory, Streak};

/// Denials of one session in a row from which on its agent is told to stop altogether.
pub const STOP_AFTER: u32 = 3;

/// What a hook asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Who is about to spend. Empty fields are not known.
    pub caller: Caller,
    /// The event as the agent names it; empty: not known.
    pub event: Name,
    /// What may come of it.
    pub point: Point,
    /// The agent's message was understood whole.
    pub whole: bool,
}

/// Where in an agent's work a hook fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Refusing here keeps a model from being called.
    Gate,
    /// Refusing here would not save anything: it is only taken note of.
    Signal,
    /// An event that this program does not know: only budgets that are closed refuse.
    Unknown,
}

/// What a hook answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Not now.
    Deny,
    /// Not now, and end what is under way: it was denied again and again.
    Stop,
}

impl Verdict {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
            Verdict::Stop => "stop",
        }
    }

    /// The verdict on a session that was denied so many times in a row.
    pub fn after(denials: u32) -> Verdict {
        match denials {
            0 => Verdict::Allow,
            n if n < STOP_AFTER => Verdict::Deny,
            _ => Verdict::Stop,
        }
    }
}

/// Why an agent may not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The budget in the way.
    pub budget: Name,
    /// How it stands.
    pub grounds: Grounds,
    /// When there is room again by itself; 0: never.
    pub resets_at_ms: i64,
    /// Which budget, how it stands, when it resets and how to lift it.
    pub message: String,
}

/// Fills in what the state knows of somebody: the model is that of the session's last call, or of the agent's.
pub fn completed(mut caller: Caller, state: &State, user: &Name) -> Caller {
    if caller.user.is_empty() {
        caller.user = user.clone();
    }
    if caller.model.is_empty()
        && let Some(model) = state.habits.model(&caller.agent, &caller.session)
    {
        caller.model = model.clone();
    }
    if caller.provider.is_empty() {
        caller.provider = model::guess_provider(&caller.model).unwrap_or_default().into();
    }
    caller
}

/// The budget that keeps an agent from going on. `None`: it may. Of several it is the one that stays in the way longest.
pub fn refused(state: &State, question: &Question, now_ms: i64) -> Option<Refused> {
    if question.point == Point::Signal {
        return None;
    }
    let blocked = |account: &Account| block(account, question, now_ms);
    let all = state.budgets.values().filter_map(|account| blocked(account));
    all.max_by_key(|refused| match refused.resets_at_ms {
        0 => i64::MAX,
        end => end,
    })
}

fn block(account: &Account, question: &Question, now_ms: i64) -> Option<Refused> {
    let (budget, caller) = (account.budget(), &question.caller);
    let closed = budget.unreachable == Unreachable::Deny;
    if let Some(stop) = account.stopped(&caller.agent, &caller.session)
        && !budget.shadow
        && !account.is_lifted(&caller.session, now_ms)
        && question.point == Point::Gate
    {
        return Some(stopped(&budget.name, stop));
    }
    if !budget.enforces()
        || account.is_lifted(&caller.session, now_ms)
        || (question.point == Point::Unknown && !closed)
    {
        return None;
    }
    if !may_cover(&budget.scope, caller, closed) {
        return None;
    }
    let nameless = budget.window == Span::Session && caller.session.is_empty();
    if closed && (!question.whole || nameless) {
        let message = format!(
            "tokmon: the hook's input was not understood, and budget {} is set to deny then. \
             See `tokmonctl budget show {0}`; to go on: `tokmonctl budget lift {0}`.",
            budget.name
        );
        return Some(Refused {
            budget: budget.name.clone(),
            grounds: Grounds::refused_by(budget.name.clone(), Unit::Requests, 0),
            resets_at_ms: 0,
            message,
        });
    }
    let standing = account.standing(&caller.place(now_ms), now_ms);
    let unit = Unit::ALL
        .into_iter()
        .find(|&unit| standing.available(unit) == Some(0))?;
    let binding = Binding {
        budget: budget.name.clone(),
        unit,
        limit: standing.limits[unit as usize].unwrap_or_default(),
        posted: standing.posted.amount(unit),
        pending: standing.pending.amount(unit),
        kept: 0,
        available: 0,
        asked: 0,
        resets_at_ms: standing.resets_at_ms,
    };
    Some(Refused {
        budget: budget.name.clone(),
        grounds: Grounds {
            binding: Some(binding),
            would_deny: Vec::new(),
        },
        resets_at_ms: standing.resets_at_ms,
        message: sentence(account, &standing, unit, now_ms),
    })
}

fn stopped(budget: &Name, stop: &Stop) -> Refused {
    let episode = stop.sign.meaning();
    let message = format!(
        "tokmon: budget {budget} has stopped this session, because it {episode}. To go on: \
         `tokmonctl budget lift {budget} --session {}`.",
        stop.session
    );
    Refused {
        budget: budget.clone(),
        grounds: Grounds::refused_by(budget.clone(), Unit::Requests, 0),
        resets_at_ms: 0,
        message,
    }
}

/// Whether a budget covers somebody of whom not everything is known. A closed one covers what it may cover.
fn may_cover(scope: &Scope, caller: &Caller, closed: bool) -> bool {
    let lists = [
        (&scope.agents, &caller.agent),
        (&scope.models, &caller.model),
        (&scope.projects, &caller.project),
        (&scope.sessions, &caller.session),
        (&scope.users, &caller.user),
        (&scope.providers, &caller.provider),
    ];
    // The next call is that of no tool and of no task in particular.
    scope.tools.is_empty()
        && scope.tasks.is_empty()
        && lists.iter().all(|(list, value)| match value.is_empty() {
            true => list.is_empty() || closed,
            false => list.is_empty() || list.iter().any(|name| **name == ***value),
        })
}

fn sentence(account: &Account, standing: &Standing, unit: Unit, now_ms: i64) -> String {
    let name = &account.budget().name;
    let limit = standing.limits[unit as usize].unwrap_or_default();
    let (posted, held) = (standing.posted.amount(unit), standing.pending.amount(unit));
    let (amount, of): (fn(i128) -> String, &str) = match unit {
        Unit::Tokens => (|n| n.to_string(), " tokens"),
        Unit::Usd => (|n| dollars(Pico(n)), ""),
        Unit::Requests => (|n| n.to_string(), " calls"),
    };
    let (used, most) = (amount(posted), amount(limit));
    let mut text = format!("tokmon: budget {name} is used up: {used} of {most}{of}");
    if held > 0 {
        text.push_str(&format!(", and reservations hold {}", amount(held)));
    }
    match standing.resets_at_ms {
        0 if account.budget().window == Span::Session => text.push_str(" in this session."),
        0 => text.push_str(". It does not reset by itself."),
        at => text.push_str(&format!(". It resets {}.", when(account, at, now_ms))),
    }
    text.push_str(&format!(" To go on now: `tokmonctl budget lift {name}`."));
    text
}

/// An instant in the budget's own zone, and how far it is.
fn when(account: &Account, at_ms: i64, now_ms: i64) -> String {
    let minutes = (at_ms.saturating_sub(now_ms).max(0) + 59_999) / 60_000;
    let far = match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, 0, m) => format!("{m} min"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, h, _) => format!("{d} d {h} h"),
    };
    let at = Timestamp::from_millisecond(at_ms).map(|at| at.to_zoned(account.zone().clone()));
    match at {
        Ok(at) => format!("{}, in {far}", at.strftime("%Y-%m-%d %H:%M %Z")),
        Err(_) => format!("in {far}"),
    }
}

/// Dollars to the cent; small amounts to the hundredth of one.
fn dollars(amount: Pico) -> String {
    let digits = if amount.0.abs() < PICO_PER_USD { 4 } else { 2 };
    let unit = PICO_PER_USD / 10_i128.pow(digits);
    // Upwards: what is over its limit must not look as if it were not.
    let rounded =
        Pico(amount.0.div_euclid(unit) * unit + if amount.0.rem_euclid(unit) > 0 { unit } else { 0 });
    format!("${rounded}")
}

#[cfg(test)]
mod tests;
