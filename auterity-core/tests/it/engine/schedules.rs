//! Schedules with a clock that the test moves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use auterity_core::clock::{Clock, ManualClock, SystemClock};
use auterity_core::engine::{Options, Ports};
use auterity_core::schedule::{CatchUp, Overlap, Policy, Spec, Timing};
use auterity_core::store::{
    ExecutionQuery, ExecutionRow, MemoryStore, ScheduleClaim, ScheduleQuery, ScheduleRow, Status,
    Store, TickKind, TickRow, TickState,
};
use auterity_core::{ErrorKind, ScheduleId};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::fixture::{Fixture, PATIENCE, definition, options};

const ECHO: &str = "do: [{ say: { call: echo, with: { got: '${ . }' } } }]\n";
/// Ends when the event `go` comes.
const WAITS: &str = "do: [{ hear: { listen: { to: { one: { with: { type: go } } } } } }]\n";

fn start() -> Timestamp {
    "2026-03-02T00:00:00Z".parse().expect("a time")
}

struct World {
    fixture: Fixture,
    clock: Arc<ManualClock>,
}

impl World {
    async fn new() -> Self {
        Self::on(Arc::new(MemoryStore::new()), start(), options()).await
    }

    async fn on(store: Arc<dyn Store>, now: Timestamp, options: Options) -> Self {
        let clock = Arc::new(ManualClock::new(now));
        let ports = Ports {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..Ports::new(store)
        };
        let fixture = Fixture::with(ports, options).await;
        Self { fixture, clock }
    }

    async fn make(&self, timing: Timing, policy: Policy) -> ScheduleRow {
        let spec = spec(timing, policy);
        let handle = &self.fixture.handle;
        let made = handle.schedule_create(&self.fixture.scope, "nightly", spec, None);
        made.await.expect("it is made").row
    }

    /// Gives the ticks, the oldest first.
    async fn ticks(&self, id: ScheduleId) -> Vec<TickRow> {
        let handle = &self.fixture.handle;
        let listed = handle
            .schedule_ticks(&self.fixture.scope, id, None, 200)
            .await;
        let mut ticks = listed.expect("it lists").items;
        ticks.reverse();
        ticks
    }

