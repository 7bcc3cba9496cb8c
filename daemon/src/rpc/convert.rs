//! The one place that speaks both the wire's language and the rules'.

use std::sync::Arc;

use jiff::tz::TimeZone;
use tokmon_core::Name;
use tokmon_core::budget::Crossing;
use tokmon_core::entry::{Body, Entry, Finding, Record};
use tokmon_core::id::Key;
use tokmon_core::limits::MAX_CONTEXT_CHARS;
use tokmon_core::money::Pico;
use tokmon_core::observation::{Attribution, CallKind, Confidence, Observation, Provenance, Tier};
use tokmon_core::place::Place;
use tokmon_core::price::Parts;
use tokmon_core::report::Filter;
use tokmon_core::rollup::Agg;
use tokmon_core::tokens::Tokens;
use tokmon_core::waste::WasteRules;
use tokmon_core::witness::Witness;
use tokmon_proto::v1;
use tonic::Status;

use super::explain;
use super::intake::{Intake, unique_key};
use super::status::invalid;

/// Money for the wire.
pub(super) fn money(amount: Pico) -> v1::Money {
    let (usd, pico) = amount.split();
    v1::Money { usd, pico }
}

/// Money from the wire. Errors: the parts' signs differ, or pico is a dollar or more.
pub(super) fn pico(field: &'static str, money: &v1::Money) -> Result<Pico, Status> {
    let in_range = money.pico.unsigned_abs() < 1_000_000_000_000;
    let one_sign = money.usd == 0 || money.pico == 0 || (money.usd < 0) == (money.pico < 0);
    if in_range && one_sign {
        Ok(Pico::from_split(money.usd, money.pico))
    } else {
        Err(invalid(
            field,
            format!("usd {} and pico {}", money.usd, money.pico),
            "pico between -10^12 and 10^12, with the sign of usd",
        ))
    }
}

/// Tokens for the wire.
pub(super) fn tokens(t: &Tokens) -> v1::Tokens {
    v1::Tokens {
        input: t.input,
        output: t.output,
        reasoning: t.reasoning,
        cache_read: t.cache_read,
        cache_write_5m: t.cache_write_5m,
        cache_write_1h: t.cache_write_1h,
        input_audio: t.input_audio,
        output_audio: t.output_audio,
        input_image: t.input_image,
        output_image: t.output_image,
        web_searches: t.web_searches,
    }
}

pub(super) fn tokens_in(t: &v1::Tokens) -> Tokens {
    Tokens {
        input: t.input,
        output: t.output,
        reasoning: t.reasoning,
        cache_read: t.cache_read,
        cache_write_5m: t.cache_write_5m,
        cache_write_1h: t.cache_write_1h,
        input_audio: t.input_audio,
        output_audio: t.output_audio,
        input_image: t.input_image,
        output_image: t.output_image,
        web_searches: t.web_searches,
    }
}

/// A filter from the wire.
pub(super) fn filter(f: Option<v1::Filter>) -> Filter {
    let f = f.unwrap_or_default();
    Filter {
        agents: f.agents,
        models: f.models,
        projects: f.projects,
        sessions: f.sessions,
        tools: f.tools,
        users: f.users,
        providers: f.providers,
        branches: f.branches,
        commits: f.commits,
        subagents: f.subagents,
        skills: f.skills,
        mcp_servers: f.mcp_servers,
    }
}

/// The zone that a request names, or the daemon's.
pub(super) fn zone(name: &str, default: &TimeZone) -> Result<TimeZone, Status> {
    if name.is_empty() {
        return Ok(default.clone());
    }
    TimeZone::get(name).map_err(|_| {
        invalid(
            "timezone",
            format!("{:?} is not known", excerpt(name)),
            "an IANA name such as \"Europe/Berlin\"",
        )
    })
}

/// As much of somebody's text as an error quotes: what is allowed comes after it and must not be cut off.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A window's bounds; 0 is open. Errors: it ends before it begins.
pub(super) fn window(w: Option<v1::Window>) -> Result<(Option<i64>, Option<i64>), Status> {
    let w = w.unwrap_or_default();
    let bound = |ms: i64| (ms != 0).then_some(ms);
    if let (Some(from), Some(to)) = (bound(w.from_ms), bound(w.to_ms))
        && to < from
    {
        return Err(invalid("window", "it ends before it begins", "from_ms <= to_ms"));
    }
    Ok((bound(w.from_ms), bound(w.to_ms)))
}

