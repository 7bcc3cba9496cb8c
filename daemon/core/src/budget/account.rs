//! What a budget has used: counters per window, moved by records and corrected by their amendments.

use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::span::HOUR_MS;
use super::{Action, Budget, Span};
use crate::Name;
use crate::entry::Record;
use crate::limits::MAX_BUDGET_SESSIONS;
use crate::money::Pico;
use crate::rollup::Agg;

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Tokens of all kinds, cache included.
    pub tokens: u64,
    /// Money by our book; calls without a known price add none.
    pub cost: Pico,
    /// Calls.
    pub requests: u64,
}

impl Used {
    /// What a sum over calls used.
    pub fn of(agg: &Agg) -> Used {
        Used {
            tokens: agg.tokens.total(),
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

    fn sub(&mut self, other: &Used) {
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
}

/// A budget, its zone and its counters.
#[derive(Debug, Clone)]
pub struct Account {
    budget: Arc<Budget>,
    zone: TimeZone,
    /// The calendar window of the last record's arrival, so that the calendar is asked once per window.
    current: (i64, i64),
    counters: Vec<Counter>,
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
    fn of(record: &Record) -> Place<'_> {
        let who = &record.seen.who;
        Place {
            at_ms: record.seen.at_ms,
            agent: &who.agent,
            session: &who.session,
        }
    }
}

/// A threshold was crossed for the first time in its window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// The budget.
    pub budget: Name,
    /// The threshold, percent.
    pub threshold: u32,
    /// The used share, percent, rounded down.
    pub percent: u32,
    /// The window's start; 0 when it has none.
    pub window_start_ms: i64,
    /// One sentence for people.
    pub message: String,
}

/// A budget as it stands at some instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// What was used in the window.
    pub used: Used,
    /// The highest used share of the limits, percent, rounded down.
    pub percent: u32,
    /// "ok", "warn", "critical" or "exceeded".
    pub state: &'static str,
    /// The window's start, milliseconds; 0 when it has none.
    pub window_start_ms: i64,
    /// When it ends; 0: never.
    pub resets_at_ms: i64,
}

impl Account {
    /// A budget with what was used already in windows that still run.
    pub fn new(budget: Arc<Budget>, zone: TimeZone, counters: Vec<Counter>) -> Account {
        Account {
            budget,
            zone,
            current: (i64::MAX, i64::MAX),
            counters,
        }
    }

    /// The definition.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The counters, to save them.
    pub fn counters(&self) -> &[Counter] {
        &self.counters
    }

    /// Whether the window that contains `at_ms` may still run at `now_ms`: what lies before is over and not counted.
    fn still_counts(&self, at_ms: i64, now_ms: i64) -> bool {
        match self.budget.window {
            Span::Session | Span::Lifetime => true,
            Span::Hours(hours) => at_ms > now_ms.saturating_sub(i64::from(hours) * HOUR_MS),
            Span::Hour | Span::Day | Span::Week | Span::Month => at_ms >= self.current.0,
        }
    }

