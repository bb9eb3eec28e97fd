//! Human tasks: asked, answered, escalated, given up, decided at their deadline.

use std::sync::Arc;

use auterity_core::clock::{Clock, ManualClock};
use auterity_core::engine::{
    HumanTaskAction, HumanTaskAnswer, HumanTaskView, Person, Ports, Retry, Skip, order_of, tasks_of,
};
use auterity_core::store::{HumanTaskQuery, HumanTaskState, MemoryStore, Status, Store};
use auterity_core::testing::{Bench, Workbench};
use auterity_core::{Error, ErrorKind, ExecutionId, UserId};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::fixture::{definition, options};
use super::{Fixture, output};
use crate::store::Place;

/// An expense with everything that an approval can say.
const EXPENSE: &str = "do:
- decide:
    call: approval
    with:
      title: '${ \"Pay \\(.amount)?\" }'
      data: '${ . }'
      assignees: { users: [Ada@Example.com], roles: [admin] }
      form:
        type: object
        required: [account]
        properties: { account: { type: string, minLength: 3 }, paid: { type: boolean } }
      deadline: P2D
      escalation: { after: P1D, to: { users: [eve@example.com] } }
- done: { set: { said: '${ . }' } }
";

fn person(number: u128, email: &str, roles: &[&str]) -> Person {
    Person {
        id: UserId::from_uuid(Uuid::from_u128(number)),
        email: Some(Arc::from(email)),
        roles: roles.iter().map(|&role| role.to_owned()).collect(),
        manages: false,
    }
}

fn ada() -> Person {
    person(1, "ada@example.com", &["editor"])
}

fn bob() -> Person {
    person(2, "bob@example.com", &["admin"])
}

fn eve() -> Person {
    person(3, "eve@example.com", &["editor"])
}

fn answer(outcome: &str, data: Option<Value>) -> HumanTaskAction {
    HumanTaskAction::Complete(HumanTaskAnswer {
        outcome: outcome.to_owned(),
        data,
        comment: Some("as agreed".to_owned()),
    })
}

fn approved() -> HumanTaskAction {
    answer("approved", Some(json!({ "account": "4711" })))
}

async fn tasks(bench: &Bench, execution: ExecutionId) -> Vec<HumanTaskView> {
    let query = HumanTaskQuery {
        execution: Some(execution),
        limit: 100,
        ..HumanTaskQuery::default()
    };
    let page = bench.handle().human_tasks(bench.scope(), &query).await;
    let mut views = Vec::new();
    for row in page.expect("it lists").items {
        let view = bench.handle().human_task(bench.scope(), row.id).await;
        views.push(view.expect("it is there"));
    }
    views
}

async fn only(bench: &Bench, execution: ExecutionId) -> HumanTaskView {
    let mut all = tasks(bench, execution).await;
    assert_eq!(1, all.len());
    all.remove(0)
}

async fn act(
    bench: &Bench,
    task: &HumanTaskView,
    who: &Person,
    action: HumanTaskAction,
) -> Result<HumanTaskView, Error> {
    let (handle, scope) = (bench.handle(), bench.scope());
    handle
        .human_task_act(scope, task.row.id, (who, &action))
        .await
}

async fn begun(bench: &Bench, rest: &str, input: Value) -> ExecutionId {
    // Another text is another workflow.
    let name = format!("subject-{}", rest.len());
    let request = bench.deploy(&definition(&name, rest)).await;
    let id = bench
        .start(auterity_core::engine::StartRequest { input, ..request })
        .await;
    bench.settle().await;
    id
}

fn kind(result: Result<HumanTaskView, Error>) -> ErrorKind {
    result.expect_err("it is refused").kind()
}

fn whats(view: &HumanTaskView) -> Vec<&str> {
    view.notes.iter().map(|note| &*note.what).collect()
}

