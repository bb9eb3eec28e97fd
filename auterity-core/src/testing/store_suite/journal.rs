//! The journal: appends, repetitions, bad entries, fences, recovery.

use std::sync::Arc;

use futures_util::future::join_all;
use jiff::SignedDuration;

use super::{
    Life, at, completed, entry, event, execution, message, ok, parked, scope, started,
    subscription, tenant, worker, workflow,
};
use crate::definition::ProgramHash;
use crate::store::{
    Ended, Entry, EventRow, Next, Outcome, Parent, Snapshot, Status, Store, TEXT_BYTES_MAX,
};
use crate::{ErrorKind, ExecutionId};

pub(super) async fn an_execution_lives_and_ends(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let mut first = started(1, Next::Owned);
    if let Some(start) = &mut first.start {
        start.attributes = [("customer".to_owned(), "Ada".to_owned())].into();
        start.parent = Some(Parent {
            execution: execution(77),
            effect: Some(5),
        });
    }
    life.record(&[first]).await;
    let loaded = ok(store.execution_load(&[execution(1), execution(2)]).await);
    assert_eq!(1, loaded.len(), "unknown executions are left out");
    assert_eq!(tenant(1), loaded[0].tenant);
    assert_eq!(workflow("order"), loaded[0].workflow);
    assert_eq!(ProgramHash::of("order"), loaded[0].program);
    assert_eq!(at(1), loaded[0].started_at);
    assert_eq!(Some(5), loaded[0].parent.and_then(|parent| parent.effect));
    assert_eq!(vec![event(1)], loaded[0].tail);

    life.record(&[entry(1, 2, parked(Some(at(5))))]).await;
    let row = ok(store.execution_fetch(scope(1), execution(1)).await);
    let row = row.expect("the execution is there");
    assert_eq!(Status::Waiting, row.status);
    assert_eq!(Some("a letter"), row.waiting_for.as_deref());
    assert_eq!(Some("{\"a\":1}"), row.input.as_deref());
    assert_eq!(Some(execution(77)), row.parent);
    assert_eq!(
        Some("Ada"),
        row.attributes.get("customer").map(String::as_str)
    );
    assert_eq!(vec![execution(1)], life.claim(10, 5).await);

    life.record(&[entry(1, 3, completed())]).await;
    let row = ok(store.execution_fetch(scope(1), execution(1)).await);
    let row = row.expect("ended executions stay");
    assert_eq!(Status::Completed, row.status);
    assert_eq!(
        (Some("{\"ok\":true}"), None),
        (row.output.as_deref(), row.error.as_deref())
    );
    assert_eq!(
        (Some(at(9_000)), None, at(1)),
        (row.ended_at, row.waiting_for, row.started_at)
    );
    assert!(ok(store.execution_load(&[execution(1)]).await).is_empty());
    assert_eq!(3, life.journal_length(1).await);

    // Start and end in one entry.
    let failed = Next::Ended(Ended {
        status: Status::Faulted,
        output: None,
        error: Some("{\"type\":\"x\"}".into()),
        fault: None,
        at: at(1),
    });
    life.record(&[started(2, failed)]).await;
    assert_eq!(Status::Faulted, life.status(2).await);
    assert!(life.claim(1_000, 5).await.is_empty());
}

/// An entry with something of everything, for an execution of this life's worker.
fn full(number: u128, sequence: u64, receiver: u128) -> Entry {
    let mut full = entry(number, sequence, parked(None));
    full.events.push(event(sequence + 1));
    full.snapshot = Some(Snapshot {
        sequence: sequence + 1,
        format: 1,
        state: "{\"changed\":true}".into(),
    });
    full.subscribe = vec![subscription(number, 1, Some("letter"))];
    full.messages = vec![message(receiver, "hello")];
    full
}

