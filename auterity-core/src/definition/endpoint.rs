//! Where something outside is found.

use serde_json::Value;

use super::auth::ReferenceableAuthentication;
use super::parse::{Node, NodeValue};
use super::record::{Closed, Part, Reader, record};
use super::text::UriOrExpression;

/// An address: a URI alone, or with authentication.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Endpoint {
    Uri(UriOrExpression),
    Configured(EndpointConfiguration),
}

record! {
    /// A URI with how to authenticate there.
    EndpointConfiguration: Closed, "an endpoint" {
        required uri: UriOrExpression = "uri",
        optional authentication: ReferenceableAuthentication = "authentication",
    }
}

record! {
    /// Something to be fetched.
    ExternalResource: Closed, "a resource" {
        optional name: String = "name",
        required endpoint: Endpoint = "endpoint",
    }
}

record! {
    /// A catalog of functions.
    Catalog: Closed, "a catalog" {
        required endpoint: Endpoint = "endpoint",
    }
}

impl Part for Endpoint {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            NodeValue::Object(_) => EndpointConfiguration::read(node, reader).map(Self::Configured),
            NodeValue::Text(_) => UriOrExpression::read(node, reader).map(Self::Uri),
            _ => {
                reader.wrong_type("an endpoint (URI, expression or object)", node);
                None
            }
        }
    }

    fn write(&self) -> Value {
        match self {
            Self::Uri(uri) => uri.write(),
            Self::Configured(configuration) => configuration.write(),
        }
    }
}
