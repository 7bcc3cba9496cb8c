//! Whether a body has the shape that its provider takes: what would be refused there is not counted here, since a figure
//! for half of it would look like one for all of it.
//!
//! Only what carries text is looked at. Fields that are not known, and kinds of parts that are not, are let through: new
//! ones appear every month, and what they cost is said to be hidden.

use serde_json::Value;

use super::{Api, BadRequest};

const CONTENT: &str = "a text, a list of parts, or null";
const PARTS: &str = "a list of parts";

type Checked = Result<(), BadRequest>;

pub(super) fn check(api: Api, body: &Value) -> Checked {
    text_or_nothing("model", &body["model"])?;
    match api {
        Api::OpenAiChat => {
            messages(&body["messages"], "messages")?;
            objects(&body["functions"], "functions", "a list of functions")?;
        }
        Api::OpenAiResponses => {
            content(&body["instructions"], "instructions")?;
            input(&body["input"])?;
        }
        Api::Anthropic => {
            content(&body["system"], "system")?;
            messages(&body["messages"], "messages")?;
        }
        Api::Gemini => contents(&body["contents"])?,
    }
    objects(&body["tools"], "tools", "a list of tools")
}

fn messages(value: &Value, at: &str) -> Checked {
    for (index, message) in some(value, at, "a list of messages")?.iter().enumerate() {
        self::message(message, &format!("{at}[{index}]"))?;
    }
    Ok(())
}

fn message(message: &Value, at: &str) -> Checked {
    if !message.is_object() {
        return Err(malformed(
            at,
            message,
            "a message: an object with a role and a content",
        ));
    }
    if !message["role"].is_string() {
        return Err(malformed(
            &format!("{at}.role"),
            &message["role"],
            "a text, such as \"user\"",
        ));
    }
    content(&message["content"], &format!("{at}.content"))
}

fn input(value: &Value) -> Checked {
    let items = match value {
        Value::Null | Value::String(_) => return Ok(()),
        Value::Array(items) => items,
        other => return Err(malformed("input", other, "a text or a list of items")),
    };
    for (index, item) in items.iter().enumerate() {
        let at = format!("input[{index}]");
        match item["type"].as_str() {
            None | Some("message") => message(item, &at)?,
            Some("function_call_output" | "custom_tool_call_output") => {
                content(&item["output"], &format!("{at}.output"))?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn contents(value: &Value) -> Checked {
    const CONTENTS: &str = "a list of contents: objects with parts";
    for (index, item) in some(value, "contents", CONTENTS)?.iter().enumerate() {
        let at = format!("contents[{index}]");
        if !item.is_object() {
            return Err(malformed(&at, item, "an object with parts"));
        }
        // A single part may stand without a list.
        let parts = &item["parts"];
        let list = match parts {
            Value::Object(_) => std::slice::from_ref(parts),
            _ => some(parts, &format!("{at}.parts"), PARTS)?,
        };
        for (number, part) in list.iter().enumerate() {
            let at = format!("{at}.parts[{number}]");
            if !part.is_object() {
                return Err(malformed(&at, part, "an object"));
            }
            text_or_nothing(&format!("{at}.text"), &part["text"])?;
        }
    }
    Ok(())
}

fn content(value: &Value, at: &str) -> Checked {
    let parts = match value {
        Value::Null | Value::String(_) => return Ok(()),
        Value::Array(parts) => parts,
        other => return Err(malformed(at, other, CONTENT)),
    };
    for (index, part) in parts.iter().enumerate() {
        let at = format!("{at}[{index}]");
        let Some(kind) = part["type"].as_str() else {
            let allowed = "an object with a type";
            return Err(match part.is_object() {
                true => malformed(&format!("{at}.type"), &part["type"], "a text, such as \"text\""),
                false => malformed(&at, part, allowed),
            });
        };
        if matches!(kind, "text" | "input_text" | "output_text") && !part["text"].is_string() {
            return Err(malformed(&format!("{at}.text"), &part["text"], "a text"));
        }
    }
    Ok(())
}

/// A list that may be missing, of objects.
fn objects(value: &Value, at: &str, allowed: &'static str) -> Checked {
    let list = match value {
        Value::Null => return Ok(()),
        Value::Array(list) => list,
        other => return Err(malformed(at, other, allowed)),
    };
    match list.iter().enumerate().find(|(_, item)| !item.is_object()) {
        Some((index, item)) => Err(malformed(&format!("{at}[{index}]"), item, "an object")),
        None => Ok(()),
    }
}

fn text_or_nothing(at: &str, value: &Value) -> Checked {
    match value {
        Value::Null | Value::String(_) => Ok(()),
        other => Err(malformed(at, other, "a text")),
    }
}

/// A list with something in it.
fn some<'v>(value: &'v Value, at: &str, allowed: &'static str) -> Result<&'v [Value], BadRequest> {
    match value {
        Value::Array(list) if !list.is_empty() => Ok(list),
        other => Err(malformed(at, other, allowed)),
    }
}

fn malformed(at: &str, value: &Value, allowed: &'static str) -> BadRequest {
    let found = match value {
        Value::Null => "missing or null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(list) if list.is_empty() => "an empty list",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    BadRequest::Malformed {
        at: at.to_owned(),
        found,
        allowed,
    }
}
