//! Times as logs write them.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use crate::mining::civil::{DAY_MICROS, MICROS, civil, date};
use crate::{Error, ErrorKind};

/// The zone of times that name none.
#[derive(Debug, Clone)]
pub(super) enum Zone {
    Utc,
    Other(TimeZone),
}

impl Zone {
    pub(super) fn of(name: &str) -> Result<Self, Error> {
        if name.eq_ignore_ascii_case("utc") {
            return Ok(Self::Utc);
        }
        let zone = TimeZone::get(name).map_err(|error| {
            let message =
                format!("no time zone is called {name}: use a name such as Europe/Vienna");
            Error::new(ErrorKind::Invalid, message).with_source(error)
        })?;
        Ok(Self::Other(zone))
    }

    /// The moment at which clocks of the zone show that. Of two moments the earlier one
    /// counts; a time that clocks skip is as much later as they skip.
    fn moment(&self, local: i64) -> Option<i64> {
        let Self::Other(zone) = self else {
            return Some(local);
        };
        let (days, micros) = (local.div_euclid(DAY_MICROS), local.rem_euclid(DAY_MICROS));
        let (year, month, day) = civil(days);
        let date = Date::new(
            i16::try_from(year).ok()?,
            i8::try_from(month).ok()?,
            i8::try_from(day).ok()?,
        );
        let seconds = micros / MICROS;
        let time = Time::new(
            i8::try_from(seconds / 3600).ok()?,
            i8::try_from(seconds / 60 % 60).ok()?,
            i8::try_from(seconds % 60).ok()?,
            i32::try_from(micros % MICROS * 1000).ok()?,
        );
        let clock = DateTime::from_parts(date.ok()?, time.ok()?);
        let moment = zone.to_ambiguous_timestamp(clock).compatible().ok()?;
        Some(moment.as_microsecond())
    }
}

/// Which part of a date such as `03/04/2024` comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    DayFirst,
    MonthFirst,
}

/// Reads times.
#[derive(Debug, Clone)]
pub(super) struct TimeReader {
    pub(super) zone: Zone,
    pub(super) order: Order,
}

/// A time in microseconds since 1970, and whether the text named its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) micros: i64,
    pub(super) zoned: bool,
}

impl TimeReader {
    /// Reads ISO 8601 with its usual variations, `31.12.2024 23:59`, `12/31/2024 11:59 PM`,
    /// `31-Dec-2024`, and seconds, milliseconds, microseconds or nanoseconds since 1970.
    pub(super) fn read(&self, text: &[u8]) -> Option<Moment> {
        let text = text.trim_ascii();
        let year_first = text.len() >= 10 && matches!(text[4], b'-' | b'/' | b'.');
        if year_first {
            let date = date(
                digits(&text[0..4])?,
                digits(&text[5..7])?,
                digits(&text[8..10])?,
            )?;
            if text[7] != text[4] {
                return None;
            }
            return self.finish(date, &text[10..]);
        }
        if let Some(micros) = since_1970(text) {
            return Some(Moment {
                micros,
                zoned: true,
            });
        }
        let (date, rest) = self.other_date(text)?;
        self.finish(date, rest)
    }

    /// Adds the time of day and the zone to a date.
    fn finish(&self, day: i64, rest: &[u8]) -> Option<Moment> {
        let (micros, rest) = clock(rest)?;
        let local = day.checked_mul(DAY_MICROS)? + micros;
        let rest = rest.trim_ascii_start();
        if rest.is_empty() {
            let micros = self.zone.moment(local)?;
            return Some(Moment {
                micros,
                zoned: false,
            });
        }
        let micros = local - offset(rest)?;
        Some(Moment {
            micros,
            zoned: true,
        })
    }

    /// A date that does not begin with the year.
    fn other_date<'a>(&self, text: &'a [u8]) -> Option<(i64, &'a [u8])> {
        let (first, rest) = part(text)?;
        let (second, rest) = part(separated(rest)?)?;
        let (third, rest) = part(separated(rest)?)?;
        let (year, day, month) = match (first, second, third) {
            (Part::Number(day), Part::Month(month), Part::Number(year)) => (year, day, month),
            (Part::Month(month), Part::Number(day), Part::Number(year)) => (year, day, month),
            (Part::Number(a), Part::Number(b), Part::Number(year)) => {
                // Points stand between day and month, not between month and day.
                let points = text.get(1..3).is_some_and(|it| it.contains(&b'.'));
                let day_first = points || self.order == Order::DayFirst;
                if day_first {
                    (year, a, b)
                } else {
                    (year, b, a)
                }
            }
            _ => return None,
        };
        let year = match year {
            0..=69 => year + 2000,
            70..=99 => year + 1900,
            _ => year,
        };
        Some((date(year, month, day)?, rest))
    }

    /// Tells whether a date proves one order: one of its first numbers can be no month.
    pub(super) fn proves(text: &[u8]) -> Option<Order> {
        let (Part::Number(first), rest) = part(text.trim_ascii())? else {
            return None;
        };
        let (Part::Number(second), _) = part(separated(rest)?)? else {
            return None;
        };
        match (first, second) {
            (13..=31, 1..=12) => Some(Order::DayFirst),
            (1..=12, 13..=31) => Some(Order::MonthFirst),
            _ => None,
        }
    }

    /// Tells whether a text is a date whose meaning hangs on the order.
    pub(super) fn hangs_on_order(text: &[u8]) -> bool {
        let text = text.trim_ascii();
        let two = |text: &[u8]| {
            let (Part::Number(first), rest) = part(text)? else {
                return None;
            };
            let separator = rest.first().copied()?;
            let (Part::Number(second), _) = part(separated(rest)?)? else {
                return None;
            };
            (first <= 12 && second <= 12 && first != second && separator != b'.').then_some(())
        };
        two(text).is_some()
    }
}