#[test]
fn a_person_answers_and_the_execution_goes_on_with_it() {
    Workbench::new().open(async |bench| {
        let id = begun(bench, EXPENSE, json!({ "amount": 5 })).await;
        let row = bench.handle().execution(bench.scope(), id).await;
        let view = row.expect("it answers").expect("it is there");
        assert_eq!(Status::Waiting, view.row.status);
        assert_eq!(Some("decide: an approval"), view.row.waiting_for.as_deref());
        assert_eq!(vec!["/do/0/decide"], view.current_tasks);

        let task = only(bench, id).await;
        assert_eq!(
            ("Pay 5?", "/do/0/decide"),
            (&*task.row.title, &*task.row.task)
        );
        assert_eq!(Some(json!({ "amount": 5 })), task.details.data);
        assert_eq!(vec!["role:admin", "user:ada@example.com"], task.audiences);
        assert_eq!(
            Some(bench.now() + SignedDuration::from_hours(48)),
            task.row.deadline
        );
        let counts = async |who: &Person| {
            let counts = bench.handle().human_task_counts(bench.scope(), who).await;
            let counts = counts.expect("it counts");
            (counts.open, counts.claimed)
        };
        assert_eq!((1, 0), counts(&ada()).await);
        assert_eq!((0, 0), counts(&eve()).await, "it is for others");

        assert_eq!(
            ErrorKind::Forbidden,
            kind(act(bench, &task, &eve(), HumanTaskAction::Claim).await)
        );
        let claimed = act(bench, &task, &ada(), HumanTaskAction::Claim).await;
        assert_eq!(HumanTaskState::Claimed, claimed.expect("hers").row.state);
        let again = act(bench, &task, &ada(), HumanTaskAction::Claim).await;
        assert_eq!(vec!["claimed"], whats(&again.expect("harmless")));
        assert_eq!((0, 1), counts(&ada()).await);
        for action in [HumanTaskAction::Claim, approved()] {
            assert_eq!(
                ErrorKind::Conflict,
                kind(act(bench, &task, &bob(), action).await)
            );
        }
        let wrong = answer("maybe", Some(json!({ "account": "x", "paid": 1 })));
        let refused = act(bench, &task, &ada(), wrong).await.expect_err("refused");
        let mut places: Vec<&str> = refused
            .violations()
            .iter()
            .map(|one| &*one.pointer)
            .collect();
        places.sort_unstable();
        assert_eq!(vec!["/data/account", "/data/paid", "/outcome"], places);

        let done = act(bench, &task, &ada(), approved()).await.expect("done");
        assert_eq!(HumanTaskState::Completed, done.row.state);
        // The same once more is the same; anything else comes too late.
        assert!(act(bench, &task, &ada(), approved()).await.is_ok());
        let other = answer("rejected", Some(json!({ "account": "4711" })));
        assert_eq!(
            ErrorKind::Conflict,
            kind(act(bench, &task, &ada(), other).await)
        );

        let history = bench.end(id).await;
        let said = history.output()["said"].clone();
        let by = json!({ "id": ada().id.to_string(), "email": "ada@example.com" });
        assert_eq!(
            json!({
                "outcome": "approved", "data": { "account": "4711" }, "by": by,
                "at": bench.now().to_string(), "comment": "as agreed",
            }),
            said
        );
        let told = history
            .events()
            .find(|event| event.kind == "human_task.completed");
        let told = told.expect("history tells who answered");
        assert!(told.payload.contains("ada@example.com"));
        let records = tasks_of(told).expect("it has records");
        assert_eq!(
            ("approval", Some(&said)),
            (&*records[0].kind, records[0].output.as_ref())
        );
        assert!(order_of(told).is_none());
    });
}

