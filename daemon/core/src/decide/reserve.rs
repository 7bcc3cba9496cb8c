//! Decisions about reservations: reserve, extend, settle, release, expire.

use crate::Name;
use crate::budget::{self, Ask, Caller, Decision, End, Estimate, Grounds, Held, Reservation};
use crate::entry::Body;
use crate::id::Key;
use crate::limits::MAX_RESERVATIONS;
use crate::money::Pico;
use crate::observation::Observation;
use crate::price::Costing;
use crate::refusal::Refusal;
use crate::session;
use crate::state::Draft;
use crate::tokens::Tokens;

/// The kind of source of calls that were reserved.
const SOURCE: &str = "reservation";
/// The model of a call of which nobody named one.
pub(super) const NO_MODEL: &str = "unknown";

/// What became of a request to reserve or to extend.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lives for one decision")]
pub enum Reserved {
    /// It was asked before; nothing is written. How it has ended, if it has.
    Known(Reservation, Option<End>),
    /// There is no room. Who asked, for the count of denials.
    Denied(Decision, Box<Caller>),
    /// These are written, in order.
    Written {
        /// The session that is opened for it, and the reservation.
        bodies: Vec<Body>,
        /// Why it was granted.
        decision: Decision,
        /// What is held now.
        reservation: Reservation,
    },
}

/// What a reservation is settled with.
#[derive(Debug, Clone)]
pub struct Spent {
    /// The call as its caller saw it; who made it and when it was admitted is known from the reservation.
    pub seen: Observation,
    /// The caller named the call by a key of his own.
    pub named: bool,
}

/// What became of a request to settle.
#[derive(Debug)]
pub enum Settled {
    /// It has ended before, in this way; nothing is written.
    Known(End),
    /// These are written: the end, then the call.
    Written {
        /// The end of the reservation.
        body: Body,
        /// The call to record.
        seen: Box<Observation>,
        /// It had expired before.
        late: bool,
    },
}

/// What became of a request to release.
#[derive(Debug)]
pub enum Released {
    /// It has ended before, in this way; nothing is written.
    Known(End),
    /// This is written.
    Written(Body),
}

impl Draft {
    /// Decides about a reservation over every budget that covers it: all of them hold it, or none.
    ///
    /// # Errors
    /// A field is wrong, the id is taken for something else, or too many are open.
    pub fn reserve(&self, ask: Ask, now_ms: i64) -> Result<Reserved, Refusal> {
        let mut ask = ask.checked(&self.rules().user)?;
        let content = ask.content();
        if ask.id.is_empty() {
            return Err(Refusal::invalid(
                "id",
                "it is empty",
                "a text that no other reservation has",
            ));
        }
        let same = |reservation: &Reservation| {
            if reservation.content == content {
                return Ok(reservation.clone());
            }
            let what = format!("reservation {:?} with other content", cut(&ask.id));
            Err(Refusal::Conflict { what })
        };
        match self.reservations.get(&ask.id) {
            Held::Open(open) => return Ok(Reserved::Known(same(open)?, None)),
            Held::Ended(ended) => return Ok(Reserved::Known(same(&ended.reservation)?, Some(ended.end))),
            Held::Unknown => {}
        }
        if self.reservations.len() >= MAX_RESERVATIONS {
            let allowed = format!("at most {MAX_RESERVATIONS}; settle or release some");
            return Err(Refusal::invalid("id", "too many reservations are open", allowed));
        }
        let opened = self.place_ask_in_session(&mut ask, now_ms);
        let decision = budget::decide(&self.state, &ask, now_ms);
        if !decision.granted {
            // The session that would have been opened for it does not exist.
            if opened.is_some() {
                ask.caller.session = "".into();
            }
            return Ok(Reserved::Denied(decision, Box::new(ask.caller)));
        }
        let reservation = Reservation {
            id: ask.id.clone(),
            caller: ask.caller,
            estimate: decision.estimate,
            at_ms: now_ms,
            expires_at_ms: now_ms.saturating_add(ask.ttl_ms),
            content,
        };
        let grounds = Box::new(decision.grounds());
        let body = Body::Reserved(Box::new(reservation.clone()), Some(grounds));
        Ok(Reserved::Written {
            bodies: opened.into_iter().chain([body]).collect(),
            decision: decision.held(),
            reservation,
        })
    }

