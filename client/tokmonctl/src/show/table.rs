//! Tables that fit the terminal: the least important columns go first, then long texts are cut.

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, LineStyle, Row, TableStyle,
    Width,
};

use super::Screen;

/// Blanks between two columns.
const GAP: u16 = 2;
/// A text column is not cut below this while another column can be dropped instead.
const NARROWEST_TEXT: u16 = 20;
/// Not even on the narrowest terminal.
const NARROWEST_AT_ALL: u16 = 4;
/// Finer amounts than that are not lined up with the others: the blanks would cost too much width.
const FINEST: usize = 5;
/// Only a line below the header; borders would cost width.
const RULE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Figures,
    Text,
    /// Cut at its beginning: the end of a path tells more.
    Path,
    /// Cut last of all: a part of an id is no use.
    Id,
}

/// One column. Columns with a higher `drop` rank leave first when the terminal is narrow; rank 0 stays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    holds: Holds,
    drop: u8,
}

/// A column of figures, aligned to the right.
pub(crate) fn figures(title: &'static str, drop: u8) -> Column {
    Column {
        title,
        holds: Holds::Figures,
        drop,
    }
}

/// A column of words.
pub(crate) fn text(title: &'static str, drop: u8) -> Column {
    Column {
        title,
        holds: Holds::Text,
        drop,
    }
}

/// A column of paths.
pub(crate) fn path(title: &'static str, drop: u8) -> Column {
    Column {
        title,
        holds: Holds::Path,
        drop,
    }
}

/// A column of ids.
pub(crate) fn id(title: &'static str, drop: u8) -> Column {
    Column {
        title,
        holds: Holds::Id,
        drop,
    }
}

/// How a row looks on a terminal with colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// As it is.
    Plain,
    /// Part of the row above.
    Sub,
    /// The sum, set apart by a line.
    Total,
    /// In order.
    Good,
    /// Worth a look.
    Warning,
    /// Needs somebody.
    Critical,
}

/// A table that is being filled.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<(Look, Vec<String>)>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(columns: Vec<Column>) -> Table {
        Table {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells are empty.
    pub(crate) fn row(&mut self, look: Look, cells: Vec<String>) {
        let cells = cells.iter().map(|c| super::clean(c).into_owned()).collect();
        self.rows.push((look, cells));
    }

    /// The table as text that ends with a line break.
    pub(crate) fn render(&self, screen: &Screen) -> String {
        self.lined_up().draw(screen)
    }

    /// Amounts of different precision filled up with blanks, so that their points stand below each other.
    fn lined_up(&self) -> Table {
        let mut rows = self.rows.clone();
        let decimals = |cell: &str| -> Option<usize> {
            let (whole, fraction) = cell.split_once('.')?;
            let amount = whole.trim_start_matches('-').starts_with('$');
            (amount && fraction.bytes().all(|b| b.is_ascii_digit())).then_some(fraction.len())
        };
        for column in (0..self.columns.len()).filter(|i| self.columns[*i].holds == Holds::Figures) {
            let cells = rows.iter().filter_map(|(_, cells)| decimals(cells.get(column)?));
            let most = cells.max().unwrap_or(0).min(FINEST);
            for cell in rows.iter_mut().filter_map(|(_, cells)| cells.get_mut(column)) {
                if let Some(own) = decimals(cell) {
                    cell.push_str(&" ".repeat(most.saturating_sub(own)));
                }
            }
        }
        Table {
            columns: self.columns.clone(),
            rows,
        }
    }

    fn draw(&self, screen: &Screen) -> String {
        let widths: Vec<u16> = (0..self.columns.len()).map(|i| self.natural_width(i)).collect();
        let (kept, widths) = fit(&self.columns, &self.filled(), &widths, screen.width);
        let mut table = comfy_table::Table::new();
        table.load_style(RULE).set_truncation_indicator("…");
        if let Some(width) = screen.width {
            table
                .set_width(width)
                .set_content_arrangement(ContentArrangement::Dynamic);
        }
        if screen.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let mut header = Row::from(kept.iter().map(|&i| head(&self.columns[i])).collect::<Vec<_>>());
        header.max_height(1);
        table.set_header(header);
        for (look, cells) in &self.rows {
            let mut row = Row::new();
            for (&i, &width) in kept.iter().zip(&widths) {
                let column = &self.columns[i];
                let content = cells.get(i).map_or("", String::as_str);
                row.add_cell(styled(cut(content, width, column.holds), column.holds, *look));
            }
            row.max_height(1);
            table.add_row(row);
        }
        let last = kept.len().saturating_sub(1);
        for (place, (column, &width)) in table.column_iter_mut().zip(&widths).enumerate() {
            let gap = if place == last { 0 } else { GAP };
            column.set_padding((0, gap));
            if screen.width.is_some() {
                column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + gap)));
            }
        }
        self.with_rule(&table.to_string())
    }

    /// Columns that say something; of the others only those that never leave.
    fn filled(&self) -> Vec<usize> {
        let says_something = |i: &usize| {
            self.columns[*i].drop == 0
                || self
                    .rows
                    .iter()
                    .any(|(_, cells)| cells.get(*i).is_some_and(|c| !c.is_empty()))
        };
        (0..self.columns.len()).filter(says_something).collect()
    }

    /// Widest content of a column, its title included.
    fn natural_width(&self, column: usize) -> u16 {
        let mut probe = comfy_table::Table::new();
        probe.set_header([self.columns[column].title]);
        for (_, cells) in &self.rows {
            probe.add_row([cells.get(column).map_or("", String::as_str)]);
        }
        probe.column_max_content_widths().first().copied().unwrap_or(0)
    }

    /// Repeats the line below the header above the sums.
    fn with_rule(&self, drawn: &str) -> String {
        let lines: Vec<&str> = drawn.lines().map(str::trim_end).collect();
        let rule = lines.get(1).copied().unwrap_or_default();
        let mut out = String::with_capacity(drawn.len() + rule.len());
        for (place, line) in lines.iter().enumerate() {
            let row = place.checked_sub(2).and_then(|i| self.rows.get(i));
            if row.is_some_and(|(look, _)| *look == Look::Total) && place > 2 {
                out.push_str(rule);
                out.push('\n');
            }
            out.push_str(line);
            out.push('\n');
        }
        out
    }
}

