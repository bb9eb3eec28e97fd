//! Header presets, session cookies and the check against cross-site requests.

use auterity_tenancy::Secret;
use poem::Response;
use poem::http::uri::Authority;
use poem::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::error::{Code, Problem};

/// How long a browser keeps the session cookie; the server ends it earlier when it
/// is not used.
const COOKIE_AGE_SECONDS: u32 = 30 * 24 * 60 * 60;

/// Adds what every answer carries, where the endpoint did not decide itself.
pub(crate) fn add_headers(response: &mut Response, https: bool) {
    let preset = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (header::CACHE_CONTROL, "private, no-cache"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in preset {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    if https {
        response
            .headers_mut()
            .entry(header::STRICT_TRANSPORT_SECURITY)
            .or_insert(HeaderValue::from_static("max-age=31536000"));
    }
}

fn cookie_name(https: bool) -> &'static str {
    if https {
        "__Host-auterity_session"
    } else {
        "auterity_session"
    }
}

/// Writes the cookie that holds a session's refresh token.
pub(crate) fn session_cookie(token: &Secret, https: bool) -> String {
    cookie(token.expose(), COOKIE_AGE_SECONDS, https)
}

/// Writes the cookie that makes a browser forget the session.
pub(crate) fn forget_cookie(https: bool) -> String {
    cookie("", 0, https)
}

fn cookie(value: &str, age_seconds: u32, https: bool) -> String {
    let name = cookie_name(https);
    let secure = if https { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={age_seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Reads the refresh token from the session cookie.
pub(crate) fn session_token(headers: &HeaderMap, https: bool) -> Option<Secret> {
    let name = cookie_name(https);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, value)| *key == name && !value.is_empty())
        .map(|(_, value)| Secret::from(value))
}

/// Refuses a request that another site may have caused: a browser that sends or gets
/// the session cookie must say that the page came from here.
pub(crate) fn check_same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let refused = || {
        Problem::new(
            Code::CrossSite,
            "session cookies work from pages of this server only; other clients send the refresh token in the body",
        )
    };
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text(HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| site != "same-origin") {
        return Err(refused());
    }
    match text(header::ORIGIN) {
        Some(origin) => {
            let authority = origin
                .strip_prefix("http://")
                .or_else(|| origin.strip_prefix("https://"))
                .and_then(|rest| rest.parse::<Authority>().ok());
            let host = text(header::HOST).and_then(|host| host.parse::<Authority>().ok());
            match (authority, host) {
                (Some(origin), Some(host)) if origin == host => Ok(()),
                _ => Err(refused()),
            }
        }
        None if site.is_some() => Ok(()),
        None => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn only_pages_of_this_server_may_use_the_cookie() {
        let host = ("host", "app.example:8080");
        let table: [(&[(&str, &str)], bool); 8] = [
            (&[host, ("origin", "http://app.example:8080")], true),
            (&[host, ("sec-fetch-site", "same-origin")], true),
            (&[host], false),
            (&[host, ("origin", "null")], false),
            (
                &[host, ("origin", "http://app.example:8080.evil.example")],
                false,
            ),
            (&[host, ("origin", "http://evil.example")], false),
            (&[host, ("sec-fetch-site", "same-site")], false),
            (
                &[
                    host,
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://app.example:8080"),
                ],
                false,
            ),
        ];
        for (pairs, allowed) in table {
            assert_eq!(
                check_same_origin(&headers(pairs)).is_ok(),
                allowed,
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn cookie_is_read_by_its_exact_name() {
        let found = |value: &'static str, https| {
            session_token(&headers(&[("cookie", value)]), https)
                .map(|token| token.expose().to_owned())
        };
        assert_eq!(
            found("a=b; auterity_session=art_x", false).as_deref(),
            Some("art_x")
        );
        assert_eq!(found("auterity_session=art_x", true), None);
        assert_eq!(
            found("__Host-auterity_session=art_y", true).as_deref(),
            Some("art_y")
        );
        assert_eq!(found("xauterity_session=art_x", false), None);
        assert_eq!(found("auterity_session=", false), None);
    }
}
