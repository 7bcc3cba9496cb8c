//! What the waste rules found over a period: how much, by which rule, with which tools, and what it would save.

use std::ops::Range;

use crate::entry::Rule;
use crate::money::Pico;
use crate::report::Report;
use crate::report::figures::{name, percent, share, wasted};
use crate::time::Period;

const DAY_MS: i64 = 86_400_000;

/// The waste of a period.
#[derive(Debug, Clone, PartialEq)]
pub struct WasteAnalysis {
    /// The period.
    pub period: Period,
    /// Calls.
    pub requests: u64,
    /// Their tokens.
    pub total_tokens: u64,
    /// What they cost.
    pub total_cost: Pico,
    /// Tokens that would not have been needed.
    pub wasted_tokens: u64,
    /// What they cost.
    pub wasted_cost: Pico,
    /// Wasted / total tokens, percent.
    pub waste_rate_percent: f64,
    /// Every rule that found something, in order of severity.
    pub by_rule: Vec<WasteByRule>,
    /// Every tool, the most wasteful first. Calls without a tool stand under the empty name.
    pub tools: Vec<ToolEfficiency>,
    /// What following every finding would save in 30 days at this pace.
    pub potential_monthly_savings: Pico,
}

/// What one rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WasteByRule {
    /// Which rule.
    pub rule: Rule,
    /// How often.
    pub events: u64,
    /// Tokens that would not have been needed.
    pub wasted_tokens: u64,
    /// What they cost.
    pub wasted_cost: Pico,
}

/// How well one tool uses its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolEfficiency {
    /// The tool; empty for calls without one.
    pub tool: String,
    /// Calls.
    pub requests: u64,
    /// Their tokens.
    pub total_tokens: u64,
    /// Those that would not have been needed.
    pub wasted_tokens: u64,
    /// What they cost.
    pub wasted_cost: Pico,
    /// 100 × (1 − wasted / total), rounded.
    pub score: u32,
}

/// Draws up the analysis.
///
/// `by_tool` is the period's report by tool alone, `window` the period's window in milliseconds (open ends are
/// fine), `now_ms` the present: the pace is taken from the first call in the window until now, at least a day.
pub fn analyse(by_tool: &Report, period: Period, window: &Range<i64>, now_ms: i64) -> WasteAnalysis {
    let total = &by_tool.total;
    let (wasted_tokens, wasted_cost) = wasted(total);
    let total_tokens = total.tokens.total();
    let mut tools: Vec<ToolEfficiency> = (by_tool.rows.iter())
        .map(|row| {
            let (wasted_tokens, wasted_cost) = wasted(&row.agg);
            let total_tokens = row.agg.tokens.total();
            ToolEfficiency {
                tool: name(row).to_owned(),
                requests: row.agg.requests,
                total_tokens,
                wasted_tokens,
                wasted_cost,
                score: score(wasted_tokens, total_tokens),
            }
        })
        .collect();
    tools.sort_by(|a, b| {
        (b.wasted_tokens, b.total_tokens, &a.tool).cmp(&(a.wasted_tokens, a.total_tokens, &b.tool))
    });
    let by_rule = (total.waste.iter())
        .map(|found| WasteByRule {
            rule: found.rule,
            events: found.events,
            wasted_tokens: found.tokens,
            wasted_cost: found.cost,
        })
        .collect();
    WasteAnalysis {
        period,
        requests: total.requests,
        total_tokens,
        total_cost: total.cost,
        wasted_tokens,
        wasted_cost,
        waste_rate_percent: percent(wasted_tokens, total_tokens),
        by_rule,
        tools,
        potential_monthly_savings: monthly(wasted_cost, span_ms(total.first_ms, window, now_ms)),
    }
}

/// The time that the pace is taken from, milliseconds; at least a day.
fn span_ms(first_ms: i64, window: &Range<i64>, now_ms: i64) -> i64 {
    let start = first_ms.max(window.start);
    now_ms.min(window.end).saturating_sub(start).max(DAY_MS)
}

