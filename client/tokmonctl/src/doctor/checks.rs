//! The checks, each by itself.

use tokmon_client::Error;
use tokmon_client::v1::{SourceStatus, StatusResponse};

use super::machine::Machine;
use super::{Finding, Known, Level, drift};
use crate::show::named;
use crate::show::number::{bytes, count, duration};

/// A ledger with less room than this stops taking records soon.
const LITTLE_SPACE: u64 = 500_000_000;
const NO_SPACE: u64 = 50_000_000;
/// An agent that asked its hooks or its statusline this long after its last record is silent.
const SILENT_MS: i64 = 10 * 60 * 1000;
/// What an agent asked longer ago than this tells nothing of today.
const RECENT_MS: i64 = 24 * 60 * 60 * 1000;
/// Unread bytes of a source that are no passing matter.
const LAG_BYTES: u64 = 1_000_000;
/// Failures and models that are named; the rest is counted.
const NAMED: usize = 3;

pub(super) fn finding(
    area: &'static str,
    level: Level,
    message: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    Finding {
        area,
        level,
        message: message.into(),
        advice: advice.into(),
    }
}

/// Everything.
pub(super) fn all(known: Result<&Known, &Error>, machine: &Machine, now_ms: i64) -> Vec<Finding> {
    let mut out = Vec::new();
    match known {
        Err(error) => {
            let advice = error
                .hint
                .clone()
                .unwrap_or_else(|| "start it: `tokmonctl daemon start`".to_owned());
            out.push(finding("daemon", Level::Critical, error.message.clone(), advice));
            for area in ["ledger", "sources", "telemetry", "hooks", "prices", "drift"] {
                out.push(finding(area, Level::NoData, "the daemon does not answer", ""));
            }
        }
        Ok(known) => {
            daemon(&known.status, &mut out);
            sources(&known.status.sources, &mut out);
            telemetry(&known.status, &mut out);
            prices(&known.unpriced, &mut out);
            hooks(known, machine, &mut out);
            silence(known, now_ms, &mut out);
            drift::check(known, &mut out);
        }
    }
    disk(machine, &mut out);
    if !machine.is_service {
        let message = "the daemon is not a service: it runs from the first command until you log out";
        out.push(finding(
            "service",
            Level::Info,
            message,
            "`tokmonctl daemon install`",
        ));
    } else {
        out.push(finding(
            "service",
            Level::Good,
            "the daemon is a service of your user",
            "",
        ));
    }
    out
}

fn daemon(status: &StatusResponse, out: &mut Vec<Finding>) {
    if status.state == "serving" {
        let message = format!("serving at {}, process {}", status.socket, status.pid);
        out.push(finding("daemon", Level::Good, message, ""));
    } else {
        let message = format!("{}: {}", status.state.replace('_', "-"), status.state_reason);
        let advice = "nothing is recorded meanwhile; it goes on by itself when the cause is gone";
        out.push(finding("daemon", Level::Critical, message, advice));
    }
    let ours = env!("CARGO_PKG_VERSION");
    if status.version != ours {
        let message = format!("it is version {}, this is {ours}", status.version);
        out.push(finding(
            "daemon",
            Level::Warning,
            message,
            "`tokmonctl daemon restart`",
        ));
    }
    let ledger = status.ledger.clone().unwrap_or_default();
    let message = format!(
        "{} entries, {}, at {}",
        count(ledger.entries),
        bytes(ledger.file_bytes),
        ledger.path
    );
    out.push(finding("ledger", Level::Good, message, ""));
}

