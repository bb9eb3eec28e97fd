//! What the measurements do with an engine: tenants, deployments, executions.

use std::time::Duration;

use auterity_core::engine::{Handle, StartRequest};
use auterity_core::store::{ExecutionRow, Status};
use auterity_core::{Actor, Scope, TenantId};
use uuid::Uuid;

use crate::Failure;

/// The scope of the tenant with this number.
#[must_use]
pub fn scope(number: u32) -> Scope {
    let tenant = TenantId::from_uuid(Uuid::from_u128(u128::from(number)));
    Scope::new(tenant, Actor::Host)
}

/// Deploys a definition.
///
/// # Errors
/// When the definition has mistakes, or the store fails.
pub async fn deploy(handle: &Handle, scope: &Scope, text: &str) -> Result<(), Failure> {
    let deployed = handle.deploy(scope, text).await;
    deployed
        .map(|_| ())
        .map_err(|error| error.to_string().into())
}

/// Starts an execution and waits until it has completed.
///
/// # Errors
/// When it cannot be started, does not end within `patience`, or ends otherwise.
pub async fn execute(
    handle: &Handle,
    scope: &Scope,
    request: StartRequest,
    patience: Duration,
) -> Result<ExecutionRow, Failure> {
    let started = handle.start(scope, request).await?;
    let row = handle.wait(scope, started.id, patience).await?;
    if row.status != Status::Completed {
        return Err(format!("an execution ended as {:?}", row.status).into());
    }
    Ok(row)
}
