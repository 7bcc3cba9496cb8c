//! Requests to OpenAI's models.
//!
//! A chat is `Σ (3 + role + content [+ 1 + name]) + 3`: 544 of 546 recorded requests to GPT-3.5 to 4.1 were billed so;
//! GPT-5 and the o-series count one less, 25 of 25. A plain request to `/responses` counts the same. Tools are written
//! as TypeScript ([`super::schema`]) with some tokens around them: exact for a third of the recorded requests, and
//! 4 % off on average, nested descriptions and enumerations being what differs.

use serde_json::Value;

use super::image::{self, OpenAi};
use super::{Draft, PartKind, each, schema};
use crate::Encoding;

/// Tools differ from the rule by this many parts in a hundred of their text, in nine requests of ten.
const TOOL_BAND: (u64, u64) = (10, 15);

pub(super) fn chat(draft: &mut Draft, body: &Value) {
    let mut has_system = false;
    for (index, message) in each(&body["messages"]).iter().enumerate() {
        let role = message["role"].as_str().unwrap_or("user");
        has_system |= matches!(role, "system" | "developer");
        let part = self::message(draft, index, role, message);
        if let Some(name) = message["name"].as_str() {
            draft.fixed(part, 1);
            draft.text(part, name);
        }
        for call in each(&message["tool_calls"]) {
            function_call(draft, part, &call["function"]);
        }
        if message["function_call"].is_object() {
            function_call(draft, part, &message["function_call"]);
        }
        if let Some(refusal) = message["refusal"].as_str() {
            draft.optional(part, refusal);
        }
    }
    let newer = is_newer(draft);
    let around = match (newer, has_system) {
        (false, true) => 5,
        (false, false) => 9,
        (true, true) => 85,
        (true, false) => 89,
    };
    tools(draft, body, around, around + 13);
    response_format(draft, &body["response_format"]["json_schema"]);
    closing(draft);
}

pub(super) fn responses(draft: &mut Draft, body: &Value) {
    if let Some(instructions) = body["instructions"].as_str() {
        let part = draft.part(PartKind::System, "instructions");
        around_message(draft, part);
        draft.text(part, "system");
        draft.text(part, instructions);
    }
    if let Some(input) = body["input"].as_str() {
        let part = draft.part(PartKind::Message, "0 user");
        around_message(draft, part);
        draft.text(part, "user");
        draft.text(part, input);
    }
    for (index, item) in each(&body["input"]).iter().enumerate() {
        match item["type"].as_str() {
            Some("function_call" | "custom_tool_call") => {
                let part = draft.part(PartKind::Message, format!("{index} call"));
                around_message(draft, part);
                function_call(draft, part, item);
                draft.text(part, item["input"].as_str().unwrap_or_default());
            }
            Some("function_call_output" | "custom_tool_call_output") => {
                let part = draft.part(PartKind::Message, format!("{index} tool"));
                around_message(draft, part);
                draft.guess(part, 1, 0, 12);
                content(draft, part, &item["output"]);
            }
            Some("reasoning") => {
                let part = draft.part(PartKind::Message, format!("{index} reasoning"));
                for summary in each(&item["summary"]) {
                    draft.optional(part, summary["text"].as_str().unwrap_or_default());
                }
                // Sealed: about four characters of it stand for three bytes of text.
                let sealed = item["encrypted_content"].as_str().map_or(0, str::len) as u64;
                draft.guess(part, sealed / 8, 0, sealed / 3);
            }
            Some("item_reference") => draft.hide("an item that the provider kept"),
            None | Some("message") => {
                let role = item["role"].as_str().unwrap_or("user");
                message(draft, index, role, item);
            }
            Some(kind) => draft.hide_kind(kind),
        }
    }
    for (key, what) in [
        ("previous_response_id", "the conversation that the provider kept"),
        ("conversation", "the conversation that the provider kept"),
        ("prompt", "a prompt that the provider kept"),
    ] {
        if !body[key].is_null() {
            draft.hide(what);
        }
    }
    let newest = ["gpt-5.2", "gpt-5.4", "gpt-5.6"];
    let around = match draft.name.as_str() {
        name if newest.iter().any(|newest| name.starts_with(newest)) => 22,
        _ if is_newer(draft) => 8,
        _ => 3,
    };
    tools(draft, body, around, around + 2);
    response_format(draft, &body["text"]["format"]["schema"]);
    closing(draft);
}

