//! What the reader of a document or a database is given besides its bytes, and where it puts what it finds.

use tokmon_core::id::Key;
use tokmon_core::money::Pico;
use tokmon_core::observation::Observation;
use tokmon_core::tokens::Tokens;

use super::counters::{Counters, Fall, Step};
use super::values::Names;
use super::{Found, Origin};

/// See the module.
pub(crate) struct Notes<'a> {
    /// The file.
    pub(crate) origin: &'a Origin,
    /// Names that repeat.
    pub(crate) names: Names,
    /// The present, milliseconds since the epoch.
    pub(crate) now_ms: i64,
    /// What the reader left here the last time, for this file; empty the first time and after a new version. At most
    /// half of [`MAX_PARSER_STATE`](tokmon_core::limits::MAX_PARSER_STATE) bytes are kept.
    pub(crate) state: Vec<u8>,
    /// There is more to read, from the state on: asked again at once, so that not all of it is in memory together.
    pub(crate) more: bool,
    pub(super) found: Found,
    pub(super) agent: &'a str,
    pub(super) counters: &'a mut Counters,
}

impl<'a> Notes<'a> {
    /// Empty notes on a file.
    pub(crate) fn new(
        agent: &'a str,
        origin: &'a Origin,
        now_ms: i64,
        state: Vec<u8>,
        counters: &'a mut Counters,
    ) -> Notes<'a> {
        Notes {
            origin,
            names: Names::default(),
            now_ms,
            state,
            more: false,
            found: Found::default(),
            agent,
            counters,
        }
    }

    /// A call of this agent; what is known of it beyond this the reader adds.
    pub(crate) fn call(&mut self, key: Key, at_ms: i64, session: &str, model: &str) -> Observation {
        self.origin
            .call(&mut self.names, self.agent, key, at_ms, session, model)
    }

    /// Hands a call over. The same one may come again at every reading.
    pub(crate) fn book(&mut self, observation: Observation) {
        self.found.observations.push(observation);
    }

    /// A part of the file cannot be used: where (a byte offset, or the row of a database) and why, never its text.
    pub(crate) fn fail(&mut self, offset: u64, problem: String) {
        self.found.fail(offset, problem);
    }

    /// What was used since a running total (and its cost, where that is told) was seen last, in any file that tells of
    /// this session. `None`: nothing. The key in the answer is the call's.
    pub(crate) fn since(&mut self, session: &str, total: Tokens, cost: Option<Pico>) -> Option<Step> {
        let session = self.names.get(session);
        self.counters
            .step(self.agent, &session, total, cost, &self.origin.path, Fall::Anew)
    }

    /// As [`Notes::since`], of a total that falls when the user takes something back.
    pub(crate) fn since_taken_back(&mut self, session: &str, total: Tokens) -> Option<Step> {
        let session = self.names.get(session);
        self.counters
            .step(self.agent, &session, total, None, &self.origin.path, Fall::Back)
    }

    /// Whether a running total of this session was seen before, in any file.
    pub(crate) fn knows(&self, session: &str) -> bool {
        self.counters.knows(self.agent, session)
    }

    /// The running total of a session that was seen last, and what it cost. `None`: it was never seen.
    pub(crate) fn known(&self, session: &str) -> Option<(Tokens, Option<Pico>)> {
        self.counters.known(self.agent, session)
    }

    /// What a session began with that is counted already, under another name. Nothing becomes of one that has begun.
    pub(crate) fn begin(&mut self, session: &str, total: Tokens, cost: Option<Pico>) {
        self.counters
            .begin(self.agent, session, total, cost, &self.origin.path);
    }

    /// What was found, the state for the next time, and whether there is more.
    pub(crate) fn close(self) -> (Found, Vec<u8>, bool) {
        (self.found, self.state, self.more)
    }
}
