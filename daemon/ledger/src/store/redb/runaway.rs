//! Sessions that run away as rows and back.

use prost::Message;
use tokmon_core::runaway::{Episode, Sign};

use super::super::Result;
use super::codec::MoneyRow;
use super::entry::strange;

#[derive(Clone, PartialEq, Message)]
pub(super) struct RunawayRow {
    #[prost(string, tag = "1")]
    agent: String,
    #[prost(string, tag = "2")]
    session: String,
    #[prost(uint32, tag = "3")]
    sign: u32,
    #[prost(uint64, tag = "4")]
    figure: u64,
    #[prost(message, optional, tag = "5")]
    spent: Option<MoneyRow>,
    #[prost(string, repeated, tag = "6")]
    stops: Vec<String>,
}

/// The row of an episode.
pub(super) fn row(episode: &Episode) -> RunawayRow {
    RunawayRow {
        agent: episode.agent.to_string(),
        session: episode.session.to_string(),
        sign: match episode.sign {
            Sign::Velocity => 1,
            Sign::Repeats => 2,
            Sign::Denials => 3,
            Sign::CacheMisses => 4,
        },
        figure: episode.figure,
        spent: Some(episode.spent.into()),
        stops: episode.stops.iter().map(ToString::to_string).collect(),
    }
}

/// An episode.
pub(super) fn episode(row: RunawayRow) -> Result<Episode> {
    Ok(Episode {
        agent: row.agent.into(),
        session: row.session.into(),
        sign: match row.sign {
            1 => Sign::Velocity,
            2 => Sign::Repeats,
            3 => Sign::Denials,
            4 => Sign::CacheMisses,
            _ => return Err(strange("sign of a runaway session")),
        },
        figure: row.figure,
        spent: row.spent.map(Into::into).unwrap_or_default(),
        stops: row.stops.into_iter().map(Into::into).collect(),
    })
}
