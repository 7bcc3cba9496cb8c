//! Starts the daemon when it is not running, once, however many clients want it at the same moment.
//!
//! A lock file decides who starts it; everybody waits by connecting. The daemon goes into a process group of
//! its own and writes what it says before its logging works to `tokmond.out` in the log directory.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokmon_proto::error::Kind;

use crate::connect::{Failed, Pause, open};
use crate::{Error, Paths};

/// Name of the daemon's program.
pub const PROGRAM: &str = "tokmond";
/// Environment variable that names the daemon's program by its path.
pub const PROGRAM_VAR: &str = "TOKMOND";

const LOCK_NAME: &str = "start.lock";
const OUTPUT_NAME: &str = "tokmond.out";
/// Where the output file is begun anew: it only ever holds start-up messages.
const OUTPUT_LIMIT: u64 = 1024 * 1024;
/// As much of the output as an error quotes.
const QUOTED_BYTES: u64 = 2048;
const QUOTED_LINES: usize = 5;
/// Exit code of a daemon that found another one holding the lock.
const EXIT_CONFLICT: i32 = 73;
/// Exit code of a daemon that could not read its configuration.
const EXIT_CONFIG: i32 = 78;

/// Finds the daemon's program: `TOKMOND`, then beside the running program, then on `PATH`.
pub fn find_program() -> Result<PathBuf, Error> {
    if let Some(named) = std::env::var_os(PROGRAM_VAR).filter(|v| !v.is_empty()) {
        let named = PathBuf::from(named);
        return if is_program(&named) {
            Ok(named)
        } else {
            Err(Error::new(
                Kind::NotFound,
                format!(
                    "{PROGRAM_VAR} names {}, which is not a program that can be run",
                    named.display()
                ),
            ))
        };
    }
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    let path = std::env::var_os("PATH").unwrap_or_default();
    search(beside, &path).ok_or_else(|| {
        Error::new(
            Kind::NotFound,
            format!("the daemon's program `{PROGRAM}` is neither beside this program nor on PATH"),
        )
        .with_hint(format!("install it, or set {PROGRAM_VAR} to its path"))
    })
}

fn search(beside: Option<PathBuf>, path: &OsStr) -> Option<PathBuf> {
    let name = format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX);
    beside
        .into_iter()
        // Test programs lie one directory below the programs they test.
        .flat_map(|dir| [Some(dir.clone()), dir.ends_with("deps").then(|| dir.join(".."))])
        .flatten()
        .chain(std::env::split_paths(path))
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(&name))
        .find(|file| is_program(file))
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

/// Returns when the daemon accepts connections, having started it if nobody else did.
pub(crate) async fn ensure_running(paths: &Paths, program: &Path, deadline: Instant) -> Result<(), Error> {
    let lock = open_lock(paths)?;
    let mut pause = Pause::new();
    loop {
        if accepts(paths).await? {
            return Ok(());
        }
        match lock.try_lock() {
            Ok(()) => {
                // Whoever held the lock before us may have started it since we looked.
                if accepts(paths).await? {
                    return Ok(());
                }
                return start(paths, program, deadline).await;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(cannot("lock", &lock_file(paths), &e)),
        }
        if !pause.wait(deadline).await {
            return Err(Error::new(
                Kind::Unavailable,
                "another program is starting the daemon, but it did not become ready in time",
            )
            .with_hint("see `tokmonctl daemon logs`"));
        }
    }
}

fn lock_file(paths: &Paths) -> PathBuf {
    paths.state_dir.join(LOCK_NAME)
}

fn open_lock(paths: &Paths) -> Result<File, Error> {
    create_private(&paths.state_dir)?;
    let file = lock_file(paths);
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file)
        .map_err(|e| cannot("open", &file, &e))
}

/// Whether somebody listens on the socket.
async fn accepts(paths: &Paths) -> Result<bool, Error> {
    match open(&paths.socket).await {
        Ok(_) => Ok(true),
        Err(Failed::Absent | Failed::Gone(_)) => Ok(false),
        Err(Failed::Final(error)) => Err(error),
    }
}

