//! The fold against a slow reading of the same rows, and the order and the bounds of reports.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Name;
use crate::entry::Record;
use crate::money::Pico;
use crate::observation::Observation;
use crate::place::Place;
use crate::rollup::{Dims, bucket_of, bucket_start_ms};
use crate::testing::observation;
use crate::time::{Unit, hour_of_day, key};
use crate::tokens::Tokens;

fn name(dimension: Dimension, id: u32) -> Name {
    format!("{dimension:?}{id}").into()
}

fn agg(at_ms: i64, input: u64, cost: i128) -> Agg {
    Agg {
        requests: 1,
        tokens: Tokens {
            input,
            ..Tokens::default()
        },
        cost: Pico(cost),
        first_ms: at_ms,
        last_ms: at_ms,
        ..Agg::default()
    }
}

fn dims(model: u32, tool: u32) -> Dims {
    let mut dims = Dims::default();
    dims[Dimension::Model as usize] = model;
    dims[Dimension::Tool as usize] = tool;
    dims
}

fn query(group_by: &[Grouping], zone: &str) -> Query {
    Query {
        group_by: group_by.to_vec(),
        zone: TimeZone::get(zone).unwrap(),
        ..Query::everything()
    }
}

fn fold(query: &Query, filter: IdFilter, rows: &[(u32, Dims, Agg)]) -> Report {
    let mut fold = Fold::new(query, filter);
    for (bucket, dims, agg) in rows {
        fold.add(*bucket, dims, agg);
    }
    fold.finish(&name)
}

fn keys(report: &Report) -> Vec<Vec<&str>> {
    report
        .rows
        .iter()
        .map(|row| row.keys.iter().map(String::as_str).collect())
        .collect()
}

/// 2026-11-20T00:00:00Z.
const START: i64 = 1_795_132_800_000;
const HOUR: i64 = 3_600_000;

fn row(hours: i64, model: u32, input: u64, cost: i128) -> (u32, Dims, Agg) {
    let at = START + hours * HOUR;
    (bucket_of(at), dims(model, 0), agg(at, input, cost))
}

#[test]
fn without_groupings_there_is_one_row() {
    let report = fold(
        &query(&[], "UTC"),
        IdFilter::default(),
        &[row(0, 1, 5, 1), row(30, 2, 7, 2)],
    );
    assert_eq!(report.rows.len(), 1);
    assert_eq!(
        (
            report.total.requests,
            report.total.tokens.input,
            report.total.cost
        ),
        (2, 12, Pico(3))
    );
    let empty = fold(&query(&[], "UTC"), IdFilter::default(), &[]);
    assert_eq!((empty.rows.len(), empty.total), (1, Agg::empty()));
    assert!(
        fold(&query(&[Grouping::Day], "UTC"), IdFilter::default(), &[])
            .rows
            .is_empty()
    );
}

#[test]
fn time_ascends_and_names_come_by_cost() {
    let rows = [
        row(25, 1, 9, 1),
        row(1, 1, 5, 10),
        row(1, 2, 5, 20),
        row(26, 3, 10, 1),
        row(2, 1, 5, 15),
    ];
    let by_day_and_model = fold(
        &query(&[Grouping::Day, Grouping::Model], "UTC"),
        IdFilter::default(),
        &rows,
    );
    assert_eq!(
        keys(&by_day_and_model),
        [
            ["2026-11-20", "Model1"],
            ["2026-11-20", "Model2"],
            // The same cost: more tokens first.
            ["2026-11-21", "Model3"],
            ["2026-11-21", "Model1"],
        ]
    );
    let by_model = fold(&query(&[Grouping::Model], "UTC"), IdFilter::default(), &rows);
    assert_eq!(keys(&by_model), [["Model1"], ["Model2"], ["Model3"]]);
    // A name keeps its rows together, by what all of them cost.
    let by_model_and_day = fold(
        &query(&[Grouping::Model, Grouping::Day], "UTC"),
        IdFilter::default(),
        &rows,
    );
    assert_eq!(
        keys(&by_model_and_day),
        [
            ["Model1", "2026-11-20"],
            ["Model1", "2026-11-21"],
            ["Model2", "2026-11-20"],
            ["Model3", "2026-11-21"],
        ]
    );
}

