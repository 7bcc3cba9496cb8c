//! What agents told of their sessions when they asked for a statusline. It is in memory alone: an agent tells it again
//! with its next line.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokmon_core::Name;
use tokmon_core::limits::MAX_STATUSLINES;
use tokmon_core::money::Pico;

/// What an agent told of one session.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// The model in use.
    pub(crate) model: Name,
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

/// By agent and session. Bounded: past [`MAX_STATUSLINES`] the session that was silent longest is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Statuslines {
    told: Mutex<HashMap<(Name, Name), Told>>,
}

impl Statuslines {
    /// Takes over what an agent told.
    pub(crate) fn keep(&self, agent: Name, session: Name, told: Told) {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert((agent, session), told);
        if all.len() > MAX_STATUSLINES {
            let silent = all.iter().min_by_key(|(_, told)| told.at_ms);
            if let Some(key) = silent.map(|(key, _)| key.clone()) {
                all.remove(&key);
            }
        }
    }

    /// Everything, the session heard of last first.
    pub(crate) fn all(&self) -> Vec<((Name, Name), Told)> {
        let all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = all
            .iter()
            .map(|(key, told)| (key.clone(), told.clone()))
            .collect();
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
