//! Definitions: reading, writing, compiling, and what is wrong with bad ones.

mod good;
mod samples;
