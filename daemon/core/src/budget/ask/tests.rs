//! Examples for estimates.

use super::*;
use crate::testing::observation;

pub(crate) fn ask() -> Ask {
    let name = |text: &str| -> Name { text.into() };
    Ask {
        id: name("r1"),
        caller: Caller {
            agent: name("claude-code"),
            session: name("s"),
            task: name(""),
            project: name("/p"),
            user: name("me"),
            tool: name(""),
            provider: name("anthropic"),
            model: name("claude-sonnet-4-5"),
        },
        tokens: 0,
        usd: None,
        usage: Tokens {
            input: 100_000,
            ..Tokens::default()
        },
        appended: None,
        max_output: 0,
        strict: false,
        requests: 0,
        ttl_ms: 0,
    }
}

fn estimate(ask: &Ask, habits: &Habits) -> Estimate {
    ask.clone()
        .checked(&"me".into())
        .unwrap()
        .estimate(habits, &PriceBook::bundled(), 1_795_176_000_000)
}

#[test]
fn an_answer_is_estimated_by_what_this_agent_and_model_answered_lately() {
    let mut habits = Habits::default();
    assert_eq!(estimate(&ask(), &habits).usage.output, UNKNOWN_ANSWER);
    for n in 1..=100 {
        let mut seen = observation("k", 0);
        seen.tokens.output = n * 10;
        habits.saw(&seen, None);
    }
    // The last 64 answers: 370 to 1,000.
    assert_eq!(estimate(&ask(), &habits).usage.output, 970);
    let capped = Ask {
        max_output: 500,
        ..ask()
    };
    assert_eq!(estimate(&capped, &habits).usage.output, 500);
    let strict = Ask {
        strict: true,
        ..capped.clone()
    };
    assert_eq!(estimate(&strict, &habits).usage.output, 500);
    let mut other = ask();
    other.caller.agent = "codex".into();
    assert_eq!(estimate(&other, &habits).usage.output, UNKNOWN_ANSWER);
    let said = Ask {
        usage: Tokens {
            input: 10,
            output: 20,
            ..Tokens::default()
        },
        ..ask()
    };
    assert_eq!(estimate(&said, &habits).usage, said.usage);
}

#[test]
fn a_warm_prompt_is_priced_as_a_cache_read() {
    let now = 1_795_176_000_000;
    let mut habits = Habits::default();
    let cold = estimate(&ask(), &habits);
    let mut seen = observation("k", now - 60_000);
    seen.tokens = Tokens {
        input: 10,
        cache_read: 80_000,
        cache_write_5m: 9_990,
        output: 100,
        ..Tokens::default()
    };
    habits.saw(&seen, None);
    let warm = estimate(&ask(), &habits);
    assert_eq!(
        (warm.usage.cache_read, warm.usage.cache_write_5m),
        (90_000, 10_000)
    );
    assert_eq!(warm.usage.prompt(), cold.usage.prompt());
    assert!(
        warm.cost.unwrap().0 * 2 < cold.cost.unwrap().0,
        "{warm:?} {cold:?}"
    );
    // The cache lives five minutes.
    let later = ask()
        .checked(&"me".into())
        .unwrap()
        .estimate(&habits, &PriceBook::bundled(), now + 600_000);
    assert_eq!(later.usage.cache_read, 0);
    // The worst case does not hope for the cache.
    let strict = Ask {
        strict: true,
        ..ask()
    };
    let worst = estimate(&strict, &habits);
    assert!(worst.cost > cold.cost && worst.usage.cache_read == 0);
}

#[test]
fn tokens_of_no_class_cost_what_the_dearest_class_costs() {
    let flat = Ask {
        usage: Tokens::default(),
        tokens: 1_000_000,
        ..ask()
    };
    assert_eq!(
        estimate(&flat, &Habits::default()).cost,
        Some(Pico(15 * PICO_PER_USD))
    );
    let mut unknown = flat;
    unknown.caller.model = "".into();
    assert_eq!(estimate(&unknown, &Habits::default()).cost, None);
    let money = Ask {
        usd: Some(Pico(5)),
        ..unknown
    };
    assert_eq!(estimate(&money, &Habits::default()).cost, Some(Pico(5)));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let field = |ask: Ask| match ask.checked(&"me".into()) {
        Err(Refusal::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let none = Ask {
        usage: Tokens::default(),
        ..ask()
    };
    assert_eq!(field(none.clone()), "tokens");
    let much = Ask {
        tokens: u64::MAX,
        ..none.clone()
    };
    assert_eq!(field(much), "tokens");
    let negative = Ask {
        usd: Some(Pico(-1)),
        ..none.clone()
    };
    assert_eq!(field(negative), "usd");
    let long = Ask {
        ttl_ms: i64::MAX,
        ..ask()
    };
    assert_eq!(field(long), "ttl_ms");
    let mut named = ask();
    named.caller.task = "x".repeat(2_000).into();
    assert_eq!(field(named), "task");
    let bucket = Ask {
        usage: Tokens::from_array([u64::MAX; 11]),
        ..ask()
    };
    assert_eq!(field(bucket), "usage");
}
