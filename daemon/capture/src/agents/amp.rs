//! Amp's threads: `threads/T-*.json`, one document for each, rewritten as the thread goes on.
//!
//! Newer versions write what a call used into the message that it gave; older ones into a ledger of events that name
//! the message, with the cache's share in the message alone, and what no message came of too: titles. A call is known by
//! its message (or event) and its time, which a forked thread keeps; the thread's own id it does not. A credit is a cent.

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
use super::values::{cost, instant};
use super::{Form, Format, Reading};
use crate::roots::Places;

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "amp",
    version: 2,
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
}

#[derive(Default)]
struct Thread<'a> {
    id: Text<'a>,
    project: Text<'a>,
    place: Place,
    messages: Vec<Call<'a>>,
    events: Vec<Call<'a>>,
}

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
            b"messages" => calls(reader, notes, &mut thread.messages, message)?,
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
    one: fn(&mut Reader<'a>) -> Result<Option<Call<'a>>, Problem>,
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

fn message<'a>(reader: &mut Reader<'a>) -> Result<Option<Call<'a>>, Problem> {
    let (mut call, mut used, mut answered) = (Call::default(), false, true);
    reader.object(|reader, key| {
        match key {
            b"messageId" => call.message = reader.plain()?,
            b"role" => answered = reader.text()?.is_none_or(|role| role == "assistant"),
            b"model" => call.model = call.model.take().or(reader.text()?),
            b"timestamp" => call.at = call.at.take().or(reader.text()?),
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
                        b"creditsSinceLastUserMessage" | b"thinkingBudget" => reader.skip()?,
                        _ => reader.unknown(key)?,
                    }
                    Ok(())
                })?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok((used && answered).then_some(call))
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
        let key = match at_ms {
            Some(at_ms) => Key::new(Key::day_of(at_ms), &["amp-call", own, &at_ms.to_string()]),
            None => Key::new(
                0,
                &["amp-message", &id, own, &format!("{:?}", call.tokens.to_array())],
            ),
        };
        let at_ms = at_ms.unwrap_or(notes.origin.mtime_ms);
        let model = call.model.as_deref().unwrap_or_default();
        let mut seen = notes.call(key, at_ms, &id, model);
        seen.tokens = call.tokens;
        seen.reported_cost = call.cost;
        seen.place.clone_from(&place);
        seen.who.project = notes.names.get(project);
        seen.source.offset = call.offset;
        notes.book(seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{self, rows};

    fn read_file(text: &str) -> Vec<String> {
        rows(&testing::document(read, "/t/threads/T-9.json", text))
    }

    const MESSAGE: &str = r#"{"messageId":3,"role":"assistant","usage":{"model":"claude-opus-4-8","timestamp":"2026-11-20T09:02:00Z","inputTokens":10,"outputTokens":210,"cacheReadInputTokens":5000,"cacheCreationInputTokens":400,"totalTokens":5620,"credits":1.2}}"#;
    const EVENT: &str = r#"{"id":"e1","timestamp":"2026-11-20T09:02:00Z","model":"claude-opus-4-8","tokens":{"input":10,"output":210},"credits":1.2,"toMessageId":3}"#;

    #[test]
    fn both_ways_of_telling_are_one_call() {
        let whole = "T-1 claude-opus-4-8 10+210 r5000 w400";
        let half = MESSAGE.replace(r#""inputTokens":10,"outputTokens":210,"#, "");
        for (messages, events, wanted) in [
            (MESSAGE, "", vec![whole]),
            (MESSAGE, EVENT, vec![whole]),
            (&*half, EVENT, vec![whole]),
            ("", EVENT, vec!["T-1 claude-opus-4-8 10+210 r0 w0"]),
            // A message that has no usage, and a call of the user's.
            (r#"{"messageId":3,"role":"assistant"}"#, "", vec![]),
            (&*MESSAGE.replace("assistant", "user"), "", vec![]),
            (
                &*MESSAGE.replace(":10,", ":null,"),
                "",
                vec!["T-1 claude-opus-4-8 0+210 r5000 w400"],
            ),
        ] {
            let text =
                format!(r#"{{"id":"T-1","messages":[{messages}],"usageLedger":{{"events":[{events}]}}}}"#);
            assert_eq!(read_file(&text), wanted, "{text}");
        }
    }

    #[test]
    fn a_thread_as_the_program_writes_it() {
        let text = r#"{"v":27,"id":"T-7","created":1761596096076,"messages":[
            {"role":"user","messageId":0,"content":[{"type":"text","text":"hi"}],"meta":{"sentAt":1761596105455}},
            {"role":"assistant","content":[],"state":{"type":"complete"},"messageId":1,"usage":{"model":"claude-sonnet-4-5-20250929",
             "maxInputTokens":968000,"inputTokens":9,"outputTokens":70,"cacheCreationInputTokens":800,"cacheReadInputTokens":14000,
             "totalInputTokens":14809,"credits":0.8277,"creditsSinceLastUserMessage":0.8857}}],
            "env":{"initial":{"trees":[{"displayName":"app","uri":"file:///w/app","repository":{"type":"git","ref":"refs/heads/main",
             "sha":"6d30"}},{"uri":"file:///w/other","repository":{"ref":"refs/heads/x"}}],"platform":{"os":"linux"}}},
            "usageLedger":{"events":[
             {"id":"e0","timestamp":"2025-10-27T20:15:06.686Z","model":"claude-3-5-haiku-20241022","credits":0.058,
              "tokens":{"input":590,"output":27},"operationType":"title-generation","fromMessageId":0,"toMessageId":0},
             {"id":"e1","timestamp":"2025-10-27T20:15:07.762Z","model":"claude-sonnet-4-5-20250929","credits":0.8277,
              "tokens":{"input":9,"output":70},"operationType":"inference","fromMessageId":0,"toMessageId":1}]},
            "~debug":{"lastInferenceUsage":{"inputTokens":9,"thinkingBudget":4000}}}"#;
        let mut found = testing::document(read, "/t/threads/T-7.json", text);
        assert_eq!(
            rows(&found),
            [
                "T-7 claude-sonnet-4-5-20250929 9+70 r14000 w800",
                "T-7 claude-3-5-haiku-20241022 590+27 r0 w0"
            ]
        );
        found.take_unknown(0);
        assert_eq!((found.failures, found.unknown), (0, vec![]));
        let call = &found.observations[0];
        assert_eq!(call.reported_cost, Pico::parse_usd("0.008277"));
        assert_eq!(call.at_ms, 1_761_596_107_762);
        let place = call.place.as_ref().unwrap();
        assert_eq!(
            (&*call.who.project, &*place.branch, &*place.commit),
            ("/w/app", "main", "6d30")
        );
    }

    #[test]
    fn a_message_may_say_model_and_time_itself() {
        let text = r#"{"id":"T-1","messages":[{"role":"assistant","model":"m","timestamp":"2026-11-20T09:02:00Z","usage":{"inputTokens":"3","outputTokens":4.0}}]}"#;
        let found = testing::document(read, "/t/threads/T-1.json", text);
        assert_eq!(rows(&found), ["T-1 m 3+4 r0 w0"]);
        assert_eq!(found.observations[0].at_ms, 1_795_165_320_000);
    }

    #[test]
    fn a_forked_thread_has_the_same_calls_and_two_messages_are_two() {
        let thread = |id: &str, messages: &str| format!(r#"{{"id":"{id}","messages":[{messages}]}}"#);
        let keys = |text: &str| testing::keys(&testing::document(read, "/t/T-9.json", text));
        let other = MESSAGE.replace(":3,", ":5,");
        assert_eq!(keys(&thread("T-1", MESSAGE)), keys(&thread("T-2", MESSAGE)));
        let both = keys(&thread("T-1", &format!("{MESSAGE},{other}")));
        assert_eq!(both.len(), 2);
        assert_ne!(both[0], both[1]);
    }

    #[test]
    fn what_is_broken_costs_only_itself() {
        for bad in ["-1", "NaN", "1e99", "\"x\"", "{}"] {
            let broken = MESSAGE.replace(":210,", &format!(":{bad},"));
            let text = format!(r#"{{"messages":[{broken},null,7,{MESSAGE}]}}"#);
            let found = testing::document(read, "/t/T-9.json", &text);
            assert_eq!((rows(&found).len(), found.failures), (1, 1), "{bad}");
            assert_eq!(found.shown[0].0, 13, "{bad}");
            assert_eq!(&*found.observations[0].who.session, "T-9");
        }
        for whole in ["", "[]", "{\"messages\":[", "\u{feff}x", "7"] {
            assert_eq!(
                testing::document(read, "/t/T-9.json", whole).failures,
                1,
                "{whole}"
            );
        }
    }
}
