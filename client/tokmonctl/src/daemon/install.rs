//! `tokmonctl daemon install` and `uninstall`: a systemd user unit with its socket, or a launchd agent.
//!
//! The units are those of the repository, with the real path of the program and, where the environment moves
//! tokmon's files, with that environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokmon_client::{Error, Kind, Paths, find_program};

use crate::daemon;
use crate::failure::{Failure, invalid, io_error};
use crate::show;

const SERVICE: &str = include_str!("../../../../systemd/tokmond.service");
const SOCKET: &str = include_str!("../../../../systemd/tokmond.socket");
const AGENT: &str = include_str!("../../../../launchd/dev.tokmon.tokmond.plist");
/// The place that the templates name.
const TEMPLATE_PROGRAM: &str = "/usr/local/bin/tokmond";
const TEMPLATE_SOCKET: &str = "/usr/local/var/run/tokmon/tokmond.v1.sock";
const LABEL: &str = "dev.tokmon.tokmond";
/// Variables that decide where tokmon and the agents keep their files. A service manager does not pass them on.
const VARIABLES: [&str; 4] = ["TOKMON_HOME", "TOKMON_SOCKET", "CLAUDE_CONFIG_DIR", "CODEX_HOME"];

/// What would be done, so that a dry run and the real one cannot differ.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    files: Vec<(PathBuf, String)>,
    /// Makes the service manager read the files.
    prepare: Vec<Vec<String>>,
    /// Starts the service, now and from now on.
    enable: Vec<Vec<String>>,
}

/// `tokmonctl daemon install`.
pub(crate) async fn install(dry_run: bool) -> Result<(), Failure> {
    let situation = Situation::now()?;
    let plan = plan(&situation)?;
    if dry_run {
        return show::print(&describe(&plan));
    }
    if situation.macos {
        // launchd makes the socket, not its directory.
        private_dir(situation.socket.parent().unwrap_or(Path::new(".")))?;
    }
    for (file, content) in &plan.files {
        let dir = file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir).map_err(|e| io_error("create", dir.display(), &e))?;
        fs::write(file, content).map_err(|e| io_error("write", file.display(), &e))?;
        show::print(&format!("Wrote {}.\n", file.display()))?;
    }
    // Before the running daemon is stopped: without a service manager it had better go on.
    perform(&plan.prepare, &plan.enable)?;
    // A daemon that was started by hand holds the ledger.
    if daemon::stop().await?.is_some() {
        show::print("Stopped the running daemon; the service manager takes over.\n")?;
    }
    perform(&plan.enable, &[])
}

/// `tokmonctl daemon uninstall`.
pub(crate) async fn uninstall(dry_run: bool) -> Result<(), Failure> {
    let situation = Situation::now()?;
    let plan = plan(&situation)?;
    let before = situation.commands(
        &[&[
            "systemctl",
            "--user",
            "disable",
            "--now",
            "tokmond.service",
            "tokmond.socket",
        ]],
        "bootout",
    );
    let after = situation.commands(&[&["systemctl", "--user", "daemon-reload"]], "");
    let present: Vec<&PathBuf> = plan
        .files
        .iter()
        .map(|(file, _)| file)
        .filter(|f| f.exists())
        .collect();
    if dry_run {
        let mut out = String::new();
        for command in before.iter().chain(&after) {
            out.push_str(&format!("would run    {}\n", command.join(" ")));
        }
        for file in present {
            out.push_str(&format!("would remove {}\n", file.display()));
        }
        return show::print(&out);
    }
    if present.is_empty() {
        return show::print("Nothing is installed.\n");
    }
    // The files go in any case: where nobody listens, nothing is enabled either.
    let disabled = perform(&before, &after);
    for file in present {
        fs::remove_file(file).map_err(|e| io_error("remove", file.display(), &e))?;
        show::print(&format!("Removed {}.\n", file.display()))?;
    }
    disabled?;
    perform(&after, &[])
}

#[cfg(unix)]
fn private_dir(dir: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| io_error("create", dir.display(), &e))
}

#[cfg(not(unix))]
fn private_dir(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|e| io_error("create", dir.display(), &e))
}

/// Whether our unit or agent is in place.
pub(crate) fn is_installed() -> bool {
    let plan = Situation::now().and_then(|situation| plan(&situation));
    plan.is_ok_and(|plan| plan.files.iter().all(|(file, _)| file.exists()))
}

