//! What readers see: lists, pages, other tenants.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    Life, at, completed, entry, event, execution, message, ok, parked, scope, started,
    subscription, tenant, workflow,
};
use crate::store::{
    Entry, ExecutionQuery, ExecutionRow, Filter, Next, Parent, Status, Store, Test,
};
use crate::{ExecutionId, Scope};

/// Ten executions: even ones of the workflow `even`, three at each time.
async fn fill(life: &Life) {
    let mut entries: Vec<Entry> = Vec::new();
    for number in 0..10_u128 {
        let next = match number {
            0..3 => completed(),
            3..6 => Next::Owned,
            6..8 => parked(None),
            _ => Next::Queued,
        };
        let mut entry = started(number, next);
        if let Some(start) = &mut entry.start {
            let name = if number.is_multiple_of(2) {
                "even"
            } else {
                "odd"
            };
            start.workflow = workflow(name);
            start.at = at(i64::try_from(number / 3).unwrap_or(0));
            start.attributes = [("half".to_owned(), (number / 5).to_string())].into();
            if number == 7 {
                start.parent = Some(Parent {
                    execution: ExecutionId::from_uuid(Uuid::from_u128(0x3f)),
                    effect: None,
                });
            }
            if number == 4 {
                start.attributes.insert("x".to_owned(), "y".to_owned());
            }
        }
        entries.push(entry);
    }
    life.record(&entries).await;
}

pub(super) async fn listed(
    store: &Arc<dyn Store>,
    scope: &Scope,
    query: &ExecutionQuery,
) -> Vec<u128> {
    let mut query = query.clone();
    let mut rows: Vec<ExecutionRow> = Vec::new();
    loop {
        let page = ok(store.execution_list(scope, &query).await);
        assert!(page.items.len() <= query.limit as usize);
        rows.extend(page.items);
        query.before = rows.last().map(|row| (row.started_at, row.id));
        if !page.more {
            break;
        }
    }
    let texts = rows.iter().map(|row| (&row.input, &row.output, &row.error));
    assert!(texts.clone().all(|texts| texts == (&None, &None, &None)));
    rows.iter().map(|row| number_of(row.id)).collect()
}

fn number_of(id: ExecutionId) -> u128 {
    id.as_uuid().as_u128() - execution(0).as_uuid().as_u128()
}

pub(super) async fn list_pages_newest_first(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    fill(&life).await;
    let newest_first: Vec<u128> = (0..10).rev().collect();
    for limit in [1, 3, 4, 10, 100] {
        let query = ExecutionQuery {
            limit,
            ..ExecutionQuery::default()
        };
        let found = listed(&store, scope(1), &query).await;
        assert_eq!(newest_first, found, "pages of {limit}");
    }
}

pub(super) async fn list_combines_filters(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    fill(&life).await;
    let now = at(3_600);
    for (text, expected) in [
        ("workflow:suite/even", vec![8, 6, 4, 2, 0]),
        (
            "workflow:suite/even,suite/odd -workflow:suite/odd",
            vec![8, 6, 4, 2, 0],
        ),
        ("workflow:suite/* -workflow:suite/even", vec![9, 7, 5, 3, 1]),
        ("workflow:other/*", vec![]),
        (
            "version:1.0.0 -version:2.0.0 workflow:suite/odd",
            vec![9, 7, 5, 3, 1],
        ),
        ("version:2.0.0,3.0.0", vec![]),
        // They started at 0, 1, 2 and 3 seconds.
        ("started>-59m58s", vec![9]),
        ("started>=-59m58s", vec![9, 8, 7, 6]),
        ("started<-59m59s", vec![2, 1, 0]),
        (
            "started<=-59m59s started>2030-01-01",
            vec![5, 4, 3, 2, 1, 0],
        ),
        ("attribute.half:1", vec![9, 8, 7, 6, 5]),
        ("attribute.half:0 attribute.x:y", vec![4]),
        ("attribute.half:0 -attribute.x:y", vec![3, 2, 1, 0]),
        ("-attribute.half:0,2 -attribute.x:y", vec![9, 8, 7, 6, 5]),
        ("attribute.x:y,z -attribute.half:1", vec![4]),
        ("parent:exe_0000000000000000000000001z", vec![7]),
        (
            "-parent:exe_0000000000000000000000001z workflow:suite/odd",
            vec![9, 5, 3, 1],
        ),
        ("ended>2030-01-01", vec![2, 1, 0]),
        ("ended<2030-01-01", vec![]),
        (
            "workflow:suite/odd status:running started>=-1h attribute.half:0",
            vec![3],
        ),
    ] {
        let query = ExecutionQuery {
            filter: Filter::parse(text, now).expect("a filter"),
            limit: 2,
            ..ExecutionQuery::default()
        };
        assert_eq!(expected, listed(&store, scope(1), &query).await, "{text}");
    }
}

