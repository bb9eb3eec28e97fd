//! Definitions and their versions.

mod calls;
mod documents;

pub(super) use calls::Api;
