//! Descriptions of services: proto documents and what they import.

use std::collections::BTreeMap;

use prost_reflect::DescriptorPool;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use serde_json::{Map, Value};
use url::Url;

use super::{reflection, text, wrong};
use crate::functions::Invocation;
use crate::functions::documents::{Document, Documents, key};
use crate::functions::http::request::{endpoint, parse, within};
use crate::functions::http::{Http, template};
use crate::interpreter::Problem;

/// How many documents one description consists of at most.
const FILES_MAX: usize = 64;
/// How much of the compiler's words a problem repeats.
const MESSAGE_CHARS_MAX: usize = 300;

/// A description of services that was read.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) pool: DescriptorPool,
    bytes: usize,
}

impl Pool {
    pub(super) fn new(pool: DescriptorPool, bytes: usize) -> Self {
        Self { pool, bytes }
    }
}

impl Document for Pool {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Where a description is.
pub(super) struct Source<'s> {
    url: Url,
    policy: Option<&'s Value>,
    /// The service, for a server that describes itself.
    service: &'s str,
}

impl<'s> Source<'s> {
    pub(super) fn read(
        arguments: &'s Map<String, Value>,
        invocation: &Invocation,
    ) -> Result<Self, Problem> {
        let Some(Value::Object(resource)) = arguments.get("proto") else {
            return Err(wrong("a grpc call needs the object 'proto'"));
        };
        let Some(Value::Object(service)) = arguments.get("service") else {
            return Err(wrong("a grpc call needs the object 'service'"));
        };
        let (uri, policy) = endpoint(resource)?;
        Ok(Self {
            url: parse(&template::expand(uri, &invocation.input)?)?,
            policy,
            service: text(service, "name")?,
        })
    }

    /// Gives the description, out of the cache or from its place.
    pub(super) async fn pool(
        &self,
        pools: &Documents<Pool>,
        http: &Http,
        invocation: &Invocation,
    ) -> Result<std::sync::Arc<Pool>, Problem> {
        let mut key_url = self.url.clone();
        let reflects = matches!(self.url.scheme(), "grpc" | "grpcs");
        if reflects {
            // Each service has a description of its own.
            key_url.set_fragment(Some(self.service));
        }
        let key = key(invocation, &key_url, self.policy);
        let made = pools.get(key, || async {
            if reflects {
                let tenant = invocation.scope.tenant();
                let header = match self.policy {
                    Some(policy) => Some(http.authorization(policy, tenant).await?),
                    None => None,
                };
                return reflection::describe(http, &self.url, header, self.service).await;
            }
            let files = self.fetch(http, invocation).await?;
            pools.parse(move || files.compile()).await
        });
        made.await
    }

    /// Fetches the document and whatever it imports from beside it.
    async fn fetch(&self, http: &Http, invocation: &Invocation) -> Result<Files, Problem> {
        let accept = "text/plain, application/octet-stream;q=0.9, */*;q=0.1";
        let from = (self.url.clone(), self.policy);
        let (found, body) = http.fetch(from, invocation, accept).await?;
        let Ok(source) = String::from_utf8(body.clone()) else {
            return Ok(Files::Compiled(body));
        };
        let main = found
            .path()
            .rsplit('/')
            .next()
            .filter(|name| !name.is_empty());
        let main = main.unwrap_or("main.proto").to_owned();
        let mut files = BTreeMap::new();
        let mut open = imports(&main, &source)?;
        let mut bytes = source.len();
        files.insert(main.clone(), source);
        while let Some(name) = open.pop() {
            if files.contains_key(&name) || GoogleFileResolver::new().open_file(&name).is_ok() {
                continue;
            }
            within("number of proto documents", files.len() + 1, FILES_MAX)?;
            let url = found
                .join(&name)
                .map_err(|_| wrong("an import has a name that is no path"))?;
            // What was for the first server is for no other.
            let policy = self.policy.filter(|_| url.origin() == self.url.origin());
            let (_, body) = http.fetch((url, policy), invocation, accept).await?;
            bytes += body.len();
            within("proto documents", bytes, http.options().response_bytes_max)?;
            let source = String::from_utf8(body);
            let source = source.map_err(|_| wrong("an imported proto document is no text"))?;
            open.extend(imports(&name, &source)?);
            files.insert(name, source);
        }
        Ok(Files::Sources { main, files, bytes })
    }
}

fn imports(name: &str, source: &str) -> Result<Vec<String>, Problem> {
    let file = File::from_source(name, source).map_err(|error| unreadable(&error))?;
    Ok(file.file_descriptor_proto().dependency.clone())
}

/// What was fetched.
enum Files {
    Sources {
        main: String,
        files: BTreeMap<String, String>,
        bytes: usize,
    },
    /// A descriptor set.
    Compiled(Vec<u8>),
}

impl Files {
    /// Makes the description. May take a while.
    fn compile(self) -> Result<Pool, Problem> {
        match self {
            Self::Compiled(set) => {
                let pool = DescriptorPool::decode(set.as_slice());
                let pool = pool.map_err(|_| {
                    wrong("the proto document is neither text nor a descriptor set")
                })?;
                Ok(Pool::new(pool, set.len()))
            }
            Self::Sources { main, files, bytes } => {
                let mut resolver = ChainFileResolver::new();
                resolver.add(Memory(files));
                resolver.add(GoogleFileResolver::new());
                let mut compiler = Compiler::with_file_resolver(resolver);
                compiler.include_imports(true);
                compiler
                    .open_file(&main)
                    .map_err(|error| unreadable(&error))?;
                Ok(Pool::new(compiler.descriptor_pool(), bytes))
            }
        }
    }
}

/// Documents that are in memory.
struct Memory(BTreeMap<String, String>);

impl FileResolver for Memory {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.get(name) {
            Some(source) => File::from_source(name, source),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

fn unreadable(error: &protox::Error) -> Problem {
    let words: String = error.to_string().chars().take(MESSAGE_CHARS_MAX).collect();
    wrong(format!("the proto document cannot be read: {words}"))
}
