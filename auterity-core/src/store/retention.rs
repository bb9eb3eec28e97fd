//! Removes executions that ended long ago.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{Error, TenantId};

/// A workflow of a tenant, whatever its version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkflowKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// How old the executions of a workflow are, and what was decided about keeping them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowAge {
    /// The workflow.
    pub workflow: WorkflowKey,
    /// When the first of its executions that are still there was started.
    pub oldest: Option<Timestamp>,
    /// The workflow's settings as JSON text, if there are any.
    pub settings: Option<Arc<str>>,
    /// The tenant's settings as JSON text, if there are any.
    pub of_tenant: Option<Arc<str>>,
}

/// Removes what need not be kept any longer.
#[async_trait]
pub trait RetentionStore: Send + Sync + fmt::Debug + 'static {
    /// Lists the workflows of all tenants in their order, deleted ones included, after
    /// one of them.
    async fn retention_list(
        &self,
        after: Option<&WorkflowKey>,
        limit: u32,
    ) -> Result<Vec<WorkflowAge>, Error>;

    /// Removes executions of a workflow that ended before a time, with all that belongs
    /// to them, the ones that began first before others. Gives how many; what another
    /// process is at work on is left out.
    async fn retention_remove(
        &self,
        workflow: &WorkflowKey,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<u32, Error>;
}
