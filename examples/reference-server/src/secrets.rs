//! The file of secrets: which tenant's definitions may use which.

use std::collections::BTreeMap;
use std::path::Path;

use auterity_core::TenantId;
use auterity_core::engine::Secrets;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;

/// Secrets by name.
type Named = BTreeMap<String, Value>;

/// Reads a file with an object of secrets for each tenant, by the tenant's id. A slug
/// would not do: whoever signs up first may take it.
pub(crate) fn by_tenant(path: Option<&Path>) -> Result<Secrets, Failure> {
    let Some(path) = path else {
        return Ok(Secrets::none());
    };
    let what =
        "an object of secrets for each tenant, by the tenant's id: {\"ten_…\": {\"NAME\": …}}";
    let texts: BTreeMap<String, Value> = read(path, what)?;
    let mut tenants = BTreeMap::new();
    for (id, secrets) in texts {
        let tenant: TenantId = id.parse().map_err(|_| {
            let place = path.display();
            Failure::usage(format!(
                "the file of secrets {place} has the key {id:?}, which is no tenant's id; it must hold {what}, and `GET /api/v1/auth/me` tells the id"
            ))
        })?;
        let secrets: Named = serde_json::from_value(secrets).map_err(|_| wrong(path, what))?;
        tenants.insert(tenant, secrets);
    }
    Ok(Secrets::new(move |tenant, name| {
        tenants.get(&tenant)?.get(name).cloned()
    }))
}

/// Reads a file with one object of secrets, for a command that knows one tenant.
pub(crate) fn of_one(path: Option<&Path>) -> Result<Secrets, Failure> {
    let secrets: Named = match path {
        Some(path) => read(path, "an object of secrets by name: {\"NAME\": …}")?,
        None => Named::new(),
    };
    Ok(Secrets::fixed(secrets))
}

fn read<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let place = path.display();
        Failure::usage(format!(
            "the file of secrets {place} cannot be read: {error}"
        ))
    })?;
    // The parser's message could quote a secret: it is left out.
    serde_json::from_str(&text).map_err(|_| wrong(path, what))
}

fn wrong(path: &Path, what: &str) -> Failure {
    let place = path.display();
    Failure::usage(format!("the file of secrets {place} must hold {what}"))
}
