//! Claude Code: every line of a conversation follows another; subagents have conversations of their own.

use std::collections::HashMap;

use serde_json::Value;

use super::Growth;
use crate::agents::values::instant;

/// Lines whose conversation is remembered in one file.
const MOST_LINES: usize = 100_000;
/// A prompt of fewer tokens is no call of the agent's: its instructions alone have more.
const LEAST_PROMPT: u64 = 2_000;
/// What is put into the prompt of what the agent attaches.
const ATTACHED: [&str; 9] = [
    "nested_memory",
    "edited_text_file",
    "file",
    "queued_command",
    "hook_additional_context",
    "deferred_tools_delta",
    "mcp_instructions_delta",
    "agent_listing_delta",
    "skill_listing",
];
/// Where its text stands.
const TEXTS: [&str; 5] = ["content", "snippet", "prompt", "addedLines", "addedBlocks"];
/// What is said to the model before the tasks that it has open, in a text that no transcript holds.
const REMINDERS: [&str; 2] = ["task_reminder", "todo_reminder"];
/// What the agent writes in place of an answer that was broken off. What there was of it is in no transcript.
const BROKEN_OFF: &str = "[Request interrupted by user]";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reader {
    chains: Vec<Chain>,
    /// Which conversation a line belongs to.
    of_line: HashMap<String, usize>,
}

/// One conversation.
#[derive(Debug, Default)]
struct Chain {
    session: String,
    sidechain: bool,
    /// The message of the call that was read last.
    message: String,
    call: Option<Call>,
    /// Since the last call began.
    growth: Growth,
    /// A prompt names a file that is read into it, and nothing says what was in that.
    mentions: bool,
    /// Thinking since the last prompt of the user, and before it.
    thought: Vec<String>,
    earlier: Vec<String>,
}

#[derive(Debug)]
struct Call {
    model: String,
    at_ms: i64,
    prompt: u64,
    answer: u64,
}

/// A conversation that rested so long is taken up without what was thought in it: no cache holds it any more.
const LONG_REST_MS: i64 = 60 * 60 * 1000;

impl Reader {
    pub(super) fn line(&mut self, line: &Value, found: &mut Vec<Growth>) {
        let kind = line["type"].as_str().unwrap_or_default();
        let at = self.chain(line);
        let chain = &mut self.chains[at];
        match kind {
            "assistant" => chain.answer(line, found),
            "user" => chain.user(line),
            "attachment" => chain.attached(&line["attachment"]),
            "system" if line["subtype"] == "compact_boundary" => chain.growth.unusual = true,
            _ => {}
        }
    }

    /// The conversation that the line belongs to: its parent's, or a new one.
    fn chain(&mut self, line: &Value) -> usize {
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        let sidechain = line["isSidechain"] == true;
        let session = text("sessionId");
        let fits = |chain: &Chain| chain.sidechain == sidechain && chain.session == session;
        let parent = self.of_line.get(text("parentUuid")).copied();
        let parent = parent.filter(|at| fits(&self.chains[*at]));
        // The main conversation has one chain, wherever it was taken up again.
        let main = || self.chains.iter().position(|chain| !sidechain && fits(chain));
        let at = parent.or_else(main).unwrap_or_else(|| {
            self.chains.push(Chain {
                session: session.to_owned(),
                sidechain,
                ..Chain::default()
            });
            self.chains.len() - 1
        });
        if self.of_line.len() < MOST_LINES
            && let Some(uuid) = line["uuid"].as_str()
        {
            self.of_line.insert(uuid.to_owned(), at);
        }
        at
    }
}

impl Chain {
    fn answer(&mut self, line: &Value, found: &mut Vec<Growth>) {
        let message = &line["message"];
        let usage = &message["usage"];
        let model = message["model"].as_str().unwrap_or_default();
        if !usage.is_object() || model == "<synthetic>" {
            self.growth.unusual = true;
            return;
        }
        let tokens = |key: &str| usage[key].as_u64().unwrap_or(0);
        let prompt = [
            "input_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
        ]
        .into_iter()
        .fold(0_u64, |sum, key| sum.saturating_add(tokens(key)));
        let id = message["id"].as_str().unwrap_or_default();
        if id.is_empty() || id != self.message {
            id.clone_into(&mut self.message);
            self.called(line, model, prompt, found);
        }
        if let Some(call) = &mut self.call {
            call.prompt = prompt;
            call.answer = call.answer.max(tokens("output_tokens"));
        }
        for block in message["content"].as_array().into_iter().flatten() {
            match block["type"].as_str() {
                Some("text") => self.say(&block["text"]),
                Some("thinking") => {
                    self.say(&block["thinking"]);
                    let thinking = block["thinking"].as_str().unwrap_or_default();
                    self.thought.push(thinking.to_owned());
                }
                Some("tool_use") => {
                    let mut text = block["name"].as_str().unwrap_or_default().to_owned();
                    plain(&block["input"], &mut text);
                    self.growth.said.push(text);
                }
                _ => {}
            }
        }
    }

