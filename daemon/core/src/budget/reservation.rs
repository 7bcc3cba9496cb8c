//! Reservations: what somebody may use soon, held in every budget that covers it until it is settled, released or
//! expires. Each is known by its caller's id, so asking again is the same reservation.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Estimate, Place};
use crate::Name;
use crate::entry::Whose;
use crate::limits::MAX_RESOLVED_RESERVATIONS;

/// Who wants to use something, and of what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// "claude-code", "codex", …
    pub agent: Name,
    /// The agent's session.
    pub session: Name,
    /// A task in it; empty when none.
    pub task: Name,
    /// Working directory or repository root.
    pub project: Name,
    /// Person or account.
    pub user: Name,
    /// The tool that the call belongs to.
    pub tool: Name,
    /// "anthropic", "openai", …; empty: not known.
    pub provider: Name,
    /// The model; empty: not known.
    pub model: Name,
}

impl Caller {
    /// Whose they are.
    pub fn whose(&self) -> Box<Whose> {
        Box::new(Whose {
            agent: self.agent.clone(),
            session: self.session.clone(),
        })
    }

    /// Where its calls at an instant are counted.
    pub fn place(&self, at_ms: i64) -> Place<'_> {
        Place {
            at_ms,
            agent: &self.agent,
            session: &self.session,
        }
    }
}

/// A reservation as an entry tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The caller's id.
    pub id: Name,
    /// Who.
    pub caller: Caller,
    /// How much, at most.
    pub estimate: Estimate,
    /// When it was admitted: its usage counts in the windows of this instant, also when it is settled later.
    pub at_ms: i64,
    /// When it expires unless it is settled, extended or released before.
    pub expires_at_ms: i64,
    /// Hash of what was asked for: the same id with other content is refused.
    pub content: u64,
}

/// How a reservation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The real usage was recorded.
    Settled,
    /// Nothing was used.
    Released,
    /// Its time was over. Nothing is counted; a late settlement still is.
    Expired,
}

impl End {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            End::Settled => "settled",
            End::Released => "released",
            End::Expired => "expired",
        }
    }
}

/// A reservation that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// What it was.
    pub reservation: Arc<Reservation>,
    /// How it ended.
    pub end: End,
    /// Hash of what it was settled with; 0 when it was not.
    pub content: u64,
}

/// What is known of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held<'a> {
    /// It is open.
    Open(&'a Arc<Reservation>),
    /// It has ended.
    Ended(&'a Ended),
    /// Nothing.
    Unknown,
}

/// Every open reservation, and the last that have ended. The writer's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reservations {
    open: BTreeMap<Name, Arc<Reservation>>,
    ended: BTreeMap<Name, Ended>,
    /// In the order in which they ended, to forget the first when there are too many.
    order: VecDeque<Name>,
}

/// The saved form: order is kept by the list.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Saved {
    open: Vec<Arc<Reservation>>,
    ended: Vec<Ended>,
}

impl Reservations {
    /// What is known of an id.
    pub fn get(&self, id: &str) -> Held<'_> {
        match (self.open.get(id), self.ended.get(id)) {
            (Some(open), _) => Held::Open(open),
            (None, Some(ended)) => Held::Ended(ended),
            (None, None) => Held::Unknown,
        }
    }

    /// The open ones, by id.
    pub fn open(&self) -> impl Iterator<Item = &Arc<Reservation>> {
        self.open.values()
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When the next one expires.
    pub fn next_expiry_ms(&self) -> Option<i64> {
        self.open.values().map(|r| r.expires_at_ms).min()
    }

    /// Those that have expired.
    pub fn due(&self, now_ms: i64) -> Vec<&Arc<Reservation>> {
        let due = |r: &&Arc<Reservation>| r.expires_at_ms <= now_ms;
        self.open.values().filter(due).collect()
    }

    pub(crate) fn put(&mut self, reservation: Arc<Reservation>) {
        self.open.insert(reservation.id.clone(), reservation);
    }

    /// Ends one; an expired one can end once more, when it is settled late. Yields it when it was open.
    pub(crate) fn end(&mut self, id: &Name, end: End, content: u64) -> Option<Arc<Reservation>> {
        let Some(reservation) = self.open.remove(id) else {
            if let Some(ended) = self.ended.get_mut(id).filter(|e| e.end == End::Expired) {
                (ended.end, ended.content) = (end, content);
            }
            return None;
        };
        self.remember(Ended {
            reservation: reservation.clone(),
            end,
            content,
        });
        Some(reservation)
    }

    fn remember(&mut self, ended: Ended) {
        let id = ended.reservation.id.clone();
        if self.ended.insert(id.clone(), ended).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > MAX_RESOLVED_RESERVATIONS {
            if let Some(first) = self.order.pop_front() {
                self.ended.remove(&first);
            }
        }
    }

    pub(crate) fn save(&self) -> Saved {
        Saved {
            open: self.open.values().cloned().collect(),
            ended: self
                .order
                .iter()
                .filter_map(|id| self.ended.get(id).cloned())
                .collect(),
        }
    }

    pub(crate) fn load(saved: Saved) -> Reservations {
        let mut all = Reservations::default();
        saved.open.into_iter().for_each(|open| all.put(open));
        saved.ended.into_iter().for_each(|ended| all.remember(ended));
        all
    }
}
