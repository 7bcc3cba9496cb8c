//! Model names: the many spellings of one model, and whose it is.
//!
//! A name is brought to one spelling; after that, names are compared for equality only. So a version can never
//! match a longer one (`claude-opus-4` and `claude-opus-4-8`), and an unknown name matches nothing.

/// Vendors by the names under which providers, gateways and price files know them.
const VENDORS: [(&str, &[&str]); 19] = [
    (
        "anthropic",
        &["anthropic", "claude", "claude-code", "vertex_ai-anthropic_models"],
    ),
    (
        "openai",
        &[
            "openai",
            "openai_chat",
            "openai_responses",
            "text-completion-openai",
            "chatgpt",
            "codex",
        ],
    ),
    (
        "google",
        &[
            "google",
            "gemini",
            "google-ai-studio",
            "google_genai",
            "google-genai",
            "googleai",
        ],
    ),
    ("xai", &["xai", "x-ai", "grok"]),
    ("moonshotai", &["moonshotai", "moonshot", "moonshot-ai", "kimi"]),
    ("zai", &["zai", "z-ai", "z.ai", "zhipu", "zhipuai", "bigmodel"]),
    ("alibaba", &["alibaba", "dashscope", "alibaba-cloud", "qwen"]),
    ("deepseek", &["deepseek"]),
    (
        "mistral",
        &["mistral", "mistralai", "codestral", "text-completion-codestral"],
    ),
    ("minimax", &["minimax"]),
    ("cohere", &["cohere", "cohere_chat"]),
    ("amazon", &["amazon", "amazon_nova"]),
    ("voyage", &["voyage", "voyageai"]),
    ("perplexity", &["perplexity"]),
    ("meta", &["meta", "meta_llama"]),
    ("ai21", &["ai21"]),
    ("nvidia", &["nvidia", "nvidia_nim"]),
    ("inception", &["inception"]),
    ("morph", &["morph"]),
];

/// Those who pass a vendor's models on at the vendor's list price, unless the book knows better.
const HOSTS: [(&str, &[&str]); 13] = [
    ("openrouter", &["openrouter"]),
    (
        "azure",
        &[
            "azure",
            "azure_ai",
            "azure_openai",
            "azure-openai",
            "azure_text",
            "azure-cognitive-services",
        ],
    ),
    (
        "bedrock",
        &[
            "bedrock",
            "bedrock_converse",
            "amazon-bedrock",
            "aws-bedrock",
            "aws",
            "aws.bedrock",
            "bedrock_mantle",
        ],
    ),
    (
        "vertex",
        &[
            "vertex",
            "vertex_ai",
            "vertexai",
            "google-vertex",
            "google-vertex-anthropic",
            "gcp.vertex_ai",
        ],
    ),
    (
        "github_copilot",
        &[
            "github_copilot",
            "github-copilot",
            "copilot",
            "github",
            "github-models",
        ],
    ),
    ("vercel", &["vercel", "vercel_ai_gateway", "vercel-ai-gateway"]),
    ("litellm", &["litellm", "litellm_proxy"]),
    ("opencode", &["opencode", "opencode-zen"]),
    ("portkey", &["portkey"]),
    ("requesty", &["requesty"]),
    ("helicone", &["helicone"]),
    ("cloudflare-gateway", &["cloudflare-ai-gateway", "clf_ai_gateway"]),
    ("kilo", &["kilo", "kilocode"]),
];

/// Programs that run a model on the user's own machine.
const LOCAL: [&str; 20] = [
    "ollama",
    "ollama_chat",
    "lmstudio",
    "lm_studio",
    "lm-studio",
    "llama.cpp",
    "llamacpp",
    "llama-cpp",
    "llama_cpp",
    "llamafile",
    "local",
    "localhost",
    "koboldcpp",
    "gpt4all",
    "jan",
    "mlx",
    "mlx-lm",
    "lemonade",
    "localai",
    "docker-model-runner",
];

/// Parts of a path before the name that say nothing about who provides the model.
const NOISE: [&str; 6] = [
    "models",
    "publishers",
    "foundation-model",
    "inference-profile",
    "api",
    "v1",
];

/// Words before the vendor in the names of Amazon Bedrock.
const BEDROCK_REGIONS: [&str; 9] = ["us", "eu", "apac", "jp", "au", "ca", "global", "us-gov", "sa"];

