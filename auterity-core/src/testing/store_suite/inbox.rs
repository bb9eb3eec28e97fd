//! Messages and subscriptions.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join;

use super::{
    Life, at, completed, entry, execution, message, ok, parked, scope, started, subscription,
    tenant,
};
use crate::InboxId;
use crate::store::{
    Control, Correlated, Correlation, ExecutionQuery, MessageKind, Next, Status, Store,
    Subscription, Test,
};

pub(super) async fn messages_wake_and_are_recognised_again(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    life.record(&[started(1, parked(Some(at(5_000)))), started(2, Next::Owned)])
        .await;
    let mut early = message(1, "early");
    early.at = at(50);
    early.kind = MessageKind::Control;
    early.effect = None;
    let late = message(1, "late");
    ok(store
        .inbox_put(&[late.clone(), early.clone(), message(2, "x")])
        .await);
    // Once more, alone and together.
    ok(store.inbox_put(&[late.clone(), late.clone()]).await);
    assert_eq!(vec![execution(1)], life.claim(60, 5).await);
    let both = ok(store.inbox_fetch(&[execution(1)]).await);
    assert_eq!(vec![early.clone(), late.clone()], both, "oldest first");
    assert_eq!(
        3,
        ok(store.inbox_fetch(&[execution(1), execution(2)]).await).len()
    );
    assert_eq!(
        both,
        ok(store.execution_load(&[execution(1)]).await)[0].inbox
    );

    // A consumed message is not offered again, not even when it is put again.
    let mut next = entry(1, 2, Next::Owned);
    next.consumed = vec![early.id];
    life.record(&[next]).await;
    ok(store.inbox_put(std::slice::from_ref(&early)).await);
    assert_eq!(
        vec![late.clone()],
        ok(store.inbox_fetch(&[execution(1)]).await)
    );
    let mut next = entry(1, 3, parked(None));
    next.consumed = vec![late.id];
    life.record(&[next]).await;
    ok(store.inbox_put(&[early, late]).await);
    assert!(life.claim(70, 5).await.is_empty());
    assert_eq!(Status::Waiting, life.status(1).await);
}

pub(super) async fn messages_to_ended_or_foreign_executions_are_dropped(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    life.record(&[started(1, Next::Owned), started(2, parked(None))])
        .await;
    ok(store.inbox_put(&[message(1, "before")]).await);
    life.record(&[entry(1, 2, completed())]).await;
    assert_eq!(0, life.inbox_length(1).await, "the inbox goes with the end");
    let mut foreign = message(2, "foreign");
    foreign.tenant = tenant(2);
    ok(store
        .inbox_put(&[message(1, "after"), foreign, message(99, "nobody")])
        .await);
    for number in [1, 2, 99] {
        assert_eq!(0, life.inbox_length(number).await);
    }
    assert!(life.claim(100, 5).await.is_empty());
}

pub(super) async fn message_before_parking_makes_due_at_once(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    life.record(&[started(1, Next::Owned), started(2, Next::Owned)])
        .await;
    ok(store.inbox_put(&[message(1, "hello")]).await);
    life.record(&[
        entry(1, 2, parked(None)),
        entry(2, 2, parked(Some(at(9_000)))),
    ])
    .await;
    assert_eq!(Status::Pending, life.status(1).await);
    assert_eq!(vec![execution(1)], life.claim(200, 5).await);
}

pub(super) async fn parking_and_messages_at_once_lose_nothing(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    life.record(&[started(1, Next::Owned), started(2, Next::Owned)])
        .await;
    let mut consumed = [Vec::new(), Vec::new()];
    for round in 0..40_u64 {
        let mut entries = [
            entry(1, 2 + round, parked(None)),
            entry(2, 2 + round, parked(None)),
        ];
        for (entry, consumed) in entries.iter_mut().zip(&mut consumed) {
            entry.consumed = std::mem::take(consumed);
        }
        let what = format!("round {round}");
        // Opposite orders, so that careless locking would deadlock.
        let messages = [message(2, &what), message(1, &what)];
        let ((), put) = join(life.record(&entries), store.inbox_put(&messages)).await;
        ok(put);
        let mut claimed = life.claim(200, 5).await;
        claimed.sort();
        assert_eq!(vec![execution(1), execution(2)], claimed, "{what}");
        consumed = [vec![messages[1].id], vec![messages[0].id]];
    }
}

