//! Times of the calendar: met, missed, met by two workers, cut off by a crash.

use std::collections::BTreeSet;
use std::time::Duration;

use auterity_core::ExecutionId;
use auterity_core::clock::{Clock, SystemClock};
use auterity_core::engine::Options;
use auterity_core::schedule::{CatchUp, Overlap, Policy, Timing};
use auterity_core::store::{ScheduleChange, ScheduleClaim, TickKind, TickRow, TickState};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{ECHO, Place, World, all, hourly, hours, spec, start};
use crate::engine::{PATIENCE, options, output, scope};

pub(super) async fn cron_starts_executions_at_its_times_with_an_input_of_the_tick(place: &Place) {
    let world = World::new(place).await;
    world.fixture.deploy("subject", ECHO).await;
    let mut spec = spec(
        Timing::Cron {
            expression: "30 2 * * *".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
        },
        Policy::default(),
    );
    spec.input = Some(json!({ "day": "${ .scheduled_at[:10] }", "by": "${ .schedule.name }" }));
    let handle = &world.fixture.handle;
    let made = handle.schedule_create(&world.fixture.scope, "nightly", spec, Some("key"));
    let row = made.await.expect("it is made").row;
    assert_eq!(row.next, Some(start() + SignedDuration::from_mins(90)));
    world.clock.advance(SignedDuration::from_mins(90));
    let ticks = world
        .until(row.id, |ticks| all(ticks, 1, TickState::Completed))
        .await;
    let id = ticks[0].execution.expect("an execution");
    let execution = world.fixture.end(id).await;
    assert_eq!(
        output(&execution),
        json!({ "got": { "day": "2026-03-02", "by": "nightly" } })
    );
    assert_eq!(execution.attributes["schedule"], row.id.to_string());
    assert_eq!(execution.attributes["scheduled_at"], "2026-03-02T01:30:00Z");
}

pub(super) async fn ticks_missed_in_three_days_are_made_up_for_after_a_restart(place: &Place) {
    for (round, catch_up, overlap, expected) in [
        (1, CatchUp::None, Overlap::Allow, (0, 1)),
        (2, CatchUp::Last, Overlap::Skip, (1, 1)),
        (3, CatchUp::All, Overlap::QueueAll, (72, 0)),
        (4, CatchUp::Window(hours(6)), Overlap::QueueAll, (6, 1)),
    ] {
        let policy = Policy {
            catch_up,
            overlap,
            ..Policy::default()
        };
        let before = World::new(place).await.of_tenant(scope(round));
        before.fixture.deploy("subject", ECHO).await;
        let row = before.make(hourly(), policy).await;
        before.stop().await;
        let back = start() + hours(72) + SignedDuration::from_mins(5);
        let after = World::on(place, back, options()).await;
        let after = after.of_tenant(scope(round));
        let (completed, missed) = expected;
        let ticks = after
            .until(row.id, |ticks| {
                let count = |state| ticks.iter().filter(|tick| tick.state == state).count();
                count(TickState::Completed) == completed && count(TickState::Missed) == missed
            })
            .await;
        assert_eq!(ticks.len(), completed + missed, "{catch_up:?}: {ticks:?}");
        assert_eq!(after.executions().await.len(), completed, "{catch_up:?}");
        // The rest of its times are nobody's business any more.
        let (handle, scope) = (&after.fixture.handle, &after.fixture.scope);
        let deleted = handle.schedule_delete(scope, row.id, None).await;
        assert!(deleted.expect("it is deleted"));
        after.stop().await;
    }
}

pub(super) async fn two_workers_never_make_a_tick_twice(place: &Place) {
    let named = |name: &str| Options {
        worker_name: name.to_owned(),
        ..options()
    };
    let one = World::on(place, start(), named("one")).await;
    let two = World::on(place, start(), named("two")).await;
    one.fixture.deploy("subject", ECHO).await;
    let row = one
        .make(
            Timing::Every(SignedDuration::from_secs(1)),
            Policy::default(),
        )
        .await;
    let deadline = SystemClock.now() + PATIENCE;
    while one.ticks(row.id).await.len() < 40 {
        assert!(SystemClock.now() < deadline, "the ticks never came");
        for world in [&one, &two] {
            world.clock.advance(SignedDuration::from_millis(250));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let ticks = one.until(row.id, |ticks| {
        ticks
            .iter()
            .take(40)
            .all(|tick| tick.state == TickState::Completed)
    });
    let ticks = ticks.await;
    let nominal: BTreeSet<Timestamp> = ticks.iter().map(|tick| tick.nominal).collect();
    assert_eq!(nominal.len(), ticks.len(), "each time once");
    let scheduled = one.executions().await.into_iter();
    let scheduled: Vec<String> = scheduled
        .map(|row| row.attributes["scheduled_at"].clone())
        .collect();
    let distinct: BTreeSet<&String> = scheduled.iter().collect();
    assert_eq!(distinct.len(), scheduled.len(), "one execution each");
}

pub(super) async fn a_crash_between_tick_and_start_loses_and_repeats_nothing(place: &Place) {
    let before = World::new(place).await;
    before.fixture.deploy("subject", ECHO).await;
    let row = before.make(hourly(), Policy::default()).await;
    before.stop().await;
    let store = place.open().await;
    // What a worker records before it starts anything; then it is gone.
    let now = start() + hours(1);
    let claim = ScheduleClaim {
        now,
        hold: SignedDuration::from_secs(30),
        limit: 1,
        only: None,
    };
    let look = store
        .schedule_claim(claim)
        .await
        .expect("it claims")
        .looks
        .remove(0);
    let identity = format!("t:{}", now.as_microsecond());
    let tick = TickRow {
        schedule: row.id,
        execution: Some(ExecutionId::of_tick(row.id, &identity, now)),
        identity,
        sequence: 1,
        kind: TickKind::Time,
        nominal: now,
        state: TickState::Due,
        open: true,
        reason: None,
        events: None,
        decided_at: now,
        ended_at: None,
    };
    let mut decided = look.row.clone();
    (decided.cursor, decided.ticks) = (now, 1);
    decided.due = Some(now + SignedDuration::from_secs(30));
    let change = ScheduleChange {
        row: decided,
        ticks: vec![tick.clone()],
        consumed: Vec::new(),
        forget: None,
        holds: true,
        at: now,
    };
    assert_eq!(
        store.schedule_commit(&[change]).await.expect("it commits"),
        [row.id]
    );
    let after = World::on(place, now + SignedDuration::from_secs(31), options()).await;
    let ticks = after
        .until(row.id, |ticks| all(ticks, 1, TickState::Completed))
        .await;
    assert_eq!(ticks[0].execution, tick.execution, "the recorded one");
    assert_eq!(after.executions().await.len(), 1);
}
