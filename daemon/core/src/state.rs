//! The fold: what the ledger's entries add up to, one after the other.
//!
//! [`State`] is what everybody may look at; [`Draft`] is the writer's own, with the memory of the waste rules beside
//! it. Applying the same entries to the same draft gives the same state, so a checkpoint and the entries after it
//! are as good as all of them.

mod alarm;
mod budget;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub(crate) use budget::BudgetEntry;

use crate::Name;
use crate::api::{Api, Apis};
use crate::budget::{
    Account, Caller, Crossing, End, Estimate, Habits, Reservation, Reservations, Used, Weights,
};
use crate::calibration::{Bill, Calibrations};
use crate::denial::{Denials, SavedRun};
use crate::entry::{AmendReason, Body, Entry, Record};
use crate::merge::same_usage;
use crate::official::{Heard, Official, Officials};
use crate::price::{Origin, PriceBook, PriceRow};
use crate::quota::{Quotas, Reading};
use crate::runaway::{RunawayRules, Stop, Watch};
use crate::session::Sessions;
use crate::task::{Allocation, Task, Tasks};
use crate::waste::{Recent, WasteRules};
use crate::witness::Spans;

/// What the rules go by, apart from the entries.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The prices that came with the program.
    pub bundled: PriceBook,
    /// The waste rules.
    pub waste: WasteRules,
    /// When a session may be running away.
    pub runaway: RunawayRules,
    /// Notes of calls are kept.
    pub keep_notes: bool,
    /// The zone of budgets that name none.
    pub zone: TimeZone,
    /// Finds a zone by its IANA name.
    pub zones: fn(&str) -> Option<TimeZone>,
    /// Who calls that name no user belong to.
    pub user: Name,
}

/// What the ledger stands at.
#[derive(Debug, Clone)]
pub struct State {
    /// Prices: the bundled ones, with what the user imported and set.
    pub book: PriceBook,
    /// Budgets by name.
    pub budgets: BTreeMap<Name, Arc<Account>>,
    /// Current sessions.
    pub sessions: Sessions,
    /// What is set for external APIs, by name.
    pub apis: Arc<Apis>,
    /// Tasks with shares of their sessions' budgets.
    pub tasks: Arc<Tasks>,
    /// What agents usually do, for estimates.
    pub habits: Arc<Habits>,
    /// What bills taught, for estimates.
    pub calibrations: Arc<Calibrations>,
    /// What providers said of the limits of subscriptions.
    pub quotas: Arc<Quotas>,
    /// What agents say that their sessions cost.
    pub officials: Arc<Officials>,
    /// When the next open reservation expires, denials are to be told of, or a limit is to be decided anew.
    pub next_expiry_ms: Option<i64>,
    /// How many reservations are open.
    pub open_reservations: usize,
    /// Records of calls that ended before this instant were purged; 0: none.
    pub purge_horizon_ms: i64,
    /// The last entry.
    pub last_seq: u64,
    /// When it was accepted. Never decreases.
    pub last_recorded_ms: i64,
    /// When which kind of witness saw calls.
    pub spans: Spans,
}

/// The writer's state.
#[derive(Debug)]
pub struct Draft {
    /// What everybody may look at.
    pub state: State,
    /// Open reservations, and the last that have ended.
    pub reservations: Reservations,
    pub(crate) denials: Denials,
    watch: Watch,
    /// What follows from the last entry and becomes entries after it.
    follows: Vec<Body>,
    /// When the next limit is to be decided anew.
    next_adjust_ms: Option<i64>,
    pub(crate) recent: Recent,
    pub(crate) rules: Arc<Rules>,
}

/// Version of the checkpoint. Another one is not read: then all entries are applied again.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    version: u32,
    last_seq: u64,
    last_recorded_ms: i64,
    purge_horizon_ms: i64,
    sessions: Sessions,
    budgets: Vec<BudgetEntry>,
    prices: Vec<PriceRow>,
    recent: Recent,
    #[serde(default)]
    habits: Habits,
    #[serde(default)]
    calibrations: Calibrations,
    #[serde(default)]
    reservations: crate::budget::SavedReservations,
    #[serde(default)]
    tasks: Vec<Task>,
    #[serde(default)]
    apis: Vec<Arc<Api>>,
    #[serde(default)]
    denials: Vec<SavedRun>,
    #[serde(default = "Spans::unknown")]
    spans: Spans,
    #[serde(default)]
    quotas: Vec<Reading>,
    #[serde(default)]
    officials: Vec<Official>,
    #[serde(default)]
    watch: Watch,
}

