//! The report service: totals, blocks, waste, tips, embeddings, exports.

use std::ops::Range;
use std::sync::Arc;

use jiff::tz::TimeZone;
use tokmon_core::blocks::{Block, BlocksQuery};
use tokmon_core::embedding::{EmbeddingDay, EmbeddingLimits, embedding_window, summarise};
use tokmon_core::export::{Analysis, Format, parse_export_period};
use tokmon_core::place::Part;
use tokmon_core::report::{Filter, Grouping, Query, Report as Totals};
use tokmon_core::time::{Period, parse_week_start, period_window, zone_name};
use tokmon_core::tips::{Evidence, Tip, UnitPrices, tips};
use tokmon_core::veil::Public;
use tokmon_core::waste::{WasteAnalysis, analyse};
use tokmon_ledger::LedgerError;
use tokmon_proto::v1;
use tokmon_proto::v1::report_service_server::ReportService;
use tonic::{Request, Response, Status};

use super::convert::{self, money};
use super::status;
use crate::context::Context;

/// Answers from the rollups.
pub(super) struct Report(pub Arc<Context>);

impl Report {
    fn zone(&self, name: &str) -> Result<TimeZone, Status> {
        convert::zone(name, &self.0.config.zone)
    }

    /// What the reader of a figure should know: lines of agents' files that could not be read.
    fn warnings(&self) -> Vec<String> {
        let sources = self.0.capture.as_ref().map(|c| c.status()).unwrap_or_default();
        let lines = sources.iter().filter(|s| s.parse_failures > 0).map(|s| {
            format!(
                "{}: {} lines could not be used; `tokmonctl status` names them",
                s.agent.name(),
                s.parse_failures
            )
        });
        lines.collect()
    }
}

#[tonic::async_trait]
impl ReportService for Report {
    async fn totals(
        &self,
        request: Request<v1::TotalsRequest>,
    ) -> Result<Response<v1::TotalsResponse>, Status> {
        let request = request.into_inner();
        let (from_ms, to_ms) = convert::window(request.window)?;
        let zone = self.zone(&request.timezone)?;
        let zone_name = zone_name(&zone, self.0.clock.now_ms());
        let query = Query {
            from_ms,
            to_ms,
            group_by: request
                .group_by
                .into_iter()
                .map(grouping)
                .collect::<Result<_, _>>()?,
            zone,
            filter: convert::filter(request.filter),
            week_start: parse_week_start(&request.week_start).map_err(|r| status::refusal(&r))?,
        };
        query.validate().map_err(|r| status::refusal(&r))?;
        let ledger = self.0.ledger.clone();
        let mut warnings = self.warnings();
        if !query.is_aligned() {
            warnings.push("the window was widened to quarter hours".to_owned());
        }
        let (report, unpriced_models) = status::read(move || ledger.report(&query)).await?;
        Ok(Response::new(v1::TotalsResponse {
            rows: report
                .rows
                .into_iter()
                .map(|r| convert::totals_row(r.keys, &r.agg))
                .collect(),
            totals: Some(convert::totals(&report.total)),
            unpriced_models,
            warnings,
            timezone: zone_name,
        }))
    }

    async fn blocks(
        &self,
        request: Request<v1::BlocksRequest>,
    ) -> Result<Response<v1::BlocksResponse>, Status> {
        let request = request.into_inner();
        self.zone(&request.timezone)?;
        let (from_ms, to_ms) = convert::window(request.window)?;
        let query = BlocksQuery {
            from_ms,
            to_ms,
            filter: convert::filter(request.filter),
            hours: request.hours,
            active_only: request.active_only,
        };
        query.validate().map_err(|r| status::refusal(&r))?;
        let ledger = self.0.ledger.clone();
        let blocks = status::read(move || ledger.blocks(&query)).await?;
        Ok(Response::new(v1::BlocksResponse {
            blocks: blocks.iter().map(block).collect(),
        }))
    }

    async fn waste_analysis(
        &self,
        request: Request<v1::WasteRequest>,
    ) -> Result<Response<v1::WasteResponse>, Status> {
        let v1::WasteRequest {
            period,
            timezone,
            session,
            agent,
        } = request.into_inner();
        let scope = Scope::new(&self.0, &period, &timezone)?;
        let scope = scope.of_session(&self.0, &session, &agent);
        let app = self.0.clone();
        let analysis = status::read(move || {
            let by_tool = scope.report(&app, vec![Grouping::Tool])?;
            Ok::<_, LedgerError>(analyse(&by_tool, scope.period, &scope.window, app.clock.now_ms()))
        })
        .await?;
        Ok(Response::new(waste(analysis)))
    }

    async fn tips(&self, request: Request<v1::TipsRequest>) -> Result<Response<v1::TipsResponse>, Status> {
        let v1::TipsRequest { period, timezone } = request.into_inner();
        let scope = Scope::new(&self.0, &period, &timezone)?;
        let scope = scope.of_session(&self.0, "", "");
        let app = self.0.clone();
        let name = scope.period.name().to_owned();
        let found = status::read(move || app_tips(&app, &scope)).await?;
        Ok(Response::new(v1::TipsResponse {
            tips: found.iter().map(tip).collect(),
            period: name,
        }))
    }

