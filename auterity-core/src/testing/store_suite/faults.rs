//! Executions that ended badly: their lists, and the groups of faults.

use std::sync::Arc;

use super::reads::listed;
use super::{Life, amend, at, completed, entry, execution, ok, scope, started, tenant, workflow};
use crate::store::{
    Amended, Ended, Entry, ExecutionQuery, FaultSignature, Filter, Next, Outcome, Status, Store,
};

fn signature(bits: i64) -> FaultSignature {
    FaultSignature::from_bits(bits)
}

fn faulted(fault: i64, seconds: i64) -> Next {
    Next::Ended(Ended {
        status: Status::Faulted,
        output: None,
        error: Some(format!("{{\"seconds\":{seconds}}}").into()),
        fault: Some(signature(fault)),
        at: at(seconds),
    })
}

fn cancelled() -> Next {
    Next::Ended(Ended {
        status: Status::Cancelled,
        output: None,
        error: None,
        fault: None,
        at: at(500),
    })
}

/// Eight executions of a tenant: 1 to 3 with one fault, 4 and 8 with another one, and
/// one of another tenant.
async fn fill(life: &Life) {
    let starts: Vec<Entry> = (1..=7).map(|one| started(one, Next::Owned)).collect();
    life.record(&starts).await;
    let mut at_once = started(8, faulted(-2, 50));
    let mut foreign = started(9, faulted(1, 60));
    foreign.tenant = tenant(2);
    if let Some(start) = &mut at_once.start {
        start.workflow = workflow("other");
    }
    life.record(&[
        entry(1, 2, faulted(1, 100)),
        entry(2, 2, faulted(1, 300)),
        entry(3, 2, faulted(1, 200)),
        entry(4, 2, faulted(-2, 250)),
        entry(5, 2, cancelled()),
        entry(6, 2, completed()),
        at_once,
        foreign,
    ])
    .await;
}

fn filter(text: &str) -> Filter {
    Filter::parse(text, at(0)).expect("a filter")
}

async fn found(store: &Arc<dyn Store>, text: &str) -> Vec<u128> {
    let query = ExecutionQuery {
        filter: filter(text),
        limit: 2,
        ..ExecutionQuery::default()
    };
    listed(store, scope(1), &query).await
}

pub(super) async fn abnormal_ends_are_listed(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    fill(&life).await;
    let (first, second) = (signature(1), signature(-2));
    for (text, expected) in [
        ("status:faulted".to_owned(), vec![8, 4, 3, 2, 1]),
        ("status:cancelled".to_owned(), vec![5]),
        (
            "status:cancelled,faulted".to_owned(),
            vec![8, 5, 4, 3, 2, 1],
        ),
        (
            "status:faulted started>2030-03-17T17:46:42Z".to_owned(),
            vec![8, 4, 3],
        ),
        (format!("fault:{first}"), vec![3, 2, 1]),
        (format!("fault:{first},{second}"), vec![8, 4, 3, 2, 1]),
        (format!("fault:{second} workflow:suite/other"), vec![8]),
        (format!("fault:{second} status:cancelled"), vec![]),
        (format!("-fault:{first}"), vec![8, 7, 6, 5, 4]),
        (format!("-fault:{first} status:faulted"), vec![8, 4]),
    ] {
        assert_eq!(expected, found(&store, &text).await, "{text}");
    }
}

pub(super) async fn faults_are_grouped_by_signature(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    fill(&life).await;
    let groups = ok(store.fault_groups(scope(1), &filter(""), 10).await);
    assert!(!groups.partial);
    let seen: Vec<_> = groups
        .groups
        .iter()
        .map(|group| {
            (
                group.signature,
                group.count,
                group.first_at,
                group.newest.id,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (signature(1), 3, at(100), execution(2)),
            (signature(-2), 2, at(50), execution(4)),
        ]
    );
    let newest = &groups.groups[0].newest;
    assert_eq!(newest.error.as_deref(), Some("{\"seconds\":300}"));
    assert_eq!(
        (newest.ended_at, newest.status),
        (Some(at(300)), Status::Faulted)
    );

    for (text, limit, partial, expected) in [
        ("", 1, true, vec![3]),
        ("ended<2030-03-17T17:48:30Z", 10, false, vec![1, 1]),
        ("workflow:suite/other", 10, false, vec![1]),
        ("status:cancelled", 10, false, vec![]),
    ] {
        let groups = ok(store.fault_groups(scope(1), &filter(text), limit).await);
        let counts: Vec<u64> = groups.groups.iter().map(|group| group.count).collect();
        assert_eq!((partial, expected), (groups.partial, counts), "{text}");
    }
    let foreign = ok(store.fault_groups(scope(2), &filter(""), 10).await);
    assert_eq!(1, foreign.groups.len());
    assert_eq!(execution(9), foreign.groups[0].newest.id);
}

pub(super) async fn what_goes_on_is_no_fault_any_more(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    fill(&life).await;
    for number in [2, 5] {
        let amended = store.execution_amend(&amend::amend(number, 2)).await;
        assert_eq!(Amended::Done, ok(amended));
    }
    assert_eq!(
        vec![8, 4, 3, 1],
        found(&store, "status:cancelled,faulted").await
    );
    // It may end badly again, or well.
    assert_eq!(2, life.claim(10_000, 10).await.len());
    let entries = [entry(2, 5, faulted(-2, 400)), entry(5, 5, completed())];
    life.record(&entries).await;
    assert_eq!(
        vec![Outcome::AlreadyRecorded; 2],
        life.append(&entries).await
    );
    assert_eq!(
        vec![8, 4, 3, 2, 1],
        found(&store, "status:cancelled,faulted").await
    );
    let groups = ok(store.fault_groups(scope(1), &filter(""), 10).await);
    let counts = groups
        .groups
        .iter()
        .map(|group| (group.signature, group.count));
    assert_eq!(
        vec![(signature(-2), 3), (signature(1), 2)],
        counts.collect::<Vec<_>>()
    );
}
