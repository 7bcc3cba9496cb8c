//! OpenTelemetry in a file, one span or log record a line. A call shows as its chat span, as a log record of the
//! inference, within a record of the agent's turn, and within the summary of the whole agent, each later one coarser:
//! only the finest that a trace has is counted.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokmon_core::id::Key;
use tokmon_core::observation::Observation;
use tokmon_core::tokens::Tokens;

use super::{Better, FORMAT, disjoint};
use crate::agents::json::{Problem, Reader};
use crate::agents::lines::{LineParser, restore, save};
use crate::agents::values::{Names, hash, id, moment};
use crate::agents::{Found, Origin};

/// Traces whose finest records are remembered, the latest.
const TRACES: usize = 512;
/// Records that wait for finer ones in the same reading.
const WAITING: usize = 4_096;

type Text<'a> = Option<Cow<'a, str>>;

/// How fine a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Grain {
    Agent,
    Turn,
    Inference,
    Chat,
}

#[derive(Debug, Default)]
struct Record<'a> {
    kind: Text<'a>,
    name: Text<'a>,
    body: Text<'a>,
    trace: Text<'a>,
    span: Text<'a>,
    at_ms: Option<i64>,
    operation: Text<'a>,
    event: Text<'a>,
    conversation: Text<'a>,
    session: Text<'a>,
    response: Text<'a>,
    answered_by: Text<'a>,
    asked: Text<'a>,
    turn: String,
    input: u64,
    read: u64,
    written: u64,
    output: u64,
    reasoning: u64,
}

impl Record<'_> {
    fn grain(&self) -> Option<Grain> {
        let name = self.name.as_deref().unwrap_or_default();
        let is_span = match self.kind.as_deref() {
            Some(kind) => kind == "span",
            // Other exporters leave the type out; log records have no name.
            None => !name.is_empty() && (self.trace.is_some() || self.span.is_some()),
        };
        let operation = self.operation.as_deref().unwrap_or_default();
        let event = self.event.as_deref().unwrap_or_default();
        let body = self.body.as_deref().unwrap_or_default();
        match is_span {
            true if operation == "chat" || name.starts_with("chat ") => Some(Grain::Chat),
            true if operation == "invoke_agent" || name.starts_with("invoke_agent ") => Some(Grain::Agent),
            false
                if event == "gen_ai.client.inference.operation.details"
                    || body.starts_with("GenAI inference:") =>
            {
                Some(Grain::Inference)
            }
            false if event == "copilot_chat.agent.turn" || body.starts_with("copilot_chat.agent.turn") => {
                Some(Grain::Turn)
            }
            _ => None,
        }
    }

    fn tokens(&self) -> Tokens {
        disjoint(self.input, self.read, self.written, self.output, self.reasoning)
    }
}