pub(super) async fn repeated_entry_at_each_position_has_no_effect(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    for position in 0..3_usize {
        let base = position as u128 * 10;
        let numbers = [base + 1, base + 2, base + 3];
        let repeated = numbers[position];
        let receiver = base + 9;
        let mut starts: Vec<Entry> = numbers.map(|one| started(one, Next::Owned)).into();
        starts.push(started(receiver, Next::Owned));
        life.record(&starts).await;
        // The repeated one went on already: its second event is there.
        life.record(&[entry(repeated, 2, Next::Owned)]).await;
        let mut entries: Vec<Entry> = numbers.map(|one| entry(one, 2, Next::Owned)).into();
        entries[position] = full(repeated, 2, receiver);
        let outcomes = life.append(&entries).await;
        for (place, outcome) in outcomes.iter().enumerate() {
            let expected = if place == position {
                Outcome::AlreadyRecorded
            } else {
                Outcome::Recorded
            };
            assert_eq!(expected, *outcome, "entry {place}, repeated {position}");
        }
        assert_eq!(2, life.journal_length(repeated).await);
        assert_eq!(Status::Running, life.status(repeated).await);
        assert_eq!(0, life.inbox_length(receiver).await);
        let loaded = ok(store.execution_load(&[execution(repeated)]).await);
        assert_eq!(None, loaded[0].snapshot);
        assert!(
            ok(store.subscription_match(tenant(1), "letter").await).is_empty(),
            "no subscription was written"
        );
        // A repeated start has no effect either, whatever became of it since.
        assert_eq!(
            vec![Outcome::AlreadyRecorded; 4],
            life.append(&starts).await
        );
        assert_eq!(Status::Running, life.status(repeated).await);
    }
    // A parking that is repeated after another worker claimed changes nothing.
    let mut parking = entry(1, 3, parked(Some(at(1))));
    parking.events.clear();
    life.record(std::slice::from_ref(&parking)).await;
    let other = Life::begin(&store, 2).await;
    assert_eq!(vec![execution(1)], other.claim(10, 5).await);
    assert_eq!(
        vec![Outcome::AlreadyRecorded],
        life.append(&[parking]).await
    );
    assert_eq!(Status::Running, life.status(1).await);
}

/// Makes an entry one that no store takes.
type Spoil<'a> = &'a (dyn Fn(&mut Entry) + Sync);

