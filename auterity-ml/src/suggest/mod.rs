//! What comes next in a case, and how long it will still take.
//!
//! Both are looked up in what happened before: the next activity by the last activities,
//! backing off to fewer where those were never seen, and the remaining time as quantiles
//! by the last activities and the time since the case began. On public logs that is close
//! to what neural networks reach, and every answer can say what it rests on.

mod evaluate;
mod history;
mod next;
mod predictor;
mod remaining;

pub use self::evaluate::{Evaluation, NextAccuracy, RemainingError, evaluate};
pub use self::predictor::{NextActivity, Predictor, RemainingTime};
