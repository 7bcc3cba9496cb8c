//! The counters of a budget, one for each window that runs. Windows that are sessions may be many: they lie in parts that
//! are found by the session and copied only when they change.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{Counter, Place, Used};
use crate::limits::{BUDGET_SESSION_LIFE_MS, MAX_BUDGET_SESSIONS};

/// Parts of the sessions' counters.
const PARTS: usize = 64;
/// Most counters of one part, and from how many on a new one looks for others that are over.
const MOST: usize = MAX_BUDGET_SESSIONS / PARTS;
const MANY: usize = MOST / 8;

/// Where a counter lies.
pub(super) type At = (usize, usize);

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Counters {
    parts: Vec<Arc<Vec<Counter>>>,
}

impl Counters {
    /// Sorts counters into their parts.
    pub(super) fn new(per_session: bool, counters: Vec<Counter>) -> Counters {
        let parts = if per_session { PARTS } else { 1 };
        let mut all = Counters {
            parts: vec![Arc::default(); parts],
        };
        for counter in counters {
            all.push(counter);
        }
        all
    }

    fn part_of(&self, agent: &str, session: &str) -> usize {
        if self.parts.len() == 1 {
            return 0;
        }
        // The same in every process: its keys are fixed.
        let mut hash = DefaultHasher::new();
        (agent, session).hash(&mut hash);
        hash.finish() as usize % self.parts.len()
    }

    /// The window in which a call at some place counts.
    pub(super) fn find(&self, place: &Place<'_>) -> Option<At> {
        let part = self.part_of(place.agent, place.session);
        let found = self.parts[part].iter().position(|c| match &c.session {
            Some((agent, session)) => agent == place.agent && session == place.session,
            None => (c.start_ms..c.end_ms).contains(&place.at_ms),
        });
        Some((part, found?))
    }

    pub(super) fn get(&self, at: At) -> &Counter {
        &self.parts[at.0][at.1]
    }

    pub(super) fn get_mut(&mut self, at: At) -> &mut Counter {
        &mut Arc::make_mut(&mut self.parts[at.0])[at.1]
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Counter> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// Where all of them lie.
    pub(super) fn places(&self) -> impl Iterator<Item = At> + use<> {
        let lens: Vec<usize> = self.parts.iter().map(|part| part.len()).collect();
        let within = |(part, len)| (0..len).map(move |at| (part, at));
        lens.into_iter().enumerate().flat_map(within)
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Counter) -> bool) {
        for part in &mut self.parts {
            if !part.iter().all(&keep) {
                Arc::make_mut(part).retain(&keep);
            }
        }
    }

    pub(super) fn remove(&mut self, at: At) {
        Arc::make_mut(&mut self.parts[at.0]).swap_remove(at.1);
    }

    pub(super) fn push(&mut self, counter: Counter) -> At {
        let part = match &counter.session {
            Some((agent, session)) => self.part_of(agent, session),
            None => 0,
        };
        let list = Arc::make_mut(&mut self.parts[part]);
        list.push(counter);
        (part, list.len() - 1)
    }

    /// Whether a session that is not known yet has a place without forgetting one that may come back.
    pub(super) fn has_room(&self, place: &Place<'_>, now_ms: i64) -> bool {
        let part = &self.parts[self.part_of(place.agent, place.session)];
        part.len() < MOST || part.iter().any(|c| is_over(c, now_ms))
    }

    /// Makes room for the counter of a new session: those that are over go, and when there are too many all the same,
    /// the one silent longest, unless `strict`. Says whether there is room.
    pub(super) fn make_room(&mut self, place: &Place<'_>, strict: bool, now_ms: i64) -> bool {
        let part = self.part_of(place.agent, place.session);
        let part = &mut self.parts[part];
        if part.len() >= MANY && part.iter().any(|c| is_over(c, now_ms)) {
            Arc::make_mut(part).retain(|c| !is_over(c, now_ms));
        }
        if part.len() < MOST {
            return true;
        }
        // What a reservation holds is not forgotten; there are only so many of them.
        let free = |&at: &usize| part[at].pending == Used::default();
        let silent = (0..part.len()).filter(free).min_by_key(|&at| part[at].last_ms);
        match silent.filter(|_| !strict) {
            Some(silent) => {
                Arc::make_mut(part).swap_remove(silent);
                true
            }
            None => !strict,
        }
    }
}

/// A session that was silent for so long does not come back.
fn is_over(counter: &Counter, now_ms: i64) -> bool {
    counter.pending == Used::default() && counter.last_ms < now_ms.saturating_sub(BUDGET_SESSION_LIFE_MS)
}
