//! From a body to the ledger: decode, map, record, answer. Whoever listens hands bodies over, whatever carried them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokmon_core::Name;
use tokmon_core::limits::{MAX_BATCH, MAX_OTLP_CALLS, MAX_OTLP_SENDERS_SHOWN};
use tokmon_core::observation::Observation;
use tokmon_ledger::{Chunk, Clock, Imported, Ledger, LedgerError};

use super::attributes::Attributes;
use super::map::{self, Intake};
use super::measured::{Measured, Meters};
use super::record::{Encoding, Record, Signal, Visitor};
use super::tally::Tally;
use super::{json, metrics, protobuf};
use crate::agents::json::Problem;
use crate::repositories::Repositories;

/// Longest wait for the ledger: less than the ten seconds after which exporters give up and send again.
const LEDGER_PATIENCE: Duration = Duration::from_secs(5);
/// A larger body is read on a thread that may be occupied for a while.
const INLINE_BYTES: usize = 64 * 1024;

/// Takes telemetry. One for the daemon's life.
pub struct Receiver {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    user: Name,
    repositories: Arc<Repositories>,
    tally: Mutex<Tally>,
    meters: Mutex<Meters>,
}

/// A request was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Records that tell of a call and were not counted.
    pub rejected: u64,
    /// What was wrong with the first of them.
    pub problem: String,
}

/// A request was not taken; nothing of it was counted, or it may be sent again without counting twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiveError {
    /// It cannot be read: sending it again is of no use.
    Malformed(String),
    /// The ledger has too much to do: send it again.
    Busy,
    /// The ledger cannot write: send it again later.
    Unavailable(String),
}

impl Receiver {
    /// A receiver that books calls to `user` that name nobody.
    pub fn new(
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        user: Name,
        repositories: Arc<Repositories>,
    ) -> Receiver {
        Receiver {
            ledger,
            clock,
            user,
            repositories,
            tally: Mutex::default(),
            meters: Mutex::default(),
        }
    }

    /// What it says about itself.
    pub fn tally(&self) -> Tally {
        self.lock().clone()
    }

    /// What agents' own meters said of the latest sessions, the latest last: a cross-check.
    pub fn measured(&self) -> Vec<Measured> {
        self.meters().measured()
    }

    /// Where it listens, and why not everywhere.
    pub fn listens(&self, endpoints: Vec<String>, error: String) {
        let mut tally = self.lock();
        tally.endpoints = endpoints;
        tally.error = error;
    }

    /// A request was turned away before it came here.
    pub fn refused(&self, why: &str) {
        let mut tally = self.lock();
        tally.refused += 1;
        tally.show(format!("request refused: {why}"));
    }

    fn meters(&self) -> MutexGuard<'_, Meters> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a JSON body carries whose path does not say it.
    pub fn sniff(body: &[u8]) -> Option<Signal> {
        json::sniff(body)
    }

