//! Starts the daemon when it is not running, once, however many clients want it at the same moment.
//!
//! A lock file decides who starts it; everybody waits by connecting. The daemon goes into a process group of
//! its own and writes what it says before its logging works to `tokmond.out` in the log directory.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
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
    Ok((output, length))
}

fn start_failed(status: std::process::ExitStatus, output: &Path, from: u64) -> Error {
    let said = last_lines(output, from).unwrap_or_default();
    let how = match status.code() {
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    };
    let mut message = format!("the daemon did not start ({how})");
    if !said.is_empty() {
        message.push_str(":\n");
        message.push_str(&said);
    }
    let code = status.code();
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| code == Some(i32::from(kind.exit_code())))
        .unwrap_or(Kind::Unavailable);
    let error = Error::new(kind, message);
    if code == Some(EXIT_CONFIG) {
        return error
            .with_exit_code(78)
            .with_hint("correct the configuration; `tokmonctl config path` tells where it is");
    }
    error.with_hint(format!("its output is in {}", output.display()))
}

/// The last lines that were written to `file` after position `from`.
fn last_lines(file: &Path, from: u64) -> io::Result<String> {
    let mut file = File::open(file)?;
    let end = file.metadata()?.len();
    let begin = from.max(end.saturating_sub(QUOTED_BYTES));
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(QUOTED_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let first = lines.len().saturating_sub(QUOTED_LINES);
    Ok(lines[first..].join("\n"))
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