    /// Moves the time on in small steps until the ticks are as wanted.
    async fn until(&self, id: ScheduleId, wanted: impl Fn(&[TickRow]) -> bool) -> Vec<TickRow> {
        let deadline = SystemClock.now() + PATIENCE;
        loop {
            let ticks = self.ticks(id).await;
            if wanted(&ticks) {
                return ticks;
            }
            assert!(SystemClock.now() < deadline, "never came: {ticks:#?}");
            self.clock.advance(SignedDuration::from_millis(20));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn executions(&self) -> Vec<ExecutionRow> {
        let query = ExecutionQuery {
            limit: 1_000,
            ..ExecutionQuery::default()
        };
        let listed = self
            .fixture
            .handle
            .executions(&self.fixture.scope, &query)
            .await;
        listed.expect("it lists").items
    }

    async fn publish(&self, kind: &str, id: &str, data: Value) {
        let event = json!({
            "specversion": "1.0", "source": "test", "id": id, "type": kind, "data": data,
        });
        let sent = self
            .fixture
            .handle
            .publish(&self.fixture.scope, &event)
            .await;
        sent.expect("it is sent");
    }
}

fn spec(timing: Timing, policy: Policy) -> Spec {
    Spec {
        namespace: "test".to_owned(),
        workflow: "subject".to_owned(),
        version: None,
        input: None,
        priority: 0,
        timing,
        policy,
    }
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

fn hourly() -> Timing {
    Timing::Every(hours(1))
}

fn states(ticks: &[TickRow]) -> Vec<TickState> {
    ticks.iter().map(|tick| tick.state).collect()
}

fn all(ticks: &[TickRow], count: usize, state: TickState) -> bool {
    ticks.len() == count && ticks.iter().all(|tick| tick.state == state)
}

#[tokio::test]
async fn cron_starts_executions_at_its_times_with_an_input_of_the_tick() {
    let world = World::new().await;
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
    let output = super::fixture::output(&execution);
    assert_eq!(
        output,
        json!({ "got": { "day": "2026-03-02", "by": "nightly" } })
    );
    assert_eq!(execution.attributes["schedule"], row.id.to_string());
    assert_eq!(execution.attributes["scheduled_at"], "2026-03-02T01:30:00Z");
}

#[tokio::test]
async fn ticks_missed_in_three_days_are_made_up_for_after_a_restart() {
    for (catch_up, overlap, expected) in [
        (CatchUp::None, Overlap::Allow, (0, 1)),
        (CatchUp::Last, Overlap::Skip, (1, 1)),
        (CatchUp::All, Overlap::QueueAll, (72, 0)),
        (CatchUp::Window(hours(6)), Overlap::QueueAll, (6, 1)),
    ] {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let policy = Policy {
            catch_up,
            overlap,
            ..Policy::default()
        };
        let before = World::on(Arc::clone(&store), start(), options()).await;
        before.fixture.deploy("subject", ECHO).await;
        let row = before.make(hourly(), policy).await;
        before
            .fixture
            .engine
            .stop(PATIENCE)
            .await
            .expect("it stops");
        let back = start() + hours(72) + SignedDuration::from_mins(5);
        let after = World::on(store, back, options()).await;
        let (completed, missed) = expected;
        let ticks = after
            .until(row.id, |ticks| {
                let count = |state| ticks.iter().filter(|tick| tick.state == state).count();
                count(TickState::Completed) == completed && count(TickState::Missed) == missed
            })
            .await;
        assert_eq!(ticks.len(), completed + missed, "{catch_up:?}: {ticks:?}");
        assert_eq!(after.executions().await.len(), completed, "{catch_up:?}");
    }
}

#[tokio::test]
async fn two_workers_never_make_a_tick_twice() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let named = |name: &str| Options {
        worker_name: name.to_owned(),
        ..options()
    };
    let one = World::on(Arc::clone(&store), start(), named("one")).await;
    let two = World::on(store, start(), named("two")).await;
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

#[tokio::test]
async fn a_crash_between_tick_and_start_loses_and_repeats_nothing() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let before = World::on(Arc::clone(&store), start(), options()).await;
    before.fixture.deploy("subject", ECHO).await;
    let row = before.make(hourly(), Policy::default()).await;
    before
        .fixture
        .engine
        .stop(PATIENCE)
        .await
        .expect("it stops");
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
        execution: Some(auterity_core::ExecutionId::of_tick(row.id, &identity, now)),
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
    let change = auterity_core::store::ScheduleChange {
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
    let after = World::on(store, now + SignedDuration::from_secs(31), options()).await;
    let ticks = after
        .until(row.id, |ticks| all(ticks, 1, TickState::Completed))
        .await;
    assert_eq!(ticks[0].execution, tick.execution, "the recorded one");
    assert_eq!(after.executions().await.len(), 1);
}

#[tokio::test]
async fn overlap_policies_with_an_execution_that_goes_on() {
    use TickState::{Cancelled, Completed, Queued, Skipped, Started};
    for (overlap, meanwhile, expected) in [
        (Overlap::Allow, vec![Started; 3], vec![Completed; 3]),
        (
            Overlap::Skip,
            vec![Started, Skipped, Skipped],
            vec![Completed, Skipped, Skipped],
        ),
        (
            Overlap::QueueOne,
            vec![Started, Queued, Skipped],
            vec![Completed, Completed, Skipped],
        ),
        (
            Overlap::QueueAll,
            vec![Started, Queued, Queued],
            vec![Completed; 3],
        ),
        (
            Overlap::Cancel,
            vec![Cancelled, Cancelled, Started],
            vec![Cancelled, Cancelled, Completed],
        ),
    ] {
        let world = World::new().await;
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
        let mut round = 0;
        let ended = |ticks: &[TickRow]| states(ticks) == expected;
        while !ended(&world.ticks(row.id).await) {
            round += 1;
            assert!(
                round < 50,
                "{overlap:?}: {:?}",
                states(&world.ticks(row.id).await)
            );
            world.publish("go", &round.to_string(), Value::Null).await;
            for _ in 0..20 {
                world.clock.advance(SignedDuration::from_millis(20));
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
}

#[tokio::test]
async fn after_counts_from_the_end() {
    let world = World::new().await;
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

#[tokio::test]
async fn events_start_executions_once_and_those_that_belong_together() {
    let world = World::new().await;
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
    let output = super::fixture::output(&execution);
    let ids = [&output["got"][0]["id"], &output["got"][1]["id"]];
    assert_eq!(ids, ["1", "3"], "the events are the input");
    world.publish("paid", "4", json!({ "order": 8 })).await;
    world
        .until(row.id, |ticks| all(ticks, 2, TickState::Completed))
        .await;
}

#[tokio::test]
async fn pause_resume_trigger_and_edit_while_due() {
    let world = World::new().await;
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
        .schedule_trigger(scope, row.id, None)
        .await
        .expect("it is made");
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
        world.clock.advance(SignedDuration::from_millis(20));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(world.ticks(row.id).await.len(), 1, "the old times are gone");
}

#[tokio::test]
async fn a_schedule_that_keeps_failing_pauses() {
    let world = World::new().await;
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
        world.clock.advance(SignedDuration::from_millis(20));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    handle
        .workflow_delete(scope, "test", "subject")
        .await
        .expect("it is deleted");
    let tick = handle
        .schedule_trigger(scope, row.id, None)
        .await
        .expect("it is made");
    assert_eq!(tick.state, TickState::Failed);
    let reason = tick.reason.expect("a reason");
    assert!(reason.contains("test/subject"), "{reason}");
}

#[tokio::test]
async fn a_range_of_the_past_is_made_up_for_under_its_own_policy() {
    let world = World::new().await;
    let (handle, scope) = (&world.fixture.handle, &world.fixture.scope);
    world.fixture.deploy("subject", ECHO).await;
    let row = world.make(hourly(), Policy::default()).await;
    let range = (start() - hours(3), start());
    let backfill = handle
        .schedule_backfill(scope, row.id, range, Overlap::QueueAll)
        .await;
    let backfill = backfill.expect("it is made");
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
    let done = handle
        .schedule(scope, backfill.id)
        .await
        .expect("it answers")
        .expect("it is there");
    assert_eq!((done.next, done.due), (None, None), "it is done");
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
    let future = (start(), start() + hours(1_000));
    let refused = handle
        .schedule_backfill(scope, row.id, future, Overlap::Allow)
        .await;
    assert_eq!(refused.expect_err("the future").kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn definitions_bring_their_schedules() {
    let world = World::new().await;
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

#[tokio::test]
async fn a_crowd_on_one_second_leaves_room_for_others() {
    const CROWD: usize = 600;
    let world = World::new().await;
    let (handle, scope) = (&world.fixture.handle, &world.fixture.scope);
    world.fixture.deploy("subject", ECHO).await;
    for number in 0..CROWD {
        let spec = spec(hourly(), Policy::default());
        let made = handle
            .schedule_create(scope, &format!("crowd {number}"), spec, None)
            .await;
        made.expect("it is made");
    }
    world.clock.advance(hours(1));
    let own = world.fixture.start("subject", json!({})).await;
    world.fixture.end(own).await;
    let deadline = SystemClock.now() + PATIENCE;
    loop {
        let query = ExecutionQuery {
            status: Some(Status::Completed),
            limit: 1_000,
            ..ExecutionQuery::default()
        };
        let ended = handle
            .executions(scope, &query)
            .await
            .expect("it lists")
            .items
            .len();
        if ended == CROWD + 1 {
            break;
        }
        assert!(SystemClock.now() < deadline, "only {ended} ended");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
