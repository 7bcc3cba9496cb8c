//! Learning how many tokens models make of texts: the steps of the conversations that were recorded last are read from
//! the agents' transcripts, counted, and held against what was billed for them.
//!
//! The ledger says when something was recorded and where it was read, so this knows nothing of capture's own state. It
//! looks when things have come to rest, at the newest calls only, and reads the end of their files: what an import
//! brings costs the same however long the history is. Nothing of a text is kept.

pub(crate) mod belief;
pub(crate) mod next;

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokmon_capture::growth::{Growth, Reader};
use tokmon_capture::open_regular;
use tokmon_core::Name;
use tokmon_core::calibration::{Bill, Calibrations};
use tokmon_core::entry::Body;
use tokmon_core::limits::{MAX_BATCH, MAX_PAGE};
use tokmon_core::model::normalize;
use tokmon_ledger::{LedgerError, RecordsQuery};
use tokmon_tokenizer::Tokenizer;
use tracing::{debug, warn};

use crate::context::Context;

/// Nothing was recorded for so long: the agents take a breath, or an import is over.
const QUIET: Duration = Duration::from_secs(2);
/// It is not waited longer than so often that long.
const PATIENCE: usize = 15;
/// After the ledger could not be read or written.
const PAUSE: Duration = Duration::from_secs(60);
/// What is read of a file that was not looked at before, from its end.
const FIRST_BYTES: u64 = 1024 * 1024;
/// What is read again of a file that has grown: where the conversation stood.
const AGAIN_BYTES: u64 = 256 * 1024;
/// What one look reads at most. With so little it knows of a thousand calls and costs a tenth of a second.
const LOOK_BYTES: u64 = 6 * 1024 * 1024;
/// Files whose length is remembered.
const MOST_FILES: usize = 1024;

/// Looks whenever something was recorded, until the daemon stops.
pub(crate) async fn run(app: Arc<Context>) {
    let mut lengths = BTreeMap::new();
    let mut fresh = app.ledger.state().calibrations.iter().next().is_none() && app.ledger.last_seq() > 0;
    loop {
        let looked = async {
            if !std::mem::take(&mut fresh) {
                drop(app.ledger.follow(app.ledger.last_seq()).next().await?);
            }
            quiet(&app).await;
            look(&app, &mut lengths).await
        };
        let failed = tokio::select! {
            looked = looked => looked.err(),
            () = app.cancel.cancelled() => return,
        };
        if let Some(e) = failed {
            debug!("nothing was learned: {e}");
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = app.cancel.cancelled() => return,
            }
        }
    }
}

/// Waits until nothing was recorded for a while.
async fn quiet(app: &Context) {
    for _ in 0..PATIENCE {
        let before = app.ledger.last_seq();
        tokio::time::sleep(QUIET).await;
        if app.ledger.last_seq() == before {
            return;
        }
    }
}

/// The lengths of files at the last look.
type Lengths = BTreeMap<Name, u64>;

async fn look(app: &Arc<Context>, lengths: &mut Lengths) -> Result<(), LedgerError> {
    let (here, mut known) = (app.clone(), std::mem::take(lengths));
    let work = move || {
        // What nobody else uses is not left in memory.
        let alone = here.tokenizer.loaded().is_empty();
        let bills = bills(&here, &mut known);
        if alone {
            here.tokenizer.unload_idle(Duration::ZERO);
        }
        (bills, known)
    };
    let Ok((bills, known)) = tokio::task::spawn_blocking(work).await else {
        warn!("counting transcripts panicked");
        return Ok(());
    };
    *lengths = known;
    app.activity.note();
    let bills = bills?;
    if !bills.is_empty() {
        let count = bills.len();
        app.ledger.learn(bills).await?;
        debug!("learned from {count} bills");
    }
    Ok(())
}

/// What the files of the newest calls tell that was not learned before, oldest first.
fn bills(app: &Context, lengths: &mut Lengths) -> Result<Vec<Bill>, LedgerError> {
    let newest = app.ledger.records(&RecordsQuery {
        page_size: MAX_PAGE,
        ..RecordsQuery::default()
    })?;
    let calibrations = app.ledger.state().calibrations.clone();
    let mut left = LOOK_BYTES;
    let mut seen: Vec<Name> = Vec::new();
    let mut bills = Vec::new();
    for entry in newest.items {
        let (Body::Usage(record) | Body::Amend { record, .. }) = entry.body else {
            continue;
        };
        let source = &record.seen.source;
        if source.path.is_empty() || seen.contains(&source.path) {
            continue;
        }
        seen.push(source.path.clone());
        let Some(reader) = Reader::new(&source.kind) else {
            continue;
        };
        let steps = grown(reader, &source.path, lengths, &mut left);
        bills.extend(learnable(
            &app.tokenizer,
            &calibrations,
            &record.seen.who.agent,
            &steps,
        ));
        if left == 0 || bills.len() >= MAX_BATCH {
            break;
        }
    }
    if lengths.len() > MOST_FILES {
        lengths.clear();
    }
    bills.truncate(MAX_BATCH);
    Ok(bills)
}

/// The steps in the end of a file that has grown.
fn grown(mut reader: Reader, path: &Name, lengths: &mut Lengths, left: &mut u64) -> Vec<Growth> {
    let before = lengths.get(path).copied();
    let mut steps = Vec::new();
    let read = || -> std::io::Result<(u64, bool, Vec<u8>)> {
        let mut file = open_regular(Path::new(&**path))?;
        let length = file.metadata()?.len();
        if before == Some(length) {
            return Ok((length, false, Vec::new()));
        }
        let from = match before {
            Some(before) if before < length => before.saturating_sub(AGAIN_BYTES),
            _ => length.saturating_sub(FIRST_BYTES),
        };
        let most = (length - from).min(FIRST_BYTES + AGAIN_BYTES).min(*left);
        let from = length - most;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok((length, from > 0, bytes))
    };
    // A file that is gone, or that others may not read, has nothing to teach.
    let Ok((length, cut, bytes)) = read() else {
        return steps;
    };
    *left -= bytes.len() as u64;
    lengths.insert(path.clone(), length);
    let mut lines = bytes.split(|byte| *byte == b'\n');
    if cut {
        // The end of a line.
        lines.next();
    }
    lines.for_each(|line| reader.line(line, &mut steps));
    steps
}

/// The bills of steps that nothing hides, and that are new.
fn learnable(tokenizer: &Tokenizer, known: &Calibrations, agent: &Name, steps: &[Growth]) -> Vec<Bill> {
    let is_new = |step: &Growth| known.is_new(agent, &normalize(&step.model), step.at_ms);
    steps
        .iter()
        .filter(|step| step.teaches() && is_new(step))
        .map(|step| belief::bill(tokenizer, agent, step))
        .collect()
}
