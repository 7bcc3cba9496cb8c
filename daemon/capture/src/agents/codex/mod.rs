//! Codex rollouts: `sessions/**/rollout-*.jsonl` and their archived or compressed copies.
//!
//! Figures come as cumulative totals with the last call's share (`token_count`), sent again whenever something else
//! changes, and in newer versions as one `token_usage_record` for each response. A call is booked once: by its
//! response id, or by its thread and the cumulative total that it led to.

mod line;
mod quota;
mod replay;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use tokmon_core::Name;
use tokmon_core::id::Key;
use tokmon_core::limits::MAX_TOKENS_PER_CALL;
use tokmon_core::observation::{Attribution, Confidence, Observation, Place, Provenance, Tier};
use tokmon_core::tokens::Tokens;

use self::line::{Body, Counts, Line};
use self::replay::{Replay, Sign};
use super::json::Problem;
use super::lines::{LineParser, restore, save};
use super::values::{Names, hash, id, uuid_v7_ms};
use super::{Form, Format, Found, Origin, Reading};
use crate::roots::Places;

/// Live and archived rollouts.
pub(super) const FORMAT: Format = Format {
    name: "codex",
    version: 3,
    places,
    forms: &[
        Form {
            files: "**/*.jsonl",
            kind: KIND,
            read: Reading::Lines(open),
        },
        Form {
            files: "**/*.jsonl.zst",
            kind: KIND,
            read: Reading::Lines(open),
        },
    ],
};

const KIND: &str = "codex-rollout";

/// `CODEX_HOME` is a list, too.
fn places(at: &Places<'_>) -> Vec<PathBuf> {
    let dirs = at.list_or_home("CODEX_HOME", ".codex").into_iter();
    dirs.flat_map(|dir| [dir.join("sessions"), dir.join("archived_sessions")])
        .collect()
}

/// The model of calls in a rollout that names none, as Codex's default was when it still wrote such files.
const FALLBACK_MODEL: &str = "gpt-5";
/// A response's record and its `token_count` are written this close together.
const SAME_CALL_MS: i64 = 30_000;
/// Calls that still wait for their other telling: records for a `token_count`, or the other way round.
const PENDING: usize = 8;

/// What lines of interest hold; in text inside a string the quotes are escaped.
static NEEDLES: LazyLock<[Finder<'static>; 5]> = LazyLock::new(|| {
    [
        "\"token_",
        "\"turn_context\"",
        "\"session_meta\"",
        "\"task_started\"",
        "_call\"",
    ]
    .map(Finder::new)
});

/// Reads one rollout.
#[derive(Debug)]
struct Parser {
    origin: Origin,
    names: Names,
    saved: Saved,
}

/// What is kept between two reads of a growing file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    /// The file's own thread.
    thread: Option<Name>,
    /// The thread that it was forked from or spawned by.
    parent: Option<Name>,
    subagent: bool,
    created_ms: Option<i64>,
    provider: Option<Name>,
    project: Option<Name>,
    branch: Option<Name>,
    commit: Option<Name>,
    /// What kind of subagent it is.
    role: Option<Name>,
    model: Option<Name>,
    tier: Option<Name>,
    replay: Replay,
    last_ms: Option<i64>,
    /// The latest cumulative total, and how often it has begun anew.
    total: Option<Counts>,
    resets: u32,
    /// The first tool call since the last booked call, and its hash.
    tool: Option<(Name, u64)>,
    /// Booked by their record; the matching `token_count` is still to come.
    pending: Vec<(Counts, i64)>,
    /// The thread has booked a call of its own.
    worked: bool,
    /// Booked by their `token_count`; the matching record may be still to come.
    counted: Vec<(Counts, i64)>,
}

pub(super) fn open(state: &[u8], origin: Origin) -> Box<dyn LineParser> {
    let saved = restore(state);
    Box::new(Parser {
        origin,
        names: Names::default(),
        saved,
    })
}

impl LineParser for Parser {
    fn state(&self, _: i64) -> Vec<u8> {
        save(&self.saved)
    }

