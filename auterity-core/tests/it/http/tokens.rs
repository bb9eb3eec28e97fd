//! `oauth2` and `oidc` policies against an authorization server of this machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use auterity_core::functions::{Function, Http, HttpOptions};
use auterity_core::interpreter::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::server::Received;
use super::{detail, kind};
use crate::double::{Double, Reply, invocation, open};

/// An authorization server and a service in one: it gives out the tokens 1, 2, … and
/// takes those from `least` on.
struct World {
    double: Double,
    least: Arc<AtomicU32>,
}

fn world() -> World {
    let (given, least) = (AtomicU32::new(0), Arc::new(AtomicU32::new(0)));
    let taken = Arc::clone(&least);
    let double = Double::start(move |received| match received.target.as_str() {
        "/oauth2/token" | "/custom/token" => {
            let number = 1 + given.fetch_add(1, Ordering::SeqCst);
            Reply::json(
                200,
                &json!({"access_token": number.to_string(), "token_type": "Bearer", "expires_in": 3600,
                        "refresh_token": format!("refresh-{number}")}),
            )
        }
        "/jwt/token" => {
            let claims = URL_SAFE_NO_PAD.encode(r#"{"iss":"https://issuer.example"}"#);
            Reply::json(200, &json!({"access_token": format!("e30.{claims}.x")}))
        }
        "/refusing/token" => Reply::json(
            401,
            &json!({"error": "invalid_client", "error_description": "canary"}),
        ),
        "/moved/token" => Reply::of(307, "text/plain", "").with("location", "/oauth2/token"),
        "/odd/token" => Reply::json(200, &json!({"access_token": "x", "token_type": "mac"})),
        "/.well-known/openid-configuration" | "/other/.well-known/openid-configuration" => {
            let host = &received.headers["host"];
            Reply::json(
                200,
                &json!({"issuer": format!("http://{host}"), "token_endpoint": format!("http://{host}/custom/token")}),
            )
        }
        _ => {
            let token = received.headers.get("authorization").cloned();
            let number = token
                .as_deref()
                .and_then(|token| token.strip_prefix("Bearer "));
            let number: Option<u32> = number.and_then(|number| number.parse().ok());
            let least = taken.load(Ordering::SeqCst);
            let status = if number.is_none_or(|number| least <= number) {
                200
            } else {
                401
            };
            Reply::json(status, &json!({ "given": token }))
        }
    });
    World { double, least }
}

impl World {
    fn policy(&self, more: &Value) -> Value {
        let mut policy = json!({
            "authority": self.double.url(""),
            "grant": "client_credentials",
            "client": {"id": "me", "secret": "canary"},
        });
        let more = more.as_object().expect("an object").clone();
        policy.as_object_mut().expect("an object").extend(more);
        json!({ "oauth2": policy })
    }

    async fn call(&self, http: &Http, tenant: u128, policy: &Value) -> Result<Value, Problem> {
        let endpoint = json!({"uri": self.double.url("/api"), "authentication": policy});
        let arguments = json!({"method": "get", "endpoint": endpoint});
        http.call(invocation(tenant, arguments)).await
    }

    /// What the authorization server was sent last, as a form.
    fn asked(&self, path: &str) -> (Received, BTreeMap<String, String>) {
        let received = self.double.received(path).pop().expect("a request");
        let form = url::form_urlencoded::parse(received.body.as_bytes());
        let form = form.map(|(name, value)| (name.into_owned(), value.into_owned()));
        let form = form.collect();
        (received, form)
    }
}

#[tokio::test]
async fn token_is_kept_for_its_tenant_and_policy_and_got_once_by_many() {
    let world = world();
    let http = Http::new(open());
    let policy = world.policy(&json!({"scopes": ["a", "b"], "audiences": ["x", "y"]}));
    let calls = (0..8).map(|_| world.call(&http, 1, &policy));
    for given in futures_util::future::join_all(calls).await {
        assert_eq!(given, Ok(json!({"given": "Bearer 1"})));
    }
    let asked = world.double.received("/oauth2/token");
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(
        asked[0].body,
        "grant_type=client_credentials&scope=a+b&audience=x&audience=y&client_secret=canary&client_id=me"
    );
    let other = world.call(&http, 2, &policy).await;
    assert_eq!(other, Ok(json!({"given": "Bearer 2"})), "another tenant");
    let other = world.call(&http, 1, &world.policy(&json!({}))).await;
    assert_eq!(other, Ok(json!({"given": "Bearer 3"})), "another policy");
}

#[tokio::test]
async fn refused_token_is_renewed_once() {
    let world = world();
    let http = Http::new(open());
    let policy = world.policy(&json!({}));
    world.call(&http, 1, &policy).await.expect("an answer");
    world.least.store(2, Ordering::SeqCst);
    let given = world.call(&http, 1, &policy).await;
    assert_eq!(given, Ok(json!({"given": "Bearer 2"})));
    world.least.store(100, Ordering::SeqCst);
    let problem = world.call(&http, 1, &policy).await.expect_err("a problem");
    assert_eq!((kind(&problem), problem.status), ("communication", 401));
    assert_eq!(world.double.received("/oauth2/token").len(), 3);
}

#[tokio::test]
async fn clients_prove_themselves_in_each_way() {
    let world = world();
    let http = Http::new(open());
    let client = |client: Value| world.policy(&json!({ "client": client }));
    let ask = async |policy: &Value| {
        world.call(&http, 1, policy).await.expect("an answer");
        world.asked("/oauth2/token")
    };
    let (received, form) = ask(&client(
        json!({"id": "a:b", "secret": "c d", "authentication": "client_secret_basic"}),
    ))
    .await;
    let basic = format!("Basic {}", STANDARD.encode("a%3Ab:c%20d"));
    assert_eq!(received.headers["authorization"], basic);
    assert!(!form.contains_key("client_id"), "{form:?}");
    let (_, form) = ask(&client(
        json!({"id": "me", "secret": "s", "authentication": "client_secret_post"}),
    ))
    .await;
    assert_eq!((&*form["client_id"], &*form["client_secret"]), ("me", "s"));
    let (_, form) = ask(&client(json!({"id": "me", "authentication": "none"}))).await;
    assert_eq!(form.keys().collect::<Vec<_>>(), ["client_id", "grant_type"]);
    let (_, form) = ask(&client(
        json!({"id": "me", "assertion": "a.b.c", "authentication": "private_key_jwt"}),
    ))
    .await;
    assert_eq!(form["client_assertion"], "a.b.c");
    let (_, form) = ask(&client(
        json!({"id": "me", "secret": "word", "authentication": "client_secret_jwt"}),
    ))
    .await;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[world.double.url("/oauth2/token")]);
    let key = DecodingKey::from_secret(b"word");
    let assertion =
        jsonwebtoken::decode::<Value>(&form["client_assertion"], &key, &validation).expect("valid");
    assert_eq!(assertion.claims["sub"], "me");
    assert!(!form.contains_key("client_secret"), "{form:?}");
    let json = world.policy(&json!({"request": {"encoding": "application/json"}}));
    let (received, _) = ask(&json).await;
    let body: Value = serde_json::from_str(&received.body).expect("JSON");
    assert_eq!(body["client_secret"], "canary");
}

