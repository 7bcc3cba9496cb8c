//! `tokmonctl daemon logs`: the end of the daemon's newest log file, and on request what comes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokmon_client::{Error, Kind, Paths};

use crate::failure::{Failure, invalid, io_error};
use crate::show;

/// How often a growing log is looked at.
const GLANCE: Duration = Duration::from_millis(250);
/// At most so much of a log is read for its last lines.
const TAIL_BYTES: u64 = 4 * 1024 * 1024;

/// Arguments of `daemon logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on with new lines as they come
    #[arg(short, long)]
    follow: bool,
    /// How many lines
    #[arg(short = 'n', long, value_name = "N", default_value = "50", value_parser = crate::args::from_to::<usize>(1, 1_000_000), allow_negative_numbers = true)]
    lines: usize,
}

/// `tokmonctl daemon logs`.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let dir = Paths::from_env().map_err(|e| invalid(e.to_string()))?.log_dir;
    let Some(mut file) = newest(&dir) else {
        let missing = Error::new(Kind::NotFound, format!("there is no log in {}", dir.display()));
        let hint = "a daemon that systemd runs logs to the journal: `journalctl --user -u tokmond`";
        return Err(missing.with_hint(hint).into());
    };
    let (text, mut position) = tail(&file, args.lines).map_err(|e| io_error("read", file.display(), &e))?;
    show::print(&text)?;
    if !args.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(GLANCE).await;
        let (text, end) = from(&file, position).map_err(|e| io_error("read", file.display(), &e))?;
        position = end;
        show::print(&text)?;
        // A new day has a new file; what the old one got last was printed just now.
        if let Some(next) = newest(&dir).filter(|next| *next != file) {
            (file, position) = (next, 0);
        }
    }
}

/// The log file that was written last; the output of a start counts when there is nothing newer.
fn newest(dir: &Path) -> Option<PathBuf> {
    fs::read_dir(dir)
        .ok()?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("tokmond."))
        .filter_map(|entry| {
            Some((
                entry
                    .metadata()
                    .ok()
                    .filter(|m| m.is_file() && m.len() > 0)?
                    .modified()
                    .ok()?,
                entry.path(),
            ))
        })
        .max()
        .map(|(_, path)| path)
}

/// The last lines of a file and the position of its end.
fn tail(file: &Path, lines: usize) -> io::Result<(String, u64)> {
    let length = fs::metadata(file)?.len();
    let (text, end) = from(file, length.saturating_sub(TAIL_BYTES))?;
    let skip = text.lines().count().saturating_sub(lines);
    let mut out = String::with_capacity(text.len());
    for line in text.lines().skip(skip) {
        out.push_str(line);
        out.push('\n');
    }
    Ok((out, end))
}

/// What a file holds after a position, and the position of its end. A file that shrank is read anew.
fn from(file: &Path, position: u64) -> io::Result<(String, u64)> {
    let mut file = File::open(file)?;
    let position = if file.metadata()?.len() < position {
        0
    } else {
        position
    };
    file.seek(SeekFrom::Start(position))?;
    let mut bytes = Vec::new();
    let read = file.read_to_end(&mut bytes)? as u64;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), position + read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_then_what_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokmond.2026-11-20.log");
        fs::write(&file, "a\nb\nc\n").unwrap();
        let (text, end) = tail(&file, 2).unwrap();
        assert_eq!((text.as_str(), end), ("b\nc\n", 6));
        fs::write(&file, "a\nb\nc\nd\n").unwrap();
        assert_eq!(from(&file, end).unwrap(), ("d\n".to_owned(), 8));
        fs::write(&file, "x\n").unwrap();
        assert_eq!(from(&file, 8).unwrap(), ("x\n".to_owned(), 2));
    }

    #[test]
    fn only_logs_with_content_count() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest(dir.path()), None);
        fs::write(dir.path().join("tokmond.out"), "").unwrap();
        fs::write(dir.path().join("alerts.jsonl"), "x").unwrap();
        assert_eq!(newest(dir.path()), None);
        let log = dir.path().join("tokmond.2026-11-20.log");
        fs::write(&log, "x").unwrap();
        assert_eq!(newest(dir.path()), Some(log));
    }
}
