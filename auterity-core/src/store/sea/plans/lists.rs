//! Lists of executions, and the groups of faults.

use jiff::Timestamp;
use sqlx::types::Uuid;

use super::{SeaStore, at, execution, start, tenant};
use crate::store::{
    BulkItem, BulkItems, BulkNext, BulkOutcome, BulkRow, BulkState, BulkStore as _, Ended, Entry,
    ExecutionQuery, FaultSignature, Filter, Next, Status, Store as _,
};
use crate::{Actor, BulkId, Scope, WorkerId};

/// Executions that ended badly, of every third second.
pub(super) async fn fill_ends(store: &SeaStore) {
    let ended = |number: u128| {
        let mut entry = start(2_000_000 + number);
        (entry.events, entry.messages, entry.subscribe) = Default::default();
        entry.snapshot = None;
        if let Some(start) = &mut entry.start {
            start.workflow.name = format!("ended-{}", number % 10);
            start.at = at(number);
        }
        entry.next = Next::Ended(Ended {
            status: match number % 3 {
                0 => Status::Cancelled,
                _ => Status::Faulted,
            },
            output: None,
            error: Some("{}".into()),
            fault: (!number.is_multiple_of(3))
                .then(|| FaultSignature::from_bits(i64::try_from(number % 50).unwrap_or(0))),
            at: at(number),
        });
        entry
    };
    for some in 0..8 {
        let entries: Vec<Entry> = (some * 500..(some + 1) * 500).map(ended).collect();
        let appended = store.journal_append(None, &entries).await;
        assert_eq!(entries.len(), appended.expect("it appends").len());
    }
}

/// Lists executions with each filter that has an index of its own.
pub(super) async fn read_lists(store: &SeaStore, scope: &Scope) {
    let mut found = Vec::new();
    for (text, before) in [
        ("", None),
        ("workflow:test/flow-7", Some((at(2_000), execution(2_000)))),
        ("attribute.number:7", None),
        ("status:waiting", None),
        ("status:suspended", None),
        ("status:running", None),
        (
            "workflow:test/flow-7 -version:2.0.0 started<-1h -attribute.number:8,9 -status:completed",
            None,
        ),
        ("attribute.number:7 -status:faulted ended>-1h", None),
        ("status:faulted", Some((at(2_001), execution(2_001)))),
        ("status:faulted,cancelled", None),
        ("fault:0000000000000007", None),
        ("fault:0000000000000001 -fault:0000000000000002", None),
    ] {
        let now = Timestamp::from_second(2_000_000_000).expect("a time in range");
        let query = ExecutionQuery {
            filter: Filter::parse(text, now).expect("a filter"),
            before,
            limit: 20,
        };
        let listed = store.execution_list(scope, &query).await;
        found.push(listed.expect("it lists").items.len());
    }
    assert_eq!([20, 20, 1, 0, 20, 0, 20, 0, 20, 20, 20, 0], found[..]);
    bulk(store, scope).await;
    for text in ["", "workflow:test/ended-7 started>-1w"] {
        let filter = Filter::parse(text, at(0)).expect("a filter");
        let groups = store.fault_groups(scope, &filter, 20).await;
        assert!(!groups.expect("it groups").groups.is_empty());
    }
}

/// Bulk operations of all tenants.
pub(super) async fn fill_bulk(store: &SeaStore) {
    let row = |number: u128, whose: u128| BulkRow {
        id: BulkId::from_uuid(Uuid::from_u128(number)),
        tenant: tenant(whose),
        action: "\"cancel\"".into(),
        by: Actor::Host,
        reason: None,
        filter: None,
        rate: None,
        state: BulkState::Planned,
        total: 0,
        done: 0,
        refused: 0,
        created_at: at(number),
        ended_at: None,
    };
    for number in 0..1_000 {
        let ids = [execution(1), execution(2), execution(3)];
        let put = store.bulk_put(&row(number, number), &ids, 1_000_000).await;
        assert!(put.expect("it puts"));
    }
}

/// Executes what workers and people ask about bulk operations.
async fn bulk(store: &SeaStore, scope: &Scope) {
    let last = BulkId::from_uuid(Uuid::from_u128(997));
    let turn = (BulkState::Planned, BulkState::Running);
    let turned = store.bulk_turn(scope, last, turn, at(0)).await;
    assert!(turned.expect("it turns"));
    let page = store.bulk_list(scope, Some((at(900), last)), 20).await;
    assert_eq!(20, page.expect("it lists").items.len());
    let worker = WorkerId::from_uuid(Uuid::from_u128(1));
    let claimed = store.bulk_claim(worker, at(0), at(60)).await;
    assert_eq!(Some(last), claimed.expect("it claims").map(|row| row.id));
    for which in [BulkItems::Open, BulkItems::With(BulkOutcome::Refused)] {
        let items = store.bulk_items(last, which, 0, 50).await;
        items.expect("it lists");
    }
    let item = BulkItem {
        place: 1,
        execution: execution(1),
        outcome: Some(BulkOutcome::Done),
        detail: None,
    };
    let noted = store
        .bulk_note(last, worker, &[item], BulkNext::End(at(1)))
        .await;
    assert!(noted.expect("it notes"));
    store.bulk_forget(at(0), at(0)).await.expect("it forgets");
}