/// Everything outside that the plan depends on.
#[derive(Debug)]
struct Situation {
    macos: bool,
    program: PathBuf,
    unit_dir: PathBuf,
    socket: PathBuf,
    variables: Vec<(&'static str, String)>,
    user_id: u32,
}

impl Situation {
    fn now() -> Result<Situation, Error> {
        let var = |name: &str| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let home = var("HOME").ok_or_else(|| invalid("HOME is not set, so there is no place for a unit"))?;
        let macos = cfg!(target_os = "macos");
        let unit_dir = if macos {
            home.join("Library/LaunchAgents")
        } else {
            var("XDG_CONFIG_HOME")
                .unwrap_or_else(|| home.join(".config"))
                .join("systemd/user")
        };
        let program = find_program()?;
        let program = program
            .canonicalize()
            .map_err(|e| io_error("find", program.display(), &e))?;
        let mut variables = Vec::new();
        for name in VARIABLES {
            let Some(value) = std::env::var_os(name).filter(|v| !v.is_empty()) else {
                continue;
            };
            let value = value
                .into_string()
                .map_err(|_| invalid(format!("{name} is not valid UTF-8")))?;
            // Relative paths would mean something else to a service.
            let value = if name == "CLAUDE_CONFIG_DIR" {
                value
            } else {
                absolute(&value)?
            };
            variables.push((name, value));
        }
        let socket = Paths::from_env().map_err(|e| invalid(e.to_string()))?.socket;
        Ok(Situation {
            macos,
            program,
            unit_dir,
            socket,
            variables,
            user_id: owner(&home),
        })
    }

    /// The commands of this platform's service manager.
    fn commands(&self, systemd: &[&[&str]], launchd_verb: &str) -> Vec<Vec<String>> {
        let own = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
        if !self.macos {
            return systemd.iter().map(|words| own(words)).collect();
        }
        let domain = format!("gui/{}", self.user_id);
        match launchd_verb {
            "bootstrap" => vec![own(&[
                "launchctl",
                "bootstrap",
                &domain,
                &self.agent_file().display().to_string(),
            ])],
            "bootout" => vec![own(&["launchctl", "bootout", &format!("{domain}/{LABEL}")])],
            _ => Vec::new(),
        }
    }

