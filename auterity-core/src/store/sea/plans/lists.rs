//! Lists of executions, and the groups of faults.

use jiff::Timestamp;

use super::{SeaStore, at, execution, start};
use crate::Scope;
use crate::store::{
    Ended, Entry, ExecutionQuery, FaultSignature, Filter, Next, Status, Store as _,
};

/// Executions that ended badly, of every third second.
pub(super) async fn fill_ends(store: &SeaStore) {
    let ended = |number: u128| {
        let mut entry = start(2_000_000 + number);
        (entry.events, entry.messages, entry.subscribe) = Default::default();
        entry.snapshot = None;
        if let Some(start) = &mut entry.start {
            start.workflow.name = format!("ended-{}", number % 10);
            start.at = at(number);
        }
        entry.next = Next::Ended(Ended {
            status: match number % 3 {
                0 => Status::Cancelled,
                _ => Status::Faulted,
            },
            output: None,
            error: Some("{}".into()),
            fault: (!number.is_multiple_of(3))
                .then(|| FaultSignature::from_bits(i64::try_from(number % 50).unwrap_or(0))),
            at: at(number),
        });
        entry
    };
    for some in 0..8 {
        let entries: Vec<Entry> = (some * 500..(some + 1) * 500).map(ended).collect();
        let appended = store.journal_append(None, &entries).await;
        assert_eq!(entries.len(), appended.expect("it appends").len());
    }
}

/// Lists executions with each filter that has an index of its own.
pub(super) async fn read_lists(store: &SeaStore, scope: &Scope) {
    let mut found = Vec::new();
    for (text, before) in [
        ("", None),
        ("workflow:test/flow-7", Some((at(2_000), execution(2_000)))),
        ("attribute.number:7", None),
        ("status:waiting", None),
        ("status:suspended", None),
        ("status:running", None),
        (
            "workflow:test/flow-7 -version:2.0.0 started<-1h -attribute.number:8,9 -status:completed",
            None,
        ),
        ("attribute.number:7 -status:faulted ended>-1h", None),
        ("status:faulted", Some((at(2_001), execution(2_001)))),
        ("status:faulted,cancelled", None),
        ("fault:0000000000000007", None),
        ("fault:0000000000000001 -fault:0000000000000002", None),
    ] {
        let now = Timestamp::from_second(2_000_000_000).expect("a time in range");
        let query = ExecutionQuery {
            filter: Filter::parse(text, now).expect("a filter"),
            before,
            limit: 20,
        };
        let listed = store.execution_list(scope, &query).await;
        found.push(listed.expect("it lists").items.len());
    }
    assert_eq!([20, 20, 1, 0, 20, 0, 20, 0, 20, 20, 20, 0], found[..]);
    for text in ["", "workflow:test/ended-7 started>-1w"] {
        let filter = Filter::parse(text, at(0)).expect("a filter");
        let groups = store.fault_groups(scope, &filter, 20).await;
        assert!(!groups.expect("it groups").groups.is_empty());
    }
}
