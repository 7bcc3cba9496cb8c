//! What a whole request will be billed for, part by part, before it is sent.
//!
//! The text of a part is counted in the model's encoding; what the provider writes around it follows the rules in
//! [`openai`], [`anthropic`] and [`gemini`], which say where they come from. A figure is `exact` only where both are.

mod anthropic;
mod check;
mod gemini;
mod image;
mod openai;
mod schema;

pub use image::image_tokens;

use serde_json::Value;

use crate::label::Label;
use crate::model::{self, Profile, profile};
use crate::{Count, MAX_TEXT_BYTES, Tokenizer, TooLarge};

/// Things not counted that are told of one request.
const MOST_HIDDEN: usize = 16;
/// Characters of the name of a kind of part that is not known.
const MOST_KIND: usize = 40;

/// The shape of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// `POST /v1/chat/completions`
    OpenAiChat,
    /// `POST /v1/responses`
    OpenAiResponses,
    /// `POST /v1/messages`
    Anthropic,
    /// `POST /v1beta/models/…:generateContent`
    Gemini,
}

impl Api {
    /// Every shape.
    pub const ALL: [Api; 4] = [Api::OpenAiChat, Api::OpenAiResponses, Api::Anthropic, Api::Gemini];

    /// Its name for people and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Api::OpenAiChat => "openai",
            Api::OpenAiResponses => "openai-responses",
            Api::Anthropic => "anthropic",
            Api::Gemini => "gemini",
        }
    }

    /// Judges by what only one of them has; `None` when nothing tells.
    fn guess(model: &str, body: &Value) -> Option<Api> {
        let has = |key: &str| body.get(key).is_some();
        if has("contents") {
            return Some(Api::Gemini);
        }
        if !has("messages") {
            return (has("input") || has("instructions")).then_some(Api::OpenAiResponses);
        }
        let tools_of_anthropic = || {
            each(&body["tools"])
                .iter()
                .any(|tool| tool["input_schema"].is_object())
        };
        let anthropic = has("system") || has("anthropic_version") || tools_of_anthropic();
        Some(match anthropic || model::is_claude(model) {
            true => Api::Anthropic,
            false => Api::OpenAiChat,
        })
    }
}

/// What a part of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// Instructions apart from the conversation.
    System,
    /// One tool, with its description and schema; the name says which.
    Tool,
    /// One message; the name is its place and its role.
    Message,
    /// An image in a message.
    Image,
    /// A document or a sound in a message.
    Attachment,
    /// What the provider adds to the request as a whole.
    Framing,
}

impl PartKind {
    /// Its name for people and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            PartKind::System => "system",
            PartKind::Tool => "tool",
            PartKind::Message => "message",
            PartKind::Image => "image",
            PartKind::Attachment => "attachment",
            PartKind::Framing => "framing",
        }
    }
}

/// One part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// Which one, e.g. a tool's name.
    pub name: String,
    /// Its tokens.
    pub tokens: u64,
    /// Lower bound of them.
    pub low: u64,
    /// Upper bound of them.
    pub high: u64,
    /// What the figure rests on.
    pub label: Label,
}

/// The input tokens of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestCount {
    /// Which rules were applied.
    pub api: Api,
    /// The model that it names.
    pub model: String,
    /// The encoding that was used.
    pub encoding: &'static str,
    /// Every part, in the order of the provider's prompt.
    pub parts: Vec<Part>,
    /// All parts together.
    pub tokens: u64,
    /// Lower bound of them.
    pub low: u64,
    /// Upper bound of them.
    pub high: u64,
    /// How many of them are in parts that are exact.
    pub exact_tokens: u64,
    /// What the sum rests on: exact only if every part is.
    pub label: Label,
    /// What the provider adds and the request does not show, so that it could not be counted.
    pub hidden: Vec<String>,
}

/// A request that is not counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// It is too large.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// It is not a JSON object.
    #[error("the request is not a JSON object: {0}")]
    NotJson(String),
    /// Something in it is not what the provider takes there.
    #[error("{at} is {found}; allowed: {allowed}")]
    Malformed {
        /// Where it is, e.g. `messages[2].content`.
        at: String,
        /// What is there.
        found: &'static str,
        /// What may be there.
        allowed: &'static str,
    },
    /// Nothing tells whose request it is.
    #[error("nothing in the body tells whose request it is: it has neither messages, input nor contents")]
    NoRequest,
}

/// Counts a request of this shape for `model`, or, when that is empty, for the model that it names itself.
///
/// Without a shape, what only one of them has tells it. Looks at nothing but its arguments. Fields that it does not know
/// are left out, parts of a kind that it does not know are told in `hidden`.
pub fn count_request(
    tokenizer: &Tokenizer,
    api: Option<Api>,
    model: &str,
    body: &[u8],
) -> Result<RequestCount, BadRequest> {
    if body.len() > MAX_TEXT_BYTES {
        return Err(TooLarge { bytes: body.len() }.into());
    }
    let body: Value = serde_json::from_slice(body).map_err(|error| BadRequest::NotJson(error.to_string()))?;
    if !body.is_object() {
        return Err(BadRequest::NotJson("it is something else".to_owned()));
    }
    let named = body["model"].as_str().unwrap_or_default();
    let model = if model.is_empty() { named } else { model };
    let api = api
        .or_else(|| Api::guess(model, &body))
        .ok_or(BadRequest::NoRequest)?;
    check::check(api, &body)?;
    // Gemini's body does not name its model; the address does.
    let model = if model.is_empty() && api == Api::Gemini {
        "gemini"
    } else {
        model
    };
    let mut draft = Draft::new(model);
    match api {
        Api::OpenAiChat => openai::chat(&mut draft, &body),
        Api::OpenAiResponses => openai::responses(&mut draft, &body),
        Api::Anthropic => anthropic::messages(&mut draft, &body),
        Api::Gemini => gemini::generate(&mut draft, &body),
    }
    Ok(draft.finish(tokenizer, api))
}

