//! Cron expressions: read, explained, and computed in a time zone.
//!
//! Where the clock is set forward, a fixed time that does not exist comes at the first
//! moment after the gap, and an interval leaves the gap out. Where the clock is set
//! back, a fixed time comes once, the first time it is shown, and an interval goes on
//! through both hours.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::parser::{CronParser, Year};
use croner::{
    CivilDate, CivilDateTime, CivilTime, Cron as Pattern, CronDateTime, Resolution, Weekday,
};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

/// Bytes of a cron expression, and of the name of a time zone, at most.
const TEXT_BYTES_MAX: usize = 256;

/// Where the search for a time begins that shows that an expression has one: the start
/// of a 400-year cycle of the calendar.
const CYCLE_START: i64 = 946_684_800;

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub struct Cron {
    pattern: Pattern,
    zone: TimeZone,
}

impl Cron {
    /// Reads an expression of five fields (minute, hour, day of month, month, day of
    /// week), or of six with seconds first, for a time zone such as `Europe/Berlin`.
    ///
    /// # Errors
    /// Says in words what is wrong: a field, a zone that nobody knows, or an expression
    /// that never matches, such as 30 February.
    pub fn new(expression: &str, zone: &str) -> Result<Self, String> {
        let cron = Self {
            pattern: pattern(expression)?,
            zone: time_zone(zone)?,
        };
        Ok(cron)
    }

    /// Gives the first time after the given one.
    #[must_use]
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let from = Local(at.to_zoned_datetime(self.zone.clone()));
        let found = self.pattern.find_next_occurrence(&from, false).ok()?;
        Some(found.0.timestamp())
    }

    /// Gives the last time up to the given one.
    #[must_use]
    pub fn last_until(&self, at: Timestamp) -> Option<Timestamp> {
        let from = Local(at.to_zoned_datetime(self.zone.clone()));
        let found = self.pattern.find_previous_occurrence(&from, true).ok()?;
        Some(found.0.timestamp())
    }

    /// Says in English when it matches.
    #[must_use]
    pub fn describe(&self) -> String {
        let words = self.pattern.describe();
        words.trim_end_matches('.').to_owned()
    }
}

/// Finds a time zone by its name in the tz database.
pub(crate) fn time_zone(name: &str) -> Result<TimeZone, String> {
    let short = name.len() <= TEXT_BYTES_MAX && !name.is_empty();
    let found = short.then(|| TimeZone::get(name).ok()).flatten();
    found.ok_or_else(|| {
        let shown: String = name.chars().take(40).collect();
        format!("there is no time zone {shown:?}; write a name such as Europe/Berlin or UTC")
    })
}

/// Reads an expression and makes sure that it matches some time.
pub(crate) fn pattern(expression: &str) -> Result<Pattern, String> {
    if TEXT_BYTES_MAX < expression.len() {
        return Err(format!(
            "a cron expression has at most {TEXT_BYTES_MAX} bytes"
        ));
    }
    let parser = CronParser::builder()
        .year(Year::Disallowed)
        .sloppy_ranges(true)
        .build();
    let pattern = parser.parse(expression).map_err(|error| {
        let reason = error.to_string();
        format!("it is no cron expression: {}", reason.trim_end_matches('.'))
    })?;
    let start = Timestamp::from_second(CYCLE_START).unwrap_or(Timestamp::UNIX_EPOCH);
    let from = Local(start.to_zoned_datetime(TimeZone::UTC));
    match pattern.find_next_occurrence(&from, true) {
        Ok(_) => Ok(pattern),
        Err(_) => Err("no day ever matches this cron expression".to_owned()),
    }
}

/// A local time of the time library that is used here, as the evaluation wants it.
#[derive(Debug, Clone)]
struct Local(ZonedDateTime);

