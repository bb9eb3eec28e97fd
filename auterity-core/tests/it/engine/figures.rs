//! What the engine counts and measures.

use std::sync::Arc;

use auterity_core::clock::{Clock, SystemClock};
use auterity_core::engine::{Engine, Figures, Histogram, Ports, StartRequest};
use auterity_core::store::{MemoryStore, Status};
use serde_json::json;

use super::{Fixture, PATIENCE, definition, options, scope};

fn count(histogram: &Histogram) -> u64 {
    histogram.counts.iter().sum()
}

#[tokio::test]
async fn figures_tell_what_was_done() {
    let fixture = Fixture::new().await;
    let none = fixture.handle.figures();
    assert_eq!(
        (0, 0, 0),
        (none.started, none.claims, count(&none.commit_seconds))
    );
    let good = "do:\n- later: { wait: { milliseconds: 10 } }\n- called: { call: echo }\n";
    let bad = "do:\n- bad: { raise: { error: { type: 'https://e.example/bad', status: 400 } } }\n";
    let cases = [
        ("good", good, Status::Completed),
        ("bad", bad, Status::Faulted),
    ];
    for (name, tasks, status) in cases {
        fixture.deploy(name, tasks).await;
        let id = fixture.start(name, json!({})).await;
        assert_eq!(status, fixture.end(id).await.status);
    }
    fixture
        .deploy("long", "do:\n- w: { wait: { hours: 1 } }\n")
        .await;
    let id = fixture.start("long", json!({})).await;
    let cancelled = fixture.handle.cancel(&fixture.scope, id, None).await;
    cancelled.expect("it is asked for");
    fixture.end(id).await;

    let figures = fixture.handle.figures();
    let Figures {
        started,
        completed,
        faulted,
        cancelled,
        ..
    } = figures;
    assert_eq!((3, 1, 1, 1), (started, completed, faulted, cancelled));
    assert_eq!(1, figures.errors["https://e.example/bad"]);
    let tasks = figures.tasks;
    assert!(2 <= tasks.completed && 1 <= tasks.faulted && 1 <= tasks.cancelled);
    assert!(1 <= count(&figures.timer_lag_seconds));
    assert!(3 <= count(&figures.commit_seconds));
    let entries = figures.batch_entries.sum;
    assert!(3.0 <= entries, "{entries} entries");
    assert_eq!(0, figures.functions_running);
    assert_eq!(options().in_flight_max as u64, figures.in_flight.1);
}

#[tokio::test]
async fn queue_is_counted_for_whoever_asks() {
    let store = Arc::new(MemoryStore::new());
    let api = Engine::start_without_worker(options(), Ports::new(store)).expect("it starts");
    let (handle, scope) = (api.handle(), scope(1));
    let text = definition("sum", "do:\n- a: { call: echo }\n");
    handle.deploy(&scope, &text).await.expect("it deploys");
    let many = vec![StartRequest::of("test", "sum"); 3];
    let started = handle.start_many(&scope, many).await.expect("not too many");
    assert!(started.iter().all(Result::is_ok));
    assert_eq!(None, handle.figures().queue, "nobody asked before");
    let deadline = SystemClock.now() + PATIENCE;
    let survey = loop {
        if let Some((_, survey)) = handle.figures().queue {
            break survey;
        }
        assert!(SystemClock.now() < deadline, "it is never counted");
        tokio::task::yield_now().await;
    };
    assert_eq!((1, 0), (survey.lanes.len(), survey.held));
    assert_eq!(
        (scope.tenant(), 3),
        (survey.lanes[0].tenant, survey.lanes[0].ready)
    );
}
