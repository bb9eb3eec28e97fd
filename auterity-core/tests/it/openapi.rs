//! `call: openapi` against local servers.

use std::sync::Arc;

use auterity_core::functions::{Function, Invocation, OpenApi};
use auterity_core::interpreter::Problem;
use serde_json::{Value, json};

use crate::double::{self, open};
use crate::http::server::{Server, echoed};
use crate::kit::double::Double;

fn function() -> OpenApi {
    OpenApi::new(open())
}

fn invocation(tenant: u128, arguments: Value) -> Invocation {
    Invocation {
        input: Arc::new(json!({"file": "api"})),
        ..double::invocation(tenant, arguments)
    }
}

async fn call(arguments: Value) -> Result<Value, Problem> {
    function().call(invocation(1, arguments)).await
}

fn detail(problem: &Problem) -> &str {
    problem.detail.as_deref().unwrap_or_default()
}

/// Gives the arguments of a call of the double.
fn pets(double: &Double, operation: &str, parameters: Value) -> Value {
    json!({
        "document": {"endpoint": format!("{}/v2/swagger.json", double.url())},
        "operationId": operation,
        "parameters": parameters,
    })
}

/// Calls the one operation, `subject`, of a document that a server holds.
async fn call_of(server: &Server, document: &str, rest: Value) -> Result<Value, Problem> {
    server.hold(document);
    let mut arguments = json!({
        "document": {"endpoint": server.url("/held/{file}.yaml")},
        "operationId": "subject",
    });
    let object = arguments.as_object_mut().expect("an object");
    object.extend(rest.as_object().cloned().unwrap_or_default());
    call(arguments).await
}

#[tokio::test]
async fn operations_of_swagger_are_called() {
    let double = Double::start();
    let found = call(pets(&double, "findPetsByStatus", json!({"status": "sold"}))).await;
    let found = found.expect("an answer");
    assert_eq!(found[0]["status"], "sold");
    let mut arguments = pets(&double, "getPetById", json!({"petId": 7}));
    arguments["output"] = json!("response");
    let answer = call(arguments).await.expect("an answer");
    assert_eq!(answer["request"]["method"], "GET");
    assert_eq!(
        answer["request"]["uri"],
        format!("{}/v2/pet/7", double.url())
    );
    assert_eq!(answer["request"]["headers"]["accept"], "application/json");
    assert_eq!(
        (&answer["statusCode"], &answer["content"]["id"]),
        (&json!(200), &json!(7))
    );
}

#[tokio::test]
async fn slips_are_told_clearly() {
    let double = Double::start();
    let table = [
        (
            "getPetByID",
            json!({"petId": 1}),
            "no operation \"getPetByID\"; did you mean \"getPetById\"?",
        ),
        (
            "getPetById",
            json!({}),
            "\"getPetById\" needs the parameter \"petId\"",
        ),
        (
            "getPetById",
            json!({"petId": null}),
            "needs the parameter \"petId\"",
        ),
        (
            "getPetById",
            json!({"petId": ""}),
            "\"petId\" of the path is empty",
        ),
        ("getPetById", json!({"petId": ".."}), "another directory"),
        (
            "getPetById",
            json!({"petId": [[1]]}),
            "\"petId\" cannot be written",
        ),
        (
            "getPetById",
            json!({"petId": 1, "petid": 1}),
            "no parameter \"petid\"; did you mean \"petId\"?",
        ),
        ("getPetById", json!([1]), "'parameters' must be an object"),
    ];
    for (operation, parameters, wanted) in table {
        let problem = call(pets(&double, operation, parameters))
            .await
            .expect_err(wanted);
        assert!(detail(&problem).contains(wanted), "{wanted}: {problem:?}");
        assert_eq!(problem.status, 400, "{problem:?}");
    }
    let failed = call(pets(&double, "getPetById", json!({"petId": "none"}))).await;
    assert_eq!(failed.expect_err("a problem").status, 404);
}

