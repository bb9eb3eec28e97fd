//! Which events start a schedule's workflow.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::spec::Timing;
use crate::InboxId;
use crate::definition::{EventFilter, Strategy, Wanted, compile_events};
use crate::expression::{Budget, Expression, Template, Variables};
use crate::interpreter::{Filter, FilterCorrelation};

/// Incomplete sets of events that one schedule keeps; the oldest goes first.
const GROUPS_MAX: usize = 1_000;

/// Events that belong together and wait for the rest of their `all`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// One place per filter.
    slots: Vec<Option<Slot>>,
    /// What the first event of each correlation gave.
    correlations: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Slot {
    id: InboxId,
    event: Arc<Value>,
}

/// Enough events for an execution.
#[derive(Debug, PartialEq)]
pub(crate) struct Fired {
    /// What the events are, however often they come.
    pub(crate) identity: String,
    /// The events, in the order of their filters.
    pub(crate) events: Vec<Arc<Value>>,
}

/// Takes events for a schedule.
#[derive(Debug)]
pub(crate) struct Collector<'a> {
    strategy: Strategy,
    variables: Variables,
    budget: &'a Budget,
}

impl<'a> Collector<'a> {
    /// Makes the collector of a timing; none for one that goes by the clock.
    pub(crate) fn of(timing: &Timing, now: Timestamp, budget: &'a Budget) -> Option<Self> {
        let Timing::On(events) = timing else {
            return None;
        };
        Some(Self {
            strategy: compile_events(events).ok()?,
            variables: Variables::new(now),
            budget,
        })
    }

    /// Takes an event; gives what it completes.
    pub(crate) fn take(&self, groups: &mut Vec<Group>, id: InboxId, event: Value) -> Option<Fired> {
        let event = Arc::new(event);
        let filters = match &self.strategy {
            Strategy::All(filters) => filters,
            Strategy::One(filter) => return self.fires(std::slice::from_ref(filter), id, event),
            Strategy::Any { filters, .. } => return self.fires(filters, id, event),
        };
        let slot = Slot { id, event };
        let placed = groups
            .iter_mut()
            .position(|group| self.join(group, filters, &slot));
        let place = match placed {
            Some(place) => place,
            None => {
                let mut group = Group {
                    slots: vec![None; filters.len()],
                    correlations: BTreeMap::new(),
                };
                if !self.join(&mut group, filters, &slot) {
                    return None;
                }
                if GROUPS_MAX <= groups.len() {
                    groups.remove(0);
                }
                groups.push(group);
                groups.len() - 1
            }
        };
        if groups[place].slots.iter().any(Option::is_none) {
            return None;
        }
        let slots: Vec<Slot> = groups.remove(place).slots.into_iter().flatten().collect();
        let ids: Vec<String> = slots.iter().map(|slot| slot.id.to_string()).collect();
        Some(Fired {
            identity: format!("e:{}", crate::definition::ProgramHash::of(&ids.join(" "))),
            events: slots.into_iter().map(|slot| slot.event).collect(),
        })
    }

    fn fires(&self, filters: &[EventFilter], id: InboxId, event: Arc<Value>) -> Option<Fired> {
        let known = BTreeMap::new();
        let passes = filters.is_empty()
            || filters.iter().any(|filter| {
                self.attributes_match(filter, &event)
                    && self.correlate(filter, &event, &known).is_some()
            });
        passes.then(|| Fired {
            identity: format!("e:{id}"),
            events: vec![event],
        })
    }

    /// Puts an event into a group if it has a free place for it and belongs there.
    fn join(&self, group: &mut Group, filters: &[EventFilter], slot: &Slot) -> bool {
        for (place, filter) in filters.iter().enumerate() {
            let free = group.slots.get(place).is_some_and(Option::is_none);
            if !free || !self.attributes_match(filter, &slot.event) {
                continue;
            }
            if let Some(learnt) = self.correlate(filter, &slot.event, &group.correlations) {
                group.correlations.extend(learnt);
                group.slots[place] = Some(slot.clone());
                return true;
            }
        }
        false
    }

    fn attributes_match(&self, filter: &EventFilter, event: &Value) -> bool {
        filter.with.iter().all(|(name, wanted)| {
            let actual = event.get(name).unwrap_or(&Value::Null);
            match wanted {
                Wanted::Equal(value) => value == actual,
                Wanted::Pattern { text, pattern } => actual
                    .as_str()
                    .is_some_and(|actual| actual == text || pattern.is_match(actual)),
                Wanted::Computed(template) => {
                    let value = template.evaluate(actual, &self.variables, self.budget);
                    value.is_ok_and(|value| value == Value::Bool(true) || value == *actual)
                }
            }
        })
    }

