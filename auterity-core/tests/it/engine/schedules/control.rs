//! What people do to schedules.

use auterity_core::ErrorKind;
use auterity_core::clock::{Clock, SystemClock};
use auterity_core::engine::Backfill;
use auterity_core::schedule::{Overlap, Policy, Timing};
use auterity_core::store::{ScheduleQuery, TickKind, TickState};
use jiff::Timestamp;

use super::{ECHO, Place, World, all, hourly, hours, spec, start};
use crate::engine::{PATIENCE, definition};

pub(super) async fn pause_resume_trigger_and_edit_while_due(place: &Place) {
    let world = World::new(place).await;
    let (handle, scope) = (&world.fixture.handle, &world.fixture.scope);
    world.fixture.deploy("subject", ECHO).await;
    let row = world.make(hourly(), Policy::default()).await;
    let paused = handle
        .schedule_pause(scope, row.id, Some("holiday".to_owned()))
        .await;
    let paused = paused.expect("it pauses");
    assert_eq!((paused.next, paused.revision), (None, 2));
    world.clock.advance(hours(5));
    let tick = handle
        .schedule_trigger(scope, row.id, None, None)
        .await
        .expect("it is made")
        .tick;
    assert_eq!(
        (tick.kind, tick.nominal),
        (TickKind::Trigger, start() + hours(5))
    );
    world
        .until(row.id, |ticks| all(ticks, 1, TickState::Completed))
        .await;
    let resumed = handle
        .schedule_resume(scope, row.id)
        .await
        .expect("it resumes");
    let resumed_at = world.clock.now();
    assert!(
        resumed.next.is_some_and(|next| resumed_at < next),
        "what passed is not made up for"
    );
    let stale = handle
        .schedule_update(scope, row.id, 1, row.spec.clone())
        .await;
    assert!(
        stale.expect("it answers").is_none(),
        "a stale revision changes nothing"
    );
    let mut other = row.spec.clone();
    other.timing = Timing::Every(hours(24));
    let changed = handle
        .schedule_update(scope, row.id, resumed.revision, other)
        .await;
    let changed = changed.expect("it answers").expect("it is changed");
    assert_eq!(
        changed.next,
        Some(world.clock.now() + hours(24)),
        "from now on"
    );
    world.clock.advance(hours(23));
    for _ in 0..20 {
        world.step().await;
    }
    assert_eq!(world.ticks(row.id).await.len(), 1, "the old times are gone");
}

pub(super) async fn a_range_of_the_past_is_made_up_for_under_its_own_policy(place: &Place) {
    let world = World::new(place).await;
    let (handle, scope) = (&world.fixture.handle, &world.fixture.scope);
    world.fixture.deploy("subject", ECHO).await;
    let row = world.make(hourly(), Policy::default()).await;
    let range = Backfill {
        from: start() - hours(3),
        to: start(),
        overlap: Overlap::QueueAll,
    };
    let backfill = handle.schedule_backfill(scope, row.id, range, None).await;
    let backfill = backfill.expect("it is made").row;
    let ticks = world
        .until(backfill.id, |ticks| all(ticks, 4, TickState::Completed))
        .await;
    assert!(ticks.iter().all(|tick| tick.kind == TickKind::Backfill));
    let nominal: Vec<Timestamp> = ticks.iter().map(|tick| tick.nominal).collect();
    assert_eq!(
        nominal,
        [3, 2, 1, 0].map(|back| start() - hours(back)),
        "both ends count"
    );
    let deadline = SystemClock.now() + PATIENCE;
    loop {
        let fetched = handle.schedule(scope, backfill.id).await;
        let fetched = fetched.expect("it answers").expect("it is there");
        if (fetched.next, fetched.due) == (None, None) {
            break;
        }
        assert!(SystemClock.now() < deadline, "it is not done: {fetched:?}");
        world.step().await;
    }
    let query = ScheduleQuery {
        limit: 10,
        ..ScheduleQuery::default()
    };
    let listed = handle.schedules(scope, &query).await.expect("it lists");
    assert_eq!(
        listed.items.len(),
        1,
        "a backfill is no schedule of the list"
    );
    let future = Backfill {
        to: start() + hours(1_000),
        ..range
    };
    let refused = handle.schedule_backfill(scope, row.id, future, None).await;
    assert_eq!(refused.expect_err("the future").kind(), ErrorKind::Invalid);
}

