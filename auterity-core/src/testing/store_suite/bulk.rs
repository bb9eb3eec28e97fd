//! Operations on many executions.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::{at, execution, ok, scope, tenant, worker};
use crate::store::{BulkItem, BulkItems, BulkNext, BulkOutcome, BulkRow, BulkState, Store};
use crate::{Actor, BulkId, ExecutionId};

fn id(number: u128) -> BulkId {
    BulkId::from_uuid(Uuid::from_u128(0xb0_0000 + number))
}

/// An operation of the first tenant on so many executions, planned at a second.
fn operation(number: u128, total: u32) -> BulkRow {
    BulkRow {
        id: id(number),
        tenant: tenant(1),
        action: "\"cancel\"".into(),
        by: Actor::Host,
        reason: Some("because".to_owned()),
        filter: Some("status:waiting".to_owned()),
        rate: Some(20),
        state: BulkState::Planned,
        total,
        done: 0,
        refused: 0,
        created_at: at(i64::try_from(number).unwrap_or(0)),
        ended_at: None,
    }
}

async fn put(store: &Arc<dyn Store>, row: &BulkRow) -> bool {
    let ids: Vec<ExecutionId> = (1..=row.total.into()).map(execution).collect();
    ok(store.bulk_put(row, &ids, 3).await)
}

async fn turn(store: &Arc<dyn Store>, number: u128, from: BulkState, to: BulkState) -> bool {
    ok(store
        .bulk_turn(scope(1), id(number), (from, to), at(900))
        .await)
}

async fn claim(store: &Arc<dyn Store>, by: u128, now: i64) -> Option<BulkId> {
    let claimed = store.bulk_claim(worker(by), at(now), at(now + 60)).await;
    ok(claimed).map(|row| row.id)
}

async fn note(store: &Arc<dyn Store>, by: u128, items: &[BulkItem], next: BulkNext) -> bool {
    ok(store.bulk_note(id(1), worker(by), items, next).await)
}

async fn places(store: &Arc<dyn Store>, which: BulkItems, after: u32, limit: u32) -> Vec<u32> {
    let items = ok(store.bulk_items(id(1), which, after, limit).await);
    items.iter().map(|item| item.place).collect()
}

pub(super) async fn operations_are_kept_with_their_executions(store: Arc<dyn Store>) {
    let row = operation(1, 1_200);
    assert!(put(&store, &row).await);
    assert!(put(&store, &row).await, "a repetition is harmless");
    assert_eq!(Some(row), ok(store.bulk_fetch(scope(1), id(1)).await));
    assert_eq!(None, ok(store.bulk_fetch(scope(2), id(1)).await));
    assert_eq!(None, ok(store.bulk_fetch(scope(1), id(9)).await));
    let items = ok(store.bulk_items(id(1), BulkItems::All, 0, 2_000).await);
    let expected = (1..=1_200).map(|place| BulkItem {
        place,
        execution: execution(place.into()),
        outcome: None,
        detail: None,
    });
    assert_eq!(expected.collect::<Vec<_>>(), items);
    assert_eq!(
        vec![1_199, 1_200],
        places(&store, BulkItems::Open, 1_198, 9).await
    );
    assert_eq!(vec![5, 6], places(&store, BulkItems::All, 4, 2).await);

    // Without executions, too; and so many that wait, and no more.
    assert!(put(&store, &operation(2, 0)).await);
    assert!(put(&store, &operation(3, 1)).await);
    assert!(!put(&store, &operation(4, 1)).await);
    assert_eq!(None, ok(store.bulk_fetch(scope(1), id(4)).await));
    assert!(turn(&store, 3, BulkState::Planned, BulkState::Stopped).await);
    assert!(put(&store, &operation(4, 1)).await);

    let mut listed = Vec::new();
    let mut before = None;
    loop {
        let page = ok(store.bulk_list(scope(1), before, 3).await);
        listed.extend(page.items.iter().map(|row| row.id));
        before = page.items.last().map(|row| (row.created_at, row.id));
        if !page.more {
            break;
        }
    }
    assert_eq!(vec![id(4), id(3), id(2), id(1)], listed);
    assert!(
        ok(store.bulk_list(scope(2), None, 3).await)
            .items
            .is_empty()
    );
}

