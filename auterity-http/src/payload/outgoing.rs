//! Values that only go out.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use auterity_core::definition::ProgramHash;
use jiff::Timestamp;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::Problem;

/// JSON that is text already and goes out as it is.
#[derive(Debug)]
pub(crate) struct Raw(Box<RawValue>);

impl Raw {
    /// Takes over JSON text.
    pub(crate) fn from_text(text: &str) -> Result<Self, Problem> {
        let raw = RawValue::from_string(text.to_owned());
        raw.map(Self).map_err(Problem::internal)
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// JSON that has the form of a type, which stands for it in the OpenAPI document.
#[derive(Debug)]
pub(crate) struct RawAs<T> {
    raw: Raw,
    form: PhantomData<fn() -> T>,
}

impl<T> RawAs<T> {
    /// Takes over JSON text.
    pub(crate) fn from_text(text: &str) -> Result<Self, Problem> {
        Ok(Self {
            raw: Raw::from_text(text)?,
            form: PhantomData,
        })
    }

    /// Takes over what is written in that form.
    pub(crate) fn of(value: &impl Serialize) -> Result<Self, Problem> {
        Ok(Self {
            raw: Raw(serde_json::value::to_raw_value(value).map_err(Problem::internal)?),
            form: PhantomData,
        })
    }
}

impl<T> Serialize for RawAs<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(serializer)
    }
}

/// A time, as RFC 3339 in UTC, to the microsecond: databases keep no more, so a time
/// reads the same before and after it was kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The SHA-256 of a definition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hash(pub(crate) ProgramHash);

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

// The OpenAPI derive wants each field's type to go both ways. These only go out,
// and go out by serde; the way in refuses.
macro_rules! outgoing {
    ($($name:ty $(where $form:ident)? => $word:expr, $schema:expr;)+) => {$(
        impl$(<$form: Type>)? Type for $name {
            const IS_REQUIRED: bool = true;

            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                $word.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                $schema
            }

            $(fn register(registry: &mut Registry) {
                $form::register(registry);
            })?

            fn as_raw_value(&self) -> Option<&Self::RawValueType> {
                Some(self)
            }

            fn raw_element_iter<'a>(
                &'a self,
            ) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
                Box::new(self.as_raw_value().into_iter())
            }
        }

        impl$(<$form: Type>)? ToJSON for $name {
            fn to_json(&self) -> Option<Value> {
                serde_json::to_value(self).ok()
            }
        }

        impl$(<$form: Type>)? ParseFromJSON for $name {
            fn parse_from_json(_value: Option<Value>) -> ParseResult<Self> {
                Err(ParseError::custom("this type only goes out"))
            }
        }
    )+};
}

outgoing! {
    Raw => "any", MetaSchemaRef::Inline(Box::new(MetaSchema::ANY));
    Time => "date-time", text_of("date-time");
    Hash => "sha-256", text_of("sha-256");
    RawAs<T> where T => T::name(), T::schema_ref();
}

fn text_of(format: &'static str) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", format)))
}

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = Timestamp::from_microsecond(self.0.as_microsecond()).unwrap_or(self.0);
        fmt::Display::fmt(&kept, out)
    }
}
