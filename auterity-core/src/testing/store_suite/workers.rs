//! Workers: lives, leases, claims.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::SignedDuration;

use super::{Life, at, completed, entry, execution, ok, parked, scope, started, tenant, worker};
use crate::ErrorKind;
use crate::store::{ExecutionQuery, Next, Outcome, Status, Store, Test};

pub(super) async fn restart_under_the_same_name_fences_the_earlier_life(store: Arc<dyn Store>) {
    let first = Life::begin(&store, 1).await;
    first.record(&[started(1, Next::Owned)]).await;
    assert_eq!(Status::Running, first.status(1).await);
    let registered = store.worker_register(
        &first.fence.name,
        worker(2),
        at(0),
        SignedDuration::from_hours(1),
    );
    let second = Life {
        fence: ok(registered.await),
        store: Arc::clone(&store),
    };
    assert!(first.fence.epoch < second.fence.epoch);
    assert_eq!(Status::Pending, second.status(1).await);

    let entries = [entry(1, 2, Next::Owned)];
    let refused = store.journal_append(Some(&first.fence), &entries).await;
    assert_eq!(
        ErrorKind::Fenced,
        refused.expect_err("the earlier life is over").kind()
    );
    let refused = first.beat(at(1), 1).await;
    assert_eq!(
        ErrorKind::Fenced,
        refused.expect_err("the earlier life is over").kind()
    );
    // A release may come late or twice.
    ok(store.worker_release(&first.fence).await);
    assert_eq!(vec![execution(1)], second.claim(10, 5).await);
    second.record(&entries).await;
}

pub(super) async fn expired_lease_is_taken_over(store: Arc<dyn Store>) {
    let dead = Life::with_lease(&store, 1, SignedDuration::from_secs(-10)).await;
    dead.record(&[started(1, Next::Owned), started(2, parked(None))])
        .await;
    // Nobody took over yet, so the worker may still write and renew.
    dead.record(&[entry(1, 2, Next::Owned)]).await;
    let next = Life::begin(&store, 2).await;
    assert_eq!(vec![execution(1)], next.claim(10, 5).await);
    let entries = [entry(1, 3, Next::Owned), started(3, Next::Owned)];
    let refused = store.journal_append(Some(&dead.fence), &entries).await;
    assert_eq!(
        ErrorKind::Fenced,
        refused.expect_err("the lease is lost").kind()
    );
    let refused = dead.beat(at(11), 5).await;
    assert_eq!(
        ErrorKind::Fenced,
        refused.expect_err("the lease is lost").kind()
    );
    next.record(&[entry(1, 3, Next::Owned)]).await;
    assert_eq!(Status::Waiting, next.status(2).await);
    let lost = store.execution_fetch(scope(1), execution(3));
    assert_eq!(None, ok(lost.await));
    // The name lives on with a higher epoch.
    let again = Life::begin(&store, 1).await;
    assert!(dead.fence.epoch < again.fence.epoch);
    assert!(again.claim(12, 5).await.is_empty());
}

pub(super) async fn release_frees_at_once(store: Arc<dyn Store>) {
    let first = Life::begin(&store, 1).await;
    first.record(&[started(1, Next::Owned)]).await;
    let second = Life::begin(&store, 2).await;
    assert!(second.claim(10, 5).await.is_empty());
    ok(store.worker_release(&first.fence).await);
    assert_eq!(vec![execution(1)], second.claim(10, 5).await);
    assert_eq!(Status::Running, second.status(1).await);
    let entries = [entry(1, 2, Next::Owned)];
    let refused = store.journal_append(Some(&first.fence), &entries).await;
    assert_eq!(
        ErrorKind::Fenced,
        refused.expect_err("the life has ended").kind()
    );
}

pub(super) async fn claims_are_listed_while_they_are_held(store: Arc<dyn Store>) {
    let first = Life::begin(&store, 1).await;
    let second = Life::begin(&store, 2).await;
    first
        .record(&[
            started(1, Next::Owned),
            started(2, Next::Queued),
            started(3, parked(None)),
            started(4, Next::Owned),
        ])
        .await;
    let listed = |life: Life| async move {
        let claims = ok(life.store.worker_claims(&life.fence).await);
        assert!(claims.iter().all(|claim| claim.tenant == tenant(1)));
        let ids: Vec<_> = claims.iter().map(|claim| claim.execution).collect();
        ids
    };
    assert_eq!(
        vec![execution(1), execution(4)],
        listed(first.clone()).await
    );
    assert_eq!(vec![execution(2)], second.claim(10, 5).await);
    assert_eq!(vec![execution(2)], listed(second.clone()).await);
    second.record(&[entry(2, 2, completed())]).await;
    assert!(listed(second).await.is_empty());
    first.record(&[entry(1, 2, parked(None))]).await;
    assert_eq!(vec![execution(4)], listed(first.clone()).await);
    ok(store.worker_release(&first.fence).await);
    assert!(listed(first).await.is_empty());
}

