//! A server without a network, and a client for it.

use std::sync::Arc;

use auterity_core::clock::{Clock, SystemClock};
use auterity_core::engine::{Engine, Options as EngineOptions, Ports};
use auterity_core::store::MemoryStore;
use auterity_http::{Metrics, Options, Services, mount};
use auterity_tenancy::{ControlDb, ControlOptions, Identity, IdentityOptions, KeyRing, migrate};
use futures_util::StreamExt as _;
use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderMap, Method, StatusCode};
use poem::{Body, Endpoint as _, Request, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A workflow that ends at once and gives its input back.
pub(crate) const ECHO: &str = r"document:
  dsl: '1.0.0'
  namespace: test
  name: echo
  version: '1.0.0'
  title: Echo
input:
  schema:
    document:
      type: object
      properties:
        count:
          type: integer
do:
  - say:
      set:
        said: ${ .count }
";

/// A workflow that waits for an event of type `test.go`.
pub(crate) const LISTEN: &str = r"document:
  dsl: '1.0.0'
  namespace: test
  name: listen
  version: '1.0.0'
do:
  - hear:
      listen:
        to:
          one:
            with:
              type: test.go
";

pub(crate) struct Fixture {
    pub(crate) endpoint: Arc<BoxEndpoint<'static, Response>>,
    _engine: Engine,
    folder: TempDir,
}

/// Somebody who is signed in.
pub(crate) struct Account {
    pub(crate) token: String,
    pub(crate) refresh: String,
    pub(crate) email: String,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

pub(crate) const PASSWORD: &str = "correct horse battery";

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    /// Makes a server with an account that has deployed a definition.
    pub(crate) async fn with_workflow(definition: &str) -> (Self, Account) {
        let fixture = Self::new().await;
        let account = fixture.sign_up("ada").await;
        fixture.deploy(&account, definition).await;
        (fixture, account)
    }

    pub(crate) async fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock);
        let path = folder.path().join("control.db");
        let db = ControlDb::connect(ControlOptions::sqlite(path))
            .await
            .unwrap();
        migrate(&db, clock.now()).await.unwrap();
        let keys = KeyRing::load_or_create(folder.path().join("keys"), &*clock).unwrap();
        let identity = Identity::new(&IdentityOptions::default(), db, clock, keys).unwrap();
        let ports = Ports::new(Arc::new(MemoryStore::new()));
        let engine = Engine::start(EngineOptions::default(), ports)
            .await
            .unwrap();
        let services = Services {
            engine: engine.handle(),
            identity,
            options,
            metrics: Metrics::default(),
            on_sign_up: None,
        };
        let other = poem::endpoint::make_sync(|request| {
            assert!(request.uri().path() != "/panic", "asked to");
            "the host's own page"
        });
        Self {
            endpoint: Arc::new(mount(services, other)),
            _engine: engine,
            folder,
        }
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'_> {
        let request = Request::builder()
            .method(method)
            .uri_str(path)
            .header("host", "localhost")
            .finish();
        Call {
            fixture: self,
            request,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'_> {
        self.call(Method::POST, path)
    }

    /// Makes an account with a tenant of the same name.
    pub(crate) async fn sign_up(&self, name: &str) -> Account {
        let email = format!("{name}@example.com");
        let answer = self
            .post("/api/v1/auth/sign-up")
            .json(&json!({
                "email": email,
                "password": PASSWORD,
                "tenant": {"name": name, "slug": name},
            }))
            .send()
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let session = answer.json();
        let text = |pointer: &str| {
            session
                .pointer(pointer)
                .unwrap()
                .as_str()
                .unwrap()
                .to_owned()
        };
        Account {
            token: text("/session/access_token"),
            refresh: text("/session/refresh_token"),
            email,
        }
    }

    /// Makes somebody who has an account a member of another's tenant, and signs in there.
    /// There is no call for that yet, so it is written into the database.
    pub(crate) async fn join(&self, who: &Account, tenant: &str, role: &str) -> Account {
        let path = self.folder.path().join("control.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        let text = "INSERT INTO memberships (user_id, tenant_id, role, created_at)
             SELECT u.id, t.id, $3, 1 FROM users u, tenants t WHERE u.email = $1 AND t.slug = $2";
        let query = sqlx::query(text).bind(&who.email).bind(tenant).bind(role);
        let joined = query.execute(&mut connection).await.unwrap();
        assert_eq!(joined.rows_affected(), 1);
        let body = json!({ "email": who.email, "password": PASSWORD, "tenant": tenant });
        let session = self.post("/api/v1/auth/sign-in").json(&body).send().await;
        assert_eq!(session.status, 200, "{}", session.text);
        let session = session.json();
        let token = |name: &str| session["session"][name].as_str().unwrap().to_owned();
        Account {
            token: token("access_token"),
            refresh: token("refresh_token"),
            email: who.email.clone(),
        }
    }

    /// Deploys a definition.
    pub(crate) async fn deploy(&self, account: &Account, definition: &str) {
        let answer = self
            .post("/api/v1/workflows")
            .by(account)
            .yaml(definition)
            .send()
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    /// Starts an execution and gives its id.
    pub(crate) async fn start(&self, account: &Account, name: &str) -> String {
        let answer = self.begin(account, name, &json!({})).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.id()
    }

    /// Follows an execution to its end; gives its events.
    pub(crate) async fn history(&self, account: &Account, id: &str) -> Vec<Value> {
        let call = self
            .get(&format!("/api/v1/executions/{id}/events"))
            .by(account);
        let events = Events::of(call.header("accept", "text/event-stream").open().await);
        let sent = events.all().await;
        let read = |event: &Sent| serde_json::from_str(&event.data).unwrap();
        sent.iter().map(read).collect()
    }

    /// Asks for an execution of a workflow, to whose name a query may be added.
    pub(crate) async fn begin(&self, account: &Account, name: &str, body: &Value) -> Answer {
        let (name, query) = name.split_once('?').unwrap_or((name, ""));
        let path = format!("/api/v1/workflows/test/{name}/executions?{query}");
        self.post(&path).by(account).json(body).send().await
    }
}

pub(crate) struct Call<'f> {
    fixture: &'f Fixture,
    request: Request,
}

impl Call<'_> {
    pub(crate) fn by(self, account: &Account) -> Self {
        let value = format!("Bearer {}", account.token);
        self.header("authorization", &value)
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = value.parse().unwrap();
        self.request.headers_mut().append(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().remove(name);
        self
    }

    pub(crate) fn body(mut self, media_type: &str, body: impl Into<Body>) -> Self {
        self.request.set_body(body);
        self.header("content-type", media_type)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn yaml(self, body: &str) -> Self {
        self.body("application/yaml", body.to_owned())
    }

    pub(crate) async fn send(self) -> Answer {
        let response = self.open().await;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.into_body().into_string().await.unwrap();
        Answer {
            status,
            headers,
            text,
        }
    }

    /// Sends the request and leaves the body of the answer to be read.
    pub(crate) async fn open(self) -> Response {
        self.fixture.endpoint.get_response(self.request).await
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// Gives the id of what the answer tells about.
    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    /// Checks that this is a problem with the given status and code, and gives it.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:auterity:problem:{code}"));
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        assert!(problem["title"].is_string() && problem["detail"].is_string());
        problem
    }
}

/// One event of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: String,
}

/// Reads a stream of server-sent events.
pub(crate) struct Events {
    body: std::pin::Pin<Box<dyn futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send>>,
    text: String,
}

impl Events {
    pub(crate) fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.content_type(), Some("text/event-stream"));
        Self {
            body: Box::pin(response.into_body().into_bytes_stream()),
            text: String::new(),
        }
    }

    /// Gives the next event with data; nothing at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Sent> {
        loop {
            let text = std::mem::take(&mut self.text);
            let mut rest = text.as_str();
            while let Some((block, after)) = rest.split_once("\n\n") {
                let mut sent = Sent::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => id.clone_into(&mut sent.id),
                        Some(("event", event)) => event.clone_into(&mut sent.event),
                        Some(("data", data)) => sent.data.push_str(data),
                        _ => {}
                    }
                }
                rest = after;
                if !sent.data.is_empty() {
                    rest.clone_into(&mut self.text);
                    return Some(sent);
                }
            }
            rest.clone_into(&mut self.text);
            let part = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&part).unwrap());
        }
    }

    pub(crate) async fn all(mut self) -> Vec<Sent> {
        let mut all = Vec::new();
        while let Some(sent) = self.next().await {
            all.push(sent);
        }
        all
    }
}
