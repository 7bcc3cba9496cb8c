//! What the system says about a process: processor time, memory, how often it woke. From `/proc`, so on Linux only;
//! elsewhere there is no answer and the figure is left out.

use std::io::{PipeReader, Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Processor ticks per second in `/proc`: fixed by Linux's ABI.
const TICKS: f64 = 100.0;
/// What a pipe holds on Linux.
const PIPE: usize = 65_536;
/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(2);

/// Processor seconds (user and system) of a process and of the children it has waited for.
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain anything, but it ends with the last parenthesis.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .map(|field| field.parse::<f64>().ok())
        .sum::<Option<f64>>()?;
    Some(ticks / TICKS)
}

/// Resident memory now, in MB.
pub(crate) fn rss_mb(pid: u32) -> Option<f64> {
    status(pid, "VmRSS:")
}

/// The most resident memory it ever had, in MB.
pub(crate) fn peak_mb(pid: u32) -> Option<f64> {
    status(pid, "VmHWM:")
}

fn status(pid: u32, key: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

/// How often its threads were put on a processor after they had waited for something.
pub(crate) fn wakeups(pid: u32) -> Option<f64> {
    let mut sum = 0.0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let status = std::fs::read_to_string(task.ok()?.path().join("status")).ok()?;
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?;
        sum += line.trim().parse::<f64>().ok()?;
    }
    Some(sum)
}

/// What a whole run of a program took.
pub(crate) struct Ran {
    /// From start to end.
    pub(crate) wall: Duration,
    /// Processor seconds, children included.
    pub(crate) cpu: Option<f64>,
    /// Largest resident memory that was seen, in MB.
    pub(crate) peak: Option<f64>,
    /// What it wrote to standard output.
    pub(crate) stdout: Vec<u8>,
    /// How it ended.
    pub(crate) status: ExitStatus,
}

/// Runs a program to its end and looks at it all the while. For programs that run for some time.
pub(crate) fn watched(runtime: &tokio::runtime::Runtime, mut command: Command) -> Ran {
    let begin = Instant::now();
    let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut output = child.stdout.take().expect("standard output is a pipe");
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        // What is missing shows when the output is used.
        let _read = output.read_to_end(&mut all);
        all
    });
    let mut peak = None;
    // It is not waited for before it was looked at for the last time: an ended child keeps its figures until then.
    while !ended(child.id()) {
        peak = peak_mb(child.id()).or(peak);
        runtime.block_on(async { tokio::time::sleep(LOOK).await });
    }
    let cpu = cpu_seconds(child.id());
    let status = child.wait().expect("the child is ours");
    Ran {
        wall: begin.elapsed(),
        cpu,
        peak,
        stdout: reader.join().expect("the reader ends"),
        status,
    }
}

/// Without `/proc` this says yes, and the caller waits for the end.
fn ended(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat
            .rsplit_once(')')
            .is_none_or(|(_, fields)| fields.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}

/// Wall time in milliseconds of a whole short run, which must succeed.
pub(crate) fn timed(mut command: Command) -> f64 {
    let begin = Instant::now();
    let mut child = spawn(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let status = child.wait().expect("the child is ours");
    let wall = begin.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    wall.as_secs_f64() * 1e3
}

/// Largest memory in MB of a program that is over at once. Its standard output is full, so that it has done
/// everything but cannot end before it was looked at.
pub(crate) fn peak_of_short(runtime: &tokio::runtime::Runtime, mut command: Command) -> Option<f64> {
    const QUIET: u32 = 25;
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(&vec![b' '; PIPE]).expect("room in the pipe");
    let mut child = spawn(command.stdout(writer).stderr(Stdio::null()));
    drop(command);
    let (mut peak, mut same) = (None, 0);
    while same < QUIET && !ended(child.id()) {
        runtime.block_on(async { tokio::time::sleep(LOOK).await });
        let now = peak_mb(child.id());
        same = if now == peak { same + 1 } else { 0 };
        peak = now;
    }
    drain(&mut reader);
    child.wait().expect("the child is ours");
    peak
}

fn drain(reader: &mut PipeReader) {
    let mut all = Vec::new();
    // Only to let the program end.
    let _read = reader.read_to_end(&mut all);
}

fn spawn(command: &mut Command) -> Child {
    command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
