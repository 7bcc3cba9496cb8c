//! A session of Continue: `sessions/<id>.json`, a document that is rewritten.
//!
//! Newer versions keep with each answer what it used, and with the session what all of it used so far. The answers
//! count, for of some providers the sum leaves the cache out; what the sum holds beyond them (compaction, answers that
//! were taken back) is counted as one. The sum runs ahead of the answers for a moment, so what counts of it is what stood
//! there while nobody wrote the file for a while.
//!
//! A fork begins with its parent's answers. They have no ids, so an answer is known by all that was said up to it.

use std::borrow::Cow;

use tokmon_core::id::Key;
use tokmon_core::money::Pico;
use tokmon_core::observation::CallKind;
use tokmon_core::tokens::Tokens;

use crate::agents::Notes;
use crate::agents::json::{Problem, Reader};
use crate::agents::values::{cost, hash, id};

/// Most tokens of one session that is believed.
const MAX_SESSION_TOKENS: u64 = 1_000_000_000_000;
/// How long a file must have been left alone to be at rest, milliseconds. A call is written within seconds.
const AT_REST_MS: i64 = 60_000;

type Text<'a> = Option<Cow<'a, str>>;

/// What an answer, or the whole session, says that it used.
#[derive(Debug, Default, Clone)]
struct Usage {
    prompt: u64,
    answer: u64,
    reasoning: u64,
    read: u64,
    written: u64,
    /// It speaks as Anthropic's interface does, which counts the cache beside the prompt.
    beside: bool,
    model: String,
    cost: Option<Pico>,
}

impl Usage {
    fn tokens(&self, beside: bool) -> Tokens {
        let cached = self.read.saturating_add(self.written);
        let beside = beside || self.beside || cached > self.prompt;
        Tokens {
            input: if beside { self.prompt } else { self.prompt - cached },
            output: self.answer,
            reasoning: self.reasoning.min(self.answer),
            cache_read: self.read,
            cache_write_5m: self.written,
            ..Tokens::default()
        }
    }
}

/// An answer that says what it used.
struct Answer {
    usage: Usage,
    /// Hash of all that was said up to it.
    said: u64,
    tool: String,
    offset: u64,
}

