//! The HTTP layer: resources, conventions, limits and safety.
//!
//! [`mount`] turns [`Services`] into one endpoint with every resource of the API;
//! [`serve`] serves it on a listener. No poem `Server` is involved: the accept loop
//! sets the limits of connections itself.

mod api;
mod detach;
mod edge;
mod error;
mod events;
mod page;
mod payload;
mod scope;
mod security;
mod serve;
mod services;

pub use api::{mount, openapi_document};
pub use serve::{ServeOptions, serve};
pub use services::{Drain, Options, Services};
