//! What a budget has used: counters per window, moved by records and corrected by their amendments.

use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::counters::{At, Counters};
use super::span::HOUR_MS;
use super::{Budget, Caller, Crossing, Span, Unit, Weights};
use crate::Name;
use crate::entry::Record;
use crate::limits::MAX_STOPS;
use crate::money::Pico;
use crate::rollup::Agg;
use crate::runaway::{OnRunaway, Stop};

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Tokens as the budget weighs them; by default of all kinds, cache included.
    pub tokens: u64,
    /// Money by our book; calls without a known price add none.
    pub cost: Pico,
    /// Calls.
    pub requests: u64,
}

impl Used {
    /// What a sum over calls used.
    pub fn of(agg: &Agg, weights: &Weights) -> Used {
        Used {
            tokens: weights.count(&agg.tokens),
            cost: agg.cost,
            requests: agg.requests,
        }
    }

    /// Adds.
    pub fn add(&mut self, other: &Used) {
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.cost += other.cost;
        self.requests = self.requests.saturating_add(other.requests);
    }

    /// Subtracts; counts stop at zero.
    pub(crate) fn sub(&mut self, other: &Used) {
        self.tokens = self.tokens.saturating_sub(other.tokens);
        self.cost -= other.cost;
        self.requests = self.requests.saturating_sub(other.requests);
    }
}

/// What was used in one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// The window's start, milliseconds; 0 when it has none (a session, for ever).
    pub start_ms: i64,
    /// Its end, exclusive; `i64::MAX`: never.
    pub end_ms: i64,
    /// Agent and session, for windows that are sessions.
    pub session: Option<(Name, Name)>,
    /// What was used in it.
    pub used: Used,
    /// The last call in it.
    pub last_ms: i64,
    /// The highest threshold that was alerted on, percent.
    pub alerted: u32,
    /// What open reservations hold of it. Saved, because it does not follow from them: a reservation may outlive the
    /// window that it was admitted in.
    #[serde(default)]
    pub pending: Used,
    /// How far what was used and held has passed the limit of a budget that denies, at most.
    #[serde(default)]
    pub overdraft: Used,
}

/// A limit that was raised for a while.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lift {
    /// By how much; all zero: by as much as it takes.
    pub by: Used,
    /// Until when.
    pub until_ms: i64,
    /// For this session only; empty: for all.
    pub session: Name,
    /// Why, in the words of whoever did it.
    pub reason: Name,
    /// Who did it. Known from the entry.
    pub who: Name,
    /// When. Known from the entry.
    pub at_ms: i64,
}

impl Lift {
    /// Whether it holds for a call of some session.
    fn is_for(&self, session: &str) -> bool {
        self.session.is_empty() || *self.session == *session
    }

    pub(super) fn is_whole(&self) -> bool {
        self.by == Used::default()
    }
}

/// A budget, its zone and its counters.
#[derive(Debug, Clone)]
pub struct Account {
    budget: Arc<Budget>,
    zone: TimeZone,
    /// The calendar window of the last record's arrival, so that the calendar is asked once per window.
    current: (i64, i64),
    pub(super) counters: Counters,
    /// The highest threshold that was alerted on, for a rolling window, which never ends.
    pub(super) alerted: u32,
    pub(super) lifts: Vec<Lift>,
    stops: Vec<Stop>,
}

/// When and in which session calls were made: what decides about their window.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// When.
    pub at_ms: i64,
    /// Whose session.
    pub agent: &'a Name,
    /// The session.
    pub session: &'a Name,
}

impl Place<'_> {
    pub(crate) fn of(record: &Record) -> Place<'_> {
        let who = &record.seen.who;
        Place {
            at_ms: record.seen.at_ms,
            agent: &who.agent,
            session: &who.session,
        }
    }
}

impl Account {
    /// A budget with what was used already in windows that still run.
    pub fn new(budget: Arc<Budget>, zone: TimeZone, counters: Vec<Counter>) -> Account {
        Account {
            current: (i64::MAX, i64::MAX),
            counters: Counters::new(budget.window == Span::Session, counters),
            budget,
            zone,
            alerted: 0,
            lifts: Vec::new(),
            stops: Vec::new(),
        }
    }