impl CronDateTime for Local {
    fn to_civil(&self) -> CivilDateTime {
        let local = self.0.datetime();
        // The library keeps its own parts in range.
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(
                i32::from(local.year()),
                part(local.month()),
                part(local.day()),
            ),
            CivilTime::from_parts_unchecked(
                part(local.hour()),
                part(local.minute()),
                part(local.second()),
            ),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(part(self.0.weekday().to_sunday_zero_offset()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let number = |value: u32| i8::try_from(value).map_err(|_| CronError::InvalidDate);
        let local = DateTime::new(
            i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?,
            number(civil.month())?,
            number(civil.day())?,
            number(civil.hour())?,
            number(civil.minute())?,
            number(civil.second())?,
            0,
        );
        let local = local.map_err(|_| CronError::InvalidDate)?;
        let found = self.0.time_zone().to_ambiguous_zoned_datetime(local);
        let time = |found: Result<ZonedDateTime, jiff::Error>| {
            found.map(Self).map_err(|_| CronError::InvalidTime)
        };
        Ok(match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(time(found.unambiguous())?),
            AmbiguousOffset::Fold { .. } => {
                Resolution::Ambiguous(time(found.clone().earlier())?, time(found.later())?)
            }
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        let later = self.0.checked_add(SignedDuration::from_secs(seconds));
        later.ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

fn part(value: i8) -> u32 {
    u32::from(value.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// Gives the next times as they are written in UTC.
    fn next(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::new(expression, zone).expect("an expression");
        let mut times = Vec::new();
        let mut last = at(after);
        for _ in 0..count {
            last = cron.next_after(last).expect("a next time");
            times.push(last.to_string());
        }
        times
    }

    #[test]
    fn fixed_time_in_the_gap_comes_right_after_it() {
        // Berlin leaps from 02:00 to 03:00 on 29 March 2026.
        let times = next("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3);
        let expected = [
            "2026-03-28T01:30:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-30T00:30:00Z",
        ];
        assert_eq!(times, expected);
    }

    #[test]
    fn fixed_time_in_the_overlap_comes_once() {
        // Berlin shows 02:00 to 03:00 twice on 25 October 2026.
        let times = next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(times, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    }

    #[test]
    fn interval_leaves_out_the_gap_and_goes_through_the_overlap() {
        let gap = next("0 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", 2);
        assert_eq!(gap, ["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]);
        let overlap = next("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 3);
        let expected = [
            "2026-10-25T00:00:00Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T02:00:00Z",
        ];
        assert_eq!(overlap, expected);
    }

    #[test]
    fn the_last_time_is_found_backwards() {
        let cron = Cron::new("0 9 * * MON-FRI", "America/New_York").expect("an expression");
        let last = cron.last_until(at("2026-11-29T12:00:00Z"));
        assert_eq!(last, Some(at("2026-11-27T14:00:00Z")));
        let itself = cron.last_until(at("2026-11-27T14:00:00Z"));
        assert_eq!(itself, Some(at("2026-11-27T14:00:00Z")));
    }

    #[test]
    fn leap_day_comes_every_four_years_and_not_in_2100() {
        let times = next("0 0 29 2 *", "UTC", "2095-01-01T00:00:00Z", 2);
        assert_eq!(times, ["2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"]);
    }

    #[test]
    fn seconds_and_special_days_are_understood() {
        let times = next("*/20 * * * * *", "UTC", "2026-01-01T00:00:01Z", 2);
        assert_eq!(times, ["2026-01-01T00:00:20Z", "2026-01-01T00:00:40Z"]);
        let last_day = next("0 0 L * *", "UTC", "2026-02-01T00:00:00Z", 1);
        assert_eq!(last_day, ["2026-02-28T00:00:00Z"]);
        let third_friday = next("0 0 * * FRI#3", "UTC", "2026-02-01T00:00:00Z", 1);
        assert_eq!(third_friday, ["2026-02-20T00:00:00Z"]);
    }

    #[test]
    fn what_never_comes_and_unknown_zones_are_refused() {
        for expression in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
            let error = Cron::new(expression, "UTC").expect_err("it never comes");
            assert!(error.contains("ever matches"), "{error}");
        }
        let error = Cron::new("0 0 * * *", "Mars/Olympus").expect_err("no such zone");
        assert!(error.contains("Europe/Berlin"), "{error}");
    }

    #[test]
    fn it_is_described_in_words() {
        let cron = Cron::new("0 9 * * MON", "UTC").expect("an expression");
        assert_eq!(cron.describe(), "At 09:00, on Monday");
    }
}
