//! Retry from a task, and fork.

use std::sync::Arc;

use auterity_core::engine::{Fork, Retry};
use auterity_core::store::{MemoryStore, Status, Store};
use auterity_core::{ErrorKind, ExecutionId};
use serde_json::{Value, json};

use super::super::{Fixture, output};
use super::Bench;

/// The third task fails unless it is given something good.
const STEPS: &str = "do:
- first: { call: note, with: { n: first } }
- second: { call: note, with: { n: '${ .gave.n + \"+\" }' }, export: { as: '${ {seen: .gave.n} }' } }
- third:
    do:
    - check: { switch: [ { good: { when: '${ .good == true }', then: finish } }, { bad: { then: fail } } ] }
    - fail: { raise: { error: { type: 'https://e.example/bad', status: 400 } } }
    - finish: { call: note, with: { n: finish } }
";

/// The same, but the third task does not fail.
const MENDED: &str = "do:
- zero: { call: note, with: { n: zero } }
- first: { call: note, with: { n: first } }
- second: { call: note, with: { n: '${ .gave.n + \"+\" }' }, export: { as: '${ {seen: .gave.n} }' } }
- third:
    do:
    - check: { switch: [ { bad: { when: '${ .never == true }', then: fail } }, { any: { then: finish } } ] }
    - fail: { set: { x: 1 }, then: exit }
    - finish: { call: note, with: { n: mended } }
";

async fn faulted(bench: &Bench) -> ExecutionId {
    bench.fixture.deploy("subject", STEPS).await;
    let id = bench.fixture.start("subject", json!({})).await;
    assert_eq!(bench.fixture.end(id).await.status, Status::Faulted);
    bench.noted().await;
    id
}

async fn deploy_version(bench: &Bench, version: &str, rest: &str) {
    let text = super::super::fixture::definition("subject", rest)
        .replace("version: '1.0.0'", &format!("version: '{version}'"));
    let Fixture { handle, scope, .. } = &bench.fixture;
    handle.deploy(scope, &text).await.expect("it deploys");
}

fn from(task: &str, input: Option<Value>) -> Retry {
    Retry {
        from_task: Some(task.to_owned()),
        input,
        reason: Some("mended".to_owned()),
        ..Retry::default()
    }
}

