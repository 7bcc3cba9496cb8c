//! The usage service: record, list, follow, explain.

use std::pin::Pin;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokmon_core::entry::{Body, Entry};
use tokmon_core::limits::{MAX_BATCH, MAX_PAGE};
use tokmon_core::observation::Observation;
use tokmon_core::waste::WasteRules;
use tokmon_ledger::{Chunk, Imported, LedgerError, Outcome, Receipt, RecordsQuery};
use tokmon_proto::v1;
use tokmon_proto::v1::usage_service_server::UsageService;
use tonic::{Request, Response, Status, Streaming};

use super::convert;
use super::intake::Intake;
use super::{actor, explain, feed, status};
use crate::context::Context;

/// Most refusals that the answer of a stream quotes.
const REFUSALS_SHOWN: usize = 10;
/// Entries that one step of a follower reads ahead.
const FOLLOW_AHEAD: usize = 64;

/// Answers from the ledger.
pub(super) struct Usage(pub Arc<Context>);

impl Usage {
    fn observation(&self, usage: Option<v1::Usage>, intake: &mut Intake<'_>) -> Result<Observation, Status> {
        let usage = usage.ok_or_else(|| status::invalid("usage", "it is missing", "one Usage message"))?;
        intake.now_ms = self.0.clock.now_ms();
        convert::observation(usage, intake)
    }
}

#[tonic::async_trait]
impl UsageService for Usage {
    async fn record(
        &self,
        request: Request<v1::RecordRequest>,
    ) -> Result<Response<v1::RecordResponse>, Status> {
        let mut intake = Intake::one(0, &self.0.config.user);
        let mut seen = self.observation(request.into_inner().usage, &mut intake)?;
        let one = std::slice::from_mut(&mut seen);
        self.0.repositories.locate(one, intake.now_ms);
        let receipts = self.0.ledger.record(vec![seen]).await.map_err(status::ledger)?;
        match receipts.into_iter().next() {
            Some(receipt) => Ok(Response::new(self.receipt(receipt))),
            None => Err(tokmon_proto::error::Kind::Bug.status("no receipt for a record", None)),
        }
    }

    async fn record_stream(
        &self,
        request: Request<Streaming<v1::RecordRequest>>,
    ) -> Result<Response<v1::RecordStreamResponse>, Status> {
        let mut stream = request.into_inner();
        let mut answer = v1::RecordStreamResponse::default();
        let mut batch: Vec<(u64, Observation)> = Vec::new();
        // While one batch is written the next is read.
        let mut written: Option<Written> = None;
        let mut index = 0;
        let mut intake = Intake::stream(&self.0.config.user);
        loop {
            let message = stream.message().await?;
            let ended = message.is_none();
            if let Some(message) = message {
                match self.observation(message.usage, &mut intake) {
                    Ok(seen) => batch.push((index, seen)),
                    Err(e) => refuse(&mut answer, index, e.message()),
                }
                index += 1;
            }
            if batch.len() >= MAX_BATCH || (ended && !batch.is_empty()) {
                if let Some(former) = written.take() {
                    former.count(&mut answer).await?;
                }
                written = Some(self.write(std::mem::take(&mut batch)));
            }
            if ended {
                if let Some(last) = written {
                    last.count(&mut answer).await?;
                }
                return Ok(Response::new(answer));
            }
        }
    }

