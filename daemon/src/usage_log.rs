//! Plain log files for people who grep: one line per record in `tokens_YYYY-MM-DD.jsonl`, one per alert in
//! `alerts.jsonl`. A cursor into the ledger, so that nothing is left out; after a crash the last lines may stand
//! twice, with the same `seq`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::json;
use tokmon_core::entry::{Body, Entry, Record};
use tracing::warn;

use crate::context::Context;
use crate::retention::horizon_ms;

/// How long to wait after trouble: a full disk, or another ledger in the place of this one.
const PAUSE: Duration = Duration::from_secs(10);

/// Follows the ledger until the daemon stops. What could not be written is written again from the cursor.
pub(crate) async fn run(app: Arc<Context>) {
    let log = UsageLog {
        dir: app.paths.log_dir.clone(),
        zone: app.config.zone.clone(),
    };
    loop {
        tokio::select! {
            why = follow(&app, &log) => warn!(dir = %log.dir.display(), "usage log not written: {why}"),
            () = app.cancel.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = app.cancel.cancelled() => return,
        }
    }
}

/// Writes what comes after the cursor until something fails, and says what.
async fn follow(app: &Context, log: &UsageLog) -> String {
    // A cursor beyond the end is one into a ledger that is not here any more.
    let mut follower = app.ledger.follow(log.cursor().min(app.ledger.last_seq()));
    loop {
        let entries = match follower.next().await {
            Ok(entries) => entries,
            Err(e) => return e.to_string(),
        };
        let horizon = horizon_ms(app.clock.now_ms(), app.config.retention_days);
        if let Err(e) = log.write(&entries, horizon) {
            return e.to_string();
        }
    }
}

struct UsageLog {
    dir: PathBuf,
    zone: TimeZone,
}

impl UsageLog {
    fn cursor_file(&self) -> PathBuf {
        self.dir.join("usage.cursor")
    }

    fn cursor(&self) -> u64 {
        let text = fs::read_to_string(self.cursor_file()).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Appends the entries' lines, leaves out calls before the horizon, and removes files of days before it.
    fn write(&self, entries: &[Entry], horizon_ms: i64) -> io::Result<()> {
        let Some(last) = entries.last() else { return Ok(()) };
        fs::create_dir_all(&self.dir)?;
        let mut open: Option<(Date, BufWriter<File>)> = None;
        for entry in entries {
            match &entry.body {
                Body::Usage(record) | Body::Amend { record, .. } if record.seen.at_ms >= horizon_ms => {
                    let day = self.day(record.seen.at_ms);
                    if open.as_ref().is_none_or(|(d, _)| *d != day) {
                        if let Some((_, mut file)) = open.take() {
                            file.flush()?;
                        }
                        open = Some((day, append(&self.dir.join(format!("tokens_{day}.jsonl")))?));
                    }
                    if let Some((_, file)) = &mut open {
                        writeln!(file, "{}", usage_line(entry, record))?;
                    }
                }
                Body::BudgetAlert {
                    budget,
                    threshold,
                    percent,
                    message,
                    ..
                } => {
                    let line = json!({
                        "seq": entry.seq, "at": stamp(entry.recorded_at_ms), "kind": "threshold", "budget": &**budget,
                        "threshold": threshold, "percent": percent, "message": &**message,
                    });
                    let mut file = append(&self.dir.join("alerts.jsonl"))?;
                    writeln!(file, "{line}")?;
                    file.flush()?;
                }
                Body::Runaway(episode) => {
                    let line = json!({
                        "seq": entry.seq, "at": stamp(entry.recorded_at_ms), "kind": "runaway",
                        "budget": episode.stops.first().map(|name| &**name), "agent": &*episode.agent,
                        "session": &*episode.session, "sign": episode.sign.name(), "message": episode.message(),
                    });
                    let mut file = append(&self.dir.join("alerts.jsonl"))?;
                    writeln!(file, "{line}")?;
                    file.flush()?;
                }
                _ => {}
            }
        }
        if let Some((_, mut file)) = open {
            file.flush()?;
        }
        self.rotate(self.day(horizon_ms))?;
        self.rotate_alerts(&stamp(horizon_ms))?;
        let fresh = self.dir.join("usage.cursor.new");
        fs::write(&fresh, last.seq.to_string())?;
        fs::rename(fresh, self.cursor_file())
    }

    fn day(&self, at_ms: i64) -> Date {
        let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
        at.to_zoned(self.zone.clone()).date()
    }

    fn rotate(&self, oldest: Date) -> io::Result<()> {
        for file in fs::read_dir(&self.dir)? {
            let name = file?.file_name();
            let day = name
                .to_str()
                .and_then(|n| n.strip_prefix("tokens_")?.strip_suffix(".jsonl"))
                .and_then(|d| d.parse::<Date>().ok());
            if day.is_some_and(|day| day < oldest) {
                fs::remove_file(self.dir.join(name))?;
            }
        }
        Ok(())
    }

    /// Drops the alerts before an instant. Instants of one form sort as texts do.
    fn rotate_alerts(&self, oldest: &str) -> io::Result<()> {
        let path = self.dir.join("alerts.jsonl");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        let stays = |line: &&str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            line["at"].as_str().is_none_or(|at| at >= oldest)
        };
        if text.lines().next().is_none_or(|first| stays(&first)) {
            return Ok(());
        }
        let kept: String = text.lines().filter(stays).flat_map(|line| [line, "\n"]).collect();
        let fresh = self.dir.join("alerts.jsonl.new");
        fs::write(&fresh, kept)?;
        fs::rename(fresh, path)
    }
}

