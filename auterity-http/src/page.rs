//! Cursors: opaque, authenticated, bound to tenant and query.

use std::fmt;

use auterity_core::{Scope, TenantId};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Code, Pointed, Problem};
use crate::services::Context;

/// Items on a page, unless the client says otherwise.
const LIMIT_DEFAULT: u32 = 50;
/// Items on a page at most.
const LIMIT_MAX: u32 = 200;
/// Characters of a cursor at most.
const CURSOR_LENGTH_MAX: usize = 2_048;
/// Bytes of the tag in front of a cursor's content.
const TAG_LENGTH: usize = 16;

/// Checks a page size.
pub(crate) fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    size("limit", asked, (LIMIT_DEFAULT, LIMIT_MAX))
}

/// Checks a number of items against bounds of its own.
pub(crate) fn size(
    name: &str,
    asked: Option<u32>,
    (usual, most): (u32, u32),
) -> Result<u32, Problem> {
    match asked {
        None => Ok(usual),
        Some(size) if 1 <= size && size <= most => Ok(size),
        Some(size) => {
            let detail = format!("is {size}; it must be between 1 and {most}");
            Err(Problem::parameter(name, &detail))
        }
    }
}

/// A list as one tenant asks for it: reads and writes the cursors of its pages.
#[derive(Debug)]
pub(crate) struct Listing<'a> {
    cursors: &'a Cursors,
    binding: Binding<'a>,
}

impl<'a> Listing<'a> {
    /// The query is everything that selects or orders items, in one fixed form.
    pub(crate) fn new(
        context: &'a Context,
        scope: &Scope,
        list: &'static str,
        query: &'a str,
    ) -> Self {
        let binding = Binding {
            tenant: scope.tenant(),
            list,
            query,
        };
        Self {
            cursors: context.cursors(),
            binding,
        }
    }

    /// Reads the position that a page begins at; nothing on the first page.
    pub(crate) fn position<T: DeserializeOwned>(
        &self,
        cursor: Option<&str>,
    ) -> Result<Option<T>, Problem> {
        let read = |cursor| self.cursors.decode(&self.binding, cursor);
        cursor.map(read).transpose()
    }

    /// Writes the cursor of the page after; nothing on the last.
    pub(crate) fn cursor<T: Serialize>(
        &self,
        position: Option<T>,
    ) -> Result<Option<String>, Problem> {
        let write = |position| self.cursors.encode(&self.binding, &position);
        position.map(write).transpose()
    }
}

/// What a cursor is good for.
#[derive(Debug)]
struct Binding<'a> {
    tenant: TenantId,
    list: &'static str,
    query: &'a str,
}

/// Makes and reads cursors.
pub(crate) struct Cursors {
    key: hmac::Key,
}

impl Cursors {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
        }
    }

    /// Writes down a position.
    fn encode<T: Serialize>(&self, binding: &Binding<'_>, position: &T) -> Result<String, Problem> {
        let content = serde_json::to_vec(position).map_err(Problem::internal)?;
        let mut bytes = self.tag(binding, &content).to_vec();
        bytes.extend_from_slice(&content);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a position, if the cursor was made here for this tenant and query.
    fn decode<T: DeserializeOwned>(
        &self,
        binding: &Binding<'_>,
        cursor: &str,
    ) -> Result<T, Problem> {
        let wrong = || {
            let detail = "the cursor does not belong to this list; start without one";
            let errors = vec![Pointed::new("cursor", detail)];
            Problem::new(Code::InvalidCursor, detail).with_errors(errors)
        };
        if CURSOR_LENGTH_MAX < cursor.len() {
            return Err(wrong());
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
        let (tag, content) = bytes.split_at_checked(TAG_LENGTH).ok_or_else(wrong)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(tag, &self.tag(binding, content))
            .map_err(|_| wrong())?;
        serde_json::from_slice(content).map_err(|_| wrong())
    }

    fn tag(&self, binding: &Binding<'_>, content: &[u8]) -> [u8; TAG_LENGTH] {
        let mut context = hmac::Context::with_key(&self.key);
        let tenant = binding.tenant.as_uuid();
        let parts: [&[u8]; 4] = [
            tenant.as_bytes(),
            binding.list.as_bytes(),
            binding.query.as_bytes(),
            content,
        ];
        for part in parts {
            // The length keeps neighbours apart.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut tag = [0; TAG_LENGTH];
        tag.copy_from_slice(&context.sign().as_ref()[..TAG_LENGTH]);
        tag
    }
}

impl fmt::Debug for Cursors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Cursors")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(tenant: u128, query: &str) -> Binding<'_> {
        Binding {
            tenant: TenantId::from_uuid(uuid::Uuid::from_u128(tenant)),
            list: "executions",
            query,
        }
    }

    #[test]
    fn cursor_is_good_for_its_tenant_and_query_only() {
        let cursors = Cursors::new(&[7; 32]);
        let text = cursors.encode(&binding(1, "a"), &(5, "x")).unwrap();
        let read = |binding: &Binding<'_>, text: &str| {
            cursors.decode::<(u32, String)>(binding, text).is_ok()
        };
        assert!(read(&binding(1, "a"), &text));
        assert!(!read(&binding(2, "a"), &text));
        assert!(!read(&binding(1, "b"), &text));
        assert!(!read(&binding(1, "a"), text.get(1..).unwrap()));
        assert!(!read(&binding(1, "a"), ""));
        assert!(!read(&binding(1, "a"), &"a".repeat(5_000)));
        let other = Cursors::new(&[8; 32]);
        assert!(
            other
                .decode::<(u32, String)>(&binding(1, "a"), &text)
                .is_err()
        );
    }
}
