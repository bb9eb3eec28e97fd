//! What only SQLite can do wrong.

use auterity_core::store::{Next, Store};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};

use super::{Place, entry, journal_length, record, worker};

#[tokio::test]
async fn writer_waits_for_another_process() {
    let place = Place::sqlite();
    let store = place.open().await;
    let fence = worker(&*store).await;
    let options: SqliteConnectOptions = place.url.parse().unwrap();
    let mut other = options.connect().await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    other.execute("DELETE FROM inbox").await.unwrap();
    let entries = [entry(1, 1, Next::Owned)];
    let append = record(&*store, &fence, &entries);
    tokio::pin!(append);
    // Readers are not held up by either writer.
    for _ in 0..10 {
        assert!(futures_util::poll!(&mut append).is_pending());
        assert_eq!(0, journal_length(&*store, 1).await);
    }
    other.execute("COMMIT").await.unwrap();
    append.await;
    assert_eq!(1, journal_length(&*store, 1).await);
    store.close().await;
}

#[tokio::test]
async fn two_stores_on_one_file_share_the_work() {
    let place = Place::sqlite();
    let (first, second) = (place.open().await, place.open().await);
    let fence = worker(&*first).await;
    record(&*first, &fence, &[entry(1, 1, Next::Owned)]).await;
    record(&*second, &fence, &[entry(1, 2, Next::Owned)]).await;
    record(&*first, &fence, &[entry(1, 3, Next::Owned)]).await;
    assert_eq!(3, journal_length(&*second, 1).await);
    second.ping().await.unwrap();
    first.close().await;
    second.close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::sqlite();
    let store = place.open().await;
    worker(&*store).await;
    let options: SqliteConnectOptions = place.url.parse().unwrap();
    let folder = options.get_filename().parent().unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
        files += 1;
    }
    assert!(2 <= files, "the database and its log");
    store.close().await;
}
