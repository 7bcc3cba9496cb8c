//! Tips about tools: what the waste rules found, and answers that are long on average.

use super::{Evidence, Group, Tip};
use crate::entry::Rule;
use crate::report::Row;
use crate::report::figures::{count, name, percent, share, span, thousands, usd};
use crate::rollup::{Agg, WasteAgg};

/// Output per call, on average, from which a tool should be given limits.
const LONG_OUTPUT: u64 = 8_000;
/// Calls below which an average says nothing.
const ENOUGH_CALLS: u64 = 3;
/// Failed calls in percent from which it is worth a look, and the calls that make it a share.
const FAILED_PERCENT: u64 = 5;
const ENOUGH_FOR_A_SHARE: u64 = 20;

pub(super) fn tips(evidence: &Evidence<'_>) -> Vec<Tip> {
    let total = &evidence.by_tool.total;
    let mut tips = Vec::new();
    tips.extend(found(total, Rule::LargeRequest).map(|found| large_requests(evidence, found)));
    tips.extend(found(total, Rule::LargeOutput).map(|found| large_outputs(evidence, found)));
    tips.extend(found(total, Rule::DuplicateRequest).map(|found| duplicates(evidence, found)));
    for row in &evidence.by_tool.rows {
        tips.extend(found(&row.agg, Rule::ReadLoop).map(|found| read_loop(evidence, row, found)));
        tips.extend(found(&row.agg, Rule::UnboundedSearch).map(|found| search(evidence, row, found)));
        tips.extend(long_output(row));
    }
    tips.extend(failures(total));
    tips
}

fn found(agg: &Agg, rule: Rule) -> Option<&WasteAgg> {
    agg.waste
        .iter()
        .find(|waste| waste.rule == rule && waste.events > 0)
}

fn tip(group: Group, title: String, evidence: String, advice: &str, found: &WasteAgg) -> Tip {
    Tip {
        group,
        title,
        evidence: format!(
            "{evidence}; {} needless tokens, {}",
            thousands(found.tokens),
            usd(found.cost)
        ),
        advice: advice.to_owned(),
        saved_tokens: found.tokens,
        saved_cost: found.cost,
    }
}

fn large_requests(evidence: &Evidence<'_>, found: &WasteAgg) -> Tip {
    let limit = thousands(evidence.rules.large_request.tokens);
    tip(
        Group::Critical,
        "Very large requests".to_owned(),
        format!(
            "{} of more than {limit} uncached tokens",
            count(found.events, "request")
        ),
        "Start a new session or compact this one sooner, and pass parts of files instead of whole ones.",
        found,
    )
}

fn large_outputs(evidence: &Evidence<'_>, found: &WasteAgg) -> Tip {
    let limit = thousands(evidence.rules.large_output.tokens);
    tip(
        Group::Critical,
        "Very long answers".to_owned(),
        format!(
            "{} of more than {limit} tokens, likely truncated",
            count(found.events, "answer")
        ),
        "Split the task, and ask for changes instead of whole files.",
        found,
    )
}

fn duplicates(evidence: &Evidence<'_>, found: &WasteAgg) -> Tip {
    let window = span(u64::from(evidence.rules.duplicate_request.window_seconds));
    tip(
        Group::Warning,
        "The same request again".to_owned(),
        format!("{} repeated within {window}", count(found.events, "request")),
        "Cache the answer, or refer to the earlier one instead of asking again.",
        found,
    )
}

fn read_loop(evidence: &Evidence<'_>, row: &Row, found: &WasteAgg) -> Tip {
    let tool = name(row);
    let rules = &evidence.rules.read_loop;
    let calls = thousands(u64::from(rules.calls));
    let window = span(u64::from(rules.window_seconds));
    tip(
        Group::Warning,
        format!("{tool} called in a loop"),
        format!(
            "{} after {calls} others within {window}",
            count(found.events, "call")
        ),
        "Search first to find the right place, then read it once.",
        found,
    )
}

fn search(evidence: &Evidence<'_>, row: &Row, found: &WasteAgg) -> Tip {
    let limit = thousands(evidence.rules.unbounded_search.tokens);
    tip(
        Group::Warning,
        format!("{} without bounds", name(row)),
        format!("{} of more than {limit} tokens", count(found.events, "result")),
        "Add constraints: a path, a file type, a more exact pattern, a maximum of results.",
        found,
    )
}

fn long_output(row: &Row) -> Option<Tip> {
    let (tool, agg) = (name(row), &row.agg);
    if tool.is_empty() || agg.requests < ENOUGH_CALLS {
        return None;
    }
    let output = agg.tokens.answer();
    let over = output.saturating_sub(LONG_OUTPUT.saturating_mul(agg.requests));
    (over > 0).then(|| Tip {
        group: Group::Warning,
        title: format!("{tool} answers at length"),
        evidence: format!(
            "{} tokens of output per call on average over {}",
            thousands(output / agg.requests),
            count(agg.requests, "call")
        ),
        advice: format!(
            "Use its limit parameters (ranges, pages, a maximum of results) to stay below {} tokens.",
            thousands(LONG_OUTPUT)
        ),
        saved_tokens: over,
        saved_cost: share(agg.cost, over, agg.tokens.total()),
    })
}

fn failures(total: &Agg) -> Option<Tip> {
    let failed = total.failed_requests;
    let many = failed.saturating_mul(100) > total.requests.saturating_mul(FAILED_PERCENT);
    (total.requests >= ENOUGH_FOR_A_SHARE && many).then(|| Tip {
        group: Group::Suggestion,
        title: "Many calls fail".to_owned(),
        evidence: format!(
            "{} of {} failed or were cut off ({:.1} %)",
            thousands(failed),
            count(total.requests, "call"),
            percent(failed, total.requests)
        ),
        advice: "Find out what makes them fail: what a failed call had sent is paid for and sent again."
            .to_owned(),
        saved_tokens: 0,
        saved_cost: crate::money::Pico::ZERO,
    })
}
