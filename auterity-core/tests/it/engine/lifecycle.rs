//! The standard's lifecycle events.

use std::sync::{Arc, Mutex};

use auterity_core::engine::{LifecycleItem, LifecycleSink, Ports};
use auterity_core::store::MemoryStore;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::{Fixture, PATIENCE, options, output, scope};

/// The words between `io.serverlessworkflow` and the version, with the task's name.
fn word(event: &Value) -> String {
    let kind = event["type"].as_str().unwrap_or_default();
    let word = kind
        .trim_start_matches("io.serverlessworkflow.")
        .trim_end_matches(".v1");
    let task = event["data"]["task"].as_str().unwrap_or_default();
    let name = task.rsplit('/').next().unwrap_or_default();
    format!("{word} {name}").trim_end().to_owned()
}

#[tokio::test]
async fn subscribers_and_the_sink_are_told_what_happens() {
    let told: Arc<Mutex<Vec<Value>>> = Arc::default();
    let sink = Arc::clone(&told);
    let ports = Ports {
        lifecycle: LifecycleSink::new(move |_, event| {
            sink.lock().expect("no panic").push(Value::clone(event));
        }),
        ..Ports::new(Arc::new(MemoryStore::new()))
    };
    let fixture = Fixture::with(ports, options()).await;
    let mut events = Box::pin(fixture.handle.lifecycle(&fixture.scope));
    let mut others = Box::pin(fixture.handle.lifecycle(&scope(2)));
    let row = fixture
        .complete(
            "do:
- first: { set: { x: 1 } }
- passed: { if: 'false', set: { x: 2 } }
- careful:
    try: [ { risky: { raise: { error: { type: https://e.com/no, status: 409 } } } } ]
    catch: { retry: { delay: { milliseconds: 1 }, limit: { attempt: { count: 1 } } }, do: [ { mend: { call: echo, with: { y: 2 } } } ] }
",
            json!({}),
        )
        .await;
    let mut heard = Vec::new();
    while heard
        .last()
        .is_none_or(|event| word(event) != "workflow.completed")
    {
        let next = tokio::time::timeout(PATIENCE, events.next()).await;
        match next.expect("in time").expect("it goes on") {
            LifecycleItem::Event(event) => heard.push(Value::clone(&event)),
            LifecycleItem::Lagged => panic!("nothing is missed"),
        }
    }
    let words: Vec<String> = heard.iter().map(word).collect();
    assert_eq!(
        words,
        [
            "workflow.started",
            "task.created first",
            "task.started first",
            "task.completed first",
            "task.created risky",
            "task.started risky",
            "task.faulted risky",
            "task.created careful",
            "task.started careful",
            "task.retried careful",
            "task.created risky",
            "task.started risky",
            "task.faulted risky",
            "task.created mend",
            "task.started mend",
            "task.completed mend",
            "task.completed careful",
            "workflow.completed",
        ]
    );
    assert_eq!(*told.lock().expect("no panic"), heard);
    let (started, ended) = (&heard[0], &heard[heard.len() - 1]);
    let name = format!("subject-{}.test", row.id);
    assert_eq!(started["data"]["name"], name);
    assert_eq!(
        started["data"]["definition"],
        json!({"namespace": "test", "name": "subject", "version": "1.0.0"})
    );
    assert_eq!(started["data"]["startedAt"], row.started_at.to_string());
    assert_eq!(ended["data"]["output"], output(&row));
    assert!(
        heard
            .iter()
            .all(|event| event["subject"] == row.id.to_string())
    );
    let ids: std::collections::BTreeSet<_> =
        heard.iter().map(|event| event["id"].as_str()).collect();
    assert_eq!(ids.len(), heard.len(), "ids differ");
    let nothing = tokio::time::timeout(std::time::Duration::from_millis(10), others.next());
    assert!(nothing.await.is_err(), "another tenant hears nothing");
}
