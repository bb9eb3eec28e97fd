//! How much comes, goes and is in progress, over time.

use super::event_log::EventLog;
use crate::num::{float, float_of_micros};

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
/// How long the stretches of time may be, the shortest first.
const WIDTHS: [i64; 6] = [HOUR / 60, HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY];
const STRETCHES_MAX: i64 = 400;

/// The course of a log in equal stretches of time.
#[derive(Debug, Clone, PartialEq)]
pub struct OverTime {
    /// The beginning of the first stretch, in microseconds since 1970.
    pub from: i64,
    /// The length of each stretch in microseconds.
    pub width: i64,
    /// Cases that begin in each stretch.
    pub arrivals: Vec<u64>,
    /// Cases that end in each stretch.
    pub completions: Vec<u64>,
    /// Cases in progress: the mean over each stretch.
    pub in_progress: Vec<f64>,
    /// The most cases in progress at one moment of each stretch.
    pub in_progress_max: Vec<u64>,
}

impl OverTime {
    /// Follows a log in 400 stretches at most, of a minute, an hour, a day, a week, thirty
    /// days, or a multiple of a year.
    #[must_use]
    pub fn of(log: &EventLog) -> Self {
        let (first, last) = log.span();
        let fits = |width: &i64| last.div_euclid(*width) - first.div_euclid(*width) < STRETCHES_MAX;
        let width = WIDTHS.into_iter().find(fits).unwrap_or_else(|| {
            let years = (last - first) / (365 * DAY) / (STRETCHES_MAX - 1) + 1;
            years * 365 * DAY
        });
        let from = first.div_euclid(width) * width;
        let place = |time: i64| usize::try_from((time - from) / width).unwrap_or(0);
        let count = place(last) + 1;
        let mut over_time = Self {
            from,
            width,
            arrivals: vec![0; count],
            completions: vec![0; count],
            in_progress: vec![0.0; count],
            in_progress_max: vec![0; count],
        };
        let mut changes = Vec::with_capacity(2 * log.cases());
        for case in 0..log.cases() {
            let (begin, end) = log.case_span(case);
            over_time.arrivals[place(begin)] += 1;
            over_time.completions[place(end)] += 1;
            changes.push((begin, true));
            changes.push((end, false));
        }
        // At one moment, what begins comes before what ends.
        changes.sort_unstable_by_key(|&(time, begins)| (time, !begins));
        over_time.sweep(&changes, place);
        over_time
    }

    fn sweep(&mut self, changes: &[(i64, bool)], place: impl Fn(i64) -> usize) {
        let mut open = 0_u64;
        let mut since = self.from;
        let mut at = 0;
        for &(time, begins) in changes {
            while at < place(time) {
                let border = since - (since - self.from) % self.width + self.width;
                self.stay(at, border - since, open);
                since = border;
                at += 1;
                self.in_progress_max[at] = open;
            }
            self.stay(at, time - since, open);
            since = time;
            open = if begins { open + 1 } else { open - 1 };
            self.in_progress_max[at] = self.in_progress_max[at].max(open);
        }
    }

    fn stay(&mut self, at: usize, duration: i64, open: u64) {
        self.in_progress[at] +=
            float(open) * float_of_micros(duration) / float_of_micros(self.width);
    }
}

/// Gives how many cases begin, and how many end, a day in the mean: without the first or
/// the last one respectively, over the time between the first and the last; nothing if
/// there is no such time.
#[must_use]
pub fn rates_per_day(log: &EventLog) -> (Option<f64>, Option<f64>) {
    let spans = (0..log.cases()).map(|case| log.case_span(case));
    let (begins, ends): (Vec<i64>, Vec<i64>) = spans.unzip();
    let rate = |times: &[i64]| {
        let (first, last) = (times.iter().min()?, times.iter().max()?);
        let days = float_of_micros(last - first) / float_of_micros(DAY);
        (0.0 < days).then(|| float(times.len() as u64 - 1) / days)
    };
    (rate(&begins), rate(&ends))
}