pub(super) async fn bad_entry_at_each_position_is_refused_alone(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let huge: Arc<str> = "x".repeat(TEXT_BYTES_MAX + 1).into();
    let spoils: [(&str, Spoil<'_>); 9] = [
        ("text too long", &|entry| {
            entry.events[0].payload = Arc::clone(&huge);
        }),
        ("raw null character", &|entry| {
            entry.events[0].records = "\0".into();
        }),
        ("sequence out of range", &|entry| {
            entry.events[0].sequence = u64::MAX;
        }),
        ("sequence zero", &|entry| entry.events[0].sequence = 0),
        ("gap in an entry", &|entry| entry.events.push(event(9))),
        ("name too long", &|entry| {
            if let Some(start) = &mut entry.start {
                start.idempotency_key = Some("k".repeat(5_000));
            }
        }),
        ("null in an attribute", &|entry| {
            if let Some(start) = &mut entry.start {
                start.attributes.insert("a".to_owned(), "\0".to_owned());
            }
        }),
        ("foreign message", &|entry| {
            let mut foreign = message(1, "x");
            foreign.tenant = tenant(2);
            entry.messages.push(foreign);
        }),
        ("foreign subscription", &|entry| {
            entry.subscribe.push(subscription(12_345, 1, None));
        }),
    ];
    for (round, (what, spoil)) in spoils.iter().enumerate() {
        let base = round as u128 * 100;
        let bad = round % 3;
        let mut entries: Vec<Entry> = (0..3).map(|one| started(base + one, Next::Owned)).collect();
        spoil(&mut entries[bad]);
        let outcomes = life.append(&entries).await;
        for (place, outcome) in outcomes.iter().enumerate() {
            let refused = matches!(outcome, Outcome::Refused(_));
            assert_eq!(place == bad, refused, "{what}: entry {place} {outcome:?}");
        }
        let fetched = store.execution_fetch(scope(1), entries[bad].execution);
        assert_eq!(None, ok(fetched.await), "{what}");
    }
    // Two entries for one execution: the first counts.
    let twice = [started(5_000, Next::Owned), entry(5_000, 2, Next::Owned)];
    let outcomes = life.append(&twice).await;
    assert_eq!(Outcome::Recorded, outcomes[0]);
    assert!(matches!(outcomes[1], Outcome::Refused(_)));
    // Without a lease nobody owns.
    let outcomes = ok(store
        .journal_append(None, &[started(5_001, Next::Owned)])
        .await);
    assert!(matches!(outcomes[0], Outcome::Refused(_)));
}

fn keyed(number: u128, key: &str) -> Entry {
    let mut entry = started(number, Next::Queued);
    if let Some(start) = &mut entry.start {
        start.idempotency_key = Some(key.to_owned());
    }
    entry
}

pub(super) async fn idempotency_key_finds_the_first_start(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    life.record(&[keyed(1, "monday")]).await;
    let mut second = keyed(2, "monday");
    second.messages = vec![message(1, "hello")];
    second.subscribe = vec![subscription(2, 1, None)];
    let outcomes = life
        .append(&[keyed(3, "tuesday"), second, keyed(4, "tuesday")])
        .await;
    let expected = vec![
        Outcome::Recorded,
        Outcome::Exists(execution(1)),
        Outcome::Exists(execution(3)),
    ];
    assert_eq!(expected, outcomes);
    for number in [2, 4] {
        let fetched = store.execution_fetch(scope(1), execution(number));
        assert_eq!(None, ok(fetched.await));
        assert_eq!(0, life.journal_length(number).await);
    }
    assert_eq!(0, life.inbox_length(1).await);
    assert!(ok(store.subscription_match(tenant(1), "x").await).is_empty());
    // The same start again is recognised as itself.
    assert_eq!(
        vec![Outcome::AlreadyRecorded],
        life.append(&[keyed(1, "monday")]).await
    );
    assert_eq!(None, ok(store.execution_keyed(scope(2), "monday").await));
    // Another tenant's keys are its own, and an ended execution keeps its key.
    let mut foreign = keyed(5, "monday");
    foreign.tenant = tenant(2);
    life.record(&[foreign]).await;
    assert_eq!(2, life.claim(100, 2).await.len());
    life.record(&[entry(1, 2, completed())]).await;
    for (whose, key, found) in [
        (1, "monday", Some(1)),
        (2, "monday", Some(5)),
        (1, "", None),
    ] {
        let keyed = ok(store.execution_keyed(scope(whose), key).await);
        assert_eq!(found.map(execution), keyed);
    }
    assert_eq!(
        vec![Outcome::Exists(execution(1))],
        life.append(&[keyed(6, "monday")]).await
    );
}

pub(super) async fn fifty_starts_with_one_key_give_one_execution(store: Arc<dyn Store>) {
    let starts = join_all((0..50).map(|number| {
        let store = Arc::clone(&store);
        async move { ok(store.journal_append(None, &[keyed(number, "once")]).await) }
    }));
    let mut recorded = Vec::new();
    let mut found = Vec::new();
    for (number, outcomes) in (0..).zip(starts.await) {
        match outcomes.as_slice() {
            [Outcome::Recorded] => recorded.push(execution(number)),
            [Outcome::Exists(first)] => found.push(*first),
            other => assert!(other.is_empty(), "neither recorded nor found: {other:?}"),
        }
    }
    assert_eq!(1, recorded.len());
    assert_eq!(vec![recorded[0]; 49], found);
}

pub(super) async fn only_the_owner_appends(store: Arc<dyn Store>) {
    let first = Life::begin(&store, 1).await;
    let second = Life::begin(&store, 2).await;
    first.record(&[started(1, Next::Owned)]).await;
    let already = vec![Outcome::AlreadyRecorded];
    assert_eq!(already, second.append(&[entry(1, 2, Next::Owned)]).await);
    let mut foreign = entry(1, 2, Next::Owned);
    foreign.tenant = tenant(2);
    assert_eq!(already, first.append(&[foreign]).await);
    assert_eq!(already, first.append(&[entry(99, 1, Next::Owned)]).await);
    first.record(&[entry(1, 2, completed())]).await;
    assert_eq!(already, first.append(&[entry(1, 3, Next::Owned)]).await);
    assert_eq!(2, first.journal_length(1).await);
    assert_eq!(0, first.journal_length(99).await);
}

pub(super) async fn fence_refuses_the_whole_batch(store: Arc<dyn Store>) {
    let old = Life::begin(&store, 1).await;
    old.record(&[started(1, Next::Owned), started(2, Next::Owned)])
        .await;
    let lease = SignedDuration::from_hours(1);
    let name = &old.fence.name;
    ok(store.worker_register(name, worker(9), at(1), lease).await);
    let mut last = entry(1, 2, parked(None));
    last.messages = vec![message(2, "hello")];
    let batch = [last, entry(2, 2, completed()), started(3, Next::Queued)];
    let refused = store.journal_append(Some(&old.fence), &batch).await;
    assert_eq!(
        ErrorKind::Fenced,
        refused.expect_err("the worker is fenced off").kind()
    );
    assert_eq!(1, old.journal_length(1).await);
    assert_eq!(1, old.journal_length(2).await);
    assert_eq!(0, old.inbox_length(2).await);
    assert_eq!(Status::Pending, old.status(2).await);
    let fetched = store.execution_fetch(scope(1), execution(3));
    assert_eq!(None, ok(fetched.await));
    // An empty batch is fine, and still checked.
    assert!(ok(store.journal_append(None, &[]).await).is_empty());
    assert!(store.journal_append(Some(&old.fence), &[]).await.is_err());
}

pub(super) async fn odd_texts_come_back_unchanged(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let odd: Arc<str> = concat!(
        r#"{"null":"\u0000","lone":"\ud800","emoji":"🦀","quote":"\"'","slash":"\\","#,
        r#""huge":1e400,"big":18446744073709551616,"line":"\n","del":""}"#
    )
    .into();
    let mut first = started(1, Next::Owned);
    first.events[0] = EventRow {
        payload: Arc::clone(&odd),
        records: Arc::clone(&odd),
        ..event(1)
    };
    if let Some(start) = &mut first.start {
        start.input = Arc::clone(&odd);
        start.attributes = [("näme '\"\\".to_owned(), "{\"$1\"}".to_owned())].into();
    }
    let attributes = first.start.as_ref().map(|start| start.attributes.clone());
    first.snapshot = Some(Snapshot {
        sequence: 1,
        format: 7,
        state: Arc::clone(&odd),
    });
    let mut listened = subscription(1, 1, Some("typ\u{e9} '\"\\ \u{1}"));
    listened.condition = Arc::clone(&odd);
    first.subscribe = vec![listened.clone()];
    let mut said = message(1, "odd");
    said.payload = Arc::clone(&odd);
    first.messages = vec![said.clone()];
    life.record(&[first]).await;

    let mut loaded = ok(store.execution_load(&[execution(1)]).await);
    let loaded = loaded.pop().expect("it is alive");
    assert_eq!(
        Some((1, 7, Arc::clone(&odd))),
        loaded
            .snapshot
            .map(|one| (one.sequence, one.format, one.state))
    );
    assert_eq!(vec![said], loaded.inbox);
    let events = ok(store.journal_list(scope(1), execution(1), 0, 9).await);
    assert_eq!((&odd, &odd), (&events[0].payload, &events[0].records));
    let matched = store.subscription_match(tenant(1), "typ\u{e9} '\"\\ \u{1}");
    assert_eq!(vec![listened], ok(matched.await));
    let mut end = entry(1, 2, completed());
    if let Next::Ended(ended) = &mut end.next {
        ended.output = Some(Arc::clone(&odd));
        ended.error = Some(Arc::clone(&odd));
    }
    life.record(&[end]).await;
    let row = ok(store.execution_fetch(scope(1), execution(1)).await);
    let row = row.expect("it is there");
    assert_eq!(attributes, Some(row.attributes));
    let texts = [row.input, row.output, row.error];
    assert_eq!([Some(&odd); 3], texts.each_ref().map(Option::as_ref));

    // What it waits for is for people: a null character may be shown as another.
    let waiting = Next::Parked {
        due: None,
        waiting_for: Some("a\0b".to_owned()),
    };
    life.record(&[started(2, waiting)]).await;
    let row = ok(store.execution_fetch(scope(1), execution(2)).await);
    let words = row.and_then(|row| row.waiting_for);
    assert_eq!(Some("a\u{fffd}b"), words.as_deref());
}

pub(super) async fn large_texts_come_back_unchanged(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let large: Arc<str> = format!("\"{}\"", "\\u0000 é".repeat(400_000)).into();
    let mut entries: Vec<Entry> = (1..=4).map(|one| started(one, Next::Owned)).collect();
    for entry in &mut entries {
        entry.events[0].payload = Arc::clone(&large);
    }
    life.record(&entries).await;
    for number in 1..=4 {
        let events = store.journal_list(scope(1), execution(number), 0, 9);
        assert_eq!(large, ok(events.await)[0].payload);
    }
}

pub(super) async fn snapshot_and_tail_are_loaded(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let mut first = started(1, Next::Owned);
    first.events.extend([event(2), event(3)]);
    life.record(&[first]).await;
    let snapshot = |sequence: u64| Snapshot {
        sequence,
        format: 3,
        state: format!("{{\"at\":{sequence}}}").into(),
    };
    for sequence in [4, 5] {
        let mut next = entry(1, sequence, Next::Owned);
        next.snapshot = Some(snapshot(sequence));
        life.record(&[next]).await;
    }
    let mut next = entry(1, 6, Next::Owned);
    next.events.push(event(7));
    life.record(&[next, started(2, parked(None))]).await;
    let ids: [ExecutionId; 3] = [execution(2), execution(1), execution(3)];
    let mut loaded = ok(store.execution_load(&ids).await);
    loaded.sort_by_key(|one| one.execution);
    assert_eq!(2, loaded.len());
    assert_eq!(Some(snapshot(5)), loaded[0].snapshot);
    assert_eq!(vec![event(6), event(7)], loaded[0].tail);
    assert_eq!(None, loaded[1].snapshot);
    assert_eq!(vec![event(1)], loaded[1].tail);
}
