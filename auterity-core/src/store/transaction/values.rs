//! A tenant's values by key, read and written inside a transaction.

use std::sync::Arc;

use jiff::Timestamp;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

use super::Transaction;
use crate::{Error, ErrorKind, TenantId};

/// Keys that one tenant may have.
pub(crate) const KEYS_MAX: u32 = 10_000;

/// What became of a value that was to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// The key holds it now.
    Done,
    /// The key holds this instead, or nothing; nothing was changed.
    Different(Option<Arc<str>>),
    /// The tenant has as many keys as it may have.
    Full,
}

impl Transaction {
    /// Reads a value and keeps others from changing it until the end.
    pub(crate) async fn value_get(
        &self,
        tenant: TenantId,
        key: &str,
    ) -> Result<Option<Arc<str>>, Error> {
        if let Some(memory) = self.memory_session() {
            return Ok(memory.value(tenant, key));
        }
        // SQLite has one writer, so it needs no lock.
        let lock = match self.get_database_backend() {
            DbBackend::Postgres => " FOR UPDATE",
            _ => "",
        };
        let text = format!(
            "SELECT value FROM {}stored_value WHERE tenant = $1 AND key = $2{lock}",
            self.prefix()
        );
        let row = self.query_one_raw(self.statement(text, vec![of(tenant), key.into()]));
        let row = row.await.map_err(failed)?;
        row.map(|row| row.try_get::<String>("", "value").map(Arc::from))
            .transpose()
            .map_err(failed)
    }

    /// Writes a value, in place of any.
    pub(crate) async fn value_put(
        &self,
        tenant: TenantId,
        (key, value): (&str, &Arc<str>),
        at: Timestamp,
    ) -> Result<Written, Error> {
        if self.value_get(tenant, key).await?.is_none() {
            let added = self.value_add(tenant, (key, value), at).await?;
            if !matches!(added, Written::Different(_)) {
                return Ok(added);
            }
        }
        if let Some(memory) = self.memory_session() {
            memory.set(tenant, key, Some(Arc::clone(value)));
            return Ok(Written::Done);
        }
        let text = format!(
            "UPDATE {}stored_value SET value = $3, updated_at = $4
             WHERE tenant = $1 AND key = $2",
            self.prefix()
        );
        self.change(text, row(tenant, key, value, at)).await?;
        Ok(Written::Done)
    }

    /// Writes a value under a key that holds nothing. A key that is not there cannot be
    /// locked: whoever comes second waits for the first and changes nothing.
    pub(crate) async fn value_add(
        &self,
        tenant: TenantId,
        (key, value): (&str, &Arc<str>),
        at: Timestamp,
    ) -> Result<Written, Error> {
        if let Some(memory) = self.memory_session() {
            return Ok(match memory.value(tenant, key) {
                Some(held) => Written::Different(Some(held)),
                None if KEYS_MAX as usize <= memory.values(tenant).len() => Written::Full,
                None => {
                    memory.set(tenant, key, Some(Arc::clone(value)));
                    Written::Done
                }
            });
        }
        let text = format!(
            "INSERT INTO {0}stored_value (tenant, key, value, updated_at)
             SELECT r.* FROM (VALUES ({1})) AS r
             WHERE (SELECT count(*) FROM (
                SELECT 1 FROM {0}stored_value WHERE tenant = $1 LIMIT {KEYS_MAX}
             ) AS others) < {KEYS_MAX}
             ON CONFLICT (tenant, key) DO NOTHING",
            self.prefix(),
            match self.get_database_backend() {
                DbBackend::Postgres =>
                    "CAST($1 AS uuid), CAST($2 AS text), CAST($3 AS text), CAST($4 AS bigint)",
                _ => "$1, $2, $3, $4",
            }
        );
        if 0 < self.change(text, row(tenant, key, value, at)).await? {
            return Ok(Written::Done);
        }
        Ok(match self.value_get(tenant, key).await? {
            Some(held) => Written::Different(Some(held)),
            None => Written::Full,
        })
    }

