//! Transcripts of Cursor's agents: `projects/*/agent-transcripts/<conversation>/<conversation>.jsonl`, those of subagents in
//! `subagents` beside it, and in former versions `<conversation>.txt`, with `<conversation>.json` beside it. They hold what was said and which tools were called
//! with what, but no time, model or figure, so a conversation is one estimate that grows: of its answers' length, at the
//! time when it was seen first.
//!
//! A conversation is known by its id, wherever its file lies. The editor's state is the better witness: what it has, no
//! transcript adds to, and what a transcript added before is taken back, by a better record of the same key that counts for
//! nothing.

use serde::{Deserialize, Serialize};
use tokmon_core::id::Key;
use tokmon_core::money::Pico;
use tokmon_core::observation::{CallKind, Confidence, Observation};
use tokmon_core::tokens::Tokens;

use super::{GUESSED, tokens_of};
use crate::agents::Notes;
use crate::agents::json::{Problem, Reader};
use crate::agents::lines::{restore, save};
use crate::agents::values::{is_uuid, subagent};

/// The folder of subagents' transcripts within their conversation's.
const SUBAGENTS: &str = "subagents";
/// What stands before a part of an answer in a text: what follows [`RESULT`] the model has not written.
const PARTS: [&str; 2] = ["[Thinking]", "[Tool call]"];
const RESULT: &str = "[Tool result]";

/// What is known from the last time.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    /// When the conversation was seen first, milliseconds; 0: not yet.
    first_ms: i64,
}

/// Reads a transcript of lines.
pub(super) fn lines(bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), Problem> {
    let (mut characters, mut offset) = (0u64, 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match said(line) {
            Ok(length) => characters = characters.saturating_add(length),
            // The last one may be half written.
            Err(problem) if line.ends_with(b"\n") => notes.fail(offset, problem.0),
            Err(_) => {}
        }
        offset += line.len() as u64;
    }
    book(characters, ".jsonl", notes);
    Ok(())
}

/// Reads a transcript that is a list.
pub(super) fn list(bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), Problem> {
    let mut characters = 0u64;
    let mut reader = Reader::new(bytes);
    if !reader.next_is(b'[')? {
        return Err(Problem("not a list of messages".into()));
    }
    reader.array(|reader| {
        let offset = reader.next_position()? as u64;
        match said(reader.raw()?) {
            Ok(length) => characters = characters.saturating_add(length),
            Err(problem) => notes.fail(offset, problem.0),
        }
        Ok(())
    })?;
    reader.end()?;
    book(characters, ".json", notes);
    Ok(())
}

/// Reads a transcript of text.
pub(super) fn text(bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), Problem> {
    let (mut characters, mut answers, mut result) = (0u64, false, false);
    for line in String::from_utf8_lossy(bytes).lines() {
        match line.trim() {
            "user:" => answers = false,
            "assistant:" | "A:" => (answers, result) = (true, false),
            part if part.starts_with(RESULT) => result = true,
            part => {
                // A result's text is indented.
                result &= part.is_empty() || line.starts_with([' ', '\t']);
                result &= !PARTS.iter().any(|begin| part.starts_with(begin));
                if answers && !result {
                    characters += line.chars().count() as u64 + 1;
                }
            }
        }
    }
    book(characters, ".txt", notes);
    Ok(())
}

