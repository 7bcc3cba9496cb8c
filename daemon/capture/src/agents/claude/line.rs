//! One line of a Claude Code transcript: the fields that tell of a call, borrowed from the line.

use std::borrow::Cow;

use tokmon_core::observation::Tier;
use tokmon_core::tokens::Tokens;

use crate::agents::json::{Problem, Reader};
use crate::agents::values::{hash, moment};

type Text<'a> = Option<Cow<'a, str>>;

/// What a line says, top level or nested.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    pub(super) kind: Text<'a>,
    pub(super) at_ms: Option<i64>,
    pub(super) session: Text<'a>,
    pub(super) uuid: Text<'a>,
    pub(super) cwd: Text<'a>,
    pub(super) branch: Text<'a>,
    /// The provider's id of the request.
    pub(super) request: Text<'a>,
    pub(super) skill: Text<'a>,
    pub(super) sidechain: bool,
    pub(super) api_error: bool,
    /// `costUSD` of old versions, as it is written.
    pub(super) cost: Option<&'a str>,
    pub(super) message: Option<Message<'a>>,
    /// The line of a subagent inside a `progress` line.
    pub(super) nested: Option<Box<Line<'a>>>,
}

/// The answer of the model, or a part of it.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    pub(super) id: Text<'a>,
    pub(super) model: Text<'a>,
    pub(super) role: Text<'a>,
    /// `stop_reason` is given: this line has the final figures.
    pub(super) stopped: bool,
    pub(super) usage: Option<Usage<'a>>,
    /// Bytes of text, thinking and tool arguments in this line, as written.
    pub(super) visible: u64,
    pub(super) tool: Text<'a>,
    /// Hash of the first tool call; 0: none.
    pub(super) request_hash: u64,
}

/// What a call used.
#[derive(Debug, Default)]
pub(super) struct Usage<'a> {
    pub(super) tokens: Tokens,
    pub(super) tier: Tier,
    pub(super) fast: bool,
    pub(super) us_region: bool,
    /// Calls inside the call that are not part of its total: position, own model, tokens.
    pub(super) extra: Vec<(usize, Text<'a>, Tokens)>,
}

/// Reads a whole line.
pub(super) fn parse(bytes: &[u8]) -> Result<Line<'_>, Problem> {
    let mut reader = Reader::new(bytes);
    let line = fields(&mut reader, 0)?;
    reader.end()?;
    Ok(line)
}

