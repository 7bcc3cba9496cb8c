//! The analysis as JSON. Costs are exact decimal strings, tokens integers.

use serde_json::{Value, json};

use super::{Analysis, provider_and_model};
use crate::report::Row;
use crate::report::figures::name;
use crate::rollup::Agg;
use crate::time::{period_window, zone_name};
use crate::tips::Tip;
use crate::waste::WasteAnalysis;

pub(super) fn write(analysis: &Analysis) -> String {
    let window = period_window(analysis.period, analysis.now_ms, &analysis.zone);
    // Periods without a begin or an end.
    let bound = |ms: i64| {
        if ms == 0 || ms == i64::MAX {
            Value::Null
        } else {
            json!(ms)
        }
    };
    let document = json!({
        "period": analysis.period.name(),
        "made_at_ms": analysis.now_ms,
        "timezone": zone_name(&analysis.zone, analysis.now_ms),
        "from_ms": bound(window.start),
        "to_ms": bound(window.end),
        "totals": totals(analysis.total()),
        "by_day": rows("date", &analysis.by_day.rows),
        "by_model": models(&analysis.by_model.rows),
        "by_tool": rows("tool", &analysis.by_tool.rows),
        "unpriced_models": analysis.unpriced(),
        "waste": waste(&analysis.waste),
        "tips": analysis.tips.iter().map(tip).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn models(rows: &[Row]) -> Vec<Value> {
    (rows.iter())
        .map(|row| {
            let (provider, model) = provider_and_model(row);
            let mut value = totals(&row.agg);
            value["provider"] = json!(provider);
            value["model"] = json!(model);
            value
        })
        .collect()
}

fn totals(agg: &Agg) -> Value {
    let tokens = &agg.tokens;
    json!({
        "requests": agg.requests,
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "reasoning_tokens": tokens.reasoning,
        "cache_read_tokens": tokens.cache_read,
        "cache_write_5m_tokens": tokens.cache_write_5m,
        "cache_write_1h_tokens": tokens.cache_write_1h,
        "total_tokens": tokens.total(),
        "cost_usd": agg.cost.to_string(),
        "unpriced_requests": agg.unpriced_requests,
        "failed_requests": agg.failed_requests,
    })
}

fn rows(column: &str, rows: &[Row]) -> Vec<Value> {
    (rows.iter())
        .map(|row| {
            let mut value = totals(&row.agg);
            value[column] = json!(name(row));
            value
        })
        .collect()
}

fn waste(waste: &WasteAnalysis) -> Value {
    let by_rule: Vec<Value> = (waste.by_rule.iter())
        .map(|found| {
            json!({
                "rule": found.rule.name(),
                "severity": found.rule.severity(),
                "events": found.events,
                "wasted_tokens": found.wasted_tokens,
                "wasted_cost_usd": found.wasted_cost.to_string(),
            })
        })
        .collect();
    let tools: Vec<Value> = (waste.tools.iter())
        .map(|tool| {
            json!({
                "tool": tool.tool,
                "requests": tool.requests,
                "total_tokens": tool.total_tokens,
                "wasted_tokens": tool.wasted_tokens,
                "wasted_cost_usd": tool.wasted_cost.to_string(),
                "score": tool.score,
            })
        })
        .collect();
    json!({
        "wasted_tokens": waste.wasted_tokens,
        "wasted_cost_usd": waste.wasted_cost.to_string(),
        "waste_rate_percent": (waste.waste_rate_percent * 100.0).round() / 100.0,
        "potential_monthly_savings_usd": waste.potential_monthly_savings.to_string(),
        "by_rule": by_rule,
        "tools": tools,
    })
}

fn tip(tip: &Tip) -> Value {
    json!({
        "group": tip.group.name(),
        "title": tip.title,
        "evidence": tip.evidence,
        "advice": tip.advice,
        "saved_tokens": tip.saved_tokens,
        "saved_cost_usd": tip.saved_cost.to_string(),
    })
}