pub(super) async fn one_worker_works_an_operation_off(store: Arc<dyn Store>) {
    assert!(put(&store, &operation(1, 3)).await);
    assert_eq!(None, claim(&store, 1, 100).await, "it is only planned");
    let foreign = (BulkState::Planned, BulkState::Running);
    assert!(!ok(store.bulk_turn(scope(2), id(1), foreign, at(0)).await));
    assert!(turn(&store, 1, BulkState::Planned, BulkState::Running).await);
    assert!(!turn(&store, 1, BulkState::Planned, BulkState::Running).await);
    assert_eq!(Some(id(1)), claim(&store, 1, 100).await);
    assert_eq!(None, claim(&store, 2, 100).await);

    let item = |place: u32, outcome, detail: Option<&str>| BulkItem {
        place,
        execution: execution(place.into()),
        outcome: Some(outcome),
        detail: detail.map(str::to_owned),
    };
    let first = [
        item(1, BulkOutcome::Done, None),
        item(2, BulkOutcome::Refused, Some("it has ended")),
    ];
    assert!(note(&store, 1, &first, BulkNext::Keep(at(300))).await);
    let row = ok(store.bulk_fetch(scope(1), id(1)).await).expect("it is there");
    assert_eq!(
        (1, 1, BulkState::Running),
        (row.done, row.refused, row.state)
    );
    assert_eq!(vec![3], places(&store, BulkItems::Open, 0, 9).await);
    let refused = BulkItems::With(BulkOutcome::Refused);
    let refused = ok(store.bulk_items(id(1), refused, 0, 9).await);
    assert_eq!(first[1..], refused);
    assert_eq!(
        vec![1],
        places(&store, BulkItems::With(BulkOutcome::Done), 0, 9).await
    );

    // Another takes over when nothing was heard for long, and the first one sees that.
    assert_eq!(None, claim(&store, 2, 300).await);
    assert_eq!(Some(id(1)), claim(&store, 2, 301).await);
    assert!(!note(&store, 1, &first, BulkNext::Keep(at(900))).await);
    assert!(note(&store, 2, &[], BulkNext::Release).await);
    assert_eq!(Some(id(1)), claim(&store, 3, 302).await);
    let last = [item(3, BulkOutcome::Done, None)];
    assert!(note(&store, 3, &last, BulkNext::Keep(at(900))).await);
    assert!(note(&store, 3, &[], BulkNext::End(at(400))).await);
    let row = ok(store.bulk_fetch(scope(1), id(1)).await).expect("it is there");
    assert_eq!((2, 1, BulkState::Done), (row.done, row.refused, row.state));
    assert_eq!(Some(at(400)), row.ended_at);
    assert!(!note(&store, 3, &[], BulkNext::Keep(at(900))).await);
    assert_eq!(None, claim(&store, 3, 10_000).await);
}

pub(super) async fn stopped_operations_are_worked_off_no_more(store: Arc<dyn Store>) {
    assert!(put(&store, &operation(1, 2)).await);
    assert!(put(&store, &operation(2, 2)).await);
    for number in [1, 2] {
        assert!(turn(&store, number, BulkState::Planned, BulkState::Running).await);
    }
    assert_eq!(Some(id(1)), claim(&store, 1, 100).await, "the oldest first");
    assert_eq!(Some(id(2)), claim(&store, 1, 100).await);
    assert!(turn(&store, 1, BulkState::Running, BulkState::Stopped).await);
    assert!(!note(&store, 1, &[], BulkNext::Keep(at(900))).await);
    let row = ok(store.bulk_fetch(scope(1), id(1)).await).expect("it is there");
    assert_eq!(
        (BulkState::Stopped, Some(at(900))),
        (row.state, row.ended_at)
    );
    assert_eq!(None, claim(&store, 2, 150).await);
}

pub(super) async fn old_operations_are_forgotten(store: Arc<dyn Store>) {
    for number in 1..=3 {
        assert!(put(&store, &operation(number, 2)).await);
    }
    assert!(turn(&store, 1, BulkState::Planned, BulkState::Stopped).await);
    assert!(turn(&store, 2, BulkState::Planned, BulkState::Running).await);
    let there = async || {
        let page = ok(store.bulk_list(scope(1), None, 9).await);
        page.items.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let forget = async |planned: Timestamp, ended: Timestamp| {
        ok(store.bulk_forget(planned, ended).await);
    };
    forget(at(3), at(900)).await;
    assert_eq!(vec![id(3), id(2), id(1)], there().await);
    forget(at(4), at(900)).await;
    assert_eq!(vec![id(2), id(1)], there().await);
    forget(at(9_000), at(901)).await;
    assert_eq!(vec![id(2)], there().await, "what runs stays");
    assert!(places(&store, BulkItems::All, 0, 9).await.is_empty());
}