pub(super) async fn messages_ride_with_an_entry(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    life.record(&[started(1, parked(None)), started(2, Next::Owned)])
        .await;
    // One receiver waits, one starts, one ends and one parks in the same batch.
    let mut sender = started(3, completed());
    sender.messages = vec![
        message(1, "to the waiting"),
        message(2, "to the parking"),
        message(4, "to the starting"),
        message(5, "to the ending"),
    ];
    let batch = [
        sender,
        entry(2, 2, parked(None)),
        started(4, parked(None)),
        started(5, completed()),
    ];
    life.record(&batch).await;
    let mut claimed = life.claim(200, 5).await;
    claimed.sort();
    assert_eq!(vec![execution(1), execution(2), execution(4)], claimed);
    for (number, count) in [(1, 1), (2, 1), (4, 1), (5, 0)] {
        assert_eq!(count, life.inbox_length(number).await, "{number}");
    }
    let mut other = entry(1, 2, Next::Owned);
    // The mark of another execution's message is not this entry's to set.
    other.consumed = vec![InboxId::derived(execution(2), "to the parking")];
    life.record(&[other]).await;
    assert_eq!(1, life.inbox_length(2).await);
}

pub(super) async fn subscriptions_match_until_they_end(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let mut first = started(1, parked(None));
    first.subscribe = vec![
        subscription(1, 1, Some("letter")),
        subscription(1, 2, None),
        subscription(1, 3, Some("parcel")),
    ];
    first.subscribe[1].filter = 4;
    let mut second = started(2, Next::Owned);
    second.subscribe = vec![
        subscription(2, 1, Some("letter")),
        subscription(2, 2, Some("letter")),
    ];
    let mut foreign = started(3, parked(None));
    foreign.tenant = tenant(2);
    foreign.subscribe = vec![subscription(3, 1, Some("letter"))];
    foreign.subscribe[0].tenant = tenant(2);
    life.record(&[first.clone(), second.clone(), foreign]).await;
    let matching = async |event_type: &str| {
        let mut found = ok(store.subscription_match(tenant(1), event_type).await);
        found.sort_by_key(|one| (one.execution, one.effect));
        found
    };
    let expected = vec![
        first.subscribe[0].clone(),
        first.subscribe[1].clone(),
        second.subscribe[0].clone(),
        second.subscribe[1].clone(),
    ];
    assert_eq!(expected, matching("letter").await);
    assert_eq!(vec![first.subscribe[1].clone()], matching("other").await);

    let mut next = entry(2, 2, Next::Owned);
    next.unsubscribe = vec![1];
    next.subscribe = vec![subscription(2, 9, Some("letter"))];
    life.record(&[next]).await;
    let effects: Vec<u64> = matching("letter")
        .await
        .iter()
        .filter(|one| one.execution == execution(2))
        .map(|one| one.effect)
        .collect();
    assert_eq!(vec![2, 9], effects);
    life.record(&[entry(2, 3, completed())]).await;
    assert_eq!(2, matching("letter").await.len());
    let fetched = store.execution_fetch(scope(2), execution(3));
    assert!(ok(fetched.await).is_some());
}

