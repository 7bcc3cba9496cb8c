//! Codex: the items of a conversation in their order, and a line with the figures after each answer.

use serde_json::Value;

use super::Growth;
use crate::agents::values::instant;

/// Tokens around a reasoning, beside those that are billed as it: to the token in sixteen turns.
const AROUND_REASONING: u64 = 2;

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
            (Some("compacted"), _) => self.growth.unusual = true,
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
                self.appended().unusual = true;
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
        let mut plain = true;
        for part in [&item["content"], &item["output"]] {
            plain &= texts(part, &mut text);
        }
        if let tools @ Value::Array(_) = &item["tools"] {
            text.push_str(&tools.to_string());
        }
        let appended = self.appended();
        appended.unusual |= !plain;
        appended.added.push(text);
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
        growth.unusual |= searched;
        self.growth.unusual |= searched;
        self.answering = false;
        if let Some(before) = self.last.replace(call) {
            growth.unusual |= before.model != self.model;
            growth.model.clone_from(&self.model);
            growth.at_ms = line["timestamp"].as_str().and_then(instant).unwrap_or(0);
            (growth.before, growth.billed, growth.answer) = (before.prompt, prompt, before.answer);
            found.push(growth);
        }
    }
}

/// Adds the texts of a content; `false` when there is something else in it.
fn texts(content: &Value, to: &mut String) -> bool {
    match content {
        Value::String(text) => to.push_str(text),
        Value::Array(parts) => {
            return parts
                .iter()
                .fold(true, |plain, part| match part["text"].as_str() {
                    Some(text) => {
                        to.push_str(text);
                        plain
                    }
                    None => false,
                });
        }
        Value::Object(fields) => return fields.get("content").is_none_or(|content| texts(content, to)),
        _ => {}
    }
    true
}
