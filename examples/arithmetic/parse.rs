//! The little language: `x+=5`, `x-=2`, `y*=2`, `y/=3`, and `x?`.
//!
//! ```text
//! statement = name ( "?" | operator integer )
//! operator  = "+=" | "-=" | "*=" | "/="
//! name      = ( letter | "_" ) { letter | digit | "_" }         ASCII
//! integer   = [ "-" ] digit { digit }                           64 bits, signed
//! ```
//!
//! ASCII white space may stand before, between and behind these, but not within one.

use std::fmt;

use crate::service::{Command, Operator};

/// What a caller asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Change a variable.
    Command(Command),
    /// Read it.
    Query(String),
}

/// Where the text stops being a statement, and what could have stood there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// In bytes, from 0; the text's length if it ends too early.
    pub position: usize,
    /// What could have stood there.
    pub expected: &'static str,
    /// What does.
    pub found: String,
}

/// What a name is, in [`ParseError::expected`].
pub const NAME: &str = "a name: a letter or `_`, then letters, digits, `_`";
const OPERATOR: &str = "`?` or an operator: `+=`, `-=`, `*=`, `/=`";
const INTEGER: &str = "an integer";
const INTEGER_IN_RANGE: &str = "an integer from -9223372036854775808 to 9223372036854775807";
const END: &str = "the end";
const UTF8: &str = "text in UTF-8";

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {} stands {}, where {} was expected", self.position, self.found, self.expected)
    }
}

/// A command as it stands in the log: the statement that it was, or the outcome that a primary made of it.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.operator {
            Operator::Add => "+=",
            Operator::Subtract => "-=",
            Operator::Multiply => "*=",
            Operator::Divide => "/=",
            Operator::Set => "=",
        };
        write!(f, "{}{operator}{}", self.name, self.operand)
    }
}

/// Reads a statement from the body of a request.
pub fn statement(body: &[u8]) -> Result<Statement, ParseError> {
    let text = std::str::from_utf8(body).map_err(|e| {
        let position = e.valid_up_to();
        ParseError { position, expected: UTF8, found: format!("the byte {:#04x}", body[position]) }
    })?;
    let mut cursor = Cursor { text, position: 0 };
    cursor.white_space();
    let name = cursor.name()?;
    cursor.white_space();
    let statement = match cursor.operator()? {
        None => Statement::Query(name),
        Some(operator) => {
            cursor.white_space();
            Statement::Command(Command { name, operator, operand: cursor.integer()? })
        }
    };
    cursor.white_space();
    cursor.end()?;
    Ok(statement)
}

/// Reads a name that stands alone, as in a path.
pub fn name(text: &str) -> Result<String, ParseError> {
    let mut cursor = Cursor { text, position: 0 };
    let name = cursor.name()?;
    cursor.end()?;
    Ok(name)
}