#[test]
fn what_is_handed_on_and_escalated_is_others_to_answer() {
    Workbench::new().open(async |bench| {
        let id = begun(bench, EXPENSE, json!({ "amount": 5 })).await;
        let task = only(bench, id).await;
        let to_eve = || HumanTaskAction::Delegate { to: eve() };
        assert_eq!(
            ErrorKind::Forbidden,
            kind(act(bench, &task, &eve(), to_eve()).await)
        );
        let hers = act(bench, &task, &bob(), to_eve()).await.expect("hers");
        assert_eq!(Some(eve().id), hers.row.claimed_by);
        assert_eq!(
            ErrorKind::Forbidden,
            kind(act(bench, &task, &bob(), HumanTaskAction::Release).await)
        );
        let boss = Person {
            manages: true,
            ..bob()
        };
        let open = act(bench, &task, &boss, HumanTaskAction::Release).await;
        assert_eq!(HumanTaskState::Open, open.expect("open").row.state);
        act(bench, &task, &ada(), HumanTaskAction::Claim)
            .await
            .expect("hers");

        bench.skip(SignedDuration::from_hours(24)).await;
        let escalated = only(bench, id).await;
        assert_eq!(
            (HumanTaskState::Open, None),
            (escalated.row.state, escalated.row.claimed_by)
        );
        assert!(
            escalated
                .audiences
                .contains(&"user:eve@example.com".to_owned())
        );
        assert_eq!(
            vec!["delegated", "released", "claimed", "escalated"],
            whats(&escalated)
        );
        act(bench, &task, &eve(), approved())
            .await
            .expect("now she may");
        let history = bench.end(id).await;
        assert_eq!("eve@example.com", history.output()["said"]["by"]["email"]);
    });
}

#[test]
fn the_deadline_is_a_time_out_that_may_be_caught_or_an_outcome() {
    Workbench::new().open(async |bench| {
        let caught = "do:
- t:
    try: [ { p: { call: approval, with: { title: Go?, deadline: { hours: 1 } } } } ]
    catch: { errors: { with: { type: 'https://serverlessworkflow.io/spec/1.0.0/errors/timeout' } }, as: e, do: [ { c: { set: { late: '${ $e.status }' } } } ] }
";
        let id = begun(bench, caught, json!({})).await;
        let history = bench.end(id).await;
        assert_eq!(json!({ "late": 408 }), history.output());
        let task = only(bench, id).await;
        assert_eq!(HumanTaskState::Expired, task.row.state);
        assert_eq!(vec!["expired"], whats(&task));
        let late = act(bench, &task, &ada(), answer("approved", None)).await;
        assert_eq!(ErrorKind::Conflict, kind(late));

        let stated = "do:
- p: { call: approval, with: { title: Go?, outcomes: [go, stop], deadline: PT1H, deadline_outcome: stop } }
";
        let id = begun(bench, stated, json!({})).await;
        let output = bench.end(id).await.output();
        assert_eq!(("stop", &Value::Null), (output["outcome"].as_str().unwrap(), &output["by"]));

        let uncaught = "do:
- p: { call: approval, with: { title: Go?, deadline: PT1H } }
";
        let id = begun(bench, uncaught, json!({})).await;
        assert_eq!(Status::Faulted, bench.end(id).await.row().status);
    });
}

#[test]
fn what_an_execution_gives_up_is_withdrawn() {
    let waits = "{ call: approval, with: { title: Go? } }";
    let race = format!(
        "do:\n- f: {{ fork: {{ compete: true, branches: [ {{ p: {waits} }}, {{ w: {{ wait: {{ hours: 1 }} }} }} ] }} }}\n"
    );
    let timed = format!(
        "do:\n- t:\n    try: [ {{ p: {waits} }} ]\n    catch: {{ retry: {{ limit: {{ attempt: {{ count: 1, duration: {{ hours: 1 }} }} }} }}, do: [ {{ c: {{ set: {{ x: 1 }} }} }} ] }}\n"
    );
    let plain = format!("do:\n- p: {waits}\n");
    Workbench::new().open(async |bench| {
        for (what, rest) in [
            ("lost race", &race),
            ("try", &timed),
            ("cancel", &plain),
            ("skip", &plain),
        ] {
            let id = begun(bench, rest, json!({})).await;
            let (handle, scope) = (bench.handle(), bench.scope());
            match what {
                "cancel" => handle.cancel(scope, id, None).await.expect("asked"),
                "skip" => {
                    let skip = Skip {
                        task: "/do/0/p".to_owned(),
                        output: json!(1),
                        reason: None,
                    };
                    handle.skip(scope, id, skip).await.expect("asked");
                }
                _ => {}
            }
            bench.end(id).await;
            for task in tasks(bench, id).await {
                assert_eq!(HumanTaskState::Withdrawn, task.row.state, "{what}");
                assert!(task.audiences.is_empty() && task.row.closed_at.is_some());
                let late = act(bench, &task, &ada(), answer("approved", None)).await;
                assert_eq!(ErrorKind::Conflict, kind(late));
            }
        }
    });
}

