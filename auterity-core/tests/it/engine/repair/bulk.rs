//! The same done to many executions.

use std::sync::Arc;

use auterity_core::engine::{BulkAction, BulkOrder, Engine, Ports, Selection};
use auterity_core::store::{
    BulkItem, BulkItems, BulkOutcome, BulkRow, BulkState, Filter, MemoryStore, SeaOptions,
    SeaStore, Status, Store,
};
use auterity_core::{BulkId, ErrorKind, ExecutionId};
use serde_json::json;

use super::super::fixture::{definition, options};
use super::super::{Fixture, PATIENCE};

/// Waits for ever, unless it is to fail.
const WAITS: &str = "do:
- choose: { switch: [ { bad: { when: '${ .bad == true }', then: fail } }, { any: { then: rest } } ] }
- rest: { wait: { days: 30 }, then: end }
- fail: { raise: { error: { type: 'https://e.example/bad', status: 400, detail: '${ \"order \\(.n)\" }' } } }
";

async fn started(fixture: &Fixture, count: usize) -> Vec<ExecutionId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = fixture.start("subject", json!({})).await;
        fixture.until(id, |row| row.status == Status::Waiting).await;
        ids.push(id);
    }
    ids
}

fn order(fixture: &Fixture, filter: &str, action: BulkAction) -> BulkOrder {
    BulkOrder {
        selection: Selection::Filter {
            filter: fixture.handle.filter(filter).expect("a filter"),
            text: filter.to_owned(),
        },
        action,
        reason: Some("the bank is down".to_owned()),
        rate: None,
        idempotency_key: None,
    }
}

async fn ended(fixture: &Fixture, id: BulkId) -> BulkRow {
    let Fixture { handle, scope, .. } = fixture;
    let row = tokio::time::timeout(PATIENCE, async {
        loop {
            let row = handle.bulk(scope, id).await.expect("it is there");
            if row.ended_at.is_some() {
                return row;
            }
            tokio::task::yield_now().await;
        }
    });
    row.await.expect("it ends")
}

async fn items(fixture: &Fixture, id: BulkId, which: BulkItems) -> Vec<BulkItem> {
    let Fixture { handle, scope, .. } = fixture;
    let listed = handle.bulk_items(scope, id, which, (0, 1_000)).await;
    listed.expect("it lists")
}

#[tokio::test]
async fn selection_is_pinned_and_each_execution_has_an_outcome() {
    let fixture = Fixture::new().await;
    fixture.deploy("subject", WAITS).await;
    let ids = started(&fixture, 5).await;
    let Fixture { handle, scope, .. } = &fixture;
    let order = order(&fixture, "status:waiting", BulkAction::Cancel);
    let plan = handle.bulk_plan(scope, order).await.expect("planned");
    assert_eq!((plan.operation.total, plan.checked), (5, 5));
    assert_eq!(plan.sample, ids.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(plan.refused, []);
    assert_eq!(plan.operation.state, BulkState::Planned);

    // What comes later is not part of it, and what has ended meanwhile says so.
    let later = started(&fixture, 1).await[0];
    handle.terminate(scope, ids[1], None).await.expect("asked");
    fixture.end(ids[1]).await;
    let id = plan.operation.id;
    handle.bulk_start(scope, id).await.expect("it starts");
    let row = ended(&fixture, id).await;
    assert_eq!(
        (row.state, row.done, row.refused, row.total),
        (BulkState::Done, 4, 1, 5)
    );
    for (number, execution) in ids.iter().enumerate() {
        let row = fixture.end(*execution).await;
        assert_eq!(row.status, Status::Cancelled, "{number}");
    }
    let refused = items(&fixture, id, BulkItems::With(BulkOutcome::Refused)).await;
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].execution, ids[1]);
    assert!(
        refused[0]
            .detail
            .as_ref()
            .expect("a reason")
            .contains("cancelled")
    );
    let view = handle.execution(scope, later).await.expect("it answers");
    assert_eq!(view.expect("it is there").row.status, Status::Waiting);
    // Starting it once more is harmless.
    let again = handle.bulk_start(scope, id).await.expect("harmless");
    assert_eq!(again.state, BulkState::Done);
    // Histories say who and why.
    let events = fixture.events(ids[0]).await;
    let asked = events
        .iter()
        .find(|row| row.kind == "execution.cancel_requested");
    let order = auterity_core::engine::order_of(asked.expect("it was asked for"));
    let order = order.expect("an order");
    assert_eq!(order.reason.as_deref(), Some("the bank is down"));
    assert_eq!(order.by, *scope.actor());
}

