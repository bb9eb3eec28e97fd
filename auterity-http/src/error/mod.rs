//! Every failure as `application/problem+json` (RFC 9457), and the one table that
//! maps kinds of failure to HTTP.

mod answer;
mod code;
mod problem;

pub(crate) use code::Code;
pub(crate) use problem::{Pointed, Problem};
