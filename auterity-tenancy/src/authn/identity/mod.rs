mod account;
mod service;
mod sessions;
mod sign_in;
mod upkeep;

pub use account::{Me, SignedIn, Tenant, User};
pub use service::Identity;
