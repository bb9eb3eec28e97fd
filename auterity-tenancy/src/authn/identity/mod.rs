mod account;
mod members;
mod service;
mod sessions;
mod sign_in;
mod upkeep;

pub use account::{Me, SignedIn, Tenant, User};
pub use members::Member;
pub use service::Identity;