    async fn embeddings(
        &self,
        request: Request<v1::EmbeddingsRequest>,
    ) -> Result<Response<v1::EmbeddingsResponse>, Status> {
        let v1::EmbeddingsRequest { days, timezone } = request.into_inner();
        let zone = self.zone(&timezone)?;
        let window = embedding_window(days, self.0.clock.now_ms(), &zone).map_err(|r| status::refusal(&r))?;
        let limits = EmbeddingLimits {
            daily_tokens: self.0.config.embeddings_daily_tokens,
            weekly_budget: self.0.config.embeddings_weekly,
            ..EmbeddingLimits::default()
        };
        let query = Query {
            from_ms: Some(window.start),
            to_ms: Some(window.end),
            group_by: vec![Grouping::Day],
            zone: zone.clone(),
            ..Query::everything()
        };
        let ledger = self.0.ledger.clone();
        let (by_day, _) = status::read(move || ledger.report(&query)).await?;
        let summary = summarise(&by_day, &window, &zone, &limits);
        Ok(Response::new(v1::EmbeddingsResponse {
            days: summary.days.iter().map(embedding_day).collect(),
            total: Some(embedding_day(&summary.total)),
            cache_efficiency_percent: summary.cache_efficiency_percent,
            warnings: summary.warnings,
        }))
    }

    async fn export(
        &self,
        request: Request<v1::ExportRequest>,
    ) -> Result<Response<v1::ExportResponse>, Status> {
        let v1::ExportRequest {
            format,
            period,
            timezone,
            anonymize,
        } = request.into_inner();
        let format = Format::parse(&format).map_err(|r| status::refusal(&r))?;
        let period = parse_export_period(&period).map_err(|r| status::refusal(&r))?;
        let scope = Scope::new(&self.0, period.name(), &timezone)?;
        let app = self.0.clone();
        let (content, file_name) = status::read(move || {
            let now_ms = app.clock.now_ms();
            let report = |groups: Vec<Grouping>| scope.report(&app, groups);
            let by_tool = report(vec![Grouping::Tool])?;
            let mut analysis = Analysis {
                period: scope.period,
                now_ms,
                zone: scope.zone.clone(),
                by_day: report(vec![Grouping::Day])?,
                by_model: report(vec![Grouping::Provider, Grouping::Model])?,
                waste: analyse(&by_tool, scope.period, &scope.window, now_ms),
                by_tool,
                tips: app_tips(&app, &scope)?,
            };
            if let Some(wanted) = anonymize {
                let veil = crate::anonymize::veil(&wanted.key, &app.paths.state_dir)?;
                veil.analysis(&mut analysis, &Public::bundled());
            }
            Ok::<_, LedgerError>((analysis.render(format), analysis.file_name(format)))
        })
        .await?;
        Ok(Response::new(v1::ExportResponse {
            content,
            file_name,
            media_type: format.media_type().to_owned(),
        }))
    }
}

/// A period with what it means now.
struct Scope {
    period: Period,
    window: Range<i64>,
    zone: TimeZone,
    filter: Filter,
}

impl Scope {
    fn new(app: &Context, period: &str, timezone: &str) -> Result<Scope, Status> {
        let period = Period::parse(if period.is_empty() { "last_7_days" } else { period });
        let period = period.map_err(|r| status::refusal(&r))?;
        let zone = convert::zone(timezone, &app.config.zone)?;
        let window = period_window(period, app.clock.now_ms(), &zone);
        Ok(Scope {
            period,
            window,
            zone,
            filter: Filter::default(),
        })
    }

    /// For the period that is a session: this one, else the current one of the agent, else of whoever recorded last.
    fn of_session(mut self, app: &Context, session: &str, agent: &str) -> Scope {
        if self.period == Period::CurrentSession {
            let state = app.ledger.state();
            let current = || {
                state
                    .sessions
                    .current(agent)
                    .map(|(_, session)| session.to_string())
            };
            // Without any session the period is empty, not everything.
            let session = match session {
                "" => current().unwrap_or_default(),
                named => named.to_owned(),
            };
            self.filter.sessions = vec![session];
            self.filter.agents = Some(agent.to_owned())
                .filter(|a| !a.is_empty())
                .into_iter()
                .collect();
        }
        self
    }

    fn report(&self, app: &Context, group_by: Vec<Grouping>) -> Result<Totals, LedgerError> {
        let query = Query {
            from_ms: (self.window.start > 0).then_some(self.window.start),
            to_ms: (self.window.end < i64::MAX).then_some(self.window.end),
            group_by,
            zone: self.zone.clone(),
            filter: self.filter.clone(),
            ..Query::everything()
        };
        Ok(app.ledger.report(&query)?.0)
    }
}

