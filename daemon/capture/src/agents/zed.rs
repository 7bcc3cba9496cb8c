//! Zed: `threads/threads.db`, in which a row for each thread holds it as compressed JSON.
//!
//! A thread says what it has used altogether, and what the latest request of each of the user's messages used. The
//! first is a running total; the second fills in where versions leave a bucket out of it, or keep no total at all: then it
//! falls when the user goes back behind a message, and nothing counts again. What was used between two
//! looks goes to the model that is set at the second, at the time that the thread was changed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokmon_core::limits::{MAX_DATABASE_VALUE, MAX_TOKENS_PER_CALL};
use tokmon_core::observation::{CallKind, Place};
use tokmon_core::tokens::Tokens;

use super::database::{Parsed, settled};
use super::json::{Problem, Reader};
use super::values::{hash, instant};
use super::{Form, Format, Notes, Reading};
use crate::roots::Places;
use crate::sqlite::{Row, Snapshot, Table, Trouble};

/// See the module.
pub(super) const FORMAT: Format = Format {
    name: "zed",
    version: 1,
    places,
    forms: &[Form {
        files: "threads.db",
        kind: "zed-database",
        read: Reading::Database(read),
    }],
};

fn places(at: &Places<'_>) -> Vec<PathBuf> {
    let data = if cfg!(target_os = "macos") {
        at.app_data().join("Zed")
    } else {
        // A packaged Zed says where its own data lie.
        at.var("FLATPAK_XDG_DATA_HOME")
            .unwrap_or_else(|| at.data())
            .join("zed")
    };
    vec![data.join("threads")]
}

/// Threads that are unpacked at one look: each may have many megabytes.
const THREADS_A_LOOK: usize = 32;
/// Most tokens of one thread that is believed.
const MAX_THREAD_TOKENS: u64 = 1_000 * MAX_TOKENS_PER_CALL;

/// Up to where threads were read, by when they were changed.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Seen {
    /// The latest change, as it is written.
    latest: String,
    /// Threads of that very instant.
    at_latest: Vec<u64>,
}

/// What a thread's row and its JSON say.
#[derive(Debug, Default)]
struct Thread {
    id: String,
    updated: String,
    is_child: bool,
    project: String,
    model: String,
    provider: String,
    place: Place,
    tokens: Tokens,
}

fn read(path: &Path, notes: &mut Notes<'_>) -> Result<(), Trouble> {
    let mut seen: Seen = serde_json::from_slice(&notes.state).unwrap_or_default();
    let mut changed = settled(path, |snapshot| changed(snapshot, &seen))?;
    changed.sort();
    for part in changed.chunks(THREADS_A_LOOK) {
        let threads = settled(path, |snapshot| {
            let table = table(snapshot)?;
            let mut threads: Vec<Parsed<Thread>> = Vec::new();
            for (_, _, row) in part {
                snapshot.rows(&table, *row, |found| {
                    if found.id == *row {
                        threads.push((found.id, thread(found)));
                    }
                    Ok(false)
                })?;
            }
            Ok(threads)
        })?;
        for (row, thread) in threads {
            match thread {
                Ok(thread) => book(thread, row.cast_unsigned(), notes),
                Err(problem) => notes.fail(row.cast_unsigned(), problem.0),
            }
        }
    }
    for (updated, id, _) in changed {
        if updated > seen.latest {
            seen = Seen {
                latest: updated,
                at_latest: Vec::new(),
            };
        }
        seen.at_latest.push(id);
    }
    notes.state = serde_json::to_vec(&seen).unwrap_or_default();
    Ok(())
}

/// When each thread that is new or has changed was changed, a hash of its id, and its row.
fn changed(snapshot: &mut Snapshot, seen: &Seen) -> Result<Vec<(String, u64, i64)>, Trouble> {
    // Without the thread itself, which is by far the most of a row.
    let table = snapshot.table("threads", &["id", "updated_at"], &[])?;
    let mut changed = Vec::new();
    snapshot.rows(&table, i64::MIN, |row| {
        let updated = row.value(1)?.text().unwrap_or_default().to_owned();
        let id = hash(&[row.value(0)?.bytes().unwrap_or_default()]);
        if updated > seen.latest || updated == seen.latest && !seen.at_latest.contains(&id) {
            changed.push((updated, id, row.id));
        }
        Ok(true)
    })?;
    Ok(changed)
}

