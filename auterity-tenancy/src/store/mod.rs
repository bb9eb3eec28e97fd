//! Users, tenants and login sessions as rows. Nothing here opens a connection:
//! each function works inside its caller's transaction.

pub(crate) mod entity;
pub(crate) mod migration;
pub(crate) mod sessions;
pub(crate) mod users;
pub(crate) mod vault;

use jiff::Timestamp;

use crate::error::Error;

/// Gives a time as the databases hold it: microseconds since 1970, in UTC.
pub(crate) fn to_micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

pub(crate) fn from_micros(value: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(value)
        .map_err(|source| Error::internal("a stored time is out of range").with_source(source))
}