#[test]
fn nobody_answers_while_the_execution_is_suspended() {
    Workbench::new().open(async |bench| {
        let id = begun(bench, EXPENSE, json!({ "amount": 5 })).await;
        let (handle, scope) = (bench.handle(), bench.scope());
        let task = only(bench, id).await;
        act(bench, &task, &ada(), HumanTaskAction::Claim)
            .await
            .expect("hers");
        handle.suspend(scope, id, None).await.expect("asked");
        bench.settle().await;
        assert_eq!(HumanTaskState::Held, only(bench, id).await.row.state);
        assert_eq!(
            ErrorKind::Conflict,
            kind(act(bench, &task, &ada(), approved()).await)
        );
        handle.resume(scope, id, None).await.expect("asked");
        bench.settle().await;
        let again = only(bench, id).await;
        assert_eq!(
            (HumanTaskState::Claimed, Some(ada().id)),
            (again.row.state, again.row.claimed_by)
        );
        // What came due meanwhile comes due then.
        handle.suspend(scope, id, None).await.expect("asked");
        bench.skip(SignedDuration::from_hours(50)).await;
        assert_eq!(HumanTaskState::Held, only(bench, id).await.row.state);
        handle.resume(scope, id, None).await.expect("asked");
        assert_eq!(Status::Faulted, bench.end(id).await.row().status);
        assert_eq!(HumanTaskState::Expired, only(bench, id).await.row.state);
    });
}

#[test]
fn an_answer_that_was_given_is_not_asked_for_again() {
    // The answer comes while another branch is at work; then that one fails for good.
    let rest = "do:
- f:
    fork:
      branches:
      - p: { call: approval, with: { title: Go? } }
      - w: { do: [ { w: { wait: { hours: 1 } } }, { x: { raise: { error: { type: 'https://e.example/x', status: 400 } } } } ] }
";
    Workbench::new().open(async |bench| {
        let id = begun(bench, rest, json!({})).await;
        let (handle, scope) = (bench.handle(), bench.scope());
        let task = only(bench, id).await;
        act(bench, &task, &ada(), answer("approved", None))
            .await
            .expect("done");
        assert_eq!(Status::Faulted, bench.end(id).await.row().status);
        let from = |task: &str| Retry {
            from_task: Some(task.to_owned()),
            ..Retry::default()
        };
        handle
            .retry(scope, id, from("/do/0/f/fork/branches/1/w/do/0/w"))
            .await
            .expect("goes on");
        bench.settle().await;
        assert_eq!(Status::Faulted, bench.end(id).await.row().status);
        assert_eq!(
            vec!["completed"],
            whats(&only(bench, id).await),
            "nobody is asked again"
        );
        // Put back before the question, it is asked anew.
        handle
            .retry(scope, id, from("/do/0/f"))
            .await
            .expect("goes on");
        bench.settle().await;
        let states: Vec<HumanTaskState> = tasks(bench, id)
            .await
            .iter()
            .map(|task| task.row.state)
            .collect();
        assert!(states.contains(&HumanTaskState::Completed));
        assert!(states.contains(&HumanTaskState::Open));
    });
}

#[test]
fn mistakes_in_approvals_are_told_before_anything_is_executed() {
    Workbench::new().open(async |bench| {
        for (with, code, pointer) in [
            (
                "{ titel: x, title: y }",
                "unknown_property",
                "/do/0/p/with/titel",
            ),
            ("{ title: '' }", "wrong_argument", "/do/0/p/with/title"),
            (
                "{ title: '${ .x }', form: { type: string } }",
                "wrong_argument",
                "/do/0/p/with/form",
            ),
            (
                "{ title: x, deadline: soon }",
                "wrong_argument",
                "/do/0/p/with/deadline",
            ),
            (
                "{ title: x, deadline_outcome: rejected }",
                "wrong_argument",
                "/do/0/p/with/deadline_outcome",
            ),
        ] {
            let text = definition(
                "subject",
                &format!("do:\n- p: {{ call: approval, with: {with} }}\n"),
            );
            let mistakes = bench.handle().validate(&text);
            let found: Vec<(&str, &str)> = mistakes
                .iter()
                .map(|one| (one.code, &*one.pointer))
                .collect();
            assert_eq!(vec![(code, pointer)], found, "{with}");
        }
        let text = definition("subject", "do:\n- p: { call: approval }\n");
        assert_eq!("missing_property", bench.handle().validate(&text)[0].code);
        // What only the data shows ends the task.
        let rest = "do:\n- p: { call: approval, with: { title: '${ .title }' } }\n";
        let id = begun(bench, rest, json!({ "title": 5 })).await;
        let history = bench.end(id).await;
        let error = history.row().error.clone().expect("an error");
        assert!(
            error.contains("validation") && error.contains("title"),
            "{error}"
        );
    });
}

