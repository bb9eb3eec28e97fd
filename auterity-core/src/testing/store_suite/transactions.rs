//! Transactions of functions: their writes and a journal entry, together or not at all.

use std::sync::Arc;

use super::{Life, at, completed, entry, execution, ok, scope, started, tenant};
use crate::ErrorKind;
use crate::store::{Next, Outcome, Status, Store, Transaction, Written};

async fn begin(store: &Arc<dyn Store>) -> Transaction {
    ok(store.begin(scope(1)).await)
}

async fn put(transaction: &Transaction, key: &str, value: &str) -> Written {
    let value = Arc::from(value);
    let put = transaction.value_put(tenant(1), (key, &value), at(1));
    ok(put.await)
}

async fn add(transaction: &Transaction, key: &str, value: &str) -> Written {
    let value = Arc::from(value);
    let added = transaction.value_add(tenant(1), (key, &value), at(1));
    ok(added.await)
}

/// Reads in a transaction of its own.
async fn value(store: &Arc<dyn Store>, key: &str) -> Option<Arc<str>> {
    let transaction = begin(store).await;
    let value = ok(transaction.value_get(tenant(1), key).await);
    transaction.roll_back().await;
    value
}

pub(super) async fn writes_commit_with_their_entry_or_not_at_all(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    life.record(&[started(1, Next::Owned)]).await;

    let transaction = begin(&store).await;
    assert_eq!(add(&transaction, "a", "1").await, Written::Done);
    let second = entry(1, 2, Next::Owned);
    let outcome = transaction.commit_with(&life.fence, &second).await;
    assert_eq!(ok(outcome), Outcome::Recorded);
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
    assert_eq!(life.journal_length(1).await, 2);

    let transaction = begin(&store).await;
    assert_eq!(add(&transaction, "b", "1").await, Written::Done);
    let outcome = transaction.commit_with(&life.fence, &second).await;
    assert_eq!(ok(outcome), Outcome::AlreadyRecorded);
    assert_eq!(
        value(&store, "b").await,
        None,
        "the entry was there already"
    );

    let transaction = begin(&store).await;
    assert_eq!(add(&transaction, "c", "1").await, Written::Done);
    drop(transaction);
    assert_eq!(value(&store, "c").await, None, "it was dropped");

    // SQLite has one writer, so the take-over cannot come while the transaction is open.
    let other = Life::begin(&store, 1).await;
    let transaction = begin(&store).await;
    assert_eq!(add(&transaction, "d", "1").await, Written::Done);
    let third = entry(1, 3, Next::Owned);
    let late = transaction.commit_with(&life.fence, &third);
    let refused = late.await.expect_err("the lease is lost");
    assert_eq!(refused.kind(), ErrorKind::Fenced);
    assert_eq!(
        value(&store, "d").await,
        None,
        "its worker had lost the lease"
    );
    assert_eq!(life.journal_length(1).await, 2);

    assert_eq!(other.claim(10, 10).await, [execution(1)]);
    let transaction = begin(&store).await;
    assert_eq!(add(&transaction, "e", "1").await, Written::Done);
    let third = entry(1, 3, completed());
    let end = transaction.commit_with(&other.fence, &third);
    assert_eq!(ok(end.await), Outcome::Recorded);
    assert_eq!(life.status(1).await, Status::Completed);
    assert_eq!(value(&store, "e").await.as_deref(), Some("1"));
}

pub(super) async fn values_are_kept_compared_and_listed(store: Arc<dyn Store>) {
    let transaction = begin(&store).await;
    for (key, value) in [("o/1", "1"), ("o/2", "2"), ("o0", "3"), ("p", "4")] {
        assert_eq!(put(&transaction, key, value).await, Written::Done);
    }
    assert_eq!(
        add(&transaction, "p", "5").await,
        Written::Different(Some("4".into()))
    );
    assert_eq!(put(&transaction, "p", "6").await, Written::Done);
    ok(transaction.commit().await);

    let transaction = begin(&store).await;
    let listed = transaction.value_list(tenant(1), ("o/", ""), 10).await;
    let expected = [
        ("o/1".to_owned(), "1".into()),
        ("o/2".to_owned(), "2".into()),
    ];
    assert_eq!(ok(listed), expected);
    let listed = transaction.value_list(tenant(1), ("", "o/1"), 2).await;
    let keys: Vec<String> = ok(listed).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["o/2", "o0"]);
    for (expected, written) in [
        ("4", Written::Different(Some("6".into()))),
        ("6", Written::Done),
    ] {
        let same = |held: Option<&str>| held == Some(expected);
        let value = Arc::from("7");
        let swap = transaction.value_swap(tenant(1), ("p", &value), at(3), same);
        assert_eq!(ok(swap.await), written);
    }
    assert!(ok(transaction.value_delete(tenant(1), "o/1").await));
    assert!(!ok(transaction.value_delete(tenant(1), "o/1").await));
    let foreign = transaction.value_get(tenant(2), "p").await;
    assert_eq!(ok(foreign), None, "another tenant sees nothing");
    ok(transaction.commit().await);
    assert_eq!(value(&store, "p").await.as_deref(), Some("7"));
    assert_eq!(value(&store, "o/1").await, None);
}
