//! `auterity migrate`: brings the schema to this version.

use std::process::ExitCode;

use super::print;
use crate::config::Settings;
use crate::failure::Failure;
use crate::wiring;

pub(super) async fn migrate(settings: Settings) -> Result<ExitCode, Failure> {
    let folder = wiring::DataFolder::open(&settings.data)?;
    wiring::store(&settings, &folder).await?;
    wiring::identity(&settings, &folder).await?;
    print("the database has the schema of this version")
}
