//! Model names: the many spellings of one model, and whose it is.
//!
//! A name is brought to one spelling; after that, names are compared for equality only. So a version can never
//! match a longer one (`claude-opus-4` and `claude-opus-4-8`), and an unknown name matches nothing.

mod vendors;

use vendors::{BEDROCK_REGIONS, FAMILIES, HOSTS, LOCAL, NOISE, VENDORS};

/// What a name and a provider say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelId {
    /// The provider's own word, in its canonical spelling; empty when nobody said it.
    pub(crate) provider: String,
    /// Whose model it is, when the provider does not say it but the name does.
    pub(crate) vendor: Option<&'static str>,
    /// It runs on the user's own machine.
    pub(crate) local: bool,
    /// Who passes it on asks nothing for it, and says so in the name: "qwen/qwen3-coder:free".
    pub(crate) gratis: bool,
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
            gratis: is_host(&said) && parsed.name.ends_with(":free"),
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
mod tests;
