use crate::error::{Error, FieldError};
use crate::secret::Secret;

/// The longest address that SMTP can carry (RFC 5321, 4.5.3.1.3, less the brackets).
const EMAIL_LENGTH_MAX: usize = 254;
const EMAIL_LOCAL_LENGTH_MAX: usize = 64;
const PASSWORD_CHARS_MIN: usize = 12;
const PASSWORD_CHARS_MAX: usize = 256;
const TENANT_NAME_CHARS_MAX: usize = 100;
const SLUG_LENGTH_MIN: usize = 3;
const SLUG_LENGTH_MAX: usize = 40;

/// Names that would be mistaken for the product's own pages, hosts or schemas.
const SLUGS_RESERVED: &[&str] = &[
    "about",
    "account",
    "accounts",
    "admin",
    "administrator",
    "api",
    "app",
    "assets",
    "auterity",
    "auth",
    "billing",
    "blog",
    "cdn",
    "console",
    "control",
    "dashboard",
    "docs",
    "example",
    "health",
    "help",
    "host",
    "information-schema",
    "internal",
    "livez",
    "localhost",
    "login",
    "logout",
    "mail",
    "metrics",
    "new",
    "none",
    "null",
    "openapi",
    "operator",
    "pg-catalog",
    "public",
    "readyz",
    "relay",
    "root",
    "security",
    "settings",
    "sign-in",
    "sign-out",
    "sign-up",
    "signin",
    "signout",
    "signup",
    "startupz",
    "static",
    "status",
    "superuser",
    "support",
    "system",
    "template",
    "tenant",
    "tenants",
    "undefined",
    "user",
    "users",
    "www",
];

/// What somebody gives to sign up.
#[derive(Debug, Clone)]
pub struct SignUp {
    /// The email address; case and blanks around it do not matter.
    pub email: String,
    /// The password, 12 to 256 characters.
    pub password: Secret,
    /// The display name of the new tenant.
    pub tenant_name: String,
    /// The short name of the new tenant: 3 to 40 of `a-z`, `0-9` and `-`.
    pub tenant_slug: String,
}

/// What somebody gives to sign in.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The email address; case and blanks around it do not matter.
    pub email: String,
    /// The password.
    pub password: Secret,
    /// The slug of the tenant to work in; without it, the one joined first.
    pub tenant: Option<String>,
}

/// A sign-up that keeps all rules.
#[derive(Debug)]
pub(crate) struct ValidSignUp {
    pub(crate) email: String,
    pub(crate) password: Secret,
    pub(crate) tenant_name: String,
    pub(crate) tenant_slug: String,
}

/// Checks a sign-up and reports all mistakes together.
pub(crate) fn validate(input: SignUp) -> Result<ValidSignUp, Error> {
    let email = normalise_email(&input.email);
    let tenant_name = input.tenant_name.trim().to_owned();
    let checks = [
        ("/email", check_email(&email)),
        ("/password", check_password(input.password.expose())),
        ("/tenant/name", check_tenant_name(&tenant_name)),
        ("/tenant/slug", check_slug(&input.tenant_slug)),
    ];
    let mut mistakes = Vec::new();
    for (pointer, check) in checks {
        if let Err(detail) = check {
            mistakes.push(FieldError {
                pointer,
                detail: detail.to_owned(),
            });
        }
    }
    if !mistakes.is_empty() {
        return Err(Error::invalid(mistakes));
    }
    Ok(ValidSignUp {
        email,
        password: input.password,
        tenant_name,
        tenant_slug: input.tenant_slug,
    })
}

/// Gives the form in which addresses are stored and compared.
pub(crate) fn normalise_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Tells whether an account can have this address; it is in its normal form.
pub(crate) fn may_be_email(email: &str) -> bool {
    check_email(email).is_ok()
}

/// Tells whether a tenant can have this short name.
pub(crate) fn may_be_slug(slug: &str) -> bool {
    check_slug(slug).is_ok()
}

fn check_email(email: &str) -> Result<(), &'static str> {
    const WRONG: &str = "must be an email address such as name@example.com";
    if EMAIL_LENGTH_MAX < email.len() {
        return Err("must be at most 254 bytes long");
    }
    let (local, domain) = email.rsplit_once('@').ok_or(WRONG)?;
    let plain = |text: &str| {
        !text.is_empty()
            && !text.contains("..")
            && !text.starts_with('.')
            && !text.ends_with('.')
            && !text.chars().any(|letter| {
                letter.is_whitespace() || letter.is_control() || "@<>()[]\\,;:\"".contains(letter)
            })
    };
    if EMAIL_LOCAL_LENGTH_MAX < local.len() || !plain(local) || !plain(domain) {
        return Err(WRONG);
    }
    Ok(())
}

fn check_password(password: &str) -> Result<(), &'static str> {
    // Counting stops early, so that a huge text costs nothing.
    let length = password.chars().take(PASSWORD_CHARS_MAX + 1).count();
    match length {
        ..PASSWORD_CHARS_MIN => Err("must have at least 12 characters"),
        PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX => Ok(()),
        _ => Err("must have at most 256 characters"),
    }
}

fn check_tenant_name(name: &str) -> Result<(), &'static str> {
    let length = name.chars().take(TENANT_NAME_CHARS_MAX + 1).count();
    if length == 0 || TENANT_NAME_CHARS_MAX < length {
        return Err("must have 1 to 100 characters");
    }
    if name.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    Ok(())
}

fn check_slug(slug: &str) -> Result<(), &'static str> {
    let plain = slug
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !plain || !(SLUG_LENGTH_MIN..=SLUG_LENGTH_MAX).contains(&slug.len()) {
        return Err("must be 3 to 40 lower-case letters, digits and hyphens");
    }
    if slug.starts_with('-') || slug.ends_with('-') || slug.contains("--") {
        return Err("must not start or end with a hyphen or have two in a row");
    }
    if SLUGS_RESERVED.contains(&slug) {
        return Err("is reserved; choose another");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_without_case_and_blanks() {
        assert_eq!(normalise_email("  Ada@Example.COM\n"), "ada@example.com");
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for good in ["a@b", "first.last+tag@mail.example.com", "ü@example.com"] {
            assert!(check_email(good).is_ok(), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        for bad in [
            "", "a", "@b", "a@", "a b@c", "a@b@c", "a@b..c", ".a@b", "a@b.", "<a>@b", "a\u{0}@b",
            &long,
        ] {
            assert!(check_email(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn passwords_have_12_to_256_characters() {
        for (length, holds) in [
            (0, false),
            (11, false),
            (12, true),
            (256, true),
            (257, false),
        ] {
            assert_eq!(
                check_password(&"ß".repeat(length)).is_ok(),
                holds,
                "{length}"
            );
        }
    }

    #[test]
    fn slugs_are_plain_and_not_reserved() {
        for good in ["abc", "acme-2", &"a".repeat(40)] {
            assert!(check_slug(good).is_ok(), "{good}");
        }
        for bad in [
            "ab",
            "Acme",
            "acme_1",
            "-acme",
            "acme-",
            "ac--me",
            "admin",
            "public",
            "аcme",
            "a b",
            &"a".repeat(41),
        ] {
            assert!(check_slug(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_mistakes_come_together() {
        let error = validate(SignUp {
            email: "x".into(),
            password: "short".into(),
            tenant_name: " ".into(),
            tenant_slug: "API".into(),
        })
        .unwrap_err();
        let pointers: Vec<_> = error.fields().iter().map(|field| field.pointer).collect();
        assert_eq!(
            pointers,
            ["/email", "/password", "/tenant/name", "/tenant/slug"]
        );
    }
}
