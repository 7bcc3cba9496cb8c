//! The memory of the waste rules: the calls of each session within the rules' windows.
//!
//! It holds hashes and times only, and little of them: sessions beyond the newest are forgotten, a session keeps
//! its latest calls, and calls without a tool are never noted. It can be written into a checkpoint and read back;
//! losing it costs at most the findings of a few minutes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rules::WasteRules;
use crate::observation::Observation;

/// Most sessions that are remembered: far above what runs at one time.
const MAX_SESSIONS: usize = 256;
/// Most calls of a session that are remembered: a call every 1.2 seconds for five minutes.
const MAX_CALLS: usize = 256;

/// Recent calls by session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    sessions: BTreeMap<u64, Session>,
    /// Counts calls, to know which session has been idle longest.
    turn: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    turn: u64,
    /// Sorted by time.
    calls: Vec<Call>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Call {
    at_ms: i64,
    /// The call's own key, so that a better record of it takes its place.
    key: u64,
    tool: u64,
    /// Tool and request together; 0 when the request is not known.
    request: u64,
}

/// How often the same came before, within the rules' windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) same_tool: u64,
    pub(super) same_request: u64,
}

impl Recent {
    /// Forgets sessions whose last call lies before the instant.
    pub fn prune(&mut self, before_ms: i64) {
        self.sessions
            .retain(|_, session| session.calls.last().is_some_and(|call| call.at_ms >= before_ms));
    }

    /// Nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Remembers a call and says what came before it.
    pub(super) fn note(&mut self, seen: &Observation, rules: &WasteRules) -> Before {
        let who = &seen.who;
        let memory_ms = rules.memory_ms();
        if who.tool.is_empty() || memory_ms == 0 {
            return Before::default();
        }
        let tool = hash(&[who.tool.as_bytes()]);
        let request = match (&who.context, seen.request_hash) {
            (_, known) if known != 0 => hash(&[who.tool.as_bytes(), b"hash", &known.to_le_bytes()]),
            (Some(context), _) if !context.is_empty() => {
                hash(&[who.tool.as_bytes(), b"context", context.as_bytes()])
            }
            _ => 0,
        };
        if request == 0 && !rules.is_read(&who.tool) {
            return Before::default();
        }
        let key = u64::from_le_bytes(seen.key.hash.first_chunk().copied().unwrap_or_default());
        let call = Call {
            at_ms: seen.at_ms,
            key,
            tool,
            request,
        };
        self.turn += 1;
        let session = hash(&[who.agent.as_bytes(), who.session.as_bytes()]);
        let session = self.session(session);
        session.insert(call, memory_ms);
        session.before(&call, rules)
    }

    fn session(&mut self, id: u64) -> &mut Session {
        if self.sessions.len() >= MAX_SESSIONS && !self.sessions.contains_key(&id) {
            let idle = self
                .sessions
                .iter()
                .min_by_key(|(_, session)| session.turn)
                .map(|(&id, _)| id);
            idle.map(|id| self.sessions.remove(&id));
        }
        let session = self.sessions.entry(id).or_default();
        session.turn = self.turn;
        session
    }
}

impl Session {
    fn insert(&mut self, call: Call, memory_ms: i64) {
        if let Some(known) = self.calls.iter().position(|known| known.key == call.key) {
            self.calls.remove(known);
        }
        let at = self.calls.partition_point(|known| known.at_ms <= call.at_ms);
        self.calls.insert(at, call);
        // Twice the memory: a call that arrives late finds those that came before it.
        let newest = self.calls.last().map_or(call.at_ms, |last| last.at_ms);
        let oldest = newest.saturating_sub(memory_ms.saturating_mul(2));
        let expired = self.calls.partition_point(|known| known.at_ms < oldest);
        let surplus = self.calls.len().saturating_sub(MAX_CALLS);
        self.calls.drain(..expired.max(surplus));
    }

    fn before(&self, call: &Call, rules: &WasteRules) -> Before {
        let mut before = Before::default();
        let since = |seconds: u32| call.at_ms.saturating_sub(i64::from(seconds) * 1000);
        let read_since = since(rules.read_loop.window_seconds);
        let request_since = since(rules.duplicate_request.window_seconds);
        let oldest = read_since.min(request_since);
        let later = self.calls.partition_point(|known| known.at_ms <= call.at_ms);
        for known in self.calls[..later].iter().rev() {
            if known.at_ms < oldest {
                break;
            }
            if known.key == call.key {
                continue;
            }
            before.same_tool += u64::from(known.tool == call.tool && known.at_ms >= read_since);
            let same = call.request != 0 && known.request == call.request;
            before.same_request += u64::from(same && known.at_ms >= request_since);
        }
        before
    }
}

/// FNV-1a over length-prefixed parts: the same in every build, as a checkpoint outlives the program.
fn hash(parts: &[&[u8]]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut take = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for part in parts {
        part.len().to_le_bytes().into_iter().for_each(&mut take);
        part.iter().copied().for_each(&mut take);
    }
    hash.max(1)
}
