//! Starts that are refused, and those that are not because they were accepted before.

use std::sync::Arc;

use async_trait::async_trait;
use auterity_core::clock::{Clock, ManualClock};
use auterity_core::engine::{
    Admission, Admitted, Asked, Engine, Keep, Options, Ports, RateLimit, Singleton, StartRequest,
    WorkflowSettings,
};
use auterity_core::store::{MemoryStore, Store};
use auterity_core::{Error, ErrorKind, Scope};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};

use super::{Busy, Fixture, at_most, definition, options, scope};

fn keyed(key: &str, of: u32) -> StartRequest {
    StartRequest {
        input: json!({ "of": of }),
        idempotency_key: Some(key.to_owned()),
        ..StartRequest::of("test", "busy")
    }
}

fn once_an_hour() -> WorkflowSettings {
    WorkflowSettings {
        rate: vec![RateLimit {
            max: 2,
            period: SignedDuration::from_hours(2),
            burst: Some(1),
            key: None,
        }],
        ..WorkflowSettings::default()
    }
}

#[tokio::test]
async fn repeated_key_finds_the_first_whatever_the_limits_say() {
    let mut busy = Busy::new(100, 0).await;
    let limits = [
        once_an_hour(),
        WorkflowSettings {
            queue_max: Some(0),
            ..at_most(1, None)
        },
        WorkflowSettings {
            singleton: Some(Singleton {
                key: None,
                keep: Keep::Oldest,
            }),
            ..WorkflowSettings::default()
        },
    ];
    busy.limit(once_an_hour()).await;
    let (handle, scope) = (busy.fixture.handle.clone(), busy.fixture.scope.clone());
    let first = handle.start(&scope, keyed("monday", 1)).await;
    let first = first.expect("it starts").id;
    busy.call().await;
    for settings in limits {
        busy.limit(settings.clone()).await;
        let again = handle.start(&scope, keyed("monday", 1)).await;
        let again = again.expect("it was accepted before");
        assert_eq!((first, true), (again.id, again.existing), "{settings:?}");
        let many = handle.start_many(&scope, vec![keyed("monday", 1)]).await;
        let many = many.expect("not too many").remove(0);
        assert_eq!(first, many.expect("it was accepted before").id);
        let other = handle.start(&scope, keyed("monday", 2)).await;
        let error = other.expect_err("the key belongs to another start");
        assert_eq!(ErrorKind::Conflict, error.kind());
    }
    busy.limit(once_an_hour()).await;
    let error = handle.start(&scope, keyed("tuesday", 1)).await;
    let error = error.expect_err("a new start is refused");
    assert_eq!(ErrorKind::Throttled, error.kind());
}

/// Gives leave when the test says so.
#[derive(Debug)]
struct Slow {
    asked: mpsc::UnboundedSender<()>,
    leave: Semaphore,
}

#[async_trait]
impl Admission for Slow {
    async fn admit(&self, _scope: &Scope, _asked: &Asked<'_>) -> Result<Admitted, Error> {
        self.asked.send(()).expect("the test listens");
        self.leave.acquire().await.expect("it is open").forget();
        Ok(Admitted::default())
    }
}

#[tokio::test]
async fn more_starts_at_once_than_the_process_takes_are_refused() {
    let (asked, mut listening) = mpsc::unbounded_channel();
    let leave = Semaphore::new(0);
    let slow = Arc::new(Slow { asked, leave });
    let ports = Ports {
        admission: Arc::<Slow>::clone(&slow),
        ..Ports::new(Arc::new(MemoryStore::new()))
    };
    let options = Options {
        starts_max: 2,
        ..options()
    };
    let fixture = Fixture::with(ports, options).await;
    fixture
        .deploy("busy", "do:\n- s: { set: { x: 1 } }\n")
        .await;
    let (handle, scope) = (&fixture.handle, &fixture.scope);
    let start = || handle.start(scope, StartRequest::of("test", "busy"));
    let (first, second, refused) = tokio::join!(start(), start(), async {
        listening.recv().await.expect("the first asks");
        listening.recv().await.expect("the second asks");
        let one = start().await.expect_err("there is no place");
        let many = vec![StartRequest::of("test", "busy")];
        let many = handle.start_many(scope, many).await;
        slow.leave.add_permits(10);
        [one, many.expect_err("there is no place")]
    });
    assert!(first.is_ok() && second.is_ok());
    for error in refused {
        assert_eq!(ErrorKind::Overloaded, error.kind());
        assert!(error.message().contains("starts_max"), "{error}");
        assert!(error.is_retryable() && error.retry_after().is_some());
    }
    // The places are given back, and a larger call takes all of them.
    start().await.expect("there is room again");
    let many = vec![StartRequest::of("test", "busy"); 5];
    let many = handle.start_many(scope, many).await.expect("there is room");
    assert!(many.iter().all(Result::is_ok));
}

#[tokio::test]
async fn settings_changed_in_another_process_are_followed_within_a_second() {
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let engine = || {
        let ports = Ports {
            clock: Arc::<ManualClock>::clone(&clock) as Arc<dyn Clock>,
            ..Ports::new(Arc::clone(&store))
        };
        Engine::start_without_worker(options(), ports).expect("it starts")
    };
    let (here, there) = (engine(), engine());
    let (handle, scope) = (here.handle(), scope(1));
    let text = definition("busy", "do:\n- s: { set: { x: 1 } }\n");
    handle.deploy(&scope, &text).await.expect("it deploys");
    let start = || handle.start(&scope, StartRequest::of("test", "busy"));
    start().await.expect("nothing limits it");
    let (other, limit) = (there.handle(), once_an_hour());
    let put = other.set_workflow_settings(&scope, ("test", "busy"), &limit, None);
    put.await.expect("the settings are right");
    clock.advance(SignedDuration::from_secs(1));
    start().await.expect("the first is within the rate");
    let error = start().await.expect_err("the second is not");
    assert_eq!(ErrorKind::Throttled, error.kind());
}