/// Spawns the daemon and waits until it accepts connections or ends.
async fn start(paths: &Paths, program: &Path, deadline: Instant) -> Result<(), Error> {
    create_private(&paths.log_dir)?;
    let output_file = paths.log_dir.join(OUTPUT_NAME);
    let (output, said_before) = open_output(&output_file).map_err(|e| cannot("write", &output_file, &e))?;
    let mut child = spawn(program, &output).map_err(|e| cannot("run", program, &e))?;
    let mut pause = Pause::new();
    let mut ended = None;
    loop {
        if accepts(paths).await? {
            return Ok(());
        }
        if ended.is_none() {
            ended = child.try_wait().ok().flatten();
        }
        // A daemon that found another one at work leaves the field to it: keep waiting for that one.
        if let Some(status) = ended.filter(|s| s.code() != Some(EXIT_CONFLICT)) {
            return Err(start_failed(status, &output_file, said_before));
        }
        if !pause.wait(deadline).await {
            return Err(match ended {
                Some(status) => start_failed(status, &output_file, said_before),
                None => Error::new(
                    Kind::Unavailable,
                    "the daemon was started but did not become ready in time",
                )
                .with_hint("see `tokmonctl daemon logs`"),
            });
        }
    }
}

fn spawn(program: &Path, output: &File) -> io::Result<Child> {
    let mut command = Command::new(program);
    command
        .arg("run")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .kill_on_drop(false);
    // Its own group: an interrupt typed at our terminal is not meant for it.
    #[cfg(unix)]
    command.process_group(0);
    command.spawn()
}

fn open_output(file: &Path) -> io::Result<(File, u64)> {
    let begin_anew = fs::metadata(file).is_ok_and(|m| m.len() > OUTPUT_LIMIT);
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let output = options.open(file)?;
    if begin_anew {
        output.set_len(0)?;
    }
    let length = output.metadata()?.len();
    // On a full disk the daemon could not say why it does not start: find out before.
    (&output).write_all(b"\n")?;
    output.set_len(length)?;
    Ok((output, length))
}

fn start_failed(status: std::process::ExitStatus, output: &Path, from: u64) -> Error {
    let said = last_lines(output, from).unwrap_or_default();
    let how = match status.code() {
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    };
    let code = status.code();
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| code == Some(i32::from(kind.exit_code())))
        .unwrap_or(if code == Some(EXIT_CONFIG) {
            Kind::Invalid
        } else {
            Kind::Unavailable
        });
    let mut error = Error::new(kind, format!("the daemon did not start ({how})"));
    // Its last words are a message and a hint in the same form as ours.
    let hint = said.iter().rev().find_map(|line| line.strip_prefix("hint: "));
    let message = said.iter().rposition(|line| line.starts_with("tokmond: "));
    let told: Vec<&str> = said[message.unwrap_or(0)..]
        .iter()
        .filter(|line| !line.starts_with("hint: "))
        .map(|line| line.strip_prefix("tokmond: ").unwrap_or(line))
        .collect();
    if !told.is_empty() {
        error.message.push_str(": ");
        error.message.push_str(&told.join("\n"));
    }
    if code == Some(EXIT_CONFIG) {
        error = error.with_exit_code(78);
    }
    match hint {
        Some(hint) => error.with_hint(hint),
        None if told.is_empty() => error.with_hint("see `tokmonctl daemon logs`"),
        None => error,
    }
}