    fn agent_file(&self) -> PathBuf {
        self.unit_dir.join(format!("{LABEL}.plist"))
    }
}

#[cfg(unix)]
fn owner(home: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(home).map_or(0, |m| m.uid())
}

#[cfg(not(unix))]
fn owner(_: &Path) -> u32 {
    0
}

fn absolute(path: &str) -> Result<String, Error> {
    let path = std::path::absolute(path).map_err(|e| io_error("find", path, &e))?;
    Ok(path.display().to_string())
}

fn plan(s: &Situation) -> Result<Plan, Error> {
    let program = s
        .program
        .to_str()
        .ok_or_else(|| invalid(format!("{} is not valid UTF-8", s.program.display())))?;
    if program.contains(char::is_control) || s.variables.iter().any(|(_, v)| v.contains(char::is_control)) {
        return Err(invalid(
            "a path with control characters cannot be written into a unit",
        ));
    }
    let files = if s.macos {
        vec![(s.agent_file(), agent(program, s)?)]
    } else {
        vec![
            (s.unit_dir.join("tokmond.service"), service(program, &s.variables)),
            (s.unit_dir.join("tokmond.socket"), socket(s)),
        ]
    };
    let enable = [
        "systemctl",
        "--user",
        "enable",
        "--now",
        "tokmond.socket",
        "tokmond.service",
    ];
    Ok(Plan {
        files,
        prepare: s.commands(&[&["systemctl", "--user", "daemon-reload"]], ""),
        enable: s.commands(&[&enable], "bootstrap"),
    })
}

fn service(program: &str, variables: &[(&'static str, String)]) -> String {
    let mut lines = Vec::new();
    for line in SERVICE.lines() {
        if let Some(rest) = line.strip_prefix("ExecStart=") {
            for (name, value) in variables {
                lines.push(format!(
                    "Environment={}",
                    quoted(&format!("{name}={}", specifiers(value)))
                ));
            }
            // In ExecStart a dollar sign begins a variable.
            let program = quoted(&specifiers(program).replace('$', "$$"));
            lines.push(format!("ExecStart={}", rest.replace(TEMPLATE_PROGRAM, &program)));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n") + "\n"
}

fn socket(s: &Situation) -> String {
    let moved = s.variables.iter().any(|(name, _)| name.starts_with("TOKMON_"));
    if !moved {
        return SOCKET.to_owned();
    }
    let listen = format!("ListenStream={}", specifiers(&s.socket.display().to_string()));
    let lines = SOCKET.lines().map(|line| {
        if line.starts_with("ListenStream=") {
            listen.as_str()
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// systemd replaces what a percent sign begins.
fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// In quotes where systemd would split or unescape.
fn quoted(text: &str) -> String {
    if text
        .chars()
        .all(|c| c.is_alphanumeric() || "/._-=+:,@%$".contains(c))
    {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

fn agent(program: &str, s: &Situation) -> Result<String, Error> {
    let socket = s
        .socket
        .to_str()
        .filter(|path| !path.contains(char::is_control))
        .ok_or_else(|| invalid(format!("{} cannot be written into an agent", s.socket.display())))?;
    let plist = AGENT
        .replace(TEMPLATE_PROGRAM, &xml(program))
        .replace(TEMPLATE_SOCKET, &xml(socket));
    let variables = &s.variables;
    if variables.is_empty() {
        return Ok(plist);
    }
    let pairs: String = variables
        .iter()
        .map(|(name, value)| format!("\t\t<key>{name}</key>\n\t\t<string>{}</string>\n", xml(value)))
        .collect();
    let environment = format!("\t<key>EnvironmentVariables</key>\n\t<dict>\n{pairs}\t</dict>\n");
    Ok(match plist.rfind("</dict>") {
        Some(end) => format!("{}{environment}{}", &plist[..end], &plist[end..]),
        None => plist,
    })
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn describe(plan: &Plan) -> String {
    let mut out = String::new();
    for (file, content) in &plan.files {
        out.push_str(&format!("would write {}:\n", file.display()));
        for line in content.lines() {
            out.push_str(&format!("    {line}\n"));
        }
    }
    for command in plan.prepare.iter().chain(&plan.enable) {
        out.push_str(&format!("would run {}\n", command.join(" ")));
    }
    out
}

/// Runs the commands. When one does not work it says what is left to do by hand, `later` included.
fn perform(commands: &[Vec<String>], later: &[Vec<String>]) -> Result<(), Failure> {
    for (place, command) in commands.iter().enumerate() {
        let Some((program, arguments)) = command.split_first() else {
            continue;
        };
        let line = command.join(" ");
        let why = match Command::new(program).args(arguments).output() {
            Ok(output) if output.status.success() => {
                show::print(&format!("Ran {line}.\n"))?;
                continue;
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(e) => e.to_string(),
        };
        let left: Vec<String> = commands[place..]
            .iter()
            .chain(later)
            .map(|c| c.join(" "))
            .collect();
        let failed = Error::new(Kind::Unavailable, format!("`{line}` did not work: {why}"));
        let hint = format!("run where your service manager is at hand: {}", left.join(" && "));
        return Err(failed.with_hint(hint).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn situation(macos: bool, program: &str, variables: Vec<(&'static str, String)>) -> Situation {
        Situation {
            macos,
            program: program.into(),
            unit_dir: "/u".into(),
            socket: "/x/run/tokmond.v1.sock".into(),
            variables,
            user_id: 501,
        }
    }

    #[test]
    fn the_unit_runs_the_real_program() {
        let plan = plan(&situation(false, "/opt/tok mon/100%/tokmond", vec![])).unwrap();
        let (file, unit) = &plan.files[0];
        assert_eq!(file, Path::new("/u/tokmond.service"));
        assert!(
            unit.contains("\nExecStart=\"/opt/tok mon/100%%/tokmond\" run\n"),
            "{unit}"
        );
        assert!(!unit.contains("/usr/local/bin") && !unit.contains("\nEnvironment="));
        assert_eq!(plan.files[1].1, SOCKET);
        assert_eq!(
            plan.enable[0].join(" "),
            "systemctl --user enable --now tokmond.socket tokmond.service"
        );
    }

    #[test]
    fn a_moved_home_moves_unit_and_socket() {
        let plan = plan(&situation(
            false,
            "/bin/tokmond",
            vec![("TOKMON_HOME", "/my home".into())],
        ))
        .unwrap();
        assert!(
            plan.files[0]
                .1
                .contains("\nEnvironment=\"TOKMON_HOME=/my home\"\nExecStart=/bin/tokmond run\n")
        );
        assert!(
            plan.files[1]
                .1
                .contains("\nListenStream=/x/run/tokmond.v1.sock\n"),
            "{}",
            plan.files[1].1
        );
    }

    #[test]
    fn the_agent_is_well_formed() {
        let plan = plan(&situation(
            true,
            "/a&b/tokmond",
            vec![("CODEX_HOME", "/c<d".into())],
        ))
        .unwrap();
        let (file, plist) = &plan.files[0];
        assert_eq!(file, Path::new("/u/dev.tokmon.tokmond.plist"));
        assert!(
            plist.contains("<string>/a&amp;b/tokmond</string>") && plist.contains("<string>/c&lt;d</string>"),
            "{plist}"
        );
        assert!(
            plist.contains("<string>/x/run/tokmond.v1.sock</string>") && !plist.contains(TEMPLATE_SOCKET),
            "{plist}"
        );
        assert!(
            plist.trim_end().ends_with("</dict>\n</dict>\n</plist>"),
            "{plist}"
        );
        assert_eq!(
            plan.enable,
            [
                ["launchctl", "bootstrap", "gui/501", "/u/dev.tokmon.tokmond.plist"]
                    .map(str::to_owned)
                    .to_vec()
            ]
        );
    }

    #[test]
    fn line_breaks_cannot_smuggle_settings() {
        let result = plan(&situation(false, "/bin/x\nExecStop=rm", vec![]));
        assert_eq!(result.unwrap_err().kind(), Kind::Invalid);
    }
}
