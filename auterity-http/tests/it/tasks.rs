//! Tasks for people: found, taken, handed on, answered.

use serde_json::{Value, json};

use crate::fixture::{Account, Answer, Fixture};

/// A workflow that asks an admin or Ada.
pub(crate) const APPROVAL: &str = r"document:
  dsl: '1.0.0'
  namespace: test
  name: decide
  version: '1.0.0'
do:
  - ask:
      call: approval
      with:
        title: Pay?
        description: It is urgent.
        data: '${ . }'
        assignees: { users: [ada@example.com], roles: [admin] }
        outcomes: [pay, wait]
        form:
          type: object
          required: [account]
          properties:
            account: { type: string, minLength: 3 }
            amount: { type: integer, minimum: 1 }
        deadline: P1D
        deadline_outcome: wait
        escalation: { after: PT12H, to: { roles: [owner] } }
";

/// Gives the one human task of an execution, once it is there.
pub(crate) async fn task_of(fixture: &Fixture, account: &Account, execution: &str) -> Value {
    let path = format!("/api/v1/tasks?execution={execution}");
    loop {
        let page = fixture.get(&path).by(account).send().await;
        assert_eq!(page.status, 200, "{}", page.text);
        if let Some(task) = page.json()["items"].as_array().unwrap().first() {
            return task.clone();
        }
        tokio::task::yield_now().await;
    }
}

async fn act(fixture: &Fixture, who: &Account, task: &Value, what: &str, body: &Value) -> Answer {
    let path = format!("/api/v1/tasks/{}/{what}", task["id"].as_str().unwrap());
    let call = fixture.post(&path).by(who);
    let call = if body.is_null() {
        call
    } else {
        call.json(body)
    };
    call.send().await
}

async fn count(fixture: &Fixture, who: &Account, query: &str) -> usize {
    let path = format!("/api/v1/tasks?{query}");
    let page = fixture.get(&path).by(who).send().await;
    assert_eq!(page.status, 200, "{}", page.text);
    page.json()["items"].as_array().unwrap().len()
}

fn places(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().unwrap();
    let mut places: Vec<&str> = errors
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    places.sort_unstable();
    places
}

#[tokio::test]
async fn a_task_is_found_by_those_whom_it_is_for() {
    let (fixture, ada) = Fixture::with_workflow(APPROVAL).await;
    let execution = fixture.start(&ada, "decide").await;
    let task = task_of(&fixture, &ada, &execution).await;
    assert_eq!(
        (&task["title"], &task["state"]),
        (&json!("Pay?"), &json!("open"))
    );
    assert_eq!(task["workflow"]["name"], "decide");
    for (query, found) in [
        ("mine=true", 1),
        ("mine=true&state=open", 1),
        ("mine=true&state=claimed", 0),
        ("mine=true&state=completed", 0),
        ("state=completed,expired", 0),
        ("workflow=test/decide", 1),
        ("workflow=test/other", 0),
    ] {
        assert_eq!(count(&fixture, &ada, query).await, found, "{query}");
    }
    for query in [
        "state=done",
        "mine=true&state=expired",
        "workflow=x",
        "execution=y",
    ] {
        let page = fixture.get(&format!("/api/v1/tasks?{query}")).by(&ada);
        page.send().await.problem(400, "parameter_invalid");
    }
    let counts = fixture.get("/api/v1/tasks/counts").by(&ada).send().await;
    assert_eq!(counts.json(), json!({ "open": 1, "claimed": 0 }));
}

