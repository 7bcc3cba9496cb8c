//! `tokmon-mcp`: an MCP server on stdio whose tool calls are each one call to the tokmon daemon.
//!
//! It holds no state worth keeping, so clients may start and stop it as they like, several at once. Standard
//! output belongs to the protocol; whatever goes wrong is told on standard error.

mod answer;
mod arguments;
mod attribution;
mod daemon;
mod lines;
mod money;
mod options;
mod server;
mod tools;

use std::io::Write;
use std::process::ExitCode;

use options::{Action, USAGE};
use rmcp::ServiceExt;
use rmcp::service::{QuitReason, ServerInitializeError};
use server::Server;

/// Exit code for a wrong command line, the same as of the other programs.
const EX_USAGE: u8 = 2;
/// Exit code for a fault of the program.
const EX_SOFTWARE: u8 = 70;
/// Exit code for a client that does not speak the protocol.
const EX_PROTOCOL: u8 = 76;

fn main() -> ExitCode {
    let tools = match options::parse(std::env::args_os().skip(1)) {
        Ok(Action::Serve(tools)) => tools,
        Ok(Action::Version) => {
            put(
                std::io::stdout(),
                &format!("tokmon-mcp {}", env!("CARGO_PKG_VERSION")),
            );
            return ExitCode::SUCCESS;
        }
        Ok(Action::Help) => {
            put(std::io::stdout(), USAGE);
            return ExitCode::SUCCESS;
        }
        Err(wrong) => return fail(EX_USAGE, &format!("{wrong}\n\n{USAGE}")),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(EX_SOFTWARE, &format!("cannot start: {e}")),
    };
    let code = runtime.block_on(serve(Server::new(tools)));
    // A read of standard input may still block a thread of its own; nothing is left to wait for.
    runtime.shutdown_background();
    code
}

/// Serves until the client closes our standard input.
async fn serve(server: Server) -> ExitCode {
    let (input, output) = rmcp::transport::stdio_pipes();
    let input = lines::Watched::new(input, |wrong: String| tell(&wrong));
    let running = match Box::pin(server.serve((input, output))).await {
        Ok(running) => running,
        // Health checks open, ask one question and close.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => {
            return ExitCode::SUCCESS;
        }
        Err(ServerInitializeError::TransportError { .. }) => return ExitCode::SUCCESS,
        Err(ServerInitializeError::ExpectedInitializeRequest(_)) => {
            return fail(
                EX_PROTOCOL,
                "the first message must be a request: initialize or server/discover",
            );
        }
        Err(e) => return fail(EX_PROTOCOL, &e.to_string()),
    };
    match running.waiting().await {
        Ok(QuitReason::Closed | QuitReason::Cancelled) => ExitCode::SUCCESS,
        Ok(reason) => fail(EX_SOFTWARE, &format!("stopped: {reason:?}")),
        Err(e) => fail(EX_SOFTWARE, &format!("stopped: {e}")),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    tell(message);
    ExitCode::from(code)
}

fn tell(message: &str) {
    put(std::io::stderr(), &format!("tokmon-mcp: {message}"));
}

/// Writes a line. A client that closed its end needs no line and must not end us.
fn put(mut to: impl Write, line: &str) {
    let _ = writeln!(to, "{line}");
}