fn app_tips(app: &Context, scope: &Scope) -> Result<Vec<Tip>, LedgerError> {
    let now_ms = app.clock.now_ms();
    let state = app.ledger.state();
    let prices = |provider: &str, model: &str| {
        let row = state.book.get(provider, model, now_ms)?;
        let rate = |r: Option<tokmon_core::price::Rate>| r.map(|r| tokmon_core::money::Pico(r.0.into()));
        Some(UnitPrices {
            input: rate(row.rates.input)?,
            output: rate(row.rates.output)?,
            cache_read: rate(row.rates.cache_read.or(row.rates.input))?,
        })
    };
    Ok(tips(&Evidence {
        by_tool: &scope.report(app, vec![Grouping::Tool])?,
        by_model: &scope.report(app, vec![Grouping::Provider, Grouping::Model])?,
        rules: &app.config.waste,
        prices: &prices,
    }))
}

fn grouping(wire: i32) -> Result<Grouping, Status> {
    use v1::Grouping as W;
    Ok(match W::try_from(wire) {
        Ok(W::Hour) => Grouping::Hour,
        Ok(W::Day) => Grouping::Day,
        Ok(W::Week) => Grouping::Week,
        Ok(W::Month) => Grouping::Month,
        Ok(W::Agent) => Grouping::Agent,
        Ok(W::Model) => Grouping::Model,
        Ok(W::Project) => Grouping::Project,
        Ok(W::Session) => Grouping::Session,
        Ok(W::Tool) => Grouping::Tool,
        Ok(W::User) => Grouping::User,
        Ok(W::Provider) => Grouping::Provider,
        Ok(W::HourOfDay) => Grouping::HourOfDay,
        Ok(W::Branch) => Grouping::Place(Part::Branch),
        Ok(W::Commit) => Grouping::Place(Part::Commit),
        Ok(W::Subagent) => Grouping::Place(Part::Subagent),
        Ok(W::Skill) => Grouping::Place(Part::Skill),
        Ok(W::Mcp) => Grouping::Place(Part::Mcp),
        Ok(W::Unspecified) | Err(_) => {
            let names: Vec<&str> = Grouping::ALL.iter().map(|g| g.name()).collect();
            return Err(status::invalid(
                "group_by",
                format!("{wire} is not known"),
                names.join(", "),
            ));
        }
    })
}

pub(super) fn block(b: &Block) -> v1::Block {
    let row = convert::totals_row(Vec::new(), &b.agg);
    v1::Block {
        start_ms: b.start_ms,
        end_ms: b.end_ms,
        gap: b.gap,
        active: b.active,
        totals: row.totals,
        first_ms: row.first_ms,
        last_ms: row.last_ms,
        models: b.models.iter().map(|m| m.to_string()).collect(),
        burn: b.burn.as_ref().map(|burn| v1::Burn {
            tokens_per_minute: burn.tokens_per_minute,
            io_tokens_per_minute: burn.io_tokens_per_minute,
            cost_per_hour: Some(money(burn.cost_per_hour)),
            projected_tokens: burn.projected_tokens,
            projected_cost: Some(money(burn.projected_cost)),
            remaining_minutes: burn.remaining_minutes,
        }),
    }
}

fn waste(a: WasteAnalysis) -> v1::WasteResponse {
    v1::WasteResponse {
        period: a.period.name().to_owned(),
        requests: a.requests,
        total_tokens: a.total_tokens,
        wasted_tokens: a.wasted_tokens,
        wasted_cost: Some(money(a.wasted_cost)),
        waste_rate_percent: a.waste_rate_percent,
        by_rule: (a.by_rule.into_iter())
            .map(|r| v1::WasteByRule {
                rule: r.rule.name().to_owned(),
                severity: r.rule.severity().to_owned(),
                events: r.events,
                wasted_tokens: r.wasted_tokens,
                wasted_cost: Some(money(r.wasted_cost)),
            })
            .collect(),
        tools: (a.tools.into_iter())
            .map(|t| v1::ToolEfficiency {
                tool: t.tool,
                requests: t.requests,
                total_tokens: t.total_tokens,
                wasted_tokens: t.wasted_tokens,
                score: t.score,
            })
            .collect(),
        potential_monthly_savings: Some(money(a.potential_monthly_savings)),
    }
}

fn tip(t: &Tip) -> v1::Tip {
    v1::Tip {
        group: t.group.name().to_owned(),
        title: t.title.clone(),
        evidence: t.evidence.clone(),
        advice: t.advice.clone(),
        saved_tokens: t.saved_tokens,
        saved_cost: Some(money(t.saved_cost)),
    }
}

fn embedding_day(day: &EmbeddingDay) -> v1::EmbeddingsDay {
    v1::EmbeddingsDay {
        date: day.date.clone(),
        requests: day.requests,
        tokens: day.tokens,
        cache_hits: day.cache_hits,
        cost: Some(money(day.cost)),
    }
}
