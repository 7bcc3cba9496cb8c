//! Budgets: a limit on what a scope may use in a window.
//!
//! A token limit counts every token of a call, each class by its weight. Budgets are counted and alerted on; one that
//! denies also refuses reservations that would pass its limit.

mod account;
mod adjust;
mod alert;
mod appended;
mod ask;
mod counters;
mod decision;
mod habits;
mod reservation;
mod scope;
mod session;
mod span;
mod standing;
mod suggest;
mod weights;

use serde::{Deserialize, Serialize};

pub use account::{Account, Counter, Lift, Place, Used};
pub use adjust::{ADJUST_WINDOWS, Adjust, Adjusted, Target};
pub use alert::Crossing;
pub use appended::Appended;
pub(crate) use ask::content_of;
pub use ask::{Ask, Estimate};
pub(crate) use decision::weigh;
pub use decision::{Binding, Decision, Grounds, decide};
pub use habits::Habits;
pub(crate) use reservation::Saved as SavedReservations;
pub use reservation::{Caller, End, Ended, Held, Reservation, Reservations};
pub use scope::Scope;
pub use session::{SessionLimits, session_budget_names, session_budgets};
pub use span::Span;
pub use standing::{Standing, Unit, View};
pub use suggest::{Limit, Suggestion, Windows, suggest};
pub use weights::Weights;

use crate::Name;
use crate::limits::MAX_REPORTED_USD;
use crate::money::{PICO_PER_USD, Pico};
use crate::refusal::Refusal;
use crate::runaway::OnRunaway;

/// A limit on what a scope may use in a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Unique, 1 to 64 of `[a-z0-9._-]`.
    pub name: Name,
    /// What it covers; empty: everything.
    pub scope: Scope,
    /// Most tokens of all kinds; 0: not limited.
    pub limit_tokens: u64,
    /// Most money; 0: not limited.
    pub limit_usd: Pico,
    /// Most calls; 0: not limited.
    pub limit_requests: u64,
    /// The window.
    pub window: Span,
    /// IANA name for calendar windows; empty: the daemon's zone.
    pub timezone: Name,
    /// Percent of a limit at which to warn; 0 means 80.
    pub warn_percent: u32,
    /// Percent of a limit that is critical; 0 means 95, or the warning when that is higher.
    pub critical_percent: u32,
    /// What happens at the thresholds.
    pub action: Action,
    /// How much each class of tokens counts against `limit_tokens`.
    #[serde(default)]
    pub weights: Weights,
    /// It only says what it would have refused.
    #[serde(default)]
    pub shadow: bool,
    /// What a client does that cannot reach the daemon, and what becomes of a call whose price is not known.
    #[serde(default)]
    pub unreachable: Unreachable,
    /// What becomes of a session that runs away.
    #[serde(default)]
    pub on_runaway: OnRunaway,
    /// Its limit follows what is used. `None`: it stays as it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjust: Option<Box<Adjust>>,
}

/// What happens when nobody can say whether a budget has room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreachable {
    /// The call is made.
    #[default]
    Allow,
    /// The call is not made.
    Deny,
}

impl Unreachable {
    /// Reads "allow" or "deny"; empty means allow.
    pub fn parse(text: &str) -> Result<Unreachable, Refusal> {
        match text {
            "" | "allow" => Ok(Unreachable::Allow),
            "deny" => Ok(Unreachable::Deny),
            other => Err(Refusal::invalid(
                "unreachable",
                format!("{:?} is not known", cut(other)),
                "allow or deny",
            )),
        }
    }

    /// The word that [`Unreachable::parse`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Unreachable::Allow => "allow",
            Unreachable::Deny => "deny",
        }
    }
}

/// What happens when a budget's threshold is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Only counted and shown.
    Observe,
    /// Alerted on.
    #[default]
    Warn,
    /// Alerted on, and reservations that would pass the limit are refused.
    Deny,
}

impl Action {
    /// Reads "observe", "warn" or "deny"; empty means warn.
    pub fn parse(text: &str) -> Result<Action, Refusal> {
        match text {
            "observe" => Ok(Action::Observe),
            "" | "warn" => Ok(Action::Warn),
            "deny" => Ok(Action::Deny),
            other => Err(Refusal::invalid(
                "action",
                format!("{other:?} is not known"),
                "observe, warn or deny",
            )),
        }
    }

    /// The word that [`Action::parse`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Action::Observe => "observe",
            Action::Warn => "warn",
            Action::Deny => "deny",
        }
    }
}

