//! Digest access authentication (RFC 7616), as a client: one challenge, one answer.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use sha2::{Digest, Sha256, Sha512_256};
use url::{Position, Url};

use crate::clock::{Entropy, SystemEntropy};

/// Who signs in. It has no `Debug`.
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Sha256,
    Sha512,
}

/// What a server asks for.
#[derive(Debug)]
struct Challenge {
    algorithm: Algorithm,
    /// The algorithm as the server wrote it; absent where it wrote none.
    written: Option<String>,
    session: bool,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// Absent in challenges of before 1999.
    qop: bool,
}

/// Answers the strongest challenge that can be answered; gives none without one.
pub(super) fn answer(
    credentials: &Credentials,
    method: &str,
    url: &Url,
    headers: &HeaderMap,
) -> Option<HeaderValue> {
    let challenges = headers.get_all(WWW_AUTHENTICATE).iter();
    let challenges = challenges.filter_map(|value| Challenge::read(value.to_str().ok()?));
    let challenge = challenges.max_by_key(|challenge| challenge.algorithm)?;
    let mut random = [0_u8; 24];
    SystemEntropy.fill(&mut random);
    let uri = &url[Position::BeforePath..Position::AfterQuery];
    let text = challenge.answer(credentials, method, uri, &STANDARD.encode(random));
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

impl Challenge {
    fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let mut found = parameters(rest);
        let written = found.remove("algorithm");
        let name = written.as_deref().unwrap_or("MD5").to_ascii_uppercase();
        let (name, session) = match name.strip_suffix("-SESS") {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        let algorithm = match name {
            "MD5" => Algorithm::Md5,
            "SHA-256" => Algorithm::Sha256,
            "SHA-512-256" => Algorithm::Sha512,
            _ => return None,
        };
        let qop = match found.remove("qop") {
            None => false,
            Some(offered) => {
                let mut offered = offered.split(',').map(str::trim);
                offered.find(|one| one.eq_ignore_ascii_case("auth"))?;
                true
            }
        };
        Some(Self {
            algorithm,
            written,
            session,
            realm: found.remove("realm")?,
            nonce: found.remove("nonce")?,
            opaque: found.remove("opaque"),
            qop,
        })
    }

    fn answer(
        &self,
        credentials: &Credentials,
        method: &str,
        uri: &str,
        own_nonce: &str,
    ) -> String {
        const COUNT: &str = "00000001";
        let Self { realm, nonce, .. } = self;
        let Credentials { username, password } = credentials;
        let mut secret = self.hash(&format!("{username}:{realm}:{password}"));
        if self.session {
            secret = self.hash(&format!("{secret}:{nonce}:{own_nonce}"));
        }
        let asked = self.hash(&format!("{method}:{uri}"));
        let response = if self.qop {
            self.hash(&format!(
                "{secret}:{nonce}:{COUNT}:{own_nonce}:auth:{asked}"
            ))
        } else {
            self.hash(&format!("{secret}:{nonce}:{asked}"))
        };
        let mut text = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quoted(username),
            quoted(realm),
            quoted(nonce),
            quoted(uri),
        );
        if let Some(written) = &self.written {
            text.push_str(", algorithm=");
            text.push_str(written);
        }
        if let Some(opaque) = &self.opaque {
            text.push_str(", opaque=");
            text.push_str(&quoted(opaque));
        }
        if self.qop || self.session {
            text.push_str(", cnonce=");
            text.push_str(&quoted(own_nonce));
        }
        if self.qop {
            text.push_str(", qop=auth, nc=");
            text.push_str(COUNT);
        }
        text
    }

    fn hash(&self, text: &str) -> String {
        match self.algorithm {
            Algorithm::Md5 => hexadecimal(&Md5::digest(text)),
            Algorithm::Sha256 => hexadecimal(&Sha256::digest(text)),
            Algorithm::Sha512 => hexadecimal(&Sha512_256::digest(text)),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            write!(text, "{byte:02x}").expect("text takes whatever is written");
            text
        })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Reads `name=value, name="value"`; what follows a mistake is left out, a further
/// challenge in the same header included.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim();
        if name.is_empty() || name.contains(|letter: char| letter.is_whitespace() || letter == '"')
        {
            break;
        }
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(after) => match unquoted(after) {
                Some(both) => both,
                None => break,
            },
            None => {
                let (value, after) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        found.insert(name.to_ascii_lowercase(), value);
        rest = after.trim_start_matches([',', ' ', '\t']);
    }
    found
}

/// Reads up to the closing quote, and gives what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '"' => return Some((value, letters.as_str())),
            '\\' => value.push(letters.next()?),
            letter => value.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN_NONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn mufasa() -> Credentials {
        Credentials {
            username: "Mufasa".to_owned(),
            password: "Circle of Life".to_owned(),
        }
    }

    #[test]
    fn challenges_of_the_standard_get_its_answers() {
        // RFC 7616, section 3.9.1.
        let table = [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ];
        for (algorithm, response) in table {
            let text = format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            );
            let challenge = Challenge::read(&text).expect("a challenge");
            let answer = challenge.answer(&mufasa(), "GET", "/dir/index.html", OWN_NONCE);
            let own = parameters(answer.strip_prefix("Digest ").expect("the scheme"));
            assert_eq!(own["response"], response);
            assert_eq!(own["algorithm"], algorithm);
            assert_eq!(
                own["opaque"],
                "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
            );
            assert_eq!(
                (&*own["nc"], &*own["qop"], &*own["cnonce"]),
                ("00000001", "auth", OWN_NONCE)
            );
        }
    }

    #[test]
    fn old_challenge_without_qop_gets_the_old_answer() {
        let text =
            r#"digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093""#;
        let challenge = Challenge::read(text).expect("a challenge");
        let answer = challenge.answer(&mufasa(), "GET", "/dir/index.html", OWN_NONCE);
        assert!(
            !answer.contains("cnonce") && !answer.contains("qop"),
            "{answer}"
        );
    }

    #[test]
    fn challenges_that_cannot_be_answered_are_left_out() {
        let table = [
            "Basic realm=\"x\"",
            "Digest",
            "Digest realm=\"x\"",
            "Digest realm=\"x\", nonce=\"unclosed",
            "Digest realm=\"x\", nonce=\"1\", algorithm=SHA3",
            "Digest realm=\"x\", nonce=\"1\", qop=\"auth-int\"",
        ];
        for text in table {
            assert!(Challenge::read(text).is_none(), "{text}");
        }
        let strange = Challenge::read(r#"Digest realm="a \"b\", c", nonce=1,qop=auth"#);
        assert_eq!(strange.expect("a challenge").realm, "a \"b\", c");
    }
}
