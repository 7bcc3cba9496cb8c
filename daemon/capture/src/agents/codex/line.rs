//! One line of a Codex rollout: the fields that tell of a call, borrowed from the line.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::agents::json::{Problem, Reader};
use crate::agents::values::{hash, instant};

type Text<'a> = Option<Cow<'a, str>>;

/// Token figures as Codex writes them: input includes what was read from and written to the cache, output includes
/// reasoning.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) cache_write: u64,
    pub(super) output: u64,
    pub(super) reasoning: u64,
}

impl Counts {
    fn zip(self, other: Counts, join: impl Fn(u64, u64) -> u64) -> Counts {
        Counts {
            input: join(self.input, other.input),
            cached: join(self.cached, other.cached),
            cache_write: join(self.cache_write, other.cache_write),
            output: join(self.output, other.output),
            reasoning: join(self.reasoning, other.reasoning),
        }
    }

    pub(super) fn plus(self, other: Counts) -> Counts {
        self.zip(other, u64::saturating_add)
    }

    pub(super) fn minus(self, other: Counts) -> Counts {
        self.zip(other, u64::saturating_sub)
    }

    pub(super) fn is_zero(self) -> bool {
        self.input == 0 && self.output == 0
    }

    /// A cumulative figure that is below an earlier one: counting began anew.
    pub(super) fn is_below(self, earlier: Counts) -> bool {
        self.input < earlier.input || self.output < earlier.output
    }
}

/// What a line says. `kind` is the inner type where there is one.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    pub(super) at_ms: Option<i64>,
    /// `session_meta`, `turn_context`, `event_msg`, …; in old, unwrapped lines the type itself.
    pub(super) outer: Text<'a>,
    /// `token_count`, `task_started`, `function_call`, …
    pub(super) inner: Text<'a>,
    pub(super) body: Body<'a>,
}

/// The fields of the payload, whatever its type.
#[derive(Debug, Default)]
pub(super) struct Body<'a> {
    pub(super) id: Text<'a>,
    pub(super) session: Text<'a>,
    pub(super) thread: Text<'a>,
    pub(super) forked_from: Text<'a>,
    pub(super) parent: Text<'a>,
    /// Spawned by another thread.
    pub(super) subagent: bool,
    /// What kind of subagent it is.
    pub(super) role: Text<'a>,
    pub(super) branch: Text<'a>,
    pub(super) commit: Text<'a>,
    pub(super) created_ms: Option<i64>,
    pub(super) cwd: Text<'a>,
    pub(super) provider: Text<'a>,
    pub(super) turn: Text<'a>,
    pub(super) model: Text<'a>,
    pub(super) tier: Text<'a>,
    pub(super) response: Text<'a>,
    pub(super) name: Text<'a>,
    /// Hash of a tool's name and arguments; 0: no tool call.
    pub(super) request_hash: u64,
    pub(super) total: Option<Counts>,
    pub(super) last: Option<Counts>,
    pub(super) usage: Option<Counts>,
    /// The provider's limits, two at most, and the subscription's name.
    pub(super) limits: [Option<Limit>; 2],
    pub(super) plan: Text<'a>,
    /// Which of the account's groups of limits it is.
    pub(super) limit_group: Text<'a>,
}

/// What the provider says of one limit.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Limit {
    pub(super) used_percent: f64,
    pub(super) window_minutes: u32,
    /// Seconds since 1970, or from the line's own time.
    pub(super) resets_at: i64,
    pub(super) resets_in: i64,
}

/// Reads a whole line.
pub(super) fn parse(bytes: &[u8]) -> Result<Line<'_>, Problem> {
    let mut line = Line::default();
    let (mut flat, mut wrapped) = (Body::default(), None);
    let mut reader = Reader::new(bytes);
    reader.object(|reader, key| {
        match key {
            b"timestamp" => line.at_ms = moment(reader)?,
            b"type" => line.outer = reader.text()?,
            b"payload" => {
                let mut body = Body::default();
                let mut inner = None;
                let mut arguments: &[u8] = b"";
                let is_object = reader.object(|reader, key| match key {
                    b"type" => {
                        inner = reader.text()?;
                        Ok(())
                    }
                    _ => field(reader, key, &mut body, &mut arguments),
                })?;
                seal(&mut body, arguments);
                line.inner = inner;
                wrapped = is_object.then_some(body);
            }
            _ => {
                let mut arguments: &[u8] = b"";
                field(reader, key, &mut flat, &mut arguments)?;
                seal(&mut flat, arguments);
            }
        }
        Ok(())
    })?;
    reader.end()?;
    line.body = wrapped.unwrap_or(flat);
    Ok(line)
}

fn seal(body: &mut Body<'_>, arguments: &[u8]) {
    if !arguments.is_empty() {
        let name = body.name.as_deref().unwrap_or_default();
        body.request_hash = hash(&[name.as_bytes(), arguments]).max(1);
    }
}

