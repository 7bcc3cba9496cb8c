//! Which row a name and a day find, in the bundled book and with the user's own prices.

use super::*;
use crate::money::Pico;
use crate::price::{Rate, bundled};
use crate::testing::observation;

const NOON: i64 = 1_795_176_000_000; // 2026-11-20

fn row(provider: &str, model: &str, from_day: Option<i32>, input: &str) -> PriceRow {
    PriceRow {
        provider: provider.into(),
        model: model.into(),
        from_day,
        rates: Rates {
            input: Rate::parse_per_million(input),
            output: Rate::parse_per_million("1"),
            ..Rates::default()
        },
        ..PriceRow::default()
    }
}

fn day(text: &str) -> i64 {
    let date: jiff::civil::Date = text.parse().unwrap();
    date.to_zoned(jiff::tz::TimeZone::UTC)
        .unwrap()
        .timestamp()
        .as_millisecond()
}

fn input_price(book: &PriceBook, provider: &str, model: &str, at: i64) -> String {
    match book.get(provider, model, at) {
        Some(row) => row.rates.input.map(|rate| rate.to_string()).unwrap_or_default(),
        None => "unpriced".to_owned(),
    }
}

#[test]
fn every_line_of_the_bundled_table_is_read() {
    let lines = include_str!("../book.csv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .count()
        - 1;
    assert_eq!(bundled::rows().len(), lines);
    let date: jiff::civil::Date = PriceBook::bundled_date().parse().unwrap();
    assert!(date.year() >= 2026);
    let mut places = std::collections::HashSet::new();
    for row in PriceBook::bundled().rows() {
        assert!(
            places.insert((row.provider.clone(), row.model.clone(), row.from_day)),
            "twice: {row:?}"
        );
        assert!(row.rates.input.is_some() && row.rates.output.is_some(), "{row:?}");
        assert_eq!(crate::model::canonical_provider(&row.provider), &*row.provider);
    }
}

#[test]
fn names_find_their_own_model_and_no_other() {
    let cases: [(&str, &str, &str); 88] = [
        // Spellings of Claude.
        ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("Anthropic", "Claude-Sonnet-4.5", "claude-sonnet-4-5"),
        ("anthropic", "claude-sonnet-4-5-20250929[1m]", "claude-sonnet-4-5"),
        ("anthropic", "claude-opus-4-6[1m]", "claude-opus-4-6"),
        ("anthropic", "anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("openrouter", "anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("", "openrouter/anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        (
            "bedrock",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude-sonnet-4-5",
        ),
        (
            "",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude-sonnet-4-5",
        ),
        (
            "anthropic",
            "global.anthropic.claude-opus-4-6-v1",
            "claude-opus-4-6",
        ),
        (
            "bedrock",
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
            "claude-3-5-sonnet",
        ),
        ("vertex_ai", "claude-opus-4@20250514", "claude-opus-4"),
        ("vertex", "claude-opus-4-1@20250805", "claude-opus-4-1"),
        (
            "google-vertex-anthropic",
            "claude-haiku-4-5@20251001",
            "claude-haiku-4-5",
        ),
        ("azure_ai", "claude-opus-4-5", "claude-opus-4-5"),
        ("github_copilot", "claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("anthropic", "claude-opus-4-20250514", "claude-opus-4"),
        ("anthropic", "claude-opus-4-0", "claude-opus-4"),
        ("anthropic", "claude-opus-4-1-20250805", "claude-opus-4-1"),
        ("anthropic", "claude-opus-4-5-20251101", "claude-opus-4-5"),
        ("anthropic", "claude-opus-4-8", "claude-opus-4-8"),
        ("anthropic", "claude-opus-5", "claude-opus-5"),
        ("anthropic", "claude-opus-5-5", "claude-opus-5-5"),
        ("anthropic", "claude-fable-5", "claude-fable-5"),
        ("anthropic", "claude-fable-5-1", "claude-fable-5-1"),
        ("anthropic", "claude-sonnet-4", "claude-sonnet-4"),
        ("anthropic", "claude-4-sonnet-20250514", "claude-sonnet-4"),
        ("anthropic", "claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("anthropic", "claude-3-7-sonnet-20250219", "claude-3-7-sonnet"),
        ("anthropic", "claude-3-sonnet-20240229", "claude-3-sonnet"),
        ("anthropic", "claude-3-opus-20240229", "claude-3-opus"),
        ("anthropic", "claude-3-haiku-20240307", "claude-3-haiku"),
        // Spellings of others.
        ("openai", "gpt-5-2025-08-07", "gpt-5"),
        ("openai", "gpt-5-mini", "gpt-5-mini"),
        ("openai", "gpt-5.4", "gpt-5.4"),
        ("openai", "gpt-5-4", "gpt-5.4"),
        ("azure", "gpt-5.4", "gpt-5.4"),
        ("", "azure/gpt-5.4", "gpt-5.4"),
        ("openai", "gpt-5-codex", "gpt-5-codex"),
        ("openai", "gpt-5.1-codex-max", "gpt-5.1-codex-max"),
        ("openai", "codex-mini-latest", "codex-mini"),
        ("openai", "gpt-4o-2024-08-06", "gpt-4o"),
        ("openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("openai", "gpt-4.1-2025-04-14", "gpt-4.1"),
        ("openai", "o3-2025-04-16", "o3"),
        ("openai", "gpt-5.6", "gpt-5.6-sol"),
        ("openai", "text-embedding-3-small", "text-embedding-3-small"),
        ("openai", "text-embedding-ada-002", "text-embedding-ada-002"),
        ("gemini", "models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("vertex_ai", "gemini-2.5-flash", "gemini-2.5-flash"),
        ("google", "gemini-3-pro", "gemini-3-pro-preview"),
        ("x-ai", "grok-4-0709", "grok-4"),
        ("openrouter", "x-ai/grok-4.3", "grok-4.3"),
        ("moonshot", "kimi-k2.5", "kimi-k2.5"),
        ("zhipuai", "GLM-4.6", "glm-4.6"),
        ("minimax", "MiniMax-M2", "minimax-m2"),
        ("dashscope", "qwen3-coder-plus", "qwen3-coder-plus"),
        ("openrouter", "qwen/qwen3-coder-plus", "qwen3-coder-plus"),
        // A version never matches a longer or a shorter one, a variant never its family.
        ("anthropic", "claude-opus-4-9", ""),
        ("anthropic", "claude-opus", ""),
        ("anthropic", "claude-sonnet-4-7", ""),
        ("anthropic", "claude-haiku-4", ""),
        ("anthropic", "claude-sonnet-4-5-turbo", ""),
        ("openai", "gpt-5.9", ""),
        ("openai", "gpt-5-micro", ""),
        ("openai", "gpt-50", ""),
        ("openai", "gpt-5-20259999", ""),
        ("openai", "o30", ""),
        ("google", "gemini-2", ""),
        ("", "sonnet", ""),
        ("", "<synthetic>", ""),
        ("", "", ""),
        // Another vendor's model of the same name is another model.
        ("openai", "claude-sonnet-4-5", ""),
        ("anthropic", "gpt-5", ""),
        ("anthropic", "glm-4.6", ""),
        ("groq", "gpt-5", ""),
        ("deepinfra", "claude-sonnet-4-5", ""),
        ("my-gateway", "gpt-5", ""),
        ("", "my-gateway/gpt-5", ""),
        ("mistral", "anthropic/claude-sonnet-4-5", ""),
        // What everybody may run has no price unless the provider says where it ran.
        ("", "qwen3:8b", ""),
        ("openai", "qwen3:8b", ""),
        ("", "gpt-oss:20b", ""),
        ("openai", "gpt-oss-120b", ""),
        ("", "llama-3.3-70b", ""),
        ("ollama", "gpt-oss:120b-cloud", ""),
    ];
    let book = PriceBook::bundled();
    for (provider, model, expected) in cases {
        let found = book.get(provider, model, NOON);
        assert_eq!(
            found.as_ref().map_or("", |row| &row.model),
            expected,
            "{provider:?} {model:?}"
        );
        // The second look-up comes from memory.
        assert_eq!(book.get(provider, model, NOON), found);
    }
}

#[test]
fn a_local_provider_costs_nothing_unless_the_user_says_so() {
    let mut book = PriceBook::bundled();
    let mut seen = observation("k", NOON);
    seen.provider = "ollama".into();
    for model in ["qwen3:8b", "claude-sonnet-4-5", "anything"] {
        seen.model = model.into();
        let costing = book.cost(&seen).unwrap();
        assert_eq!(costing.total, Pico::ZERO, "{model}");
        assert!(
            costing.detail().contains("runs on this machine"),
            "{}",
            costing.detail()
        );
    }
    book.set(row("ollama", "qwen3:8b", None, "0.01")).unwrap();
    assert_eq!(input_price(&book, "ollama", "qwen3:8b", NOON), "0.01");
    assert!(PriceBook::is_local("http://127.0.0.1:11434"));
}

#[test]
fn what_is_passed_on_for_nothing_costs_nothing() {
    let book = PriceBook::bundled();
    let cost = |provider: &str, model: &str| {
        let mut seen = observation("k", NOON);
        (seen.provider, seen.model) = (provider.into(), model.into());
        book.cost(&seen).map(|costing| costing.total)
    };
    for host in ["openrouter", "cline", "kilocode"] {
        assert_eq!(cost(host, "qwen/qwen3-coder:free"), Some(Pico::ZERO), "{host}");
        assert!(
            cost(host, "anthropic/claude-sonnet-4.5") > Some(Pico::ZERO),
            "{host}"
        );
    }
    // Editors' own words for who provides a model.
    for (said, model, means) in [
        ("zed.dev", "claude-sonnet-4-5", "anthropic"),
        ("copilot_chat", "gpt-5", "openai"),
        ("openai-native", "gpt-5", "openai"),
        ("open_router", "anthropic/claude-sonnet-4.5", "openrouter"),
        ("x_ai", "grok-4", "xai"),
    ] {
        assert!(cost(said, model).is_some(), "{said}");
        assert_eq!(cost(said, model), cost(means, model), "{said}");
    }
    assert_eq!(cost("acme", "qwen/qwen3-coder:free"), None);
    assert_eq!(cost("openrouter", "acme/free"), None);
}

#[test]
fn a_call_keeps_the_price_of_its_time() {
    let book = PriceBook::bundled();
    for (provider, model, at, price) in [
        ("openai", "o3", "2025-06-09", "10"),
        ("openai", "o3", "2025-06-10", "2"),
        ("openai", "gpt-5.6-sol", "2026-08-20", "5"),
        ("openai", "gpt-5.6-sol", "2026-08-21", "4"),
        ("google", "gemini-4-argon", "2026-11-30", "2"),
        ("google", "gemini-4-argon", "2026-12-01", "4"),
    ] {
        assert_eq!(
            input_price(&book, provider, model, day(at)),
            price,
            "{model} {at}"
        );
    }
    let tier = |model, at| {
        book.get("anthropic", model, day(at))
            .unwrap()
            .tier
            .map(|tier| tier.above)
    };
    assert_eq!(tier("claude-opus-4-6", "2026-03-12"), Some(200_000));
    assert_eq!(tier("claude-opus-4-6", "2026-03-13"), None);
    assert_eq!(tier("claude-sonnet-4-5-20250929", "2025-11-01"), Some(200_000));
    assert_eq!(tier("claude-sonnet-4-5-20250929", "2026-11-01"), None);
    for at in [i64::MIN, i64::MAX] {
        assert!(book.get("openai", "o3", at).is_some());
    }
}

#[test]
fn own_prices_win_over_imported_ones_and_those_over_bundled_ones() {
    let mut book = PriceBook::bundled();
    book.import(vec![
        row("openai", "gpt-5", None, "7"),
        row("openai", "brand-new", None, "8"),
    ]);
    assert_eq!(input_price(&book, "openai", "gpt-5", NOON), "7");
    assert_eq!(input_price(&book, "openai", "brand-new", NOON), "8");
    let from = i32::try_from(day("2026-11-01") / 86_400_000).unwrap();
    book.set(row("openai", "gpt-5", Some(from), "9")).unwrap();
    assert_eq!(input_price(&book, "openai", "gpt-5", NOON), "9");
    assert_eq!(input_price(&book, "openai", "gpt-5", day("2026-10-31")), "7");
    assert_eq!(input_price(&book, "openai", "gpt-5-mini", NOON), "0.25");
    let origins: Vec<Origin> = book.rows().take(3).map(|row| row.origin).collect();
    assert_eq!(origins, [Origin::Override, Origin::Import, Origin::Import]);
    assert!(!book.remove("openai", "gpt-5-mini"));
    assert!(book.remove("OpenAI", "GPT-5"));
    assert!(!book.remove("openai", "gpt-5"));
    assert_eq!(input_price(&book, "openai", "gpt-5", NOON), "7");
    // Another book has not changed.
    assert_eq!(
        input_price(&PriceBook::bundled(), "openai", "gpt-5", NOON),
        "1.25"
    );
}

#[test]
fn an_imported_price_replaces_the_newest_one_only() {
    let mut book = PriceBook::bundled();
    book.import(vec![row("openai", "o3", None, "3")]);
    assert_eq!(input_price(&book, "openai", "o3", day("2025-06-09")), "10");
    assert_eq!(input_price(&book, "openai", "o3", NOON), "3");
    // An announced price does not make the present one a thing of the past.
    book.import(vec![row("google", "gemini-4-argon", None, "2.5")]);
    assert_eq!(input_price(&book, "google", "gemini-4-argon", NOON), "2.5");
    // Importing again replaces, and keeps what the new file dropped.
    book.import(vec![
        row("openai", "o3", None, "4"),
        row("openai", "o9", None, "5"),
    ]);
    book.import(vec![row("openai", "o10", None, "6")]);
    for (model, price) in [("o3", "4"), ("o9", "5"), ("o10", "6")] {
        assert_eq!(input_price(&book, "openai", model, NOON), price);
    }
}

#[test]
fn what_a_row_leaves_out_is_taken_from_the_layer_below() {
    let mut book = PriceBook::bundled();
    book.import(vec![row("anthropic", "claude-opus-4-6", None, "5")]);
    let found = book.get("anthropic", "claude-opus-4-6", NOON).unwrap();
    assert_eq!(found.origin, Origin::Import);
    assert_eq!(found.fast.map(|f| f.to_string()).as_deref(), Some("6"));
    // Another output price: a list of its own, so its cache prices are not mixed in.
    assert_eq!(found.rates.cache_read, None);
    let mut same = row("anthropic", "claude-opus-4-6", None, "5");
    same.rates.output = Rate::parse_per_million("25");
    same.batch = crate::price::Factor::parse("0.4");
    book.set(same).unwrap();
    let found = book.get("anthropic", "claude-opus-4-6", NOON).unwrap();
    assert_eq!((found.origin, found.rates.cache_read), (Origin::Override, None));
    assert_eq!(found.batch.map(|f| f.to_string()).as_deref(), Some("0.4"));
    assert_eq!(found.fast.map(|f| f.to_string()).as_deref(), Some("6"));
}

#[test]
fn an_own_price_may_hold_for_every_provider() {
    let mut book = PriceBook::bundled();
    book.set(row("", "gpt-5", None, "1.5")).unwrap();
    book.set(row("groq", "kimi-k2", None, "2")).unwrap();
    for (provider, model, price) in [
        ("openai", "gpt-5", "1.5"),
        ("my-gateway", "gpt-5", "1.5"),
        ("", "gpt-5-2025-08-07", "1.5"),
        ("openai", "gpt-5-mini", "0.25"),
        ("groq", "kimi-k2", "2"),
        ("", "kimi-k2", "0.6"),
    ] {
        assert_eq!(
            input_price(&book, provider, model, NOON),
            price,
            "{provider} {model}"
        );
    }
    book.set(row("openai", "gpt-5", None, "1.6")).unwrap();
    assert_eq!(input_price(&book, "openai", "gpt-5", NOON), "1.6");
    assert!(book.remove("", "gpt-5"));
    assert_eq!(input_price(&book, "my-gateway", "gpt-5", NOON), "unpriced");
}

#[test]
fn a_name_that_one_provider_alone_has_needs_no_provider() {
    let mut book = PriceBook::bundled();
    book.import(vec![
        row("openai", "house-model", None, "3"),
        row("groq", "open-model", None, "1"),
        row("deepinfra", "open-model", None, "2"),
        row("groq", "open:8b", None, "1"),
    ]);
    for (provider, model, price) in [
        ("", "house-model", "3"),
        ("openai", "house-model", "3"),
        ("anthropic", "house-model", "unpriced"),
        ("", "open-model", "unpriced"),
        ("groq", "open-model", "1"),
        ("", "open:8b", "unpriced"),
        ("groq", "open:8b", "1"),
        ("", "embed-v4.0", "0.12"),
    ] {
        assert_eq!(
            input_price(&book, provider, model, NOON),
            price,
            "{provider} {model}"
        );
    }
}

#[test]
fn a_region_has_its_own_price_where_the_book_names_it() {
    let mut book = PriceBook::bundled();
    book.import(vec![
        row("bedrock", "anthropic.claude-opus-4-8", None, "5"),
        row("bedrock", "us.anthropic.claude-opus-4-8", None, "5.5"),
        row("bedrock", "eu.anthropic.claude-opus-4-8", None, "5.6"),
    ]);
    for (model, price) in [
        ("us.anthropic.claude-opus-4-8", "5.5"),
        ("eu.anthropic.claude-opus-4-8", "5.6"),
        ("jp.anthropic.claude-opus-4-8", "5"),
        ("anthropic.claude-opus-4-8", "5"),
    ] {
        assert_eq!(input_price(&book, "bedrock", model, NOON), price, "{model}");
    }
    assert_eq!(
        &*book.get("anthropic", "claude-opus-4-8", NOON).unwrap().provider,
        "anthropic"
    );
}

#[test]
fn a_wrong_own_price_is_refused_and_nothing_changes() {
    let mut book = PriceBook::bundled();
    let before = book.rows().count();
    let mut negative = row("openai", "gpt-5", None, "1");
    negative.rates.output = Some(Rate(-1));
    assert!(
        book.set(negative.clone())
            .unwrap_err()
            .to_string()
            .starts_with("output: ")
    );
    assert!(
        book.set(row("openai", "", None, "1"))
            .unwrap_err()
            .to_string()
            .starts_with("model: ")
    );
    book.import(vec![negative]);
    assert_eq!(book.rows().count(), before);
}

#[test]
fn the_memory_is_bounded() {
    let book = PriceBook::bundled();
    for n in 0..MAX_PRICE_MEMO * 2 {
        assert_eq!(book.get("", &format!("unknown-{n}"), NOON), None);
    }
    let memo = book.inner.memo.read().unwrap();
    assert!(memo.len <= MAX_PRICE_MEMO);
    assert_eq!(memo.len, memo.known.values().map(HashMap::len).sum::<usize>());
}

#[test]
fn rows_survive_their_json_form() {
    for row in PriceBook::bundled().rows() {
        let json = serde_json::to_string(row).unwrap();
        assert_eq!(&serde_json::from_str::<PriceRow>(&json).unwrap(), row, "{json}");
    }
}
