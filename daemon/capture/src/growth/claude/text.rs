//! Texts as the model sees them, not as the transcript writes them down.

use serde_json::Value;

/// Whether there is something like `@docs/PLAN.md` in a prompt: the agent reads that file into it.
pub(super) fn mentions_file(text: &str) -> bool {
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
pub(super) fn forgets_thinking(model: &str) -> bool {
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
pub(super) fn plain(value: &Value, text: &mut String) {
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
pub(super) fn without_padding(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let rest = line.trim_start_matches(' ');
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let numbered = digits > 0 && rest[digits..].starts_with('→');
        out.push_str(if numbered { rest } else { line });
    }
    out
}
