//! What can be decided for a workflow and for a tenant, while they are at work.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::expression::{Expression, fixed};
use crate::store::{Pace, Rule, WEIGHT_MAX};
use crate::{Error, ErrorKind, Violation};

/// Limits of one kind that a workflow has at most.
const LIMITS_MAX: usize = 4;

/// Bytes of a key expression.
const KEY_BYTES_MAX: usize = 256;

/// The longest period of a rate.
const PERIOD_MAX: SignedDuration = SignedDuration::from_hours(24 * 366);

/// The shortest and the longest time for which ended executions are kept.
pub(crate) const RETENTION_MIN: SignedDuration = SignedDuration::from_mins(1);
pub(crate) const RETENTION_MAX: SignedDuration = SignedDuration::from_hours(24 * 36_500);

/// The weight of a tenant about which nothing is said.
const WEIGHT_DEFAULT: u32 = 100;

/// Executions of a workflow at work at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConcurrencyLimit {
    /// How many at most.
    pub max: u32,
    /// A jq expression on the input; the limit then counts for each of its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Executions of a workflow in a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// How many in a period, in the long run.
    pub max: u32,
    /// The period.
    #[serde(with = "fixed")]
    pub period: SignedDuration,
    /// How many may come at once after a pause. Absent: all of a period where starts
    /// are refused, one where they are spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// A jq expression on the input; the limit then counts for each of its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl RateLimit {
    pub(super) fn pace(&self, burst_default: u32) -> Pace {
        let every = self.period.as_micros() / i128::from(self.max.max(1));
        Pace {
            every: SignedDuration::from_micros(i64::try_from(every).unwrap_or(i64::MAX).max(1)),
            burst: self.burst.unwrap_or(burst_default).max(1),
        }
    }
}

/// Which of several executions stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The first: later starts give its id and start nothing.
    Oldest,
    /// The last: earlier ones are cancelled.
    #[default]
    Newest,
}

/// Waits until starts pause, and then begins one execution for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debounce {
    /// How long the pause is; with [`Keep::Oldest`] the time after the first start.
    #[serde(with = "fixed")]
    pub period: SignedDuration,
    /// How long the first start waits at most when there is no pause. Absent: ten periods.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "fixed::optional"
    )]
    pub max_wait: Option<SignedDuration>,
    /// A jq expression on the input; each of its values is debounced by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Which start counts.
    #[serde(default)]
    pub keep: Keep,
}

/// Has at most one execution at work or waiting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Singleton {
    /// A jq expression on the input; there is then one for each of its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Which one stays.
    #[serde(default)]
    pub keep: Keep,
}

/// What is decided for a workflow, whatever its version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkflowSettings {
    /// The priority of starts that ask for none (or for 0).
    pub priority: i32,
    /// How many may be at work.
    pub concurrency: Vec<ConcurrencyLimit>,
    /// How often it may be started; starts beyond are refused.
    pub rate: Vec<RateLimit>,
    /// How often executions begin; starts beyond wait and are spread.
    pub throttle: Vec<RateLimit>,
    /// One execution for many starts in a row.
    pub debounce: Option<Debounce>,
    /// One execution at a time, and none waiting behind it.
    pub singleton: Option<Singleton>,
    /// How many executions may wait at the limits above; starts beyond are refused.
    pub queue_max: Option<u32>,
    /// How long executions are kept after their end; absent: as the tenant's are.
    #[serde(with = "fixed::optional")]
    pub retention: Option<SignedDuration>,
}

/// What is decided for a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantSettings {
    /// Its share of the workers beside that of other tenants, 1 to 10,000.
    pub weight: u32,
    /// Executions at work at most.
    pub concurrency_max: Option<u32>,
    /// How often it may start executions; starts beyond are refused. Has no key.
    pub rate: Option<RateLimit>,
    /// Executions that may wait at most, for a limit or a worker; a million at the very
    /// most. Of several processes each may let in an eighth more.
    pub queue_max: Option<u32>,
    /// How long executions are kept after their end; absent: as the host decided
    /// ([`Options::retention`](crate::engine::Options::retention)).
    #[serde(with = "fixed::optional")]
    pub retention: Option<SignedDuration>,
}

impl Default for TenantSettings {
    fn default() -> Self {
        Self {
            weight: WEIGHT_DEFAULT,
            concurrency_max: None,
            rate: None,
            queue_max: None,
            retention: None,
        }
    }
}

impl WorkflowSettings {
    /// Checks that the settings make sense.
    ///
    /// # Errors
    /// Kind [`Invalid`](ErrorKind::Invalid) with a [violation](Error::violations) for
    /// each mistake.
    pub fn validate(&self) -> Result<(), Error> {
        let mut found = Found::default();
        for (kind, count) in [
            ("concurrency", self.concurrency.len()),
            ("rate", self.rate.len()),
            ("throttle", self.throttle.len()),
        ] {
            if LIMITS_MAX < count {
                found.wrong(
                    format!("/{kind}"),
                    format!("holds at most {LIMITS_MAX} limits"),
                );
            }
        }
        let mut keys = BTreeSet::new();
        for (place, limit) in self.concurrency.iter().enumerate() {
            let pointer = format!("/concurrency/{place}");
            found.at_least_one(&pointer, "max", Some(limit.max));
            found.key(&pointer, limit.key.as_deref());
            found.once(&pointer, &mut keys, limit.key.as_deref());
        }
        for (kind, limits) in [("rate", &self.rate), ("throttle", &self.throttle)] {
            let mut keys = BTreeSet::new();
            for (place, limit) in limits.iter().enumerate() {
                let pointer = format!("/{kind}/{place}");
                found.rate(&pointer, limit);
                found.once(&pointer, &mut keys, limit.key.as_deref());
            }
        }
        if let Some(debounce) = &self.debounce {
            found.period("/debounce/period", debounce.period);
            if let Some(most) = debounce.max_wait {
                found.period("/debounce/max_wait", most);
            }
            found.key("/debounce", debounce.key.as_deref());
        }
        if let Some(singleton) = &self.singleton {
            found.key("/singleton", singleton.key.as_deref());
            if self.debounce.is_some() {
                let message = "cannot be combined with debounce";
                found.wrong("/singleton".to_owned(), message.to_owned());
            }
        }
        found.retention(self.retention);
        found.end()
    }

