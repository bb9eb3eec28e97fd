//! Admission by the settings in the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::length::{Answer, Entered, Length};
use super::settings::{TENANT_PREFIX, rule_name, workflow_prefix};
use super::{
    Admission, Admitted, Asked, Debounce, Hold, Keep, Purpose, RateLimit, Singleton,
    TenantSettings, WorkflowSettings,
};
use crate::expression::{Budget, Expression, Variables};
use crate::store::{AtGate, GATE_VALUE_BYTES_MAX, Gate, Store};
use crate::{Error, ErrorKind, Scope, TenantId};

/// How long settings are remembered: how late a process sees what
/// another one changed.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(1);

/// Settings and lengths remembered at most; beyond that all are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// Executions at one gate that are looked at.
const AT_GATE_MAX: u32 = 100;

/// Executions of one tenant that wait at most, whatever its settings say.
const QUEUE_MAX: u32 = 1_000_000;

/// When to come again to a full queue.
const QUEUE_RETRY: Duration = Duration::from_secs(1);

/// Periods of a debounce that its first start waits at most, unless the settings say.
const MAX_WAIT_PERIODS: i32 = 10;

/// Holds starts to the settings of their workflow and tenant.
#[derive(Debug)]
pub struct Limits {
    store: Arc<dyn Store>,
    budget: Budget,
    settings: Mutex<HashMap<TenantId, Remembered>>,
}

/// What is remembered about a tenant.
#[derive(Debug, Default)]
struct Remembered {
    tenant: Option<(Timestamp, Arc<TenantSettings>)>,
    workflows: HashMap<(String, String), (Timestamp, Arc<Workflow>)>,
    /// The lengths of queues by the beginning of their rules.
    lengths: HashMap<String, Length>,
}

/// A workflow's settings with its expressions compiled.
#[derive(Debug, Default)]
struct Workflow {
    settings: WorkflowSettings,
    keys: HashMap<String, Expression>,
}

