//! Business hours.

use std::collections::BTreeSet;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::{Error, ErrorKind};

/// The longest span of time that shifts are made for.
const DAYS_MAX: i32 = 366 * 200;

/// When people work: hours of each weekday in one time zone, without holidays.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: TimeZone,
    /// From Monday on; from and to in minutes since midnight.
    week: [Vec<(u16, u16)>; 7],
    holidays: BTreeSet<Date>,
}

/// The working times of a span, by which time between two moments is measured.
#[derive(Debug, Clone)]
pub struct Shifts {
    /// Start, end, and the working time before the start; all in microseconds.
    list: Vec<(i64, i64, i64)>,
}

impl Calendar {
    /// Makes a calendar without working hours in a zone such as `Europe/Vienna`.
    ///
    /// # Errors
    /// `Invalid` if no zone has that name.
    pub fn new(zone: &str) -> Result<Self, Error> {
        let zone = TimeZone::get(zone).map_err(|error| {
            let message =
                format!("no time zone is called {zone}: use a name such as Europe/Vienna");
            Error::new(ErrorKind::Invalid, message).with_source(error)
        })?;
        Ok(Self {
            zone,
            week: Default::default(),
            holidays: BTreeSet::new(),
        })
    }

    /// Adds working hours to some weekdays, counted from 0 for Monday, in minutes since
    /// midnight: 540 to 1020 is nine to five.
    ///
    /// # Errors
    /// `Invalid` if a weekday is over 6, or the hours are empty, beyond midnight, or
    /// overlap others.
    pub fn with_hours(mut self, weekdays: &[usize], from: u16, to: u16) -> Result<Self, Error> {
        let invalid = |message: String| Error::new(ErrorKind::Invalid, message);
        if to <= from || 24 * 60 < to {
            return Err(invalid(format!(
                "no working hours are from minute {from} to {to} of a day"
            )));
        }
        for &weekday in weekdays {
            let Some(day) = self.week.get_mut(weekday) else {
                return Err(invalid(format!(
                    "no weekday is number {weekday}: Monday is 0, Sunday 6"
                )));
            };
            if day
                .iter()
                .any(|&(other_from, other_to)| from < other_to && other_from < to)
            {
                return Err(invalid(format!(
                    "working hours overlap on weekday {weekday}"
                )));
            }
            day.push((from, to));
            day.sort_unstable();
        }
        Ok(self)
    }

    /// Adds a day off.
    ///
    /// # Errors
    /// `Invalid` if there is no such day.
    pub fn with_holiday(mut self, year: i16, month: i8, day: i8) -> Result<Self, Error> {
        let date = Date::new(year, month, day).map_err(|error| {
            let message = format!("there is no day {year}-{month}-{day}");
            Error::new(ErrorKind::Invalid, message).with_source(error)
        })?;
        self.holidays.insert(date);
        Ok(self)
    }

    /// Makes the shifts between two moments in microseconds since 1970.
    ///
    /// # Errors
    /// `Limit` if the moments are more than two centuries apart or not within the years
    /// that calendars have.
    pub fn shifts(&self, from: i64, to: i64) -> Result<Shifts, Error> {
        let far = || {
            let message = "working hours are counted over two centuries at most: the log's first and last time are further apart";
            Error::new(ErrorKind::Limit, message)
        };
        let day = |micros: i64| {
            let moment = Timestamp::from_microsecond(micros).map_err(|_| far())?;
            Ok(self.zone.to_datetime(moment).date())
        };
        let (mut date, last) = (day(from)?, day(to)?);
        let days = date.until(last).map_err(|_| far())?.get_days();
        if DAYS_MAX < days {
            return Err(far());
        }
        let mut list = Vec::new();
        let mut before = 0;
        loop {
            for &(start, end) in self.hours(date) {
                let (start, end) = (self.moment(date, start), self.moment(date, end));
                if let (Some(start), Some(end)) = (start, end) {
                    // Clocks that skip may leave nothing of a shift.
                    if start < end {
                        list.push((start, end, before));
                        before += end - start;
                    }
                }
            }
            if last <= date {
                return Ok(Shifts { list });
            }
            date = date.checked_add(1.day()).map_err(|_| far())?;
        }
    }

