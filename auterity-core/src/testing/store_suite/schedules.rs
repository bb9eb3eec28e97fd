//! Schedules: kept, claimed, decided once, told about ends and events.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::{Life, at, completed, ok, scope, started, tenant};
use crate::schedule::{Overlap, Policy, Spec, Timing};
use crate::store::{
    Claimed, Look, Next, Pause, ScheduleChange, ScheduleClaim, ScheduleEvent, SchedulePut,
    ScheduleQuery, ScheduleRow, Store, Subscription, TickKind, TickRow, TickState,
};
use crate::{ExecutionId, ScheduleId};

const HOLD: SignedDuration = SignedDuration::from_secs(30);

fn id(number: u128) -> ScheduleId {
    ScheduleId::from_uuid(Uuid::from_u128(0x5c4e_0000 + number))
}

fn schedule(number: u128, due: i64) -> ScheduleRow {
    ScheduleRow {
        id: id(number),
        tenant: tenant(1),
        key: format!("name:{number}"),
        name: format!("schedule {number}"),
        spec: Spec {
            namespace: "suite".to_owned(),
            workflow: format!("flow-{}", number % 2),
            version: None,
            input: Some(json!({ "odd": "a\u{0} 'b' \"c\" ☃" })),
            priority: 3,
            timing: Timing::Every(SignedDuration::from_mins(5)),
            policy: Policy {
                overlap: Overlap::QueueAll,
                ..Policy::default()
            },
        },
        managed: false,
        backfill_of: None,
        revision: 1,
        paused: None,
        failures: 0,
        anchor: at(0),
        cursor: at(0),
        next: Some(at(due)),
        due: Some(at(due)),
        ticks: 0,
        watches: true,
        collecting: Vec::new(),
        claim: 0,
        created_at: at(0),
        updated_at: at(0),
    }
}

fn listening(number: u128, kind: &str) -> ScheduleRow {
    let mut row = schedule(number, 0);
    row.spec.timing = Timing::On(json!({ "one": { "with": { "type": kind } } }));
    row.due = None;
    row.next = None;
    row
}

fn tick(row: &ScheduleRow, sequence: u64, state: TickState) -> TickRow {
    let identity = format!("t:{sequence}");
    let open = matches!(
        state,
        TickState::Queued | TickState::Due | TickState::Started
    );
    TickRow {
        schedule: row.id,
        sequence,
        kind: TickKind::Time,
        nominal: at(i64::try_from(sequence).unwrap_or(0)),
        state,
        open,
        execution: open.then(|| ExecutionId::of_tick(row.id, &identity, at(0))),
        identity,
        reason: None,
        events: Some("[{\"a\":\"\\u0000\"}]".into()),
        decided_at: at(0),
        ended_at: None,
    }
}

async fn put(store: &Arc<dyn Store>, row: &ScheduleRow) {
    assert_eq!(
        SchedulePut::Created,
        ok(store.schedule_put(row, u32::MAX).await)
    );
}

async fn claim(store: &Arc<dyn Store>, now: Timestamp, limit: u32) -> Claimed {
    let request = ScheduleClaim {
        now,
        hold: HOLD,
        limit,
        only: None,
    };
    ok(store.schedule_claim(request).await)
}

async fn claim_only(store: &Arc<dyn Store>, number: u128) -> Look {
    let request = ScheduleClaim {
        now: at(0),
        hold: HOLD,
        limit: 1,
        only: Some(id(number)),
    };
    let claimed = ok(store.schedule_claim(request).await);
    claimed.looks.into_iter().next().expect("it is claimed")
}

fn change(row: &ScheduleRow, ticks: Vec<TickRow>) -> ScheduleChange {
    let mut row = row.clone();
    row.ticks = ticks.last().map_or(row.ticks, |tick| tick.sequence);
    ScheduleChange {
        row,
        ticks,
        consumed: Vec::new(),
        forget: None,
        holds: false,
        at: at(50),
    }
}

async fn commit(store: &Arc<dyn Store>, change: ScheduleChange) -> bool {
    let id = change.row.id;
    let kept = ok(store.schedule_commit(&[change]).await);
    kept == [id]
}

