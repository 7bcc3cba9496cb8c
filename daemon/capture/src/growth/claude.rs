//! Claude Code: every line of a conversation follows another; subagents have conversations of their own.

mod attachment;
mod lines;
mod text;

use serde_json::Value;

use super::{Growth, Hidden};
use crate::agents::values::instant;
use lines::{Billed, Lines};
use text::{forgets_thinking, mentions_file, plain, without_padding};

/// Conversations in one file: a session and its subagents.
const MOST_CHAINS: usize = 1_024;
/// A prompt of fewer tokens is no call of the agent's: its instructions alone have more.
const LEAST_PROMPT: u64 = 2_000;
/// What the agent writes in place of an answer that was broken off. What there was of it is in no transcript.
const BROKEN_OFF: &str = "[Request interrupted by user]";
/// From this version on, a session that is taken up again keeps all results of calls that were made side by side; before,
/// those that the last line does not follow were lost.
const KEEPS_RESULTS: Version = (2, 1, 80);
/// Up to this version, the model was told of its own list of tasks whenever it had changed it.
const REPEATS_TASKS: Version = (1, 0, 60);
/// What it was told beside the list.
const TASKS_CHANGED: &str = "Your todo list has changed. Do not mention this to the user. Here are the latest contents \
                             of your todo list. Continue on with the tasks at hand if applicable.";
/// How the result of such a change begins.
const CHANGED_TASKS: &str = "Todos have been modified";

/// Major, minor, patch.
type Version = (u32, u32, u32);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reader {
    chains: Vec<Chain>,
    lines: Lines,
    /// The conversation of the last line, and of the last one that is no subagent's.
    latest: Option<usize>,
    main: Option<usize>,
}

/// One conversation.
#[derive(Debug, Clone, Default)]
struct Chain {
    session: String,
    sidechain: bool,
    /// The agent's own.
    version: Option<Version>,
    /// The message of the call that was read last.
    message: String,
    call: Option<Call>,
    /// Calls so far.
    calls: u32,
    /// The call that the conversation goes on from, when it is not the last one.
    rewound: Option<Billed>,
    /// What the first prompt was billed as.
    first: Option<u64>,
    /// Since the last call began.
    growth: Growth,
    /// A prompt names a file that is read into it, and nothing says what was in that.
    mentions: bool,
    /// Thinking since the last prompt of the user, and before it.
    thought: Vec<String>,
    earlier: Vec<String>,
    /// When something was appended last, since the last call: what waits to be sent is sent then, not when somebody asks.
    appended_at_ms: Option<i64>,
    /// The list of tasks that the model wrote last.
    tasks: String,
    /// The session was taken up again, and nothing was said in it since.
    taken_up: bool,
    /// The conversation was replaced by a summary since the last call.
    summed_up: bool,
}

