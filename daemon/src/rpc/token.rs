//! The token service: counting text.

use std::sync::Arc;

use tokmon_core::limits::{MAX_TEXT_BYTES, MAX_TEXTS};
use tokmon_proto::v1;
use tokmon_proto::v1::token_service_server::TokenService;
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
        let counts = tokio::task::spawn_blocking(work).await;
        self.0.counted.notify_one();
        let counts = counts.map_err(|e| {
            tracing::error!("counting panicked: {e}");
            tokmon_proto::error::Kind::Bug.status("a fault in tokmond; the log has the details", None)
        })?;
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
}
