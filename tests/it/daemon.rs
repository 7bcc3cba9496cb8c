//! The daemon's life: start, readiness, refusal of a second one, signals, activation, bad configuration.

use std::os::unix::fs::PermissionsExt as _;

use tokmon_client::v1;
use tokmon_tests::binaries;
use tokmon_tests::daemon::Daemon;
use tokmon_tests::env::Env;

#[tokio::test]
async fn it_says_that_it_is_ready_and_serves() {
    let env = Env::new();
    let daemon = env.start_daemon();
    let status = env
        .client()
        .await
        .status(v1::StatusRequest {})
        .await
        .expect("status");
    assert_eq!(status.pid, daemon.pid());
    assert_eq!(status.state, "serving");
    assert_eq!(status.contract, tokmon_proto::CONTRACT);
    assert_eq!(status.socket, env.socket().display().to_string());
    daemon.stop();
}

#[test]
fn only_its_owner_can_reach_it() {
    let env = Env::new();
    let _daemon = env.start_daemon();
    let mode = |path: &std::path::Path| {
        let meta = std::fs::metadata(path).expect("it exists");
        meta.permissions().mode() & 0o777
    };
    assert_eq!(mode(&env.paths().run_dir), 0o700);
    assert_eq!(mode(&env.socket()), 0o600);
    assert_eq!(mode(&env.paths().state_dir), 0o700);
    assert_eq!(mode(&env.paths().ledger_file()) & 0o077, 0);
}

#[test]
fn a_term_signal_drains_and_leaves_nothing_behind() {
    let env = Env::new();
    let mut daemon = env.start_daemon();
    daemon.signal("TERM");
    assert!(daemon.wait_for("STOPPING=1"), "{:?}", daemon.notifications());
    assert_eq!(daemon.wait_exit().code(), Some(0));
    assert!(!env.socket().exists(), "the socket is still there");
}

#[test]
fn a_hangup_reloads_and_goes_on() {
    let env = Env::new();
    let mut daemon = env.start_daemon();
    daemon.signal("HUP");
    assert!(daemon.wait_for("READY=1"), "{:?}", daemon.notifications());
    let reloading = daemon.notifications().iter().any(|line| line == "RELOADING=1");
    assert!(reloading, "{:?}", daemon.notifications());
    daemon.stop();
}

#[test]
fn a_second_one_on_the_same_state_is_refused() {
    let env = Env::new();
    let first = env.start_daemon();
    let refused = Daemon::start(&env, &[])
        .err()
        .expect("the second daemon must not start");
    assert_eq!(refused.code, 73, "{refused}");
    let pid = first.pid().to_string();
    assert!(
        refused.stderr.contains(&pid),
        "the owner {pid} is named: {refused}"
    );
    first.stop();
}

#[test]
fn many_clients_at_once_start_one() {
    let env = Env::new();
    let pids: std::collections::BTreeSet<u64> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..12)
            .map(|_| scope.spawn(|| env.ctl_json(&["status"])["pid"].as_u64()))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("the client ends").expect("a pid"))
            .collect()
    });
    assert_eq!(pids.len(), 1, "{pids:?}");
    env.ctl(&["daemon", "stop"]).success();
    env.ctl(&["--no-start", "status"]).exits(69);
}

#[test]
fn the_socket_of_a_dead_one_is_taken_over() {
    let env = Env::new();
    env.start_daemon().kill();
    assert!(env.socket().exists());
    env.start_daemon().stop();
}

#[test]
fn the_watchdog_is_fed() {
    let env = Env::new();
    let mut command = env.command(binaries::tokmond());
    command.arg("run").env("WATCHDOG_USEC", "400000");
    let mut daemon = Daemon::start_command(&env, command).expect("ready");
    for _ in 0..3 {
        assert!(daemon.wait_for("WATCHDOG=1"), "{:?}", daemon.notifications());
    }
    daemon.stop();
}

