//! What only PostgreSQL can do wrong: interleavings, lost connections, notifications.

use std::sync::Arc;

use auterity_core::clock::ManualClock;
use auterity_core::engine::{Engine, FeedItem, Options, Ports};
use auterity_core::store::{ClaimRequest, Next, Outcome, SeaStore, Store};
use auterity_core::{Actor, ErrorKind, Scope};
use futures_util::{FutureExt as _, StreamExt as _};
use jiff::SignedDuration;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::{
    Place, entry, execute, execution, journal_length, now, parked, record, register, tenant, worker,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

async fn count(connection: &mut PgConnection, text: &str) -> i64 {
    let query = sqlx::query(AssertSqlSafe(text.to_owned()));
    query.fetch_one(connection).await.unwrap().get(0)
}

/// Returns once this many of the store's connections wait for a lock.
async fn until_waiting(place: &Place, number: i64) {
    let mut connection = place.beside().await;
    let text = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE application_name = '{}' AND wait_event_type = 'Lock'",
        place.options.schema
    );
    while count(&mut connection, &text).await < number {
        tokio::task::yield_now().await;
    }
}

fn request() -> ClaimRequest {
    ClaimRequest {
        now: now(),
        lease: HOUR,
        limit: 10,
    }
}

#[tokio::test]
async fn take_over_waits_for_an_append_in_flight() {
    let Some(place) = Place::postgres("an append in flight") else {
        return;
    };
    let store = place.open().await;
    let fence = register(&*store, "worker", 1, SignedDuration::from_secs(-1)).await;
    record(&*store, &fence, &[entry(1, 1, Next::Owned)]).await;
    let other = register(&*store, "other", 2, HOUR).await;

    // Somebody holds the queue row, so that the append stops after its fence check.
    let mut beside = place.beside().await;
    execute(&mut beside, "BEGIN; SELECT 1 FROM queue FOR UPDATE").await;
    let parking = [entry(1, 2, parked())];
    let append = store.journal_append(Some(&fence), &parking);
    let take_over = async {
        until_waiting(&place, 1).await;
        // The lease has run out, but the append comes first: nobody waits for it.
        let beat = store.worker_beat(&other, request()).await.unwrap();
        assert!(beat.claims.is_empty());
        let restarted = register(&*store, "worker", 3, HOUR);
        let release = async {
            until_waiting(&place, 2).await;
            execute(&mut beside, "COMMIT").await;
        };
        tokio::join!(restarted, release).0
    };
    let (appended, restarted) = tokio::join!(append, take_over);
    assert_eq!(vec![Outcome::Recorded], appended.unwrap());
    assert_eq!(2, journal_length(&*store, 1).await);
    let late = [entry(1, 3, parked())];
    let refused = store.journal_append(Some(&fence), &late).await;
    assert_eq!(ErrorKind::Fenced, refused.expect_err("fenced").kind());
    record(&*store, &restarted, &[entry(2, 1, Next::Owned)]).await;
    store.close().await;
    place.drop_schema().await;
}

#[tokio::test]
async fn append_waits_for_a_take_over_in_flight_and_is_refused() {
    let Some(place) = Place::postgres("a take-over in flight") else {
        return;
    };
    let store = place.open().await;
    let fence = worker(&*store).await;
    record(&*store, &fence, &[entry(1, 1, Next::Owned)]).await;
    let mut beside = place.beside().await;
    let take_over = "BEGIN; UPDATE worker SET epoch = epoch + 1, lease_until = NULL";
    execute(&mut beside, take_over).await;
    let batch = [entry(1, 2, Next::Owned), entry(2, 1, Next::Owned)];
    let append = store.journal_append(Some(&fence), &batch);
    let commit = async {
        until_waiting(&place, 1).await;
        execute(&mut beside, "COMMIT").await;
    };
    let (refused, ()) = tokio::join!(append, commit);
    assert_eq!(ErrorKind::Fenced, refused.expect_err("fenced").kind());
    assert_eq!(1, journal_length(&*store, 1).await);
    assert_eq!(0, journal_length(&*store, 2).await);
    store.close().await;
    place.drop_schema().await;
}

#[tokio::test]
async fn renewing_the_lease_does_not_wait_for_an_append() {
    let Some(place) = Place::postgres("renewal beside an append") else {
        return;
    };
    let store = place.open().await;
    let fence = worker(&*store).await;
    let mut beside = place.beside().await;
    execute(&mut beside, "BEGIN; SELECT 1 FROM worker FOR KEY SHARE").await;
    let beat = store.worker_beat(&fence, request()).await.unwrap();
    assert!(beat.claims.is_empty());
    execute(&mut beside, "COMMIT").await;
    store.close().await;
    place.drop_schema().await;
}

