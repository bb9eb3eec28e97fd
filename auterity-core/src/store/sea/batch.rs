//! A journal batch: written whole, and taken apart only when something is wrong.

use super::{Hot, SeaStore};
use crate::store::{Entry, Fence, Outcome};
use crate::{Error, ErrorKind, ExecutionId, TenantId};

/// Why a batch was not written.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Some entry is wrong; which one is not known.
    Entry(String),
    /// A row of some entry is there already.
    Duplicate,
    /// Nothing is wrong with the entries.
    Other(Error),
}

/// Writes the entries in one transaction. If one of them is wrong, halves are tried
/// until it is alone, so that a bad entry never harms its neighbours.
pub(super) async fn append(
    store: &SeaStore,
    fence: Option<&Fence>,
    entries: &[Entry],
) -> Result<Vec<Outcome>, Error> {
    let mut outcomes = Vec::with_capacity(entries.len());
    let mut parts = vec![entries];
    while let Some(part) = parts.pop() {
        let refusal = match write(store, fence, part).await {
            Ok(()) => {
                outcomes.extend(std::iter::repeat_n(Outcome::Recorded, part.len()));
                continue;
            }
            Err(refusal) => refusal,
        };
        if let Refusal::Other(error) = refusal {
            return Err(error);
        }
        if let [entry] = part {
            outcomes.push(explain(store, entry, refusal).await?);
            continue;
        }
        let (first, second) = part.split_at(part.len() / 2);
        parts.push(second);
        parts.push(first);
    }
    Ok(outcomes)
}

async fn write(store: &SeaStore, fence: Option<&Fence>, part: &[Entry]) -> Result<(), Refusal> {
    if part.is_empty() {
        return Ok(());
    }
    match &*store.hot {
        Hot::Sqlite(hot) => hot.append(fence, part).await,
        Hot::Postgres(hot) => hot.append(fence, part).await,
    }
}

/// Says what is wrong with a single entry.
async fn explain(store: &SeaStore, entry: &Entry, refusal: Refusal) -> Result<Outcome, Error> {
    match refusal {
        Refusal::Entry(reason) => Ok(Outcome::Refused(reason)),
        Refusal::Other(error) => Err(error),
        Refusal::Duplicate => {
            let key = entry
                .start
                .as_ref()
                .and_then(|start| start.idempotency_key.as_deref());
            let first = match key {
                Some(key) => first_with_key(store, entry.tenant, key).await?,
                None => None,
            };
            Ok(match first {
                Some(first) if first != entry.execution => Outcome::Exists(first),
                _ => Outcome::AlreadyRecorded,
            })
        }
    }
}

async fn first_with_key(
    store: &SeaStore,
    tenant: TenantId,
    key: &str,
) -> Result<Option<ExecutionId>, Error> {
    let text = "SELECT id FROM execution WHERE tenant = $1 AND idempotency_key = $2";
    let row = store
        .one(text, vec![tenant.as_uuid().into(), key.into()])
        .await?;
    row.map(|row| super::rows::execution(&row, "id"))
        .transpose()
}

/// The error of a worker that lost its lease.
pub(super) fn fenced() -> Error {
    Error::new(ErrorKind::Fenced, "the worker has lost its lease")
}

/// Sorts a database error by what it says about the batch.
pub(super) fn refusal(error: sqlx::Error) -> Refusal {
    let Some(database) = error.as_database_error() else {
        let kind = match &error {
            sqlx::Error::Encode(_) => return Refusal::Entry(error.to_string()),
            _ => ErrorKind::Unavailable,
        };
        let message = "the database did not answer";
        return Refusal::Other(Error::new(kind, message).with_source(error));
    };
    let code = database.code().unwrap_or_default().into_owned();
    match code.as_str() {
        "AU001" => Refusal::Other(fenced()),
        "AU002" => Refusal::Duplicate,
        _ if database.is_unique_violation() => Refusal::Duplicate,
        // Data exceptions, constraint violations and programs' limits of PostgreSQL;
        // "too big" of SQLite. Everything else may pass.
        _ if code.starts_with("22") || code.starts_with("23") || code.starts_with("54") => {
            Refusal::Entry(database.message().to_owned())
        }
        "18" => Refusal::Entry(database.message().to_owned()),
        _ => {
            let message = "the database could not write";
            Refusal::Other(Error::new(ErrorKind::Unavailable, message).with_source(error))
        }
    }
}
