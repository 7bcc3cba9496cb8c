//! Which encoding a model uses, and how far off we may be where that is not public.

use crate::{Count, Encoding};

/// What a count for a model rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Basis {
    /// The model's own encoding.
    Exact,
    /// Another encoding, scaled. Figures are thousandths of the scaled encoding's own count.
    Estimate {
        /// What we say.
        ratio: u32,
        /// Lower bound of the band that holds nine texts in ten.
        low: u32,
        /// Upper bound of it.
        high: u32,
        /// Whose tokenizer is meant, for the note.
        family: &'static str,
    },
    /// No such model is known to us.
    Unknown,
}

/// How to count for a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// The encoding to count with.
    pub encoding: Encoding,
    /// What its figure means for the model.
    pub basis: Basis,
}

/// Band of a model that we know nothing of, in thousandths of its `cl100k_base` count.
const UNKNOWN_BAND: (u32, u32) = (800, 1600);

const fn exact(encoding: Encoding) -> Profile {
    Profile {
        encoding,
        basis: Basis::Exact,
    }
}

const fn estimate(ratio: u32, low: u32, high: u32, family: &'static str) -> Profile {
    Profile {
        encoding: Encoding::O200kBase,
        basis: Basis::Estimate {
            ratio,
            low,
            high,
            family,
        },
    }
}

/// Claude up to 4.6. Measured against 86 recorded answers and 96 transcript steps: 1.13 to 1.16.
const CLAUDE_OLDER: Profile = estimate(1150, 978, 1323, "Claude's tokenizer (up to 4.6)");
/// Claude from Opus 4.7 on. Measured: 1.38 to 1.47 on technical prose, up to 1.59 on plain English.
pub(crate) const CLAUDE_NEWER: Profile = estimate(1400, 1190, 1680, "Claude's tokenizer (from Opus 4.7 on)");

