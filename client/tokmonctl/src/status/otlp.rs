//! The part of `tokmonctl status` about telemetry: where it is taken and what came in.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokmon_client::v1::OtlpStatus;

use crate::show::number::{count, duration};
use crate::show::{self, Screen, json as to_json};

/// Sessions whose meters say more than the ledger that people are shown.
const DRIFTS_SHOWN: usize = 3;

/// For programs.
pub(super) fn as_json(s: &OtlpStatus) -> Value {
    let senders = s.senders.iter().map(
        |sender| json!({"agent": sender.agent, "calls": sender.calls, "last": to_json::time(sender.last_ms)}),
    );
    let drifts = s.drifts.iter().map(|drift| {
        json!({
            "agent": drift.agent, "session": drift.session, "measured_tokens": drift.measured_tokens,
            "booked_tokens": drift.booked_tokens, "last": to_json::time(drift.last_ms),
        })
    });
    json!({
        "endpoints": s.endpoints, "error": s.error, "token_file": s.token_file, "requests": s.requests,
        "calls": s.calls, "duplicates": s.duplicates, "others": s.others, "rejected": s.rejected,
        "refused": s.refused, "last": to_json::time(s.last_ms), "senders": senders.collect::<Vec<_>>(),
        "problems": s.problems, "drifts": drifts.collect::<Vec<_>>(),
    })
}

fn several(number: u64, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {what}{ending}", count(number))
}

/// For people.
pub(super) fn draw(s: &OtlpStatus, now: Timestamp, screen: &Screen) -> String {
    let ago = |ms: i64| format!("{} ago", duration(now.as_millisecond().saturating_sub(ms)));
    let places = match s.endpoints.as_slice() {
        [] => "nowhere".to_owned(),
        all => all.join(", "),
    };
    let mut out = format!("otlp    {}\n", show::clean(&places));
    if !s.token_file.is_empty() {
        out.push_str(&format!("        token in {}\n", show::clean(&s.token_file)));
    }
    if s.requests > 0 {
        out.push_str(&format!(
            "        {}, the last {}: {}, {} known, {}\n",
            several(s.requests, "request"),
            ago(s.last_ms),
            several(s.calls, "new call"),
            count(s.duplicates),
            several(s.others, "other record"),
        ));
    }
    for sender in &s.senders {
        let agent = show::clean(&sender.agent);
        out.push_str(&format!(
            "        {agent}: {}, the last {}\n",
            several(sender.calls, "call"),
            ago(sender.last_ms)
        ));
    }
    out = screen.fold(&out, 8);
    let mut warn = |text: &str| {
        let text = screen.fold(&format!("        {}", show::clean(text)), 10);
        out.push_str(&format!("{}\n", screen.warning(&text)));
    };
    if !s.error.is_empty() {
        warn(&s.error);
    }
    for drift in s.drifts.iter().rev().take(DRIFTS_SHOWN) {
        let missing = drift.measured_tokens.saturating_sub(drift.booked_tokens);
        warn(&format!(
            "{} measures {} tokens in session {}, {} more than came in",
            drift.agent,
            count(drift.measured_tokens),
            drift.session,
            count(missing)
        ));
    }
    if s.rejected + s.refused > 0 {
        let lost = [
            (s.rejected, "record", "not counted"),
            (s.refused, "request", "refused"),
        ];
        let lost = lost.iter().filter(|(number, ..)| *number > 0);
        let lost: Vec<String> = lost
            .map(|(number, what, how)| format!("{} {how}", several(*number, what)))
            .collect();
        warn(&format!("{}; lately:", lost.join(", ")));
        for problem in &s.problems {
            warn(&format!("- {problem}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use tokmon_client::v1::{OtlpDrift, OtlpSender};

    use super::*;

    #[test]
    fn people_see_where_it_is_taken_and_what_went_wrong() {
        let status = OtlpStatus {
            endpoints: vec!["http://127.0.0.1:14318".into()],
            error: "cannot listen on 127.0.0.1:4317: in use".into(),
            token_file: "/h/state/otlp.token".into(),
            requests: 2,
            calls: 1_234,
            refused: 1,
            last_ms: 1_000,
            senders: vec![OtlpSender {
                agent: "codex".into(),
                calls: 7,
                last_ms: 1_000,
            }],
            drifts: vec![OtlpDrift {
                agent: "gemini-cli".into(),
                session: "g1".into(),
                measured_tokens: 1_500,
                booked_tokens: 300,
                last_ms: 1_000,
            }],
            problems: vec![format!(
                "request refused: no valid token{}",
                " and more words".repeat(9)
            )],
            ..OtlpStatus::default()
        };
        let screen = Screen {
            width: Some(80),
            colour: false,
        };
        let now = Timestamp::from_second(61).unwrap_or_default();
        let text = draw(&status, now, &screen);
        for part in [
            "http://127.0.0.1:14318",
            "token in /h/state/otlp.token",
            "2 requests",
            "1,234 new calls",
            "codex: 7 calls, the last",
            "4317: in use",
            "1 request refused; lately",
            "no valid token",
            "gemini-cli measures 1,500 tokens in session g1, 1,200 more",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(as_json(&status)["senders"][0]["agent"], "codex");
    }
}
