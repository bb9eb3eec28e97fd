//! Integration tests of the crate.
#![expect(
    clippy::disallowed_methods,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::print_stderr,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "tests fail by panic, say what they skip, read where the logs are, make texts, and hold long tables"
)]

mod analysis;
mod bottleneck;
mod discovery;
mod hostile;
mod logs;
mod read;
mod round_trip;
mod suggest;
mod summary;
