//! Claims on budgets as the wire has them.

use tokmon_core::Name;
use tokmon_core::budget::{Appended, Ask, Binding, Caller, Decision, End, Estimate, Unit};
use tokmon_core::decide::Spent;
use tokmon_core::money::Pico;
use tokmon_ledger::{Claim, Claimed, Ledger, LedgerError};
use tokmon_proto::error::{Kind, REASON};
use tokmon_proto::v1;
use tonic::Status;

use super::super::convert;
use super::super::intake::Intake;
use super::super::{status, token, usage};
use super::Budgets;
use crate::calibration::belief;

/// The model of a call of which neither the reservation nor its settlement names one.
const NO_MODEL: &str = "unknown";

impl Budgets {
    pub(super) async fn check_one(&self, wire: v1::ReserveRequest) -> Result<v1::ReserveResponse, Status> {
        let ask = self.ask(wire)?;
        let ledger = &self.0.ledger;
        if ledger.has_expired() {
            ledger.expire().await.map_err(status::ledger)?;
        }
        let decision = ledger.check(ask).map_err(status::ledger)?;
        Ok(decided(&decision))
    }

    pub(super) async fn claim_reserve(
        &self,
        ledger: &Ledger,
        wire: v1::ReserveRequest,
    ) -> Result<v1::ReserveResponse, Status> {
        match self.one(ledger, self.reserve(wire)?).await? {
            v1::claimed::Answer::Reserved(answer) => Ok(answer),
            _ => Err(strange()),
        }
    }

    pub(super) async fn claim_extend(
        &self,
        ledger: &Ledger,
        wire: v1::ExtendRequest,
    ) -> Result<v1::ReserveResponse, Status> {
        match self.one(ledger, self.extend(wire)?).await? {
            v1::claimed::Answer::Reserved(answer) => Ok(answer),
            _ => Err(strange()),
        }
    }

    pub(super) async fn claim_settle(
        &self,
        ledger: &Ledger,
        wire: v1::SettleRequest,
    ) -> Result<v1::SettleResponse, Status> {
        match self.one(ledger, self.settlement(wire)?).await? {
            v1::claimed::Answer::Settled(answer) => Ok(answer),
            _ => Err(strange()),
        }
    }

    pub(super) async fn claim_release(
        &self,
        ledger: &Ledger,
        wire: v1::ReleaseRequest,
    ) -> Result<v1::SettleResponse, Status> {
        match self.one(ledger, Claim::Release(wire.id.into())).await? {
            v1::claimed::Answer::Settled(answer) => Ok(answer),
            _ => Err(strange()),
        }
    }

    /// Any claims in one piece. Checks see the state before it.
    pub(super) async fn claim_many(
        &self,
        ledger: &Ledger,
        wire: v1::ManyRequest,
    ) -> Result<v1::ManyResponse, Status> {
        let mut answers: Vec<Option<v1::claimed::Answer>> = Vec::with_capacity(wire.claims.len());
        let (mut claims, mut places) = (Vec::new(), Vec::new());
        for (at, claim) in wire.claims.into_iter().enumerate() {
            use v1::claim::Claim as Wire;
            let claim = match claim.claim {
                None => Err(status::invalid(
                    "claims",
                    "one is empty",
                    "check, reserve, extend, settle or release",
                )),
                Some(Wire::Check(wire)) => {
                    let answer = self.check_one(wire).await;
                    answers.push(Some(answer.map_or_else(refused, v1::claimed::Answer::Reserved)));
                    continue;
                }
                Some(Wire::Reserve(wire)) => self.reserve(wire),
                Some(Wire::Extend(wire)) => self.extend(wire),
                Some(Wire::Settle(wire)) => self.settlement(wire),
                Some(Wire::Release(wire)) => Ok(Claim::Release(wire.id.into())),
            };
            match claim {
                Ok(claim) => {
                    answers.push(None);
                    claims.push(claim);
                    places.push(at);
                }
                Err(error) => answers.push(Some(refused(error))),
            }
        }
        let claimed = ledger.claim(claims).await.map_err(status::ledger)?;
        for (at, claimed) in places.into_iter().zip(claimed) {
            answers[at] = Some(self.answer(claimed).unwrap_or_else(refused));
        }
        Ok(v1::ManyResponse {
            answers: answers.into_iter().map(|answer| v1::Claimed { answer }).collect(),
        })
    }

    async fn one(&self, ledger: &Ledger, claim: Claim) -> Result<v1::claimed::Answer, Status> {
        let mut claimed = ledger.claim(vec![claim]).await.map_err(status::ledger)?;
        self.answer(claimed.pop().ok_or_else(strange)?)
    }

    fn answer(&self, claimed: Result<Claimed, LedgerError>) -> Result<v1::claimed::Answer, Status> {
        use v1::claimed::Answer;
        Ok(match claimed.map_err(status::ledger)? {
            Claimed::Denied(decision) => Answer::Reserved(decided(&decision)),
            Claimed::Held(reservation, end, decision) => {
                let mut answer = match &decision {
                    Some(decision) => decided(decision),
                    None => v1::ReserveResponse::default(),
                };
                estimated(&mut answer, &reservation.estimate);
                answer.granted = true;
                answer.id = reservation.id.to_string();
                answer.state = end.map_or("open", End::name).to_owned();
                answer.expires_at_ms = reservation.expires_at_ms;
                Answer::Reserved(answer)
            }
            Claimed::Settled(receipt, late) => Answer::Settled(v1::SettleResponse {
                state: End::Settled.name().to_owned(),
                before: false,
                late,
                record: Some(usage::receipt(*receipt, &self.0.config.waste)),
            }),
            Claimed::Task | Claimed::NoRoom(_) => return Err(strange()),
            Claimed::Ended(end, before) => Answer::Settled(v1::SettleResponse {
                state: end.name().to_owned(),
                before,
                late: false,
                record: None,
            }),
        })
    }

