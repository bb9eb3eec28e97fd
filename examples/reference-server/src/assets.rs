//! The embedded web UI: the files that `build.rs` packed, and the endpoint that serves them.

use std::{io::Cursor, sync::OnceLock};

use poem::{
    Body, Endpoint, Request, Response, Result,
    error::{MethodNotAllowedError, NotFoundError},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};

include!(concat!(env!("OUT_DIR"), "/assets_table.rs"));

const APP_PAGE: &str = "index.html";
/// Prefixes that never answer with the app: a client that expects JSON must not get HTML.
const SERVER_PREFIXES: [&str; 3] = ["api", ".well-known", "assets"];
/// A path that ends like a file is a missing file and not a page of the app. Versions such as
/// `1.0.0` end a page's path, so this is a list and not "has a dot".
const FILE_EXTENSIONS: [&str; 16] = [
    "avif",
    "css",
    "gif",
    "html",
    "ico",
    "jpg",
    "js",
    "json",
    "map",
    "mjs",
    "png",
    "svg",
    "txt",
    "webmanifest",
    "webp",
    "woff2",
];

/// One file of the bundle; text is kept as Brotli only and unpacked for clients without it.
struct Asset {
    path: &'static str,
    /// Hash of the unpacked content.
    hash: &'static str,
    is_brotli: bool,
    bytes: &'static [u8],
}

/// The endpoint for everything that is not the API: files of the bundle, else the app's page.
pub(crate) fn endpoint() -> impl Endpoint {
    Assets::new(FILES, SCRIPT_HASHES, STYLE_HASHES, PRELOADS)
}

struct Assets {
    files: &'static [Asset],
    /// Unpacked contents, filled when a client first asks for one; same order as `files`.
    unpacked: Vec<OnceLock<Vec<u8>>>,
    policy: String,
    preloads: String,
}

impl Endpoint for Assets {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        self.answer(request.method(), request.uri().path(), request.headers())
    }
}

impl Assets {
    fn new(
        files: &'static [Asset],
        script_hashes: &[&str],
        style_hashes: &[&str],
        preloads: &[&str],
    ) -> Self {
        Self {
            files,
            unpacked: files.iter().map(|_| OnceLock::new()).collect(),
            policy: format!(
                "default-src 'none'; script-src 'self'{}; style-src 'self'{}; img-src 'self' \
                 data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src \
                 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
                quoted(script_hashes),
                quoted(style_hashes)
            ),
            preloads: preloads.join(", "),
        }
    }

    /// Refusals are errors, which the HTTP layer gives the form of all others.
    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Response> {
        if method != Method::GET && method != Method::HEAD {
            return Err(MethodNotAllowedError.into());
        }
        match self.find(path.trim_start_matches('/')) {
            Some(index) => Ok(self.serve(index, method, headers)),
            None => Err(NotFoundError.into()),
        }
    }

    /// The file for a path: itself, or the app's page for a path the app may know.
    fn find(&self, path: &str) -> Option<usize> {
        let exact = self.files.iter().position(|file| file.path == path);
        if exact.is_some() {
            return exact;
        }
        let first = path.split('/').next().unwrap_or_default();
        let extension = path
            .rsplit('/')
            .next()
            .and_then(|last| last.rsplit_once('.'));
        let is_file = extension.is_some_and(|(_, extension)| FILE_EXTENSIONS.contains(&extension));
        if SERVER_PREFIXES.contains(&first) || is_file {
            return None;
        }
        self.files.iter().position(|file| file.path == APP_PAGE)
    }