async fn ticks(store: &Arc<dyn Store>, number: u128) -> Vec<TickRow> {
    let listed = store.schedule_ticks(scope(1), id(number), None, 1_000);
    let mut ticks = ok(listed.await).items;
    ticks.reverse();
    ticks
}

async fn fetch(store: &Arc<dyn Store>, number: u128) -> ScheduleRow {
    let fetched = store.schedule_fetch(scope(1), id(number)).await;
    ok(fetched).expect("the schedule is there")
}

pub(super) async fn schedules_are_kept_changed_and_deleted(store: Arc<dyn Store>) {
    let mut row = schedule(1, 60);
    row.paused = Some(Pause {
        reason: Some("a ' reason".to_owned()),
        at: at(9),
        by_failures: true,
    });
    put(&store, &row).await;
    assert_eq!(row, fetch(&store, 1).await);
    let foreign = ok(store.schedule_fetch(scope(2), row.id).await);
    assert_eq!(foreign, None, "another tenant sees nothing");
    let mut same_key = schedule(2, 60);
    same_key.key = row.key.clone();
    let repeated = ok(store.schedule_put(&same_key, u32::MAX).await);
    assert_eq!(repeated, SchedulePut::Exists(row.id));
    assert_eq!(
        ok(store.schedule_put(&row, u32::MAX).await),
        SchedulePut::Exists(row.id)
    );
    let mut changed = row.clone();
    "another".clone_into(&mut changed.name);
    changed.revision = 2;
    changed.paused = None;
    assert!(
        !ok(store.schedule_update(&changed, 7).await),
        "a stale revision changes nothing"
    );
    assert!(ok(store.schedule_update(&changed, 1).await));
    let kept = fetch(&store, 1).await;
    assert_eq!((&*kept.name, kept.revision, kept.claim), ("another", 2, 1));
    let claimed = claim_only(&store, 1).await;
    assert!(
        commit(
            &store,
            change(&claimed.row, vec![tick(&row, 1, TickState::Due)])
        )
        .await
    );
    let mut backfill = schedule(3, 60);
    backfill.backfill_of = Some(row.id);
    put(&store, &backfill).await;
    assert!(!ok(store.schedule_delete(scope(2), row.id, None).await));
    assert!(!ok(store.schedule_delete(scope(1), row.id, Some(1)).await));
    assert!(ok(store.schedule_delete(scope(1), row.id, Some(2)).await));
    assert!(!ok(store.schedule_delete(scope(1), row.id, None).await));
    assert!(ticks(&store, 1).await.is_empty());
    let gone = ok(store.schedule_fetch(scope(1), backfill.id).await);
    assert_eq!(gone, None, "its backfills go with it");
}

pub(super) async fn a_tenant_has_so_many_schedules_and_no_more(store: Arc<dyn Store>) {
    let put = |row: ScheduleRow, most| {
        let store = Arc::clone(&store);
        async move { ok(store.schedule_put(&row, most).await) }
    };
    assert_eq!(put(schedule(1, 0), 2).await, SchedulePut::Created);
    assert_eq!(put(schedule(2, 0), 2).await, SchedulePut::Created);
    assert_eq!(put(schedule(3, 0), 2).await, SchedulePut::Full);
    let known = put(schedule(2, 0), 2).await;
    assert_eq!(known, SchedulePut::Exists(id(2)), "a repetition is found");
    let mut backfill = schedule(4, 0);
    backfill.backfill_of = Some(id(1));
    assert_eq!(put(backfill, 2).await, SchedulePut::Created);
    let mut foreign = schedule(5, 0);
    foreign.tenant = tenant(2);
    assert_eq!(put(foreign, 2).await, SchedulePut::Created);
    assert!(ok(store.schedule_delete(scope(1), id(1), None).await));
    assert_eq!(put(schedule(3, 0), 2).await, SchedulePut::Created);
}

