//! Claude Code's transcripts: `projects/**/*.jsonl`, one JSON object a line.
//!
//! A call is an `assistant` line with `message.usage`, or such a line of a subagent nested in a `progress` line.
//! Everything else (tool results that quote usage, summaries, snapshots) is not a call, whatever its text says.
//! Calls are known by `message.id`: request ids differ between replays and are missing behind gateways.

mod calls;
mod line;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use tokmon_core::Name;
use tokmon_core::id::Key;
use tokmon_core::limits::MAX_NAME_BYTES;

use self::calls::{Call, OpenCalls, tier_code};
use self::line::{Line, Message, Usage};
use super::json::{Problem, Reader};
use super::lines::{LineParser, restore, save};
use super::values::{Names, hash, reported_cost};
use super::{Form, Format, Found, Origin, Reading};
use crate::roots::Places;

/// Transcripts, and the sessions of the desktop app, each of which has a configuration directory of its own somewhere
/// below.
pub(super) const FORMAT: Format = Format {
    name: "claude-code",
    version: 4,
    places,
    forms: &[Form {
        files: "**/*.jsonl",
        kind: "claude-code-transcript",
        read: Reading::Lines(open),
    }],
};

/// Where Anthropic's desktop app keeps what its agents do.
const DESKTOP: &str = "Claude/local-agent-mode-sessions";

/// `CLAUDE_CONFIG_DIR` is a list of configuration directories or their `projects/`.
fn places(at: &Places<'_>) -> Vec<PathBuf> {
    let dirs = at.list("CLAUDE_CONFIG_DIR");
    if dirs.is_empty() {
        return vec![
            at.home.join(".claude/projects"),
            at.config().join("claude/projects"),
            at.app_data().join(DESKTOP),
        ];
    }
    let projects = |dir: PathBuf| match dir.file_name() == Some(OsStr::new("projects")) {
        true => dir,
        false => dir.join("projects"),
    };
    dirs.into_iter().map(projects).collect()
}

/// What every line of interest holds. In text inside a string the quotes are escaped, so it is not found there.
static NEEDLE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"usage\""));

/// Reads one transcript.
#[derive(Debug)]
struct Parser {
    origin: Origin,
    names: Names,
    /// The kind of the subagent whose file it is.
    subagent: Name,
    saved: Saved,
}

/// What is kept between two reads of a growing file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    /// The time of the latest line that had one.
    last_ms: Option<i64>,
    open: OpenCalls,
}

pub(super) fn open(state: &[u8], origin: Origin) -> Box<dyn LineParser> {
    let saved = restore(state);
    let mut names = Names::default();
    let subagent = names.get(&subagent(&origin));
    Box::new(Parser {
        origin,
        names,
        subagent,
        saved,
    })
}

/// Most of the note beside a subagent's file that is read.
const META_BYTES: usize = 64 * 1024;

/// The kind of subagent, which stands in a small file beside the subagent's own.
fn subagent(origin: &Origin) -> String {
    let mut kind = None;
    let stem = origin.stem();
    if stem.starts_with("agent-")
        && let Some(meta) = origin.beside(&format!("{stem}.meta.json"), META_BYTES)
    {
        // Broken, it names no kind.
        drop(Reader::new(&meta).object(|reader, key| {
            match key {
                b"agentType" => kind = reader.text()?.map(Cow::into_owned),
                _ => reader.skip()?,
            }
            Ok(())
        }));
    }
    kind.unwrap_or_default()
}

impl LineParser for Parser {
    fn state(&self, open_since_ms: i64) -> Vec<u8> {
        if !self.saved.open.any_since(open_since_ms) {
            return Vec::new();
        }
        save(&self.saved)
    }

    fn settle(&mut self, found: &mut Found) {
        self.saved.open.settle(&mut self.names, &self.origin, found);
    }

    fn line(&mut self, bytes: &[u8], offset: u64, found: &mut Found) -> Result<(), Problem> {
        if NEEDLE.find(bytes).is_none() {
            return Ok(());
        }
        let mut line = line::parse(bytes)?;
        if line.kind.as_deref() == Some("progress") {
            let Some(mut inner) = line.nested.take() else {
                return Ok(());
            };
            // The nested line belongs to a subagent of the session that the outer one names.
            inner.sidechain = true;
            inner.session = line.session.take().or(inner.session);
            inner.cwd = line.cwd.take().or(inner.cwd);
            inner.branch = line.branch.take().or(inner.branch);
            inner.at_ms = inner.at_ms.or(line.at_ms);
            if tells_of_a_call(&inner) {
                self.message_line(*inner, offset, found)?;
            }
            return Ok(());
        }
        if tells_of_a_call(&line) {
            return self.message_line(line, offset, found);
        }
        Ok(())
    }
}

