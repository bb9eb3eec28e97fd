//! Tasks for people: what they and their executions ask again and again.

use sqlx::types::Uuid;

use super::{EXECUTIONS, SeaStore, at, execution, start, tenant, workflow};
use crate::store::{
    Entry, HumanTaskAsk, HumanTaskChange, HumanTaskNote, HumanTaskQuery, HumanTaskState,
    HumanTaskStore as _, HumanTaskUpdate, Next, Store as _,
};
use crate::{HumanTaskId, Scope, UserId};

/// Executions of their own for human tasks.
const FIRST: u128 = 3_000_000;

fn person(number: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number))
}

fn audience(number: u128) -> String {
    format!("user:{}", number % 400)
}

fn id(number: u128) -> HumanTaskId {
    HumanTaskId::of(execution(FIRST + number), 1)
}

/// Human tasks of all tenants: open, claimed and answered.
pub(super) async fn fill(store: &SeaStore) {
    let asking = |number: u128| {
        let mut entry = start(FIRST + number);
        (entry.messages, entry.subscribe, entry.snapshot) = Default::default();
        entry.next = Next::Queued;
        entry.human_tasks = vec![HumanTaskChange {
            id: id(number),
            effect: 1,
            at: at(number),
            ask: Some(Box::new(HumanTaskAsk {
                workflow: workflow(number),
                task: "/do/0/ask".to_owned(),
                title: "Go?".to_owned(),
                deadline: None,
                audiences: vec![audience(number), "role:admin".to_owned()],
                details: "{}".into(),
            })),
            escalate: Vec::new(),
            close: None,
        }];
        entry
    };
    for some in 0..EXECUTIONS / 500 {
        let entries: Vec<Entry> = (some * 500..(some + 1) * 500).map(asking).collect();
        let appended = store.journal_append(None, &entries).await;
        assert_eq!(entries.len(), appended.expect("it appends").len());
    }
    for number in 0..1_000 {
        let done = number % 2 == 0;
        let by = person(number % 50);
        let update = HumanTaskUpdate {
            tenant: tenant(FIRST + number),
            id: id(number),
            execution: execution(FIRST + number),
            revision: 1,
            state: if done {
                HumanTaskState::Completed
            } else {
                HumanTaskState::Claimed
            },
            claimed_by: Some(by),
            completed_by: done.then_some(by),
            answer: None,
            audiences: Vec::new(),
            note: HumanTaskNote {
                at: at(number),
                what: "claimed".to_owned(),
                by: Some(by),
                details: None,
            },
            message: None,
        };
        let updated = store.human_task_update(&update).await;
        assert!(updated.expect("it updates"));
    }
}

/// Executes every read of human tasks.
pub(super) async fn read(store: &SeaStore, scope: &Scope) {
    let found = store.human_task_fetch(scope, id(7)).await;
    assert_eq!(1, found.expect("it fetches").expect("there").notes.len());
    let query = HumanTaskQuery::default;
    let mine = || vec![audience(1_207), "anyone".to_owned()];
    let queries = [
        query(),
        HumanTaskQuery {
            states: vec![HumanTaskState::Open],
            before: Some((at(3_500), id(3_500))),
            ..query()
        },
        HumanTaskQuery {
            states: vec![HumanTaskState::Open, HumanTaskState::Claimed],
            audiences: mine(),
            free_for: Some(person(9)),
            ..query()
        },
        HumanTaskQuery {
            states: vec![HumanTaskState::Claimed],
            claimed_by: Some(person(7)),
            ..query()
        },
        HumanTaskQuery {
            completed_by: Some(person(7)),
            ..query()
        },
        HumanTaskQuery {
            workflow: Some(("test".to_owned(), "flow-7".to_owned())),
            ..query()
        },
        HumanTaskQuery {
            execution: Some(execution(FIRST + 7)),
            ..query()
        },
    ];
    let mut found = Vec::new();
    for query in queries {
        let query = HumanTaskQuery { limit: 20, ..query };
        let page = store.human_task_list(scope, &query).await;
        found.push(page.expect("it lists").items.len());
    }
    assert_eq!([20, 20, 7, 20, 0, 20, 1], found[..]);
    let counts = store
        .human_task_count(scope, &mine(), person(7), 1_000)
        .await;
    assert_eq!(7, counts.expect("it counts").open);
}
