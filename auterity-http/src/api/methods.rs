//! Which methods an address knows, for the `Allow` header of a refusal.

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

/// The methods of each address.
#[derive(Debug)]
pub(crate) struct Methods {
    /// The segments of a path, a parameter being `None`, and the methods.
    rows: Vec<(Vec<Option<String>>, HeaderValue)>,
}

impl Methods {
    /// Reads the addresses from the OpenAPI document.
    pub(super) fn of(document: &Value) -> Self {
        let mut rows = Vec::new();
        for path in PLAIN {
            rows.push((pattern(path), HeaderValue::from_static("GET")));
        }
        let paths = document["paths"].as_object();
        for (path, operations) in paths.into_iter().flatten() {
            let known = operations.as_object();
            let mut methods: Vec<String> = known
                .into_iter()
                .flatten()
                .map(|(method, _)| method.to_uppercase())
                .collect();
            methods.sort();
            if let Ok(value) = HeaderValue::from_str(&methods.join(", ")) {
                rows.push((pattern(&format!("{}{path}", super::PREFIX)), value));
            }
        }
        Self { rows }
    }

    /// Gives the methods of an address; those without parameters come first.
    pub(crate) fn allowed(&self, path: &str) -> Option<HeaderValue> {
        let asked: Vec<&str> = path.split('/').collect();
        let fits = |pattern: &[Option<String>]| {
            pattern.len() == asked.len()
                && pattern
                    .iter()
                    .zip(&asked)
                    .all(|(wanted, given)| wanted.as_deref().is_none_or(|text| text == *given))
        };
        self.rows
            .iter()
            .filter(|(pattern, _)| fits(pattern))
            .min_by_key(|(pattern, _)| pattern.iter().filter(|part| part.is_none()).count())
            .map(|(_, methods)| methods.clone())
    }
}

fn pattern(path: &str) -> Vec<Option<String>> {
    path.split('/')
        .map(|segment| (!segment.starts_with('{')).then(|| segment.to_owned()))
        .collect()
}