fn table(snapshot: &mut Snapshot) -> Result<Table, Trouble> {
    snapshot.table(
        "threads",
        &["id", "updated_at", "data_type", "data"],
        &["parent_id", "folder_paths"],
    )
}

fn thread(row: &Row<'_>) -> Result<Thread, Problem> {
    let text = |at| -> Result<String, Problem> { Ok(row.value(at)?.text().unwrap_or_default().to_owned()) };
    let mut thread = Thread {
        id: text(0)?,
        updated: text(1)?,
        is_child: !text(4)?.is_empty(),
        // One path a line, the first of them.
        project: text(5)?.lines().next().unwrap_or_default().to_owned(),
        ..Thread::default()
    };
    let kind = text(2)?;
    let data = row.value(3)?;
    let data = data.bytes().unwrap_or_default();
    match &*kind {
        "json" => thread.parse(data)?,
        "zstd" => thread.parse(&unpacked(data)?)?,
        other => {
            let other: String = other.chars().take(20).collect();
            return Err(Problem(format!(
                "a thread kept as {other:?}; json and zstd are known"
            )));
        }
    }
    Ok(thread)
}

fn unpacked(packed: &[u8]) -> Result<Vec<u8>, Problem> {
    let broken =
        |error: &dyn std::fmt::Display| Problem(format!("a thread that cannot be unpacked: {error}"));
    let decoder = ruzstd::decoding::StreamingDecoder::new(packed).map_err(|error| broken(&error))?;
    let mut data = Vec::new();
    let most = MAX_DATABASE_VALUE as u64;
    decoder
        .take(most + 1)
        .read_to_end(&mut data)
        .map_err(|error| broken(&error))?;
    if data.len() as u64 > most {
        return Err(Problem(format!(
            "a thread of more than {most} bytes when unpacked"
        )));
    }
    Ok(data)
}

