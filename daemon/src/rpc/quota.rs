//! The quota service: what providers say of the limits of subscriptions.

use std::sync::Arc;

use tokmon_core::Name;
use tokmon_core::blocks::{Block, BlocksQuery};
use tokmon_core::limits::MAX_QUOTAS;
use tokmon_core::quota::{self, Reading, Standing};
use tokmon_core::report::{Filter, Grouping, Query};
use tokmon_ledger::LedgerError;
use tokmon_proto::v1;
use tokmon_proto::v1::quota_service_server::QuotaService;
use tonic::{Request, Response, Status};

use super::{report, status};
use crate::context::Context;

/// The window that subscriptions are metered in where nothing official is known.
const BLOCK_MS: i64 = 5 * 60 * 60 * 1000;

/// Answers from the ledger's state.
pub(super) struct Quotas(pub Arc<Context>);

#[tonic::async_trait]
impl QuotaService for Quotas {
    async fn list(
        &self,
        request: Request<v1::ListQuotasRequest>,
    ) -> Result<Response<v1::ListQuotasResponse>, Status> {
        let agent = request.into_inner().agent;
        let (quotas, known) = (of_agent(&self.0, &agent), self.0.ledger.state());
        let app = self.0.clone();
        let blocks = status::read(move || {
            let now_ms = app.clock.now_ms();
            let busy = app.ledger.report(&Query {
                from_ms: Some(now_ms - BLOCK_MS - BLOCK_MS),
                to_ms: None,
                group_by: vec![Grouping::Agent],
                zone: app.config.zone.clone(),
                filter: Filter::default(),
                week_start: jiff::civil::Weekday::Monday,
            })?;
            let names = busy.0.rows.iter().filter_map(|row| row.keys.first().cloned());
            let guessed = names
                .filter(|name| agent.is_empty() || *name == agent)
                .filter(|name| !known.quotas.readings().any(|r| *r.agent == **name));
            let mut found = Vec::new();
            for agent in guessed {
                if let Some(block) = open_block(&app, &agent)? {
                    let block = Some(report::block(&block));
                    found.push(v1::AgentBlock { agent, block });
                }
            }
            Ok::<_, LedgerError>(found)
        })
        .await?;
        Ok(Response::new(v1::ListQuotasResponse { quotas, blocks }))
    }

    async fn report(
        &self,
        request: Request<v1::ReportQuotasRequest>,
    ) -> Result<Response<v1::ReportQuotasResponse>, Status> {
        let readings = request.into_inner().readings;
        if readings.len() > MAX_QUOTAS {
            let problem = format!("{} of them", readings.len());
            return Err(status::invalid(
                "readings",
                problem,
                format!("at most {MAX_QUOTAS}"),
            ));
        }
        let readings = readings
            .into_iter()
            .map(|wire| reading_in(&self.0, wire))
            .collect::<Result<Vec<_>, _>>()?;
        self.0
            .ledger
            .note_quotas(readings)
            .await
            .map_err(status::ledger)?;
        Ok(Response::new(v1::ReportQuotasResponse {}))
    }
}

/// A reading from the wire, with what it leaves out.
pub(super) fn reading_in(app: &Context, wire: v1::QuotaReading) -> Result<Reading, Status> {
    let used = quota::share(wire.used_percent).ok_or_else(|| {
        let problem = format!("{} is not believed", wire.used_percent);
        status::invalid("used_percent", problem, "0 to 1000")
    })?;
    let or = |text: String, default: &str| -> Name {
        match text.is_empty() {
            true => default.into(),
            false => text.into(),
        }
    };
    let now_ms = app.clock.now_ms();
    let reading = Reading {
        agent: wire.agent.into(),
        account: or(wire.account, &app.config.user),
        window_minutes: match wire.window_minutes {
            0 => quota::window_of(&wire.limit).unwrap_or(0),
            minutes => minutes,
        },
        limit: wire.limit.into(),
        used,
        resets_at_ms: wire.resets_at_ms,
        at_ms: if wire.at_ms == 0 { now_ms } else { wire.at_ms },
        plan: wire.plan.into(),
        source: or(wire.source, "api"),
    };
    reading
        .check(now_ms)
        .map_err(|refusal| status::refusal(&refusal))?;
    Ok(reading)
}

/// How the limits of an agent stand, or of all, the one that is used most first.
pub(super) fn of_agent(app: &Context, agent: &str) -> Vec<v1::Quota> {
    let (state, now_ms) = (app.ledger.state(), app.clock.now_ms());
    let readings = state
        .quotas
        .readings()
        .filter(|reading| agent.is_empty() || *reading.agent == *agent);
    let mut found: Vec<(&Reading, Standing)> = readings
        .map(|reading| (reading, quota::standing(reading, now_ms)))
        .collect();
    found.sort_by_key(|(_, standing)| std::cmp::Reverse(standing.used));
    found
        .into_iter()
        .map(|(reading, standing)| quota_out(reading, &standing))
        .collect()
}

fn quota_out(reading: &Reading, standing: &Standing) -> v1::Quota {
    let percent = |share: u32| f64::from(share) / 100.0;
    v1::Quota {
        used_percent: percent(standing.used),
        over: standing.is_over,
        passed_percent: standing.passed.map(percent),
        runs_out_at_ms: standing.runs_out_at_ms.unwrap_or(0),
        reading: Some(v1::QuotaReading {
            agent: reading.agent.to_string(),
            account: reading.account.to_string(),
            limit: reading.limit.to_string(),
            window_minutes: reading.window_minutes,
            used_percent: percent(reading.used),
            resets_at_ms: reading.resets_at_ms,
            at_ms: reading.at_ms,
            plan: reading.plan.to_string(),
            source: reading.source.to_string(),
        }),
    }
}

/// The 5-hour block of an agent that is open now. Blocks.
pub(super) fn open_block(app: &Context, agent: &str) -> Result<Option<Block>, LedgerError> {
    let filter = Filter {
        agents: vec![agent.to_owned()],
        ..Filter::default()
    };
    let query = BlocksQuery {
        from_ms: None,
        to_ms: None,
        filter,
        hours: 0,
        active_only: true,
    };
    Ok(app.ledger.blocks(&query)?.into_iter().find(|block| block.active))
}
