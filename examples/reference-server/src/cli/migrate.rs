//! `auterity migrate`: brings the schema to this version, or tells where it stands.

use std::path::Path;
use std::process::ExitCode;

use auterity_core::store::SchemaStatus;
use serde_json::json;

use super::print;
use crate::config::{Migrate, Settings};
use crate::data_folder::DataFolder;
use crate::failure::Failure;
use crate::wiring;

pub(super) async fn migrate(
    settings: Settings,
    options: &Migrate,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    if options.status {
        return status(&settings, as_json).await;
    }
    let folder = DataFolder::open(&settings.data)?;
    wiring::store(&settings, &folder).await?;
    wiring::control(&settings, &folder).await?;
    if as_json {
        return print(&json!({ "migrated": true }).to_string());
    }
    print("the database has the schema of this version")
}

/// Tells the versions of both schemas. Takes no folder for itself and makes no file,
/// so that it can be asked beside a server.
async fn status(settings: &Settings, as_json: bool) -> Result<ExitCode, Failure> {
    let (engine, control) = (
        settings.data.join("engine.db"),
        settings.data.join("control.db"),
    );
    let engine = if settings.database_url.is_some() || engine.is_file() {
        Some(engine_status(settings, &engine).await?)
    } else {
        None
    };
    let control = if wiring::is_shared(settings) || control.is_file() {
        let db = wiring::open_control(settings, &control).await?;
        Some(auterity_tenancy::schema_status(&db).await?)
    } else {
        None
    };
    let schemas = [("engine", engine), ("control", control)];
    if as_json {
        let table = schemas.map(|(name, status)| {
            let applied = status.map(|status| status.applied);
            let known = status.map(|status| status.known);
            json!({ "schema": name, "applied": applied, "known": known })
        });
        return print(&serde_json::to_string_pretty(&table).unwrap_or_default());
    }
    for (name, status) in schemas {
        print(&format!("{name}: {}", in_words(status)))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn engine_status(settings: &Settings, file: &Path) -> Result<SchemaStatus, Failure> {
    let store = wiring::open_store(settings, file).await?;
    let status = store.schema_status().await?;
    store.close().await;
    Ok(status)
}

fn in_words(status: Option<SchemaStatus>) -> String {
    match status {
        None => "there is no database yet; `auterity migrate` makes it".to_owned(),
        Some(SchemaStatus { applied, known }) if applied == known => {
            format!("version {applied}, up to date")
        }
        Some(SchemaStatus { applied, known }) if applied < known => {
            format!("version {applied} of {known}; `auterity migrate` brings it up")
        }
        Some(SchemaStatus { applied, known }) => {
            format!("version {applied}, and this program knows {known} only; use a newer program")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_says_what_to_do() {
        let words = |applied, known| in_words(Some(SchemaStatus { applied, known }));
        assert_eq!(words(2, 2), "version 2, up to date");
        assert!(words(1, 2).contains("auterity migrate"));
        assert!(words(3, 2).contains("newer program"));
        assert!(in_words(None).contains("auterity migrate"));
    }
}