fn sources(all: &[SourceStatus], out: &mut Vec<Finding>) {
    let present: Vec<&SourceStatus> = all.iter().filter(|s| s.state != "absent").collect();
    if present.is_empty() {
        let message = "no agent's files were found";
        out.push(finding(
            "sources",
            Level::NoData,
            message,
            "`tokmonctl status` lists where it looks",
        ));
    }
    if present.iter().any(|source| source.polled) {
        let message =
            "the system does not tell of every change of files: new calls may show up a minute late";
        let advice =
            "raise fs.inotify.max_user_instances and fs.inotify.max_user_watches, then restart the daemon";
        out.push(finding("sources", Level::Info, message, advice));
    }
    for source in present {
        let name = format!("{} at {}", source.agent, source.path);
        if !source.error.is_empty() || source.state == "error" {
            out.push(finding(
                "sources",
                Level::Critical,
                format!("{name}: {}", source.error),
                "",
            ));
        }
        if source.parse_failures > 0 {
            let named: Vec<String> = source
                .failures
                .iter()
                .take(NAMED)
                .map(|f| format!("{} byte {}: {}", f.path, f.offset, f.message))
                .collect();
            let message = format!("{name}: {} lines could not be used", count(source.parse_failures));
            out.push(finding("sources", Level::Warning, message, named.join("; ")));
        }
        for unknown in &source.unknown_fields {
            let message = format!(
                "{name}: a figure {} was met {} times and is in no total",
                unknown.field,
                count(unknown.count)
            );
            // What counts tokens is missing from the totals; anything else may count anything.
            let level = match unknown.field.to_ascii_lowercase().contains("token") {
                true => Level::Warning,
                false => Level::Info,
            };
            let advice = format!(
                "first in {} byte {}; is there a newer tokmon?",
                unknown.path, unknown.offset
            );
            out.push(finding("sources", level, message, advice));
        }
        let lag = source.bytes.saturating_sub(source.bytes_read);
        if lag >= LAG_BYTES && source.state != "importing" {
            let message = format!("{name}: {} are not read yet", bytes(lag));
            out.push(finding(
                "sources",
                Level::Warning,
                message,
                "`tokmonctl up` reads everything to its end",
            ));
        }
        if source.error.is_empty() && source.parse_failures == 0 && lag < LAG_BYTES {
            let message = format!(
                "{name}: {} files, {} records",
                count(source.files),
                count(source.records)
            );
            out.push(finding("sources", Level::Good, message, ""));
        }
    }
}

fn telemetry(status: &StatusResponse, out: &mut Vec<Finding>) {
    let Some(otlp) = &status.otlp else {
        let message = "telemetry is off: calls that agents leave out of their files are not seen";
        out.push(finding(
            "telemetry",
            Level::Info,
            message,
            "`tokmonctl config set otlp.enabled true`",
        ));
        return;
    };
    if !otlp.error.is_empty() {
        out.push(finding(
            "telemetry",
            Level::Warning,
            otlp.error.clone(),
            "set `otlp.listen` to a free port",
        ));
    }
    if otlp.refused > 0 || otlp.rejected > 0 {
        let message = format!(
            "{} requests were turned away, {} records had figures that cannot be right",
            count(otlp.refused),
            count(otlp.rejected)
        );
        let problems: Vec<String> = otlp.problems.iter().take(NAMED).cloned().collect();
        out.push(finding("telemetry", Level::Warning, message, problems.join("; ")));
    }
    if otlp.error.is_empty() && otlp.refused == 0 && otlp.rejected == 0 {
        let message = format!(
            "{} calls came in at {}",
            count(otlp.calls),
            otlp.endpoints.join(", ")
        );
        out.push(finding("telemetry", Level::Good, message, ""));
    }
}

fn prices(unpriced: &[String], out: &mut Vec<Finding>) {
    if unpriced.is_empty() {
        out.push(finding(
            "prices",
            Level::Good,
            "every model of the last 30 days has a price",
            "",
        ));
        return;
    }
    let named = named(unpriced, NAMED);
    let message = format!("calls without a known price: {named}");
    out.push(finding(
        "prices",
        Level::Warning,
        message,
        "`tokmonctl price set`, then `tokmonctl price reprice`",
    ));
}

