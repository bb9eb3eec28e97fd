//! Who acts, for which tenant, until when.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{ExecutionId, TenantId, UserId, WorkerId};

/// Whoever causes an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A signed-in person.
    User(UserId),
    /// The engine, going on with what somebody started.
    Engine(WorkerId),
    /// Another execution, about one that it started.
    Execution(ExecutionId),
    /// The host program itself.
    Host,
}

impl fmt::Display for Actor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => id.fmt(out),
            Self::Engine(id) => id.fmt(out),
            Self::Execution(id) => id.fmt(out),
            Self::Host => out.write_str("host"),
        }
    }
}

/// Carries tenant, actor, trace and deadline through everything below HTTP.
///
/// A scope is built in two places only: at the request edge and in the engine's
/// worker. There is no scope without a tenant.
#[derive(Debug, Clone)]
pub struct Scope {
    tenant: TenantId,
    actor: Actor,
    trace: Option<String>,
    deadline: Option<Timestamp>,
}

impl Scope {
    /// Makes a scope for a tenant and an actor.
    #[must_use]
    pub fn new(tenant: TenantId, actor: Actor) -> Self {
        Self {
            tenant,
            actor,
            trace: None,
            deadline: None,
        }
    }

    /// Adds the identifier of the trace that this work belongs to.
    #[must_use]
    pub fn with_trace(mut self, trace: impl Into<String>) -> Self {
        self.trace = Some(trace.into());
        self
    }

    /// Adds the time after which nobody waits for the answer any more.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Timestamp) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Gives the tenant.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Gives the actor.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Gives the trace, if there is one.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.trace.as_deref()
    }

    /// Gives the deadline, if there is one.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }
}
