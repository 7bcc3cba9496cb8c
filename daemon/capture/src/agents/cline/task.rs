//! A task: `tasks/<id>/ui_messages.json`, a list that is rewritten whenever something is said.
//!
//! A request is a message whose text is JSON of its own; its figures come when the request ends (in the first versions
//! in a message of their own). Requests that the user goes back behind are removed, and their sum stands in
//! `deleted_api_reqs`; what of them was booked before they went is not booked again. Of a call that condensed the
//! context nothing is known but its cost. A task is known by when it began, so that a copy of its folder under another name is the same.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tokmon_core::id::Key;
use tokmon_core::limits::{MAX_BESIDE_BYTES, MAX_PARSER_STATE};
use tokmon_core::money::Pico;
use tokmon_core::observation::{CallKind, Confidence};
use tokmon_core::tokens::Tokens;

use super::input::disjoint;
use super::model::{Models, order};
use super::workspace::Workspace;
use crate::agents::Notes;
use crate::agents::json::{Problem, Reader};
use crate::agents::values::{cost, instant, subagent};

/// The conversation beside the messages.
const CONVERSATION: &str = "api_conversation_history.json";
/// Most of what a task's messages may sum up to.
const MAX_SUM: u64 = 1_000_000_000_000;
/// Requests that are remembered, in case they are removed: so many that they fit into half of a position's state.
const REMEMBERED: usize = MAX_PARSER_STATE / 2 / 64;

/// What is known from the last time.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    /// When the task began, as it was the first time: its first message may go.
    #[serde(default)]
    root: String,
    /// Requests that were there, by time, each with input, output, and what was read from and written to the cache.
    requests: Vec<(i64, [u64; 4])>,
    /// What was removed since, and is not in a sum of removed requests yet.
    removed: [u64; 4],
}

/// What kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One request.
    Request,
    /// The sum of what subagents used.
    Subagents,
    /// The sum of requests that were removed.
    Removed,
    /// A call that condensed the context.
    Condensed,
}

impl Kind {
    /// What it is called in keys.
    fn name(self) -> &'static str {
        match self {
            Kind::Request => "request",
            Kind::Subagents => "subagents",
            Kind::Removed => "removed",
            Kind::Condensed => "condensed",
        }
    }
}

/// A message with figures.
#[derive(Debug)]
struct Message {
    kind: Kind,
    at_ms: i64,
    model: String,
    provider: String,
    usage: Usage,
    offset: u64,
    order: u64,
}

/// The figures in a message's text.
#[derive(Debug, Default)]
struct Usage {
    counts: [u64; 4],
    cost: Option<Pico>,
    /// A version that says by whose rules it counts.
    protocol: bool,
    failed: bool,
}

/// What is the same for all of a task's calls.
struct Task {
    /// Its folder, by which the user knows it.
    name: String,
    /// What it is known by wherever it lies.
    root: String,
    models: Models,
    workspace: Workspace,
}

