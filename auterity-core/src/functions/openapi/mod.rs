//! `openapi`: calls an operation that a Swagger 2.0 or OpenAPI 3 document describes.
//!
//! Where the standard leaves room:
//! - The document is fetched with the same guard and limits as any http call, follows
//!   redirections, and is kept for a minute, for each tenant and way to authenticate.
//!   References to other documents are not followed.
//! - The operation is called at the first of its servers; a Swagger 2.0 document that
//!   allows `https` is called by it.
//! - Parameters go where the document puts them, API keys of its security schemes
//!   included; a name with several places goes to each. The body is the parameter
//!   `body` (Swagger 2.0: the body's own name); without it, parameters that are
//!   properties of the body make it up. A parameter that has no place is refused, for
//!   it is a slip.
//! - `authentication` is that of the operation; the document's endpoint has its own.
//! - What comes out is as for `http`, and so is `redirect`.

mod document;
mod parameter;
mod request;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use self::document::Document;
use super::documents::{Documents, key};
use super::http::request::{Call, Caller, endpoint, parse};
use super::http::{response, template};
use super::{Function, Http, HttpOptions, Invocation};
use crate::interpreter::{Problem, ProblemKind};

/// Calls operations of APIs that are described by a document.
pub struct OpenApi {
    http: Arc<Http>,
    documents: Documents<Document>,
}

impl OpenApi {
    /// Makes the function; documents and operations are reached within these options.
    #[must_use]
    pub fn new(options: HttpOptions) -> Self {
        Self::over(Arc::new(Http::new(options)))
    }

    /// Makes the function; it shares connections and tokens with others.
    pub(super) fn over(http: Arc<Http>) -> Self {
        Self {
            http,
            documents: Documents::default(),
        }
    }

    /// Gives the document that a call names.
    async fn document(
        &self,
        invocation: &Invocation,
        arguments: &Map<String, Value>,
    ) -> Result<Arc<Document>, Problem> {
        let Some(Value::Object(resource)) = arguments.get("document") else {
            return Err(wrong("an openapi call needs the object 'document'"));
        };
        let (uri, policy) = endpoint(resource)?;
        let url = parse(&template::expand(uri, &invocation.input)?)?;
        let key = key(invocation, &url, policy);
        let made = self.documents.get(key, || async {
            let accept = "application/json, application/yaml;q=0.9, */*;q=0.1";
            let fetched = self.http.fetch((url, policy), invocation, accept).await;
            let (url, body) = fetched.map_err(|mut problem| {
                let detail = problem.detail.take().unwrap_or_default();
                problem.detail = Some(format!("the API's document could not be fetched: {detail}"));
                problem
            })?;
            self.documents
                .parse(move || Document::parse(url, &body))
                .await
        });
        made.await
    }

    async fn perform(&self, invocation: &Invocation) -> Result<Value, Problem> {
        let Value::Object(arguments) = &invocation.arguments else {
            return Err(wrong("the arguments of an openapi call must be an object"));
        };
        let Some(Value::String(id)) = arguments.get("operationId") else {
            return Err(wrong("an openapi call needs the text 'operationId'"));
        };
        let none = Map::new();
        let parameters = match arguments.get("parameters") {
            None | Some(Value::Null) => &none,
            Some(Value::Object(parameters)) => parameters,
            Some(_) => return Err(wrong("'parameters' must be an object")),
        };
        let document = self.document(invocation, arguments).await?;
        let operation = document.operation(id)?;
        let (url, mut made) = request::request(&document, &operation, parameters)?;
        for name in ["output", "redirect"] {
            if let Some(value) = arguments.get(name) {
                made.insert(name.to_owned(), value.clone());
            }
        }
        let policy = arguments.get("authentication");
        let policy = policy.filter(|policy| !policy.is_null());
        let options = self.http.options();
        let call = Call::to((url, policy), &made, Caller::of(invocation), options)?;
        let output = call.output;
        let answer = self.http.exchange(call).await?;
        response::output(answer, output)
    }
}

impl Default for OpenApi {
    fn default() -> Self {
        Self::new(HttpOptions::default())
    }
}

impl fmt::Debug for OpenApi {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("OpenApi")
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Function for OpenApi {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        self.http.in_time(self.perform(&invocation)).await
    }
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Configuration, detail)
}
