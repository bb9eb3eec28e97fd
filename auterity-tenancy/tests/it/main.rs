//! Identity as a host uses it, on SQLite and on PostgreSQL.

mod accounts;
mod keys;
mod policy;
mod sessions;
mod tokens;
mod world;