impl Thread {
    fn parse(&mut self, data: &[u8]) -> Result<(), Problem> {
        let (mut requests, mut all) = (Tokens::default(), Tokens::default());
        let mut reader = Reader::new(data);
        let is_object = reader.object(|reader, key| {
            match key {
                b"model" => {
                    reader.object(|reader, key| {
                        match key {
                            b"provider" => self.provider = reader.plain()?,
                            b"model" => self.model = reader.plain()?,
                            _ => reader.skip()?,
                        }
                        Ok(())
                    })?;
                }
                b"cumulative_token_usage" => all = usage(reader)?,
                b"request_token_usage" => requests = requests_usage(reader)?,
                b"initial_project_snapshot" => self.project(reader)?,
                b"subagent_context" => self.is_child |= reader.raw()? != b"null",
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.end()?;
        if !is_object {
            return Err(Problem("not a JSON object".into()));
        }
        let (all, requests) = (all.to_array(), requests.to_array());
        let mut most = all;
        for (most, requests) in most.iter_mut().zip(requests) {
            *most = (*most).max(requests);
        }
        self.tokens = Tokens::from_array(most);
        Ok(())
    }

    /// Where the thread began: the first work tree, its branch and commit.
    fn project(&mut self, reader: &mut Reader<'_>) -> Result<(), Problem> {
        reader.object(|reader, key| {
            if key != b"worktree_snapshots" {
                return reader.skip();
            }
            let mut first = true;
            reader.array(|reader| {
                if !std::mem::take(&mut first) {
                    return reader.skip();
                }
                reader.object(|reader, key| {
                    match key {
                        b"worktree_path" | b"abs_path" => {
                            let path = reader.plain()?;
                            if self.project.is_empty() {
                                self.project = path;
                            }
                        }
                        b"git_state" => {
                            reader.object(|reader, key| {
                                match key {
                                    b"current_branch" => self.place.branch = reader.plain()?.into(),
                                    b"head_sha" => self.place.commit = reader.plain()?.into(),
                                    _ => reader.skip()?,
                                }
                                Ok(())
                            })?;
                        }
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
                Ok(())
            })
        })?;
        Ok(())
    }
}

/// The sum over an object of requests, or a list of them as older versions wrote it.
fn requests_usage(reader: &mut Reader<'_>) -> Result<Tokens, Problem> {
    let mut sum = Tokens::default();
    if reader.next_is(b'[')? {
        reader.array(|reader| {
            sum.add(&usage(reader)?);
            Ok(())
        })?;
    } else {
        reader.object(|reader, _| {
            sum.add(&usage(reader)?);
            Ok(())
        })?;
    }
    Ok(sum)
}

fn usage(reader: &mut Reader<'_>) -> Result<Tokens, Problem> {
    let mut tokens = Tokens::default();
    reader.object(|reader, key| {
        let (field, count) = match key {
            b"input_tokens" => ("input_tokens", &mut tokens.input),
            b"output_tokens" => ("output_tokens", &mut tokens.output),
            b"cache_creation_input_tokens" => ("cache_creation_input_tokens", &mut tokens.cache_write_5m),
            b"cache_read_input_tokens" => ("cache_read_input_tokens", &mut tokens.cache_read),
            _ => return reader.unknown(key),
        };
        *count = reader.count_up_to(field, MAX_THREAD_TOKENS)?.unwrap_or(0);
        Ok(())
    })?;
    Ok(tokens)
}

fn book(thread: Thread, row: u64, notes: &mut Notes<'_>) {
    let Some(step) = notes.since_taken_back(&thread.id, thread.tokens) else {
        return;
    };
    let at_ms = instant(&thread.updated)
        .unwrap_or(notes.origin.mtime_ms)
        .min(notes.now_ms);
    let mut seen = notes.call(step.key, at_ms, &thread.id, &thread.model);
    if !thread.provider.is_empty() {
        seen.provider = notes.names.get(&thread.provider);
    }
    seen.who.project = notes.names.get(&thread.project);
    seen.sidechain = thread.is_child;
    let mut place = thread.place;
    if thread.is_child {
        place.subagent = "subagent".into();
    }
    seen.place = (place != Place::default()).then(|| Arc::new(place));
    seen.tokens = step.tokens;
    seen.kind = CallKind::Several;
    seen.source.offset = row;
    notes.book(seen);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{Database, rows};

    const SCHEMA: &str =
        "CREATE TABLE threads(id TEXT PRIMARY KEY, summary TEXT NOT NULL, updated_at TEXT NOT NULL,
        data_type TEXT NOT NULL, data BLOB NOT NULL); ALTER TABLE threads ADD COLUMN parent_id TEXT;
        ALTER TABLE threads ADD COLUMN folder_paths TEXT;";
    const THREAD: &str = r#"{"version":"0.3.0","messages":[{"User":{"id":"u1"}}],"model":{"provider":"anthropic","model":"claude-opus-4-8"},"request_token_usage":{"u1":{"input_tokens":5,"output_tokens":100,"cache_creation_input_tokens":200,"cache_read_input_tokens":4000}},"cumulative_token_usage":{"input_tokens":5,"output_tokens":130,"cache_read_input_tokens":4000},"initial_project_snapshot":{"worktree_snapshots":[{"worktree_path":"/w/app","git_state":{"remote_url":null,"head_sha":"abc123","current_branch":"main","diff":"x"}},{"worktree_path":"/w/other"}],"timestamp":"x"}}"#;

    fn put(database: &Database, id: &str, updated: &str, kind: &str, data: &[u8]) {
        let sql = "INSERT OR REPLACE INTO threads(id, summary, updated_at, data_type, data) VALUES(?1, '', ?2, ?3, ?4)";
        database.writer.execute(sql, (id, updated, kind, data)).unwrap();
    }

    fn packed(text: &str) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn threads_are_unpacked_and_grow() {
        let mut database = Database::new(read, "threads.db", SCHEMA);
        put(&database, "t1", "2026-11-20T08:50:00Z", "zstd", &packed(THREAD));
        put(&database, "t2", "2026-11-20T08:50:00Z", "json", THREAD.as_bytes());
        let mut found = database.read();
        found
            .observations
            .sort_by(|a, b| a.who.session.cmp(&b.who.session));
        assert_eq!(
            rows(&found),
            [
                "t1 claude-opus-4-8 5+130 r4000 w200",
                "t2 claude-opus-4-8 5+130 r4000 w200"
            ]
        );
        let call = &found.observations[0];
        let place = call.place.as_ref().unwrap();
        assert_eq!(
            (&*call.who.project, &*place.branch, &*place.commit),
            ("/w/app", "main", "abc123")
        );
        assert_eq!(call.at_ms, 1_795_164_600_000);
        assert_eq!(rows(&database.read()), [""; 0]);
        // Another thread of the very same moment, and one that went on.
        put(&database, "t3", "2026-11-20T08:50:00Z", "json", THREAD.as_bytes());
        let more = THREAD
            .replace(":130,", ":150,")
            .replace("claude-opus-4-8", "gpt-5.4");
        put(&database, "t1", "2026-11-20T08:55:00Z", "zstd", &packed(&more));
        let mut got = rows(&database.read());
        got.sort();
        assert_eq!(
            got,
            ["t1 gpt-5.4 0+20 r0 w0", "t3 claude-opus-4-8 5+130 r4000 w200"]
        );
        // The user went back behind a message, and on from there.
        let back = r#"{"request_token_usage":{"u1":{"input_tokens":100,"output_tokens":10},"u2":{"input_tokens":200,"output_tokens":20}}}"#;
        put(&database, "t4", "2026-11-20T08:55:01Z", "json", back.as_bytes());
        assert_eq!(rows(&database.read()), ["t4 unknown 300+30 r0 w0"]);
        let less = back.replace(r#","u2":{"input_tokens":200,"output_tokens":20}"#, "");
        put(&database, "t4", "2026-11-20T08:55:02Z", "json", less.as_bytes());
        assert_eq!(rows(&database.read()), [""; 0]);
        let on = back.replace(":200,", ":250,").replace("u2", "u3");
        put(&database, "t4", "2026-11-20T08:55:03Z", "json", on.as_bytes());
        assert_eq!(rows(&database.read()), ["t4 unknown 250+20 r0 w0"]);
        // Its name was changed, and nothing else.
        put(&database, "t1", "2026-11-20T08:56:00Z", "zstd", &packed(&more));
        assert_eq!(rows(&database.read()), [""; 0]);
    }

    #[test]
    fn a_broken_thread_costs_only_itself() {
        let good = packed(THREAD);
        for (kind, data, wanted) in [
            ("zstd", &good[..good.len() / 2], "cannot be unpacked"),
            ("zstd", b"{}".as_slice(), "cannot be unpacked"),
            ("json", good.as_slice(), "JSON"),
            ("brotli", b"{}", "a thread kept as \"brotli\""),
            (
                "json",
                br#"{"cumulative_token_usage":{"input_tokens":-1}}"#,
                "input_tokens is not",
            ),
        ] {
            let mut database = Database::new(read, "threads.db", SCHEMA);
            put(&database, "bad", "2026-11-20T08:51:00Z", kind, data);
            put(&database, "good", "2026-11-20T08:50:00Z", "zstd", &good);
            let found = database.read();
            assert_eq!(rows(&found), ["good claude-opus-4-8 5+130 r4000 w200"]);
            assert!(found.shown[0].1.contains(wanted), "{:?}", found.shown);
        }
    }

    #[test]
    fn older_threads_and_empty_ones() {
        for (text, wanted) in [
            (
                r#"{"model":null,"cumulative_token_usage":{"input_tokens":7}}"#,
                vec!["t unknown 7+0 r0 w0"],
            ),
            (
                r#"{"request_token_usage":[{"input_tokens":3},{"output_tokens":4}]}"#,
                vec!["t unknown 3+4 r0 w0"],
            ),
            ("{}", vec![]),
        ] {
            let mut database = Database::new(read, "threads.db", SCHEMA);
            put(&database, "t", "not a date", "json", text.as_bytes());
            assert_eq!(rows(&database.read()), wanted);
        }
    }
}