    /// Takes a record into account at the instant it arrives; `previous` is the record it replaces.
    pub fn apply(&mut self, record: &Record, previous: Option<&Record>, now_ms: i64) -> Option<Crossing> {
        self.advance(now_ms);
        if let Some(previous) = previous.filter(|p| self.budget.scope.covers(p))
            && let Some(at) = self.find(&Place::of(previous))
        {
            self.counters[at].used.sub(&Used::of(&Agg::of(previous)));
        }
        if !self.budget.scope.covers(record) {
            return None;
        }
        let at = self.add(&Place::of(record), &Used::of(&Agg::of(record)), now_ms)?;
        self.crossing(at)
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
            Span::Hours(hours) => now_ms.saturating_sub(i64::from(hours) * HOUR_MS),
            calendar => calendar
                .around(now_ms, &self.zone)
                .map_or(now_ms, |(start, _)| start),
        }
    }

    /// Adds to the counter of a window that still runs, and says which it is.
    fn add(&mut self, place: &Place<'_>, used: &Used, now_ms: i64) -> Option<usize> {
        if !self.still_counts(place.at_ms, now_ms) {
            return None;
        }
        let at = self.find(place).or_else(|| self.start(place))?;
        let counter = &mut self.counters[at];
        counter.used.add(used);
        counter.last_ms = counter.last_ms.max(place.at_ms);
        Some(at)
    }

    /// How the budget stands.
    pub fn view(&self, now_ms: i64) -> View {
        let running = match self.budget.window {
            Span::Session | Span::Lifetime => self.counters.iter().max_by_key(|c| c.last_ms),
            _ => self
                .counters
                .iter()
                .find(|c| (c.start_ms..c.end_ms).contains(&now_ms)),
        };
        let used = running.map(|c| c.used).unwrap_or_default();
        let (start, end) = match running {
            Some(counter) => (counter.start_ms, counter.end_ms),
            None => self
                .budget
                .window
                .around(now_ms, &self.zone)
                .unwrap_or((0, i64::MAX)),
        };
        let percent = self.percent(&used);
        let [warn, critical, limit] = self.budget.thresholds();
        let state = match percent {
            p if p >= limit => "exceeded",
            p if p >= critical => "critical",
            p if p >= warn => "warn",
            _ => "ok",
        };
        View {
            used,
            percent,
            state,
            window_start_ms: start,
            resets_at_ms: if end == i64::MAX { 0 } else { end },
        }
    }

    /// Drops windows that are over.
    fn advance(&mut self, now_ms: i64) {
        match self.budget.window {
            Span::Session | Span::Lifetime => {}
            Span::Hours(_) => self.counters.retain(|c| c.end_ms > now_ms),
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

    fn find(&self, place: &Place<'_>) -> Option<usize> {
        self.counters.iter().position(|c| match &c.session {
            Some((agent, session)) => agent == place.agent && session == place.session,
            None => (c.start_ms..c.end_ms).contains(&place.at_ms),
        })
    }

    /// Begins the window of a call.
    fn start(&mut self, place: &Place<'_>) -> Option<usize> {
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
            calendar => calendar.around(at, &self.zone)?,
        };
        let per_session = self.budget.window == Span::Session;
        if per_session && self.counters.len() >= MAX_BUDGET_SESSIONS {
            let silent = (0..self.counters.len()).min_by_key(|&i| self.counters[i].last_ms)?;
            self.counters.swap_remove(silent);
        }
        self.counters.push(Counter {
            start_ms,
            end_ms,
            session: per_session.then(|| (place.agent.clone(), place.session.clone())),
            used: Used::default(),
            last_ms: i64::MIN,
            alerted: 0,
        });
        Some(self.counters.len() - 1)
    }

    /// The highest used share of the limits.
    fn percent(&self, used: &Used) -> u32 {
        self.shares(used).into_iter().flatten().max().unwrap_or(0)
    }

    /// The used share of each limit: tokens, money, calls.
    fn shares(&self, used: &Used) -> [Option<u32>; 3] {
        let share = |used: i128, limit: i128| {
            let percent = used.max(0).saturating_mul(100).checked_div(limit)?;
            Some(u32::try_from(percent).unwrap_or(u32::MAX))
        };
        let budget = &self.budget;
        [
            share(used.tokens.into(), budget.limit_tokens.into()),
            share(used.cost.0, budget.limit_usd.0),
            share(used.requests.into(), budget.limit_requests.into()),
        ]
    }

    /// Alerts on the highest threshold that was reached and not alerted on. Those below it are passed with it, so a
    /// single large call makes one alert.
    fn crossing(&mut self, at: usize) -> Option<Crossing> {
        let used = self.counters[at].used;
        let percent = self.percent(&used);
        let reached = self
            .budget
            .thresholds()
            .into_iter()
            .rev()
            .find(|&t| percent >= t)?;
        if reached <= self.counters[at].alerted {
            return None;
        }
        self.counters[at].alerted = reached;
        if self.budget.action == Action::Observe {
            return None;
        }
        Some(Crossing {
            budget: self.budget.name.clone(),
            threshold: reached,
            percent,
            window_start_ms: self.counters[at].start_ms,
            message: self.sentence(&self.counters[at], percent),
        })
    }

    fn sentence(&self, counter: &Counter, percent: u32) -> String {
        let (budget, used) = (&self.budget, &counter.used);
        let shares = self.shares(used);
        let figures = if shares[0] == Some(percent) {
            format!(
                "{} of {} tokens",
                grouped(used.tokens),
                grouped(budget.limit_tokens)
            )
        } else if shares[1] == Some(percent) {
            format!("${} of ${}", used.cost, budget.limit_usd)
        } else {
            format!(
                "{} of {} calls",
                grouped(used.requests),
                grouped(budget.limit_requests)
            )
        };
        let scope = match (&counter.session, budget.window) {
            (Some((_, session)), _) => format!("in session {session}"),
            (None, Span::Lifetime) => "since it was set".to_owned(),
            (None, Span::Hours(hours)) => format!("in {hours} hours"),
            (None, Span::Day) => "today".to_owned(),
            (None, window) => format!("this {window}"),
        };
        format!("budget {} is at {percent} %: {figures} used {scope}", budget.name)
    }
}

/// "1,000,000".
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
