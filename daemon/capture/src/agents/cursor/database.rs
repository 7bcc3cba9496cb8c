//! The editor's own `state.vscdb`, in which a key for each message ("bubble") of a conversation ("composer") holds it as
//! JSON.
//!
//! The figures were exact once and are zero in later versions; then the answer's length is all there is to go by.

use std::collections::HashMap;
use std::path::Path;

use tokmon_core::id::Key;
use tokmon_core::observation::Confidence;
use tokmon_core::tokens::Tokens;

use super::{GUESSED, tokens_of, transcript};
use crate::agents::Notes;
use crate::agents::database::{Mark, settled};
use crate::agents::json::{Problem, Reader};
use crate::agents::values::instant;
use crate::sqlite::{Row, Snapshot, Table, Trouble};

/// Bubbles that are taken from one look.
const BUBBLES_A_LOOK: usize = 1_000;

/// An answer.
#[derive(Debug, Default)]
struct Bubble {
    composer: String,
    id: String,
    is_answer: bool,
    at_ms: Option<i64>,
    model: String,
    input: u64,
    output: u64,
    /// Length of what is visible of it, in characters at most.
    visible: u64,
    /// The provider's id of the request.
    request: String,
}

/// What a conversation adds.
#[derive(Debug, Default, Clone)]
struct Composer {
    model: String,
    created_ms: Option<i64>,
}

/// Reads what is new in the editor's state.
pub(super) fn read(path: &Path, notes: &mut Notes<'_>) -> Result<(), Trouble> {
    let before = Mark::load(&notes.state);
    // The keys first: values are long, and most are of other things.
    let (bubbles, mark, all) = settled(path, |snapshot| {
        let mut mark = before.clone();
        // Nobody has talked to a model yet.
        if !snapshot.has("cursorDiskKV")? {
            return Ok((Vec::new(), mark, true));
        }
        let keys = snapshot.table("cursorDiskKV", &["key"], &[])?;
        let (bubbles, all) = mark.read(snapshot, &keys, |row| {
            let key = row.value(0)?;
            Ok((key.text().and_then(parts).map(|_| ()), false))
        })?;
        Ok((bubbles, mark, all))
    })?;
    for part in bubbles.chunks(BUBBLES_A_LOOK) {
        let (bubbles, composers) = settled(path, |snapshot| take(snapshot, part))?;
        for (row, bubble) in bubbles {
            match bubble {
                Ok(bubble) => book(bubble, &composers, row.cast_unsigned(), notes),
                Err(problem) => notes.fail(row.cast_unsigned(), problem.0),
            }
        }
    }
    (notes.state, notes.more) = (mark.save(), !all);
    Ok(())
}

/// The conversation and the message in a key.
fn parts(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix("bubbleId:")?.split_once(':')
}

type Taken = (Vec<(i64, Result<Bubble, Problem>)>, HashMap<String, Composer>);

/// Reads some bubbles, and the conversations that they are of.
fn take(snapshot: &mut Snapshot, rows: &[(i64, Result<(), Problem>)]) -> Result<Taken, Trouble> {
    let table = snapshot.table("cursorDiskKV", &["key", "value"], &[])?;
    let (mut bubbles, mut composers) = (Vec::new(), HashMap::new());
    for (wanted, _) in rows {
        snapshot.rows(&table, *wanted, |row| {
            if row.id == *wanted {
                bubbles.extend(bubble(row).transpose().map(|bubble| (row.id, bubble)));
            }
            Ok(false)
        })?;
    }
    for (_, bubble) in &bubbles {
        if let Ok(bubble) = bubble
            && bubble.is_answer
            && (bubble.model.is_empty() || bubble.at_ms.is_none())
            && !composers.contains_key(&bubble.composer)
        {
            let found = composer(snapshot, &table, &bubble.composer)?;
            composers.insert(bubble.composer.clone(), found);
        }
    }
    Ok((bubbles, composers))
}