/// `level` 0: the line itself; 1: the line nested in its `data`.
fn fields<'a>(reader: &mut Reader<'a>, level: u8) -> Result<Line<'a>, Problem> {
    let mut line = Line::default();
    reader.object(|reader, key| {
        match key {
            b"type" => line.kind = reader.text()?,
            b"timestamp" => line.at_ms = moment(reader)?,
            b"sessionId" => line.session = reader.text()?,
            b"uuid" => line.uuid = reader.text()?,
            b"cwd" => line.cwd = reader.text()?,
            b"gitBranch" => line.branch = reader.text()?,
            b"requestId" => line.request = reader.text()?,
            b"attributionSkill" => line.skill = reader.text()?,
            b"isSidechain" => line.sidechain = reader.flag()?,
            b"isApiErrorMessage" => line.api_error = reader.flag()?,
            b"costUSD" => line.cost = reader.number_text()?,
            b"message" => line.message = message(reader)?,
            b"data" if level == 0 => {
                line.nested = None;
                reader.object(|reader, key| {
                    if key == b"message" {
                        line.nested = Some(Box::new(fields(reader, 1)?));
                        Ok(())
                    } else {
                        reader.skip()
                    }
                })?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(line)
}

fn message<'a>(reader: &mut Reader<'a>) -> Result<Option<Message<'a>>, Problem> {
    let mut message = Message::default();
    let is_object = reader.object(|reader, key| {
        match key {
            b"id" => message.id = reader.text()?,
            b"model" => message.model = reader.text()?,
            b"role" => message.role = reader.text()?,
            b"stop_reason" => message.stopped = reader.text()?.is_some(),
            b"usage" => message.usage = usage(reader)?,
            b"content" => content(reader, &mut message)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(is_object.then_some(message))
}

/// Only lengths and the first tool call are taken from the content; its text is passed over.
fn content<'a>(reader: &mut Reader<'a>, message: &mut Message<'a>) -> Result<(), Problem> {
    (message.visible, message.tool, message.request_hash) = (0, None, 0);
    reader.array(|reader| {
        let (mut is_tool, mut name, mut input): (bool, Text<'a>, &[u8]) = (false, None, b"");
        reader.object(|reader, key| {
            match key {
                b"type" => is_tool = reader.text()?.is_some_and(|kind| kind == "tool_use"),
                b"name" => name = reader.text()?,
                b"input" => input = reader.raw()?,
                b"text" | b"thinking" => message.visible += reader.length()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if let Some(name) = name.filter(|name| is_tool && !name.is_empty()) {
            message.visible += (name.len() + input.len()) as u64;
            if message.tool.is_none() {
                message.request_hash = hash(&[name.as_bytes(), input]).max(1);
                message.tool = Some(name);
            }
        }
        Ok(())
    })
}

fn usage<'a>(reader: &mut Reader<'a>) -> Result<Option<Usage<'a>>, Problem> {
    let mut usage = Usage::default();
    let (mut total_written, mut split): (u64, Option<(u64, u64)>) = (0, None);
    let is_object = reader.object(|reader, key| {
        let tokens = &mut usage.tokens;
        match key {
            b"input_tokens" => tokens.input = reader.count("input_tokens")?.unwrap_or(0),
            b"output_tokens" => tokens.output = reader.count("output_tokens")?.unwrap_or(0),
            b"cache_read_input_tokens" => {
                tokens.cache_read = reader.count("cache_read_input_tokens")?.unwrap_or(0);
            }
            b"cache_creation_input_tokens" => {
                total_written = reader.count("cache_creation_input_tokens")?.unwrap_or(0);
            }
            b"cache_creation" => split = cache_creation(reader)?,
            b"server_tool_use" => {
                reader.object(|reader, key| {
                    if key == b"web_search_requests" {
                        tokens.web_searches = reader.count("web_search_requests")?.unwrap_or(0);
                        Ok(())
                    } else {
                        reader.skip()
                    }
                })?;
            }
            b"output_tokens_details" => {
                reader.object(|reader, key| {
                    if key == b"thinking_tokens" {
                        tokens.reasoning = reader.count("thinking_tokens")?.unwrap_or(0);
                        Ok(())
                    } else {
                        reader.skip()
                    }
                })?;
            }
            b"service_tier" => {
                usage.tier = match reader.text()?.as_deref() {
                    Some("priority") => Tier::Priority,
                    Some("flex") => Tier::Flex,
                    Some("batch") => Tier::Batch,
                    _ => Tier::Standard,
                }
            }
            b"speed" => usage.fast = reader.text()?.is_some_and(|speed| speed == "fast"),
            b"inference_geo" => {
                usage.us_region = reader.text()?.is_some_and(|geo| geo.eq_ignore_ascii_case("us"));
            }
            b"iterations" => iterations(reader, &mut usage.extra)?,
            _ => reader.unknown(key)?,
        }
        Ok(())
    })?;
    // The split is the better record where there is one; its parts are priced differently. Of models that are not
    // Anthropic's there may be one of zeros beside a total.
    let tokens = &mut usage.tokens;
    let split = split.filter(|parts| *parts != (0, 0));
    (tokens.cache_write_5m, tokens.cache_write_1h) = split.unwrap_or((total_written, 0));
    tokens.reasoning = tokens.reasoning.min(tokens.output);
    Ok(is_object.then_some(usage))
}

/// The cache writes by how long they last; `None` when the object says neither.
fn cache_creation(reader: &mut Reader<'_>) -> Result<Option<(u64, u64)>, Problem> {
    let (mut short, mut long) = (None, None);
    reader.object(|reader, key| {
        match key {
            b"ephemeral_5m_input_tokens" => short = reader.count("ephemeral_5m_input_tokens")?,
            b"ephemeral_1h_input_tokens" => long = reader.count("ephemeral_1h_input_tokens")?,
            _ => reader.unknown(key)?,
        }
        Ok(())
    })?;
    Ok((short.is_some() || long.is_some()).then(|| (short.unwrap_or(0), long.unwrap_or(0))))
}

/// Parts of the call that its total leaves out: an advisor's answer, a compaction, a fallback model's try.
/// Those of type `message` are in the total already.
fn iterations<'a>(
    reader: &mut Reader<'a>,
    extra: &mut Vec<(usize, Text<'a>, Tokens)>,
) -> Result<(), Problem> {
    extra.clear();
    let mut position = 0;
    reader.array(|reader| {
        let bytes = reader.raw()?;
        let (mut kind, mut model): (Text<'a>, Text<'a>) = (None, None);
        Reader::new(bytes).object(|reader, key| {
            match key {
                b"type" => kind = reader.text()?,
                b"model" => model = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if matches!(
            kind.as_deref(),
            Some("advisor_message" | "compaction" | "fallback_message")
        ) && let Some(inner) = usage(&mut Reader::new(bytes))?
        {
            extra.push((position, model, inner.tokens));
        }
        position += 1;
        Ok(())
    })
}