impl Limits {
    /// Follows the settings in a store; key expressions are evaluated within the budget.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, budget: Budget) -> Self {
        Self {
            store,
            budget,
            settings: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Remembered>> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember<T>(&self, tenant: TenantId, note: impl FnOnce(&mut Remembered) -> T) -> T {
        let mut settings = self.lock();
        if REMEMBERED_MAX <= settings.len() {
            settings.retain(|_, about| about.forget());
        }
        let about = settings.entry(tenant).or_default();
        if REMEMBERED_MAX <= about.workflows.len() + about.lengths.len() {
            about.forget();
        }
        note(about)
    }

    async fn tenant(&self, scope: &Scope, now: Timestamp) -> Result<Arc<TenantSettings>, Error> {
        let tenant = scope.tenant();
        let known = self.lock().get_mut(&tenant).and_then(|about| {
            let known = about.tenant.as_mut()?;
            remembered(known, now)
        });
        if let Some(settings) = known {
            return Ok(settings);
        }
        let settings: Arc<TenantSettings> = match self.store.flow_fetch(scope, None).await? {
            Some(row) => Arc::new(read(&row.body)?),
            None => Arc::default(),
        };
        let noted = Arc::clone(&settings);
        self.remember(tenant, |about| about.tenant = Some((now, noted)));
        Ok(settings)
    }

    async fn workflow(&self, scope: &Scope, asked: &Asked<'_>) -> Result<Arc<Workflow>, Error> {
        let (namespace, name) = (&asked.workflow.namespace, &asked.workflow.name);
        let key = (namespace.clone(), name.clone());
        let known = self.lock().get_mut(&scope.tenant()).and_then(|about| {
            let known = about.workflows.get_mut(&key)?;
            remembered(known, asked.now)
        });
        if let Some(workflow) = known {
            return Ok(workflow);
        }
        let workflow = match self
            .store
            .flow_fetch(scope, Some((namespace, name)))
            .await?
        {
            Some(row) => Arc::new(Workflow::new(read(&row.body)?)?),
            None => Arc::default(),
        };
        let noted = Arc::clone(&workflow);
        self.remember(scope.tenant(), |about| {
            about.workflows.insert(key, (asked.now, noted));
        });
        Ok(workflow)
    }

    /// Refuses when as many wait as may.
    async fn check_queue(
        &self,
        scope: &Scope,
        prefix: Option<&str>,
        most: Option<u32>,
        now: Timestamp,
    ) -> Result<Option<Entered>, Error> {
        let Some(most) = most else { return Ok(None) };
        let key = prefix.unwrap_or_default();
        let tenant = scope.tenant();
        let mut answer = self.remember(tenant, |about| {
            about.lengths.entry(key.to_owned()).or_default().ask(now)
        });
        if let Answer::Count(begun) = answer {
            let counted = self.store.queue_length(scope, prefix, most).await?;
            answer = self.remember(tenant, |about| {
                let length = about.lengths.entry(key.to_owned()).or_default();
                length.counted(begun, (counted, most), now)
            });
        }
        if let Answer::Enter(entered) = answer {
            return Ok(Some(entered));
        }
        let whose = if prefix.is_some() {
            "this workflow"
        } else {
            "this tenant"
        };
        let message = format!(
            "{most} executions of {whose} wait already (limit queue_max); start fewer or later"
        );
        Err(Error::new(ErrorKind::Throttled, message).with_retry_after(QUEUE_RETRY))
    }

    /// Decides about a start for which nothing was set: only the queue has an end.
    async fn admit_unlimited(
        &self,
        scope: &Scope,
        asked: &Asked<'_>,
        mut admitted: Admitted,
    ) -> Result<Admitted, Error> {
        if asked.purpose == Purpose::Repair {
            return Ok(admitted);
        }
        let checked = self.check_queue(scope, None, Some(QUEUE_MAX), asked.now);
        match (checked.await, asked.idempotency_key) {
            (Ok(entered), _) => admitted.hold = entered.map(Hold::new),
            // A repeated start takes no place.
            (Err(full), Some(key)) => {
                admitted.repeated = self.store.execution_keyed(scope, key).await?;
                if admitted.repeated.is_none() {
                    return Err(full);
                }
            }
            (Err(full), None) => return Err(full),
        }
        Ok(admitted)
    }

    /// Decides about a start where only one of several stays.
    async fn single(
        &self,
        scope: &Scope,
        values: &Values<'_>,
        admitted: &mut Admitted,
    ) -> Result<(), Error> {
        let Some((gate, keep, concurrent)) = values.first()? else {
            return Ok(());
        };
        let name = (&*gate.rule, &*gate.value);
        let there = self.store.gate_list(scope, name, AT_GATE_MAX).await?;
        let mut there = there.iter().filter(|one| concurrent || !one.passed);
        match keep {
            Keep::Oldest => admitted.existing = there.next().map(|one| one.execution),
            Keep::Newest => admitted.replaces = true,
        }
        let oldest = there.map(|one: &AtGate| one.since).min();
        admitted.gates.push(values.debounced(gate, oldest));
        Ok(())
    }

    /// Refuses a start that its workflow's or tenant's limits do not bear.
    async fn check_start(
        &self,
        scope: &Scope,
        values: &Values<'_>,
        tenant: &TenantSettings,
    ) -> Result<Option<Hold>, Error> {
        let (settings, now) = (&values.workflow.settings, values.asked.now);
        let prefix = Some(values.prefix);
        let tenant_max = tenant.queue_max.unwrap_or(QUEUE_MAX).min(QUEUE_MAX);
        let entered = (
            self.check_queue(scope, prefix, settings.queue_max, now)
                .await?,
            self.check_queue(scope, None, Some(tenant_max), now).await?,
        );
        for limit in &settings.rate {
            let gate = values.gate("rate", limit.key.as_deref())?;
            self.check_rate(scope, (&gate.rule, &gate.value), limit, now)
                .await?;
        }
        if let Some(limit) = &tenant.rate {
            let rule = rule_name(TENANT_PREFIX, "rate", None);
            self.check_rate(scope, (&rule, ""), limit, now).await?;
        }
        Ok(match entered {
            (None, None) => None,
            entered => Some(Hold::new(entered)),
        })
    }

    /// Refuses when starts come too often.
    async fn check_rate(
        &self,
        scope: &Scope,
        (rule, value): (&str, &str),
        limit: &RateLimit,
        now: Timestamp,
    ) -> Result<(), Error> {
        let pace = limit.pace(limit.max);
        let Some(wait) = self.store.gate_ask(scope, (rule, value), pace, now).await? else {
            return Ok(());
        };
        let message = format!(
            "started more often than {} times in {:#} (limit {rule}); try again later",
            limit.max, limit.period
        );
        let wait = Duration::try_from(wait).unwrap_or_default();
        Err(Error::new(ErrorKind::Throttled, message).with_retry_after(wait))
    }
}

#[async_trait]
impl Admission for Limits {
    async fn admit(&self, scope: &Scope, asked: &Asked<'_>) -> Result<Admitted, Error> {
        let tenant = self.tenant(scope, asked.now).await?;
        let workflow = self.workflow(scope, asked).await?;
        let settings = &workflow.settings;
        let mut admitted = Admitted {
            priority: settings.priority,
            ..Admitted::default()
        };
        if *settings == WorkflowSettings::default() && *tenant == TenantSettings::default() {
            return self.admit_unlimited(scope, asked, admitted).await;
        }
        if let Some(key) = asked.idempotency_key {
            admitted.repeated = self.store.execution_keyed(scope, key).await?;
            if admitted.repeated.is_some() {
                return Ok(admitted);
            }
        }
        let prefix = workflow_prefix(&asked.workflow.namespace, &asked.workflow.name);
        let values = Values {
            limits: self,
            workflow: &workflow,
            prefix: &prefix,
            asked,
        };
        match asked.purpose {
            Purpose::Start => {
                self.single(scope, &values, &mut admitted).await?;
                if admitted.existing.is_some() {
                    return Ok(admitted);
                }
                admitted.hold = self.check_start(scope, &values, &tenant).await?;
            }
            Purpose::Repair => admitted.gates.extend(values.singleton()?),
        }
        values.add_gates(&mut admitted.gates)?;
        if tenant.concurrency_max.is_some() {
            admitted.gates.push(Gate {
                rule: rule_name(TENANT_PREFIX, "concurrency", None),
                value: String::new(),
                not_before: None,
                since: None,
            });
        }
        Ok(admitted)
    }

