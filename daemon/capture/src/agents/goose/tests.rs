//! Databases and files of Goose's, and what is right to make of them.

use tokmon_core::money::Pico;
use tokmon_core::observation::{CallKind, Confidence};

use super::*;
use crate::agents::testing::{Database, Documents, keys, rows};

const SCHEMA: &str = "CREATE TABLE sessions(id TEXT PRIMARY KEY, name TEXT NOT NULL DEFAULT '',
    session_type TEXT NOT NULL DEFAULT 'user', working_dir TEXT NOT NULL, created_at TIMESTAMP DEFAULT '2026-11-20 08:00:00',
    updated_at TIMESTAMP DEFAULT '2026-11-20 08:30:00', total_tokens INTEGER, input_tokens INTEGER, output_tokens INTEGER,
    accumulated_total_tokens INTEGER, accumulated_input_tokens INTEGER, accumulated_output_tokens INTEGER,
    accumulated_cost REAL, provider_name TEXT, model_config_json TEXT);
    INSERT INTO sessions(id, working_dir, model_config_json, provider_name) VALUES
    ('20261120_1', '/w/app', '{\"model_name\":\"gpt-5.4\",\"context_limit\":null}', 'openai');";

/// What newer versions add to it.
const NEWER: &str = "ALTER TABLE sessions ADD COLUMN accumulated_cache_read_tokens INTEGER;
    ALTER TABLE sessions ADD COLUMN accumulated_cache_write_tokens INTEGER;
    CREATE TABLE usage_ledger(id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, created_timestamp INTEGER NOT NULL,
    model TEXT, input_tokens INTEGER, output_tokens INTEGER, total_tokens INTEGER, cache_read_tokens INTEGER,
    cache_write_tokens INTEGER, cost REAL, cost_source TEXT, is_compaction INTEGER DEFAULT 0);";

fn database() -> Database {
    Database::new(database::read, "sessions.db", SCHEMA)
}

fn set(database: &Database, total: &str, input: &str, output: &str, cost: &str) {
    database.run(&format!(
        "UPDATE sessions SET accumulated_total_tokens = {total}, accumulated_input_tokens = {input},
         accumulated_output_tokens = {output}, accumulated_cost = {cost}"
    ));
}

/// A session of the newer kind.
fn open(database: &Database, id: &str, created: &str) {
    database.run(&format!(
        "INSERT INTO sessions(id, working_dir, created_at, model_config_json) VALUES('{id}', '/w/b', '{created}',
         '{{\"model_name\":\"m0\"}}')"
    ));
}

/// What Goose does after a call: what no row tells of becomes one, the total grows, the call becomes a row.
fn used(database: &Database, id: &str, model: &str, [input, output, read, written]: [u64; 4]) {
    database.run(&format!(
        "INSERT INTO usage_ledger(session_id, created_timestamp, input_tokens, output_tokens, total_tokens,
         cache_read_tokens, cache_write_tokens, cost_source)
         SELECT s.id, 1795164000, s.accumulated_input_tokens - l.i, s.accumulated_output_tokens - l.o,
         s.accumulated_total_tokens - l.i - l.o, 0, 0, 'carried_forward'
         FROM sessions s, (SELECT COALESCE(SUM(input_tokens), 0) AS i, COALESCE(SUM(output_tokens), 0) AS o
         FROM usage_ledger WHERE session_id = '{id}') l WHERE s.id = '{id}' AND s.accumulated_input_tokens > l.i;
         UPDATE sessions SET accumulated_total_tokens = COALESCE(accumulated_total_tokens, 0) + {input} + {output},
         accumulated_input_tokens = COALESCE(accumulated_input_tokens, 0) + {input},
         accumulated_output_tokens = COALESCE(accumulated_output_tokens, 0) + {output},
         accumulated_cache_read_tokens = COALESCE(accumulated_cache_read_tokens, 0) + {read},
         accumulated_cache_write_tokens = COALESCE(accumulated_cache_write_tokens, 0) + {written},
         accumulated_cost = COALESCE(accumulated_cost, 0) + 0.1 WHERE id = '{id}';
         INSERT INTO usage_ledger(session_id, created_timestamp, model, input_tokens, output_tokens, total_tokens,
         cache_read_tokens, cache_write_tokens, cost, cost_source)
         VALUES('{id}', 1795164001, '{model}', {input}, {output}, {input} + {output}, {read}, {written}, 0.1, 'estimated')"
    ));
}