impl Draft {
    /// The state before the first entry.
    pub fn new(rules: Arc<Rules>) -> Draft {
        Draft {
            state: State {
                book: rules.bundled.clone(),
                budgets: BTreeMap::new(),
                sessions: Sessions::default(),
                apis: Arc::default(),
                tasks: Arc::default(),
                habits: Arc::default(),
                calibrations: Arc::default(),
                quotas: Arc::default(),
                officials: Arc::default(),
                next_expiry_ms: None,
                open_reservations: 0,
                purge_horizon_ms: 0,
                last_seq: 0,
                last_recorded_ms: 0,
                spans: Spans::default(),
            },
            reservations: Reservations::default(),
            denials: Denials::default(),
            watch: Watch::default(),
            follows: Vec::new(),
            next_adjust_ms: None,
            recent: Recent::default(),
            rules,
        }
    }

    /// Goes on from a checkpoint. `None` when it is of another version or cannot be read; the entries can.
    pub fn load(rules: Arc<Rules>, checkpoint: &[u8]) -> Option<Draft> {
        let saved: Checkpoint = serde_json::from_slice(checkpoint).ok()?;
        if saved.version != VERSION {
            return None;
        }
        let mut draft = Draft::new(rules);
        draft.recent = saved.recent;
        draft.state.sessions = saved.sessions;
        draft.state.spans = saved.spans;
        draft.state.purge_horizon_ms = saved.purge_horizon_ms;
        draft.state.last_seq = saved.last_seq;
        draft.state.last_recorded_ms = saved.last_recorded_ms;
        draft.set_prices(saved.prices);
        draft.state.habits = Arc::new(saved.habits);
        draft.state.calibrations = Arc::new(saved.calibrations);
        draft.state.quotas = Arc::new(Quotas::load(saved.quotas));
        draft.state.officials = Arc::new(Officials::load(saved.officials));
        draft.reservations = Reservations::load(saved.reservations);
        draft.state.apis = Arc::new(crate::api::load(saved.apis));
        draft.state.tasks = Arc::new(Tasks::load(saved.tasks));
        draft.denials = Denials::load(saved.denials);
        draft.watch = saved.watch;
        draft.count_reservations();
        for entry in saved.budgets {
            draft.set_budget(entry);
        }
        draft.plan_adjustments();
        Some(draft)
    }

    /// Saves the state for [`Draft::load`].
    pub fn save(&self) -> Vec<u8> {
        let state = &self.state;
        let saved = Checkpoint {
            version: VERSION,
            last_seq: state.last_seq,
            last_recorded_ms: state.last_recorded_ms,
            purge_horizon_ms: state.purge_horizon_ms,
            sessions: state.sessions.clone(),
            budgets: state
                .budgets
                .values()
                .map(|account| BudgetEntry::of(account))
                .collect(),
            prices: state
                .book
                .rows()
                .filter(|row| row.origin != Origin::Bundled)
                .cloned()
                .collect(),
            recent: self.recent.clone(),
            habits: (*state.habits).clone(),
            calibrations: (*state.calibrations).clone(),
            reservations: self.reservations.save(),
            tasks: state.tasks.save(),
            apis: state.apis.values().cloned().collect(),
            denials: self.denials.save(),
            spans: state.spans.clone(),
            quotas: state.quotas.readings().cloned().collect(),
            officials: state.officials.save(),
            watch: self.watch.clone(),
        };
        // Only maps with keys that are no text can fail to become JSON, and there is none.
        serde_json::to_vec(&saved).unwrap_or_default()
    }

