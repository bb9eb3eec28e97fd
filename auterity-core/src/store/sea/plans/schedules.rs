//! Schedules: their reconciler and their lists.

use jiff::SignedDuration;
use sqlx::types::Uuid;

use super::{SeaStore, at, execution, tenant};
use crate::schedule::{Policy, Spec, Timing};
use crate::store::{
    ScheduleChange, ScheduleClaim, ScheduleEvent, ScheduleQuery, ScheduleRow, ScheduleStore as _,
    StartedTick, TickKind, TickRow, TickState,
};
use crate::{Actor, ScheduleId, Scope};

const SCHEDULES: u128 = 1_000;

fn schedule(number: u128) -> ScheduleRow {
    let due = Some(at(1_000 + number));
    ScheduleRow {
        id: ScheduleId::from_uuid(Uuid::from_u128(number)),
        tenant: tenant(number),
        key: format!("name:{number}"),
        name: format!("schedule {number}"),
        spec: Spec {
            namespace: "test".to_owned(),
            workflow: format!("flow-{}", number % 40),
            version: None,
            input: None,
            priority: 0,
            timing: Timing::Every(SignedDuration::from_hours(1)),
            policy: Policy::default(),
        },
        managed: false,
        backfill_of: None,
        revision: 1,
        paused: None,
        failures: 0,
        anchor: at(0),
        cursor: at(0),
        next: due,
        due,
        ticks: 0,
        watches: true,
        collecting: Vec::new(),
        claim: 0,
        created_at: at(0),
        updated_at: at(0),
    }
}

/// A few schedules of many ticks among many without.
pub(super) async fn fill_schedules(store: &SeaStore) {
    for number in 0..SCHEDULES {
        let put = store.schedule_put(&schedule(number), 1_000_000).await;
        put.expect("it puts");
    }
    for number in 1..=20 {
        let row = schedule(number);
        let starts = |sequence| sequence == 9 && number <= 4;
        let tick = |sequence| TickRow {
            schedule: row.id,
            identity: format!("t:{sequence}"),
            sequence,
            kind: TickKind::Time,
            nominal: at(0),
            state: if starts(sequence) {
                TickState::Started
            } else {
                TickState::Skipped
            },
            open: starts(sequence),
            execution: starts(sequence).then(|| execution(number)),
            reason: None,
            events: None,
            decided_at: at(0),
            ended_at: None,
        };
        let change = ScheduleChange {
            ticks: (1..=1_000).map(tick).collect(),
            row,
            consumed: Vec::new(),
            forget: None,
            holds: false,
            at: at(0),
        };
        let kept = store.schedule_commit(&[change]).await;
        assert_eq!(1, kept.expect("it commits").len());
    }
}

/// Many events that wait for one schedule.
pub(super) async fn fill_events(store: &SeaStore) {
    let id = schedule(500).id;
    let event = |number: u32| ScheduleEvent {
        schedule: id,
        id: id.event(&number.to_string()),
        payload: "{}".into(),
        at: at(2_000),
    };
    let events: Vec<_> = (0..2_000).map(event).collect();
    store.schedule_event_put(&events).await.expect("it puts");
}

/// Executes what the schedules' reconciler and lists ask again and again.
pub(super) async fn read_schedules(store: &SeaStore) {
    let scope = Scope::new(tenant(1), Actor::Host);
    let id = schedule(1).id;
    let changed = ScheduleRow {
        revision: 2,
        ..schedule(900)
    };
    assert!(
        store
            .schedule_update(&changed, 1)
            .await
            .expect("it updates")
    );
    let deleted = store.schedule_delete(&scope, schedule(901).id, None).await;
    assert!(deleted.expect("it deletes"));
    let event = ScheduleEvent {
        schedule: id,
        id: id.event("a"),
        payload: "{}".into(),
        at: at(0),
    };
    store.schedule_event_put(&[event]).await.expect("it puts");
    let claim = ScheduleClaim {
        now: at(1_002),
        hold: SignedDuration::from_secs(1),
        limit: 2,
        only: None,
    };
    let claimed = store.schedule_claim(claim).await.expect("it claims");
    assert_eq!(2, claimed.looks.len());
    let open: usize = claimed.looks.iter().map(|look| look.open.len()).sum();
    assert_eq!(1, open);
    let started = store.schedule_started(None, 10).await;
    let started = started.expect("it lists");
    assert_eq!(4, started.len());
    store
        .schedule_settle(
            at(0),
            &[StartedTick {
                ended: Some((TickState::Completed, None)),
                ..started[0].clone()
            }],
        )
        .await
        .expect("it settles");
    let all = ScheduleQuery {
        limit: 20,
        ..ScheduleQuery::default()
    };
    for query in [
        all.clone(),
        ScheduleQuery {
            workflow: Some(("test".to_owned(), "flow-1".to_owned())),
            after: Some(("schedule 1".to_owned(), id)),
            ..all.clone()
        },
        ScheduleQuery {
            backfills_of: Some(id),
            ..all
        },
    ] {
        let listed = store.schedule_list(&scope, &query).await;
        listed.expect("it lists");
    }
    let found = store.schedule_tick_find(&scope, id, "t:7").await;
    assert!(found.expect("it finds").is_some());
    let ticks = store.schedule_ticks(&scope, id, Some(500), 20).await;
    assert_eq!(20, ticks.expect("it lists").items.len());
}
