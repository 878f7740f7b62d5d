//! Tables for people: columns as wide as they must be, two blanks between them.

/// Rows of cells below their titles, as text with one line each. An empty cell is shown as `-`.
pub fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = titles.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count().max(1));
        }
    }
    let mut text = String::new();
    line(&mut text, &widths, titles);
    for row in rows {
        line(&mut text, &widths, row.each_ref().map(String::as_str));
    }
    text
}

fn line<const N: usize>(text: &mut String, widths: &[usize; N], cells: [&str; N]) {
    let begin = text.len();
    for (cell, width) in cells.iter().zip(widths) {
        let cell = if cell.is_empty() { "-" } else { cell };
        text.push_str(cell);
        let missing = width.saturating_sub(cell.chars().count()) + 2;
        text.extend(std::iter::repeat_n(' ', missing));
    }
    text.truncate(text.trim_end().len().max(begin));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_no_line_ends_with_blanks() {
        let rows = [["1".to_owned(), "grün".to_owned()], ["100".to_owned(), String::new()]];
        assert_eq!(super::table(["ID", "STATE"], &rows), "ID   STATE\n1    grün\n100  -\n");
    }
}