    /// The same with what else was saved of it.
    pub(crate) fn with(mut self, alerted: u32, lifts: Vec<Lift>, stops: Vec<Stop>) -> Account {
        self.alerted = alerted;
        self.lifts = lifts;
        self.stops = stops;
        self
    }

    /// The account of a budget that replaces this one's and counts the same. What is held is held again by whoever asks
    /// for it, and the overdraft is booked by the new limit.
    pub(crate) fn replaced_by(&self, budget: Arc<Budget>) -> Account {
        let counted = |counter: &Counter| Counter {
            alerted: 0,
            pending: Used::default(),
            overdraft: Used::default(),
            ..counter.clone()
        };
        let counters = self.counters.iter().map(counted).collect();
        Account::new(budget, self.zone.clone(), counters)
    }

    /// The definition.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    pub(super) fn budget_mut(&mut self) -> &mut Budget {
        Arc::make_mut(&mut self.budget)
    }

    /// The counters, to save them.
    pub fn counters(&self) -> impl Iterator<Item = &Counter> {
        self.counters.iter()
    }

    /// What is saved beside the counters.
    pub(crate) fn beside(&self) -> (u32, Vec<Lift>, Vec<Stop>) {
        (self.alerted, self.lifts.clone(), self.stops.clone())
    }

    /// Raises the limit for a while.
    pub(crate) fn lift(&mut self, lift: Lift, now_ms: i64) {
        self.lifts.retain(|lift| lift.until_ms > now_ms);
        // Whoever is let on may run again; when he runs away again he is stopped again.
        for stop in &mut self.stops {
            stop.lifted |= lift.is_for(&stop.session);
        }
        self.lifts.push(lift);
    }

    /// Takes back what was lifted: all of it, or what was lifted for one session.
    pub(crate) fn unlift(&mut self, session: &str) {
        self.lifts
            .retain(|lift| !session.is_empty() && *lift.session != *session);
        for stop in &mut self.stops {
            stop.lifted &= !session.is_empty() && *stop.session != *session;
        }
    }

    /// Stops a session.
    pub(crate) fn stop(&mut self, stop: Stop) {
        self.stops
            .retain(|known| (&known.agent, &known.session) != (&stop.agent, &stop.session));
        if self.stops.len() >= MAX_STOPS {
            let first = self.stops.iter().position(|stop| stop.lifted).unwrap_or(0);
            self.stops.remove(first);
        }
        self.stops.push(stop);
    }

    /// Takes over the stops of the account that this one replaces.
    pub(crate) fn inherit_stops(&mut self, former: &Account) {
        if self.budget.on_runaway == OnRunaway::Deny {
            self.stops = former.stops.clone();
        }
    }

    /// The sessions that it has stopped.
    pub fn stops(&self) -> impl Iterator<Item = &Stop> {
        self.stops.iter().filter(|stop| !stop.lifted)
    }

    /// Whether it has stopped a session.
    pub fn stopped(&self, agent: &str, session: &str) -> Option<&Stop> {
        self.stops()
            .find(|stop| *stop.agent == *agent && *stop.session == *session)
    }

    /// What is lifted now.
    pub fn lifts(&self, now_ms: i64) -> impl Iterator<Item = &Lift> {
        self.lifts.iter().filter(move |lift| lift.until_ms > now_ms)
    }

    /// What is lifted now for a session.
    pub(super) fn lifts_for<'a>(&'a self, session: &'a str, now_ms: i64) -> impl Iterator<Item = &'a Lift> {
        self.lifts(now_ms).filter(move |lift| lift.is_for(session))
    }

    /// How many times its limit is raised now.
    pub(crate) fn lifts_at(&self, now_ms: i64) -> usize {
        self.lifts.iter().filter(|lift| lift.until_ms > now_ms).count()
    }

    /// The zone of its windows.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Whether the window that contains `at_ms` may still run at `now_ms`: what lies before is over and not counted.
    fn still_counts(&self, at_ms: i64, now_ms: i64) -> bool {
        match self.budget.window {
            Span::Session | Span::Lifetime => true,
            Span::Hours(hours) => at_ms > now_ms.saturating_sub(i64::from(hours) * HOUR_MS),
            Span::Rolling(_) => at_ms > now_ms.saturating_sub(self.budget.window.length_ms()),
            Span::Hour | Span::Day | Span::Week | Span::Month => at_ms >= self.current.0,
        }
    }

    /// Takes a record into account at the instant it arrives; `previous` is the record it replaces.
    pub fn apply(&mut self, record: &Record, previous: Option<&Record>, now_ms: i64) -> Option<Crossing> {
        self.advance(now_ms);
        let weights = self.budget.weights;
        if let Some(previous) = previous.filter(|p| self.budget.scope.covers_record(p))
            && let Some(at) = self.find(&Place::of(previous))
        {
            self.counters
                .get_mut(at)
                .used
                .sub(&Used::of(&Agg::of(previous), &weights));
        }
        if !self.budget.scope.covers_record(record) {
            return None;
        }
        let at = self.add(&Place::of(record), &Used::of(&Agg::of(record), &weights), now_ms)?;
        self.book_overdraft(at, now_ms);
        self.crossing(at, now_ms)
    }

    /// Holds what a reservation may use, in the window in which it was admitted. Whether there is room has been
    /// decided.
    pub(crate) fn hold(&mut self, caller: &Caller, at_ms: i64, amount: &Used, now_ms: i64) {
        if let Some(at) = self.hold_again(caller, at_ms, amount, now_ms) {
            self.book_overdraft(at, now_ms);
        }
    }

    /// The same for what is open already when a budget is set. Says in which counter it is held.
    pub(crate) fn hold_again(
        &mut self,
        caller: &Caller,
        at_ms: i64,
        amount: &Used,
        now_ms: i64,
    ) -> Option<At> {
        self.advance(now_ms);
        let place = caller.place(at_ms);
        if !self.budget.scope.covers(caller) || !self.still_counts(at_ms, now_ms) {
            return None;
        }
        let at = self.find(&place).or_else(|| self.start(&place, now_ms))?;
        let counter = self.counters.get_mut(at);
        counter.pending.add(amount);
        counter.last_ms = counter.last_ms.max(at_ms);
        Some(at)
    }

    /// Gives back what a reservation held.
    pub(crate) fn give_back(&mut self, caller: &Caller, at_ms: i64, amount: &Used, now_ms: i64) {
        self.advance(now_ms);
        if !self.budget.scope.covers(caller) {
            return;
        }
        let Some(at) = self.find(&caller.place(at_ms)) else {
            return;
        };
        let counter = self.counters.get_mut(at);
        counter.pending.sub(amount);
        let nothing = Used::default();
        let untouched = counter.used == nothing && counter.pending == nothing && counter.overdraft == nothing;
        // A window that begins with a call has not begun when there was none.
        if untouched && matches!(self.budget.window, Span::Hours(_)) {
            self.counters.remove(at);
        }
    }

    /// Books how far a limit was passed all the same: by calls that nobody asked for, by more than was reserved, by a
    /// limit that became lower.
    fn book_overdraft(&mut self, at: At, now_ms: i64) {
        if !self.budget.enforces() {
            return;
        }
        let standing = self.standing_with(at, now_ms);
        // What was lifted for a session may be used by it, so it is no overdraft.
        let limits = self.limits_with(self.lifts(now_ms));
        let past = |unit| {
            let limit = limits[unit as usize]?;
            let past = standing.taken(unit) - limit - standing.overdraft.amount(unit);
            (past > 0).then_some(past)
        };
        let whole = |past: Option<i128>| u64::try_from(past.unwrap_or(0)).unwrap_or(u64::MAX);
        self.counters.get_mut(at).overdraft.add(&Used {
            tokens: whole(past(Unit::Tokens)),
            cost: Pico(past(Unit::Usd).unwrap_or(0)),
            requests: whole(past(Unit::Requests)),
        });
    }

    /// Books the overdraft of every window: the limit may be lower than what was used before it was set.
    pub(crate) fn book_overdrafts(&mut self, now_ms: i64) {
        for at in self.counters.places() {
            self.book_overdraft(at, now_ms);
        }
    }

    /// Adds a sum of past calls in the budget's scope, for a budget that begins in the middle of a window. Sums come
    /// in the order of time.
    pub fn seed(&mut self, place: &Place<'_>, used: &Used, now_ms: i64) {
        self.advance(now_ms);
        self.add(place, used, now_ms);
    }

    /// The instant before which nothing counts at `now_ms`: what [`Account::seed`] needs at most. Windows that begin
    /// with a call may have begun up to their length ago, and the one before them decides when.
    pub fn counts_from(&self, now_ms: i64) -> i64 {
        match self.budget.window {
            Span::Lifetime => 0,
            Span::Session => now_ms.saturating_sub(7 * 24 * HOUR_MS),
            Span::Hours(_) | Span::Rolling(_) => now_ms.saturating_sub(self.budget.window.length_ms()),
            calendar => calendar
                .around(now_ms, &self.zone)
                .map_or(now_ms, |(start, _)| start),
        }
    }

    /// Adds to the counter of a window that still runs, and says which it is.
    fn add(&mut self, place: &Place<'_>, used: &Used, now_ms: i64) -> Option<At> {
        if !self.still_counts(place.at_ms, now_ms) {
            return None;
        }
        let at = self.find(place).or_else(|| self.start(place, now_ms))?;
        let counter = self.counters.get_mut(at);
        counter.used.add(used);
        counter.last_ms = counter.last_ms.max(place.at_ms);
        Some(at)
    }

    /// Drops windows that are over.
    fn advance(&mut self, now_ms: i64) {
        match self.budget.window {
            Span::Session | Span::Lifetime => {}
            Span::Hours(_) => self.counters.retain(|c| c.end_ms > now_ms),
            Span::Rolling(_) => {
                let from = now_ms.saturating_sub(self.budget.window.length_ms());
                self.counters.retain(|c| c.end_ms > from);
            }
            calendar => {
                if (self.current.0..self.current.1).contains(&now_ms) {
                    return;
                }
                if let Some(window) = calendar.around(now_ms, &self.zone) {
                    self.current = window;
                    self.counters.retain(|c| c.end_ms > window.0);
                }
            }
        }
    }

    /// Whether a new session could be counted: one that is not known is refused by a budget that denies when there are
    /// too many that may come back.
    pub(super) fn has_room_for(&self, place: &Place<'_>, now_ms: i64) -> bool {
        self.budget.window != Span::Session
            || self.find(place).is_some()
            || self.counters.has_room(place, now_ms)
    }

    pub(super) fn find(&self, place: &Place<'_>) -> Option<At> {
        self.counters.find(place)
    }

    /// Begins the window of a call.
    fn start(&mut self, place: &Place<'_>, now_ms: i64) -> Option<At> {
        let at = place.at_ms;
        let (start_ms, end_ms) = match self.budget.window {
            Span::Session | Span::Lifetime => (0, i64::MAX),
            Span::Hours(hours) => {
                let full = at - at.rem_euclid(HOUR_MS);
                let before = self
                    .counters
                    .iter()
                    .map(|c| c.end_ms)
                    .filter(|&end| end <= at)
                    .max();
                let after = self
                    .counters
                    .iter()
                    .map(|c| c.start_ms)
                    .filter(|&start| start > at)
                    .min();
                let start = full.max(before.unwrap_or(i64::MIN));
                (
                    start,
                    (start + i64::from(hours) * HOUR_MS).min(after.unwrap_or(i64::MAX)),
                )
            }
            Span::Rolling(_) => {
                let step = self.budget.window.step_ms();
                let start = at - at.rem_euclid(step);
                (start, start + step)
            }
            calendar => calendar.around(at, &self.zone)?,
        };
        let per_session = self.budget.window == Span::Session;
        if per_session && !self.counters.make_room(place, self.budget.enforces(), now_ms) {
            return None;
        }
        let counter = Counter {
            start_ms,
            end_ms,
            session: per_session.then(|| (place.agent.clone(), place.session.clone())),
            used: Used::default(),
            last_ms: i64::MIN,
            alerted: 0,
            pending: Used::default(),
            overdraft: Used::default(),
        };
        Some(self.counters.push(counter))
    }
}

#[cfg(test)]
mod tests;
