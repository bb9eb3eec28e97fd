//! Lengths of time as the DSL writes them.

use std::fmt;

use jiff::Span;
use serde_json::Value;

const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;
/// How many digits a fraction may have; more cannot change a nanosecond.
const FRACTION_DIGITS_MAX: usize = 18;

/// Says why a value is not a duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurationError(String);

impl DurationError {
    pub(super) fn new(message: &str) -> Self {
        Self(message.to_owned())
    }
}

impl fmt::Display for DurationError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for DurationError {}

/// Parses an ISO 8601 duration such as `P1DT2H`, `PT0.5S` or `P2W`.
///
/// Weeks may stand beside other units, and any unit from weeks down may have a
/// fraction; a day counts as 24 hours there.
///
/// # Errors
/// The text is not of that form, is negative, or a number is too large.
pub fn parse(text: &str) -> Result<Span, DurationError> {
    let body = text.trim().strip_prefix('P').ok_or_else(malformed)?;
    let (date, time) = match body.split_once('T') {
        Some((date, time)) if !time.is_empty() => (date, time),
        Some(_) => return Err(malformed()),
        None => (body, ""),
    };
    if date.is_empty() && time.is_empty() {
        return Err(malformed());
    }
    let mut sum = Sum::default();
    sum.read(date, &DATE_UNITS)?;
    sum.read(time, &TIME_UNITS)?;
    sum.span()
}

/// Reads a duration from a JSON value: an ISO 8601 text, or an object of
/// `days`, `hours`, `minutes`, `seconds` and `milliseconds`.
///
/// # Errors
/// The value is of neither form, or a number is negative, not whole or too large.
pub fn from_value(value: &Value) -> Result<Span, DurationError> {
    match value {
        Value::String(text) => parse(text),
        Value::Object(entries) => {
            if entries.is_empty() {
                return Err(DurationError(format!("a duration object needs {UNITS}")));
            }
            let mut span = Span::new();
            for (unit, amount) in entries {
                let amount = whole(amount)?;
                span = match unit.as_str() {
                    "days" => span.try_days(amount),
                    "hours" => span.try_hours(amount),
                    "minutes" => span.try_minutes(amount),
                    "seconds" => span.try_seconds(amount),
                    "milliseconds" => span.try_milliseconds(amount),
                    _ => {
                        return Err(DurationError(format!("a duration object has only {UNITS}")));
                    }
                }
                .map_err(|_| too_large())?;
            }
            Ok(span)
        }
        _ => Err(DurationError(
            "a duration is an ISO 8601 text or an object".to_owned(),
        )),
    }
}

const UNITS: &str = "days, hours, minutes, seconds, milliseconds";

/// A unit's letter, and its seconds where a fraction of it has a fixed length.
type Unit = (char, Option<i128>);

const DATE_UNITS: [Unit; 4] = [
    ('Y', None),
    ('M', None),
    ('W', Some(7 * 86_400)),
    ('D', Some(86_400)),
];
const TIME_UNITS: [Unit; 3] = [('H', Some(3_600)), ('M', Some(60)), ('S', Some(1))];

#[derive(Default)]
struct Sum {
    years: i64,
    months: i64,
    weeks: i64,
    days: i64,
    hours: i64,
    minutes: i64,
    seconds: i64,
    /// What the fractions come to.
    nanoseconds: i128,
}

impl Sum {
    /// Reads numbers with the given units, which must come in order.
    fn read(&mut self, mut text: &str, units: &[Unit]) -> Result<(), DurationError> {
        let dated = units.len() == DATE_UNITS.len();
        let mut left = units.iter();
        while !text.is_empty() {
            let end = text
                .find(|character: char| !character.is_ascii_digit() && character != '.')
                .ok_or_else(malformed)?;
            let (number, rest) = text.split_at(end);
            let mut characters = rest.chars();
            let letter = characters.next().ok_or_else(malformed)?;
            text = characters.as_str();
            let (_, seconds) = left
                .find(|(known, _)| *known == letter)
                .ok_or_else(malformed)?;
            let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
            if integer.is_empty() || number.ends_with('.') || fraction.contains('.') {
                return Err(malformed());
            }
            let amount: i64 = integer.parse().map_err(|_| too_large())?;
            if !fraction.is_empty() {
                let seconds = seconds.ok_or_else(|| {
                    DurationError("years and months cannot have a fraction".to_owned())
                })?;
                self.nanoseconds += fraction_nanoseconds(fraction, seconds)?;
            }
            *self.place(letter, dated) = amount;
        }
        Ok(())
    }

    fn place(&mut self, letter: char, dated: bool) -> &mut i64 {
        match (letter, dated) {
            ('Y', _) => &mut self.years,
            ('M', true) => &mut self.months,
            ('W', _) => &mut self.weeks,
            ('D', _) => &mut self.days,
            ('H', _) => &mut self.hours,
            ('M', false) => &mut self.minutes,
            _ => &mut self.seconds,
        }
    }

    fn span(self) -> Result<Span, DurationError> {
        let carried = i64::try_from(self.nanoseconds / NANOSECONDS_PER_SECOND);
        let rest = i64::try_from(self.nanoseconds % NANOSECONDS_PER_SECOND);
        let (Ok(carried), Ok(rest)) = (carried, rest) else {
            return Err(too_large());
        };
        let seconds = self.seconds.checked_add(carried).ok_or_else(too_large)?;
        Span::new()
            .try_years(self.years)
            .and_then(|span| span.try_months(self.months))
            .and_then(|span| span.try_weeks(self.weeks))
            .and_then(|span| span.try_days(self.days))
            .and_then(|span| span.try_hours(self.hours))
            .and_then(|span| span.try_minutes(self.minutes))
            .and_then(|span| span.try_seconds(seconds))
            .and_then(|span| span.try_milliseconds(rest / 1_000_000))
            .and_then(|span| span.try_microseconds(rest / 1_000 % 1_000))
            .and_then(|span| span.try_nanoseconds(rest % 1_000))
            .map_err(|_| too_large())
    }
}

fn fraction_nanoseconds(digits: &str, seconds: i128) -> Result<i128, DurationError> {
    let digits = digits.get(..FRACTION_DIGITS_MAX).unwrap_or(digits);
    let numerator: i128 = digits.parse().map_err(|_| malformed())?;
    let length = u32::try_from(digits.len()).map_err(|_| malformed())?;
    Ok(numerator * seconds * NANOSECONDS_PER_SECOND / 10_i128.pow(length))
}

/// Gives a whole number that is not negative; `2.0` counts as 2.
fn whole(amount: &Value) -> Result<i64, DurationError> {
    let Value::Number(number) = amount else {
        return Err(DurationError("an amount of time is a number".to_owned()));
    };
    match (number.as_i64(), number.as_f64()) {
        (Some(amount), _) if 0 <= amount => Ok(amount),
        (Some(_), _) => Err(DurationError("a duration cannot be negative".to_owned())),
        (None, Some(amount)) if amount.fract() == 0.0 && (0.0..9e15).contains(&amount) =>
        {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole and below 2^53, so it fits exactly"
            )]
            Ok(amount as i64)
        }
        (None, _) => Err(DurationError(
            "an amount of time is a whole number that is not negative".to_owned(),
        )),
    }
}

fn malformed() -> DurationError {
    DurationError("not an ISO 8601 duration such as PT5M, P1DT12H or P2W".to_owned())
}

fn too_large() -> DurationError {
    DurationError("the duration is too large".to_owned())
}
