//! A local double of the pet store and of httpbin, as far as the kit calls them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The services that the kit's definitions name.
const PUBLIC: [&str; 2] = ["https://petstore.swagger.io", "https://httpbin.org"];
/// How large a request may be.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// Serves on a free port until the test's process ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Double {
    address: SocketAddr,
}

impl Double {
    /// Starts to serve.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || serve(&stream, address));
            }
        });
        Self { address }
    }

    /// Gives the base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts the double in the place of the public services in a definition.
    pub(crate) fn rewrite(&self, definition: &str) -> String {
        let base = self.url();
        PUBLIC.iter().fold(definition.to_owned(), |text, host| {
            text.replace(host, &base)
        })
    }
}

/// Answers one request and closes; none where the client went away.
fn serve(mut stream: &TcpStream, address: SocketAddr) -> Option<()> {
    let mut reader = BufReader::new(stream.take(REQUEST_BYTES_MAX));
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut authorization = None;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = Some(value.trim().to_owned()),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (status, answer) = match method.as_str() {
        "GET" => get(&target, authorization.as_deref(), address),
        _ => (405, json!({"message": "method not allowed"})),
    };
    let answer = answer.to_string();
    let challenge = match status {
        401 => "WWW-Authenticate: Basic realm=\"double\"\r\n",
        _ => "",
    };
    let head = format!(
        "HTTP/1.1 {status} \r\nContent-Type: application/json\r\n{challenge}Content-Length: {}\r\n\
         Connection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(answer.as_bytes()).ok()
}

fn get(target: &str, authorization: Option<&str>, address: SocketAddr) -> (u16, Value) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["v2", "swagger.json"] => (200, description(address)),
        ["v2", "pet", "findByStatus"] => {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let status = pairs.find(|(name, _)| *name == "status");
            let status = status.map_or("available", |(_, value)| value);
            (200, json!([pet(1, status), pet(2, status)]))
        }
        ["v2", "pet", id] => match id.parse() {
            Ok(id) => (200, pet(id, "available")),
            Err(_) => not_found(),
        },
        ["basic-auth", user, password] => {
            let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            if authorization == Some(expected.as_str()) {
                (200, json!({"authenticated": true, "user": user}))
            } else {
                (401, json!({"authenticated": false}))
            }
        }
        _ => not_found(),
    }
}

fn pet(id: u32, status: &str) -> Value {
    json!({
        "id": id,
        "category": {"id": 1, "name": "dogs"},
        "name": format!("pet {id}"),
        "photoUrls": [],
        "tags": [],
        "status": status,
    })
}

fn not_found() -> (u16, Value) {
    (
        404,
        json!({"code": 404, "type": "unknown", "message": "not found"}),
    )
}

/// Gives the Swagger 2.0 description of the operations that the kit calls.
fn description(address: SocketAddr) -> Value {
    let parameter = |name: &str, place: &str, schema: Value| {
        let mut parameter = json!({"name": name, "in": place, "required": true});
        if let (Some(parameter), Value::Object(schema)) = (parameter.as_object_mut(), schema) {
            parameter.extend(schema);
        }
        parameter
    };
    json!({
        "swagger": "2.0",
        "info": {"title": "Pet store double", "version": "1.0.0"},
        "host": address.to_string(),
        "basePath": "/v2",
        "schemes": ["http"],
        "paths": {
            "/pet/findByStatus": {"get": {
                "operationId": "findPetsByStatus",
                "produces": ["application/json"],
                "parameters": [parameter("status", "query", json!({
                    "type": "array",
                    "items": {"type": "string", "enum": ["available", "pending", "sold"]},
                    "collectionFormat": "multi",
                }))],
                "responses": {"200": {
                    "description": "the pets",
                    "schema": {"type": "array", "items": {"$ref": "#/definitions/Pet"}},
                }},
            }},
            "/pet/{petId}": {"get": {
                "operationId": "getPetById",
                "produces": ["application/json"],
                "parameters": [parameter("petId", "path", json!({
                    "type": "integer", "format": "int64",
                }))],
                "responses": {
                    "200": {"description": "the pet", "schema": {"$ref": "#/definitions/Pet"}},
                    "404": {"description": "no such pet"},
                },
            }},
        },
        "definitions": {"Pet": {"type": "object", "properties": {
            "id": {"type": "integer", "format": "int64"},
            "name": {"type": "string"},
            "status": {"type": "string"},
        }}},
    })
}

#[tokio::test]
async fn the_double_answers_as_the_services_do() {
    let base = Double::start().url();
    let client = reqwest::Client::new();
    let get = async |path: &str, login: Option<(&str, &str)>| {
        let request = client.get(format!("{base}{path}"));
        let request = match login {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        let response = request.send().await.expect("answers");
        let status = response.status().as_u16();
        let text = response.text().await.expect("has a body");
        let body: Value = serde_json::from_str(&text).expect("answers JSON");
        (status, body)
    };
    let (status, body) = get("/v2/pet/7", None).await;
    assert_eq!((status, &body["id"]), (200, &json!(7)));
    let (status, body) = get("/v2/pet/findByStatus?status=sold", None).await;
    assert_eq!((status, &body[0]["status"]), (200, &json!("sold")));
    let (status, _) = get("/v2/pet/getPetByName/Milou", None).await;
    assert_eq!(status, 404);
    let (status, body) = get("/v2/swagger.json", None).await;
    let operation = &body["paths"]["/pet/{petId}"]["get"]["operationId"];
    assert_eq!((status, operation), (200, &json!("getPetById")));
    let (status, _) = get("/basic-auth/a/b", None).await;
    assert_eq!(status, 401);
    let (status, _) = get("/basic-auth/a/b", Some(("a", "c"))).await;
    assert_eq!(status, 401);
    let (status, body) = get("/basic-auth/a/b", Some(("a", "b"))).await;
    assert_eq!((status, &body["authenticated"]), (200, &json!(true)));
}
