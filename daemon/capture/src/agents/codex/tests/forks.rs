//! Forks and subagents: which of the lines in their files are theirs.

use super::*;

/// The parent's history as a fork has it: new times, a millisecond apart, from the given instant on.
fn replayed(ms: i64, parent: &str, turn_extra: &str) -> String {
    meta(ms, parent, "")
        + &turn(ms + 1, turn_extra)
        + &count(ms + 2, (1_000, 0, 100), (1_000, 0, 100))
        + &count(ms + 3, (2_000, 0, 200), (1_000, 0, 100))
}

#[test]
fn a_forks_replay_is_its_parents() {
    let (parent, child) = (v7(-9_000, 1), v7(100, 2));
    let fork = format!(r#","forked_from_id":"{parent}""#);
    let spawn = format!(r#","source":{{"subagent":{{"thread_spawn":{{"parent_thread_id":"{parent}"}}}}}}"#);
    let begun = format!(r#","turn_id":"{}""#, v7(-8_000, 3));
    let own_turn = format!(r#","turn_id":"{}""#, v7(100, 4));
    let own = count(106_000, (2_500, 0, 230), (500, 0, 30));
    let t = 100_000;
    for (name, text, wanted) in [
        (
            "dated turns",
            meta(t, &child, &fork) + &replayed(t, &parent, &begun) + &turn(t + 5, &own_turn) + &own,
            vec![(500, 0, 30)],
        ),
        (
            "old turns",
            meta(t, &child, &fork) + &replayed(t, &parent, "") + &turn(t + 4_000, "") + &own,
            vec![(500, 0, 30)],
        ),
        (
            "no turn of its own",
            meta(t, &child, &fork) + &replayed(t, &parent, "") + &own,
            vec![(500, 0, 30)],
        ),
        (
            "a turn at once",
            meta(t, &child, &spawn) + &replayed(t, &parent, "") + &turn(t + 4, "") + &own,
            vec![(500, 0, 30)],
        ),
        (
            "across a second",
            meta(t, &child, &fork) + &replayed(t + 998, &parent, "") + &turn(t + 4_000, "") + &own,
            vec![(500, 0, 30)],
        ),
        (
            "no mark but the parent's meta",
            meta(t, &child, "") + &replayed(t, &parent, "") + &turn(t + 4_000, "") + &own,
            vec![(500, 0, 30)],
        ),
        (
            "original times",
            meta(t, &child, &fork) + &replayed(-5_000_000, &parent, "") + &turn(t + 4_000, "") + &own,
            vec![(500, 0, 30)],
        ),
        (
            "nothing but a replay",
            meta(t, &child, &fork) + &replayed(t, &parent, ""),
            vec![],
        ),
        (
            "no replay",
            meta(t, &child, &spawn) + &turn(t + 5, &own_turn) + &count(106_000, (500, 0, 30), (500, 0, 30)),
            vec![(500, 0, 30)],
        ),
        (
            "no replay, old",
            meta(t, &child, &spawn) + &turn(t + 5, "") + &count(106_000, (500, 0, 30), (500, 0, 30)),
            vec![(500, 0, 30)],
        ),
        (
            "no last, unknown prefix",
            meta(t, &child, &fork)
                + &turn(t + 5, &own_turn)
                + &at(
                    106_000,
                    "event_msg",
                    &format!(
                        r#"{{"type":"token_count","info":{{"total_token_usage":{}}}}}"#,
                        usage(9_000, 0, 900)
                    ),
                )
                + &count(107_000, (9_500, 0, 930), (500, 0, 30)),
            vec![(500, 0, 30)],
        ),
        (
            "written slowly, without turns",
            meta(t, &child, &fork)
                + &meta(t + 2_000, &parent, "")
                + &count(t + 4_000, (1_000, 0, 100), (1_000, 0, 100))
                + &count(t + 6_000, (2_000, 0, 200), (1_000, 0, 100))
                + &turn(t + 8_000, "")
                + &own,
            vec![(500, 0, 30)],
        ),
        (
            "a quick answer",
            meta(t, &child, &fork)
                + &replayed(t, &parent, "")
                + &turn(t + 5, "")
                + &count(t + 400, (2_500, 0, 230), (500, 0, 30)),
            vec![(500, 0, 30)],
        ),
        (
            "a quick answer, no replay",
            meta(t, &child, &spawn) + &turn(t + 5, "") + &count(t + 400, (500, 0, 30), (500, 0, 30)),
            vec![(500, 0, 30)],
        ),
        (
            "a moment before the replay",
            meta(t, &child, &fork) + &replayed(t + 900, &parent, "") + &turn(t + 4_000, "") + &own,
            vec![(500, 0, 30)],
        ),
        (
            "records",
            meta(t, &child, &fork)
                + &meta(t, &parent, "")
                + &record(t + 1, &parent, "r1", (1_000, 0, 100))
                + &record(t + 2, &child, "r2", (500, 0, 30))
                + &count(t + 3, (1_500, 0, 130), (500, 0, 30)),
            vec![(500, 0, 30)],
        ),
    ] {
        let seen = read(&text);
        assert_eq!(figures(&seen), wanted, "{name}");
        assert!(seen.iter().all(|seen| *seen.who.session == *child), "{name}");
    }
    assert!(
        read(&(meta(t, &child, &spawn) + &own))
            .iter()
            .all(|seen| seen.sidechain)
    );
}

#[test]
fn after_a_doubtful_end_the_parents_file_decides() {
    let (parent, child) = (v7(-9_000, 1), v7(100, 2));
    let slow = meta(100_000, &child, &format!(r#","forked_from_id":"{parent}""#))
        + &meta(100_001, &parent, "")
        + &turn(100_002, "")
        + &count(100_003, (1_000, 0, 100), (1_000, 0, 100))
        + &count(109_000, (2_000, 0, 200), (1_000, 0, 100));
    let original = meta(-9_000_000, &parent, "")
        + &turn(-8_999_000, "")
        + &count(-8_990_000, (1_000, 0, 100), (1_000, 0, 100))
        + &count(-8_980_000, (2_000, 0, 200), (1_000, 0, 100));
    assert_eq!(read(&slow)[0].key, read(&original)[1].key);
}

#[test]
fn a_fork_that_begins_from_nothing_may_repeat_its_parents_calls() {
    let (parent, child) = (v7(-9_000, 1), v7(100, 2));
    let history = |ms: i64| {
        turn(ms, "")
            + &count(ms + 2_000, (1_000, 0, 100), (1_000, 0, 100))
            + &count(ms + 4_000, (2_000, 0, 200), (1_000, 0, 100))
    };
    let original = read(&(meta(-9_000_000, &parent, "") + &history(-8_999_000)));
    let keys = |seen: &[Observation]| seen.iter().map(|seen| seen.key).collect::<Vec<_>>();
    let forked = meta(100_000, &child, &format!(r#","forked_from_id":"{parent}""#));
    let slow = read(&(forked.clone() + &history(102_000)));
    assert_eq!(keys(&slow), keys(&original));
    // What stands on the parent's figures is the fork's own.
    let own = read(&(forked + &turn(102_000, "") + &count(104_000, (2_000, 0, 200), (1_000, 0, 100))));
    assert_ne!(own[0].key, original[1].key);
    // So is all that a subagent does that was not given its parent's history.
    let spawn = format!(r#","source":{{"subagent":{{"thread_spawn":{{"parent_thread_id":"{parent}"}}}}}}"#);
    let fresh = read(&(meta(100_000, &child, &spawn) + &history(102_000)));
    assert_eq!(fresh.len(), 2);
    assert!(keys(&fresh).iter().all(|key| !keys(&original).contains(key)));
}