#[tokio::test]
async fn rows_that_only_the_database_refuses_are_refused_alone() {
    let Some(place) = Place::postgres("rows that the database refuses") else {
        return;
    };
    let store = place.open().await;
    let fence = worker(&*store).await;
    let trigger = "
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.payload LIKE '%poison%' THEN RAISE EXCEPTION 'no poison here'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION refuse()";
    execute(&mut place.beside().await, trigger).await;
    for round in 0..7_u128 {
        let base = round * 10;
        let mut batch: Vec<_> = (0..7)
            .map(|number| entry(base + number, 1, Next::Owned))
            .collect();
        let poisoned = [round, round / 2];
        for (number, entry) in (0..).zip(&mut batch) {
            if poisoned.contains(&number) {
                entry.events[0].payload = "\"poison\"".into();
            }
        }
        let outcomes = store.journal_append(Some(&fence), &batch).await.unwrap();
        for (number, outcome) in (0..).zip(&outcomes) {
            let refused = matches!(outcome, Outcome::Refused(why) if why.contains("no poison"));
            assert_eq!(poisoned.contains(&number), refused, "{outcome:?}");
            let length = usize::from(!refused);
            assert_eq!(length, journal_length(&*store, base + number).await);
        }
    }
    store.close().await;
    place.drop_schema().await;
}

async fn terminate(place: &Place) {
    let text = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE application_name = '{}'",
        place.options.schema
    );
    let _ended = count(&mut place.beside().await, &text).await;
}

async fn patiently(store: &SeaStore, fence: &auterity_core::store::Fence, number: u128) {
    let entries = [entry(number, 1, Next::Owned)];
    for _ in 0..20 {
        match store.journal_append(Some(fence), &entries).await {
            Ok(outcomes) => {
                assert!(!matches!(outcomes[0], Outcome::Refused(_)));
                return;
            }
            Err(error) => assert_eq!(ErrorKind::Unavailable, error.kind()),
        }
    }
    panic!("the connection does not come back");
}

#[tokio::test]
async fn lost_connections_come_back() {
    let Some(place) = Place::postgres("lost connections") else {
        return;
    };
    let store = place.open().await;
    let fence = worker(&*store).await;
    for number in 0..5 {
        patiently(&store, &fence, number).await;
        terminate(&place).await;
    }
    for number in 0..5 {
        patiently(&store, &fence, number).await;
        assert_eq!(1, journal_length(&*store, number).await);
    }
    let loaded = store.execution_load(&[execution(1)]).await.unwrap();
    assert_eq!(1, loaded.len());
    store.close().await;
    place.drop_schema().await;
}

#[tokio::test]
async fn feed_says_to_look_again_since_others_may_have_changed_something() {
    let Some(place) = Place::postgres("the feed of several processes") else {
        return;
    };
    let store = place.open().await;
    assert!(store.is_shared());
    let clock = Arc::new(ManualClock::new(now()));
    let ports = Ports {
        clock: Arc::<ManualClock>::clone(&clock),
        ..Ports::new(Arc::<SeaStore>::clone(&store))
    };
    let engine = Engine::start_without_worker(Options::default(), ports).expect("it starts");
    let scope = Scope::new(tenant(), Actor::Host);
    let mut feed = Box::pin(engine.handle().feed(&scope));
    for _ in 0..2 {
        assert!(feed.next().now_or_never().is_none());
        clock.advance(SignedDuration::from_secs(5));
        assert!(matches!(feed.next().await, Some(FeedItem::Lagged)));
    }
    store.close().await;
    place.drop_schema().await;
}

#[tokio::test]
async fn a_word_reaches_every_waiter_of_every_process() {
    let Some(place) = Place::postgres("notifications") else {
        return;
    };
    let (first, second) = (place.open().await, place.open().await);
    let mut beside = place.beside().await;
    let listening = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{}'
            AND state = 'idle' AND query LIKE 'LISTEN%'",
        place.options.schema
    );
    for round in 0..3 {
        let waiters = async {
            let stores: [&Arc<SeaStore>; 3] = [&first, &second, &first];
            let waits = stores.map(|store| store.wake_wait());
            futures_util::future::join_all(waits).await
        };
        let word = async {
            while count(&mut beside, &listening).await < 2 {
                tokio::task::yield_now().await;
            }
            second.wake_send().await.unwrap();
        };
        let (heard, ()) = tokio::join!(waiters, word);
        assert!(heard.iter().all(Result::is_ok), "round {round}: {heard:?}");
    }
    first.close().await;
    second.close().await;
    place.drop_schema().await;
}
