//! Examples and laws of API limits.

use proptest::prelude::*;

use super::*;

/// 2026-11-20T12:00:00Z.
const NOON: i64 = 1_795_176_000_000;

fn set(apis: &[(&str, u64, u64, &[&str])]) -> Apis {
    let api = |(name, requests, tokens, fallback): &(&str, u64, u64, &[&str])| Api {
        name: (*name).into(),
        requests_per_minute: *requests,
        tokens_per_minute: *tokens,
        fallback: fallback.iter().map(|name| Name::from(*name)).collect(),
    };
    apis.iter().map(|a| (a.0.into(), Arc::new(api(a)))).collect()
}

fn said(headers: &[(&str, &str)]) -> Reported {
    Reported::read(headers.iter().copied(), NOON)
}

#[test]
fn sixty_calls_a_minute_are_the_default() {
    // D5
    let (mut meter, apis) = (Meter::default(), Apis::new());
    let granted = (0..100).filter(|n| meter.acquire(&apis, &"x".into(), 0, NOON + n).allowed);
    assert_eq!(granted.count(), 60);
    let answer = meter.acquire(&apis, &"x".into(), 0, NOON + 500);
    assert_eq!(
        (answer.allowed, answer.reason),
        (false, Some(Reason::QuotaExceeded))
    );
    assert_eq!((answer.wait_ms, answer.requests_left), (60_500, Some(0)));
    assert_eq!((answer.retries_left, answer.timeout_ms), (3, 30_000));
    let later = NOON + 500 + answer.wait_ms;
    assert!(!meter.look(&apis, &"x".into(), 0, later - 1).allowed);
    assert!(meter.acquire(&apis, &"x".into(), 0, later).allowed);
}

