//! Migration of executions that have not ended.

use auterity_core::engine::{Migrate, Verdict};
use auterity_core::store::Status;
use auterity_core::{ErrorKind, ExecutionId};
use serde_json::json;

use super::super::{Fixture, output};
use super::Bench;

const OLD: &str = "do:
- first: { call: note, with: { n: first } }
- hold:
    fork:
      branches:
      - left: { do: [ { g: { call: gate, with: { n: 1 } } }, { after: { set: { v: old } } } ] }
      - right: { do: [ { l: { listen: { to: { one: { with: { type: t } } } } } } ] }
- last: { call: note, with: { n: old } }
";

/// Tasks were added before and after, and what comes later was changed.
const NEW: &str = "do:
- check: { set: { x: 1 } }
- first: { call: note, with: { n: first } }
- hold:
    fork:
      branches:
      - left: { do: [ { before: { set: { x: 1 } } }, { g: { call: gate, with: { n: 2 } } }, { after: { set: { v: new } } } ] }
      - right: { do: [ { l: { listen: { to: { one: { with: { type: u } } } } } } ] }
- last: { call: note, with: { n: '${ .[0].v }' } }
- more: { set: { done: true } }
";

async fn deploy(bench: &Bench, version: &str, rest: &str) {
    let text = super::super::fixture::definition("subject", rest)
        .replace("version: '1.0.0'", &format!("version: '{version}'"));
    let Fixture { handle, scope, .. } = &bench.fixture;
    handle.deploy(scope, &text).await.expect("it deploys");
}

async fn migrate(bench: &Bench, id: ExecutionId, version: &str, dry_run: bool) -> Verdict {
    let Fixture { handle, scope, .. } = &bench.fixture;
    let migrate = Migrate {
        version: version.to_owned(),
        reason: Some("the new rules".to_owned()),
        dry_run,
    };
    handle
        .migrate(scope, id, migrate)
        .await
        .expect("it answers")
}

async fn publish(bench: &Bench, kind: &str) -> u32 {
    let Fixture { handle, scope, .. } = &bench.fixture;
    let event = json!({"specversion": "1.0", "id": kind, "source": "/t", "type": kind, "data": 5});
    handle.publish(scope, &event).await.expect("published")
}

#[tokio::test]
async fn running_execution_goes_on_under_the_new_version_with_its_effects() {
    let bench = Bench::new().await;
    let id = bench.start_to_gate(OLD).await;
    deploy(&bench, "1.1.0", NEW).await;
    let dry = migrate(&bench, id, "1.1.0", true).await;
    assert_eq!(
        (dry.reasons.as_slice(), dry.done),
        (&[] as &[String], false)
    );
    let verdict = migrate(&bench, id, "1.1.0", false).await;
    assert_eq!(
        (verdict.from.as_str(), verdict.to.as_str(), verdict.done),
        ("1.0.0", "1.1.0", true)
    );
    let row = bench
        .fixture
        .until(id, |row| row.workflow.version == "1.1.0")
        .await;
    assert!(!row.status.is_ended());
    // The filters of the new version count; the call under way is not made again.
    assert_eq!(publish(&bench, "t").await, 0);
    assert_eq!(publish(&bench, "u").await, 1);
    bench.let_go();
    let row = bench.fixture.end(id).await;
    assert_eq!(output(&row), json!({"done": true}));
    assert_eq!(bench.noted().await, [json!("first"), json!("new")]);
    assert!(bench.gate.lock().await.try_recv().is_err());
    let again = Migrate {
        version: "1.1.0".to_owned(),
        ..Migrate::default()
    };
    let Fixture { handle, scope, .. } = &bench.fixture;
    let late = handle
        .migrate(scope, id, again)
        .await
        .expect_err("it has ended");
    assert_eq!(late.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn parked_execution_is_woken_migrated_and_parked_again() {
    let bench = Bench::new().await;
    let old =
        "do:\n- l: { listen: { to: { one: { with: { type: t } } } } }\n- s: { set: { v: 1 } }\n";
    bench.fixture.deploy("subject", old).await;
    let id = bench.fixture.start("subject", json!({})).await;
    bench
        .fixture
        .until(id, |row| row.status == Status::Waiting)
        .await;
    deploy(&bench, "1.1.0", &old.replace("v: 1", "v: 2")).await;
    assert!(migrate(&bench, id, "1.1.0", false).await.done);
    bench
        .fixture
        .until(id, |row| row.status == Status::Waiting)
        .await;
    // Again is harmless, and back is possible too.
    assert!(migrate(&bench, id, "1.1.0", false).await.done);
    assert!(migrate(&bench, id, "1.0.0", false).await.done);
    assert!(migrate(&bench, id, "1.1.0", false).await.done);
    assert_eq!(publish(&bench, "t").await, 1);
    assert_eq!(output(&bench.fixture.end(id).await), json!({"v": 2}));
}

#[tokio::test]
async fn execution_that_does_not_map_is_left_alone_with_the_reasons() {
    let bench = Bench::new().await;
    let id = bench.start_to_gate(OLD).await;
    let before = bench.kinds(id).await.len();
    for (version, rest, words) in [
        (
            "2.0.0",
            "do:\n- other: { set: { x: 1 } }\n".to_owned(),
            "is not in the new version",
        ),
        ("2.1.0", OLD.replace("right:", "wrong:"), "other branches"),
        (
            "2.2.0",
            OLD.replace("call: gate, with: { n: 1 }", "set: { n: 1 }"),
            "of kind call",
        ),
        (
            "2.3.0",
            OLD.replace(
                "one: { with: { type: t } }",
                "any: [ { with: { type: t } } ]",
            ),
            "other filters",
        ),
    ] {
        deploy(&bench, version, &rest).await;
        for dry_run in [true, false] {
            let verdict = migrate(&bench, id, version, dry_run).await;
            let said = verdict.reasons.join("; ");
            assert!(said.contains(words) && !verdict.done, "{version}: {said}");
        }
    }
    assert_eq!(bench.kinds(id).await.len(), before, "untouched");
    bench.let_go();
    assert_eq!(publish(&bench, "t").await, 1);
    assert_eq!(bench.fixture.end(id).await.status, Status::Completed);
}