pub(super) async fn claims_follow_priority_then_due_time(store: Arc<dyn Store>) {
    let mut entries = Vec::new();
    for (number, priority, seconds) in [(1, 0, 3), (2, 5, 9), (3, 0, 1), (4, -2, 0), (5, 5, 2)] {
        let mut entry = started(number, Next::Queued);
        if let Some(start) = &mut entry.start {
            start.priority = priority;
            start.at = at(seconds);
        }
        entries.push(entry);
    }
    let outcomes = ok(store.journal_append(None, &entries).await);
    assert_eq!(vec![Outcome::Recorded; 5], outcomes);
    let life = Life::begin(&store, 1).await;
    assert_eq!(Status::Pending, life.status(1).await);
    assert!(life.claim(20, 0).await.is_empty());
    let claims = ok(life.beat(at(20), 2).await);
    assert!(claims.iter().all(|claim| claim.tenant == tenant(1)));
    let claims: Vec<_> = claims.iter().map(|claim| claim.execution).collect();
    assert_eq!(vec![execution(5), execution(2)], claims);
    assert_eq!(Status::Running, life.status(5).await);
    let rest = life.claim(20, 10).await;
    assert_eq!(vec![execution(3), execution(1), execution(4)], rest);
}

pub(super) async fn timers_become_due(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let entries = [
        started(1, parked(Some(at(50)))),
        started(2, parked(Some(at(60)))),
        started(3, parked(None)),
    ];
    life.record(&entries).await;
    let beat = life.look(at(49), 10).await;
    assert_eq!((0, Some(at(50))), (beat.claims.len(), beat.look_at));
    assert_eq!(Status::Waiting, life.status(1).await);
    assert_eq!(vec![execution(1)], life.claim(50, 10).await);
    let beat = life.look(at(59), 0).await;
    assert_eq!(Some(at(60)), beat.look_at);
    life.record(&[entry(1, 2, completed())]).await;
    assert_eq!(vec![execution(2)], life.claim(100_000, 10).await);
}

pub(super) async fn fifty_claimers_never_claim_twice(store: Arc<dyn Store>) {
    let entries: Vec<_> = (0..200).map(|one| started(one, Next::Queued)).collect();
    ok(store.journal_append(None, &entries).await);
    let claimers = join_all((0..50).map(|number| {
        let store = Arc::clone(&store);
        async move {
            let life = Life::begin(&store, number).await;
            let mut mine = life.claim(1_000, 3).await;
            mine.extend(life.claim(1_000, 2).await);
            mine
        }
    }));
    let claimed: Vec<_> = claimers.await.into_iter().flatten().collect();
    let mut distinct: BTreeSet<_> = claimed.iter().copied().collect();
    assert_eq!(claimed.len(), distinct.len(), "nothing is claimed twice");
    let last = Life::begin(&store, 99).await;
    distinct.extend(last.claim(1_000, 1_000).await);
    assert_eq!(200, distinct.len(), "nothing is forgotten");
    let running = ExecutionQuery {
        filter: Test::Status(vec![Status::Running]).into(),
        limit: 1_000,
        ..ExecutionQuery::default()
    };
    let listed = ok(store.execution_list(scope(1), &running).await);
    assert_eq!(200, listed.items.len());
}

pub(super) async fn concurrent_registrations_leave_one_life(store: Arc<dyn Store>) {
    let lease = SignedDuration::from_hours(1);
    let registered =
        (0..10).map(|number| store.worker_register("worker-1", worker(number), at(0), lease));
    let fences: Vec<_> = join_all(registered).await.into_iter().map(ok).collect();
    let epochs: BTreeSet<_> = fences.iter().map(|fence| fence.epoch).collect();
    assert_eq!(10, epochs.len(), "each life has its own epoch");
    let mut holders = 0;
    for (fence, number) in fences.iter().zip(0..) {
        let entries = [started(number, Next::Owned)];
        match store.journal_append(Some(fence), &entries).await {
            Ok(_) => holders += 1,
            Err(error) => assert_eq!(ErrorKind::Fenced, error.kind()),
        }
    }
    assert_eq!(1, holders);
}
