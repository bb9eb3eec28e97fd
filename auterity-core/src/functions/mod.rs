//! What `call` tasks call: the port, the registry and the built-in functions.

mod echo;
mod http;
mod openapi;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use echo::Echo;
pub use http::{Http, HttpOptions};
pub use openapi::OpenApi;

use crate::interpreter::Problem;
use crate::{ExecutionId, Scope};

/// Something that definitions can call.
///
/// A function runs at least once per call task: after a crash whose outcome is not
/// known it runs again with the same [`key`](Invocation::key). It should report a
/// problem only when it knows the outcome.
#[async_trait]
pub trait Function: Send + Sync + fmt::Debug + 'static {
    /// Does the work and gives the task's raw output.
    ///
    /// # Errors
    /// Gives the problem that the definition may catch.
    ///
    /// # Cancel safety
    /// The future is dropped when the result is not wanted any more: after a
    /// time-out, a lost race or a cancellation. What must not be cut half way belongs
    /// into a routine of its own.
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem>;
}

/// One call of a function.
pub struct Invocation {
    /// The tenant and the worker that acts for it.
    pub scope: Scope,
    /// The execution.
    pub execution: ExecutionId,
    /// The JSON pointer of the task in the definition.
    pub task: String,
    /// The evaluated `with`. May contain secrets.
    pub arguments: Value,
    /// The task's input.
    pub input: Arc<Value>,
    /// Stays the same when the call is repeated after a crash, and differs between
    /// loop iterations, branches and retries.
    pub key: String,
    /// Fires when the result is not wanted any more.
    pub cancelled: CancellationToken,
}

impl fmt::Debug for Invocation {
    /// Leaves arguments and input out: they may contain secrets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Invocation")
            .field("execution", &self.execution)
            .field("task", &self.task)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// The functions that definitions can call, by name.
#[derive(Debug, Clone, Default)]
pub struct Functions {
    by_name: BTreeMap<String, Arc<dyn Function>>,
}

impl Functions {
    /// Makes a registry without any function.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Makes a registry with the built-in functions. `http` and `openapi` call public
    /// addresses only; a host that wants otherwise adds its own [`Http`] and
    /// [`OpenApi`] in their place.
    #[must_use]
    pub fn built_in() -> Self {
        Self::none()
            .with("echo", Echo)
            .with("http", Http::default())
            .with("openapi", OpenApi::default())
    }

    /// Adds a function, in place of any of the same name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, function: impl Function) -> Self {
        self.by_name.insert(name.into(), Arc::new(function));
        self
    }

    /// Finds a function.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<dyn Function>> {
        self.by_name.get(name).cloned()
    }

    /// Tells whether there is a function of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Lists the names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}
