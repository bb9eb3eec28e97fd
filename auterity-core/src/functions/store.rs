//! `store`: a tenant's own values by key. Writes commit with the journal, so each takes
//! effect exactly once.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::{Invocation, TransactionalFunction};
use crate::TenantId;
use crate::interpreter::{Problem, ProblemKind, fits};
use crate::store::{KEYS_MAX, Transaction, Written};

/// Bytes of a key at most.
const KEY_BYTES_MAX: usize = 512;
/// Bytes of a value's JSON at most.
const VALUE_BYTES_MAX: usize = 256 * 1024;
/// Entries of a list, unless it says otherwise, and at most.
const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 100;

/// Keeps values for the tenant's workflows.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyValue;

/// What `store` is to do.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum StoreAction {
    /// Reads a value.
    Get {
        /// Where it is kept.
        key: String,
    },
    /// Writes a value, in place of any.
    Put {
        /// Where it is kept.
        key: String,
        /// Any JSON up to 256 KiB.
        value: Value,
    },
    /// Removes a value.
    Delete {
        /// Where it is kept.
        key: String,
    },
    /// Writes a value only if the key holds what is expected.
    CompareAndSet {
        /// Where it is kept.
        key: String,
        /// What the key must hold; absent or null: it must hold nothing.
        #[serde(default)]
        expected: Option<Value>,
        /// Any JSON up to 256 KiB.
        value: Value,
    },
    /// Adds to a number; a key that holds nothing counts as zero.
    Add {
        /// Where it is kept.
        key: String,
        /// How much; 1 unless said otherwise.
        #[serde(default)]
        by: Option<Number>,
    },
    /// Lists entries by key.
    List {
        /// Only keys that begin with this.
        #[serde(default)]
        prefix: String,
        /// Only keys after this one: the last of the page before.
        #[serde(default)]
        after: String,
        /// How many at most; 50 unless said otherwise, 100 at most.
        #[serde(default)]
        limit: Option<u32>,
    },
}

/// What `store` gives.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct StoreAnswer {
    /// Whether the key held a value before.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<bool>,
    /// Whether the value was written or removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
    /// What the key holds; null: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    /// The entries of a list, by key.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<StoreItem>>,
    /// Whether the list goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<bool>,
}

/// An entry of a list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StoreItem {
    key: String,
    value: Value,
}

#[async_trait]
impl TransactionalFunction for KeyValue {
    type Input = StoreAction;
    type Output = StoreAnswer;

    async fn call(
        &self,
        action: StoreAction,
        invocation: Invocation,
        transaction: &Transaction,
    ) -> Result<StoreAnswer, Problem> {
        let values = Values {
            transaction,
            tenant: invocation.scope.tenant(),
            now: invocation.at,
        };
        match action {
            StoreAction::Get { key } => values.get(&checked(key)?).await,
            StoreAction::Put { key, value } => values.put(&checked(key)?, &value).await,
            StoreAction::Delete { key } => values.delete(&checked(key)?).await,
            StoreAction::CompareAndSet {
                key,
                expected,
                value,
            } => values.swap(&checked(key)?, expected, &value).await,
            StoreAction::Add { key, by } => {
                let by = by.unwrap_or_else(|| Number::from(1));
                values.add(&checked(key)?, &by).await
            }
            StoreAction::List {
                prefix,
                after,
                limit,
            } => values.list(&prefix, &after, limit).await,
        }
    }
}

struct Values<'t> {
    transaction: &'t Transaction,
    tenant: TenantId,
    now: Timestamp,
}