/// The last lines that were written to `file` after position `from`.
fn last_lines(file: &Path, from: u64) -> io::Result<Vec<String>> {
    let mut file = File::open(file)?;
    let end = file.metadata()?.len();
    let begin = from.max(end.saturating_sub(QUOTED_BYTES));
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(QUOTED_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let first = lines.len().saturating_sub(QUOTED_LINES);
    Ok(lines[first..].iter().map(|l| (*l).to_owned()).collect())
}

fn create_private(dir: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(dir).map_err(|e| cannot("create", dir, &e))
}

fn cannot(do_what: &str, path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => Kind::Forbidden,
        io::ErrorKind::NotFound => Kind::NotFound,
        _ => Kind::Unavailable,
    };
    Error::new(kind, format!("cannot {do_what} {}: {error}", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use std::time::Duration;
    use tokmon_proto::CONTRACT;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/fixtures")
            .join(name)
    }

    fn home() -> (tempfile::TempDir, Paths) {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::under(dir.path());
        (dir, paths)
    }

    fn output(paths: &Paths) -> String {
        fs::read_to_string(paths.log_dir.join(OUTPUT_NAME)).unwrap_or_default()
    }

    #[tokio::test]
    async fn ten_clients_start_one_daemon() {
        let (_dir, paths) = home();
        let deadline = Instant::now() + Duration::from_secs(10);
        let program = fixture("ready-later.sh");
        let clients: Vec<_> = (0..10)
            .map(|_| {
                let (paths, program) = (paths.clone(), program.clone());
                tokio::spawn(async move { ensure_running(&paths, &program, deadline).await })
            })
            .collect();
        // The socket opens only after the program has been started.
        let mut pause = Pause::new();
        while output(&paths).is_empty() {
            assert!(pause.wait(deadline).await, "nothing was started");
        }
        let daemon = Fake {
            contract: CONTRACT,
            pid: 1,
        }
        .serve(&paths);
        for client in clients {
            client.await.unwrap().unwrap();
        }
        assert_eq!(output(&paths), "started\n");
        daemon.abort();
    }

    #[tokio::test]
    async fn a_refusal_is_passed_on_with_its_exit_code() {
        let (_dir, paths) = home();
        let deadline = Instant::now() + Duration::from_secs(10);
        let error = ensure_running(&paths, &fixture("bad-config.sh"), deadline)
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (Kind::Invalid, 78));
        let said =
            "the daemon did not start (exit code 78): config.toml: retention.days must be a whole number";
        assert_eq!(error.message, said);
        assert_eq!(error.hint.as_deref(), Some("allowed is 1 to 36500"));
    }

    #[tokio::test]
    async fn one_that_never_gets_ready_is_not_waited_for_forever() {
        let (_dir, paths) = home();
        let deadline = Instant::now() + Duration::from_millis(100);
        let error = ensure_running(&paths, &fixture("ready-later.sh"), deadline)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.message.contains("ready in time"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_cannot_run_is_named() {
        let (dir, paths) = home();
        let deadline = Instant::now() + Duration::from_secs(10);
        let error = ensure_running(&paths, &dir.path().join("none"), deadline)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.message.contains("none"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_found_before_the_daemon_starts() {
        let error = open_output(Path::new("/dev/full")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(cannot("write", Path::new("x"), &error).kind(), Kind::Unavailable);
    }

    #[test]
    fn what_the_daemon_said_before_is_kept() {
        let (_dir, paths) = home();
        create_private(&paths.log_dir).unwrap();
        let file = paths.log_dir.join(OUTPUT_NAME);
        fs::write(&file, "before\n").unwrap();
        let (_, length) = open_output(&file).unwrap();
        assert_eq!((length, output(&paths).as_str()), (7, "before\n"));
    }

    #[test]
    fn the_neighbour_comes_before_the_path() {
        let (beside, path) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let search_both = || search(Some(beside.path().to_owned()), path.path().as_os_str());
        assert_eq!(search_both(), None);
        let install = |dir: &Path| {
            let file = dir.join(PROGRAM);
            fs::copy(fixture("bad-config.sh"), &file).unwrap();
            file
        };
        let on_path = install(path.path());
        assert_eq!(search_both(), Some(on_path));
        let neighbour = install(beside.path());
        assert_eq!(search_both(), Some(neighbour));
    }

    #[test]
    fn what_cannot_be_run_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(PROGRAM), "").unwrap();
        assert_eq!(search(Some(dir.path().to_owned()), OsStr::new("relative:")), None);
    }
}
