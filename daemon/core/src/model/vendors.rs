//! Who makes models, who passes them on, and which families of names belong to whom.

/// Vendors by the names under which providers, gateways and price files know them.
pub(super) const VENDORS: [(&str, &[&str]); 19] = [
    ("anthropic", &["anthropic", "claude", "claude-code"]),
    (
        "openai",
        &[
            "openai",
            "openai_chat",
            "openai_responses",
            "openai-native",
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
    ("xai", &["xai", "x-ai", "x_ai", "grok"]),
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
pub(super) const HOSTS: [(&str, &[&str]); 16] = [
    ("openrouter", &["openrouter", "open_router"]),
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
            "copilot_chat",
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
    ("cline", &["cline"]),
    ("roo", &["roo", "roo-code"]),
    ("zed", &["zed", "zed.dev"]),
];

/// Programs that run a model on the user's own machine.
pub(super) const LOCAL: [&str; 21] = [
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
    "oss",
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
pub(super) const NOISE: [&str; 6] = [
    "models",
    "publishers",
    "foundation-model",
    "inference-profile",
    "api",
    "v1",
];

/// Words before the vendor in the names of Amazon Bedrock.
pub(super) const BEDROCK_REGIONS: [&str; 9] =
    ["us", "eu", "apac", "jp", "au", "ca", "global", "us-gov", "sa"];

/// Whose model a name of that family is, when nobody says it. Only names that one vendor alone serves; what
/// everybody may run (Llama, Gemma, gpt-oss, open Qwen and so on) is nobody's.
pub(super) const FAMILIES: [(&str, &str); 37] = [
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
