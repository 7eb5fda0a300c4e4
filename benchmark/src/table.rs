//! Markdown tables.

use std::fmt;

/// A table under a heading, with notes behind it.
#[derive(Clone, Debug)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    /// An empty table. All columns but those of words are aligned to the right: a column is one of words if the first
    /// cell in it begins with a letter.
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Table { title: title.into(), columns, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has not as many cells as there are columns.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        let (found, expected) = (cells.len(), self.columns.len());
        assert_eq!(found, expected, "a row of {found} cells in the table {:?} of {expected}", self.title);
        self.rows.push(cells);
    }

    /// Adds a sentence behind the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn is_of_words(&self, column: usize) -> bool {
        let first = self.rows.first().and_then(|row| row[column].chars().next());
        first.is_some_and(char::is_alphabetic)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        let lines: Vec<&str> = (0..self.columns.len())
            .map(|column| if self.is_of_words(column) { "---" } else { "---:" })
            .collect();
        writeln!(f, "|{}|", lines.join("|"))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        if !self.notes.is_empty() {
            writeln!(f, "\n{}", self.notes.join(" "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new("speed", &["store", "entries/s"]);
        table.row(["ours".to_owned(), "1,000".to_owned()]);
        table.note("One run.");
        table.note("No more.");
        assert_eq!(
            table.to_string(),
            "### speed\n\n| store | entries/s |\n|---|---:|\n| ours | 1,000 |\n\nOne run. No more.\n"
        );
    }
}
