//! A small file in LiteLLM's shape, with made-up models and every kind of mistake.

use proptest::prelude::*;

use super::*;
use crate::price::PriceBook;

const SAMPLE: &str = r#"{
  "sample_spec": {"input_cost_per_token": 0.0, "litellm_provider": "one of the providers", "mode": "chat"},
  "claude-maquette-1": {
    "litellm_provider": "anthropic", "mode": "chat",
    "input_cost_per_token": 4e-06, "output_cost_per_token": 2e-05,
    "cache_read_input_token_cost": 5.0000000000000004E-8,
    "cache_creation_input_token_cost": 5e-06, "cache_creation_input_token_cost_above_1hr": 8e-06,
    "input_cost_per_token_batches": 2e-06, "output_cost_per_token_batches": 1e-05,
    "provider_specific_entry": {"us": 1.1, "fast": 2},
    "search_context_cost_per_query": {"search_context_size_medium": 0.01},
    "max_input_tokens": 200000, "max_output_tokens": 64000.0
  },
  "gpt-maquette": {
    "litellm_provider": "openai", "mode": "responses",
    "input_cost_per_token": "2.5e-06", "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": null,
    "input_cost_per_token_above_272k_tokens": 5e-06, "output_cost_per_token_above_272k_tokens": 2.25e-05,
    "input_cost_per_token_priority": 5e-06, "output_cost_per_token_priority": 4e-05,
    "input_cost_per_token_flex": 1.25e-06, "output_cost_per_token_flex": 7.5e-06,
    "cache_creation_input_token_cost_above_12hr": 1e-05,
    "regional_processing_uplift_multiplier_us": 1.1, "off_peak_pricing": {"windows": []}
  },
  "gemini/gemini-maquette": {
    "litellm_provider": "gemini", "mode": "chat", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06,
    "cache_read_input_token_cost": 1e-07, "cache_read_input_token_cost_batches": 1e-07,
    "input_cost_per_token_batches": 5e-07, "output_cost_per_token_batches": 1e-06
  },
  "dashscope/qwen3-maquette-plus": {
    "litellm_provider": "dashscope", "mode": "chat",
    "tiered_pricing": [
      {"range": [32000.0, 128000.0], "input_cost_per_token": 2e-06, "output_cost_per_token": 9e-06},
      {"range": [0, 32000.0], "input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06},
      {"range": [128000.0, 256000.0], "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05}
    ]
  },
  "embed-maquette": {"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 2e-08},
  "azure/eu/gpt-maquette": {"litellm_provider": "azure", "mode": "chat", "input_cost_per_token": 2.75e-06, "output_cost_per_token": 1e-05},
  "number": 5,
  "list": [],
  "nothing": null,
  "no-provider": {"mode": "chat", "input_cost_per_token": 1e-06},
  "provider-is-a-number": {"litellm_provider": 7, "input_cost_per_token": 1e-06},
  "wrong-type": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": [1], "output_cost_per_token": 1e-06},
  "negative": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": -1e-06},
  "not-a-number": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": "NaN"},
  "too-dear": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e30},
  "wrong-tiers": {"litellm_provider": "openai", "mode": "chat", "tiered_pricing": {"range": 3}},
  "picture": {"litellm_provider": "openai", "mode": "image_generation", "output_cost_per_image": 0.04},
  "picture-2": {"litellm_provider": "openai", "mode": "image_generation", "output_cost_per_image": 0.08},
  "by-the-second": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_second": 0.1},
  "free": {"litellm_provider": "github_copilot", "mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0.0},
  "ollama/llama3": {"litellm_provider": "ollama", "mode": "chat", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0}
}"#;

fn row<'a>(imported: &'a Imported, model: &str) -> &'a PriceRow {
    imported.rows.iter().find(|row| &*row.model == model).unwrap()
}

fn text(rate: Option<Rate>) -> String {
    rate.map(|rate| rate.to_string()).unwrap_or_default()
}

#[test]
fn what_can_be_used_is_read_exactly() {
    let imported = parse_litellm(SAMPLE.as_bytes()).unwrap();
    let claude = row(&imported, "claude-maquette-1");
    assert_eq!(
        (&*claude.provider, claude.origin, claude.from_day),
        ("anthropic", Origin::Import, None)
    );
    let rates: Vec<String> = claude.rates.named().iter().map(|(_, rate)| text(*rate)).collect();
    assert_eq!(rates[..5], ["4", "20", "0.05", "5", "8"]);
    assert_eq!(
        (claude.fast, claude.us_region, claude.batch),
        (Factor::parse("2"), Factor::parse("1.1"), Factor::parse("0.5"))
    );
    assert_eq!(claude.web_search, Pico::parse_usd("0.01"));
    assert_eq!((claude.context_window, claude.max_output), (200_000, 64_000));

    let gpt = row(&imported, "gpt-maquette");
    assert_eq!(
        (text(gpt.rates.input).as_str(), gpt.rates.cache_read),
        ("2.5", None)
    );
    assert_eq!(text(gpt.rates.cache_write_1h), "10");
    let tier = gpt.tier.unwrap();
    assert_eq!((tier.above, text(tier.rates.output).as_str()), (272_000, "22.5"));
    assert_eq!(
        (gpt.flex, gpt.us_region),
        (Factor::parse("0.5"), Factor::parse("1.1"))
    );
    // Twice the input price, but more than twice the output price: no single multiplier.
    assert_eq!(gpt.priority, None);

    let gemini = row(&imported, "gemini-maquette");
    assert_eq!(
        (&*gemini.provider, gemini.cache_read_undiscounted),
        ("google", true)
    );
    let qwen = row(&imported, "qwen3-maquette-plus");
    assert_eq!(text(qwen.rates.input), "1");
    assert_eq!(
        qwen.tiers().map(|tier| tier.above).collect::<Vec<_>>(),
        [32_000, 128_000]
    );
    assert_eq!(row(&imported, "embed-maquette").rates.output, Some(Rate::ZERO));
    assert_eq!(&*row(&imported, "eu/gpt-maquette").provider, "azure");
    assert_eq!(imported.rows.len(), 6);
}