    /// As with a call that names no session.
    fn place_ask_in_session(&self, ask: &mut Ask, now_ms: i64) -> Option<Body> {
        let caller = &mut ask.caller;
        if !caller.session.is_empty() {
            return None;
        }
        if let Some(open) = self.state.sessions.opened(&caller.agent) {
            caller.session = open.clone();
            return None;
        }
        let started = session::new_id(&caller.agent, self.state.last_seq + 1, now_ms);
        caller.session = started.clone();
        Some(Body::SessionReset {
            agent: caller.agent.clone(),
            ended: "".into(),
            started,
        })
    }

    /// Decides about more for an open reservation: `ask` says the whole of what it shall hold, so asking twice is
    /// asking once. It never holds less than before.
    ///
    /// # Errors
    /// A field is wrong, it is not known, or it has ended.
    pub fn extend(&self, id: &Name, ask: Ask, now_ms: i64) -> Result<Reserved, Refusal> {
        let open = match self.reservations.get(id) {
            Held::Open(open) => open,
            Held::Ended(ended) => {
                let what = format!("the end of reservation {:?} ({})", cut(id), ended.end.name());
                return Err(Refusal::Conflict { what });
            }
            Held::Unknown => return Err(unknown(id)),
        };
        let mut ask = ask.checked(&self.rules().user)?;
        ask.caller = open.caller.clone();
        let (ask, prompt) = ask.anchored(&self.state.habits, &self.state.calibrations);
        let asked = ask.estimate(&self.state.habits, &self.state.book, now_ms);
        let estimate = larger(&open.estimate, &asked);
        let held = Some((&open.estimate, open.at_ms));
        let mut decision = budget::weigh(&self.state, &ask, estimate, held, now_ms);
        decision.prompt = prompt;
        if !decision.granted {
            return Ok(Reserved::Denied(decision, Box::new(ask.caller)));
        }
        let mut reservation = (**open).clone();
        reservation.estimate = estimate;
        reservation.expires_at_ms = reservation.expires_at_ms.max(now_ms.saturating_add(ask.ttl_ms));
        if reservation == **open {
            return Ok(Reserved::Known(reservation, None));
        }
        let body = Body::Extended {
            id: id.clone(),
            whose: reservation.caller.whose(),
            grounds: Some(Box::new(decision.grounds())),
            estimate,
            expires_at_ms: reservation.expires_at_ms,
        };
        Ok(Reserved::Written {
            bodies: vec![body],
            decision: decision.held(),
            reservation,
        })
    }

    /// Decides about the real usage of a reservation. One that has expired is settled all the same: it was spent.
    ///
    /// # Errors
    /// It is not known, or it was settled with something else.
    pub fn settle(&self, id: &Name, spent: Spent) -> Result<Settled, Refusal> {
        let content = content_of(&spent);
        let (reservation, late) = match self.reservations.get(id) {
            Held::Unknown => return Err(unknown(id)),
            Held::Open(open) => (open, false),
            Held::Ended(ended) => match ended.end {
                End::Expired => (&ended.reservation, true),
                End::Settled if ended.content != content => {
                    let what = format!("another settlement of reservation {:?}", cut(id));
                    return Err(Refusal::Conflict { what });
                }
                end => return Ok(Settled::Known(end)),
            },
        };
        let mut seen = spent.seen;
        let caller = &reservation.caller;
        if !spent.named {
            seen.key = settled_key(id);
        }
        let nameless = seen.model.is_empty() || &*seen.model == NO_MODEL;
        if nameless && !caller.model.is_empty() {
            seen.model = caller.model.clone();
        }
        if seen.provider.is_empty() && seen.model == caller.model {
            seen.provider = caller.provider.clone();
        }
        let tool = std::mem::replace(&mut seen.who.tool, "".into());
        seen.who.tool = if tool.is_empty() {
            caller.tool.clone()
        } else {
            tool
        };
        seen.who.agent = caller.agent.clone();
        seen.who.session = caller.session.clone();
        seen.who.project = caller.project.clone();
        seen.who.user = caller.user.clone();
        seen.task = caller.task.clone();
        // It counts in the window in which it was admitted, whenever it ended.
        seen.at_ms = reservation.at_ms;
        seen.source.kind = SOURCE.into();
        Ok(Settled::Written {
            body: Body::Resolved {
                id: id.clone(),
                whose: caller.whose(),
                end: End::Settled,
                content,
            },
            seen: Box::new(seen),
            late,
        })
    }

