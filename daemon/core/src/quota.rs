//! Quotas: the limits of subscriptions, as providers state them through the agents. A reading says how much of a window
//! is used and when it resets; the last reading of each window stands until its window is over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Name;
use crate::limits::{MAX_AHEAD_MS, MAX_NAME_BYTES, MAX_QUOTAS};
use crate::refusal::Refusal;

/// A share in hundredths of a percent.
pub const WHOLE: u32 = 10_000;
/// Largest share that is believed: agents have reported an instant in its place.
const MOST: u32 = 10 * WHOLE;
/// Longest window that is believed, in minutes: a year and a bit.
const LONGEST_MINUTES: u32 = 400 * 24 * 60;
/// Resets that lie this close together are the same one: agents round them differently.
const SAME_RESET_MS: i64 = 5 * 60_000;

/// What one agent last heard of one limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The agent that heard it.
    pub agent: Name,
    /// Whose limit it is.
    pub account: Name,
    /// "five_hour", "seven_day", or what the provider calls it.
    pub limit: Name,
    /// Length of the window in minutes. 0: not known.
    pub window_minutes: u32,
    /// Used share, in hundredths of a percent.
    pub used: u32,
    /// When the window ends, milliseconds. 0: not known.
    pub resets_at_ms: i64,
    /// When the provider said so, milliseconds.
    pub at_ms: i64,
    /// The subscription's name; may be empty.
    pub plan: Name,
    /// "statusline", "codex-rollout", …
    pub source: Name,
}

/// A share that an agent gives as a percentage. `None`: it cannot be one.
pub fn share(percent: f64) -> Option<u32> {
    let hundredths = (percent * 100.0).round();
    // In this range the conversion is exact; NaN is outside of it.
    (0.0..=f64::from(MOST))
        .contains(&hundredths)
        .then_some(hundredths as u32)
}

/// What a window of so many minutes is called.
pub fn limit_name(window_minutes: u32) -> Option<&'static str> {
    match window_minutes {
        60 => Some("hour"),
        300 => Some("five_hour"),
        1_440 => Some("day"),
        10_080 => Some("seven_day"),
        _ => None,
    }
}

/// The minutes of a window that is named so, the inverse of [`limit_name`].
pub fn window_of(limit: &str) -> Option<u32> {
    [60, 300, 1_440, 10_080]
        .into_iter()
        .find(|minutes| limit_name(*minutes) == Some(limit))
}

impl Reading {
    /// Whether it can be believed.
    ///
    /// # Errors
    /// `Invalid`, naming the field and what is allowed.
    pub fn check(&self, now_ms: i64) -> Result<(), Refusal> {
        let names = [
            ("agent", &self.agent),
            ("account", &self.account),
            ("limit", &self.limit),
            ("plan", &self.plan),
            ("source", &self.source),
        ];
        for (field, name) in names {
            if name.len() > MAX_NAME_BYTES {
                let problem = format!("{} bytes long", name.len());
                return Err(Refusal::invalid(
                    field,
                    problem,
                    format!("at most {MAX_NAME_BYTES} bytes"),
                ));
            }
        }
        for (field, name) in &names[..3] {
            if name.is_empty() && *field != "account" {
                return Err(Refusal::invalid(field, "it is empty", "a name"));
            }
        }
        if self.used > MOST {
            let problem = format!("{} % is not believed", self.used / 100);
            return Err(Refusal::invalid("used_percent", problem, "0 to 1000"));
        }
        if self.window_minutes > LONGEST_MINUTES {
            let problem = format!("{} minutes are not believed", self.window_minutes);
            return Err(Refusal::invalid(
                "window_minutes",
                problem,
                format!("at most {LONGEST_MINUTES}"),
            ));
        }
        let farthest = now_ms + i64::from(LONGEST_MINUTES) * 60_000;
        if self.resets_at_ms < 0 || self.resets_at_ms > farthest {
            let problem = format!("{} ms is not believed", self.resets_at_ms);
            return Err(Refusal::invalid(
                "resets_at_ms",
                problem,
                "milliseconds since 1970, within a year",
            ));
        }
        if self.at_ms <= 0 || self.at_ms > now_ms + MAX_AHEAD_MS {
            let problem = format!("{} ms is not believed", self.at_ms);
            return Err(Refusal::invalid(
                "at_ms",
                problem,
                "milliseconds since 1970, not ahead",
            ));
        }
        Ok(())
    }