    fn hours(&self, date: Date) -> &[(u16, u16)] {
        if self.holidays.contains(&date) {
            return &[];
        }
        let weekday = Weekday::to_monday_zero_offset(date.weekday());
        usize::try_from(weekday).map_or(&[], |weekday| &self.week[weekday])
    }

    /// The moment at which clocks show that many minutes since midnight.
    fn moment(&self, date: Date, minutes: u16) -> Option<i64> {
        let (date, minutes) = match minutes {
            1440 => (date.checked_add(1.day()).ok()?, 0),
            _ => (date, minutes),
        };
        let hour = i8::try_from(minutes / 60).ok()?;
        let minute = i8::try_from(minutes % 60).ok()?;
        let clock = date.to_datetime(Time::new(hour, minute, 0, 0).ok()?);
        let moment = self.zone.to_ambiguous_timestamp(clock).compatible().ok()?;
        Some(moment.as_microsecond())
    }
}

impl Shifts {
    /// Gives the working time between two moments; less than zero if the second one is
    /// the earlier.
    #[must_use]
    pub fn between(&self, from: i64, to: i64) -> i64 {
        self.until(to) - self.until(from)
    }

    /// Tells whether a moment is within a shift.
    #[must_use]
    pub fn contain(&self, moment: i64) -> bool {
        let next = self.list.partition_point(|(start, _, _)| *start <= moment);
        next.checked_sub(1)
            .is_some_and(|last| moment < self.list[last].1)
    }

    /// The working time before a moment.
    fn until(&self, moment: i64) -> i64 {
        let next = self.list.partition_point(|(start, _, _)| *start <= moment);
        let Some(last) = next.checked_sub(1) else {
            return 0;
        };
        let (start, end, before) = self.list[last];
        before + moment.min(end) - start
    }
}

#[cfg(test)]
mod tests {
    use super::Calendar;

    const HOUR: i64 = 3_600_000_000;

    fn micros(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }

    #[test]
    fn only_working_time_counts() {
        let calendar = Calendar::new("Europe/Vienna")
            .and_then(|it| it.with_hours(&[0, 1, 2, 3, 4], 9 * 60, 12 * 60))
            .and_then(|it| it.with_hours(&[0, 1, 2, 3, 4], 13 * 60, 18 * 60))
            .and_then(|it| it.with_holiday(2024, 1, 1))
            .unwrap();
        let shifts = calendar
            .shifts(
                micros("2023-12-01T00:00:00Z"),
                micros("2024-12-01T00:00:00Z"),
            )
            .unwrap();
        for (from, to, hours) in [
            // A Tuesday from ten to five, local time; lunch is off.
            ("2024-01-02T09:00:00Z", "2024-01-02T16:00:00Z", 6),
            // Friday evening to Monday morning.
            ("2024-01-05T18:00:00Z", "2024-01-08T07:00:00Z", 0),
            // New Year's Day is off, the eve is a Sunday.
            ("2023-12-29T16:00:00Z", "2024-01-02T09:00:00Z", 2),
            // A week is forty hours, also when the clocks change.
            ("2024-03-28T23:00:00Z", "2024-04-04T22:00:00Z", 40),
            ("2024-01-02T16:00:00Z", "2024-01-02T09:00:00Z", -6),
        ] {
            let found = shifts.between(micros(from), micros(to));
            assert_eq!(found, hours * HOUR, "{from} {to}");
        }
        assert!(shifts.contain(micros("2024-01-02T09:00:00Z")));
        assert!(!shifts.contain(micros("2024-01-02T11:30:00Z")));
    }

    #[test]
    fn days_may_be_whole_and_hours_may_not_overlap() {
        let calendar = Calendar::new("UTC").unwrap();
        let always = calendar.clone().with_hours(&[0, 1, 2, 3, 4, 5, 6], 0, 1440);
        let shifts = always.unwrap().shifts(0, 100 * 24 * HOUR).unwrap();
        assert_eq!(shifts.between(HOUR, 50 * HOUR), 49 * HOUR);
        assert!(calendar.clone().with_hours(&[0], 60, 60).is_err());
        assert!(calendar.clone().with_hours(&[7], 60, 90).is_err());
        assert!(calendar.clone().with_holiday(2024, 2, 30).is_err());
        let twice = calendar.with_hours(&[0], 60, 90).unwrap();
        assert!(twice.with_hours(&[0], 80, 100).is_err());
        assert!(Calendar::new("Nowhere").is_err());
    }
}