/// A figure with bounds.
#[derive(Debug, Clone, Copy, Default)]
struct Band {
    tokens: u64,
    low: u64,
    high: u64,
}

impl Band {
    fn add(&mut self, other: Band) {
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.low = self.low.saturating_add(other.low);
        self.high = self.high.saturating_add(other.high);
    }
}

struct Open {
    kind: PartKind,
    name: String,
    around: Band,
    /// Whether everything around the text follows a rule that is exact.
    exact: bool,
}

/// A piece of text that belongs to a part.
struct Text {
    part: usize,
    text: String,
    /// Whether the provider may leave it out.
    optional: bool,
}

/// A request while it is read: parts, and the texts in them that are still to be counted.
struct Draft {
    model: String,
    /// Without what providers and gateways put around it.
    name: String,
    profile: Profile,
    parts: Vec<Open>,
    texts: Vec<Text>,
    hidden: Vec<String>,
}

impl Draft {
    fn new(model: &str) -> Draft {
        Draft {
            model: model.to_owned(),
            name: model::bare(model),
            profile: profile(model),
            parts: Vec::new(),
            texts: Vec::new(),
            hidden: Vec::new(),
        }
    }

    /// Begins a part; what follows is added to it by this number.
    fn part(&mut self, kind: PartKind, name: impl Into<String>) -> usize {
        self.parts.push(Open {
            kind,
            name: name.into(),
            around: Band::default(),
            exact: true,
        });
        self.parts.len() - 1
    }

    fn text(&mut self, part: usize, text: impl Into<String>) {
        self.texts.push(Text {
            part,
            text: text.into(),
            optional: false,
        });
    }

    /// A text that the provider may leave out.
    fn optional(&mut self, part: usize, text: &str) {
        self.parts[part].exact = false;
        self.texts.push(Text {
            part,
            text: text.to_owned(),
            optional: true,
        });
    }

    /// Tokens around the text, by a rule that is exact.
    fn fixed(&mut self, part: usize, tokens: u64) {
        let (low, high) = (tokens, tokens);
        self.parts[part].around.add(Band { tokens, low, high });
    }

    /// Tokens around the text, by a rule that is not.
    fn guess(&mut self, part: usize, tokens: u64, low: u64, high: u64) {
        self.parts[part].exact = false;
        self.parts[part].around.add(Band { tokens, low, high });
    }

    /// What was not counted, once.
    fn hide(&mut self, what: &str) {
        if self.hidden.len() < MOST_HIDDEN && !self.hidden.iter().any(|hidden| hidden == what) {
            self.hidden.push(what.to_owned());
        }
    }

    /// A part of a kind that no rule is known for.
    fn hide_kind(&mut self, kind: &str) {
        let kind: String = kind
            .chars()
            .filter(|char| !char.is_control())
            .take(MOST_KIND)
            .collect();
        self.hide(&format!("a part of the kind \"{kind}\""));
    }

    fn finish(self, tokenizer: &Tokenizer, api: Api) -> RequestCount {
        let texts: Vec<&str> = self.texts.iter().map(|text| text.text.as_str()).collect();
        let counts = tokenizer.counter(self.profile.encoding).count_blocks(&texts);
        let mut sums: Vec<(u64, u64)> = vec![(0, 0); self.parts.len()];
        for (text, count) in self.texts.iter().zip(counts) {
            let (certain, optional) = &mut sums[text.part];
            *(if text.optional { optional } else { certain }) += count;
        }
        let mut total = Band::default();
        let mut exact_tokens = 0;
        let mut all_exact = self.hidden.is_empty();
        let judged = self
            .parts
            .into_iter()
            .zip(sums)
            .map(|(part, (certain, optional))| {
                let mut band = part.around;
                let certain = self.profile.judge(certain);
                band.add(band_of(&certain));
                let optional = self.profile.judge(optional);
                band.add(Band {
                    low: 0,
                    ..band_of(&optional)
                });
                let exact = part.exact && certain.exact;
                all_exact &= exact;
                if exact {
                    exact_tokens += band.tokens;
                }
                total.add(band);
                Part {
                    kind: part.kind,
                    name: part.name,
                    tokens: band.tokens,
                    low: band.low,
                    high: band.high,
                    label: label(band, exact),
                }
            });
        let parts = judged.collect();
        RequestCount {
            api,
            model: self.model,
            encoding: self.profile.encoding.name(),
            parts,
            tokens: total.tokens,
            low: total.low,
            high: total.high,
            exact_tokens,
            label: label(total, all_exact),
            hidden: self.hidden,
        }
    }
}

fn band_of(count: &Count) -> Band {
    Band {
        tokens: count.tokens,
        low: count.low,
        high: count.high,
    }
}

fn label(band: Band, exact: bool) -> Label {
    if exact {
        Label::Exact
    } else {
        Label::prior(band.tokens, band.low, band.high)
    }
}

/// The elements of an array; none of anything else.
fn each(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
