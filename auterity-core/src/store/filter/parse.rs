//! The text of a filter.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::{Filter, FilterMistake, STEP, Term, Test};
use crate::store::Status;

/// Bytes, terms, values of one term, and terms about attributes at most. Each attribute
/// costs a database a look-up.
const BYTES_MAX: usize = 4 * 1024;
const TERMS_MAX: usize = 32;
const VALUES_MAX: usize = 100;
const ATTRIBUTES_MAX: usize = 8;

const FIELDS: &str = "workflow, version, status, started, ended, attribute.NAME, parent and fault";

const NO_SIGNATURE: &str = "this is no signature of faults, which is 16 hexadecimal digits";

type Read<T> = Result<T, FilterMistake>;

pub(super) fn parse(text: &str, now: Timestamp) -> Result<Filter, Vec<FilterMistake>> {
    if BYTES_MAX < text.len() {
        let message = format!("the filter is longer than {BYTES_MAX} bytes");
        return Err(vec![mistake(0, message)]);
    }
    let mut reader = Reader {
        letters: text.chars().collect(),
        place: 0,
    };
    let (mut terms, mut mistakes, mut attributes) = (Vec::new(), Vec::new(), 0);
    loop {
        let written = match reader.term() {
            Ok(Some(written)) => written,
            Ok(None) => break,
            Err(found) => {
                mistakes.push(found);
                break;
            }
        };
        attributes += usize::from(written.field.starts_with("attribute."));
        if TERMS_MAX <= terms.len() || ATTRIBUTES_MAX < attributes {
            let message = format!(
                "a filter has {TERMS_MAX} terms at most, and {ATTRIBUTES_MAX} about attributes"
            );
            mistakes.push(mistake(written.place, message));
            break;
        }
        match written.test(now) {
            Ok(test) => terms.push(Term {
                test,
                negated: written.negated,
            }),
            Err(found) => mistakes.push(found),
        }
    }
    if mistakes.is_empty() {
        Ok(Filter { terms })
    } else {
        Err(mistakes)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    After,
    Since,
    Before,
    Until,
}

/// A term as it is written.
struct Written {
    place: usize,
    negated: bool,
    field: String,
    operator: (usize, Operator),
    /// At least one, each with its place.
    values: Vec<(usize, String)>,
}

impl Written {
    fn test(&self, now: Timestamp) -> Read<Test> {
        let time = match self.field.as_str() {
            "started" | "ended" => Some(self.bound(now)?),
            _ if self.operator.1 != Operator::Is => {
                let message = "only started and ended are compared; write : here";
                return Err(mistake(self.operator.0, message));
            }
            _ => None,
        };
        match (self.field.as_str(), time) {
            ("started", Some((time, true))) => Ok(Test::StartedAfter(time)),
            ("started", Some((time, false))) => Ok(Test::StartedBefore(time)),
            ("ended", Some((time, true))) => Ok(Test::EndedAfter(time)),
            ("ended", Some((time, false))) => Ok(Test::EndedBefore(time)),
            ("workflow", _) => self.each(workflow).map(Test::Workflow),
            ("version", _) => self.each(|text| Ok(text.to_owned())).map(Test::Version),
            ("status", _) => self.each(status).map(Test::Status),
            ("parent", _) => {
                let id = |text: &str| text.parse().map_err(|_| "this is no id of an execution");
                self.each(id).map(Test::Parent)
            }
            ("fault", _) => {
                let signature = |text: &str| text.parse().map_err(|_| NO_SIGNATURE);
                self.each(signature).map(Test::Fault)
            }
            (field, _) => match field.strip_prefix("attribute.") {
                Some(name) if !name.is_empty() => Ok(Test::Attribute {
                    name: name.to_owned(),
                    values: self.each(|text| Ok(text.to_owned()))?,
                }),
                _ => {
                    let message = format!("there is no field {field}; there are {FIELDS}");
                    Err(mistake(self.place, message))
                }
            },
        }
    }

    fn each<T>(&self, read: impl Fn(&str) -> Result<T, &'static str>) -> Read<Vec<T>> {
        let values = self.values.iter();
        let read = values.map(|(place, text)| read(text).map_err(|why| mistake(*place, why)));
        read.collect()
    }

    /// Reads a comparison with a time: the time, and whether later ones are meant.
    fn bound(&self, now: Timestamp) -> Read<(Timestamp, bool)> {
        if self.negated {
            let message = "a comparison is not turned round with -; use the opposite operator";
            return Err(mistake(self.place, message));
        }
        if self.operator.1 == Operator::Is {
            let message = "a time is compared with >, >=, < or <=";
            return Err(mistake(self.operator.0, message));
        }
        let [(place, text)] = self.values.as_slice() else {
            let message = "a time is compared with one value";
            return Err(mistake(self.values[1].0, message));
        };
        let out_of_range = |_| mistake(*place, "the time is out of range");
        let time = time(text, now).map_err(|why| mistake(*place, why))?;
        // Times are kept in whole steps, so "at or after" is "after the step before".
        Ok(match self.operator.1 {
            Operator::Is | Operator::After => (time, true),
            Operator::Since => (time.checked_sub(STEP).map_err(out_of_range)?, true),
            Operator::Before => (time, false),
            Operator::Until => (time.checked_add(STEP).map_err(out_of_range)?, false),
        })
    }
}

fn workflow(text: &str) -> Result<(String, Option<String>), &'static str> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            let name = (name != "*").then(|| name.to_owned());
            Ok((namespace.to_owned(), name))
        }
        _ => Err("a workflow is namespace/name, or namespace/* for all of a namespace"),
    }
}

