use auterity_http::Options;
use serde_json::json;

use crate::fixture::{Answer, Fixture, PASSWORD};

fn sign_up_body(email: &str, slug: &str) -> serde_json::Value {
    json!({"email": email, "password": PASSWORD, "tenant": {"name": "Acme", "slug": slug}})
}

#[tokio::test]
async fn account_signs_up_and_is_known() {
    let fixture = Fixture::new().await;
    let account = fixture.sign_up("ada").await;
    let me = fixture.get("/api/v1/auth/me").by(&account).send().await;
    assert_eq!(me.status, 200);
    let me = me.json();
    assert_eq!(me["user"]["email"], "ada@example.com");
    assert_eq!(me["tenant"]["slug"], "ada");
    assert_eq!(me["role"], "owner");
    assert!(me["user"]["id"].as_str().unwrap().starts_with("usr_"));
    assert!(me["tenant"]["id"].as_str().unwrap().starts_with("ten_"));
}

#[tokio::test]
async fn sign_up_lists_every_mistake() {
    let fixture = Fixture::new().await;
    let body = json!({"email": "x", "password": "short", "tenant": {"name": "", "slug": "A B"}});
    let answer = fixture
        .post("/api/v1/auth/sign-up")
        .json(&body)
        .send()
        .await;
    let problem = answer.problem(422, "validation_failed");
    let pointers: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(
        pointers,
        ["/email", "/password", "/tenant/name", "/tenant/slug"]
    );
}