    /// Removes a value; tells whether there was one.
    pub(crate) async fn value_delete(&self, tenant: TenantId, key: &str) -> Result<bool, Error> {
        if let Some(memory) = self.memory_session() {
            let there = memory.value(tenant, key).is_some();
            memory.set(tenant, key, None);
            return Ok(there);
        }
        let text = format!(
            "DELETE FROM {}stored_value WHERE tenant = $1 AND key = $2",
            self.prefix()
        );
        let removed = self.change(text, vec![of(tenant), key.into()]).await?;
        Ok(0 < removed)
    }

    /// Writes a value if `same` accepts what the key holds.
    pub(crate) async fn value_swap(
        &self,
        tenant: TenantId,
        (key, value): (&str, &Arc<str>),
        at: Timestamp,
        same: impl Fn(Option<&str>) -> bool + Send,
    ) -> Result<Written, Error> {
        let held = self.value_get(tenant, key).await?;
        if !same(held.as_deref()) {
            return Ok(Written::Different(held));
        }
        match held {
            Some(_) => self.value_put(tenant, (key, value), at).await,
            None => self.value_add(tenant, (key, value), at).await,
        }
    }

    /// Lists keys that begin with a prefix, in order, after a key.
    pub(crate) async fn value_list(
        &self,
        tenant: TenantId,
        (prefix, after): (&str, &str),
        limit: u32,
    ) -> Result<Vec<(String, Arc<str>)>, Error> {
        if let Some(memory) = self.memory_session() {
            let found = memory.values(tenant).into_iter();
            let found = found.filter(|(key, _)| key.starts_with(prefix) && after < key.as_str());
            return Ok(found.take(limit as usize).collect());
        }
        let mut values = vec![of(tenant), prefix.into(), after.into()];
        // The least text that is greater than all with the prefix bounds the walk.
        let below = match prefix_end(prefix) {
            Some(end) => {
                values.push(end.into());
                " AND key < $4"
            }
            None => "",
        };
        values.push(i64::from(limit).into());
        let text = format!(
            "SELECT key, value FROM {}stored_value
             WHERE tenant = $1 AND key >= $2 AND key > $3{below} ORDER BY key LIMIT ${}",
            self.prefix(),
            values.len()
        );
        let rows = self.query_all_raw(self.statement(text, values));
        let rows = rows.await.map_err(failed)?;
        let pair = |row: sea_orm::QueryResult| {
            let value: String = row.try_get("", "value")?;
            Ok((row.try_get("", "key")?, Arc::from(value)))
        };
        let pairs: Result<_, DbErr> = rows.into_iter().map(pair).collect();
        pairs.map_err(failed)
    }

    async fn change(&self, text: String, values: Vec<Value>) -> Result<u64, Error> {
        let changed = self.execute_raw(self.statement(text, values)).await;
        Ok(changed.map_err(failed)?.rows_affected())
    }

    fn statement(&self, text: String, values: Vec<Value>) -> Statement {
        Statement::from_sql_and_values(self.get_database_backend(), text, values)
    }
}

fn of(tenant: TenantId) -> Value {
    tenant.as_uuid().into()
}

fn row(tenant: TenantId, key: &str, value: &Arc<str>, at: Timestamp) -> Vec<Value> {
    let value: &str = value;
    vec![
        of(tenant),
        key.into(),
        value.into(),
        at.as_microsecond().into(),
    ]
}

/// Gives the least text, by bytes, that is greater than every text with the prefix.
fn prefix_end(prefix: &str) -> Option<String> {
    let mut letters: Vec<char> = prefix.chars().collect();
    while let Some(last) = letters.pop() {
        let next = match last {
            // The gap that no character has.
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}

fn failed(error: DbErr) -> Error {
    let message = "the tenant's values could not be reached";
    Error::new(ErrorKind::Unavailable, message).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::prefix_end;

    #[test]
    fn end_of_a_prefix_is_just_above_it() {
        assert_eq!(prefix_end("orders/").as_deref(), Some("orders0"));
        assert_eq!(prefix_end("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(prefix_end("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(prefix_end(""), None);
    }
}
