//! What agents themselves say that their sessions cost, and what is booked as `unlogged` where that is more than all
//! other witnesses show.
//!
//! **The rule.** A statusline tells a running total of the agent's own reckoning at list prices. From it is taken what
//! the counter held that is another session's ([`carried`](Told::carried)); the rest is the session's own total. As
//! long as it exceeds what the ledger knows of the session by more than a [`tolerance`], and did so for
//! [`UNLOGGED_AFTER_MS`](crate::witness::UNLOGGED_AFTER_MS), the least excess of that time is booked: calls that cost
//! money and of which nothing else is known, at the time when they were seen. So a session's cost becomes the larger of
//! what its calls add up to and what the agent says.
//!
//! What is booked is taken back, the newest first, as soon as another witness tells more of the session, in the same
//! batch, so nothing counts twice at any time. It is never negative, and nothing is booked where the two figures cannot
//! be compared: a session with calls without a price, or a model whose price the user has set.
//!
//! A counter that falls to less than half has begun anew (an agent that was started again and does not remember): what
//! the session has cost until then stays, and the counter goes on from there. A smaller step back is an answer that came
//! late, and is passed over.

mod sight;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use sight::{Holds, Sight, Verdict};

use crate::Name;
use crate::entry::Record;
use crate::id::Key;
use crate::limits::{MAX_OFFICIALS, MAX_UNLOGGED_PARTS};
use crate::money::Pico;
use crate::observation::{Attribution, CallKind, Confidence, Observation, Provenance};
use crate::rollup::bucket_of;
use crate::tokens::Tokens;
use crate::witness::Witness;

/// Smallest difference that is one: five cents.
const LEAST: Pico = Pico(50_000_000_000);
/// The part of a total that two reckonings at list prices may differ by: a twentieth.
const SHARE: i128 = 20;

/// What two reckonings of a session may differ by without anything being amiss: five percent, and at least five cents.
pub fn tolerance(total: Pico) -> Pico {
    Pico((total.0 / SHARE).max(LEAST.0))
}

/// What is told of a session's cost, to be held against what is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Whose session.
    pub agent: Name,
    /// The session.
    pub session: Name,
    /// What the session has cost, as its agent reckons: the counter without what was carried over.
    pub own: Pico,
    /// What the counter held that is not this session's. Negative: what it has forgotten.
    pub carried: Pico,
    /// When it was told, milliseconds.
    pub at_ms: i64,
    /// Names for what is booked.
    pub model: Name,
    /// See `model`; may be empty.
    pub project: Name,
}

/// What was told, beside what the ledger held of the session then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// What was told.
    pub told: Told,
    /// What all other witnesses showed.
    pub known: Pico,
    /// Calls of it without a price.
    pub unpriced: u64,
}

/// How a session stands that an agent told a total of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Official {
    /// What was told last, as far as it was of consequence.
    pub told: Told,
    /// What all other witnesses show.
    pub known: Pico,
    /// Calls of it without a price.
    pub unpriced: u64,
    /// What is booked, oldest first.
    pub parts: Vec<Part>,
}

/// One booking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The key of its record.
    #[serde(with = "key")]
    pub key: Key,
    /// When it was seen, milliseconds.
    pub at_ms: i64,
    /// How much.
    pub amount: Pico,
}

impl Official {
    /// What should be booked.
    pub fn wanted(&self) -> Pico {
        let beyond = self.told.own - self.known;
        match self.unpriced == 0 && beyond > tolerance(self.told.own) {
            true => beyond,
            false => Pico::ZERO,
        }
    }

    /// What is booked.
    pub fn booked(&self) -> Pico {
        self.parts.iter().fold(Pico::ZERO, |sum, part| sum + part.amount)
    }

    /// The bookings that have to be taken back, wholly or in part, as they have to be.
    pub fn excess(&self) -> Vec<Part> {
        let mut over = self.booked() - self.wanted();
        let mut changed = Vec::new();
        for part in self.parts.iter().rev() {
            if over <= Pico::ZERO {
                break;
            }
            let less = over.min(part.amount);
            over -= less;
            if less > Pico::ZERO {
                let amount = part.amount - less;
                changed.push(Part {
                    amount,
                    ..part.clone()
                });
            }
        }
        changed
    }

    /// The booking that is missing: a new one, or the last one as it has to be. `None`: nothing is, or too little.
    pub fn missing(&self) -> Option<Part> {
        let more = self.wanted() - self.booked();
        let small = self.booked() > Pico::ZERO && more <= tolerance(self.told.own);
        if more <= Pico::ZERO || small {
            return None;
        }
        let at_ms = self.told.at_ms;
        let last = self.parts.last().filter(|part| {
            bucket_of(part.at_ms) == bucket_of(at_ms) || self.parts.len() >= MAX_UNLOGGED_PARTS
        });
        Some(match last {
            Some(part) => Part {
                amount: part.amount + more,
                ..part.clone()
            },
            None => Part {
                key: Key::new(
                    Key::day_of(at_ms),
                    &[
                        "unlogged",
                        &self.told.agent,
                        &self.told.session,
                        &at_ms.to_string(),
                    ],
                ),
                at_ms,
                amount: more,
            },
        })
    }

    /// The observation of a booking.
    pub fn booking(&self, part: &Part) -> Observation {
        Observation {
            key: part.key,
            at_ms: part.at_ms,
            who: Attribution {
                agent: self.told.agent.clone(),
                session: self.told.session.clone(),
                project: self.told.project.clone(),
                ..Attribution::default()
            },
            model: self.told.model.clone(),
            reported_cost: Some(part.amount),
            confidence: Confidence::Estimated,
            kind: CallKind::Several,
            source: Provenance {
                kind: format!("{}-statusline", self.told.agent).into(),
                lines: 1,
                ..Provenance::default()
            },
            ..Observation::default()
        }
    }
}

