//! Tasks for people.

use std::sync::Arc;

use futures_util::future::join_all;

use super::amend::amend;
use super::{
    Life, at, completed, entry, execution, message, ok, parked, scope, started, tenant, worker,
    workflow,
};
use crate::store::{
    Amended, Entry, HumanTaskAsk, HumanTaskChange, HumanTaskClose, HumanTaskCounts, HumanTaskNote,
    HumanTaskQuery, HumanTaskState as State, HumanTaskUpdate, HumanTaskWhole, InboxMessage,
    MessageKind, Next, Outcome, Store, WorkflowKey,
};
use crate::{HumanTaskId, UserId};

fn person(number: u128) -> UserId {
    UserId::from_uuid(worker(number).as_uuid())
}

fn id(number: u128) -> HumanTaskId {
    HumanTaskId::of(execution(number), 7)
}

fn change(number: u128, seconds: i64) -> HumanTaskChange {
    HumanTaskChange {
        id: id(number),
        effect: 7,
        at: at(seconds),
        ask: None,
        escalate: Vec::new(),
        close: None,
    }
}

fn asked(number: u128, seconds: i64, audiences: &[&str]) -> HumanTaskChange {
    HumanTaskChange {
        ask: Some(Box::new(HumanTaskAsk {
            workflow: workflow("order"),
            task: "/do/0/ask".to_owned(),
            title: format!("Pay {number}? \u{1f980}"),
            deadline: Some(at(5_000)),
            audiences: audiences.iter().map(|&one| one.to_owned()).collect(),
            details: "{\"outcomes\":[\"yes\",\"no\"]}".into(),
        })),
        ..change(number, seconds)
    }
}

fn with(mut entry: Entry, changes: Vec<HumanTaskChange>) -> Entry {
    entry.human_tasks = changes;
    entry
}

/// An execution that waits for a person.
fn asking(number: u128, audiences: &[&str]) -> Entry {
    let seconds = i64::try_from(number).unwrap_or(0);
    let asked = asked(number, seconds, audiences);
    with(started(number, parked(None)), vec![asked])
}

fn update(whole: &HumanTaskWhole, state: State, by: u128) -> HumanTaskUpdate {
    let holds = matches!(state, State::Claimed | State::Completed);
    HumanTaskUpdate {
        tenant: tenant(1),
        id: whole.row.id,
        execution: whole.row.execution,
        revision: whole.row.revision,
        state,
        claimed_by: holds.then(|| person(by)),
        completed_by: (state == State::Completed).then(|| person(by)),
        answer: (state == State::Completed).then(|| "{\"outcome\":\"yes\"}".into()),
        audiences: Vec::new(),
        note: HumanTaskNote {
            at: at(200),
            what: state.as_str().to_owned(),
            by: Some(person(by)),
            details: Some("{}".into()),
        },
        message: (state == State::Completed).then(|| InboxMessage {
            id: whole.row.id.answer(),
            tenant: tenant(1),
            execution: whole.row.execution,
            kind: MessageKind::Answer,
            effect: Some(7),
            payload: "{\"outcome\":\"yes\"}".into(),
            at: at(200),
        }),
    }
}

async fn whole(store: &Arc<dyn Store>, number: u128) -> HumanTaskWhole {
    let found = store.human_task_fetch(scope(1), id(number)).await;
    ok(found).expect("the human task is there")
}

async fn listed(store: &Arc<dyn Store>, query: HumanTaskQuery) -> Vec<HumanTaskId> {
    let query = HumanTaskQuery {
        limit: 100,
        ..query
    };
    let page = ok(store.human_task_list(scope(1), &query).await);
    page.items.into_iter().map(|row| row.id).collect()
}

fn whats(whole: &HumanTaskWhole) -> Vec<&str> {
    whole.notes.iter().map(|note| &*note.what).collect()
}

