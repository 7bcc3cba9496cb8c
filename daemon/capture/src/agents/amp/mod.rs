//! Amp's threads: `threads/T-*.json`, one document for each, rewritten as the thread goes on.
//!
//! What a call used stands in the message that it gave, and in a ledger of events that name the message: of the oldest
//! versions there only, with the cache's share in the message alone. An event comes later than its message, or never, so
//! a call is known by its message and by when the thread's first was sent, which a forked thread keeps; where that is not
//! said, by its time. The thread's own id a fork does not keep. A credit is a cent.
//!
//! Events tell of what no message came of, too: titles, tools that ask models, and subagents, which are passed over where
//! they have threads of their own.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokmon_core::id::Key;
use tokmon_core::money::Pico;
use tokmon_core::observation::Place;
use tokmon_core::tokens::Tokens;

use super::json::{Problem, Reader};
use super::notes::Notes;
use super::values::{cost, instant, moment};
use super::{Form, Format, Reading};
use crate::roots::Places;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "amp",
    version: 3,
    places,
    forms: &[Form {
        files: "T-*.json",
        kind: "amp-thread",
        read: Reading::Document(read),
    }],
};

fn places(at: &Places<'_>) -> Vec<PathBuf> {
    let data = at.var("AMP_DATA_DIR").unwrap_or_else(|| at.data().join("amp"));
    vec![data.join("threads")]
}

type Text<'a> = Option<Cow<'a, str>>;

/// One telling of a call: a message's usage, or an event.
#[derive(Debug, Default, Clone)]
struct Call<'a> {
    offset: u64,
    /// The message, by number or text as it is written.
    message: String,
    event: Text<'a>,
    at: Text<'a>,
    model: Text<'a>,
    tokens: Tokens,
    cost: Option<Pico>,
    /// What asked, if it was not the thread itself.
    by: String,
    /// The thread of the subagent that asked.
    of: String,
    /// When the user's message before it was sent, milliseconds.
    sent_ms: Option<i64>,
}

#[derive(Default)]
struct Thread<'a> {
    id: Text<'a>,
    project: Text<'a>,
    place: Place,
    messages: Vec<Call<'a>>,
    events: Vec<Call<'a>>,
    /// When its first message was sent, milliseconds.
    begun_ms: Option<i64>,
    /// It is a subagent's.
    is_child: bool,
}

/// What asks for a title.
const TITLE: &str = "title-generation";
/// Credits are cents.
const CREDITS_A_DOLLAR: i128 = 100;

fn credits(reader: &mut Reader<'_>) -> Result<Option<Pico>, Problem> {
    Ok(cost(reader)?.map(|credits| Pico(credits.0 / CREDITS_A_DOLLAR)))
}