fn bubble(row: &Row<'_>) -> Result<Option<Bubble>, Problem> {
    let (key, value) = (row.value(0)?, row.value(1)?);
    let (Some((composer, id)), Some(text)) = (key.text().and_then(parts), value.bytes()) else {
        return Ok(None);
    };
    let mut bubble = Bubble {
        composer: composer.to_owned(),
        id: id.to_owned(),
        ..Bubble::default()
    };
    let mut reader = Reader::new(text);
    reader.object(|reader, key| {
        match key {
            // 1 is the user, 2 the model.
            b"type" => bubble.is_answer = reader.number_text()? == Some("2"),
            b"createdAt" => bubble.at_ms = moment(reader)?.or(bubble.at_ms),
            b"timingInfo" => {
                reader.object(|reader, key| {
                    match key {
                        b"clientEndTime" | b"clientSettleTime" => {
                            bubble.at_ms = moment(reader)?.or(bubble.at_ms)
                        }
                        b"clientRpcSendTime" => bubble.at_ms = bubble.at_ms.or(moment(reader)?),
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            b"modelInfo" => {
                reader.object(|reader, key| {
                    match key {
                        b"modelName" => bubble.model = reader.plain()?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            b"tokenCount" => {
                reader.object(|reader, key| {
                    match key {
                        b"inputTokens" => bubble.input = reader.count("inputTokens")?.unwrap_or(0),
                        b"outputTokens" => bubble.output = reader.count("outputTokens")?.unwrap_or(0),
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            b"text" => bubble.visible += length(reader)?,
            b"thinking" => {
                reader.object(|reader, key| {
                    match key {
                        b"text" => bubble.visible += length(reader)?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
            }
            b"requestId" => bubble.request = reader.plain()?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(bubble.is_answer.then_some(bubble))
}

/// The length of a text in characters.
fn length(reader: &mut Reader<'_>) -> Result<u64, Problem> {
    Ok(reader.text()?.map_or(0, |text| text.chars().count() as u64))
}

/// Milliseconds since the epoch, written as a number or as a date. Small numbers are times since the start.
fn moment(reader: &mut Reader<'_>) -> Result<Option<i64>, Problem> {
    let text = reader.plain()?;
    let number = text.split('.').next().and_then(|whole| whole.parse::<i64>().ok());
    Ok(number
        .filter(|ms| *ms > 1_000_000_000_000)
        .or_else(|| instant(&text)))
}

/// What is known of a conversation; nothing when it is not there.
fn composer(snapshot: &mut Snapshot, table: &Table, id: &str) -> Result<Composer, Trouble> {
    let mut composer = Composer::default();
    let row = match snapshot.row_id_of(table, &format!("composerData:{id}")) {
        Ok(Some(row)) => row,
        Ok(None) | Err(Trouble::Unusable(_)) => return Ok(composer),
        Err(trouble) => return Err(trouble),
    };
    snapshot.rows(table, row, |row| {
        let Ok(value) = row.value(1) else { return Ok(false) };
        // A broken conversation adds nothing.
        drop(
            Reader::new(value.bytes().unwrap_or_default()).object(|reader, key| {
                match key {
                    b"createdAt" => composer.created_ms = moment(reader)?,
                    b"modelConfig" => {
                        reader.object(|reader, key| {
                            match key {
                                b"modelName" => composer.model = reader.plain()?,
                                _ => reader.skip()?,
                            }
                            Ok(())
                        })?;
                    }
                    _ => reader.skip()?,
                }
                Ok(())
            }),
        );
        Ok(false)
    })?;
    Ok(composer)
}

fn book(bubble: Bubble, composers: &HashMap<String, Composer>, row: u64, notes: &mut Notes<'_>) {
    let mut tokens = Tokens {
        input: bubble.input,
        output: bubble.output,
        ..Tokens::default()
    };
    let guessed = tokens.total() == 0;
    if guessed {
        tokens.output = tokens_of(bubble.visible);
    }
    if tokens.total() == 0 {
        return;
    }
    transcript::supersede(&bubble.composer, notes);
    let composer = composers.get(&bubble.composer).cloned().unwrap_or_default();
    let at_ms = bubble
        .at_ms
        .or(composer.created_ms)
        .unwrap_or(notes.origin.mtime_ms)
        .min(notes.now_ms);
    let model = if bubble.model.is_empty() {
        &composer.model
    } else {
        &bubble.model
    };
    // A message is copied under its own id when a conversation is duplicated.
    let key = Key::new(0, &["cursor-bubble", &bubble.id]);
    let mut seen = notes.call(key, at_ms, &bubble.composer, model);
    seen.tokens = tokens;
    seen.confidence = Confidence::Estimated;
    seen.who.context = guessed.then(|| GUESSED.into());
    seen.request_id = notes.names.get(&bubble.request);
    seen.source.offset = row;
    notes.book(seen);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{Database, rows};

    const SCHEMA: &str = "CREATE TABLE ItemTable (key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB);
        CREATE TABLE cursorDiskKV (key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB);";

    fn put(database: &Database, key: &str, value: &str) {
        let sql = "INSERT INTO cursorDiskKV VALUES(?1, ?2)";
        database.writer.execute(sql, (key, value.as_bytes())).unwrap();
    }

    #[test]
    fn answers_are_estimates() {
        let mut database = Database::new(read, "state.vscdb", SCHEMA);
        put(
            &database,
            "composerData:c1",
            r#"{"createdAt":1795164000000,"modelConfig":{"modelName":"claude-opus-4-8"}}"#,
        );
        put(&database, "checkpointId:c1:x", "{}");
        put(
            &database,
            "bubbleId:c1:b0",
            r#"{"type":1,"text":"a question","tokenCount":{"inputTokens":9,"outputTokens":9}}"#,
        );
        put(
            &database,
            "bubbleId:c1:b1",
            r#"{"type":2,"text":"x","tokenCount":{"inputTokens":1200,"outputTokens":80},"createdAt":"2026-11-20T08:40:00.000Z","requestId":"r-1","modelInfo":{"modelName":"gpt-5.4"}}"#,
        );
        put(
            &database,
            "bubbleId:c1:b2",
            r#"{"type":2,"text":"ten letters","thinking":{"text":"four"},"tokenCount":{"inputTokens":0,"outputTokens":0}}"#,
        );
        put(
            &database,
            "bubbleId:c1:b3",
            r#"{"type":2,"text":"","tokenCount":{}}"#,
        );
        put(
            &database,
            "bubbleId:c1:b4",
            r#"{"type":2,"tokenCount":{"inputTokens":-4}}"#,
        );
        put(&database, "bubbleId:c1:b5", r#"{"type":2,"text":"cut"#);
        let found = database.read();
        assert_eq!(
            rows(&found),
            ["c1 gpt-5.4 1200+80 r0 w0", "c1 claude-opus-4-8 0+5 r0 w0"]
        );
        assert_eq!(found.failures, 2);
        assert!(
            found
                .observations
                .iter()
                .all(|call| call.confidence == Confidence::Estimated)
        );
        assert_eq!(&*found.observations[0].request_id, "r-1");
        let times: Vec<i64> = found.observations.iter().map(|call| call.at_ms).collect();
        assert_eq!(times, [1_795_164_000_000, 1_795_164_000_000]);
        assert_eq!(rows(&database.read()), [""; 0]);
        // An answer that goes on is written anew.
        put(
            &database,
            "bubbleId:c1:b2",
            r#"{"type":2,"text":"ten letters and some more letters"}"#,
        );
        let again = database.read();
        assert_eq!(rows(&again), ["c1 claude-opus-4-8 0+10 r0 w0"]);
        assert_eq!(again.observations[0].key, found.observations[1].key);
    }

    #[test]
    fn a_state_without_conversations_has_none() {
        let found = Database::new(read, "state.vscdb", "CREATE TABLE ItemTable(key, value)").read();
        assert_eq!((rows(&found).len(), found.failures), (0, 0));
    }
}
