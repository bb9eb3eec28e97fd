//! What a person says about a schedule.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cron::Cron;
use crate::Violation;
use crate::definition::compile_events;
use crate::expression::{Mode, Template};

/// The shortest time between two ticks.
const PERIOD_MIN: SignedDuration = SignedDuration::from_secs(1);
/// The longest period, delay, window and jitter.
const LENGTH_MAX: SignedDuration = SignedDuration::from_hours(24 * 366);
/// Bytes of the input, written as JSON.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// What a schedule starts, when, and under which rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The workflow's namespace.
    pub namespace: String,
    /// The workflow's name.
    pub workflow: String,
    /// The version; absent: the highest at each tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The input. A text of the form `${ … }` is an expression over the tick:
    /// `.scheduled_at`, `.schedule`, and `.events` where events start it. Absent: the
    /// events, or an empty object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// Higher comes first when executions have to queue.
    #[serde(default)]
    pub priority: i32,
    /// When.
    pub timing: Timing,
    /// Under which rules.
    #[serde(default)]
    pub policy: Policy,
}

/// When a schedule starts its workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// At the times of a cron expression.
    Cron {
        /// Five fields, or six with seconds first.
        expression: String,
        /// The name of a time zone, such as `Europe/Berlin`.
        time_zone: String,
    },
    /// Again and again after the same time, whether the last execution has ended or not.
    Every(SignedDuration),
    /// This long after the last execution ended, and after the schedule was made.
    After(SignedDuration),
    /// When `CloudEvent`s come: `one`, `any` or `all` of the definition language.
    On(Value),
}

/// What happens to a tick while an execution of the schedule is still active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It starts another one.
    #[default]
    Allow,
    /// It is left out.
    Skip,
    /// It waits for the end; while one waits, others are left out.
    QueueOne,
    /// It waits for the end of all before it.
    QueueAll,
    /// It cancels the active one and starts once that has ended.
    Cancel,
}

/// What happens to ticks that were due while nothing could start them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// They are left out.
    None,
    /// The last one is made up for.
    #[default]
    Last,
    /// All are made up for, one after the other.
    All,
    /// Those of the last while are made up for.
    Window(SignedDuration),
}

/// The rules of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// What happens to a tick while an execution is still active.
    pub overlap: Overlap,
    /// What happens to missed ticks.
    pub catch_up: CatchUp,
    /// Ticks come up to this much later, each time by the same share, so that many
    /// schedules of the same time spread out.
    pub jitter: SignedDuration,
    /// No tick comes before this.
    pub starts_at: Option<Timestamp>,
    /// No tick comes after this.
    pub ends_at: Option<Timestamp>,
    /// The schedule pauses after this many faulted executions in a row.
    pub pause_after_failures: Option<u32>,
}

/// What a definition says about its schedule beyond the standard, under
/// `document.metadata.schedule`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct DefinitionPolicy {
    /// The time zone of the cron expression; absent: UTC.
    pub time_zone: Option<String>,
    /// The input; see [`Spec::input`].
    pub input: Option<Value>,
    /// What happens to a tick while an execution is still active.
    pub overlap: Overlap,
    /// What happens to missed ticks.
    pub catch_up: CatchUp,
    /// See [`Policy::jitter`].
    pub jitter: SignedDuration,
    /// No tick comes before this.
    pub starts_at: Option<Timestamp>,
    /// No tick comes after this.
    pub ends_at: Option<Timestamp>,
    /// See [`Policy::pause_after_failures`].
    pub pause_after_failures: Option<u32>,
}

impl DefinitionPolicy {
    /// Gives the rules without zone and input.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            overlap: self.overlap,
            catch_up: self.catch_up,
            jitter: self.jitter,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            pause_after_failures: self.pause_after_failures,
        }
    }
}

impl Spec {
    /// Finds everything that is wrong with it.
    #[must_use]
    pub fn check(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        self.timing.check(&mut found);
        self.policy.check(&mut found);
        if let Some(input) = &self.input {
            check_input(input, &mut found);
        }
        found
    }
}

impl Timing {
    pub(crate) fn check(&self, found: &mut Vec<Violation>) {
        match self {
            Self::Cron {
                expression,
                time_zone,
            } => {
                if let Err(message) = Cron::new(expression, "UTC") {
                    report(found, "/timing/cron", message);
                }
                if let Err(message) = super::cron::time_zone(time_zone) {
                    report(found, "/timing/time_zone", message);
                }
            }
            Self::Every(period) => {
                if *period < PERIOD_MIN || LENGTH_MAX < *period {
                    let message = "the period must be between a second and 366 days; for longer \
                                   or calendar times use cron";
                    report(found, "/timing/every", message);
                }
            }
            Self::After(delay) => {
                if *delay < SignedDuration::ZERO || LENGTH_MAX < *delay {
                    report(found, "/timing/after", "the delay must be at most 366 days");
                }
            }
            Self::On(events) => {
                if let Err(message) = compile_events(events) {
                    report(found, "/timing/on", message);
                }
            }
        }
    }