#[test]
fn what_the_headers_say_is_believed_until_its_reset() {
    type Headers = [(&'static str, &'static str)];
    let cases: [(&Headers, Option<u64>, Option<i64>); 6] = [
        (
            &[
                ("anthropic-ratelimit-requests-limit", "50"),
                ("Anthropic-RateLimit-Requests-Remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "2026-11-20T12:00:30Z"),
            ],
            Some(0),
            Some(NOON + 30_000),
        ),
        (
            &[
                ("x-ratelimit-remaining-requests", "7"),
                ("x-ratelimit-reset-requests", "6m0s"),
            ],
            Some(7),
            Some(NOON + 360_000),
        ),
        (
            &[
                ("x-ratelimit-remaining-requests", "1"),
                ("x-ratelimit-reset-requests", "20ms"),
            ],
            Some(1),
            Some(NOON + 20),
        ),
        (
            &[
                ("x-ratelimit-remaining", "3"),
                ("x-ratelimit-reset", "1795176009"),
            ],
            Some(3),
            Some(NOON + 9_000),
        ),
        (
            &[
                ("x-ratelimit-remaining-requests", "-1"),
                ("x-ratelimit-reset-requests", "soon"),
            ],
            None,
            None,
        ),
        (&[("content-type", "text/plain")], None, None),
    ];
    for (headers, remaining, reset) in cases {
        let said = said(headers);
        assert_eq!(
            (said.requests.remaining, said.requests.reset_ms),
            (remaining, reset),
            "{headers:?}"
        );
    }
    let strange = said(&[
        ("x-ratelimit-remaining-requests", "-1"),
        ("retry-after", "NaN"),
        ("x-ratelimit-reset", "9e99"),
    ]);
    assert_eq!(strange.ignored.len(), 3);
    let (mut meter, apis) = (Meter::default(), Apis::new());
    let empty = said(cases[0].0);
    meter.report(&"a".into(), Outcome::Answered, &empty, 0, NOON);
    let answer = meter.acquire(&apis, &"a".into(), 0, NOON + 1_000);
    assert_eq!(
        (answer.allowed, answer.wait_ms, answer.resets_at_ms),
        (false, 29_000, NOON + 30_000)
    );
    assert!(meter.acquire(&apis, &"a".into(), 0, NOON + 30_000).allowed);
}

#[test]
fn the_scarcer_of_input_and_output_tokens_counts() {
    let said = said(&[
        ("anthropic-ratelimit-tokens-remaining", "900"),
        ("anthropic-ratelimit-input-tokens-remaining", "800"),
        ("anthropic-ratelimit-output-tokens-remaining", "10"),
    ]);
    assert_eq!(said.tokens.remaining, Some(10));
    let (mut meter, apis) = (Meter::default(), Apis::new());
    meter.report(&"a".into(), Outcome::Answered, &said, 0, NOON);
    assert!(!meter.acquire(&apis, &"a".into(), 11, NOON).allowed);
    assert!(meter.acquire(&apis, &"a".into(), 10, NOON).allowed);
    assert!(
        !meter.acquire(&apis, &"a".into(), 1, NOON).allowed,
        "what was granted is gone"
    );
}

#[test]
fn retry_after_is_obeyed_in_each_of_its_forms() {
    for (header, wait) in [
        (("retry-after", "20"), 20_000),
        (("Retry-After", "1.5"), 1_500),
        (("retry-after-ms", "250"), 250),
        (("retry-after", "Fri, 20 Nov 2026 12:00:05 GMT"), 5_000),
    ] {
        let (mut meter, apis) = (Meter::default(), Apis::new());
        meter.report(&"a".into(), Outcome::Limited, &said(&[header]), 0, NOON);
        let answer = meter.acquire(&apis, &"a".into(), 0, NOON);
        assert_eq!(
            (answer.wait_ms, answer.reason),
            (wait, Some(Reason::QuotaExceeded)),
            "{header:?}"
        );
    }
}

#[test]
fn failures_back_off_and_an_answer_ends_them() {
    // D7: the other side failed is told apart from a quota.
    let (mut meter, apis, a) = (Meter::default(), Apis::new(), Name::from("a"));
    let nothing = Reported::default();
    for (n, left) in [(1, 2), (2, 1)] {
        meter.report(&a, Outcome::Failed, &nothing, 0, NOON);
        let answer = meter.look(&apis, &a, 0, NOON);
        assert!(answer.allowed);
        assert_eq!((answer.retries_left, answer.backoff_ms), (left, 1_000 << n));
    }
    meter.report(&a, Outcome::Failed, &nothing, 0, NOON);
    let answer = meter.look(&apis, &a, 0, NOON);
    assert_eq!(
        (answer.reason, answer.wait_ms),
        (Some(Reason::IntegrationError), 4_000)
    );
    assert_eq!(answer.retries_left, 0);
    for _ in 0..100 {
        meter.report(&a, Outcome::Failed, &nothing, 0, NOON);
    }
    assert_eq!(meter.look(&apis, &a, 0, NOON).wait_ms, 60_000);
    meter.report(&a, Outcome::Answered, &nothing, 0, NOON);
    assert!(meter.look(&apis, &a, 0, NOON).allowed);
}

#[test]
fn the_next_one_with_room_is_named_in_order() {
    let apis = set(&[
        ("a", 1, 0, &["b", "c", "c/small"]),
        ("b", 1, 0, &[]),
        ("c", 5, 100, &[]),
        ("c/small", 5, 0, &[]),
    ]);
    let mut meter = Meter::default();
    assert_eq!(meter.acquire(&apis, &"a".into(), 0, NOON).next, None);
    assert_eq!(
        meter.acquire(&apis, &"a".into(), 0, NOON).next.as_deref(),
        Some("b")
    );
    assert!(meter.acquire(&apis, &"b".into(), 0, NOON).allowed);
    assert_eq!(
        meter.acquire(&apis, &"a".into(), 50, NOON).next.as_deref(),
        Some("c")
    );
    assert_eq!(
        meter.acquire(&apis, &"a".into(), 200, NOON).next.as_deref(),
        Some("c/small")
    );
    let large = meter.acquire(&apis, &"c".into(), 101, NOON);
    assert_eq!(large.reason, Some(Reason::TooLarge));
}

#[test]
fn what_cannot_be_set_is_named() {
    let fine = Api::usual("a".into());
    let with = |change: &dyn Fn(&mut Api)| {
        let mut api = fine.clone();
        change(&mut api);
        api
    };
    for (field, api) in [
        ("name", with(&|a| a.name = "".into())),
        ("name", with(&|a| a.name = "a\n".into())),
        ("requests_per_minute", with(&|a| a.requests_per_minute = u64::MAX)),
        ("fallback", with(&|a| a.fallback = vec!["a".into()])),
        ("fallback", with(&|a| a.fallback = vec!["b".into(); 100])),
    ] {
        let Err(Refusal::Invalid { field: named, .. }) = api.checked() else {
            panic!("{field} was accepted");
        };
        assert_eq!(named, field);
    }
    assert!(fine.checked().is_ok());
}

#[test]
fn the_number_of_metered_apis_is_bounded() {
    let (mut meter, apis) = (Meter::default(), Apis::new());
    for n in 0..crate::limits::MAX_METERED_APIS as u32 + 50 {
        meter.acquire(&apis, &format!("{n}").into(), 0, NOON + i64::from(n));
    }
    assert_eq!(meter.names().count(), crate::limits::MAX_METERED_APIS);
}

proptest! {
    /// Whenever calls come: no minute has more calls or tokens than the limit, and after the wait that was named there is
    /// room when nobody else comes.
    #[test]
    fn no_minute_has_more_than_the_limit(
        steps in proptest::collection::vec((0_i64..20_000, 0_u64..40), 1..150),
    ) {
        let (apis, a) = (set(&[("a", 5, 100, &[])]), Name::from("a"));
        let (mut meter, mut now) = (Meter::default(), NOON);
        let mut granted: Vec<(i64, u64)> = Vec::new();
        for (wait, tokens) in steps {
            now += wait;
            let answer = meter.acquire(&apis, &a, tokens, now);
            if answer.allowed {
                granted.push((now, tokens));
            } else {
                prop_assert!(answer.wait_ms > 0 && answer.wait_ms <= MINUTE + 1_000);
                prop_assert!(meter.look(&apis, &a, tokens, now + answer.wait_ms).allowed);
            }
            let minute = granted.iter().filter(|(at, _)| *at > now - MINUTE);
            prop_assert!(minute.clone().count() <= 5);
            prop_assert!(minute.map(|(_, tokens)| tokens).sum::<u64>() <= 100);
        }
    }
}

const MINUTE: i64 = 60_000;