impl Values<'_> {
    async fn get(&self, key: &str) -> Result<StoreAnswer, Problem> {
        let held = self.transaction.value_get(self.tenant, key).await;
        let held = held.map_err(Problem::failed)?;
        Ok(StoreAnswer {
            found: Some(held.is_some()),
            value: Some(read(held.as_deref())?),
            ..StoreAnswer::default()
        })
    }

    async fn put(&self, key: &str, value: &Value) -> Result<StoreAnswer, Problem> {
        let value = written(value)?;
        let put = self
            .transaction
            .value_put(self.tenant, (key, &value), self.now);
        answer(put.await.map_err(Problem::failed)?)
    }

    async fn delete(&self, key: &str) -> Result<StoreAnswer, Problem> {
        let removed = self.transaction.value_delete(self.tenant, key).await;
        Ok(changed(removed.map_err(Problem::failed)?))
    }

    async fn swap(
        &self,
        key: &str,
        expected: Option<Value>,
        value: &Value,
    ) -> Result<StoreAnswer, Problem> {
        let written = written(value)?;
        // Compared as JSON: the order of an object's properties does not count.
        let same = |held: Option<&str>| {
            let held = held.and_then(|held| serde_json::from_str::<Value>(held).ok());
            held == expected
        };
        let swap = self
            .transaction
            .value_swap(self.tenant, (key, &written), self.now, same);
        answer(swap.await.map_err(Problem::failed)?)
    }

    async fn add(&self, key: &str, by: &Number) -> Result<StoreAnswer, Problem> {
        let held = self.transaction.value_get(self.tenant, key).await;
        let mut held = held.map_err(Problem::failed)?;
        loop {
            let sum = Value::Number(sum(&read(held.as_deref())?, by)?);
            let value = written(&sum)?;
            let pair = (key, &value);
            let put = match held {
                Some(_) => {
                    self.transaction
                        .value_put(self.tenant, pair, self.now)
                        .await
                }
                None => {
                    self.transaction
                        .value_add(self.tenant, pair, self.now)
                        .await
                }
            };
            match put.map_err(Problem::failed)? {
                // Another transaction was first to write the key, and this one has it now.
                Written::Different(other) => held = other,
                other => {
                    return Ok(StoreAnswer {
                        value: Some(sum),
                        ..answer(other)?
                    });
                }
            }
        }
    }

    async fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: Option<u32>,
    ) -> Result<StoreAnswer, Problem> {
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if limit == 0 || LIMIT_MAX < limit {
            return Err(invalid(format!("limit must be between 1 and {LIMIT_MAX}")));
        }
        let listed = self
            .transaction
            .value_list(self.tenant, (prefix, after), limit + 1);
        let mut found = listed.await.map_err(Problem::failed)?;
        let more = (limit as usize) < found.len();
        found.truncate(limit as usize);
        let item = |(key, value): (String, Arc<str>)| {
            let value = read(Some(&value))?;
            Ok(StoreItem { key, value })
        };
        let items: Result<_, Problem> = found.into_iter().map(item).collect();
        Ok(StoreAnswer {
            items: Some(items?),
            more: Some(more),
            ..StoreAnswer::default()
        })
    }
}

/// Says what became of a write.
fn answer(written: Written) -> Result<StoreAnswer, Problem> {
    match written {
        Written::Done => Ok(changed(true)),
        Written::Different(held) => Ok(StoreAnswer {
            value: Some(read(held.as_deref())?),
            ..changed(false)
        }),
        Written::Full => {
            let detail = format!("the tenant keeps {KEYS_MAX} keys already; delete some first");
            Err(Problem::new(ProblemKind::Runtime, detail))
        }
    }
}

/// Adds numbers: whole ones exactly, others as floating point.
fn sum(held: &Value, by: &Number) -> Result<Number, Problem> {
    let held = match held {
        Value::Null => Number::from(0),
        Value::Number(held) => held.clone(),
        _ => return Err(invalid("the key holds something that is no number")),
    };
    let whole = held.as_i64().zip(by.as_i64());
    let whole = whole.and_then(|(held, by)| held.checked_add(by));
    let broken = || {
        let (held, by) = held.as_f64().zip(by.as_f64())?;
        Number::from_f64(held + by)
    };
    whole
        .map(Number::from)
        .or_else(broken)
        .ok_or_else(|| invalid("the sum is too large"))
}

fn changed(changed: bool) -> StoreAnswer {
    StoreAnswer {
        changed: Some(changed),
        ..StoreAnswer::default()
    }
}

fn checked(key: String) -> Result<String, Problem> {
    if key.is_empty() || KEY_BYTES_MAX < key.len() || key.contains('\0') {
        let detail = format!("a key has 1 to {KEY_BYTES_MAX} bytes and no null character");
        return Err(invalid(detail));
    }
    Ok(key)
}

fn written(value: &Value) -> Result<Arc<str>, Problem> {
    if !fits(value, VALUE_BYTES_MAX) {
        let detail = format!("a value is larger than {VALUE_BYTES_MAX} bytes of JSON");
        return Err(invalid(detail));
    }
    Ok(Arc::from(value.to_string()))
}

fn read(text: Option<&str>) -> Result<Value, Problem> {
    let Some(text) = text else {
        return Ok(Value::Null);
    };
    serde_json::from_str(text).map_err(Problem::failed)
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Validation, detail)
}
