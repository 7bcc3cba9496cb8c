//! A session of the command line: `sessions/<id>/<id>.messages.json`, rewritten as it goes on. What the session was and
//! where stands in `<id>.json` beside it, whose sums are not added: they are of these messages and of other sessions.
//!
//! Cline's extension keeps its sessions here, too, from its fourth version on. A task of an earlier one becomes a session
//! when the user goes on with it; its last answer then says what the whole task had used, of a provider that is unknown,
//! and a warning follows. The task's own file tells of these calls already.
//!
//! The input includes what was read from and written to the cache, whoever the provider is; of former versions it is less
//! than what was cached, and stands beside it.

use tokmon_core::id::Key;
use tokmon_core::money::Pico;
use tokmon_core::tokens::Tokens;

use super::model::order;
use crate::agents::Notes;
use crate::agents::json::{Problem, Reader};
use crate::agents::values::{cost, subagent};

/// Most that is read of what stands beside, in bytes.
const MANIFEST: usize = 256 * 1024;

/// What stands behind the messages of a task that became a session.
const WARNING: &[u8] = b"this is a legacy conversation, which means tool names may have changed";

/// An answer.
#[derive(Debug, Default)]
struct Message {
    id: String,
    at_ms: Option<i64>,
    answered: bool,
    model: String,
    provider: String,
    tokens: Tokens,
    cost: Option<Pico>,
    offset: u64,
}

/// Where a session was, and whose child.
#[derive(Debug, Default)]
struct Manifest {
    project: String,
    parent: String,
}

/// Reads a session.
pub(super) fn read(bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), Problem> {
    let mut messages = Vec::new();
    let mut reader = Reader::new(bytes);
    let is_object = reader.object(|reader, key| {
        if key != b"messages" {
            return reader.skip();
        }
        messages.clear();
        reader.array(|reader| {
            let offset = reader.next_position()? as u64;
            let raw = reader.raw()?;
            if memchr::memmem::find(raw, WARNING).is_some() {
                messages.retain(|message: &Message| !["", "unknown"].contains(&&*message.provider));
            }
            // Each on its own, so that a broken one costs only itself.
            match message(&mut Reader::new(raw)) {
                Ok(message) => messages.push(Message { offset, ..message }),
                Err(problem) => notes.fail(offset, problem.0),
            }
            Ok(())
        })
    })?;
    reader.end()?;
    if !is_object {
        return Err(Problem("not a JSON object".into()));
    }
    let session = notes.origin.name_without(".messages.json").to_owned();
    let manifest = notes.origin.beside(&format!("{session}.json"), MANIFEST);
    let manifest = manifest.map(|bytes| Manifest::read(&bytes)).unwrap_or_default();
    for message in messages {
        if message.answered && (message.tokens.total() > 0 || message.cost.is_some()) {
            book(message, &session, &manifest, notes);
        }
    }
    Ok(())
}

impl Manifest {
    /// What can be read of it.
    fn read(bytes: &[u8]) -> Manifest {
        let mut manifest = Manifest::default();
        drop(Reader::new(bytes).object(|reader, key| {
            match key {
                b"workspace_root" | b"workspaceRoot" => manifest.project = reader.plain()?,
                b"cwd" if manifest.project.is_empty() => manifest.project = reader.plain()?,
                b"parent_session_id" | b"parentSessionId" => manifest.parent = reader.plain()?,
                _ => reader.skip()?,
            }
            Ok(())
        }));
        manifest
    }
}

fn message(reader: &mut Reader<'_>) -> Result<Message, Problem> {
    let mut message = Message::default();
    reader.object(|reader, key| {
        match key {
            b"id" => message.id = reader.plain()?,
            b"ts" => {
                let ms = reader.count_up_to("ts", u64::MAX >> 1)?;
                message.at_ms = ms.and_then(|ms| i64::try_from(ms).ok());
            }
            b"role" => message.answered = reader.text()?.is_some_and(|role| role == "assistant"),
            b"modelInfo" => {
                reader.object(|reader, key| {
                    match key {
                        b"id" => message.model = reader.plain()?,
                        b"provider" => message.provider = reader.plain()?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            b"metrics" => {
                reader.object(|reader, key| {
                    let tokens = &mut message.tokens;
                    match key {
                        b"inputTokens" => tokens.input = reader.count("inputTokens")?.unwrap_or(0),
                        b"outputTokens" => tokens.output = reader.count("outputTokens")?.unwrap_or(0),
                        b"cacheReadTokens" => {
                            tokens.cache_read = reader.count("cacheReadTokens")?.unwrap_or(0)
                        }
                        b"cacheWriteTokens" => {
                            tokens.cache_write_5m = reader.count("cacheWriteTokens")?.unwrap_or(0);
                        }
                        b"cost" => message.cost = cost(reader)?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let tokens = &mut message.tokens;
    let cached = tokens.cache_read.saturating_add(tokens.cache_write_5m);
    tokens.input = tokens.input.checked_sub(cached).unwrap_or(tokens.input);
    Ok(message)
}

fn book(message: Message, session: &str, manifest: &Manifest, notes: &mut Notes<'_>) {
    // A session that was forked or resumed holds the same messages under its own name.
    let at_ms = message.at_ms.unwrap_or(notes.origin.mtime_ms);
    let key = match message.at_ms {
        Some(at_ms) => Key::new(
            Key::day_of(at_ms),
            &["cline-message", &message.id, &at_ms.to_string()],
        ),
        None => Key::new(0, &["cline-message-of", session, &message.id]),
    };
    let mut seen = notes.call(key, at_ms, session, &message.model);
    if !message.provider.is_empty() {
        seen.provider = notes.names.get(&message.provider);
    }
    seen.who.project = notes.names.get(&manifest.project);
    if !manifest.parent.is_empty() {
        seen.sidechain = true;
        seen.place = subagent("subagent");
    }
    seen.tokens = message.tokens;
    seen.line_hash = order(
        !message.model.is_empty(),
        message.cost.is_some(),
        message.id.as_bytes(),
    );
    seen.reported_cost = message.cost;
    seen.source.offset = message.offset;
    notes.book(seen);
}