    /// Checks the correlations; gives the values that are expected from now on.
    fn correlate(
        &self,
        filter: &EventFilter,
        event: &Value,
        known: &BTreeMap<String, Value>,
    ) -> Option<Vec<(String, Value)>> {
        let mut learnt = Vec::new();
        for (name, correlation) in &filter.correlate {
            let actual = self.value(&correlation.from, event)?;
            let expected = match (&correlation.expect, known.get(name)) {
                (Some(template), _) => Some(
                    template
                        .evaluate(&Value::Null, &self.variables, self.budget)
                        .ok()?,
                ),
                (None, known) => known.cloned(),
            };
            match expected {
                Some(expected) if expected != actual => return None,
                Some(_) => {}
                None => learnt.push((name.clone(), actual)),
            }
        }
        Some(learnt)
    }

    fn value(&self, expression: &Expression, event: &Value) -> Option<Value> {
        let value = expression.evaluate(event, &self.variables, self.budget);
        value.ok()
    }
}

/// Gives what a publisher can decide by itself, filter by filter.
pub(crate) fn filters(timing: &Timing) -> Vec<Filter> {
    let Timing::On(events) = timing else {
        return Vec::new();
    };
    let filters = match compile_events(events) {
        Ok(Strategy::One(filter)) => vec![filter],
        Ok(Strategy::Any { filters, .. } | Strategy::All(filters)) => filters,
        Err(_) => return Vec::new(),
    };
    if filters.is_empty() {
        let every_event = Filter {
            with: Vec::new(),
            correlate: Vec::new(),
        };
        return vec![every_event];
    }
    filters.iter().map(publishers_part).collect()
}

fn publishers_part(filter: &EventFilter) -> Filter {
    let with = filter
        .with
        .iter()
        .filter_map(|(name, wanted)| match wanted {
            Wanted::Equal(value) => Some((name.clone(), value.clone())),
            Wanted::Pattern { .. } | Wanted::Computed(_) => None,
        });
    let correlate =
        filter
            .correlate
            .iter()
            .filter_map(|(_, correlation)| match &correlation.expect {
                Some(Template::Literal(expect)) => Some(FilterCorrelation {
                    from: correlation.from.source().to_owned(),
                    expect: expect.clone(),
                }),
                _ => None,
            });
    Filter {
        with: with.collect(),
        correlate: correlate.collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ScheduleId;

    fn schedule() -> ScheduleId {
        ScheduleId::from_uuid(uuid::Uuid::from_u128(1))
    }

    /// Takes events by type and order number; gives the types that fired together.
    fn fired(on: Value, events: &[(&str, &str, u32)]) -> Vec<Vec<String>> {
        let budget = Budget::default();
        let timing = Timing::On(on);
        let collector = Collector::of(&timing, Timestamp::UNIX_EPOCH, &budget);
        let collector = collector.expect("it compiles");
        let mut groups = Vec::new();
        let mut all = Vec::new();
        for (id, kind, order) in events {
            let event = json!({ "id": id, "type": kind, "data": { "order": order } });
            if let Some(fired) = collector.take(&mut groups, schedule().event(id), event) {
                let types = fired.events.iter().map(|event| event["type"].as_str());
                all.push(
                    types
                        .map(|kind| kind.unwrap_or_default().to_owned())
                        .collect(),
                );
            }
        }
        all
    }

    #[test]
    fn one_and_any_fire_for_each_event_that_passes() {
        let one = json!({ "one": { "with": { "type": "paid", "data": "${ .order > 1 }" } } });
        let events = [("1", "paid", 1), ("2", "paid", 2), ("3", "sent", 3)];
        assert_eq!(fired(one, &events), [["paid"]]);
        let any =
            json!({ "any": [{ "with": { "type": "sent" } }, { "with": { "type": "paid" } }] });
        assert_eq!(fired(any, &events).len(), 3);
        assert_eq!(fired(json!({ "any": [] }), &events).len(), 3);
    }

    #[test]
    fn all_waits_for_events_that_belong_together() {
        let correlate = json!({ "order": { "from": "${ .data.order }" } });
        let all = json!({ "all": [
            { "with": { "type": "paid" }, "correlate": correlate },
            { "with": { "type": "sent" }, "correlate": correlate },
        ] });
        let events = [
            ("1", "sent", 7),
            ("2", "paid", 8),
            ("3", "paid", 7),
            ("4", "paid", 7),
            ("5", "sent", 8),
        ];
        // In the order of the filters, whatever the order of the events.
        assert_eq!(fired(all, &events), [["paid", "sent"], ["paid", "sent"]]);
    }

    #[test]
    fn a_publisher_decides_by_literal_attributes() {
        let timing = Timing::On(json!({ "one": {
            "with": { "type": "paid", "source": "${ startswith(\"a\") }" },
            "correlate": { "shop": { "from": "${ .shop }", "expect": "one" } },
        } }));
        let filters = filters(&timing);
        assert_eq!(filters[0].event_type(), Some("paid"));
        assert_eq!(filters[0].with.len(), 1);
        assert_eq!(filters[0].correlate[0].expect, json!("one"));
    }
}