#[tokio::test]
async fn unreadable_documents_are_told() {
    let server = Server::start();
    let table = [
        ("{\"openapi\": ", "neither JSON nor YAML: line 1"),
        ("a: [", "neither JSON nor YAML: line 1"),
        ("just a text", "describes no API"),
        ("openapi: 2.0.0", "describes no API"),
        ("openapi: 3.1.0", "no operation \"subject\""),
        (
            "{openapi: 3.0.0, paths: {/a: {get: {operationId: subject, parameters: [{$ref: 'other.yaml#/x'}]}}}}",
            "other documents are not followed",
        ),
        (
            "{openapi: 3.0.0, paths: {/a: {get: {operationId: subject, parameters: [{$ref: '#/x'}]}}}, x: {$ref: '#/x'}}",
            "in a circle",
        ),
        (
            "{openapi: 3.0.0, paths: {'/a/{id}': {get: {operationId: subject}}}}",
            "no parameter \"id\", which is in the operation's path",
        ),
    ];
    for (document, wanted) in table {
        let problem = call_of(&server, document, json!({}))
            .await
            .expect_err(wanted);
        assert!(detail(&problem).contains(wanted), "{wanted}: {problem:?}");
    }
    let arguments =
        json!({"document": {"endpoint": server.url("/status/404")}, "operationId": "subject"});
    let problem = call(arguments).await.expect_err("a problem");
    assert_eq!(problem.status, 404);
    assert!(
        detail(&problem).contains("document could not be fetched"),
        "{problem:?}"
    );
}

#[tokio::test]
async fn private_documents_and_servers_are_refused_unless_allowed() {
    let server = Server::start();
    let arguments =
        json!({"document": {"endpoint": server.url("/json")}, "operationId": "subject"});
    let problem = OpenApi::default().call(invocation(1, arguments)).await;
    let problem = problem.expect_err("a problem");
    assert!(
        detail(&problem).contains("not a public address"),
        "{problem:?}"
    );
    assert_eq!(server.received().len(), 0);
    let document = "{openapi: 3.0.0, servers: [{url: 'http://169.254.169.254/'}], \
                    paths: {/a: {get: {operationId: subject}}}}";
    let problem = call_of(&server, document, json!({}))
        .await
        .expect_err("a problem");
    assert!(
        detail(&problem).contains("not a public address"),
        "{problem:?}"
    );
}

const EVERY_PLACE: &str = "
openapi: 3.1.0
servers:
  - url: ../{base}/
    variables: {base: {default: echo}}
components:
  parameters:
    list: {name: list, in: query, schema: {type: array}}
  requestBodies:
    Pet:
      required: true
      content:
        application/xml: {}
        application/json: {schema: {$ref: '#/components/schemas/Pet'}}
  schemas:
    Pet:
      allOf:
        - properties: {name: {type: string}}
        - properties: {tags: {type: array}}
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Api-Key}
paths:
  /pets/{petId}/{kinds}:
    parameters:
      - {name: petId, in: path, required: true}
      - {name: kinds, in: path, required: true}
    post:
      operationId: subject
      parameters:
        - $ref: '#/components/parameters/list'
        - {name: joined, in: query, explode: false}
        - {name: piped, in: query, style: pipeDelimited}
        - {name: deep, in: query, style: deepObject}
        - {name: spread, in: query}
        - {name: filter, in: query, content: {application/json: {}}}
        - {name: X-Count, in: header}
        - {name: session, in: cookie}
      requestBody: {$ref: '#/components/requestBodies/Pet'}
      responses:
        200: {content: {application/xml: {}, application/json: {}}}
        404: {content: {text/plain: {}}}
";

#[tokio::test]
async fn parameters_go_where_the_document_puts_them() {
    let server = Server::start();
    let rest = json!({
        "authentication": {"bearer": {"token": "t"}},
        "parameters": {
            "petId": "a/b {c}",
            "kinds": ["x", 2],
            "list": ["one", "two"],
            "joined": [1, 2],
            "piped": [1, 2],
            "deep": {"a": 1, "b": [2, 3]},
            "spread": {"s": true},
            "filter": {"f": 1},
            "X-Count": 3,
            "X-Api-Key": "k",
            "session": "a b",
            "name": "Rex",
            "tags": ["good"],
        },
    });
    let sent = call_of(&server, EVERY_PLACE, rest)
        .await
        .expect("an answer");
    assert_eq!(sent["method"], "POST");
    let target = sent["target"].as_str().expect("a target");
    let (path, query) = target.split_once('?').expect("a query");
    assert_eq!(path, "/echo/pets/a%2Fb%20%7Bc%7D/x%2C2");
    let mut pairs: Vec<_> = query.split('&').collect();
    pairs.sort_unstable();
    assert_eq!(
        pairs,
        [
            "deep%5Ba%5D=1",
            "deep%5Bb%5D=2",
            "deep%5Bb%5D=3",
            "filter=%7B%22f%22%3A1%7D",
            "joined=1%2C2",
            "list=one",
            "list=two",
            "piped=1%7C2",
            "s=true",
        ]
    );
    let header = |name: &str| echoed(&sent, name);
    assert_eq!(header("x-count").as_deref(), Some("3"));
    assert_eq!(header("x-api-key").as_deref(), Some("k"));
    assert_eq!(header("cookie").as_deref(), Some("session=a%20b"));
    assert_eq!(header("authorization").as_deref(), Some("Bearer t"));
    assert_eq!(header("accept").as_deref(), Some("application/json"));
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    assert_eq!(header("idempotency-key").as_deref(), Some("exe-1-7"));
    let body: Value = serde_json::from_str(sent["body"].as_str().expect("a body")).expect("JSON");
    assert_eq!(body, json!({"name": "Rex", "tags": ["good"]}));
    let document = server
        .received()
        .into_iter()
        .find(|one| one.target.starts_with("/held"));
    let headers = document.expect("the document was fetched").headers;
    assert_eq!(headers.get("authorization"), None);
    let lacking = json!({"parameters": {"petId": 1, "kinds": "x"}});
    let problem = call_of(&server, EVERY_PLACE, lacking)
        .await
        .expect_err("a problem");
    assert!(
        detail(&problem).contains("needs the parameter \"body\""),
        "{problem:?}"
    );
}