#[tokio::test]
async fn plan_says_what_will_not_fit() {
    let fixture = Fixture::new().await;
    fixture.deploy("subject", WAITS).await;
    let waiting = started(&fixture, 2).await;
    for n in 0..3 {
        let id = fixture.start("subject", json!({"bad": true, "n": n})).await;
        assert_eq!(fixture.end(id).await.status, Status::Faulted);
    }
    let Fixture { handle, scope, .. } = &fixture;
    handle
        .suspend(scope, waiting[0], None)
        .await
        .expect("asked");
    for (action, refused) in [
        (BulkAction::Cancel, 3),
        (BulkAction::Terminate, 3),
        (BulkAction::Suspend, 3),
        (BulkAction::Resume, 4),
        (
            BulkAction::Retry {
                from_task: Some("/".to_owned()),
                version: None,
            },
            1,
        ),
        (
            BulkAction::Migrate {
                version: "1.0.0".to_owned(),
            },
            3,
        ),
        (
            BulkAction::Migrate {
                version: "9.0.0".to_owned(),
            },
            5,
        ),
    ] {
        let order = order(&fixture, "", action.clone());
        let plan = handle.bulk_plan(scope, order).await.expect("planned");
        assert_eq!(
            plan.refused.len(),
            refused,
            "{action:?}: {:?}",
            plan.refused
        );
        // The outcome is what the plan said.
        if matches!(action, BulkAction::Retry { .. }) {
            continue;
        }
        let stopped = handle.bulk_stop(scope, plan.operation.id).await;
        assert_eq!(stopped.expect("stopped").state, BulkState::Stopped);
        let late = handle.bulk_start(scope, plan.operation.id).await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn faulted_ones_go_on_under_another_version() {
    let fixture = Fixture::new().await;
    fixture.deploy("subject", WAITS).await;
    let mut ids = Vec::new();
    for n in 0..20 {
        let id = fixture.start("subject", json!({"bad": true, "n": n})).await;
        fixture.end(id).await;
        ids.push(id);
    }
    let Fixture { handle, scope, .. } = &fixture;
    let mended = WAITS.replace("raise: { error: { type: 'https://e.example/bad', status: 400, detail: '${ \"order \\(.n)\" }' } }", "set: { mended: true }");
    let text = definition("subject", &mended).replace("'1.0.0'", "'1.0.1'");
    handle.deploy(scope, &text).await.expect("it deploys");
    let faults = handle.faults(scope, &Filter::default(), 10).await;
    let groups = faults.expect("groups").groups;
    assert_eq!((groups.len(), groups[0].count), (1, 20));
    let order = BulkOrder {
        rate: Some(10_000),
        ..order(
            &fixture,
            &format!("fault:{}", groups[0].signature),
            BulkAction::Retry {
                from_task: None,
                version: Some("1.0.1".to_owned()),
            },
        )
    };
    let plan = handle.bulk_plan(scope, order).await.expect("planned");
    assert_eq!(
        (plan.operation.total, plan.refused.len()),
        (20, 0),
        "{:?}",
        plan.refused
    );
    handle
        .bulk_start(scope, plan.operation.id)
        .await
        .expect("it starts");
    let row = ended(&fixture, plan.operation.id).await;
    assert_eq!((row.done, row.refused), (20, 0));
    for id in ids {
        let row = fixture
            .until(id, |row| row.status == Status::Completed)
            .await;
        assert_eq!(row.workflow.version, "1.0.1");
    }
    let faults = handle.faults(scope, &Filter::default(), 10).await;
    assert_eq!(faults.expect("groups").groups, []);
}

#[tokio::test]
async fn operation_outlasts_the_engine_and_does_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("bulk.db").display());
    let store = SeaStore::open(&url, SeaOptions::default()).await;
    let store: Arc<dyn Store> = Arc::new(store.expect("it opens"));
    let fixture = Fixture::with(Ports::new(Arc::clone(&store)), options()).await;
    fixture.deploy("subject", WAITS).await;
    let mut ids = Vec::new();
    for n in 0..30 {
        let id = fixture.start("subject", json!({"bad": true, "n": n})).await;
        fixture.end(id).await;
        ids.push(id);
    }
    let Fixture { handle, scope, .. } = &fixture;
    let retry = BulkAction::Retry {
        from_task: Some("/".to_owned()),
        version: None,
    };
    let order = BulkOrder {
        rate: Some(20),
        ..order(&fixture, "status:faulted", retry)
    };
    let plan = handle.bulk_plan(scope, order).await.expect("planned");
    let id = plan.operation.id;
    handle.bulk_start(scope, id).await.expect("it starts");
    let half = tokio::time::timeout(PATIENCE, async {
        loop {
            let row = handle.bulk(scope, id).await.expect("it is there");
            if 0 < row.done {
                return row;
            }
            tokio::task::yield_now().await;
        }
    });
    let half = half.await.expect("it begins");
    assert_eq!(half.state, BulkState::Running);
    let scope = scope.clone();
    // Its outcomes are forgotten, as if a crash had come before they were noted.
    fixture.engine.stop(PATIENCE).await.expect("it stops");
    let half = store.bulk_fetch(&scope, id).await.expect("it answers");
    let half = half.expect("it is there");
    assert!(half.done < 30 && half.state == BulkState::Running);
    let done = BulkItems::With(BulkOutcome::Done);
    let done = store.bulk_items(id, done, 0, 100).await.expect("it lists");
    let undone: Vec<BulkItem> = done
        .into_iter()
        .map(|item| BulkItem {
            outcome: None,
            ..item
        })
        .collect();
    let nobody = auterity_core::WorkerId::from_uuid(uuid::Uuid::nil());
    let next = auterity_core::store::BulkNext::Release;
    store
        .bulk_note(id, nobody, &undone, next)
        .await
        .expect("it notes");

    let fixture = Fixture::with(Ports::new(store), options()).await;
    let row = ended(&fixture, id).await;
    assert_eq!((row.state, row.done, row.refused), (BulkState::Done, 30, 0));
    for id in ids {
        fixture.until(id, |row| row.status == Status::Faulted).await;
        let events = fixture.events(id).await;
        let retried = events.iter().filter(|row| row.kind == "execution.retried");
        assert_eq!(retried.count(), 1, "{id}");
    }
}

