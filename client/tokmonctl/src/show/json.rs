//! Results for programs. The shape of reports is a promise: see [`Figures`] and [`report`].

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokmon_client::v1::{self, Tokens, Totals};

use super::number::{exact, iso, pico};
use crate::totals::{Line, ModelPart, Report, Sum, input, output};

/// The figures of a row or of the totals: whole numbers, and the cost as an exact decimal string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) reasoning_tokens: u64,
    pub(crate) cache_read_tokens: u64,
    pub(crate) cache_write_5m_tokens: u64,
    pub(crate) cache_write_1h_tokens: u64,
    pub(crate) cost_usd: String,
}

impl From<&Sum> for Figures {
    fn from(sum: &Sum) -> Figures {
        Figures {
            requests: sum.requests,
            input_tokens: sum.input(),
            output_tokens: sum.output(),
            reasoning_tokens: sum.tokens.reasoning,
            cache_read_tokens: sum.tokens.cache_read,
            cache_write_5m_tokens: sum.tokens.cache_write_5m,
            cache_write_1h_tokens: sum.tokens.cache_write_1h,
            cost_usd: exact(sum.cost),
        }
    }
}

#[derive(Serialize)]
struct ReportJson<'a> {
    totals: Figures,
    rows: Vec<Row<'a>>,
    unpriced_models: &'a [String],
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    sources: Option<Vec<Value>>,
}

struct Row<'a> {
    keys: &'a [&'static str],
    line: &'a Line,
    breakdown: bool,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.keys.iter().zip(&self.line.keys) {
            map.serialize_entry(key, value)?;
        }
        entries(&mut map, &Figures::from(&self.line.sum))?;
        if self.breakdown {
            let models: Vec<Part<'_>> = self.line.models.iter().map(Part).collect();
            map.serialize_entry("models", &models)?;
        }
        map.end()
    }
}

struct Part<'a>(&'a ModelPart);

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", &self.0.model)?;
        map.serialize_entry("provider", &self.0.provider)?;
        entries(&mut map, &Figures::from(&self.0.sum))?;
        map.end()
    }
}

fn entries<M: SerializeMap>(map: &mut M, figures: &Figures) -> Result<(), M::Error> {
    map.serialize_entry("requests", &figures.requests)?;
    map.serialize_entry("input_tokens", &figures.input_tokens)?;
    map.serialize_entry("output_tokens", &figures.output_tokens)?;
    map.serialize_entry("reasoning_tokens", &figures.reasoning_tokens)?;
    map.serialize_entry("cache_read_tokens", &figures.cache_read_tokens)?;
    map.serialize_entry("cache_write_5m_tokens", &figures.cache_write_5m_tokens)?;
    map.serialize_entry("cache_write_1h_tokens", &figures.cache_write_1h_tokens)?;
    map.serialize_entry("cost_usd", &figures.cost_usd)
}

/// A report as `{"totals", "rows", "unpriced_models", "warnings"}`, and `"sources"` when they are given.
pub(crate) fn report(report: &Report, sources: Option<&[v1::SourceStatus]>) -> String {
    let row = |line| Row {
        keys: &report.keys,
        line,
        breakdown: report.breakdown,
    };
    document(&ReportJson {
        totals: Figures::from(&report.totals),
        rows: report.lines.iter().map(row).collect(),
        unpriced_models: &report.unpriced_models,
        warnings: &report.warnings,
        sources: sources.map(|all| all.iter().map(source).collect()),
    })
}

