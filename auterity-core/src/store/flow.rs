//! What passes between the engine and a store about flow control.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::{ExecutionId, TenantId};

/// Gates that one execution passes at most.
pub const GATES_MAX: usize = 16;

/// Bytes of a gate's value.
pub const GATE_VALUE_BYTES_MAX: usize = 256;

/// The largest weight of a tenant; the smallest is 1.
pub const WEIGHT_MAX: u32 = 10_000;

/// Something that an execution has to pass before it begins.
///
/// A gate is one rule and, for rules with a key, one value of it. An execution passes
/// its gates in their order and keeps its place at each until it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The rule's name, unique for the tenant.
    pub rule: String,
    /// The value of the rule's key; empty for a rule without one.
    pub value: String,
    /// When it may pass at the earliest.
    pub not_before: Option<Timestamp>,
    /// Since when it counts as waiting; absent: since its start.
    pub since: Option<Timestamp>,
}

/// How evenly something goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The time between two, in the long run.
    pub every: SignedDuration,
    /// How many may come at once after a pause; at least 1.
    pub burst: u32,
}

/// What the gates of one name let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, unique for the tenant.
    pub name: String,
    /// Executions that have passed and not ended, at most.
    pub concurrency: Option<u32>,
    /// How evenly executions pass.
    pub pace: Option<Pace>,
}

/// Settings of a workflow or of the whole tenant, to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowPut {
    /// Namespace and name; absent: the tenant's own.
    pub workflow: Option<(String, String)>,
    /// The revision that is to be replaced, 0 for none; absent: whatever is there.
    pub expected: Option<u64>,
    /// The tenant's share of the workers, 1 to [`WEIGHT_MAX`]; of a workflow it means
    /// nothing.
    pub weight: u32,
    /// The settings as JSON text, for the engine.
    pub body: Arc<str>,
    /// The beginning of the names of all its rules.
    pub prefix: String,
    /// The rules that take the place of those with that beginning.
    pub rules: Vec<Rule>,
    /// When they were changed.
    pub at: Timestamp,
}

/// Settings as they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRow {
    /// Counts the changes, from 1.
    pub revision: u64,
    /// The settings as JSON text.
    pub body: Arc<str>,
    /// When they were changed last.
    pub changed_at: Timestamp,
}

/// An execution at a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtGate {
    /// Which one.
    pub execution: ExecutionId,
    /// Whether it has passed; otherwise it waits, or is not there yet.
    pub passed: bool,
    /// Since when it counts as waiting.
    pub since: Timestamp,
}

/// Why an execution has not begun, or does not go on, although nothing of its own keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// The rule that holds it; absent: it waits for its tenant's turn and a worker.
    pub rule: Option<String>,
    /// The value of the rule's key; empty without one.
    pub value: String,
    /// How many come before it there, counted up to a bound.
    pub ahead: u32,
    /// The rule's limit, if it has one, for executions at work.
    pub concurrency: Option<u32>,
    /// How many have passed the gate and not ended.
    pub in_use: u32,
    /// When it may pass at the earliest, as far as time alone says.
    pub not_before: Option<Timestamp>,
}

/// What waits in the queue, counted up to bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Tenants with something that waits for a worker, those first whose turn is next.
    pub lanes: Vec<LaneLength>,
    /// Executions of all tenants that are held at gates.
    pub held: u32,
}

/// How much of a tenant waits for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneLength {
    /// Whose lane it is.
    pub tenant: TenantId,
    /// Executions that are ready.
    pub ready: u32,
    /// Since when the first of them is.
    pub since: Timestamp,
}

/// Executions that are counted before one, at most.
pub const AHEAD_MAX: u32 = 10_000;

/// Tokens of a [`Pace`]: how many may pass now, and from when they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) count: i64,
    base: i64,
    every: i64,
    lead: i64,
}

/// How long after its time somebody who waited still has its token, in microseconds.
const LATE_MAX: i64 = 1_000_000;

impl Pace {
    pub(crate) fn every_micros(self) -> i64 {
        i64::try_from(self.every.as_micros())
            .unwrap_or(i64::MAX)
            .max(1)
    }

    /// Gives the tokens at a time (microseconds), where the next one of an even row
    /// would come at `next_at`; `waited` says that somebody waited for that.
    pub(crate) fn tokens(self, next_at: Option<i64>, waited: bool, now: i64) -> Tokens {
        let every = self.every_micros();
        let lead = every.saturating_mul(i64::from(self.burst.max(1)) - 1);
        let earliest = if waited { now - LATE_MAX } else { now };
        let base = next_at.unwrap_or(now).max(earliest);
        let ahead = now.saturating_add(lead) - base;
        let count = if ahead < 0 { 0 } else { ahead / every + 1 };
        Tokens {
            count,
            base,
            every,
            lead,
        }
    }
}

impl Tokens {
    /// Gives when the next one of an even row would come after some have passed.
    pub(crate) fn next_at(self, passed: i64) -> i64 {
        self.base.saturating_add(self.every.saturating_mul(passed))
    }

    /// Gives when the next token comes.
    pub(crate) fn look_at(self, passed: i64) -> i64 {
        self.next_at(passed) - self.lead
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whoever asks when, never more than a burst and one per interval pass.
        #[test]
        fn a_pace_is_kept(
            every in 1..1_000_i64,
            burst in 1..20_u32,
            gaps in prop::collection::vec(0..5_000_i64, 1..200),
        ) {
            let pace = Pace { every: SignedDuration::from_micros(every), burst };
            let (mut next_at, mut now) = (None, 1_000_000_000);
            let mut passed: Vec<i64> = Vec::new();
            for gap in gaps {
                now += gap;
                let tokens = pace.tokens(next_at, false, now);
                if 0 < tokens.count {
                    passed.push(now);
                    next_at = Some(tokens.next_at(1));
                } else {
                    prop_assert!(now < tokens.look_at(0));
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, until) in passed.iter().enumerate().skip(first) {
                    let count = i64::try_from(last - first).unwrap() + 1;
                    let most = i64::from(burst) + (until - from) / every;
                    prop_assert!(count <= most, "{count} in {} us", until - from);
                }
            }
        }

        /// Whoever comes at the time that was named passes.
        #[test]
        fn the_time_named_is_right(every in 1..1_000_i64, burst in 1..20_u32, asked in 1..100_i64) {
            let pace = Pace { every: SignedDuration::from_micros(every), burst };
            let now = 1_000_000_000;
            let tokens = pace.tokens(None, false, now);
            let passed = tokens.count.min(asked);
            let next = Some(tokens.next_at(passed));
            let look = tokens.look_at(passed);
            prop_assert_eq!(passed < tokens.count, 0 < pace.tokens(next, false, now).count);
            prop_assert!(0 < pace.tokens(next, true, look.max(now)).count);
        }
    }
}
