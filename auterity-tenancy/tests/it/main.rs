//! Identity as a host uses it, on SQLite and on PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "helpers of tests fail by panic, say what they skip and reach behind the service"
)]

mod accounts;
mod keys;
mod policy;
mod sessions;
mod tokens;
mod vault;
mod world;
