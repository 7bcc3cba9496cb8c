//! What the next prompt of a session will be billed as: its transcript is read as it stands, when somebody asks.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use tokmon_capture::growth::{Growth, Reader};
use tokmon_capture::open_regular;
use tokmon_core::calibration::{Basis, Estimate};
use tokmon_core::entry::{Body, Record};
use tokmon_core::limits::MAX_PAGE;
use tokmon_core::model::normalize;
use tokmon_core::report::Filter;
use tokmon_ledger::{LedgerError, RecordsQuery};

use super::belief::{self, Foretold};
use crate::context::Context;

/// What is read of a transcript, from its end: nearly all have less, and it takes a fifth of a second.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The next prompt of a session.
pub(crate) struct Next {
    /// Who is expected to send it.
    pub agent: String,
    /// To which model.
    pub model: String,
    /// What it will be billed as.
    pub estimate: Estimate,
    /// What was appended, alone.
    pub appended: Estimate,
    /// Why it is not anchored, for programs and for people. `None`: it is.
    pub unsure: Option<(&'static str, &'static str)>,
}

/// Why a prompt is not anchored of which nothing but the last bill is known.
const UNREAD: (&str, &str) = (
    "unread",
    "its transcript cannot be read, and nobody knows what was appended",
);
/// What was appended, then.
const NOTHING: Estimate = Estimate {
    tokens: 0,
    low: 0,
    high: 0,
    basis: Basis::Billed,
};

/// Foretells it. `agent` and `model` may be empty: those of the last call. `None`: no call of the session is known.
///
/// Blocks: it reads the ledger and a file, and counts.
///
/// # Errors
/// The ledger cannot be read.
pub(crate) fn next(
    app: &Context,
    session: &str,
    agent: &str,
    model: &str,
) -> Result<Option<Next>, LedgerError> {
    if app.ledger.session(agent, session)?.is_none() {
        return Ok(None);
    }
    let Some(last) = last(app, session, agent)? else {
        return Ok(None);
    };
    let agent = last.seen.who.agent.to_string();
    let growth = growth(&last, model, app.clock.now_ms());
    let Some(growth) = growth else {
        let tokens = &last.seen.tokens;
        let billed = tokens.prompt().saturating_add(tokens.answer());
        return Ok(Some(Next {
            agent,
            model: if model.is_empty() { &last.seen.model } else { model }.to_owned(),
            estimate: NOTHING.after_change(billed.saturating_add(last.seen.extra_output)),
            appended: NOTHING,
            unsure: Some(UNREAD),
        }));
    };
    let learned = &app.ledger.state().calibrations;
    let Foretold {
        estimate,
        appended,
        unsure,
    } = belief::foretell(&app.tokenizer, learned, &agent, &growth);
    Ok(Some(Next {
        agent,
        model: growth.model,
        estimate,
        appended,
        unsure: unsure.map(|why| (why.name(), why.reason())),
    }))
}

/// The last call of the session; one of a subagent only when there is no other.
fn last(app: &Context, session: &str, agent: &str) -> Result<Option<Record>, LedgerError> {
    let mut filter = Filter {
        sessions: vec![session.to_owned()],
        ..Filter::default()
    };
    if !agent.is_empty() {
        filter.agents.push(agent.to_owned());
    }
    let newest = app.ledger.records(&RecordsQuery {
        filter,
        page_size: MAX_PAGE,
        ..RecordsQuery::default()
    })?;
    let mut of_subagent = None;
    for entry in newest.items {
        let (Body::Usage(record) | Body::Amend { record, .. }) = entry.body else {
            continue;
        };
        if !record.seen.sidechain {
            return Ok(Some(*record));
        }
        of_subagent.get_or_insert(*record);
    }
    Ok(of_subagent)
}

/// What the conversation grew by since its last call. `None`: its transcript cannot be read, or tells of no call.
fn growth(last: &Record, model: &str, now_ms: i64) -> Option<Growth> {
    let mut reader = Reader::new(&last.seen.source.kind)?;
    let mut file = open_regular(Path::new(&*last.seen.source.path)).ok()?;
    let length = file.metadata().ok()?.len();
    let from = length.saturating_sub(MOST_BYTES);
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    let mut lines = bytes.split(|byte| *byte == b'\n');
    if from > 0 {
        // The end of a line.
        lines.next();
    }
    let mut steps = Vec::new();
    for line in lines {
        reader.line(line, &mut steps);
        steps.clear();
    }
    let same = reader.next(None, now_ms)?;
    if model.is_empty() || normalize(model) == normalize(&same.model) {
        return Some(same);
    }
    reader.next(Some(model), now_ms)
}