/// A document with line breaks, ended by one.
pub(crate) fn document(value: &impl Serialize) -> String {
    // Our own values have string keys and finite numbers, so this cannot fail.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// One line of a stream of values.
pub(crate) fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// Money as an exact decimal string, or null.
pub(crate) fn money(money: Option<&v1::Money>) -> Value {
    money.map_or(Value::Null, |m| exact(pico(m)).into())
}

/// An instant as ISO 8601 in UTC, or null.
pub(crate) fn time(ms: i64) -> Value {
    iso(ms).map_or(Value::Null, Value::from)
}

/// Totals from the wire as [`Figures`].
pub(crate) fn totals(totals: Option<&Totals>) -> Value {
    serde_json::to_value(Figures::from(&Sum::of(totals))).unwrap_or_default()
}

/// The token buckets under the names that [`Figures`] uses.
pub(crate) fn tokens(t: &Tokens) -> Value {
    json!({
        "input_tokens": input(t),
        "output_tokens": output(t),
        "reasoning_tokens": t.reasoning,
        "cache_read_tokens": t.cache_read,
        "cache_write_5m_tokens": t.cache_write_5m,
        "cache_write_1h_tokens": t.cache_write_1h,
        "web_searches": t.web_searches,
    })
}

/// One place that usage is read from.
pub(crate) fn source(s: &v1::SourceStatus) -> Value {
    let failures: Vec<Value> = s
        .failures
        .iter()
        .map(|f| json!({"path": f.path, "offset": f.offset, "message": f.message}))
        .collect();
    let unknown: Vec<Value> = s
        .unknown_fields
        .iter()
        .map(|u| json!({"field": u.field, "count": u.count, "path": u.path, "offset": u.offset}))
        .collect();
    json!({
        "agent": s.agent, "path": s.path, "state": s.state, "files": s.files, "bytes": s.bytes,
        "bytes_read": s.bytes_read, "records": s.records, "duplicates": s.duplicates,
        "parse_failures": s.parse_failures, "failures": failures, "unknown_fields": unknown, "polled": s.polled,
        "last_record": time(s.last_record_ms), "error": s.error,
    })
}

/// One finding of the waste rules.
pub(crate) fn waste(w: &v1::Waste) -> Value {
    json!({
        "rule": w.rule, "severity": w.severity, "message": w.message,
        "wasted_tokens": w.wasted_tokens, "wasted_usd": money(w.wasted_cost.as_ref()),
    })
}

/// A record as the ledger keeps it.
pub(crate) fn record(r: &v1::Record) -> Value {
    let u = r.usage.clone().unwrap_or_default();
    let made_at = u.place.clone().unwrap_or_default();
    let mut value = json!({
        "branch": made_at.branch, "commit": made_at.commit, "subagent": made_at.subagent, "skill": made_at.skill,
        "mcp_server": made_at.mcp_server, "request_id": u.request_id,
        "seq": r.seq, "at": time(u.at_ms), "agent": u.agent, "session": u.session, "project": u.project,
        "user": u.user, "provider": u.provider, "model": u.model, "tool": u.tool, "context": u.context,
        "cost_usd": money(r.cost.as_ref()), "reported_usd": money(u.reported_cost.as_ref()),
        "confidence": confidence(u.confidence), "failed": u.failed, "embedding": u.embedding,
        "cache_hit": u.cache_hit, "service_tier": u.service_tier, "speed": u.speed, "region": u.region,
        "recorded_at": time(r.recorded_at_ms), "estimated_extra_output": r.estimated_extra_output,
        "unlogged": r.unlogged,
        "accounts": r.accounts.iter().map(|a| json!({
            "witness": a.witness, "source": a.source.as_ref().map(place), "at": time(a.at_ms), "counted": a.counted,
            "reported_usd": money(a.reported_cost.as_ref()), "tokens": tokens(&a.tokens.unwrap_or_default()),
        })).collect::<Vec<_>>(),
        "replaces": r.replaces, "key": u.idempotency_key,
        "source": r.source.as_ref().map(place),
        "waste": r.waste.iter().map(waste).collect::<Vec<_>>(),
    });
    if let (Value::Object(into), Value::Object(from)) = (&mut value, tokens(&u.tokens.unwrap_or_default())) {
        into.extend(from);
    }
    value
}

/// Where a record was read.
pub(crate) fn place(s: &v1::Source) -> Value {
    json!({"kind": s.kind, "path": s.path, "offset": s.offset, "lines": s.lines})
}

fn confidence(value: i32) -> &'static str {
    match v1::Confidence::try_from(value) {
        Ok(v1::Confidence::Counted) => "counted",
        Ok(v1::Confidence::Estimated) => "estimated",
        Ok(v1::Confidence::Reported) => "reported",
        Ok(v1::Confidence::Unspecified) | Err(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totals::samples;

    const FIGURES: &str = r#""requests":1,"input_tokens":1500,"output_tokens":800,"reasoning_tokens":5,"cache_read_tokens":7,"cache_write_5m_tokens":11,"cache_write_1h_tokens":13,"cost_usd":"0.0165""#;

    fn compact(text: &str) -> String {
        text.lines()
            .map(str::trim)
            .collect::<String>()
            .replace("\": ", "\":")
    }

    #[test]
    fn the_shape_of_a_report_is_a_promise() {
        let expected = format!(
            r#"{{"totals":{{{FIGURES}}},"rows":[{{"date":"2026-11-20",{FIGURES}}}],"unpriced_models":["x/y"],"warnings":["w"]}}"#
        );
        assert_eq!(compact(&report(&samples::report(), None)), expected);
    }

    #[test]
    fn a_breakdown_adds_the_models() {
        let sample = Report {
            breakdown: true,
            ..samples::report()
        };
        let value: Value = serde_json::from_str(&report(&sample, None)).unwrap();
        assert_eq!(value["rows"][0]["models"][0]["model"], "odd, \"model\"");
        assert_eq!(value["rows"][0]["models"][0]["cost_usd"], "0.0165");
    }

    #[test]
    fn up_adds_the_sources() {
        let source = v1::SourceStatus {
            agent: "codex".into(),
            records: 3,
            ..v1::SourceStatus::default()
        };
        let value: Value = serde_json::from_str(&report(&samples::report(), Some(&[source]))).unwrap();
        assert_eq!(value["sources"][0]["agent"], "codex");
        assert_eq!(value["sources"][0]["records"], 3);
    }

    #[test]
    fn an_unpriced_record_has_no_cost() {
        let value = record(&v1::Record {
            seq: 4,
            ..v1::Record::default()
        });
        assert_eq!(value["seq"], 4);
        assert!(value["cost_usd"].is_null() && value["at"].is_null());
        assert_eq!(value["input_tokens"], 0);
    }
}
