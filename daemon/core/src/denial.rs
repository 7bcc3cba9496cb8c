//! Denials as entries. The first of its kind is written at once; the same again and again is counted and told of by few
//! later entries, so that a loop that asks a thousand times a second does not fill the ledger.
//!
//! Denials are of one run when the same budget and unit refuse the same session of the same agent in the same window. An
//! entry says how many denials it stands for ([`Denial::count`]) and how many the run has so far ([`Denial::times`]): all
//! counts add up to the number of denials. A run tells of itself whenever it has doubled, or after a pause of ten seconds
//! that grows to a minute, and when the ledger is closed. What is counted and not told yet is lost when the process is
//! killed: at most a minute of a run that is known.

use serde::{Deserialize, Serialize};

use crate::Name;
use crate::budget::{Caller, Estimate, Grounds, Unit};
use crate::limits::{MAX_BUDGETS, MAX_DENIAL_RUNS};

/// First and longest pause between two entries of one run, in milliseconds.
const FIRST_PAUSE_MS: i64 = 10_000;
const LONGEST_PAUSE_MS: i64 = 60_000;
/// A run is over when nothing was denied for so long, in milliseconds.
const SILENCE_MS: i64 = 60 * 60 * 1_000;

/// Denials as an entry tells of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Denial {
    /// Who asked, the last time. Without agent and session it stands for several, of whom there were too many.
    pub caller: Caller,
    /// What would have been reserved, the last time.
    pub estimate: Estimate,
    /// Why it was refused, the last time.
    pub grounds: Grounds,
    /// How many denials this entry stands for.
    pub count: u64,
    /// How many there were in this run so far.
    pub times: u64,
    /// The first of the run, milliseconds.
    pub first_ms: i64,
    /// The last one.
    pub last_ms: i64,
}

/// A run of denials.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    denial: Denial,
    /// Denials that no entry tells of yet.
    untold: u64,
    /// When entries are to tell of them at the latest.
    due_ms: i64,
    pause_ms: i64,
}

/// What is saved of a run: an entry has told of all of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedRun {
    caller: Caller,
    budget: Name,
    unit: u8,
    resets_at_ms: i64,
    times: u64,
    first_ms: i64,
    last_ms: i64,
}

/// The runs that go on. The writer's own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Denials {
    runs: Vec<Run>,
}

impl Run {
    fn is_of(&self, agent: &str, session: &str, grounds: &Grounds) -> bool {
        let who = &self.denial.caller;
        let same = |a: &Grounds, b: &Grounds| match (&a.binding, &b.binding) {
            (Some(a), Some(b)) => a.budget == b.budget && a.unit == b.unit,
            (None, None) => true,
            _ => false,
        };
        *who.agent == *agent && *who.session == *session && same(&self.denial.grounds, grounds)
    }

    /// Its window has ended, or it has been silent for long.
    fn is_over(&self, now_ms: i64) -> bool {
        let resets = self.denial.grounds.binding.as_ref().map_or(0, |b| b.resets_at_ms);
        (resets > 0 && resets <= now_ms) || self.denial.last_ms.saturating_add(SILENCE_MS) <= now_ms
    }

    /// What an entry is to say now.
    fn tell(&self) -> Denial {
        Denial {
            count: self.untold,
            ..self.denial.clone()
        }
    }
}

