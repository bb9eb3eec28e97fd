//! What `call` tasks call: the port, the registry and the built-in functions.

mod a2a;
mod approval;
mod asyncapi;
mod documents;
mod duration;
mod echo;
#[cfg(feature = "email")]
mod email;
#[cfg(feature = "grpc")]
mod grpc;
mod http;
mod invocation;
mod mcp;
mod openapi;
#[cfg(unix)]
mod process;
mod registry;
mod rpc;
mod sse;
mod store;
mod transactional;
mod typed;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

pub use a2a::A2a;
pub(crate) use approval::approval;
pub use asyncapi::{AsyncApi, AsyncApiOptions};
pub use echo::Echo;
#[cfg(feature = "email")]
pub use email::{Addresses, Email, EmailMessage, EmailOptions, EmailSent};
#[cfg(feature = "grpc")]
pub use grpc::Grpc;
pub use http::{Http, HttpOptions};
pub use invocation::{Heart, Invocation};
pub use mcp::Mcp;
pub use openapi::OpenApi;
#[cfg(unix)]
pub use process::{
    ContainerOptions, Isolation, ProcessOptions, Processes, RunContainer, RunScript, RunShell,
};
pub(crate) use registry::Callable;
pub use registry::{Durability, FunctionInfo, Functions, Registration};
pub use store::{KeyValue, StoreAction, StoreAnswer, StoreItem};
pub(crate) use transactional::Transactional;
pub use transactional::TransactionalFunction;
pub use typed::{Typed, TypedFunction};
pub(crate) use typed::{Types, written};

use crate::interpreter::Problem;

/// Something that definitions can call.
///
/// A function runs at least once per call task: after a crash whose outcome is not
/// known it runs again with the same [`key`](Invocation::key). It should report a
/// problem only when it knows the outcome. Most functions are better written as
/// [`TypedFunction`].
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

    /// Tells what the function takes and gives, for editors and people.
    fn signature(&self) -> Signature {
        Signature::default()
    }
}

/// Functions may share what they stand on: connections, tokens.
#[async_trait]
impl<F: Function + ?Sized> Function for Arc<F> {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        (**self).call(invocation).await
    }

    fn signature(&self) -> Signature {
        (**self).signature()
    }
}

/// What a function takes and gives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Signature {
    /// What it does, in a sentence.
    pub description: Option<String>,
    /// The JSON Schema of the arguments; absent: anything.
    pub input: Option<Value>,
    /// The JSON Schema of the output; absent: anything.
    pub output: Option<Value>,
}
