//! Current sessions: where calls go that do not say which session they belong to.
//!
//! An agent's current session is the one that it used last. A call without a session goes to the session that the
//! ledger itself opened for the agent, which is made when first needed and replaced by a reset.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Name;
use crate::limits::MAX_AGENTS;

/// The current sessions of every agent. Bounded: past [`MAX_AGENTS`] the agent that was silent longest is forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    agents: BTreeMap<Name, Current>,
}

/// One agent's sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Current {
    /// The session that the ledger opened for calls without one.
    opened: Option<Name>,
    /// The session used last, and when.
    latest: Name,
    latest_at_ms: i64,
}

impl Sessions {
    /// The session of `agent` that was used last; with an empty agent, the one that anybody used last.
    pub fn current(&self, agent: &str) -> Option<(&Name, &Name)> {
        if agent.is_empty() {
            return self
                .agents
                .iter()
                .max_by_key(|(_, c)| c.latest_at_ms)
                .map(|(agent, c)| (agent, &c.latest));
        }
        self.agents
            .get_key_value(agent)
            .map(|(agent, c)| (agent, &c.latest))
    }

    /// The session that calls of `agent` without a session go to, if one is open.
    pub fn opened(&self, agent: &str) -> Option<&Name> {
        self.agents.get(agent)?.opened.as_ref()
    }

    /// A session was opened by the ledger.
    pub fn open(&mut self, agent: &Name, session: &Name, at_ms: i64) {
        let current = self.slot(agent);
        current.opened = Some(session.clone());
        current.latest = session.clone();
        // A reset is what the user wants now: calls that are imported later and lie before it do not undo it.
        current.latest_at_ms = current.latest_at_ms.max(at_ms);
    }

    /// A call of a session was recorded.
    pub fn used(&mut self, agent: &Name, session: &Name, at_ms: i64) {
        if session.is_empty() {
            return;
        }
        if let Some(current) = self.agents.get_mut(agent) {
            if at_ms >= current.latest_at_ms {
                current.latest_at_ms = at_ms;
                if current.latest != *session {
                    current.latest = session.clone();
                }
            }
            return;
        }
        let current = self.slot(agent);
        current.latest = session.clone();
        current.latest_at_ms = at_ms;
    }

    /// Every agent with its current session.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Name)> {
        self.agents.iter().map(|(agent, c)| (agent, &c.latest))
    }

    fn slot(&mut self, agent: &Name) -> &mut Current {
        if !self.agents.contains_key(agent) && self.agents.len() >= MAX_AGENTS {
            let silent = self.agents.iter().min_by_key(|(_, c)| c.latest_at_ms);
            if let Some(silent) = silent.map(|(agent, _)| agent.clone()) {
                self.agents.remove(&silent);
            }
        }
        self.agents.entry(agent.clone()).or_default()
    }
}

/// The id of a session that the ledger opens: readable, and made only from what is known (there is no chance in the
/// rules), so replaying gives the same id.
pub fn new_id(agent: &str, seq: u64, at_ms: i64) -> Name {
    let mut cut = agent.len().min(64);
    while !agent.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(agent.as_bytes());
    hasher.update(&seq.to_le_bytes());
    hasher.update(&at_ms.to_le_bytes());
    let hash = hasher.finalize();
    format!("{}-{}", &agent[..cut], &hash.to_hex()[..12]).into()
}

/// The session is one that [`new_id`] made: its agent named none.
pub fn is_ours(agent: &str, session: &str) -> bool {
    let mut cut = agent.len().min(64);
    while !agent.is_char_boundary(cut) {
        cut -= 1;
    }
    let hash = session
        .strip_prefix(&agent[..cut])
        .and_then(|rest| rest.strip_prefix('-'));
    hash.is_some_and(|hash| hash.len() == 12 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.into()
    }

    #[test]
    fn the_session_used_last_is_current() {
        let mut sessions = Sessions::default();
        sessions.used(&name("claude-code"), &name("new"), 2_000);
        sessions.used(&name("claude-code"), &name("old"), 1_000);
        sessions.used(&name("codex"), &name("c"), 1_500);
        assert_eq!(&**sessions.current("claude-code").unwrap().1, "new");
        assert_eq!(&**sessions.current("").unwrap().1, "new");
        assert_eq!(sessions.current("nobody"), None);
        assert_eq!(sessions.opened("codex"), None);
    }

    #[test]
    fn a_reset_is_current_at_once_and_stays_open_beside_named_sessions() {
        let mut sessions = Sessions::default();
        sessions.used(&name("codex"), &name("c"), 5_000);
        sessions.open(&name("codex"), &name("fresh"), 4_000);
        assert_eq!(&**sessions.current("codex").unwrap().1, "fresh");
        sessions.used(&name("codex"), &name("c"), 6_000);
        assert_eq!(&**sessions.current("codex").unwrap().1, "c");
        assert_eq!(&**sessions.opened("codex").unwrap(), "fresh");
    }

    #[test]
    fn agents_are_bounded() {
        let mut sessions = Sessions::default();
        for (i, _) in (0_i64..).zip(0..MAX_AGENTS + 5) {
            sessions.used(&format!("agent{i}").into(), &name("s"), i);
        }
        assert_eq!(sessions.iter().count(), MAX_AGENTS);
        assert_eq!(sessions.current("agent0"), None);
    }

    #[test]
    fn ids_are_short_readable_and_differ() {
        assert_ne!(new_id("codex", 1, 5), new_id("codex", 2, 5));
        assert_eq!(new_id("codex", 1, 5), new_id("codex", 1, 5));
        assert!(new_id("codex", 1, 5).starts_with("codex-"));
        assert!(new_id(&"ü".repeat(500), 1, 5).len() < 80);
    }
}