pub(super) async fn correlated_subscriptions_are_found_by_their_key(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let keyed = |number: u128, event_type: Option<&str>, by: i64, to: i64| Subscription {
        correlation: Some(Correlation { by, to }),
        ..subscription(number, 1, event_type)
    };
    let listening = [
        keyed(1, Some("letter"), -7, i64::MIN),
        keyed(2, Some("letter"), -7, i64::MAX),
        keyed(3, Some("letter"), -7, i64::MAX),
        keyed(4, Some("letter"), 9, i64::MAX),
        subscription(5, 1, Some("letter")),
        keyed(6, Some("parcel"), -7, i64::MAX),
        keyed(7, None, -7, i64::MAX),
    ];
    let entries = (1..).zip(&listening).map(|(number, one)| {
        let mut entry = started(number, parked(None));
        entry.subscribe = vec![one.clone()];
        entry
    });
    life.record(&entries.collect::<Vec<_>>()).await;

    // One of each kind, and all that have no correlation or no type.
    let matched = ok(store.subscription_match(tenant(1), "letter").await);
    let kinds: BTreeMap<_, usize> = matched.iter().fold(BTreeMap::new(), |mut kinds, one| {
        *kinds
            .entry((one.event_type.is_some(), one.correlation.map(|key| key.by)))
            .or_default() += 1;
        kinds
    });
    let expected = [
        ((false, Some(-7)), 1),
        ((true, None), 1),
        ((true, Some(-7)), 1),
        ((true, Some(9)), 1),
    ];
    assert_eq!(BTreeMap::from(expected), kinds);

    let correlated = async |event_type: &str, wanted: &[(i64, Option<i64>)]| {
        let wanted: Vec<_> = wanted
            .iter()
            .map(|(by, to)| Correlated { by: *by, to: *to })
            .collect();
        let found = store.subscription_correlated(tenant(1), event_type, &wanted);
        let mut found = ok(found.await);
        found.sort_by_key(|one| one.execution);
        found
    };
    let exactly = correlated("letter", &[(-7, Some(i64::MAX))]).await;
    assert_eq!(listening[1..3], exactly);
    let of_kind = correlated("letter", &[(-7, None)]).await;
    assert_eq!(listening[..3], of_kind);
    let several = correlated("letter", &[(9, Some(i64::MAX)), (-7, Some(i64::MIN))]).await;
    assert_eq!([listening[0].clone(), listening[3].clone()][..], several);
    assert!(
        correlated("letter", &[(9, Some(0)), (8, None)])
            .await
            .is_empty()
    );
    let foreign = [Correlated { by: 9, to: None }];
    let foreign = store.subscription_correlated(tenant(2), "letter", &foreign);
    assert!(ok(foreign.await).is_empty());
}

pub(super) async fn control_wakes_and_marks_as_suspended(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    life.record(&[started(1, parked(None)), started(2, Next::Owned)])
        .await;
    let order = |number: u128, id: &str| {
        let mut order = message(number, id);
        order.kind = MessageKind::Control;
        order.effect = None;
        order
    };
    assert!(ok(store
        .control_put(&order(1, "stop"), Control::Suspend)
        .await));
    assert!(ok(store
        .control_put(&order(1, "stop"), Control::Suspend)
        .await));
    assert!(ok(store
        .control_put(&order(2, "stop"), Control::Suspend)
        .await));
    assert_eq!(Status::Suspended, life.status(1).await);
    assert_eq!(Status::Suspended, life.status(2).await);
    assert_eq!(vec![execution(1)], life.claim(200, 5).await, "it wakes");
    assert_eq!(1, life.inbox_length(1).await, "a repetition is recognised");
    let listed = |status| {
        let query = ExecutionQuery {
            filter: Test::Status(vec![status]).into(),
            limit: 10,
            ..ExecutionQuery::default()
        };
        let store = Arc::clone(&store);
        async move { ok(store.execution_list(scope(1), &query).await).items.len() }
    };
    assert_eq!(
        (2, 0),
        (
            listed(Status::Suspended).await,
            listed(Status::Running).await
        )
    );
    // Another word without a mark leaves it, one that takes it away does.
    assert!(ok(store
        .control_put(&order(1, "skip"), Control::Tell)
        .await));
    assert_eq!(Status::Suspended, life.status(1).await);
    assert!(ok(store
        .control_put(&order(1, "go"), Control::Resume)
        .await));
    assert_eq!(Status::Running, life.status(1).await);
    assert_eq!(
        (1, 1),
        (
            listed(Status::Suspended).await,
            listed(Status::Running).await
        )
    );

    // Nothing for what has ended, is not there, or is another tenant's.
    life.record(&[entry(2, 2, completed())]).await;
    assert!(!ok(store
        .control_put(&order(2, "late"), Control::Suspend)
        .await));
    assert_eq!(Status::Completed, life.status(2).await);
    assert!(!ok(store
        .control_put(&order(9, "lost"), Control::Suspend)
        .await));
    let mut foreign = order(1, "foreign");
    foreign.tenant = tenant(2);
    assert!(!ok(store.control_put(&foreign, Control::Suspend).await));
    assert_eq!(Status::Running, life.status(1).await);
}