    fn forget(&self, tenant: TenantId) {
        if let Some(about) = self.lock().get_mut(&tenant) {
            about.forget();
        }
    }
}

impl Remembered {
    /// Forgets what the store knows better; tells whether anything is left.
    fn forget(&mut self) -> bool {
        self.tenant = None;
        self.workflows.clear();
        self.lengths.retain(|_, length| {
            length.forget();
            length.is_busy()
        });
        !self.lengths.is_empty()
    }
}

impl Workflow {
    fn new(settings: WorkflowSettings) -> Result<Self, Error> {
        let debounce = settings.debounce.iter().filter_map(|one| one.key.as_ref());
        let singleton = settings.singleton.iter().filter_map(|one| one.key.as_ref());
        let rates = settings.rate.iter().chain(&settings.throttle);
        let limits = settings
            .concurrency
            .iter()
            .filter_map(|one| one.key.as_ref());
        let all = rates.filter_map(|one| one.key.as_ref());
        let mut keys = HashMap::new();
        for key in all.chain(limits).chain(debounce).chain(singleton) {
            let compiled = Expression::compile(key, &[]).map_err(|error| {
                let message = "the key of a limit is no jq expression; set the settings anew";
                Error::new(ErrorKind::Internal, message).with_source(error)
            })?;
            keys.insert(key.clone(), compiled);
        }
        Ok(Self { settings, keys })
    }
}

/// Finds the gates of one start.
struct Values<'a> {
    limits: &'a Limits,
    workflow: &'a Workflow,
    prefix: &'a str,
    asked: &'a Asked<'a>,
}