fn head(column: &Column) -> Cell {
    let cell = Cell::new(column.title).add_attribute(Attribute::Bold);
    align(cell, column.holds)
}

fn align(cell: Cell, holds: Holds) -> Cell {
    match holds {
        Holds::Figures => cell.set_alignment(CellAlignment::Right),
        Holds::Text | Holds::Path | Holds::Id => cell,
    }
}

fn styled(content: String, holds: Holds, look: Look) -> Cell {
    let cell = align(Cell::new_owned(content), holds);
    match look {
        Look::Plain => cell,
        Look::Sub => cell.add_attribute(Attribute::Dim),
        Look::Total => cell.add_attribute(Attribute::Bold),
        Look::Good => cell.fg(Color::Green),
        Look::Warning => cell.fg(Color::Yellow),
        Look::Critical => cell.fg(Color::Red),
    }
}

/// Which columns stay, and how wide each may be.
fn fit(
    columns: &[Column],
    filled: &[usize],
    natural: &[u16],
    terminal: Option<u16>,
) -> (Vec<usize>, Vec<u16>) {
    let mut kept = filled.to_vec();
    let Some(terminal) = terminal.map(u32::from) else {
        let widths = kept.iter().map(|i| natural[*i]).collect();
        return (kept, widths);
    };
    let least = |i: &usize| match columns[*i].holds {
        Holds::Figures | Holds::Id => natural[*i],
        Holds::Text | Holds::Path => natural[*i].min(NARROWEST_TEXT),
    };
    let total = |kept: &[usize], width: &dyn Fn(&usize) -> u16| -> u32 {
        let gaps = u32::from(GAP) * (kept.len().saturating_sub(1) as u32);
        kept.iter().map(|i| u32::from(width(i))).sum::<u32>() + gaps
    };
    while total(&kept, &least) > terminal {
        let first = kept
            .iter()
            .enumerate()
            .filter(|(_, i)| columns[**i].drop > 0)
            .max_by_key(|(_, i)| columns[**i].drop);
        let Some((place, _)) = first else { break };
        kept.remove(place);
    }
    let mut widths: Vec<u16> = kept.iter().map(|i| natural[*i]).collect();
    let gaps = u32::from(GAP) * (kept.len().saturating_sub(1) as u32);
    // Cut the widest text, one character after the other, until everything fits; below its comfortable width, and
    // ids at all, only when there is no other way.
    for (floor, spared) in [(NARROWEST_TEXT, Holds::Id), (NARROWEST_AT_ALL, Holds::Figures)] {
        while widths.iter().map(|w| u32::from(*w)).sum::<u32>() + gaps > terminal {
            let widest = (0..kept.len())
                .filter(|p| {
                    ![Holds::Figures, spared].contains(&columns[kept[*p]].holds) && widths[*p] > floor
                })
                .max_by_key(|p| widths[*p]);
            match widest {
                Some(place) => widths[place] -= 1,
                None => break,
            }
        }
    }
    (kept, widths)
}

