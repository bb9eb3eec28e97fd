//! The remaining time: quantiles by the last activities and the time since the start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::history::Case;
use crate::num::{float, float_of_micros, index_of};

/// Contexts with fewer samples are not asked.
const SAMPLES_MIN: usize = 5;
const HOUR: f64 = 3_600e6;
/// Further steps of time are one.
const BUCKET_MAX: u32 = 12;
/// Stands for an activity that was never seen.
const UNKNOWN: u32 = u32::MAX - 2;
/// The context of any case at any time.
const ANY: &[u32] = &[];
/// Median, and the quantiles of the bands.
pub(super) const QUANTILES: [f64; 3] = [0.5, 0.8, 0.95];

/// Quantiles of the remaining time, in seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RemainingTable {
    /// How many last activities are looked at, at most.
    pub(super) order: usize,
    contexts: Vec<(Vec<u32>, Quantiles)>,
    /// By which factor the upper quantiles are stretched, so that they hold as often as
    /// they say.
    pub(super) stretch: [f64; 2],
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Quantiles {
    pub(super) values: [f64; 3],
    pub(super) samples: usize,
}

impl RemainingTable {
    /// Collects the remaining times of cases while they went on: who asks knows that the
    /// case has not ended.
    pub(super) fn train(cases: &[Case], order: usize) -> Self {
        let mut samples: BTreeMap<Vec<u32>, Vec<f64>> = BTreeMap::new();
        for case in cases {
            for length in 1..case.activities.len() {
                let remaining = float_of_micros(case.remaining(length)) / 1e6;
                let elapsed = case.elapsed(length);
                for used in 0..=order.min(length) {
                    let context = context(&case.activities[..length], elapsed, used);
                    samples.entry(context).or_default().push(remaining);
                }
                samples.entry(ANY.to_vec()).or_default().push(remaining);
            }
        }
        // What is not used for answers is not kept.
        let enough = |(context, samples): &(Vec<u32>, Vec<f64>)| {
            SAMPLES_MIN <= samples.len() || context == ANY
        };
        let contexts = samples
            .into_iter()
            .filter(enough)
            .map(|(context, mut samples)| {
                samples.sort_unstable_by(f64::total_cmp);
                let values = QUANTILES.map(|quantile| of_sorted(&samples, quantile));
                let samples = samples.len();
                (context, Quantiles { values, samples })
            });
        Self {
            order,
            contexts: contexts.collect(),
            stretch: [1.0; 2],
        }
    }

    /// Finds the quantiles after some activities: by as many of the last ones as were
    /// seen often enough; and how many these were.
    pub(super) fn find(
        &self,
        activities: &[Option<u32>],
        elapsed: i64,
    ) -> Option<(Quantiles, usize)> {
        let longest = self.order.min(activities.len());
        let found = (0..=longest).rev().find_map(|used| {
            let context = context(activities, elapsed, used);
            let place = self.contexts.binary_search_by(|(it, _)| it.cmp(&context));
            place.ok().map(|place| (self.contexts[place].1, used))
        });
        let found = found.or_else(|| {
            // What is known of any case comes first.
            let first = self.contexts.first().filter(|(it, _)| it == ANY);
            first.map(|(_, quantiles)| (*quantiles, 0))
        });
        found.map(|(mut quantiles, used)| {
            for (value, stretch) in quantiles.values[1..].iter_mut().zip(self.stretch) {
                *value *= stretch;
            }
            (quantiles, used)
        })
    }

    /// Finds the factors by which the upper quantiles hold as often as they say on cases
    /// that were not trained on: conformal prediction, with the ratio of what happened to
    /// what was said as the score.
    pub(super) fn calibrate(&self, cases: &[Case]) -> [f64; 2] {
        let mut scores = [Vec::new(), Vec::new()];
        for case in cases {
            for length in 1..case.activities.len() {
                let found = self.find(&case.activities[..length], case.elapsed(length));
                let Some((quantiles, _)) = found else {
                    continue;
                };
                let happened = float_of_micros(case.remaining(length)) / 1e6;
                for (scores, said) in scores.iter_mut().zip(&quantiles.values[1..]) {
                    scores.push((happened + 1.0) / (said + 1.0));
                }
            }
        }
        let mut level = QUANTILES[1..].iter();
        scores.map(|mut scores| {
            scores.sort_unstable_by(f64::total_cmp);
            let level = level.next().copied().unwrap_or(1.0);
            if scores.is_empty() {
                1.0
            } else {
                of_sorted(&scores, level)
            }
        })
    }
}

/// The step of time, then the last activities.
fn context(activities: &[Option<u32>], elapsed: i64, used: usize) -> Vec<u32> {
    let last = activities[activities.len() - used..].iter();
    let mut context = vec![bucket(elapsed)];
    context.extend(last.map(|it| it.unwrap_or(UNKNOWN)));
    context
}

/// The step of time since the start: finer at first.
fn bucket(elapsed: i64) -> u32 {
    if elapsed <= 0 {
        return 0;
    }
    let step = 2.0 * (float_of_micros(elapsed) / HOUR).sqrt() / 3.0;
    let passed = (1..=BUCKET_MAX).take_while(|&it| f64::from(it) <= step);
    1 + u32::try_from(passed.count()).unwrap_or(BUCKET_MAX)
}

/// A quantile of sorted values, by linear interpolation.
fn of_sorted(sorted: &[f64], quantile: f64) -> f64 {
    let place = float(sorted.len() as u64 - 1) * quantile;
    let low = index_of(place);
    let part = place - float(low as u64);
    let high = sorted[(low + 1).min(sorted.len() - 1)];
    sorted[low] + (high - sorted[low]) * part
}

#[cfg(test)]
mod tests {
    use super::{bucket, of_sorted};

    #[test]
    fn time_has_finer_steps_at_first() {
        let hour = 3_600_000_000;
        let steps = [0, 1, hour, 3 * hour, 9 * hour, 100 * hour, 10_000 * hour];
        assert_eq!(steps.map(bucket), [0, 1, 1, 2, 3, 7, 13]);
    }

    #[test]
    fn quantiles_are_between_their_neighbours() {
        assert!((of_sorted(&[1.0, 2.0, 3.0, 4.0], 0.5) - 2.5).abs() < 1e-12);
        assert!((of_sorted(&[7.0], 0.95) - 7.0).abs() < 1e-12);
        assert!((of_sorted(&[0.0, 10.0], 0.8) - 8.0).abs() < 1e-12);
    }
}
