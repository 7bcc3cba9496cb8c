//! Where a call was made, and the provider's name for it.

use super::*;
use crate::agents::Beside;

#[test]
fn branch_skill_server_and_request_are_taken_along() {
    let extra = r#","gitBranch":"topic","requestId":"req_1","attributionSkill":"review""#;
    let tool = r#""content":[{"type":"tool_use","name":"mcp__github__get_issue","input":{}}]"#;
    let text = line("m1", "02", "412", "\"end_turn\"", extra, "")
        .replace(r#""content":[{"type":"text","text":"abcdefgh"}]"#, tool);
    let seen = only(&text);
    let place = seen.place.unwrap();
    assert_eq!(&*seen.request_id, "req_1");
    assert_eq!(
        [
            &*place.branch,
            &*place.skill,
            &*place.mcp_server,
            &*place.subagent,
            &*place.commit
        ],
        ["topic", "review", "github", "", ""]
    );
    // Nothing known is nothing, and an id without end is none.
    let endless = format!(r#","gitBranch":null,"requestId":"{}""#, "r".repeat(10_000));
    let seen = only(&line("m1", "02", "412", "\"end_turn\"", &endless, ""));
    assert_eq!((&*seen.request_id, seen.place), ("", None));
}

#[test]
fn the_kind_of_a_subagent_stands_beside_its_file() {
    let beside = |path: &std::path::Path, _: usize| {
        let meta = path.ends_with("agent-7.meta.json");
        meta.then(|| br#"{"agentType":"Explore","description":"x"}"#.to_vec())
    };
    let text = line("m1", "02", "412", "\"end_turn\"", "", "");
    for (name, kind) in [("agent-7", Some("Explore")), ("agent-8", None), ("stem-1", None)] {
        let origin = Origin {
            path: format!("/p/projects/-p/s/subagents/{name}.jsonl").as_str().into(),
            beside: Beside(beside),
            ..origin()
        };
        let found = testing::lines(open, origin, &text);
        let place = found.observations[0].place.as_ref();
        assert_eq!(place.map(|place| &*place.subagent), kind, "{name}");
    }
}