pub(super) async fn human_tasks_come_and_go_with_their_entry(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let owned = with(started(1, Next::Owned), vec![asked(1, 10, &["user:ada"])]);
    life.record(&[owned]).await;
    let first = whole(&store, 1).await;
    assert_eq!(State::Open, first.row.state);
    assert_eq!(vec!["user:ada"], first.audiences);
    assert_eq!("Pay 1? \u{1f980}", first.row.title);
    assert_eq!((execution(1), 7), (first.row.execution, first.row.effect));
    assert_eq!(
        (at(10), Some(at(5_000)), workflow("order")),
        (
            first.row.created_at,
            first.row.deadline,
            first.row.workflow.clone()
        )
    );
    assert_eq!(
        Some("{\"outcomes\":[\"yes\",\"no\"]}"),
        first.row.details.as_deref()
    );
    let foreign = store.human_task_fetch(scope(2), id(1)).await;
    assert_eq!(ok(foreign), None, "another tenant sees nothing");

    // What is recorded already, and what is not the worker's, changes nothing.
    let withdraw = HumanTaskChange {
        close: Some(HumanTaskClose::Withdraw),
        ..change(1, 20)
    };
    let again = with(entry(1, 1, Next::Owned), vec![withdraw]);
    assert_eq!(vec![Outcome::AlreadyRecorded], life.append(&[again]).await);
    assert_eq!(first, whole(&store, 1).await);
}

pub(super) async fn human_tasks_are_held_escalated_and_withdrawn(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let owned = with(started(1, Next::Owned), vec![asked(1, 10, &["user:ada"])]);
    life.record(&[owned]).await;
    let first = whole(&store, 1).await;
    let claim = update(&first, State::Claimed, 1);
    assert!(ok(store.human_task_update(&claim).await));
    let hold = HumanTaskChange {
        close: Some(HumanTaskClose::Hold),
        ..change(1, 30)
    };
    life.record(&[with(entry(1, 2, Next::Owned), vec![hold])])
        .await;
    let held = whole(&store, 1).await;
    assert_eq!((State::Held, None), (held.row.state, held.row.closed_at));
    // Asked again it is where it was before; escalated it is everybody's again.
    let mut again = asked(1, 40, &["user:ada"]);
    if let Some(ask) = &mut again.ask {
        "Pay now?".clone_into(&mut ask.title);
    }
    life.record(&[with(entry(1, 3, Next::Owned), vec![again])])
        .await;
    let claimed = whole(&store, 1).await;
    assert_eq!(State::Claimed, claimed.row.state);
    assert_eq!(Some(person(1)), claimed.row.claimed_by);
    assert_eq!(
        ("Pay now?", at(10)),
        (&*claimed.row.title, claimed.row.created_at)
    );
    let escalate = HumanTaskChange {
        escalate: vec!["role:admin".to_owned(), "user:bob".to_owned()],
        ..change(1, 50)
    };
    life.record(&[with(entry(1, 4, Next::Owned), vec![escalate])])
        .await;
    let escalated = whole(&store, 1).await;
    assert_eq!(
        (State::Open, None),
        (escalated.row.state, escalated.row.claimed_by)
    );
    assert_eq!(
        vec!["role:admin", "user:ada", "user:bob"],
        escalated.audiences
    );
    let withdraw = HumanTaskChange {
        close: Some(HumanTaskClose::Withdraw),
        ..change(1, 20)
    };
    life.record(&[with(entry(1, 5, completed()), vec![withdraw])])
        .await;
    let gone = whole(&store, 1).await;
    assert_eq!(
        (State::Withdrawn, Some(at(20))),
        (gone.row.state, gone.row.closed_at)
    );
    assert!(gone.audiences.is_empty());
    assert_eq!(vec!["claimed", "escalated", "withdrawn"], whats(&gone));
    assert_eq!(
        Some("{\"to\":[\"role:admin\",\"user:bob\"]}"),
        gone.notes[1].details.as_deref()
    );
    assert_eq!(
        (Some(person(1)), None),
        (gone.notes[0].by, gone.notes[2].by)
    );
}