/// Names by prefix; the first that fits holds, so longer ones come first.
const PREFIXES: &[(&str, Profile)] = &[
    ("gpt-oss", exact(Encoding::O200kHarmony)),
    ("gpt-5", exact(Encoding::O200kBase)),
    ("gpt-4o", exact(Encoding::O200kBase)),
    ("gpt-4.1", exact(Encoding::O200kBase)),
    ("gpt-4.5", exact(Encoding::O200kBase)),
    ("chatgpt-4o", exact(Encoding::O200kBase)),
    ("codex-mini", exact(Encoding::O200kBase)),
    ("gpt-4", exact(Encoding::Cl100kBase)),
    ("gpt-3.5", exact(Encoding::Cl100kBase)),
    ("gpt-35", exact(Encoding::Cl100kBase)),
    ("text-embedding-3", exact(Encoding::Cl100kBase)),
    ("text-embedding-ada-002", exact(Encoding::Cl100kBase)),
    ("davinci-002", exact(Encoding::Cl100kBase)),
    ("babbage-002", exact(Encoding::Cl100kBase)),
    ("text-davinci-edit", exact(Encoding::P50kEdit)),
    ("code-davinci-edit", exact(Encoding::P50kEdit)),
    ("text-davinci-003", exact(Encoding::P50kBase)),
    ("text-davinci-002", exact(Encoding::P50kBase)),
    ("code-davinci", exact(Encoding::P50kBase)),
    ("code-cushman", exact(Encoding::P50kBase)),
    ("davinci-codex", exact(Encoding::P50kBase)),
    ("cushman-codex", exact(Encoding::P50kBase)),
    ("text-davinci-001", exact(Encoding::R50kBase)),
    ("text-curie", exact(Encoding::R50kBase)),
    ("text-babbage", exact(Encoding::R50kBase)),
    ("text-ada", exact(Encoding::R50kBase)),
    ("text-similarity-", exact(Encoding::R50kBase)),
    ("text-search-", exact(Encoding::R50kBase)),
    ("code-search-", exact(Encoding::R50kBase)),
    ("davinci", exact(Encoding::R50kBase)),
    ("curie", exact(Encoding::R50kBase)),
    ("babbage", exact(Encoding::R50kBase)),
    ("gpt-2", exact(Encoding::R50kBase)),
    ("gpt2", exact(Encoding::R50kBase)),
    ("gpt-6", estimate(1000, 850, 1350, "GPT-6's tokenizer")),
    ("gpt-", estimate(1000, 850, 1350, "this model's tokenizer")),
    ("chatgpt", estimate(1000, 850, 1350, "this model's tokenizer")),
    ("gemini", estimate(1000, 850, 1200, "Gemini's tokenizer")),
    ("gemma", estimate(1000, 850, 1200, "Gemma's tokenizer")),
    ("grok", estimate(1050, 800, 1400, "Grok's tokenizer")),
    ("llama", estimate(1050, 850, 1350, "Llama's tokenizer")),
    ("codellama", estimate(1200, 950, 1500, "Llama's tokenizer")),
    ("qwen", estimate(1100, 850, 1400, "Qwen's tokenizer")),
    ("qwq", estimate(1100, 850, 1400, "Qwen's tokenizer")),
    ("deepseek", estimate(1050, 800, 1350, "DeepSeek's tokenizer")),
    ("kimi", estimate(1050, 800, 1350, "Kimi's tokenizer")),
    ("moonshot", estimate(1050, 800, 1350, "Kimi's tokenizer")),
    ("glm", estimate(1050, 800, 1350, "GLM's tokenizer")),
    ("chatglm", estimate(1050, 800, 1350, "GLM's tokenizer")),
    ("mistral", estimate(1100, 850, 1400, "Mistral's tokenizer")),
    ("mixtral", estimate(1200, 950, 1500, "Mistral's tokenizer")),
    ("ministral", estimate(1100, 850, 1400, "Mistral's tokenizer")),
    ("magistral", estimate(1100, 850, 1400, "Mistral's tokenizer")),
    ("codestral", estimate(1100, 850, 1400, "Mistral's tokenizer")),
    ("devstral", estimate(1100, 850, 1400, "Mistral's tokenizer")),
    ("pixtral", estimate(1100, 850, 1400, "Mistral's tokenizer")),
    ("open-mistral", estimate(1100, 850, 1400, "Mistral's tokenizer")),
    ("open-mixtral", estimate(1200, 950, 1500, "Mistral's tokenizer")),
];

/// Labels that gateways put before a model's name, with a dot between.
const DOTTED: &[&str] = &[
    "us",
    "eu",
    "ap",
    "apac",
    "au",
    "ca",
    "jp",
    "sa",
    "global",
    "us-gov",
    "anthropic",
    "openai",
    "meta",
    "mistral",
    "deepseek",
    "qwen",
    "moonshotai",
    "moonshot",
    "google",
    "xai",
    "zai",
];

/// How to count for a model, whatever a provider or gateway put around its name.
///
/// An empty name stands for `gpt-5`.
pub fn profile(model: &str) -> Profile {
    let name = bare(model);
    if name.is_empty() {
        return exact(Encoding::O200kBase);
    }
    if let Some(claude) = claude(&name) {
        return claude;
    }
    if let Some(number) = name
        .strip_prefix('o')
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    {
        let known = ["1", "3", "4"]
            .iter()
            .any(|n| number == *n || number.starts_with(&format!("{n}-")));
        return if known {
            exact(Encoding::O200kBase)
        } else {
            estimate(1000, 850, 1350, "this model's tokenizer")
        };
    }
    if name == "ada" {
        return exact(Encoding::R50kBase);
    }
    PREFIXES
        .iter()
        .find(|(prefix, _)| name.starts_with(prefix))
        .map_or(
            Profile {
                encoding: Encoding::Cl100kBase,
                basis: Basis::Unknown,
            },
            |(_, profile)| *profile,
        )
}

