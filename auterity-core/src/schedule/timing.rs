//! The nominal times of a schedule.

use jiff::{SignedDuration, Timestamp};

use super::cron::Cron;
use super::spec::Timing;

/// Nominal times, one after the other.
#[derive(Debug)]
pub(crate) enum Calendar {
    /// At the times of a cron expression.
    Cron(Box<Cron>),
    /// At equal distances from a moment.
    Every {
        /// The moment.
        anchor: Timestamp,
        /// The distance.
        period: SignedDuration,
    },
}

impl Calendar {
    /// Makes the calendar of a timing; none for one that does not go by the clock.
    ///
    /// A timing was checked when it was taken; what cannot be read any more, such as a
    /// time zone that is gone, has no times.
    pub(crate) fn of(timing: &Timing, anchor: Timestamp) -> Option<Self> {
        match timing {
            Timing::Cron {
                expression,
                time_zone,
            } => {
                let cron = Cron::new(expression, time_zone).ok()?;
                Some(Self::Cron(Box::new(cron)))
            }
            Timing::Every(period) => Some(Self::Every {
                anchor,
                period: *period,
            }),
            Timing::After(_) | Timing::On(_) => None,
        }
    }

    /// Gives the first time after the given one.
    pub(crate) fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.next_after(at),
            Self::Every { anchor, period } => {
                let past = periods(*anchor, *period, at)?;
                multiple(*anchor, *period, past + 1)
            }
        }
    }

    /// Gives the last time up to the given one; times go back without a beginning.
    pub(crate) fn last_until(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.last_until(at),
            Self::Every { anchor, period } => {
                multiple(*anchor, *period, periods(*anchor, *period, at)?)
            }
        }
    }

    /// Gives the next times after the given one, up to an end.
    pub(crate) fn preview(
        &self,
        after: Timestamp,
        ends_at: Option<Timestamp>,
        count: usize,
    ) -> Vec<Timestamp> {
        let mut times = Vec::new();
        let mut last = after;
        while times.len() < count
            && let Some(next) = self.next_after(last)
            && ends_at.is_none_or(|end| next <= end)
        {
            times.push(next);
            last = next;
        }
        times
    }
}

/// Gives how many whole periods lie between the anchor and a time, rounded down.
fn periods(anchor: Timestamp, period: SignedDuration, at: Timestamp) -> Option<i128> {
    let distance = at.as_nanosecond() - anchor.as_nanosecond();
    let period = period.as_nanos();
    (0 < period).then(|| distance.div_euclid(period))
}

fn multiple(anchor: Timestamp, period: SignedDuration, count: i128) -> Option<Timestamp> {
    let distance = period.as_nanos().checked_mul(count)?;
    Timestamp::from_nanosecond(anchor.as_nanosecond().checked_add(distance)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_distances_keep_their_anchor() {
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        let calendar = Calendar::Every {
            anchor: at(1_000),
            period: SignedDuration::from_secs(60),
        };
        assert_eq!(calendar.next_after(at(1_000)), Some(at(1_060)));
        assert_eq!(calendar.next_after(at(999)), Some(at(1_000)));
        assert_eq!(calendar.next_after(at(1_059)), Some(at(1_060)));
        assert_eq!(calendar.last_until(at(1_119)), Some(at(1_060)));
        let times = calendar.preview(at(1_000), Some(at(1_130)), 9);
        assert_eq!(times, [at(1_060), at(1_120)]);
    }
}
