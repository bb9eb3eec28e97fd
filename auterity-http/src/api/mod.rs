//! The resources, one file each.

mod addresses;
mod admin;
mod auth;
mod events;
mod executions;
mod functions;
mod health;
mod openapi;
mod parameters;
mod schedules;
mod settings;
mod stream;
mod tasks;
mod workflows;

use poem::endpoint::BoxEndpoint;
use poem::{Endpoint, EndpointExt as _, Response, Route};
use poem_openapi::{OpenApiService, Tags};

use crate::edge::Edge;
use crate::services::{Context, Services};

pub(crate) use addresses::{Address, Addresses};
pub use admin::mount_admin;
pub use openapi::text as openapi;

/// Where the API lives.
const PREFIX: &str = "/api/v1";

/// How the OpenAPI document groups operations.
#[derive(Debug, Clone, Copy, Tags)]
enum Tag {
    /// Sign-up, sign-in and sessions.
    Auth,
    /// Definitions and their versions.
    Workflows,
    /// Executions, their history and live events.
    Executions,
    /// What starts workflows by itself, and when.
    Schedules,
    /// What waits for people, and their answers.
    Tasks,
    /// `CloudEvents` from outside.
    Events,
    /// Live changes of the tenant.
    Stream,
}

type Resources = (
    auth::Api,
    workflows::Api,
    functions::Api,
    settings::Api,
    executions::Api,
    schedules::Api,
    tasks::Api,
    events::Api,
    stream::Api,
);

fn resources() -> OpenApiService<Resources, ()> {
    let all = (
        auth::Api,
        workflows::Api,
        functions::Api,
        settings::Api,
        executions::API,
        schedules::API,
        tasks::API,
        events::Api,
        stream::Api,
    );
    OpenApiService::new(all, "Auterity", env!("CARGO_PKG_VERSION"))
        .description("Workflow automation: definitions, durable executions and their events.")
        .server(PREFIX)
}

/// Makes the endpoint that answers everything: the API, its documentation, probes
/// and keys; what is at none of these addresses goes to the host's own endpoint.
#[must_use]
pub fn mount(services: Services, other: impl Endpoint + 'static) -> BoxEndpoint<'static, Response> {
    let context = Context::new(services);
    let other: BoxEndpoint<'static> = other.map_to_response().boxed();
    let document = openapi::document();
    let addresses = Addresses::of(&document);
    let routes = Route::new()
        .nest(PREFIX, resources())
        .at("/api/v1/openapi.json", openapi::Document::new(&document))
        .at("/api/docs", openapi::Page)
        .at("/.well-known/jwks.json", poem::get(auth::jwks))
        .at("/livez", poem::get(health::live))
        .at("/readyz", poem::get(health::ready))
        .at("/startupz", poem::get(health::started))
        .at("/*rest", other);
    Edge::new(context, addresses, routes).boxed()
}
