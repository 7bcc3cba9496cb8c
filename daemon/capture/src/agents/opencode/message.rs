//! One message: the same JSON in a document of its own and in a database's column.

use tokmon_core::money::Pico;
use tokmon_core::tokens::Tokens;

use super::{Session, book};
use crate::agents::Notes;
use crate::agents::json::{Problem, Reader};
use crate::agents::values::cost;

/// A message that does not say when it was done, but began so long ago, is done.
const OPEN_MS: i64 = 60 * 60 * 1000;

/// A message of the assistant's.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) session: String,
    pub(super) provider: String,
    pub(super) model: String,
    /// Which of its agents wrote it: "build", "plan", "explore".
    pub(super) agent: String,
    /// The directory it worked in; its repository's, where that is said.
    pub(super) root: String,
    pub(super) created_ms: Option<i64>,
    pub(super) completed_ms: Option<i64>,
    pub(super) tokens: Tokens,
    /// `None` where the agent knows none: it writes 0 for subscriptions.
    pub(super) cost: Option<Pico>,
    pub(super) failed: bool,
}

impl Message {
    /// Reads a message. `None`: it is not the assistant's.
    pub(super) fn parse(text: &[u8]) -> Result<Option<Message>, Problem> {
        let (mut message, mut answered) = (Message::default(), false);
        let mut reader = Reader::new(text);
        let is_object = reader.object(|reader, key| {
            match key {
                b"role" => answered = reader.text()?.is_some_and(|role| role == "assistant"),
                b"sessionID" => message.session = reader.plain()?,
                b"providerID" => message.provider = reader.plain()?,
                b"modelID" => message.model = reader.plain()?,
                b"model" => {
                    reader.object(|reader, key| {
                        match key {
                            b"providerID" => message.provider = reader.plain()?,
                            b"modelID" | b"id" => message.model = reader.plain()?,
                            _ => reader.skip()?,
                        }
                        Ok(())
                    })?;
                }
                b"agent" => message.agent = reader.plain()?,
                b"mode" if message.agent.is_empty() => message.agent = reader.plain()?,
                b"path" => message.path(reader)?,
                b"time" => message.time(reader)?,
                b"cost" => message.cost = cost(reader)?,
                b"error" => message.failed = reader.raw()? != b"null",
                b"tokens" => message.usage(reader)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.end()?;
        if !is_object {
            return Err(Problem("not a JSON object".into()));
        }
        // Reasoning is counted beside the answer.
        let tokens = &mut message.tokens;
        tokens.output = tokens.output.saturating_add(tokens.reasoning);
        Ok(answered.then_some(message))
    }

    fn path(&mut self, reader: &mut Reader<'_>) -> Result<(), Problem> {
        let (mut cwd, mut root) = (String::new(), String::new());
        reader.object(|reader, key| {
            match key {
                b"cwd" => cwd = reader.plain()?,
                b"root" => root = reader.plain()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        // Outside of a repository the root is the file system's.
        self.root = if root.len() > 1 { root } else { cwd };
        Ok(())
    }

    fn time(&mut self, reader: &mut Reader<'_>) -> Result<(), Problem> {
        reader.object(|reader, key| {
            let instant = match key {
                b"created" => &mut self.created_ms,
                b"completed" => &mut self.completed_ms,
                _ => return reader.skip(),
            };
            let ms = reader.count_up_to("time", u64::MAX >> 1)?;
            *instant = ms.and_then(|ms| i64::try_from(ms).ok());
            Ok(())
        })?;
        Ok(())
    }

    fn usage(&mut self, reader: &mut Reader<'_>) -> Result<(), Problem> {
        let tokens = &mut self.tokens;
        reader.object(|reader, key| {
            match key {
                b"input" => tokens.input = reader.count("tokens.input")?.unwrap_or(0),
                b"output" => tokens.output = reader.count("tokens.output")?.unwrap_or(0),
                b"reasoning" => tokens.reasoning = reader.count("tokens.reasoning")?.unwrap_or(0),
                b"cache" => {
                    reader.object(|reader, key| {
                        match key {
                            b"read" => tokens.cache_read = reader.count("tokens.cache.read")?.unwrap_or(0),
                            b"write" => {
                                tokens.cache_write_5m = reader.count("tokens.cache.write")?.unwrap_or(0)
                            }
                            _ => reader.unknown(key)?,
                        }
                        Ok(())
                    })?;
                }
                _ => reader.unknown(key)?,
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Whether its figures are final: they grow while it is being written.
    pub(super) fn is_done(&self, now_ms: i64) -> bool {
        let old = self
            .created_ms
            .is_none_or(|created| created < now_ms.saturating_sub(OPEN_MS));
        !self.may_change() || old
    }

    /// Whether its row may still change: also after a long time, for a machine may have slept in the middle of it.
    pub(super) fn may_change(&self) -> bool {
        self.completed_ms.is_none() && !self.failed
    }

    /// Whether there is anything to count.
    pub(super) fn counts(&self) -> bool {
        self.tokens.total() > 0 || self.cost.is_some()
    }
}

/// Reads a message that is a document of its own.
pub(super) fn read(bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), Problem> {
    let Some(mut message) = Message::parse(bytes)? else {
        return Ok(());
    };
    if message.session.is_empty() {
        message.session = notes.origin.folder(1).to_owned();
    }
    if message.is_done(notes.now_ms) && message.counts() {
        book(message, &Session::default(), 0, notes);
    }
    Ok(())
}