#[derive(Debug, Clone)]
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
        let Some(at) = self.chain(line) else {
            return;
        };
        let chain = &mut self.chains[at];
        chain.taken_up |= chain.goes_on_elsewhere(line);
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        if kind == "user" && says_something(&line["message"]["content"]) {
            let from = self.lines.call(text("parentUuid"), at);
            chain.rewind(from.filter(|call| call.number < chain.calls));
        }
        let before = (chain.growth.said.len(), chain.growth.added.len());
        let calls = found.len();
        match kind {
            "assistant" => chain.answer(line, found),
            "user" => chain.user(line),
            "attachment" => chain.attached(&line["attachment"]),
            "system" => chain.noted(line),
            _ => {}
        }
        if kind == "assistant" || kind == "user" {
            self.latest = Some(at);
            self.main = if chain.sidechain { self.main } else { Some(at) };
        }
        // What this line itself adds to the prompts that follow.
        let (said, added) = if found.len() > calls { (0, 0) } else { before };
        let own = |texts: &[String], from: usize| texts.get(from..).unwrap_or_default().to_vec();
        let mut texts = own(&chain.growth.said, said);
        texts.append(&mut own(&chain.growth.added, added));
        let call = chain.call.as_ref().map_or_else(Billed::default, |call| Billed {
            number: chain.calls,
            prompt: call.prompt,
            answer: call.answer,
        });
        self.lines.add(text("uuid"), text("parentUuid"), at, call, texts);
        if kind == "user" || kind == "attachment" {
            chain.appended_at_ms = line["timestamp"]
                .as_str()
                .and_then(instant)
                .or(chain.appended_at_ms);
        }
        if line["subtype"] == "compact_boundary" {
            self.lines.forget(at);
        }
        let chain = &mut self.chains[at];
        if chain.taken_up && (kind == "assistant" || kind == "user") && !text("parentUuid").is_empty() {
            chain.taken_up = false;
            chain.growth.hide(Hidden::Resumed);
            if chain.version.is_some_and(|version| version < KEEPS_RESULTS) {
                chain.growth.lost.append(&mut self.lines.aside(text("uuid"), at));
            }
        }
    }

    /// What the conversation grew by since its last call.
    pub(super) fn next(&self, model: Option<&str>, at_ms: i64) -> Option<Growth> {
        let mut chain = self.chains[self.main.or(self.latest)?].clone();
        let model = model.map_or_else(
            || chain.call.as_ref().map(|call| call.model.clone()),
            |m| Some(m.to_owned()),
        );
        let last = chain.call.take()?;
        let at_ms = chain.appended_at_ms.unwrap_or(at_ms);
        (last.prompt >= LEAST_PROMPT).then(|| chain.step(&last, &model.unwrap_or_default(), at_ms))
    }

    /// The conversation that the line belongs to: its parent's, or a new one. `None`: there are too many.
    fn chain(&mut self, line: &Value) -> Option<usize> {
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        let sidechain = line["isSidechain"] == true;
        let session = text("sessionId");
        let fits = |chain: &Chain| chain.sidechain == sidechain && chain.session == session;
        let parent = self.lines.chain(text("parentUuid"));
        let parent = parent.filter(|at| fits(&self.chains[*at]));
        // The main conversation has one chain, wherever it was taken up again.
        let main = || self.chains.iter().position(|chain| !sidechain && fits(chain));
        parent.or_else(main).or_else(|| {
            let room = self.chains.len() < MOST_CHAINS;
            room.then(|| {
                self.chains.push(Chain {
                    session: session.to_owned(),
                    sidechain,
                    ..Chain::default()
                });
                self.chains.len() - 1
            })
        })
    }
}

impl Chain {
    /// Whether a line shows that the session was taken up again: the agent says so, or is another version.
    fn goes_on_elsewhere(&mut self, line: &Value) -> bool {
        let version = line["version"].as_str().and_then(version);
        let another = version.is_some() && self.version.is_some() && version != self.version;
        self.version = version.or(self.version);
        let hook = [&line["data"]["hookName"], &line["attachment"]["hookName"]];
        let resumes = hook.iter().any(|hook| *hook == "SessionStart:resume");
        let synthetic = line["message"]["model"] == "<synthetic>" && line["isApiErrorMessage"] != true;
        self.call.is_some() && (another || resumes || synthetic)
    }

