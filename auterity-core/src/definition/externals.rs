//! What a definition takes from elsewhere: functions of catalogs, schemas.
//!
//! It is fetched once, when the definition is deployed, and kept with it: what is
//! elsewhere may change, an execution's program may not.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::expression::{Budget, EvaluateError, Template, Variables};

/// Texts from elsewhere, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Externals {
    texts: BTreeMap<String, String>,
}

impl Externals {
    /// Adds a text, in place of any of the same name.
    pub fn insert(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.texts.insert(name.into(), text.into());
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }
}

/// Something from elsewhere that is not there yet.
#[derive(Debug)]
pub(crate) struct External {
    /// The name under which it is to be added.
    pub(crate) name: String,
    /// The arguments of the `http` call that gets it.
    pub(crate) arguments: Template,
    /// The names of the secrets that the arguments use.
    pub(crate) secrets: Vec<String>,
}

impl External {
    /// Gives the arguments of the `http` call.
    pub(crate) fn arguments(
        &self,
        secrets: &Arc<Value>,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Value, EvaluateError> {
        let mut variables = Variables::new(now);
        variables.set("secrets", Arc::clone(secrets));
        self.arguments.evaluate(&Value::Null, &variables, budget)
    }
}

/// The name of a function of a catalog: `name:version@catalog`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cataloged<'n> {
    pub(crate) name: &'n str,
    pub(crate) version: &'n str,
    pub(crate) catalog: &'n str,
}

impl<'n> Cataloged<'n> {
    pub(crate) fn read(text: &'n str) -> Option<Self> {
        let (function, catalog) = text.split_once('@')?;
        let (name, version) = function.split_once(':')?;
        // Each becomes a part of a path.
        let is_plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+')
                })
        };
        [name, version, catalog]
            .into_iter()
            .all(is_plain)
            .then_some(Self {
                name,
                version,
                catalog,
            })
    }

    /// Gives where the function is, in a catalog at this address.
    pub(crate) fn address(&self, catalog: &str) -> String {
        let catalog = catalog.trim_end_matches('/');
        raw(&format!(
            "{catalog}/functions/{}/{}/function.yaml",
            self.name, self.version
        ))
    }
}

/// Gives where a function is that is called by its own address: that of the document,
/// or `FOLDER@VERSION`.
pub(crate) fn function_address(text: &str) -> String {
    let is_document = [".yaml", ".yml", ".json"]
        .iter()
        .any(|end| text.ends_with(end));
    match text.rsplit_once('@') {
        Some((folder, version)) if !is_document && !version.contains('/') => {
            let version = version.strip_prefix('v').unwrap_or(version);
            raw(&format!("{folder}/{version}/function.yaml"))
        }
        _ => raw(text),
    }
}

/// Leads from the pages of GitHub and GitLab to the files that they show.
fn raw(address: &str) -> String {
    if let Some(path) = address.strip_prefix("https://github.com/") {
        let mut parts = path.splitn(3, '/');
        if let (Some(owner), Some(repository), Some(rest)) =
            (parts.next(), parts.next(), parts.next())
        {
            let shown = rest
                .strip_prefix("tree/")
                .or_else(|| rest.strip_prefix("blob/"));
            let (branch, file) = match shown {
                Some(shown) => shown.split_once('/').unwrap_or((shown, "")),
                None => ("main", rest),
            };
            return format!(
                "https://raw.githubusercontent.com/{owner}/{repository}/refs/heads/{branch}/{file}"
            );
        }
    }
    if address.starts_with("https://gitlab.com/") {
        return address
            .replacen("/-/tree/", "/-/raw/", 1)
            .replacen("/-/blob/", "/-/raw/", 1);
    }
    address.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_to_files() {
        let log = Cataloged::read("log:1.0.0@global").expect("a name");
        let table = [
            (
                "https://e.com/catalog/",
                "https://e.com/catalog/functions/log/1.0.0/function.yaml",
            ),
            (
                "https://github.com/serverlessworkflow/catalog/tree/main",
                "https://raw.githubusercontent.com/serverlessworkflow/catalog/refs/heads/main/functions/log/1.0.0/function.yaml",
            ),
            (
                "https://github.com/serverlessworkflow/catalog",
                "https://raw.githubusercontent.com/serverlessworkflow/catalog/refs/heads/main/functions/log/1.0.0/function.yaml",
            ),
            (
                "https://gitlab.com/a/b/-/tree/dev/c",
                "https://gitlab.com/a/b/-/raw/dev/c/functions/log/1.0.0/function.yaml",
            ),
        ];
        for (catalog, wanted) in table {
            assert_eq!(log.address(catalog), wanted);
        }
        assert_eq!(
            function_address("https://github.com/myorg/functions/validateEmailAddress@v1.0.0"),
            "https://raw.githubusercontent.com/myorg/functions/refs/heads/main/validateEmailAddress/1.0.0/function.yaml"
        );
        assert_eq!(
            function_address("https://e.com/x.yaml"),
            "https://e.com/x.yaml"
        );
    }

    #[test]
    fn names_that_would_leave_their_place_are_none() {
        for text in [
            "log",
            "log@c",
            "log:1@",
            ":1@c",
            "../x:1@c",
            "a/b:1@c",
            "log:..@c",
            "log:1@c/d",
            "log:1 2@c",
        ] {
            assert_eq!(Cataloged::read(text), None, "{text}");
        }
    }
}
