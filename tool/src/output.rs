//! Answers for the standard output, failures and what goes on meanwhile for the standard error.
//!
//! With `--json` what goes on meanwhile is a line on the standard output, too: the last line is the answer.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::failure::Failure;

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

/// An answer, for people and for programs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// Lines.
    pub(crate) text: String,
    /// An object.
    pub(crate) json: Value,
}

/// How it is shown that something goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rhythm {
    /// One line, written again and again.
    Rewritten,
    /// A line now and then: somebody keeps them.
    Lines,
    /// An object a line.
    Json,
}

impl Rhythm {
    /// Whether to say something again, so long after the last time.
    fn is_due(self, since: Option<Duration>) -> bool {
        let least = match self {
            Rhythm::Rewritten => Duration::from_millis(100),
            Rhythm::Json => Duration::from_millis(400),
            Rhythm::Lines => Duration::from_secs(5),
        };
        since.is_none_or(|since| since >= least)
    }
}

/// Where everything goes.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    rhythm: Rhythm,
    /// When it was last said that something goes on.
    told: Option<Instant>,
    /// Whether a line stands there that is to be rewritten.
    line_is_open: bool,
}

impl Output {
    pub(crate) fn new(format: Format) -> Output {
        let rhythm = match format {
            Format::Json => Rhythm::Json,
            Format::Text if io::stderr().is_terminal() => Rhythm::Rewritten,
            Format::Text => Rhythm::Lines,
        };
        Output { format, rhythm, told: None, line_is_open: false }
    }

    pub(crate) fn answer(&mut self, answer: &Answer) -> Result<(), Failure> {
        self.close_line();
        match self.format {
            Format::Text => print(&answer.text),
            Format::Json => print(&answer.json.to_string()),
        }
    }

    /// Says what is to be known before the answer: to people where they are asked, to programs as what goes on.
    pub(crate) fn note(&mut self, note: &Answer) -> Result<(), Failure> {
        match self.format {
            Format::Text => writeln!(io::stderr(), "{}", note.text).map_err(Failure::Output),
            Format::Json => print(&json!({ "progress": note.json }).to_string()),
        }
    }

    /// Says that something goes on, unless that was said just now. It is no reason to break off if this cannot be printed.
    pub(crate) fn progress(&mut self, progress: &Answer) {
        if !self.rhythm.is_due(self.told.map(|told| told.elapsed())) {
            return;
        }
        self.told = Some(Instant::now());
        let _ = match self.rhythm {
            Rhythm::Json => print(&json!({ "progress": progress.json }).to_string()).is_ok(),
            Rhythm::Lines => writeln!(io::stderr(), "{}", progress.text).is_ok(),
            Rhythm::Rewritten => {
                self.line_is_open = true;
                write!(io::stderr(), "\r{}\x1b[K", progress.text).is_ok()
            }
        };
    }

    /// Takes the line away that was rewritten.
    fn close_line(&mut self) {
        if std::mem::take(&mut self.line_is_open) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.close_line();
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Says why something was not done. Where that cannot be said, nothing can.
pub(crate) fn complain(failure: &Failure, format: Format) {
    let _ = match format {
        Format::Text => writeln!(io::stderr(), "{failure}"),
        Format::Json => writeln!(io::stderr(), "{}", failure.json()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_kept_comes_less_often_than_one_that_is_rewritten() {
        let due = |since| [Rhythm::Rewritten, Rhythm::Json, Rhythm::Lines].map(|rhythm| rhythm.is_due(since));
        assert_eq!(due(None), [true, true, true]);
        assert_eq!(due(Some(Duration::from_millis(99))), [false, false, false]);
        assert_eq!(due(Some(Duration::from_millis(100))), [true, false, false]);
        assert_eq!(due(Some(Duration::from_millis(500))), [true, true, false]);
        assert_eq!(due(Some(Duration::from_secs(5))), [true, true, true]);
    }
}
