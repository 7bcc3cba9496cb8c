//! The command line on bad input: what was wrong, what is allowed, the right exit code, and nothing changed.

use tokmon_tests::env::Env;

#[test]
fn every_mistake_has_its_exit_code_and_names_itself() {
    let env = Env::new();
    std::fs::create_dir(env.path("folder")).expect("a directory");
    std::fs::write(env.path("bad.json"), "{\"a\": ").expect("a file");
    let _daemon = env.start_daemon();
    let before = env.ctl(&["status", "--json"]).success().json();

    let absent = env.path("absent").display().to_string();
    let cases: [(&[&str], i32, &[&str]); 14] = [
        (&["frobnicate"], 2, &["frobnicate"]),
        (&["report", "fortnightly"], 2, &["fortnightly", "daily"]),
        (&["report", "daily", "--since", "2026-02-30"], 2, &["2026-02-30"]),
        (
            &["report", "daily", "--since", "yesterday-ish"],
            2,
            &["yesterday-ish"],
        ),
        (
            &["report", "daily", "--timezone", "Mars/Olympus"],
            64,
            &["Mars/Olympus"],
        ),
        (
            &[
                "report",
                "daily",
                "--since",
                "2026-11-20",
                "--until",
                "2026-11-19",
            ],
            64,
            &["2026-11-19"],
        ),
        (&["count", "absent.txt"], 66, &["absent.txt"]),
        (&["count", "folder"], 64, &["folder"]),
        (&["session", "show", "no-such-session"], 66, &["no-such-session"]),
        (&["price", "import", "absent.json"], 66, &["absent.json"]),
        (&["price", "import", "bad.json"], 64, &["JSON"]),
        (
            &["price", "set", "m", "--input", "NaN", "--output", "1"],
            2,
            &["NaN"],
        ),
        (&["ledger", "restore", &absent, "--yes"], 66, &["absent"]),
        (&["ledger", "reset"], 64, &["--yes"]),
    ];
    for (arguments, code, parts) in cases {
        env.ctl(arguments).exits(code).complains(parts);
    }
    let after = env.ctl(&["status", "--json"]).success().json();
    assert_eq!(before["ledger"], after["ledger"], "the ledger is as it was");
}

#[test]
fn a_socket_that_is_not_ours_alone_is_not_trusted() {
    use std::os::unix::fs::PermissionsExt as _;
    let env = Env::new();
    let run = env.paths().run_dir;
    std::fs::create_dir_all(&run).expect("a directory");
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o777)).expect("open to all");
    let refused = env.ctl(&["status"]).exits(77);
    let run = run.display().to_string();
    refused.complains(&[&run]);
}

#[test]
fn output_that_nobody_reads_is_no_crash() {
    let env = Env::new();
    let _daemon = env.start_daemon();
    let program = tokmon_tests::binaries::tokmonctl();
    let mut shell = env.command("sh");
    shell
        .arg("-c")
        .arg(format!("{} config | true", program.display()));
    let run = tokmon_tests::env::Run::of(shell, b"");
    assert!(!run.stderr.contains("panicked"), "{run:?}");
}

#[test]
fn a_damaged_ledger_is_told_without_a_trace_and_left_as_it_is() {
    let mut env = Env::new();
    env.set_var("RUST_BACKTRACE", "1");
    for model in ["gpt-5", "claude-sonnet-4-5"] {
        env.ctl(&["record", "--model", model, "--input", "1"]).success();
    }
    env.ctl(&["daemon", "stop"]).success();
    let ledger = env.paths().ledger_file();
    let mut bytes = std::fs::read(&ledger).expect("the ledger");
    // All pages but the file's own header, so that the database's library meets what it never wrote.
    bytes[4096..].fill(0xa5);
    std::fs::write(&ledger, &bytes).expect("a damaged ledger");

    env.ctl(&["status"]).exits(65).complains(&["damaged", "restore"]);
    let said = env.paths().log_dir.join("tokmond.out");
    let said = std::fs::read_to_string(said).expect("what the daemon said");
    assert!(
        !said.contains("panicked") && !said.contains("backtrace"),
        "{said}"
    );
    assert_eq!(std::fs::read(&ledger).expect("the ledger"), bytes);
}

#[cfg(target_os = "linux")]
#[test]
fn a_message_that_cannot_be_written_leaves_the_exit_code() {
    let env = Env::new();
    let mut shell = env.command("sh");
    let program = tokmon_tests::binaries::tokmond();
    shell
        .arg("-c")
        .arg(format!("{} run --set nope=1 2>/dev/full", program.display()));
    assert_eq!(tokmon_tests::env::Run::of(shell, b"").code, 78);
}