/// The name without provider, region, fine-tuning and context-window marks, in lower case.
pub(crate) fn bare(model: &str) -> String {
    let lower = model.trim().to_ascii_lowercase();
    let mut name = lower.as_str();
    if let Some(tuned) = name.strip_prefix("ft:") {
        name = tuned.split(':').next().unwrap_or(tuned);
    }
    name = name.rsplit('/').next().unwrap_or(name);
    while let Some((head, tail)) = name.split_once('.') {
        if !DOTTED.contains(&head) {
            break;
        }
        name = tail;
    }
    for mark in ["meta-", "azure-", "openai-"] {
        name = name.strip_prefix(mark).unwrap_or(name);
    }
    name.to_owned()
}

/// Whether the name is one of Claude's.
pub(crate) fn is_claude(model: &str) -> bool {
    claude(&bare(model)).is_some()
}

/// Claude has two tokenizers; which one is told by the version in the name.
fn claude(name: &str) -> Option<Profile> {
    const LINES: [&str; 5] = ["opus", "sonnet", "haiku", "fable", "mythos"];
    let first = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    if first != "claude" && !LINES.contains(&first) {
        return None;
    }
    // Versions have one or two digits, dates have eight.
    let mut version = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|part| part.len() <= 2)
        .filter_map(|part| part.parse::<u32>().ok());
    let newer = match (version.next(), version.next()) {
        // An alias such as "opus" means the newest.
        (None, _) => LINES.iter().any(|line| name.contains(line)),
        (Some(major), minor) => (major, minor.unwrap_or(0)) >= (4, 7),
    };
    Some(if newer { CLAUDE_NEWER } else { CLAUDE_OLDER })
}

impl Profile {
    /// Makes the answer from what the encoding counted.
    pub(crate) fn judge(&self, raw: u64) -> Count {
        let scaled = |thousandths: u32| {
            let product = u128::from(raw) * u128::from(thousandths);
            u64::try_from((product + 500) / 1000).unwrap_or(u64::MAX)
        };
        let encoding = self.encoding.name();
        let (tokens, low, high, note) = match self.basis {
            Basis::Exact => (raw, raw, raw, None),
            Basis::Estimate {
                ratio,
                low,
                high,
                family,
            } => {
                let note = format!(
                    "estimate: {family} is not public; {encoding} × {}.{:02}, band −{} to +{} %",
                    ratio / 1000,
                    ratio % 1000 / 10,
                    percent(ratio - low, ratio),
                    percent(high - ratio, ratio),
                );
                (scaled(ratio), scaled(low), scaled(high), Some(note))
            }
            Basis::Unknown => {
                let note = format!("estimate: unknown model, fell back to {encoding}, band −20 to +60 %");
                (raw, scaled(UNKNOWN_BAND.0), scaled(UNKNOWN_BAND.1), Some(note))
            }
        };
        Count {
            tokens,
            counted: raw,
            encoding,
            exact: self.basis == Basis::Exact,
            low,
            high,
            note,
        }
    }
}