/// The length of what the model said in a message: its text, and its tool calls' arguments.
fn said(line: &[u8]) -> Result<u64, Problem> {
    if line.trim_ascii().is_empty() {
        return Ok(0);
    }
    let (mut answers, mut characters) = (false, 0u64);
    let mut reader = Reader::new(line);
    let is_object = reader.object(|reader, key| {
        match key {
            b"role" => answers = reader.text()?.is_some_and(|role| role == "assistant"),
            b"message" => {
                reader.object(|reader, key| {
                    match key {
                        b"content" => characters = characters.saturating_add(content(reader)?),
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            // As lists have it.
            b"text" | b"toolCalls" => characters = characters.saturating_add(content(reader)?),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    if !is_object {
        return Err(Problem("not a JSON object".into()));
    }
    Ok(if answers { characters } else { 0 })
}

/// The length of a message: a text, or a list of blocks.
fn content(reader: &mut Reader<'_>) -> Result<u64, Problem> {
    if !reader.next_is(b'[')? {
        return length(reader);
    }
    let mut characters = 0u64;
    reader.array(|reader| {
        reader.object(|reader, key| {
            let more = match key {
                b"text" | b"thinking" | b"name" | b"toolName" => length(reader)?,
                b"input" | b"args" => reader.length()?,
                _ => {
                    reader.skip()?;
                    0
                }
            };
            characters = characters.saturating_add(more);
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(characters)
}

fn length(reader: &mut Reader<'_>) -> Result<u64, Problem> {
    Ok(reader.text()?.map_or(0, |text| text.chars().count() as u64))
}

fn book(characters: u64, ending: &str, notes: &mut Notes<'_>) {
    let conversation = notes.origin.name_without(ending).to_owned();
    // Only what Cursor names so: a copy beside it tells of the same conversation.
    if characters == 0 || !is_uuid(&conversation) || notes.knows(&in_state(&conversation)) {
        return;
    }
    let tokens = Tokens {
        output: tokens_of(characters),
        ..Tokens::default()
    };
    let mut known: Known = restore(&notes.state);
    if known.first_ms == 0 {
        known.first_ms = notes.origin.mtime_ms.min(notes.now_ms);
    }
    notes.state = save(&known);
    // Kept for whoever finds the conversation in the editor's state later.
    notes.since(&in_transcript(&conversation), tokens, None);
    let is_child = notes.origin.folder(1) == SUBAGENTS;
    let session = match is_child {
        true => notes.origin.folder(2).to_owned(),
        false => conversation.clone(),
    };
    let mut seen = notes.call(key(&conversation), known.first_ms, &session, "");
    seen.tokens = tokens;
    seen.kind = CallKind::Several;
    seen.confidence = Confidence::Estimated;
    seen.who.context = Some(GUESSED.into());
    // Any account of the editor's is the better one.
    seen.sidechain = true;
    if is_child {
        seen.place = subagent("subagent");
    }
    notes.book(seen);
}

/// The editor's state has a conversation: its transcript counts for nothing from now on, nor what it added before.
pub(super) fn supersede(conversation: &str, notes: &mut Notes<'_>) {
    if notes.knows(&in_state(conversation)) {
        return;
    }
    notes.since(&in_state(conversation), some(), None);
    if !notes.knows(&in_transcript(conversation)) {
        return;
    }
    let at_ms = notes.origin.mtime_ms.min(notes.now_ms);
    let nothing = notes.call(key(conversation), at_ms, conversation, "");
    notes.book(Observation {
        kind: CallKind::Several,
        confidence: Confidence::Estimated,
        reported_cost: Some(Pico::ZERO),
        ..nothing
    });
}

fn key(conversation: &str) -> Key {
    Key::new(0, &["cursor-transcript", conversation])
}

/// Under which names it is kept which conversations were found where.
fn in_state(conversation: &str) -> String {
    format!("{conversation} (state)")
}

fn in_transcript(conversation: &str) -> String {
    format!("{conversation} (transcript)")
}

/// A total that is one.
fn some() -> Tokens {
    Tokens {
        output: 1,
        ..Tokens::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::counters::Counters;
    use crate::agents::testing::{Documents, WRITTEN_MS, document, keys, origin, rows};

    const ID: &str = "0197a1b2-0000-4000-8000-00000000000a";
    const CHILD: &str = "0197a1b2-0000-4000-8000-00000000000b";

    fn path(id: &str) -> String {
        format!("/h/.cursor/projects/w-app/agent-transcripts/{id}/{id}.jsonl")
    }

    /// Answers of 70 characters each, which come to 20 tokens.
    fn transcript(answers: usize) -> String {
        let answer = format!(
            r#"{{"role":"assistant","message":{{"content":[{{"type":"text","text":"{}"}}]}}}}"#,
            "é".repeat(70)
        );
        let question = r#"{"role":"user","message":{"content":[{"type":"text","text":"<user_query>why?</user_query>"}]}}"#;
        format!(
            "{question}\n{}{}\n",
            format!("{answer}\n").repeat(answers),
            r#"{"type":"turn_ended","status":"success"}"#
        )
    }

    #[test]
    fn a_conversation_is_one_estimate_that_grows() {
        let mut documents = Documents::new(lines, &path(ID));
        let found = documents.read(&transcript(1));
        assert_eq!(rows(&found), [format!("{ID} unknown 0+20 r0 w0")]);
        let seen = &found.observations[0];
        assert_eq!(
            (seen.confidence, seen.kind),
            (Confidence::Estimated, CallKind::Several)
        );
        assert_eq!(seen.who.context.as_deref(), Some(GUESSED));
        documents.origin.mtime_ms += 60_000;
        let more = documents.read(&transcript(3));
        assert_eq!(rows(&more), [format!("{ID} unknown 0+60 r0 w0")]);
        assert_eq!(
            (keys(&more), more.observations[0].at_ms),
            (keys(&found), WRITTEN_MS)
        );
        assert!(more.observations[0].rank() > seen.rank());
        // Cut, and elsewhere: the same conversation, of which less is known.
        for other in [path(ID), path(ID).replace("w-app", "empty-window")] {
            let cut = document(lines, &other, &transcript(2));
            assert_eq!(keys(&cut), keys(&found));
            assert!(cut.observations[0].rank() < more.observations[0].rank());
        }
    }

    #[test]
    fn what_the_model_wrote_counts_and_nothing_else() {
        for (content, tokens) in [
            (r#""twenty-one characters""#, 6),
            (
                r#"[{"type":"text","text":"abcdefg"},{"type":"tool_use","name":"Read","input":{"p":"abc"}}]"#,
                7,
            ),
            (r#"[{"type":"thinking","thinking":"abcdefg"}]"#, 2),
            (r#"[{"type":"image","data":"abcdefghijklmnopq"}]"#, 0),
            (r#"[]"#, 0),
            (r#"null"#, 0),
            (r#"7"#, 0),
        ] {
            let line = format!(r#"{{"role":"assistant","message":{{"content":{content}}}}}"#);
            let found = document(lines, &path(ID), &line);
            let output: u64 = found.observations.iter().map(|seen| seen.tokens.output).sum();
            assert_eq!((output, found.failures), (tokens, 0), "{content}");
            let asked = document(lines, &path(ID), &line.replace("assistant", "user"));
            assert_eq!((asked.observations.len(), asked.failures), (0, 0), "{content}");
        }
        let list_path = path(ID).replace(".jsonl", ".json");
        let told = r#"[{"role":"user","text":"why?"},{"role":"assistant","text":"abcdefg","toolCalls":[{"toolName":"Read","args":{"p":"abc"}}]},{"role":"tool","toolResult":{"text":"long"}},7]"#;
        let found = document(list, &list_path, told);
        assert_eq!(
            (rows(&found), found.failures),
            (vec![format!("{ID} unknown 0+7 r0 w0")], 1)
        );
        assert_eq!(keys(&found), keys(&document(lines, &path(ID), &transcript(1))));
        let text_path = path(ID).replace(".jsonl", ".txt");
        let told = "user:\n<user_query>\nwhy?\n</user_query>\n\nassistant:\n[Thinking] abcd\nabcdefg\n[Tool call] Read\n  path=x\n\n[Tool result] Read\n  a long result\n\n  more\nabcdefg\n\nuser:\nassistant: said the user\n";
        assert_eq!(
            rows(&document(text, &text_path, told)),
            [format!("{ID} unknown 0+18 r0 w0")]
        );
    }

    #[test]
    fn what_is_broken_costs_only_itself() {
        let whole = transcript(1);
        for (text, calls, failures) in [
            (String::new(), 0, 0),
            (format!("{whole}{{\"role\":"), 1, 0),
            (format!("{{\"role\":\n{whole}"), 1, 1),
            (format!("[1]\nnull\n\n{whole}"), 1, 2),
            (whole.replace("é", "\\ud800"), 1, 0),
            ("\u{0}\u{1}\n".to_owned(), 0, 1),
        ] {
            let found = document(lines, &path(ID), &text);
            assert_eq!(
                (found.observations.len(), found.failures),
                (calls, failures),
                "{text:?}"
            );
        }
        let mut notes_found = Documents::new(lines, &path(ID));
        assert_eq!(rows(&notes_found.read(&whole)).len(), 1);
        // Not Cursor's own name: a copy beside it.
        for other in [format!("{ID} copy"), "notes".to_owned(), format!("{ID}-2")] {
            assert_eq!(rows(&document(lines, &path(&other), &whole)), [""; 0]);
        }
        let child = format!("/h/.cursor/projects/w/agent-transcripts/{ID}/subagents/{CHILD}.jsonl");
        let found = document(lines, &child, &whole);
        assert_eq!(rows(&found), [format!("{ID} unknown 0+20 r0 w0")]);
        assert_eq!(
            &*found.observations[0].place.as_ref().unwrap().subagent,
            "subagent"
        );
    }

    #[test]
    fn the_editors_own_state_is_the_better_witness_in_any_order() {
        let (transcripts, state) = (origin(&path(ID)), origin("/h/state.vscdb"));
        let now_ms = WRITTEN_MS + 1_000;
        let mut counters = Counters::default();
        let read = |counters: &mut Counters| {
            let mut notes = Notes::new("cursor", &transcripts, now_ms, Vec::new(), counters);
            lines(transcript(1).as_bytes(), &mut notes).unwrap();
            notes.close().0
        };
        let found_there = |counters: &mut Counters| {
            let mut notes = Notes::new("cursor", &state, now_ms, Vec::new(), counters);
            supersede(ID, &mut notes);
            notes.close().0
        };
        let before = read(&mut counters);
        let after = found_there(&mut counters);
        assert_eq!(keys(&after), keys(&before));
        assert_eq!(after.observations[0].tokens.total(), 0);
        assert!(after.observations[0].rank() > before.observations[0].rank());
        assert_eq!(rows(&found_there(&mut counters)), [""; 0]);
        assert_eq!(rows(&read(&mut counters)), [""; 0]);
        // Also after a restart, and when nothing has to be taken back.
        let mut kept = counters.take();
        assert_eq!(rows(&read(&mut Counters::load(&mut kept))), [""; 0]);
        let mut counters = Counters::default();
        assert_eq!(rows(&found_there(&mut counters)), [""; 0]);
        assert_eq!(rows(&read(&mut counters)), [""; 0]);
    }
}
