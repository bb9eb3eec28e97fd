//! A journal batch: written whole, and taken apart only when something is wrong.

use sqlx::postgres::PgDatabaseError;

use super::{Hot, SeaStore};
use crate::store::{Entry, Fence, Outcome, check};
use crate::{Error, ErrorKind, ExecutionId, TenantId};

/// Bytes that one transaction takes at most; a single larger entry goes alone.
const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How often a batch is written again after the database chose it to resolve a
/// deadlock, before the caller has to decide.
const ROUNDS_MAX: u32 = 5;

/// Why a batch was not written.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Some entry is wrong; which one is not known.
    Entry(String),
    /// A row of some entry is there already.
    Duplicate,
    /// The database gave way to another transaction.
    Again(Error),
    /// Nothing is wrong with the entries.
    Other(Error),
}

impl Refusal {
    /// The error for callers that wrote no entries.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Again(error) | Self::Other(error) => error,
            Self::Entry(reason) => Error::new(
                ErrorKind::Invalid,
                format!("the database cannot take this: {reason}"),
            ),
            Self::Duplicate => Error::new(ErrorKind::Conflict, "a row is there already"),
        }
    }
}

/// Writes the entries in one transaction. If one of them is wrong, halves are tried
/// until it is alone, so that a bad entry never harms its neighbours.
pub(super) async fn append(
    store: &SeaStore,
    fence: Option<&Fence>,
    entries: &[Entry],
) -> Result<Vec<Outcome>, Error> {
    let reasons = check::batch(fence.is_some(), entries);
    let mut outcomes: Vec<Option<Outcome>> = reasons
        .into_iter()
        .map(|reason| reason.map(Outcome::Refused))
        .collect();
    let taken = entries.iter().enumerate();
    let taken: Vec<(usize, &Entry)> = taken
        .filter(|(place, _)| outcomes[*place].is_none())
        .collect();
    let mut parts = by_size(&taken);
    while let Some(part) = parts.pop() {
        let batch: Vec<&Entry> = part.iter().map(|(_, entry)| *entry).collect();
        match write(store, fence, &batch).await {
            Ok(skipped) => {
                for (place, entry) in part {
                    outcomes[*place] = Some(if skipped.contains(&entry.execution) {
                        explain(store, entry).await?
                    } else {
                        Outcome::Recorded
                    });
                }
            }
            Err(Refusal::Entry(reason)) => match part {
                [(place, _)] => outcomes[*place] = Some(Outcome::Refused(reason)),
                [] => return Err(Error::new(ErrorKind::Internal, reason)),
                _ => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.push(second);
                    parts.push(first);
                }
            },
            Err(refusal) => return Err(refusal.into_error()),
        }
    }
    // Every place has an outcome by now: each was refused or in exactly one part.
    Ok(outcomes.into_iter().flatten().collect())
}

/// Cuts a batch into parts of bounded size, the first one last.
fn by_size<'p, 'e>(taken: &'p [(usize, &'e Entry)]) -> Vec<&'p [(usize, &'e Entry)]> {
    let mut parts = Vec::new();
    let mut rest = taken;
    loop {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|(_, entry)| {
            bytes += check::entry_bytes(entry);
            bytes <= BATCH_BYTES_MAX
        });
        let count = fits.count().max(1).min(rest.len());
        let (part, later) = rest.split_at(count);
        // An empty batch is written too: its fence is checked.
        parts.push(part);
        rest = later;
        if rest.is_empty() {
            parts.reverse();
            return parts;
        }
    }
}

/// Writes a part and gives the executions whose entries were left out.
async fn write(
    store: &SeaStore,
    fence: Option<&Fence>,
    part: &[&Entry],
) -> Result<Vec<ExecutionId>, Refusal> {
    let mut careful = false;
    let mut round = 0;
    loop {
        let written = match &*store.hot {
            Hot::Sqlite(hot) => hot.append(careful, fence, part).await,
            Hot::Postgres(hot) => hot.append(careful, fence, part).await,
        };
        match written {
            Err(Refusal::Duplicate) if !careful => careful = true,
            Err(Refusal::Duplicate) => {
                return Err(Refusal::Entry("a row is there already".to_owned()));
            }
            Err(Refusal::Again(_)) if round < ROUNDS_MAX => round += 1,
            other => return other,
        }
    }
}

/// Says why an entry was left out.
async fn explain(store: &SeaStore, entry: &Entry) -> Result<Outcome, Error> {
    let key = entry
        .start
        .as_ref()
        .and_then(|start| start.idempotency_key.as_deref());
    let Some(key) = key else {
        return Ok(Outcome::AlreadyRecorded);
    };
    let first = first_with_key(store, entry.tenant, key).await?;
    Ok(match first {
        Some(first) if first != entry.execution => Outcome::Exists(first),
        _ => Outcome::AlreadyRecorded,
    })
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
        return match &error {
            sqlx::Error::Encode(_) => Refusal::Entry(error.to_string()),
            _ => Refusal::Other(unavailable(error)),
        };
    };
    let code = database.code().unwrap_or_default().into_owned();
    let reason = database.message().to_owned();
    if database.is_unique_violation() {
        return Refusal::Duplicate;
    }
    match database.try_downcast_ref::<PgDatabaseError>() {
        Some(_) => postgres_refusal(error, &code, reason),
        None => sqlite_refusal(error, &code, reason),
    }
}

fn postgres_refusal(error: sqlx::Error, code: &str, reason: String) -> Refusal {
    match code {
        "AU001" => return Refusal::Other(fenced()),
        "AU002" => return Refusal::Duplicate,
        // Serialization failure, deadlock, a lock waited for too long.
        "40001" | "40P01" | "55P03" => return Refusal::Again(unavailable(error)),
        _ => {}
    }
    match code.get(..2).unwrap_or_default() {
        // Connection, state, resources, intervention, system: it may pass.
        "08" | "25" | "53" | "55" | "57" | "58" => Refusal::Other(unavailable(error)),
        // Syntax or a missing table.
        "42" | "3F" => Refusal::Other(wrong_schema(error)),
        // Data, constraints, limits, an operator's trigger: some entry.
        _ => Refusal::Entry(reason),
    }
}

fn sqlite_refusal(error: sqlx::Error, code: &str, reason: String) -> Refusal {
    // The lowest byte is the class of the extended code.
    match code.parse::<u32>().unwrap_or_default() & 0xff {
        // A syntax error or a missing table.
        1 => Refusal::Other(wrong_schema(error)),
        // The guard of the batch, see `sqlite`.
        19 if reason.contains("guard") => Refusal::Duplicate,
        // Too big, a constraint, a type.
        18..=20 => Refusal::Entry(reason),
        _ => Refusal::Other(unavailable(error)),
    }
}

pub(super) fn unavailable(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the database did not answer").with_source(error)
}

fn wrong_schema(error: sqlx::Error) -> Error {
    let message = "the database's schema is not what it should be; migrate it";
    Error::new(ErrorKind::Internal, message).with_source(error)
}