#[tokio::test]
async fn body_of_another_form_is_pointed_at() {
    let fixture = Fixture::new().await;
    let table = [
        (
            json!({"email": 5, "password": PASSWORD, "tenant": {"name": "a", "slug": "abc"}}),
            "/email",
        ),
        (
            json!({"email": "a@b", "password": PASSWORD, "tenant": {"name": [], "slug": "abc"}}),
            "/tenant/name",
        ),
        (
            json!({"email": "a@b", "password": PASSWORD, "tenant": {"name": "a", "slug": "abc", "id": 1}}),
            "/tenant/id",
        ),
    ];
    for (body, pointer) in table {
        let answer = fixture
            .post("/api/v1/auth/sign-up")
            .json(&body)
            .send()
            .await;
        let problem = answer.problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn taken_names_are_refused() {
    let fixture = Fixture::new().await;
    fixture.sign_up("ada").await;
    let body = sign_up_body("ADA@example.com", "other");
    let answer = fixture
        .post("/api/v1/auth/sign-up")
        .json(&body)
        .send()
        .await;
    answer.problem(409, "email_taken");
    let body = sign_up_body("other@example.com", "ada");
    let answer = fixture
        .post("/api/v1/auth/sign-up")
        .json(&body)
        .send()
        .await;
    answer.problem(409, "slug_taken");
}

#[tokio::test]
async fn wrong_password_and_unknown_address_look_alike() {
    let fixture = Fixture::new().await;
    let account = fixture.sign_up("ada").await;
    let sign_in = |email: &str, password: &str| {
        let body = json!({"email": email, "password": password});
        fixture.post("/api/v1/auth/sign-in").json(&body).send()
    };
    let good = sign_in(&account.email, PASSWORD).await;
    assert_eq!(good.status, 200);
    assert_eq!(good.header("cache-control"), "no-store");
    let wrong = sign_in(&account.email, "wrong password!").await;
    let unknown = sign_in("nobody@example.com", PASSWORD).await;
    let wrong = wrong.problem(401, "invalid_credentials");
    let unknown = unknown.problem(401, "invalid_credentials");
    assert_eq!(wrong["detail"], unknown["detail"]);
}

#[tokio::test]
async fn refresh_token_works_once() {
    let fixture = Fixture::new().await;
    let account = fixture.sign_up("ada").await;
    let refresh = |token: &str| {
        let body = json!({"refresh_token": token});
        fixture.post("/api/v1/auth/refresh").json(&body).send()
    };
    let next = refresh(&account.refresh).await;
    assert_eq!(next.status, 200, "{}", next.text);
    let second = next.json()["refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(second, account.refresh);
    let third = refresh(&second).await;
    assert_eq!(third.status, 200);
    refresh(&account.refresh)
        .await
        .problem(401, "session_expired");
    let third = third.json()["refresh_token"].as_str().unwrap().to_owned();
    refresh(&third).await.problem(401, "session_expired");
    refresh("rubbish").await.problem(401, "session_expired");
}

#[tokio::test]
async fn sign_out_ends_the_session() {
    let fixture = Fixture::new().await;
    let account = fixture.sign_up("ada").await;
    let out = fixture
        .post("/api/v1/auth/sign-out")
        .by(&account)
        .send()
        .await;
    assert_eq!(out.status, 204, "{}", out.text);
    let body = json!({"refresh_token": account.refresh});
    let answer = fixture
        .post("/api/v1/auth/refresh")
        .json(&body)
        .send()
        .await;
    answer.problem(401, "session_expired");
}

fn cookie_of(answer: &Answer) -> (String, String) {
    let whole = answer.header("set-cookie").to_owned();
    let pair = whole.split(';').next().unwrap().to_owned();
    (whole, pair)
}

#[tokio::test]
async fn browser_session_lives_in_a_cookie() {
    let fixture = Fixture::new().await;
    let up = fixture
        .post("/api/v1/auth/sign-up?session=cookie")
        .header("origin", "http://localhost")
        .json(&sign_up_body("ada@example.com", "ada"))
        .send()
        .await;
    assert_eq!(up.status, 201, "{}", up.text);
    assert!(up.json()["session"].get("refresh_token").is_none());
    let (whole, pair) = cookie_of(&up);
    assert!(pair.starts_with("auterity_session=art_"), "{whole}");
    assert!(whole.contains("HttpOnly") && whole.contains("SameSite=Strict"));
    assert!(!whole.contains("Secure"));

    let refresh = fixture
        .post("/api/v1/auth/refresh?session=cookie")
        .header("sec-fetch-site", "same-origin")
        .header("cookie", &pair)
        .send()
        .await;
    assert_eq!(refresh.status, 200, "{}", refresh.text);
    assert!(refresh.json().get("refresh_token").is_none());
    let (_, pair) = cookie_of(&refresh);

    let out = fixture
        .post("/api/v1/auth/sign-out")
        .header("origin", "http://localhost")
        .header("cookie", &pair)
        .send()
        .await;
    assert_eq!(out.status, 204, "{}", out.text);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    let late = fixture
        .post("/api/v1/auth/refresh?session=cookie")
        .header("origin", "http://localhost")
        .header("cookie", &pair)
        .send()
        .await;
    late.problem(401, "session_expired");
}

#[tokio::test]
async fn other_sites_cannot_use_the_cookie() {
    let fixture = Fixture::new().await;
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("x-nothing", "at-all"),
    ] {
        for path in [
            "/api/v1/auth/refresh?session=cookie",
            "/api/v1/auth/sign-out",
        ] {
            let answer = fixture
                .post(path)
                .header(name, value)
                .header("cookie", "auterity_session=art_x")
                .send()
                .await;
            answer.problem(403, "cross_site");
        }
    }
}

#[tokio::test]
async fn cookie_is_bound_to_the_host_under_https() {
    let options = Options {
        public_url: Some("https://localhost".to_owned()),
        ..Options::default()
    };
    let fixture = Fixture::with(options).await;
    let up = fixture
        .post("/api/v1/auth/sign-up?session=cookie")
        .header("origin", "https://localhost")
        .json(&sign_up_body("ada@example.com", "ada"))
        .send()
        .await;
    let (whole, pair) = cookie_of(&up);
    assert!(pair.starts_with("__Host-auterity_session="), "{whole}");
    assert!(whole.contains("; Secure") && whole.contains("; Path=/;"));
    assert!(up.header("strict-transport-security").contains("max-age"));
}

#[tokio::test]
async fn keys_are_published() {
    let fixture = Fixture::new().await;
    let answer = fixture.get("/.well-known/jwks.json").send().await;
    assert_eq!(answer.status, 200);
    let key = &answer.json()["keys"][0];
    assert_eq!(
        (&key["kty"], &key["crv"]),
        (&json!("OKP"), &json!("Ed25519"))
    );
    assert!(key.get("d").is_none());
}

#[tokio::test]
async fn rubbish_tokens_are_refused() {
    let fixture = Fixture::new().await;
    let account = fixture.sign_up("ada").await;
    let (head, signature) = account.token.rsplit_once('.').unwrap();
    let long = format!("Bearer {}", "a".repeat(100_000));
    let table = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer  ".to_owned(),
        format!("Basic {}", account.token),
        format!("Bearer {head}."),
        format!(
            "Bearer {head}.{}",
            signature.chars().rev().collect::<String>()
        ),
        format!("Bearer {}", account.refresh),
        long,
    ];
    for value in table {
        let call = fixture
            .get("/api/v1/auth/me")
            .header("authorization", &value);
        call.send().await.problem(401, "unauthenticated");
    }
    let twice = fixture.get("/api/v1/auth/me").by(&account).by(&account);
    let answer = twice.send().await;
    answer.problem(401, "unauthenticated");
    assert!(answer.header("www-authenticate").starts_with("Bearer"));
}