    fn serve(&self, index: usize, method: &Method, headers: &HeaderMap) -> Response {
        let file = &self.files[index];
        let is_packed = file.is_brotli && accepts_brotli(headers);
        let is_page = file
            .path
            .rsplit_once('.')
            .is_some_and(|(_, extension)| extension == "html");
        // A strong tag names one exact sequence of bytes, so each encoding has its own.
        let tag = format!("\"{}{}\"", file.hash, if is_packed { "-br" } else { "" });

        let mut response = Response::builder()
            .header(header::ETAG, &tag)
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(
                header::CACHE_CONTROL,
                if file.path.starts_with("assets/") {
                    "public, max-age=31536000, immutable"
                } else {
                    "no-cache"
                },
            );
        if file.is_brotli {
            response = response.header(header::VARY, "Accept-Encoding");
        }
        if is_page {
            response = response
                .header(header::CONTENT_SECURITY_POLICY, &self.policy)
                .header(header::REFERRER_POLICY, "same-origin")
                .header("cross-origin-opener-policy", "same-origin");
            if !self.preloads.is_empty() {
                response = response.header(header::LINK, &self.preloads);
            }
        }
        if headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .any(|value| names_tag(value, &tag))
        {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }

        if is_packed {
            response = response.header(header::CONTENT_ENCODING, "br");
        }
        let bytes = if is_packed {
            file.bytes
        } else {
            self.unpacked(index)
        };
        let response = response
            .header(header::CONTENT_TYPE, media_type(file.path))
            .header(header::CONTENT_LENGTH, bytes.len());
        if method == Method::HEAD {
            return response.finish();
        }
        // The table is static; what was unpacked lives as long as this endpoint and is copied,
        // which only clients without Brotli pay for.
        response.body(if is_packed || !file.is_brotli {
            Body::from(file.bytes)
        } else {
            Body::from_vec(bytes.to_vec())
        })
    }

    fn unpacked(&self, index: usize) -> &[u8] {
        let file = &self.files[index];
        if !file.is_brotli {
            return file.bytes;
        }
        self.unpacked[index].get_or_init(|| {
            let mut bytes = Vec::new();
            brotli::BrotliDecompress(&mut Cursor::new(file.bytes), &mut bytes)
                .expect("the build packed this file itself");
            bytes
        })
    }
}

fn media_type(path: &str) -> String {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let is_text = guess.type_() == mime_guess::mime::TEXT
        || guess.subtype() == mime_guess::mime::JAVASCRIPT
        || guess.subtype() == mime_guess::mime::JSON;
    if is_text {
        format!("{guess}; charset=utf-8")
    } else {
        guess.to_string()
    }
}

