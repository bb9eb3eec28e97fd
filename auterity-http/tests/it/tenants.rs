//! What belongs to one tenant does not exist for another.

use poem::http::Method;
use serde_json::json;

use crate::fixture::{Account, Answer, Fixture, LISTEN};

/// Gives the answer without what names the request itself.
fn plain(answer: &Answer, id: &str) -> String {
    let request_id = answer.header("x-request-id");
    answer.text.replace(request_id, "").replace(id, "")
}

#[tokio::test]
async fn foreign_executions_look_like_unknown_ones() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let eve = fixture.sign_up("eve").await;
    fixture.deploy(&ada, LISTEN).await;
    fixture.deploy(&eve, LISTEN).await;
    let foreign = fixture.start(&ada, "listen").await;
    let unknown = "exe_01jzzzzzzzzzzzzzzzzzzzzzzz";
    for (method, tail, accept) in [
        (Method::GET, "", "*/*"),
        (Method::GET, "/events", "*/*"),
        (Method::GET, "/events", "text/event-stream"),
        (Method::POST, "/cancel", "*/*"),
        (Method::POST, "/terminate", "*/*"),
        (Method::POST, "/suspend", "*/*"),
        (Method::POST, "/resume", "*/*"),
        (Method::POST, "/retry", "*/*"),
        (Method::POST, "/fork", "*/*"),
    ] {
        let ask = |id: &str| {
            let path = format!("/api/v1/executions/{id}{tail}");
            let call = fixture.call(method.clone(), &path).by(&eve);
            call.header("accept", accept).send()
        };
        let (one, other, rubbish) = (ask(&foreign).await, ask(unknown).await, ask("7").await);
        one.problem(404, "not_found");
        assert_eq!(
            plain(&one, &foreign),
            plain(&other, unknown),
            "{method} {tail}"
        );
        rubbish.problem(404, "not_found");
    }
    let list = fixture.get("/api/v1/executions").by(&eve).send().await;
    assert_eq!(list.json()["items"], json!([]));
}

#[tokio::test]
async fn foreign_workflows_look_like_unknown_ones() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let eve = fixture.sign_up("eve").await;
    fixture.deploy(&ada, LISTEN).await;
    for (method, tail) in [
        (Method::GET, ""),
        (Method::GET, "/versions"),
        (Method::GET, "/versions/1.0.0"),
        (Method::DELETE, ""),
        (Method::POST, "/executions"),
    ] {
        let ask = |name: &str| {
            let path = format!("/api/v1/workflows/test/{name}{tail}");
            let call = fixture.call(method.clone(), &path).by(&eve);
            call.json(&json!({})).send()
        };
        let (one, other) = (ask("listen").await, ask("absent").await);
        one.problem(404, "not_found");
        assert_eq!(
            plain(&one, "listen"),
            plain(&other, "absent"),
            "{method} {tail}"
        );
    }
    fixture.deploy(&eve, LISTEN).await;
    let list = fixture.get("/api/v1/workflows").by(&ada).send().await;
    assert_eq!(list.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn cursor_of_another_tenant_is_refused() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let eve = fixture.sign_up("eve").await;
    fixture.deploy(&ada, LISTEN).await;
    fixture.start(&ada, "listen").await;
    fixture.start(&ada, "listen").await;
    let page = fixture
        .get("/api/v1/executions?limit=1")
        .by(&ada)
        .send()
        .await;
    let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/executions?limit=1&cursor={cursor}");
    let ask = |who: &Account| fixture.get(&path).by(who).send();
    assert_eq!(ask(&ada).await.status, 200);
    ask(&eve).await.problem(400, "cursor_invalid");
}

#[tokio::test]
async fn key_of_another_tenant_is_another_key() {
    let fixture = Fixture::new().await;
    let mut ids = Vec::new();
    for name in ["ada", "eve"] {
        let account = fixture.sign_up(name).await;
        fixture.deploy(&account, LISTEN).await;
        let call = fixture
            .post("/api/v1/workflows/test/listen/executions")
            .by(&account);
        let answer = call
            .header("idempotency-key", "k")
            .json(&json!({}))
            .send()
            .await;
        ids.push(answer.id());
    }
    assert_ne!(ids[0], ids[1]);
}
