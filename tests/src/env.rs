//! A machine of its own for one test: home, state and agents' directories under one temporary directory.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokmon_client::{Client, Options, Paths};

use crate::binaries;
use crate::daemon::{Daemon, PATIENCE};

/// The place. Dropping it ends a daemon that a client started in it and removes everything.
pub struct Env {
    dir: TempDir,
    vars: Vec<(String, String)>,
}

impl Default for Env {
    fn default() -> Env {
        Env::new()
    }
}

impl Env {
    /// An empty home, no transcripts, no daemon.
    pub fn new() -> Env {
        // Short, because socket paths end at about 100 bytes.
        let dir = tempfile::Builder::new()
            .prefix("tk")
            .tempdir_in("/tmp")
            .expect("a temporary directory");
        let env = Env {
            dir,
            // The usual port is one for all the daemons of a machine.
            vars: vec![("TOKMON_OTLP_LISTEN".to_owned(), "127.0.0.1:0".to_owned())],
        };
        for sub in ["home", "tokmon", "claude/projects", "codex/sessions"] {
            std::fs::create_dir_all(env.path(sub)).expect("directories in the temporary directory");
        }
        env
    }

    /// The same with a clock that stands at `ms` until [`Env::set_clock`] moves it.
    pub fn with_clock(ms: i64) -> Env {
        let mut env = Env::new();
        env.set_clock(ms);
        let clock = format!("file:{}", env.path("clock").display());
        env.set_var("TOKMON_CLOCK", &clock);
        env
    }

    /// Moves the clock of [`Env::with_clock`].
    pub fn set_clock(&self, ms: i64) {
        // Replaced as a whole: the daemon may read at any moment.
        let (new, clock) = (self.path("clock.new"), self.path("clock"));
        std::fs::write(&new, ms.to_string()).expect("clock file");
        std::fs::rename(new, clock).expect("clock file");
    }

    /// Sets a variable for every program started from here on.
    pub fn set_var(&mut self, name: &str, value: &str) {
        self.vars.retain(|(n, _)| n != name);
        self.vars.push((name.to_owned(), value.to_owned()));
    }

    /// A path in the temporary directory.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// `TOKMON_HOME`.
    pub fn tokmon_home(&self) -> PathBuf {
        self.path("tokmon")
    }

    /// Where client and daemon meet.
    pub fn paths(&self) -> Paths {
        Paths::under(&self.tokmon_home())
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.paths().socket
    }

    /// A connection to the running daemon.
    pub async fn client(&self) -> Client {
        let options = Options {
            start: false,
            timeout: PATIENCE,
            ..Options::default()
        };
        match Client::connect_at(&self.paths(), &options).await {
            Ok(client) => client,
            Err(error) => panic!("no connection: {error}"),
        }
    }

    /// `CLAUDE_CONFIG_DIR`.
    pub fn claude(&self) -> PathBuf {
        self.path("claude")
    }

    /// `CODEX_HOME`.
    pub fn codex(&self) -> PathBuf {
        self.path("codex")
    }

    /// Writes `config.toml`.
    pub fn write_config(&self, text: &str) {
        std::fs::write(self.tokmon_home().join("config.toml"), text).expect("config.toml");
    }

    /// A command that sees nothing of the surrounding machine but `PATH`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .env("TOKMON_HOME", self.tokmon_home())
            .env("CLAUDE_CONFIG_DIR", self.claude())
            .env("CODEX_HOME", self.codex())
            .envs(self.vars.iter().map(|(n, v)| (n, v)))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Starts the daemon and waits until it says that it is ready.
    pub fn start_daemon(&self) -> Daemon {
        match Daemon::start(self, &[]) {
            Ok(daemon) => daemon,
            Err(exit) => panic!("tokmond did not become ready: {exit}"),
        }
    }

    /// Runs `tokmonctl` to its end.
    pub fn ctl(&self, args: &[&str]) -> Run {
        self.ctl_with(args, &[], b"")
    }

    /// Runs `tokmonctl` with more variables and with standard input.
    pub fn ctl_with(&self, args: &[&str], vars: &[(&str, &str)], stdin: &[u8]) -> Run {
        let mut command = self.command(binaries::tokmonctl());
        command.args(args).envs(vars.iter().copied());
        Run::of(command, stdin)
    }

    /// Runs `tokmonctl … --json`, which must succeed, and parses what it prints.
    pub fn ctl_json(&self, args: &[&str]) -> Value {
        let mut with_json = args.to_vec();
        with_json.push("--json");
        self.ctl(&with_json).success().json()
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        // A client may have started a daemon that nobody else waits for.
        if self.socket().exists() {
            let mut stop = self.command(binaries::tokmonctl());
            stop.args(["daemon", "stop"]);
            stop.stdout(Stdio::null()).stderr(Stdio::null());
            if let Err(error) = stop.status() {
                eprintln!("tokmonctl daemon stop: {error}");
            }
        }
    }
}

/// What a program left behind.
#[derive(Debug)]
pub struct Run {
    /// The whole command line, for messages.
    pub line: String,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// Runs a command to its end.
    pub fn of(mut command: Command, stdin: &[u8]) -> Run {
        use std::io::Write as _;
        let line = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let mut input = child.stdin.take().expect("standard input is a pipe");
        let bytes = stdin.to_vec();
        let feeder = std::thread::spawn(move || {
            // A program that does not read its input closes the pipe; that is its right.
            let _closed = input.write_all(&bytes);
        });
        let output = child.wait_with_output().expect("the program ends");
        feeder.join().expect("the feeder ends");
        Run::from_output(line, output)
    }

    fn from_output(line: String, output: Output) -> Run {
        Run {
            line,
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It must have ended with 0.
    #[track_caller]
    pub fn success(self) -> Run {
        self.exits(0)
    }

    /// It must have ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Run {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Standard error must contain every one of these.
    #[track_caller]
    pub fn complains(self, parts: &[&str]) -> Run {
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "no {part:?} in standard error of {self:#?}"
            );
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }
}