/// Reads a task.
pub(super) fn read(bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), Problem> {
    let (mut messages, mut began) = (Vec::new(), None);
    let mut reader = Reader::new(bytes);
    if !reader.next_is(b'[')? {
        return Err(Problem("not a list of messages".into()));
    }
    reader.array(|reader| {
        let offset = reader.next_position()? as u64;
        // Each on its own, so that a broken one costs only itself.
        match message(&mut Reader::new(reader.raw()?)) {
            Ok((at_ms, message)) => {
                began = began.or(at_ms);
                messages.extend(message.map(|message| Message { offset, ..message }));
            }
            Err(problem) => notes.fail(offset, problem.0),
        }
        Ok(())
    })?;
    reader.end()?;
    let name = notes.origin.folder(1).to_owned();
    let conversation = notes.origin.beside(CONVERSATION, MAX_BESIDE_BYTES);
    let conversation = conversation.unwrap_or_default();
    let mut known: Known = serde_json::from_slice(&notes.state).unwrap_or_default();
    if known.root.is_empty() {
        known.root = began.map_or_else(|| name.clone(), |began: i64| began.to_string());
    }
    let task = Task {
        root: known.root.clone(),
        models: Models::read(notes.origin, &conversation),
        workspace: Workspace::read(notes.origin, &conversation),
        name,
    };
    for message in &mut messages {
        if let Some(model) = task.models.at(message.at_ms) {
            if message.model.is_empty() {
                message.model.clone_from(&model.name);
            }
            if message.provider.is_empty() {
                message.provider.clone_from(&model.provider);
            }
        }
        let (counts, protocol) = (&mut message.usage.counts, message.usage.protocol);
        disjoint(counts, protocol, &message.provider);
    }
    known.compare(&messages);
    let mut removed = ([0; 4], Pico::ZERO);
    for message in &messages {
        if message.kind == Kind::Removed {
            for (sum, count) in removed.0.iter_mut().zip(message.usage.counts) {
                *sum = count.saturating_add(*sum);
            }
            removed.1 += message.usage.cost.unwrap_or_default();
        } else {
            book(message, &task, notes);
        }
    }
    let last = messages.iter().rfind(|message| message.kind == Kind::Removed);
    if let Some(last) = last
        && let Some(step) = notes.since(&format!("{} (removed)", task.root), tokens(removed.0), None)
    {
        let mut left = step.tokens;
        left.sub(&tokens(known.removed));
        let mut unused = tokens(known.removed);
        unused.sub(&step.tokens);
        known.removed = counts(&unused);
        if left.total() > 0 {
            let mut seen = notes.call(step.key, last.at_ms, &task.name, &last.model);
            task.workspace.tell(&mut seen, notes);
            seen.tokens = left;
            seen.kind = CallKind::Several;
            seen.source.offset = last.offset;
            // The sum's cost is that of all of it.
            seen.reported_cost = (left == tokens(removed.0))
                .then_some(removed.1)
                .filter(|cost| *cost > Pico::ZERO);
            notes.book(seen);
        }
    }
    notes.state = serde_json::to_vec(&known).unwrap_or_default();
    Ok(())
}

impl Known {
    /// Notes which requests have gone, and which are there now.
    fn compare(&mut self, messages: &[Message]) {
        let there: HashMap<i64, [u64; 4]> = messages
            .iter()
            .filter(|message| message.kind == Kind::Request)
            .map(|message| (message.at_ms, message.usage.counts))
            .collect();
        for (at_ms, counts) in std::mem::take(&mut self.requests) {
            if !there.contains_key(&at_ms) {
                for (sum, count) in self.removed.iter_mut().zip(counts) {
                    *sum = count.saturating_add(*sum);
                }
            }
        }
        self.requests = there
            .into_iter()
            .filter(|(_, counts)| *counts != [0; 4])
            .collect();
        self.requests.sort_unstable();
        let many = self.requests.len().saturating_sub(REMEMBERED);
        self.requests.drain(..many);
    }
}

fn tokens([input, output, cache_read, cache_write_5m]: [u64; 4]) -> Tokens {
    Tokens {
        input,
        output,
        cache_read,
        cache_write_5m,
        ..Tokens::default()
    }
}

fn counts(tokens: &Tokens) -> [u64; 4] {
    [
        tokens.input,
        tokens.output,
        tokens.cache_read,
        tokens.cache_write_5m,
    ]
}

