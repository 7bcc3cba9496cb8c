//! `tokmonctl report`: totals by day, week, month, session, model, project, agent, tool and more.

mod blocks;

use clap::ValueEnum;
use tokmon_client::v1::{Filter, Grouping, TotalsRequest, TotalsRow, Window};
use tokmon_client::{Client, Error};

use crate::context::Context;
use crate::dates::Span;
use crate::failure::Failure;
use crate::filter::Only;
use crate::show;
use crate::totals::{Line, ModelPart, Report, Sum};

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to group by
    #[arg(value_enum, default_value = "daily", conflicts_with = "by_flag")]
    by: By,
    /// The same as a flag
    #[arg(long = "by", value_enum, value_name = "BY", hide_possible_values = true)]
    by_flag: Option<By>,
    #[command(flatten)]
    span: Span,
    #[command(flatten)]
    only: Only,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Also show what each model adds
    #[arg(long)]
    breakdown: bool,
    /// First day of the week
    #[arg(long, value_enum, default_value = "monday")]
    week_start: WeekStart,
    /// For blocks: hours per block
    #[arg(long, value_parser = crate::args::from_to::<u32>(1, 168), default_value = "5", allow_negative_numbers = true)]
    hours: u32,
    /// For blocks: only the one that is open now
    #[arg(long)]
    active: bool,
}

/// What a report groups by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// By day
    #[value(alias = "day")]
    Daily,
    /// By week
    #[value(alias = "week")]
    Weekly,
    /// By month
    #[value(alias = "month")]
    Monthly,
    /// By session of an agent
    #[value(alias = "sessions")]
    Session,
    /// By the 5-hour blocks that subscriptions are metered in
    Blocks,
    /// By model and provider
    #[value(alias = "models")]
    Model,
    /// By project directory
    #[value(alias = "projects")]
    Project,
    /// By agent
    #[value(alias = "agents")]
    Agent,
    /// By tool
    #[value(alias = "tools")]
    Tool,
    /// By hour
    #[value(alias = "hourly")]
    Hour,
    /// By hour of the day, all days together
    HourOfDay,
    /// By person or account
    User,
    /// By provider
    Provider,
    /// By git branch
    #[value(alias = "branches")]
    Branch,
    /// By git commit
    #[value(alias = "commits")]
    Commit,
    /// By kind of subagent; calls of the main agent have none
    #[value(alias = "subagents")]
    Subagent,
    /// By skill or slash command
    #[value(alias = "skills")]
    Skill,
    /// By MCP server
    Mcp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WeekStart {
    Monday,
    Sunday,
}

impl WeekStart {
    fn name(self) -> &'static str {
        match self {
            WeekStart::Monday => "monday",
            WeekStart::Sunday => "sunday",
        }
    }
}

impl By {
    /// Each grouping with its key in JSON and CSV.
    fn keys(self) -> &'static [(Grouping, &'static str)] {
        match self {
            By::Daily => &[(Grouping::Day, "date")],
            By::Weekly => &[(Grouping::Week, "week")],
            By::Monthly => &[(Grouping::Month, "month")],
            By::Session => &[
                (Grouping::Session, "session"),
                (Grouping::Agent, "agent"),
                (Grouping::Project, "project"),
            ],
            By::Model => &[(Grouping::Model, "model"), (Grouping::Provider, "provider")],
            By::Project => &[(Grouping::Project, "project")],
            By::Agent => &[(Grouping::Agent, "agent")],
            By::Tool => &[(Grouping::Tool, "tool")],
            By::Hour => &[(Grouping::Hour, "hour")],
            By::HourOfDay => &[(Grouping::HourOfDay, "hour_of_day")],
            By::User => &[(Grouping::User, "user")],
            By::Provider => &[(Grouping::Provider, "provider")],
            By::Branch => &[(Grouping::Branch, "branch"), (Grouping::Project, "project")],
            By::Commit => &[(Grouping::Commit, "commit"), (Grouping::Project, "project")],
            By::Subagent => &[(Grouping::Subagent, "subagent")],
            By::Skill => &[(Grouping::Skill, "skill")],
            By::Mcp => &[(Grouping::Mcp, "mcp_server")],
            // Blocks are no grouping: they have a verb of their own.
            By::Blocks => &[],
        }
    }

    fn is_time(self) -> bool {
        matches!(
            self,
            By::Daily | By::Weekly | By::Monthly | By::Hour | By::HourOfDay
        )
    }
}

/// What to ask for.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) by: By,
    pub(crate) window: Option<Window>,
    pub(crate) timezone: String,
    pub(crate) filter: Option<Filter>,
    pub(crate) breakdown: bool,
    pub(crate) week_start: &'static str,
}

impl Question {
    /// All of history by some grouping, in the daemon's zone.
    pub(crate) fn all(by: By) -> Question {
        Question {
            by,
            window: None,
            timezone: String::new(),
            filter: None,
            breakdown: false,
            week_start: "monday",
        }
    }
}

/// `tokmonctl report`.
pub(crate) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let window = args.span.window(&client).await?;
    let by = args.by_flag.unwrap_or(args.by);
    if by == By::Blocks {
        let request = tokmon_client::v1::BlocksRequest {
            window,
            timezone: args.span.zone_name(),
            filter: args.only.filter(),
            hours: args.hours,
            active_only: args.active,
        };
        let zone = args.span.zone(&client).await?;
        return blocks::show(&client, request, &zone, context, args.csv).await;
    }
    let question = Question {
        by,
        window,
        timezone: args.span.zone_name(),
        filter: args.only.filter(),
        breakdown: args.breakdown,
        week_start: args.week_start.name(),
    };
    let report = fetch(&client, &question).await?;
    if context.json {
        return show::print(&show::json::report(&report, None));
    }
    if args.csv {
        return show::print(&show::csv::report(&report));
    }
    let zone = if by == By::Session {
        Some(args.span.zone(&client).await?)
    } else {
        None
    };
    show::print(&show::report::draw(&report, zone.as_ref(), &context.screen()))
}

