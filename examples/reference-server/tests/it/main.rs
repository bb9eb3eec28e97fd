//! The product from end to end: the real binary, over HTTP and on the command line.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "helpers of tests: they fail by panic, tell what they skip and measure time"
)]

mod cluster;
mod commands;
mod crash;
mod database;
mod journey;
mod secrets;
mod server;
mod shared;
mod stop;
