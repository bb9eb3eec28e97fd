//! How often a step's body is tried.

use jiff::SignedDuration;

use crate::interpreter::Tries;

/// How often a step's body is tried when it fails, and how long the pauses are.
///
/// Pauses are waits like any other: a long one leaves memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepRetry {
    tries: Tries,
}

impl StepRetry {
    /// Tries at most this often in all, with a second between tries at first, twice as
    /// long each time, and a minute at most.
    #[must_use]
    pub fn times(max: u32) -> Self {
        Self {
            tries: Tries {
                max: max.max(1),
                delay_ms: 1_000,
                factor: 2.0,
                delay_ms_max: 60_000,
            },
        }
    }

    /// Sets the first pause.
    #[must_use]
    pub fn with_delay(mut self, delay: SignedDuration) -> Self {
        self.tries.delay_ms = millis(delay);
        self
    }

    /// Sets what each pause is multiplied by to give the next one.
    #[must_use]
    pub fn with_factor(mut self, factor: f64) -> Self {
        self.tries.factor = if factor.is_finite() {
            factor.max(0.0)
        } else {
            1.0
        };
        self
    }

    /// Sets the longest pause.
    #[must_use]
    pub fn with_delay_max(mut self, delay_max: SignedDuration) -> Self {
        self.tries.delay_ms_max = millis(delay_max);
        self
    }

    pub(super) fn tries(self) -> Tries {
        self.tries
    }
}

fn millis(time: SignedDuration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(0)
}