fn field<'a>(
    reader: &mut Reader<'a>,
    key: &[u8],
    body: &mut Body<'a>,
    arguments: &mut &'a [u8],
) -> Result<(), Problem> {
    match key {
        b"id" => body.id = reader.text()?,
        b"session_id" => body.session = reader.text()?,
        b"thread_id" => body.thread = reader.text()?,
        b"forked_from_id" => body.forked_from = reader.text()?,
        b"parent_thread_id" => body.parent = body.parent.take().or(reader.text()?),
        b"timestamp" => body.created_ms = moment(reader)?,
        b"cwd" => body.cwd = reader.text()?,
        b"git" => {
            reader.object(|reader, key| {
                match key {
                    b"branch" => body.branch = reader.text()?,
                    b"commit_hash" => body.commit = reader.text()?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
        }
        b"model_provider" => body.provider = reader.text()?,
        b"turn_id" => body.turn = reader.text()?,
        b"model" => body.model = reader.text()?,
        b"service_tier" => body.tier = reader.text()?,
        b"response_id" => body.response = reader.text()?,
        b"name" => body.name = reader.text()?,
        b"arguments" | b"input" | b"action" => *arguments = reader.raw()?,
        b"usage" => body.usage = counts(reader)?,
        b"source" => source(reader, body)?,
        b"rate_limits" => limits(reader, body)?,
        b"info" => {
            reader.object(|reader, key| {
                match key {
                    b"total_token_usage" => body.total = counts(reader)?,
                    b"last_token_usage" => body.last = counts(reader)?,
                    b"model" => body.model = reader.text()?,
                    b"service_tier" => body.tier = reader.text()?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
        }
        _ => reader.skip()?,
    }
    Ok(())
}

/// `source.subagent.thread_spawn.{parent_thread_id,agent_role}`, or the subagent's kind as text; other sources are plain
/// text.
fn source<'a>(reader: &mut Reader<'a>, body: &mut Body<'a>) -> Result<(), Problem> {
    reader.object(|reader, key| {
        if key != b"subagent" {
            return reader.skip();
        }
        body.subagent = true;
        let bytes = reader.raw()?;
        let spawned = Reader::new(bytes).object(|reader, key| {
            if key != b"thread_spawn" {
                return reader.skip();
            }
            reader.object(|reader, key| {
                match key {
                    b"parent_thread_id" => body.parent = reader.text()?.or(body.parent.take()),
                    b"agent_role" => body.role = reader.text()?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            Ok(())
        })?;
        if !spawned {
            body.role = Reader::new(bytes).text()?;
        }
        Ok(())
    })?;
    Ok(())
}

/// `rate_limits.{primary,secondary}.{used_percent, window_minutes, resets_at}`.
fn limits<'a>(reader: &mut Reader<'a>, body: &mut Body<'a>) -> Result<(), Problem> {
    reader.object(|reader, key| {
        match key {
            b"primary" => body.limits[0] = limit(reader)?,
            b"secondary" => body.limits[1] = limit(reader)?,
            b"plan_type" => body.plan = reader.text()?,
            b"limit_id" => body.limit_group = reader.text()?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(())
}

/// A limit is a help, not a figure that is booked: one that cannot be read is as good as none.
fn limit(reader: &mut Reader<'_>) -> Result<Option<Limit>, Problem> {
    let (mut limit, mut used) = (Limit::default(), None);
    reader.object(|reader, key| {
        let mut number = || -> Result<Option<f64>, Problem> {
            Ok(reader.number_text()?.and_then(|text| text.parse().ok()))
        };
        match key {
            b"used_percent" => used = number()?,
            b"window_minutes" => limit.window_minutes = number()?.unwrap_or(0.0) as u32,
            b"resets_at" => limit.resets_at = number()?.unwrap_or(0.0) as i64,
            b"resets_in_seconds" => limit.resets_in = number()?.unwrap_or(0.0) as i64,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(used.map(|used_percent| Limit {
        used_percent,
        ..limit
    }))
}

fn counts(reader: &mut Reader<'_>) -> Result<Option<Counts>, Problem> {
    let mut counts = Counts::default();
    let is_object = reader.object(|reader, key| {
        match key {
            b"input_tokens" => counts.input = cumulative(reader, "input_tokens")?,
            b"cached_input_tokens" => counts.cached = cumulative(reader, "cached_input_tokens")?,
            b"cache_write_input_tokens" => {
                counts.cache_write = cumulative(reader, "cache_write_input_tokens")?;
            }
            b"output_tokens" => counts.output = cumulative(reader, "output_tokens")?,
            b"reasoning_output_tokens" => counts.reasoning = cumulative(reader, "reasoning_output_tokens")?,
            _ => reader.unknown(key)?,
        }
        Ok(())
    })?;
    Ok(is_object.then_some(counts))
}

/// A figure that may be the sum over a long thread, which no single call could reach.
fn cumulative(reader: &mut Reader<'_>, field: &str) -> Result<u64, Problem> {
    Ok(reader.count_up_to(field, MAX_THREAD_TOKENS)?.unwrap_or(0))
}

/// Most tokens in one thread: a million calls of a million tokens.
const MAX_THREAD_TOKENS: u64 = 1_000_000_000_000;

fn moment(reader: &mut Reader<'_>) -> Result<Option<i64>, Problem> {
    Ok(reader.text()?.as_deref().and_then(instant))
}
