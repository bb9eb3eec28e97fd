//! An engine on a store of its own, and short ways to use it.

use std::sync::Arc;
use std::time::Duration;

use auterity_core::clock::{Clock, SeededEntropy, SystemClock};
use auterity_core::engine::{DeployError, Engine, Handle, Options, Ports, StartRequest};
use auterity_core::store::{EventRow, ExecutionRow, MemoryStore, Store};
use auterity_core::{Actor, ExecutionId, Scope, TenantId};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Fixture {
    pub(crate) engine: Engine,
    pub(crate) handle: Handle,
    pub(crate) scope: Scope,
    pub(crate) store: Arc<dyn Store>,
}

pub(crate) fn scope(seed: u64) -> Scope {
    let tenant = TenantId::generate(Timestamp::UNIX_EPOCH, &SeededEntropy::new(seed));
    Scope::new(tenant, Actor::Host)
}

pub(crate) fn options() -> Options {
    Options {
        poll: SignedDuration::from_millis(100),
        lease: SignedDuration::from_secs(2),
        park_after: SignedDuration::from_millis(20),
        execution: auterity_core::interpreter::Limits {
            activations_max: 5_000,
            ..Default::default()
        },
        ..Options::default()
    }
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(Ports::new(Arc::new(MemoryStore::new())), options()).await
    }

    pub(crate) async fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let ports = Ports {
            clock,
            ..Ports::new(Arc::new(MemoryStore::new()))
        };
        Self::with(ports, options()).await
    }

    pub(crate) async fn with(ports: Ports, options: Options) -> Self {
        let store = Arc::clone(&ports.store);
        store.migrate().await.expect("the schema is made");
        let engine = Engine::start(options, ports)
            .await
            .expect("the engine starts");
        let handle = engine.handle();
        Self {
            engine,
            handle,
            scope: scope(1),
            store,
        }
    }

    /// Deploys `do` tasks under a name.
    pub(crate) async fn deploy(&self, name: &str, rest: &str) {
        let text = definition(name, rest);
        match self.handle.deploy(&self.scope, &text).await {
            Ok(_) => {}
            Err(DeployError::Invalid(mistakes)) => panic!("{text}\n{mistakes:#?}"),
            Err(error) => panic!("{error:?}"),
        }
    }

    pub(crate) async fn start(&self, name: &str, input: Value) -> ExecutionId {
        let request = StartRequest {
            namespace: "test".to_owned(),
            name: name.to_owned(),
            input,
            ..StartRequest::default()
        };
        self.handle
            .start(&self.scope, request)
            .await
            .expect("it starts")
            .id
    }

    pub(crate) async fn end(&self, id: ExecutionId) -> ExecutionRow {
        let row = self
            .handle
            .wait(&self.scope, id, PATIENCE)
            .await
            .expect("it is there");
        assert!(row.status.is_ended(), "{id} did not end: {row:?}");
        row
    }

    /// Deploys, starts and awaits.
    pub(crate) async fn complete(&self, rest: &str, input: Value) -> ExecutionRow {
        self.deploy("subject", rest).await;
        let id = self.start("subject", input).await;
        self.end(id).await
    }

    pub(crate) async fn events(&self, id: ExecutionId) -> Vec<EventRow> {
        self.handle
            .events(&self.scope, id, 0, 1_000)
            .await
            .expect("it has events")
    }

    /// Waits until the execution's row is as wanted.
    pub(crate) async fn until(
        &self,
        id: ExecutionId,
        wanted: impl Fn(&ExecutionRow) -> bool,
    ) -> ExecutionRow {
        let deadline = SystemClock.now() + PATIENCE;
        loop {
            let view = self
                .handle
                .execution(&self.scope, id)
                .await
                .expect("it answers");
            let row = view.expect("it is there").row;
            if wanted(&row) {
                return row;
            }
            assert!(SystemClock.now() < deadline, "never came: {row:?}");
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn definition(name: &str, rest: &str) -> String {
    format!(
        "document:\n  dsl: '1.0.3'\n  namespace: test\n  name: {name}\n  version: '1.0.0'\n{rest}"
    )
}

pub(crate) fn output(row: &ExecutionRow) -> Value {
    let text = row
        .output
        .as_deref()
        .unwrap_or_else(|| panic!("no output: {row:?}"));
    serde_json::from_str(text).expect("output is JSON")
}

pub(crate) fn error(row: &ExecutionRow) -> Value {
    let text = row
        .error
        .as_deref()
        .unwrap_or_else(|| panic!("no error: {row:?}"));
    serde_json::from_str(text).expect("error is JSON")
}
