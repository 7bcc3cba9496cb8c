//! The units for systemd and launchd, checked by what reads them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use tokmon_tests::binaries::root;

/// What launchd knows and we use: it ignores a misspelt key without a word.
const LAUNCHD_KEYS: [&str; 9] = [
    "ExitTimeOut",
    "KeepAlive",
    "Label",
    "ProcessType",
    "ProgramArguments",
    "RunAtLoad",
    "Sockets",
    "ThrottleInterval",
    "Umask",
];

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `section.key` → values, in order.
fn unit(path: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in read(path).lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{path}: {line}"));
        found
            .entry(format!("{section}.{key}"))
            .or_default()
            .push(value.to_owned());
    }
    found
}

#[track_caller]
fn assert_has(unit: &BTreeMap<String, Vec<String>>, key: &str, value: &str) {
    let values = unit.get(key).map(Vec::as_slice).unwrap_or_default();
    assert!(
        values.iter().any(|v| v == value),
        "{key} is {values:?}, not {value:?}"
    );
}

#[test]
fn the_service_says_what_the_daemon_does() {
    let service = unit("systemd/tokmond.service");
    for (key, value) in [
        ("Service.Type", "notify"),
        ("Service.ExecStart", "/usr/local/bin/tokmond run"),
        ("Service.ExecReload", "/bin/kill -HUP $MAINPID"),
        ("Service.Restart", "on-failure"),
        ("Service.NoNewPrivileges", "yes"),
        ("Service.UMask", "0077"),
        ("Install.Also", "tokmond.socket"),
    ] {
        assert_has(&service, key, value);
    }
    assert!(service.contains_key("Service.WatchdogSec"));
    assert!(
        !service.contains_key("Service.RuntimeDirectory"),
        "stopping the service would delete the socket of the socket unit"
    );
}

#[test]
fn the_socket_lies_where_clients_look() {
    let socket = unit("systemd/tokmond.socket");
    let name = tokmon_proto::paths::SOCKET_NAME;
    assert_has(&socket, "Socket.ListenStream", &format!("%t/tokmon/{name}"));
    assert_has(&socket, "Socket.SocketMode", "0600");
    assert_has(&socket, "Socket.DirectoryMode", "0700");

    let paths = tokmon_proto::paths::Paths::from_vars(|name| match name {
        "XDG_RUNTIME_DIR" => Some("/run/user/1000".into()),
        _ => None,
    });
    // Without a home directory there are no paths to compare with.
    let paths = paths.expect("a home directory");
    assert_eq!(paths.socket, Path::new("/run/user/1000/tokmon").join(name));
}

#[test]
fn systemd_finds_no_fault() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        assert!(
            std::env::var_os("CI").is_none(),
            "systemd-analyze is missing on CI; .ci/run installs it"
        );
        eprintln!("systemd-analyze is not here: the units were only checked by our own reader");
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    // The program of ExecStart must exist for the check; everything else is taken as it is.
    let service = read("systemd/tokmond.service").replace("/usr/local/bin/tokmond", "/bin/true");
    std::fs::write(dir.path().join("tokmond.service"), service).expect("the service");
    std::fs::write(dir.path().join("tokmond.socket"), read("systemd/tokmond.socket")).expect("the socket");
    let analyze = |args: &[&str]| {
        Command::new("systemd-analyze")
            .args(args)
            .arg(dir.path().join("tokmond.service"))
            .env("XDG_RUNTIME_DIR", dir.path())
            .output()
            .expect("systemd-analyze can be started")
    };
    let verified = analyze(&["verify", "--user", "--man=no"]);
    let complaints = String::from_utf8_lossy(&verified.stderr);
    // Unknown keys and bad values are only warnings, with exit status 0.
    assert!(verified.status.success() && complaints.is_empty(), "{complaints}");

    let security = analyze(&["security", "--user", "--offline=true", "--threshold=70"]);
    assert!(
        security.status.success(),
        "{}",
        String::from_utf8_lossy(&security.stdout)
    );
}

#[test]
fn launchd_knows_every_key() {
    let path = root().join("launchd/dev.tokmon.tokmond.plist");
    let plist: plist::Dictionary = plist::from_file(&path).expect("the plist parses");
    let keys: Vec<&str> = plist.keys().map(String::as_str).collect();
    for key in &keys {
        assert!(LAUNCHD_KEYS.contains(key), "launchd does not know {key}");
    }
    let label = plist.get("Label").and_then(plist::Value::as_string);
    assert_eq!(label, path.file_stem().and_then(|s| s.to_str()));
    let arguments = plist
        .get("ProgramArguments")
        .and_then(plist::Value::as_array)
        .expect("ProgramArguments");
    let arguments: Vec<&str> = arguments.iter().filter_map(plist::Value::as_string).collect();
    assert_eq!(arguments, ["/usr/local/bin/tokmond", "run"]);
    let listener = plist
        .get("Sockets")
        .and_then(plist::Value::as_dictionary)
        .and_then(|sockets| sockets.get("Listener"))
        .and_then(plist::Value::as_dictionary)
        .expect("the name that the daemon asks for");
    let mode = listener
        .get("SockPathMode")
        .and_then(plist::Value::as_signed_integer);
    assert_eq!(mode, Some(0o600), "{listener:?}");
    assert!(listener.contains_key("SockPathName"), "{listener:?}");
    let keep_alive = plist.get("KeepAlive").and_then(plist::Value::as_dictionary);
    let again_after_success = keep_alive.and_then(|k| k.get("SuccessfulExit"));
    assert_eq!(
        again_after_success.and_then(plist::Value::as_boolean),
        Some(false)
    );
}
