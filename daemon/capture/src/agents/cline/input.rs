//! What the figures of a request mean: versions and providers differ in whether the cache is a part of the input.
//!
//! Roo Code and its like say by whose rules they count. Cline does not; it hands on what each provider's interface says,
//! and takes the cache out for some of them only. What was not in the cache some of them call written.

/// Providers whose input Cline leaves as it is, with what was cached in it.
const WITH_CACHE: [&str; 12] = [
    "openai",
    "litellm",
    "requesty",
    "fireworks",
    "qwen",
    "doubao",
    "xai",
    "zai",
    "lmstudio",
    "hicap",
    "oca",
    "openai-codex",
];
/// Providers that have no price for writing to the cache, and for which Cline calls written what was not read from it.
const MISSED: [&str; 7] = [
    "openai",
    "deepseek",
    "fireworks",
    "qwen",
    "doubao",
    "xai",
    "hicap",
];

/// Input, output, and what was read from and written to the cache: makes them disjoint.
pub(super) fn disjoint(counts: &mut [u64; 4], protocol: bool, provider: &str) {
    let [input, _, read, written] = counts;
    let cached = read.saturating_add(*written);
    // By OpenAI's rules Roo Code's input always includes the cache, by Anthropic's in later versions. The input of
    // earlier ones is far less than what was cached.
    if (protocol || WITH_CACHE.contains(&provider)) && *input >= cached {
        *input -= cached;
    }
    if !protocol && MISSED.contains(&provider) {
        *input = input.saturating_add(std::mem::take(written));
    }
}