    /// Takes one export request. Answered when its calls are durable.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    pub async fn receive(
        &self,
        signal: Signal,
        encoding: Encoding,
        body: Vec<u8>,
    ) -> Result<Accepted, ReceiveError> {
        let now_ms = self.clock.now_ms();
        if signal == Signal::Metrics {
            return self.measure(encoding, &body, now_ms);
        }
        let intake = Intake::new(now_ms, self.user.clone());
        let is_small = body.len() <= INLINE_BYTES;
        let read = move || Found::read(signal, encoding, &body, intake);
        let found = if is_small {
            read()
        } else {
            let joined = tokio::task::spawn_blocking(read).await;
            joined.unwrap_or_else(|_| Err(Problem("it could not be read".to_owned())))
        };
        let mut found = found.map_err(|problem| self.malformed(problem))?;
        let mut done = Imported::default();
        let senders = found.senders();
        let mut calls = std::mem::take(&mut found.calls).into_iter();
        loop {
            let observations: Vec<Observation> = calls.by_ref().take(MAX_BATCH).collect();
            if observations.is_empty() {
                break;
            }
            let written = self.write(observations).await?;
            for (_, refusal) in &written.refused {
                found.reject(refusal.to_string());
            }
            done.added += written.added + written.amended;
            done.duplicates += written.duplicates + written.purged;
        }
        let mut tally = self.lock();
        tally.requests += 1;
        tally.calls += done.added;
        tally.duplicates += done.duplicates;
        tally.others += found.others;
        tally.rejected += found.rejected;
        tally.last_ms = now_ms;
        for (agent, calls) in senders {
            tally.heard(&agent, calls, now_ms);
        }
        if !found.problem.is_empty() {
            tally.show(format!("{} record not counted: {}", signal.name(), found.problem));
        }
        Ok(Accepted {
            rejected: found.rejected,
            problem: found.problem,
        })
    }

    /// Takes metrics, which count for nothing.
    fn measure(&self, encoding: Encoding, body: &[u8], now_ms: i64) -> Result<Accepted, ReceiveError> {
        let read = || {
            let mut meters = self.meters();
            meters.now_ms = now_ms;
            metrics::decode(encoding, body, &mut *meters)
        };
        let read = if body.len() <= INLINE_BYTES {
            read()
        } else {
            tokio::task::block_in_place(read)
        };
        read.map_err(|problem| self.malformed(problem))?;
        let mut tally = self.lock();
        tally.requests += 1;
        tally.last_ms = now_ms;
        Ok(Accepted::default())
    }

    fn malformed(&self, problem: Problem) -> ReceiveError {
        self.refused(&problem.0);
        ReceiveError::Malformed(problem.0)
    }

    async fn write(&self, mut observations: Vec<Observation>) -> Result<Imported, ReceiveError> {
        self.repositories.locate(&mut observations, self.clock.now_ms());
        let chunk = Chunk {
            observations,
            ..Chunk::default()
        };
        // Given up here it may still be written; sent again, it is known by its keys.
        let written = tokio::time::timeout(LEDGER_PATIENCE, self.ledger.import(chunk)).await;
        match written {
            Err(_) | Ok(Err(LedgerError::Busy)) => Err(ReceiveError::Busy),
            Ok(Err(error)) => Err(ReceiveError::Unavailable(error.to_string())),
            Ok(Ok(imported)) => Ok(imported),
        }
    }
}

/// What a body held.
struct Found {
    signal: Signal,
    intake: Intake,
    calls: Vec<Observation>,
    others: u64,
    rejected: u64,
    problem: String,
}

impl Found {
    fn read(signal: Signal, encoding: Encoding, body: &[u8], intake: Intake) -> Result<Found, Problem> {
        let mut found = Found {
            signal,
            intake,
            calls: Vec::new(),
            others: 0,
            rejected: 0,
            problem: String::new(),
        };
        match encoding {
            Encoding::Protobuf => protobuf::decode(signal, body, &mut found)?,
            Encoding::Json => json::decode(signal, body, &mut found)?,
        }
        Ok(found)
    }

    fn reject(&mut self, problem: String) {
        self.rejected += 1;
        if self.problem.is_empty() {
            self.problem = problem;
        }
    }

    /// How many calls each agent told of; in one request there is hardly more than one agent.
    fn senders(&self) -> Vec<(Name, u64)> {
        let mut senders: Vec<(Name, u64)> = Vec::new();
        for call in &self.calls {
            let agent = &call.who.agent;
            if let Some((_, calls)) = senders.iter_mut().find(|(known, _)| known == agent) {
                *calls += 1;
            } else if senders.len() < MAX_OTLP_SENDERS_SHOWN {
                senders.push((agent.clone(), 1));
            }
        }
        senders
    }
}

impl Visitor for Found {
    fn record(&mut self, resource: &Attributes<'_>, record: &Record<'_>) {
        match map::call(self.signal, resource, record, &mut self.intake) {
            Ok(None) => self.others += 1,
            Ok(Some(_)) if self.calls.len() >= MAX_OTLP_CALLS => {
                self.reject(format!("more than {MAX_OTLP_CALLS} calls in one request"));
            }
            Ok(Some(call)) => self.calls.push(call),
            Err(problem) => self.reject(problem.0),
        }
    }
}

#[cfg(test)]
mod tests;
