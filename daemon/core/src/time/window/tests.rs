//! Windows where the clock is least cooperative.

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

const MINUTE_MS: i64 = 60_000;
const ZONES: [&str; 10] = [
    "UTC",
    "America/New_York",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Havana",
    "America/Scoresbysund",
    "Pacific/Apia",
    "Pacific/Chatham",
    "America/St_Johns",
];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

#[test]
fn days_have_the_length_that_the_clock_gives_them() {
    for (name, day, begins, minutes) in [
        ("UTC", date(2026, 11, 20), "2026-11-20T00:00:00Z", 24 * 60),
        (
            "America/New_York",
            date(2026, 3, 8),
            "2026-03-08T05:00:00Z",
            23 * 60,
        ),
        (
            "America/New_York",
            date(2026, 11, 1),
            "2026-11-01T04:00:00Z",
            25 * 60,
        ),
        // Midnight does not exist: the clock goes from 23:59 to 01:00.
        ("Asia/Beirut", date(2026, 3, 29), "2026-03-28T22:00:00Z", 23 * 60),
        (
            "Australia/Lord_Howe",
            date(2026, 4, 5),
            "2026-04-04T13:00:00Z",
            24 * 60 + 30,
        ),
        (
            "Australia/Lord_Howe",
            date(2026, 10, 4),
            "2026-10-03T13:30:00Z",
            23 * 60 + 30,
        ),
        (
            "Asia/Kathmandu",
            date(2026, 11, 20),
            "2026-11-19T18:15:00Z",
            24 * 60,
        ),
        // Midnight comes twice; the day begins with the first one.
        (
            "America/Havana",
            date(2026, 11, 1),
            "2026-11-01T04:00:00Z",
            25 * 60,
        ),
        // The date that Samoa left out.
        ("Pacific/Apia", date(2011, 12, 30), "2011-12-30T10:00:00Z", 0),
    ] {
        let range = day_window(day, &zone(name));
        assert_eq!(range.start, ms(begins), "{name} {day}");
        assert_eq!(range.end - range.start, minutes * MINUTE_MS, "{name} {day}");
    }
}

#[test]
fn keys_name_the_window() {
    let week = Unit::Week(Weekday::Monday);
    let sunday = Unit::Week(Weekday::Sunday);
    for (name, unit, at, expected) in [
        ("UTC", Unit::Day, "2026-11-20T23:59:59.999Z", "2026-11-20"),
        ("Asia/Kathmandu", Unit::Day, "2026-11-19T18:14:59Z", "2026-11-19"),
        ("Asia/Kathmandu", Unit::Day, "2026-11-19T18:15:00Z", "2026-11-20"),
        ("Asia/Beirut", Unit::Day, "2026-03-28T22:00:00Z", "2026-03-29"),
        ("UTC", Unit::Month, "2026-11-20T00:00:00Z", "2026-11"),
        ("America/New_York", Unit::Month, "2026-12-01T04:59:59Z", "2026-11"),
        ("UTC", week, "2026-11-20T00:00:00Z", "2026-11-16"),
        ("UTC", sunday, "2026-11-20T00:00:00Z", "2026-11-15"),
        ("UTC", sunday, "2026-11-15T00:00:00Z", "2026-11-15"),
        ("UTC", week, "2027-01-01T00:00:00Z", "2026-12-28"),
        (
            "Europe/Berlin",
            Unit::Hour,
            "2026-11-20T13:59:00Z",
            "2026-11-20T14:00+01:00",
        ),
        (
            "America/New_York",
            Unit::Hour,
            "2026-11-01T05:30:00Z",
            "2026-11-01T01:00-04:00",
        ),
        (
            "America/New_York",
            Unit::Hour,
            "2026-11-01T06:30:00Z",
            "2026-11-01T01:00-05:00",
        ),
        (
            "Asia/Kathmandu",
            Unit::Hour,
            "2026-11-20T00:14:00Z",
            "2026-11-20T05:00+05:45",
        ),
        (
            "Asia/Kathmandu",
            Unit::Hour,
            "2026-11-20T00:15:00Z",
            "2026-11-20T06:00+05:45",
        ),
        (
            "Australia/Lord_Howe",
            Unit::Hour,
            "2026-04-04T14:59:00Z",
            "2026-04-05T01:00+11:00",
        ),
        (
            "Australia/Lord_Howe",
            Unit::Hour,
            "2026-04-04T15:00:00Z",
            "2026-04-05T01:00+10:30",
        ),
    ] {
        assert_eq!(key(unit, ms(at), &zone(name)), expected, "{name} {at}");
    }
}

