//! How good predictions are on cases that were not learnt.

use serde::Serialize;

use super::history;
use super::next::END;
use super::predictor::Predictor;
use crate::mining::EventLog;
use crate::num::{float, float_of_micros};

const DAY: f64 = 86_400.0;

/// How good predictions are, with every convention in the name.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    /// Cases that were predicted.
    pub cases: u64,
    /// Cases that were learnt.
    pub trained_cases: u64,
    /// How many last activities are looked at for the next one.
    pub next_order: usize,
    /// How many last activities are looked at for the remaining time.
    pub remaining_order: usize,
    /// The next activity after each beginning from one event on.
    pub next_activity: NextAccuracy,
    /// The remaining time.
    pub remaining_time: RemainingError,
}

/// The part of next activities that was predicted right, one prediction for each
/// beginning of a case.
#[derive(Debug, Clone, Serialize)]
pub struct NextAccuracy {
    /// Beginnings of one event up to all but one; the end is no answer.
    pub without_end: f64,
    /// How many predictions that are.
    pub without_end_predictions: u64,
    /// Beginnings of one event up to all; the end is an answer.
    pub with_end: f64,
    /// How many predictions that are.
    pub with_end_predictions: u64,
}

/// How far the median is off, and how often the bands hold.
#[derive(Debug, Clone, Serialize)]
pub struct RemainingError {
    /// Mean absolute error in days, for beginnings of two events up to all but one.
    pub mae_days_from_2: f64,
    /// How many predictions that are.
    pub predictions_from_2: u64,
    /// Mean absolute error in days, for beginnings of one event up to all but one.
    pub mae_days_from_1: f64,
    /// How many predictions that are.
    pub predictions_from_1: u64,
    /// How often the case took at most as long as `p80` said; from one event on.
    pub coverage_p80: f64,
    /// How often the case took at most as long as `p95` said; from one event on.
    pub coverage_p95: f64,
}

/// Predicts the cases of a log that was not learnt, and compares with what happened.
#[must_use]
pub fn evaluate(predictor: &Predictor, log: &EventLog) -> Evaluation {
    let cases = history::of(log, predictor.names());
    let mut next = Counts::default();
    let mut ended = Counts::default();
    let mut from_1 = Sum::default();
    let mut from_2 = Sum::default();
    let (mut within_80, mut within_95) = (0, 0);
    for case in &cases {
        for length in 1..=case.activities.len() {
            let begun = &case.activities[..length];
            let happened = case.activities.get(length).copied();
            let guess = predictor.next.guess(begun, true);
            ended.add(guess.is_some() && guess == happened.unwrap_or(Some(END)));
            let Some(happened) = happened else { continue };
            let guess = predictor.next.guess(begun, false);
            next.add(guess.is_some() && guess == happened);
            let remaining = float_of_micros(case.remaining(length)) / 1e6;
            let found = predictor.remaining.find(begun, case.elapsed(length));
            let [median, p80, p95] = found.map_or([0.0; 3], |(it, _)| it.values);
            let error = (remaining - median).abs() / DAY;
            from_1.add(error);
            if 2 <= length {
                from_2.add(error);
            }
            within_80 += u64::from(remaining <= p80.max(median));
            within_95 += u64::from(remaining <= p95.max(p80).max(median));
        }
    }
    let (next_order, remaining_order) = predictor.orders();
    let part = |count: u64| float(count) / float(from_1.count.max(1));
    Evaluation {
        cases: cases.len() as u64,
        trained_cases: predictor.cases() as u64,
        next_order,
        remaining_order,
        next_activity: NextAccuracy {
            without_end: next.part(),
            without_end_predictions: next.all,
            with_end: ended.part(),
            with_end_predictions: ended.all,
        },
        remaining_time: RemainingError {
            mae_days_from_2: from_2.mean(),
            predictions_from_2: from_2.count,
            mae_days_from_1: from_1.mean(),
            predictions_from_1: from_1.count,
            coverage_p80: part(within_80),
            coverage_p95: part(within_95),
        },
    }
}

#[derive(Default)]
struct Counts {
    right: u64,
    all: u64,
}

impl Counts {
    fn add(&mut self, right: bool) {
        self.right += u64::from(right);
        self.all += 1;
    }

    fn part(&self) -> f64 {
        float(self.right) / float(self.all.max(1))
    }
}

#[derive(Default)]
struct Sum {
    sum: f64,
    count: u64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn mean(&self) -> f64 {
        self.sum / float(self.count.max(1))
    }
}
