//! The token service: counting text.

use std::sync::Arc;

use tokmon_core::calibration::{Basis, Calibration, Known};
use tokmon_core::limits::{MAX_NAME_BYTES, MAX_TEXT_BYTES, MAX_TEXTS};
use tokmon_core::model::normalize;
use tokmon_proto::error::Kind;
use tokmon_proto::v1;
use tokmon_proto::v1::token_service_server::TokenService;
use tokmon_tokenizer::{Api, BadRequest, Count, Label, RequestCount, count_request};
use tonic::{Request, Response, Status};

use super::{convert, status};
use crate::calibration::next::{Next, next};
use crate::context::Context;

/// Answers from the tokenizer.
pub(super) struct Tokens(pub Arc<Context>);

impl Tokens {
    async fn count_all(
        &self,
        texts: Vec<Vec<u8>>,
        model: String,
        agent: &str,
    ) -> Result<Vec<v1::Count>, Status> {
        if texts.len() > MAX_TEXTS {
            return Err(status::invalid(
                "texts",
                format!("{} texts", texts.len()),
                format!("at most {MAX_TEXTS}"),
            ));
        }
        if texts.iter().map(Vec::len).sum::<usize>() > MAX_TEXT_BYTES {
            return Err(status::invalid(
                "text",
                "too large",
                format!("at most {MAX_TEXT_BYTES} bytes in one call"),
            ));
        }
        let tokenizer = self.0.tokenizer.clone();
        let calibrations = self.0.ledger.state().calibrations.clone();
        let learned = calibrations
            .get(agent, &normalize(&model))
            .filter(|learned| learned.is_known());
        let work = move || {
            let model = if model.is_empty() { "gpt-5" } else { &model };
            texts
                .iter()
                .map(|t| tokenizer.count(t, model))
                .collect::<Vec<_>>()
        };
        let counts = self.counting(work).await?;
        counts
            .into_iter()
            .map(|count| match count {
                Ok(count) => Ok(counted(count, learned)),
                Err(e) => Err(status::invalid("text", e.to_string(), "see the message")),
            })
            .collect()
    }
}

impl Tokens {
    /// Counts where blocking is allowed.
    async fn counting<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let counted = tokio::task::spawn_blocking(work).await;
        self.0.counted.notify_one();
        status::joined(counted)
    }
}

/// A count, by what bills taught where it is no exact one.
fn counted(count: Count, learned: Option<&Calibration>) -> v1::Count {
    let mut wire = v1::Count {
        tokens: count.tokens,
        encoding: count.encoding.to_owned(),
        exact: count.exact,
        low: count.low,
        high: count.high,
        basis: Some(basis(count.label())),
        note: String::new(),
    };
    let learned = learned.filter(|_| !count.exact);
    let estimate = learned.and_then(|learned| Some((learned, learned.estimate_text(count.counted)?)));
    let Some((learned, estimate)) = estimate else {
        wire.note = count.note.unwrap_or_default();
        return wire;
    };
    (wire.tokens, wire.low, wire.high) = (estimate.tokens, estimate.low, estimate.high);
    wire.basis = Some(basis(label(estimate.basis)));
    wire.note = format!(
        "estimate: {} × {:.2}, as {} bills of this model say",
        count.encoding,
        learned.line()[0],
        learned.observations()
    );
    wire
}

/// The label of an estimate that rests on bills.
pub(in crate::rpc) fn label(basis: Basis) -> Label {
    match basis {
        Basis::Billed => Label::Billed,
        Basis::Calibrated { within, observations } => Label::Calibrated { within, observations },
        Basis::Prior { below, above } => Label::Prior { below, above },
    }
}

fn calibration(known: &Known) -> v1::Calibration {
    let learned = &known.calibration;
    let [slope, per_block] = learned.line();
    let prior = learned.prior();
    let band = |(from_tokens, observations, within): (u64, usize, u32)| v1::CalibrationBand {
        from_tokens,
        observations: u32::try_from(observations).unwrap_or(u32::MAX),
        within,
    };
    v1::Calibration {
        agent: known.agent.to_string(),
        model: known.model.to_string(),
        observations: learned.observations(),
        used: learned.is_known(),
        slope,
        per_block,
        prior_slope: f64::from(prior.slope) / 1000.0,
        prior_per_block: prior.per_block.into(),
        at_ms: known.at_ms,
        bands: learned.bands().map(band).collect(),
    }
}

fn foretold(session: String, next: Next) -> v1::EstimateNextResponse {
    let (unsure, reason) = next.unsure.unwrap_or_default();
    v1::EstimateNextResponse {
        session,
        agent: next.agent,
        model: next.model,
        tokens: next.estimate.tokens,
        low: next.estimate.low,
        high: next.estimate.high,
        basis: Some(basis(label(next.estimate.basis))),
        appended: next.appended.tokens,
        anchored: next.unsure.is_none(),
        unsure: unsure.to_owned(),
        reason: reason.to_owned(),
    }
}