fn hooks(known: &Known, machine: &Machine, out: &mut Vec<Finding>) {
    let fired = |agent: &str| known.hooks.fired.iter().any(|f| f.agent == agent && f.count > 0);
    for agent in &machine.set_up {
        if fired(agent) {
            out.push(finding("hooks", Level::Good, format!("{agent}: they fire"), ""));
            continue;
        }
        let used = |s: &SourceStatus| s.agent == *agent && s.last_record_ms > known.status.started_at_ms;
        let used = known.status.sources.iter().any(used);
        let message = format!("{agent}: hooks are set up and have never fired");
        let (level, advice) = match (used, *agent) {
            (true, "codex") => (
                Level::Critical,
                "it was used since; trust them in Codex with `/hooks`",
            ),
            (true, _) => (
                Level::Critical,
                "it was used since; is it told to run no hooks, or is tokmonctl not on its path?",
            ),
            (false, _) => (Level::NoData, "use the agent once, then ask again"),
        };
        out.push(finding("hooks", level, message, advice));
    }
    for session in &known.hooks.denied {
        let message = format!(
            "{} session {} was denied {} times in a row by budget {}",
            session.agent, session.session, session.denials, session.budget
        );
        let advice = format!("`tokmonctl budget lift {}` lets it go on", session.budget);
        out.push(finding("hooks", Level::Warning, message, advice));
    }
}

/// Agents that were seen at work by their hooks or their statusline, and of whom no record came.
fn silence(known: &Known, now_ms: i64, out: &mut Vec<Finding>) {
    let by_hook = known.hooks.fired.iter().map(|f| (f.agent.as_str(), f.last_ms));
    let by_line = known.statuslines.iter().map(|s| (s.agent.as_str(), s.last_ms));
    let mut seen: Vec<(&str, i64)> = by_hook.chain(by_line).collect();
    seen.sort_unstable();
    // Of each agent the latest.
    seen.reverse();
    seen.dedup_by_key(|(agent, _)| *agent);
    for (agent, last_ms) in seen {
        let records = known.status.sources.iter().filter(|s| s.agent == agent);
        let latest = records.map(|s| s.last_record_ms).max().unwrap_or(0);
        let quiet = last_ms - latest;
        if now_ms - last_ms > RECENT_MS || quiet < SILENT_MS {
            continue;
        }
        let since = match latest {
            0 => "no record of it ever came".to_owned(),
            _ => format!("its last record is {} older", duration(quiet)),
        };
        let message = format!(
            "{agent} was at work {} ago, and {since}",
            duration(now_ms - last_ms)
        );
        let advice = "does it write its files elsewhere? `tokmonctl status` lists where they are looked for";
        out.push(finding("silence", Level::Warning, message, advice));
    }
}

fn disk(machine: &Machine, out: &mut Vec<Finding>) {
    let Some(free) = machine.free_bytes else {
        out.push(finding("disk", Level::NoData, "free space is not known", ""));
        return;
    };
    let message = format!("{} are free at {}", bytes(free), machine.state_dir.display());
    let (level, advice) = match free {
        n if n < NO_SPACE => (Level::Critical, "records are refused when it is full"),
        n if n < LITTLE_SPACE => (Level::Warning, "records are refused when it is full"),
        _ => (Level::Good, ""),
    };
    out.push(finding("disk", level, message, advice));
}

#[cfg(test)]
mod tests {
    use tokmon_client::Kind;
    use tokmon_client::v1::{
        DeniedSession, FiredHook, ListHooksResponse, Money, OtlpStatus, ParseFailure, StatuslineSession,
        UnknownField,
    };

    use super::*;

    const NOW: i64 = 1_795_176_000_000;

    fn healthy() -> (Known, Machine) {
        let source = SourceStatus {
            agent: "codex".into(),
            state: "watching".into(),
            last_record_ms: NOW - 1_000,
            ..SourceStatus::default()
        };
        let status = StatusResponse {
            state: "serving".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            sources: vec![source],
            otlp: Some(OtlpStatus::default()),
            ..StatusResponse::default()
        };
        let known = Known {
            status,
            ..Known::default()
        };
        let machine = Machine {
            free_bytes: Some(10_000_000_000),
            is_service: true,
            ..Machine::default()
        };
        (known, machine)
    }

