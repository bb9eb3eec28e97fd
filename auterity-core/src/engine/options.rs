//! What the host decides: options, and the ports that it hands in.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::admission::{Admission, Limits, RETENTION_MAX, RETENTION_MIN};
use super::durable_fn::DurableFunctions;
use super::lifecycle::LifecycleSink;
use crate::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::expression::Budget;
use crate::functions::Functions;
use crate::store::{ConnectionSource, Store};
use crate::{Error, ErrorKind, TenantId, definition, interpreter};

/// The engine's settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Names the worker over restarts. A new life under the same name takes the
    /// executions of the one before at once; two living workers need two names.
    pub worker_name: String,
    /// Executions that this worker has in memory at most.
    pub in_flight_max: usize,
    /// Starts from outside that are under way at most; more are refused for a moment.
    pub starts_max: usize,
    /// For how long a worker that says nothing keeps its executions.
    pub lease: SignedDuration,
    /// How often the worker renews its lease and looks for due executions by itself.
    pub poll: SignedDuration,
    /// An execution whose next due time is further away than this leaves memory.
    pub park_after: SignedDuration,
    /// Events after which a snapshot is written, besides the one at each parking; both
    /// wait until the events since the last one are together as large as that was.
    pub snapshot_every: u32,
    /// Operations that one journal batch holds at most.
    pub batch_max: usize,
    /// Schedules that one tenant has at most; backfills do not count.
    pub schedules_max: u32,
    /// How long executions are kept after their end, where neither the workflow's nor
    /// the tenant's settings say. Absent: for ever.
    pub retention: Option<SignedDuration>,
    /// Limits of definitions.
    pub definition: definition::Limits,
    /// Limits of executions.
    pub execution: interpreter::Limits,
    /// Limits of one expression.
    pub expression: Budget,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            worker_name: "worker".to_owned(),
            in_flight_max: 1_024,
            starts_max: 16_384,
            lease: SignedDuration::from_secs(5),
            poll: SignedDuration::from_secs(1),
            park_after: SignedDuration::from_secs(2),
            snapshot_every: 100,
            batch_max: 512,
            schedules_max: 10_000,
            retention: None,
            definition: definition::Limits::default(),
            execution: interpreter::Limits::default(),
            expression: Budget::default(),
        }
    }
}

impl Options {
    /// Checks that the settings make sense together.
    ///
    /// # Errors
    /// Kind [`Invalid`](ErrorKind::Invalid), naming the setting.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Invalid, message));
        if self.worker_name.is_empty() {
            return wrong("worker_name must not be empty");
        }
        if self.in_flight_max == 0 {
            return wrong("in_flight_max must be at least 1");
        }
        if self.starts_max == 0 {
            return wrong("starts_max must be at least 1");
        }
        if self.batch_max == 0 {
            return wrong("batch_max must be at least 1");
        }
        if self.poll <= SignedDuration::ZERO || self.lease < self.poll.saturating_mul(2) {
            return wrong("lease must be at least twice as long as poll, and poll above zero");
        }
        if self
            .retention
            .is_some_and(|time| time < RETENTION_MIN || RETENTION_MAX < time)
        {
            return wrong("retention must be a minute at least and 36,500 days at most");
        }
        Ok(())
    }
}

/// What the engine stands on.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Where definitions and the journal are kept.
    pub store: Arc<dyn Store>,
    /// Where transactional functions get their transactions.
    pub connections: Arc<dyn ConnectionSource>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bits, for ids.
    pub entropy: Arc<dyn Entropy>,
    /// What definitions can call.
    pub functions: Functions,
    /// Workflows written in Rust.
    pub durable: DurableFunctions,
    /// What definitions may know but never keep.
    pub secrets: Secrets,
    /// Who gives leave to start.
    pub admission: Arc<dyn Admission>,
    /// Who is told what happens to workflows and tasks.
    pub lifecycle: LifecycleSink,
}

impl Ports {
    /// Takes a store, with the system's clock and random bits, the built-in
    /// functions, no secrets, and the limits that are kept in the store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            admission: Arc::new(Limits::new(Arc::clone(&store), Budget::default())),
            connections: Arc::clone(&store) as Arc<dyn ConnectionSource>,
            store,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            functions: Functions::built_in(),
            durable: DurableFunctions::none(),
            secrets: Secrets::none(),
            lifecycle: LifecycleSink::none(),
        }
    }
}

type Lookup = dyn Fn(TenantId, &str) -> Option<Value> + Send + Sync;

/// Finds the secrets that a definition names in `use.secrets`.
#[derive(Clone)]
pub struct Secrets {
    lookup: Arc<Lookup>,
}

impl Secrets {
    /// Knows no secret.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|_, _| None)
    }

    /// Asks the given function, which must not block.
    #[must_use]
    pub fn new(lookup: impl Fn(TenantId, &str) -> Option<Value> + Send + Sync + 'static) -> Self {
        Self {
            lookup: Arc::new(lookup),
        }
    }

    /// Knows the same secrets for every tenant: for hosts with a single one.
    #[must_use]
    pub fn fixed(values: BTreeMap<String, Value>) -> Self {
        Self::new(move |_, name| values.get(name).cloned())
    }

    /// Gives an object with the named secrets; those that are not known are absent.
    pub(crate) fn collect(&self, tenant: TenantId, names: &[String]) -> Arc<Value> {
        let found = names
            .iter()
            .filter_map(|name| Some((name.clone(), (self.lookup)(tenant, name)?)))
            .collect::<Map<String, Value>>();
        Arc::new(Value::Object(found))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secrets")
    }
}
