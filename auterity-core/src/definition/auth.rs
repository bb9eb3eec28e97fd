//! Authentication policies.

use serde_json::{Map, Value};

use super::parse::Node;
use super::record::{Closed, Open, Part, Reader, record, words};
use super::text::{Filled, Uri};
use super::union::one_of;

/// How to authenticate; either in place or by name of a policy under `use`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ReferenceableAuthentication {
    Use(Filled),
    Policy(AuthenticationPolicy),
}

/// How to authenticate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AuthenticationPolicy {
    Basic(SecretOr<UserAndPassword>),
    Bearer(SecretOr<BearerToken>),
    Digest(SecretOr<UserAndPassword>),
    OAuth2(SecretOr<Box<OAuth2>>),
    Oidc(SecretOr<Box<Oidc>>),
}

/// Properties in place, or the name of a secret that has them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SecretOr<T> {
    Secret(SecretReference),
    Inline(T),
}

record! {
    /// Names a secret.
    SecretReference: Closed, "a reference to a secret" {
        required name: Filled = "use",
    }
}

record! {
    /// For `basic` and `digest`.
    UserAndPassword: Closed, "the authentication" {
        required username: String = "username",
        required password: String = "password",
    }
}

record! {
    /// For `bearer`.
    BearerToken: Closed, "the authentication" {
        required token: String = "token",
    }
}

record! {
    /// For `oauth2`.
    OAuth2: Closed, "the authentication" {
        optional endpoints: OAuth2Endpoints = "endpoints",
        optional authority: Uri = "authority",
        optional grant: Grant = "grant",
        optional client: OAuth2Client = "client",
        optional request: OAuth2Request = "request",
        optional issuers: Vec<String> = "issuers",
        optional scopes: Vec<String> = "scopes",
        optional audiences: Vec<String> = "audiences",
        optional username: String = "username",
        optional password: String = "password",
        optional subject: OAuth2Token = "subject",
        optional actor: OAuth2Token = "actor",
    }
}

record! {
    /// For `oidc`: as `oauth2`, with endpoints found through the authority.
    Oidc: Closed, "the authentication" {
        optional authority: Uri = "authority",
        optional grant: Grant = "grant",
        optional client: OAuth2Client = "client",
        optional request: OAuth2Request = "request",
        optional issuers: Vec<String> = "issuers",
        optional scopes: Vec<String> = "scopes",
        optional audiences: Vec<String> = "audiences",
        optional username: String = "username",
        optional password: String = "password",
        optional subject: OAuth2Token = "subject",
        optional actor: OAuth2Token = "actor",
    }
}

record! {
    /// Paths below the authority.
    OAuth2Endpoints: Open, "the endpoints" {
        optional token: String = "token",
        optional revocation: String = "revocation",
        optional introspection: String = "introspection",
    }
}

record! {
    /// Who asks for a token.
    OAuth2Client: Closed, "the client" {
        optional id: String = "id",
        optional secret: String = "secret",
        optional assertion: String = "assertion",
        optional authentication: ClientAuthentication = "authentication",
    }
}

record! {
    /// How the request for a token is written.
    OAuth2Request: Open, "the request" {
        optional encoding: RequestEncoding = "encoding",
    }
}

record! {
    /// A token that another one is asked for with.
    OAuth2Token: Closed, "the token" {
        required token: String = "token",
        required kind: String = "type",
    }
}

words! {
    /// What a token is granted for.
    Grant, "grant" {
        AuthorizationCode = "authorization_code",
        ClientCredentials = "client_credentials",
        Password = "password",
        RefreshToken = "refresh_token",
        TokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange",
    }
}

words! {
    /// How the client proves itself.
    ClientAuthentication, "client authentication" {
        SecretBasic = "client_secret_basic",
        SecretPost = "client_secret_post",
        SecretJwt = "client_secret_jwt",
        PrivateKeyJwt = "private_key_jwt",
        None = "none",
    }
}

words! {
    /// The media type of the request for a token.
    RequestEncoding, "request encoding" {
        Form = "application/x-www-form-urlencoded",
        Json = "application/json",
    }
}

impl<T: Part> Part for SecretOr<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match node.get("use") {
            Some(_) => SecretReference::read(node, reader).map(Self::Secret),
            None => T::read(node, reader).map(Self::Inline),
        }
    }

    fn write(&self) -> Value {
        match self {
            Self::Secret(reference) => reference.write(),
            Self::Inline(part) => part.write(),
        }
    }
}

const POLICIES: [&str; 5] = ["basic", "bearer", "digest", "oauth2", "oidc"];

impl Part for AuthenticationPolicy {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "an authentication policy")?;
        let policy = match one_of(&mut fields, &POLICIES) {
            Some("basic") => fields.optional("basic").map(Self::Basic),
            Some("bearer") => fields.optional("bearer").map(Self::Bearer),
            Some("digest") => fields.optional("digest").map(Self::Digest),
            Some("oauth2") => fields.optional("oauth2").map(Self::OAuth2),
            Some(_) => fields.optional("oidc").map(Self::Oidc),
            None => return None,
        };
        fields.close();
        policy
    }

    fn write(&self) -> Value {
        let (name, value) = match self {
            Self::Basic(part) => ("basic", part.write()),
            Self::Bearer(part) => ("bearer", part.write()),
            Self::Digest(part) => ("digest", part.write()),
            Self::OAuth2(part) => ("oauth2", part.write()),
            Self::Oidc(part) => ("oidc", part.write()),
        };
        let mut object = Map::new();
        object.insert(name.to_owned(), value);
        Value::Object(object)
    }
}

impl Part for ReferenceableAuthentication {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        if node.get("use").is_none() {
            return AuthenticationPolicy::read(node, reader).map(Self::Policy);
        }
        let mut fields = reader.fields(node, "a reference to an authentication policy")?;
        let name = fields.required("use");
        fields.close();
        name.map(Self::Use)
    }

    fn write(&self) -> Value {
        match self {
            Self::Use(name) => {
                let mut object = Map::new();
                object.insert("use".to_owned(), name.write());
                Value::Object(object)
            }
            Self::Policy(policy) => policy.write(),
        }
    }
}
