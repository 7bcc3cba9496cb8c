//! Settings that the ledger keeps: budgets, prices, sessions.

use tokmon_core::budget::{Action, Budget, Scope, Span, Unreachable, Weights};
use tokmon_core::entry::{AmendReason, Body};
use tokmon_core::money::Pico;
use tokmon_core::observation::{CallKind, Confidence};
use tokmon_core::price::{PriceRow, Rate, Rates};
use tokmon_core::refusal::Refusal;

use super::{Bench, NOON, call};
use crate::LedgerError;

fn daily(tokens: u64) -> Budget {
    Budget {
        name: "daily".into(),
        scope: Scope::default(),
        limit_tokens: tokens,
        limit_usd: Pico::ZERO,
        limit_requests: 0,
        window: Span::Day,
        timezone: "".into(),
        warn_percent: 0,
        critical_percent: 0,
        action: Action::Warn,
        weights: Weights::default(),
        shadow: false,
        unreachable: Unreachable::Allow,
        on_runaway: Default::default(),
        adjust: None,
    }
}

fn alerts(entries: &[tokmon_core::entry::Entry]) -> usize {
    entries
        .iter()
        .filter(|entry| matches!(entry.body, Body::BudgetAlert { .. }))
        .count()
}

#[tokio::test]
async fn a7_a_budget_alerts_once_per_window_and_threshold() {
    let bench = Bench::new();
    bench.ledger.set_budget(daily(1_000_000)).await.unwrap();
    let big = |key: &str, tokens: u64| {
        let mut seen = call(key);
        seen.tokens.input = tokens - seen.tokens.output;
        seen
    };
    assert!(
        bench.ledger.record(vec![big("a", 790_000)]).await.unwrap()[0]
            .alerts
            .is_empty()
    );
    let receipts = bench
        .ledger
        .record(vec![big("b", 60_000), big("c", 10_000)])
        .await
        .unwrap();
    assert_eq!(
        (receipts[0].alerts[0].threshold, receipts[0].alerts[0].percent),
        (80, 85)
    );
    assert!(receipts[1].alerts.is_empty());
    let bench = bench.restart().await;
    assert!(
        bench.ledger.record(vec![big("d", 1_000)]).await.unwrap()[0]
            .alerts
            .is_empty()
    );
    let entries = bench.ledger.follow(0).next().await.unwrap();
    assert_eq!(alerts(&entries), 1);
    let state = bench.ledger.state();
    assert_eq!(state.budgets["daily"].view(NOON).used.tokens, 861_000);
}

#[tokio::test]
async fn a_new_budget_counts_what_its_window_used_before() {
    let bench = Bench::new();
    let mut yesterday = call("yesterday");
    yesterday.at_ms -= 24 * 3_600_000;
    let mut other = call("other");
    other.who.tool = "Read".into();
    bench
        .ledger
        .record(vec![yesterday, call("today"), other])
        .await
        .unwrap();
    bench.ledger.set_budget(daily(10_000)).await.unwrap();
    let mut narrow = daily(10_000);
    narrow.name = "reads".into();
    narrow.scope.tools = vec!["Read".to_owned()];
    bench.ledger.set_budget(narrow).await.unwrap();
    let used = |bench: &Bench, name: &str| bench.ledger.state().budgets[name].view(NOON).used.tokens;
    assert_eq!((used(&bench, "daily"), used(&bench, "reads")), (4_600, 2_300));
    let bench = bench.restart().await;
    assert_eq!((used(&bench, "daily"), used(&bench, "reads")), (4_600, 2_300));
    bench.ledger.remove_budget("reads").await.unwrap();
    let gone = bench.ledger.remove_budget("reads").await;
    assert!(
        matches!(gone, Err(LedgerError::Refused(Refusal::NotFound { .. }))),
        "{gone:?}"
    );
    let mut wrong = daily(1);
    wrong.timezone = "Mars/Olympus".into();
    assert!(matches!(
        bench.ledger.set_budget(wrong).await,
        Err(LedgerError::Refused(_))
    ));
}