fn read(bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), Problem> {
    let mut thread = Thread::default();
    let mut reader = Reader::new(bytes);
    let is_object = reader.object(|reader, key| {
        match key {
            b"id" => thread.id = reader.text()?,
            b"messages" => {
                let (mut first, mut latest) = (None, None);
                calls(reader, notes, &mut thread.messages, |reader| {
                    let (sent_ms, call) = message(reader)?;
                    latest = sent_ms.or(latest);
                    first = first.or(sent_ms);
                    Ok(call.map(|call| Call {
                        sent_ms: latest,
                        ..call
                    }))
                })?;
                thread.begun_ms = first;
            }
            b"mainThreadID" => thread.is_child = !reader.plain()?.is_empty(),
            b"usageLedger" => {
                reader.object(|reader, key| match key {
                    b"events" => calls(reader, notes, &mut thread.events, event),
                    _ => reader.skip(),
                })?;
            }
            b"env" => environment(reader, &mut thread)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    if !is_object {
        return Err(Problem("not a JSON object".into()));
    }
    book(thread, notes);
    Ok(())
}

/// Reads each element of a list on its own, so that a broken one costs only itself.
fn calls<'a>(
    reader: &mut Reader<'a>,
    notes: &mut Notes<'_>,
    into: &mut Vec<Call<'a>>,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<Option<Call<'a>>, Problem>,
) -> Result<(), Problem> {
    into.clear();
    reader.array(|reader| {
        let offset = reader.next_position()? as u64;
        match one(&mut Reader::new(reader.raw()?)) {
            Ok(call) => into.extend(call.map(|call| Call { offset, ..call })),
            Err(problem) => notes.fail(offset, problem.0),
        }
        Ok(())
    })
}

/// When a message was sent, if it says so, and the call that gave it.
fn message<'a>(reader: &mut Reader<'a>) -> Result<(Option<i64>, Option<Call<'a>>), Problem> {
    let (mut call, mut used, mut answered, mut done) = (Call::default(), false, true, true);
    let mut sent_ms = None;
    reader.object(|reader, key| {
        match key {
            b"messageId" => call.message = reader.plain()?,
            b"role" => answered = reader.text()?.is_none_or(|role| role == "assistant"),
            b"model" => call.model = call.model.take().or(reader.text()?),
            b"timestamp" => call.at = call.at.take().or(reader.text()?),
            b"state" => {
                reader.object(|reader, key| {
                    match key {
                        // Its figures are not the last.
                        b"type" => done = reader.text()?.is_none_or(|state| state != "streaming"),
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            b"meta" => {
                reader.object(|reader, key| {
                    match key {
                        b"sentAt" => sent_ms = moment(reader)?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            b"usage" => {
                used = reader.object(|reader, key| {
                    let tokens = &mut call.tokens;
                    match key {
                        b"model" => call.model = reader.text()?.or(call.model.take()),
                        b"timestamp" => call.at = reader.text()?.or(call.at.take()),
                        b"inputTokens" => tokens.input = reader.count("inputTokens")?.unwrap_or(0),
                        b"outputTokens" => tokens.output = reader.count("outputTokens")?.unwrap_or(0),
                        b"cacheReadInputTokens" => {
                            tokens.cache_read = reader.count("cacheReadInputTokens")?.unwrap_or(0);
                        }
                        b"cacheCreationInputTokens" => {
                            tokens.cache_write_5m = reader.count("cacheCreationInputTokens")?.unwrap_or(0);
                        }
                        b"credits" => call.cost = credits(reader)?,
                        b"creditsSinceLastUserMessage"
                        | b"thinkingBudget"
                        | b"maxInputTokens"
                        | b"totalInputTokens" => reader.skip()?,
                        _ => reader.unknown(key)?,
                    }
                    Ok(())
                })?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok((sent_ms, (used && answered && done).then_some(call)))
}

fn event<'a>(reader: &mut Reader<'a>) -> Result<Option<Call<'a>>, Problem> {
    let mut call = Call::default();
    let is_object = reader.object(|reader, key| {
        match key {
            b"id" => call.event = reader.text()?,
            b"timestamp" => call.at = reader.text()?,
            b"model" => call.model = reader.text()?,
            b"credits" => call.cost = credits(reader)?,
            b"toMessageId" => call.message = reader.plain()?,
            b"operationType" => call.by = reader.plain()?,
            b"subagentThreadID" => call.of = reader.plain()?,
            b"tokens" => {
                reader.object(|reader, key| {
                    let tokens = &mut call.tokens;
                    match key {
                        b"input" => tokens.input = reader.count("tokens.input")?.unwrap_or(0),
                        b"output" => tokens.output = reader.count("tokens.output")?.unwrap_or(0),
                        b"cacheReadInputTokens" => {
                            tokens.cache_read = reader.count("cacheReadInputTokens")?.unwrap_or(0);
                        }
                        b"cacheCreationInputTokens" => {
                            tokens.cache_write_5m = reader.count("cacheCreationInputTokens")?.unwrap_or(0);
                        }
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    match &*call.by {
        "" | "inference" => call.by.clear(),
        // The message that it names is the one that used the tool.
        _ => call.message.clear(),
    }
    Ok(is_object.then_some(call))
}

/// The first directory of the workspace that the thread began in, its branch and its commit.
fn environment<'a>(reader: &mut Reader<'a>, thread: &mut Thread<'a>) -> Result<(), Problem> {
    let mut first = true;
    reader.object(|reader, key| {
        if key != b"initial" {
            return reader.skip();
        }
        reader.object(|reader, key| {
            if key != b"trees" {
                return reader.skip();
            }
            reader.array(|reader| match std::mem::take(&mut first) {
                true => tree(reader, thread),
                false => reader.skip(),
            })
        })?;
        Ok(())
    })?;
    Ok(())
}

fn tree<'a>(reader: &mut Reader<'a>, thread: &mut Thread<'a>) -> Result<(), Problem> {
    reader.object(|reader, key| {
        match key {
            b"uri" => thread.project = reader.text()?,
            b"repository" => {
                reader.object(|reader, key| {
                    match key {
                        b"ref" => {
                            let name = reader.plain()?;
                            thread.place.branch = name.strip_prefix("refs/heads/").unwrap_or(&name).into();
                        }
                        b"sha" => thread.place.commit = reader.plain()?.into(),
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(())
}

fn book(thread: Thread<'_>, notes: &mut Notes<'_>) {
    let file = notes.origin.name_without(".json");
    let id = thread
        .id
        .as_deref()
        .filter(|id| !id.is_empty())
        .unwrap_or(file)
        .to_owned();
    let project = thread.project.as_deref().unwrap_or_default();
    let project = project.strip_prefix("file://").unwrap_or(project);
    let place = (thread.place != Place::default()).then(|| Arc::new(thread.place));
    // What a message says itself is the better record; an event for it only adds what it does not say.
    let mut calls = thread.messages;
    let by_message: HashMap<String, usize> = calls
        .iter()
        .enumerate()
        .filter(|(_, call)| !call.message.is_empty())
        .map(|(at, call)| (call.message.clone(), at))
        .collect();
    for event in thread.events {
        match by_message.get(&event.message).map(|at| &mut calls[*at]) {
            Some(call) => {
                if call.tokens.input == 0 && call.tokens.output == 0 {
                    (call.tokens.input, call.tokens.output) = (event.tokens.input, event.tokens.output);
                }
                // The event had the time and the model first.
                call.at = event.at.or(call.at.take());
                call.model = call.model.take().or(event.model);
                call.cost = call.cost.or(event.cost);
            }
            // A subagent's calls stand in its own thread.
            None if !event.of.is_empty() => {}
            None => calls.push(event),
        }
    }
    for call in calls {
        if call.tokens.total() == 0 {
            continue;
        }
        let own = if call.message.is_empty() {
            call.event.as_deref().unwrap_or_default()
        } else {
            &call.message
        };
        let at_ms = call.at.as_deref().and_then(instant);
        let figures = format!("{:?}", call.tokens.to_array());
        let key = match (thread.begun_ms, at_ms) {
            (Some(begun_ms), _) if !call.message.is_empty() => Key::new(
                Key::day_of(begun_ms),
                &["amp-message", &begun_ms.to_string(), own, &figures],
            ),
            (_, Some(at_ms)) => Key::new(Key::day_of(at_ms), &["amp-call", own, &at_ms.to_string()]),
            (_, None) => Key::new(0, &["amp-message", &id, own, &figures]),
        };
        let at_ms = at_ms.or(call.sent_ms).unwrap_or(notes.origin.mtime_ms);
        let model = call.model.as_deref().unwrap_or_default();
        let mut seen = notes.call(key, at_ms, &id, model);
        seen.tokens = call.tokens;
        seen.reported_cost = call.cost;
        seen.place.clone_from(&place);
        let by = match &*call.by {
            "" if thread.is_child => "subagent",
            TITLE => "",
            by => by,
        };
        if !by.is_empty() {
            seen.sidechain = true;
            let place = place.as_deref().cloned().unwrap_or_default();
            seen.place = notes.names.place(Place {
                subagent: by.into(),
                ..place
            });
        }
        seen.who.project = notes.names.get(project);
        seen.source.offset = call.offset;
        notes.book(seen);
    }
}