impl Denials {
    /// Counts a denial, and says what is to be written.
    pub fn add(&mut self, caller: &Caller, estimate: Estimate, grounds: Grounds, now_ms: i64) -> Vec<Denial> {
        let mut told: Vec<Denial> = Vec::new();
        let ended = |run: &Run| run.is_over(now_ms) && run.is_of(&caller.agent, &caller.session, &grounds);
        if let Some(at) = self.runs.iter().position(ended) {
            let run = self.runs.swap_remove(at);
            told.extend((run.untold > 0).then(|| run.tell()));
        }
        let mut whose = caller.clone();
        let known = |runs: &[Run], whose: &Caller| {
            runs.iter()
                .position(|run| run.is_of(&whose.agent, &whose.session, &grounds))
        };
        let mut at = known(&self.runs, &whose);
        if at.is_none() && self.runs.len() >= MAX_DENIAL_RUNS {
            self.runs.retain(|run| run.untold > 0 || !run.is_over(now_ms));
            if self.runs.len() >= MAX_DENIAL_RUNS {
                whose = Caller::default();
                at = known(&self.runs, &whose);
            }
        }
        let at = at.unwrap_or_else(|| {
            // One for each budget on top of the bound, and each budget has three units.
            debug_assert!(self.runs.len() < MAX_DENIAL_RUNS + 3 * MAX_BUDGETS);
            self.runs.push(Run {
                denial: Denial {
                    caller: whose.clone(),
                    estimate,
                    grounds: grounds.clone(),
                    count: 0,
                    times: 0,
                    first_ms: now_ms,
                    last_ms: now_ms,
                },
                untold: 0,
                due_ms: 0,
                pause_ms: FIRST_PAUSE_MS,
            });
            self.runs.len() - 1
        });
        let run = &mut self.runs[at];
        if run.untold == 0 {
            run.due_ms = now_ms.saturating_add(run.pause_ms);
        }
        run.untold += 1;
        run.denial = Denial {
            caller: whose,
            estimate,
            grounds,
            count: 0,
            times: run.denial.times + 1,
            first_ms: run.denial.first_ms,
            last_ms: now_ms,
        };
        let before = run.denial.times - run.untold;
        told.extend((run.untold >= before).then(|| run.tell()));
        told
    }

    /// An entry tells of a run.
    pub(crate) fn told(&mut self, denial: &Denial) {
        let who = &denial.caller;
        let same = |run: &Run| run.is_of(&who.agent, &who.session, &denial.grounds);
        match self.runs.iter().position(same) {
            Some(at) if self.runs[at].denial.first_ms == denial.first_ms => {
                let run = &mut self.runs[at];
                run.untold = run.denial.times.saturating_sub(denial.times);
                run.denial.times = run.denial.times.max(denial.times);
                run.denial.last_ms = run.denial.last_ms.max(denial.last_ms);
                run.pause_ms = (run.pause_ms * 2).min(LONGEST_PAUSE_MS);
            }
            // The last word of a run that is over.
            Some(at) if self.runs[at].denial.first_ms > denial.first_ms => {}
            former => {
                former.map(|at| self.runs.swap_remove(at));
                self.runs.push(Run {
                    denial: denial.clone(),
                    untold: 0,
                    due_ms: 0,
                    pause_ms: FIRST_PAUSE_MS,
                });
            }
        }
    }

    /// When the next run is due to be told of.
    pub fn next_due_ms(&self) -> Option<i64> {
        let untold = self.runs.iter().filter(|run| run.untold > 0);
        untold.map(|run| run.due_ms).min()
    }

    /// What is due to be written.
    pub fn due(&self, now_ms: i64) -> Vec<Denial> {
        let due = |run: &&Run| run.untold > 0 && run.due_ms <= now_ms;
        self.runs.iter().filter(due).map(Run::tell).collect()
    }

    pub(crate) fn save(&self) -> Vec<SavedRun> {
        let saved = |run: &Run| {
            let binding = run.denial.grounds.binding.as_ref()?;
            Some(SavedRun {
                caller: run.denial.caller.clone(),
                budget: binding.budget.clone(),
                unit: binding.unit as u8,
                resets_at_ms: binding.resets_at_ms,
                times: run.denial.times - run.untold,
                first_ms: run.denial.first_ms,
                last_ms: run.denial.last_ms,
            })
        };
        self.runs.iter().filter_map(saved).collect()
    }

    pub(crate) fn load(saved: Vec<SavedRun>) -> Denials {
        let mut denials = Denials::default();
        for run in saved {
            let unit = Unit::ALL.into_iter().find(|unit| *unit as u8 == run.unit);
            let Some(unit) = unit.filter(|_| denials.runs.len() < MAX_DENIAL_RUNS) else {
                continue;
            };
            denials.told(&Denial {
                caller: run.caller,
                estimate: Estimate::default(),
                grounds: Grounds::refused_by(run.budget, unit, run.resets_at_ms),
                count: 0,
                times: run.times,
                first_ms: run.first_ms,
                last_ms: run.last_ms,
            });
        }
        denials
    }
}

#[cfg(test)]
mod tests;
