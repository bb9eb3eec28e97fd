//! Writing a state down and reading it again.
//!
//! The input of an execution is also the input of its first task, the data of the
//! list that the task stands in, and what a loop goes through. In memory that is one
//! value; here it stays one: a snapshot is a list of values, and a state that names
//! them by their places in the list.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::State;
use super::state::Data;
use crate::{Error, ErrorKind};

impl State {
    /// Writes the state as JSON.
    ///
    /// # Errors
    /// Kind [`Internal`](ErrorKind::Internal), when a value cannot be written.
    pub fn to_snapshot(&self) -> Result<String, Error> {
        let _session = Session::begin();
        // The first writing only finds the values.
        serde_json::to_writer(std::io::sink(), self)
            .and_then(|()| serde_json::to_string(&(values(), self)))
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "a state cannot be written as JSON")
                    .with_source(error)
            })
    }

    /// Reads what [`to_snapshot`](Self::to_snapshot) wrote.
    ///
    /// # Errors
    /// Kind [`Corrupt`](ErrorKind::Corrupt), when it is no such text.
    pub fn from_snapshot(text: &str) -> Result<Self, Error> {
        let _session = Session::begin();
        let (Known, state) = serde_json::from_str(text).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "a state cannot be read").with_source(error)
        })?;
        Ok(state)
    }
}

thread_local! {
    /// The values of the snapshot that is written or read on this thread: serde hands
    /// no context to the fields of a state.
    static VALUES: RefCell<Option<Values>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Values {
    list: Vec<Data>,
    places: HashMap<*const Value, usize>,
}

/// Keeps the values while a snapshot is written or read.
struct Session(());

impl Session {
    fn begin() -> Self {
        VALUES.set(Some(Values::default()));
        Self(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        VALUES.set(None);
    }
}

fn values() -> Vec<Data> {
    VALUES.with_borrow(|values| values.as_ref().map_or_else(Vec::new, |v| v.list.clone()))
}

/// The values of a snapshot, which are kept as they are read.
struct Known;

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::deserialize(deserializer)?;
        VALUES.set(Some(Values {
            list,
            places: HashMap::new(),
        }));
        Ok(Self)
    }
}

/// A value of a state: in a snapshot its place in the list, elsewhere itself.
struct Shared<D>(D);

impl Serialize for Shared<&Data> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = VALUES.with_borrow_mut(|values| {
            let Values { list, places } = values.as_mut()?;
            let place = *places.entry(Arc::as_ptr(self.0)).or_insert_with(|| {
                list.push(Arc::clone(self.0));
                list.len() - 1
            });
            Some(place)
        });
        match place {
            Some(place) => place.serialize(serializer),
            None => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Shared<Data> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if VALUES.with_borrow(Option::is_none) {
            return Data::deserialize(deserializer).map(Self);
        }
        let place = usize::deserialize(deserializer)?;
        let found = VALUES.with_borrow(|values| values.as_ref()?.list.get(place).cloned());
        match found {
            Some(value) => Ok(Self(value)),
            None => Err(D::Error::custom("a value of the snapshot is missing")),
        }
    }
}

/// For a field with one value.
pub(super) mod one {
    use super::{Data, Deserialize, Deserializer, Serialize, Serializer, Shared};

    pub(crate) fn serialize<S: Serializer>(value: &Data, serializer: S) -> Result<S::Ok, S::Error> {
        Shared(value).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Data, D::Error> {
        Shared::deserialize(deserializer).map(|Shared(value)| value)
    }
}

/// For a field with named values.
pub(super) mod named {
    use super::{Data, Deserialize, Deserializer, Serializer, Shared};

    pub(crate) fn serialize<S: Serializer>(
        named: &[(String, Data)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(named.iter().map(|(name, value)| (name, Shared(value))))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, Data)>, D::Error> {
        let named: Vec<(String, Shared<Data>)> = Vec::deserialize(deserializer)?;
        Ok(named
            .into_iter()
            .map(|(name, Shared(value))| (name, value))
            .collect())
    }
}

/// For a field with values that may be absent.
pub(super) mod optional {
    use super::{Data, Deserialize, Deserializer, Serializer, Shared};

    pub(crate) fn serialize<S: Serializer>(
        values: &[Option<Data>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|value| value.as_ref().map(Shared)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Option<Data>>, D::Error> {
        let values: Vec<Option<Shared<Data>>> = Vec::deserialize(deserializer)?;
        let values = values.into_iter();
        Ok(values
            .map(|value| value.map(|Shared(value)| value))
            .collect())
    }
}