#[tokio::test]
async fn bodies_are_written_as_the_document_says() {
    let server = Server::start();
    let open = |media: &str| {
        format!(
            "{{openapi: 3.0.0, servers: [{{url: /echo}}], paths: {{/a: {{put: \
             {{operationId: subject, requestBody: {{content: {{{media}: {{}}}}}}}}}}}}}}"
        )
    };
    let swagger = |rest: &str| {
        format!(
            "{{swagger: '2.0', basePath: /echo, paths: {{/a: {{put: {{operationId: subject, {rest}}}}}}}}}"
        )
    };
    let field = "parameters: [{name: x, in: formData}]";
    let pet = "parameters: [{name: pet, in: body}]";
    let json_type = "application/json";
    let form = "application/x-www-form-urlencoded";
    let table = [
        (open(json_type), json!({"body": [1, 2]}), "[1,2]", json_type),
        (
            open(json_type),
            json!({"body": "text"}),
            "\"text\"",
            json_type,
        ),
        (open(json_type), json!({"a": 1}), r#"{"a":1}"#, json_type),
        (open("'*/*'"), json!({"a": 1}), r#"{"a":1}"#, json_type),
        (
            open(form),
            json!({"a": "1 2", "b": true}),
            "a=1+2&b=true",
            form,
        ),
        (open("text/csv"), json!({"body": "a,b"}), "a,b", "text/csv"),
        (
            swagger(pet),
            json!({"pet": {"id": 1}}),
            r#"{"id":1}"#,
            json_type,
        ),
        (swagger(field), json!({"x": "y z"}), "x=y+z", form),
    ];
    for (document, parameters, body, media) in table {
        let sent = call_of(&server, &document, json!({"parameters": parameters})).await;
        let sent = sent.unwrap_or_else(|problem| panic!("{document}: {problem:?}"));
        assert_eq!(sent["body"], body, "{document}");
        assert_eq!(
            echoed(&sent, "content-type").as_deref(),
            Some(media),
            "{document}"
        );
        assert_eq!(sent["target"], "/echo/a", "{document}");
    }
    let refused = [
        (open("application/xml"), json!({"body": {"a": 1}})),
        (
            swagger("consumes: [multipart/form-data], parameters: [{name: x, in: formData}]"),
            json!({"x": 1}),
        ),
    ];
    for (document, parameters) in refused {
        let problem = call_of(&server, &document, json!({"parameters": parameters})).await;
        assert_eq!(problem.expect_err(&document).status, 400);
    }
}

#[tokio::test]
async fn documents_are_kept_for_each_tenant_and_its_credentials() {
    let server = Server::start();
    server.hold(
        "{openapi: 3.0.0, servers: [{url: /echo}], paths: {/a: {get: {operationId: subject}}}}",
    );
    let plain =
        json!({"document": {"endpoint": server.url("/held/api")}, "operationId": "subject"});
    let mut signed = plain.clone();
    signed["document"]["endpoint"] = json!({
        "uri": server.url("/held/api"),
        "authentication": {"bearer": {"token": "t"}},
    });
    let function = function();
    let fetched = || {
        let received = server.received().into_iter();
        received
            .filter(|one| one.target.starts_with("/held"))
            .count()
    };
    for (tenant, arguments, wanted) in [
        (1, &plain, 1),
        (1, &plain, 1),
        (1, &signed, 2),
        (1, &signed, 2),
        (2, &plain, 3),
    ] {
        let called = function.call(invocation(tenant, arguments.clone())).await;
        called.expect("an answer");
        assert_eq!(fetched(), wanted);
    }
}
