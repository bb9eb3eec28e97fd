//! The test kit: for those who embed the engine, and for the engine itself.
//!
//! Three tools, from the nearest to the farthest:
//!
//! - A [`Workbench`] executes a definition, or one task of it, on a store in memory.
//!   Functions are replaced by [`Double`]s, time is skipped, and a [`History`] says
//!   what happened, with assertions whose failures can be read.
//! - [`durability`] repeats one execution with a crash after each commit, with each
//!   task done twice, and with each task failing.
//! - [`simulation`] lets a pool of workers execute generated definitions while
//!   processes crash, freeze and lose messages, and checks that nothing is lost. A
//!   seed repeats it.
//!
//! [`store_suite`] is the meaning of the store port, for stores of your own.
//!
//! ```
//! use auterity_core::interpreter::{Problem, ProblemKind};
//! use auterity_core::testing::{Double, Reply, Workbench};
//! use serde_json::json;
//!
//! let refused = Problem::new(ProblemKind::Communication, "the bank does not answer");
//! let charge = Double::giving(json!({ "paid": true })).once(Reply::problem(refused));
//!
//! Workbench::new().with_double("charge", &charge).open(async |bench| {
//!     let definition = "
//! document: { dsl: '1.0.3', namespace: shop, name: invoice, version: '1.0.0' }
//! do:
//! - patience: { wait: { days: 30 } }
//! - pay:
//!     try: [ { charge: { call: charge, with: { amount: '${ $workflow.input.amount }' } } } ]
//!     catch: { retry: { delay: { hours: 1 }, limit: { attempt: { count: 3 } } } }
//! ";
//!     let history = bench.execute(definition, json!({ "amount": 7 })).await;
//!     history.assert_completed().assert_output(&json!({ "paid": true }));
//!     history.task("charge").assert_completed(1).assert_faulted(1);
//!     assert_eq!(charge.calls()[0].arguments, json!({ "amount": 7 }));
//! });
//! ```

mod bench;
mod double;
pub mod durability;
pub(crate) mod faults;
mod fragment;
mod history;
mod random;
mod signal;
pub mod simulation;
mod stage;
pub mod store_suite;
mod weather;

pub use bench::{Bench, Workbench};
pub use double::{Double, RecordedCall, Reply};
pub use history::{History, TaskHistory};
pub use weather::Faults;
