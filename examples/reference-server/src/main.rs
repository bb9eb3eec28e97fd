//! The Auterity product as one binary.

#[expect(dead_code, reason = "the server that mounts it is not written yet")]
mod assets;

fn main() {}