fn status(text: &str) -> Result<Status, &'static str> {
    text.parse().map_err(
        |_| "a status is pending, running, waiting, suspended, completed, faulted or cancelled",
    )
}

/// Reads a time, a date or an age.
fn time(text: &str, now: Timestamp) -> Result<Timestamp, &'static str> {
    let found = match text.strip_prefix('-') {
        Some(age) => age.parse::<Span>().ok().and_then(|age| {
            let now = now.to_zoned_datetime(TimeZone::UTC);
            Some(now.checked_sub(age).ok()?.timestamp())
        }),
        None => text.parse::<Timestamp>().ok().or_else(|| {
            let date: Date = text.parse().ok()?;
            Some(date.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp())
        }),
    };
    let wrong = "a time is 2026-01-31T08:00:00Z, 2026-01-31, or an age such as -24h or -7d";
    found.ok_or(wrong)
}

struct Reader {
    letters: Vec<char>,
    place: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.letters.get(self.place).copied()
    }

    /// Goes on if the next letter is this one.
    fn take(&mut self, letter: char) -> bool {
        let found = self.peek() == Some(letter);
        self.place += usize::from(found);
        found
    }

    fn term(&mut self) -> Read<Option<Written>> {
        while self.peek().is_some_and(char::is_whitespace) {
            self.place += 1;
        }
        if self.peek().is_none() {
            return Ok(None);
        }
        let negated = self.take('-');
        let place = self.place;
        let field = self.field(place)?;
        let operator = (self.place, self.operator(place)?);
        let mut values = vec![self.value()?];
        while self.take(',') {
            if VALUES_MAX <= values.len() {
                let message = format!("a term has {VALUES_MAX} values at most");
                return Err(mistake(self.place, message));
            }
            values.push(self.value()?);
        }
        Ok(Some(Written {
            place,
            negated,
            field,
            operator,
            values,
        }))
    }

    /// Reads up to the operator; names of attributes may have parts in quotes.
    fn field(&mut self, place: usize) -> Read<String> {
        let mut field = String::new();
        loop {
            match self.peek() {
                Some('"') if !field.is_empty() => field.push_str(&self.quoted()?),
                Some(':' | '>' | '<') if !field.is_empty() => return Ok(field),
                Some(letter)
                    if !letter.is_whitespace() && !matches!(letter, '"' | ':' | '>' | '<') =>
                {
                    field.push(letter);
                    self.place += 1;
                }
                _ => return Err(no_term(place)),
            }
        }
    }

    fn operator(&mut self, place: usize) -> Read<Operator> {
        if self.take(':') {
            return Ok(Operator::Is);
        }
        if self.take('>') {
            let since = self.take('=');
            return Ok(if since {
                Operator::Since
            } else {
                Operator::After
            });
        }
        if self.take('<') {
            let until = self.take('=');
            return Ok(if until {
                Operator::Until
            } else {
                Operator::Before
            });
        }
        Err(no_term(place))
    }

    fn value(&mut self) -> Read<(usize, String)> {
        let place = self.place;
        if self.peek() == Some('"') {
            return Ok((place, self.quoted()?));
        }
        let mut value = String::new();
        while let Some(letter) = self.peek()
            && !letter.is_whitespace()
            && letter != ','
        {
            if letter == '"' {
                let message = "a value with quotes stands in quotes: \"say \\\"yes\\\"\"";
                return Err(mistake(self.place, message));
            }
            value.push(letter);
            self.place += 1;
        }
        if value.is_empty() {
            return Err(mistake(place, "a value is missing here"));
        }
        Ok((place, value))
    }

    /// Reads what stands in quotes; the next letter is the first of them.
    fn quoted(&mut self) -> Read<String> {
        let place = self.place;
        let mut value = String::new();
        self.place += 1;
        loop {
            let letter = self.peek();
            self.place += 1;
            match letter {
                Some('"') => return Ok(value),
                Some('\\') => match self.peek() {
                    Some(escaped @ ('"' | '\\')) => {
                        value.push(escaped);
                        self.place += 1;
                    }
                    _ => {
                        let message = "in quotes, \\ stands before \" or \\ only";
                        return Err(mistake(self.place - 1, message));
                    }
                },
                Some(letter) => value.push(letter),
                None => return Err(mistake(place, "the quotes do not end")),
            }
        }
    }
}

