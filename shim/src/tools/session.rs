//! `get_current_session_stats` and `reset_session`.

use rmcp::model::JsonObject;
use serde_json::{Value, json};
use tokmon_client::Kind;
use tokmon_client::v1::{GetSessionRequest, ResetSessionRequest, ResetSessionResponse, Session, TotalsRow};

use super::{Context, Failure};
use crate::answer::{
    Answer, Row, counted, dollars, grouped, requests, rows_line, rows_object, total_tokens, totals_line,
    totals_object,
};
use crate::arguments::Arguments;
use crate::money;

pub(super) async fn get_current_session_stats(
    context: &Context<'_>,
    given: Option<JsonObject>,
) -> Result<Answer, Failure> {
    Arguments::new(given, &[])?;
    let request = GetSessionRequest {
        id: context.sessions.current(&context.caller),
        agent: context.caller.agent.clone(),
    };
    match context
        .daemon
        .call(async |client| client.get_session(request.clone()).await)
        .await
    {
        Ok(session) => Ok(statistics(&session)),
        // A session begins with its first record.
        Err(error) if error.kind() == Kind::NotFound => Ok(Answer::new(
            "No usage recorded in this session yet.",
            json!({"requests": 0, "total_tokens": 0, "cost_usd": "0"}),
        )),
        Err(error) => Err(error.into()),
    }
}

fn statistics(session: &Session) -> Answer {
    let totals = session.totals.unwrap_or_default();
    let (tools, models) = (rows(&session.by_tool), rows(&session.by_model));
    let mut text = format!(
        "Session {} ({}): {}.",
        session.id,
        session.agent,
        totals_line(&totals)
    );
    text.push_str(&rows_line("Tools", &tools));
    text.push_str(&rows_line("Models", &models));
    let mut object = totals_object(&totals);
    object.insert("session".to_owned(), json!(session.id));
    object.insert("agent".to_owned(), json!(session.agent));
    for (name, rows) in [("by_tool", &tools), ("by_model", &models)] {
        if !rows.is_empty() {
            object.insert(name.to_owned(), rows_object(rows));
        }
    }
    if session.waste_events > 0 {
        let (events, tokens) = (
            counted(session.waste_events, "finding"),
            grouped(session.wasted_tokens),
        );
        text.push_str(&format!("\nWaste: {events}, {tokens} tokens"));
        object.insert("waste_events".to_owned(), json!(session.waste_events));
        object.insert("wasted_tokens".to_owned(), json!(session.wasted_tokens));
    }
    Answer::new(text, Value::Object(object))
}

/// The rows of a breakdown, the most tokens first.
fn rows(given: &[TotalsRow]) -> Vec<Row> {
    let mut rows: Vec<Row> = given
        .iter()
        .map(|row| {
            let totals = row.totals.unwrap_or_default();
            Row {
                name: row.keys.first().cloned().unwrap_or_default(),
                requests: totals.requests,
                tokens: total_tokens(&totals.tokens.unwrap_or_default()),
                cost: totals.cost,
            }
        })
        .collect();
    rows.sort_by(|a, b| b.tokens.cmp(&a.tokens).then_with(|| a.name.cmp(&b.name)));
    rows
}

pub(super) async fn reset_session(
    context: &Context<'_>,
    given: Option<JsonObject>,
) -> Result<Answer, Failure> {
    Arguments::new(given, &[])?;
    let request = ResetSessionRequest {
        agent: context.caller.agent.clone(),
    };
    let response = context
        .daemon
        .call(async |client| client.reset_session(request.clone()).await)
        .await?;
    context.sessions.reset(&context.caller, response.started.clone());
    Ok(reset(&response))
}

fn reset(response: &ResetSessionResponse) -> Answer {
    let mut object = json!({"started": response.started});
    let ended = response.ended.clone().filter(|ended| !ended.session.is_empty());
    let text = match ended {
        None => format!("Session {} started. There was none before.", response.started),
        Some(ended) => {
            let tokens = total_tokens(&ended.tokens.unwrap_or_default());
            object["ended"] = json!({
                "id": ended.session,
                "requests": ended.requests,
                "total_tokens": tokens,
                "cost_usd": money::decimal(ended.cost.as_ref()),
            });
            format!(
                "Session {} ended: {}, {} tokens, {}. Session {} started; history stays.",
                ended.session,
                requests(ended.requests),
                grouped(tokens),
                dollars(ended.cost.as_ref()),
                response.started,
            )
        }
    };
    Answer::new(text, object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_client::v1::{SessionTotals, Tokens, Totals};

    fn totals(input: u64) -> Option<Totals> {
        Some(Totals {
            requests: 1,
            tokens: Some(Tokens {
                input,
                ..Tokens::default()
            }),
            ..Totals::default()
        })
    }

    #[test]
    fn statistics_show_the_largest_first() {
        let row = |name: &str, input| TotalsRow {
            keys: vec![name.to_owned()],
            totals: totals(input),
            ..TotalsRow::default()
        };
        let session = Session {
            id: "s1".to_owned(),
            agent: "codex".to_owned(),
            totals: totals(300),
            by_tool: vec![row("Read", 100), row("Grep", 200)],
            waste_events: 2,
            wasted_tokens: 50,
            ..Session::default()
        };
        let told = statistics(&session);
        assert_eq!(
            told.text,
            "Session s1 (codex): 1 request, 300 tokens (in 300), $0.\nTools: Grep 200, Read 100\n\
             Waste: 2 findings, 50 tokens"
        );
        let object = told.object.unwrap();
        assert_eq!(object["by_tool"][0]["name"], "Grep");
        assert_eq!(
            (&object["wasted_tokens"], object.get("by_model")),
            (&json!(50), None)
        );
    }

    #[test]
    fn a_reset_tells_what_ended() {
        let mut response = ResetSessionResponse {
            started: "s2".to_owned(),
            ended: None,
        };
        assert_eq!(
            reset(&response).text,
            "Session s2 started. There was none before."
        );
        response.ended = Some(SessionTotals {
            session: "s1".to_owned(),
            requests: 3,
            ..SessionTotals::default()
        });
        let told = reset(&response);
        assert_eq!(
            told.text,
            "Session s1 ended: 3 requests, 0 tokens, $0. Session s2 started; history stays."
        );
        assert_eq!(told.object.unwrap()["ended"]["id"], "s1");
    }
}
