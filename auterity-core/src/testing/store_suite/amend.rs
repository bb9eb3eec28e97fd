//! Changes of executions that no worker has.

use std::sync::Arc;

use super::{
    Life, at, completed, entry, event, execution, message, ok, parked, scope, started,
    subscription, tenant, workflow,
};
use crate::definition::{ProgramHash, WorkflowRef};
use crate::store::{
    Amend, Amended, Control, ExecutionLabel, Gate, MessageKind, Next, Snapshot, Status, Store,
};

pub(super) fn amend(number: u128, after: u64) -> Amend {
    Amend {
        tenant: tenant(1),
        execution: execution(number),
        after,
        events: vec![event(after + 1), event(after + 2)],
        snapshot: Snapshot {
            sequence: after + 2,
            format: 1,
            state: "{\"again\":true}".into(),
        },
        subscribe: vec![subscription(number, 9, Some("again"))],
        human_tasks: Vec::new(),
        messages: Vec::new(),
        workflow: second_version(),
        program: ProgramHash::of("order 2"),
        input: Some("{\"b\":2}".into()),
        gates: Vec::new(),
        at: at(10_000),
    }
}

fn second_version() -> WorkflowRef {
    WorkflowRef {
        version: "2.0.0".to_owned(),
        ..workflow("order")
    }
}

pub(super) async fn ended_and_parked_executions_are_amended_if_unmoved(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let mut listening = started(2, parked(None));
    listening.subscribe = vec![subscription(2, 3, Some("before"))];
    life.record(&[started(1, Next::Owned), listening, started(3, Next::Owned)])
        .await;
    life.record(&[entry(1, 2, completed())]).await;
    let mut stop = message(2, "stop");
    stop.kind = MessageKind::Control;
    assert!(ok(store.control_put(&stop, Control::Suspend).await));

    // Not what a worker has, not what has other events, not what is not there.
    let tried = async |amend: Amend| ok(store.execution_amend(&amend).await);
    assert_eq!(Amended::Owned, tried(amend(3, 1)).await);
    assert_eq!(Amended::Moved, tried(amend(1, 1)).await);
    assert_eq!(Amended::Moved, tried(amend(9, 0)).await);
    let mut foreign = amend(1, 2);
    foreign.tenant = tenant(2);
    foreign.subscribe.clear();
    assert_eq!(Amended::Moved, tried(foreign).await);
    assert_eq!(Status::Completed, life.status(1).await);

    let mut first = amend(1, 2);
    let mut close = message(3, "close");
    close.kind = MessageKind::Control;
    first.messages = vec![close];
    assert_eq!(Amended::Done, tried(first).await);
    assert_eq!(Amended::Moved, tried(amend(1, 2)).await, "not twice");
    assert_eq!(Amended::Done, tried(amend(2, 1)).await);
    assert_eq!(1, life.inbox_length(3).await);
    for (number, length) in [(1, 4), (2, 3)] {
        assert_eq!(Status::Pending, life.status(number).await);
        assert_eq!(length, life.journal_length(number).await);
        let fetched = store.execution_fetch(scope(1), execution(number)).await;
        let row = ok(fetched).expect("it is there");
        assert_eq!((None, None, None), (row.output, row.error, row.ended_at));
        assert_eq!(Some("{\"b\":2}"), row.input.as_deref());
        assert_eq!(
            (second_version(), ProgramHash::of("order 2")),
            (row.workflow, row.program)
        );
    }
    let matched = ok(store.subscription_match(tenant(1), "again").await);
    assert_eq!(2, matched.len());
    assert!(ok(store.subscription_match(tenant(1), "before").await).is_empty());

    // They are claimed like any other, and go on from the state that was given.
    let mut claimed = life.claim(10_000, 5).await;
    claimed.sort_unstable();
    assert_eq!(vec![execution(1), execution(2)], claimed);
    let loaded = ok(store.execution_load(&claimed).await);
    for (loaded, sequence) in loaded.iter().zip([4, 3]) {
        let snapshot = loaded.snapshot.as_ref().expect("a state");
        assert_eq!(
            (sequence, "{\"again\":true}"),
            (snapshot.sequence, &*snapshot.state)
        );
        assert!(loaded.tail.is_empty());
    }
    life.record(&[entry(1, 5, completed()), entry(2, 4, Next::Owned)])
        .await;
    assert_eq!(Status::Completed, life.status(1).await);
    assert_eq!(Status::Running, life.status(2).await);
}

pub(super) async fn what_had_ended_queues_with_its_priority_and_gates(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let mut urgent = started(1, Next::Owned);
    if let Some(start) = &mut urgent.start {
        start.priority = 7;
    }
    life.record(&[urgent, started(2, Next::Owned)]).await;
    life.record(&[entry(1, 2, completed()), entry(2, 2, completed())])
        .await;
    for number in [2, 1] {
        let amended = ok(store.execution_amend(&amend(number, 2)).await);
        assert_eq!(Amended::Done, amended);
        let row = ok(store.execution_fetch(scope(1), execution(number)).await);
        let priority = row.expect("it is there").priority;
        assert_eq!(if number == 1 { 7 } else { 0 }, priority);
    }
    assert_eq!(
        vec![execution(1), execution(2)],
        life.claim(10_000, 10).await
    );

    // Nobody passes before the time of the gate, and both have their places until the end.
    life.record(&[entry(1, 5, completed()), entry(2, 5, completed())])
        .await;
    for number in [1, 2] {
        let mut again = amend(number, 5);
        again.gates = vec![Gate {
            rule: "again/throttle".to_owned(),
            value: String::new(),
            not_before: Some(at(20_000)),
            since: None,
        }];
        assert_eq!(Amended::Done, ok(store.execution_amend(&again).await));
        assert_eq!(Status::Pending, life.status(number).await);
    }
    assert!(life.claim(19_999, 10).await.is_empty());
    // What is put back while it is held and suspended, waits again.
    let mut stop = message(2, "stop");
    stop.kind = MessageKind::Control;
    assert!(ok(store.control_put(&stop, Control::Suspend).await));
    assert_eq!(vec![execution(1)], life.claim(20_000, 10).await);
    assert_eq!(Amended::Done, ok(store.execution_amend(&amend(2, 7)).await));
    assert_eq!(vec![execution(2)], life.claim(20_001, 10).await);
    let loaded = ok(store.execution_load(&[execution(1), execution(2)]).await);
    assert!(loaded.iter().all(|one| one.gated && one.input.is_none()));
}

pub(super) async fn label_shows_another_version(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    life.record(&[started(1, Next::Owned)]).await;
    for whose in [2, 1] {
        let label = ExecutionLabel {
            tenant: tenant(whose),
            execution: execution(1),
            workflow: second_version(),
            program: ProgramHash::of("order 2"),
        };
        ok(store.execution_label(&label).await);
        let row = ok(store.execution_fetch(scope(1), execution(1)).await);
        let changed = row.expect("it is there").workflow == second_version();
        assert_eq!(whose == 1, changed);
    }
}
