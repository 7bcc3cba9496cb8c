//! Budgets: a limit on what a scope may use in a window.
//!
//! A token limit counts every token of a call: input, output and what went through a cache. Budgets are counted and
//! alerted on; they do not refuse anything yet.

mod account;
mod span;

use serde::{Deserialize, Serialize};

pub use account::{Account, Counter, Crossing, Place, Used, View};
pub use span::Span;

use crate::Name;
use crate::entry::Record;
use crate::limits::MAX_NAME_BYTES;
use crate::money::Pico;
use crate::refusal::Refusal;

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
}

/// What a budget covers: calls for which every non-empty list contains the call's value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// Agents.
    pub agents: Vec<String>,
    /// Models as the provider names them.
    pub models: Vec<String>,
    /// Projects.
    pub projects: Vec<String>,
    /// Sessions.
    pub sessions: Vec<String>,
    /// Tools.
    pub tools: Vec<String>,
    /// Users.
    pub users: Vec<String>,
    /// Providers.
    pub providers: Vec<String>,
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
    /// Alerted on, and refused at the limit once there is something that asks before spending.
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

impl Scope {
    /// The lists with the names that the contract calls them by.
    fn lists(&self) -> [(&'static str, &Vec<String>); 7] {
        [
            ("scope.agents", &self.agents),
            ("scope.models", &self.models),
            ("scope.projects", &self.projects),
            ("scope.sessions", &self.sessions),
            ("scope.tools", &self.tools),
            ("scope.users", &self.users),
            ("scope.providers", &self.providers),
        ]
    }

    /// Whether a call falls under the budget.
    pub fn covers(&self, record: &Record) -> bool {
        let seen = &record.seen;
        let within = |list: &[String], value: &str| list.is_empty() || list.iter().any(|v| v == value);
        within(&self.agents, &seen.who.agent)
            && within(&self.models, &seen.model)
            && within(&self.projects, &seen.who.project)
            && within(&self.sessions, &seen.who.session)
            && within(&self.tools, &seen.who.tool)
            && within(&self.users, &seen.who.user)
            && within(&self.providers, &seen.provider)
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
        for (field, list) in self.scope.lists() {
            if list.len() > MAX_SCOPE_VALUES {
                let allowed = format!("at most {MAX_SCOPE_VALUES}");
                return Err(Refusal::invalid(field, format!("{} values", list.len()), allowed));
            }
            if let Some(long) = list.iter().find(|value| value.len() > MAX_NAME_BYTES) {
                let allowed = format!("at most {MAX_NAME_BYTES}");
                return Err(Refusal::invalid(
                    field,
                    format!("a name of {} bytes", long.len()),
                    allowed,
                ));
            }
        }
        Ok(self)
    }

    /// The thresholds in percent, rising: the warning, the critical one and the limit itself.
    pub fn thresholds(&self) -> [u32; 3] {
        [self.warn_percent, self.critical_percent, 100]
    }
}

/// Most values in one list of a scope: every record is compared with each.
const MAX_SCOPE_VALUES: usize = 100;

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
    }
}
