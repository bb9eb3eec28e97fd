//! How a function's failed tries are repeated.

use jiff::SignedDuration;

use crate::interpreter::{Problem, ProblemKind};

/// How a function's failed tries are repeated before its task fails.
///
/// Repeated are problems that may pass: communication and time-out errors, and runtime
/// errors with a status of 500 or more, 408, 425 or 429. Each pause is twice as long as
/// the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all; 1: none is repeated.
    pub attempts_max: u32,
    /// The pause after the first try.
    pub delay: SignedDuration,
    /// The longest pause.
    pub delay_max: SignedDuration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 1,
            delay: SignedDuration::from_secs(1),
            delay_max: SignedDuration::from_mins(5),
        }
    }
}

impl Retry {
    /// Repeats failed tries until there were this many, with pauses from one second to
    /// five minutes.
    #[must_use]
    pub fn attempts(attempts_max: u32) -> Self {
        Self {
            attempts_max,
            ..Self::default()
        }
    }

    /// Gives the pause before the next try, if there is to be one after `tried` tries.
    pub(crate) fn pause(&self, problem: &Problem, tried: u32) -> Option<SignedDuration> {
        if self.attempts_max <= tried || !may_pass(problem) {
            return None;
        }
        let doubled = 1_i32
            .checked_shl(tried.saturating_sub(1))
            .filter(|times| 0 < *times);
        let pause = self.delay.saturating_mul(doubled.unwrap_or(i32::MAX));
        Some(pause.min(self.delay_max))
    }
}

fn may_pass(problem: &Problem) -> bool {
    let passing = [
        ProblemKind::Communication,
        ProblemKind::Timeout,
        ProblemKind::Runtime,
    ];
    let status = 500 <= problem.status || matches!(problem.status, 408 | 425 | 429);
    status && passing.into_iter().any(|kind| problem.is(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let retry = Retry {
            attempts_max: 100,
            delay: SignedDuration::from_secs(1),
            delay_max: SignedDuration::from_secs(5),
        };
        let gone = Problem::new(ProblemKind::Communication, "gone");
        let pauses = [1, 2, 3, 4, 40, 99].map(|tried| retry.pause(&gone, tried));
        let seconds = pauses.map(|pause| pause.expect("another try").as_secs());
        assert_eq!(seconds, [1, 2, 4, 5, 5, 5]);
        assert_eq!(retry.pause(&gone, 100), None);
    }

    #[test]
    fn only_what_may_pass_is_repeated() {
        let retry = Retry::attempts(3);
        let repeated = |kind, status| {
            let problem = Problem::new(kind, "no").with_status(status);
            retry.pause(&problem, 1).is_some()
        };
        assert!(repeated(ProblemKind::Communication, 503));
        assert!(repeated(ProblemKind::Communication, 429));
        assert!(repeated(ProblemKind::Timeout, 408));
        assert!(repeated(ProblemKind::Runtime, 500));
        assert!(!repeated(ProblemKind::Communication, 404));
        assert!(!repeated(ProblemKind::Validation, 500));
        assert!(!repeated(ProblemKind::Authorization, 403));
    }
}
