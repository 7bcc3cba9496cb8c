//! Tasks of an orchestrator inside a session: a share of the session's budgets is kept for each until it is complete.
//!
//! A share is kept from callers of lower priority and of the same, and from those without a task; what a task used and
//! holds is taken from its own share first. A task of higher priority may use what is kept for lower ones. Shares are
//! kept in the budgets that cover sessions and nothing else, in whatever window runs; nothing is posted or held for
//! them, so what is left goes back by itself when the task is complete.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Name;
use crate::budget::{Account, Budget, Caller, Place, Span, Unit, Used, Weights};
use crate::entry::Record;
use crate::limits::{
    MAX_COMPLETED_TASKS, MAX_NAME_BYTES, MAX_REPORTED_USD, MAX_RESERVED_TOKENS, MAX_TASK_PRIORITY, MAX_TASKS,
};
use crate::money::{PICO_PER_USD, Pico};
use crate::refusal::Refusal;
use crate::rollup::Agg;

/// A share that somebody wants to be kept for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Whose session; empty: "api".
    pub agent: Name,
    /// The session.
    pub session: Name,
    /// The task in it.
    pub task: Name,
    /// 0 to 9; the higher one goes first.
    pub priority: u32,
    /// Tokens, of all kinds.
    pub tokens: u64,
    /// Money; zero: no share in money.
    pub cost: Pico,
}

/// A task with what it used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What was allocated to it.
    pub allocation: Allocation,
    /// What its calls have used since it was allocated.
    pub used: Used,
    /// What its open reservations hold.
    pub pending: Used,
    /// When it was allocated first.
    pub allocated_at_ms: i64,
    /// When it was completed; 0: it is open.
    pub completed_at_ms: i64,
}

impl Task {
    /// Whether a share is kept for it.
    pub fn is_open(&self) -> bool {
        self.completed_at_ms == 0
    }

    /// What is still kept for it.
    pub fn left(&self) -> Used {
        let (share, used, held) = (&self.allocation, &self.used, &self.pending);
        if !self.is_open() {
            return Used::default();
        }
        let taken = used.tokens.saturating_add(held.tokens);
        Used {
            tokens: share.tokens.saturating_sub(taken),
            cost: Pico((share.cost.0 - used.cost.0 - held.cost.0).max(0)),
            requests: 0,
        }
    }
}

impl Allocation {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn checked(mut self) -> Result<Allocation, Refusal> {
        if self.agent.is_empty() {
            self.agent = "api".into();
        }
        for (field, name) in [
            ("agent", &self.agent),
            ("session", &self.session),
            ("task", &self.task),
        ] {
            if !(1..=MAX_NAME_BYTES).contains(&name.len()) {
                let allowed = format!("1 to {MAX_NAME_BYTES} bytes");
                return Err(Refusal::invalid(
                    field,
                    format!("{} bytes long", name.len()),
                    allowed,
                ));
            }
        }
        if self.priority > MAX_TASK_PRIORITY {
            let allowed = format!("0 to {MAX_TASK_PRIORITY}");
            return Err(Refusal::invalid("priority", self.priority.to_string(), allowed));
        }
        if self.tokens > MAX_RESERVED_TOKENS {
            let allowed = format!("up to {MAX_RESERVED_TOKENS}");
            return Err(Refusal::invalid("tokens", self.tokens.to_string(), allowed));
        }
        if self.cost < Pico::ZERO || self.cost.0 > MAX_REPORTED_USD * PICO_PER_USD {
            let allowed = format!("0 to {MAX_REPORTED_USD} dollars");
            return Err(Refusal::invalid("usd", format!("${}", self.cost), allowed));
        }
        if self.tokens == 0 && self.cost == Pico::ZERO {
            return Err(Refusal::invalid(
                "tokens",
                "nothing is allocated",
                "tokens or usd above 0",
            ));
        }
        Ok(self)
    }
}

/// Every open task, and the last that were completed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tasks {
    /// By session and task.
    all: BTreeMap<(Name, Name), Task>,
    open: usize,
}

impl Tasks {
    /// One of them.
    pub fn get(&self, session: &str, task: &str) -> Option<&Task> {
        self.all.get(&(session.into(), task.into()))
    }

    /// Those of a session, or all, by name.
    pub fn of<'a>(&'a self, session: Option<&'a str>) -> impl Iterator<Item = &'a Task> {
        let first = (Name::from(session.unwrap_or_default()), Name::from(""));
        self.all
            .range(first..)
            .map(|(_, task)| task)
            .take_while(move |task| session.is_none_or(|session| *task.allocation.session == *session))
    }

    /// Whether one more can be opened.
    pub(crate) fn are_too_many(&self) -> bool {
        self.open >= MAX_TASKS
    }

    /// What is kept in a session's budget from somebody who asks.
    pub(crate) fn kept(&self, budget: &Budget, caller: &Caller) -> Used {
        let mut kept = Used::default();
        if self.open == 0 || !budget.is_of_sessions() {
            return kept;
        }
        let per_session = budget.window == Span::Session;
        let sessions = budget.scope.sessions.iter().map(String::as_str);
        let sessions = sessions.filter(|session| !per_session || *session == &*caller.session);
        let alone = (per_session && budget.scope.sessions.is_empty()).then_some(&*caller.session);
        let own = self
            .get(&caller.session, &caller.task)
            .filter(|task| task.is_open());
        for session in sessions.chain(alone) {
            for task in self.of(Some(session)) {
                let mine = own.is_some_and(|own| std::ptr::eq(own, task));
                let lower = own.is_some_and(|own| task.allocation.priority < own.allocation.priority);
                if !mine && !lower {
                    kept.add(&task.left());
                }
            }
        }
        kept
    }

