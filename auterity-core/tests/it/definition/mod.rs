//! Definitions: reading, writing, compiling, and what is wrong with bad ones.

mod broken;
mod generate;
mod good;
mod limits;
mod mutate;
mod places;
mod round_trip;
mod samples;
