//! Functions of a host: the registry, typed functions, what the engine does with them.

mod heartbeat;
mod killed;
mod place;
mod transactional;
mod typed;

use std::sync::Arc;

use auterity_core::engine::Ports;
use auterity_core::functions::Functions;
use auterity_core::store::MemoryStore;

use crate::engine::{Fixture, options};

/// An engine in memory with these functions.
async fn engine_with(functions: Functions) -> Fixture {
    let ports = Ports {
        functions,
        ..Ports::new(Arc::new(MemoryStore::new()))
    };
    Fixture::with(ports, options()).await
}
