//! Requests to Gemini: the tokens of the texts and up to three more; images by tiles, as documented.

use serde_json::Value;

use super::image;
use super::{Draft, PartKind, each};

pub(super) fn generate(draft: &mut Draft, body: &Value) {
    let system = either(body, "systemInstruction", "system_instruction");
    if system.is_object() {
        let part = draft.part(PartKind::System, "system");
        parts(draft, part, &system["parts"]);
    }
    for tool in each(&body["tools"]) {
        let declared = each(either(tool, "functionDeclarations", "function_declarations"));
        for function in declared {
            let part = draft.part(PartKind::Tool, function["name"].as_str().unwrap_or("function"));
            draft.guess(part, 10, 0, 30);
            draft.text(part, function.to_string());
        }
        if declared.is_empty()
            && let Some(kind) = tool.as_object().and_then(|tool| tool.keys().next())
        {
            let part = draft.part(PartKind::Tool, kind);
            draft.guess(part, 100, 0, 2_000);
        }
    }
    for (index, message) in each(&body["contents"]).iter().enumerate() {
        let role = message["role"].as_str().unwrap_or("user");
        let part = draft.part(PartKind::Message, format!("{index} {role}"));
        parts(draft, part, &message["parts"]);
    }
    if either(body, "cachedContent", "cached_content").is_string() {
        draft.hide("content that the provider kept");
    }
    let part = draft.part(PartKind::Framing, "request");
    draft.guess(part, 1, 0, 3);
}

/// The field by its name in JSON, or by the one in the protocol's definition.
fn either<'v>(value: &'v Value, json: &str, proto: &str) -> &'v Value {
    if value[json].is_null() {
        &value[proto]
    } else {
        &value[json]
    }
}

fn parts(draft: &mut Draft, part: usize, parts: &Value) {
    // A single part may stand without a list.
    let list = if parts.is_object() {
        std::slice::from_ref(parts)
    } else {
        each(parts)
    };
    for item in list {
        if let Some(text) = item["text"].as_str() {
            draft.text(part, text);
        }
        for (json, proto) in [
            ("functionCall", "function_call"),
            ("functionResponse", "function_response"),
        ] {
            let call = either(item, json, proto);
            if call.is_object() {
                draft.guess(part, 8, 0, 30);
                draft.text(part, call.to_string());
            }
        }
        let data = either(item, "inlineData", "inline_data");
        let file = either(item, "fileData", "file_data");
        if data.is_object() || file.is_object() {
            inline(draft, data);
        }
    }
}

fn inline(draft: &mut Draft, data: &Value) {
    let kind = either(data, "mimeType", "mime_type").as_str().unwrap_or_default();
    if kind.starts_with("image/")
        && let Some(size) = data["data"].as_str().and_then(image::of_base64)
    {
        let part = draft.part(PartKind::Image, "image");
        let tokens = image::gemini(size);
        draft.guess(part, tokens, 258, tokens + 258);
        return;
    }
    let part = draft.part(PartKind::Attachment, "data");
    // An image of unknown size, a page, a few seconds of film or sound, or hours of it.
    draft.guess(part, 1_000, 100, 100_000);
}