#[test]
fn an_hour_is_cut_where_the_clock_jumps() {
    let lord_howe = zone("Australia/Lord_Howe");
    let second = window(Unit::Hour, ms("2026-04-04T15:00:00Z"), &lord_howe);
    assert_eq!(second, ms("2026-04-04T15:00:00Z")..ms("2026-04-04T15:30:00Z"));
    assert_eq!(hour_of_day(second.start, &lord_howe), 1);
    assert_eq!(hour_of_day(second.end, &lord_howe), 2);
}

#[test]
fn instants_at_the_ends_of_time_do_no_harm() {
    for name in ZONES {
        for at in [i64::MIN, -1, 0, i64::MAX] {
            let zone = zone(name);
            for unit in [Unit::Hour, Unit::Day, Unit::Week(Weekday::Monday), Unit::Month] {
                let range = window(unit, at, &zone);
                assert!(range.start < range.end, "{name} {unit:?} {at}");
                assert!(!key(unit, at, &zone).is_empty());
            }
            assert!(hour_of_day(at, &zone) < 24);
        }
    }
}

fn units() -> impl Strategy<Value = Unit> {
    prop_oneof![
        Just(Unit::Hour),
        Just(Unit::Day),
        Just(Unit::Week(Weekday::Monday)),
        Just(Unit::Week(Weekday::Sunday)),
        Just(Unit::Month),
    ]
}

/// Any instant from 2010 to 2050, and often one close to a change of the offset.
fn instants() -> impl Strategy<Value = (TimeZone, i64)> {
    let any = 1_262_304_000_000..2_524_608_000_000_i64;
    (0..ZONES.len(), any, any_near()).prop_map(|(at, instant, near)| {
        let zone = zone(ZONES[at]);
        let change = zone
            .following(timestamp(instant))
            .next()
            .map(|t| t.timestamp().as_millisecond());
        let instant = match (near, change) {
            (Some(distance), Some(change)) => change + distance,
            _ => instant,
        };
        (zone, instant)
    })
}

fn any_near() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        Just(None),
        (-26 * HOUR_MS..26 * HOUR_MS).prop_map(Some),
        Just(Some(0)),
        Just(Some(-1))
    ]
}

proptest! {
    #[test]
    fn every_instant_lies_in_exactly_one_window((zone, at) in instants(), unit in units()) {
        let range = window(unit, at, &zone);
        prop_assert!(range.contains(&at));
        // The same window from either end, and its neighbours touch it.
        prop_assert_eq!(&window(unit, range.start, &zone), &range);
        prop_assert_eq!(&window(unit, range.end - 1, &zone), &range);
        prop_assert_eq!(window(unit, range.end, &zone).start, range.end);
        prop_assert_eq!(window(unit, range.start - 1, &zone).end, range.start);
        // One key per window, one window per key.
        prop_assert_eq!(key(unit, range.start, &zone), key(unit, at, &zone));
        prop_assert_eq!(key(unit, range.end - 1, &zone), key(unit, at, &zone));
        prop_assert_ne!(key(unit, range.end, &zone), key(unit, at, &zone));
    }

    #[test]
    fn windows_begin_on_bucket_boundaries((zone, at) in instants(), unit in units()) {
        prop_assume!(at >= crate::limits::MIN_AT_MS + 40 * 24 * HOUR_MS);
        prop_assert_eq!(window(unit, at, &zone).start.rem_euclid(crate::rollup::BUCKET_MS), 0);
    }

    #[test]
    fn hours_lie_within_one_day((zone, at) in instants()) {
        let hour = window(Unit::Hour, at, &zone);
        prop_assert_eq!(hour_of_day(hour.start, &zone), hour_of_day(hour.end - 1, &zone));
        let local = zone.to_datetime(timestamp(at));
        prop_assert_eq!(i64::from(hour_of_day(at, &zone)), i64::from(local.hour()));
    }
}