fn no_term(place: usize) -> FilterMistake {
    let message = "a term is a field, then :, or for times >, >=, < or <=, then a value: \
                   status:faulted";
    mistake(place, message)
}

/// Makes a mistake at a place that is counted from 0.
fn mistake(place: usize, message: impl Into<String>) -> FilterMistake {
    FilterMistake {
        column: u32::try_from(place + 1).unwrap_or(u32::MAX),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn parse(text: &str) -> Result<Filter, Vec<FilterMistake>> {
        Filter::parse(text, at("2026-03-01T12:00:00Z"))
    }

    #[test]
    fn every_field_is_read() {
        let id = "exe_01jzzzzzzzzzzzzzzzzzzzzzzz";
        let text = format!(
            r#" workflow:shop/invoice,bank/* -version:1.2.0 status:faulted,cancelled started>-7d
                started<=2026-02-28 ended>=2026-02-01T00:00:00Z ended<-2h
                attribute.order:"17 \"b\", \\" -attribute."the a":b:c,d parent:{id} fault:00ff00ff00ff00ff "#
        );
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let expected = [
            (
                false,
                Test::Workflow(vec![
                    ("shop".to_owned(), Some("invoice".to_owned())),
                    ("bank".to_owned(), None),
                ]),
            ),
            (true, Test::Version(texts(&["1.2.0"]))),
            (
                false,
                Test::Status(vec![Status::Faulted, Status::Cancelled]),
            ),
            (false, Test::StartedAfter(at("2026-02-22T12:00:00Z"))),
            (
                false,
                Test::StartedBefore(at("2026-02-28T00:00:00.000001Z")),
            ),
            (false, Test::EndedAfter(at("2026-01-31T23:59:59.999999Z"))),
            (false, Test::EndedBefore(at("2026-03-01T10:00:00Z"))),
            (
                false,
                Test::Attribute {
                    name: "order".to_owned(),
                    values: texts(&[r#"17 "b", \"#]),
                },
            ),
            (
                true,
                Test::Attribute {
                    name: "the a".to_owned(),
                    values: texts(&["b:c", "d"]),
                },
            ),
            (false, Test::Parent(vec![id.parse().unwrap()])),
            (
                false,
                Test::Fault(vec!["00ff00ff00ff00ff".parse().unwrap()]),
            ),
        ];
        let expected = expected.map(|(negated, test)| Term { test, negated });
        assert_eq!(parse(&text).unwrap().terms(), expected);
        assert_eq!(parse(" ").unwrap(), Filter::default());
    }

    #[test]
    fn every_mistake_is_told_with_its_column() {
        for (text, columns) in [
            ("nothing", &[1][..]),
            ("status:completed colour:red", &[18]),
            ("status:", &[8]),
            ("status:well", &[8]),
            ("status:faulted,", &[16]),
            ("status:faulted,bad", &[16]),
            (":x", &[1]),
            ("-:x", &[2]),
            ("\"status\":faulted", &[1]),
            ("workflow:invoice", &[10]),
            ("workflow:/a", &[10]),
            ("started:2026-01-01", &[8]),
            ("started>yesterday", &[9]),
            ("started>-7x", &[9]),
            ("started>-99999999d", &[9]),
            ("started>-7d,-8d", &[13]),
            ("-started>-7d", &[2]),
            ("version>1", &[8]),
            ("attribute.:x", &[1]),
            ("attribute.a:\"open", &[13]),
            ("attribute.a:\"\\n\"", &[14]),
            ("attribute.a:b\"c", &[14]),
            ("attribute.\"a:b", &[11]),
            ("ähm:x status:é started:1 version:1", &[1, 14, 23]),
            ("parent:exe_1", &[8]),
            ("fault:12", &[7]),
        ] {
            let found = parse(text).unwrap_err();
            let found: Vec<u32> = found.iter().map(|mistake| mistake.column).collect();
            assert_eq!(found, columns, "{text}");
        }
    }

    #[test]
    fn limits_hold() {
        assert!(parse(&"version:1 ".repeat(32)).is_ok());
        assert_eq!(parse(&"version:1 ".repeat(33)).unwrap_err()[0].column, 321);
        assert!(parse(&"attribute.a:b ".repeat(8)).is_ok());
        assert!(parse(&"attribute.a:b ".repeat(9)).is_err());
        assert!(parse(&format!("version:1{}", ",1".repeat(99))).is_ok());
        assert!(parse(&format!("version:1{}", ",1".repeat(100))).is_err());
        assert!(parse(&"x".repeat(5_000)).is_err());
    }
}