    /// Says in English when it comes.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Cron {
                expression,
                time_zone,
            } => match Cron::new(expression, time_zone) {
                Ok(cron) => format!("{} ({time_zone})", cron.describe()),
                Err(_) => expression.clone(),
            },
            Self::Every(period) => format!("Every {}", words(*period)),
            Self::After(delay) if delay.is_zero() => "Again as soon as it has ended".to_owned(),
            Self::After(delay) => format!("{} after the last one ended", words(*delay)),
            Self::On(events) => {
                let word = ["one", "any", "all"]
                    .iter()
                    .find(|word| events.get(**word).is_some());
                match word {
                    Some(&"all") => "When all of its events came".to_owned(),
                    Some(&"any") => "When any of its events comes".to_owned(),
                    _ => "When its event comes".to_owned(),
                }
            }
        }
    }
}

impl Policy {
    pub(crate) fn check(&self, found: &mut Vec<Violation>) {
        let length =
            |length: SignedDuration| SignedDuration::ZERO <= length && length <= LENGTH_MAX;
        if !length(self.jitter) {
            report(
                found,
                "/policy/jitter",
                "the jitter must be at most 366 days",
            );
        }
        if let CatchUp::Window(window) = self.catch_up
            && !length(window)
        {
            report(
                found,
                "/policy/catch_up",
                "the window must be at most 366 days",
            );
        }
        if let (Some(starts), Some(ends)) = (self.starts_at, self.ends_at)
            && ends < starts
        {
            report(found, "/policy/ends_at", "the end lies before the start");
        }
        if self.pause_after_failures == Some(0) {
            let message = "the number of failures must be at least 1";
            report(found, "/policy/pause_after_failures", message);
        }
    }
}

pub(crate) fn check_input(input: &Value, found: &mut Vec<Violation>) {
    if INPUT_BYTES_MAX < input.to_string().len() {
        let message = format!("the input is larger than {INPUT_BYTES_MAX} bytes of JSON");
        report(found, "/input", message);
        return;
    }
    for (pointer, mistake) in Template::compile(input, &[], Mode::Strict)
        .err()
        .unwrap_or_default()
    {
        report(found, &format!("/input{pointer}"), mistake.to_string());
    }
}

fn report(found: &mut Vec<Violation>, pointer: &str, message: impl Into<String>) {
    found.push(Violation {
        pointer: pointer.to_owned(),
        message: message.into(),
    });
}

/// Gives a length in words: `1 h 30 min`.
fn words(length: SignedDuration) -> String {
    let seconds = length.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let mut text: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count != 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    let millis = length.subsec_millis();
    if millis != 0 {
        text.push(format!("{millis} ms"));
    }
    text.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(timing: Timing) -> Spec {
        Spec {
            namespace: "n".to_owned(),
            workflow: "w".to_owned(),
            version: None,
            input: None,
            priority: 0,
            timing,
            policy: Policy::default(),
        }
    }

    #[test]
    fn every_mistake_is_found_at_its_place() {
        let mut wrong = spec(Timing::Cron {
            expression: "0 0 30 2 *".to_owned(),
            time_zone: "Nowhere".to_owned(),
        });
        wrong.input = Some(json!({ "day": "${ .scheduled_at[ }" }));
        wrong.policy.pause_after_failures = Some(0);
        wrong.policy.starts_at = Some(Timestamp::from_second(10).unwrap());
        wrong.policy.ends_at = Some(Timestamp::from_second(5).unwrap());
        let found = wrong.check();
        let places: Vec<&str> = found.iter().map(|one| &*one.pointer).collect();
        let expected = [
            "/timing/cron",
            "/timing/time_zone",
            "/policy/ends_at",
            "/policy/pause_after_failures",
            "/input/day",
        ];
        assert_eq!(places, expected);
        let hasty = spec(Timing::Every(SignedDuration::from_millis(10)));
        assert_eq!(hasty.check()[0].pointer, "/timing/every");
        let nothing = spec(Timing::On(json!({ "one": { "with": {} } })));
        assert_eq!(nothing.check()[0].pointer, "/timing/on");
        let good = spec(Timing::On(json!({ "one": { "with": { "type": "a" } } })));
        assert!(good.check().is_empty());
    }

    #[test]
    fn timings_are_described() {
        let table = [
            (
                Timing::Every(SignedDuration::from_secs(5_400)),
                "Every 1 h 30 min",
            ),
            (
                Timing::After(SignedDuration::from_secs(30)),
                "30 s after the last one ended",
            ),
            (
                Timing::On(json!({ "all": [] })),
                "When all of its events came",
            ),
        ];
        for (timing, words) in table {
            assert_eq!(timing.describe(), words);
        }
    }

    #[test]
    fn a_spec_comes_back_as_it_was_written() {
        let mut whole = spec(Timing::Every(SignedDuration::from_secs(60)));
        whole.policy.catch_up = CatchUp::Window(SignedDuration::from_hours(1));
        let text = serde_json::to_string(&whole).unwrap();
        assert!(text.contains("\"window\":\"PT1H\""), "{text}");
        assert_eq!(serde_json::from_str::<Spec>(&text).unwrap(), whole);
    }
}
