//! Codex: the items of a conversation in their order, and a line with the figures after each answer.

use serde_json::Value;

use super::{Growth, Hidden};
use crate::agents::values::instant;

/// Tokens around a reasoning, beside those that are billed as it: to the token in sixteen turns.
const AROUND_REASONING: u64 = 2;
/// How the agent tells the model that the user broke an answer off.
const BROKEN_OFF: &str = "<turn_aborted>";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reader {
    model: String,
    /// Sum of all calls at the last line with figures: the same line may come twice.
    total: u64,
    last: Option<Call>,
    /// What goes into the call that is being made.
    growth: Growth,
    /// What was appended after it began to answer: it goes into the next one.
    next: Growth,
    answering: bool,
    /// Tokens of reasoning since the user spoke last: they are left out when he speaks again.
    reasoned: u64,
    /// The provider searched the web in the call that is being made. What it found is billed with that call, not with
    /// the next one, and is nowhere in the file.
    searched: bool,
}

#[derive(Debug)]
struct Call {
    model: String,
    prompt: u64,
    answer: u64,
}

impl Reader {
    pub(super) fn line(&mut self, line: &Value, found: &mut Vec<Growth>) {
        let payload = &line["payload"];
        match (line["type"].as_str(), payload["type"].as_str()) {
            (Some("turn_context"), _) => {
                payload["model"]
                    .as_str()
                    .unwrap_or_default()
                    .clone_into(&mut self.model);
            }
            (Some("response_item"), Some(kind)) => self.item(kind, payload),
            (Some("event_msg"), Some("token_count")) => self.figures(line, &payload["info"], found),
            (Some("compacted"), _) => self.growth.hide(Hidden::Compacted),
            _ => {}
        }
    }

    fn item(&mut self, kind: &str, item: &Value) {
        let said = match kind {
            "message" => item["role"] == "assistant",
            "reasoning" => {
                self.reasoned = self.reasoned.saturating_add(AROUND_REASONING);
                true
            }
            "web_search_call" => {
                self.searched = true;
                true
            }
            "function_call" | "custom_tool_call" | "local_shell_call" | "tool_search_call" => true,
            "function_call_output" | "custom_tool_call_output" | "tool_search_output" => false,
            _ => {
                self.appended().hide(Hidden::Attached);
                return;
            }
        };
        if said {
            // Its bill tells what it came to.
            self.answering = true;
            return;
        }
        if item["role"] == "user" {
            self.growth.forgotten += std::mem::take(&mut self.reasoned);
        }
        let mut text = String::new();
        let mut images = Vec::new();
        let mut plain = true;
        for part in [&item["content"], &item["output"]] {
            plain &= texts(part, &mut text, &mut images);
        }
        if let tools @ Value::Array(_) = &item["tools"] {
            text.push_str(&tools.to_string());
        }
        let appended = self.appended();
        if !plain {
            appended.hide(Hidden::Attached);
        }
        if text.starts_with(BROKEN_OFF) {
            appended.hide(Hidden::Interrupted);
        }
        appended.images.append(&mut images);
        appended.added.push(text);
    }

    /// What goes into the next call.
    pub(super) fn next(&self, model: Option<&str>, at_ms: i64) -> Option<Growth> {
        let last = self.last.as_ref()?;
        let mut growth = self.growth.clone();
        growth.added.extend_from_slice(&self.next.added);
        growth.images.extend_from_slice(&self.next.images);
        growth.hidden = growth.hidden.or(self.next.hidden);
        if self.answering {
            growth.hide(Hidden::Unbilled);
        }
        let model = model.unwrap_or(&self.model);
        follow(&mut growth, last, model, at_ms);
        Some(growth)
    }

    /// Where something goes that comes now.
    fn appended(&mut self) -> &mut Growth {
        match self.answering {
            true => &mut self.next,
            false => &mut self.growth,
        }
    }

    fn figures(&mut self, line: &Value, info: &Value, found: &mut Vec<Growth>) {
        let total = info["total_token_usage"]["total_tokens"].as_u64().unwrap_or(0);
        let last = &info["last_token_usage"];
        let (Some(prompt), Some(answer)) = (last["input_tokens"].as_u64(), last["output_tokens"].as_u64())
        else {
            return;
        };
        if total == self.total {
            return;
        }
        self.total = total;
        let reasoning = last["reasoning_output_tokens"].as_u64().unwrap_or(0);
        self.reasoned = self.reasoned.saturating_add(reasoning);
        let call = Call {
            model: self.model.clone(),
            prompt,
            answer,
        };
        let mut growth = std::mem::take(&mut self.growth);
        self.growth = std::mem::take(&mut self.next);
        let searched = std::mem::take(&mut self.searched);
        growth.inflated = searched;
        if searched {
            self.growth.hide(Hidden::Searched);
        }
        self.answering = false;
        if let Some(before) = self.last.replace(call) {
            let at_ms = line["timestamp"].as_str().and_then(instant).unwrap_or(0);
            follow(&mut growth, &before, &self.model, at_ms);
            growth.billed = prompt;
            found.push(growth);
        }
    }
}

/// What a conversation grew by, as a step from the call before.
fn follow(growth: &mut Growth, before: &Call, model: &str, at_ms: i64) {
    if before.model != model {
        growth.hide(Hidden::Model);
    }
    model.clone_into(&mut growth.model);
    growth.at_ms = at_ms;
    (growth.before, growth.answer) = (before.prompt, before.answer);
}

/// Adds the texts and images of a content; `false` when there is something else in it.
fn texts(content: &Value, to: &mut String, images: &mut Vec<String>) -> bool {
    match content {
        Value::String(text) => to.push_str(text),
        Value::Array(parts) => {
            let mut plain = true;
            for part in parts {
                if let Some(text) = part["text"].as_str() {
                    to.push_str(text);
                } else if let Some((_, data)) = part["image_url"]
                    .as_str()
                    .and_then(|url| url.split_once("base64,"))
                {
                    images.push(data.to_owned());
                } else {
                    plain = false;
                }
            }
            return plain;
        }
        Value::Object(fields) => {
            return fields
                .get("content")
                .is_none_or(|content| texts(content, to, images));
        }
        _ => {}
    }
    true
}
