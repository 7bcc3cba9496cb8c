//! What agents' own meters say of a session, as a cross-check: nothing of it is counted.
//!
//! Meters lag behind events, know no request, and begin with the daemon when they send differences. But when a meter
//! says more than the ledger has, calls are missing there.

use tokmon_core::Name;
use tokmon_core::limits::{MAX_OTLP_SERIES, MAX_OTLP_SESSIONS};
use tokmon_core::money::Pico;
use tokmon_core::tokens::Tokens;

use super::attributes::{Attr, Attributes, Value};
use super::map::Sender;
use super::metrics::{Point, Points};

/// What an agent's meters said of a session since the daemon's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// The agent's name in records.
    pub agent: Name,
    /// Its session.
    pub session: Name,
    /// Tokens, as far as the meter tells them apart; writes to the cache stand with those for five minutes.
    pub tokens: Tokens,
    /// What the agent thinks that they cost.
    pub cost: Pico,
    /// When a meter spoke last, milliseconds since the epoch.
    pub last_ms: i64,
}

/// What a series adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Input,
    /// Input with what was read from the cache.
    Prompt,
    CacheRead,
    CacheWrite,
    Output,
    /// Micro-dollars.
    Cost,
}

/// The kind of a point; `None`: not one of ours, or without a session.
fn kind(point: &Point<'_>) -> Option<Kind> {
    let token = point.attributes.text(Attr::TokenType).unwrap_or_default();
    match (&*point.metric, token) {
        ("claude_code.cost.usage", _) => Some(Kind::Cost),
        ("claude_code.token.usage", "input") | ("gemini_cli.token.usage", "tool") => Some(Kind::Input),
        ("claude_code.token.usage", "cacheRead") | ("gemini_cli.token.usage", "cache") => {
            Some(Kind::CacheRead)
        }
        ("claude_code.token.usage", "cacheCreation") => Some(Kind::CacheWrite),
        ("claude_code.token.usage", "output") => Some(Kind::Output),
        ("gemini_cli.token.usage", "input") => Some(Kind::Prompt),
        ("gemini_cli.token.usage", "output" | "thought") => Some(Kind::Output),
        _ => None,
    }
}

#[derive(Debug)]
struct Series {
    id: u64,
    /// When it began; 0 for one of differences, which begins anew with each point.
    start: u64,
    time: u64,
    kind: Kind,
    value: u64,
}

#[derive(Debug)]
struct Session {
    agent: &'static str,
    session: Name,
    last_ms: i64,
    series: Vec<Series>,
}

/// The meters of the latest sessions; the one that is silent longest makes room.
#[derive(Debug, Default)]
pub(super) struct Meters {
    /// The latest last.
    sessions: Vec<Session>,
    /// Now, milliseconds since the epoch.
    pub(super) now_ms: i64,
}

impl Meters {
    /// Every session's sums, the latest last.
    pub(super) fn measured(&self) -> Vec<Measured> {
        self.sessions.iter().map(Session::measured).collect()
    }

    fn session(&mut self, agent: &'static str, name: &str) -> &mut Session {
        let known = |s: &Session| s.agent == agent && &*s.session == name;
        let session = match self.sessions.iter().position(known) {
            Some(at) => self.sessions.remove(at),
            None => Session {
                agent,
                session: name.into(),
                last_ms: 0,
                series: Vec::new(),
            },
        };
        if self.sessions.len() >= MAX_OTLP_SESSIONS {
            self.sessions.remove(0);
        }
        self.sessions.push(session);
        let last = self.sessions.len() - 1;
        &mut self.sessions[last]
    }
}

impl Points for Meters {
    fn point(&mut self, resource: &Attributes<'_>, point: &Point<'_>) {
        let said = |attr| point.attributes.text(attr).or_else(|| resource.text(attr));
        let agent = Sender::of(resource, &point.metric).agent();
        let (Some(kind), Some(agent), Some(name)) = (kind(point), agent, said(Attr::Session)) else {
            return;
        };
        let (Some(value), true) = (whole(kind, point.value.as_ref()), name.len() <= 128) else {
            return;
        };
        let now_ms = self.now_ms;
        let session = self.session(agent, name);
        session.last_ms = now_ms;
        let start = if point.cumulative { point.start } else { 0 };
        let is_known = |known: &Series| known.id == point.series && known.start == start;
        let Some(known) = session.series.iter().position(is_known) else {
            if session.series.len() < MAX_OTLP_SERIES {
                session.series.push(Series {
                    id: point.series,
                    start,
                    time: point.time,
                    kind,
                    value,
                });
            }
            return;
        };
        let known = &mut session.series[known];
        // Else it is sent again, or was overtaken.
        if point.time > known.time {
            known.time = point.time;
            known.value = match point.cumulative {
                true => value,
                false => known.value.saturating_add(value),
            };
        }
    }
}

/// The figure as a whole number of tokens or micro-dollars; nonsense is none.
fn whole(kind: Kind, value: Option<&Value<'_>>) -> Option<u64> {
    let unit = if kind == Kind::Cost { 1e6 } else { 1.0 };
    let number = match value? {
        Value::Int(number) => return u64::try_from(*number).ok().map(|n| n.saturating_mul(unit as u64)),
        Value::Double(number) => (number * unit).round(),
        Value::Text(_) | Value::Bool(_) => return None,
    };
    (0.0..9.0e15).contains(&number).then_some(number as u64)
}