/// A record from the wire. Errors name the field.
pub(super) fn observation(usage: v1::Usage, intake: &mut Intake<'_>) -> Result<Observation, Status> {
    if usage.model.trim().is_empty() {
        return Err(invalid(
            "model",
            "it is empty",
            "the model's name, e.g. \"claude-sonnet-4-5\"",
        ));
    }
    let tier = match usage.service_tier.as_str() {
        "" | "standard" | "default" | "auto" => Tier::Standard,
        "priority" => Tier::Priority,
        "flex" => Tier::Flex,
        "batch" => Tier::Batch,
        other => {
            return Err(invalid(
                "service_tier",
                format!("{:?}", excerpt(other)),
                "standard, priority, flex or batch",
            ));
        }
    };
    let fast = match usage.speed.as_str() {
        "" | "normal" | "standard" => false,
        "fast" => true,
        other => {
            return Err(invalid(
                "speed",
                format!("{:?}", excerpt(other)),
                "empty, normal or fast",
            ));
        }
    };
    let us_region = match usage.region.as_str() {
        "" | "global" | "not_available" => false,
        "us" => true,
        other => {
            return Err(invalid(
                "region",
                format!("{:?}", excerpt(other)),
                "empty, global or us",
            ));
        }
    };
    let confidence = match v1::Confidence::try_from(usage.confidence) {
        Ok(v1::Confidence::Unspecified | v1::Confidence::Reported) => Confidence::Reported,
        Ok(v1::Confidence::Counted) => Confidence::Counted,
        Ok(v1::Confidence::Estimated) => Confidence::Estimated,
        Err(_) => return Err(invalid("confidence", usage.confidence.to_string(), "1, 2 or 3")),
    };
    let at_ms = if usage.at_ms == 0 {
        intake.now_ms
    } else {
        usage.at_ms
    };
    let key = if usage.idempotency_key.is_empty() {
        unique_key(Key::day_of(at_ms))
    } else {
        // A retry may name another time, so time is no part of the key.
        Key::new(0, &["api", &usage.idempotency_key])
    };
    let kind = match (usage.cache_hit, usage.embedding) {
        (true, _) => CallKind::CacheHit,
        (false, true) => CallKind::Embedding,
        (false, false) => CallKind::Completion,
    };
    let context = usage.context.trim();
    let context: Option<Name> =
        (!context.is_empty()).then(|| context.chars().take(MAX_CONTEXT_CHARS).collect::<String>().into());
    Ok(Observation {
        key,
        at_ms,
        who: Attribution {
            agent: match usage.agent.as_str() {
                "" => intake.name("api"),
                agent => intake.name(agent),
            },
            session: intake.name(&usage.session),
            project: intake.name(&usage.project),
            user: intake.user(&usage.user),
            tool: intake.name(&usage.tool),
            context,
        },
        provider: intake.name(&usage.provider),
        model: intake.name(usage.model.trim()),
        tokens: tokens_in(&usage.tokens.unwrap_or_default()),
        tier,
        fast,
        us_region,
        reported_cost: usage
            .reported_cost
            .as_ref()
            .map(|m| pico("reported_cost", m))
            .transpose()?,
        confidence,
        kind,
        failed: usage.failed,
        task: intake.name(&usage.task),
        source: Provenance {
            kind: intake.name(if usage.logged { "mcp" } else { "api" }),
            ..Provenance::default()
        },
        // One of a kind, mostly.
        request_id: match usage.request_id.as_str() {
            "" => Name::default(),
            id => id.into(),
        },
        place: usage.place.map(|p| Arc::new(place_in(&p))),
        ..Observation::default()
    })
}

/// A kept record for the wire. `None` when the entry is no record.
pub(super) fn record(entry: &Entry, rules: &WasteRules, now_ms: i64) -> Option<v1::Record> {
    let (record, replaces) = match &entry.body {
        Body::Usage(record) => (record, 0),
        Body::Amend { replaces, record, .. } => (record, *replaces),
        _ => return None,
    };
    let accounts = record.heard.iter();
    Some(v1::Record {
        accounts: accounts
            .map(|account| explain::account(account, record))
            .collect(),
        unlogged: record.is_unlogged(now_ms),
        seq: entry.seq,
        usage: Some(usage(record)),
        cost: record.cost.map(money),
        recorded_at_ms: entry.recorded_at_ms,
        source: Some(source(&record.seen.source)),
        waste: wastes(record, rules),
        estimated_extra_output: record.seen.extra_output,
        replaces,
    })
}

