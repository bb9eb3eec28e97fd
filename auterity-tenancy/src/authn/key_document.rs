//! Signing keys as the text that a file or a vault keeps.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::keys::{Keys, NextKey, PublicKey, RetiredKey, SigningKey};
use crate::error::Error;
use crate::secret::Secret;

const FORMAT: u32 = 1;

#[derive(Deserialize)]
struct Document {
    format: u32,
    private_key: Secret,
    created_at: Timestamp,
    #[serde(default)]
    next: Option<Next>,
    #[serde(default)]
    previous: Vec<Previous>,
}

#[derive(Deserialize)]
struct Next {
    private_key: Secret,
    created_at: Timestamp,
    signs_from: Timestamp,
}

#[derive(Serialize)]
struct DocumentRef<'a> {
    format: u32,
    private_key: &'a str,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<NextRef<'a>>,
    previous: Vec<Previous>,
}

#[derive(Serialize)]
struct NextRef<'a> {
    private_key: &'a str,
    created_at: Timestamp,
    signs_from: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Previous {
    x: String,
    valid_until: Option<Timestamp>,
}

/// Reads the text; nothing if it is damaged. What the parser says could quote a key.
pub(crate) fn decode(text: &str) -> Option<Keys> {
    let document: Document = serde_json::from_str(text).ok()?;
    if document.format != FORMAT {
        return None;
    }
    let key = |pem: &Secret, created_at| SigningKey::from_pem(pem, created_at).ok();
    let next = match &document.next {
        Some(next) => Some(NextKey {
            key: key(&next.private_key, next.created_at)?,
            signs_from: next.signs_from,
        }),
        None => None,
    };
    let previous = document.previous.into_iter().map(|key| {
        Some(RetiredKey {
            public: PublicKey::from_x(&key.x)?,
            valid_until: key.valid_until,
        })
    });
    Some(Keys {
        current: key(&document.private_key, document.created_at)?,
        next,
        previous: previous.collect::<Option<_>>()?,
    })
}

/// Writes the text.
pub(crate) fn encode(keys: &Keys) -> Result<Secret, Error> {
    let previous = keys.previous.iter().map(|key| Previous {
        x: key.public.x.clone(),
        valid_until: key.valid_until,
    });
    let document = DocumentRef {
        format: FORMAT,
        private_key: keys.current.pem.expose(),
        created_at: keys.current.created_at,
        next: keys.next.as_ref().map(|next| NextRef {
            private_key: next.key.pem.expose(),
            created_at: next.key.created_at,
            signs_from: next.signs_from,
        }),
        previous: previous.collect(),
    };
    let text = serde_json::to_string_pretty(&document)
        .map_err(|source| Error::internal("the keys cannot be written").with_source(source))?;
    Ok(Secret::from(text))
}