#[test]
fn differences_go_to_the_model_of_the_moment() {
    let mut database = database();
    assert_eq!(rows(&database.read()), [""; 0]);
    set(&database, "1500", "1200", "300", "0.25");
    let found = database.read();
    assert_eq!(rows(&found), ["20261120_1 gpt-5.4 1200+300 r0 w0"]);
    let call = &found.observations[0];
    assert_eq!(
        (&*call.who.project, &*call.provider, call.at_ms),
        ("/w/app", "openai", 1_795_163_400_000)
    );
    assert_eq!(call.reported_cost, Pico::parse_usd("0.25"));
    database.run(
        "UPDATE sessions SET model_config_json = '{\"model_name\":\"claude-opus-4-8\"}', provider_name = ''",
    );
    assert_eq!(rows(&database.read()), [""; 0]);
    set(&database, "1700", "1300", "360", "0.75");
    let found = database.read();
    assert_eq!(
        rows(&found),
        ["20261120_1 claude-opus-4-8 100+100 r0 w0 reasoning 40"]
    );
    assert_eq!(&*found.observations[0].provider, "anthropic");
    assert_eq!(found.observations[0].reported_cost, Pico::parse_usd("0.5"));
    // A new version of the reader, or a copy elsewhere, begins without its state; the totals are still known.
    database.state.clear();
    database.origin.user = "bob".into();
    assert_eq!(rows(&database.read()), [""; 0]);
}

#[test]
fn newer_versions_tell_what_of_the_input_was_cached() {
    let mut old = database();
    set(&old, "1500", "1200", "300", "0.25");
    assert_eq!(rows(&old.read()), ["20261120_1 gpt-5.4 1200+300 r0 w0"]);
    old.run(NEWER);
    assert_eq!(rows(&old.read()), [""; 0]);
    let cached = |database: &Database, read: u64, written: u64| {
        database.run(&format!(
            "UPDATE sessions SET accumulated_cache_read_tokens = {read}, accumulated_cache_write_tokens = {written}"
        ));
    };
    // Told of what was counted already.
    cached(&old, 100, 20);
    assert_eq!(rows(&old.read()), [""; 0]);
    set(&old, "3000", "2600", "400", "0.5");
    cached(&old, 900, 120);
    assert_eq!(rows(&old.read()), ["20261120_1 gpt-5.4 500+100 r800 w100"]);
    let mut fresh = database();
    fresh.run("ALTER TABLE sessions ADD COLUMN accumulated_cache_read_tokens INTEGER");
    set(&fresh, "1500", "1200", "300", "0.25");
    fresh.run("UPDATE sessions SET accumulated_cache_read_tokens = 5000");
    assert_eq!(rows(&fresh.read()), ["20261120_1 gpt-5.4 0+300 r1200 w0"]);
}

#[test]
fn each_call_of_newer_versions_is_one() {
    let mut database = database();
    database.run(NEWER);
    used(&database, "20261120_1", "m1", [1_000, 50, 300, 20]);
    used(&database, "20261120_1", "m2", [2_000, 60, 0, 0]);
    let found = database.read();
    assert_eq!(
        rows(&found),
        ["20261120_1 m1 680+50 r300 w20", "20261120_1 m2 2000+60 r0 w0"]
    );
    let call = &found.observations[0];
    assert_eq!((call.at_ms, call.kind), (1_795_164_001_000, CallKind::Completion));
    assert_eq!(call.reported_cost, Pico::parse_usd("0.1"));
    let same = keys(&found);
    assert_eq!(rows(&database.read()), [""; 0]);
    // One without a model, one that used nothing, one that cannot be read: its figures are in the total.
    used(&database, "20261120_1", "", [10, 1, 0, 0]);
    used(&database, "20261120_1", "m1", [0, 0, 0, 0]);
    used(&database, "20261120_1", "m1", [100, 2, 0, 0]);
    database.run("UPDATE usage_ledger SET cache_read_tokens = -1 WHERE input_tokens = 10");
    let found = database.read();
    assert_eq!(
        (rows(&found), found.failures),
        (
            vec![
                "20261120_1 gpt-5.4 10+1 r0 w0".to_owned(),
                "20261120_1 m1 100+2 r0 w0".to_owned()
            ],
            1
        )
    );
    assert_eq!(found.observations[0].kind, CallKind::Several);
    // Copies tell nothing new, and elsewhere the calls are the same.
    database.state.clear();
    database.origin.path = database
        .origin
        .path
        .replace("sessions.db", "./sessions.db")
        .into();
    database.run("UPDATE usage_ledger SET cache_read_tokens = 0 WHERE input_tokens = 10");
    assert_eq!(rows(&database.read()), [""; 0]);
    database.counters = Default::default();
    database.state.clear();
    assert_eq!(keys(&database.read())[..2], same);
}

