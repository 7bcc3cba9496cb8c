//! How a budget stands: what was used, held and is left, for people and for decisions.

use super::counters::At;
use super::{Account, Caller, Lift, Place, Span, Used};

/// What a budget can limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Tokens, by their weights.
    Tokens,
    /// Money.
    Usd,
    /// Calls.
    Requests,
}

impl Unit {
    /// All of them.
    pub const ALL: [Unit; 3] = [Unit::Tokens, Unit::Usd, Unit::Requests];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Tokens => "tokens",
            Unit::Usd => "usd",
            Unit::Requests => "requests",
        }
    }
}

impl Used {
    /// The amount of one unit: tokens, pico-dollars, calls.
    pub fn amount(&self, unit: Unit) -> i128 {
        match unit {
            Unit::Tokens => self.tokens.into(),
            Unit::Usd => self.cost.0,
            Unit::Requests => self.requests.into(),
        }
    }
}

/// What is used and held in the window of one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What was used.
    pub posted: Used,
    /// What open reservations hold.
    pub pending: Used,
    /// How far the limit was passed, at most.
    pub overdraft: Used,
    /// The limits in force, by [`Unit`].
    pub limits: [Option<i128>; 3],
    /// The window's start, milliseconds; 0 when it has none.
    pub window_start_ms: i64,
    /// When there is room again by itself; 0: never.
    pub resets_at_ms: i64,
}

impl Standing {
    /// What is used and held.
    pub fn taken(&self, unit: Unit) -> i128 {
        self.posted.amount(unit) + self.pending.amount(unit)
    }

    /// What is left of a limit, never below zero. `None`: it is not limited.
    pub fn available(&self, unit: Unit) -> Option<i128> {
        Some((self.limits[unit as usize]? - self.taken(unit)).max(0))
    }
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
    /// The whole of it.
    pub standing: Standing,
}

impl Account {
    /// How the budget stands, for people: the running window, or the session used last.
    pub fn view(&self, now_ms: i64) -> View {
        let standing = match self.budget().window {
            Span::Session | Span::Lifetime => {
                let latest = self
                    .counters
                    .places()
                    .max_by_key(|&at| self.counters.get(at).last_ms);
                latest.map(|at| self.standing_with(at, now_ms))
            }
            _ => None,
        };
        let nobody = "".into();
        let here = Place {
            at_ms: now_ms,
            agent: &nobody,
            session: &nobody,
        };
        self.viewed(standing.unwrap_or_else(|| self.standing(&here, now_ms)), now_ms)
    }

    /// How the budget stands for somebody.
    pub fn view_for(&self, caller: &Caller, now_ms: i64) -> View {
        self.viewed(self.standing(&caller.place(now_ms), now_ms), now_ms)
    }

    fn viewed(&self, standing: Standing, now_ms: i64) -> View {
        let percent = self.percent(&standing.posted, now_ms);
        let [warn, critical, limit] = self.budget().thresholds();
        let state = match percent {
            p if p >= limit => "exceeded",
            p if p >= critical => "critical",
            p if p >= warn => "warn",
            _ => "ok",
        };
        View {
            used: standing.posted,
            percent,
            state,
            window_start_ms: standing.window_start_ms,
            resets_at_ms: standing.resets_at_ms,
            standing,
        }
    }

    /// How the budget stands for a call at some place.
    pub fn standing(&self, place: &Place<'_>, now_ms: i64) -> Standing {
        let mut standing = self.standing_at(place, now_ms);
        standing.limits = self.limits_with(self.lifts_for(place.session, now_ms));
        standing
    }

    fn standing_at(&self, place: &Place<'_>, now_ms: i64) -> Standing {
        if matches!(self.budget().window, Span::Rolling(_)) {
            return self.rolling(now_ms);
        }
        if let Some(at) = self.find(place) {
            return self.standing_with(at, now_ms);
        }
        let (start, end) = self
            .budget()
            .window
            .around(place.at_ms, self.zone())
            .unwrap_or((0, i64::MAX));
        Standing {
            posted: Used::default(),
            pending: Used::default(),
            overdraft: Used::default(),
            limits: self.limits(now_ms),
            window_start_ms: start,
            resets_at_ms: if end == i64::MAX { 0 } else { end },
        }
    }