/// GPT-5 and the o-series.
fn is_newer(draft: &Draft) -> bool {
    let name = draft.name.as_str();
    ["gpt-5", "o1", "o3", "o4"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn message(draft: &mut Draft, index: usize, role: &str, message: &Value) -> usize {
    let kind = match role {
        "system" | "developer" => PartKind::System,
        _ => PartKind::Message,
    };
    let part = draft.part(kind, format!("{index} {role}"));
    around_message(draft, part);
    draft.text(part, role);
    content(draft, part, &message["content"]);
    part
}

fn around_message(draft: &mut Draft, part: usize) {
    draft.fixed(part, 3);
}

/// A message's content: a text, or a list of texts and other things.
fn content(draft: &mut Draft, part: usize, content: &Value) {
    if let Some(text) = content.as_str() {
        draft.text(part, text);
    }
    let items = each(content);
    if items.len() > 1 {
        // Recorded bills had one text each; several may meet within a token.
        let most = items.len() as u64;
        draft.guess(part, 0, 0, most);
    }
    for item in items {
        match item["type"].as_str() {
            Some("image_url") => image(draft, &item["image_url"]["url"], &item["image_url"]["detail"]),
            Some("input_image") => image(draft, &item["image_url"], &item["detail"]),
            Some("input_audio") => {
                // Ten tokens for each second; a second of compressed sound has from 4 to 40 KB.
                let bytes = item["input_audio"]["data"].as_str().map_or(0, str::len) as u64 * 3 / 4;
                let sound = draft.part(PartKind::Attachment, "audio");
                draft.guess(sound, bytes / 1600, bytes / 8000, bytes / 400);
            }
            Some("file" | "input_file") => {
                let file = draft.part(PartKind::Attachment, "file");
                let bytes = item["file"]["file_data"].as_str().or(item["file_data"].as_str());
                super::anthropic::document(draft, file, bytes);
            }
            kind => {
                let texts = ["text", "refusal"].map(|key| item[key].as_str());
                if texts == [None, None] {
                    draft.hide_kind(kind.unwrap_or_default());
                }
                for text in texts.into_iter().flatten() {
                    draft.text(part, text);
                }
            }
        }
    }
}

fn image(draft: &mut Draft, url: &Value, detail: &Value) {
    let part = draft.part(PartKind::Image, "image");
    let rule = OpenAi::of(&draft.name);
    let low_detail = detail == "low";
    if let Some(size) = image::of_url(url) {
        let tokens = rule.tokens(size, low_detail);
        // Billed so for every size that was tried, but for a token or two where patches are rounded.
        draft.guess(part, tokens, tokens.saturating_sub(2), tokens + 2);
        return;
    }
    let of = |width, height| rule.tokens(image::Size { width, height }, low_detail);
    draft.guess(
        part,
        of(1024, 1024),
        of(1, 1),
        of(2048, 768).max(of(1024, 1024)).max(of(1536, 1024)),
    );
}

/// One token for a call, its name, its arguments; what else stands around them was not measured.
fn function_call(draft: &mut Draft, part: usize, call: &Value) {
    draft.guess(part, 1, 0, 12);
    for key in ["name", "arguments"] {
        draft.text(part, call[key].as_str().unwrap_or_default());
    }
}

fn tools(draft: &mut Draft, body: &Value, around: u64, most: u64) {
    let mut functions = 0;
    let declared = each(&body["tools"]).iter();
    for tool in declared.chain(each(&body["functions"])) {
        let kind = tool["type"].as_str().unwrap_or("function");
        // In a chat the function is inside, in a response it is the tool itself.
        let function = if tool["function"].is_object() {
            &tool["function"]
        } else {
            tool
        };
        let name = function["name"].as_str().unwrap_or(kind);
        let part = draft.part(PartKind::Tool, name);
        if kind != "function" && tool.get("parameters").is_none() {
            built_in(draft, part, kind);
            continue;
        }
        functions += 1;
        let text = schema::function(function);
        let share = |hundredths: u64| (text.len() as u64 / 4) * hundredths / 100;
        let slack = share(TOOL_BAND.1);
        draft.guess(part, 0, 0, slack);
        draft.text(part, text);
    }
    if functions > 0 {
        let part = draft.part(PartKind::Framing, "tools");
        draft.guess(part, around, around.saturating_sub(TOOL_BAND.0), most);
        draft.text(part, schema::HEAD);
        draft.text(part, schema::FOOT);
    }
}

/// What OpenAI's own tools were seen to add.
fn built_in(draft: &mut Draft, part: usize, kind: &str) {
    let old = draft.name.starts_with("gpt-4");
    let first = ["gpt-5.2", "gpt-5.4", "gpt-5.6"]
        .iter()
        .all(|later| !draft.name.starts_with(later));
    let (tokens, low, high) = match kind {
        kind if kind.starts_with("web_search_preview") && old => (294, 280, 320),
        kind if kind.starts_with("web_search_preview") => (4_300, 4_000, 4_800),
        kind if kind.starts_with("web_search") && first => (9_600, 9_000, 10_200),
        kind if kind.starts_with("web_search") => (8_400, 8_000, 8_900),
        "code_interpreter" => (1_300, 1_200, 4_000),
        "image_generation" => (340, 300, 1_000),
        "file_search" => (1_000, 800, 2_000),
        "mcp" => (1_000, 800, 10_000),
        _ => (500, 0, 5_000),
    };
    draft.guess(part, tokens, low, high);
}

fn response_format(draft: &mut Draft, schema: &Value) {
    if schema.is_object() {
        let part = draft.part(PartKind::Framing, "response format");
        let text = schema.to_string();
        draft.guess(part, 20, 0, 60 + text.len() as u64 / 8);
        draft.text(part, text);
    }
}

fn closing(draft: &mut Draft) {
    let part = draft.part(PartKind::Framing, "request");
    draft.fixed(part, if is_newer(draft) { 2 } else { 3 });
    if draft.profile.encoding == Encoding::O200kHarmony {
        // Who serves these puts a preamble before them: 60 to 63 tokens where it was seen.
        draft.guess(part, 62, 0, 80);
    }
}