fn percent(part: u32, whole: u32) -> u32 {
    (part * 100 + whole / 2) / whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_models() {
        let cases = [
            ("", "o200k_base"),
            ("gpt-5", "o200k_base"),
            ("gpt-5.6-sol", "o200k_base"),
            ("openai/gpt-5-codex", "o200k_base"),
            ("azure/gpt-4o-2024-08-06", "o200k_base"),
            ("GPT-4.1-mini", "o200k_base"),
            ("o1", "o200k_base"),
            ("o3-mini", "o200k_base"),
            ("o4-mini-2025-04-16", "o200k_base"),
            ("codex-mini-latest", "o200k_base"),
            ("openai.gpt-oss-120b-1:0", "o200k_harmony"),
            ("gpt-4-turbo", "cl100k_base"),
            ("ft:gpt-3.5-turbo:org::id", "cl100k_base"),
            ("text-embedding-3-small", "cl100k_base"),
            ("text-embedding-ada-002", "cl100k_base"),
            ("text-davinci-003", "p50k_base"),
            ("text-davinci-edit-001", "p50k_edit"),
            ("davinci", "r50k_base"),
            ("gpt2", "r50k_base"),
        ];
        for (model, encoding) in cases {
            let count = profile(model).judge(10);
            assert_eq!(
                (count.encoding, count.exact, count.note),
                (encoding, true, None),
                "{model}"
            );
        }
    }

    #[test]
    fn our_table_holds_what_the_vocabularies_author_says() {
        for model in [
            "gpt-4o",
            "gpt-5-mini",
            "gpt-4-0314",
            "gpt-35-turbo",
            "davinci-002",
            "code-cushman-001",
            "ada",
        ] {
            let theirs = match tiktoken_rs::tokenizer::get_tokenizer(model).unwrap() {
                tiktoken_rs::tokenizer::Tokenizer::O200kBase => Encoding::O200kBase,
                tiktoken_rs::tokenizer::Tokenizer::Cl100kBase => Encoding::Cl100kBase,
                tiktoken_rs::tokenizer::Tokenizer::P50kBase => Encoding::P50kBase,
                tiktoken_rs::tokenizer::Tokenizer::R50kBase => Encoding::R50kBase,
                other => panic!("{other:?}"),
            };
            assert_eq!(profile(model), exact(theirs), "{model}");
        }
    }

    #[test]
    fn claude_has_two_tokenizers() {
        let older = [
            "claude-sonnet-4-5-20250929",
            "claude-3-5-sonnet-20241022",
            "claude-3.5-sonnet",
            "claude-opus-4-20250514",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "anthropic/claude-opus-4.6",
            "claude-2.1",
            "claude-opus-4@20250514",
        ];
        let newer = [
            "claude-opus-4-7",
            "claude-opus-4.8",
            "claude-sonnet-5",
            "claude-opus-5-5[1m]",
            "claude-fable-5",
            "anthropic/claude-haiku-5.5",
            "opus",
        ];
        for model in older {
            assert_eq!(profile(model), CLAUDE_OLDER, "{model}");
        }
        for model in newer {
            assert_eq!(profile(model), CLAUDE_NEWER, "{model}");
        }
    }

    #[test]
    fn estimates_say_so_with_a_band() {
        let count = profile("claude-sonnet-4-5").judge(1000);
        assert_eq!(
            (count.tokens, count.low, count.high, count.exact),
            (1150, 978, 1323, false)
        );
        let note = count.note.unwrap();
        assert!(
            note.contains("not public") && note.contains("1.15") && note.contains("15 %"),
            "{note}"
        );
        for model in [
            "gpt-6",
            "gemini-3-pro",
            "x-ai/grok-4",
            "meta-llama/llama-4",
            "qwen3-coder",
            "o9",
            "glm-4.6",
        ] {
            let count = profile(model).judge(1000);
            assert!(
                !count.exact && count.low < count.tokens && count.tokens < count.high,
                "{model}"
            );
            assert!(count.note.unwrap().starts_with("estimate"), "{model}");
        }
    }

    /// C1: the fallback.
    #[test]
    fn an_unknown_model_falls_back_and_says_so() {
        for model in ["no-such-model", "😀", "claudette-1", "."] {
            let count = profile(model).judge(10);
            assert_eq!(
                (count.tokens, count.encoding, count.exact),
                (10, "cl100k_base", false),
                "{model}"
            );
            assert!(
                count.note.unwrap().contains("fell back to cl100k_base"),
                "{model}"
            );
        }
    }

    #[test]
    fn every_prefix_is_reached() {
        for (index, (prefix, _)) in PREFIXES.iter().enumerate() {
            let hidden = PREFIXES[..index]
                .iter()
                .find(|(before, _)| prefix.starts_with(before));
            assert_eq!(hidden, None, "{prefix} is never looked at");
        }
    }
}