/// Reads a session.
pub(super) fn read(bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), Problem> {
    let (mut name, mut project, mut title): (Text<'_>, Text<'_>, Text<'_>) = (None, None, None);
    let (mut used, mut history) = (None, History::default());
    let mut reader = Reader::new(bytes);
    let is_object = reader.object(|reader, key| {
        match key {
            b"sessionId" => name = reader.text()?,
            b"workspaceDirectory" => project = reader.text()?,
            b"chatModelTitle" => title = reader.text()?,
            b"usage" => used = usage(reader)?,
            b"history" => history = History::read(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    if !is_object {
        return Err(Problem("not a JSON object".into()));
    }
    let title = title.as_deref().unwrap_or_default();
    let project = project.as_deref().unwrap_or_default();
    let name = name.filter(|name| !name.is_empty());
    let session = Session {
        id: name.as_deref().unwrap_or(notes.origin.name_without(".json")),
        project: project.strip_prefix("file://").unwrap_or(project),
        model: title,
        is_claude: title.to_ascii_lowercase().contains("claude"),
    };
    let mut rest = used.unwrap_or_default();
    let mut model = None;
    let answers = &history.answers;
    for answer in answers {
        let usage = &answer.usage;
        rest.prompt = rest.prompt.saturating_sub(usage.prompt);
        rest.answer = rest.answer.saturating_sub(usage.answer);
        rest.read = rest.read.saturating_sub(usage.read);
        rest.written = rest.written.saturating_sub(usage.written);
        model = Some(usage.model.as_str())
            .filter(|model| !model.is_empty())
            .or(model);
        session.answer(answer, notes);
    }
    if !answers.is_empty() {
        // The sum's cost is that of the answers too.
        (rest.cost, rest.beside) = (None, answers.iter().any(|answer| answer.usage.beside));
    }
    session.rest(&rest, model.unwrap_or(title), &history, notes);
    Ok(())
}

struct Session<'a> {
    id: &'a str,
    project: &'a str,
    model: &'a str,
    is_claude: bool,
}

impl Session<'_> {
    fn answer(&self, answer: &Answer, notes: &mut Notes<'_>) {
        let tokens = answer.usage.tokens(self.is_claude);
        if tokens.total() == 0 {
            return;
        }
        let figures = format!("{} {:016x}", self.project, answer.said);
        let key = Key::new(0, &["continue-answer", &figures]);
        let model = match answer.usage.model.as_str() {
            "" => self.model,
            model => model,
        };
        let at_ms = notes.origin.mtime_ms.min(notes.now_ms);
        let mut seen = notes.call(key, at_ms, self.id, model);
        seen.who.project = notes.names.get(self.project);
        seen.who.tool = notes.names.get(&answer.tool);
        (seen.tokens, seen.reported_cost) = (tokens, answer.usage.cost);
        seen.source.offset = answer.offset;
        notes.book(seen);
    }

    /// What was used beside the answers, or by all of them when they say nothing.
    fn rest(&self, rest: &Usage, model: &str, history: &History, notes: &mut Notes<'_>) {
        let name = match history.is_silent {
            true => self.id.to_owned(),
            false => format!("{} (rest)", self.id),
        };
        let figures = [rest.prompt, rest.answer, rest.read, rest.written];
        let (mtime_ms, now_ms) = (notes.origin.mtime_ms, notes.now_ms);
        let before: (i64, [u64; 4]) = serde_json::from_slice(&notes.state).unwrap_or_default();
        notes.state = serde_json::to_vec(&(mtime_ms, figures)).unwrap_or_default();
        let rested = |until_ms: i64, from_ms: i64| until_ms.saturating_sub(from_ms) >= AT_REST_MS;
        let certain = match (
            history.is_silent || rested(now_ms, mtime_ms),
            rested(mtime_ms, before.0),
        ) {
            (true, _) => figures,
            // As it was until now.
            (false, true) => before.1,
            (false, false) => [0; 4],
        };
        let [prompt, answer, read, written] = certain;
        if prompt == 0 && answer == 0 {
            return;
        }
        let rest = Usage {
            prompt,
            answer,
            read,
            written,
            ..rest.clone()
        };
        let tokens = rest.tokens(self.is_claude);
        if let Some(step) = notes.since(&name, tokens, rest.cost) {
            let at_ms = notes.origin.mtime_ms.min(notes.now_ms);
            let mut seen = notes.call(step.key, at_ms, self.id, model);
            seen.who.project = notes.names.get(self.project);
            (seen.tokens, seen.reported_cost) = (step.tokens, step.cost);
            seen.kind = CallKind::Several;
            notes.book(seen);
        }
    }
}

/// A conversation.
#[derive(Default)]
struct History {
    /// The answers that say what they used.
    answers: Vec<Answer>,
    /// None of its answers says anything, as older versions wrote them, or nothing of it was kept.
    is_silent: bool,
}

impl History {
    fn read(reader: &mut Reader<'_>) -> Result<History, Problem> {
        let (mut answers, mut said, mut silent, mut is_empty) = (Vec::new(), 0u64, false, true);
        reader.array(|reader| {
            let offset = reader.next_position()? as u64;
            is_empty = false;
            reader.object(|reader, key| {
                if key != b"message" {
                    return reader.skip();
                }
                let (mut used, mut tool) = (None, String::new());
                reader.object(|reader, key| {
                    if !matches!(key, b"role" | b"content" | b"toolCalls" | b"usage") {
                        return reader.skip();
                    }
                    let raw = reader.raw()?;
                    said = hash(&[&said.to_le_bytes(), raw]);
                    match key {
                        b"role" => silent |= raw == b"\"assistant\"",
                        b"toolCalls" => tool = first_tool(&mut Reader::new(raw))?,
                        b"usage" => used = usage(&mut Reader::new(raw))?,
                        _ => {}
                    }
                    Ok(())
                })?;
                answers.extend(used.map(|usage| Answer {
                    usage,
                    said,
                    tool,
                    offset,
                }));
                Ok(())
            })?;
            Ok(())
        })?;
        Ok(History {
            is_silent: (silent || is_empty) && answers.is_empty(),
            answers,
        })
    }
}

fn first_tool(reader: &mut Reader<'_>) -> Result<String, Problem> {
    let mut tool = String::new();
    reader.array(|reader| {
        reader.object(|reader, key| {
            if key != b"function" {
                return reader.skip();
            }
            reader.object(|reader, key| {
                match key {
                    b"name" if tool.is_empty() => tool = reader.plain()?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(tool)
}

/// Figures in the words of the command line or of the editors' extension.
fn usage(reader: &mut Reader<'_>) -> Result<Option<Usage>, Problem> {
    let mut usage = Usage::default();
    let is_object = reader.object(|reader, key| {
        match key {
            b"promptTokens" | b"prompt_tokens" => usage.prompt = count(reader, "promptTokens")?,
            b"completionTokens" | b"completion_tokens" => usage.answer = count(reader, "completionTokens")?,
            b"totalCost" => usage.cost = cost(reader)?,
            b"model" => usage.model = id(&reader.plain()?).to_string(),
            b"promptTokensDetails" | b"prompt_tokens_details" => {
                reader.object(|reader, key| {
                    match key {
                        b"cachedTokens" | b"cached_tokens" => {
                            usage.read = usage.read.max(count(reader, "cachedTokens")?);
                        }
                        b"cache_read_tokens" => {
                            usage.read = usage.read.max(count(reader, "cache_read_tokens")?);
                            usage.beside = true;
                        }
                        b"cacheWriteTokens" => usage.written = count(reader, "cacheWriteTokens")?,
                        b"cache_write_tokens" => {
                            usage.written = count(reader, "cache_write_tokens")?;
                            usage.beside = true;
                        }
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            b"completionTokensDetails" | b"completion_tokens_details" => {
                reader.object(|reader, key| {
                    match key {
                        b"reasoningTokens" | b"reasoning_tokens" => {
                            usage.reasoning = count(reader, "reasoningTokens")?;
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
    Ok(is_object.then_some(usage))
}

fn count(reader: &mut Reader<'_>, name: &str) -> Result<u64, Problem> {
    Ok(reader.count_up_to(name, MAX_SESSION_TOKENS)?.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{Documents, WRITTEN_MS, keys, rows};

    const SESSION: &str = r#"{"sessionId":"s1","workspaceDirectory":"file:///w/app","chatModelTitle":"gpt-5","history":[{"message":{"role":"assistant","content":"x"}}],"usage":{"promptTokens":1000,"completionTokens":50,"promptTokensDetails":{"cachedTokens":600,"cacheWriteTokens":100},"totalCost":0.25}}"#;
    const USER: &str = r#"{"message":{"role":"user","content":"words"},"contextItems":[]}"#;
    const FIRST: &str = r#"{"message":{"role":"assistant","content":"","toolCalls":[{"id":"c1","type":"function","function":{"name":"Bash","arguments":"{}"}}],"usage":{"prompt_tokens":1348,"completion_tokens":68,"total_tokens":1416,"prompt_tokens_details":{"cached_tokens":311},"completion_tokens_details":{"reasoning_tokens":11},"model":"m1","cost_cents":0}}}"#;
    const SECOND: &str = r#"{"message":{"role":"assistant","content":"done","usage":{"prompt_tokens":20,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":30,"cache_read_tokens":30,"cache_write_tokens":5},"model":"claude-x"}}}"#;

    fn document(id: &str, history: &[&str], prompt: u64, answer: u64) -> String {
        let history = history.join(",");
        format!(
            r#"{{"sessionId":"{id}","workspaceDirectory":"/w/app","history":[{history}],"usage":{{"totalCost":0.1,"promptTokens":{prompt},"completionTokens":{answer},"promptTokensDetails":{{"cachedTokens":0,"cacheWriteTokens":0}}}}}}"#
        )
    }

    #[test]
    fn a_sessions_total_gives_differences() {
        let mut documents = Documents::new(read, "/c/sessions/s1.json");
        let found = documents.read(SESSION);
        assert_eq!(rows(&found), ["s1 gpt-5 300+50 r600 w100"]);
        assert_eq!(&*found.observations[0].who.project, "/w/app");
        assert_eq!(
            rows(&documents.read(&SESSION.replace("1000", "1100"))),
            ["s1 gpt-5 100+0 r0 w0"]
        );
        let claude = SESSION.replace("gpt-5", "Claude Opus").replace("s1", "s2");
        assert_eq!(
            rows(&documents.read(&claude)),
            ["s2 Claude Opus 1000+50 r600 w100"]
        );
        assert_eq!(
            rows(&documents.read("{\"sessionId\":\"s3\",\"usage\":null}")),
            [""; 0]
        );
        assert_eq!(documents.read("{\"usage\":{\"promptTokens\":-1}}").failures, 1);
    }

    #[test]
    fn answers_that_say_what_they_used_are_calls() {
        let mut documents = Documents::new(read, "/c/sessions/s1.json");
        let (first, second) = ("s1 m1 1037+68 r311 w0 reasoning 11", "s1 claude-x 20+7 r30 w5");
        // The sum runs ahead.
        let ahead = document("s1", &[USER], 1348, 68);
        assert_eq!(rows(&documents.read(&ahead)), [""; 0]);
        let found = documents.read(&document("s1", &[USER, FIRST], 1368, 75));
        assert_eq!(rows(&found), [first]);
        assert_eq!(&*found.observations[0].who.tool, "Bash");
        let found = documents.read(&document("s1", &[USER, FIRST, SECOND], 1368, 75));
        assert_eq!(rows(&found), [first, second]);
        // What nobody answered for stays in the sum.
        let squeezed = document("s1", &[USER, FIRST, SECOND], 1868, 95);
        let whole = "s1 claude-x 500+20 r0 w0";
        assert_eq!(rows(&documents.read(&squeezed)), [first, second]);
        documents.origin.mtime_ms += AT_REST_MS;
        let ahead = document("s1", &[USER, FIRST, SECOND, USER], 1968, 99);
        assert_eq!(rows(&documents.read(&ahead)), [first, second, whole]);
        assert_eq!(rows(&documents.read(&ahead)), [first, second]);
        let mut late = Documents::new(read, "/c/sessions/s1.json");
        late.origin.mtime_ms = WRITTEN_MS - AT_REST_MS;
        assert_eq!(rows(&late.read(&squeezed)), [first, second, whole]);
        assert_eq!(rows(&late.read(&squeezed)), [first, second]);
    }

    #[test]
    fn a_fork_repeats_its_parents_answers_under_the_same_keys() {
        let one = |document: &str| keys(&Documents::new(read, "/c/sessions/x.json").read(document));
        let parent = one(&document("s1", &[USER, FIRST, SECOND], 1368, 75));
        let fork = one(&document("s2", &[USER, FIRST, SECOND, USER, SECOND], 20, 7));
        assert_eq!((parent.len(), fork.len()), (2, 3));
        assert_eq!(fork[..2], parent);
        assert_ne!(fork[2], parent[1]);
        assert_ne!(one(&document("s3", &[FIRST], 0, 0))[0], parent[0]);
    }
}
