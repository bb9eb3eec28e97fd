//! `echo`: gives its arguments back, recorded like any other effect.

use async_trait::async_trait;
use serde_json::Value;

use super::{Function, Invocation};
use crate::interpreter::Problem;

/// Returns its arguments, so that examples, tests and measurements need no outside
/// service.
#[derive(Debug, Clone, Copy, Default)]
pub struct Echo;

#[async_trait]
impl Function for Echo {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        Ok(invocation.arguments)
    }
}