    /// A call began: what was appended since the last one is told.
    fn called(&mut self, line: &Value, model: &str, prompt: u64, found: &mut Vec<Growth>) {
        let mut growth = std::mem::take(&mut self.growth);
        growth.unusual |= std::mem::take(&mut self.mentions);
        let at_ms = line["timestamp"].as_str().and_then(instant).unwrap_or(0);
        let call = Call {
            model: model.to_owned(),
            at_ms,
            prompt,
            answer: 0,
        };
        let Some(last) = self.call.replace(call) else {
            return;
        };
        if last.prompt < LEAST_PROMPT || prompt < LEAST_PROMPT {
            return;
        }
        growth.unusual |= last.model != model;
        growth.at_ms = at_ms;
        model.clone_into(&mut growth.model);
        (growth.before, growth.billed, growth.answer) = (last.prompt, prompt, last.answer);
        if forgets_thinking(model) {
            self.earlier.clear();
        } else {
            self.earlier.append(&mut growth.dropped);
            if at_ms - last.at_ms > LONG_REST_MS {
                growth.dropped = std::mem::take(&mut self.earlier);
            }
        }
        found.push(growth);
    }

    fn user(&mut self, line: &Value) {
        self.growth.unusual |= line["isCompactSummary"] == true;
        let content = &line["message"]["content"];
        if let Some(text) = content.as_str() {
            self.prompt();
            self.add(text);
        }
        for block in content.as_array().into_iter().flatten() {
            match block["type"].as_str() {
                Some("text") => {
                    self.prompt();
                    self.add(block["text"].as_str().unwrap_or_default());
                }
                Some("tool_result") => self.result(&block["content"]),
                _ => self.growth.unusual = true,
            }
        }
    }

    fn result(&mut self, content: &Value) {
        let mut text = content.as_str().unwrap_or_default().to_owned();
        for part in content.as_array().into_iter().flatten() {
            match part["text"].as_str() {
                Some(part) => text.push_str(part),
                None => self.growth.unusual = true,
            }
        }
        self.growth.added.push(without_padding(&text));
    }

    fn attached(&mut self, attachment: &Value) {
        let kind = attachment["type"].as_str().unwrap_or_default();
        let reminder = REMINDERS.contains(&kind);
        if !reminder && !ATTACHED.contains(&kind) {
            return;
        }
        let mut text = String::new();
        for key in TEXTS {
            match &attachment[key] {
                Value::Array(parts) => parts.iter().for_each(|part| plain(part, &mut text)),
                part => plain(part, &mut text),
            }
        }
        self.growth.reminders += u64::from(reminder);
        if reminder || !text.is_empty() {
            self.growth.added.push(without_padding(&text));
        }
        self.mentions &= kind != "file";
    }

    fn say(&mut self, text: &Value) {
        let text = text.as_str().unwrap_or_default();
        self.growth.said.push(text.to_owned());
    }

    fn add(&mut self, text: &str) {
        self.growth.unusual |= text == BROKEN_OFF;
        self.mentions |= mentions_file(text);
        self.growth.added.push(text.to_owned());
    }

    /// The user speaks: what was thought before is thought no more.
    fn prompt(&mut self) {
        self.growth.dropped.append(&mut self.thought);
    }
}

/// Whether there is something like `@docs/PLAN.md` in a prompt: the agent reads that file into it.
fn mentions_file(text: &str) -> bool {
    let mut words = text.split_whitespace();
    words.any(|word| {
        word.strip_prefix('@').is_some_and(|path| {
            let name = path.trim_end_matches(|end: char| end.is_ascii_punctuation());
            name.starts_with(|first: char| first.is_alphanumeric() || "./~".contains(first))
                && name.rsplit('/').next().is_some_and(|last| last.contains('.'))
        })
    })
}

/// Up to which models the thinking of earlier turns is left out of the prompt.
fn forgets_thinking(model: &str) -> bool {
    const OLD: [&str; 6] = [
        "claude-3",
        "sonnet-4-5",
        "haiku-4",
        "opus-4-1",
        "opus-4-2025",
        "sonnet-4-2025",
    ];
    OLD.iter().any(|old| model.contains(old))
}

/// The names and texts in a value, one to a line: that is how a tool's arguments reach the model, not as JSON.
fn plain(value: &Value, text: &mut String) {
    let line = |text: &mut String, part: &str| {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(part);
    };
    match value {
        Value::Null => {}
        Value::String(part) => line(text, part),
        Value::Object(fields) => {
            for (key, value) in fields {
                line(text, key);
                plain(value, text);
            }
        }
        other => line(text, &other.to_string()),
    }
}

/// A file that was read, without the blanks before the numbers of its lines: they are not billed.
fn without_padding(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let rest = line.trim_start_matches(' ');
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let numbered = digits > 0 && rest[digits..].starts_with('→');
        out.push_str(if numbered { rest } else { line });
    }
    out
}
