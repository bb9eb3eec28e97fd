//! Server reflection: a server that describes its services itself.

use std::collections::BTreeSet;

use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value};
use protox::file::File;
use reqwest::header::HeaderValue;
use tokio_stream::StreamExt;
use tonic::metadata::MetadataValue;
use url::Url;

use super::channel::{Service, refusal};
use super::codec::Messages;
use super::proto::Pool;
use super::wrong;
use crate::functions::http::Http;
use crate::functions::http::request::within;
use crate::interpreter::Problem;

/// The part of the protocol that is spoken here; both of its versions have it.
const PROTOCOL: &str = r#"
syntax = "proto3";
package grpc.reflection.v1;
message Request {
  oneof request { string file_by_filename = 3; string file_containing_symbol = 4; }
}
message Response {
  oneof response { Files file_descriptor_response = 4; Error error_response = 7; }
}
message Files { repeated bytes file_descriptor_proto = 1; }
message Error { int32 error_code = 1; string error_message = 2; }
"#;

const PATHS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// How many files a server's description of a service consists of at most.
const FILES_MAX: usize = 256;

/// Asks a server what a service is.
pub(super) async fn describe(
    http: &Http,
    url: &Url,
    header: Option<HeaderValue>,
    service: &str,
) -> Result<Pool, Problem> {
    let mut asking = Asking::begin(http, url, header).await?;
    let mut found = asking.ask("file_containing_symbol", service).await?;
    let (mut files, mut bytes) = (Vec::new(), 0);
    let mut known = BTreeSet::new();
    while let Some(encoded) = found.pop() {
        bytes += encoded.len();
        within("description", bytes, http.options().response_bytes_max)?;
        within("number of described files", known.len() + 1, FILES_MAX)?;
        let file = FileDescriptorProto::decode(encoded.as_slice())
            .map_err(|_| wrong("the server's description cannot be read"))?;
        if !known.insert(file.name().to_owned()) {
            continue;
        }
        for needed in &file.dependency {
            if !known.contains(needed) {
                found.extend(asking.ask("file_by_filename", needed).await?);
            }
        }
        files.push(file);
    }
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_protos(files)
        .map_err(|_| wrong("the server's description does not hold together"))?;
    Ok(Pool::new(pool, bytes))
}

struct Asking {
    service: Service,
    path: &'static str,
    header: Option<HeaderValue>,
    request: MessageDescriptor,
    response: MessageDescriptor,
}

impl Asking {
    async fn begin(http: &Http, url: &Url, header: Option<HeaderValue>) -> Result<Self, Problem> {
        let secure = url.scheme() == "grpcs";
        let (scheme, port) = if secure { ("https", 443) } else { ("http", 80) };
        let host = url.host_str().unwrap_or_default();
        let port = url.port().unwrap_or(port);
        let address = Url::parse(&format!("{scheme}://{host}:{port}/"));
        let address =
            address.map_err(|_| wrong("the address of the server's description is none"))?;
        let file = File::from_source("reflection.proto", PROTOCOL);
        let pool = file.ok().and_then(|file| {
            let mut pool = DescriptorPool::new();
            pool.add_file_descriptor_proto(file.into()).ok()?;
            Some(pool)
        });
        let message = |name: &str| {
            pool.as_ref()?
                .get_message_by_name(&format!("grpc.reflection.v1.{name}"))
        };
        let (Some(request), Some(response)) = (message("Request"), message("Response")) else {
            return Err(wrong("this engine cannot ask for descriptions"));
        };
        Ok(Self {
            service: Service::connect(http, &address).await?,
            path: PATHS[0],
            header,
            request,
            response,
        })
    }

    /// Asks for files; the older version of the protocol where the server has no other.
    async fn ask(&mut self, what: &str, name: &str) -> Result<Vec<Vec<u8>>, Problem> {
        match self.ask_once(what, name).await {
            Err(problem) if problem.status == 501 && self.path == PATHS[0] => {
                self.path = PATHS[1];
                self.ask_once(what, name).await
            }
            other => other,
        }
    }

    async fn ask_once(&mut self, what: &str, name: &str) -> Result<Vec<Vec<u8>>, Problem> {
        let mut message = DynamicMessage::new(self.request.clone());
        message.set_field_by_name(what, Value::String(name.to_owned()));
        let mut request = tonic::Request::new(tokio_stream::once(message));
        let header = self.header.as_ref().and_then(|header| header.to_str().ok());
        if let Some(value) = header.and_then(|text| MetadataValue::try_from(text).ok()) {
            request.metadata_mut().insert("authorization", value);
        }
        let codec = Messages::new(self.response.clone());
        let mut answers = self.service.call(request, self.path, codec).await?;
        let answer = match answers.next().await {
            Some(answer) => answer.map_err(|status| refusal(&status))?,
            None => return Err(wrong("the server describes nothing")),
        };
        if answer.has_field_by_name("error_response") {
            return Err(wrong(format!("the server describes no {name}")));
        }
        let files = answer.get_field_by_name("file_descriptor_response");
        let files = files.as_ref().and_then(|files| files.as_message());
        let list = files.and_then(|files| {
            files
                .get_field_by_name("file_descriptor_proto")
                .map(std::borrow::Cow::into_owned)
        });
        let list = list.as_ref().and_then(Value::as_list).unwrap_or_default();
        let bytes = list.iter().filter_map(Value::as_bytes);
        Ok(bytes.map(|bytes| bytes.to_vec()).collect())
    }
}
