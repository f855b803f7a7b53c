//! Tables that fit the terminal. Without a terminal nothing is cut: programs may read the lines.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output::{self, Paint};

/// The space between columns.
const GAP: usize = 2;
/// The width that the last column keeps while other columns can be cut.
const LAST_MIN: usize = 12;
/// The width that every other column keeps.
const COLUMN_MIN: usize = 8;

/// Returns rows in aligned columns; the last column is not padded. On a terminal, cells that are
/// too long for it end in `…`.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>], paint: Paint) -> String {
    let mut widths = widths(head, rows);
    let columns = columns();
    if let Some(columns) = columns {
        fit(&mut widths, head, columns);
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (at, cell) in cells.enumerate() {
            let Some(width) = widths.get(at) else { break };
            if at > 0 {
                line.extend(std::iter::repeat_n(' ', GAP));
            }
            let cell = cut(cell, *width);
            line.push_str(&cell);
            if at + 1 < widths.len() {
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(visible(&cell))));
            }
        }
        let line = line.trim_end();
        // A terminal can be narrower than the least widths.
        columns.map_or_else(|| line.to_owned(), |columns| cut(line, columns))
    };
    let mut out = paint.bold(&line(&mut head.iter().copied()));
    for row in rows {
        out.push('\n');
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

/// Returns true if no cell has to be cut.
pub(crate) fn fits(head: &[&str], rows: &[Vec<String>]) -> bool {
    columns().is_none_or(|columns| total(&widths(head, rows)) <= columns)
}

/// Returns the width of the terminal; `None` if standard output is none.
fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    // Zero means that the terminal does not know.
    (size.ws_col > 0).then(|| size.ws_col.into())
}

fn widths(head: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let mut widths: Vec<usize> = head.iter().map(|cell| visible(cell)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(visible(cell));
        }
    }
    widths
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Narrows columns until the table has that width, if it can: the last one first, since it holds
/// the longest text, then the widest of the others, and last of all the last one again. The first
/// column stays: its names are what the user types next.
fn fit(widths: &mut [usize], head: &[&str], columns: usize) {
    let last = widths.len().saturating_sub(1);
    let least = |at: usize, least: usize| least.max(visible(head[at]));
    let excess = |widths: &[usize]| total(widths).saturating_sub(columns);
    let narrow = |widths: &mut [usize], at: usize, least: usize| {
        widths[at] = widths[at].saturating_sub(excess(widths)).max(least.min(widths[at]));
    };
    if last == 0 {
        return;
    }
    narrow(widths, last, least(last, LAST_MIN));
    while excess(widths) > 0 {
        let others = 1..last;
        let wide = others.filter(|at| widths[*at] > least(*at, COLUMN_MIN));
        let Some(widest) = wide.max_by_key(|at| widths[*at]) else { break };
        widths[widest] -= 1;
    }
    narrow(widths, last, least(last, 1));
}

/// Returns the number of columns of a terminal that a text takes.
fn visible(text: &str) -> usize {
    output::clean(text, false).width()
}

/// Returns a text of at most that width, with its colours.
fn cut(text: &str, width: usize) -> String {
    if visible(text) <= width {
        return text.to_owned();
    }
    let (mut out, mut used, mut in_sequence) = (String::new(), 0, false);
    for c in text.chars() {
        if c == '\x1b' || in_sequence {
            in_sequence = c != 'm';
            out.push(c);
            continue;
        }
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        out.push(c);
    }
    out.push('…');
    if text.contains('\x1b') {
        out.push_str("\x1b[0m");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{cut, fit, total, visible};

    #[test]
    fn the_last_column_is_cut_first_and_the_first_never() {
        let head = ["ID", "ACTION", "STATUS", "ERROR"];
        let fitted = |columns: usize| {
            let mut widths = [13, 30, 9, 80];
            fit(&mut widths, &head, columns);
            widths
        };
        assert_eq!(fitted(200), [13, 30, 9, 80]);
        assert_eq!(fitted(100), [13, 30, 9, 42]);
        assert_eq!(fitted(60), [13, 20, 9, 12]);
        assert_eq!(total(&fitted(60)), 60);
        assert_eq!(fitted(20), [13, 8, 8, 5], "no column is narrower than its head");
    }

    #[test]
    fn a_cell_is_cut_by_its_width_on_the_terminal() {
        assert_eq!(cut("backup", 6), "backup");
        assert_eq!(cut("backups", 6), "backu…");
        assert_eq!(cut("数据库备份", 6), "数据…");
        assert_eq!(cut("\x1b[31mfailed\x1b[0m", 4), "\x1b[31mfai…\x1b[0m");
        assert_eq!(visible("e\u{301}"), 1, "a combining mark takes no column");
    }
}