    /// Gives the rules that stores keep for a workflow.
    pub(crate) fn rules(&self, prefix: &str) -> Vec<Rule> {
        let mut rules = Vec::new();
        for limit in &self.concurrency {
            rules.push(Rule {
                name: rule_name(prefix, "concurrency", limit.key.as_deref()),
                concurrency: Some(limit.max),
                pace: None,
            });
        }
        for limit in &self.throttle {
            rules.push(Rule {
                name: rule_name(prefix, "throttle", limit.key.as_deref()),
                concurrency: None,
                pace: Some(limit.pace(1)),
            });
        }
        if let Some(singleton) = &self.singleton {
            rules.push(Rule {
                name: rule_name(prefix, "singleton", singleton.key.as_deref()),
                concurrency: Some(1),
                pace: None,
            });
        }
        rules
    }
}

impl TenantSettings {
    /// Checks that the settings make sense.
    ///
    /// # Errors
    /// Kind [`Invalid`](ErrorKind::Invalid) with a [violation](Error::violations) for
    /// each mistake.
    pub fn validate(&self) -> Result<(), Error> {
        let mut found = Found::default();
        if self.weight == 0 || WEIGHT_MAX < self.weight {
            found.wrong("/weight".to_owned(), format!("is 1 to {WEIGHT_MAX}"));
        }
        found.at_least_one("", "concurrency_max", self.concurrency_max);
        if let Some(rate) = &self.rate {
            found.rate("/rate", rate);
            if rate.key.is_some() {
                let message = "a tenant's rate has no key; give the workflow one";
                found.wrong("/rate/key".to_owned(), message.to_owned());
            }
        }
        found.retention(self.retention);
        found.end()
    }

    /// Gives the rules that stores keep for the tenant.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        let limit = self.concurrency_max.map(|most| Rule {
            name: rule_name(TENANT_PREFIX, "concurrency", None),
            concurrency: Some(most),
            pace: None,
        });
        limit.into_iter().collect()
    }
}

/// The beginning of the names of a tenant's own rules.
pub(crate) const TENANT_PREFIX: &str = "tenant/";

/// Gives the beginning of the names of a workflow's rules.
pub(crate) fn workflow_prefix(namespace: &str, name: &str) -> String {
    format!("workflow/{namespace}/{name}/")
}

/// Names a rule: the same limit keeps its name, and so its counters, whatever else changes.
pub(crate) fn rule_name(prefix: &str, kind: &str, key: Option<&str>) -> String {
    match key {
        Some(key) => format!("{prefix}{kind}/{key}"),
        None => format!("{prefix}{kind}"),
    }
}

/// Mistakes found so far.
#[derive(Debug, Default)]
struct Found {
    violations: Vec<Violation>,
}

impl Found {
    fn wrong(&mut self, pointer: String, message: String) {
        self.violations.push(Violation { pointer, message });
    }

    fn at_least_one(&mut self, pointer: &str, field: &str, value: Option<u32>) {
        if value == Some(0) {
            self.wrong(format!("{pointer}/{field}"), "is at least 1".to_owned());
        }
    }

    fn period(&mut self, pointer: &str, period: SignedDuration) {
        if period <= SignedDuration::ZERO || PERIOD_MAX < period {
            let message = "is more than nothing and at most 366 days";
            self.wrong(pointer.to_owned(), message.to_owned());
        }
    }

    fn retention(&mut self, retention: Option<SignedDuration>) {
        if retention.is_some_and(|time| time < RETENTION_MIN || RETENTION_MAX < time) {
            let message = "is a minute at least and 36,500 days at most";
            self.wrong("/retention".to_owned(), message.to_owned());
        }
    }

    fn rate(&mut self, pointer: &str, limit: &RateLimit) {
        self.at_least_one(pointer, "max", Some(limit.max));
        self.at_least_one(pointer, "burst", limit.burst);
        self.period(&format!("{pointer}/period"), limit.period);
        self.key(pointer, limit.key.as_deref());
    }

    fn key(&mut self, pointer: &str, key: Option<&str>) {
        let Some(key) = key else { return };
        let pointer = format!("{pointer}/key");
        if key.is_empty() || KEY_BYTES_MAX < key.len() || key.contains('\0') {
            let message = format!("is a jq expression of 1 to {KEY_BYTES_MAX} bytes");
            self.wrong(pointer, message);
        } else if let Err(error) = Expression::compile(key, &[]) {
            self.wrong(
                pointer,
                format!("is no jq expression on the input: {error}"),
            );
        }
    }

    fn once<'k>(
        &mut self,
        pointer: &str,
        keys: &mut BTreeSet<Option<&'k str>>,
        key: Option<&'k str>,
    ) {
        if !keys.insert(key) {
            let message = "another limit of this kind has the same key";
            self.wrong(pointer.to_owned(), message.to_owned());
        }
    }

    fn end(self) -> Result<(), Error> {
        if self.violations.is_empty() {
            return Ok(());
        }
        let message = "the settings have mistakes; nothing was changed";
        Err(Error::new(ErrorKind::Invalid, message).with_violations(self.violations))
    }
}
