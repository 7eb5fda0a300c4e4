//! Lines for the standard output, and sentences for the standard error.

use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write};

use crate::outcome::Failure;

/// The standard output.
pub(crate) struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    pub(crate) fn new() -> Output {
        Output(BufWriter::new(io::stdout().lock()))
    }

    pub(crate) fn line(&mut self, line: impl Display) -> Result<(), Failure> {
        writeln!(self.0, "{line}").map_err(Failure::Output)
    }

    /// Rows under a heading, in columns as wide as they need.
    pub(crate) fn table(&mut self, heading: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        let heading: Vec<String> = heading.iter().map(|title| (*title).to_owned()).collect();
        let rows = || std::iter::once(&heading).chain(rows);
        let width =
            |column: usize| rows().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..heading.len()).map(|column| width(column).unwrap_or(0)).collect();
        for row in rows() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            self.line(cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.0.flush().map_err(Failure::Output)
    }
}

/// Says what is wrong. Where that cannot be said, nothing can.
pub(crate) fn complain(sentence: &str) {
    let _ = writeln!(io::stderr(), "{sentence}");
}