/// A label for programs and for people.
pub(in crate::rpc) fn basis(label: Label) -> v1::Basis {
    let (kind, below, above, observations) = match label {
        Label::Billed => ("billed", 0, 0, 0),
        Label::Exact => ("exact", 0, 0, 0),
        Label::Calibrated { within, observations } => ("calibrated", within, within, observations),
        Label::Prior { below, above } => ("prior", below, above, 0),
    };
    v1::Basis {
        kind: kind.to_owned(),
        below,
        above,
        observations,
        label: label.to_string(),
    }
}

fn body(counted: RequestCount) -> v1::CountBodyResponse {
    let part = |part: tokmon_tokenizer::Part| v1::BodyPart {
        kind: part.kind.name().to_owned(),
        name: part.name,
        tokens: part.tokens,
        low: part.low,
        high: part.high,
        basis: Some(basis(part.label)),
    };
    v1::CountBodyResponse {
        model: counted.model,
        provider: counted.api.name().to_owned(),
        encoding: counted.encoding.to_owned(),
        parts: counted.parts.into_iter().map(part).collect(),
        tokens: counted.tokens,
        low: counted.low,
        high: counted.high,
        exact_tokens: counted.exact_tokens,
        basis: Some(basis(counted.label)),
        hidden: counted.hidden,
    }
}

/// The rules that the caller names; none: judged by the body.
fn api(provider: &str) -> Result<Option<Api>, Status> {
    if provider.is_empty() {
        return Ok(None);
    }
    let known = Api::ALL.into_iter().find(|api| api.name() == provider);
    known.map(Some).ok_or_else(|| {
        let mut shown: String = provider.chars().take(40).collect();
        shown = format!("{shown:?} is none");
        status::invalid("provider", shown, Api::ALL.map(Api::name).join(", "))
    })
}

#[tonic::async_trait]
impl TokenService for Tokens {
    async fn count(&self, request: Request<v1::CountRequest>) -> Result<Response<v1::Count>, Status> {
        let v1::CountRequest { text, model, agent } = request.into_inner();
        let counts = self.count_all(vec![text], model, &agent).await?;
        Ok(Response::new(counts.into_iter().next().unwrap_or_default()))
    }

    async fn count_many(
        &self,
        request: Request<v1::CountManyRequest>,
    ) -> Result<Response<v1::CountManyResponse>, Status> {
        let v1::CountManyRequest { texts, model, agent } = request.into_inner();
        let counts = self.count_all(texts, model, &agent).await?;
        let total = counts.iter().map(|c| c.tokens).sum();
        Ok(Response::new(v1::CountManyResponse { counts, total }))
    }

    async fn count_body(
        &self,
        request: Request<v1::CountBodyRequest>,
    ) -> Result<Response<v1::CountBodyResponse>, Status> {
        let wire = request.into_inner();
        let api = api(&wire.provider)?;
        let tokenizer = self.0.tokenizer.clone();
        let counted = self
            .counting(move || count_request(&tokenizer, api, &wire.model, &wire.body))
            .await?
            .map_err(|refused| match refused {
                BadRequest::Malformed { at, found, allowed } => {
                    status::invalid("body", format!("{at} is {found}"), allowed)
                }
                refused => status::invalid("body", refused.to_string(), "a JSON object of at most 64 MiB"),
            })?;
        Ok(Response::new(body(counted)))
    }

    async fn estimate_next(
        &self,
        request: Request<v1::EstimateNextRequest>,
    ) -> Result<Response<v1::EstimateNextResponse>, Status> {
        let v1::EstimateNextRequest {
            session,
            agent,
            model,
        } = request.into_inner();
        for (field, name) in [("session", &session), ("agent", &agent), ("model", &model)] {
            if name.len() > MAX_NAME_BYTES {
                let allowed = format!("at most {MAX_NAME_BYTES} bytes");
                return Err(status::invalid(
                    field,
                    format!("{} bytes long", name.len()),
                    allowed,
                ));
            }
        }
        if session.is_empty() {
            return Err(status::invalid("session", "it is empty", "the id of a session"));
        }
        let (app, id) = (self.0.clone(), session.clone());
        let next = self.counting(move || next(&app, &id, &agent, &model)).await?;
        self.0.activity.note();
        let next = next.map_err(status::ledger)?.ok_or_else(|| {
            let message = format!("session {:?} not found", convert::excerpt(&session));
            Kind::NotFound.status(message, Some("see `tokmonctl session list`"))
        })?;
        Ok(Response::new(foretold(session, next)))
    }

    async fn calibrations(
        &self,
        request: Request<v1::CalibrationsRequest>,
    ) -> Result<Response<v1::CalibrationsResponse>, Status> {
        let v1::CalibrationsRequest { agent, model } = request.into_inner();
        let model = normalize(&model);
        let state = self.0.ledger.state();
        let wanted = |known: &&Known| {
            (agent.is_empty() || *known.agent == *agent) && (model.is_empty() || *known.model == *model)
        };
        let mut calibrations: Vec<v1::Calibration> = state
            .calibrations
            .iter()
            .filter(wanted)
            .map(calibration)
            .collect();
        calibrations.sort_by_key(|one| std::cmp::Reverse(one.observations));
        Ok(Response::new(v1::CalibrationsResponse { calibrations }))
    }
}