#[tokio::test]
async fn it_takes_the_socket_that_systemd_opened() {
    // Where systemd is not, its own tests cannot run either; the unit files are checked in any case.
    let activate = "systemd-socket-activate";
    if std::process::Command::new(activate)
        .arg("--version")
        .output()
        .is_err()
    {
        assert!(std::env::var_os("CI").is_none(), "{activate} is missing on CI");
        eprintln!("{activate} is not here: socket activation was not tried");
        return;
    }
    let env = Env::new();
    let socket = env.socket();
    let run_dir = env.paths().run_dir;
    std::fs::create_dir_all(&run_dir).expect("the socket's directory");
    std::fs::set_permissions(&run_dir, std::fs::Permissions::from_mode(0o700)).expect("mode 0700");
    let mut command = env.command(activate);
    command.arg("-l").arg(&socket);
    // It passes on no variables but those it is told to.
    for name in [
        "HOME",
        "PATH",
        "TOKMON_HOME",
        "CLAUDE_CONFIG_DIR",
        "CODEX_HOME",
        "NOTIFY_SOCKET",
        "TZ",
    ] {
        command.arg("-E").arg(name);
    }
    command.arg(binaries::tokmond()).arg("run");
    // The daemon is started by the first connection, so a client has to be there before it is ready.
    let caller = {
        let env_paths = env.paths();
        tokio::spawn(async move {
            let options = tokmon_client::Options {
                start: false,
                timeout: tokmon_tests::daemon::PATIENCE,
                ..Default::default()
            };
            loop {
                match tokmon_client::Client::connect_at(&env_paths, &options).await {
                    Ok(client) => break client.status(v1::StatusRequest {}).await,
                    // systemd-socket-activate itself may not be listening yet.
                    Err(error) if error.kind() == tokmon_client::Kind::Unavailable => {
                        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    }
                    Err(error) => break Err(error),
                }
            }
        })
    };
    let (env, daemon) = tokio::task::spawn_blocking(move || {
        let daemon = Daemon::start_command(&env, command);
        (env, daemon)
    })
    .await
    .expect("the daemon's starter ends");
    let daemon = daemon.unwrap_or_else(|exit| panic!("{exit}"));
    let status = caller.await.expect("the caller ends").expect("status");
    assert_eq!(status.pid, daemon.pid());
    daemon.stop();
    assert!(socket.exists(), "the socket belongs to systemd, not to us");
    drop(env);
}

#[test]
fn bad_configuration_names_file_key_and_what_is_allowed() {
    let cases: [(&str, &[&str]); 6] = [
        ("retention.days = \"soon\"", &["retention.days", "36500"]),
        ("[retention]\ndays = 0", &["retention.days", "from 1"]),
        ("[log]\nlevel = \"loud\"", &["log.level", "loud", "info"]),
        ("[retention]\ndayz = 3", &["retention.dayz", "retention.days"]),
        ("timezone = \"Mars/Olympus\"", &["timezone", "Mars/Olympus"]),
        ("[log\nlevel = 1", &["line 1"]),
    ];
    for (text, wanted) in cases {
        let env = Env::new();
        env.write_config(text);
        let refused = Daemon::start(&env, &[]).err().expect("a refusal");
        assert_eq!(refused.code, 78, "{text}: {refused}");
        for part in wanted.iter().chain(&["config.toml"]) {
            assert!(
                refused.stderr.contains(part),
                "no {part:?} for {text:?}: {refused}"
            );
        }
        assert!(!env.paths().ledger_file().exists(), "{text}: nothing was touched");
    }
}

#[test]
fn a_damaged_ledger_is_left_as_it_is() {
    let env = Env::new();
    env.start_daemon().stop();
    let ledger = env.paths().ledger_file();
    let garbage = b"not a ledger at all".repeat(1000);
    std::fs::write(&ledger, &garbage).expect("the ledger is ours to spoil");
    let refused = Daemon::start(&env, &[]).err().expect("a refusal");
    assert_eq!(refused.code, 65, "{refused}");
    assert!(
        refused.stderr.contains("restore"),
        "what to do is said: {refused}"
    );
    assert_eq!(std::fs::read(&ledger).expect("still there"), garbage);
}
