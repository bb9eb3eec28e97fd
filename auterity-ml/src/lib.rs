#![doc = include_str!("../README.md")]

mod error;
pub mod mining;
mod num;
pub mod suggest;

pub use error::{Error, ErrorKind};