    fn needs(known: &Known, machine: &Machine) -> Vec<(&'static str, Level)> {
        let found = all(Ok(known), machine, NOW);
        let bad = found.iter().filter(|f| f.level > Level::Info);
        bad.map(|f| (f.area, f.level)).collect()
    }

    #[test]
    fn a_healthy_house_needs_nothing() {
        let (known, machine) = healthy();
        assert_eq!(needs(&known, &machine), []);
    }

    #[test]
    fn each_trouble_is_found_by_itself() {
        type Change = fn(&mut Known, &mut Machine);
        let cases: [(Change, (&str, Level)); 14] = [
            (
                |k, _| k.status.state = "read_only".into(),
                ("daemon", Level::Critical),
            ),
            (
                |k, _| k.status.version = "0.0.1".into(),
                ("daemon", Level::Warning),
            ),
            (|k, _| k.status.sources.clear(), ("sources", Level::NoData)),
            (
                |k, _| k.status.sources[0].error = "gone".into(),
                ("sources", Level::Critical),
            ),
            (
                |k, _| {
                    k.status.sources[0].parse_failures = 5;
                    k.status.sources[0].failures = vec![ParseFailure::default(); 5];
                },
                ("sources", Level::Warning),
            ),
            (
                |k, _| {
                    let unknown = |field: &str| UnknownField {
                        field: field.into(),
                        count: 3,
                        ..UnknownField::default()
                    };
                    k.status.sources[0].unknown_fields = vec![unknown("moon_tokens"), unknown("retries")];
                },
                ("sources", Level::Warning),
            ),
            (
                |k, _| k.status.sources[0].bytes = 9_000_000,
                ("sources", Level::Warning),
            ),
            (
                |k, _| k.status.otlp.as_mut().unwrap().error = "taken".into(),
                ("telemetry", Level::Warning),
            ),
            (
                |k, _| k.unpriced = vec!["x/y".into(); 5],
                ("prices", Level::Warning),
            ),
            (|_, m| m.set_up = vec!["codex"], ("hooks", Level::Critical)),
            (
                |k, _| {
                    k.hooks = ListHooksResponse {
                        denied: vec![DeniedSession::default()],
                        ..ListHooksResponse::default()
                    }
                },
                ("hooks", Level::Warning),
            ),
            (
                |k, _| {
                    let fired = FiredHook {
                        agent: "gemini-cli".into(),
                        count: 1,
                        last_ms: NOW - 5_000,
                        ..FiredHook::default()
                    };
                    k.hooks.fired = vec![fired];
                },
                ("silence", Level::Warning),
            ),
            (
                |k, _| {
                    let told_cost = Some(Money { usd: 1, pico: 0 });
                    k.statuslines = vec![StatuslineSession {
                        agent: "codex".into(),
                        told_cost,
                        ..StatuslineSession::default()
                    }];
                },
                ("drift", Level::Warning),
            ),
            (|_, m| m.free_bytes = Some(1_000), ("disk", Level::Critical)),
        ];
        for (change, wanted) in cases {
            let (mut known, mut machine) = healthy();
            change(&mut known, &mut machine);
            assert_eq!(needs(&known, &machine), [wanted]);
        }
    }

    #[test]
    fn without_a_daemon_nothing_else_is_called_healthy() {
        let (_, machine) = healthy();
        let error = Error::new(Kind::Unavailable, "tokmond is not running");
        let found = all(Err(&error), &machine, NOW);
        assert_eq!((found[0].area, found[0].level), ("daemon", Level::Critical));
        let rest = found
            .iter()
            .filter(|f| ["ledger", "sources", "hooks", "prices"].contains(&f.area));
        assert!(rest.clone().count() == 4 && rest.clone().all(|f| f.level == Level::NoData));
    }
}
