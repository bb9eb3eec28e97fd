use poem::http::Method;
use serde_json::{Value, json};

use crate::fixture::{ECHO, Fixture, LISTEN};

#[tokio::test]
async fn definition_is_deployed_and_read_back() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let deploy = |text: &str| fixture.post("/api/v1/workflows").by(&ada).yaml(text).send();
    let first = deploy(ECHO).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let location = "/api/v1/workflows/test/echo/versions/1.0.0";
    assert_eq!(first.header("location"), location);
    let workflow = first.json();
    assert_eq!(workflow["definition"], ECHO);
    assert_eq!(workflow["format"], "yaml");
    assert_eq!(workflow["title"], "Echo");
    assert_eq!(workflow["versions"], json!(["1.0.0"]));
    assert_eq!(workflow["input_schema"]["type"], "object");

    let again = deploy(ECHO).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["hash"], workflow["hash"]);
    let other = deploy(&ECHO.replace("title: Echo", "title: Other")).await;
    other.problem(409, "version_exists");

    let read = fixture.get(location).by(&ada).send().await;
    assert_eq!(read.json(), workflow);
    let text = fixture
        .get("/api/v1/workflows/test/echo")
        .by(&ada)
        .header("accept", "application/yaml")
        .send()
        .await;
    assert_eq!(text.text, ECHO);
    assert_eq!(text.header("content-type"), "application/yaml");
}

#[tokio::test]
async fn definition_may_come_as_json() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let definition = json!({
        "document": {"dsl": "1.0.0", "namespace": "test", "name": "plain", "version": "1.0.0"},
        "do": [{"say": {"set": {"a": 1}}}],
    });
    let call = fixture.post("/api/v1/workflows").by(&ada).json(&definition);
    let answer = call.send().await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(answer.json()["format"], "json");
    assert_eq!(answer.json()["input_schema"], Value::Null);
}

#[tokio::test]
async fn known_version_is_not_sent_again() {
    let (fixture, ada) = Fixture::with_workflow(ECHO).await;
    let path = "/api/v1/workflows/test/echo";
    let first = fixture.get(path).by(&ada).send().await;
    let tag = first.header("etag").to_owned();
    let known = |tag: &str| {
        fixture
            .get(path)
            .by(&ada)
            .header("if-none-match", tag)
            .send()
    };
    let same = known(&tag).await;
    assert_eq!(same.status, 304);
    assert!(same.text.is_empty());
    let newer = ECHO.replace("version: '1.0.0'", "version: '1.1.0'");
    fixture.deploy(&ada, &newer).await;
    let changed = known(&tag).await;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json()["versions"], json!(["1.1.0", "1.0.0"]));
}

#[tokio::test]
async fn mistakes_come_together_with_their_places() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let broken = ECHO.replace(
        "      set:\n        said: ${ .count }",
        "      set:\n        said: ${ .count + }\n      then: nowhere",
    );
    let deploy = fixture
        .post("/api/v1/workflows")
        .by(&ada)
        .yaml(&broken)
        .send()
        .await;
    let problem = deploy.problem(422, "definition_invalid");
    let errors = problem["errors"].as_array().unwrap();
    assert!(2 <= errors.len(), "{problem}");
    for error in errors {
        assert!(
            error["pointer"].as_str().unwrap().starts_with("/do/0/say"),
            "{error}"
        );
        assert!(0 < error["line"].as_u64().unwrap() && 0 < error["column"].as_u64().unwrap());
    }

    let call = fixture.post("/api/v1/workflows/validate").by(&ada);
    let checked = call.yaml(&broken).send().await;
    assert_eq!(checked.status, 200);
    let checked = checked.json();
    assert_eq!(checked["valid"], false);
    assert_eq!(checked["errors"].as_array().unwrap().len(), errors.len());
    for key in [
        "code",
        "pointer",
        "detail",
        "line",
        "column",
        "end_line",
        "end_column",
    ] {
        assert!(!checked["errors"][0][key].is_null(), "{key}");
    }
    let call = fixture.post("/api/v1/workflows/validate").by(&ada);
    let checked = call.yaml(ECHO).send().await;
    assert_eq!(checked.json(), json!({"valid": true, "errors": []}));
    let list = fixture.get("/api/v1/workflows").by(&ada).send().await;
    assert_eq!(list.json()["items"], json!([]));
}

