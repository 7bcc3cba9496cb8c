//! The token service: counting text.

use std::sync::Arc;

use tokmon_core::limits::{MAX_TEXT_BYTES, MAX_TEXTS};
use tokmon_proto::v1;
use tokmon_proto::v1::token_service_server::TokenService;
use tokmon_tokenizer::{Api, Label, RequestCount, count_request};
use tonic::{Request, Response, Status};

use super::status;
use crate::context::Context;

/// Answers from the tokenizer.
pub(super) struct Tokens(pub Arc<Context>);

impl Tokens {
    async fn count_all(&self, texts: Vec<Vec<u8>>, model: String) -> Result<Vec<v1::Count>, Status> {
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
                Ok(count) => Ok(v1::Count {
                    tokens: count.tokens,
                    encoding: count.encoding.to_owned(),
                    exact: count.exact,
                    low: count.low,
                    high: count.high,
                    note: count.note.unwrap_or_default(),
                }),
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

/// A label for programs and for people.
pub(super) fn basis(label: Label) -> v1::Basis {
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
        let v1::CountRequest { text, model } = request.into_inner();
        let counts = self.count_all(vec![text], model).await?;
        Ok(Response::new(counts.into_iter().next().unwrap_or_default()))
    }

    async fn count_many(
        &self,
        request: Request<v1::CountManyRequest>,
    ) -> Result<Response<v1::CountManyResponse>, Status> {
        let v1::CountManyRequest { texts, model } = request.into_inner();
        let counts = self.count_all(texts, model).await?;
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
            .map_err(|e| status::invalid("body", e.to_string(), "a JSON object of at most 64 MiB"))?;
        Ok(Response::new(body(counted)))
    }
}