    fn line(&mut self, bytes: &[u8], offset: u64, found: &mut Found) -> Result<(), Problem> {
        // In a replay the time of every line counts.
        if !self.saved.replay.active && NEEDLES.iter().all(|needle| needle.find(bytes).is_none()) {
            return Ok(());
        }
        let line = line::parse(bytes)?;
        let at_ms = line.at_ms.or(self.saved.last_ms).unwrap_or(self.origin.mtime_ms);
        let kind = match line.outer.as_deref() {
            Some("event_msg" | "response_item") => line.inner.as_deref().unwrap_or_default(),
            outer => outer.unwrap_or_default(),
        };
        if self.saved.replay.active && kind != "session_meta" {
            self.look_for_the_end(kind, &line, at_ms);
        }
        match kind {
            "session_meta" => self.meta(&line.body),
            "turn_context" => self.context(&line.body),
            "token_count" => self.token_count(&line.body, at_ms, offset, found),
            "token_usage_record" => self.record(&line.body, at_ms, offset, found),
            kind if kind.ends_with("_call") => self.tool_call(kind, &line.body),
            _ => {}
        }
        self.saved.last_ms = Some(at_ms);
        Ok(())
    }
}

impl Parser {
    fn look_for_the_end(&mut self, kind: &str, line: &Line<'_>, at_ms: i64) {
        let turn = matches!(kind, "turn_context" | "task_started");
        self.saved.replay.look(Sign {
            at_ms,
            before_ms: self.saved.last_ms,
            created_ms: self.saved.created_ms,
            turn,
            turn_ms: line.body.turn.as_deref().and_then(uuid_v7_ms),
        });
        if !self.saved.replay.active {
            self.saved.tool = None;
        }
    }