    /// How the window of a counter stands.
    pub(super) fn standing_with(&self, at: At, now_ms: i64) -> Standing {
        if matches!(self.budget().window, Span::Rolling(_)) {
            return self.rolling(now_ms);
        }
        let counter = self.counters.get(at);
        Standing {
            posted: counter.used,
            pending: counter.pending,
            overdraft: counter.overdraft,
            limits: self.limits(now_ms),
            window_start_ms: counter.start_ms,
            resets_at_ms: if counter.end_ms == i64::MAX {
                0
            } else {
                counter.end_ms
            },
        }
    }

    /// A rolling window is the sum of its steps that have not left it; there is room again when the first one does.
    fn rolling(&self, now_ms: i64) -> Standing {
        let length = self.budget().window.length_ms();
        let from = now_ms.saturating_sub(length);
        let mut standing = Standing {
            posted: Used::default(),
            pending: Used::default(),
            overdraft: Used::default(),
            limits: self.limits(now_ms),
            window_start_ms: from,
            resets_at_ms: 0,
        };
        for counter in self.counters.iter().filter(|c| c.end_ms > from) {
            standing.posted.add(&counter.used);
            standing.pending.add(&counter.pending);
            standing.overdraft.add(&counter.overdraft);
            if counter.used != Used::default() {
                let leaves = counter.end_ms.saturating_add(length);
                let first = standing.resets_at_ms;
                standing.resets_at_ms = if first == 0 { leaves } else { first.min(leaves) };
            }
        }
        standing
    }

    /// What was used in the window of a counter.
    pub(super) fn used_with(&self, at: At, now_ms: i64) -> Used {
        self.standing_with(at, now_ms).posted
    }

    /// The limits in force for everybody: as set, and raised by what was lifted.
    pub(super) fn limits(&self, now_ms: i64) -> [Option<i128>; 3] {
        self.limits_with(self.lifts_for("", now_ms))
    }

    /// The limits with some lifts.
    pub(super) fn limits_with<'a>(&self, lifts: impl Iterator<Item = &'a Lift>) -> [Option<i128>; 3] {
        let budget = self.budget();
        let set = [
            budget.limit_tokens.into(),
            budget.limit_usd.0,
            budget.limit_requests.into(),
        ];
        let mut lifted = [0_i128; 3];
        for lift in lifts {
            for unit in Unit::ALL {
                lifted[unit as usize] = lifted[unit as usize].saturating_add(lift.by.amount(unit));
            }
        }
        Unit::ALL.map(|unit| {
            let limit: i128 = set[unit as usize];
            (limit > 0).then(|| limit.saturating_add(lifted[unit as usize]))
        })
    }

    /// Whether the limit is lifted altogether for a while, for calls of a session.
    pub fn is_lifted(&self, session: &str, now_ms: i64) -> bool {
        self.lifts_for(session, now_ms).any(Lift::is_whole)
    }

    /// The highest used share of the limits.
    pub(super) fn percent(&self, used: &Used, now_ms: i64) -> u32 {
        self.shares(used, now_ms).into_iter().flatten().max().unwrap_or(0)
    }

    /// The used share of each limit: tokens, money, calls.
    pub(super) fn shares(&self, used: &Used, now_ms: i64) -> [Option<u32>; 3] {
        let limits = self.limits(now_ms);
        Unit::ALL.map(|unit| {
            let used = used.amount(unit).max(0).saturating_mul(100);
            let percent = used.checked_div(limits[unit as usize]?)?;
            Some(u32::try_from(percent).unwrap_or(u32::MAX))
        })
    }
}
