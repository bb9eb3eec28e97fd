//! When the workflow starts by itself.

use jiff::{Span, SpanRelativeTo};
use serde_json::Value;

use super::Compiler;
use crate::Violation;
use crate::definition::event::Strategy;
use crate::definition::mistake::{Finding, Place, pointer_path};
use crate::definition::parse::Node;
use crate::definition::program;
use crate::definition::record::Part;
use crate::definition::timeout::Duration;
use crate::expression::duration;
use crate::schedule::{DefinitionPolicy, Timing};

const POINTER: &str = "/schedule";

/// Where a definition says what the standard has no words for.
const POLICY: &str = "/document/metadata/schedule";

impl Compiler<'_> {
    /// Compiles the schedule with its rules.
    pub(super) fn schedule(&mut self) -> Option<program::Schedule> {
        let definition = self.definition;
        let schedule = definition.root.schedule.as_ref()?;
        let is_empty = |node: &Node| node.entries().is_some_and(<[_]>::is_empty);
        if self.tree.find(POINTER).is_some_and(is_empty) {
            let message = "the schedule does not say when to start";
            let finding = Finding::new("empty_object", POINTER, Place::Value, message);
            self.report(finding.with_hint("add `every`, `cron`, `after` or `on`"));
        }
        let policy = self.schedule_policy();
        let mut timings = Vec::new();
        if let Some(cron) = &schedule.cron {
            let timing = Timing::Cron {
                expression: cron.0.clone(),
                time_zone: policy.time_zone.clone().unwrap_or_else(|| "UTC".to_owned()),
            };
            timings.push(("cron", timing));
        }
        for (kind, length) in [("every", &schedule.every), ("after", &schedule.after)] {
            let Some(length) = length else { continue };
            if let Some(timing) = self.schedule_length(kind, length) {
                timings.push((kind, timing));
            }
        }
        for (_, timing) in &timings {
            let mut found = Vec::new();
            timing.check(&mut found);
            self.schedule_violations(found);
        }
        let on = schedule.on.as_ref();
        let on = on.and_then(|events| {
            timings.push(("on", Timing::On(events.write())));
            self.schedule_events(events)
        });
        Some(program::Schedule {
            timings,
            on,
            policy,
        })
    }

    /// Reads the rules beyond the standard.
    fn schedule_policy(&mut self) -> DefinitionPolicy {
        let metadata = self.definition.root.document.metadata.as_ref();
        let Some(words) = metadata.and_then(|metadata| metadata.get("schedule")) else {
            return DefinitionPolicy::default();
        };
        let policy: DefinitionPolicy = match serde_json::from_value(words.clone()) {
            Ok(policy) => policy,
            Err(error) => {
                let message = format!("these rules of a schedule cannot be read: {error}");
                self.report(Finding::new("bad_schedule", POLICY, Place::Value, message));
                return DefinitionPolicy::default();
            }
        };
        let mut found = Vec::new();
        policy.policy().check(&mut found);
        if let Some(input) = &policy.input {
            crate::schedule::check_input(input, &mut found);
        }
        self.schedule_violations(found);
        policy
    }

    fn schedule_length(&mut self, kind: &str, length: &Duration) -> Option<Timing> {
        let pointer = pointer_path(POINTER, kind);
        let span = match length {
            Duration::Expression(_) => {
                Err("there is nothing that an expression could be computed \
                                            from before the start; write the duration itself")
            }
            literal => duration::from_value(&literal.write())
                .map_err(|_| "the duration cannot be read")
                .and_then(|span| exact(&span)),
        };
        match span {
            Ok(span) if kind == "every" => Some(Timing::Every(span)),
            Ok(span) => Some(Timing::After(span)),
            Err(message) => {
                self.report(Finding::new("bad_schedule", pointer, Place::Value, message));
                None
            }
        }
    }

    fn schedule_events(&mut self, events: &Strategy) -> Option<program::Strategy> {
        if let Strategy::Any { until: Some(_), .. } = events {
            let message = "`until` has no meaning here: each event starts an execution";
            let pointer = pointer_path(POINTER, "on/until");
            self.report(Finding::new("bad_schedule", pointer, Place::Key, message));
            return None;
        }
        self.strategy(events, &pointer_path(POINTER, "on"))
    }

    /// Reports what is wrong with a timing or its rules where the definition says it.
    fn schedule_violations(&mut self, found: Vec<Violation>) {
        for violation in found {
            let place = match violation.pointer.split_once("/timing/") {
                Some((_, "time_zone")) => pointer_path(POLICY, "timeZone"),
                Some((_, kind)) => pointer_path(POINTER, kind),
                None => POLICY.to_owned(),
            };
            let finding = Finding::new("bad_schedule", place, Place::Value, violation.message);
            self.report(finding);
        }
    }
}