    fn answer(&mut self, line: &Value, found: &mut Vec<Growth>) {
        let message = &line["message"];
        let usage = &message["usage"];
        let model = message["model"].as_str().unwrap_or_default();
        if !usage.is_object() || model == "<synthetic>" {
            self.growth.hide(if line["isApiErrorMessage"] == true {
                Hidden::Interrupted
            } else {
                Hidden::Resumed
            });
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
                    if block["input"]["todos"].is_array() {
                        self.tasks = block["input"]["todos"].to_string();
                    }
                }
                _ => {}
            }
        }
    }

    /// A call began: what was appended since the last one is told.
    fn called(&mut self, line: &Value, model: &str, prompt: u64, found: &mut Vec<Growth>) {
        let at_ms = line["timestamp"].as_str().and_then(instant).unwrap_or(0);
        let call = Call {
            model: model.to_owned(),
            at_ms,
            prompt,
            answer: 0,
        };
        self.calls = self.calls.saturating_add(1);
        if prompt >= LEAST_PROMPT {
            self.first.get_or_insert(prompt);
        }
        match self.call.replace(call) {
            Some(last) if last.prompt >= LEAST_PROMPT && prompt >= LEAST_PROMPT => {
                let mut growth = self.step(&last, model, at_ms);
                growth.billed = prompt;
                found.push(growth);
            }
            _ => {
                self.growth = Growth::default();
                (self.mentions, self.summed_up, self.rewound) = (false, false, None);
            }
        }
    }

    /// What was appended since the last call.
    fn step(&mut self, last: &Call, model: &str, at_ms: i64) -> Growth {
        let mut growth = std::mem::take(&mut self.growth);
        self.appended_at_ms = None;
        if std::mem::take(&mut self.mentions) {
            growth.hide(Hidden::File);
        }
        if last.model != model {
            growth.hide(Hidden::Model);
        }
        growth.at_ms = at_ms;
        model.clone_into(&mut growth.model);
        (growth.before, growth.answer) = (last.prompt, last.answer);
        if let Some(call) = self.rewound.take() {
            (growth.before, growth.answer) = (call.prompt, call.answer);
        }
        if std::mem::take(&mut self.summed_up) {
            // Only what was there at the beginning is there again, and the summary.
            growth.before = self.first.unwrap_or(last.prompt).min(last.prompt);
            growth.answer = 0;
            self.earlier.clear();
        } else if forgets_thinking(model) {
            self.earlier.clear();
        } else {
            self.earlier.append(&mut growth.dropped);
            if at_ms.saturating_sub(last.at_ms) > LONG_REST_MS {
                growth.dropped = std::mem::take(&mut self.earlier);
            }
        }
        growth
    }

    /// The user goes back to an earlier point, and on from there.
    fn rewind(&mut self, to: Option<Billed>) {
        if to.is_some() {
            self.rewound = to;
            self.thought.clear();
            self.growth = Growth {
                hidden: Some(Hidden::Rewound),
                ..Growth::default()
            };
        }
    }

    /// The agent notes something about the conversation.
    fn noted(&mut self, line: &Value) {
        match line["subtype"].as_str() {
            Some("compact_boundary") => self.sum_up(),
            // What the user ran beside the model, which the model is told.
            Some("local_command") => {
                let text = line["content"].as_str().unwrap_or_default();
                self.growth.added.push(text.to_owned());
            }
            Some("microcompact_boundary") => {
                let saved = line["microcompactMetadata"]["tokensSaved"].as_u64().unwrap_or(0);
                self.growth.forgotten = self.growth.forgotten.saturating_add(saved);
                self.growth.hide(Hidden::Compacted);
            }
            _ => {}
        }
    }

    /// What was said is said no more; what is said from now on stands in place of it.
    fn sum_up(&mut self) {
        self.thought.clear();
        self.summed_up = true;
        self.growth = Growth {
            hidden: Some(Hidden::Compacted),
            ..Growth::default()
        };
    }

    fn user(&mut self, line: &Value) {
        if line["isCompactSummary"] == true && !self.summed_up {
            self.sum_up();
        }
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
                _ => self.picture(block),
            }
        }
    }

    /// An image that can be measured; or something that cannot.
    fn picture(&mut self, block: &Value) {
        match attachment::image(block).filter(|_| block["type"] == "image") {
            Some(data) => self.growth.images.push(data.to_owned()),
            None => self.growth.hide(Hidden::Attached),
        }
    }

    fn result(&mut self, content: &Value) {
        let mut text = content.as_str().unwrap_or_default().to_owned();
        for part in content.as_array().into_iter().flatten() {
            match (part["text"].as_str(), part["type"].as_str()) {
                (Some(part), _) => text.push_str(part),
                (None, Some("tool_reference")) => self.growth.hide(Hidden::Tools),
                _ => self.picture(part),
            }
        }
        let changed = text.starts_with(CHANGED_TASKS);
        self.growth.added.push(without_padding(&text));
        if changed && self.version.is_some_and(|version| version <= REPEATS_TASKS) && !self.tasks.is_empty() {
            let told = format!("{TASKS_CHANGED}\n{}", std::mem::take(&mut self.tasks));
            self.growth.added.push(told);
        }
    }

    fn attached(&mut self, attached: &Value) {
        let file = attachment::add(attached, &mut self.growth);
        self.mentions &= !file;
    }

    fn say(&mut self, text: &Value) {
        let text = text.as_str().unwrap_or_default();
        self.growth.said.push(text.to_owned());
    }

    fn add(&mut self, text: &str) {
        if text == BROKEN_OFF {
            self.growth.hide(Hidden::Interrupted);
        }
        self.mentions |= mentions_file(text);
        self.growth.added.push(text.to_owned());
    }

    /// The user speaks: what was thought before is thought no more.
    fn prompt(&mut self) {
        self.growth.dropped.append(&mut self.thought);
    }
}

/// Whether a content is of the user's own, and not the result of a tool alone.
fn says_something(content: &Value) -> bool {
    let mut blocks = content.as_array().into_iter().flatten();
    content.is_string() || blocks.any(|block| block["type"] == "text")
}

/// A version as three numbers.
fn version(text: &str) -> Option<Version> {
    let mut parts = text.splitn(3, '.').map(|part| {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse::<u32>().ok()
    });
    Some((parts.next()??, parts.next()??, parts.next()??))
}