#[test]
fn days_and_hours_are_those_of_the_zone() {
    let rows = [row(3, 1, 1, 1), row(4, 1, 1, 1), row(5, 1, 1, 1)];
    let report = fold(
        &query(&[Grouping::Day], "America/New_York"),
        IdFilter::default(),
        &rows,
    );
    assert_eq!(keys(&report), [["2026-11-19"], ["2026-11-20"]]);
    assert_eq!(report.rows[0].agg.requests, 2);
    let report = fold(
        &query(&[Grouping::HourOfDay], "America/New_York"),
        IdFilter::default(),
        &rows,
    );
    assert_eq!(keys(&report), [["00"], ["22"], ["23"]]);
    let report = fold(
        &query(&[Grouping::Hour], "America/New_York"),
        IdFilter::default(),
        &rows,
    );
    assert_eq!(keys(&report)[2], ["2026-11-20T00:00-05:00"]);
}

#[test]
fn filters_choose_by_name() {
    let rows = [row(0, 1, 5, 1), row(1, 2, 7, 2), row(2, 0, 1, 1)];
    let known = |_, name: &str| Ok::<_, ()>(name.strip_prefix("Model").and_then(|id| id.parse().ok()));
    for (models, requests) in [
        (vec!["Model1"], 1),
        (vec!["Model2", "Model1", "other"], 2),
        (vec!["other"], 0),
        (vec![""], 1),
        (vec![], 3),
    ] {
        let models: Vec<String> = models.into_iter().map(str::to_owned).collect();
        let filter = Filter {
            models: models.clone(),
            ..Filter::default()
        };
        let report = fold(
            &query(&[], "UTC"),
            filter.resolve(known, || Ok(Vec::new())).unwrap(),
            &rows,
        );
        assert_eq!(report.total.requests, requests, "{models:?}");
        let by_name = (rows.iter()).filter(|(_, dims, _)| {
            let model = dims[Dimension::Model as usize];
            let model = if model == 0 {
                String::new()
            } else {
                format!("Model{model}")
            };
            let mut seen = observation("call", 0);
            seen.model = model.into();
            filter.covers(&kept(seen))
        });
        assert_eq!(by_name.count() as u64, requests, "{models:?}");
    }
    let failing = Filter {
        models: vec!["x".to_owned()],
        ..Filter::default()
    };
    assert_eq!(
        failing.resolve(|_, _| Err("no store"), || Ok(Vec::new())),
        Err("no store")
    );
}

#[test]
fn unpriced_models_are_named_once() {
    let mut first = row(0, 1, 5, 0);
    first.2.unpriced_requests = 1;
    let mut second = row(1, 1, 5, 0);
    second.2.unpriced_requests = 1;
    second.1[Dimension::Provider as usize] = 4;
    let report = fold(
        &query(&[], "UTC"),
        IdFilter::default(),
        &[first.clone(), first, second, row(2, 2, 5, 1)],
    );
    assert_eq!(report.unpriced, ["Model1", "Provider4/Model1"]);
}

#[test]
fn coarse_rows_suffice_for_agent_provider_and_model() {
    for grouping in Grouping::ALL {
        let fine = matches!(
            grouping,
            Grouping::Project | Grouping::Session | Grouping::Tool | Grouping::User | Grouping::Place(_)
        );
        assert_eq!(
            query(&[Grouping::Day, grouping], "UTC").needs_full(),
            fine,
            "{grouping:?}"
        );
    }
    let mut filtered = query(&[], "UTC");
    filtered.filter.providers = vec!["x".to_owned()];
    assert!(!filtered.needs_full());
    filtered.filter.tools = vec!["x".to_owned()];
    assert!(filtered.needs_full());
}

