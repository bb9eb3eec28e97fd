//! Semantic version precedence as a text that databases sort byte by byte.

use semver::{Prerelease, Version};

/// Makes a text whose byte order is the precedence of versions: `1.10.0` after
/// `1.9.0`, pre-releases before their release. What is not a semantic version comes
/// before all that are. Build metadata, which has no precedence, breaks ties.
pub(crate) fn precedence(version: &str) -> String {
    let Ok(parsed) = Version::parse(version) else {
        return format!("0{version}");
    };
    let Version {
        major,
        minor,
        patch,
        pre,
        build,
    } = parsed;
    let mut key = format!("1{major:020}{minor:020}{patch:020}");
    push_prerelease(&mut key, &pre);
    key.push_str(build.as_str());
    key
}

/// A release ends in `~`, above all others. Identifiers begin with `0` (numeric) or
/// `1` (the rest) and end in `!`; the list ends in a blank. Blank and `!` are below
/// every character of an identifier, so a prefix comes first.
fn push_prerelease(key: &mut String, pre: &Prerelease) {
    if pre.is_empty() {
        key.push('~');
        return;
    }
    for identifier in pre.split('.') {
        if identifier.bytes().all(|byte| byte.is_ascii_digit()) {
            // Numbers of any length: the longer is the larger, no leading zeros.
            let length = format!("{:06}", identifier.len());
            key.extend(["0", &length, identifier, "!"]);
        } else {
            key.extend(["1", identifier, "!"]);
        }
    }
    key.push(' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_like_versions() {
        let ordered = [
            "not a version",
            "0.0.1",
            "1.0.0-1",
            "1.0.0-9",
            "1.0.0-10",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-alpha-x",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1-0",
            "1.9.0",
            "1.10.0",
            "18446744073709551615.0.0",
        ];
        for pair in ordered.windows(2) {
            assert!(precedence(pair[0]) < precedence(pair[1]), "{pair:?}");
            if let (Ok(low), Ok(high)) = (Version::parse(pair[0]), Version::parse(pair[1])) {
                assert!(low < high, "the list itself: {pair:?}");
            }
        }
    }
}
