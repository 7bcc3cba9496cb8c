//! The parts of a set-up that can be chosen: hooks, statusline, telemetry, MCP server.

use clap::ValueEnum;

/// One part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Piece {
    /// Hooks that stop the agent when a budget has nothing left.
    Hooks,
    /// The line below the prompt, which also tells what the agent knows of its limits.
    Statusline,
    /// The agent's export of what it used.
    Telemetry,
    /// The MCP server.
    Mcp,
}

impl Piece {
    /// All of them, in the order in which they are shown.
    pub(super) const ALL: [Piece; 4] = [Piece::Hooks, Piece::Statusline, Piece::Telemetry, Piece::Mcp];

    /// The word for it on the command line and in JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Piece::Hooks => "hooks",
            Piece::Statusline => "statusline",
            Piece::Telemetry => "telemetry",
            Piece::Mcp => "mcp",
        }
    }
}