/// Cuts a path at its beginning. Other texts are cut at their end by the table itself.
fn cut(content: &str, width: u16, holds: Holds) -> String {
    let (length, width) = (content.chars().count(), usize::from(width));
    if holds != Holds::Path || length <= width || width == 0 {
        return content.to_owned();
    }
    let tail: String = content.chars().skip(length + 1 - width).collect();
    format!("…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(vec![
            path("Project", 0),
            figures("Requests", 2),
            figures("Input", 3),
            figures("Output", 4),
            figures("Cache write", 6),
            figures("Cache read", 5),
            figures("Total", 1),
            figures("Cost", 0),
        ]);
        for project in ["/home/somebody/work/a-project-with-a-long-name", "/srv/b"] {
            table.row(
                Look::Plain,
                vec![
                    project,
                    "1,234",
                    "12,345,678",
                    "1,234,567",
                    "123,456,789",
                    "1,234,567,890",
                    "1,370,000,000",
                    "$1,234.56",
                ]
                .into_iter()
                .map(str::to_owned)
                .collect(),
            );
        }
        table.row(Look::Total, vec!["Total".into(), "2,468".into()]);
        table
    }

    fn widest(text: &str) -> usize {
        text.lines().map(|l| l.chars().count()).max().unwrap()
    }

    #[test]
    fn every_width_is_kept() {
        for width in [20, 40, 60, 80, 100, 120, 200] {
            let text = sample().render(&Screen {
                width: Some(width),
                colour: false,
            });
            assert!(widest(&text) <= usize::from(width), "{width}:\n{text}");
        }
    }

    #[test]
    fn narrow_terminals_lose_the_least_important_columns() {
        let at = |width| sample().render(&Screen { width, colour: false });
        for (width, has, has_not) in [
            (
                Some(60),
                vec!["Project", "Total", "Cost"],
                vec!["Cache write", "Cache read"],
            ),
            (
                Some(80),
                vec!["Project", "Requests", "Input", "Total", "Cost"],
                vec!["Cache write", "Cache read"],
            ),
            (
                Some(120),
                vec!["Requests", "Cache write", "Cache read", "Cost"],
                vec![],
            ),
            (
                None,
                vec!["Cache write", "/home/somebody/work/a-project-with-a-long-name"],
                vec!["…"],
            ),
        ] {
            let text = at(width);
            for word in has {
                assert!(text.contains(word), "{width:?} has no {word}:\n{text}");
            }
            for word in has_not {
                assert!(!text.contains(word), "{width:?} has {word}:\n{text}");
            }
        }
    }

    #[test]
    fn paths_keep_their_end() {
        let text = sample().render(&Screen {
            width: Some(60),
            colour: false,
        });
        assert!(text.contains("…") && text.contains("long-name"), "{text}");
    }

    #[test]
    fn an_id_stays_whole_while_columns_can_leave() {
        let uuid = "63ef6e43-24d7-411b-99ff-ffef458effec";
        let mut table = Table::new(vec![id("Session", 0), figures("Requests", 1), figures("Cost", 0)]);
        table.row(Look::Plain, vec![uuid.into(), "1,234".into(), "$1,234.56".into()]);
        let at = |width| {
            table.render(&Screen {
                width: Some(width),
                colour: false,
            })
        };
        assert!(
            at(48).contains(uuid) && !at(48).contains("Requests"),
            "{}",
            at(48)
        );
        assert!(widest(&at(30)) <= 30, "{}", at(30));
    }

    #[test]
    fn the_points_of_amounts_stand_below_each_other() {
        let mut table = Table::new(vec![text("Day", 0), figures("Cost", 0)]);
        for cost in ["$0.2457", "$1.25", "–", "$1,081.81"] {
            table.row(Look::Plain, vec!["a".into(), cost.into()]);
        }
        let drawn = table.render(&Screen {
            width: Some(80),
            colour: false,
        });
        let points: Vec<usize> = drawn.lines().filter_map(|line| line.find('.')).collect();
        assert_eq!(points.len(), 3);
        assert!(points.iter().all(|p| *p == points[0]), "{drawn}");
    }

    #[test]
    fn the_sum_is_set_apart() {
        let text = sample().render(&Screen {
            width: None,
            colour: false,
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 6);
        assert!(lines[1].starts_with('─') && lines[1] == lines[4], "{text}");
        assert!(lines[5].starts_with("Total"));
    }

    #[test]
    fn columns_without_content_take_no_room() {
        let mut table = Table::new(vec![text("Name", 0), text("Waste", 3), text("Must stay", 0)]);
        table.row(Look::Plain, vec!["a".into()]);
        let drawn = table.render(&Screen {
            width: None,
            colour: false,
        });
        assert!(!drawn.contains("Waste") && drawn.contains("Must stay"), "{drawn}");
    }

    #[test]
    fn colour_only_when_asked_for() {
        let table = sample();
        assert!(
            !table
                .render(&Screen {
                    width: None,
                    colour: false
                })
                .contains('\u{1b}')
        );
        assert!(
            table
                .render(&Screen {
                    width: None,
                    colour: true
                })
                .contains('\u{1b}')
        );
    }

    #[test]
    fn escape_sequences_in_names_do_not_reach_the_terminal() {
        let mut table = Table::new(vec![text("Name", 0)]);
        table.row(Look::Plain, vec!["a\u{1b}[31mb\nc".into()]);
        let drawn = table.render(&Screen {
            width: Some(80),
            colour: false,
        });
        assert!(!drawn.contains('\u{1b}'));
        assert_eq!(drawn.lines().count(), 3);
    }
}
