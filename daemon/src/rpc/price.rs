//! The price service: the book, the user's own prices, imports, repricing.

use std::sync::Arc;

use jiff::civil::Date;
use tokmon_core::limits::MAX_PRICE_FILE_BYTES;
use tokmon_core::money::Pico;
use tokmon_core::price::{Factor, Origin, PriceBook, PriceRow, Rate, Rates, TierRates, parse_litellm};
use tokmon_proto::error::Kind;
use tokmon_proto::v1;
use tokmon_proto::v1::price_service_server::PriceService;
use tonic::{Request, Response, Status};

use super::{actor, convert, status};
use crate::context::Context;

/// Most notes that the answer to an import carries.
const NOTES_SHOWN: usize = 20;

/// Answers from the book in the ledger's state; changes are entries.
pub(super) struct Prices(pub Arc<Context>);

#[tonic::async_trait]
impl PriceService for Prices {
    async fn list(
        &self,
        request: Request<v1::ListPricesRequest>,
    ) -> Result<Response<v1::ListPricesResponse>, Status> {
        let wanted = request.into_inner().contains.to_lowercase();
        let state = self.0.ledger.state();
        let has = |name: &str| name.to_lowercase().contains(&wanted);
        let mut rows: Vec<&PriceRow> = state
            .book
            .rows()
            .filter(|r| has(&r.provider) || has(&r.model))
            .collect();
        rows.sort_by_key(|r| std::cmp::Reverse(r.origin));
        Ok(Response::new(v1::ListPricesResponse {
            prices: rows.into_iter().map(row_out).collect(),
            bundled_date: PriceBook::bundled_date().to_owned(),
        }))
    }

    async fn get(&self, request: Request<v1::GetPriceRequest>) -> Result<Response<v1::Price>, Status> {
        let v1::GetPriceRequest {
            provider,
            model,
            at_ms,
        } = request.into_inner();
        let at_ms = if at_ms == 0 { self.0.clock.now_ms() } else { at_ms };
        let state = self.0.ledger.state();
        match state.book.get(&provider, &model, at_ms) {
            Some(row) => Ok(Response::new(row_out(&row))),
            None => {
                let hint = Some(
                    "set one with `tokmonctl price set`, or import a LiteLLM file with `tokmonctl price import FILE`",
                );
                Err(Kind::NotFound.status(format!("price of {:?} not found", convert::excerpt(&model)), hint))
            }
        }
    }

    async fn set(&self, request: Request<v1::SetPriceRequest>) -> Result<Response<v1::Price>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let wire = request.into_inner().price;
        let wire = wire.ok_or_else(|| status::invalid("price", "it is missing", "one Price message"))?;
        let row = row_in(wire).map_err(|r| status::refusal(&r))?;
        let row = ledger.set_price(row).await.map_err(status::ledger)?;
        Ok(Response::new(row_out(&row)))
    }

    async fn remove(
        &self,
        request: Request<v1::RemovePriceRequest>,
    ) -> Result<Response<v1::RemovePriceResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let v1::RemovePriceRequest { provider, model } = request.into_inner();
        ledger
            .remove_price(&provider, &model)
            .await
            .map_err(status::ledger)?;
        Ok(Response::new(v1::RemovePriceResponse {}))
    }

    async fn import(
        &self,
        request: Request<v1::ImportPricesRequest>,
    ) -> Result<Response<v1::ImportPricesResponse>, Status> {
        let ledger = actor::ledger(&self.0, &request);
        let v1::ImportPricesRequest {
            litellm_json,
            dry_run,
        } = request.into_inner();
        if litellm_json.len() > MAX_PRICE_FILE_BYTES {
            return Err(status::invalid(
                "litellm_json",
                format!("{} bytes", litellm_json.len()),
                format!("at most {MAX_PRICE_FILE_BYTES}"),
            ));
        }
        let imported = parse_litellm(&litellm_json).map_err(|r| status::refusal(&r))?;
        if imported.rows.is_empty() {
            let why = imported
                .notes
                .first()
                .map_or_else(String::new, |note| format!(": {note}"));
            return Err(status::invalid(
                "litellm_json",
                format!("none of its {} entries can be used{why}", imported.skipped),
                "at least one model with prices, as in LiteLLM's model_prices_and_context_window.json",
            ));
        }
        let answer = v1::ImportPricesResponse {
            imported: imported.rows.len() as u64,
            skipped: imported.skipped,
            notes: imported.notes.into_iter().take(NOTES_SHOWN).collect(),
        };
        if !dry_run {
            ledger
                .import_prices(imported.rows)
                .await
                .map_err(status::ledger)?;
        }
        Ok(Response::new(answer))
    }

    async fn reprice(
        &self,
        request: Request<v1::RepriceRequest>,
    ) -> Result<Response<v1::RepriceResponse>, Status> {
        let done = actor::ledger(&self.0, &request)
            .reprice(request.into_inner().dry_run)
            .await
            .map_err(status::ledger)?;
        let models = done.models.into_iter().map(|m| v1::RepricedModel {
            model: m.model,
            records: m.records,
            before: Some(convert::money(m.before)),
            after: Some(convert::money(m.after)),
        });
        Ok(Response::new(v1::RepriceResponse {
            records: done.records,
            changed: done.changed,
            before: Some(convert::money(done.before)),
            after: Some(convert::money(done.after)),
            models: models.collect(),
        }))
    }
}

