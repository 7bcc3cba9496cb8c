//! Requests to Claude.
//!
//! There is no public tokenizer: the text is an estimate ([`crate::model`]). A short message was billed 7 tokens more
//! than its text most often; a block of a tool's call or result costs 26 to 38 more. Tools bring a prompt of their own,
//! whose size differs by generation; the documented figures and those that recorded bills left over agree within 60.

use serde_json::Value;

use super::image;
use super::{Draft, PartKind, each};

pub(super) fn messages(draft: &mut Draft, body: &Value) {
    if let Some(text) = body["system"].as_str() {
        let part = draft.part(PartKind::System, "system");
        draft.text(part, text);
    }
    for (index, block) in each(&body["system"]).iter().enumerate() {
        let part = draft.part(PartKind::System, format!("system {index}"));
        draft.text(part, block["text"].as_str().unwrap_or_default());
        draft.guess(part, 1, 0, 4);
    }
    let tools = each(&body["tools"]);
    for tool in tools {
        self::tool(draft, tool);
    }
    if !tools.is_empty() && body["tool_choice"]["type"] != "none" {
        let forced = matches!(body["tool_choice"]["type"].as_str(), Some("any" | "tool"));
        let part = draft.part(PartKind::Framing, "tools");
        let (tokens, low, high) = tool_prompt(&draft.name, forced);
        draft.guess(part, tokens, low, high);
    }
    for (index, message) in each(&body["messages"]).iter().enumerate() {
        let role = message["role"].as_str().unwrap_or("user");
        let part = draft.part(PartKind::Message, format!("{index} {role}"));
        draft.guess(part, 4, 2, 8);
        content(draft, part, &message["content"]);
    }
    for (key, what) in [
        ("container", "files in a container"),
        ("mcp_servers", "tools of remote servers"),
    ] {
        if body[key].is_object() || !each(&body[key]).is_empty() {
            draft.hide(what);
        }
    }
    let part = draft.part(PartKind::Framing, "request");
    draft.guess(part, 3, 2, 12);
    if body["thinking"]["type"] == "enabled" || body["thinking"]["type"] == "adaptive" {
        draft.guess(part, 8, 0, 30);
    }
}

/// Whether this is a model of the tokenizer that came with Opus 4.7.
fn is_newer(draft: &Draft) -> bool {
    draft.profile == crate::model::CLAUDE_NEWER
}

/// The prompt that makes a model use tools: usual, least, most.
fn tool_prompt(name: &str, forced: bool) -> (u64, u64, u64) {
    let has = |part: &str| name.contains(part);
    let (auto, any) = match () {
        () if has("3-5-haiku") || has("3.5-haiku") => (217, 310),
        () if has("3-opus") => (530, 281),
        () if has("claude-3") => (264, 340),
        () if ["4-5", "4.5", "4-6", "4.6"].iter().any(|version| has(version)) => (452, 545),
        () if has("sonnet-5") => (333, 333),
        () => (290, 290),
    };
    let tokens = if forced { any } else { auto };
    (tokens, tokens.min(250), tokens + 150)
}

fn tool(draft: &mut Draft, tool: &Value) {
    let kind = tool["type"].as_str().unwrap_or("custom");
    let name = tool["name"].as_str().unwrap_or(kind);
    let part = draft.part(PartKind::Tool, name);
    if tool["input_schema"].is_object() {
        draft.guess(part, 50, 20, 80);
        for key in ["name", "description"] {
            draft.text(part, tool[key].as_str().unwrap_or_default());
        }
        draft.text(part, tool["input_schema"].to_string());
        return;
    }
    // Anthropic's own tools.
    let (tokens, low, high) = match kind {
        kind if kind.starts_with("bash") => (245, 200, 300),
        kind if kind.starts_with("text_editor") => (700, 450, 800),
        kind if kind.starts_with("computer") => (735, 450, 1_000),
        kind if kind.starts_with("tool_search") => (450, 300, 600),
        _ => (1_000, 100, 3_000),
    };
    draft.guess(part, tokens, low, high);
}

fn content(draft: &mut Draft, part: usize, content: &Value) {
    if let Some(text) = content.as_str() {
        draft.text(part, text);
    }
    for block in each(content) {
        match block["type"].as_str() {
            Some("image") => image(draft, &block["source"]),
            Some("document") => {
                let part = draft.part(PartKind::Attachment, "document");
                match block["source"]["type"].as_str() {
                    Some("text") => draft.text(part, block["source"]["data"].as_str().unwrap_or_default()),
                    Some("content") => self::content(draft, part, &block["source"]["content"]),
                    _ => document(draft, part, block["source"]["data"].as_str()),
                }
            }
            Some("tool_use" | "server_tool_use") => {
                draft.guess(part, 30, 15, 45);
                draft.text(part, block["name"].as_str().unwrap_or_default());
                draft.text(part, block["input"].to_string());
            }
            Some("tool_result") => {
                draft.guess(part, 30, 15, 45);
                self::content(draft, part, &block["content"]);
            }
            // Of earlier turns it is left out, within a turn it stays.
            Some("thinking") => draft.optional(part, block["thinking"].as_str().unwrap_or_default()),
            Some("redacted_thinking") => {
                let sealed = block["data"].as_str().map_or(0, str::len) as u64;
                draft.guess(part, sealed / 8, 0, sealed / 3);
            }
            kind => match block["text"].as_str() {
                Some(text) => draft.text(part, text),
                None => draft.hide_kind(kind.unwrap_or_default()),
            },
        }
    }
}

fn image(draft: &mut Draft, source: &Value) {
    let part = draft.part(PartKind::Image, "image");
    let newer = is_newer(draft);
    match source["data"].as_str().and_then(image::of_base64) {
        Some(size) => {
            let tokens = image::anthropic(size, newer);
            draft.guess(part, tokens, tokens.saturating_sub(6), tokens + 6);
        }
        None => {
            let (usual, most) = if newer { (2_000, 4_790) } else { (1_300, 1_575) };
            draft.guess(part, usual, 10, most);
        }
    }
}

/// A document of pages: 1,500 to 3,000 tokens each, and a page has from 10 to 200 KB.
pub(super) fn document(draft: &mut Draft, part: usize, base64: Option<&str>) {
    let bytes = base64.map_or(200_000, |text| text.len() as u64 * 3 / 4);
    let pages = |size: u64| bytes.div_ceil(size).max(1);
    draft.guess(part, 2_250 * pages(50_000), 500, 3_000 * pages(10_000));
}
