//! What goes wrong between a process and its store, by chance.

use jiff::SignedDuration;

use super::faults::{CrashPoint, Fate};
use super::random::Random;
use crate::ErrorKind;

/// Methods that a connection may make twice: all that write, but for claims and
/// registrations, which no adapter repeats by itself.
const REPEATABLE: [&str; 8] = [
    "control_put",
    "definition_delete",
    "definition_put",
    "execution_amend",
    "execution_label",
    "inbox_put",
    "journal_append",
    "worker_release",
];

/// How often what goes wrong, in thousandths of the calls of the store unless it says
/// otherwise.
#[derive(Debug, Clone)]
pub struct Faults {
    /// The process dies at a journal append; at other calls a quarter of that.
    pub crash: u32,
    /// The call fails, or its answer is lost.
    pub unavailable: u32,
    /// The call is made twice.
    pub duplicate: u32,
    /// The word that wakes other processes is lost.
    pub lost_word: u32,
    /// Milliseconds that a call takes at most; some take ten times as long.
    pub latency_millis: u64,
    /// Disturbances from outside: kills, freezes, restarts, jumps of a clock, and
    /// cancelled or suspended executions; per simulation.
    pub disturbances: u32,
}

impl Faults {
    /// Nothing goes wrong.
    #[must_use]
    pub fn none() -> Self {
        Self {
            crash: 0,
            unavailable: 0,
            duplicate: 0,
            lost_word: 0,
            latency_millis: 0,
            disturbances: 0,
        }
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            crash: 10,
            unavailable: 25,
            duplicate: 25,
            lost_word: 300,
            latency_millis: 8,
            disturbances: 14,
        }
    }
}

impl Faults {
    /// Decides about one call of the store.
    pub(super) fn fate(&self, random: &mut Random, method: &'static str) -> Fate {
        let crash = match method {
            "journal_append" => self.crash,
            _ => self.crash / 4,
        };
        if random.chance(crash) {
            return Fate::Crash(*random.pick(&[
                CrashPoint::Before,
                CrashPoint::BeforeAnswer,
                CrashPoint::AfterAnswer,
            ]));
        }
        let unavailable = match method {
            "wake_send" => self.lost_word,
            _ => self.unavailable,
        };
        if random.chance(unavailable) {
            return *random.pick(&[Fate::Refused(ErrorKind::Unavailable), Fate::AnswerLost]);
        }
        if REPEATABLE.contains(&method) && random.chance(self.duplicate) {
            return Fate::Twice;
        }
        Fate::Well
    }

    /// Decides how long the way to the store takes.
    pub(super) fn latency(&self, random: &mut Random) -> SignedDuration {
        let factor = if random.chance(30) { 10 } else { 1 };
        let millis = random.below(factor * self.latency_millis + 1);
        SignedDuration::from_millis(i64::try_from(millis).unwrap_or(0))
    }
}