enum Part {
    Number(i64),
    Month(i64),
}

const MONTHS: [&[u8; 3]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

fn part(text: &[u8]) -> Option<(Part, &[u8])> {
    let letters = text.iter().take_while(|byte| byte.is_ascii_alphabetic());
    let letters = letters.count();
    if 3 <= letters {
        let name = text[..3].to_ascii_lowercase();
        let month = MONTHS.iter().position(|month| month[..] == name[..])?;
        let month = i64::try_from(month + 1).ok()?;
        return Some((Part::Month(month), &text[letters..]));
    }
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !matches!(count, 1 | 2 | 4) {
        return None;
    }
    Some((Part::Number(digits(&text[..count])?), &text[count..]))
}

fn separated(text: &[u8]) -> Option<&[u8]> {
    let count = text
        .iter()
        .take_while(|byte| matches!(byte, b'/' | b'-' | b'.' | b' ' | b','))
        .count();
    (1..=2).contains(&count).then(|| &text[count..])
}

/// The time of day, and what follows; midnight if there is none.
fn clock(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'T' | b't' | b' ', rest)) = text.split_first() else {
        return text.is_empty().then_some((0, text));
    };
    let rest = rest.trim_ascii_start();
    if rest.is_empty() {
        return Some((0, rest));
    }
    let (hour, rest) = number(rest)?;
    let (minute, rest) = number(rest.strip_prefix(b":")?)?;
    let (second, mut rest) = match rest.strip_prefix(b":") {
        Some(rest) => number(rest)?,
        None => (0, rest),
    };
    let mut micros = 0;
    if let Some((b'.' | b',', digits)) = rest.split_first() {
        let count = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let mut unit = MICROS;
        for digit in &digits[..count] {
            unit /= 10;
            micros += i64::from(digit - b'0') * unit;
        }
        rest = &digits[count..];
    }
    let (hour, rest) = half(hour, rest)?;
    // A leap second is the last one of its minute.
    if 24 < hour || 59 < minute || 60 < second {
        return None;
    }
    let seconds = hour * 3600 + minute * 60 + second.min(59);
    Some((seconds * MICROS + micros, rest))
}

/// The hour with AM or PM taken into account, where one follows.
fn half(hour: i64, text: &[u8]) -> Option<(i64, &[u8])> {
    let rest = text.trim_ascii_start();
    let (Some(first), Some(b'm' | b'M')) = (rest.first(), rest.get(1)) else {
        return Some((hour, text));
    };
    if !(1..=12).contains(&hour) {
        return None;
    }
    let hour = match first {
        b'a' | b'A' => hour % 12,
        b'p' | b'P' => hour % 12 + 12,
        _ => return None,
    };
    Some((hour, &rest[2..]))
}

/// A number of one or two digits, and what follows.
fn number(text: &[u8]) -> Option<(i64, &[u8])> {
    let first = text.first().filter(|byte| byte.is_ascii_digit())?;
    let first = i64::from(first - b'0');
    match text.get(1).filter(|byte| byte.is_ascii_digit()) {
        Some(second) => Some((first * 10 + i64::from(second - b'0'), &text[2..])),
        None => Some((first, &text[1..])),
    }
}

