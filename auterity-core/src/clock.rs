//! Time and randomness as ports, so that tests own both.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

/// Tells the time and waits for it.
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Gives the current time.
    fn now(&self) -> Timestamp;

    /// Returns once the time has come; at once if it has passed.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    async fn sleep_until(&self, at: Timestamp);
}

/// Gives random bytes.
pub trait Entropy: Send + Sync + fmt::Debug + 'static {
    /// Fills the buffer with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, at: Timestamp) {
        let wait = at.duration_since(self.now());
        if let Ok(wait) = std::time::Duration::try_from(wait) {
            tokio::time::sleep(wait).await;
        }
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<ManualState>,
}

#[derive(Debug)]
struct ManualState {
    now: Timestamp,
    waiting: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
    next: u64,
}

impl ManualClock {
    /// Makes a clock that shows the given time.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            state: Mutex::new(ManualState {
                now,
                waiting: BTreeMap::new(),
                next: 0,
            }),
        }
    }

    /// Moves the time forward and wakes all that waited for it.
    pub fn advance(&self, by: SignedDuration) {
        let to = self.lock().now + by;
        self.advance_to(to);
    }

    /// Moves the time forward to the given one and wakes all that waited for it; a
    /// time that has passed changes nothing.
    pub fn advance_to(&self, at: Timestamp) {
        let mut state = self.lock();
        state.now = state.now.max(at);
        let now = state.now;
        while let Some(entry) = state.waiting.first_entry() {
            if now < entry.key().0 {
                break;
            }
            // A receiver that is gone no longer waits.
            let _gone = entry.remove().send(()).is_err();
        }
    }

    /// Gives the earliest time that somebody waits for.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let mut state = self.lock();
        while let Some(entry) = state.waiting.first_entry() {
            if !entry.get().is_closed() {
                return Some(entry.key().0);
            }
            // Whoever stopped waiting leaves its place behind.
            drop(entry.remove());
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, ManualState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    async fn sleep_until(&self, at: Timestamp) {
        let receiver = {
            let mut state = self.lock();
            if at <= state.now {
                return;
            }
            let (sender, receiver) = oneshot::channel();
            let key = (at, state.next);
            state.next += 1;
            state.waiting.insert(key, sender);
            receiver
        };
        // The sender lives as long as the clock, which outlives this borrow.
        drop(receiver.await);
    }
}

/// Random bytes of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one source of random bits"
    )]
    fn fill(&self, buffer: &mut [u8]) {
        // Version 4 ids carry 122 random bits from the operating system; the six
        // fixed bits sit in bytes 6 and 8, which are skipped.
        for chunk in buffer.chunks_mut(6) {
            let random = uuid::Uuid::new_v4();
            chunk.copy_from_slice(&random.as_bytes()[..chunk.len()]);
        }
    }
}

/// Repeatable bytes for tests, from a seed (the `SplitMix64` sequence, Steele et al. 2014).
#[derive(Debug)]
pub struct SeededEntropy {
    state: Mutex<u64>,
}

impl SeededEntropy {
    /// Makes the source that the seed stands for.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            state: Mutex::new(seed),
        }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in buffer.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = *state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn manual_clock_wakes_sleepers_in_order_of_their_time() {
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let at = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(5);
        let sleeper = clock.sleep_until(at);
        tokio::pin!(sleeper);
        assert!(futures_util::poll!(&mut sleeper).is_pending());
        assert_eq!(clock.next_due(), Some(at));
        clock.advance(SignedDuration::from_secs(5));
        sleeper.await;
        assert_eq!(clock.now(), at);
    }
}
