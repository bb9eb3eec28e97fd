use poem::http::Method;
use serde_json::{Value, json};

use crate::fixture::{Account, Answer, ECHO, Fixture};

const PATH: &str = "/api/v1/schedules";

pub(crate) fn nightly(name: &str) -> Value {
    json!({
        "name": name,
        "workflow": { "namespace": "test", "name": "echo" },
        "input": { "count": 3 },
        "timing": { "cron": "30 2 * * *", "time_zone": "Europe/Berlin" },
        "overlap": "skip",
        "catch_up": "window",
        "catch_up_window": "PT6H",
        "jitter": "PT5M",
        "pause_after_failures": 3,
    })
}

async fn make(fixture: &Fixture, by: &Account, body: &Value) -> Answer {
    fixture.post(PATH).by(by).json(body).send().await
}

#[tokio::test]
async fn schedule_is_made_read_changed_and_deleted() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    fixture.deploy(&ada, ECHO).await;
    let made = make(&fixture, &ada, &nightly("nightly")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let schedule = made.json();
    let location = made.header("location").to_owned();
    assert_eq!(
        location,
        format!("{PATH}/{}", schedule["id"].as_str().unwrap())
    );
    assert_eq!(schedule["description"], "At 02:30 (Europe/Berlin)");
    assert_eq!(schedule["catch_up_window"], "PT6H");
    assert_eq!(schedule["state"], "active");
    assert!(schedule["next_at"].is_string());
    let again = make(&fixture, &ada, &nightly("nightly")).await;
    again.problem(409, "conflict");

    let mut other = nightly("nightly");
    other["timing"] = json!({ "every": "PT10M" });
    let put = |tag: Option<String>, body: Value| {
        let call = fixture.call(Method::PUT, &location).by(&ada);
        let call = match tag {
            Some(tag) => call.header("if-match", &tag),
            None => call,
        };
        call.json(&body).send()
    };
    put(None, other.clone())
        .await
        .problem(428, "precondition_required");
    let tag = made.header("etag").to_owned();
    let changed = put(Some(tag.clone()), other.clone()).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.json()["description"], "Every 10 min");
    put(Some(tag.clone()), other)
        .await
        .problem(412, "precondition_failed");
    let delete = |tag: &str| {
        let call = fixture.call(Method::DELETE, &location).by(&ada);
        call.header("if-match", tag).send()
    };
    delete(&tag).await.problem(412, "precondition_failed");
    assert_eq!(delete(changed.header("etag")).await.status, 204);
    let gone = fixture.get(&location).by(&ada).send().await;
    gone.problem(404, "not_found");
}

#[tokio::test]
async fn idempotency_key_finds_the_first_schedule() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    fixture.deploy(&ada, ECHO).await;
    let make = |body: Value| {
        let call = fixture.post(PATH).by(&ada).header("idempotency-key", "k");
        call.json(&body).send()
    };
    let (first, second) = (
        make(nightly("nightly")).await,
        make(nightly("nightly")).await,
    );
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 201));
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_eq!(second.header("idempotency-replayed"), "true");
    let other = make(nightly("weekly")).await;
    other.problem(422, "idempotency_key_reused");

    let path = first.header("location");
    let ask = |tail: &str, body: Value| {
        let call = fixture.post(&format!("{path}{tail}")).by(&ada);
        call.header("idempotency-key", "k").json(&body).send()
    };
    let tick = json!({ "overlap": "allow" });
    let range = |to: &str| json!({ "from": "2026-01-01T00:00:00Z", "to": to });
    let days = range("2026-01-04T00:00:00Z");
    for (tail, body, name) in [("/trigger", tick, "sequence"), ("/backfills", days, "id")] {
        let (first, second) = (ask(tail, body.clone()).await, ask(tail, body).await);
        assert_eq!(second.status, 202, "{}", second.text);
        assert_eq!(first.json()[name], second.json()[name]);
        assert_eq!(second.header("idempotency-replayed"), "true");
    }
    let other = ask("/backfills", range("2026-01-05T00:00:00Z")).await;
    other.problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn every_mistake_of_a_schedule_is_named_at_its_place() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    fixture.deploy(&ada, ECHO).await;
    let mut wrong = nightly("nightly");
    wrong["timing"] = json!({ "cron": "0 0 30 2 *", "time_zone": "Mars" });
    wrong["input"] = json!({ "count": "three" });
    wrong["pause_after_failures"] = json!(0);
    let problem = make(&fixture, &ada, &wrong)
        .await
        .problem(422, "validation_failed");
    let pointers: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    let expected = [
        "/timing/cron",
        "/timing/time_zone",
        "/pause_after_failures",
        "/input/count",
    ];
    assert_eq!(pointers, expected, "{problem}");
    for (member, value, pointer) in [
        ("timing", json!({}), "/timing"),
        (
            "timing",
            json!({ "every": "PT1H", "cron": "* * * * *" }),
            "/timing",
        ),
        ("timing", json!({ "every": "soon" }), "/timing/every"),
        ("timing", json!({ "every": "PT0.1S" }), "/timing/every"),
        ("timing", json!({ "on": { "one": {} } }), "/timing/on"),
        ("catch_up_window", Value::Null, "/catch_up_window"),
        ("ends_at", json!("tomorrow"), "/ends_at"),
        (
            "workflow",
            json!({ "namespace": "test", "name": "nothing" }),
            "/workflow",
        ),
        ("name", json!(" "), "/name"),
    ] {
        let mut body = nightly("nightly");
        body[member] = value;
        let problem = make(&fixture, &ada, &body)
            .await
            .problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn schedule_is_paused_and_triggered() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    fixture.deploy(&ada, ECHO).await;
    let made = make(&fixture, &ada, &nightly("nightly")).await;
    let path = made.header("location").to_owned();
    let patch = |body: Value| {
        let call = fixture.call(Method::PATCH, &path).by(&ada);
        call.json(&body).send()
    };
    let paused = patch(json!({ "paused": true, "reason": "holiday" }))
        .await
        .json();
    assert_eq!(
        (&paused["state"], &paused["next_at"]),
        (&json!("paused"), &Value::Null)
    );
    assert_eq!(paused["paused"]["reason"], "holiday");
    let resumed = patch(json!({ "paused": false })).await.json();
    assert_eq!(resumed["state"], "active");

    let tick = fixture
        .post(&format!("{path}/trigger"))
        .by(&ada)
        .send()
        .await;
    assert_eq!(tick.status, 202, "{}", tick.text);
    let tick = tick.json();
    assert_eq!(tick["kind"], "trigger");
    let id = tick["execution"].as_str().unwrap();
    let execution = fixture
        .get(&format!("/api/v1/executions/{id}"))
        .by(&ada)
        .send()
        .await;
    assert_eq!(execution.status, 200, "{}", execution.text);
    assert_eq!(
        execution.json()["attributes"]["schedule"],
        made.json()["id"]
    );
    let ticks = fixture
        .get(&format!("{path}/ticks?limit=1"))
        .by(&ada)
        .send()
        .await;
    assert_eq!(ticks.json()["items"][0]["sequence"], tick["sequence"]);
}