/// Whose model a name of that family is, when nobody says it. Only names that one vendor alone serves; what
/// everybody may run (Llama, Gemma, gpt-oss, open Qwen and so on) is nobody's.
const FAMILIES: [(&str, &str); 37] = [
    ("claude-", "anthropic"),
    ("gpt-oss", ""),
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("codex-", "openai"),
    ("computer-use-preview", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4-", "openai"),
    ("text-embedding-3-", "openai"),
    ("text-embedding-ada-", "openai"),
    ("text-embedding-00", "google"),
    ("text-davinci-", "openai"),
    ("davinci-", "openai"),
    ("gemini-", "google"),
    ("grok-", "xai"),
    ("kimi-", "moonshotai"),
    ("moonshot-", "moonshotai"),
    ("glm-", "zai"),
    ("qwen3-coder-plus", "alibaba"),
    ("qwen3-coder-flash", "alibaba"),
    ("qwen3-max", "alibaba"),
    ("qwen3-5-plus", "alibaba"),
    ("qwen3-7-", "alibaba"),
    ("qwen3-8-", "alibaba"),
    ("deepseek-", "deepseek"),
    ("mistral-", "mistral"),
    ("codestral-", "mistral"),
    ("devstral-", "mistral"),
    ("magistral-", "mistral"),
    ("ministral-", "mistral"),
    ("minimax-", "minimax"),
    ("command-", "cohere"),
    ("nova-", "amazon"),
    ("sonar", "perplexity"),
    ("voyage-", "voyage"),
    ("mercury-", "inception"),
];

/// What a name and a provider say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelId {
    /// The provider's own word, in its canonical spelling; empty when nobody said it.
    pub(crate) provider: String,
    /// Whose model it is, when the provider does not say it but the name does.
    pub(crate) vendor: Option<&'static str>,
    /// It runs on the user's own machine.
    pub(crate) local: bool,
    /// The name in its one spelling, a date kept.
    pub(crate) name: String,
}

impl ModelId {
    /// Reads a provider and a name as some source gave them; the provider may be empty.
    pub(crate) fn new(provider: &str, model: &str) -> ModelId {
        let parsed = parse(model);
        let said = canonical_provider(provider);
        let from_name = parsed.vendor.or_else(|| family(&parsed.name));
        ModelId {
            local: (is_local(provider) || (said.is_empty() && parsed.local)) && !is_cloud_tag(&parsed.name),
            // Who passes it on, or nobody, leaves open whose it is: the name's own prefix says it, or its family.
            vendor: from_name.filter(|_| (said.is_empty() && !parsed.local) || is_host(&said)),
            provider: if said.is_empty() {
                parsed.host.to_owned()
            } else {
                said
            },
            name: parsed.name,
        }
    }

    /// The names under which the model may stand in a book, the most exact first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(without_date(&self.name))
    }
}

/// Brings a model's name to one spelling: lower case, without provider prefixes, context-size and date suffixes,
/// with `-` for `.` and `@`. Two spellings of one model give the same text.
pub fn normalize(model: &str) -> String {
    let name = parse(model).name;
    match without_date(&name) {
        Some(short) => short.to_owned(),
        None => name,
    }
}

/// Whose model it is, judged by its name alone: only for families that a single vendor serves. The vendor's name is
/// the one that the price book uses ("anthropic", "openai", "google", …).
pub fn guess_provider(model: &str) -> Option<&'static str> {
    let parsed = parse(model);
    match parsed.vendor {
        Some(vendor) => Some(vendor),
        None if parsed.local || parsed.foreign => None,
        None => family(&parsed.name),
    }
}

/// Whether a provider runs the model on the user's own machine: a known local runner or a loopback address.
pub fn is_local(provider: &str) -> bool {
    let provider = provider.trim().to_ascii_lowercase();
    let host = provider
        .split_once("://")
        .map_or(provider.as_str(), |(_, rest)| rest)
        .split(['/', ':'])
        .next()
        .unwrap_or_default();
    LOCAL.contains(&provider.as_str())
        || host == "localhost"
        || host.starts_with("127.") && host.split('.').count() == 4
        || provider.contains("[::1]")
}

/// One spelling of a provider's name; unknown ones in lower case.
pub(crate) fn canonical_provider(provider: &str) -> String {
    let provider = provider.trim().to_ascii_lowercase();
    for (name, spellings) in VENDORS.iter().chain(&HOSTS) {
        if spellings.contains(&provider.as_str()) {
            return (*name).to_owned();
        }
    }
    // A price file splits a host by whose models it serves: "vertex_ai-mistral_models".
    match provider.split_once("_ai-") {
        Some(("vertex", _)) => "vertex".to_owned(),
        _ => provider,
    }
}

/// The vendor of that canonical name.
pub(crate) fn vendor(provider: &str) -> Option<&'static str> {
    VENDORS
        .iter()
        .map(|(name, _)| *name)
        .find(|name| *name == provider)
}

