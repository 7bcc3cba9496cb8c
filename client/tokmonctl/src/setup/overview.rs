//! What setup would do, at a glance: a row for each agent, a column for each piece, and below it what is in the way.

use super::job::{Job, OWN};
use super::piece::Piece;
use super::step::State;
use super::telemetry::Own;
use crate::show::Screen;
use crate::show::table::{Look, Table, text};

/// The table, and what its words mean when they do not say it themselves.
pub(super) fn draw(jobs: &[Job], undo: bool, own: &Own, screen: &Screen) -> String {
    let rows: Vec<&Job> = jobs.iter().filter(|job| job.name != OWN).collect();
    if rows.is_empty() {
        return match undo {
            true => "Nothing of ours is in any agent's configuration.\n".to_owned(),
            false => "No agent was found on this machine; name one: tokmonctl setup AGENT.\n".to_owned(),
        };
    }
    let mut table = Table::new(vec![
        text("Agent", 0),
        text("Files", 1),
        text("Hooks", 0),
        text("Statusline", 0),
        text("Telemetry", 0),
        text("MCP", 0),
    ]);
    for job in rows {
        let files = match job.source {
            None => "-",
            Some(name) if own.reads(name) => "read",
            Some(_) => "off",
        };
        let mut cells = vec![job.name.to_owned(), files.to_owned()];
        cells.extend(Piece::ALL.map(|piece| match (&job.steps, job.state(piece)) {
            (Err(_), _) => "failed".to_owned(),
            (_, State::None) => "-".to_owned(),
            (_, state) => state.name().to_owned(),
        }));
        let look = match job.steps {
            Err(_) => Look::Critical,
            Ok(_) if job.changes() => Look::Plain,
            Ok(_) => Look::Sub,
        };
        table.row(look, cells);
    }
    let mut out = table.render(screen);
    for job in jobs {
        if let Err(error) = &job.steps {
            let line = format!("{}: {}", job.name, crate::show::clean(&error.message));
            out.push_str(&format!("{}\n", screen.fold(&line, 2)));
        }
    }
    if jobs.iter().any(|job| job.name == OWN && job.changes()) {
        let line = match undo {
            true => "tokmon's own otlp.enabled is taken out of its configuration again.",
            false => "otlp.enabled is set in tokmon's own configuration, so that telemetry is taken.",
        };
        out.push_str(&format!("{}\n", screen.fold(line, 0)));
    }
    out
}