impl Budget {
    /// Checks every field and fills in the defaults.
    pub fn checked(mut self) -> Result<Budget, Refusal> {
        let name_is_right = (1..=64).contains(&self.name.len())
            && self
                .name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
        if !name_is_right {
            return Err(Refusal::invalid(
                "name",
                format!("{:?} is not a budget's name", cut(&self.name)),
                "1 to 64 of a-z 0-9 . _ -",
            ));
        }
        if self.limit_usd < Pico::ZERO {
            return Err(Refusal::invalid(
                "limit_usd",
                "it is negative",
                "0 (no limit) or more",
            ));
        }
        if self.limit_usd.0 > MAX_LIMIT_USD * PICO_PER_USD {
            let problem = format!("${} is beyond every budget", self.limit_usd);
            return Err(Refusal::invalid(
                "limit_usd",
                problem,
                format!("up to {MAX_LIMIT_USD}"),
            ));
        }
        for (field, limit) in [
            ("limit_tokens", self.limit_tokens),
            ("limit_requests", self.limit_requests),
        ] {
            if limit > MAX_LIMIT {
                let problem = format!("{limit} is beyond every budget");
                return Err(Refusal::invalid(field, problem, format!("up to {MAX_LIMIT}")));
            }
        }
        if self.limit_tokens > 0 {
            self.weights.check()?;
        }
        if self.limit_tokens == 0 && self.limit_usd == Pico::ZERO && self.limit_requests == 0 {
            return Err(Refusal::invalid(
                "limit_tokens",
                "the budget limits nothing",
                "at least one of limit_tokens, limit_usd and limit_requests above 0",
            ));
        }
        if self.warn_percent == 0 {
            self.warn_percent = 80;
        }
        if self.critical_percent == 0 {
            self.critical_percent = self.warn_percent.max(95);
        }
        if self.warn_percent > 100 {
            return Err(Refusal::invalid(
                "warn_percent",
                self.warn_percent.to_string(),
                "1 to 100",
            ));
        }
        if self.critical_percent > 100 || self.critical_percent < self.warn_percent {
            return Err(Refusal::invalid(
                "critical_percent",
                self.critical_percent.to_string(),
                format!("{} (the warning) to 100", self.warn_percent),
            ));
        }
        self.scope.check()?;
        self.checked_adjust()?;
        Ok(self)
    }

    /// Whether it refuses what would pass its limit.
    pub fn enforces(&self) -> bool {
        self.action == Action::Deny && !self.shadow
    }

    /// Whether it is a budget of sessions as such: shares of tasks are kept in it.
    pub(crate) fn is_of_sessions(&self) -> bool {
        let named = self.window == Span::Session || !self.scope.sessions.is_empty();
        named && self.scope.goes_by_session()
    }

    /// The thresholds in percent, rising: the warning, the critical one and the limit itself.
    pub fn thresholds(&self) -> [u32; 3] {
        [self.warn_percent, self.critical_percent, 100]
    }
}

/// Largest limit in tokens or calls, and in dollars: a thousand times what anybody spends, and far from what overflows.
const MAX_LIMIT: u64 = 1_000_000_000_000_000;
const MAX_LIMIT_USD: i128 = MAX_REPORTED_USD * 1_000;

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn budget() -> Budget {
        Budget {
            name: "daily".into(),
            scope: Scope::default(),
            limit_tokens: 1_000_000,
            limit_usd: Pico::ZERO,
            limit_requests: 0,
            window: Span::Day,
            timezone: "".into(),
            warn_percent: 0,
            critical_percent: 0,
            action: Action::Warn,
            weights: Weights::default(),
            shadow: false,
            unreachable: Unreachable::Allow,
            on_runaway: Default::default(),
            adjust: None,
        }
    }

    #[test]
    fn defaults_are_filled_in() {
        let got = budget().checked().unwrap();
        assert_eq!(got.thresholds(), [80, 95, 100]);
        let late = Budget {
            warn_percent: 97,
            ..budget()
        }
        .checked()
        .unwrap();
        assert_eq!(late.thresholds(), [97, 97, 100]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let b = budget;
        let many = Scope {
            tools: vec![String::new(); 101],
            ..Scope::default()
        };
        let long = Scope {
            agents: vec!["x".repeat(2_000)],
            ..Scope::default()
        };
        let cases = [
            (
                Budget {
                    name: "".into(),
                    ..b()
                },
                "name",
            ),
            (
                Budget {
                    name: "Täglich".into(),
                    ..b()
                },
                "name",
            ),
            (
                Budget {
                    name: "x".repeat(65).into(),
                    ..b()
                },
                "name",
            ),
            (
                Budget {
                    limit_tokens: 0,
                    ..b()
                },
                "limit_tokens",
            ),
            (
                Budget {
                    limit_usd: Pico(-1),
                    ..b()
                },
                "limit_usd",
            ),
            (
                Budget {
                    warn_percent: 101,
                    ..b()
                },
                "warn_percent",
            ),
            (
                Budget {
                    critical_percent: 101,
                    ..b()
                },
                "critical_percent",
            ),
            (
                Budget {
                    warn_percent: 90,
                    critical_percent: 85,
                    ..b()
                },
                "critical_percent",
            ),
            (
                Budget {
                    limit_tokens: u64::MAX,
                    ..b()
                },
                "limit_tokens",
            ),
            (
                Budget {
                    limit_usd: Pico(i128::MAX),
                    ..b()
                },
                "limit_usd",
            ),
            (Budget { scope: many, ..b() }, "scope.tools"),
            (Budget { scope: long, ..b() }, "scope.agents"),
        ];
        for (budget, wrong) in cases {
            let Err(Refusal::Invalid { field, .. }) = budget.clone().checked() else {
                panic!("{budget:?} was accepted");
            };
            assert_eq!(field, wrong);
        }
    }

    #[test]
    fn actions_are_read_back() {
        for action in [Action::Observe, Action::Warn, Action::Deny] {
            assert_eq!(Action::parse(action.name()).unwrap(), action);
        }
        assert!(Action::parse("explode").is_err());
        for policy in [Unreachable::Allow, Unreachable::Deny] {
            assert_eq!(Unreachable::parse(policy.name()).unwrap(), policy);
        }
        assert!(Unreachable::parse("panic").is_err());
    }
}
