//! Functions whose writes commit together with the journal: exactly once.

use std::fmt;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::typed::{Types, written};
use super::{Invocation, Signature};
use crate::interpreter::Problem;
use crate::store::Transaction;

/// A function that works in a transaction on the tenant's data.
///
/// What it writes commits with the event that records its result, or not at all: it
/// takes effect exactly once, however often the process is killed. Its body may run
/// more often, so it must not do anything outside the transaction. A problem that it
/// reports takes its writes back; the problem itself is recorded.
///
/// Keep it short: while it works its execution does nothing else, and on SQLite nothing
/// else is written at all. Deadlocks and serialization failures are the engine's to
/// repeat, with the same key; a statement that fails makes the transaction fail, even
/// if the function ignores the error.
#[async_trait]
pub trait TransactionalFunction: Send + Sync + fmt::Debug + 'static {
    /// What the evaluated `with` must be.
    type Input: DeserializeOwned + JsonSchema + Send + 'static;
    /// The task's raw output.
    type Output: Serialize + JsonSchema + Send + 'static;

    /// Does the work.
    ///
    /// # Errors
    /// Gives the problem that the definition may catch;
    /// [`Problem::failed`] makes one of a database's error.
    ///
    /// # Cancel safety
    /// The future is dropped, and the transaction with it, when its time is over or the
    /// worker loses its lease.
    async fn call(
        &self,
        input: Self::Input,
        invocation: Invocation,
        transaction: &Transaction,
    ) -> Result<Self::Output, Problem>;
}

/// A transactional function without its types.
#[async_trait]
pub(crate) trait Transactional: Send + Sync + fmt::Debug + 'static {
    async fn call(
        &self,
        invocation: Invocation,
        transaction: &Transaction,
    ) -> Result<Value, Problem>;
}

#[derive(Debug)]
pub(super) struct TypedTransactional<F> {
    function: F,
    types: Types,
}

impl<F: TransactionalFunction> TypedTransactional<F> {
    pub(super) fn new(function: F) -> Self {
        Self {
            function,
            types: Types::of::<F::Input, F::Output>(),
        }
    }

    pub(super) fn signature(&self) -> Signature {
        self.types.signature.clone()
    }
}

#[async_trait]
impl<F: TransactionalFunction> Transactional for TypedTransactional<F> {
    async fn call(
        &self,
        mut invocation: Invocation,
        transaction: &Transaction,
    ) -> Result<Value, Problem> {
        let input = self.types.read(invocation.arguments.take())?;
        let output = self.function.call(input, invocation, transaction).await?;
        written(&output)
    }
}