    /// The first one is the thread's own; others are its ancestors', copied.
    fn meta(&mut self, body: &Body<'_>) {
        let id = body
            .id
            .as_deref()
            .or(body.session.as_deref())
            .filter(|id| !id.is_empty());
        if let Some(own) = &self.saved.thread
            && id.is_some_and(|id| id != &**own)
        {
            // Once the thread has worked for itself, nothing is replayed any more.
            if !self.saved.worked {
                let ancestor = id.map(|id| self.names.get(id));
                self.saved.parent = self.saved.parent.take().or(ancestor);
                self.saved.replay.begin(true);
            }
            return;
        }
        let first = self.saved.thread.is_none();
        let thread = self.names.get(id.unwrap_or_else(|| own_name(&self.origin)));
        let saved = &mut self.saved;
        if let Some(cwd) = body.cwd.as_deref() {
            saved.project = Some(self.names.get(cwd));
        }
        for (to, text) in [
            (&mut saved.branch, &body.branch),
            (&mut saved.commit, &body.commit),
            (&mut saved.role, &body.role),
        ] {
            if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
                *to = Some(self.names.get(text));
            }
        }
        if let Some(provider) = body.provider.as_deref() {
            saved.provider = Some(self.names.get(provider));
        }
        if let Some(tier) = body.tier.as_deref() {
            saved.tier = Some(self.names.get(tier));
        }
        if first {
            saved.created_ms = uuid_v7_ms(&thread).or(body.created_ms);
            let parent = body.forked_from.as_deref().or(body.parent.as_deref());
            saved.parent = parent
                .filter(|parent| !parent.is_empty() && **parent != *thread)
                .map(|parent| self.names.get(parent));
            saved.subagent = body.subagent;
            saved.thread = Some(thread);
            if saved.parent.is_some() || saved.subagent {
                saved.replay.begin(
                    body.forked_from
                        .as_deref()
                        .is_some_and(|parent| !parent.is_empty()),
                );
            }
        }
    }

    fn context(&mut self, body: &Body<'_>) {
        if let Some(model) = body.model.as_deref().filter(|model| !model.is_empty()) {
            self.saved.model = Some(self.names.get(model));
        }
        if self.saved.replay.active {
            return;
        }
        if let Some(cwd) = body.cwd.as_deref().filter(|cwd| !cwd.is_empty()) {
            self.saved.project = Some(self.names.get(cwd));
        }
        if let Some(tier) = body.tier.as_deref() {
            self.saved.tier = Some(self.names.get(tier));
        }
    }

    fn tool_call(&mut self, kind: &str, body: &Body<'_>) {
        if self.saved.tool.is_none() && !self.saved.replay.active {
            // "local_shell_call" and its like have no name; their type is one.
            let name = body
                .name
                .as_deref()
                .unwrap_or_else(|| kind.trim_end_matches("_call"));
            self.saved.tool = Some((self.names.get(name), body.request_hash));
        }
    }

    fn token_count(&mut self, body: &Body<'_>, at_ms: i64, offset: u64, found: &mut Found) {
        quota::limits(body, at_ms, &self.origin, found);
        let (total, last) = (body.total, body.last.filter(|last| !last.is_zero()));
        let before = self.saved.total;
        if total.is_none() && last.is_none() || total.is_some() && total == before {
            // Only rate limits, or the same figures once more.
            return;
        }
        let anew = before
            .zip(total)
            .is_some_and(|(before, total)| total.is_below(before));
        let base = if anew {
            Counts::default()
        } else {
            before.unwrap_or_default()
        };
        let share = match (last, total) {
            (Some(last), _) => last,
            // What a fork's total began with is its parent's, and nothing says how much that is.
            (None, Some(total)) if before.is_none() && self.saved.parent.is_some() => {
                self.saved.total = Some(total);
                return;
            }
            (None, total) => total.unwrap_or_default().minus(base),
        };
        self.saved.total = Some(total.unwrap_or_else(|| base.plus(share)));
        self.saved.resets += u32::from(anew);
        if self.saved.replay.active {
            self.saved.replay.skip();
            return;
        }
        if let Some(at) = told_before(&self.saved.pending, share, at_ms) {
            self.saved.pending.drain(..=at);
            return;
        }
        if share.is_zero() {
            return;
        }
        let reached = self.saved.total.unwrap_or_default();
        self.saved.replay.test(reached == share);
        let thread = self.thread();
        // After a doubtful end the parent's own file may tell of the same call: one key for both.
        let owner = self
            .saved
            .parent
            .clone()
            .filter(|_| self.saved.replay.doubtful)
            .unwrap_or(thread);
        let tuple = format!(
            "{}/{}/{}/{}/{}/{}",
            self.saved.resets,
            reached.input,
            reached.cached,
            reached.cache_write,
            reached.output,
            reached.reasoning
        );
        let key = Key::new(day(&owner), &["codex-total", &owner, &tuple]);
        wait_for_the_other(&mut self.saved.counted, share, at_ms);
        self.book(key, share, body, at_ms, offset, found);
    }

    fn record(&mut self, body: &Body<'_>, at_ms: i64, offset: u64, found: &mut Found) {
        let Some(usage) = body.usage.filter(|usage| !usage.is_zero()) else {
            return;
        };
        let own = self.thread();
        let thread = body.thread.as_deref().unwrap_or(&own);
        if thread == &*own {
            self.saved.replay.end();
        } else if self.saved.parent.is_some() {
            // A copy of the parent's record.
            return;
        }
        if let Some(at) = told_before(&self.saved.counted, usage, at_ms) {
            // Its `token_count` came first and has booked the call.
            self.saved.counted.drain(..=at);
            return;
        }
        let key = match body.response.as_deref().filter(|response| !response.is_empty()) {
            Some(response) => Key::new(day(thread), &["codex-response", thread, response]),
            None => Key::new(
                day(thread),
                &["codex-record", thread, &format!("{at_ms} {usage:?}")],
            ),
        };
        wait_for_the_other(&mut self.saved.pending, usage, at_ms);
        self.book(key, usage, body, at_ms, offset, found);
    }

    fn thread(&mut self) -> Name {
        match &self.saved.thread {
            Some(thread) => thread.clone(),
            None => {
                let thread = self.names.get(own_name(&self.origin));
                self.saved.thread = Some(thread.clone());
                thread
            }
        }
    }

    fn book(
        &mut self,
        key: Key,
        counts: Counts,
        body: &Body<'_>,
        at_ms: i64,
        offset: u64,
        found: &mut Found,
    ) {
        let cached = counts.cached.min(counts.input);
        let written = counts.cache_write.min(counts.input - cached);
        let tokens = Tokens {
            input: counts.input - cached - written,
            output: counts.output,
            reasoning: counts.reasoning.min(counts.output),
            cache_read: cached,
            cache_write_5m: written,
            ..Tokens::default()
        };
        if tokens.to_array().iter().any(|count| *count > MAX_TOKENS_PER_CALL) {
            return found.fail(
                offset,
                format!("one call of more than {MAX_TOKENS_PER_CALL} tokens"),
            );
        }
        self.saved.worked = true;
        let thread = self.thread();
        let names = &mut self.names;
        let nameless = names.get("");
        let model = body
            .model
            .as_deref()
            .filter(|model| !model.is_empty())
            .map(|model| names.get(model));
        let model = model.or_else(|| self.saved.model.clone());
        let tier = body.tier.as_deref().or(self.saved.tier.as_deref());
        let (tool, request_hash) = self.saved.tool.take().unwrap_or((nameless.clone(), 0));
        let place = Place {
            branch: self.saved.branch.clone().unwrap_or_default(),
            commit: self.saved.commit.clone().unwrap_or_default(),
            subagent: self.saved.role.clone().unwrap_or_default(),
            mcp_server: names.mcp_server(&tool),
            ..Place::default()
        };
        let place = names.place(place);
        found.observations.push(Observation {
            key,
            at_ms,
            who: Attribution {
                agent: names.get(FORMAT.name),
                session: thread.clone(),
                project: self.saved.project.clone().unwrap_or(nameless),
                user: self.origin.user.clone(),
                tool,
                context: None,
            },
            provider: self.saved.provider.clone().unwrap_or_else(|| names.get("openai")),
            tokens,
            tier: match tier {
                Some("priority" | "fast") => Tier::Priority,
                Some("flex") => Tier::Flex,
                Some("batch") => Tier::Batch,
                _ => Tier::Standard,
            },
            // The tokens are exact either way; what they cost depends on a guess.
            confidence: if model.is_some() {
                Confidence::Reported
            } else {
                Confidence::Estimated
            },
            model: model.unwrap_or_else(|| names.get(FALLBACK_MODEL)),
            sidechain: self.saved.subagent,
            line_hash: hash(&[
                thread.as_bytes(),
                &at_ms.to_le_bytes(),
                &counts.output.to_le_bytes(),
            ]),
            request_hash,
            request_id: id(body.response.as_deref().unwrap_or_default()),
            place,
            source: Provenance {
                kind: names.get(KIND),
                path: self.origin.path.clone(),
                offset,
                lines: 1,
            },
            ..Observation::default()
        });
    }
}

/// Which of the calls that wait is told of here once more.
fn told_before(waiting: &[(Counts, i64)], counts: Counts, at_ms: i64) -> Option<usize> {
    waiting
        .iter()
        .position(|(known, booked_ms)| *known == counts && (at_ms - booked_ms).abs() <= SAME_CALL_MS)
}

fn wait_for_the_other(waiting: &mut Vec<(Counts, i64)>, counts: Counts, at_ms: i64) {
    if waiting.len() >= PENDING {
        waiting.remove(0);
    }
    waiting.push((counts, at_ms));
}

/// The day that a thread began, where its id tells: the same in every copy.
fn day(thread: &str) -> u32 {
    uuid_v7_ms(thread).map_or(0, Key::day_of)
}

/// The thread's id as the file's name has it at its end, else the whole name.
fn own_name(origin: &Origin) -> &str {
    let stem = origin.stem();
    let id = stem.len().checked_sub(36).and_then(|at| stem.get(at..));
    id.filter(|id| id.bytes().filter(|byte| *byte == b'-').count() == 4)
        .unwrap_or(stem)
}
