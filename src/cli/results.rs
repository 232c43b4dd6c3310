//! Terminal tables.

use comfy_table::{Table, presets};

use crate::counted::counted;

/// A plain table with aligned columns, readable on every terminal and in logs.
pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    // Without a terminal comfy-table would neither know a width nor need one.
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// How many rows are shown of a table that may have many: a screen has no more lines.
const MOST_LINES: usize = 24;

/// A table of `all`, a line of `cells` each; of too many for a screen only those of least `goodness`, worst first, and how many there
/// are of this `noun`, and where.
pub(super) fn table_of_worst<T>(
    header: &[&str],
    all: &[T],
    (noun, elsewhere): (&str, &str),
    goodness: impl Fn(&T) -> f64,
    cells: impl Fn(&T) -> Vec<String>,
) -> String {
    let mut shown: Vec<&T> = all.iter().collect();
    if shown.len() > MOST_LINES {
        shown.sort_by(|a, b| goodness(a).total_cmp(&goodness(b)));
        shown.truncate(MOST_LINES);
    }
    let mut text = table(header, shown.iter().map(|one| cells(one)));
    if shown.len() < all.len() {
        text += &format!("\nthe {} worst of {}; {elsewhere}", shown.len(), counted(all.len(), noun));
    }
    text
}
