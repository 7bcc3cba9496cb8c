//! `tokmonctl status`: how the daemon is, what it has and where it reads.

mod otlp;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use tokmon_client::v1::{LedgerStatus, SourceStatus, StatusRequest, StatusResponse};
use tokmon_client::{Client, Error};

use crate::context::Context;
use crate::failure::Failure;
use crate::show::number::{bytes, count, counted, duration, instant};
use crate::show::table::{Look, Table, figures, path, text};
use crate::show::{self, Screen, json as to_json};

/// `tokmonctl status`.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    show(&client, context).await
}

/// Asks a daemon and prints the answer.
pub(crate) async fn show(client: &Client, context: &Context) -> Result<(), Failure> {
    let status = ask(client).await?;
    let text = if context.json {
        to_json::document(&as_json(&status))
    } else {
        draw(&status, Timestamp::now(), &context.screen())
    };
    show::print(&text)
}

/// Asks a daemon how it is.
pub(crate) async fn ask(client: &Client) -> Result<StatusResponse, Error> {
    client.status(StatusRequest {}).await
}

fn as_json(s: &StatusResponse) -> serde_json::Value {
    let l = s.ledger.clone().unwrap_or_default();
    json!({
        "version": s.version, "contract": s.contract, "pid": s.pid, "socket": s.socket,
        "started_at": to_json::time(s.started_at_ms), "state": s.state, "state_reason": s.state_reason,
        "home": s.home, "config_file": s.config_file, "resident_bytes": s.resident_bytes,
        "ledger": {
            "path": l.path, "schema_version": l.schema_version, "entries": l.entries, "last_seq": l.last_seq,
            "file_bytes": l.file_bytes, "oldest": to_json::time(l.oldest_ms), "newest": to_json::time(l.newest_ms),
            "purge_horizon": to_json::time(l.purge_horizon_ms),
        },
        "sources": s.sources.iter().map(to_json::source).collect::<Vec<_>>(),
        "otlp": s.otlp.as_ref().map(otlp::as_json),
    })
}

fn draw(s: &StatusResponse, now: Timestamp, screen: &Screen) -> String {
    let l = s.ledger.clone().unwrap_or_default();
    let running = duration(now.as_millisecond().saturating_sub(s.started_at_ms));
    let state = if s.state == "serving" {
        s.state.clone()
    } else {
        let state = s.state.replace('_', "-");
        screen.warning(&show::clean(&format!("{state} ({})", s.state_reason)))
    };
    let mut out = format!(
        "{} {} is {state}, process {}, for {running}, {} of memory\n\
         socket  {}\nconfig  {}\nledger  {}\n        {}\n",
        screen.bold("tokmond"),
        show::clean(&s.version),
        s.pid,
        bytes(s.resident_bytes),
        show::clean(&s.socket),
        show::clean(&s.config_file),
        show::clean(&l.path),
        ledger_line(&l),
    );
    out = screen.fold(&out, 8);
    if let Some(telemetry) = &s.otlp {
        out.push_str(&otlp::draw(telemetry, now, screen));
    }
    if !s.sources.is_empty() {
        out.push('\n');
        out.push_str(&sources(&s.sources, screen));
    }
    out
}

fn ledger_line(l: &LedgerStatus) -> String {
    let zone = TimeZone::system();
    let entries = counted(l.entries, "entry");
    let mut line = format!("{entries}, {}", bytes(l.file_bytes));
    if l.oldest_ms != 0 {
        line.push_str(&format!(
            ", {} to {}",
            instant(l.oldest_ms, &zone),
            instant(l.newest_ms, &zone)
        ));
    }
    if l.purge_horizon_ms != 0 {
        line.push_str(&format!(
            "; of calls before {} only totals are kept",
            instant(l.purge_horizon_ms, &zone)
        ));
    }
    line
}

/// The agents that were looked for and have nothing here, in the order of the sources.
pub(crate) fn absent(all: &[SourceStatus]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for s in all {
        let anywhere = all.iter().any(|o| o.agent == s.agent && o.state != "absent");
        if !anywhere && !names.contains(&s.agent.as_str()) {
            names.push(&s.agent);
        }
    }
    names
}