pub(super) async fn due_schedules_are_claimed_once(store: Arc<dyn Store>) {
    for number in 0..40 {
        let due = i64::try_from(number).unwrap_or(0);
        put(&store, &schedule(number, due)).await;
    }
    let first = claim(&store, at(3), 2).await;
    let ids: Vec<ScheduleId> = first.looks.iter().map(|look| look.row.id).collect();
    assert_eq!(ids.len(), 2);
    assert!(
        ids.iter().all(|one| [id(0), id(1)].contains(one)),
        "the longest due: {ids:?}"
    );
    assert_eq!(first.next_due, Some(at(2)));
    let claims = (0..20).map(|_| claim(&store, at(29), 5));
    let mut seen = BTreeSet::new();
    for claimed in join_all(claims).await {
        for look in claimed.looks {
            assert!(seen.insert(look.row.id), "claimed twice: {}", look.row.id);
        }
    }
    // Claimers that met locked rows took fewer; the rest is there for the next.
    for _ in 0..20 {
        for look in claim(&store, at(29), 5).await.looks {
            assert!(seen.insert(look.row.id), "claimed twice: {}", look.row.id);
        }
    }
    assert_eq!(seen.len(), 28, "2 to 29, and not those of the future");
    let held = claim(&store, at(29) + HOLD, 100).await;
    assert!(28 <= held.looks.len(), "what was held comes back");
}

pub(super) async fn a_decision_counts_for_the_last_claim_only(store: Arc<dyn Store>) {
    put(&store, &schedule(1, 0)).await;
    let first = claim_only(&store, 1).await;
    let second = claim_only(&store, 1).await;
    assert_eq!(second.row.claim, first.row.claim + 1);
    let due = |row| tick(row, 1, TickState::Due);
    assert!(!commit(&store, change(&first.row, vec![due(&first.row)])).await);
    assert!(ticks(&store, 1).await.is_empty());
    assert!(commit(&store, change(&second.row, vec![due(&second.row)])).await);
    let mut edited = fetch(&store, 1).await;
    edited.revision = 2;
    assert!(ok(store.schedule_update(&edited, 1).await));
    let late = change(&second.row, vec![tick(&second.row, 2, TickState::Due)]);
    assert!(
        !commit(&store, late).await,
        "an edit takes it away from its worker"
    );
    let row = fetch(&store, 1).await;
    assert_eq!(row.ticks, 1, "an edit keeps the count of ticks");
    let look = claim_only(&store, 1).await;
    assert_eq!(
        look.open,
        [due(&row)],
        "what was decided before is still there"
    );
}

pub(super) async fn a_tick_happens_once(store: Arc<dyn Store>) {
    put(&store, &schedule(1, 0)).await;
    let look = claim_only(&store, 1).await;
    let first = tick(&look.row, 1, TickState::Due);
    assert!(commit(&store, change(&look.row, vec![first.clone()])).await);
    let look = claim_only(&store, 1).await;
    let again = TickRow {
        sequence: 2,
        ..first.clone()
    };
    let other = tick(&look.row, 3, TickState::Queued);
    assert!(commit(&store, change(&look.row, vec![again, other.clone()])).await);
    assert_eq!(ticks(&store, 1).await, [first.clone(), other.clone()]);
    for (number, identity, found) in [(1, "t:1", Some(&first)), (1, "t:9", None), (2, "t:1", None)]
    {
        let tick = store.schedule_tick_find(scope(number), id(1), identity);
        assert_eq!(ok(tick.await).as_ref(), found, "{identity}");
    }
    let look = claim_only(&store, 1).await;
    let begun = TickRow {
        state: TickState::Started,
        ..first
    };
    assert!(commit(&store, change(&look.row, vec![begun.clone()])).await);
    let look = claim_only(&store, 1).await;
    assert_eq!(
        look.open,
        [other, begun],
        "those that wait come before the started"
    );
}