#[tokio::test]
async fn grants_send_what_they_need() {
    let world = world();
    let http = Http::new(open());
    let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    let table = [
        (
            json!({"grant": "password", "username": "u", "password": "p"}),
            vec![("username", "u"), ("password", "p")],
        ),
        (
            json!({"grant": exchange, "subject": {"token": "s", "type": "t"}, "actor": {"token": "a", "type": "b"}}),
            vec![
                ("subject_token", "s"),
                ("subject_token_type", "t"),
                ("actor_token", "a"),
            ],
        ),
        (
            json!({"grant": "refresh_token", "subject": {"token": "first", "type": "t"}}),
            vec![("refresh_token", "first")],
        ),
    ];
    for (more, wanted) in table {
        let policy = world.policy(&more);
        world.call(&http, 1, &policy).await.expect("an answer");
        let (_, form) = world.asked("/oauth2/token");
        for (name, value) in wanted {
            assert_eq!(form[name], value, "{more}");
        }
    }
    // The refresh token that came with the answer is the next one.
    world.least.store(4, Ordering::SeqCst);
    let policy = world
        .policy(&json!({"grant": "refresh_token", "subject": {"token": "first", "type": "t"}}));
    world.call(&http, 1, &policy).await.expect("an answer");
    let (_, form) = world.asked("/oauth2/token");
    assert_eq!(form["refresh_token"], "refresh-3");
}

