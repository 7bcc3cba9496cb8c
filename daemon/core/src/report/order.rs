//! The order of a report's rows: column by column, time ascending, names by what they cost.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::fold::{GroupKey, Names};
use super::keyer::Keyer;
use super::{MAX_GROUPINGS, Query, Row};
use crate::Name;
use crate::money::Pico;
use crate::rollup::Agg;

/// What one column of a row is sorted by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// A key whose order is the order of time.
    Time(u32),
    /// The name's share within the columns before it: cost, then tokens, the largest first.
    Name(Reverse<(Pico, u64)>, Name),
}

/// Rows with their texts, in order.
pub(super) fn sorted(query: &Query, groups: Vec<(GroupKey, Agg)>, names: &mut Names<'_>) -> Vec<Row> {
    let columns = &query.group_by[..query.group_by.len().min(MAX_GROUPINGS)];
    let shares: Vec<_> = (1..=columns.len()).map(|width| shares(&groups, width)).collect();
    let mut texts: HashMap<(usize, u32), String> = HashMap::new();
    let mut placed: Vec<(Vec<Place>, Row)> = Vec::with_capacity(groups.len());
    for (key, agg) in groups {
        let mut places = Vec::with_capacity(columns.len());
        let mut keys = Vec::with_capacity(columns.len());
        for (at, &column) in columns.iter().enumerate() {
            match column.dimension() {
                Some(dimension) => {
                    let name = names.of_column(column, dimension, key[at]);
                    keys.push(name.to_string());
                    let share = shares[at].get(&prefix(&key, at + 1)).copied().unwrap_or_default();
                    places.push(Place::Name(Reverse(share), name));
                }
                None => {
                    let text = texts
                        .entry((at, key[at]))
                        .or_insert_with(|| Keyer::text(column, key[at], &query.zone, query.week_start));
                    keys.push(text.clone());
                    places.push(Place::Time(key[at]));
                }
            }
        }
        placed.push((places, Row { keys, agg }));
    }
    placed.sort_by(|a, b| a.0.cmp(&b.0));
    placed.into_iter().map(|(_, row)| row).collect()
}

/// Cost and tokens of every group, were there only the first `width` columns.
fn shares(groups: &[(GroupKey, Agg)], width: usize) -> HashMap<GroupKey, (Pico, u64)> {
    let mut shares: HashMap<GroupKey, (Pico, u64)> = HashMap::new();
    for (key, agg) in groups {
        let share = shares.entry(prefix(key, width)).or_default();
        share.0 += agg.cost;
        share.1 = share.1.saturating_add(agg.tokens.total());
    }
    shares
}

fn prefix(key: &GroupKey, width: usize) -> GroupKey {
    let mut prefix = GroupKey::default();
    prefix[..width].copy_from_slice(&key[..width]);
    prefix
}
