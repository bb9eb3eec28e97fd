//! The predictor: both tables, and what they say.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use super::history::{self, Case};
use super::next::{END, NextTable};
use super::remaining::RemainingTable;
use crate::mining::EventLog;
use crate::num::{float, float_of_micros, index_of};
use crate::{Error, ErrorKind};

/// Fewer cases are not enough history.
const CASES_MIN: usize = 50;
/// Which part of the cases, the last ones, the orders are chosen on.
const VALIDATION: f64 = 0.2;
const NEXT_ORDER_MAX: usize = 8;
const REMAINING_ORDER_MAX: usize = 6;
/// What is written first, so that other files are told apart.
const FORMAT: &str = "auterity-predictor-1";
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Predicts the next activity and the remaining time of cases.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Predictor {
    format: String,
    activities: Vec<String>,
    pub(super) next: NextTable,
    pub(super) remaining: RemainingTable,
    cases: usize,
}

/// An activity that may come next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NextActivity {
    /// The activity; nothing for the end of the case.
    pub activity: Option<String>,
    /// How likely it is.
    pub probability: f64,
    /// How often it came next in the same situation.
    pub count: u64,
    /// What that rests on, in words.
    pub reason: String,
}

/// How long a case will still take, in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RemainingTime {
    /// Half of such cases take less.
    pub median: f64,
    /// Four of five take less.
    pub p80: f64,
    /// Nineteen of twenty take less.
    pub p95: f64,
    /// How many such situations there were.
    pub samples: usize,
    /// What that rests on, in words.
    pub reason: String,
}

impl Predictor {
    /// Learns from logs of cases that have ended. How many last activities to look at is
    /// chosen on the last fifth of the cases by the time of their start, and then all are
    /// learnt.
    ///
    /// # Errors
    /// `Empty` if there are fewer than fifty cases: not enough history.
    pub fn train(logs: &[&EventLog]) -> Result<Self, Error> {
        let (cases, activities) = history::cases(logs);
        if cases.len() < CASES_MIN {
            let message = format!(
                "not enough history: {} cases, and {CASES_MIN} are needed",
                cases.len()
            );
            return Err(Error::new(ErrorKind::Empty, message));
        }
        let (known, later) = cases.split_at(split(cases.len()));
        let next_order = best(1..=NEXT_ORDER_MAX, |order| {
            let table = NextTable::train(known, order);
            wrong_guesses(&table, later)
        });
        let remaining_order = best(0..=REMAINING_ORDER_MAX, |order| {
            let table = RemainingTable::train(known, order);
            mean_error(&table, later)
        });
        let stretch = RemainingTable::train(known, remaining_order).calibrate(later);
        let mut remaining = RemainingTable::train(&cases, remaining_order);
        remaining.stretch = stretch;
        Ok(Self {
            format: FORMAT.to_owned(),
            next: NextTable::train(&cases, next_order),
            remaining,
            activities,
            cases: cases.len(),
        })
    }

    /// Gives the number of cases that were learnt.
    #[must_use]
    pub fn cases(&self) -> usize {
        self.cases
    }

    /// Gives how many last activities are looked at: for the next one, and for the
    /// remaining time.
    #[must_use]
    pub fn orders(&self) -> (usize, usize) {
        (self.next.order, self.remaining.order)
    }

    pub(super) fn names(&self) -> &[String] {
        &self.activities
    }

    /// Predicts what comes after some activities: the likeliest first.
    #[must_use]
    pub fn next(&self, activities: &[&str]) -> Vec<NextActivity> {
        let Some(found) = self.next.find(&self.numbers(activities)) else {
            return Vec::new();
        };
        let total: u64 = found.counts.iter().map(|(_, count)| count).sum();
        let after = match found.used.min(activities.len()) {
            0 => "any activity".to_owned(),
            used => activities[activities.len() - used..].join(", "),
        };
        let counts = found.counts.iter();
        counts
            .map(|&(next, count)| NextActivity {
                activity: (next != END).then(|| self.name(next)),
                probability: float(count) / float(total),
                count,
                reason: format!("{count} of {total} times after {after}"),
            })
            .collect()
    }