pub(super) async fn of_many_answers_one_wins(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    life.record(&[asking(1, &["anyone"]), asking(2, &["anyone"])])
        .await;
    let open = whole(&store, 1).await;
    let mut foreign = update(&open, State::Completed, 1);
    foreign.tenant = tenant(2);
    if let Some(message) = &mut foreign.message {
        message.tenant = tenant(2);
    }
    assert!(!ok(store.human_task_update(&foreign).await));
    let answers = (0..20).map(|by| {
        let (store, update) = (Arc::clone(&store), update(&open, State::Completed, by));
        async move { ok(store.human_task_update(&update).await) }
    });
    let won = join_all(answers).await;
    assert_eq!(1, won.iter().filter(|won| **won).count());
    let winner = won.iter().position(|won| *won).unwrap_or_default() as u128;
    let done = whole(&store, 1).await;
    assert_eq!(
        (State::Completed, Some(person(winner)), Some(at(200))),
        (done.row.state, done.row.completed_by, done.row.closed_at)
    );
    assert_eq!(Some("{\"outcome\":\"yes\"}"), done.row.answer.as_deref());
    assert!(done.audiences.is_empty());
    assert_eq!(vec!["completed"], whats(&done));
    assert_eq!(
        vec![execution(1)],
        life.claim(300, 5).await,
        "the answer wakes its execution"
    );
    let inbox = ok(store.inbox_fetch(&[execution(1)]).await);
    assert_eq!(1, inbox.len());
    assert_eq!(
        (MessageKind::Answer, Some(7)),
        (inbox[0].kind, inbox[0].effect)
    );

    // What was answered stays so when it is asked again, but not when it is withdrawn.
    life.record(&[with(
        entry(1, 2, Next::Owned),
        vec![asked(1, 60, &["anyone"])],
    )])
    .await;
    assert_eq!(done, whole(&store, 1).await);
    let withdraw = HumanTaskChange {
        close: Some(HumanTaskClose::Withdraw),
        ..change(1, 70)
    };
    life.record(&[with(entry(1, 3, Next::Owned), vec![withdraw])])
        .await;
    let withdrawn = whole(&store, 1).await;
    assert_eq!(State::Withdrawn, withdrawn.row.state);
    let late = update(&withdrawn, State::Completed, 3);
    assert!(!ok(store.human_task_update(&late).await), "it is closed");
}

/// Queries with the numbers of what they find.
fn queries() -> Vec<(&'static str, HumanTaskQuery, &'static [u128])> {
    let of = |states: &[State]| HumanTaskQuery {
        states: states.to_vec(),
        ..HumanTaskQuery::default()
    };
    let active = || HumanTaskQuery {
        audiences: ada(),
        ..of(&[State::Open, State::Claimed])
    };
    let free = HumanTaskQuery {
        free_for: Some(person(2)),
        ..active()
    };
    let claimed = HumanTaskQuery {
        claimed_by: Some(person(1)),
        ..of(&[State::Claimed])
    };
    let completed = HumanTaskQuery {
        completed_by: Some(person(1)),
        ..of(&[])
    };
    let by_workflow = HumanTaskQuery {
        workflow: Some(("suite".to_owned(), "other".to_owned())),
        ..of(&[])
    };
    let by_execution = HumanTaskQuery {
        execution: Some(execution(3)),
        ..of(&[])
    };
    let before = HumanTaskQuery {
        before: Some((at(3), id(3))),
        ..of(&[])
    };
    vec![
        ("all", of(&[]), &[5, 4, 3, 2, 1]),
        ("open", of(&[State::Open]), &[4, 3, 1]),
        ("active for somebody", active(), &[2, 1]),
        ("free for another", free, &[1]),
        ("claimed", claimed, &[2]),
        ("completed", completed, &[5]),
        ("by workflow", by_workflow, &[5]),
        ("by execution", by_execution, &[3]),
        ("before", before, &[2, 1]),
    ]
}

fn ada() -> Vec<String> {
    vec!["user:ada".to_owned(), "role:admin".to_owned()]
}