#[test]
fn what_cannot_be_used_is_counted_with_its_reason() {
    let imported = parse_litellm(SAMPLE.as_bytes()).unwrap();
    assert_eq!(imported.skipped, 15);
    let notes = imported.notes.join("\n");
    for part in [
        "wrong-type: skipped, input_cost_per_token is [1], which is not a price",
        "negative: skipped, input_cost_per_token is -1e-06",
        "not-a-number: skipped, input_cost_per_token is \"NaN\"",
        "too-dear: skipped, input_cost_per_token is 1e30",
        "wrong-tiers: skipped, tiered_pricing is {\"range\": 3}",
        "3 entries such as list: skipped, the value is not an object",
        "2 entries such as no-provider: skipped, litellm_provider is missing",
        "gpt-maquette: priority price left out",
        "gpt-maquette: off-peak price left out",
        "2 entries such as picture: skipped, mode image_generation is not paid by the token",
        "by-the-second: skipped, no price per token",
        "free: skipped, a price of 0 would hide what is not known",
        "ollama/llama3: skipped, runs on the user's own machine",
    ] {
        assert!(notes.contains(part), "{part}\nin\n{notes}");
    }
}

#[test]
fn a_file_that_is_not_one_object_is_refused() {
    for json in [
        "",
        "[]",
        "5",
        "null",
        "{",
        "{\"a\": }",
        "\u{0}",
        "{\"a\": NaN}",
        "{} {}",
    ] {
        let error = parse_litellm(json.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("litellm_json: "), "{json}: {error}");
    }
    assert!(parse_litellm(b"\xff\xfe{}").is_err());
    assert_eq!(parse_litellm(b"\xef\xbb\xbf{}").unwrap().rows, []);
    // Deeper than any real file: the reader's own limit refuses it.
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse_litellm(deep.as_bytes()).is_ok_and(|imported| imported.skipped == 1));
}

#[test]
fn notes_are_bounded() {
    let entries: Vec<String> = (0..100)
        .map(|n| format!("\"m{n}\": {{\"litellm_provider\": \"x\", \"mode\": \"k{n}\"}}"))
        .collect();
    let imported = parse_litellm(format!("{{{}}}", entries.join(",")).as_bytes()).unwrap();
    assert_eq!((imported.skipped, imported.notes.len()), (100, MAX_IMPORT_NOTES));
    assert_eq!(
        imported.notes.last().map(String::as_str),
        Some("and 81 more reasons")
    );
}

#[test]
fn imported_rows_find_their_models() {
    let mut book = PriceBook::bundled();
    book.import(parse_litellm(SAMPLE.as_bytes()).unwrap().rows);
    for (provider, model, found) in [
        ("anthropic", "claude-maquette-1-20261001", true),
        ("google", "gemini-maquette", true),
        ("", "gemini/gemini-maquette", true),
        ("azure", "eu/gpt-maquette", true),
        ("azure", "gpt-maquette", true), // at the vendor's price
        ("openai", "eu/gpt-maquette", false),
        ("github_copilot", "free", false),
    ] {
        assert_eq!(
            book.get(provider, model, 0).is_some(),
            found,
            "{provider} {model}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_litellm(&bytes);
    }

    #[test]
    fn any_value_in_any_key_is_read_or_skipped(
        key in "(input_cost_per_token|output_cost_per_token|tiered_pricing|mode|litellm_provider|max_input_tokens|input_cost_per_token_above_[0-9]{1,25}k_tokens|provider_specific_entry|search_context_cost_per_query)",
        value in "(-?[0-9]{1,30}(\\.[0-9]{1,30})?(e-?[0-9]{1,6})?|\"[a-z0-9.]{0,9}\"|\\[\\{\"range\":\\[-?[0-9]{1,30}\\]\\}\\]|\\{\"us\":\"x\"\\}|true)",
    ) {
        let json = format!("{{\"m\": {{\"litellm_provider\": \"openai\", \"output_cost_per_token\": 1e-6, \"{key}\": {value}}}}}");
        // Leading zeros are not JSON: such a file is refused as a whole.
        if let Ok(imported) = parse_litellm(json.as_bytes()) {
            prop_assert_eq!(imported.rows.len() as u64 + imported.skipped, 1);
            for row in &imported.rows {
                prop_assert_eq!(row.check(), Ok(()));
            }
        }
    }
}