fn parse(bytes: &[u8]) -> Result<Record<'_>, Problem> {
    let mut record = Record::default();
    let mut reader = Reader::new(bytes);
    reader.object(|reader, key| {
        match key {
            b"type" => record.kind = reader.text()?,
            b"name" => record.name = reader.text()?,
            b"body" | b"_body" => record.body = reader.text()?,
            b"traceId" => record.trace = reader.text()?,
            b"spanId" => record.span = reader.text()?,
            b"spanContext" => {
                reader.object(|reader, key| {
                    match key {
                        b"traceId" => record.trace = reader.text()?,
                        b"spanId" => record.span = reader.text()?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            b"endTime" | b"hrTime" | b"timestamp" | b"time" => {
                record.at_ms = clock(reader)?.or(record.at_ms);
            }
            b"attributes" => {
                reader.object(|reader, key| attribute(reader, key, &mut record))?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    Ok(record)
}

/// An instant as text or number, or as seconds and nanoseconds.
fn clock(reader: &mut Reader<'_>) -> Result<Option<i64>, Problem> {
    let raw = reader.raw()?;
    if raw.first() != Some(&b'[') {
        return moment(&mut Reader::new(raw));
    }
    let mut parts = Vec::new();
    Reader::new(raw).array(|reader| {
        let number = reader.number_text()?.and_then(|text| text.parse::<i64>().ok());
        parts.push(number);
        Ok(())
    })?;
    Ok(match parts[..] {
        [Some(seconds), Some(nanos)] => Some(seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000)),
        _ => None,
    })
}

fn attribute<'a>(reader: &mut Reader<'a>, key: &[u8], record: &mut Record<'a>) -> Result<(), Problem> {
    let mut count = |name: &str, to: &mut u64| -> Result<(), Problem> {
        *to = reader.count(name)?.unwrap_or(0).max(*to);
        Ok(())
    };
    match key {
        b"gen_ai.usage.input_tokens" => count("gen_ai.usage.input_tokens", &mut record.input)?,
        b"gen_ai.usage.output_tokens" => count("gen_ai.usage.output_tokens", &mut record.output)?,
        b"gen_ai.usage.cache_read.input_tokens" | b"gen_ai.usage.cache_read_input_tokens" => {
            count("gen_ai.usage.cache_read.input_tokens", &mut record.read)?;
        }
        b"gen_ai.usage.cache_creation.input_tokens"
        | b"gen_ai.usage.cache_creation_input_tokens"
        | b"gen_ai.usage.cache_write.input_tokens"
        | b"gen_ai.usage.cache_write_input_tokens" => {
            count("gen_ai.usage.cache_creation.input_tokens", &mut record.written)?;
        }
        b"gen_ai.usage.reasoning.output_tokens" | b"gen_ai.usage.reasoning_tokens" => {
            count("gen_ai.usage.reasoning.output_tokens", &mut record.reasoning)?;
        }
        b"gen_ai.operation.name" => record.operation = reader.text()?,
        b"event.name" => record.event = reader.text()?,
        b"gen_ai.conversation.id" => record.conversation = reader.text()?,
        b"copilot_chat.session_id" | b"copilot_chat.chat_session_id" | b"session.id" => {
            record.session = reader.text()?;
        }
        b"gen_ai.response.id" => record.response = reader.text()?,
        b"gen_ai.response.model" => record.answered_by = reader.text()?,
        b"gen_ai.request.model" => record.asked = reader.text()?,
        b"turn.index" | b"copilot_chat.turn.index" => record.turn = reader.plain()?,
        _ => reader.skip()?,
    }
    Ok(())
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    /// The finest record that each trace had, by the trace's hash.
    traces: VecDeque<(u64, Grain)>,
}

#[derive(Debug)]
struct Parser {
    better: Better,
    origin: Origin,
    names: Names,
    saved: Saved,
    /// Coarser records, which count when nothing finer comes with them.
    waiting: Vec<(Option<u64>, Grain, Observation)>,
}

pub(super) fn open(state: &[u8], origin: Origin) -> Box<dyn LineParser> {
    Box::new(Parser {
        // otel/<file>.jsonl
        better: Better::above(Path::new(&*origin.path), 2),
        origin,
        names: Names::default(),
        saved: restore(state),
        waiting: Vec::new(),
    })
}

fn filled<'a>(text: &'a Text<'_>) -> Option<&'a str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

impl Parser {
    fn note(&mut self, trace: Option<u64>, grain: Grain) {
        let Some(trace) = trace else { return };
        match self.saved.traces.iter_mut().find(|(known, _)| *known == trace) {
            Some((_, finest)) => *finest = grain.max(*finest),
            None => {
                if self.saved.traces.len() >= TRACES {
                    self.saved.traces.pop_front();
                }
                self.saved.traces.push_back((trace, grain));
            }
        }
    }
}

impl LineParser for Parser {
    fn line(&mut self, bytes: &[u8], offset: u64, found: &mut Found) -> Result<(), Problem> {
        if memchr::memmem::find(bytes, b"\"gen_ai.usage.").is_none() {
            return Ok(());
        }
        let record = parse(bytes)?;
        let tokens = record.tokens();
        let Some(grain) = record.grain().filter(|_| tokens.total() > 0) else {
            return Ok(());
        };
        let at_ms = record.at_ms.unwrap_or(self.origin.mtime_ms);
        let trace = filled(&record.trace);
        let session = filled(&record.conversation).or(filled(&record.session)).or(trace);
        let session = session.unwrap_or(self.origin.stem()).to_owned();
        if self.better.knows(&session) {
            return Ok(());
        }
        let response = filled(&record.response);
        let figures = format!("{at_ms} {} {:?}", record.turn, tokens.to_array());
        let key = match (response, trace, filled(&record.span)) {
            (Some(response), _, _) if grain >= Grain::Inference => {
                Key::new(0, &["copilot-response", response])
            }
            (_, Some(trace), Some(span)) if grain != Grain::Turn => {
                Key::new(0, &["copilot-span", trace, span])
            }
            _ => Key::new(0, &["copilot-record", &session, &figures]),
        };
        let names = &mut self.names;
        let model = filled(&record.answered_by)
            .or(filled(&record.asked))
            .unwrap_or_default();
        let mut seen = self.origin.call(names, FORMAT.name, key, at_ms, &session, model);
        seen.tokens = tokens;
        seen.request_id = id(response.unwrap_or_default());
        seen.source.offset = offset;
        let trace = trace.map(|trace| hash(&[trace.as_bytes()]));
        self.note(trace, grain);
        if grain == Grain::Chat {
            found.observations.push(seen);
        } else if self.waiting.len() < WAITING {
            self.waiting.push((trace, grain, seen));
        }
        Ok(())
    }

    fn settle(&mut self, found: &mut Found) {
        for (trace, grain, seen) in std::mem::take(&mut self.waiting) {
            let mut traces = self.saved.traces.iter();
            let finest = traces
                .find(|(known, _)| Some(*known) == trace)
                .map(|(_, finest)| *finest);
            if finest.is_none_or(|finest| finest <= grain) {
                found.observations.push(seen);
            }
        }
    }

    fn state(&self, _: i64) -> Vec<u8> {
        save(&self.saved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{self, keys, rows};

    const USAGE: &str = r#""gen_ai.usage.input_tokens":2000,"gen_ai.usage.cache_read.input_tokens":1500,"gen_ai.usage.output_tokens":80,"gen_ai.usage.reasoning.output_tokens":10"#;
    const ROW: &str = "c1 gpt-5.5 500+80 r1500 w0 reasoning 10";

    fn chat() -> String {
        format!(
            r#"{{"type":"span","name":"chat gpt-5.5","traceId":"a1","spanId":"b1","endTime":[1795166580,0],"attributes":{{"gen_ai.operation.name":"chat","gen_ai.conversation.id":"c1","gen_ai.response.id":"r1","gen_ai.response.model":"gpt-5.5",{USAGE}}}}}"#
        )
    }

    fn log(event: &str) -> String {
        format!(
            r#"{{"hrTime":[1795166580,0],"spanContext":{{"traceId":"a1","spanId":"b1"}},"attributes":{{"event.name":"{event}","gen_ai.conversation.id":"c1","gen_ai.response.model":"gpt-5.5",{USAGE}}}}}"#
        )
    }

    fn summary() -> String {
        chat()
            .replace("\"chat\"", "\"invoke_agent\"")
            .replace("chat gpt-5.5", "invoke_agent x")
            .replace("b1", "b0")
            .replace("\"gen_ai.response.id\":\"r1\",", "")
    }

    fn lines(lines: &[String]) -> Found {
        testing::lines(open, testing::origin("/c/otel/x.jsonl"), &lines.join("\n"))
    }

    #[test]
    fn only_the_finest_record_of_a_trace_counts_in_any_order() {
        let inference = log("gen_ai.client.inference.operation.details");
        let turn = log("copilot_chat.agent.turn");
        let all = [chat(), inference.clone(), turn.clone(), summary()];
        let mut backwards = all.clone();
        backwards.reverse();
        for records in [&all[..], &backwards, &all[..1], &all[1..], &all[2..], &all[3..]] {
            let found = lines(records);
            assert_eq!(
                (rows(&found), found.failures),
                (vec![ROW.to_owned()], 0),
                "{records:?}"
            );
        }
        let seen = &lines(&all).observations[0];
        assert_eq!((seen.at_ms, &*seen.request_id), (1_795_166_580_000, "r1"));
        // Two calls of one trace are two; a copy is the same.
        let other = chat().replace("r1", "r2").replace("b1", "b2");
        let two = keys(&lines(&[chat(), other, chat()]));
        assert_ne!(two[0], two[1]);
        assert_eq!(two[0], two[2]);
    }

    #[test]
    fn traps() {
        for (from, to, count, failures) in [
            (":80,", ":null,", 1, 0),
            (":80,", ":\"80\",", 1, 0),
            (":80,", ":-80,", 0, 1),
            (":2000,", ":1e300,", 0, 1),
            ("[1795166580,0]", "[null]", 1, 0),
            ("[1795166580,0]", "\"2026-11-20T09:23:00Z\"", 1, 0),
            ("\"type\":\"span\",", "", 1, 0),
            ("\"type\":\"span\"", "\"type\":\"metric\"", 0, 0),
            ("\"attributes\":{", "\"attributes\":[],\"x\":{", 0, 0),
        ] {
            let found = lines(&[chat().replace(from, to)]);
            assert_eq!(
                (found.observations.len(), found.failures),
                (count, failures),
                "{to}"
            );
        }
    }
}