#[tokio::test]
async fn limits_and_keys_hold() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let engine = Engine::start_without_worker(options(), Ports::new(store)).expect("it starts");
    let (handle, scope) = (engine.handle(), super::super::fixture::scope(1));
    let order = |key: Option<&str>, rate| BulkOrder {
        selection: Selection::Ids(vec![ExecutionId::from_uuid(uuid::Uuid::nil()); 3]),
        action: BulkAction::Cancel,
        reason: None,
        rate,
        idempotency_key: key.map(str::to_owned),
    };
    for rate in [0, 10_001] {
        let refused = handle.bulk_plan(&scope, order(None, Some(rate))).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    }
    let first = handle.bulk_plan(&scope, order(Some("k"), Some(1))).await;
    let first = first.expect("planned");
    assert_eq!(first.operation.total, 1, "each execution counts once");
    assert_eq!(first.refused.len(), 1, "there is no such execution");
    let again = handle.bulk_plan(&scope, order(Some("k"), None)).await;
    assert_eq!(again.expect("found").operation, first.operation);
    let other = BulkOrder {
        action: BulkAction::Suspend,
        ..order(Some("k"), None)
    };
    let other = handle.bulk_plan(&scope, other).await;
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Conflict);
    for _ in 1..100 {
        let planned = handle.bulk_plan(&scope, order(None, None)).await;
        planned.expect("planned");
    }
    let full = handle.bulk_plan(&scope, order(None, None)).await;
    assert_eq!(full.unwrap_err().kind(), ErrorKind::Limit);
    let other = super::super::fixture::scope(2);
    let foreign = handle.bulk(&other, first.operation.id).await;
    assert_eq!(foreign.unwrap_err().kind(), ErrorKind::NotFound);
    let foreign = handle.bulk_start(&other, first.operation.id).await;
    assert_eq!(foreign.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(
        handle
            .bulks(&other, None, 10)
            .await
            .expect("none")
            .items
            .is_empty()
    );
    assert_eq!(
        handle
            .bulks(&scope, None, 10)
            .await
            .expect("ten")
            .items
            .len(),
        10
    );
}
