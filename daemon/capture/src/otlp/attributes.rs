//! The attributes that are read: everything else in a record is skipped where it stands and never copied, so no
//! prompt, no answer, no file name, no tool's argument and no e-mail address gets any further than the socket.

use std::borrow::Cow;

use tokmon_core::limits::MAX_TOKENS_PER_CALL;

use crate::agents::json::Problem;

macro_rules! allow {
    ($($(#[doc = $doc:literal])* $attr:ident = $($key:literal)|+;)+) => {
        /// An attribute of interest, whatever its spelling.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Attr {
            $($(#[doc = $doc])* $attr,)+
        }

        impl Attr {
            /// The attribute of that key, if it is one of interest.
            pub(super) fn of(key: &str) -> Option<Attr> {
                match key {
                    $($($key)|+ => Some(Attr::$attr),)+
                    _ => None,
                }
            }

            /// Its first spelling, for messages.
            pub(super) fn key(self) -> &'static str {
                match self {
                    $(Attr::$attr => [$($key),+][0],)+
                }
            }
        }
    };
}

allow! {
    /// Who sends: on the resource.
    Service = "service.name";
    /// What happened.
    EventName = "event.name";
    /// Codex: which of the provider's events it was.
    EventKind = "event.kind";
    /// RFC 3339.
    EventTime = "event.timestamp";
    /// Claude Code: counts up within a session.
    Sequence = "event.sequence";
    /// The agent's session.
    Session = "session.id" | "conversation.id" | "gen_ai.conversation.id" | "ai.telemetry.metadata.sessionId";
    /// Gemini CLI and Qwen Code: the turn that a call belongs to.
    Prompt = "prompt_id";
    /// The model, as an agent's own event names it.
    Model = "model";
    /// The model that was asked for.
    RequestModel = "gen_ai.request.model";
    /// The model that answered.
    ResponseModel = "gen_ai.response.model";
    /// Who serves the model; the latter is the former name.
    Provider = "gen_ai.provider.name" | "gen_ai.system";
    /// chat, embeddings, invoke_agent, …
    Operation = "gen_ai.operation.name" | "llm.request.type";
    Input = "gen_ai.usage.input_tokens" | "gen_ai.usage.prompt_tokens" | "input_tokens" | "input_token_count";
    /// The Vercel AI SDK: what of the input neither came from the cache nor went there.
    Uncached = "ai.usage.inputTokenDetails.noCacheTokens";
    Output = "gen_ai.usage.output_tokens" | "gen_ai.usage.completion_tokens" | "output_tokens"
        | "output_token_count";
    CacheRead = "gen_ai.usage.cache_read.input_tokens" | "gen_ai.usage.cache_read_input_tokens"
        | "gen_ai.usage.cached_input_tokens" | "cache_read_tokens" | "cached_token_count"
        | "cached_content_token_count" | "ai.usage.inputTokenDetails.cacheReadTokens" | "ai.usage.cachedInputTokens";
    CacheWrite = "gen_ai.usage.cache_creation.input_tokens" | "gen_ai.usage.cache_creation_input_tokens"
        | "gen_ai.usage.cache_write.input_tokens" | "cache_creation_tokens" | "cache_write_token_count"
        | "ai.usage.inputTokenDetails.cacheWriteTokens";
    CacheWrite5m = "cache_creation_5m_tokens";
    CacheWrite1h = "cache_creation_1h_tokens";
    Reasoning = "gen_ai.usage.reasoning.output_tokens" | "gen_ai.usage.reasoning_tokens"
        | "reasoning_token_count" | "thoughts_token_count" | "ai.usage.outputTokenDetails.reasoningTokens"
        | "ai.usage.reasoningTokens";
    ToolTokens = "tool_token_count";
    Total = "total_token_count";
    /// Whole micro-dollars.
    CostMicros = "cost_usd_micros";
    /// Dollars.
    Cost = "cost_usd" | "gen_ai.usage.cost";
    /// GitHub's unit: 10¹¹ of them are a dollar.
    NanoAiu = "github.copilot.nano_aiu";
    /// The provider's id of the request.
    Request = "request_id";
    /// The agent's own id of the request.
    ClientRequest = "client_request_id";
    /// The provider's id of the response.
    Response = "gen_ai.response.id" | "response_id";
    /// HTTP status.
    Status = "http.response.status_code" | "status_code";
    /// A class of error, never its text.
    ErrorType = "error.type" | "error_type";
    Attempt = "attempt";
    Speed = "speed";
    Tier = "openai.response.service_tier" | "gen_ai.openai.response.service_tier" | "service_tier";
    Subagent = "agent.name";
    Skill = "skill.name";
    McpServer = "mcp_server.name";
    /// A short name; what looks like an e-mail address is not taken.
    User = "user.name";
    Project = "project.name" | "vcs.repository.name";
    Branch = "vcs.ref.head.name";
    Commit = "vcs.ref.head.revision";
    /// Of a metric's data point: which kind of token.
    TokenType = "type" | "gen_ai.token.type" | "token_type";
}

/// An attribute's value. Lists, maps and bytes are of no interest.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    Double(f64),
    Bool(bool),
}

/// The attributes of interest of one record or resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Attributes<'a>(Vec<(Attr, Value<'a>)>);

impl<'a> Attributes<'a> {
    /// Sets one; of a repeated one the last counts, so there are never more than are allowed.
    pub(super) fn set(&mut self, attr: Attr, value: Value<'a>) {
        match self.0.iter_mut().find(|(known, _)| *known == attr) {
            Some(known) => known.1 = value,
            None => self.0.push((attr, value)),
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn get(&self, attr: Attr) -> Option<&Value<'a>> {
        self.0
            .iter()
            .find(|(known, _)| *known == attr)
            .map(|(_, value)| value)
    }

    /// A text that is not blank.
    pub(super) fn text(&self, attr: Attr) -> Option<&str> {
        match self.get(attr)? {
            Value::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// What identifies: a text, or a number as text.
    pub(super) fn id(&self, attr: Attr) -> Option<Cow<'_, str>> {
        match self.get(attr)? {
            Value::Int(number) => Some(Cow::Owned(number.to_string())),
            _ => self.text(attr).map(Cow::Borrowed),
        }
    }

    /// A count of tokens, however it is written.
    ///
    /// # Errors
    /// Negative, not a whole number, or more than one call can use: names the attribute.
    pub(super) fn count(&self, attr: Attr) -> Result<Option<u64>, Problem> {
        let wrong = || {
            let key = attr.key();
            Problem(format!(
                "{key} is not a whole number from 0 to {MAX_TOKENS_PER_CALL}"
            ))
        };
        let count = match self.get(attr) {
            None => return Ok(None),
            Some(Value::Int(number)) => u64::try_from(*number).map_err(|_| wrong())?,
            Some(Value::Double(number)) => whole(*number).ok_or_else(wrong)?,
            Some(Value::Text(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::Text(text)) => match text.trim().parse::<u64>() {
                Ok(number) => number,
                Err(_) => text.trim().parse().ok().and_then(whole).ok_or_else(wrong)?,
            },
            Some(Value::Bool(_)) => return Err(wrong()),
        };
        if count > MAX_TOKENS_PER_CALL {
            return Err(wrong());
        }
        Ok(Some(count))
    }

    /// A number as decimal text.
    pub(super) fn decimal(&self, attr: Attr) -> Option<Cow<'_, str>> {
        match self.get(attr)? {
            Value::Text(text) => Some(Cow::Borrowed(text.trim())),
            Value::Int(number) => Some(Cow::Owned(number.to_string())),
            Value::Double(number) if number.is_finite() => Some(Cow::Owned(number.to_string())),
            Value::Double(_) | Value::Bool(_) => None,
        }
    }
}

/// A number without a fraction that no rounding has touched.
fn whole(number: f64) -> Option<u64> {
    let exact = number.fract() == 0.0 && (0.0..9.0e15).contains(&number);
    exact.then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_in_every_dress_and_nonsense_is_named() {
        for (value, wanted) in [
            (Value::Int(7), Ok(Some(7))),
            (Value::Double(7.0), Ok(Some(7))),
            (Value::Text(" 7 ".into()), Ok(Some(7))),
            (Value::Text("7.0".into()), Ok(Some(7))),
            (Value::Text("".into()), Ok(None)),
            (Value::Int(-1), Err(())),
            (Value::Int(1_000_000_001), Err(())),
            (Value::Double(f64::NAN), Err(())),
            (Value::Double(f64::INFINITY), Err(())),
            (Value::Double(1.5), Err(())),
            (Value::Double(-0.5), Err(())),
            (Value::Double(1e300), Err(())),
            (Value::Text("NaN".into()), Err(())),
            (Value::Text("lots".into()), Err(())),
            (Value::Bool(true), Err(())),
        ] {
            let mut attributes = Attributes::default();
            attributes.set(Attr::Input, value.clone());
            let got = attributes.count(Attr::Input);
            if let Err(problem) = &got {
                assert!(problem.0.contains("gen_ai.usage.input_tokens"), "{problem:?}");
            }
            assert_eq!(got.map_err(drop), wanted, "{value:?}");
        }
    }

    #[test]
    fn nothing_that_holds_words_is_of_interest() {
        for key in [
            "prompt",
            "prompt_text",
            "gen_ai.input.messages",
            "gen_ai.output.messages",
            "gen_ai.system_instructions",
            "gen_ai.prompt",
            "response_text",
            "request_text",
            "arguments",
            "output",
            "tool_input",
            "tool_parameters",
            "error",
            "error.message",
            "user.email",
            "user.id",
            "user.account_uuid",
            "organization.id",
            "host.name",
            "body",
        ] {
            assert_eq!(Attr::of(key), None, "{key}");
        }
    }
}