impl Values<'_> {
    /// Names the gate of a limit for this start.
    fn gate(&self, kind: &str, key: Option<&str>) -> Result<Gate, Error> {
        let value = match key {
            Some(key) => self.value(key)?,
            None => String::new(),
        };
        Ok(Gate {
            rule: rule_name(self.prefix, kind, key),
            value,
            not_before: None,
            since: None,
        })
    }

    fn value(&self, key: &str) -> Result<String, Error> {
        let variables = Variables::new(self.asked.now);
        let found = self.workflow.keys.get(key).map(|expression| {
            expression.evaluate(self.asked.input, &variables, &self.limits.budget)
        });
        let value = match found {
            Some(Ok(Value::String(text))) => text,
            Some(Ok(value)) => value.to_string(),
            Some(Err(error)) => {
                let message = format!("the key {key} of a limit fails on this input: {error}");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
            None => String::new(),
        };
        if GATE_VALUE_BYTES_MAX < value.len() || value.contains('\0') {
            let message = format!(
                "the key {key} of a limit gives more than {GATE_VALUE_BYTES_MAX} bytes, or a null"
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(value)
    }

    /// Gives the gate at which only one stays, which one, and whether it counts those at
    /// work.
    fn first(&self) -> Result<Option<(Gate, Keep, bool)>, Error> {
        let settings = &self.workflow.settings;
        if let (Some(gate), Some(Singleton { keep, .. })) = (self.singleton()?, &settings.singleton)
        {
            return Ok(Some((gate, *keep, true)));
        }
        let Some(Debounce { key, keep, .. }) = &settings.debounce else {
            return Ok(None);
        };
        let gate = self.gate("debounce", key.as_deref())?;
        Ok(Some((gate, *keep, false)))
    }

    /// Names the gate that lets one execution work at a time.
    fn singleton(&self) -> Result<Option<Gate>, Error> {
        let singleton = self.workflow.settings.singleton.as_ref();
        singleton
            .map(|one| self.gate("singleton", one.key.as_deref()))
            .transpose()
    }

    /// Sets the time before which a debounced start does not begin.
    fn debounced(&self, mut gate: Gate, oldest: Option<Timestamp>) -> Gate {
        let Some(debounce) = &self.workflow.settings.debounce else {
            return gate;
        };
        let now = self.asked.now;
        let after =
            |at: Timestamp, wait: SignedDuration| at.checked_add(wait).unwrap_or(Timestamp::MAX);
        let most = debounce
            .max_wait
            .unwrap_or_else(|| debounce.period.saturating_mul(MAX_WAIT_PERIODS));
        let since = oldest.unwrap_or(now);
        gate.since = Some(since);
        gate.not_before = Some(after(now, debounce.period).min(after(since, most)));
        gate
    }

    /// Adds the gates of limits: narrow ones first, so that nobody keeps a place of the
    /// whole workflow while its own key holds it.
    fn add_gates(&self, gates: &mut Vec<Gate>) -> Result<(), Error> {
        let settings = &self.workflow.settings;
        for keyed in [true, false] {
            for limit in &settings.concurrency {
                if limit.key.is_some() == keyed {
                    gates.push(self.gate("concurrency", limit.key.as_deref())?);
                }
            }
            for limit in &settings.throttle {
                if limit.key.is_some() == keyed {
                    gates.push(self.gate("throttle", limit.key.as_deref())?);
                }
            }
        }
        Ok(())
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &str) -> Result<T, Error> {
    serde_json::from_str(body).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "kept settings cannot be read").with_source(error)
    })
}

/// Gives what is remembered as long as it is fresh. After that, one caller looks again,
/// for all that come meanwhile.
fn remembered<T>((at, known): &mut (Timestamp, Arc<T>), now: Timestamp) -> Option<Arc<T>> {
    if now.duration_since(*at) < REMEMBERED {
        return Some(Arc::clone(known));
    }
    *at = now;
    None
}
