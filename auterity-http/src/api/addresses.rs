//! Which addresses there are: for the `Allow` header of a refusal, the labels of metrics,
//! and the names that a query may have.

use poem::http::{HeaderValue, Method};
use serde_json::Value;

use crate::error::Problem;

/// Addresses outside of the OpenAPI document; all are read only.
const PLAIN: [&str; 6] = [
    "/api/v1/openapi.json",
    "/api/docs",
    "/.well-known/jwks.json",
    "/livez",
    "/readyz",
    "/startupz",
];

/// Operations that take any parameter which begins so; the document cannot say that.
const ANY_THAT_BEGINS: [(&str, &str); 1] = [("execution_list", "attribute.")];

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
    calls: Vec<Call>,
}

/// What one operation takes in its query.
#[derive(Debug)]
struct Call {
    method: String,
    names: Vec<String>,
    beginning: Option<&'static str>,
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
            let calls = operations.as_object().into_iter().flatten();
            if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
                all.push(Address {
                    template: format!("{}{path}", super::PREFIX),
                    methods,
                    calls: calls.map(|(method, call)| Call::of(method, call)).collect(),
                });
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
            calls: Vec::new(),
        }
    }

    /// Refuses a parameter that the call does not take: one that is spelt wrongly would
    /// else be left out, and the answer be about more than was asked.
    pub(crate) fn check_query(
        &self,
        method: &Method,
        asked: &[(String, String)],
    ) -> Result<(), Problem> {
        let Some(call) = self
            .calls
            .iter()
            .find(|call| call.method == method.as_str())
        else {
            return Ok(());
        };
        let unknown = asked.iter().find(|(name, _)| !call.takes(name));
        let Some((name, _)) = unknown else {
            return Ok(());
        };
        let detail = match call.names.as_slice() {
            [] => "is unknown; this call takes no parameters in its query".to_owned(),
            names => format!("is unknown; this call takes {}", names.join(", ")),
        };
        Err(Problem::parameter(name, &detail))
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

impl Call {
    fn of(method: &str, operation: &Value) -> Self {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let in_query = parameters.filter(|parameter| parameter["in"] == "query");
        let names = in_query.filter_map(|parameter| parameter["name"].as_str());
        let id = &operation["operationId"];
        let open = ANY_THAT_BEGINS.iter().find(|(name, _)| id == name);
        Self {
            method: method.to_uppercase(),
            names: names.map(str::to_owned).collect(),
            beginning: open.map(|(_, beginning)| *beginning),
        }
    }

    fn takes(&self, name: &str) -> bool {
        let any = self
            .beginning
            .is_some_and(|beginning| name.starts_with(beginning));
        any || self.names.iter().any(|known| known == name)
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
