//! Tips about models: caches that do not pay, dear models on short answers, much reasoning for little answer.

use super::{Evidence, Group, Tip, UnitPrices};
use crate::money::Pico;
use crate::report::Row;
use crate::report::figures::{count, percent, thousands, usd};
use crate::rollup::Agg;

/// Calls below which a model's averages say nothing.
const ENOUGH_CALLS: u64 = 20;
/// Prompt tokens below which a cache hardly matters.
const ENOUGH_PROMPT: u64 = 500_000;
/// Share of the prompt in percent that a cache should serve; agents reach 90 and more.
const LOW_HIT_PERCENT: u64 = 50;
/// Answers that are short on average, in tokens.
const SHORT_ANSWER: u64 = 200;
/// A model is dear when its output costs so many times that of another model in use.
const DEAR_TIMES: i128 = 3;
/// Share of the output in percent from which reasoning outweighs the answer.
const MUCH_REASONING_PERCENT: u64 = 80;

pub(super) fn tips(evidence: &Evidence<'_>) -> Vec<Tip> {
    let models: Vec<Model<'_>> = (evidence.by_model.rows.iter())
        .map(|row| Model::new(row, evidence))
        .collect();
    let mut tips = Vec::new();
    for model in models.iter().filter(|model| model.agg.requests >= ENOUGH_CALLS) {
        tips.extend(cache(model));
        tips.extend(dear(model, &models));
        tips.extend(reasoning(model));
    }
    tips
}

struct Model<'a> {
    name: &'a str,
    provider: &'a str,
    agg: &'a Agg,
    prices: Option<UnitPrices>,
}

impl<'a> Model<'a> {
    fn new(row: &'a Row, evidence: &Evidence<'_>) -> Model<'a> {
        let key = |at: usize| row.keys.get(at).map_or("", String::as_str);
        let (provider, name) = (key(0), key(1));
        Model {
            name,
            provider,
            agg: &row.agg,
            prices: (evidence.prices)(provider, name),
        }
    }
}

fn cache(model: &Model<'_>) -> Option<Tip> {
    let tokens = &model.agg.tokens;
    let prompt = tokens.prompt();
    let writes = tokens.cache_write_5m.saturating_add(tokens.cache_write_1h);
    let low = tokens.cache_read.saturating_mul(100) < prompt.saturating_mul(LOW_HIT_PERCENT);
    if prompt < ENOUGH_PROMPT || !low {
        return None;
    }
    let hit = percent(tokens.cache_read, prompt);
    let evidence = format!(
        "{hit:.0} % of {} prompt tokens came from the cache, over {}",
        thousands(prompt),
        count(model.agg.requests, "call")
    );
    let (title, evidence, advice, saved_cost) = if writes > tokens.cache_read {
        (
            format!("{} loses its cache", model.name),
            format!("{evidence}; {} tokens were written to it", thousands(writes)),
            "The cache expires after minutes without a call. Finish one task before a pause, choose the 1-hour cache \
             where there is one, and leave tools and system prompt unchanged within a session.",
            Pico::ZERO,
        )
    } else {
        (
            format!("{} hardly uses its cache", model.name),
            evidence,
            "Keep the beginning of the prompt the same from call to call (system prompt, tools, files first), so that \
             the provider can serve it from its cache.",
            // What half of the uncached input would have cost less, had it been read from the cache.
            model.prices.map_or(Pico::ZERO, |prices| {
                times(prices.input - prices.cache_read, tokens.input / 2)
            }),
        )
    };
    Some(Tip {
        group: Group::Suggestion,
        title,
        evidence,
        advice: advice.to_owned(),
        saved_tokens: 0,
        saved_cost: saved_cost.max(Pico::ZERO),
    })
}

fn dear(model: &Model<'_>, models: &[Model<'_>]) -> Option<Tip> {
    let agg = model.agg;
    let average = agg.tokens.answer() / agg.requests.max(1);
    if average >= SHORT_ANSWER || agg.cost <= Pico::ZERO || agg.embedding_requests == agg.requests {
        return None;
    }
    let prices = model.prices?;
    let cheaper = (models.iter())
        .filter(|other| other.provider == model.provider && other.name != model.name)
        .filter_map(|other| other.prices.map(|prices| (other, prices)))
        .filter(|(other, p)| {
            p.output.0 > 0
                && p.output.0.saturating_mul(DEAR_TIMES) <= prices.output.0
                && other.agg.embedding_requests == 0
        })
        .min_by_key(|(_, p)| p.output)?;
    let saved_cost = times(prices.input - cheaper.1.input, agg.tokens.input)
        + times(prices.output - cheaper.1.output, agg.tokens.output)
        + times(prices.cache_read - cheaper.1.cache_read, agg.tokens.cache_read);
    (saved_cost > Pico::ZERO).then(|| Tip {
        group: Group::Suggestion,
        title: format!("{} for short answers", model.name),
        evidence: format!(
            "{} with {} tokens of output on average, for {}; {} is in use too",
            count(agg.requests, "call"),
            thousands(average),
            usd(agg.cost),
            cheaper.0.name
        ),
        advice: format!(
            "Give short, simple calls to {} and keep {} for hard ones.",
            cheaper.0.name, model.name
        ),
        saved_tokens: 0,
        saved_cost: saved_cost.min(agg.cost),
    })
}

fn reasoning(model: &Model<'_>) -> Option<Tip> {
    let tokens = &model.agg.tokens;
    let much = tokens.reasoning.saturating_mul(100) > tokens.output.saturating_mul(MUCH_REASONING_PERCENT);
    (much && tokens.output > 0).then(|| Tip {
        group: Group::Suggestion,
        title: format!("{} reasons more than it answers", model.name),
        evidence: format!(
            "{:.0} % of {} output tokens were reasoning",
            percent(tokens.reasoning, tokens.output),
            thousands(tokens.output)
        ),
        advice: "Lower the reasoning effort for routine work.".to_owned(),
        saved_tokens: 0,
        saved_cost: Pico::ZERO,
    })
}

fn times(price: Pico, tokens: u64) -> Pico {
    Pico(price.0.saturating_mul(i128::from(tokens)))
}
