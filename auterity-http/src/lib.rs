//! The HTTP layer: resources, conventions, limits and safety.
//!
//! [`mount`] turns [`Services`] into one endpoint with every resource of the API;
//! [`Server`] serves it on a socket. No poem `Server` is involved: the accept loop
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

pub use api::{mount, openapi};
pub use serve::{ServeOptions, Server};
pub use services::{Options, Services};