/// The places that usage is read from, as a table with their failures, and in one line who is not there.
pub(crate) fn sources(all: &[SourceStatus], screen: &Screen) -> String {
    let present = || all.iter().filter(|s| s.state != "absent");
    let mut table = Table::new(vec![
        text("Agent", 0),
        text("State", 0),
        figures("Files", 3),
        figures("Read", 4),
        figures("Records", 1),
        figures("Duplicates", 5),
        figures("Failures", 2),
        path("Place", 0),
    ]);
    for s in present() {
        let look = match s.state.as_str() {
            "error" => Look::Critical,
            _ if s.parse_failures > 0 => Look::Warning,
            _ => Look::Plain,
        };
        table.row(
            look,
            vec![
                s.agent.clone(),
                s.state.clone(),
                count(s.files),
                bytes(s.bytes_read),
                count(s.records),
                count(s.duplicates),
                count(s.parse_failures),
                s.path.clone(),
            ],
        );
    }
    let mut out = match present().next() {
        Some(_) => table.render(screen),
        None => String::new(),
    };
    let absent = absent(all);
    if !absent.is_empty() {
        let text = format!("Looked for and not here: {}", absent.join(", "));
        out.push_str(&format!("{}\n", screen.fold(&show::clean(&text), 2)));
    }
    for s in all {
        if !s.error.is_empty() {
            let text = format!("{}: {}", s.agent, s.error);
            let text = screen.fold(&show::clean(&text), 2);
            out.push_str(&format!("{}\n", screen.warning(&text)));
        }
        for f in &s.failures {
            let text = format!("could not read {} at byte {}: {}", f.path, f.offset, f.message);
            let text = screen.fold(&show::clean(&text), 2);
            out.push_str(&format!("{}\n", screen.warning(&text)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::ParseFailure;

    fn status() -> StatusResponse {
        StatusResponse {
            version: "0.1.0".into(),
            pid: 42,
            socket: "/run/s.sock".into(),
            state: "read_only".into(),
            state_reason: "disk full".into(),
            sources: vec![SourceStatus {
                agent: "codex".into(),
                state: "watching".into(),
                parse_failures: 1,
                failures: vec![ParseFailure {
                    path: "/f".into(),
                    offset: 7,
                    message: "not JSON".into(),
                }],
                ..SourceStatus::default()
            }],
            ..StatusResponse::default()
        }
    }

    #[test]
    fn scripts_find_socket_pid_and_version() {
        let value = as_json(&status());
        assert_eq!(
            (
                value["socket"].as_str(),
                value["pid"].as_u64(),
                value["version"].as_str()
            ),
            (Some("/run/s.sock"), Some(42), Some("0.1.0"))
        );
        assert_eq!(value["sources"][0]["failures"][0]["offset"], 7);
    }

    #[test]
    fn who_is_not_here_takes_one_line() {
        let source = |agent: &str, path: &str, state: &str| SourceStatus {
            agent: agent.into(),
            path: path.into(),
            state: state.into(),
            ..SourceStatus::default()
        };
        let all = [
            source("codex", "/h/.codex/sessions", "watching"),
            source("codex", "/h/.codex/archived_sessions", "absent"),
            source("amp", "/h/amp", "absent"),
            source("droid", "/h/a", "absent"),
            source("droid", "/h/b", "absent"),
        ];
        let screen = Screen {
            width: Some(80),
            colour: false,
        };
        let text = sources(&all, &screen);
        assert!(text.ends_with("Looked for and not here: amp, droid\n"), "{text}");
        assert!(!text.contains("archived"), "{text}");
        assert_eq!(
            sources(&all[2..], &screen),
            "Looked for and not here: amp, droid\n"
        );
    }

    #[test]
    fn people_see_what_is_wrong() {
        let text = draw(
            &status(),
            Timestamp::UNIX_EPOCH,
            &Screen {
                width: Some(80),
                colour: false,
            },
        );
        assert!(text.contains("read-only (disk full)"), "{text}");
        assert!(text.contains("could not read /f at byte 7: not JSON"), "{text}");
    }
}