/// Whether the client takes Brotli: the coding or `*` is listed and not with weight zero.
fn accepts_brotli(headers: &HeaderMap) -> bool {
    let weight_of = |wanted: &str| {
        headers
            .get_all(header::ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .find_map(|item| {
                let mut parts = item.split(';').map(str::trim);
                if !parts.next()?.eq_ignore_ascii_case(wanted) {
                    return None;
                }
                let weight = parts.find_map(|part| part.strip_prefix("q="));
                weight.map_or(Some(1.0), |weight| weight.parse::<f32>().ok())
            })
    };
    weight_of("br")
        .or_else(|| weight_of("*"))
        .is_some_and(|weight| weight > 0.0)
}

fn names_tag(value: &HeaderValue, tag: &str) -> bool {
    value.to_str().is_ok_and(|value| {
        value
            .split(',')
            .map(|item| item.trim().trim_start_matches("W/"))
            .any(|item| item == tag || item == "*")
    })
}

fn quoted(hashes: &[&str]) -> String {
    hashes.iter().flat_map(|hash| [" '", hash, "'"]).collect()
}

#[cfg(test)]
mod tests {
    use poem::test::{TestClient, TestResponse};

    use super::*;

    const PAGE: &[u8] = b"<!doctype html><title>Auterity</title>";
    const SCRIPT: &[u8] = b"console.log('an instrument, calm and dense')";

    fn packed(bytes: &[u8]) -> &'static [u8] {
        let mut out = Vec::new();
        let options = brotli::enc::BrotliEncoderParams::default();
        brotli::BrotliCompress(&mut Cursor::new(bytes), &mut out, &options)
            .expect("memory does not fail");
        out.leak()
    }

    fn client() -> TestClient<Assets> {
        let files = vec![
            Asset {
                path: "assets/app-1a2b.js",
                hash: "aa",
                is_brotli: true,
                bytes: packed(SCRIPT),
            },
            Asset {
                path: "assets/inter.woff2",
                hash: "bb",
                is_brotli: false,
                bytes: b"wOF2",
            },
            Asset {
                path: "index.html",
                hash: "cc",
                is_brotli: true,
                bytes: packed(PAGE),
            },
        ];
        TestClient::new(Assets::new(
            files.leak(),
            &["sha256-abc="],
            &[],
            &["</assets/app-1a2b.js>; rel=modulepreload"],
        ))
    }

    fn header_of<'a>(response: &'a TestResponse, name: &str) -> &'a str {
        response
            .0
            .headers()
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
    }

    #[tokio::test]
    async fn assets_come_packed_or_plain_as_the_client_asks() {
        let client = client();
        for (accepted, encoding, tag) in [
            ("gzip, br", "br", "\"aa-br\""),
            ("BR;q=0.5", "br", "\"aa-br\""),
            ("*", "br", "\"aa-br\""),
            ("gzip, br;q=0", "", "\"aa\""),
            ("br;q=0, *", "", "\"aa\""),
            ("identity", "", "\"aa\""),
        ] {
            let response = client
                .get("/assets/app-1a2b.js")
                .header("accept-encoding", accepted)
                .send()
                .await;
            response.assert_status_is_ok();
            assert_eq!(
                header_of(&response, "content-encoding"),
                encoding,
                "{accepted}"
            );
            assert_eq!(header_of(&response, "etag"), tag, "{accepted}");
            assert_eq!(header_of(&response, "vary"), "Accept-Encoding");
            assert!(header_of(&response, "cache-control").contains("immutable"));
            assert_eq!(
                header_of(&response, "content-type"),
                "text/javascript; charset=utf-8"
            );
            let body = response.0.into_body().into_vec().await.expect("in memory");
            assert_eq!(
                body,
                if encoding.is_empty() {
                    SCRIPT
                } else {
                    packed(SCRIPT)
                }
            );
        }
    }

    #[tokio::test]
    async fn binary_assets_are_served_as_they_are() {
        let response = client()
            .get("/assets/inter.woff2")
            .header("accept-encoding", "br")
            .send()
            .await;
        assert_eq!(header_of(&response, "content-encoding"), "");
        assert_eq!(header_of(&response, "content-type"), "font/woff2");
        assert_eq!(header_of(&response, "content-length"), "4");
        response.assert_bytes(b"wOF2").await;
    }

    #[tokio::test]
    async fn pages_of_the_app_answer_with_its_page_and_policy() {
        let client = client();
        for path in [
            "/",
            "/index.html",
            "/executions/exe_1",
            "/workflows/a/b/versions/1.0.0",
        ] {
            let response = client.get(path).send().await;
            response.assert_status_is_ok();
            assert_eq!(
                header_of(&response, "content-type"),
                "text/html; charset=utf-8"
            );
            assert_eq!(header_of(&response, "cache-control"), "no-cache");
            assert_eq!(
                header_of(&response, "link"),
                "</assets/app-1a2b.js>; rel=modulepreload"
            );
            let policy = header_of(&response, "content-security-policy");
            assert!(
                policy.contains("script-src 'self' 'sha256-abc=';"),
                "{policy}"
            );
            assert!(!policy.contains("unsafe"), "{policy}");
            response.assert_bytes(PAGE).await;
        }
    }

    #[tokio::test]
    async fn missing_files_and_api_paths_are_never_pages() {
        let client = client();
        for path in [
            "/assets/gone.js",
            "/assets/..%2f..%2fetc",
            "/favicon.ico",
            "/api",
            "/api/v1/nothing",
            "/.well-known/nothing",
        ] {
            let response = client.get(path).send().await;
            response.assert_status(StatusCode::NOT_FOUND);
            assert!(
                !header_of(&response, "content-type").contains("html"),
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn known_tags_answer_not_modified() {
        let client = client();
        for (tag, status) in [
            ("\"cc\"", StatusCode::NOT_MODIFIED),
            ("W/\"cc\", \"other\"", StatusCode::NOT_MODIFIED),
            ("*", StatusCode::NOT_MODIFIED),
            ("\"cc-br\"", StatusCode::OK),
            ("\"other\"", StatusCode::OK),
        ] {
            let response = client
                .get("/workflows")
                .header("if-none-match", tag)
                .send()
                .await;
            response.assert_status(status);
            assert_eq!(header_of(&response, "etag"), "\"cc\"");
        }
    }

    #[tokio::test]
    async fn head_has_the_length_and_no_body_and_other_methods_are_refused() {
        let client = client();
        let response = client.head("/").send().await;
        response.assert_status_is_ok();
        assert_eq!(
            header_of(&response, "content-length"),
            PAGE.len().to_string()
        );
        response.assert_bytes(b"").await;

        let response = client.post("/").send().await;
        response.assert_status(StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn every_embedded_file_unpacks() {
        let assets = Assets::new(FILES, SCRIPT_HASHES, STYLE_HASHES, PRELOADS);
        assert!(assets.find("").is_some(), "the app's page is embedded");
        for (index, file) in FILES.iter().enumerate() {
            assert!(!assets.unpacked(index).is_empty(), "{}", file.path);
        }
    }
}
