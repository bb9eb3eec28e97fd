//! One file per table.
#![expect(
    unreachable_pub,
    reason = "the derives make public types, which stay inside the crate"
)]

pub(crate) mod membership;
pub(crate) mod refresh_token;
pub(crate) mod session;
pub(crate) mod tenant;
pub(crate) mod user;
pub(crate) mod vault;