#[tokio::test]
async fn list_is_paged_and_searched() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    for name in ["alpha", "beta", "gamma"] {
        fixture
            .deploy(&ada, &ECHO.replace("name: echo", &format!("name: {name}")))
            .await;
    }
    let names = |answer: &Value| -> Vec<String> {
        let items = answer["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = fixture
        .get("/api/v1/workflows?limit=2")
        .by(&ada)
        .send()
        .await
        .json();
    assert_eq!(names(&first), ["alpha", "beta"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let path = format!("/api/v1/workflows?limit=2&cursor={cursor}");
    let second = fixture.get(&path).by(&ada).send().await.json();
    assert_eq!(names(&second), ["gamma"]);
    assert_eq!(second["next_cursor"], Value::Null);
    let found = fixture
        .get("/api/v1/workflows?q=ETA")
        .by(&ada)
        .send()
        .await
        .json();
    assert_eq!(names(&found), ["beta"]);

    let path = format!("/api/v1/workflows?q=a&cursor={cursor}");
    fixture
        .get(&path)
        .by(&ada)
        .send()
        .await
        .problem(400, "cursor_invalid");
    for limit in ["0", "-1", "201", "1000000000", "x"] {
        let path = format!("/api/v1/workflows?limit={limit}");
        fixture
            .get(&path)
            .by(&ada)
            .send()
            .await
            .problem(400, "parameter_invalid");
    }
}

#[tokio::test]
async fn list_shows_recent_executions_oldest_first() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let first = fixture.start(&ada, "listen").await;
    let second = fixture.start(&ada, "listen").await;
    let list = fixture
        .get("/api/v1/workflows")
        .by(&ada)
        .send()
        .await
        .json();
    let recent = list["items"][0]["recent"].as_array().unwrap();
    let ids: Vec<_> = recent
        .iter()
        .map(|row| row["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [first, second]);
    assert!(list["items"][0].get("definition").is_none());
}

#[tokio::test]
async fn versions_are_listed_and_deleted_together() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let id = fixture.start(&ada, "listen").await;
    let newer = LISTEN.replace("version: '1.0.0'", "version: '1.10.0'");
    fixture.deploy(&ada, &newer).await;
    let path = "/api/v1/workflows/test/listen";
    let versions = fixture
        .get(&format!("{path}/versions"))
        .by(&ada)
        .send()
        .await
        .json();
    assert_eq!(versions["items"][0]["version"], "1.10.0");
    assert_eq!(versions["items"][1]["version"], "1.0.0");

    let delete = || fixture.call(Method::DELETE, path).by(&ada).send();
    assert_eq!(delete().await.status, 204);
    delete().await.problem(404, "not_found");
    for gone in [
        path.to_owned(),
        format!("{path}/versions"),
        format!("{path}/versions/1.0.0"),
    ] {
        fixture
            .get(&gone)
            .by(&ada)
            .send()
            .await
            .problem(404, "not_found");
    }
    let execution = fixture
        .get(&format!("/api/v1/executions/{id}"))
        .by(&ada)
        .send()
        .await;
    assert_eq!(execution.status, 200);
}

#[tokio::test]
async fn functions_are_listed_with_what_they_take() {
    let (fixture, ada) = Fixture::with_workflow(LISTEN).await;
    let list = fixture.get("/api/v1/functions").by(&ada).send().await;
    assert_eq!(list.status, 200, "{}", list.text);
    let list = list.json();
    let items = list["items"].as_array().unwrap();
    let store = items.iter().find(|one| one["name"] == "store").unwrap();
    assert_eq!(store["version"], "1.0.0");
    assert_eq!(store["transactional"], true);
    assert_eq!(store["timeout"], "PT3S");
    assert!(store["input"].is_object(), "{store}");
    let echo = items.iter().find(|one| one["name"] == "echo").unwrap();
    assert_eq!(echo["durability"], "strict");
    assert_eq!(echo["input"], Value::Null);
}