fn is_host(provider: &str) -> bool {
    HOSTS.iter().any(|(name, _)| *name == provider)
}

fn family(name: &str) -> Option<&'static str> {
    if name.contains([':', '/']) {
        return None;
    }
    FAMILIES
        .iter()
        .find(|(prefix, _)| name.starts_with(prefix))
        .map(|(_, vendor)| *vendor)
        .filter(|vendor| !vendor.is_empty())
}

/// Ollama's own cloud serves names that end so; they cost money.
fn is_cloud_tag(name: &str) -> bool {
    name.ends_with("-cloud") || name.ends_with(":cloud")
}

struct Parsed {
    host: &'static str,
    vendor: Option<&'static str>,
    local: bool,
    /// A prefix that we do not know stays in the name.
    foreign: bool,
    name: String,
}

fn parse(model: &str) -> Parsed {
    let lower = model.trim().to_ascii_lowercase();
    let mut parsed = Parsed {
        host: "",
        vendor: None,
        local: false,
        foreign: false,
        name: String::new(),
    };
    let mut rest = lower.as_str();
    if let Some((path, tail)) = rest.split_once("/publishers/")
        && path.starts_with("projects/")
    {
        (parsed.host, rest) = ("vertex", tail);
    }
    while let Some((segment, tail)) = rest.split_once('/') {
        let spelling = canonical_provider(segment);
        if is_local(segment) {
            parsed.local = true;
        } else if let Some(vendor) = vendor(&spelling) {
            parsed.vendor = Some(vendor);
        } else if let Some((host, _)) = HOSTS.iter().find(|(name, _)| *name == spelling) {
            parsed.host = host;
        } else if segment.starts_with("arn:aws") {
            parsed.host = "bedrock";
        } else if !NOISE.contains(&segment) {
            parsed.foreign = true;
            break;
        }
        rest = tail;
    }
    if !parsed.foreign {
        rest = strip_bedrock(rest, &mut parsed);
    }
    for suffix in ["[1m]", "@default", "@latest"] {
        rest = rest.strip_suffix(suffix).unwrap_or(rest);
    }
    parsed.name = rest.replace(['.', '@'], "-");
    parsed
}

/// `us.anthropic.claude-sonnet-4-5-20250929-v1:0` → `claude-sonnet-4-5-20250929`.
fn strip_bedrock<'a>(name: &'a str, parsed: &mut Parsed) -> &'a str {
    let mut rest = name;
    if let Some((region, tail)) = rest.split_once('.')
        && BEDROCK_REGIONS.contains(&region)
    {
        rest = tail;
    }
    let Some((maker, tail)) = rest.split_once('.') else {
        return name;
    };
    let Some(vendor) = vendor(&canonical_provider(maker)).filter(|_| !maker.is_empty()) else {
        return name;
    };
    parsed.host = if parsed.host.is_empty() {
        "bedrock"
    } else {
        parsed.host
    };
    parsed.vendor = Some(vendor);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let head = match tail.rsplit_once(':') {
        Some((head, number)) if digits(number) => head,
        _ => tail,
    };
    match head.rsplit_once("-v") {
        Some((head, number)) if digits(number) => head,
        _ => head,
    }
}

/// The name without `-20250929`, `-2025-08-07` or `-latest` at its end; `None` when it has none of them.
fn without_date(name: &str) -> Option<&str> {
    if let Some(short) = name.strip_suffix("-latest") {
        return Some(short).filter(|short| !short.is_empty());
    }
    let bytes = name.as_bytes();
    let number = |from: usize, to: usize| -> Option<u32> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0_u32, |value, byte| {
            byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0'))
        })
    };
    let is_date = |year, month, day| {
        (2015..2100).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day)
    };
    let end = bytes.len();
    if let Some(start) = end
        .checked_sub(9)
        .filter(|&start| start > 0 && bytes[start] == b'-')
        && let (Some(year), Some(month), Some(day)) = (
            number(start + 1, start + 5),
            number(start + 5, start + 7),
            number(start + 7, end),
        )
        && is_date(year, month, day)
    {
        return name.get(..start);
    }
    if let Some(start) = end
        .checked_sub(11)
        .filter(|&start| start > 0 && bytes[start] == b'-')
        && bytes[start + 5] == b'-'
        && bytes[start + 8] == b'-'
        && let (Some(year), Some(month), Some(day)) = (
            number(start + 1, start + 5),
            number(start + 6, start + 8),
            number(start + 9, end),
        )
        && is_date(year, month, day)
    {
        return name.get(..start);
    }
    None
}

#[cfg(test)]
mod tests {
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
}