#[tokio::test]
async fn range_of_the_past_is_backfilled() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    fixture.deploy(&ada, ECHO).await;
    let made = make(&fixture, &ada, &nightly("nightly")).await;
    let path = made.header("location").to_owned();
    let backfill = |from: &str, to: &str| {
        let body = json!({ "from": from, "to": to, "overlap": "allow" });
        let path = format!("{path}/backfills");
        fixture.post(&path).by(&ada).json(&body).send()
    };
    let accepted = backfill("2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z").await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let backfill_path = accepted.header("location").to_owned();
    assert_eq!(accepted.json()["backfill_of"], made.json()["id"]);
    let own = fixture.get(&backfill_path).by(&ada).send().await;
    assert_eq!(own.json()["backfill_of"], made.json()["id"]);
    let listed = fixture
        .get(&format!("{path}/backfills"))
        .by(&ada)
        .send()
        .await;
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 1);
    let refused = backfill("2026-01-04T00:00:00Z", "2026-01-01T00:00:00Z").await;
    refused.problem(422, "validation_failed");
    let refused = backfill("yesterday", "2026-01-01T00:00:00Z").await;
    assert_eq!(
        refused.problem(422, "validation_failed")["errors"][0]["pointer"],
        "/from"
    );
}

#[tokio::test]
async fn next_times_are_shown() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    fixture.deploy(&ada, ECHO).await;
    let made = make(&fixture, &ada, &nightly("nightly")).await;
    let path = made.header("location").to_owned();
    let next = fixture
        .get(&format!("{path}/preview?count=2"))
        .by(&ada)
        .send()
        .await;
    assert_eq!(next.json()["times"].as_array().unwrap().len(), 2);
    let preview = json!({ "timing": { "cron": "0 0 29 2 *" }, "count": 3 });
    let preview = fixture
        .post(&format!("{PATH}/preview"))
        .by(&ada)
        .json(&preview)
        .send()
        .await;
    assert_eq!(preview.json()["times"][0], "2028-02-29T00:00:00Z");
    assert_eq!(
        preview.json()["description"],
        "At 00:00, on day 29, in February (UTC)"
    );
}

#[tokio::test]
async fn schedules_are_listed_in_pages() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    fixture.deploy(&ada, ECHO).await;
    for name in ["a", "b", "c"] {
        assert_eq!(make(&fixture, &ada, &nightly(name)).await.status, 201);
    }
    let (fixture, ada) = (&fixture, &ada);
    let page = |query: String| async move {
        let path = format!("{PATH}?limit=2{query}");
        fixture.get(&path).by(ada).send().await.json()
    };
    let first = page(String::new()).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = page(format!("&cursor={cursor}")).await;
    assert_eq!(second["items"][0]["name"], "c");
    assert_eq!(second["next_cursor"], Value::Null);
    let other = page("&workflow=test/other".to_owned()).await;
    assert_eq!(other["items"], json!([]));
}