pub(super) async fn ends_of_executions_are_noted(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let ids: Vec<ExecutionId> = (1..=3).map(super::execution).collect();
    life.record(&[started(1, Next::Owned), started(2, Next::Owned)])
        .await;
    for (number, watches) in [(1, true), (2, false)] {
        let mut row = schedule(number, 0);
        row.watches = watches;
        put(&store, &row).await;
        let look = claim_only(&store, number).await;
        let of_execution = |sequence: u64, execution| TickRow {
            execution: Some(execution),
            ..tick(&row, sequence, TickState::Started)
        };
        let begun = match number {
            // The third execution is not there: it was kept once.
            1 => vec![of_execution(1, ids[0]), of_execution(2, ids[2])],
            _ => vec![of_execution(1, ids[1])],
        };
        let mut decided = change(&look.row, begun);
        decided.row.due = None;
        assert!(commit(&store, decided).await);
    }
    let running = ok(store.schedule_started(None, 100).await);
    let ended: Vec<bool> = running.iter().map(|tick| tick.ended.is_some()).collect();
    assert_eq!(
        ended,
        [false, false, true],
        "in the order of the executions"
    );
    assert_eq!(running[2].ended, Some((TickState::Lost, None)));
    let after = ok(store.schedule_started(Some(ids[0]), 1).await);
    assert_eq!(after[0].execution, ids[1]);
    let mut ends = [
        super::entry(1, 2, completed()),
        super::entry(2, 2, completed()),
    ];
    ends[1].events = vec![super::event(2)];
    life.record(&ends).await;
    let noted = ok(store.schedule_started(None, 100).await);
    assert_eq!(
        noted[0].ended,
        Some((TickState::Completed, Some(at(9_000))))
    );
    ok(store.schedule_settle(at(77), &noted).await);
    ok(store.schedule_settle(at(78), &noted).await);
    assert!(ok(store.schedule_started(None, 100).await).is_empty());
    let watching = ticks(&store, 1).await;
    assert_eq!(
        (watching[0].state, watching[0].open),
        (TickState::Completed, true)
    );
    assert_eq!(
        (watching[1].state, watching[1].ended_at),
        (TickState::Lost, Some(at(77)))
    );
    assert_eq!(
        fetch(&store, 1).await.due,
        Some(at(77)),
        "it is to look at that"
    );
    let other = ticks(&store, 2).await;
    assert_eq!(other[0].state, TickState::Completed);
    assert_eq!(
        fetch(&store, 2).await.due,
        None,
        "nobody waits for that end"
    );
}

pub(super) async fn what_happens_during_a_decision_is_not_lost(store: Arc<dyn Store>) {
    put(&store, &listening(1, "paid")).await;
    let look = claim_only(&store, 1).await;
    let event = ScheduleEvent {
        schedule: id(1),
        id: id(1).event("a"),
        payload: "{\"odd\":\"\\u0000 ☃\"}".into(),
        at: at(40),
    };
    ok(store.schedule_event_put(std::slice::from_ref(&event)).await);
    let mut decided = change(&look.row, Vec::new());
    decided.row.due = None;
    decided.holds = true;
    assert!(commit(&store, decided.clone()).await);
    assert_eq!(fetch(&store, 1).await.due, None, "the worker holds it");
    decided.holds = false;
    assert!(commit(&store, decided).await);
    assert_eq!(
        fetch(&store, 1).await.due,
        Some(at(50)),
        "the event is to be looked at"
    );
    let look = claim_only(&store, 1).await;
    assert_eq!(look.events, std::slice::from_ref(&event));
    let mut decided = change(&look.row, Vec::new());
    decided.consumed = vec![event.id];
    decided.row.due = None;
    assert!(commit(&store, decided).await);
    ok(store.schedule_event_put(std::slice::from_ref(&event)).await);
    assert_eq!(
        fetch(&store, 1).await.due,
        None,
        "a repetition is recognised"
    );
    assert!(claim_only(&store, 1).await.events.is_empty());
    let mut paused = fetch(&store, 1).await;
    paused.paused = Some(Pause {
        reason: None,
        at: at(60),
        by_failures: false,
    });
    assert!(ok(store.schedule_update(&paused, 1).await));
    let late = ScheduleEvent {
        id: id(1).event("b"),
        ..event
    };
    ok(store.schedule_event_put(&[late]).await);
    assert!(
        claim_only(&store, 1).await.events.is_empty(),
        "it stands still"
    );
}