/// The offset of a zone in microseconds: `Z`, `UTC`, `GMT`, `+01:00`, `+0100`, `+01`,
/// also with a name in brackets or parentheses behind it.
fn offset(text: &[u8]) -> Option<i64> {
    let end = text.iter().position(|byte| matches!(byte, b'[' | b'('));
    let text = text[..end.unwrap_or(text.len())].trim_ascii();
    if [&b"z"[..], b"utc", b"gmt"]
        .iter()
        .any(|name| text.eq_ignore_ascii_case(name))
    {
        return Some(0);
    }
    let (sign, rest) = match text.split_first()? {
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.len() {
        2 => (digits(rest)?, 0),
        4 => (digits(&rest[..2])?, digits(&rest[2..])?),
        5 if rest[2] == b':' => (digits(&rest[..2])?, digits(&rest[3..])?),
        _ => return None,
    };
    if 18 < hours || 59 < minutes {
        return None;
    }
    Some(sign * (hours * 3600 + minutes * 60) * MICROS)
}

/// Numbers count seconds, milliseconds, microseconds or nanoseconds, as their length says.
fn since_1970(text: &[u8]) -> Option<i64> {
    let point = text.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = text.split_at(point.unwrap_or(text.len()));
    if 19 < whole.len() {
        return None;
    }
    let number = digits(whole)?;
    let (number, rest) = match whole.len() {
        9 | 10 => (number.checked_mul(MICROS)?, MICROS),
        12 | 13 => (number.checked_mul(1000)?, 1000),
        15 | 16 => (number, 1),
        18 | 19 => (number / 1000, 1),
        _ => return None,
    };
    let mut micros = 0;
    let mut unit = rest;
    for digit in fraction.iter().skip(1) {
        if !digit.is_ascii_digit() {
            return None;
        }
        unit /= 10;
        micros += i64::from(digit - b'0') * unit;
    }
    Some(number + micros)
}

fn digits(text: &[u8]) -> Option<i64> {
    let mut number = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if 9 < digit {
            return None;
        }
        number = i64::checked_mul(number, 10)?.checked_add(i64::from(digit))?;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::{Moment, Order, TimeReader, Zone};

    fn reader(zone: &str, order: Order) -> TimeReader {
        TimeReader {
            zone: Zone::of(zone).unwrap(),
            order,
        }
    }

    fn shown(moment: Option<Moment>) -> String {
        match moment {
            None => "-".to_owned(),
            Some(moment) => {
                let time = jiff::Timestamp::from_microsecond(moment.micros).unwrap();
                format!("{time}{}", if moment.zoned { "" } else { " naive" })
            }
        }
    }

    #[test]
    fn the_usual_forms_are_read() {
        let reader = reader("UTC", Order::MonthFirst);
        for (text, expected) in [
            ("2024-02-29T12:34:56.789+02:00", "2024-02-29T10:34:56.789Z"),
            ("2024-02-29T12:34:56Z", "2024-02-29T12:34:56Z"),
            (
                "2024-02-29 12:34:56.1234567+0130",
                "2024-02-29T11:04:56.123456Z",
            ),
            ("2024-02-29 12:34:56 UTC", "2024-02-29T12:34:56Z"),
            (
                "2024-02-29T12:34:56+01:00[Europe/Vienna]",
                "2024-02-29T11:34:56Z",
            ),
            ("2024-02-29 12:34", "2024-02-29T12:34:00Z naive"),
            ("2024/02/29 1:02:03", "2024-02-29T01:02:03Z naive"),
            (" 2024-02-29 ", "2024-02-29T00:00:00Z naive"),
            ("29.02.2024 23:59:59", "2024-02-29T23:59:59Z naive"),
            ("1.2.2024", "2024-02-01T00:00:00Z naive"),
            ("02/29/2024 11:59 PM", "2024-02-29T23:59:00Z naive"),
            ("2/9/24 12:00 am", "2024-02-09T00:00:00Z naive"),
            ("29-Feb-2024 10:00:00", "2024-02-29T10:00:00Z naive"),
            ("February 29, 2024 10:00", "2024-02-29T10:00:00Z naive"),
            ("1709210096", "2024-02-29T12:34:56Z"),
            ("1709210096789", "2024-02-29T12:34:56.789Z"),
            ("1709210096.5", "2024-02-29T12:34:56.5Z"),
            ("1948-01-01T00:00:00Z", "1948-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
            ("2023-02-29", "-"),
            ("2024-13-01", "-"),
            ("2024-01-01T25:00:00", "-"),
            ("2024-01-01T10:00:00 nowhere", "-"),
            ("13/13/2024", "-"),
            ("soon", "-"),
            ("", "-"),
            ("17", "-"),
            ("9999999999999999999", "-"),
        ] {
            assert_eq!(shown(reader.read(text.as_bytes())), expected, "{text}");
        }
    }

    #[test]
    fn the_order_of_day_and_month_is_as_told() {
        let day_first = reader("UTC", Order::DayFirst);
        assert_eq!(
            shown(day_first.read(b"03/04/2024")),
            "2024-04-03T00:00:00Z naive"
        );
        let month_first = reader("UTC", Order::MonthFirst);
        assert_eq!(
            shown(month_first.read(b"03/04/2024")),
            "2024-03-04T00:00:00Z naive"
        );
        assert_eq!(TimeReader::proves(b"13/04/2024"), Some(Order::DayFirst));
        assert_eq!(TimeReader::proves(b"04-13-2024"), Some(Order::MonthFirst));
        assert_eq!(TimeReader::proves(b"04/04/2024"), None);
    }

    #[test]
    fn clocks_that_skip_or_repeat_an_hour_have_one_meaning() {
        let vienna = reader("Europe/Vienna", Order::DayFirst);
        for (text, expected) in [
            ("2024-01-01 12:00", "2024-01-01T11:00:00Z naive"),
            ("2024-03-31 02:30", "2024-03-31T01:30:00Z naive"),
            ("2024-10-27 02:30", "2024-10-27T00:30:00Z naive"),
            ("2024-10-27 02:30+01:00", "2024-10-27T01:30:00Z"),
        ] {
            assert_eq!(shown(vienna.read(text.as_bytes())), expected, "{text}");
        }
        assert!(Zone::of("Europe/Atlantis").is_err());
    }
}