#[tokio::test]
async fn oidc_finds_its_endpoint_and_checks_who_it_is() {
    let world = world();
    let http = Http::new(open());
    let oidc = |authority: &str, more: Value| {
        let mut policy = world.policy(&more)["oauth2"].take();
        policy["authority"] = json!(world.double.url(authority));
        json!({ "oidc": policy })
    };
    let suffix = "/.well-known/openid-configuration";
    for authority in ["", "/", suffix] {
        let policy = oidc(authority, json!({}));
        world.call(&http, 1, &policy).await.expect("an answer");
        assert_eq!(world.asked("/custom/token").0.method, "POST");
    }
    let other = oidc("/other", json!({}));
    let problem = world.call(&http, 1, &other).await.expect_err("a problem");
    assert!(detail(&problem).contains("another issuer"), "{problem:?}");
    let known = oidc("/other", json!({"issuers": [world.double.url("")]}));
    let problem = world.call(&http, 1, &known).await.expect_err("a problem");
    assert!(
        detail(&problem).contains("none of the policy's 'issuers'"),
        "{problem:?}"
    );
}

#[tokio::test]
async fn what_the_authority_refuses_is_said_without_its_words_and_secrets() {
    let world = world();
    let http = Http::new(open());
    let at = |path: &str| world.policy(&json!({"endpoints": {"token": path}}));
    let table = [
        (
            at("/refusing/token"),
            "authentication",
            401,
            "401 Unauthorized (invalid_client)",
        ),
        (at("/moved/token"), "communication", 307, "answered 307"),
        (at("/odd/token"), "authentication", 401, "no bearer tokens"),
        (
            world.policy(&json!({"grant": "authorization_code"})),
            "configuration",
            400,
            "at a browser",
        ),
        (
            world.policy(&json!({"grant": "password"})),
            "configuration",
            400,
            "'username'",
        ),
        (
            world.policy(
                &json!({"endpoints": {"token": "jwt/token"}, "issuers": ["https://else.example"]}),
            ),
            "authentication",
            401,
            "none of the policy's 'issuers'",
        ),
    ];
    for (policy, wanted, status, words) in table {
        let problem = world.call(&http, 1, &policy).await.expect_err(words);
        assert_eq!(
            (kind(&problem), problem.status),
            (wanted, status),
            "{problem:?}"
        );
        assert!(detail(&problem).contains(words), "{problem:?}");
        assert!(!format!("{problem:?}").contains("canary"), "{problem:?}");
    }
    let right = json!({"endpoints": {"token": "jwt/token"}, "issuers": ["https://issuer.example"]});
    world
        .call(&http, 1, &world.policy(&right))
        .await
        .expect("an answer");
}

#[tokio::test]
async fn authorization_server_in_a_private_network_is_not_asked() {
    let world = world();
    let http = Http::new(HttpOptions::default());
    let endpoint =
        json!({"uri": "https://service.example/", "authentication": world.policy(&json!({}))});
    let arguments = json!({"method": "get", "endpoint": endpoint});
    let problem = http
        .call(invocation(1, arguments))
        .await
        .expect_err("a problem");
    assert!(
        detail(&problem).contains("not a public address"),
        "{problem:?}"
    );
    assert!(world.double.received("/").is_empty());
}