/// An amount spent over a span, per 30 days.
fn monthly(amount: Pico, span_ms: i64) -> Pico {
    let month = u64::try_from(30 * DAY_MS).unwrap_or(0);
    share(amount, month, u64::try_from(span_ms).unwrap_or(month))
}

fn score(wasted: u64, total: u64) -> u32 {
    if total == 0 {
        return 100;
    }
    let (useful, total) = (u128::from(total.saturating_sub(wasted)), u128::from(total));
    u32::try_from((200 * useful + total) / (2 * total)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::report;
    use crate::rollup::{Agg, WasteAgg};
    use crate::tokens::Tokens;

    fn agg(input: u64, waste: &[(Rule, u64, i128)]) -> Agg {
        Agg {
            requests: 10,
            tokens: Tokens {
                input,
                ..Tokens::default()
            },
            cost: Pico(i128::from(input)),
            first_ms: 3 * DAY_MS,
            last_ms: 4 * DAY_MS,
            waste: (waste.iter())
                .map(|&(rule, tokens, cost)| WasteAgg {
                    rule,
                    events: 2,
                    tokens,
                    cost: Pico(cost),
                })
                .collect(),
            ..Agg::default()
        }
    }

    #[test]
    fn waste_is_told_by_rule_and_by_tool() {
        let by_tool = report(&[
            (&[""], agg(600, &[])),
            (&["Grep"], agg(200, &[(Rule::UnboundedSearch, 51, 50)])),
            (
                &["Read"],
                agg(200, &[(Rule::LargeRequest, 20, 20), (Rule::ReadLoop, 79, 80)]),
            ),
        ]);
        let window = 0..i64::MAX;
        let analysis = analyse(&by_tool, Period::All, &window, 13 * DAY_MS);
        assert_eq!((analysis.requests, analysis.total_tokens), (30, 1000));
        assert_eq!((analysis.wasted_tokens, analysis.wasted_cost), (150, Pico(150)));
        assert!((analysis.waste_rate_percent - 15.0).abs() < 1e-9);
        let rules: Vec<_> = analysis
            .by_rule
            .iter()
            .map(|r| (r.rule, r.events, r.wasted_tokens))
            .collect();
        assert_eq!(
            rules,
            [
                (Rule::LargeRequest, 2, 20),
                (Rule::ReadLoop, 2, 79),
                (Rule::UnboundedSearch, 2, 51)
            ]
        );
        let tools: Vec<_> = analysis
            .tools
            .iter()
            .map(|t| (t.tool.as_str(), t.wasted_tokens, t.score))
            .collect();
        assert_eq!(tools, [("Read", 99, 51), ("Grep", 51, 75), ("", 0, 100)]);
        // Ten days since the first call: three times as much in 30.
        assert_eq!(analysis.potential_monthly_savings, Pico(450));
    }

    #[test]
    fn the_pace_is_taken_over_at_least_a_day() {
        let by_tool = report(&[(&["Read"], agg(100, &[(Rule::ReadLoop, 50, 50)]))]);
        let today = 3 * DAY_MS..4 * DAY_MS;
        let morning = analyse(&by_tool, Period::Today, &today, 3 * DAY_MS + 60_000);
        assert_eq!(morning.potential_monthly_savings, Pico(1_500));
    }

    #[test]
    fn no_calls_are_no_waste() {
        let analysis = analyse(&report(&[]), Period::Last7Days, &(0..7 * DAY_MS), 5 * DAY_MS);
        assert_eq!((analysis.waste_rate_percent, analysis.wasted_tokens), (0.0, 0));
        assert_eq!(analysis.potential_monthly_savings, Pico::ZERO);
        assert!(analysis.by_rule.is_empty() && analysis.tools.is_empty());
    }

    #[test]
    fn scores_are_rounded() {
        for (wasted, total, expected) in [
            (0, 0, 100),
            (0, 9, 100),
            (9, 9, 0),
            (1, 3, 67),
            (2, 3, 33),
            (1, 200, 100),
            (u64::MAX, u64::MAX, 0),
        ] {
            assert_eq!(score(wasted, total), expected, "{wasted} of {total}");
        }
    }
}
