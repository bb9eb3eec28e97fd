//! Durations, summed up.

use serde::Serialize;

use crate::num::{float, float_of_micros, float_of_sum};

const MICROS: f64 = 1e6;
/// Below this number of values sorting is as fast as selecting.
const SORTED_BELOW: usize = 64;

/// Many durations in a few figures, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Times {
    /// How many there are.
    pub count: u64,
    /// The shortest.
    pub min: f64,
    /// Their mean.
    pub mean: f64,
    /// Half are shorter.
    pub median: f64,
    /// Nine of ten are shorter; between two values by linear interpolation.
    pub p90: f64,
    /// Nineteen of twenty are shorter.
    pub p95: f64,
    /// The longest.
    pub max: f64,
    /// Their sum.
    pub total: f64,
    /// Their standard deviation, as of a sample; of one value there is none.
    pub deviation: Option<f64>,
}

impl Times {
    /// Sums up durations in microseconds, which it puts into another order; nothing if
    /// there is none.
    #[must_use]
    pub fn of(values: &mut [i64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let count = values.len() as u64;
        let mut sum = 0_i128;
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        for &value in values.iter() {
            sum += i128::from(value);
            min = min.min(value);
            max = max.max(value);
        }
        let mean = float_of_sum(sum) / float(count);
        let squares: f64 = values
            .iter()
            .map(|&value| (float_of_micros(value) - mean).powi(2))
            .sum();
        let deviation = (1 < count).then(|| (squares / float(count - 1)).sqrt() / MICROS);
        let [p95, p90, median] = quantiles(values);
        Some(Self {
            count,
            min: float_of_micros(min) / MICROS,
            mean: mean / MICROS,
            median: median / MICROS,
            p90: p90 / MICROS,
            p95: p95 / MICROS,
            max: float_of_micros(max) / MICROS,
            total: float_of_sum(sum) / MICROS,
            deviation,
        })
    }
}

/// The quantiles 0.95, 0.9 and 0.5.
fn quantiles(values: &mut [i64]) -> [f64; 3] {
    const TWENTIETHS: [usize; 3] = [19, 18, 10];
    let last = values.len() - 1;
    let mut end = values.len();
    if end < SORTED_BELOW {
        values.sort_unstable();
    }
    TWENTIETHS.map(|twentieths| {
        let (index, rest) = (last * twentieths / 20, last * twentieths % 20);
        if SORTED_BELOW <= values.len() {
            // Smaller quantiles lie among what is smaller.
            values[..end].select_nth_unstable(index);
        }
        let low = values[index];
        let high = match rest {
            0 => low,
            _ if values.len() < SORTED_BELOW => values[index + 1],
            _ => values[index + 1..end].iter().min().copied().unwrap_or(low),
        };
        end = index + 1;
        let part = float(rest as u64) / 20.0;
        float_of_micros(low) + (float_of_micros(high) - float_of_micros(low)) * part
    })
}

#[cfg(test)]
mod tests {
    use super::Times;

    #[test]
    fn figures_are_those_of_the_sorted_values() {
        for count in [1, 2, 3, 20, 63, 64, 65, 1000, 1001] {
            let mut state = 9_u64;
            let mut values: Vec<i64> = (0..count)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    i64::try_from(state >> 40).unwrap() * 1_000_000
                })
                .collect();
            let times = Times::of(&mut values.clone()).unwrap();
            values.sort_unstable();
            let last = values.len() - 1;
            let at = |percent: usize| {
                let (low, part) = (last * percent / 100, last * percent % 100);
                let high = values[last.min(low + 1)];
                let seconds =
                    |micros: i64| std::time::Duration::from_micros(u64::try_from(micros).unwrap());
                let (low, high) = (seconds(values[low]), seconds(high));
                let part = f64::from(u32::try_from(part).unwrap()) / 100.0;
                low.as_secs_f64() + (high.as_secs_f64() - low.as_secs_f64()) * part
            };
            for (found, expected) in [
                (times.median, at(50)),
                (times.p90, at(90)),
                (times.p95, at(95)),
                (times.min, at(0)),
                (times.max, at(100)),
            ] {
                assert!(
                    (found - expected).abs() < 1e-3,
                    "{count}: {found} {expected}"
                );
            }
        }
        assert_eq!(Times::of(&mut []), None);
        let one = Times::of(&mut [3_000_000]).unwrap();
        assert_eq!((one.mean, one.total, one.deviation), (3.0, 3.0, None));
        let two = Times::of(&mut [1_000_000, 3_000_000]).unwrap();
        assert!((two.deviation.unwrap() - 2.0_f64.sqrt()).abs() < 1e-12);
    }
}
