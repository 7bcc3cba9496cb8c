//! Rules on sessions of work, on loops, and on sessions without number.

use super::*;
use crate::observation::Observation;
use crate::testing::observation;
use crate::tokens::Tokens;

const NOW: i64 = 1_763_640_000_000;
const MINUTE: i64 = 60_000;
const CENT: Pico = Pico(PICO_PER_USD / 100);

fn cents(n: i128) -> Pico {
    Pico(CENT.0 * n)
}

fn call(minute: i64, tool: &str, request: u64) -> Observation {
    let mut call = observation("k", NOW + minute * MINUTE);
    call.who.tool = tool.into();
    call.request_hash = request;
    call
}

fn signs(found: &[Episode]) -> Vec<(Sign, u64)> {
    found
        .iter()
        .map(|episode| (episode.sign, episode.figure))
        .collect()
}

#[test]
fn spending_many_times_the_usual_is_told_once() {
    let (mut watch, rules) = (Watch::default(), RunawayRules::default());
    // An hour of a dollar a minute: dear, and usual.
    for minute in 0..60 {
        assert!(
            watch
                .called(&call(minute, "", 0), cents(100), false, &rules)
                .is_empty()
        );
    }
    // Then 20 dollars a minute.
    let mut found = Vec::new();
    for minute in 60..80 {
        found.extend(watch.called(&call(minute, "", 0), cents(2_000), false, &rules));
    }
    assert_eq!(signs(&found), [(Sign::Velocity, 12)]);
    assert_eq!(found[0].spent, cents(6_200));
    assert!(
        found[0].message().contains("$62 in five minutes, 12 times"),
        "{}",
        found[0].message()
    );
}

#[test]
fn little_money_and_young_sessions_raise_no_alarm() {
    let (mut watch, rules) = (Watch::default(), RunawayRules::default());
    for minute in 0..9 {
        assert!(
            watch
                .called(&call(minute, "", 0), cents(100), false, &rules)
                .is_empty()
        );
    }
    assert!(
        watch
            .called(&call(9, "", 0), cents(100_000), false, &rules)
            .is_empty(),
        "no usual yet"
    );
    let mut watch = Watch::default();
    for minute in 0..60 {
        watch.called(&call(minute, "", 0), CENT, false, &rules);
    }
    assert!(
        watch
            .called(&call(60, "", 0), cents(1_900), false, &rules)
            .is_empty(),
        "below the floor"
    );
}

#[test]
fn the_same_call_again_and_again_is_a_loop_and_waiting_is_not() {
    let (mut watch, rules) = (Watch::default(), RunawayRules::default());
    let mut found = Vec::new();
    for n in 0..200 {
        // Between two of them the model may also answer without a tool.
        found.extend(watch.called(&call(n, "Bash", 7), CENT, false, &rules));
        found.extend(watch.called(&call(n, "", 0), CENT, false, &rules));
    }
    assert_eq!(signs(&found), [(Sign::Repeats, rules.repeats)]);
    // Two calls in turn are no loop of one.
    for n in 200..300 {
        assert!(
            watch
                .called(&call(n, "Bash", (n % 2 + 1) as u64), CENT, false, &rules)
                .is_empty()
        );
    }
    // A better record of a call is not the call again.
    let mut watch = Watch::default();
    for n in 0..100 {
        assert!(watch.called(&call(n, "Bash", 7), CENT, n > 0, &rules).is_empty());
    }
}

#[test]
fn denials_in_a_row_are_told_and_told_again_after_a_quiet_time() {
    let (mut watch, rules) = (Watch::default(), RunawayRules::default());
    let mut deny = |times, at| {
        let found = watch.denied(&"a".into(), &"s".into(), times, NOW + at, &rules);
        found.map(|episode| episode.figure)
    };
    assert_eq!((deny(4, 0), deny(5, 1), deny(8, 2)), (None, None, Some(17)));
    assert_eq!(deny(100, 3), None, "the same episode");
    assert_eq!(deny(9, 60 * MINUTE), None, "a new streak");
    assert_eq!(deny(1, 60 * MINUTE), Some(10));
}

#[test]
fn a_changed_prefix_makes_misses_and_a_pause_excuses_them() {
    let (mut watch, rules) = (Watch::default(), RunawayRules::default());
    let prompt = |minute, read: u64, written| {
        let mut call = call(minute, "", 0);
        call.tokens = Tokens {
            cache_read: read,
            cache_write_5m: written,
            output: 100,
            ..Tokens::default()
        };
        call
    };
    for minute in 0..5 {
        assert!(
            watch
                .called(&prompt(minute, 90_000, 5_000), cents(5), false, &rules)
                .is_empty()
        );
    }
    // After pauses.
    for n in 1..20 {
        assert!(
            watch
                .called(&prompt(5 + n * 6, 0, 90_000), cents(40), false, &rules)
                .is_empty()
        );
    }
    watch.called(&prompt(131, 90_000, 0), cents(5), false, &rules);
    let mut found = Vec::new();
    for n in 0..20 {
        found.extend(watch.called(&prompt(132 + n, 0, 90_000), cents(40), false, &rules));
    }
    assert_eq!(signs(&found), [(Sign::CacheMisses, 8)]);
    assert_eq!(found[0].spent, cents(320));
    // Who never uses a cache does not miss it.
    let mut watch = Watch::default();
    for n in 0..50 {
        assert!(
            watch
                .called(&prompt(n, 0, 90_000), cents(40), false, &rules)
                .is_empty()
        );
    }
}

#[test]
fn sessions_are_bounded_and_what_is_remembered_can_be_saved() {
    let (mut watch, rules) = (Watch::default(), RunawayRules::default());
    for n in 0..2_000 {
        let mut call = call(n, "Bash", 1);
        call.who.session = format!("s{n}").into();
        watch.called(&call, CENT, false, &rules);
    }
    let text = serde_json::to_string(&watch).unwrap();
    assert!(text.len() < 200_000, "{}", text.len());
    assert_eq!(serde_json::from_str::<Watch>(&text).unwrap(), watch);
}

#[test]
fn rules_can_be_switched_off() {
    let off = RunawayRules {
        velocity_factor: 0,
        repeats: 0,
        denials: 0,
        misses: 0,
        ..RunawayRules::default()
    };
    let mut watch = Watch::default();
    for n in 0..300 {
        assert!(
            watch
                .called(&call(n, "Bash", 1), cents(1_000 * i128::from(n)), false, &off)
                .is_empty()
        );
    }
    assert!(watch.denied(&"a".into(), &"s".into(), 1_000, NOW, &off).is_none());
}

#[test]
fn words_are_read_back() {
    for word in [OnRunaway::Observe, OnRunaway::Warn, OnRunaway::Deny] {
        assert_eq!(OnRunaway::parse(word.name()).unwrap(), word);
    }
    assert!(
        OnRunaway::parse("explode")
            .unwrap_err()
            .to_string()
            .contains("on_runaway")
    );
}