#[test]
fn windows_cover_whole_buckets() {
    let mut query = query(&[], "UTC");
    assert_eq!(query.buckets(), 0..u32::MAX);
    assert!(query.is_aligned());
    query.from_ms = Some(START);
    query.to_ms = Some(START + HOUR);
    assert_eq!(query.buckets().len(), 4);
    assert!(query.is_aligned());
    query.to_ms = Some(START + HOUR + 1);
    assert_eq!(query.buckets().len(), 5);
    assert!(!query.is_aligned());
    query.from_ms = Some(i64::MIN);
    query.to_ms = Some(i64::MAX);
    assert_eq!(query.buckets(), 0..u32::MAX);
}

#[test]
fn wrong_queries_are_refused() {
    let ok = query(&[Grouping::Day, Grouping::HourOfDay, Grouping::Model], "UTC");
    assert_eq!(ok.validate(), Ok(()));
    let backwards = Query {
        from_ms: Some(5),
        to_ms: Some(5),
        ..ok.clone()
    };
    let long = Filter {
        tools: vec!["x".repeat(2000)],
        ..Filter::default()
    };
    let many = Filter {
        users: vec![String::new(); 1001],
        ..Filter::default()
    };
    for (query, word) in [
        (backwards, "ends"),
        (query(&[Grouping::Day, Grouping::Week], "UTC"), "day and week"),
        (query(&[Grouping::Tool, Grouping::Tool], "UTC"), "twice"),
        (query(&Grouping::ALL[4..9], "UTC"), "5 groupings"),
        (
            Query {
                filter: long,
                ..ok.clone()
            },
            "filter.tools",
        ),
        (Query { filter: many, ..ok }, "filter.users"),
    ] {
        let refusal = query.validate().unwrap_err().to_string();
        assert!(refusal.contains(word), "{refusal}");
    }
}

fn rows() -> impl Strategy<Value = Vec<(u32, Dims, Agg)>> {
    let row = (0..70_000_u32, 1..4_u32, 0..3_u32, 0..9_u64, 0..5_i128).prop_map(
        |(bucket, model, tool, input, cost)| {
            let bucket = bucket_of(START) - 35_000 + bucket;
            (
                bucket,
                dims(model, tool),
                agg(bucket_start_ms(bucket) + 1, input, cost),
            )
        },
    );
    prop::collection::vec(row, 0..120)
}

fn slow_key(grouping: Grouping, zone: &TimeZone, bucket: u32, dims: &Dims) -> String {
    let at = bucket_start_ms(bucket);
    match grouping {
        Grouping::Hour => key(Unit::Hour, at, zone),
        Grouping::Day => key(Unit::Day, at, zone),
        Grouping::Week => key(Unit::Week(Weekday::Monday), at, zone),
        Grouping::Month => key(Unit::Month, at, zone),
        Grouping::HourOfDay => format!("{:02}", hour_of_day(at, zone)),
        _ => {
            let dimension = grouping.dimension().unwrap();
            let id = dims[dimension as usize];
            if id == 0 {
                String::new()
            } else {
                name(dimension, id).to_string()
            }
        }
    }
}

proptest! {
    #[test]
    fn the_fold_loses_nothing(
        mut rows in rows(),
        in_order in any::<bool>(),
        first in prop::sample::select(Grouping::ALL.to_vec()),
        second in prop::sample::select(vec![Grouping::Model, Grouping::Tool]),
        zone in prop::sample::select(vec!["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut"]),
    ) {
        if in_order {
            rows.sort_by_key(|row| row.0);
        }
        let mut groupings = vec![first];
        if first != second {
            groupings.push(second);
        }
        let query = query(&groupings, zone);
        let report = fold(&query, IdFilter::default(), &rows);

        let mut expected: BTreeMap<Vec<String>, Agg> = BTreeMap::new();
        for (bucket, dims, agg) in &rows {
            let keys = groupings.iter().map(|&g| slow_key(g, &query.zone, *bucket, dims)).collect();
            expected.entry(keys).or_insert_with(Agg::empty).add(agg);
        }
        let mut sum = Agg::empty();
        for row in &report.rows {
            sum.add(&row.agg);
            prop_assert_eq!(Some(&row.agg), expected.get(&row.keys));
        }
        prop_assert_eq!(report.rows.len(), expected.len());
        prop_assert_eq!(sum, report.total);
        if first.dimension().is_none() {
            let times: Vec<&String> = report.rows.iter().map(|row| &row.keys[0]).collect();
            // Hours carry their offset, so their texts do not sort by time where the clock falls back.
            prop_assert!(first == Grouping::Hour || times.is_sorted());
        }
    }
}

