//! Cline and what was made from it, Roo Code and Kilo Code: extensions of VS Code and of every editor made from that,
//! which keep a folder for each task; and Cline's own command line, which keeps sessions.

mod input;
mod model;
mod session;
mod task;
mod workspace;

use std::path::{Path, PathBuf};

use super::{Form, Format, Reading};
use crate::roots::Places;

/// Cline.
pub(super) const CLINE: Format = Format {
    name: "cline",
    version: 3,
    places: |at| {
        let mut places = storages(at, "saoudrizwan.claude-dev");
        places.push(home(at, &["CLINE_DATA_DIR"]));
        places
    },
    forms: &[TASK],
};

/// Roo Code.
pub(super) const ROO_CODE: Format = Format {
    name: "roo-code",
    version: 3,
    places: |at| {
        let mut places = storages(at, "rooveterinaryinc.roo-cline");
        // Its command line is the extension in an editor that is none.
        places.push(at.home.join(".vscode-mock/global-storage"));
        places
    },
    forms: &[TASK],
};

/// Kilo Code.
pub(super) const KILO_CODE: Format = Format {
    name: "kilo-code",
    version: 3,
    places: |at| {
        let mut places = storages(at, "kilocode.kilo-code");
        places.push(at.home.join(".kilocode/cli/global"));
        places
    },
    forms: &[TASK],
};

/// Cline's command line, and from its fourth version on its extension.
pub(super) const CLINE_CLI: Format = Format {
    name: "cline-cli",
    version: 3,
    places: |at| match at.var("CLINE_SESSION_DATA_DIR") {
        Some(sessions) => vec![sessions],
        None => vec![home(at, &["CLINE_DATA_DIR"]).join("sessions")],
    },
    forms: &[Form {
        files: "*/*.messages.json",
        kind: "cline-session",
        read: Reading::Document(session::read),
    }],
};

const TASK: Form = Form {
    files: "tasks/*/ui_messages.json",
    kind: "cline-task",
    read: Reading::Document(task::read),
};

/// Where Cline keeps what belongs to no editor.
fn home(at: &Places<'_>, variables: &[&str]) -> PathBuf {
    let named = variables.iter().find_map(|variable| at.var(variable));
    named.unwrap_or_else(|| {
        let own = at.var("CLINE_DIR").unwrap_or_else(|| at.home.join(".cline"));
        own.join("data")
    })
}

/// Editors that run extensions of VS Code, by their folder among the desktop programs' data.
const EDITORS: [&str; 9] = [
    "Code",
    "Code - Insiders",
    "Code - OSS",
    "VSCodium",
    "VSCodium - Insiders",
    "Cursor",
    "Windsurf",
    "Trae",
    "Antigravity",
];
/// Their servers on a machine that is worked on from another, below the home directory.
const SERVERS: [&str; 8] = [
    ".vscode-server/data",
    ".vscode-server-insiders/data",
    ".vscode-server-oss/data",
    ".vscodium-server/data",
    ".cursor-server/data",
    ".windsurf-server/data",
    ".vscode-remote/data",
    ".local/share/code-server",
];

/// Where an extension keeps its own files: in every editor that is there, and in VS Code in any case.
fn storages(at: &Places<'_>, extension: &str) -> Vec<PathBuf> {
    let desktop = at.app_data();
    let editors = EDITORS.iter().map(|editor| desktop.join(editor));
    let servers = SERVERS.iter().map(|server| at.home.join(server));
    let usual = desktop.join(EDITORS[0]);
    editors
        .chain(servers)
        .filter(|editor| *editor == usual || editor.is_dir())
        .map(|editor| editor.join("User/globalStorage").join(Path::new(extension)))
        .collect()
}

#[cfg(test)]
mod tests;
