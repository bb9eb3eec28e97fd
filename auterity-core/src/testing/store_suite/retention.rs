//! What need not be kept any longer.

use std::sync::Arc;

use super::definitions::row;
use super::{Life, at, completed, entry, execution, ok, parked, scope, started, tenant};
use crate::store::{Ended, ExecutionQuery, FlowPut, Next, Status, Store, WorkflowKey};

fn key(number: u128) -> WorkflowKey {
    WorkflowKey {
        tenant: tenant(number),
        namespace: "suite".to_owned(),
        name: "order".to_owned(),
    }
}

pub(super) async fn ended_executions_are_removed_with_all_that_is_theirs(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let faulted = Next::Ended(Ended {
        status: Status::Faulted,
        output: None,
        error: Some("{}".into()),
        fault: None,
        at: at(8_000),
    });
    let mut keyed = started(1, Next::Owned);
    if let Some(start) = &mut keyed.start {
        start.idempotency_key = Some("once".to_owned());
        start.attributes = [("customer".to_owned(), "a\"b\u{e9}".to_owned())].into();
    }
    let others = [
        started(2, Next::Owned),
        started(3, parked(None)),
        started(4, Next::Owned),
    ];
    life.record(&[vec![keyed.clone()], others.to_vec()].concat())
        .await;
    life.record(&[entry(1, 2, completed()), entry(2, 2, faulted)])
        .await;

    let remove = async |before: i64, limit: u32| {
        ok(store.retention_remove(&key(1), at(before), limit).await)
    };
    assert_eq!(0, remove(8_000, 10).await, "what ended then is kept");
    assert_eq!(1, remove(9_000, 10).await);
    assert_eq!(0, life.journal_length(2).await);
    assert_eq!(2, life.journal_length(1).await);
    let foreign = WorkflowKey {
        name: "other".to_owned(),
        ..key(1)
    };
    for other in [key(2), foreign] {
        assert_eq!(0, ok(store.retention_remove(&other, at(99_000), 10).await));
    }
    assert_eq!(1, remove(99_000, 1).await);
    assert_eq!(0, remove(99_000, 1).await, "the others have not ended");
    for (number, left) in [(1, false), (2, false), (3, true), (4, true)] {
        let fetched = store.execution_fetch(scope(1), execution(number));
        assert_eq!(left, ok(fetched.await).is_some(), "execution {number}");
    }
    let query = ExecutionQuery {
        limit: 10,
        ..ExecutionQuery::default()
    };
    let all = ok(store.execution_list(scope(1), &query).await);
    assert_eq!(2, all.items.len());
    assert_eq!(None, ok(store.execution_keyed(scope(1), "once").await));

    // The key may be used again, and what was removed leaves no traces to stumble over.
    life.record(&[keyed]).await;
    assert_eq!(1, life.journal_length(1).await);
}

pub(super) async fn workflows_are_listed_with_their_ages(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    for (number, name) in [(1_usize, "order"), (1, "later"), (2, "order")] {
        ok(store
            .definition_put(scope(number), row(name, "1.0.0"))
            .await);
    }
    life.record(&[started(5, parked(None)), started(4, Next::Owned)])
        .await;
    for workflow in [Some(("suite".to_owned(), "order".to_owned())), None] {
        let put = FlowPut {
            body: format!("{{\"of\":\"{}\"}}", workflow.is_some()).into(),
            workflow,
            expected: None,
            weight: 1,
            prefix: "p".to_owned(),
            rules: Vec::new(),
            at: at(0),
        };
        ok(store.flow_put(scope(1), put).await);
    }
    let all = ok(store.retention_list(None, 10).await);
    let names: Vec<_> = all
        .iter()
        .map(|age| (age.workflow.tenant, &*age.workflow.name))
        .collect();
    assert_eq!(
        vec![
            (tenant(1), "later"),
            (tenant(1), "order"),
            (tenant(2), "order")
        ],
        names
    );
    let order = &all[1];
    assert_eq!(Some(at(4)), order.oldest);
    assert_eq!(Some("{\"of\":\"true\"}"), order.settings.as_deref());
    assert_eq!(Some("{\"of\":\"false\"}"), order.of_tenant.as_deref());
    assert_eq!((None, None), (all[0].oldest, all[0].settings.as_deref()));
    assert_eq!((None, None), (all[2].oldest, all[2].of_tenant.as_deref()));
    let rest = ok(store.retention_list(Some(&all[0].workflow), 1).await);
    assert_eq!(all[1..2], rest);
    assert!(ok(store.retention_list(Some(&all[2].workflow), 1).await).is_empty());
}
