//! Runtime expressions: jq with hard budgets, and the templates made of them.
//!
//! An [`Expression`] is compiled once with its definition and evaluated many
//! times. Evaluation is a pure function of the input, the [`Variables`] and
//! their `now`: it reads no clock, environment, file or other input. Paths such
//! as `.a.b[0]` or `$context.user` are answered without jq.

mod budget;
mod compile;
pub mod duration;
mod error;
mod filter;
pub mod fixed;
mod guard;
mod meter;
mod natives;
mod needs;
mod path;
mod syntax;
mod template;
mod value;
mod variables;

pub use budget::{Budget, Limit};
pub use compile::Expression;
pub use error::{CompileError, EvaluateError, EvaluateErrorKind};
pub(crate) use meter::operations_done;
pub use template::{Mode, Template};
pub use variables::Variables;
