//! Runaway sessions: those that suddenly spend far more than they did before, repeat one call, are denied again and
//! again, or miss the provider's cache call after call.
//!
//! Each session is compared with its own past, in memory that does not grow with it. Only what happens now counts: a
//! history that is imported never raises an alarm. A rule speaks once per episode, which ends when the rule has been
//! quiet for half an hour.

mod history;

use serde::{Deserialize, Serialize};

use crate::Name;
use crate::money::{PICO_PER_USD, Pico};
use crate::refusal::Refusal;

pub use history::Watch;

/// A call that ended longer ago than this when the ledger took it in is history, in milliseconds: live sources are
/// seconds behind, telemetry a minute.
pub const LIVE_MS: i64 = 10 * 60 * 1000;

/// The rules and their thresholds. 0 switches a rule off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunawayRules {
    /// So many times what the session usually spends in five minutes of work …
    pub velocity_factor: u64,
    /// … and at least this much.
    pub velocity_usd: Pico,
    /// So many times the same request of the same tool, one right after the other.
    pub repeats: u64,
    /// So many denials in a row, within ten minutes.
    pub denials: u64,
    /// So many calls in a row that missed a cache which was used before …
    pub misses: u64,
    /// … and cost at least this much.
    pub misses_usd: Pico,
}

impl Default for RunawayRules {
    /// Chosen so that sessions of real work raise no alarm and a loop does within minutes: see the constants' reasons in
    /// the configuration's help.
    fn default() -> RunawayRules {
        RunawayRules {
            velocity_factor: 10,
            velocity_usd: Pico(20 * PICO_PER_USD),
            repeats: 25,
            denials: 10,
            misses: 8,
            misses_usd: Pico(2 * PICO_PER_USD),
        }
    }
}

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// It spends many times what it usually does.
    Velocity,
    /// The same call again and again.
    Repeats,
    /// It is denied and asks again.
    Denials,
    /// The provider's cache is missed call after call.
    CacheMisses,
}

impl Sign {
    /// All of them.
    pub const ALL: [Sign; 4] = [Sign::Velocity, Sign::Repeats, Sign::Denials, Sign::CacheMisses];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Sign::Velocity => "velocity",
            Sign::Repeats => "repeats",
            Sign::Denials => "denials",
            Sign::CacheMisses => "cache_misses",
        }
    }

    /// What a session does that shows it.
    pub fn meaning(self) -> &'static str {
        match self {
            Sign::Velocity => "spends many times what it usually does",
            Sign::Repeats => "makes the same call again and again",
            Sign::Denials => "keeps on asking after it was denied",
            Sign::CacheMisses => "misses the provider's cache call after call",
        }
    }
}

/// What an alarm is raised about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    /// Whose session.
    pub agent: Name,
    /// The session.
    pub session: Name,
    /// What it showed.
    pub sign: Sign,
    /// How often, or how many times the usual.
    pub figure: u64,
    /// What it spent on it.
    pub spent: Pico,
    /// Budgets that stop the session.
    pub stops: Vec<Name>,
}

impl Episode {
    /// One sentence without names.
    pub fn text(&self) -> String {
        let Episode { figure, spent, .. } = self;
        match self.sign {
            Sign::Velocity => format!("${spent} in five minutes, {figure} times what it usually spends"),
            Sign::Repeats => format!("the same call {figure} times in a row"),
            Sign::Denials => format!("denied {figure} times in a row, and it keeps on asking"),
            Sign::CacheMisses => format!("{figure} calls in a row missed the cache, for ${spent}"),
        }
    }

    /// One sentence for people.
    pub fn message(&self) -> String {
        let stopped = match self.stops.first() {
            Some(budget) => format!("; budget {budget} stops it until it is lifted"),
            None => String::new(),
        };
        let (agent, session) = (&self.agent, &self.session);
        format!(
            "session {session} of {agent} may be running away: {}{stopped}",
            self.text()
        )
    }
}

/// What a budget does when a session that it covers runs away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRunaway {
    /// Nothing.
    Observe,
    /// Alert.
    #[default]
    Warn,
    /// Alert, and stop the session until the budget is lifted for it.
    Deny,
}

impl OnRunaway {
    /// Reads "observe", "warn" or "deny"; empty means warn.
    ///
    /// # Errors
    /// Another word.
    pub fn parse(text: &str) -> Result<OnRunaway, Refusal> {
        match text {
            "observe" => Ok(OnRunaway::Observe),
            "" | "warn" => Ok(OnRunaway::Warn),
            "deny" => Ok(OnRunaway::Deny),
            other => {
                let problem = format!("{:?} is not known", other.chars().take(80).collect::<String>());
                Err(Refusal::invalid("on_runaway", problem, "observe, warn or deny"))
            }
        }
    }

    /// The word that [`OnRunaway::parse`] reads.
    pub fn name(self) -> &'static str {
        match self {
            OnRunaway::Observe => "observe",
            OnRunaway::Warn => "warn",
            OnRunaway::Deny => "deny",
        }
    }
}

/// A session that a budget has stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Whose session.
    pub agent: Name,
    /// The session.
    pub session: Name,
    /// Why.
    pub sign: Sign,
    /// Since when.
    pub at_ms: i64,
    /// Somebody lifted it.
    pub lifted: bool,
}

#[cfg(test)]
mod tests;
