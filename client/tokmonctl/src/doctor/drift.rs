//! Drift: where witnesses of one session disagree, with what each of them shows.

use tokmon_client::Client;
use tokmon_client::v1::{ExplainRequest, Filter, StatuslineSession, WitnessSum};

use super::checks::finding;
use super::{Finding, Known, Level};
use crate::show::number::{count, dollars, pico};

/// What an agent reckons and what the ledger has may differ by so many percent, and by so much.
const PERCENT: i128 = 5;
const LEAST: i128 = 50_000_000_000;
/// Sessions whose witnesses are asked for, those heard of last.
const SESSIONS: usize = 8;

/// What each witness shows of one session.
#[derive(Debug, Default, Clone)]
pub(super) struct Heard {
    agent: String,
    session: String,
    witnesses: Vec<WitnessSum>,
}

/// Asks what each witness shows of the sessions that were heard of last. What cannot be had is left out.
pub(super) async fn learn(client: &Client, lines: &[StatuslineSession]) -> Vec<Heard> {
    let mut heard = Vec::new();
    for line in lines.iter().take(SESSIONS) {
        let filter = Filter {
            agents: vec![line.agent.clone()],
            sessions: vec![line.session.clone()],
            ..Filter::default()
        };
        let request = ExplainRequest {
            filter: Some(filter),
            page_size: 1,
            ..ExplainRequest::default()
        };
        if let Ok(answer) = client.explain(request).await {
            heard.push(Heard {
                agent: line.agent.clone(),
                session: line.session.clone(),
                witnesses: answer.witnesses,
            });
        }
    }
    heard
}

/// Agents' own totals and meters against the ledger, and files against telemetry.
pub(super) fn check(known: &Known, out: &mut Vec<Finding>) {
    for line in &known.statuslines {
        total(line, known, out);
    }
    for drift in known.status.otlp.iter().flat_map(|otlp| &otlp.drifts) {
        let message = format!(
            "{} session {}: its meters say {} tokens, the ledger has {}{}",
            drift.agent,
            drift.session,
            count(drift.measured_tokens),
            count(drift.booked_tokens),
            sums(known, &drift.agent, &drift.session)
        );
        let advice = "calls did not come in; see `tokmonctl explain`";
        out.push(finding("drift", Level::Warning, message, advice));
    }
    for heard in &known.witnesses {
        let of = |name: &str| heard.witnesses.iter().find(|sum| sum.witness == name);
        let (Some(file), Some(telemetry)) = (of("file"), of("telemetry")) else {
            continue;
        };
        if file.alone == 0 && telemetry.alone == 0 {
            continue;
        }
        let message = format!(
            "{} session {}: {} calls are in its files alone, {} in telemetry alone{}",
            heard.agent,
            heard.session,
            count(file.alone),
            count(telemetry.alone),
            sums(known, &heard.agent, &heard.session)
        );
        out.push(finding(
            "drift",
            Level::Info,
            message,
            format!(
                "`tokmonctl explain --session {}` lists them; each counts once",
                heard.session
            ),
        ));
    }
}

/// What an agent reckons that a session has cost.
fn total(line: &StatuslineSession, known: &Known, out: &mut Vec<Finding>) {
    let Some(told) = line.told_cost.as_ref().map(pico) else {
        return;
    };
    let (has, booked) = (
        line.known_cost.as_ref().map_or(0, pico),
        line.booked_cost.as_ref().map_or(0, pico),
    );
    let missing = told - (has - booked);
    if missing <= LEAST || missing * 100 <= told * PERCENT {
        return;
    }
    let mut message = format!(
        "{} session {}: the agent reckons {}, its calls cost {}{}",
        line.agent,
        line.session,
        dollars(told),
        dollars(has - booked),
        sums(known, &line.agent, &line.session)
    );
    if booked > 0 {
        message.push_str(&format!("; {} are booked as unlogged", dollars(booked)));
    }
    // What is booked counts; what is not is missing, unless it comes in yet.
    let level = match told - has > LEAST && (told - has) * 100 > told * PERCENT {
        true => Level::Warning,
        false => Level::Info,
    };
    let advice = "titles and compaction are in no file; telemetry shows them";
    out.push(finding("drift", level, message, advice));
}

/// What each witness shows of a session, in parentheses; empty when that is not known.
fn sums(known: &Known, agent: &str, session: &str) -> String {
    let mut all = known.witnesses.iter();
    let heard = all.find(|heard| heard.agent == agent && heard.session == session);
    let shows = |sum: &WitnessSum| {
        let tokens = sum.tokens.unwrap_or_default();
        let calls = if sum.calls == 1 { "call" } else { "calls" };
        format!(
            "{} {} {calls} with {} output tokens",
            sum.witness,
            count(sum.calls),
            count(crate::totals::output(&tokens))
        )
    };
    match heard.map(|heard| heard.witnesses.as_slice()) {
        None | Some([]) => String::new(),
        Some(witnesses) => {
            let each: Vec<String> = witnesses.iter().map(shows).collect();
            format!(" ({})", each.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use tokmon_client::v1::{Money, Tokens};

    use super::*;

    fn found(known: &Known) -> Vec<(Level, String)> {
        let mut out = Vec::new();
        check(known, &mut out);
        out.into_iter().map(|f| (f.level, f.message)).collect()
    }

    fn sum(witness: &str, calls: u64, alone: u64) -> WitnessSum {
        WitnessSum {
            witness: witness.into(),
            calls,
            alone,
            tokens: Some(Tokens {
                output: 10 * calls,
                ..Tokens::default()
            }),
            unlogged: 0,
        }
    }

    fn known(told: i64, has: i64, booked: i64, witnesses: Vec<WitnessSum>) -> Known {
        let usd = |usd| Some(Money { usd, pico: 0 });
        Known {
            statuslines: vec![StatuslineSession {
                agent: "claude-code".into(),
                session: "s1".into(),
                told_cost: usd(told),
                known_cost: usd(has),
                booked_cost: usd(booked),
                ..StatuslineSession::default()
            }],
            witnesses: vec![Heard {
                agent: "claude-code".into(),
                session: "s1".into(),
                witnesses,
            }],
            ..Known::default()
        }
    }

    #[test]
    fn what_is_missing_is_a_warning_and_what_is_booked_is_told() {
        let file = || vec![sum("file", 3, 3)];
        assert_eq!(found(&known(10, 10, 0, file())), []);
        let missing = found(&known(10, 6, 0, file()));
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].0, Level::Warning);
        for part in ["reckons $10", "calls cost $6", "file 3 calls with 30 output"] {
            assert!(missing[0].1.contains(part), "{missing:?}");
        }
        let booked = found(&known(10, 10, 4, file()));
        assert_eq!(booked[0].0, Level::Info);
        assert!(booked[0].1.contains("$4.00 are booked"), "{booked:?}");
    }

    #[test]
    fn files_and_telemetry_are_held_against_each_other() {
        let same = vec![sum("file", 3, 0), sum("telemetry", 3, 0)];
        assert_eq!(found(&known(10, 10, 0, same)), []);
        let other = vec![sum("file", 3, 1), sum("telemetry", 4, 2)];
        let found = found(&known(10, 10, 0, other));
        assert_eq!(found[0].0, Level::Info);
        assert!(
            found[0]
                .1
                .contains("1 calls are in its files alone, 2 in telemetry"),
            "{found:?}"
        );
    }
}
