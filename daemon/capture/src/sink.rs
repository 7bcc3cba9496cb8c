//! Where chunks go: the ledger, or whatever a test or a benchmark puts in its place.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokmon_core::Name;
use tokmon_ledger::store::Position;
use tokmon_ledger::{Chunk, Clock, Imported, Ledger, LedgerError};

use crate::git::Git;
use crate::status::ParseFailure;

/// Takes chunks in order. Blocking: called from the capture thread only.
pub trait Sink: Send {
    /// How far each file had been read when the sink was left.
    fn positions(&mut self) -> Result<Vec<Position>, SinkError>;

    /// Hands a chunk over; it may become durable later, in order. Returns what became of earlier ones.
    fn put(&mut self, source: usize, chunk: Chunk) -> Result<Vec<Outcome>, SinkError>;

    /// Waits until all is durable.
    fn finish(&mut self) -> Result<Vec<Outcome>, SinkError>;
}

/// What became of a chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Which source it came from.
    pub source: usize,
    /// Calls that were known already.
    pub duplicates: u64,
    /// Calls that the ledger refused, and why.
    pub refused: Vec<ParseFailure>,
}

/// Why a chunk was not taken. What came after the last outcome is not durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// For good: the daemon is stopping.
    #[error("the ledger is closed")]
    Closed,
    /// For now.
    #[error("{0}")]
    Failed(String),
}

/// The ledger as a sink. One chunk is on its way while the next one is read.
pub(crate) struct LedgerSink {
    ledger: Ledger,
    runtime: Handle,
    under_way: Option<UnderWay>,
    /// Books calls under their repositories; `None`: under the directories that the agents name.
    git: Option<Git>,
    clock: Arc<dyn Clock>,
}

struct UnderWay {
    source: usize,
    lines: Vec<(Name, u64)>,
    task: JoinHandle<Result<Imported, LedgerError>>,
}

impl LedgerSink {
    pub(crate) fn new(ledger: Ledger, runtime: Handle, git: bool, clock: Arc<dyn Clock>) -> LedgerSink {
        LedgerSink {
            ledger,
            runtime,
            under_way: None,
            git: git.then(Git::default),
            clock,
        }
    }
}

fn failed(error: LedgerError) -> SinkError {
    match error {
        LedgerError::Closed => SinkError::Closed,
        other => SinkError::Failed(other.to_string()),
    }
}

impl Sink for LedgerSink {
    fn positions(&mut self) -> Result<Vec<Position>, SinkError> {
        self.ledger.positions().map_err(failed)
    }

    fn put(&mut self, source: usize, mut chunk: Chunk) -> Result<Vec<Outcome>, SinkError> {
        let done = self.finish()?;
        if let Some(git) = &mut self.git {
            let now_ms = self.clock.now_ms();
            for seen in &mut chunk.observations {
                git.locate(seen, now_ms);
            }
        }
        let lines = chunk
            .observations
            .iter()
            .map(|seen| (seen.source.path.clone(), seen.source.offset))
            .collect();
        let ledger = self.ledger.clone();
        let task = self.runtime.spawn(async move { ledger.import(chunk).await });
        self.under_way = Some(UnderWay { source, lines, task });
        Ok(done)
    }

    fn finish(&mut self) -> Result<Vec<Outcome>, SinkError> {
        let Some(UnderWay { source, lines, task }) = self.under_way.take() else {
            return Ok(Vec::new());
        };
        let imported = match self.runtime.block_on(task) {
            Ok(result) => result.map_err(failed)?,
            // The runtime is going down, and the task with it.
            Err(_) => return Err(SinkError::Closed),
        };
        let refused = imported.refused.into_iter().filter_map(|(at, refusal)| {
            let (path, offset) = lines.get(at)?.clone();
            Some(ParseFailure {
                path,
                offset,
                message: refusal.to_string(),
            })
        });
        Ok(vec![Outcome {
            source,
            duplicates: imported.duplicates,
            refused: refused.collect(),
        }])
    }
}