impl Parser {
    fn message_line(&mut self, mut line: Line<'_>, offset: u64, found: &mut Found) -> Result<(), Problem> {
        let Some(mut message) = line.message.take() else {
            return Ok(());
        };
        let Some(usage) = message.usage.take() else {
            return Ok(());
        };
        if line.at_ms.is_some() {
            self.saved.last_ms = line.at_ms;
        }
        // The placeholder of an answer that never came.
        if message.model.as_deref() == Some("<synthetic>") {
            return Ok(());
        }
        let id = message.id.as_deref().unwrap_or_default();
        if id.len() > MAX_NAME_BYTES {
            return Err(Problem(format!(
                "message.id is longer than {MAX_NAME_BYTES} bytes"
            )));
        }
        let id = Name::from(id);
        let call = self.call(&line, &message, &usage, id.clone(), offset);
        if id.is_empty() {
            // Nothing says which lines belong together: each stands for itself.
            let uuid = line.uuid.as_deref().unwrap_or_default();
            let stand_in = format!("{} {:?}", call.at_ms, call.tokens.to_array());
            let own = if uuid.is_empty() { stand_in.as_str() } else { uuid };
            let key = Key::new(0, &["claude-line", &call.session, own]);
            found
                .observations
                .push(call.observation(key, &mut self.names, &self.origin));
            return Ok(());
        }
        for (position, model, tokens) in &usage.extra {
            let model = model
                .as_deref()
                .map_or_else(|| call.model.clone(), |model| self.names.get(model));
            let tool = self.names.get("");
            let part = Call {
                part: Some(*position),
                // Fast is how the call's own model answers; an adviser's keeps its pace.
                fast: call.fast && model == call.model,
                model,
                tokens: *tokens,
                cost: None,
                tool,
                request_hash: 0,
                request_id: Name::default(),
                visible: 0,
                stopped: true,
                ..call.clone()
            };
            self.saved.open.add(part, &mut self.names, &self.origin, found);
        }
        self.saved.open.add(call, &mut self.names, &self.origin, found);
        Ok(())
    }

    fn call(
        &mut self,
        line: &Line<'_>,
        message: &Message<'_>,
        usage: &Usage<'_>,
        id: Name,
        offset: u64,
    ) -> Call {
        let names = &mut self.names;
        let session = line.session.as_deref().filter(|session| !session.is_empty());
        let model = message.model.as_deref().filter(|model| !model.is_empty());
        let at_ms = line.at_ms.or(self.saved.last_ms).unwrap_or(self.origin.mtime_ms);
        let uuid = line.uuid.as_deref().unwrap_or_default();
        let figures = [
            usage.tokens.output.to_le_bytes(),
            usage.tokens.prompt().to_le_bytes(),
        ];
        Call {
            session: names.get(session.unwrap_or(self.origin.stem())),
            project: names.get(line.cwd.as_deref().unwrap_or_default()),
            skill: names.get(kept(line.skill.as_deref())),
            subagent: self.subagent.clone(),
            model: names.get(model.unwrap_or("unknown")),
            tool: names.get(message.tool.as_deref().unwrap_or_default()),
            line_hash: hash(&[
                id.as_bytes(),
                uuid.as_bytes(),
                &at_ms.to_le_bytes(),
                figures.as_flattened(),
            ]),
            id,
            part: None,
            at_ms,
            tokens: usage.tokens,
            tier: tier_code(usage.tier),
            fast: usage.fast,
            us_region: usage.us_region,
            cost: line.cost.and_then(reported_cost),
            failed: line.api_error,
            sidechain: line.sidechain,
            offset,
            request_hash: message.request_hash,
            visible: message.visible,
            stopped: message.stopped,
            lines: 1,
            told: None,
            request_id: kept(line.request.as_deref()).into(),
            branch: names.get(kept(line.branch.as_deref())),
        }
    }
}

/// A name that is worth keeping: a detached head is no branch, and what no ledger would take is nothing.
fn kept(name: Option<&str>) -> &str {
    name.filter(|name| name.len() <= MAX_NAME_BYTES && *name != "HEAD")
        .unwrap_or_default()
}

/// It is the model's; where the type is missing, the message's role says so.
fn tells_of_a_call(line: &Line<'_>) -> bool {
    let role = || line.message.as_ref().and_then(|message| message.role.as_deref());
    match line.kind.as_deref() {
        Some(kind) => kind == "assistant",
        None => role().is_none_or(|role| role == "assistant"),
    }
}
