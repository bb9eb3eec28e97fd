//! Texts of a fixed form.

use serde_json::Value;

use super::parse::Node;
use super::record::{Part, Reader};

/// What is wrong with a text: code, message and hint.
pub(crate) type Objection = (&'static str, String, &'static str);

/// Makes a newtype over a text that passes a check.
macro_rules! text {
    ( $(#[$doc:meta])* $name:ident, $what:literal, $check:path ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) String);

        impl Part for $name {
            fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
                let text = reader.text(concat!("a text (", $what, ")"), node)?;
                match $check(text) {
                    None => Some(Self(text.to_owned())),
                    Some((code, message, hint)) => {
                        reader.report(code, message, hint);
                        None
                    }
                }
            }

            fn write(&self) -> Value {
                Value::String(self.0.clone())
            }
        }
    };
}

text! {
    /// The version of the DSL: 1.0 with any patch level.
    DslVersion, "a version such as '1.0.3'", check_dsl_version
}
text! {
    /// A semantic version.
    Version, "a semantic version such as '1.0.0'", check_version
}
text! {
    /// A semantic version, or the word `latest`.
    VersionOrLatest, "a semantic version, or latest", check_version_or_latest
}
text! {
    /// A name of letters, digits and hyphens, at most 63 long.
    Name, "a name of letters, digits and hyphens", check_name
}
text! {
    /// The name of a host.
    Host, "the name of a host", check_host
}
text! {
    /// A URI, or a template of one.
    Uri, "a URI", check_uri
}
text! {
    /// A URI, a template of one, or an expression that gives one.
    UriOrExpression, "a URI or an expression", check_uri_or_expression
}
text! {
    /// An expression of the form `${ … }`.
    RuntimeExpression, "an expression ${ … }", check_expression
}
text! {
    /// A date and time, or an expression that gives one.
    TimeOrExpression, "a date and time or an expression", check_time
}
text! {
    /// A text that is not empty.
    Filled, "a name", check_filled
}
text! {
    /// A cron expression of five fields, or of six with seconds.
    Cron, "a cron expression such as '0 0 * * *'", super::cron::check
}

/// Tells whether a text is an expression of the form `${ … }`.
pub(crate) fn is_expression(text: &str) -> bool {
    let inner = text
        .trim()
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|inner| !inner.is_empty())
}

fn check_dsl_version(text: &str) -> Option<Objection> {
    if let Some(objection) = check_version(text) {
        return Some(objection);
    }
    if text.starts_with("1.0.") {
        return None;
    }
    let message = format!("version {text} of the DSL is not supported");
    Some(("unsupported_dsl_version", message, "use dsl: '1.0.3'"))
}

fn check_version(text: &str) -> Option<Objection> {
    if is_semantic_version(text) {
        return None;
    }
    let message = format!("\"{}\" is no semantic version", shown(text));
    let hint = "write three numbers, such as '1.0.0', without a leading v";
    Some(("bad_version", message, hint))
}

fn check_version_or_latest(text: &str) -> Option<Objection> {
    if text == "latest" {
        None
    } else {
        check_version(text)
    }
}

/// Follows the grammar of semver.org; numbers may be of any length.
fn is_semantic_version(text: &str) -> bool {
    let (text, build) = match text.split_once('+') {
        Some((text, build)) => (text, Some(build)),
        None => (text, None),
    };
    let (core, pre) = match text.split_once('-') {
        Some((core, pre)) => (core, Some(pre)),
        None => (text, None),
    };
    let is_word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_number = |part: &str| is_digits(part) && (part == "0" || !part.starts_with('0'));
    core.split('.').count() == 3
        && core.split('.').all(is_number)
        && pre.is_none_or(|pre| {
            pre.split('.')
                .all(|part| is_word(part) && (!is_digits(part) || is_number(part)))
        })
        && build.is_none_or(|build| build.split('.').all(is_word))
}

fn check_name(text: &str) -> Option<Objection> {
    const LENGTH_MAX: usize = 63;
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let fits = bytes.len() <= LENGTH_MAX
        && is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    if fits {
        return None;
    }
    let message = format!("\"{}\" is no valid name", shown(text));
    let hint = "use letters, digits and hyphens, at most 63, with no hyphen at either end";
    Some(("bad_name", message, hint))
}

fn check_host(text: &str) -> Option<Objection> {
    const LENGTH_MAX: usize = 63;
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let fits = bytes.len() <= LENGTH_MAX
        && is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    if fits {
        return None;
    }
    let message = format!("\"{}\" is no valid host", shown(text));
    Some((
        "bad_host",
        message,
        "give the name alone, without scheme, port or path",
    ))
}

fn check_filled(text: &str) -> Option<Objection> {
    let message = "the name is empty".to_owned();
    text.is_empty()
        .then_some(("empty_text", message, "give a name"))
}

