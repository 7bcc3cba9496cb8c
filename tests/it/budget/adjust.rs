//! A limit that follows what is used, over several days.

use serde_json::Value;
use tokmon_tests::env::Env;

use super::NOON;

const DAY: i64 = 24 * 60 * 60 * 1000;

const RULE: [&str; 4] = ["--adjust-min", "500", "--adjust-max", "1300"];

fn set(env: &Env, more: &[&str]) -> tokmon_tests::env::Run {
    let mut line = vec![
        "budget",
        "set",
        "day",
        "--tokens",
        "1000",
        "--timezone",
        "UTC",
        "--action",
        "deny",
    ];
    line.extend(more);
    env.ctl(&line)
}

fn spend(env: &Env, tokens: &str) {
    let line = ["record", "--model", "claude-sonnet-4-5", "--input", tokens];
    env.ctl(&line).success();
}

fn limit(env: &Env) -> Value {
    env.ctl_json(&["budget", "show", "day"])["limit_tokens"].clone()
}

fn adjusted(env: &Env) -> Vec<Value> {
    let answer = env.ctl_json(&["audit", "--decision", "budget_adjusted"]);
    answer["acts"].as_array().expect("acts").clone()
}

#[test]
fn a_limit_follows_over_days_within_its_bounds() {
    let env = Env::with_clock(NOON);
    let mut daemon = env.start_daemon();
    set(&env, &["--adjust", "p95", RULE[0], RULE[1], RULE[2], RULE[3]]).success();
    // Two days are too few to learn from, then a step a day until the bound; and down again.
    let mut now = NOON;
    for (day, expected) in [1000, 1000, 1000, 1200, 1300, 1300].into_iter().enumerate() {
        env.set_clock(now);
        now += DAY;
        // Whoever comes first in the new day: a claim, or a look.
        if day % 2 == 0 {
            let asked = ["budget", "reserve", "--tokens", "1250", "--json"];
            assert_eq!(env.ctl(&asked).code, i32::from(expected < 1250), "day {day}");
        }
        assert_eq!(limit(&env), expected, "day {day}");
        spend(&env, "5000");
        assert_eq!(limit(&env), expected, "it never changes inside a window");
        assert_eq!(adjusted(&env).len(), day, "once a day");
        if day == 3 {
            // Killed and read back: the same limit, and no second decision.
            daemon.kill();
            daemon = env.start_daemon();
            assert_eq!(limit(&env), expected);
            assert_eq!(adjusted(&env).len(), day);
        }
    }
    let last = &adjusted(&env)[0];
    assert_eq!(last["budget"], "day");
    assert_eq!(last["by"]["user"], "tokmond", "{last}");
    assert!(
        last["reason"]
            .as_str()
            .is_some_and(|why| why.contains("1,300 tokens")),
        "{last}"
    );
    // The daemon was away for two days: one decision for the day that runs.
    daemon.stop();
    env.set_clock(NOON + 8 * DAY);
    let daemon = env.start_daemon();
    assert_eq!(limit(&env), 1300);
    assert_eq!(adjusted(&env).len(), 6);
    let next = env.ctl_json(&["budget", "suggest", "day"])["next"].clone();
    assert_eq!(
        (&next["unit"], &next["limit"]),
        (&"tokens".into(), &1300.into()),
        "{next}"
    );
    let shown = env.ctl(&["budget", "show", "day"]).success().stdout;
    assert!(!shown.contains('\u{fffd}') && shown.ends_with('\n'), "{shown}");
    assert!(shown.contains("p95 of the last 6 windows"), "{shown}");

    // The file that set it has nothing to change, and takes it back when it says so.
    let file = env.path("budgets.toml");
    let rule = "[budget.day]\ntokens = 1000\ntimezone = \"UTC\"\naction = \"deny\"\n";
    let adjust = "adjust = { to = \"p95\", min = 500, max = 1300 }\n";
    let apply = |text: String| {
        std::fs::write(&file, text).expect("the file");
        env.ctl(&["budget", "apply", file.to_str().expect("a path")])
            .success()
            .stdout
    };
    assert_eq!(apply(rule.to_owned() + adjust), "= day\n");
    assert_eq!(limit(&env), 1300);
    assert!(apply(rule.to_owned()).starts_with("~ day: adjust"));
    assert_eq!(limit(&env), 1000);
    env.set_clock(NOON + 9 * DAY);
    assert_eq!(limit(&env), 1000, "off is off");
    daemon.stop();
}

#[test]
fn bounds_are_needed_and_named() {
    let env = Env::with_clock(NOON);
    let _daemon = env.start_daemon();
    for (more, named) in [
        (&["--adjust", "p95"][..], "--adjust-min"),
        (&["--adjust", "p50", RULE[0], RULE[1], RULE[2], RULE[3]], "p50"),
        (
            &["--adjust", "p95", RULE[0], "1001", RULE[2], RULE[3]],
            "adjust.min",
        ),
        (
            &["--adjust", "p95", RULE[0], "-5", RULE[2], RULE[3]],
            "--adjust-min",
        ),
        (
            &[
                "--adjust", "p95", RULE[0], RULE[1], RULE[2], RULE[3], "--window", "5h",
            ],
            "adjust",
        ),
        (&["--adjust-min", "5"], "--adjust"),
    ] {
        let run = set(&env, more);
        assert_ne!(run.code, 0, "{more:?}");
        assert!(run.stderr.contains(named), "{more:?}: {}", run.stderr);
    }
    assert_eq!(
        env.ctl_json(&["budget", "list"])["budgets"],
        Value::Array(Vec::new())
    );
}