#[test]
fn what_was_used_before_there_were_rows_counts_once() {
    let totals = |database: &mut Database| {
        set(database, "1500", "1200", "300", "NULL");
        database.read()
    };
    let grow = |database: &Database| {
        database.run(NEWER);
        used(database, "20261120_1", "m1", [100, 5, 0, 0]);
    };
    // Looked at before and after Goose was updated.
    let mut watched = database();
    assert_eq!(rows(&totals(&mut watched)), ["20261120_1 gpt-5.4 1200+300 r0 w0"]);
    grow(&watched);
    assert_eq!(rows(&watched.read()), ["20261120_1 m1 100+5 r0 w0"]);
    // Only after.
    let mut late = database();
    set(&late, "1500", "1200", "300", "NULL");
    grow(&late);
    let found = late.read();
    assert_eq!(
        rows(&found),
        ["20261120_1 gpt-5.4 1200+300 r0 w0", "20261120_1 m1 100+5 r0 w0"]
    );
    assert_eq!(found.observations[0].kind, CallKind::Several);
    // By a version of this reader that knew a session by its id.
    let mut older = database();
    grow(&older);
    let known = Tokens {
        input: 40,
        output: 5,
        ..Tokens::default()
    };
    older.counters.begin("agent", "20261120_1", known, None, "");
    assert_eq!(rows(&older.read()), ["20261120_1 gpt-5.4 60+0 r0 w0"]);
}

#[test]
fn an_import_of_a_session_that_is_here_counts_what_came_after() {
    let mut database = database();
    database.run(NEWER);
    used(&database, "20261120_1", "m1", [1_000, 50, 0, 0]);
    used(&database, "20261120_1", "m1", [2_000, 60, 0, 0]);
    let import = |database: &Database, id: &str, total: [u64; 3]| {
        open(database, id, "2026-11-20 08:50:00");
        let [all, input, output] = total;
        database.run(&format!(
            "UPDATE sessions SET accumulated_total_tokens = {all}, accumulated_input_tokens = {input},
             accumulated_output_tokens = {output} WHERE id = '{id}'"
        ));
    };
    // One of what it is now, one of what it was, which has gone on, and one of another machine's.
    import(&database, "20261120_2", [3_110, 3_000, 110]);
    import(&database, "20261120_3", [1_050, 1_000, 50]);
    import(&database, "20261120_4", [777, 700, 77]);
    used(&database, "20261120_3", "m3", [10, 1, 0, 0]);
    let wanted = [
        "20261120_1 m1 1000+50 r0 w0",
        "20261120_1 m1 2000+60 r0 w0",
        "20261120_3 m3 10+1 r0 w0",
        "20261120_4 m0 700+77 r0 w0",
    ];
    assert_eq!(rows(&database.read()), wanted);
    assert_eq!(rows(&database.read()), [""; 0]);
    used(&database, "20261120_2", "m3", [20, 2, 0, 0]);
    assert_eq!(rows(&database.read()), ["20261120_2 m3 20+2 r0 w0"]);
    // Two that are older than the rows are alike by chance.
    let mut chance = self::database();
    open(&chance, "20261120_2", "2026-11-20 07:50:00");
    set(&chance, "110", "100", "10", "NULL");
    chance.run(NEWER);
    open(&chance, "20261120_3", "2026-11-20 08:50:00");
    used(&chance, "20261120_3", "m1", [100, 10, 0, 0]);
    assert_eq!(chance.read().observations.len(), 3);
}

#[test]
fn ids_are_given_again() {
    let mut database = database();
    set(&database, "110", "100", "10", "NULL");
    assert_eq!(rows(&database.read()), ["20261120_1 gpt-5.4 100+10 r0 w0"]);
    database.run("DELETE FROM sessions");
    open(&database, "20261120_1", "2026-11-20 08:40:00");
    set(&database, "220", "200", "20", "NULL");
    assert_eq!(rows(&database.read()), ["20261120_1 m0 200+20 r0 w0"]);
}

const FILE: &str = r#"{"working_dir":"/w/app","description":"d","schedule_id":null,"message_count":2,"total_tokens":500,"input_tokens":480,"output_tokens":20,"accumulated_total_tokens":1500,"accumulated_input_tokens":1200,"accumulated_output_tokens":300}
{"role":"user","created":1754043072,"content":[{"type":"text","text":"total_tokens"}]}
"#;