/// Gives the exact length; months and years have none.
fn exact(span: &Span) -> Result<jiff::SignedDuration, &'static str> {
    span.to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| "months and years have no fixed length; use cron for times of the calendar")
}

/// Compiles the events that start a workflow, given apart from a definition.
///
/// # Errors
/// Gives the first mistake in words.
pub(crate) fn compile_events(events: &Value) -> Result<program::Strategy, String> {
    let definition = serde_json::json!({
        "document": { "dsl": "1.0.3", "namespace": "schedule", "name": "events", "version": "1.0.0" },
        "schedule": { "on": events },
        "do": [{ "take": { "set": { "taken": true } } }],
    });
    let text = definition.to_string();
    let program = super::compile(&text, &super::CompileOptions::default()).map_err(|mistakes| {
        let first = mistakes.first();
        first.map_or_else(
            || "the events cannot be read".to_owned(),
            |mistake| mistake.message.clone(),
        )
    })?;
    let schedule = program.schedule;
    schedule
        .and_then(|schedule| schedule.on)
        .ok_or_else(|| "the events cannot be read".to_owned())
}

#[cfg(test)]
mod tests {
    use crate::definition::{CompileOptions, compile};

    fn mistakes(metadata: &str, schedule: &str) -> Vec<(String, String)> {
        let text = format!(
            "document: {{ dsl: 1.0.3, namespace: n, name: n, version: 1.0.0, \
             metadata: {{ schedule: {metadata} }} }}\nschedule: {schedule}\n\
             do: [{{ a: {{ set: {{ x: 1 }} }} }}]\n"
        );
        match compile(&text, &CompileOptions::default()) {
            Ok(_) => Vec::new(),
            Err(mistakes) => mistakes
                .into_iter()
                .map(|mistake| (mistake.pointer, mistake.message))
                .collect(),
        }
    }

    #[test]
    fn mistakes_stand_where_they_were_made() {
        let table = [
            ("{ timeZone: Europe/Berlin }", "{ cron: '0 9 * * *' }", ""),
            (
                "{ timeZone: Europe/Berln }",
                "{ cron: '0 9 * * *' }",
                "/document/metadata/schedule/timeZone",
            ),
            (
                "{ overlap: never }",
                "{ every: PT1M }",
                "/document/metadata/schedule",
            ),
            ("{ catchUp: { window: PT1H } }", "{ every: PT1M }", ""),
            (
                "{ input: { day: '${ .x[ }' } }",
                "{ every: PT1M }",
                "/document/metadata/schedule",
            ),
            ("{}", "{ every: P1M }", "/schedule/every"),
            ("{}", "{ every: PT0.1S }", "/schedule/every"),
            ("{}", "{ after: '${ .x }' }", "/schedule/after"),
            ("{}", "{ cron: '0 0 30 2 *' }", "/schedule/cron"),
            (
                "{}",
                "{ on: { any: [{ with: { type: a } }], until: '${ true }' } }",
                "/schedule/on/until",
            ),
            ("{}", "{ on: { one: { with: { type: a } } } }", ""),
        ];
        for (metadata, schedule, pointer) in table {
            let found = mistakes(metadata, schedule);
            match found.first() {
                None => assert_eq!(pointer, "", "{metadata} {schedule}"),
                Some((place, message)) => assert_eq!(place, pointer, "{message}"),
            }
        }
    }
}