    fn reserve(&self, mut wire: v1::ReserveRequest) -> Result<Claim, Status> {
        if wire.id.is_empty() {
            wire.id = uuid::Uuid::now_v7().to_string();
        }
        Ok(Claim::Reserve(Box::new(self.ask(wire)?)))
    }

    fn extend(&self, wire: v1::ExtendRequest) -> Result<Claim, Status> {
        let ask = self.ask(wire.ask.unwrap_or_default())?;
        Ok(Claim::Extend(wire.id.into(), Box::new(ask)))
    }

    /// What is asked, for the repository that the caller works in: its calls are booked under that, too.
    fn ask(&self, wire: v1::ReserveRequest) -> Result<Ask, Status> {
        let mut ask = ask(wire)?;
        let now_ms = self.0.clock.now_ms();
        ask.caller.project = self.0.repositories.root(ask.caller.project, now_ms);
        Ok(ask)
    }

    fn settlement(&self, wire: v1::SettleRequest) -> Result<Claim, Status> {
        let mut usage = wire.usage.unwrap_or_default();
        if usage.model.trim().is_empty() {
            NO_MODEL.clone_into(&mut usage.model);
        }
        let named = !usage.idempotency_key.is_empty();
        let mut intake = Intake::one(self.0.clock.now_ms(), &self.0.config.user);
        // The time of the call is that of its admission.
        usage.at_ms = 0;
        let mut seen = convert::observation(usage, &mut intake)?;
        let one = std::slice::from_mut(&mut seen);
        self.0.repositories.locate(one, intake.now_ms);
        Ok(Claim::Settle(wire.id.into(), Box::new(Spent { seen, named })))
    }
}

fn ask(wire: v1::ReserveRequest) -> Result<Ask, Status> {
    let usd = wire.usd.as_ref().map(|m| convert::pico("usd", m)).transpose()?;
    let name = |text: String| -> Name { text.into() };
    let (_, prior) = belief::of(&wire.model);
    let appended = wire.appended.map(|appended| Appended {
        counted: appended.counted,
        bytes: appended.bytes,
        blocks: appended.blocks,
        prior,
    });
    Ok(Ask {
        id: name(wire.id),
        caller: Caller {
            agent: name(wire.agent),
            session: name(wire.session),
            task: name(wire.task),
            project: name(wire.project),
            user: name(wire.user),
            tool: name(wire.tool),
            provider: name(wire.provider),
            model: name(wire.model),
        },
        tokens: wire.tokens,
        usd,
        usage: convert::tokens_in(&wire.usage.unwrap_or_default()),
        appended,
        max_output: wire.max_output,
        strict: wire.strict,
        requests: wire.requests,
        ttl_ms: wire.ttl_ms,
    })
}

fn decided(decision: &Decision) -> v1::ReserveResponse {
    let names = |names: &[Name]| names.iter().map(ToString::to_string).collect();
    let mut answer = v1::ReserveResponse {
        granted: decision.granted,
        binding: decision.binding.as_ref().map(binding),
        waiting_helps: decision.waiting_helps,
        reason: match &decision.binding {
            Some(binding) if !decision.granted => binding.reason().to_owned(),
            _ => String::new(),
        },
        cheaper_models: names(&decision.cheaper),
        would_deny: names(&decision.would_deny),
        stopped: decision
            .stopped
            .map(|sign| sign.name().to_owned())
            .unwrap_or_default(),
        ..v1::ReserveResponse::default()
    };
    estimated(&mut answer, &decision.estimate);
    answer.prompt = decision.prompt.map(|prompt| v1::PromptEstimate {
        tokens: prompt.tokens,
        low: prompt.low,
        high: prompt.high,
        basis: Some(token::basis(token::label(prompt.basis))),
    });
    answer
}

fn estimated(answer: &mut v1::ReserveResponse, estimate: &Estimate) {
    answer.usage = Some(convert::tokens(&estimate.usage));
    answer.tokens = estimate.tokens;
    answer.usd = estimate.cost.map(convert::money);
}

pub(in crate::rpc) fn binding(binding: &Binding) -> v1::Binding {
    let mut wire = v1::Binding {
        budget: binding.budget.to_string(),
        unit: binding.unit.name().to_owned(),
        resets_at_ms: binding.resets_at_ms,
        ..v1::Binding::default()
    };
    if binding.unit == Unit::Usd {
        let money = |amount| Some(convert::money(Pico(amount)));
        wire.limit_usd = money(binding.limit);
        wire.posted_usd = money(binding.posted);
        wire.pending_usd = money(binding.pending);
        wire.available_usd = money(binding.available);
        wire.asked_usd = money(binding.asked);
        wire.kept_usd = money(binding.kept);
    } else {
        let whole = |amount: i128| u64::try_from(amount).unwrap_or(if amount < 0 { 0 } else { u64::MAX });
        wire.limit = whole(binding.limit);
        wire.posted = whole(binding.posted);
        wire.pending = whole(binding.pending);
        wire.available = whole(binding.available);
        wire.asked = whole(binding.asked);
        wire.kept = whole(binding.kept);
    }
    wire
}

/// A claim that was refused among others.
fn refused(error: Status) -> v1::claimed::Answer {
    let reason = error
        .metadata()
        .get(REASON)
        .and_then(|reason| reason.to_str().ok());
    v1::claimed::Answer::Error(v1::ClaimError {
        reason: reason.unwrap_or_default().to_owned(),
        message: error.message().to_owned(),
    })
}

fn strange() -> Status {
    Kind::Bug.status("a claim was answered with something else", None)
}
