//! Prices: the book, the user's own rows, imported files, and what a change of prices would change.

use tokmon_client::{Client, Kind, v1};
use tokmon_tests::env::Env;

async fn record(client: &Client, model: &str) -> v1::RecordResponse {
    let usage = v1::Usage {
        model: model.to_owned(),
        tokens: Some(v1::Tokens {
            input: 1_000_000,
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = v1::RecordRequest { usage: Some(usage) };
    client.record(request).await.expect("recorded")
}

fn own_price(model: &str, input: &str) -> v1::SetPriceRequest {
    v1::SetPriceRequest {
        price: Some(v1::Price {
            model: model.to_owned(),
            input: input.to_owned(),
            output: "2.50".to_owned(),
            ..Default::default()
        }),
    }
}

#[tokio::test]
async fn an_own_price_counts_from_then_on_and_repricing_is_asked_for() {
    let env = Env::new();
    let daemon = env.start_daemon();
    let client = env.client().await;
    assert!(record(&client, "house-model").await.unpriced);
    client
        .set_price(own_price("house-model", "0.30"))
        .await
        .expect("set");
    let priced = record(&client, "house-model").await;
    assert_eq!(priced.cost.map(|c| (c.usd, c.pico)), Some((0, 300_000_000_000)));

    let cents = |money: Option<v1::Money>| money.unwrap_or_default().pico / 10_000_000_000;
    let dry = client
        .reprice(v1::RepriceRequest { dry_run: true })
        .await
        .expect("a preview");
    assert_eq!((dry.records, dry.changed), (2, 1));
    assert_eq!((cents(dry.before), cents(dry.after)), (30, 60));
    let totals = async || {
        let answer = client.totals(v1::TotalsRequest::default()).await;
        answer.expect("totals").totals.expect("a sum")
    };
    assert_eq!(cents(totals().await.cost), 30, "a preview changes nothing");

    client
        .reprice(v1::RepriceRequest { dry_run: false })
        .await
        .expect("repriced");
    assert_eq!(cents(totals().await.cost), 60);
    assert_eq!(totals().await.unpriced_requests, 0);
    daemon.stop();

    // The row is part of the ledger.
    let daemon = env.start_daemon();
    let client = env.client().await;
    let kept = client
        .get_price(v1::GetPriceRequest {
            model: "house-model".to_owned(),
            ..Default::default()
        })
        .await
        .expect("kept");
    assert_eq!(kept.origin, "override");
    daemon.stop();
}

#[tokio::test]
async fn a_litellm_file_is_taken_and_a_bad_one_is_not() {
    let env = Env::new();
    let _daemon = env.start_daemon();
    let client = env.client().await;
    let file = br#"{
        "sample_spec": {"input_cost_per_token": 0},
        "imported-model": {"litellm_provider": "openai", "mode": "chat",
            "input_cost_per_token": 5e-07, "output_cost_per_token": 1.5e-06}
    }"#;
    let import = |json: &[u8]| {
        client.import_prices(v1::ImportPricesRequest {
            litellm_json: json.to_vec(),
            dry_run: false,
        })
    };
    let answer = import(file).await.expect("imported");
    assert_eq!(answer.imported, 1, "{answer:?}");
    let cost = record(&client, "imported-model").await.cost;
    assert_eq!(cost.map(|c| (c.usd, c.pico)), Some((0, 500_000_000_000)));
    for bad in [
        &b"not json"[..],
        b"[1, 2]",
        b"",
        b"{\"m\": {\"input_cost_per_token\": \"NaN\"}",
    ] {
        let error = import(bad).await.expect_err("refused");
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
    }
}

#[tokio::test]
async fn wrong_prices_are_refused() {
    let env = Env::new();
    let _daemon = env.start_daemon();
    let client = env.client().await;
    for wrong in ["-1", "NaN", "1e400", "free", "1,5"] {
        let error = client
            .set_price(own_price("house-model", wrong))
            .await
            .expect_err(wrong);
        assert_eq!(error.kind(), Kind::Invalid, "{wrong}: {error}");
        assert!(error.message.contains("input"), "the field is named: {error}");
    }
    let missing = client
        .remove_price(v1::RemovePriceRequest {
            model: "nobody-knows-9".to_owned(),
            ..Default::default()
        })
        .await
        .expect_err("there is none");
    assert_eq!(missing.kind(), Kind::NotFound);
}