#[tokio::test]
async fn faulted_execution_goes_on_from_the_failed_task_with_edited_input() {
    let bench = Bench::new().await;
    let id = faulted(&bench).await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    let retry = from("/do/2/third", Some(json!({"good": true})));
    let plan = handle
        .retry(
            scope,
            id,
            Retry {
                dry_run: true,
                ..retry.clone()
            },
        )
        .await
        .expect("it can be done");
    assert_eq!(plan.from_task.as_deref(), Some("/do/2/third#3"));
    let again: Vec<&str> = plan
        .runs_again
        .iter()
        .map(|one| one.task.as_str())
        .collect();
    assert_eq!(
        again,
        [
            "/do/2/third/do/0/check",
            "/do/2/third/do/1/fail",
            "/do/2/third"
        ]
    );
    assert_eq!(
        bench.status(id).await,
        Status::Faulted,
        "nothing has happened"
    );
    handle.retry(scope, id, retry).await.expect("it goes on");
    let row = bench.fixture.end(id).await;
    assert_eq!((row.status, row.error), (Status::Completed, None));
    assert_eq!(bench.noted().await, [json!("finish")]);
    let kinds = bench.kinds(id).await;
    assert_eq!(
        kinds[3..],
        [
            "execution.ended",
            "execution.retried",
            "execution.continued",
            "effect.completed",
            "execution.ended"
        ],
        "{kinds:?}"
    );
    let sequences: Vec<u64> = bench
        .fixture
        .events(id)
        .await
        .iter()
        .map(|row| row.sequence)
        .collect();
    assert_eq!(sequences, (1..=8).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_a_task_the_one_that_failed_is_tried_again_and_may_fail_again() {
    let bench = Bench::new().await;
    let id = faulted(&bench).await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    for _ in 0..3 {
        let plan = handle
            .retry(scope, id, Retry::default())
            .await
            .expect("it goes on");
        assert!(
            plan.from_task
                .expect("a task")
                .starts_with("/do/2/third/do/1/fail#")
        );
        assert_eq!(bench.fixture.end(id).await.status, Status::Faulted);
    }
    assert!(bench.noted().await.is_empty());
}

#[tokio::test]
async fn completed_execution_goes_on_from_any_task_under_a_corrected_version() {
    let bench = Bench::new().await;
    let id = faulted(&bench).await;
    deploy_version(&bench, "1.1.0", MENDED).await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    let retry = Retry {
        version: Some("1.1.0".to_owned()),
        ..from("/do/1/second", Some(json!({"gave": {"n": "edited"}})))
    };
    let plan = handle.retry(scope, id, retry).await.expect("it goes on");
    assert_eq!(plan.version, "1.1.0");
    let row = bench.fixture.end(id).await;
    assert_eq!(
        (row.status, row.workflow.version.as_str()),
        (Status::Completed, "1.1.0")
    );
    assert_eq!(bench.noted().await, [json!("edited+"), json!("mended")]);
    // Once more, from a task that ran before the change: its old place is known by name.
    handle
        .retry(scope, id, from("/do/0/first", None))
        .await
        .expect("it goes on");
    bench.fixture.end(id).await;
    assert_eq!(
        bench.noted().await,
        [json!("first"), json!("first+"), json!("mended")]
    );
    // And from the start, with another input.
    handle
        .retry(scope, id, from("/", Some(json!({"k": 1}))))
        .await
        .expect("it goes on");
    let row = bench.fixture.end(id).await;
    assert_eq!(row.input.as_deref(), Some("{\"k\":1}"));
    assert_eq!(bench.noted().await.len(), 4);
}

#[tokio::test]
async fn what_cannot_be_retried_is_refused_with_the_reason() {
    let bench = Bench::new().await;
    let id = faulted(&bench).await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    for (retry, kind) in [
        (from("/do/9/none", None), ErrorKind::Conflict),
        (from("/do/2/third#77", None), ErrorKind::Conflict),
        (from("/do/2/third/do/2/finish", None), ErrorKind::Conflict),
        (
            Retry {
                version: Some("9.0.0".to_owned()),
                ..Retry::default()
            },
            ErrorKind::NotFound,
        ),
    ] {
        let refused = handle.retry(scope, id, retry).await.expect_err("refused");
        assert_eq!(refused.kind(), kind, "{refused:?}");
    }
    deploy_version(&bench, "2.0.0", "do:\n- other: { set: { x: 1 } }\n").await;
    let retry = Retry {
        version: Some("2.0.0".to_owned()),
        ..Retry::default()
    };
    let refused = handle.retry(scope, id, retry).await.expect_err("refused");
    assert!(
        refused.message().contains("is not in the new version"),
        "{refused:?}"
    );
    // An execution at work is not put back, and one that did not fail has no failed task.
    let rest = "input: { schema: { document: { type: object, required: [n] } } }
do:
- g: { call: gate, with: { n: 1 }, input: { schema: { document: { type: object } } } }
";
    bench.fixture.deploy("strict", rest).await;
    let strict = bench.fixture.start("strict", json!({"n": 1})).await;
    bench.called().await;
    let refused = handle
        .retry(scope, strict, Retry::default())
        .await
        .expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    bench.let_go();
    bench.fixture.end(strict).await;
    let refused = handle
        .retry(scope, strict, Retry::default())
        .await
        .expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    for task in ["/", "/do/0/g"] {
        let refused = handle
            .retry(scope, strict, from(task, Some(json!(7))))
            .await;
        let refused = refused.expect_err("of the wrong shape");
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{task}");
        assert_eq!(refused.violations().len(), 1);
    }
    assert_eq!(bench.status(strict).await, Status::Completed);
}

#[tokio::test]
async fn retry_keeps_what_other_branches_did_and_repeats_no_known_result() {
    let bench = Bench::new().await;
    let rest = "do:
- both:
    fork:
      branches:
      - quick: { do: [ { a: { call: note, with: { n: a } } }, { b: { call: note, with: { n: b } } } ] }
      - slow:
          do:
          - g: { call: gate, with: { n: 1 } }
          - f: { raise: { error: { type: 'https://e.example/bad', status: 400 } } }
- after: { set: { all: '${ . }' } }
";
    let id = bench.start_to_gate(rest).await;
    while bench.kinds(id).await.len() < 3 {
        tokio::task::yield_now().await;
    }
    bench.let_go();
    assert_eq!(bench.fixture.end(id).await.status, Status::Faulted);
    assert_eq!(bench.noted().await, [json!("a"), json!("b")]);
    let Fixture { handle, scope, .. } = &bench.fixture;
    let fork = deploy_and_fork(&bench, id).await;
    handle
        .retry(
            scope,
            id,
            from("/do/0/both/fork/branches/1/slow/do/0/g", None),
        )
        .await
        .expect("goes on");
    bench.called().await;
    bench.let_go();
    bench.called().await;
    bench.let_go();
    assert_eq!(bench.fixture.end(id).await.status, Status::Faulted);
    assert!(bench.noted().await.is_empty(), "the other branch is done");
    assert_eq!(bench.fixture.end(fork).await.status, Status::Faulted);
}

async fn deploy_and_fork(bench: &Bench, id: ExecutionId) -> ExecutionId {
    let Fixture { handle, scope, .. } = &bench.fixture;
    let fork = Fork {
        from_task: Some("/do/0/both/fork/branches/1/slow/do/0/g".to_owned()),
        reason: Some("to compare".to_owned()),
        ..Fork::default()
    };
    let fork = handle.fork(scope, id, fork).await.expect("it begins");
    assert_ne!(fork, id);
    let kinds = bench.kinds(fork).await;
    assert_eq!(kinds[0], "execution.forked");
    fork
}

#[tokio::test]
async fn fork_begins_at_a_task_or_at_the_start_and_leaves_the_other_alone() {
    let bench = Bench::new().await;
    let id = faulted(&bench).await;
    let before = bench.kinds(id).await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    let at_task = Fork {
        from_task: Some("/do/2/third".to_owned()),
        input: Some(json!({"good": true})),
        ..Fork::default()
    };
    let fork = handle.fork(scope, id, at_task).await.expect("it begins");
    let row = bench.fixture.end(fork).await;
    assert_eq!(row.status, Status::Completed);
    assert_eq!(output(&row), json!({"gave": {"n": "finish"}}));
    assert_eq!(bench.noted().await, [json!("finish")]);
    deploy_version(&bench, "1.1.0", MENDED).await;
    let at_start = Fork {
        version: Some("1.1.0".to_owned()),
        input: Some(json!({"k": 2})),
        ..Fork::default()
    };
    let fork = handle.fork(scope, id, at_start).await.expect("it begins");
    let row = bench.fixture.end(fork).await;
    assert_eq!(
        (row.status, row.input.as_deref()),
        (Status::Completed, Some("{\"k\":2}"))
    );
    assert_eq!(row.workflow.version, "1.1.0");
    assert_eq!(bench.noted().await.len(), 4);
    assert_eq!(bench.kinds(id).await, before);
}

#[tokio::test]
async fn running_execution_is_forked_and_its_own_work_goes_on() {
    let bench = Bench::new().await;
    let rest = "do:\n- a: { call: note, with: { n: a } }\n- g: { call: gate, with: { n: 1 } }\n";
    let id = bench.start_to_gate(rest).await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    let fork = handle.fork(
        scope,
        id,
        Fork {
            from_task: Some("/do/1/g".to_owned()),
            ..Fork::default()
        },
    );
    let fork = fork.await.expect("it begins");
    bench.called().await;
    bench.let_go();
    bench.let_go();
    assert_eq!(bench.fixture.end(id).await.status, Status::Completed);
    assert_eq!(bench.fixture.end(fork).await.status, Status::Completed);
    assert_eq!(bench.noted().await, [json!("a")]);
}

#[tokio::test]
async fn suspended_parent_is_put_back_and_its_child_closed() {
    let bench = Bench::new().await;
    bench
        .fixture
        .deploy("child", "do:\n- g: { call: gate, with: { n: 1 } }\n")
        .await;
    let rest = "do:
- a: { call: note, with: { n: a } }
- r: { run: { workflow: { namespace: test, name: child, version: '1.0.0' } } }
";
    let id = bench.start_to_gate(rest).await;
    let Fixture { handle, scope, .. } = &bench.fixture;
    handle.suspend(scope, id, None).await.expect("asked");
    bench
        .fixture
        .until(id, |row| {
            row.waiting_for.as_deref() == Some("to be resumed")
        })
        .await;
    assert_eq!(bench.noted().await, [json!("a")]);
    handle
        .retry(scope, id, from("/do/0/a", None))
        .await
        .expect("it goes on");
    assert_eq!(
        bench.fixture.end(id.of_child(2)).await.status,
        Status::Cancelled
    );
    bench.called().await;
    bench.let_go();
    bench.let_go();
    assert_eq!(bench.fixture.end(id).await.status, Status::Completed);
    assert_eq!(bench.noted().await, [json!("a")]);
}

#[tokio::test]
async fn retried_execution_survives_the_loss_of_its_worker() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let first = Bench::on(Arc::clone(&store)).await;
    let id = first
        .start_to_gate("do:\n- g: { call: gate, with: { n: 1 } }\n")
        .await;
    first.let_go();
    first.fixture.end(id).await;
    let Fixture { handle, scope, .. } = &first.fixture;
    handle
        .retry(scope, id, from("/do/0/g", None))
        .await
        .expect("it goes on");
    first.called().await;
    drop(first);
    let second = Bench::on(store).await;
    second.called().await;
    second.let_go();
    assert_eq!(second.fixture.end(id).await.status, Status::Completed);
}