    async fn list(
        &self,
        request: Request<v1::ListUsageRequest>,
    ) -> Result<Response<v1::ListUsageResponse>, Status> {
        let query = self.records_query(request.into_inner())?;
        let ledger = self.0.ledger.clone();
        let page = status::read(move || ledger.records(&query)).await?;
        let (rules, now_ms) = (&self.0.config.waste, self.0.clock.now_ms());
        Ok(Response::new(v1::ListUsageResponse {
            records: page
                .items
                .iter()
                .filter_map(|e| convert::record(e, rules, now_ms))
                .collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    type FollowStream = Pin<Box<dyn Stream<Item = Result<v1::FollowResponse, Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<v1::FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let v1::FollowRequest {
            after_seq,
            from_now,
            filter,
            alerts_only,
        } = request.into_inner();
        let after = if from_now {
            self.0.ledger.last_seq()
        } else {
            after_seq
        };
        let filter = convert::filter(filter);
        let mut follower = self.0.ledger.follow(after);
        let (app, rules) = (self.0.clone(), self.0.config.waste.clone());
        let (sender, receiver) = tokio::sync::mpsc::channel(FOLLOW_AHEAD);
        tokio::spawn(async move {
            loop {
                let entries = tokio::select! {
                    entries = follower.next() => entries,
                    () = app.cancel.cancelled() => return,
                    () = sender.closed() => return,
                };
                let entries = match entries {
                    Ok(entries) => entries,
                    Err(e) => {
                        let _ = sender.send(Err(status::ledger(e))).await;
                        return;
                    }
                };
                let wanted = |entry: &&Entry| {
                    if alerts_only {
                        return matches!(entry.body, Body::BudgetAlert { .. } | Body::Runaway(_));
                    }
                    feed::passes(entry, &filter)
                };
                for entry in entries.iter().filter(wanted) {
                    let sent = tokio::select! {
                        sent = sender.send(Ok(feed::follow(entry, &rules, app.clock.now_ms()))) => sent,
                        () = app.cancel.cancelled() => return,
                    };
                    if sent.is_err() {
                        return;
                    }
                }
            }
        });
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        Ok(Response::new(Box::pin(stream)))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let request = request.into_inner();
        let seq = request.seq;
        let query = self.records_query(v1::ListUsageRequest {
            window: request.window,
            filter: request.filter,
            page_size: request.page_size,
            page_token: request.page_token,
        })?;
        let ledger = self.0.ledger.clone();
        let explained = status::read(move || {
            if seq == 0 {
                ledger.explain(&query)
            } else {
                ledger.explain_entry(seq)
            }
        })
        .await?;
        let now_ms = self.0.clock.now_ms();
        Ok(Response::new(explain::explained(
            explained,
            &self.0.config.waste,
            now_ms,
        )))
    }

    async fn split(&self, request: Request<v1::SplitRequest>) -> Result<Response<v1::SplitResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let apart = ledger
            .split(request.into_inner().seq)
            .await
            .map_err(status::ledger)?;
        let (rules, now_ms) = (&self.0.config.waste, self.0.clock.now_ms());
        let records = apart.iter().filter_map(|e| convert::record(e, rules, now_ms));
        Ok(Response::new(v1::SplitResponse {
            records: records.collect(),
        }))
    }
}

impl Usage {
    fn records_query(&self, request: v1::ListUsageRequest) -> Result<RecordsQuery, Status> {
        let (from_ms, to_ms) = convert::window(request.window)?;
        Ok(RecordsQuery {
            from_ms,
            to_ms,
            filter: convert::filter(request.filter),
            page_size: page_size(request.page_size, 100)?,
            page_token: request.page_token,
        })
    }

    /// Gives a batch to the ledger, which takes it up while the stream is read on.
    fn write(&self, batch: Vec<(u64, Observation)>) -> Written {
        let (indices, mut observations): (Vec<u64>, Vec<Observation>) = batch.into_iter().unzip();
        self.0
            .repositories
            .locate(&mut observations, self.0.clock.now_ms());
        let ledger = self.0.ledger.clone();
        let chunk = Chunk {
            observations,
            ..Chunk::default()
        };
        Written {
            indices,
            done: tokio::spawn(async move { ledger.import(chunk).await }),
        }
    }

    fn receipt(&self, receipt: Receipt) -> v1::RecordResponse {
        self::receipt(receipt, &self.0.config.waste)
    }
}

/// The answer to one recorded call.
pub(super) fn receipt(receipt: Receipt, rules: &WasteRules) -> v1::RecordResponse {
    let outcome = match receipt.outcome {
        Outcome::Added => v1::RecordOutcome::Added,
        Outcome::Amended => v1::RecordOutcome::Amended,
        Outcome::Duplicate => v1::RecordOutcome::Duplicate,
        Outcome::Purged => v1::RecordOutcome::Purged,
    };
    v1::RecordResponse {
        seq: receipt.seq,
        outcome: outcome.into(),
        cost: receipt.record.cost.map(convert::money),
        cost_parts: receipt.costing.as_ref().map(|c| convert::cost_parts(&c.parts)),
        session: Some(super::session::totals(&receipt.session)),
        waste: convert::wastes(&receipt.record, rules),
        alerts: receipt.alerts.iter().map(convert::alert).collect(),
        unpriced: receipt.record.cost.is_none(),
    }
}

/// A batch of a stream on its way into the ledger.
struct Written {
    /// Where in the stream its observations stood.
    indices: Vec<u64>,
    done: JoinHandle<Result<Imported, LedgerError>>,
}

impl Written {
    /// Waits until it is durable and counts it.
    async fn count(self, answer: &mut v1::RecordStreamResponse) -> Result<(), Status> {
        let done = self.done.await.unwrap_or(Err(LedgerError::Closed));
        let done = done.map_err(status::ledger)?;
        answer.added += done.added;
        answer.amended += done.amended;
        answer.duplicates += done.duplicates;
        answer.purged += done.purged;
        for (at, refusal) in &done.refused {
            let index = self.indices.get(*at).copied().unwrap_or_default();
            refuse(answer, index, &refusal.to_string());
        }
        Ok(())
    }
}

fn refuse(answer: &mut v1::RecordStreamResponse, index: u64, message: &str) {
    answer.refused += 1;
    if answer.refusals.len() < REFUSALS_SHOWN {
        answer.refusals.push(v1::StreamRefusal {
            index,
            message: message.to_owned(),
        });
    }
}

/// A page's size: the default for 0. Errors: larger than allowed.
pub(super) fn page_size(asked: u32, default: usize) -> Result<usize, Status> {
    match asked as usize {
        0 => Ok(default),
        n if n <= MAX_PAGE => Ok(n),
        n => Err(status::invalid(
            "page_size",
            n.to_string(),
            format!("at most {MAX_PAGE}"),
        )),
    }
}
