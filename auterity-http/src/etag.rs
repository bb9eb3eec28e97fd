//! Entity tags: whether the client has what it asks for already (RFC 9110, 13.1.2).

/// Tells whether an `If-None-Match` names the tag; weak comparison, as the standard asks.
pub(crate) fn names(if_none_match: Option<&str>, tag: &str) -> bool {
    if_none_match.is_some_and(|value| {
        value
            .split(',')
            .map(|item| item.trim().trim_start_matches("W/"))
            .any(|item| item == tag || item == "*")
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn lists_weak_tags_and_the_star_are_understood() {
        let table = [
            (Some("\"a\""), true),
            (Some("\"b\", W/\"a\""), true),
            (Some("*"), true),
            (Some("\"b\""), false),
            (Some("a"), false),
            (None, false),
        ];
        for (value, known) in table {
            assert_eq!(names(value, "\"a\""), known, "{value:?}");
        }
    }
}