fn check_expression(text: &str) -> Option<Objection> {
    if is_expression(text) {
        return None;
    }
    let message = format!("\"{}\" is no runtime expression", shown(text));
    Some(("expression_expected", message, "write it as ${ … }"))
}

fn check_time(text: &str) -> Option<Objection> {
    if is_expression(text) || text.parse::<jiff::Timestamp>().is_ok() {
        return None;
    }
    let message = format!("\"{}\" is no date and time", shown(text));
    Some((
        "bad_time",
        message,
        "write it as 2026-01-31T12:00:00Z, or as an expression ${ … }",
    ))
}

fn check_uri_or_expression(text: &str) -> Option<Objection> {
    if is_expression(text) {
        None
    } else {
        check_uri(text)
    }
}

fn check_uri(text: &str) -> Option<Objection> {
    let hint = "write it as scheme://host/path; {name} stands for a value of the input";
    let wrong = |what: &str| {
        let message = format!("\"{}\" is no URI: {what}", shown(text));
        Some(("bad_uri", message, hint))
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        return wrong("it does not start with a scheme such as https://");
    };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !is_scheme {
        return wrong("its scheme is not valid");
    }
    if rest.contains("${") {
        let message = format!("\"{}\" mixes a URI and an expression", shown(text));
        let hint = "make the whole text an expression, such as ${ \"https://host/\\(.id)\" }";
        return Some(("bad_uri", message, hint));
    }
    let is_forbidden = |c: char| c.is_whitespace() || c.is_control() || "<>\"\\^`|".contains(c);
    if let Some(character) = rest.chars().find(|character| is_forbidden(*character)) {
        return wrong(&format!("it has the character {character:?}"));
    }
    match check_template(rest) {
        None => None,
        Some(what) => wrong(what),
    }
}

/// Checks the `{…}` parts of a URI template (RFC 6570).
fn check_template(text: &str) -> Option<&'static str> {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        if before.contains('}') {
            return Some("a } has no {");
        }
        let Some((inside, next)) = after.split_once('}') else {
            return Some("a { has no }");
        };
        let names = inside
            .strip_prefix(['+', '#', '.', '/', ';', '?', '&'])
            .unwrap_or(inside);
        if !names.split(',').all(is_variable) {
            return Some("the part between { and } is no name");
        }
        rest = next;
    }
    rest.contains('}').then_some("a } has no {")
}

fn is_variable(text: &str) -> bool {
    let text = text.strip_suffix('*').unwrap_or(text);
    let (name, length) = text.split_once(':').unwrap_or((text, "1"));
    let is_name_character = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '%');
    !name.is_empty()
        && name.chars().all(is_name_character)
        && (1..=4).contains(&length.len())
        && length.bytes().all(|byte| byte.is_ascii_digit())
}

/// Cuts a text to a length that fits a message.
pub(crate) fn shown(text: &str) -> String {
    const LENGTH_MAX: usize = 60;
    let mut cut: String = text.chars().take(LENGTH_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::{check_host, check_name, check_uri, is_expression, is_semantic_version};

    #[test]
    fn semantic_versions() {
        let good = [
            "1.0.0",
            "0.0.0",
            "1.2.3-alpha.1",
            "1.2.3+build.5",
            "1.0.0--.-",
            "10.20.30-a+b",
        ];
        let bad = [
            "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.0.0-01", "1.0.0-", "1.0.0+", "", "a.b.c",
        ];
        for text in good {
            assert!(is_semantic_version(text), "{text}");
        }
        for text in bad {
            assert!(!is_semantic_version(text), "{text}");
        }
    }

    #[test]
    fn names_and_hosts() {
        for good in ["a", "a-b", "A1", &"a".repeat(63)] {
            assert!(check_name(good).is_none(), "{good}");
        }
        for bad in ["", "-a", "a-", "a_b", "a.b", "ä", &"a".repeat(64)] {
            assert!(check_name(bad).is_some(), "{bad}");
        }
        assert!(check_host("pets.example.com").is_none());
        assert!(check_host("https://pets").is_some());
    }

    #[test]
    fn uris() {
        let good = [
            "https://example.com",
            "https://example.com/pet/{petId}?status={status}",
            "https://example.com/{+path}{?a,b*,c:3}",
            "urn+x://a",
        ];
        let bad = [
            "example.com/pet",
            "/pet",
            "1x://a",
            "https://a/{",
            "https://a/}",
            "https://a/{}",
            "https://a/{a b}",
            "https://a/ b",
            "https://a/${ .id }",
        ];
        for text in good {
            assert!(check_uri(text).is_none(), "{text}");
        }
        for text in bad {
            assert!(check_uri(text).is_some(), "{text}");
        }
    }

    #[test]
    fn expressions() {
        assert!(is_expression(" ${ .a } "));
        assert!(!is_expression("${}"));
        assert!(!is_expression("x ${ .a }"));
    }
}