#[tokio::test]
async fn a_task_is_taken_and_answered() {
    let (fixture, ada) = Fixture::with_workflow(APPROVAL).await;
    let execution = fixture.start(&ada, "decide").await;
    let task = task_of(&fixture, &ada, &execution).await;
    let path = format!("/api/v1/tasks/{}", task["id"].as_str().unwrap());
    let whole = fixture.get(&path).by(&ada).send().await.json();
    assert_eq!(whole["description"], "It is urgent.");
    assert_eq!(whole["data"], json!({}));
    assert_eq!(whole["form"]["required"], json!(["account"]));
    assert_eq!(whole["outcomes"], json!(["pay", "wait"]));
    assert_eq!(
        whole["assignees"],
        json!(["role:admin", "user:ada@example.com"])
    );
    assert_eq!(whole["escalation"]["roles"], json!(["owner"]));
    let may = json!({ "claim": true, "release": false, "delegate": true, "complete": true });
    assert_eq!(whole["may"], may);

    let claimed = act(&fixture, &ada, &task, "claim", &Value::Null)
        .await
        .json();
    assert_eq!(claimed["claimed_by"]["email"], "ada@example.com");
    assert_eq!(claimed["history"][0]["what"], "claimed");
    assert_eq!(count(&fixture, &ada, "mine=true&state=claimed").await, 1);
    let wrong = json!({ "outcome": "no", "data": { "account": "x", "amount": 0 } });
    let refused = act(&fixture, &ada, &task, "complete", &wrong).await;
    let problem = refused.problem(422, "answer_invalid");
    assert_eq!(
        places(&problem),
        ["/data/account", "/data/amount", "/outcome"]
    );
    let missing = act(
        &fixture,
        &ada,
        &task,
        "complete",
        &json!({ "outcome": "pay" }),
    )
    .await;
    assert_eq!(places(&missing.problem(422, "answer_invalid")), ["/data"]);
    let unknown = json!({ "outcome": "pay", "date": {} });
    let unknown = act(&fixture, &ada, &task, "complete", &unknown).await;
    assert!(unknown.status.is_client_error(), "{}", unknown.text);

    let right = json!({ "outcome": "pay", "data": { "account": "4711" }, "comment": "go" });
    for _ in 0..2 {
        let done = act(&fixture, &ada, &task, "complete", &right).await;
        assert_eq!(done.status, 200, "{}", done.text);
        assert_eq!(done.json()["state"], "completed");
    }
    let other = json!({ "outcome": "wait", "data": { "account": "4711" } });
    let late = act(&fixture, &ada, &task, "complete", &other).await;
    late.problem(409, "conflict");
    let path = format!("/api/v1/executions/{execution}");
    fixture.history(&ada, &execution).await;
    let ended = fixture.get(&path).by(&ada).send().await.json();
    assert_eq!(ended["output"]["outcome"], "pay");
    assert_eq!(ended["output"]["by"]["email"], "ada@example.com");
    assert_eq!(count(&fixture, &ada, "mine=true&state=completed").await, 1);
    assert_eq!(count(&fixture, &ada, "mine=true").await, 0);
}

#[tokio::test]
async fn a_task_is_for_whom_it_names_and_handed_on_to_members() {
    let (fixture, ada) = Fixture::with_workflow(APPROVAL).await;
    let bob = fixture.sign_up("bob").await;
    let bob = fixture.join(&bob, "ada", "editor").await;
    let vic = fixture.sign_up("vic").await;
    let vic = fixture.join(&vic, "ada", "viewer").await;
    let execution = fixture.start(&ada, "decide").await;
    let task = task_of(&fixture, &bob, &execution).await;
    assert_eq!(count(&fixture, &bob, "mine=true").await, 0);
    let path = format!("/api/v1/tasks/{}", task["id"].as_str().unwrap());
    let nothing = json!({ "claim": false, "release": false, "delegate": false, "complete": false });
    for who in [&bob, &vic] {
        let seen = fixture.get(&path).by(who).send().await.json();
        assert_eq!(seen["may"], nothing, "everybody may look");
        let refused = act(&fixture, who, &task, "claim", &Value::Null).await;
        refused.problem(403, "forbidden");
    }
    for (to, place) in [("nobody@example.com", "/to"), ("vic@example.com", "/to")] {
        let refused = act(&fixture, &ada, &task, "delegate", &json!({ "to": to })).await;
        assert_eq!(places(&refused.problem(422, "validation_failed")), [place]);
    }
    let to = json!({ "to": "Bob@example.com" });
    let handed = act(&fixture, &ada, &task, "delegate", &to).await;
    assert_eq!(handed.status, 200, "{}", handed.text);
    let handed = handed.json();
    assert_eq!(handed["claimed_by"]["email"], "bob@example.com");
    assert_eq!(
        handed["history"][0]["details"]["to"]["email"],
        "bob@example.com"
    );
    assert_eq!(count(&fixture, &bob, "mine=true").await, 1);
    assert_eq!(count(&fixture, &ada, "mine=true").await, 0);
    let taken = act(&fixture, &ada, &task, "claim", &Value::Null).await;
    taken.problem(409, "conflict");
    // Who manages takes it back; then both answer, and one wins.
    let back = act(&fixture, &ada, &task, "release", &Value::Null).await;
    assert_eq!(back.json()["state"], "open");
    let answer = json!({ "outcome": "wait", "data": { "account": "abc" } });
    let (first, second) = futures_util::future::join(
        act(&fixture, &ada, &task, "complete", &answer),
        act(&fixture, &bob, &task, "complete", &answer),
    )
    .await;
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

#[tokio::test]
async fn tasks_are_listed_in_pages() {
    let (fixture, ada) = Fixture::with_workflow(APPROVAL).await;
    for _ in 0..3 {
        let execution = fixture.start(&ada, "decide").await;
        task_of(&fixture, &ada, &execution).await;
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/tasks?mine=true&limit=2".to_owned();
    loop {
        let page = fixture.get(&path).by(&ada).send().await.json();
        let items = page["items"].as_array().unwrap();
        seen.extend(
            items
                .iter()
                .map(|task| task["id"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/tasks?mine=true&limit=2&cursor={cursor}");
    }
    assert_eq!(seen.len(), 3);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3);
    let other = path.replace("mine=true&", "");
    let refused = fixture.get(&other).by(&ada).send().await;
    refused.problem(400, "cursor_invalid");
}
