//! What is remembered of hooks: when each fired last, and which sessions are being denied. No truth of the ledger's:
//! losing it costs nothing but a count.

use serde::{Deserialize, Serialize};

use super::Question;
use crate::Name;
use crate::limits::{MAX_HOOK_EVENTS, MAX_HOOK_SESSIONS};

/// See the module. Bounded; what was silent longest is forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    fired: Vec<Fired>,
    streaks: Vec<Streak>,
}

/// One event of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// The agent.
    pub agent: Name,
    /// The event as the agent names it; empty when its message was not understood.
    pub event: Name,
    /// How often it fired.
    pub count: u64,
    /// How often it was denied.
    pub denied: u64,
    /// When it fired first and last, milliseconds.
    pub first_ms: i64,
    /// See `first_ms`.
    pub last_ms: i64,
}

/// A session that is being denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streak {
    /// The agent.
    pub agent: Name,
    /// The session; empty when the agent does not name it.
    pub session: Name,
    /// The budget that denied last.
    pub budget: Name,
    /// Denials in a row.
    pub denials: u32,
    /// The last one, milliseconds.
    pub last_ms: i64,
}

impl Memory {
    /// Takes note of a hook and of who denied it; says how many times in a row its session was denied by now.
    pub fn saw(&mut self, question: &Question, denied_by: Option<&Name>, now_ms: i64) -> u32 {
        let caller = &question.caller;
        let fired = find(
            &mut self.fired,
            MAX_HOOK_EVENTS,
            |f| f.agent == caller.agent && f.event == question.event,
            |f| f.last_ms,
            || Fired {
                agent: caller.agent.clone(),
                event: question.event.clone(),
                count: 0,
                denied: 0,
                first_ms: now_ms,
                last_ms: now_ms,
            },
        );
        fired.count += 1;
        fired.denied += u64::from(denied_by.is_some());
        fired.last_ms = fired.last_ms.max(now_ms);
        let same = |s: &Streak| s.agent == caller.agent && s.session == caller.session;
        let Some(budget) = denied_by else {
            // A signal says nothing about whether the session may go on.
            if question.point == super::Point::Gate {
                self.streaks.retain(|s| !same(s));
            }
            return 0;
        };
        let streak = find(
            &mut self.streaks,
            MAX_HOOK_SESSIONS,
            same,
            |s| s.last_ms,
            || Streak {
                agent: caller.agent.clone(),
                session: caller.session.clone(),
                budget: budget.clone(),
                denials: 0,
                last_ms: now_ms,
            },
        );
        streak.denials = streak.denials.saturating_add(1);
        streak.budget = budget.clone();
        streak.last_ms = now_ms;
        streak.denials
    }

    /// Every event that fired.
    pub fn fired(&self) -> &[Fired] {
        &self.fired
    }

    /// The sessions that are being denied.
    pub fn streaks(&self) -> &[Streak] {
        &self.streaks
    }

    /// The same within today's bounds: it may come from a file that somebody wrote.
    #[must_use]
    pub fn bounded(mut self) -> Memory {
        self.fired.truncate(MAX_HOOK_EVENTS);
        self.streaks.truncate(MAX_HOOK_SESSIONS);
        self
    }
}

/// The one that is meant, or a new one in the place of the one that was silent longest.
fn find<T>(
    list: &mut Vec<T>,
    most: usize,
    same: impl Fn(&T) -> bool,
    last_ms: impl Fn(&T) -> i64,
    new: impl FnOnce() -> T,
) -> &mut T {
    let at = list.iter().position(same).unwrap_or_else(|| {
        if list.len() >= most
            && let Some(silent) = (0..list.len()).min_by_key(|&at| last_ms(&list[at]))
        {
            list.swap_remove(silent);
        }
        list.push(new());
        list.len() - 1
    });
    &mut list[at]
}
