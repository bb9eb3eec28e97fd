//! Who may do what.

mod policy;
mod principal;
mod role;

pub use policy::{Permission, check};
pub use principal::Principal;
pub use role::Role;
