//! Leave to start: the port, and the settings that its own implementor follows.

mod length;
mod limits;
mod settings;

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::definition::WorkflowRef;
use crate::store::Gate;
use crate::{Error, ExecutionId, Scope, TenantId};

pub use limits::Limits;
pub use settings::{
    ConcurrencyLimit, Debounce, Keep, RateLimit, Singleton, TenantSettings, WorkflowSettings,
};
pub(super) use settings::{RETENTION_MAX, RETENTION_MIN, TENANT_PREFIX, workflow_prefix};

/// Decides whether an execution may be started, and what it has to pass before it begins.
///
/// Asked for every start from outside, for children that nobody awaits, and for what is
/// to go on after its end. An awaited child works in its parent's place: held at a gate that its own parent keeps, it would
/// wait for ever.
#[async_trait]
pub trait Admission: Send + Sync + fmt::Debug + 'static {
    /// Asks for leave to start an execution.
    ///
    /// # Errors
    /// Kind [`Throttled`](crate::ErrorKind::Throttled) when a limit of the tenant or
    /// workflow refuses, [`Overloaded`](crate::ErrorKind::Overloaded) when the program as
    /// a whole does; both say [after which time](Error::retry_after) to ask again.
    async fn admit(&self, scope: &Scope, asked: &Asked<'_>) -> Result<Admitted, Error>;

    /// Forgets what it remembers about a tenant: its settings have changed.
    fn forget(&self, _tenant: TenantId) {}
}

/// Why leave is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An execution is to be started.
    Start,
    /// One that had ended is to go on, or a new one is to begin where another stood:
    /// whoever repairs is held by limits on what is at work, and refused by none.
    Repair,
}

/// What is to be started.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Why.
    pub purpose: Purpose,
    /// The workflow and version.
    pub workflow: &'a WorkflowRef,
    /// The raw input.
    pub input: &'a Value,
    /// What makes a repeated start find the first.
    pub idempotency_key: Option<&'a str>,
    /// The present time.
    pub now: Timestamp,
}

/// Leave, and what goes with it.
#[derive(Debug, Default)]
pub struct Admitted {
    /// What the execution has to pass before it begins, in this order.
    pub gates: Vec<Gate>,
    /// The priority of a start that asks for none.
    pub priority: i32,
    /// The execution that an earlier start with the same key gave: nothing is started.
    /// Whoever refuses starts looks for it first, with
    /// [`execution_keyed`](crate::store::Store::execution_keyed).
    pub repeated: Option<ExecutionId>,
    /// The execution that stands in the place of a new one: nothing is started.
    pub existing: Option<ExecutionId>,
    /// Whether older executions at the first gate are cancelled once this one is there.
    pub replaces: bool,
    /// Dropped once the start is in the store or has failed.
    pub hold: Option<Hold>,
}

/// Something that lasts until a start is in the store or has failed.
#[derive(Debug)]
pub struct Hold {
    _kept: Box<dyn fmt::Debug + Send + Sync>,
}

impl Hold {
    /// Keeps a value, to drop it then.
    #[must_use]
    pub fn new(kept: impl fmt::Debug + Send + Sync + 'static) -> Self {
        Self {
            _kept: Box::new(kept),
        }
    }
}

/// Always gives leave.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unlimited;

#[async_trait]
impl Admission for Unlimited {
    async fn admit(&self, _scope: &Scope, _asked: &Asked<'_>) -> Result<Admitted, Error> {
        Ok(Admitted::default())
    }
}