impl Observation {
    /// It is money that only an agent's own total shows: see the module [`official`](crate::official).
    pub fn is_booking(&self) -> bool {
        self.kind == CallKind::Several
            && self.tokens == Tokens::default()
            && self.reported_cost.is_some()
            && self.source.witness() == Witness::Statusline
    }
}

impl Record {
    /// It was taken back: it counts for nothing, not even for a call. So does what an agent's own total alone showed until
    /// somebody told more, and what is told of better elsewhere.
    pub fn is_void(&self) -> bool {
        let seen = &self.seen;
        let money_alone = seen.kind == CallKind::Several && seen.tokens == Tokens::default();
        money_alone && seen.reported_cost.is_some() && self.cost == Some(Pico::ZERO)
    }
}

/// The sessions that agents told totals of. Bounded: past [`MAX_OFFICIALS`] the one that was told of longest ago is
/// forgotten, those without a booking first; what is booked of it stays then.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Officials {
    sessions: BTreeMap<(Name, Name), Arc<Official>>,
    /// Sessions whose bookings are more than they should be.
    over: Vec<(Name, Name)>,
}

impl Officials {
    /// From a checkpoint.
    pub fn load(saved: Vec<Official>) -> Officials {
        let mut officials = Officials::default();
        for official in saved {
            officials
                .sessions
                .insert(key_of(&official.told), Arc::new(official));
        }
        officials
    }

    /// For a checkpoint.
    pub fn save(&self) -> Vec<Official> {
        self.sessions
            .values()
            .map(|official| (**official).clone())
            .collect()
    }

    /// How a session stands.
    pub fn get(&self, agent: &str, session: &str) -> Option<&Official> {
        if self.sessions.is_empty() {
            return None;
        }
        self.sessions
            .get(&(agent.into(), session.into()))
            .map(|official| &**official)
    }

    /// A total was told.
    pub(crate) fn tell(&mut self, heard: Heard) {
        let Heard {
            told,
            known,
            unpriced,
        } = heard;
        let place = key_of(&told);
        let parts = self.sessions.remove(&place).map(|former| former.parts.clone());
        let official = Official {
            told,
            known,
            unpriced,
            parts: parts.unwrap_or_default(),
        };
        self.sessions.insert(place, Arc::new(official));
        if self.sessions.len() > MAX_OFFICIALS {
            let booked = |official: &Official| official.booked() > Pico::ZERO;
            let oldest = self
                .sessions
                .iter()
                .min_by_key(|(_, o)| (booked(o), o.told.at_ms));
            if let Some(oldest) = oldest.map(|(place, _)| place.clone()) {
                self.sessions.remove(&oldest);
            }
        }
    }

    /// A record is of a session that is here.
    pub(crate) fn concerns(&self, record: &Record) -> bool {
        let who = &record.seen.who;
        self.get(&who.agent, &who.session).is_some()
    }

    /// A record came in, in place of `previous`.
    pub(crate) fn count(&mut self, record: &Record, previous: Option<&Record>) {
        if record.seen.is_booking() {
            self.book(record);
            return;
        }
        if let Some(previous) = previous {
            self.add(previous, false);
        }
        self.add(record, true);
    }

    fn add(&mut self, record: &Record, comes: bool) {
        let place = (record.seen.who.agent.clone(), record.seen.who.session.clone());
        let Some(official) = self.sessions.get_mut(&place) else {
            return;
        };
        let official = Arc::make_mut(official);
        let (cost, unpriced) = (record.cost.unwrap_or_default(), u64::from(record.cost.is_none()));
        if comes {
            official.known += cost;
            official.unpriced += unpriced;
        } else {
            official.known -= cost;
            official.unpriced = official.unpriced.saturating_sub(unpriced);
        }
        if official.booked() > official.wanted() && !self.over.contains(&place) {
            self.over.push(place);
        }
    }

    fn book(&mut self, record: &Record) {
        let (who, key) = (&record.seen.who, record.seen.key);
        let Some(official) = self.sessions.get_mut(&(who.agent.clone(), who.session.clone())) else {
            return;
        };
        let official = Arc::make_mut(official);
        let amount = record.cost.unwrap_or_default();
        match official.parts.iter_mut().find(|part| part.key == key) {
            Some(part) => part.amount = amount,
            None => official.parts.push(Part {
                key,
                at_ms: record.seen.at_ms,
                amount,
            }),
        }
    }

    /// Some have more booked than there should be.
    pub fn is_over(&self) -> bool {
        !self.over.is_empty()
    }

    /// The sessions with more booked than there should be, each once.
    pub fn take_over(&mut self) -> Vec<Arc<Official>> {
        let over = std::mem::take(&mut self.over);
        over.iter()
            .filter_map(|place| self.sessions.get(place).cloned())
            .collect()
    }
}

fn key_of(told: &Told) -> (Name, Name) {
    (told.agent.clone(), told.session.clone())
}

/// A key as text.
mod key {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::id::Key;

    pub(super) fn serialize<S: Serializer>(key: &Key, out: S) -> Result<S::Ok, S::Error> {
        (key.day, key.hash).serialize(out)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Key, D::Error> {
        let (day, hash) = <(u32, [u8; 12])>::deserialize(from)?;
        Ok(Key { day, hash })
    }
}
