#![doc = include_str!("../README.md")]

mod authn;
mod authz;
mod connection;
mod error;
mod random;
mod secret;
mod store;
mod vault;

pub use authn::{
    HashingOptions, Identity, IdentityOptions, Jwk, Jwks, KeyRing, Me, Member, SignIn, SignUp,
    SignedIn, Tenant, ThrottleOptions, Tokens, User,
};
pub use authz::{Permission, Principal, Role, check};
pub use connection::{ControlDb, ControlOptions};
pub use error::{Error, ErrorKind, FieldError};
pub use secret::Secret;
pub use store::migration::{migrate, schema_status};
pub use vault::Vault;