    /// The rules that it goes by.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Applies an entry that was just decided. `previous` is the record that an amendment replaces. Returns the
    /// budgets' thresholds that it crosses; each becomes an entry after this one.
    pub fn apply(&mut self, entry: &Entry, previous: Option<&Record>) -> Vec<Crossing> {
        let state = &mut self.state;
        state.last_seq = entry.seq;
        state.last_recorded_ms = state.last_recorded_ms.max(entry.recorded_at_ms);
        match &entry.body {
            Body::Usage(record) => return self.count(record, None, entry.recorded_at_ms),
            Body::Amend { record, .. } => {
                if let Some(previous) = previous {
                    return self.count(record, Some(previous), entry.recorded_at_ms);
                }
            }
            Body::SessionReset { agent, started, .. } => {
                state.sessions.open(agent, started, entry.recorded_at_ms)
            }
            Body::BudgetSet(json) => {
                if let Ok(entry) = serde_json::from_str(json) {
                    self.set_budget(entry);
                    self.plan_adjustments();
                }
            }
            Body::BudgetLifted { budget, lift } => {
                if let Some(account) = state.budgets.get_mut(budget) {
                    let mut lift = lift.clone();
                    lift.at_ms = entry.recorded_at_ms;
                    lift.who = entry
                        .by
                        .as_deref()
                        .map(ToString::to_string)
                        .unwrap_or_default()
                        .into();
                    Arc::make_mut(account).lift(lift, entry.recorded_at_ms);
                }
            }
            Body::BudgetUnlifted { budget, session } => {
                if let Some(account) = state.budgets.get_mut(budget) {
                    Arc::make_mut(account).unlift(session);
                }
            }
            Body::Denied(denial) => {
                self.denials.told(denial);
                self.count_reservations();
                let Caller { agent, session, .. } = &denial.caller;
                let rules = &self.rules.runaway;
                if let Some(episode) =
                    self.watch
                        .denied(agent, session, denial.count, entry.recorded_at_ms, rules)
                {
                    let caller = denial.caller.clone();
                    self.alarm(episode, |scope| scope.covers(&caller));
                }
            }
            Body::Runaway(episode) => {
                for name in &episode.stops {
                    if let Some(account) = state.budgets.get_mut(name) {
                        Arc::make_mut(account).stop(Stop {
                            agent: episode.agent.clone(),
                            session: episode.session.clone(),
                            sign: episode.sign,
                            at_ms: entry.recorded_at_ms,
                            lifted: false,
                        });
                    }
                }
            }
            Body::Reserved(reservation, _) => self.reserved(reservation, entry.recorded_at_ms),
            Body::Extended {
                id,
                estimate,
                expires_at_ms,
                ..
            } => self.extended(id, estimate, *expires_at_ms, entry.recorded_at_ms),
            Body::Resolved { id, end, content, .. } => {
                self.resolved(id, *end, *content, entry.recorded_at_ms)
            }
            Body::ApiSet(json) => crate::api::apply(Arc::make_mut(&mut state.apis), json),
            Body::TaskAllocated(allocation) => self.allocated(allocation, entry.recorded_at_ms),
            Body::TaskCompleted { session, task } => {
                Arc::make_mut(&mut state.tasks).complete(session, task, entry.recorded_at_ms)
            }
            Body::BudgetRemoved(name) => {
                state.budgets.remove(name);
                self.plan_adjustments();
            }
            Body::BudgetAlert { .. }
            | Body::Repriced { .. }
            | Body::Split { .. }
            | Body::LedgerReplaced { .. } => {}
            Body::Learned(json) => {
                let bills: Vec<Bill> = serde_json::from_str(json).unwrap_or_default();
                let known = Arc::make_mut(&mut state.calibrations);
                bills.iter().for_each(|bill| known.learn(bill));
            }
            Body::PriceSet(json) => self.set_prices(serde_json::from_str(json).unwrap_or_default()),
            Body::PriceRemoved { provider, model } => drop(state.book.remove(provider, model)),
            Body::Quota(reading) => Arc::make_mut(&mut state.quotas).apply(reading),
            Body::Official(json) => {
                if let Ok(heard) = serde_json::from_str::<Heard>(json) {
                    Arc::make_mut(&mut state.officials).tell(heard);
                }
            }
            Body::Purged { horizon_ms, .. } => {
                state.purge_horizon_ms = state.purge_horizon_ms.max(*horizon_ms)
            }
        }
        Vec::new()
    }

    /// Applies an entry that was read back: as [`Draft::apply`], and the waste rules see the call again, which they
    /// saw before when it was decided.
    pub fn replay(&mut self, entry: &Entry, previous: Option<&Record>) {
        let seen_again = match (&entry.body, previous) {
            (Body::Usage(record), _) => Some(record),
            (Body::Amend { record, reason, .. }, _) if *reason == AmendReason::Better => Some(record),
            // The rules looked again where other figures count since then.
            (Body::Amend { record, reason, .. }, Some(previous)) => {
                let moved = matches!(reason, AmendReason::Joined | AmendReason::Split)
                    && !same_usage(&previous.seen, &record.seen);
                moved.then_some(record)
            }
            _ => None,
        };
        if let Some(record) = seen_again {
            self.rules
                .waste
                .check(&mut self.recent, &record.seen, record.cost);
        }
        self.apply(entry, previous);
        // They stand in the ledger already.
        self.follows.clear();
    }