fn append(path: &Path) -> io::Result<BufWriter<File>> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    Ok(BufWriter::new(file))
}

fn stamp(at_ms: i64) -> String {
    format!("{:.3}", Timestamp::from_millisecond(at_ms).unwrap_or_default())
}

fn usage_line(entry: &Entry, record: &Record) -> serde_json::Value {
    let seen = &record.seen;
    let replaces = match entry.body {
        Body::Amend { replaces, .. } => Some(replaces),
        _ => None,
    };
    json!({
        "seq": entry.seq, "replaces": replaces, "at": stamp(seen.at_ms),
        "agent": &*seen.who.agent, "session": &*seen.who.session, "project": &*seen.who.project,
        "user": &*seen.who.user, "tool": &*seen.who.tool, "context": seen.who.context.as_deref(),
        "provider": &*seen.provider, "model": &*seen.model, "tokens": seen.tokens,
        "cost_usd": record.cost.map(|c| c.to_string()),
        "waste": record.waste.iter().map(|f| f.rule.name()).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(seq: u64) -> Entry {
        let body = Body::BudgetAlert {
            budget: "b".into(),
            threshold: 80,
            percent: 85,
            window_start_ms: 0,
            message: "85 % used".into(),
        };
        Entry {
            seq,
            recorded_at_ms: 1_700_000_000_000,
            by: None,
            body,
        }
    }

    #[test]
    fn goes_on_where_it_stopped_and_drops_old_days() {
        let dir = tempfile::tempdir().unwrap();
        let log = UsageLog {
            dir: dir.path().join("log"),
            zone: TimeZone::UTC,
        };
        assert_eq!(log.cursor(), 0);
        fs::create_dir(&log.dir).unwrap();
        fs::write(log.dir.join("tokens_2020-01-01.jsonl"), "old").unwrap();
        fs::write(log.dir.join("tokens_2099-01-01.jsonl"), "new").unwrap();
        log.write(&[alert(3), alert(4)], 1_700_000_000_000).unwrap();
        assert_eq!(log.cursor(), 4);
        let lines = fs::read_to_string(log.dir.join("alerts.jsonl")).unwrap();
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.contains("\"percent\":85"));
        assert!(!log.dir.join("tokens_2020-01-01.jsonl").exists());
        assert!(log.dir.join("tokens_2099-01-01.jsonl").exists());
    }

    #[test]
    fn alerts_leave_with_their_day() {
        let dir = tempfile::tempdir().unwrap();
        let log = UsageLog {
            dir: dir.path().to_owned(),
            zone: TimeZone::UTC,
        };
        let mut later = alert(2);
        later.recorded_at_ms += 86_400_000;
        log.write(&[alert(1), later], 0).unwrap();
        log.write(&[alert(3)], 1_700_000_000_001).unwrap();
        let lines = fs::read_to_string(log.dir.join("alerts.jsonl")).unwrap();
        let seqs: Vec<_> = lines
            .lines()
            .map(|l| l.split("\"seq\":").nth(1).unwrap()[..1].to_owned())
            .collect();
        assert_eq!(seqs, ["2"]);
    }
}