pub(super) async fn list_filters_by_status(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    fill(&life).await;
    for (status, expected) in [
        (Status::Pending, vec![9, 8]),
        (Status::Running, vec![5, 4, 3]),
        (Status::Waiting, vec![7, 6]),
        (Status::Completed, vec![2, 1, 0]),
        (Status::Faulted, vec![]),
        (Status::Cancelled, vec![]),
    ] {
        let query = ExecutionQuery {
            filter: Test::Status(vec![status]).into(),
            limit: 2,
            ..ExecutionQuery::default()
        };
        assert_eq!(expected, listed(&store, scope(1), &query).await, "{status}");
        let page = ok(store.execution_list(scope(1), &query).await);
        assert!(page.items.iter().all(|row| row.status == status));
    }
    for (text, expected) in [
        ("status:pending,running", vec![9, 8, 5, 4, 3]),
        ("status:completed,waiting", vec![7, 6, 2, 1, 0]),
        ("-status:completed", vec![9, 8, 7, 6, 5, 4, 3]),
        ("-status:pending,waiting,suspended", vec![5, 4, 3, 2, 1, 0]),
        ("status:running -status:running", vec![]),
        ("status:suspended,faulted", vec![]),
    ] {
        let query = ExecutionQuery {
            filter: Filter::parse(text, at(0)).expect("a filter"),
            limit: 2,
            ..ExecutionQuery::default()
        };
        assert_eq!(expected, listed(&store, scope(1), &query).await, "{text}");
    }
}

pub(super) async fn recent_executions_per_workflow(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    fill(&life).await;
    let mut workflows = [workflow("even"), workflow("odd"), workflow("none")];
    workflows[0].version.push_str("-other");
    let rows = ok(store.execution_recent(scope(1), &workflows, 2).await);
    let mut found: Vec<u128> = rows.iter().map(|row| number_of(row.id)).collect();
    let of_even = |row: &&ExecutionRow| row.workflow.name == "even";
    let even: Vec<u128> = rows
        .iter()
        .filter(of_even)
        .map(|row| number_of(row.id))
        .collect();
    assert_eq!(vec![8, 6], even, "newest first");
    found.sort_unstable();
    assert_eq!(vec![6, 7, 8, 9], found);
    assert!(rows.iter().all(|row| row.input.is_none()));
    assert!(ok(store.execution_recent(scope(1), &[], 2).await).is_empty());
    assert!(ok(store.execution_recent(scope(2), &workflows, 2).await).is_empty());
}

pub(super) async fn journal_pages(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let mut first = started(1, Next::Owned);
    first.events.extend((2..=10).map(event));
    life.record(&[first]).await;
    let mut after = 0;
    let mut found = Vec::new();
    loop {
        let rows = ok(store.journal_list(scope(1), execution(1), after, 3).await);
        let Some(last) = rows.last() else { break };
        after = last.sequence;
        found.extend(rows);
    }
    assert_eq!((1..=10).map(event).collect::<Vec<_>>(), found);
}

pub(super) async fn another_tenant_sees_nothing(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let mut first = started(1, parked(None));
    first.subscribe = vec![subscription(1, 1, None)];
    if let Some(start) = &mut first.start {
        start.attributes = [("a".to_owned(), "b".to_owned())].into();
    }
    let mut foreign = started(2, Next::Owned);
    foreign.tenant = tenant(2);
    life.record(&[first, foreign]).await;
    ok(store.inbox_put(&[message(1, "x")]).await);

    assert_eq!(
        None,
        ok(store.execution_fetch(scope(2), execution(1)).await)
    );
    let rows = ok(store.journal_list(scope(2), execution(1), 0, 100).await);
    assert!(rows.is_empty());
    assert!(ok(store.subscription_match(tenant(2), "x").await).is_empty());
    for text in ["", "attribute.a:b", "attribute.a:b,c"] {
        let query = ExecutionQuery {
            limit: 10,
            filter: Filter::parse(text, at(0)).expect("a filter"),
            ..ExecutionQuery::default()
        };
        let found = listed(&store, scope(2), &query).await;
        assert!(!found.contains(&1));
        let found = listed(&store, scope(3), &query).await;
        assert!(found.is_empty());
    }
    for status in [Status::Pending, Status::Waiting, Status::Running] {
        let query = ExecutionQuery {
            limit: 10,
            filter: Test::Status(vec![status]).into(),
            ..ExecutionQuery::default()
        };
        assert!(!listed(&store, scope(2), &query).await.contains(&1));
        assert!(!listed(&store, scope(1), &query).await.contains(&2));
    }
    // A loaded execution says whose it is; its tail is its own.
    let loaded = ok(store.execution_load(&[execution(1), execution(2)]).await);
    for one in loaded {
        let expected = if one.execution == execution(1) { 1 } else { 2 };
        assert_eq!(tenant(expected), one.tenant);
    }
    let mut forged = entry(2, 2, Next::Owned);
    forged.tenant = tenant(1);
    life.append(&[forged]).await;
    let rows = ok(store.journal_list(scope(2), execution(2), 0, 9).await);
    assert_eq!(1, rows.len());
}