#[test]
fn a_file_of_an_old_version() {
    let mut file = Documents::new(file::read, "/g/sessions/20250801_101112.jsonl");
    let found = file.read(FILE);
    assert_eq!(rows(&found), ["20250801_101112 unknown 1200+300 r0 w0"]);
    let call = &found.observations[0];
    assert_eq!(
        (&*call.who.project, call.kind, call.confidence),
        ("/w/app", CallKind::Several, Confidence::Reported)
    );
    assert_eq!(rows(&file.read(FILE)), [""; 0]);
    let grown = FILE.replace(":1200", ":1250").replace(":1500", ":1560");
    assert_eq!(
        rows(&file.read(&grown)),
        ["20250801_101112 unknown 50+10 r0 w0 reasoning 10"]
    );
    for (text, wanted, failures) in [
        ("", None, 0),
        ("\n{}", None, 0),
        ("{}", None, 0),
        // The very first versions, and a file that begins with a message.
        (
            r#"{"description":"d","total_tokens":70,"input_tokens":null}"#,
            Some("s unknown 70+0 r0 w0"),
            0,
        ),
        (r#"{"role":"user","content":[]}"#, None, 0),
        (r#"{"accumulated_total_tokens":0,"total_tokens":70}"#, None, 0),
        (r#"{"accumulated_input_tokens":-3}"#, None, 1),
        (r#"{"accumulated_input_tokens":"many"}"#, None, 1),
        (r#"{"accumulated_input_tokens":3"#, None, 1),
        ("[1]", None, 1),
    ] {
        let found = Documents::new(file::read, "/g/sessions/s.jsonl").read(text);
        let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
        assert_eq!((rows(&found), found.failures), (wanted, failures), "{text}");
    }
}

#[test]
fn a_file_and_its_row_are_one_session() {
    let row = |database: &Database, total: [u64; 3]| {
        open(database, "20250801_101112", "2026-11-20T08:31:00.432971679+00:00");
        let [all, input, output] = total;
        database.run(&format!(
            "UPDATE sessions SET accumulated_total_tokens = {all}, accumulated_input_tokens = {input},
             accumulated_output_tokens = {output}, total_tokens = 90 WHERE id = '20250801_101112'"
        ));
    };
    for file_first in [true, false] {
        let mut file = Documents::new(file::read, "/g/sessions/20250801_101112.jsonl");
        let mut database = database();
        database.run(NEWER);
        row(&database, [1_500, 1_200, 300]);
        used(&database, "20250801_101112", "m1", [100, 5, 0, 0]);
        let mut found = Vec::new();
        for turn in [file_first, !file_first] {
            found.extend(if turn {
                std::mem::swap(&mut file.counters, &mut database.counters);
                let found = rows(&file.read(FILE));
                std::mem::swap(&mut file.counters, &mut database.counters);
                found
            } else {
                rows(&database.read())
            });
        }
        let model = if file_first { "unknown" } else { "m0" };
        let wanted = [
            format!("20250801_101112 {model} 1200+300 r0 w0"),
            "20250801_101112 m1 100+5 r0 w0".to_owned(),
        ];
        assert_eq!(found, wanted);
    }
}

#[test]
fn of_the_very_first_versions_sessions_there_is_the_latest_call() {
    let mut database = database();
    database.run("UPDATE sessions SET total_tokens = 70, input_tokens = 60, output_tokens = 10");
    let found = database.read();
    assert_eq!(rows(&found), ["20261120_1 gpt-5.4 60+10 r0 w0"]);
    assert_eq!(found.observations[0].confidence, Confidence::Estimated);
    // It goes on, and its total begins at nothing.
    set(&database, "110", "100", "10", "NULL");
    assert_eq!(rows(&database.read()), ["20261120_1 gpt-5.4 100+10 r0 w0"]);
}

#[test]
fn nothing_and_nonsense() {
    for (total, input, output, wanted, failures) in [
        ("NULL", "NULL", "NULL", None, 0),
        ("90", "NULL", "NULL", Some("20261120_1 gpt-5.4 90+0 r0 w0"), 0),
        ("0", "10.0", "'5'", Some("20261120_1 gpt-5.4 10+5 r0 w0"), 0),
        ("5", "-1", "5", None, 1),
        ("5", "'many'", "5", None, 1),
        ("5", "9223372036854775807", "5", None, 1),
    ] {
        let mut database = database();
        set(&database, total, input, output, "NULL");
        let found = database.read();
        let wanted: Vec<&str> = wanted.into_iter().collect();
        assert_eq!(
            (rows(&found), found.failures),
            (wanted.iter().map(|row| (*row).to_owned()).collect(), failures)
        );
    }
    let found = Database::new(database::read, "sessions.db", "CREATE TABLE sessions(id TEXT)").read();
    assert!(
        found.shown[0]
            .1
            .contains("no column \"accumulated_input_tokens\""),
        "{:?}",
        found.shown
    );
}