pub(super) async fn schedules_subscribe_like_executions(store: Arc<dyn Store>) {
    put(&store, &listening(1, "paid")).await;
    put(&store, &listening(2, "sent")).await;
    let matched = |kind: &'static str| {
        let store = Arc::clone(&store);
        async move {
            let found = ok(store.subscription_match(tenant(1), kind).await);
            let schedules = found.into_iter().map(|one| {
                assert_eq!(one.effect, Subscription::OF_SCHEDULE);
                ScheduleId::from_uuid(one.execution.as_uuid())
            });
            schedules.collect::<Vec<_>>()
        }
    };
    assert_eq!(matched("paid").await, [id(1)]);
    assert!(ok(store.subscription_match(tenant(2), "paid").await).is_empty());
    let mut changed = listening(1, "sent");
    changed.revision = 2;
    assert!(ok(store.schedule_update(&changed, 1).await));
    assert!(matched("paid").await.is_empty());
    let both: BTreeSet<_> = matched("sent").await.into_iter().collect();
    assert_eq!(both, BTreeSet::from([id(1), id(2)]));
    let mut timed = schedule(1, 0);
    timed.revision = 3;
    assert!(ok(store.schedule_update(&timed, 2).await));
    assert_eq!(matched("sent").await, [id(2)]);
    assert!(ok(store.schedule_delete(scope(1), id(2), None).await));
    assert!(matched("sent").await.is_empty());
}

pub(super) async fn schedules_are_listed_in_pages(store: Arc<dyn Store>) {
    for number in 1..=5 {
        put(&store, &schedule(number, 0)).await;
    }
    let mut backfill = schedule(9, 0);
    backfill.backfill_of = Some(id(1));
    put(&store, &backfill).await;
    let look = claim_only(&store, 2).await;
    let two = vec![
        tick(&look.row, 1, TickState::Skipped),
        tick(&look.row, 2, TickState::Due),
    ];
    assert!(commit(&store, change(&look.row, two)).await);
    let mut query = ScheduleQuery {
        limit: 2,
        ..ScheduleQuery::default()
    };
    let first = ok(store.schedule_list(scope(1), &query).await);
    let numbers: Vec<ScheduleId> = first.items.iter().map(|one| one.row.id).collect();
    assert_eq!((numbers, first.more), (vec![id(1), id(2)], true));
    assert_eq!(first.items[0].last, None);
    let last = first.items[1].last.clone().expect("the last tick");
    assert_eq!((last.sequence, last.state), (2, TickState::Due));
    query.after = Some(("schedule 4".to_owned(), id(4)));
    let rest = ok(store.schedule_list(scope(1), &query).await);
    assert_eq!((rest.items.len(), rest.more), (1, false));
    query.after = None;
    query.workflow = Some(("suite".to_owned(), "flow-1".to_owned()));
    query.limit = 10;
    assert_eq!(
        ok(store.schedule_list(scope(1), &query).await).items.len(),
        3
    );
    assert!(
        ok(store.schedule_list(scope(2), &query).await)
            .items
            .is_empty()
    );
    let backfills = ScheduleQuery {
        backfills_of: Some(id(1)),
        limit: 10,
        ..ScheduleQuery::default()
    };
    let listed = ok(store.schedule_list(scope(1), &backfills).await);
    assert_eq!(listed.items[0].row.id, id(9));
    let page = ok(store.schedule_ticks(scope(1), id(2), Some(2), 1).await);
    assert_eq!((page.items[0].sequence, page.more), (1, false));
    let foreign = ok(store.schedule_ticks(scope(2), id(2), None, 10).await);
    assert!(foreign.items.is_empty(), "another tenant sees nothing");
}

pub(super) async fn old_ticks_are_forgotten(store: Arc<dyn Store>) {
    put(&store, &schedule(1, 0)).await;
    let look = claim_only(&store, 1).await;
    let many = (1..=20).map(|sequence| {
        let state = match sequence {
            3 => TickState::Started,
            _ => TickState::Skipped,
        };
        tick(&look.row, sequence, state)
    });
    assert!(commit(&store, change(&look.row, many.collect())).await);
    let look = claim_only(&store, 1).await;
    let mut decided = change(&look.row, vec![tick(&look.row, 21, TickState::Skipped)]);
    decided.forget = Some(15);
    assert!(commit(&store, decided).await);
    let left: Vec<u64> = ticks(&store, 1)
        .await
        .iter()
        .map(|tick| tick.sequence)
        .collect();
    assert_eq!(left, [3, 16, 17, 18, 19, 20, 21], "an open one stays");
}
