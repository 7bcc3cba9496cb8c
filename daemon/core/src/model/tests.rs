//! Spellings of model names, positive and negative.

use super::*;
use proptest::prelude::*;

#[test]
fn one_model_has_one_spelling() {
    for (spelling, name) in [
        ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("Claude-Sonnet-4.5", "claude-sonnet-4-5"),
        (" claude-sonnet-4-5-20250929 ", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5[1m]", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929[1m]", "claude-sonnet-4-5"),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("openrouter/anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        (
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude-sonnet-4-5",
        ),
        ("global.anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        ("bedrock/us.anthropic.claude-opus-4-8", "claude-opus-4-8"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "claude-haiku-4-5",
        ),
        ("claude-opus-4@20250514", "claude-opus-4"),
        ("claude-opus-4-6@default", "claude-opus-4-6"),
        ("vertex_ai/claude-opus-4@20250514", "claude-opus-4"),
        (
            "projects/p/locations/us-east5/publishers/anthropic/models/claude-opus-4-1@20250805",
            "claude-opus-4-1",
        ),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("azure/gpt-5.4", "gpt-5-4"),
        ("gpt-5-2025-08-07", "gpt-5"),
        ("models/gemini-2.5-pro", "gemini-2-5-pro"),
        ("gemini/gemini-2.5-pro", "gemini-2-5-pro"),
        ("x-ai/grok-4.3", "grok-4-3"),
        ("qwen3:8b", "qwen3:8b"),
        ("ollama/qwen3:8b", "qwen3:8b"),
        ("my-gateway/gpt-5", "my-gateway/gpt-5"),
        ("gpt-4-0613", "gpt-4-0613"),
        ("kimi-k2-0905-preview", "kimi-k2-0905-preview"),
        ("text-embedding-3-small", "text-embedding-3-small"),
        ("model-20251340", "model-20251340"),
        ("-20250929", "-20250929"),
        ("-latest", "-latest"),
        ("", ""),
    ] {
        assert_eq!(normalize(spelling), name, "{spelling}");
    }
}

#[test]
fn a_vendor_is_guessed_only_for_names_that_one_vendor_serves() {
    for (name, vendor) in [
        ("claude-opus-4-8", Some("anthropic")),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", Some("anthropic")),
        ("gpt-5.5", Some("openai")),
        ("o3", Some("openai")),
        ("text-embedding-3-small", Some("openai")),
        ("gemini-2.5-flash", Some("google")),
        ("glm-4.6", Some("zai")),
        ("kimi-k2.5", Some("moonshotai")),
        ("openrouter/x-ai/grok-4.3", Some("xai")),
        ("gpt-oss-120b", None),
        ("gpt-oss:20b", None),
        ("qwen3:8b", None),
        ("deepseek-r1:7b", None),
        ("llama-3.3-70b", None),
        ("gemma-3-27b", None),
        ("ollama/mistral-small", None),
        ("my-gateway/gpt-5", None),
        ("<synthetic>", None),
        ("sonnet", None),
        ("", None),
    ] {
        assert_eq!(guess_provider(name), vendor, "{name}");
    }
}

#[test]
fn only_a_local_provider_is_local() {
    for provider in [
        "ollama",
        "LMStudio",
        "llama.cpp",
        "http://localhost:11434/v1",
        "127.0.0.1:8080",
        "http://[::1]:1",
    ] {
        assert!(is_local(provider), "{provider}");
    }
    for provider in [
        "",
        "openai",
        "https://localhost.example.com",
        "ollama.com",
        "127.example.com",
    ] {
        assert!(!is_local(provider), "{provider}");
    }
    assert!(ModelId::new("", "ollama/qwen3:8b").local);
    assert!(!ModelId::new("", "qwen3:8b").local);
    assert!(!ModelId::new("ollama", "gpt-oss:120b-cloud").local);
    assert!(!ModelId::new("openai", "ollama/qwen3:8b").local);
}

proptest! {
    #[test]
    fn any_name_is_read(provider in "\\PC{0,30}", model in "\\PC{0,60}") {
        let _ = ModelId::new(&provider, &model);
        let _ = guess_provider(&model);
        let _ = is_local(&provider);
    }

    #[test]
    fn names_of_many_parts_are_read(model in "[a-z0-9./:@-]{0,60}") {
        let once = normalize(&model);
        prop_assert!(!once.contains(['.', '@']));
    }
}
