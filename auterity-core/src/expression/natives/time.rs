//! Filters on dates, all in UTC; `now` is the evaluation's own.

use jaq_core::Error;
use jaq_core::native::{self, bome};
use jiff::civil::DateTime;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use super::super::meter;
use super::super::value::{Number, Val, ValR};
use super::{Run, simple, with_argument};

const MICROSECONDS_PER_SECOND: f64 = 1e6;

pub(super) fn natives() -> Vec<Run> {
    vec![
        simple("now", |_| bome(Ok(seconds(meter::now())))),
        simple("todateiso8601", |cv| {
            bome(timestamp(&cv.1).map(|at| Val::text(at.to_string())))
        }),
        simple("fromdateiso8601", |cv| {
            bome(
                cv.1.as_text()
                    .and_then(|text| match text.parse::<Timestamp>() {
                        Ok(at) => Ok(seconds(at)),
                        Err(_) => Err(Error::str(
                            "cannot parse the string as an RFC 3339 date and time",
                        )),
                    }),
            )
        }),
        simple("gmtime", |cv| {
            bome(timestamp(&cv.1).map(|at| broken_down(utc(at).datetime())))
        }),
        simple("mktime", |cv| {
            bome(zoned(&cv.1).map(|at| seconds(at.timestamp())))
        }),
        ("strftime", native::v(1), |cv| {
            with_argument(cv, |value, format| {
                let at = zoned(&value)?;
                meter::handle(format.as_text()?.len());
                match strtime::format(format.as_text()?, &at) {
                    Ok(text) => Ok(Val::text(text)),
                    Err(_) => Err(Error::str("cannot write a date in this format")),
                }
            })
        }),
        ("strptime", native::v(1), |cv| {
            with_argument(cv, |value, format| {
                strptime(value.as_text()?, format.as_text()?)
            })
        }),
    ]
}

/// Reads seconds since 1970, or a time that is broken down into an array.
fn zoned(value: &Val) -> Result<ZonedDateTime, super::super::value::Error> {
    let Ok(parts) = value.as_items() else {
        return timestamp(value).map(utc);
    };
    let wrong = || Error::str("a broken down time is an array of at least 6 numbers");
    let numbers: Vec<Number> = parts
        .iter()
        .map_while(|part| match part {
            Val::Number(number) => Some(*number),
            _ => None,
        })
        .collect();
    let &[year, month, day, hour, minute, second, ..] = numbers.as_slice() else {
        return Err(wrong());
    };
    let small = |number: Number| i8::try_from(number.truncate()).ok();
    let fraction = (second.as_float().fract() * 1e9).round();
    let time = || {
        let year = i16::try_from(year.truncate()).ok()?;
        let month = small(month)?.checked_add(1)?;
        #[expect(clippy::cast_possible_truncation, reason = "below 10^9")]
        let nanosecond = fraction.min(999_999_999.0) as i32;
        let (day, hour, minute, second) =
            (small(day)?, small(hour)?, small(minute)?, small(second)?);
        DateTime::new(year, month, day, hour, minute, second, nanosecond).ok()
    };
    let zoned = time().and_then(|time| time.to_zoned_datetime(TimeZone::UTC).ok());
    zoned.ok_or_else(|| Error::str("a broken down time is out of range"))
}

fn strptime(text: &str, format: &str) -> ValR {
    meter::handle(text.len() + format.len());
    let failed = || Error::str("cannot parse the string as a date in this format");
    let parsed = BrokenDownTime::parse(format, text).map_err(|_| failed())?;
    // A zone's name would have to be looked up in the machine's files.
    if parsed.iana_time_zone().is_some() {
        return Err(Error::str(
            "a date with a zone's name cannot be read; use an offset",
        ));
    }
    let local = parsed.to_datetime().map_err(|_| failed())?;
    match parsed.offset() {
        None => Ok(broken_down(local)),
        Some(offset) => match offset.to_timestamp(local) {
            Ok(at) => Ok(broken_down(utc(at).datetime())),
            Err(_) => Err(failed()),
        },
    }
}

fn utc(at: Timestamp) -> ZonedDateTime {
    at.to_zoned_datetime(TimeZone::UTC)
}

fn timestamp(value: &Val) -> Result<Timestamp, super::super::value::Error> {
    let at = match value {
        Val::Number(number) => match number.as_integer() {
            Some(seconds) => i64::try_from(seconds)
                .ok()
                .and_then(|s| Timestamp::from_second(s).ok()),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "saturates and is then refused"
            )]
            None => Timestamp::from_microsecond(
                (number.as_float() * MICROSECONDS_PER_SECOND).round() as i64,
            )
            .ok(),
        },
        other => return Err(Error::typ(other.clone(), "seconds since 1970")),
    };
    at.ok_or_else(|| Error::str("a time is out of range"))
}

fn seconds(at: Timestamp) -> Val {
    let whole = at.subsec_nanosecond() == 0;
    Val::Number(if whole {
        Number::Int(at.as_second())
    } else {
        #[expect(clippy::cast_precision_loss, reason = "exact until the year 2255")]
        Number::Float(at.as_microsecond() as f64 / MICROSECONDS_PER_SECOND)
    })
}

fn broken_down(at: DateTime) -> Val {
    let second = if at.subsec_nanosecond() == 0 {
        Number::Int(i64::from(at.second()))
    } else {
        Number::Float(f64::from(at.second()) + f64::from(at.subsec_nanosecond()) / 1e9)
    };
    let number = |value: i64| Val::Number(Number::Int(value));
    Val::list(vec![
        number(i64::from(at.year())),
        number(i64::from(at.month()) - 1),
        number(i64::from(at.day())),
        number(i64::from(at.hour())),
        number(i64::from(at.minute())),
        Val::Number(second),
        number(i64::from(at.weekday().to_sunday_zero_offset())),
        number(i64::from(at.day_of_year()) - 1),
    ])
}
