//! The product from end to end: the real binary, over HTTP and on the command line.

mod commands;
mod crash;
mod journey;
mod server;