fn kept(seen: Observation) -> Record {
    Record {
        owner_at_ms: seen.at_ms,
        owner_sidechain: false,
        cost: None,
        waste: Vec::new(),
        heard: Vec::new(),
        seen,
    }
}

/// Four places: two of the branch "main", one of another, and the unknown one.
fn places() -> Vec<(u32, Name)> {
    let place = |branch: &str, commit: &str| {
        let place = Place {
            branch: branch.into(),
            commit: commit.into(),
            ..Place::default()
        };
        Name::from(place.text())
    };
    vec![
        (1, place("main", "aaaaaaa1")),
        (2, place("main", "bbbbbbb2")),
        (3, place("feature", "aaaaaaa1")),
    ]
}

fn at_place(bucket: u32, place: u32) -> (u32, Dims, Agg) {
    let (bucket, mut dims, agg) = row(i64::from(bucket), 1, 5, 1);
    dims[Dimension::Place as usize] = place;
    (bucket, dims, agg)
}

#[test]
fn places_are_grouped_and_chosen_by_their_parts() {
    let rows = [at_place(0, 1), at_place(1, 2), at_place(2, 3), at_place(3, 0)];
    let name = |dimension, id| match dimension {
        Dimension::Place => (places().into_iter().find(|p| p.0 == id)).map_or_else(|| "?".into(), |p| p.1),
        _ => "".into(),
    };
    let counted = |part: Part, filter: &Filter| {
        let resolved = filter.resolve(|_, _| Ok::<_, ()>(None), || Ok(places())).unwrap();
        let mut fold = Fold::new(&query(&[Grouping::Place(part)], "UTC"), resolved);
        for (bucket, dims, agg) in &rows {
            fold.add(*bucket, dims, agg);
        }
        let mut rows: Vec<(String, u64)> = (fold.finish(&name).rows.into_iter())
            .map(|row| (row.keys[0].clone(), row.agg.requests))
            .collect();
        rows.sort();
        rows
    };
    let all = Filter::default();
    let named = |name: &str, requests| (name.to_owned(), requests);
    assert_eq!(
        counted(Part::Branch, &all),
        [named("", 1), named("feature", 1), named("main", 2)]
    );
    assert_eq!(
        counted(Part::Commit, &all),
        [named("", 1), named("aaaaaaa1", 2), named("bbbbbbb2", 1)]
    );
    let of = |branches: &[&str], commits: &[&str]| Filter {
        branches: branches.iter().map(|&b| b.to_owned()).collect(),
        commits: commits.iter().map(|&c| c.to_owned()).collect(),
        ..Filter::default()
    };
    assert_eq!(counted(Part::Branch, &of(&["main"], &[])), [named("main", 2)]);
    assert_eq!(counted(Part::Branch, &of(&[""], &[])), [named("", 1)]);
    assert_eq!(
        counted(Part::Branch, &of(&[], &["aaaaaaa"])),
        [named("feature", 1), named("main", 1)]
    );
    // Too short to name a commit.
    assert_eq!(counted(Part::Branch, &of(&[], &["aaaaaa"])), []);
    let mut seen = observation("call", 0);
    seen.place = Some(std::sync::Arc::new(Place::of_text(&places()[0].1)));
    let record = kept(seen);
    assert!(of(&["main"], &["aaaaaaa1"]).covers(&record));
    assert!(!of(&["feature"], &[]).covers(&record));
}