/// When something was said, and its figures if it has any.
fn message(reader: &mut Reader<'_>) -> Result<(Option<i64>, Option<Message>), Problem> {
    let (mut say, mut text, mut at_ms, mut condensing) = (None, None, None, None);
    let (mut model, mut provider) = (String::new(), String::new());
    reader.object(|reader, key| {
        match key {
            b"say" => say = reader.text()?,
            b"text" => text = reader.text()?,
            b"ts" => at_ms = said_at(reader)?,
            b"contextCondense" => {
                reader.object(|reader, key| {
                    match key {
                        b"cost" => condensing = cost(reader)?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            b"modelInfo" => {
                reader.object(|reader, key| {
                    match key {
                        b"modelId" => model = reader.plain()?,
                        b"providerId" => provider = reader.plain()?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let kind = match say.as_deref() {
        Some("api_req_started" | "api_req_finished") => Kind::Request,
        Some("subagent_usage") => Kind::Subagents,
        Some("deleted_api_reqs") => Kind::Removed,
        Some("condense_context") if condensing.is_some_and(|cost| cost > Pico::ZERO) => Kind::Condensed,
        _ => return Ok((at_ms, None)),
    };
    let Some(said_ms) = at_ms else {
        return Err(Problem("a request without ts".into()));
    };
    let text = text.unwrap_or_default();
    let usage = if kind == Kind::Condensed {
        Usage {
            cost: condensing,
            ..Usage::default()
        }
    } else if text.trim_start().starts_with('{') {
        usage(&mut Reader::new(text.as_bytes()), kind)?
    } else {
        // The very first one may not be JSON yet.
        return Ok((at_ms, None));
    };
    let order = order(!model.is_empty(), usage.cost.is_some(), text.as_bytes());
    let message = Message {
        kind,
        at_ms: said_ms,
        model,
        provider,
        usage,
        offset: 0,
        order,
    };
    Ok((at_ms, Some(message)))
}

/// Milliseconds since the epoch, which some that were made from it write as a date.
fn said_at(reader: &mut Reader<'_>) -> Result<Option<i64>, Problem> {
    let raw = reader.raw()?;
    if let Some(at_ms) = Reader::new(raw).text()?.as_deref().and_then(instant) {
        return Ok(Some(at_ms));
    }
    let ms = Reader::new(raw).count_up_to("ts", i64::MAX.cast_unsigned())?;
    Ok(ms.and_then(|ms| i64::try_from(ms).ok()))
}

fn usage(reader: &mut Reader<'_>, kind: Kind) -> Result<Usage, Problem> {
    let mut usage = Usage::default();
    let most = if kind == Kind::Request {
        tokmon_core::limits::MAX_TOKENS_PER_CALL
    } else {
        MAX_SUM
    };
    reader.object(|reader, key| {
        let (field, at) = match key {
            b"tokensIn" => ("tokensIn", 0),
            b"tokensOut" => ("tokensOut", 1),
            b"cacheReads" => ("cacheReads", 2),
            b"cacheWrites" => ("cacheWrites", 3),
            b"cost" => {
                usage.cost = cost(reader)?;
                return Ok(());
            }
            b"apiProtocol" => {
                usage.protocol = reader.text()?.is_some();
                return Ok(());
            }
            b"cancelReason" => {
                usage.failed = reader.text()?.is_some();
                return Ok(());
            }
            _ => return reader.skip(),
        };
        usage.counts[at] = reader.count_up_to(field, most)?.unwrap_or(0);
        Ok(())
    })?;
    Ok(usage)
}

fn book(message: &Message, task: &Task, notes: &mut Notes<'_>) {
    let tokens = tokens(message.usage.counts);
    if tokens.total() == 0 && message.usage.cost.is_none() {
        return;
    }
    let said_at = message.at_ms.to_string();
    let what = message.kind.name();
    let key = Key::new(
        Key::day_of(message.at_ms),
        &["cline-task", notes.agent, what, &task.root, &said_at],
    );
    let knows_model = !message.model.is_empty();
    let mut seen = notes.call(key, message.at_ms, &task.name, &message.model);
    if !message.provider.is_empty() {
        seen.provider = notes.names.get(&message.provider);
    }
    task.workspace.tell(&mut seen, notes);
    if message.kind == Kind::Subagents {
        seen.place = subagent("subagents");
        seen.kind = CallKind::Several;
    }
    if message.kind == Kind::Condensed {
        // It counts with the money that it was told in.
        (seen.kind, seen.confidence) = (CallKind::Several, Confidence::Estimated);
    }
    seen.tokens = tokens;
    seen.reported_cost = message.usage.cost;
    seen.failed = message.usage.failed;
    seen.line_hash = message.order | u64::from(knows_model) << 62;
    seen.source.offset = message.offset;
    notes.book(seen);
}
