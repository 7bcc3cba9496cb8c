//! Claims on budgets, decided one after the other by the one thread that writes: no two see the same room.

use tokmon_core::Name;
use tokmon_core::budget::{Caller, End, Estimate, Grounds};
use tokmon_core::decide::{Allocated, Manner, Released, Reserved, Settled, Spent};
use tokmon_core::entry::Body;

use super::answers::Owed;
use super::batch::Turn;
use crate::answer::{Claim, Claimed};
use crate::error::LedgerError;
use crate::ops::By;

impl Turn<'_> {
    /// Decides about claims in order. What has expired is ended first, so that its room is there.
    pub(super) fn claims(&mut self, claims: Vec<Claim>, by: By) -> Vec<Result<Owed, LedgerError>> {
        self.push_all(self.draft.expire(self.now_ms));
        self.by = by;
        claims.into_iter().map(|claim| self.claim(claim)).collect()
    }

    fn claim(&mut self, claim: Claim) -> Result<Owed, LedgerError> {
        let claimed = match claim {
            Claim::Reserve(ask) => self.reserved(self.draft.reserve(*ask, self.now_ms)?),
            Claim::Extend(id, ask) => self.reserved(self.draft.extend(&id, *ask, self.now_ms)?),
            Claim::Settle(id, spent) => return self.settle(&id, *spent),
            Claim::Release(id) => match self.draft.release(&id)? {
                Released::Known(end) => Claimed::Ended(end, true),
                Released::Written(body) => {
                    self.push_all(vec![body]);
                    Claimed::Ended(End::Released, false)
                }
            },
            Claim::Allocate(allocation) => match self.draft.allocate(*allocation, self.now_ms)? {
                Allocated::Known => Claimed::Task,
                Allocated::Denied(binding) => Claimed::NoRoom(binding),
                Allocated::Written(body) => {
                    self.push_all(vec![body]);
                    Claimed::Task
                }
            },
            Claim::Complete(session, task) => {
                let body = self.draft.complete_task(&session, &task)?;
                self.push_all(body.into_iter().collect());
                Claimed::Task
            }
        };
        Ok(Owed::Now(claimed))
    }

    fn reserved(&mut self, reserved: Reserved) -> Claimed {
        match reserved {
            Reserved::Known(reservation, end) => Claimed::Held(Box::new(reservation), end, None),
            Reserved::Denied(decision, caller) => {
                let told = self
                    .draft
                    .denied(&caller, decision.estimate, decision.grounds(), self.now_ms);
                self.push_all(told);
                Claimed::Denied(Box::new(decision))
            }
            Reserved::Written {
                bodies,
                decision,
                reservation,
            } => {
                self.push_all(bodies);
                Claimed::Held(Box::new(reservation), None, Some(Box::new(decision)))
            }
        }
    }

    fn settle(&mut self, id: &Name, spent: Spent) -> Result<Owed, LedgerError> {
        match self.draft.settle(id, spent)? {
            Settled::Known(end) => Ok(Owed::Now(Claimed::Ended(end, true))),
            Settled::Written { body, seen, late } => {
                // Refused before anything is written: the reservation stays as it was.
                let seen = self.draft.prepare(*seen, self.now_ms, Manner::Ask)?;
                // First the end, so that what was held makes room for what was used.
                self.push_all(vec![body]);
                Ok(Owed::Settled(Box::new(self.record_one(seen)), late))
            }
        }
    }

    /// Takes note of a denial that was decided elsewhere.
    pub(super) fn denied(&mut self, caller: &Caller, grounds: Grounds, by: By) {
        self.by = by;
        let told = self
            .draft
            .denied(caller, Estimate::default(), grounds, self.now_ms);
        self.push_all(told);
    }

    pub(super) fn push_all(&mut self, bodies: Vec<Body>) {
        for body in bodies {
            self.push(body, None);
        }
    }
}