impl Session {
    fn measured(&self) -> Measured {
        let sum = |kind: Kind| {
            let values = self
                .series
                .iter()
                .filter(|series| series.kind == kind)
                .map(|series| series.value);
            values.fold(0, u64::saturating_add)
        };
        let cache_read = sum(Kind::CacheRead);
        Measured {
            agent: self.agent.into(),
            session: self.session.clone(),
            tokens: Tokens {
                input: sum(Kind::Prompt)
                    .saturating_sub(cache_read)
                    .saturating_add(sum(Kind::Input)),
                output: sum(Kind::Output),
                cache_read,
                cache_write_5m: sum(Kind::CacheWrite),
                ..Tokens::default()
            },
            cost: Pico(i128::from(sum(Kind::Cost)) * 1_000_000),
            last_ms: self.last_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::otlp::record::Encoding;
    use crate::otlp::{metrics, wire};

    fn request(service: &str, metric: &str, temporality: u64, points: &[(&str, u64, u64, Json)]) -> Json {
        let points: Vec<Json> = points
            .iter()
            .map(|(kind, start, time, value)| {
                let name = if value.is_string() { "asInt" } else { "asDouble" };
                json!({"startTimeUnixNano": start.to_string(), "timeUnixNano": time.to_string(), name: value,
                "attributes": [
                    {"key": "session.id", "value": {"stringValue": "s1"}},
                    {"key": "type", "value": {"stringValue": kind}},
                    {"key": "model", "value": {"stringValue": "m"}},
                ]})
            })
            .collect();
        let sum = json!({"dataPoints": points, "aggregationTemporality": temporality, "isMonotonic": true});
        json!({"resourceMetrics": [{
            "scopeMetrics": [{"metrics": [{"name": metric, "sum": sum}]}],
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
        }]})
    }

    /// Takes requests in both forms, which must mean the same.
    fn measured(requests: &[Json]) -> Vec<Measured> {
        let mut all = [Meters::default(), Meters::default()];
        for request in requests {
            let body = serde_json::to_vec(request).unwrap();
            metrics::decode(Encoding::Json, &body, &mut all[0]).unwrap();
            let body = wire::metrics(request);
            metrics::decode(Encoding::Protobuf, &body, &mut all[1]).unwrap();
        }
        let [json, protobuf] = all.map(|meters| meters.measured());
        assert_eq!(json, protobuf);
        json
    }

    #[test]
    fn differences_are_added_and_what_is_sent_again_is_not() {
        let claude = |points: &[_]| request("claude-code", "claude_code.token.usage", 1, points);
        let first = claude(&[
            ("input", 1, 10, json!(100.0)),
            ("output", 1, 10, json!("20")),
            ("cacheRead", 1, 10, json!(3_000.0)),
            ("cacheCreation", 1, 10, json!(500.0)),
        ]);
        let second = claude(&[("input", 10, 20, json!(7.0))]);
        let cost = request(
            "claude-code",
            "claude_code.cost.usage",
            1,
            &[("", 1, 10, json!(0.016448))],
        );
        let got = measured(&[first.clone(), first.clone(), second, cost, first]);
        assert_eq!(got.len(), 1);
        assert_eq!((&*got[0].agent, &*got[0].session), ("claude-code", "s1"));
        let wanted = Tokens {
            input: 107,
            output: 20,
            cache_read: 3_000,
            cache_write_5m: 500,
            ..Tokens::default()
        };
        assert_eq!(
            (got[0].tokens, got[0].cost.to_string().as_str()),
            (wanted, "0.016448")
        );
    }

    #[test]
    fn of_totals_the_latest_counts_and_a_new_start_is_added() {
        let gemini = |points: &[_]| request("gemini-cli", "gemini_cli.token.usage", 2, points);
        let got = measured(&[
            gemini(&[("input", 1, 10, json!("900")), ("cache", 1, 10, json!("300"))]),
            gemini(&[
                ("input", 1, 20, json!("1000")),
                ("thought", 1, 20, json!("5")),
                ("tool", 1, 20, json!("1")),
            ]),
            gemini(&[("input", 1, 15, json!("950"))]),
            gemini(&[("input", 30, 40, json!("50")), ("output", 30, 40, json!("8"))]),
        ]);
        let wanted = Tokens {
            input: 1_050 - 300 + 1,
            output: 13,
            cache_read: 300,
            ..Tokens::default()
        };
        assert_eq!(got[0].tokens, wanted);
    }

    #[test]
    fn others_and_nonsense_are_passed_over_and_the_number_of_sessions_is_bounded() {
        for value in [json!(-1.0), json!("-5"), json!(1e300)] {
            let other = request(
                "claude-code",
                "claude_code.token.usage",
                1,
                &[("input", 1, 10, value)],
            );
            assert_eq!(measured(&[other]), vec![]);
        }
        let other = request(
            "my-bot",
            "gen_ai.client.token.usage",
            1,
            &[("input", 1, 10, json!(1.0))],
        );
        assert_eq!(measured(&[other]), vec![]);
        let mut meters = Meters::default();
        for number in 0..MAX_OTLP_SESSIONS + 10 {
            meters.session("claude-code", &number.to_string());
        }
        meters.session("claude-code", "20");
        assert_eq!(meters.sessions.len(), MAX_OTLP_SESSIONS);
        assert_eq!(
            (
                &*meters.sessions[0].session,
                &*meters.sessions[MAX_OTLP_SESSIONS - 1].session
            ),
            ("10", "20")
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for encoding in [Encoding::Json, Encoding::Protobuf] {
                let _ = metrics::decode(encoding, &bytes, &mut Meters::default());
            }
        }
    }
}