    /// Predicts how long a case still takes after some activities, of which the last one
    /// ended that many microseconds after the first one.
    #[must_use]
    pub fn remaining(&self, activities: &[&str], elapsed: i64) -> Option<RemainingTime> {
        let (quantiles, used) = self.remaining.find(&self.numbers(activities), elapsed)?;
        let reason = match used {
            0 => format!("{} situations after as much time", quantiles.samples),
            _ => format!(
                "{} situations after {} and as much time",
                quantiles.samples,
                activities[activities.len() - used..].join(", ")
            ),
        };
        let [median, p80, p95] = quantiles.values;
        Some(RemainingTime {
            median,
            p80: p80.max(median),
            p95: p95.max(p80).max(median),
            samples: quantiles.samples,
            reason,
        })
    }

    /// Writes the predictor as JSON.
    ///
    /// # Errors
    /// `Unreadable` if it cannot be written.
    pub fn write(&self, out: impl Write) -> Result<(), Error> {
        serde_json::to_writer(out, self).map_err(|error| {
            Error::new(ErrorKind::Unreadable, "the model cannot be written").with_source(error)
        })
    }

    /// Reads a predictor that was written.
    ///
    /// # Errors
    /// `Unreadable` if it is none.
    pub fn read(source: impl Read) -> Result<Self, Error> {
        let read: Result<Self, _> = serde_json::from_reader(source.take(FILE_BYTES_MAX));
        match read {
            Ok(it) if it.format == FORMAT => Ok(it),
            Ok(_) => Err(Error::new(
                ErrorKind::Unreadable,
                "this model is of another version",
            )),
            Err(error) => Err(Error::new(
                ErrorKind::Unreadable,
                "this is no model: train one with `auterity suggest train`",
            )
            .with_source(error)),
        }
    }

    fn numbers(&self, activities: &[&str]) -> Vec<Option<u32>> {
        let number = |name: &&str| {
            let place = self.activities.binary_search_by(|it| it.as_str().cmp(name));
            place.ok().and_then(|place| u32::try_from(place).ok())
        };
        activities.iter().map(number).collect()
    }

    fn name(&self, number: u32) -> String {
        self.activities
            .get(number as usize)
            .cloned()
            .unwrap_or_default()
    }
}

/// Where the cases begin that orders are chosen on.
fn split(cases: usize) -> usize {
    index_of(float(cases as u64) * (1.0 - VALIDATION)).clamp(1, cases - 1)
}

/// The smallest order with the least error.
fn best(orders: std::ops::RangeInclusive<usize>, error: impl Fn(usize) -> f64) -> usize {
    let mut best = (f64::INFINITY, *orders.start());
    for order in orders {
        let error = error(order);
        if error < best.0 {
            best = (error, order);
        }
    }
    best.1
}

/// How many next activities are guessed wrongly.
fn wrong_guesses(table: &NextTable, cases: &[Case]) -> f64 {
    let mut wrong = 0;
    for case in cases {
        for length in 1..case.activities.len() {
            let guess = table.guess(&case.activities[..length], false);
            wrong += u64::from(guess.is_none() || guess != case.activities[length]);
        }
    }
    float(wrong)
}

/// The mean absolute error of the median remaining time.
fn mean_error(table: &RemainingTable, cases: &[Case]) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for case in cases {
        for length in 2..case.activities.len() {
            let found = table.find(&case.activities[..length], case.elapsed(length));
            let median = found.map_or(0.0, |(quantiles, _)| quantiles.values[0]);
            let happened = float_of_micros(case.remaining(length)) / 1e6;
            sum += (happened - median).abs();
            count += 1;
        }
    }
    sum / float(count.max(1))
}