    pub(crate) fn allocate(&mut self, allocation: &Allocation, pending: Used, now_ms: i64) {
        let key = (allocation.session.clone(), allocation.task.clone());
        if let Some(task) = self.all.get_mut(&key).filter(|task| task.is_open()) {
            task.allocation = allocation.clone();
            return;
        }
        let task = Task {
            allocation: allocation.clone(),
            used: Used::default(),
            pending,
            allocated_at_ms: now_ms,
            completed_at_ms: 0,
        };
        self.all.insert(key, task);
        self.open += 1;
    }

    pub(crate) fn complete(&mut self, session: &Name, task: &Name, now_ms: i64) {
        let Some(task) = self.all.get_mut(&(session.clone(), task.clone())) else {
            return;
        };
        if !task.is_open() {
            return;
        }
        task.completed_at_ms = now_ms;
        self.open -= 1;
        if self.all.len() - self.open > MAX_COMPLETED_TASKS {
            let done = self.all.iter().filter(|(_, task)| !task.is_open());
            let first = done.min_by_key(|(_, task)| task.completed_at_ms);
            first.map(|(key, _)| key.clone()).map(|key| self.all.remove(&key));
        }
    }

    /// The task of a call or of a reservation, if it has a share.
    fn of_caller(&mut self, session: &Name, task: &Name) -> Option<&mut Task> {
        if task.is_empty() || self.all.is_empty() {
            return None;
        }
        self.all.get_mut(&(session.clone(), task.clone()))
    }

    /// Whether a call changes anything here.
    pub(crate) fn concerns(&self, session: &Name, task: &Name) -> bool {
        !task.is_empty() && !self.all.is_empty() && self.all.contains_key(&(session.clone(), task.clone()))
    }

    pub(crate) fn count(&mut self, record: &Record, previous: Option<&Record>) {
        let used = |record: &Record| Used::of(&Agg::of(record), &Weights::default());
        if let Some(previous) = previous
            && let Some(task) = self.of_caller(&previous.seen.who.session, &previous.seen.task)
        {
            task.used.sub(&used(previous));
            task.used.cost = task.used.cost.max(Pico::ZERO);
        }
        if let Some(task) = self.of_caller(&record.seen.who.session, &record.seen.task) {
            task.used.add(&used(record));
        }
    }

    pub(crate) fn hold(&mut self, caller: &Caller, amount: &Used) {
        if let Some(task) = self.of_caller(&caller.session, &caller.task) {
            task.pending.add(amount);
        }
    }

    pub(crate) fn give_back(&mut self, caller: &Caller, amount: &Used) {
        if let Some(task) = self.of_caller(&caller.session, &caller.task) {
            task.pending.sub(amount);
        }
    }

    pub(crate) fn save(&self) -> Vec<Task> {
        self.all.values().cloned().collect()
    }

    pub(crate) fn load(saved: Vec<Task>) -> Tasks {
        let key = |task: &Task| (task.allocation.session.clone(), task.allocation.task.clone());
        Tasks {
            open: saved.iter().filter(|task| task.is_open()).count(),
            all: saved.into_iter().map(|task| (key(&task), task)).collect(),
        }
    }
}

/// A budget of a session as it stands for a share of one of its tasks.
pub(crate) struct Room<'a> {
    pub(crate) account: &'a Account,
    pub(crate) standing: crate::budget::Standing,
    pub(crate) unit: Unit,
    pub(crate) limit: i128,
    pub(crate) kept: i128,
    pub(crate) asked: i128,
}

impl Room<'_> {
    /// Whether the share can be kept.
    pub(crate) fn fits(&self) -> bool {
        self.standing.taken(self.unit) + self.kept + self.asked <= self.limit
    }
}

/// Every limit of the session that a share has to fit in. Empty: the session has none.
pub(crate) fn rooms<'a>(
    budgets: impl Iterator<Item = &'a Account>,
    tasks: &Tasks,
    wanted: &Allocation,
    now_ms: i64,
) -> Vec<Room<'a>> {
    let place = Place {
        at_ms: now_ms,
        agent: &wanted.agent,
        session: &wanted.session,
    };
    // As it would be: its own share counts for its priority, what it used already is no part of what is kept.
    let mut then = tasks.clone();
    let key = (wanted.session.clone(), wanted.task.clone());
    let before = tasks.get(&wanted.session, &wanted.task);
    let asker = Task {
        allocation: wanted.clone(),
        used: before.map_or_else(Used::default, |task| task.used),
        pending: before.map_or_else(Used::default, |task| task.pending),
        allocated_at_ms: now_ms,
        completed_at_ms: 0,
    };
    let asked = asker.left();
    then.open += usize::from(before.is_none_or(|task| !task.is_open()));
    then.all.insert(key, asker);
    let caller = Caller {
        agent: wanted.agent.clone(),
        session: wanted.session.clone(),
        task: wanted.task.clone(),
        ..Caller::default()
    };
    let mut rooms = Vec::new();
    for account in budgets {
        let budget = account.budget();
        if !(budget.enforces() && budget.is_of_sessions() && budget.scope.covers(&caller)) {
            continue;
        }
        let standing = account.standing(&place, now_ms);
        let kept = then.kept(budget, &caller);
        for unit in [Unit::Tokens, Unit::Usd] {
            let Some(limit) = standing.limits[unit as usize] else {
                continue;
            };
            rooms.push(Room {
                account,
                standing,
                unit,
                limit,
                kept: kept.amount(unit),
                asked: if account.is_lifted(&wanted.session, now_ms) {
                    0
                } else {
                    asked.amount(unit)
                },
            });
        }
    }
    rooms
}
