//! How executions that are suspended, cancelled, retried or forked pass their limits.

use auterity_core::engine::{Fork, Retry, StartRequest};
use auterity_core::store::{ExecutionRow, Queued, Status};
use auterity_core::{ErrorKind, ExecutionId};
use serde_json::json;

use super::{Busy, at_most};

impl Busy {
    async fn row(&self, id: ExecutionId) -> ExecutionRow {
        let view = self.fixture.handle.execution(&self.fixture.scope, id).await;
        view.expect("it answers").expect("it is there").row
    }

    async fn queued(&self, id: ExecutionId) -> Queued {
        let view = self.fixture.handle.execution(&self.fixture.scope, id).await;
        let view = view.expect("it answers").expect("it is there");
        assert_eq!(Status::Pending, view.row.status);
        view.queued.expect("it says what holds it")
    }

    async fn cancel(&self, id: ExecutionId) {
        let handle = &self.fixture.handle;
        let asked = handle.cancel(&self.fixture.scope, id, None).await;
        asked.expect("it is asked for");
    }

    async fn retry(&self, id: ExecutionId) {
        let retry = Retry {
            from_task: Some("/".to_owned()),
            ..Retry::default()
        };
        let retried = self.fixture.handle.retry(&self.fixture.scope, id, retry);
        retried.await.expect("it goes on");
    }
}

const RULE: &str = "workflow/test/busy/concurrency";

/// One at work, and one that was cancelled at work and is retried.
async fn retried() -> (Busy, ExecutionId, ExecutionId) {
    let mut busy = Busy::new(100, 0).await;
    busy.limit(at_most(1, None)).await;
    let request = StartRequest {
        input: json!({ "of": 1 }),
        priority: 5,
        ..StartRequest::of("test", "busy")
    };
    let started = busy.fixture.handle.start(&busy.fixture.scope, request);
    let first = started.await.expect("it starts").id;
    let second = busy.start(json!(2)).await;
    assert_eq!(json!(1), busy.call().await.1);
    busy.cancel(first).await;
    assert_eq!(Status::Cancelled, busy.fixture.end(first).await.status);
    assert_eq!(json!(2), busy.call().await.1);
    busy.retry(first).await;
    (busy, first, second)
}

#[tokio::test]
async fn retried_execution_waits_at_its_limit_and_keeps_its_priority() {
    let (mut busy, first, second) = retried().await;
    let queued = busy.queued(first).await;
    assert_eq!((Some(RULE), 1), (queued.rule.as_deref(), queued.in_use));
    // It comes before one of lower priority that was there before it went on.
    let third = busy.start(json!(3)).await;
    assert_eq!(5, busy.row(first).await.priority);
    assert_eq!(1, busy.queued(third).await.ahead);
    busy.gauge.leave.add_permits(1);
    assert_eq!(json!(1), busy.call().await.1);
    busy.gauge.leave.add_permits(2);
    for id in [first, second, third] {
        assert_eq!(Status::Completed, busy.fixture.end(id).await.status);
    }
}

#[tokio::test]
async fn retried_execution_that_is_cancelled_at_its_limit_does_nothing() {
    let (mut busy, first, second) = retried().await;
    busy.cancel(first).await;
    assert_eq!(Status::Cancelled, busy.fixture.end(first).await.status);
    busy.gauge.leave.add_permits(10);
    assert_eq!(Status::Completed, busy.fixture.end(second).await.status);
    assert!(busy.called.try_recv().is_err(), "nothing of it was done");
}

#[tokio::test]
async fn fork_waits_at_the_limit() {
    let (mut busy, first, second) = retried().await;
    let fork = Fork::default();
    let forked = busy.fixture.handle.fork(&busy.fixture.scope, second, fork);
    let forked = forked.await.expect("it starts");
    let queued = busy.queued(forked).await;
    assert_eq!((Some(RULE), 1), (queued.rule.as_deref(), queued.ahead));
    busy.gauge.leave.add_permits(3);
    assert_eq!(json!(1), busy.call().await.1);
    assert_eq!(json!(2), busy.call().await.1);
    for id in [first, second, forked] {
        assert_eq!(Status::Completed, busy.fixture.end(id).await.status);
    }
}

#[tokio::test]
async fn suspended_execution_that_has_not_begun_lets_others_pass() {
    let mut busy = Busy::new(100, 0).await;
    busy.limit(at_most(1, None)).await;
    let ids = [
        busy.start(json!(1)).await,
        busy.start(json!(2)).await,
        busy.start(json!(3)).await,
    ];
    assert_eq!(json!(1), busy.call().await.1);
    let (handle, scope) = (&busy.fixture.handle, &busy.fixture.scope);
    let suspended = handle.suspend(scope, ids[1], None).await;
    suspended.expect("it is asked for");
    assert_eq!(Status::Suspended, busy.row(ids[1]).await.status);
    assert_eq!(0, busy.queued(ids[2]).await.ahead);
    busy.gauge.leave.add_permits(1);
    assert_eq!(json!(3), busy.call().await.1);
    let (handle, scope) = (&busy.fixture.handle, &busy.fixture.scope);
    handle
        .resume(scope, ids[1], None)
        .await
        .expect("it goes on");
    assert_eq!(Some(RULE), busy.queued(ids[1]).await.rule.as_deref());
    busy.gauge.leave.add_permits(2);
    assert_eq!(json!(2), busy.call().await.1);
    for id in ids {
        assert_eq!(Status::Completed, busy.fixture.end(id).await.status);
    }
}

#[tokio::test]
async fn what_never_began_is_not_undone_and_not_retried() {
    let careful = "do:
- guarded:
    try:
    - work: { call: gauge, with: { of: '${ .of }' } }
    catch:
      errors: { with: { type: 'urn:auterity:error:cancelled' } }
      do:
      - undo: { call: gauge, with: { of: undo } }
";
    let mut busy = Busy::new(100, 0).await;
    let text = super::definition("busy", careful).replace("1.0.0", "1.1.0");
    let deployed = busy.fixture.handle.deploy(&busy.fixture.scope, &text).await;
    deployed.expect("it deploys");
    busy.limit(at_most(1, None)).await;
    let first = busy.start(json!(1)).await;
    let second = busy.start(json!(2)).await;
    assert_eq!(json!(1), busy.call().await.1);
    let (handle, scope) = (&busy.fixture.handle, &busy.fixture.scope);
    let forked = handle.fork(scope, second, Fork::default()).await;
    let error = forked.expect_err("there is nothing to begin from");
    assert_eq!(ErrorKind::Conflict, error.kind());
    busy.cancel(second).await;
    assert_eq!(Status::Cancelled, busy.fixture.end(second).await.status);
    busy.gauge.leave.add_permits(10);
    assert_eq!(Status::Completed, busy.fixture.end(first).await.status);
    assert!(busy.called.try_recv().is_err(), "there was nothing to undo");
    // One that was at work is undone as ever.
    busy.retry(second).await;
    assert_eq!(Status::Completed, busy.fixture.end(second).await.status);
    assert_eq!(json!(2), busy.call().await.1);
}
