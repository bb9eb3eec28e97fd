//! Repair of live work: what people do to executions that did not go as they should.

mod bulk;
mod cancel;
mod migrate;
mod retry;
mod suspend;

use std::sync::Arc;

use async_trait::async_trait;
use auterity_core::ExecutionId;
use auterity_core::engine::Ports;
use auterity_core::functions::{Function, Functions, Invocation};
use auterity_core::interpreter::Problem;
use auterity_core::store::{MemoryStore, Status, Store};
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore, mpsc};

use super::{Fixture, options};

/// A function that reports each call with its arguments and ends when it is let go.
#[derive(Debug)]
struct Gate {
    calls: mpsc::UnboundedSender<Value>,
    open: Arc<Semaphore>,
}

#[async_trait]
impl Function for Gate {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        self.calls
            .send(invocation.arguments.clone())
            .expect("the test listens");
        let permit = self.open.acquire().await.expect("it stays open");
        permit.forget();
        Ok(json!({ "gave": invocation.arguments }))
    }
}

/// An engine with the functions `gate`, which waits to be let go, and `note`, which
/// does not.
struct Bench {
    fixture: Fixture,
    /// The calls of `gate`.
    gate: Mutex<mpsc::UnboundedReceiver<Value>>,
    open: Arc<Semaphore>,
    /// The calls of `note`.
    notes: Mutex<mpsc::UnboundedReceiver<Value>>,
}

impl Bench {
    async fn new() -> Self {
        Self::on(Arc::new(MemoryStore::new())).await
    }

    async fn on(store: Arc<dyn Store>) -> Self {
        let (calls, gate) = mpsc::unbounded_channel();
        let (noted, notes) = mpsc::unbounded_channel();
        let open = Arc::new(Semaphore::new(0));
        let functions = Functions::built_in()
            .with(
                "gate",
                Gate {
                    calls,
                    open: Arc::clone(&open),
                },
            )
            .with(
                "note",
                Gate {
                    calls: noted,
                    open: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
                },
            );
        let ports = Ports {
            functions,
            ..Ports::new(store)
        };
        Self {
            fixture: Fixture::with(ports, options()).await,
            gate: Mutex::new(gate),
            open,
            notes: Mutex::new(notes),
        }
    }

    /// Deploys, starts and waits until the gate is called.
    async fn start_to_gate(&self, rest: &str) -> ExecutionId {
        self.fixture.deploy("subject", rest).await;
        let id = self.fixture.start("subject", json!({})).await;
        self.called().await;
        id
    }

    async fn called(&self) -> Value {
        let called = self.gate.lock().await.recv().await;
        called.expect("the gate is called")
    }

    fn let_go(&self) {
        self.open.add_permits(1);
    }

    /// Gives what was noted up to now.
    async fn noted(&self) -> Vec<Value> {
        let mut notes = self.notes.lock().await;
        let mut found = Vec::new();
        while let Ok(note) = notes.try_recv() {
            found.push(note["n"].clone());
        }
        found
    }

    async fn status(&self, id: ExecutionId) -> Status {
        self.fixture.until(id, |_| true).await.status
    }

    /// Gives the kinds of the execution's events.
    async fn kinds(&self, id: ExecutionId) -> Vec<&'static str> {
        let events = self.fixture.events(id).await;
        events.iter().map(|event| event.kind).collect()
    }

    /// Waits until an event of a kind is recorded.
    async fn recorded(&self, id: ExecutionId, kind: &str) {
        loop {
            if self.kinds(id).await.contains(&kind) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}