/// Parks an approval, ends the engine, starts another one on the same data, answers.
async fn outlasts(stores: [Arc<dyn Store>; 2]) {
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let [first, second] = stores.map(|store| Ports {
        clock: Arc::<ManualClock>::clone(&clock) as Arc<dyn Clock>,
        ..Ports::new(store)
    });
    let first = Fixture::with(first, options()).await;
    first.deploy("subject", EXPENSE).await;
    let id = first.start("subject", json!({ "amount": 5 })).await;
    let late = first.start("subject", json!({ "amount": 6 })).await;
    for id in [id, late] {
        first.until(id, |row| row.status == Status::Waiting).await;
    }
    first.engine.stop(super::PATIENCE).await.expect("it stops");

    let second = Fixture::with(second, options()).await;
    let query = HumanTaskQuery {
        limit: 10,
        ..HumanTaskQuery::default()
    };
    let listed = second.handle.human_tasks(&second.scope, &query).await;
    let listed = listed.expect("it lists").items;
    let task = |execution| {
        let found = listed.iter().find(|row| row.execution == execution);
        found.expect("it is asked").id
    };
    let action = approved();
    let (ada, bob) = (ada(), bob());
    let both = [(&ada, &action), (&bob, &action)]
        .map(|by| second.handle.human_task_act(&second.scope, task(id), by));
    let both = futures_util::future::join_all(both).await;
    assert_eq!(1, both.iter().filter(|one| one.is_ok()).count(), "{both:?}");
    let row = second.end(id).await;
    assert_eq!("approved", output(&row)["said"]["outcome"]);

    // Everybody answers while the deadline comes: the row and the execution agree.
    clock.advance(SignedDuration::from_hours(48) - SignedDuration::from_micros(1));
    let answered = second
        .handle
        .human_task_act(&second.scope, task(late), (&ada, &action));
    let passed = async {
        clock.advance(SignedDuration::from_secs(1));
    };
    let (answered, ()) = futures_util::future::join(answered, passed).await;
    let row = second.end(late).await;
    let view = second
        .handle
        .human_task(&second.scope, task(late))
        .await
        .expect("it is there");
    match answered {
        Ok(_) => {
            assert_eq!(HumanTaskState::Completed, view.row.state);
            assert_eq!(Status::Completed, row.status);
        }
        Err(_) => {
            assert_eq!(HumanTaskState::Expired, view.row.state);
            assert_eq!(Status::Faulted, row.status);
        }
    }
    second.engine.stop(super::PATIENCE).await.expect("it stops");
}

async fn outlasts_in(place: &Place) {
    let stores = [place.open().await, place.open().await];
    outlasts(stores.clone().map(|store| store as Arc<dyn Store>)).await;
    for store in stores {
        store.close().await;
    }
}

#[tokio::test]
async fn approvals_outlast_their_engine_in_memory() {
    let store = Arc::new(MemoryStore::new());
    outlasts([Arc::<MemoryStore>::clone(&store), store]).await;
}

#[tokio::test]
async fn approvals_outlast_their_engine_on_sqlite() {
    outlasts_in(&Place::sqlite()).await;
}

#[tokio::test]
async fn approvals_outlast_their_engine_on_postgres() {
    let Some(place) = Place::postgres("approvals") else {
        return;
    };
    outlasts_in(&place).await;
    place.drop_schema().await;
}
