//! Finds the three programs, built from this tree in the profile that the tests run in.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the workspace.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.parent()
            .expect("the tests crate lies in the workspace")
            .to_path_buf()
    })
}

/// Names a directory with programs to test as they are, e.g. those of a release.
const GIVEN: &str = "TOKMON_TEST_BINARIES";

/// Directory of the programs, e.g. `target/debug`. The first call builds what is out of date there, because
/// `cargo test` builds a package's programs only for that package's own tests.
pub fn dir() -> &'static Path {
    static DIR: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = DIR.get_or_init(|| match std::env::var_os(GIVEN) {
        Some(given) => Ok(PathBuf::from(given)),
        None => build(),
    });
    match built {
        Ok(dir) => dir,
        Err(errors) => panic!("the programs do not build:\n{errors}"),
    }
}

/// The daemon.
pub fn tokmond() -> PathBuf {
    dir().join("tokmond")
}

/// The command line.
pub fn tokmonctl() -> PathBuf {
    dir().join("tokmonctl")
}

/// The MCP server.
pub fn tokmon_mcp() -> PathBuf {
    dir().join("tokmon-mcp")
}

/// Directory under the target directory for what tests install once, e.g. a Python environment.
pub fn tool_dir(name: &str) -> PathBuf {
    profile_dir().join("test-tools").join(name)
}

fn profile_dir() -> PathBuf {
    // target/<profile>/deps/it-<hash>
    let exe = std::env::current_exe().expect("the test knows its own path");
    exe.parent()
        .and_then(Path::parent)
        .expect("cargo puts tests into target/<profile>/deps")
        .to_path_buf()
}

fn build() -> Result<PathBuf, String> {
    let dir = profile_dir();
    let target = dir
        .parent()
        .expect("the profile's directory lies in the target directory");
    let profile = match dir.file_name().and_then(|n| n.to_str()) {
        Some("debug") => "dev",
        Some(other) => other,
        None => panic!("no profile in {}", dir.display()),
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root())
        .args(["build", "--quiet", "--workspace", "--bins", "--profile", profile])
        .arg("--target-dir")
        .arg(target)
        .output()
        .expect("cargo can be started");
    if output.status.success() {
        Ok(dir)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