    fn count(&mut self, record: &Record, previous: Option<&Record>, now_ms: i64) -> Vec<Crossing> {
        self.look(record, previous, now_ms);
        let who = &record.seen.who;
        self.state.spans.add(record);
        self.state
            .sessions
            .used(&who.agent, &who.session, record.seen.at_ms);
        Arc::make_mut(&mut self.state.habits).saw(&record.seen, previous.map(|p| &p.seen));
        let concerned = |record: &Record| {
            let seen = &record.seen;
            self.state.tasks.concerns(&seen.who.session, &seen.task)
        };
        if concerned(record) || previous.is_some_and(concerned) {
            Arc::make_mut(&mut self.state.tasks).count(record, previous);
        }
        let officials = &mut self.state.officials;
        if officials.concerns(record) || previous.is_some_and(|previous| officials.concerns(previous)) {
            Arc::make_mut(officials).count(record, previous);
        }
        let mut crossings = Vec::new();
        for account in self.state.budgets.values_mut() {
            crossings.extend(Arc::make_mut(account).apply(record, previous, now_ms));
        }
        crossings
    }

    fn allocated(&mut self, allocation: &Allocation, now_ms: i64) {
        let mut pending = Used::default();
        for open in self.reservations.open() {
            let caller = &open.caller;
            if (&caller.session, &caller.task) == (&allocation.session, &allocation.task) {
                pending.add(&open.estimate.used(&Weights::default()));
            }
        }
        Arc::make_mut(&mut self.state.tasks).allocate(allocation, pending, now_ms);
    }

    fn reserved(&mut self, reservation: &Reservation, now_ms: i64) {
        let caller = &reservation.caller;
        if self.state.tasks.concerns(&caller.session, &caller.task) {
            let amount = reservation.estimate.used(&Weights::default());
            Arc::make_mut(&mut self.state.tasks).hold(caller, &amount);
        }
        let amount = |account: &Account| reservation.estimate.used(&account.budget().weights);
        for account in self.state.budgets.values_mut() {
            let amount = amount(account);
            Arc::make_mut(account).hold(&reservation.caller, reservation.at_ms, &amount, now_ms);
        }
        self.reservations.put(Arc::new(reservation.clone()));
        self.count_reservations();
    }

    fn extended(&mut self, id: &Name, estimate: &Estimate, expires_at_ms: i64, now_ms: i64) {
        let crate::budget::Held::Open(open) = self.reservations.get(id) else {
            return;
        };
        let mut reservation = (**open).clone();
        self.give_back(&reservation, now_ms);
        reservation.estimate = *estimate;
        reservation.expires_at_ms = expires_at_ms;
        self.reserved(&reservation, now_ms);
    }

    fn resolved(&mut self, id: &Name, end: End, content: u64, now_ms: i64) {
        if let Some(reservation) = self.reservations.end(id, end, content) {
            self.give_back(&reservation, now_ms);
        }
        self.count_reservations();
    }

    fn give_back(&mut self, reservation: &Reservation, now_ms: i64) {
        let caller = &reservation.caller;
        if self.state.tasks.concerns(&caller.session, &caller.task) {
            let amount = reservation.estimate.used(&Weights::default());
            Arc::make_mut(&mut self.state.tasks).give_back(caller, &amount);
        }
        for account in self.state.budgets.values_mut() {
            let amount = reservation.estimate.used(&account.budget().weights);
            Arc::make_mut(account).give_back(&reservation.caller, reservation.at_ms, &amount, now_ms);
        }
    }

    pub(crate) fn count_reservations(&mut self) {
        self.state.open_reservations = self.reservations.len();
        let (expiry, due) = (self.reservations.next_expiry_ms(), self.denials.next_due_ms());
        let due = due.into_iter().chain(self.next_adjust_ms);
        self.state.next_expiry_ms = expiry.into_iter().chain(due).min();
    }

    fn set_prices(&mut self, rows: Vec<PriceRow>) {
        let (imported, set): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.origin == Origin::Import);
        if !imported.is_empty() {
            self.state.book.import(imported);
        }
        for row in set {
            // It was checked when it was decided; a row that an older program accepted and this one does not is
            // left out, which shows as an unpriced model.
            drop(self.state.book.set(row));
        }
    }
}