fn usage(record: &Record) -> v1::Usage {
    let seen = &record.seen;
    let confidence = match seen.confidence {
        Confidence::Reported => v1::Confidence::Reported,
        Confidence::Counted => v1::Confidence::Counted,
        Confidence::Estimated => v1::Confidence::Estimated,
    };
    v1::Usage {
        agent: seen.who.agent.to_string(),
        session: seen.who.session.to_string(),
        project: seen.who.project.to_string(),
        user: seen.who.user.to_string(),
        provider: seen.provider.to_string(),
        model: seen.model.to_string(),
        tool: seen.who.tool.to_string(),
        context: seen.who.context.as_deref().unwrap_or_default().to_owned(),
        tokens: Some(tokens(&seen.tokens)),
        at_ms: seen.at_ms,
        idempotency_key: String::new(),
        service_tier: match seen.tier {
            Tier::Standard => "standard",
            Tier::Priority => "priority",
            Tier::Flex => "flex",
            Tier::Batch => "batch",
        }
        .to_owned(),
        speed: if seen.fast { "fast" } else { "" }.to_owned(),
        region: if seen.us_region { "us" } else { "" }.to_owned(),
        reported_cost: seen.reported_cost.map(money),
        confidence: confidence.into(),
        failed: seen.failed,
        embedding: seen.kind == CallKind::Embedding,
        cache_hit: seen.kind == CallKind::CacheHit,
        task: seen.task.to_string(),
        request_id: seen.request_id.to_string(),
        place: seen.place.as_deref().map(place),
        logged: seen.source.witness() == Witness::Mcp,
    }
}

fn place(p: &Place) -> v1::Place {
    v1::Place {
        branch: p.branch.to_string(),
        commit: p.commit.to_string(),
        subagent: p.subagent.to_string(),
        skill: p.skill.to_string(),
        mcp_server: p.mcp_server.to_string(),
    }
}

fn place_in(p: &v1::Place) -> Place {
    Place {
        branch: p.branch.as_str().into(),
        commit: p.commit.as_str().into(),
        subagent: p.subagent.as_str().into(),
        skill: p.skill.as_str().into(),
        mcp_server: p.mcp_server.as_str().into(),
    }
}

/// Where a record was read, for the wire.
pub(super) fn source(p: &Provenance) -> v1::Source {
    v1::Source {
        kind: p.kind.to_string(),
        path: p.path.to_string(),
        offset: p.offset,
        lines: p.lines,
    }
}

/// A record's findings for the wire.
pub(super) fn wastes(record: &Record, rules: &WasteRules) -> Vec<v1::Waste> {
    let one = |f: &Finding| v1::Waste {
        rule: f.rule.name().to_owned(),
        severity: f.rule.severity().to_owned(),
        message: rules.message(f, &record.seen.who.tool),
        wasted_tokens: f.wasted_tokens,
        wasted_cost: Some(money(f.wasted_cost)),
    };
    record.waste.iter().map(one).collect()
}

/// A sum for the wire.
pub(super) fn totals(agg: &Agg) -> v1::Totals {
    v1::Totals {
        requests: agg.requests,
        tokens: Some(tokens(&agg.tokens)),
        cost: Some(money(agg.cost)),
        reported_cost: Some(money(agg.reported_cost)),
        unpriced_requests: agg.unpriced_requests,
        failed_requests: agg.failed_requests,
        estimated_extra_output: agg.extra_output,
    }
}

/// A sum's row for the wire.
pub(super) fn totals_row(keys: Vec<String>, agg: &Agg) -> v1::TotalsRow {
    let bound = |ms: i64| if ms == i64::MAX || ms == i64::MIN { 0 } else { ms };
    v1::TotalsRow {
        keys,
        totals: Some(totals(agg)),
        first_ms: bound(agg.first_ms),
        last_ms: bound(agg.last_ms),
    }
}

/// A cost's parts for the wire.
pub(super) fn cost_parts(parts: &Parts) -> v1::CostParts {
    v1::CostParts {
        input: Some(money(parts.input)),
        output: Some(money(parts.output)),
        cache_read: Some(money(parts.cache_read)),
        cache_write: Some(money(parts.cache_write)),
        other: Some(money(parts.other)),
    }
}

/// A budget's crossed threshold for the wire.
pub(super) fn alert(crossing: &Crossing) -> v1::BudgetAlert {
    v1::BudgetAlert {
        budget: crossing.budget.to_string(),
        percent: crossing.percent,
        message: crossing.message.clone(),
        threshold: crossing.threshold,
        window_start_ms: crossing.window_start_ms,
        at_ms: 0,
        kind: "threshold".to_owned(),
        ..Default::default()
    }
}