    /// Decides about giving a reservation back unused.
    ///
    /// # Errors
    /// It is not known.
    pub fn release(&self, id: &Name) -> Result<Released, Refusal> {
        match self.reservations.get(id) {
            Held::Open(open) => Ok(Released::Written(ended(open, End::Released))),
            Held::Ended(ended) => Ok(Released::Known(ended.end)),
            Held::Unknown => Err(unknown(id)),
        }
    }

    /// Counts a denial, and says what is written of it now.
    pub fn denied(
        &mut self,
        caller: &Caller,
        estimate: Estimate,
        grounds: Grounds,
        now_ms: i64,
    ) -> Vec<Body> {
        let told = self.denials.add(caller, estimate, grounds, now_ms);
        self.count_reservations();
        told.into_iter()
            .map(|denial| Body::Denied(Box::new(denial)))
            .collect()
    }

    /// All denials that are not told of yet, for the last word before the ledger is closed.
    pub fn untold(&self) -> Vec<Body> {
        let denials = self.denials.due(i64::MAX).into_iter();
        denials.map(|denial| Body::Denied(Box::new(denial))).collect()
    }

    /// The ends of the reservations whose time is over, and the denials that are to be told of.
    pub fn expire(&self, now_ms: i64) -> Vec<Body> {
        if self.state.next_expiry_ms.is_none_or(|next| next > now_ms) {
            return Vec::new();
        }
        let denied = self.denials.due(now_ms).into_iter();
        let denied = denied.map(|denial| Body::Denied(Box::new(denial)));
        let due = self.reservations.due(now_ms);
        due.into_iter()
            .map(|open| ended(open, End::Expired))
            .chain(denied)
            .collect()
    }
}

/// The key of the call that settles a reservation, unless its caller names it: whatever is forgotten, it counts once.
pub fn settled_key(id: &str) -> Key {
    Key::new(0, &[SOURCE, id])
}

/// What a call costs by our book. What was settled or told in money alone costs what was said, and so does what is surer
/// of its money than of its tokens.
pub fn cost_of(seen: &Observation, costing: Option<&Costing>) -> Option<Pico> {
    let by_book = costing.map(|costing| costing.total);
    let said = seen
        .reported_cost
        .filter(|_| &*seen.source.kind == SOURCE || seen.is_surer_of_money());
    match by_book {
        Some(_) if seen.tokens == Tokens::default() || seen.is_surer_of_money() => said.or(by_book),
        Some(_) => by_book,
        None => said,
    }
}

fn ended(open: &Reservation, end: End) -> Body {
    Body::Resolved {
        id: open.id.clone(),
        whose: open.caller.whose(),
        end,
        content: 0,
    }
}

fn larger(a: &Estimate, b: &Estimate) -> Estimate {
    let (mut usage, other) = (a.usage.to_array(), b.usage.to_array());
    for (mine, other) in usage.iter_mut().zip(other) {
        *mine = (*mine).max(other);
    }
    Estimate {
        usage: Tokens::from_array(usage),
        tokens: a.tokens.max(b.tokens),
        cost: a.cost.max(b.cost),
        requests: a.requests.max(b.requests),
    }
}

fn content_of(spent: &Spent) -> u64 {
    let seen = &spent.seen;
    let numbers = format!(
        "{:?} {:?} {:?} {} {} {} {:?}",
        seen.tokens, seen.reported_cost, seen.tier, seen.fast, seen.us_region, seen.failed, seen.kind
    );
    budget::content_of(&[&seen.provider, &seen.model, &seen.who.tool, &numbers])
}

fn unknown(id: &Name) -> Refusal {
    let what = format!("reservation {:?}", cut(id));
    Refusal::NotFound { what }
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod bench;
#[cfg(test)]
mod model;
#[cfg(test)]
mod others;
#[cfg(test)]
mod scopes;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod tests;
