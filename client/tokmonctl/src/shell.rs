//! `tokmonctl completions` and `tokmonctl man`: made from the command line's own definition, so they never lag.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::{Failure, io_error};
use crate::show;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Write the pages of all commands to this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// `tokmonctl completions`.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tokmonctl", &mut script);
    show::print(&String::from_utf8_lossy(&script))
}

/// `tokmonctl man`.
pub(crate) fn man(args: &ManArgs) -> Result<(), Failure> {
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir).map_err(|e| io_error("create", dir.display(), &e))?;
        clap_mangen::generate_to(pages(), dir).map_err(|e| io_error("write to", dir.display(), &e))?;
        return show::print(&format!("Wrote the manual pages to {}.\n", dir.display()));
    }
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(pages()).render(&mut page);
    rendered.map_err(|e| io_error("write", "the manual page", &e))?;
    show::print(&String::from_utf8_lossy(&page))
}

/// The commands that have a page; `help` is none of its own.
fn pages() -> clap::Command {
    Cli::command().disable_help_subcommand(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_page() {
        let dir = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(pages(), dir.path()).unwrap();
        for page in ["tokmonctl.1", "tokmonctl-up.1", "tokmonctl-ledger-restore.1"] {
            assert!(dir.path().join(page).exists(), "{page}");
        }
    }

    #[test]
    fn every_shell_gets_its_script() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tokmonctl", &mut script);
            assert!(String::from_utf8(script).unwrap().contains("report"));
        }
    }
}
