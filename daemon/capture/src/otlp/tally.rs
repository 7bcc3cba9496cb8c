//! What the receiver says about itself, for status. Counts since the daemon's start.

use std::collections::VecDeque;

use tokmon_core::Name;
use tokmon_core::limits::{MAX_FAILURES_SHOWN, MAX_OTLP_SENDERS_SHOWN};

/// The receiver's state and what came in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Where it listens, e.g. "http://127.0.0.1:14318".
    pub endpoints: Vec<String>,
    /// Why it does not listen somewhere where it should; empty when all is well.
    pub error: String,
    /// Export requests that were understood.
    pub requests: u64,
    /// Calls that the ledger did not know, or knows better now.
    pub calls: u64,
    /// Calls that it knew as well already: sent again.
    pub duplicates: u64,
    /// Records and spans that tell of no call.
    pub others: u64,
    /// Records that tell of a call, but with a figure that cannot be right.
    pub rejected: u64,
    /// Requests that were turned away: no token, too large, too many, unreadable.
    pub refused: u64,
    /// When the latest request came that was understood, milliseconds since the epoch; 0: none.
    pub last_ms: i64,
    /// Who sends calls, the latest last.
    pub senders: Vec<SenderTally>,
    /// What was wrong lately with records and requests, at most [`MAX_FAILURES_SHOWN`]; never their text.
    pub problems: VecDeque<String>,
}

/// What one agent sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderTally {
    /// Its name in records.
    pub agent: Name,
    /// How many calls it told of, copies included.
    pub calls: u64,
    /// When the latest of them came.
    pub last_ms: i64,
}

impl Tally {
    /// Keeps a problem for show; the oldest makes room, and the same one is shown once.
    pub(super) fn show(&mut self, problem: String) {
        if self.problems.contains(&problem) {
            return;
        }
        if self.problems.len() >= MAX_FAILURES_SHOWN {
            self.problems.pop_front();
        }
        self.problems.push_back(problem);
    }

    /// Counts calls of an agent; the one that is silent longest makes room.
    pub(super) fn heard(&mut self, agent: &Name, calls: u64, now_ms: i64) {
        let mut sender = match self.senders.iter().position(|known| known.agent == *agent) {
            Some(at) => self.senders.remove(at),
            None => SenderTally {
                agent: agent.clone(),
                calls: 0,
                last_ms: 0,
            },
        };
        sender.calls += calls;
        sender.last_ms = now_ms;
        if self.senders.len() >= MAX_OTLP_SENDERS_SHOWN {
            self.senders.remove(0);
        }
        self.senders.push(sender);
    }
}
