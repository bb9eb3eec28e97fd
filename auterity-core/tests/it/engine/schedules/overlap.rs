//! What one execution means for the next: overlap, delays, events, failures.

use auterity_core::clock::{Clock, SystemClock};
use auterity_core::schedule::{Overlap, Policy, Timing};
use auterity_core::store::{TickRow, TickState};
use serde_json::{Value, json};

use super::{ECHO, Place, WAITS, World, all, hourly, hours, start, states};
use crate::engine::{PATIENCE, output, scope};

pub(super) async fn overlap_policies_with_an_execution_that_goes_on(place: &Place) {
    use TickState::{Cancelled, Completed, Queued, Skipped, Started};
    for (round, overlap, meanwhile, expected) in [
        (1, Overlap::Allow, vec![Started; 3], vec![Completed; 3]),
        (
            2,
            Overlap::Skip,
            vec![Started, Skipped, Skipped],
            vec![Completed, Skipped, Skipped],
        ),
        (
            3,
            Overlap::QueueOne,
            vec![Started, Queued, Skipped],
            vec![Completed, Completed, Skipped],
        ),
        (
            4,
            Overlap::QueueAll,
            vec![Started, Queued, Queued],
            vec![Completed; 3],
        ),
        (
            5,
            Overlap::Cancel,
            vec![Cancelled, Cancelled, Started],
            vec![Cancelled, Cancelled, Completed],
        ),
    ] {
        let world = World::new(place).await.of_tenant(scope(round));
        world.fixture.deploy("subject", WAITS).await;
        let policy = Policy {
            overlap,
            ends_at: Some(start() + hours(3)),
            ..Policy::default()
        };
        let row = world.make(hourly(), policy).await;
        for hour in 1..=3 {
            world.clock.advance(hours(1));
            let seen = |ticks: &[TickRow]| {
                let settled = overlap != Overlap::Cancel
                    || ticks.last().is_some_and(|tick| tick.state == Started);
                ticks.len() == hour
                    && settled
                    && ticks.iter().all(|tick| tick.state != TickState::Due)
            };
            world.until(row.id, seen).await;
        }
        world
            .until(row.id, |ticks| states(ticks) == meanwhile)
            .await;
        for event in 0.. {
            let seen = states(&world.ticks(row.id).await);
            if seen == expected {
                break;
            }
            assert!(event < 50, "{overlap:?}: {seen:?}");
            world.publish("go", &event.to_string(), Value::Null).await;
            for _ in 0..20 {
                world.step().await;
            }
        }
        world.stop().await;
    }
}

pub(super) async fn after_counts_from_the_end(place: &Place) {
    let world = World::new(place).await;
    world.fixture.deploy("subject", WAITS).await;
    let row = world.make(Timing::After(hours(1)), Policy::default()).await;
    world.clock.advance(hours(1));
    world
        .until(row.id, |ticks| all(ticks, 1, TickState::Started))
        .await;
    world.clock.advance(hours(5));
    world.publish("go", "1", Value::Null).await;
    let ticks = world
        .until(row.id, |ticks| all(ticks, 1, TickState::Completed))
        .await;
    let ended = ticks[0].ended_at.expect("it ended");
    world.clock.advance(hours(1));
    let ticks = world.until(row.id, |ticks| ticks.len() == 2).await;
    assert_eq!(ticks[1].nominal, ended + hours(1));
}

pub(super) async fn events_start_executions_once_and_those_that_belong_together(place: &Place) {
    let world = World::new(place).await;
    world.fixture.deploy("subject", ECHO).await;
    let order = json!({ "order": { "from": "${ .data.order }" } });
    let on = json!({ "all": [
        { "with": { "type": "paid" }, "correlate": order },
        { "with": { "type": "sent" }, "correlate": order },
    ] });
    let row = world.make(Timing::On(on), Policy::default()).await;
    for (id, kind, order) in [
        ("1", "paid", 7),
        ("2", "sent", 8),
        ("1", "paid", 7),
        ("3", "sent", 7),
    ] {
        world.publish(kind, id, json!({ "order": order })).await;
    }
    let ticks = world
        .until(row.id, |ticks| all(ticks, 1, TickState::Completed))
        .await;
    let execution = world
        .fixture
        .end(ticks[0].execution.expect("an execution"))
        .await;
    let output = output(&execution);
    let ids = [&output["got"][0]["id"], &output["got"][1]["id"]];
    assert_eq!(ids, ["1", "3"], "the events are the input");
    world.publish("paid", "4", json!({ "order": 8 })).await;
    world
        .until(row.id, |ticks| all(ticks, 2, TickState::Completed))
        .await;
}

pub(super) async fn a_schedule_that_keeps_failing_pauses(place: &Place) {
    let world = World::new(place).await;
    let (handle, scope) = (&world.fixture.handle, &world.fixture.scope);
    let raise = "do: [{ fail: { raise: { error: { type: https://e.com/e, status: 500 } } } }]\n";
    world.fixture.deploy("subject", raise).await;
    let policy = Policy {
        pause_after_failures: Some(2),
        ..Policy::default()
    };
    let row = world.make(hourly(), policy).await;
    for count in 1..=2 {
        world.clock.advance(hours(1));
        world
            .until(row.id, |ticks| all(ticks, count, TickState::Faulted))
            .await;
    }
    let deadline = SystemClock.now() + PATIENCE;
    loop {
        let row = handle
            .schedule(scope, row.id)
            .await
            .expect("it answers")
            .expect("it is there");
        if let Some(pause) = row.paused {
            assert!(pause.by_failures);
            break;
        }
        assert!(SystemClock.now() < deadline, "it never paused");
        world.step().await;
    }
    handle
        .workflow_delete(scope, "test", "subject")
        .await
        .expect("it is deleted");
    let tick = handle
        .schedule_trigger(scope, row.id, None, None)
        .await
        .expect("it is made")
        .tick;
    assert_eq!(tick.state, TickState::Failed);
    let reason = tick.reason.expect("a reason");
    assert!(reason.contains("test/subject"), "{reason}");
}
