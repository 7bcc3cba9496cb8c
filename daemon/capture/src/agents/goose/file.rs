//! A session's file, as versions before October 2025 wrote it: a line about the session, rewritten with the file, and a
//! line for each message, which say nothing of usage. Which model it was nobody wrote down.
//!
//! A newer version takes these files into its database, under the same ids and with the same totals.

use std::borrow::Cow;

use tokmon_core::observation::{CallKind, Confidence};

use super::{Used, of_latest};
use crate::agents::Notes;
use crate::agents::json::{Problem, Reader};
use crate::agents::values::MAX_SESSION_TOKENS;

/// Reads the first line.
pub(super) fn read(bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), Problem> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.trim_ascii().is_empty() {
        return Ok(());
    }
    let (mut whole, mut last, mut is_whole) = (Used::default(), Used::default(), false);
    let mut project: Option<Cow<'_, str>> = None;
    let mut reader = Reader::new(line);
    let is_object = reader.object(|reader, key| {
        let used = match key {
            b"accumulated_total_tokens" => ("accumulated_total_tokens", &mut whole.all),
            b"accumulated_input_tokens" => ("accumulated_input_tokens", &mut whole.input),
            b"accumulated_output_tokens" => ("accumulated_output_tokens", &mut whole.output),
            b"total_tokens" => ("total_tokens", &mut last.all),
            b"input_tokens" => ("input_tokens", &mut last.input),
            b"output_tokens" => ("output_tokens", &mut last.output),
            b"working_dir" => {
                project = reader.text()?;
                return Ok(());
            }
            _ => return reader.skip(),
        };
        let told = reader.count_up_to(used.0, MAX_SESSION_TOKENS)?;
        is_whole |= told.is_some() && used.0.starts_with("accumulated");
        *used.1 = told.unwrap_or(0);
        Ok(())
    })?;
    reader.end()?;
    if !is_object {
        return Err(Problem("its first line is no JSON object".into()));
    }
    // The very first versions kept the latest call's figures only.
    let used = if is_whole { whole } else { last };
    let session = notes.origin.name_without(".jsonl").to_owned();
    let name = if is_whole { &session } else { &of_latest(&session) };
    let Some(step) = notes.since(name, used.tokens(), None) else {
        return Ok(());
    };
    let at_ms = notes.origin.mtime_ms.min(notes.now_ms);
    let mut seen = notes.call(step.key, at_ms, &session, "");
    seen.who.project = notes.names.get(project.as_deref().unwrap_or_default());
    seen.tokens = step.tokens;
    seen.kind = CallKind::Several;
    if !is_whole {
        seen.confidence = Confidence::Estimated;
    }
    notes.book(seen);
    Ok(())
}