/// Asks the daemon and puts the answer into the report's form.
pub(crate) async fn fetch(client: &Client, question: &Question) -> Result<Report, Error> {
    let keys = question.by.keys();
    let mut group_by: Vec<i32> = keys.iter().map(|(g, _)| i32::from(*g)).collect();
    // Reports by model have their models in the rows already.
    let by_model = question.breakdown && question.by != By::Model;
    if by_model {
        group_by.push(Grouping::Model.into());
        if question.by != By::Provider {
            group_by.push(Grouping::Provider.into());
        }
    }
    let answer = client
        .totals(TotalsRequest {
            group_by,
            window: question.window,
            timezone: question.timezone.clone(),
            filter: question.filter.clone(),
            week_start: question.week_start.to_owned(),
        })
        .await?;
    let mut lines = merge(&answer.rows, question.by, by_model);
    if !question.by.is_time() {
        lines.sort_by(|a, b| match question.by {
            By::Session => a.last_ms.cmp(&b.last_ms).then_with(|| a.keys.cmp(&b.keys)),
            _ => b.sum.cost.cmp(&a.sum.cost).then_with(|| a.keys.cmp(&b.keys)),
        });
    }
    Ok(Report {
        keys: keys.iter().map(|(_, name)| *name).collect(),
        lines,
        totals: Sum::of(answer.totals.as_ref()),
        unpriced_models: answer.unpriced_models,
        warnings: answer.warnings,
        breakdown: by_model,
    })
}

/// Joins the rows that make one line: the models of a day, the projects of a session.
fn merge(rows: &[TotalsRow], by: By, by_model: bool) -> Vec<Line> {
    // A session that worked in several directories is still one session.
    let identity = if by == By::Session { 2 } else { by.keys().len() };
    let mut places = std::collections::HashMap::new();
    // With each line the best of its names so far: one that says something, of the most calls.
    let mut lines: Vec<(Line, (bool, u64))> = Vec::new();
    for row in rows {
        let sum = Sum::of(row.totals.as_ref());
        let keys = &row.keys[..by.keys().len().min(row.keys.len())];
        let place = *places
            .entry(&keys[..identity.min(keys.len())])
            .or_insert_with(|| {
                lines.push((
                    Line {
                        keys: keys.to_vec(),
                        first_ms: row.first_ms,
                        ..Line::default()
                    },
                    (false, 0),
                ));
                lines.len() - 1
            });
        let Some((line, best)) = lines.get_mut(place) else {
            continue;
        };
        let rank = (keys.last().is_some_and(|k| !k.is_empty()), sum.requests);
        if rank > *best {
            *best = rank;
            line.keys = keys.to_vec();
        }
        line.sum.add(&sum);
        line.first_ms = line.first_ms.min(row.first_ms);
        line.last_ms = line.last_ms.max(row.last_ms);
        if by_model {
            add_model(line, row, by, sum);
        }
    }
    lines.into_iter().map(|(line, _)| line).collect()
}

fn add_model(line: &mut Line, row: &TotalsRow, by: By, sum: Sum) {
    let mut names = row.keys.iter().skip(by.keys().len()).cloned();
    let model = names.next().unwrap_or_default();
    let provider = if by == By::Provider {
        line.keys.first().cloned()
    } else {
        names.next()
    }
    .unwrap_or_default();
    let known = line
        .models
        .iter_mut()
        .find(|p| p.model == model && p.provider == provider);
    match known {
        Some(part) => part.sum.add(&sum),
        None => line.models.push(ModelPart { model, provider, sum }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::{Money, Tokens, Totals};

    fn row(keys: &[&str], requests: u64) -> TotalsRow {
        TotalsRow {
            keys: keys.iter().map(|k| (*k).to_owned()).collect(),
            totals: Some(Totals {
                requests,
                tokens: Some(Tokens {
                    input: requests * 10,
                    ..Tokens::default()
                }),
                cost: Some(Money {
                    usd: 0,
                    pico: i64::try_from(requests).unwrap(),
                }),
                ..Totals::default()
            }),
            first_ms: 100 - i64::try_from(requests).unwrap(),
            last_ms: 100 + i64::try_from(requests).unwrap(),
        }
    }

    #[test]
    fn models_of_a_day_become_one_line() {
        let rows = [
            row(&["2026-11-19", "a", "p"], 1),
            row(&["2026-11-20", "a", "p"], 2),
            row(&["2026-11-20", "b", "p"], 3),
        ];
        let lines = merge(&rows, By::Daily, true);
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[1].sum.requests, lines[1].sum.cost), (5, 5));
        assert_eq!((lines[1].first_ms, lines[1].last_ms), (97, 103));
        let models: Vec<_> = lines[1].models.iter().map(|m| m.model.as_str()).collect();
        assert_eq!(models, ["a", "b"]);
    }

    #[test]
    fn a_session_in_two_directories_is_one_line_named_by_the_busier() {
        let rows = [
            row(&["s", "codex", "/a"], 1),
            row(&["s", "codex", "/b"], 5),
            row(&["s", "codex", ""], 9),
            row(&["s", "claude-code", "/a"], 1),
        ];
        let lines = merge(&rows, By::Session, false);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].keys, ["s", "codex", "/b"]);
        assert_eq!(lines[0].sum.requests, 15);
    }

    #[test]
    fn rows_with_too_few_keys_do_no_harm() {
        assert_eq!(merge(&[row(&[], 1)], By::Session, true).len(), 1);
    }
}
