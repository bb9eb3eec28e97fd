//! Faults that both databases must survive: reopening, damaged rows, calls cut short.

use std::sync::Arc;

use auterity_core::ErrorKind;
use auterity_core::store::{Next, Outcome, SeaOptions, SeaStore, Snapshot, Store};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

use super::{Place, entry, execute, execution, journal_length, parked, record, worker};

fn places(test: &str) -> Vec<Place> {
    let mut places = vec![Place::sqlite()];
    places.extend(Place::postgres(test));
    places
}

/// Executes a statement behind the store's back.
async fn tamper(place: &Place, text: &str) {
    if place.url.starts_with("sqlite:") {
        let options: sqlx::sqlite::SqliteConnectOptions = place.url.parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        let query = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
        query.execute(&mut connection).await.unwrap();
    } else {
        execute(&mut place.beside().await, text).await;
    }
}

async fn finish(place: &Place, store: Arc<SeaStore>) {
    store.close().await;
    if place.url.starts_with("postgres") {
        place.drop_schema().await;
    }
}

#[tokio::test]
async fn reopened_store_has_everything() {
    for place in places("reopening") {
        let store = place.open().await;
        let fence = worker(&*store).await;
        let mut first = entry(1, 1, Next::Owned);
        first.snapshot = Some(Snapshot {
            sequence: 1,
            format: 1,
            state: "{}".into(),
        });
        record(&*store, &fence, &[first, entry(2, 1, parked())]).await;
        // Without a farewell, as after a crash.
        drop(store);
        let store = place.open().await;
        record(&*store, &fence, &[entry(1, 2, Next::Owned)]).await;
        let loaded = store.execution_load(&[execution(1), execution(2)]).await;
        let loaded = loaded.unwrap();
        assert_eq!(2, loaded.len());
        assert!(loaded[0].snapshot.is_some());
        assert_eq!(1, loaded[0].tail.len());
        finish(&place, store).await;
    }
}

#[tokio::test]
async fn damaged_snapshot_falls_back_to_the_whole_journal() {
    for place in places("damaged snapshots") {
        let store = place.open().await;
        let fence = worker(&*store).await;
        for (number, damage) in [
            (1, "state = '{\"other\":1}'"),
            (2, "sequence = 1"),
            (3, "format = 2"),
            (4, "checksum = checksum + 1"),
        ] {
            let mut first = entry(number, 1, Next::Owned);
            first
                .events
                .push(entry(number, 2, Next::Owned).events.remove(0));
            first.snapshot = Some(Snapshot {
                sequence: 2,
                format: 1,
                state: "{\"state\":1}".into(),
            });
            record(&*store, &fence, &[first]).await;
            let loaded = store.execution_load(&[execution(number)]).await.unwrap();
            assert!(loaded[0].snapshot.is_some());
            assert!(loaded[0].tail.is_empty());
            // Every row: the earlier ones have been looked at.
            tamper(&place, &format!("UPDATE snapshot SET {damage}")).await;
            let loaded = store.execution_load(&[execution(number)]).await.unwrap();
            assert_eq!(None, loaded[0].snapshot, "{damage}");
            assert_eq!(2, loaded[0].tail.len(), "{damage}");
        }
        finish(&place, store).await;
    }
}

#[tokio::test]
async fn append_that_is_cut_short_is_whole_or_absent() {
    for place in places("cut appends") {
        let store = place.open().await;
        let fence = worker(&*store).await;
        for number in 0..40_u128 {
            let entries = [entry(number, 1, Next::Owned)];
            let append = store.journal_append(Some(&fence), &entries);
            tokio::pin!(append);
            // Cut after some polls, each time a few more.
            for _ in 0..number {
                if futures_util::poll!(&mut append).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        for number in 0..40_u128 {
            let entries = [entry(number, 1, Next::Owned)];
            let again = store.journal_append(Some(&fence), &entries).await.unwrap();
            assert!(matches!(
                again.as_slice(),
                [Outcome::Recorded | Outcome::AlreadyRecorded]
            ));
            assert_eq!(1, journal_length(&*store, number).await);
            // It is the worker's either way.
            record(&*store, &fence, &[entry(number, 2, parked())]).await;
        }
        finish(&place, store).await;
    }
}

#[tokio::test]
async fn newer_schema_and_wrong_urls_are_refused() {
    for place in places("a newer schema") {
        let store = place.open().await;
        tamper(&place, "INSERT INTO migration (version) VALUES (9999)").await;
        let refused = store.migrate().await.expect_err("the schema is newer");
        assert!(!refused.message().is_empty());
        finish(&place, store).await;
    }
    let schema = SeaOptions {
        schema: "a\"; drop".to_owned(),
        ..SeaOptions::default()
    };
    for (url, options) in [
        ("mysql://localhost/x", SeaOptions::default()),
        ("sqlite::memory:", SeaOptions::default()),
        ("postgres://localhost:1/x", schema),
    ] {
        let refused = SeaStore::open(url, options).await.expect_err("it is wrong");
        assert_eq!(ErrorKind::Invalid, refused.kind());
    }
}
