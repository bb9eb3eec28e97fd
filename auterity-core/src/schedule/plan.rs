//! When a schedule comes next.

use jiff::{SignedDuration, Timestamp};

use super::spec::{Overlap, Timing};
use super::timing::Calendar;
use crate::store::ScheduleRow;

impl ScheduleRow {
    /// Gives how much later than its nominal time each of the schedule's ticks comes:
    /// a share of the jitter that only the schedule's id decides.
    pub(crate) fn delay(&self) -> SignedDuration {
        let (high, low) = self.id.as_uuid().as_u64_pair();
        // The finaliser of SplitMix64 (Steele et al. 2014), which spreads every bit.
        let mut mixed = high ^ low;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let top = u32::try_from(mixed >> 32).unwrap_or(u32::MAX);
        let share = f64::from(top) / f64::from(u32::MAX);
        let delay = self.spec.policy.jitter.as_secs_f64() * share;
        SignedDuration::try_from_secs_f64(delay).unwrap_or_default()
    }

    /// Tells whether the ends of executions decide anything.
    pub(crate) fn has_to_watch(&self) -> bool {
        let policy = &self.spec.policy;
        policy.overlap != Overlap::Allow
            || policy.pause_after_failures.is_some()
            || matches!(self.spec.timing, Timing::After(_))
    }

    /// Sets the next nominal time and when to look, as if nothing were under way.
    pub(crate) fn plan(&mut self) {
        self.watches = self.has_to_watch();
        self.next = match (&self.paused, &self.spec.timing) {
            (Some(_), _) => None,
            (None, Timing::After(delay)) => self.after_delay(*delay),
            (None, timing) => {
                let calendar = Calendar::of(timing, self.anchor);
                calendar.and_then(|calendar| calendar.next_after(self.cursor))
            }
        };
        let end = self.spec.policy.ends_at;
        self.next = self.next.filter(|next| end.is_none_or(|end| *next <= end));
        self.due = self.next.map(|next| later(next, self.delay()));
    }

    pub(super) fn after_delay(&self, delay: SignedDuration) -> Option<Timestamp> {
        let due = self.cursor.checked_add(delay).ok()?;
        Some(match self.spec.policy.starts_at {
            Some(start) => due.max(start),
            None => due,
        })
    }
}

/// Adds, up to the end of all times.
pub(super) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Subtracts, down to the beginning of all times.
pub(super) fn earlier(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}
