//! Decisions, by tables.

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::schedule::{Policy, Spec};
use crate::store::ScheduleEvent;
use crate::{ScheduleId, TenantId};

/// Midnight of a Monday.
fn midnight() -> Timestamp {
    "2026-03-02T00:00:00Z".parse().expect("a time")
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

fn row(timing: Timing, policy: Policy) -> ScheduleRow {
    let mut row = ScheduleRow {
        id: ScheduleId::from_uuid(Uuid::from_u128(0x5ced)),
        tenant: TenantId::from_uuid(Uuid::from_u128(1)),
        key: "name:test".to_owned(),
        name: "test".to_owned(),
        spec: Spec {
            namespace: "n".to_owned(),
            workflow: "w".to_owned(),
            version: None,
            input: None,
            priority: 0,
            timing,
            policy,
        },
        managed: false,
        backfill_of: None,
        revision: 1,
        paused: None,
        failures: 0,
        anchor: midnight(),
        cursor: midnight(),
        next: None,
        due: None,
        ticks: 0,
        watches: false,
        collecting: Vec::new(),
        claim: 1,
        created_at: midnight(),
        updated_at: midnight(),
    };
    row.plan();
    row
}

/// Midnight of every day, as a cron expression.
fn daily() -> Timing {
    Timing::Cron {
        expression: "0 0 * * *".to_owned(),
        time_zone: "UTC".to_owned(),
    }
}

/// A schedule whose executions end when the test says so.
struct World {
    row: ScheduleRow,
    open: Vec<TickRow>,
    history: Vec<TickRow>,
}

impl World {
    fn new(timing: Timing, policy: Policy) -> Self {
        Self {
            row: row(timing, policy),
            open: Vec::new(),
            history: Vec::new(),
        }
    }

    /// Looks at a time, as often as the decisions ask for; gives how many ticks started.
    fn look(&mut self, now: Timestamp) -> usize {
        self.look_with(now, &[])
    }

    fn look_with(&mut self, now: Timestamp, events: &[ScheduleEvent]) -> usize {
        let mut started = 0;
        let mut events = events.to_vec();
        for _ in 0..50 {
            let decision = self.decide(now, None, &events);
            events.retain(|event| !decision.change.consumed.contains(&event.id));
            started += decision.start.len();
            if self.row.due.is_none_or(|due| now < due) {
                return started;
            }
        }
        panic!("the decisions never come to rest");
    }

    fn decide(
        &mut self,
        now: Timestamp,
        asked: Option<Asked>,
        events: &[ScheduleEvent],
    ) -> Decision {
        let look = Look {
            row: self.row.clone(),
            open: self.open.clone(),
            events: events.to_vec(),
        };
        let decision = decide(look, asked, now, &Budget::default());
        let mut row = decision.change.row.clone();
        let begun = after_starts(&mut row, decision.start.clone(), &[], now);
        for tick in decision.change.ticks.iter().chain(&begun) {
            self.history.retain(|known| known.sequence != tick.sequence);
            self.history.push(tick.clone());
        }
        self.history.sort_by_key(|tick| tick.sequence);
        let open = self.history.iter().filter(|tick| tick.open);
        self.open = open.cloned().collect();
        self.row = row;
        for id in &decision.cancel {
            self.end(*id, TickState::Cancelled, now);
        }
        decision
    }

    fn end(&mut self, id: ExecutionId, state: TickState, at: Timestamp) {
        for tick in self.history.iter_mut().chain(&mut self.open) {
            if tick.execution == Some(id) && tick.state == TickState::Started {
                tick.state = state;
                tick.ended_at = Some(at);
            }
        }
        if self.row.watches {
            self.row.due = Some(at);
        }
    }

    fn end_all(&mut self, state: TickState, at: Timestamp) {
        let started = self
            .history
            .iter()
            .filter(|tick| tick.state == TickState::Started);
        for id in started
            .filter_map(|tick| tick.execution)
            .collect::<Vec<_>>()
        {
            self.end(id, state, at);
        }
    }

    /// Gives the states of all ticks, in order.
    fn states(&self) -> Vec<TickState> {
        self.history.iter().map(|tick| tick.state).collect()
    }
}

/// What happened after three days without a worker: first at once, then when the
/// executions have ended one after the other.
fn three_days_down(catch_up: CatchUp, overlap: Overlap) -> (usize, usize, usize) {
    let policy = Policy {
        overlap,
        catch_up,
        ..Policy::default()
    };
    let mut world = World::new(daily(), policy);
    // The ticks of Tuesday to Thursday have passed, and it is Thursday noon.
    let back = midnight() + hours(3 * 24 + 12);
    let at_once = world.look(back);
    let mut all = at_once;
    for _ in 0..10 {
        world.end_all(TickState::Completed, back);
        all += world.look(back);
    }
    let missed = world
        .states()
        .iter()
        .filter(|state| **state == TickState::Missed)
        .count();
    (at_once, all, missed)
}

#[test]
fn three_days_down_by_catch_up_and_overlap() {
    use CatchUp::{All, Last, None, Window};
    use Overlap::{Allow, Cancel, QueueAll, QueueOne, Skip};
    let day_and_a_half = Window(hours(37));
    let table = [
        // Started at once, started in the end, records of missed ticks.
        (None, Allow, (0, 0, 1)),
        (None, Skip, (0, 0, 1)),
        (None, QueueOne, (0, 0, 1)),
        (None, QueueAll, (0, 0, 1)),
        (None, Cancel, (0, 0, 1)),
        (Last, Allow, (1, 1, 1)),
        (Last, Skip, (1, 1, 1)),
        (Last, QueueOne, (1, 1, 1)),
        (Last, QueueAll, (1, 1, 1)),
        (Last, Cancel, (1, 1, 1)),
        (All, Allow, (3, 3, 0)),
        (All, Skip, (1, 1, 0)),
        (All, QueueOne, (1, 2, 0)),
        (All, QueueAll, (1, 3, 0)),
        (All, Cancel, (1, 1, 0)),
        (day_and_a_half, Allow, (2, 2, 1)),
        (day_and_a_half, Skip, (1, 1, 1)),
        (day_and_a_half, QueueOne, (1, 2, 1)),
        (day_and_a_half, QueueAll, (1, 2, 1)),
        (day_and_a_half, Cancel, (1, 1, 1)),
    ];
    for (catch_up, overlap, expected) in table {
        let happened = three_days_down(catch_up, overlap);
        assert_eq!(happened, expected, "{catch_up:?} {overlap:?}");
    }
}

#[test]
fn punctual_ticks_are_never_missed() {
    for catch_up in [
        CatchUp::None,
        CatchUp::Last,
        CatchUp::Window(SignedDuration::ZERO),
    ] {
        let policy = Policy {
            catch_up,
            ..Policy::default()
        };
        let mut world = World::new(daily(), policy);
        for day in 1..=3 {
            let late = midnight() + hours(24 * day) + SignedDuration::from_secs(5);
            assert_eq!(world.look(late), 1, "{catch_up:?}");
        }
        assert_eq!(world.row.next, Some(midnight() + hours(96)));
    }
}

#[test]
fn overlap_while_an_execution_takes_long() {
    use TickState::{Cancelled, Queued, Skipped, Started};
    let table = [
        (Overlap::Allow, vec![Started, Started, Started]),
        (Overlap::Skip, vec![Started, Skipped, Skipped]),
        (Overlap::QueueOne, vec![Started, Queued, Skipped]),
        (Overlap::QueueAll, vec![Started, Queued, Queued]),
        (Overlap::Cancel, vec![Cancelled, Cancelled, Started]),
    ];
    for (overlap, expected) in table {
        let policy = Policy {
            overlap,
            ..Policy::default()
        };
        let mut world = World::new(Timing::Every(hours(1)), policy);
        for hour in 1..=3 {
            world.look(midnight() + hours(hour));
        }
        assert_eq!(world.states(), expected, "{overlap:?}");
    }
}

#[test]
fn a_full_queue_stops_the_time_of_the_schedule() {
    let policy = Policy {
        overlap: Overlap::QueueAll,
        catch_up: CatchUp::All,
        ..Policy::default()
    };
    let mut world = World::new(Timing::Every(SignedDuration::from_secs(60)), policy);
    let later = midnight() + hours(24);
    assert_eq!(world.look(later), 1);
    assert_eq!(world.states().len(), 1 + QUEUE_MAX);
    assert_eq!(world.row.due, None, "the next end makes room");
    let mut all = 1;
    for _ in 0..1_500 {
        world.end_all(TickState::Completed, later);
        all += world.look(later);
        let open = world.history.iter().rposition(|tick| tick.open);
        if open.is_none() {
            break;
        }
        world.history.retain(|tick| tick.open);
    }
    assert_eq!(all, 24 * 60, "every tick of the day was made up for");
}

#[test]
fn delay_counts_from_the_end_of_the_last_execution() {
    let mut world = World::new(Timing::After(hours(1)), Policy::default());
    assert_eq!(world.look(midnight() + SignedDuration::from_mins(59)), 0);
    assert_eq!(world.look(midnight() + hours(1)), 1);
    assert_eq!(world.row.due, None, "nothing comes before the end");
    assert_eq!(world.look(midnight() + hours(9)), 0);
    world.end_all(TickState::Completed, midnight() + hours(10));
    assert_eq!(world.look(midnight() + hours(10)), 0);
    assert_eq!(world.row.next, Some(midnight() + hours(11)));
    assert_eq!(world.look(midnight() + hours(11)), 1);
}

#[test]
fn failures_in_a_row_pause() {
    let policy = Policy {
        pause_after_failures: Some(2),
        ..Policy::default()
    };
    let mut world = World::new(Timing::Every(hours(1)), policy);
    let ends = [
        (1, TickState::Faulted),
        (2, TickState::Completed),
        (3, TickState::Faulted),
        (4, TickState::Faulted),
    ];
    for (hour, state) in ends {
        let now = midnight() + hours(hour);
        assert_eq!(world.look(now), 1, "hour {hour}");
        world.end_all(state, now);
        world.look(now);
    }
    let pause = world.row.paused.clone().expect("it is paused");
    assert!(pause.by_failures && pause.reason.is_some_and(|reason| reason.starts_with("2 ")));
    assert_eq!((world.row.due, world.row.next), (None, None));
    assert_eq!(world.look(midnight() + hours(9)), 0);
}

#[test]
fn a_start_that_fails_is_a_failure_and_lets_others_go_on() {
    let policy = Policy {
        overlap: Overlap::QueueAll,
        pause_after_failures: Some(3),
        ..Policy::default()
    };
    let mut row = row(Timing::Every(hours(1)), policy);
    let now = midnight() + hours(1);
    let look = |row: ScheduleRow, open| Look {
        row,
        open,
        events: Vec::new(),
    };
    for round in 1..=3 {
        let decision = decide(
            look(row.clone(), Vec::new()),
            Some(asked(round, None)),
            now,
            &Budget::default(),
        );
        row = decision.change.row;
        let failed: Vec<_> = decision
            .start
            .iter()
            .map(|tick| (tick.sequence, "no such workflow".to_owned()))
            .collect();
        let ticks = after_starts(&mut row, decision.start, &failed, now);
        assert!(
            ticks
                .iter()
                .all(|tick| tick.state == TickState::Failed && !tick.open)
        );
        assert_eq!(row.paused.is_some(), round == 3, "after {round} failures");
        assert_eq!(row.due.is_some(), round != 3);
    }
}

fn asked(number: i64, overlap: Option<Overlap>) -> Asked {
    Asked {
        identity: format!("n:{number}"),
        overlap,
    }
}

#[test]
fn a_trigger_goes_by_the_policy_unless_told_otherwise() {
    let policy = Policy {
        overlap: Overlap::Skip,
        ..Policy::default()
    };
    let mut world = World::new(Timing::Every(hours(1)), policy);
    world.row.paused = Some(Pause {
        reason: None,
        at: midnight(),
        by_failures: false,
    });
    let ask = |world: &mut World, overlap| {
        let number = i64::try_from(world.history.len()).unwrap();
        let now = midnight() + SignedDuration::from_mins(number);
        let decision = world.decide(now, Some(asked(number, overlap)), &[]);
        let tick = decision.change.ticks.last().expect("the tick");
        (tick.identity.clone(), tick.state)
    };
    let tick = |number, state| (asked(number, None).identity, state);
    assert_eq!(
        ask(&mut world, None),
        tick(0, TickState::Due),
        "even while it is paused"
    );
    assert_eq!(ask(&mut world, None), tick(1, TickState::Skipped));
    let allowed = ask(&mut world, Some(Overlap::Allow));
    assert_eq!(allowed, tick(2, TickState::Due));
}

#[test]
fn bounds_and_jitter_shift_no_nominal_time() {
    let policy = Policy {
        jitter: hours(1),
        starts_at: Some(midnight() + hours(30)),
        ends_at: Some(midnight() + hours(72)),
        ..Policy::default()
    };
    let mut world = World::new(daily(), policy);
    world.row.cursor = midnight() + hours(30) - SignedDuration::from_micros(1);
    let delay = world.row.delay();
    assert!(
        SignedDuration::ZERO < delay && delay < hours(1),
        "{delay:?}"
    );
    assert_eq!(
        world.look(midnight() + hours(48)),
        0,
        "its share of the jitter is not over"
    );
    assert_eq!(world.look(midnight() + hours(48) + delay), 1);
    assert_eq!(world.history[0].nominal, midnight() + hours(48));
    assert_eq!(world.look(midnight() + hours(72) + delay), 1);
    assert_eq!(
        (world.row.next, world.row.due),
        (None, None),
        "it has ended"
    );
    assert_eq!(world.look(midnight() + hours(200)), 0);
}

#[test]
fn a_clock_that_steps_back_repeats_nothing() {
    let mut world = World::new(Timing::Every(hours(1)), Policy::default());
    assert_eq!(world.look(midnight() + hours(2)), 1);
    for minutes in [115, 61, 119, 120] {
        assert_eq!(
            world.look(midnight() + SignedDuration::from_mins(minutes)),
            0
        );
    }
    assert_eq!(world.look(midnight() + hours(3)), 1);
}

#[test]
fn events_start_executions_with_what_they_are() {
    let on = json!({ "one": { "with": { "type": "paid" } } });
    let mut world = World::new(Timing::On(on), Policy::default());
    let event = |number: u32, kind: &str| ScheduleEvent {
        schedule: world.row.id,
        id: world.row.id.event(&number.to_string()),
        payload: json!({ "id": number, "type": kind }).to_string().into(),
        at: midnight(),
    };
    let events = [event(1, "paid"), event(2, "sent"), event(3, "paid")];
    assert_eq!(world.look_with(midnight() + hours(1), &events), 2);
    let identities: Vec<_> = world.history.iter().map(|tick| &tick.identity).collect();
    assert_ne!(identities[0], identities[1]);
    let carried = world.history[1].events.clone().expect("the events");
    assert_eq!(&*carried, r#"[{"id":3,"type":"paid"}]"#);
    world.row.paused = Some(Pause {
        reason: None,
        at: midnight(),
        by_failures: false,
    });
    let decision = world.decide(midnight() + hours(2), None, &events);
    assert_eq!(
        (decision.start.len(), decision.change.consumed.len()),
        (0, 3)
    );
}