    fn same_window(&self, other: &Reading) -> bool {
        (self.resets_at_ms - other.resets_at_ms).abs() <= SAME_RESET_MS
    }
}

/// The last reading of each limit. Bounded: past [`MAX_QUOTAS`] the limit that was silent longest is forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas {
    read: BTreeMap<[Name; 3], Reading>,
}

impl Quotas {
    /// From saved readings.
    pub fn load(readings: impl IntoIterator<Item = Reading>) -> Quotas {
        let mut quotas = Quotas::default();
        for reading in readings {
            quotas.apply(&reading);
        }
        quotas
    }

    /// The readings, by agent, account and limit.
    pub fn readings(&self) -> impl Iterator<Item = &Reading> {
        self.read.values()
    }

    /// Whether a reading tells anything that is not known: it is newer, and says something else.
    pub fn is_news(&self, new: &Reading) -> bool {
        let Some(known) = self.read.get(&key(new)) else {
            return true;
        };
        if new.at_ms <= known.at_ms {
            return false;
        }
        // Within a window the share only grows; several sessions of one agent report in any order.
        let same = known.same_window(new);
        (!same && new.resets_at_ms >= known.resets_at_ms)
            || (same && new.used > known.used)
            || (same
                && (&new.plan, new.window_minutes) != (&known.plan, known.window_minutes)
                && new.used == known.used)
    }

    /// Takes a reading over, unless it tells nothing new.
    pub fn apply(&mut self, new: &Reading) {
        if !self.is_news(new) {
            return;
        }
        self.read.insert(key(new), new.clone());
        if self.read.len() > MAX_QUOTAS {
            let silent = self.read.iter().min_by_key(|(_, reading)| reading.at_ms);
            if let Some(key) = silent.map(|(key, _)| key.clone()) {
                self.read.remove(&key);
            }
        }
    }
}

fn key(reading: &Reading) -> [Name; 3] {
    [
        reading.agent.clone(),
        reading.account.clone(),
        reading.limit.clone(),
    ]
}

/// How a limit stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Used share now, in hundredths of a percent; 0 after the window's end.
    pub used: u32,
    /// The window of the reading is over; nothing was heard of the next.
    pub is_over: bool,
    /// The share of the window that has passed, in hundredths of a percent. `None`: its length is not known.
    pub passed: Option<u32>,
    /// When it would be used up if it went on as since the window's beginning. `None`: not before its end, or not known.
    pub runs_out_at_ms: Option<i64>,
}

/// How a limit stands at an instant.
pub fn standing(reading: &Reading, now_ms: i64) -> Standing {
    if reading.resets_at_ms != 0 && reading.resets_at_ms <= now_ms {
        return Standing {
            used: 0,
            is_over: true,
            passed: None,
            runs_out_at_ms: None,
        };
    }
    let length = i64::from(reading.window_minutes) * 60_000;
    let start = reading.resets_at_ms - length;
    let known = reading.resets_at_ms != 0 && length > 0;
    let part = |at_ms: i64| (at_ms - start).clamp(0, length);
    let passed = known.then(|| u32::try_from(part(now_ms) * i64::from(WHOLE) / length).unwrap_or(WHOLE));
    let runs_out = known.then(|| {
        // The pace is that of the reading: what came since is not known.
        let spent = part(reading.at_ms);
        match (reading.used, spent) {
            (used, _) if used >= WHOLE => Some(now_ms),
            (0, _) | (_, 0) => None,
            (used, spent) => {
                Some(start + i64::try_from(i128::from(spent) * i128::from(WHOLE) / i128::from(used)).ok()?)
                    .filter(|at| *at < reading.resets_at_ms)
                    .map(|at| at.max(now_ms))
            }
        }
    });
    Standing {
        used: reading.used,
        is_over: false,
        passed,
        runs_out_at_ms: runs_out.flatten(),
    }
}

#[cfg(test)]
mod tests;
