//! A daemon under test: started by hand, ready when it says so, ended at the latest when dropped.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::binaries;
use crate::env::Env;

/// Longest wait for anything the daemon was asked to do. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running tokmond.
pub struct Daemon {
    child: Child,
    notify: UnixDatagram,
    seen: Vec<String>,
}

/// Why a daemon did not become ready.
#[derive(Debug)]
pub struct EarlyExit {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl std::fmt::Display for EarlyExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}, standard error:\n{}", self.code, self.stderr)
    }
}

impl Daemon {
    /// Starts `tokmond run` with more arguments and waits for `READY=1`.
    pub fn start(env: &Env, args: &[&str]) -> Result<Daemon, EarlyExit> {
        let mut command = env.command(binaries::tokmond());
        command.arg("run").args(args);
        Daemon::start_command(env, command)
    }

    /// The same with a command that runs the daemon in the end.
    pub fn start_command(env: &Env, mut command: Command) -> Result<Daemon, EarlyExit> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let path = env.path(format!("notify-{number}"));
        let notify = UnixDatagram::bind(&path).expect("a notify socket");
        // A file, because nobody reads along: a pipe would fill up and stop the daemon.
        let log = env.path(format!("tokmond-{number}.stderr"));
        let child = command
            .env("NOTIFY_SOCKET", &path)
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a file for standard error"))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut daemon = Daemon {
            child,
            notify,
            seen: Vec::new(),
        };
        if daemon.wait_for("READY=1") {
            return Ok(daemon);
        }
        let status = daemon.wait_exit();
        Err(EarlyExit {
            code: status.code().unwrap_or(-1),
            stderr: std::fs::read_to_string(&log).expect("standard error is text"),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Every line it sent to the service manager so far.
    pub fn notifications(&self) -> &[String] {
        &self.seen
    }

    /// Waits until it sends this line to the service manager. `false`: it ended without.
    pub fn wait_for(&mut self, line: &str) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 4096];
        self.notify
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a time-out on the notify socket");
        loop {
            // Asked before reading: what it sent before it ended is still in the socket.
            let ended = self.child.try_wait().expect("the child is ours").is_some();
            while let Ok(length) = self.notify.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let found = text.lines().any(|l| l == line);
                self.seen.extend(text.lines().map(str::to_owned));
                if found {
                    return true;
                }
            }
            if ended {
                return false;
            }
            assert!(
                Instant::now() < deadline,
                "no {line:?} from tokmond within {PATIENCE:?}; it sent {:?}",
                self.seen
            );
        }
    }

    /// Sends a signal by its short name, e.g. "TERM".
    pub fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.pid())])
            .status()
            .expect("sh can be started");
        assert!(status.success(), "kill -{name} {}", self.pid());
    }

    /// Waits for its end.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return status;
            }
            assert!(Instant::now() < deadline, "tokmond still runs after {PATIENCE:?}");
            // The notify socket's time-out is the pace; nothing is expected on it.
            let mut buffer = [0; 4096];
            self.notify
                .set_read_timeout(Some(Duration::from_millis(20)))
                .expect("a time-out on the notify socket");
            if let Ok(length) = self.notify.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                self.seen.extend(text.lines().map(str::to_owned));
            }
        }
    }

    /// Ends it in the way the service manager does, and checks that it went in good order.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait_exit();
        assert_eq!(status.code(), Some(0), "tokmond after SIGTERM: {status}");
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Its own fault does not matter any more; a failing test must not leave it behind.
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}