pub(super) async fn definitions_bring_their_schedules(place: &Place) {
    let world = World::new(place).await;
    let (handle, scope) = (&world.fixture.handle, &world.fixture.scope);
    let text = |version: &str, schedule: &str| {
        let text = definition("subject", &format!("{schedule}{ECHO}"));
        text.replace("version: '1.0.0'", &format!("version: '{version}'"))
    };
    let query = ScheduleQuery {
        limit: 10,
        ..ScheduleQuery::default()
    };
    let deploy = |text: String| async move { handle.deploy(scope, &text).await.map(|_| ()) };
    let metadata = "  metadata: { schedule: { timeZone: Europe/Berlin, overlap: skip } }\n";
    let first = format!("{metadata}schedule: {{ cron: '0 9 * * *' }}\n");
    deploy(text("1.0.0", &first)).await.expect("it is deployed");
    let listed = handle
        .schedules(scope, &query)
        .await
        .expect("it lists")
        .items;
    let row = &listed[0].row;
    assert_eq!((listed.len(), &*row.name), (1, "test/subject (cron)"));
    assert_eq!(row.next, Some(start() + hours(8)));
    assert_eq!(row.spec.policy.overlap, Overlap::Skip);
    assert!(row.managed);
    let refused = handle
        .schedule_update(scope, row.id, row.revision, row.spec.clone())
        .await;
    assert_eq!(
        refused.expect_err("the definition owns it").kind(),
        ErrorKind::Conflict
    );
    handle
        .schedule_pause(scope, row.id, None)
        .await
        .expect("it pauses");
    deploy(text("1.1.0", "schedule: { cron: '0 10 * * *' }\n"))
        .await
        .expect("it is deployed");
    deploy(text("1.0.1", "schedule: { every: PT1H }\n"))
        .await
        .expect("it is deployed");
    let listed = handle
        .schedules(scope, &query)
        .await
        .expect("it lists")
        .items;
    assert_eq!(listed.len(), 1, "only the highest version counts");
    assert_eq!(listed[0].row.id, row.id);
    assert!(listed[0].row.paused.is_some(), "it stays paused");
    deploy(text("1.2.0", "")).await.expect("it is deployed");
    assert!(
        handle
            .schedules(scope, &query)
            .await
            .expect("it lists")
            .items
            .is_empty()
    );
}

pub(super) async fn an_idempotency_key_finds_what_the_first_call_made(place: &Place) {
    let world = World::new(place).await;
    let (handle, scope) = (&world.fixture.handle, &world.fixture.scope);
    world.fixture.deploy("subject", ECHO).await;
    let make = |name: &'static str, spec| handle.schedule_create(scope, name, spec, Some("key"));
    let first = make("one", spec(hourly(), Policy::default())).await;
    let row = first.expect("it is made").row;
    let again = make("one", spec(hourly(), Policy::default())).await;
    let again = again.expect("it is found");
    assert_eq!((again.row.id, again.existing), (row.id, true));
    let daily = spec(Timing::Every(hours(24)), Policy::default());
    let refused = make("one", daily).await.expect_err("another schedule");
    let named = refused.context().any(|(name, _)| name == "idempotency_key");
    assert!(
        refused.kind() == ErrorKind::Conflict && named,
        "{refused:?}"
    );

    let ask = || handle.schedule_trigger(scope, row.id, None, Some("key"));
    let (one, two) = tokio::join!(ask(), ask());
    let (one, two) = (one.expect("it is made"), two.expect("it is made"));
    assert_eq!(one.tick.sequence, two.tick.sequence);
    assert_ne!(one.existing, two.existing, "one of them made it");
    let ticks = world.until(row.id, |ticks| all(ticks, 1, TickState::Completed));
    assert_eq!(ticks.await.len(), 1);
    assert_eq!(world.executions().await.len(), 1);

    let mut range = Backfill {
        from: start() - hours(3),
        to: start(),
        overlap: Overlap::Allow,
    };
    let first = handle.schedule_backfill(scope, row.id, range, Some("key"));
    let first = first.await.expect("it is made");
    let again = handle.schedule_backfill(scope, row.id, range, Some("key"));
    let again = again.await.expect("it is found");
    assert_eq!((again.row.id, again.existing), (first.row.id, true));
    range.from += hours(1);
    let other = handle.schedule_backfill(scope, row.id, range, Some("key"));
    let refused = other.await.expect_err("another range");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
}
