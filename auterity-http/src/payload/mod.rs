//! Bodies: read up to a limit and within a time, then parsed; and written.

mod cloud_event;
mod definition;
mod json;
mod outgoing;
mod reading;

pub(crate) use cloud_event::CloudEventBody;
pub(crate) use definition::{DefinitionBody, YamlText};
pub(crate) use json::{BatchBody, Json, JsonBody, OptionalJsonBody};
pub(crate) use outgoing::{Hash, Raw, RawAs, Time};
pub(crate) use reading::fit;
