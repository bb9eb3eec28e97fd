//! URI templates of endpoints: `{name}` from the task's input (RFC 6570, level 1).

use std::fmt::Write;

use serde_json::Value;

use crate::interpreter::{Problem, ProblemKind};

/// Expands the template with the input's properties.
///
/// A value that is not there or null leaves its place empty, as the standard says.
/// Values are percent-encoded, so that none can leave its place; one that would make
/// up a dot segment, which URL parsers resolve before anything is sent, is refused.
pub(in crate::functions) fn expand(template: &str, input: &Value) -> Result<String, Problem> {
    let mut expanded = String::with_capacity(template.len());
    let mut rest = template;
    let mut count = 0;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| wrong("the endpoint has a '{' without its '}'"))?;
        expanded.push_str(before);
        encode(&text(name, input)?, &mut expanded);
        rest = after;
        count += 1;
    }
    expanded.push_str(rest);
    if 0 < count && has_dot_segment(&expanded) {
        return Err(wrong(
            "a value in the endpoint's path stands for another directory",
        ));
    }
    Ok(expanded)
}

fn text(name: &str, input: &Value) -> Result<String, Problem> {
    // Anything else is an operator of a higher level, or no name and maybe a secret.
    let is_name = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if !is_name {
        return Err(wrong(
            "the endpoint's template may contain only plain {name} expressions",
        ));
    }
    match input.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(flag)) => Ok(flag.to_string()),
        None | Some(Value::Null) => Ok(String::new()),
        Some(_) => {
            let detail = format!(
                "the endpoint names {{{name}}}, but that property of the input is no text, number, boolean or null"
            );
            Err(Problem::new(ProblemKind::Expression, detail))
        }
    }
}

/// Encodes what is not unreserved in a URI.
pub(in crate::functions) fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => write!(out, "%{byte:02X}").expect("text takes whatever is written"),
        }
    }
}

/// Encodes what is no visible ASCII character, and the sign that says so.
pub(super) fn encode_unprintable(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("text takes whatever is written"),
        }
    }
}

fn has_dot_segment(endpoint: &str) -> bool {
    let path = endpoint.split(['?', '#']).next().unwrap_or_default();
    path.split('/').any(|segment| {
        let plain = segment.replace("%2e", ".").replace("%2E", ".");
        plain == "." || plain == ".."
    })
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Configuration, detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_become_encoded_values() {
        let input = json!({"id": 7, "q": "a b&c=d/é", "on": true, "x-y.z": "~", "crlf": "a\r\nHost: b", "null": null});
        let table = [
            ("https://h/plain", "https://h/plain"),
            ("https://h/pet/{id}", "https://h/pet/7"),
            (
                "https://h/{id}/{on}?q={q}",
                "https://h/7/true?q=a%20b%26c%3Dd%2F%C3%A9",
            ),
            ("https://h/{x-y.z}{id}", "https://h/~7"),
            ("https://h/{crlf}", "https://h/a%0D%0AHost%3A%20b"),
            ("https://h/a/../b", "https://h/a/../b"),
            ("https://h/{missing}/{null}x", "https://h//x"),
        ];
        for (template, wanted) in table {
            assert_eq!(expand(template, &input).expect(template), wanted);
        }
    }

    #[test]
    fn templates_that_cannot_be_expanded_say_why() {
        let input = json!({"list": [1], "dot": ".", "up": "..", "host": "evil.com/@"});
        let table = [
            ("https://h/{list}", "no text, number, boolean or null"),
            ("https://h/{open", "without its '}'"),
            ("https://h/{+path}", "only plain {name}"),
            ("https://h/{?a,b}", "only plain {name}"),
            ("https://h/{}", "only plain {name}"),
            ("https://h/a/{up}/b", "another directory"),
            ("https://h/a/{dot}{dot}", "another directory"),
            ("https://h/a/%2e{dot}/", "another directory"),
        ];
        for (template, wanted) in table {
            let problem = expand(template, &input).expect_err(template);
            let detail = problem.detail.unwrap_or_default();
            assert!(detail.contains(wanted), "{template}: {detail}");
        }
        let problem = expand("https://h/{list}", &input).expect_err("a list has no place");
        assert!(problem.kind.ends_with("/expression"), "{problem:?}");
        assert_eq!(
            expand("https://{host}/", &input).expect("encoded"),
            "https://evil.com%2F%40/"
        );
    }
}
