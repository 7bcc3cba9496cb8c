//! What the agent puts into a prompt unasked: memory, reminders, lists of tools, files.

use serde_json::Value;

use super::text::{plain, without_padding};
use crate::growth::{Growth, Hidden};

/// What has its text with it, and where that stands.
const TOLD: [(&str, &str); 17] = [
    ("nested_memory", "content"),
    ("edited_text_file", "snippet"),
    ("queued_command", "prompt"),
    ("hook_additional_context", "content"),
    ("deferred_tools_delta", "addedLines"),
    ("mcp_instructions_delta", "addedBlocks"),
    ("agent_listing_delta", "addedLines"),
    ("skill_listing", "content"),
    ("invoked_skills", "skills"),
    ("read_truncation_notice", "banner"),
    ("hook_blocking_error", "blockingError"),
    ("hook_success", "content"),
    ("task_status", "description"),
    ("task_status", "deltaSummary"),
    ("task_reminder", "content"),
    ("todo_reminder", "content"),
    ("file", "content"),
];
/// What is said to the model before the tasks that it has open, in a text that no transcript holds.
const REMINDERS: [&str; 2] = ["task_reminder", "todo_reminder"];
/// What the model is told in a sentence.
const SHORT: [&str; 9] = [
    "compact_file_reference",
    "date_change",
    "dynamic_skill",
    "plan_mode_exit",
    "ultra_effort_exit",
    "budget_usd",
    "total_tokens_reminder",
    "batching_reminder_sent",
    "silent_turn_reminder",
];
/// What the model does not see.
const SILENT: [&str; 4] = [
    "command_permissions",
    "hook_system_message",
    "hook_non_blocking_error",
    "hook_cancelled",
];
/// The moments of which the output of a hook reaches the model.
const HEARD: [&str; 2] = ["SessionStart", "UserPromptSubmit"];

/// Adds what is attached. Returns whether it is a file.
pub(super) fn add(attachment: &Value, growth: &mut Growth) -> bool {
    let kind = attachment["type"].as_str().unwrap_or_default();
    let heard = || {
        attachment["hookEvent"]
            .as_str()
            .is_some_and(|event| HEARD.contains(&event))
    };
    if SILENT.contains(&kind) || (kind == "hook_success" && !heard()) {
        return false;
    }
    if SHORT.contains(&kind) {
        growth.added.push(String::new());
        return false;
    }
    let mut told = TOLD.iter().filter(|(of, _)| *of == kind).peekable();
    if told.peek().is_none() {
        growth.hide(Hidden::Attached);
        return false;
    }
    let mut text = String::new();
    for (_, key) in told {
        match &attachment[key] {
            Value::Array(parts) => parts.iter().for_each(|part| add_part(part, &mut text, growth)),
            part => add_part(part, &mut text, growth),
        }
    }
    let reminder = REMINDERS.contains(&kind);
    growth.reminders += u64::from(reminder);
    if reminder || !text.is_empty() {
        growth.added.push(without_padding(&text));
    }
    kind == "file"
}

fn add_part(part: &Value, text: &mut String, growth: &mut Growth) {
    match part["type"].as_str() {
        Some("text") if part["text"].is_string() => plain(&part["text"], text),
        Some("image") => match image(part) {
            Some(data) => growth.images.push(data.to_owned()),
            None => growth.hide(Hidden::Attached),
        },
        Some("pdf" | "document" | "notebook" | "parts") => growth.hide(Hidden::Attached),
        _ => plain(part, text),
    }
}

/// The image of a block, in base64.
pub(super) fn image(block: &Value) -> Option<&str> {
    let data = [&block["source"]["data"], &block["file"]["base64"]];
    data.into_iter()
        .find_map(Value::as_str)
        .filter(|data| !data.is_empty())
}
