//! What agents told of their sessions when they asked for a statusline, and what follows from it: where an agent's total
//! stays above what the ledger knows of a session, the ledger is told. This is in memory alone: an agent tells it again
//! with its next line, and what is booked is in the ledger.

mod judge;

pub(crate) use judge::run;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokmon_core::Name;
use tokmon_core::limits::MAX_STATUSLINES;
use tokmon_core::money::Pico;
use tokmon_core::official::Sight;

/// What an agent told of one session.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// The model in use.
    pub(crate) model: Name,
    /// Its project; may be empty.
    pub(crate) project: Name,
    /// What the agent reckons that the session has cost.
    pub(crate) cost: Option<Pico>,
    /// How its prompt cache does.
    pub(crate) cache: Option<Cache>,
    /// When.
    pub(crate) at_ms: i64,
}

/// How an agent's prompt cache does in a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cache {
    pub(crate) warm: bool,
    pub(crate) requests: u64,
    pub(crate) misses: u64,
    /// When it goes cold; 0: not known.
    pub(crate) expires_at_ms: i64,
    /// Tokens to write again once it is cold.
    pub(crate) recache_tokens: u64,
}

/// An agent and its session.
type Session = (Name, Name);

struct Line {
    told: Told,
    sight: Sight,
    /// The ledger's figures were not looked at since it was told.
    is_new: bool,
}

/// By agent and session. Bounded: past [`MAX_STATUSLINES`] the session that was silent longest is forgotten.
#[derive(Default)]
pub(crate) struct Statuslines {
    lines: Mutex<HashMap<Session, Line>>,
    /// Somebody has to look.
    looks: Notify,
}

impl Statuslines {
    fn lock(&self) -> MutexGuard<'_, HashMap<Session, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what an agent told.
    pub(crate) fn keep(&self, agent: Name, session: Name, told: Told) {
        let mut lines = self.lock();
        let now_ms = told.at_ms;
        let line = lines.entry((agent, session)).or_insert_with(|| Line {
            told: told.clone(),
            sight: Sight::default(),
            is_new: true,
        });
        line.is_new |= line.told.cost != told.cost;
        line.told = told;
        if line.is_new || line.sight.due_ms().is_some_and(|due| due <= now_ms) {
            self.looks.notify_one();
        }
        if lines.len() > MAX_STATUSLINES {
            let silent = lines.iter().min_by_key(|(_, line)| line.told.at_ms);
            if let Some(key) = silent.map(|(key, _)| key.clone()) {
                lines.remove(&key);
            }
        }
    }

    /// Everything, the session heard of last first.
    pub(crate) fn all(&self) -> Vec<(Session, Told)> {
        let lines = self.lock();
        let told = |(key, line): (&Session, &Line)| (key.clone(), line.told.clone());
        let mut all: Vec<_> = lines.iter().map(told).collect();
        all.sort_by_key(|(_, told)| std::cmp::Reverse(told.at_ms));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_sessions_are_remembered() {
        let lines = Statuslines::default();
        for n in 0..=MAX_STATUSLINES {
            let told = Told {
                model: "m".into(),
                project: "".into(),
                cost: None,
                cache: None,
                at_ms: i64::try_from(n).unwrap(),
            };
            lines.keep("a".into(), n.to_string().into(), told);
        }
        let all = lines.all();
        assert_eq!(all.len(), MAX_STATUSLINES);
        assert_eq!(&*all[0].0.1, MAX_STATUSLINES.to_string());
        assert!(all.iter().all(|((_, session), _)| &**session != "0"));
    }
}
