//! The HTTP layer: resources, conventions, limits and safety.
//!
//! [`mount`] turns [`Services`] into one endpoint with every resource of the API;
//! [`Server`] serves it on a socket. No poem `Server` is involved: the accept loop
//! sets the limits of connections itself.

mod api;
mod detach;
mod edge;
mod error;
mod etag;
mod events;
mod idempotency;
mod metrics;
mod page;
mod payload;
mod peer;
mod scope;
mod security;
mod serve;
mod services;

pub use api::{mount, mount_admin, openapi};
pub use metrics::{Exposition, Kind, Metrics, engine, process};
pub use peer::Network;
pub use serve::{ServeOptions, Server};
pub use services::{Options, Services};
