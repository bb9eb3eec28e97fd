use auterity_http::Options;
use futures_util::stream;
use poem::Body;
use poem::http::Method;
use serde_json::json;

use crate::fixture::{ECHO, Fixture, PASSWORD};

#[tokio::test]
async fn every_answer_carries_an_id_and_safe_headers() {
    let fixture = Fixture::new().await;
    for path in ["/livez", "/api/v1/auth/me", "/api/v1/nothing", "/page"] {
        let answer = fixture.get(path).send().await;
        assert!(answer.header("x-request-id").starts_with("req_"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(
            answer
                .header("content-security-policy")
                .contains("frame-ancestors 'none'")
        );
        assert_eq!(answer.header("access-control-allow-origin"), "");
        assert_eq!(answer.header("strict-transport-security"), "");
    }
    let foreign = fixture
        .get("/livez")
        .header("x-request-id", "mine")
        .send()
        .await;
    assert_ne!(foreign.header("x-request-id"), "mine");
}

#[tokio::test]
async fn probes_answer() {
    let fixture = Fixture::new().await;
    for path in ["/livez", "/readyz", "/startupz"] {
        let answer = fixture.get(path).send().await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.text),
            (200, "ok\n"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems() {
    let fixture = Fixture::new().await;
    fixture
        .get("/api/v1/nothing")
        .send()
        .await
        .problem(404, "not_found");
    let put = fixture.call(Method::PUT, "/api/v1/workflows").send().await;
    put.problem(405, "method_not_allowed");
    assert_eq!(put.header("allow"), "GET, POST");
    let post = fixture.post("/livez").send().await;
    post.problem(405, "method_not_allowed");
    assert_eq!(post.header("allow"), "GET");
    let patch = fixture
        .call(Method::PATCH, "/api/v1/workflows/a/b")
        .send()
        .await;
    patch.problem(405, "method_not_allowed");
    assert_eq!(patch.header("allow"), "DELETE, GET");
    let page = fixture.get("/anything/else").send().await;
    assert_eq!(
        (page.status.as_u16(), &*page.text),
        (200, "the host's own page")
    );
}

#[tokio::test]
async fn host_must_be_said_exactly_once() {
    let fixture = Fixture::new().await;
    let twice = fixture.get("/livez").header("host", "other");
    twice.send().await.problem(400, "host_invalid");
    let never = fixture.get("/livez").without("host");
    never.send().await.problem(400, "host_invalid");
}

#[tokio::test]
async fn panic_is_an_internal_error_without_detail() {
    let fixture = Fixture::new().await;
    let answer = fixture.get("/panic").send().await;
    let problem = answer.problem(500, "internal");
    assert!(!answer.text.contains("asked to"), "{problem}");
}

#[tokio::test]
async fn large_bodies_are_refused_before_they_are_parsed() {
    let options = Options {
        body_bytes_max: 1_000,
        definition_bytes_max: 2_000,
        ..Options::default()
    };
    let fixture = Fixture::with(options).await;
    let ada = fixture.sign_up("ada").await;
    let table = [
        ("/api/v1/auth/sign-in", "application/json", 1_000),
        ("/api/v1/workflows", "application/yaml", 2_000),
        ("/api/v1/workflows/validate", "application/json", 2_000),
        ("/api/v1/events", "application/cloudevents+json", 1_000),
        ("/api/v1/auth/refresh", "application/json", 1_000),
    ];
    for (path, media_type, most) in table {
        let text = "[".repeat(most + 1);
        let whole = fixture.post(path).by(&ada).body(media_type, text.clone());
        whole.send().await.problem(413, "payload_too_large");
        let claimed = fixture
            .post(path)
            .by(&ada)
            .header("content-length", "99999999999999")
            .body(media_type, "[");
        claimed.send().await.problem(413, "payload_too_large");
        let parts = text
            .into_bytes()
            .chunks(100)
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>();
        let parts = stream::iter(parts.into_iter().map(Ok::<_, std::io::Error>));
        let chunked = fixture
            .post(path)
            .by(&ada)
            .body(media_type, Body::from_bytes_stream(parts));
        chunked.send().await.problem(413, "payload_too_large");
    }
}

#[tokio::test]
async fn body_that_breaks_off_is_a_bad_request() {
    let fixture = Fixture::new().await;
    let parts = [Ok(b"{".to_vec()), Err(std::io::Error::other("gone"))];
    let call = fixture.post("/api/v1/auth/sign-in");
    let call = call.body(
        "application/json",
        Body::from_bytes_stream(stream::iter(parts)),
    );
    call.send().await.problem(400, "body_invalid");
}

#[tokio::test]
async fn wrong_media_types_and_encodings_are_refused() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    let table = [
        ("/api/v1/auth/sign-in", "text/plain"),
        ("/api/v1/auth/sign-in", "application/x-www-form-urlencoded"),
        ("/api/v1/workflows", "text/plain"),
        ("/api/v1/workflows/test/echo/executions", "application/yaml"),
    ];
    for (path, media_type) in table {
        let call = fixture.post(path).by(&ada).body(media_type, "{}");
        call.send().await.problem(415, "unsupported_media_type");
    }
    let call = fixture.post("/api/v1/workflows").by(&ada);
    let call = call.header("content-encoding", "gzip").yaml(ECHO);
    call.send().await.problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn broken_json_is_refused_with_its_place() {
    let fixture = Fixture::new().await;
    let post = |body: String| {
        fixture
            .post("/api/v1/auth/sign-in")
            .body("application/json", body)
    };
    let answer = post("{\"email\": }".to_owned()).send().await;
    let problem = answer.problem(400, "body_invalid");
    assert!(
        problem["errors"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("line 1")
    );
    let deep = format!("{{\"email\":{}", "[".repeat(100_000));
    let answer = post(deep).send().await;
    assert!(answer.status.is_client_error());
    let call = fixture
        .post("/api/v1/auth/sign-in")
        .body("application/json", vec![0xff, 0xfe]);
    call.send().await.problem(400, "body_invalid");
    let ada = fixture.sign_up("ada").await;
    let call = fixture.post("/api/v1/workflows").by(&ada);
    call.body("application/yaml", vec![0xff])
        .send()
        .await
        .problem(400, "body_invalid");
    let deep = json!({"input": serde_json::Value::Null})
        .to_string()
        .replace("null", &format!("{}{}", "[".repeat(200), "]".repeat(200)));
    let call = fixture
        .post("/api/v1/workflows/test/echo/executions")
        .by(&ada);
    call.body("application/json", deep)
        .send()
        .await
        .problem(400, "body_invalid");
}

#[tokio::test]
async fn slow_body_is_given_up() {
    let options = Options {
        body_seconds_max: 0,
        ..Options::default()
    };
    let fixture = Fixture::with(options).await;
    let never = Body::from_bytes_stream(stream::pending::<std::io::Result<Vec<u8>>>());
    let call = fixture
        .post("/api/v1/auth/sign-in")
        .body("application/json", never);
    call.send().await.problem(408, "request_timeout");
}

#[tokio::test]
async fn slow_handler_is_given_up() {
    let options = Options {
        handler_seconds_max: 0,
        ..Options::default()
    };
    let fixture = Fixture::with(options).await;
    let never = Body::from_bytes_stream(stream::pending::<std::io::Result<Vec<u8>>>());
    let call = fixture
        .post("/api/v1/auth/sign-in")
        .body("application/json", never);
    call.send().await.problem(504, "timeout");
}

#[tokio::test]
async fn null_characters_are_refused_before_a_database_sees_them() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    for path in [
        "/api/v1/workflows?q=%00",
        "/api/v1/workflows/a%00/b",
        "/api/v1/executions?attribute.a%00=b",
    ] {
        let answer = fixture.get(path).by(&ada).send().await;
        answer.problem(400, "parameter_invalid");
    }
}

#[tokio::test]
async fn parameters_that_do_not_do_are_named() {
    let fixture = Fixture::new().await;
    let ada = fixture.sign_up("ada").await;
    for (query, detail) in [
        (
            "limit=abc",
            "limit is no integer(uint32): invalid digit found in string",
        ),
        ("limit=0", "limit is 0; it must be between 1 and 200"),
        (
            "statsu=faulted",
            "statsu is unknown; this call takes filter, workflow, status, started_after, limit, cursor",
        ),
        ("attribute.=x", "attribute. must name an attribute"),
        (
            "status=x",
            "status must be pending, running, waiting, suspended, completed, faulted or cancelled",
        ),
    ] {
        let answer = fixture
            .get(&format!("/api/v1/executions?{query}"))
            .by(&ada)
            .send()
            .await;
        let problem = answer.problem(400, "parameter_invalid");
        assert_eq!(problem["detail"], detail);
        let name = query.split('=').next().unwrap();
        assert_eq!(problem["errors"][0]["pointer"], name);
    }
}

#[tokio::test]
async fn parameters_of_attributes_are_known_where_they_are_read_only() {
    let (fixture, ada) = Fixture::with_workflow(ECHO).await;
    let asked = "/api/v1/executions?attribute.order=17";
    assert_eq!(fixture.get(asked).by(&ada).send().await.status, 200);
    let elsewhere = "/api/v1/workflows?attribute.order=17";
    let refused = fixture.get(elsewhere).by(&ada).send().await;
    refused.problem(400, "parameter_invalid");
    let start = "/api/v1/workflows/test/echo/executions?wiat=10s";
    let refused = fixture.post(start).by(&ada).json(&json!({})).send().await;
    let problem = refused.problem(400, "parameter_invalid");
    assert_eq!(problem["errors"][0]["pointer"], "wiat");
    // Pages of the host have names of their own.
    assert_eq!(fixture.get("/page?anything=1").send().await.status, 200);
}

#[tokio::test]
async fn bodies_that_would_be_changed_or_guessed_are_refused() {
    let (fixture, ada) = Fixture::with_workflow(ECHO).await;
    for (body, pointer) in [
        (r#"[{"count":3},3,{"k":"v"}]"#, ""),
        (
            r#"{"input":{"count":123456789012345678901234567890}}"#,
            "/input/count",
        ),
        (r#"{"input":{"name":"x","name":"y"}}"#, "/input/name"),
    ] {
        let path = "/api/v1/workflows/test/echo/executions";
        let call = fixture.post(path).by(&ada).body("application/json", body);
        let problem = call.send().await.problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let fields = format!("[\"{}\",\"{PASSWORD}\",null]", ada.email);
    let call = fixture
        .post("/api/v1/auth/sign-in")
        .body("application/json", fields);
    call.send().await.problem(422, "validation_failed");
}