#[tokio::test]
async fn an_unknown_model_is_unpriced_until_it_has_a_price_and_is_repriced() {
    let bench = Bench::new();
    let mut seen = call("a");
    seen.provider = "acme".into();
    seen.model = "acme-1".into();
    let receipt = bench
        .ledger
        .record(vec![seen, call("b")])
        .await
        .unwrap()
        .remove(0);
    assert!(receipt.costing.is_none() && receipt.record.cost.is_none());
    let unpriced = |bench: &Bench| {
        bench
            .ledger
            .report(&tokmon_core::report::Query::everything())
            .unwrap()
            .1
    };
    assert_eq!(unpriced(&bench), ["acme/acme-1"]);
    let rate = |text: &str| Rate::parse_per_million(text);
    let rates = Rates {
        input: rate("1"),
        output: rate("2"),
        ..Rates::default()
    };
    let row = PriceRow {
        provider: "acme".into(),
        model: "acme-1".into(),
        rates,
        ..PriceRow::default()
    };
    bench.ledger.set_price(row).await.unwrap();
    let dry = bench.ledger.reprice(true).await.unwrap();
    assert_eq!((dry.records, dry.changed), (2, 1));
    assert_eq!(
        (&*dry.models[0].model, dry.models[0].after.to_string()),
        ("acme/acme-1", "0.0031".to_owned())
    );
    assert_eq!(unpriced(&bench).len(), 1);
    assert_eq!(bench.ledger.reprice(false).await.unwrap(), dry);
    assert_eq!(bench.total().cost.to_string(), "0.0196");
    assert_eq!(unpriced(&bench), Vec::<String>::new());
    let entries = bench.ledger.follow(0).next().await.unwrap();
    let amended = matches!(
        entries[entries.len() - 2].body,
        Body::Amend {
            reason: AmendReason::Repriced,
            ..
        }
    );
    assert!(amended && entries.last().unwrap().body == Body::Repriced { records: 1 });
    let bench = bench.restart().await;
    assert_eq!(bench.ledger.reprice(false).await.unwrap().changed, 0);
    bench.ledger.remove_price("acme", "acme-1").await.unwrap();
    assert!(bench.ledger.remove_price("acme", "acme-1").await.is_err());
}

#[tokio::test]
async fn where_an_agent_is_surer_of_its_money_than_of_its_tokens_the_money_counts() {
    let bench = Bench::new();
    let told = |id: &str, provider: &str, model: &str, usd: Option<&str>| {
        let mut seen = call(id);
        (seen.provider, seen.model) = (provider.into(), model.into());
        (seen.kind, seen.confidence) = (CallKind::Several, Confidence::Estimated);
        seen.reported_cost = usd.and_then(Pico::parse_usd);
        seen
    };
    let mut sure = told("d", "anthropic", "claude-sonnet-4-5", Some("9"));
    sure.confidence = Confidence::Reported;
    let calls = vec![
        told("a", "anthropic", "claude-sonnet-4-5", Some("1.5")),
        // A subagent's, which its parent's total holds; a model without a price; nothing said.
        told("b", "anthropic", "claude-sonnet-4-5", Some("0")),
        told("c", "acme", "acme-1", Some("0.25")),
        told("e", "anthropic", "claude-sonnet-4-5", None),
        sure,
    ];
    let receipts = bench.ledger.record(calls).await.unwrap();
    let costs: Vec<String> = receipts
        .iter()
        .map(|receipt| receipt.record.cost.unwrap().to_string())
        .collect();
    assert_eq!(costs[..3], ["1.5", "0", "0.25"]);
    // By the book.
    assert_eq!(costs[3], costs[4]);
    let dry = bench.ledger.reprice(true).await.unwrap();
    assert_eq!((dry.records, dry.changed), (5, 0));
}

#[tokio::test]
async fn a_reset_ends_the_session_and_history_stays() {
    let bench = Bench::new();
    let mut seen = call("a");
    seen.who.session = "".into();
    let receipt = bench.ledger.record(vec![seen.clone()]).await.unwrap().remove(0);
    let first = receipt.session.session.clone();
    assert!(first.starts_with("claude-code-"));
    assert_eq!(bench.ledger.current_session("claude-code"), Some(first.clone()));
    let reset = bench.ledger.reset_session("claude-code").await.unwrap();
    assert_eq!(reset.ended.as_ref().map(|row| row.agg.requests), Some(1));
    assert_eq!(
        bench
            .ledger
            .session("claude-code", "")
            .unwrap()
            .unwrap()
            .agg
            .requests,
        0
    );
    seen.key = tokmon_core::id::Key::new(0, &["b"]);
    let receipt = bench.ledger.record(vec![seen]).await.unwrap().remove(0);
    assert_eq!(receipt.session.session, reset.started);
    assert_eq!(bench.total().requests, 2);
    assert_eq!(
        bench
            .ledger
            .session("claude-code", &first)
            .unwrap()
            .unwrap()
            .agg
            .requests,
        1
    );
}

#[tokio::test]
async fn a_lifetime_budget_remembers_what_was_purged() {
    let bench = Bench::new();
    let mut forever = daily(1_000_000);
    forever.window = Span::Lifetime;
    bench.ledger.set_budget(forever).await.unwrap();
    bench.ledger.record(vec![call("a"), call("b")]).await.unwrap();
    assert_eq!(bench.ledger.purge(NOON, None, false).await.unwrap().records, 2);
    // Not closed: the state comes from the checkpoint, since the entries are gone.
    let bare = Bench::on(bench.store.clone(), NOON);
    assert_eq!(bare.ledger.state().budgets["daily"].view(NOON).used.tokens, 4_600);
}
