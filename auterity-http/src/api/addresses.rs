//! Which addresses there are: for the `Allow` header of a refusal and the labels of
//! metrics.

use poem::http::HeaderValue;
use serde_json::Value;

/// Addresses outside of the OpenAPI document; all are read only.
const PLAIN: [&str; 6] = [
    "/api/v1/openapi.json",
    "/api/docs",
    "/.well-known/jwks.json",
    "/livez",
    "/readyz",
    "/startupz",
];

/// The addresses of an endpoint.
#[derive(Debug)]
pub(crate) struct Addresses {
    all: Vec<Address>,
}

/// One address, or all that differ in their parameters only.
#[derive(Debug)]
pub(crate) struct Address {
    /// As the OpenAPI document writes it: `/api/v1/executions/{id}`.
    pub(crate) template: String,
    /// What `Allow` says of it.
    pub(crate) methods: HeaderValue,
}

impl Addresses {
    /// Reads the addresses from the OpenAPI document.
    pub(super) fn of(document: &Value) -> Self {
        let mut all: Vec<Address> = PLAIN.into_iter().map(Address::read_only).collect();
        let paths = document["paths"].as_object();
        for (path, operations) in paths.into_iter().flatten() {
            let known = operations.as_object();
            let mut methods: Vec<String> = known
                .into_iter()
                .flatten()
                .map(|(method, _)| method.to_uppercase())
                .collect();
            methods.sort();
            if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
                let template = format!("{}{path}", super::PREFIX);
                all.push(Address { template, methods });
            }
        }
        Self { all }
    }

    /// Takes addresses that can only be read.
    pub(super) fn read_only(paths: &[&str]) -> Self {
        Self {
            all: paths.iter().map(|path| Address::read_only(path)).collect(),
        }
    }

    /// Finds the address that a path belongs to; one without parameters comes first.
    pub(crate) fn find(&self, path: &str) -> Option<&Address> {
        self.all
            .iter()
            .filter(|address| address.fits(path))
            .min_by_key(|address| address.template.matches('{').count())
    }
}

impl Address {
    fn read_only(path: &str) -> Self {
        Self {
            template: path.to_owned(),
            methods: HeaderValue::from_static("GET"),
        }
    }

    fn fits(&self, path: &str) -> bool {
        let mut asked = path.split('/');
        let fit = self.template.split('/').all(|wanted| {
            asked
                .next()
                .is_some_and(|given| wanted.starts_with('{') || wanted == given)
        });
        fit && asked.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn address_without_parameters_comes_first() {
        let document = json!({"paths": {
            "/workflows/{namespace}": {"get": {}},
            "/workflows/validate": {"post": {}},
        }});
        let addresses = Addresses::of(&document);
        let found = |path: &str| {
            let found = addresses.find(path);
            found.map(|address| (address.template.as_str(), address.methods.to_str().unwrap()))
        };
        let validate = Some(("/api/v1/workflows/validate", "POST"));
        assert_eq!(found("/api/v1/workflows/validate"), validate);
        let any = Some(("/api/v1/workflows/{namespace}", "GET"));
        assert_eq!(found("/api/v1/workflows/shop"), any);
        assert_eq!(found("/livez"), Some(("/livez", "GET")));
        for unknown in ["/api/v1/workflows", "/api/v1/workflows/a/b", "/", ""] {
            assert_eq!(found(unknown), None, "{unknown}");
        }
    }
}
