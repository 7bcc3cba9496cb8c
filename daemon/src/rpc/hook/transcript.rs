//! The call that an agent made a moment ago counts too: before a hook is answered its transcript is read to the end.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use memchr::memmem;
use tokio::time::{sleep, timeout};
use tokmon_capture::Capture;
use tokmon_core::limits::{MAX_HOOK_PATIENCE_MS, MAX_NAME_BYTES};
use tokmon_proto::v1::AskHookRequest;

/// How long the caller waits when it does not say.
const PATIENCE_MS: u32 = 100;
/// Agents write their transcripts some milliseconds late; this often they are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(4);
/// So much of a transcript's end is searched. Results of tools stand behind the use that is looked for.
const TAIL_BYTES: u64 = 1024 * 1024;
/// The longest path that any system takes.
const MAX_PATH_BYTES: usize = 4096;

/// Reads what the agent has just written, and what its subagents write beside it. What comes too late is left out: the
/// answer then rests on what was read before.
pub(super) async fn catch_up(capture: &Capture, request: &AskHookRequest) {
    let path = Path::new(&request.transcript);
    if request.transcript.len() > MAX_PATH_BYTES || !path.is_absolute() {
        return;
    }
    let patience = match request.patience_ms {
        0 => PATIENCE_MS,
        ms => ms.min(MAX_HOOK_PATIENCE_MS),
    };
    let mut paths = vec![path.to_path_buf()];
    paths.extend(
        path.extension()
            .map(|_| path.with_extension(""))
            .filter(|dir| dir.is_dir()),
    );
    let patience = Duration::from_millis(patience.into());
    if let Some(file) = file_of(path, &request.subagent) {
        // What never comes must not take the time of what is there.
        drop(timeout(patience / 2, written(&file, &request.tool_use)).await);
    }
    drop(timeout(patience, capture.catch_up(paths)).await);
}

/// Where a session or its subagent is written down. `None`: that is no subagent's name.
fn file_of(transcript: &Path, subagent: &str) -> Option<PathBuf> {
    if subagent.is_empty() {
        return Some(transcript.to_path_buf());
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let fits = subagent.len() <= MAX_NAME_BYTES && subagent.bytes().all(is_name);
    let beside = transcript.with_extension("").join("subagents");
    fits.then(|| beside.join(format!("agent-{subagent}.jsonl")))
}

/// Waits until the use of a tool stands in the file.
async fn written(path: &Path, tool_use: &str) {
    if tool_use.is_empty() || tool_use.len() > MAX_NAME_BYTES {
        return;
    }
    loop {
        let (path, tool_use) = (path.to_path_buf(), tool_use.to_owned());
        let found = tokio::task::spawn_blocking(move || ends_with(path, tool_use.as_bytes()));
        match found.await {
            Ok(Ok(false)) => sleep(LOOK_AGAIN).await,
            // A file that cannot be read will not be read by capture either.
            _ => return,
        }
    }
}

/// The text stands in the file's tail.
fn ends_with(path: PathBuf, text: &[u8]) -> std::io::Result<bool> {
    let mut tail = Vec::new();
    if !path.metadata()?.is_file() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let mut file = File::open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    Ok(memmem::rfind(&tail, text).is_some())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_subagent_has_a_file_of_its_own() {
        let session = Path::new("/p/s.jsonl");
        assert_eq!(file_of(session, ""), Some(session.to_path_buf()));
        assert_eq!(
            file_of(session, "a1b"),
            Some("/p/s/subagents/agent-a1b.jsonl".into())
        );
        for strange in ["../x", "a/b", "a b", "\0"] {
            assert_eq!(file_of(session, strange), None, "{strange}");
        }
    }

    #[tokio::test]
    async fn the_use_of_a_tool_is_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s.jsonl");
        let append = |text: &str| {
            let file = OpenOptions::new().create(true).append(true).open(&path);
            file.expect("opened").write_all(text.as_bytes()).expect("written");
        };
        append(r#"{"id":"toolu_1"}"#);
        written(&path, "toolu_1").await;
        let waiting = written(&path, "toolu_2");
        tokio::pin!(waiting);
        assert!(
            timeout(LOOK_AGAIN * 3, &mut waiting).await.is_err(),
            "it is not there"
        );
        append(r#"{"id":"toolu_2"}"#);
        append(&"x".repeat(1024 * 1000));
        waiting.await;
        // Nothing to wait for, nothing that can come.
        written(&path, "").await;
        written(&dir.path().join("none"), "toolu_3").await;
        written(dir.path(), "toolu_3").await;
    }
}
