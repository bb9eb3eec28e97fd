//! Who somebody is: passwords, access tokens, login sessions.

mod identity;
mod input;
mod key_document;
mod key_file;
mod key_ring;
mod keys;
mod options;
mod password;
mod session;
mod throttle;
mod token;

pub use identity::{Identity, Me, Member, SignedIn, Tenant, User};
pub use input::{SignIn, SignUp};
pub use key_ring::KeyRing;
pub use keys::{Jwk, Jwks};
pub use options::{HashingOptions, IdentityOptions, ThrottleOptions};
pub use session::Tokens;
