#![doc = include_str!("../README.md")]

mod error;
pub mod mining;
mod num;

pub use error::{Error, ErrorKind};