pub(super) async fn human_tasks_are_listed_and_counted(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let mut entries = vec![
        asking(1, &["user:ada", "role:admin"]),
        asking(2, &["role:admin"]),
        asking(3, &["anyone"]),
        asking(4, &["user:bob"]),
        asking(5, &["user:ada"]),
    ];
    if let Some(ask) = &mut entries[4].human_tasks[0].ask {
        "other".clone_into(&mut ask.workflow.name);
    }
    life.record(&entries).await;
    for (number, state) in [(2, State::Claimed), (5, State::Completed)] {
        let open = whole(&store, number).await;
        assert!(ok(store.human_task_update(&update(&open, state, 1)).await));
    }
    let query = HumanTaskQuery::default;
    let tasks = |numbers: &[u128]| numbers.iter().map(|number| id(*number)).collect::<Vec<_>>();
    for (what, query, numbers) in queries() {
        assert_eq!(tasks(numbers), listed(&store, query).await, "{what}");
    }
    let page = HumanTaskQuery {
        limit: 2,
        ..query()
    };
    let page = ok(store.human_task_list(scope(1), &page).await);
    assert_eq!((2, true), (page.items.len(), page.more));
    assert!(
        page.items
            .iter()
            .all(|row| row.details.is_none() && row.answer.is_none())
    );
    let last = HumanTaskQuery {
        limit: 5,
        ..query()
    };
    assert!(!ok(store.human_task_list(scope(1), &last).await).more);
    assert_eq!(
        0,
        ok(store.human_task_list(scope(2), &last).await).items.len()
    );

    let counts = async |most| {
        let audiences = ada();
        let counted = store.human_task_count(scope(1), &audiences, person(1), most);
        ok(counted.await)
    };
    let expected = HumanTaskCounts {
        open: 1,
        claimed: 1,
    };
    assert_eq!(expected, counts(100).await);
    let everybody = vec!["user:bob".to_owned(), "anyone".to_owned()];
    let counted = store.human_task_count(scope(1), &everybody, person(2), 1);
    let expected = HumanTaskCounts {
        open: 1,
        claimed: 0,
    };
    assert_eq!(expected, ok(counted.await), "up to the bound");
}

pub(super) async fn amended_executions_ask_anew(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let mut first = asking(1, &["user:ada"]);
    let other = HumanTaskId::of(execution(1), 8);
    let mut second = asked(1, 5, &["user:bob"]);
    (second.id, second.effect) = (other, 8);
    first.human_tasks.push(second);
    life.record(&[first, asking(2, &["user:ada"])]).await;
    let mut amendment = amend(1, 1);
    amendment.human_tasks = vec![asked(1, 90, &["user:eve"])];
    assert_eq!(Amended::Done, ok(store.execution_amend(&amendment).await));
    let kept = whole(&store, 1).await;
    assert_eq!(State::Open, kept.row.state);
    assert_eq!(vec!["user:ada", "user:eve"], kept.audiences);
    let gone = ok(store.human_task_fetch(scope(1), other).await).expect("it is there");
    assert_eq!(
        (State::Withdrawn, Some(amendment.at)),
        (gone.row.state, gone.row.closed_at)
    );
    assert!(gone.audiences.is_empty());
    assert_eq!(vec!["withdrawn"], whats(&gone));
    // One that had ended asks again what was withdrawn at its end.
    let end = HumanTaskChange {
        close: Some(HumanTaskClose::Withdraw),
        ..change(2, 100)
    };
    ok(store.inbox_put(&[message(2, "wake")]).await);
    assert_eq!(2, life.claim(20_000, 5).await.len());
    life.record(&[with(entry(2, 2, completed()), vec![end])])
        .await;
    assert_eq!(State::Withdrawn, whole(&store, 2).await.row.state);
    let mut amendment = amend(2, 2);
    amendment.human_tasks = vec![asked(2, 110, &["user:ada"])];
    assert_eq!(Amended::Done, ok(store.execution_amend(&amendment).await));
    let again = whole(&store, 2).await;
    assert_eq!((State::Open, None), (again.row.state, again.row.closed_at));
    assert_eq!(vec!["user:ada"], again.audiences);
}

pub(super) async fn human_tasks_go_with_their_execution(store: Arc<dyn Store>) {
    let life = Life::begin(&store, 1).await;
    let owned = |number| with(started(number, Next::Owned), vec![asked(number, 1, &["x"])]);
    life.record(&[owned(1), owned(2)]).await;
    let end = HumanTaskChange {
        close: Some(HumanTaskClose::Withdraw),
        ..change(1, 2)
    };
    life.record(&[with(entry(1, 2, completed()), vec![end])])
        .await;
    let workflow = WorkflowKey {
        tenant: tenant(1),
        namespace: "suite".to_owned(),
        name: "order".to_owned(),
    };
    let removed = store.retention_remove(&workflow, at(99_000), 10).await;
    assert_eq!(1, ok(removed));
    assert_eq!(None, ok(store.human_task_fetch(scope(1), id(1)).await));
    assert_eq!(State::Open, whole(&store, 2).await.row.state);
}
