//! Asking before spending: check, reserve, extend, settle, release, and what expires.

use tokio::sync::watch;
use tokmon_core::api::Api;
use tokmon_core::budget::{Ask, Caller, Decision, Grounds, Lift, decide};
use tokmon_core::limits::MAX_RESERVATION_BATCH;
use tokmon_core::refusal::Refusal;

use crate::answer::{Change, Claim, Claimed};
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::ops::Quick;

impl Ledger {
    /// Whether something could be reserved now. Nothing changes, and nobody is waited for: the answer comes from the
    /// state after the last durable entry.
    ///
    /// # Errors
    /// `Refused` names the field that is wrong.
    pub fn check(&self, ask: Ask) -> Result<Decision, LedgerError> {
        let shared = self.shared();
        let state = shared.state();
        let mut ask = ask.checked(&shared.rules.user)?;
        if ask.caller.session.is_empty()
            && let Some(open) = state.sessions.opened(&ask.caller.agent)
        {
            ask.caller.session = open.clone();
        }
        let now_ms = shared.clock.now_ms().max(state.last_recorded_ms);
        Ok(decide(&state, &ask, now_ms))
    }

    /// Whether an open reservation's time is over: what it holds still counts until [`Ledger::expire`].
    pub fn has_expired(&self) -> bool {
        let next = *self.shared().expiry.borrow();
        next.is_some_and(|next| next <= self.shared().clock.now_ms())
    }

    /// Reserves, extends, settles and releases, in order and each by itself; answered when all of it is durable.
    ///
    /// # Errors
    /// For all: too many at once, `Busy`, `Unavailable`. For one: `Refused` says what is wrong with it.
    pub async fn claim(&self, claims: Vec<Claim>) -> Result<Vec<Result<Claimed, LedgerError>>, LedgerError> {
        if claims.len() > MAX_RESERVATION_BATCH {
            let allowed = format!("at most {MAX_RESERVATION_BATCH} at once");
            return Err(Refusal::invalid("requests", format!("{} of them", claims.len()), allowed).into());
        }
        self.quick(|reply| Quick::Claim(claims, self.actor(), reply))
            .await
    }

    /// Ends the reservations whose time is over. Nothing is written when there is none.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    pub async fn expire(&self) -> Result<(), LedgerError> {
        self.claim(Vec::new()).await.map(drop)
    }

    /// Takes note of a denial that somebody decided by himself from [`Ledger::state`], without waiting until it is
    /// durable. When too much waits already, or the ledger is being closed, it is not counted.
    pub fn note_denied(&self, caller: Caller, grounds: Grounds) {
        let denied = Quick::Denied(Box::new((caller, grounds)), self.actor());
        if let Err(error) = self.shared().lanes.push_quick(denied) {
            tracing::debug!(%error, "a denial was not counted");
        }
    }

    /// When the next open reservation expires, and whenever that changes.
    pub fn watch_expiry(&self) -> watch::Receiver<Option<i64>> {
        self.shared().expiry.subscribe()
    }

    /// Takes back what was lifted before its time: for one session, or everything.
    ///
    /// # Errors
    /// As [`Ledger::record`]; `Refused` with `NotFound` when nothing is lifted.
    pub async fn unlift_budget(&self, name: &str, session: &str) -> Result<(), LedgerError> {
        self.change(Change::UnliftBudget(name.into(), session.into()))
            .await
            .map(drop)
    }

    /// Sets the limits of an API.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    pub async fn set_api(&self, api: Api) -> Result<(), LedgerError> {
        self.change(Change::SetApi(Box::new(api))).await.map(drop)
    }

    /// Forgets what was set for an API.
    ///
    /// # Errors
    /// As [`Ledger::record`]; `Refused` with `NotFound` when nothing is set for it.
    pub async fn remove_api(&self, name: &str) -> Result<(), LedgerError> {
        self.change(Change::RemoveApi(name.into())).await.map(drop)
    }

    /// Raises a budget's limit by an amount, or altogether, until an instant; 0: until its window ends.
    ///
    /// # Errors
    /// As [`Ledger::record`]; `Refused` with `NotFound` when there is none of that name.
    pub async fn lift_budget(&self, name: &str, lift: Lift) -> Result<(), LedgerError> {
        self.change(Change::LiftBudget(name.into(), lift)).await.map(drop)
    }
}