/// The text and how far it has been read.
struct Cursor<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    /// Reads the longest run of bytes for which `accept` holds.
    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().position(|byte| !accept(byte)).unwrap_or(rest.len());
        self.position += length;
        &rest[..length]
    }

    fn white_space(&mut self) {
        self.take_while(|byte| byte.is_ascii_whitespace());
    }

    fn name(&mut self) -> Result<String, ParseError> {
        if !self.rest().starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Err(self.error(NAME));
        }
        Ok(self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_').to_owned())
    }

    /// Reads an operator, or `None` for the question mark.
    fn operator(&mut self) -> Result<Option<Operator>, ParseError> {
        let tokens = [
            ("?", None),
            ("+=", Some(Operator::Add)),
            ("-=", Some(Operator::Subtract)),
            ("*=", Some(Operator::Multiply)),
            ("/=", Some(Operator::Divide)),
        ];
        let (token, operator) = tokens
            .into_iter()
            .find(|(token, _)| self.rest().starts_with(token))
            .ok_or_else(|| self.error(OPERATOR))?;
        self.position += token.len();
        Ok(operator)
    }

    fn integer(&mut self) -> Result<i64, ParseError> {
        let start = self.position;
        if self.rest().starts_with('-') {
            self.position += 1;
        }
        if self.take_while(|byte| byte.is_ascii_digit()).is_empty() {
            return Err(self.error(INTEGER));
        }
        let literal = &self.text[start..self.position];
        // Sign and digits are there, so what is left to go wrong is the size.
        literal.parse().map_err(|_| ParseError {
            position: start,
            expected: INTEGER_IN_RANGE,
            found: format!("an integer of {} digits", literal.trim_start_matches('-').len()),
        })
    }

    fn end(&mut self) -> Result<(), ParseError> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.error(END)) }
    }

    fn error(&self, expected: &'static str) -> ParseError {
        let found = match self.rest().chars().next() {
            None => "the end".to_owned(),
            Some(c) if c.is_control() => format!("the character U+{:04X}", u32::from(c)),
            Some(c) => format!("`{c}`"),
        };
        ParseError { position: self.position, expected, found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(name: &str, operator: Operator, operand: i64) -> Statement {
        Statement::Command(Command { name: name.to_owned(), operator, operand })
    }

    /// Where parsing ends and what it expects there.
    fn failure(body: impl AsRef<[u8]>) -> (usize, &'static str) {
        let body = body.as_ref();
        match statement(body) {
            Ok(statement) => panic!("{:?} was read as {statement:?}", String::from_utf8_lossy(body)),
            Err(error) => (error.position, error.expected),
        }
    }

    #[test]
    fn the_four_commands_and_the_query() {
        assert_eq!(statement(b"x+=5"), Ok(command("x", Operator::Add, 5)));
        assert_eq!(statement(b"x-=2"), Ok(command("x", Operator::Subtract, 2)));
        assert_eq!(statement(b"y*=2"), Ok(command("y", Operator::Multiply, 2)));
        assert_eq!(statement(b"y/=3"), Ok(command("y", Operator::Divide, 3)));
        assert_eq!(statement(b"x?"), Ok(Statement::Query("x".to_owned())));
    }

    #[test]
    fn a_command_in_the_log_reads_as_it_was_written() {
        for text in ["x+=5", "x-=2", "y*=-2", "y/=3"] {
            let Ok(Statement::Command(command)) = statement(text.as_bytes()) else {
                panic!("{text} is none")
            };
            assert_eq!(command.to_string(), text);
        }
        let outcome = Command { name: "x".to_owned(), operator: Operator::Set, operand: 6 };
        assert_eq!(outcome.to_string(), "x=6");
    }

    #[test]
    fn white_space_stands_anywhere_between() {
        assert_eq!(statement(b" \tx\r\n += \t 5 \n"), Ok(command("x", Operator::Add, 5)));
        assert_eq!(statement(b" x ? "), Ok(Statement::Query("x".to_owned())));
    }

    #[test]
    fn white_space_stands_nowhere_within() {
        assert_eq!(failure("x + = 5"), (2, OPERATOR));
        assert_eq!(failure("x+=- 5"), (4, INTEGER));
        assert_eq!(failure("x+=5 5"), (5, END));
        assert_eq!(failure("x y+=5"), (2, OPERATOR));
        // White space beyond ASCII is not white space here.
        assert_eq!(failure("x\u{a0}+=5"), (1, OPERATOR));
    }

    #[test]
    fn names_are_letters_digits_and_underscores() {
        for text in ["_", "__", "x1", "_9", "Aa_0zZ", "a_long_name_of_many_words"] {
            assert_eq!(statement(format!("{text}?").as_bytes()), Ok(Statement::Query(text.to_owned())));
            assert_eq!(name(text), Ok(text.to_owned()));
        }
        assert_eq!(failure("1x+=5"), (0, NAME));
        assert_eq!(failure("é+=5"), (0, NAME));
        assert_eq!(failure("é?"), (0, NAME));
        // A name ends before the first character that is none of its own.
        assert_eq!(failure("xé+=5"), (1, OPERATOR));
        assert_eq!(failure("x-y+=5"), (1, OPERATOR));
    }

    #[test]
    fn a_name_alone_has_no_white_space_and_no_rest() {
        let failure = |text| name(text).map_err(|error| (error.position, error.expected)).unwrap_err();
        assert_eq!(failure(""), (0, NAME));
        assert_eq!(failure(" x"), (0, NAME));
        assert_eq!(failure("x "), (1, END));
        assert_eq!(failure("x?"), (1, END));
    }

    #[test]
    fn a_text_that_ends_too_early_fails_at_its_end() {
        assert_eq!(failure(""), (0, NAME));
        assert_eq!(failure("  "), (2, NAME));
        assert_eq!(failure("x"), (1, OPERATOR));
        assert_eq!(failure("x+"), (1, OPERATOR));
        assert_eq!(failure("x+="), (3, INTEGER));
        assert_eq!(failure("x+= "), (4, INTEGER));
        assert_eq!(failure("x+=-"), (4, INTEGER));
    }

    #[test]
    fn what_is_not_a_command_fails_where_it_stops_being_one() {
        assert_eq!(failure("x=5"), (1, OPERATOR));
        assert_eq!(failure("x%=5"), (1, OPERATOR));
        assert_eq!(failure("x+=y"), (3, INTEGER));
        assert_eq!(failure("x+=+5"), (3, INTEGER));
        assert_eq!(failure("x+=--5"), (4, INTEGER));
        assert_eq!(failure("x+=5.5"), (4, END));
        assert_eq!(failure("x+=5;"), (4, END));
        assert_eq!(failure("x??"), (2, END));
        assert_eq!(failure("x?+=5"), (2, END));
    }

    #[test]
    fn positions_count_bytes_not_characters() {
        assert_eq!(failure("x+=5 é"), (5, END));
        assert_eq!(failure("x+=5\u{2003}"), (4, END));
        assert_eq!(failure(b"x+=\xff"), (3, UTF8));
        assert_eq!(failure(b"\xc3"), (0, UTF8));
        // Text that is not UTF-8 is not read at all, whatever stands before.
        assert_eq!(failure(b"1x\xff"), (2, UTF8));
    }

    #[test]
    fn literals_span_64_signed_bits_and_no_more() {
        assert_eq!(statement(b"x+=9223372036854775807"), Ok(command("x", Operator::Add, i64::MAX)));
        assert_eq!(statement(b"x+=-9223372036854775808"), Ok(command("x", Operator::Add, i64::MIN)));
        assert_eq!(statement(b"x+=-0"), Ok(command("x", Operator::Add, 0)));
        assert_eq!(statement(b"x+=0000000000000000000000007"), Ok(command("x", Operator::Add, 7)));
        assert_eq!(failure("x+=9223372036854775808"), (3, INTEGER_IN_RANGE));
        assert_eq!(failure("x += -9223372036854775809"), (5, INTEGER_IN_RANGE));
        assert_eq!(failure("x+=99999999999999999999999999999999999999999"), (3, INTEGER_IN_RANGE));
    }

    #[test]
    fn an_error_reads_as_part_of_a_sentence() {
        let text = |body: &[u8]| statement(body).unwrap_err().to_string();
        assert_eq!(text(b"x+=y"), "at byte 3 stands `y`, where an integer was expected");
        assert_eq!(text(b"x+="), "at byte 3 stands the end, where an integer was expected");
        assert_eq!(text(b"x+=5\0"), "at byte 4 stands the character U+0000, where the end was expected");
        assert_eq!(
            text(b"x+=9223372036854775808"),
            "at byte 3 stands an integer of 19 digits, where an integer from -9223372036854775808 to \
             9223372036854775807 was expected"
        );
    }
}