fn row_out(row: &PriceRow) -> v1::Price {
    let rate = |r: Option<Rate>| r.map(|r| r.to_string()).unwrap_or_default();
    let factor = |f: Option<Factor>| f.map(|f| f.to_string()).unwrap_or_default();
    let tier = row.tier.as_ref();
    let tier_rates = tier.map(|t| t.rates).unwrap_or_default();
    v1::Price {
        provider: row.provider.to_string(),
        model: row.model.to_string(),
        from_date: row.from_day.map(date_of).unwrap_or_default(),
        input: rate(row.rates.input),
        output: rate(row.rates.output),
        cache_read: rate(row.rates.cache_read),
        cache_write_5m: rate(row.rates.cache_write_5m),
        cache_write_1h: rate(row.rates.cache_write_1h),
        tier_above_tokens: tier.map_or(0, |t| t.above),
        tier_input: rate(tier_rates.input),
        tier_output: rate(tier_rates.output),
        tier_cache_read: rate(tier_rates.cache_read),
        tier_cache_write_5m: rate(tier_rates.cache_write_5m),
        tier_cache_write_1h: rate(tier_rates.cache_write_1h),
        fast_multiplier: factor(row.fast),
        priority_multiplier: factor(row.priority),
        flex_multiplier: factor(row.flex),
        batch_multiplier: factor(row.batch),
        us_region_multiplier: factor(row.us_region),
        web_search: row.web_search.map(|p| p.to_string()).unwrap_or_default(),
        origin: row.origin.name().to_owned(),
        context_window: row.context_window,
        max_output: row.max_output,
        source: row.source.to_string(),
        input_audio: rate(row.rates.input_audio),
        output_audio: rate(row.rates.output_audio),
        input_image: rate(row.rates.input_image),
        output_image: rate(row.rates.output_image),
    }
}

fn row_in(wire: v1::Price) -> Result<PriceRow, tokmon_core::refusal::Refusal> {
    let rates = Rates {
        input: Rate::from_field("input", &wire.input)?,
        output: Rate::from_field("output", &wire.output)?,
        cache_read: Rate::from_field("cache_read", &wire.cache_read)?,
        cache_write_5m: Rate::from_field("cache_write_5m", &wire.cache_write_5m)?,
        cache_write_1h: Rate::from_field("cache_write_1h", &wire.cache_write_1h)?,
        input_audio: Rate::from_field("input_audio", &wire.input_audio)?,
        output_audio: Rate::from_field("output_audio", &wire.output_audio)?,
        input_image: Rate::from_field("input_image", &wire.input_image)?,
        output_image: Rate::from_field("output_image", &wire.output_image)?,
    };
    let tier = TierRates {
        above: wire.tier_above_tokens,
        rates: Rates {
            input: Rate::from_field("tier_input", &wire.tier_input)?,
            output: Rate::from_field("tier_output", &wire.tier_output)?,
            cache_read: Rate::from_field("tier_cache_read", &wire.tier_cache_read)?,
            cache_write_5m: Rate::from_field("tier_cache_write_5m", &wire.tier_cache_write_5m)?,
            cache_write_1h: Rate::from_field("tier_cache_write_1h", &wire.tier_cache_write_1h)?,
            ..Rates::default()
        },
    };
    let row = PriceRow {
        provider: wire.provider.trim().into(),
        model: wire.model.trim().into(),
        from_day: day_of(&wire.from_date)?,
        rates,
        tier: (tier.above > 0).then_some(tier),
        fast: Factor::from_field("fast_multiplier", &wire.fast_multiplier)?,
        priority: Factor::from_field("priority_multiplier", &wire.priority_multiplier)?,
        flex: Factor::from_field("flex_multiplier", &wire.flex_multiplier)?,
        batch: Factor::from_field("batch_multiplier", &wire.batch_multiplier)?,
        us_region: Factor::from_field("us_region_multiplier", &wire.us_region_multiplier)?,
        web_search: dollars("web_search", &wire.web_search)?,
        context_window: wire.context_window,
        max_output: wire.max_output,
        origin: Origin::Override,
        source: wire.source.into(),
        ..PriceRow::default()
    };
    row.check()?;
    Ok(row)
}

fn dollars(field: &'static str, text: &str) -> Result<Option<Pico>, tokmon_core::refusal::Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    match Pico::parse_usd(text) {
        Some(amount) if amount >= Pico::ZERO => Ok(Some(amount)),
        _ => Err(tokmon_core::refusal::Refusal::invalid(
            field,
            format!("{:?}", convert::excerpt(text)),
            "dollars, e.g. 0.01",
        )),
    }
}

fn epoch() -> Date {
    Date::constant(1970, 1, 1)
}

fn date_of(day: i32) -> String {
    epoch().saturating_add(jiff::Span::new().days(day)).to_string()
}

fn day_of(text: &str) -> Result<Option<i32>, tokmon_core::refusal::Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let date: Date = text.parse().map_err(|_| {
        tokmon_core::refusal::Refusal::invalid(
            "from_date",
            format!("{:?} is no date", convert::excerpt(text)),
            "YYYY-MM-DD",
        )
    })?;
    Ok(Some(
        date.since(epoch()).map(|s| s.get_days()).unwrap_or_default(),
    ))
}
