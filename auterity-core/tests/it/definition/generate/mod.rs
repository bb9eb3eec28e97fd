//! Definitions made at random, as JSON values: each construct of the standard.

mod values;

use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use serde_json::{Value, json};

use self::values::{
    boolean, data, duration, expression, filled, filled_text, integer, items, json, list, merged,
    name, named, object, one, or, record, text, texts, timeout, uri, words, words_of,
};

type Values = BoxedStrategy<Value>;
type Properties = Vec<(&'static str, Values)>;

/// Makes whole definitions that can be parsed; their references may lead nowhere.
pub(super) fn definition() -> Values {
    let version = select(vec!["1.0.0", "0.1.2-alpha.1+b.2", "10.20.30"]).prop_map(Value::from);
    let document = record(
        vec![
            (
                "dsl",
                select(vec!["1.0.3", "1.0.0", "1.0.1-alpha5"])
                    .prop_map(Value::from)
                    .boxed(),
            ),
            ("namespace", name()),
            ("name", name()),
            ("version", version.boxed()),
        ],
        vec![
            ("title", text()),
            ("summary", text()),
            ("tags", object()),
            ("metadata", object()),
        ],
    );
    record(
        vec![("document", document), ("do", tasks(2))],
        vec![
            ("input", data("from")),
            ("use", reusable()),
            ("timeout", or(timeout(), text())),
            ("output", data("as")),
            ("schedule", schedule()),
            ("evaluate", words_of("mode", &["strict", "loose"])),
        ],
    )
}

fn reusable() -> Values {
    let extension = record(
        vec![("extend", words(&["call", "composite", "all"]))],
        vec![("when", text()), ("before", tasks(0)), ("after", tasks(0))],
    );
    record(
        vec![],
        vec![
            ("authentications", named(policy())),
            ("errors", named(error())),
            ("extensions", items(extension)),
            ("functions", named(task(1))),
            ("retries", named(retry())),
            ("secrets", list(text())),
            ("timeouts", named(timeout())),
            (
                "catalogs",
                named(record(vec![("endpoint", endpoint())], vec![])),
            ),
        ],
    )
}

fn schedule() -> Values {
    record(
        vec![],
        vec![
            ("every", duration()),
            (
                "cron",
                words(&["0 0 * * *", "*/5 1-3 * JAN MON-FRI", "0 0 0 1 1 ?"]),
            ),
            ("after", duration()),
            ("on", strategy()),
        ],
    )
}

fn tasks(depth: u32) -> Values {
    items(task(depth))
}

/// Makes a task of any kind, with up to so many levels of tasks inside.
fn task(depth: u32) -> Values {
    let mut kinds = vec![
        call(),
        one("emit", one("event", emitted())),
        one("raise", one("error", or(error(), text()))),
        one("run", run()),
        one("set", or(filled(), expression())),
        one("wait", duration()),
        one(
            "switch",
            items(record(vec![("then", text())], vec![("when", text())])),
        ),
        record(vec![("listen", listen())], vec![("foreach", foreach(0))]),
    ];
    if 0 < depth {
        let inner = || tasks(depth - 1);
        let each = record(vec![("in", text())], vec![("each", text()), ("at", text())]);
        kinds.push(one("do", inner()));
        kinds.push(one(
            "fork",
            record(vec![("branches", inner())], vec![("compete", boolean())]),
        ));
        kinds.push(record(
            vec![("for", each), ("do", inner())],
            vec![("while", text())],
        ));
        kinds.push(record(
            vec![("try", inner()), ("catch", catch(depth - 1))],
            vec![],
        ));
        kinds.push(record(
            vec![("listen", listen())],
            vec![("foreach", foreach(depth))],
        ));
    }
    let base = record(
        vec![],
        vec![
            ("if", text()),
            ("input", data("from")),
            ("output", data("as")),
            ("export", data("as")),
            ("timeout", or(timeout(), text())),
            ("then", text()),
            ("metadata", object()),
        ],
    );
    let kind = proptest::strategy::Union::new(kinds);
    (base, kind)
        .prop_map(|(base, kind)| merged(base, kind))
        .boxed()
}

fn catch(depth: u32) -> Values {
    let filter = record(
        vec![("type", text())],
        vec![
            ("status", integer()),
            ("instance", text()),
            ("title", text()),
            ("details", text()),
        ],
    );
    record(
        vec![],
        vec![
            ("errors", one("with", filter)),
            ("as", text()),
            ("when", text()),
            ("exceptWhen", text()),
            ("retry", or(retry(), text())),
            ("do", tasks(depth)),
        ],
    )
}

fn retry() -> Values {
    let attempt = record(vec![], vec![("count", integer()), ("duration", duration())]);
    let factor = select(vec![json!(1), json!(1.5), json!(3)]).boxed();
    let backoff = prop_oneof![
        one("constant", object()),
        one("linear", record(vec![], vec![("increment", duration())])),
        one(
            "exponential",
            record(vec![], vec![("factor", factor), ("maxDelay", duration())])
        ),
    ];
    record(
        vec![],
        vec![
            ("when", text()),
            ("exceptWhen", text()),
            ("delay", duration()),
            ("backoff", backoff.boxed()),
            (
                "limit",
                record(vec![], vec![("attempt", attempt), ("duration", duration())]),
            ),
            (
                "jitter",
                record(vec![("from", duration()), ("to", duration())], vec![]),
            ),
        ],
    )
}

fn error() -> Values {
    record(
        vec![("type", uri()), ("status", integer())],
        vec![("instance", text()), ("title", text()), ("detail", text())],
    )
}

fn listen() -> Values {
    record(
        vec![("to", strategy())],
        vec![("read", words(&["data", "envelope", "raw"]))],
    )
}

/// Makes an iterator, with so many levels of tasks inside.
fn foreach(levels: u32) -> Values {
    let mut properties = vec![
        ("item", text()),
        ("at", text()),
        ("output", data("as")),
        ("export", data("as")),
    ];
    if 0 < levels {
        properties.push(("do", tasks(levels - 1)));
    }
    record(vec![], properties)
}

fn strategy() -> Values {
    let filters = || list(filter());
    let plain = || {
        prop_oneof![
            one("one", filter()),
            one("all", filters()),
            one("any", filters())
        ]
        .boxed()
    };
    let until = or(plain(), text());
    prop_oneof![
        plain(),
        record(vec![("any", filters()), ("until", until)], vec![])
    ]
    .boxed()
}

fn filter() -> Values {
    let correlation = record(vec![("from", text())], vec![("expect", text())]);
    record(
        vec![("with", attributes(vec![]))],
        vec![("correlate", named(correlation))],
    )
}

fn emitted() -> Values {
    let with = attributes(vec![("source", uri()), ("type", text())]);
    one("with", with)
}

fn attributes(required: Properties) -> Values {
    let time = words(&["2026-01-31T12:00:00Z", "${ now }"]);
    let mut optional = vec![
        ("id", text()),
        ("time", time),
        ("subject", text()),
        ("datacontenttype", text()),
        ("dataschema", uri()),
        ("data", json()),
        ("traceparent", json()),
    ];
    if required.is_empty() {
        optional.push(("source", uri()));
        optional.push(("type", text()));
    }
    record(required, optional)
}

fn call() -> Values {
    let with = |function: &'static str, with: Values| {
        let function = Just(Value::from(function)).boxed();
        record(vec![("call", function), ("with", with)], vec![])
    };
    let format = || words(&["raw", "content", "response"]);
    let http = record(
        vec![("method", text()), ("endpoint", endpoint())],
        vec![
            ("headers", or(texts(), expression())),
            ("body", json()),
            ("query", or(texts(), expression())),
            ("output", format()),
            ("redirect", boolean()),
        ],
    );
    let openapi = record(
        vec![("document", resource()), ("operationId", text())],
        vec![
            ("parameters", object()),
            ("authentication", authentication()),
            ("output", format()),
            ("redirect", boolean()),
        ],
    );
    let service = record(
        vec![
            ("name", text()),
            ("host", words(&["example.com", "localhost"])),
        ],
        vec![
            ("port", any::<u16>().prop_map(Value::from).boxed()),
            ("authentication", authentication()),
        ],
    );
    let grpc = record(
        vec![
            ("proto", resource()),
            ("service", service),
            ("method", text()),
        ],
        vec![("arguments", object())],
    );
    let a2a = record(
        vec![("method", words(&["message/send", "tasks/get"]))],
        vec![
            ("agentCard", resource()),
            ("server", endpoint()),
            ("parameters", or(object(), text())),
        ],
    );
    let function = record(
        vec![(
            "call",
            words(&["sendMail", "log:1.0.0@catalog", "https://e.com/f.yaml"]),
        )],
        vec![("with", object())],
    );
    prop_oneof![
        with("http", http),
        with("openapi", openapi),
        with("grpc", grpc),
        with("asyncapi", asyncapi()),
        with("a2a", a2a),
        with("mcp", mcp()),
        function,
    ]
    .boxed()
}

fn asyncapi() -> Values {
    let server = record(vec![("name", text())], vec![("variables", object())]);
    let message = record(vec![], vec![("payload", object()), ("headers", object())]);
    let consume = || {
        let until = prop_oneof![
            one("amount", integer()),
            one("while", expression()),
            one("until", expression()),
        ];
        (record(vec![], vec![("for", duration())]), until)
            .prop_map(|(a, b)| merged(a, b))
            .boxed()
    };
    let subscription = record(
        vec![("consume", consume())],
        vec![("filter", expression()), ("foreach", foreach(0))],
    );
    let common = record(
        vec![("document", resource())],
        vec![
            ("server", server),
            ("protocol", words(&["amqp", "kafka", "ws"])),
            ("authentication", authentication()),
        ],
    );
    let target = prop_oneof![one("operation", text()), one("channel", text())];
    let action = prop_oneof![one("message", message), one("subscription", subscription)];
    (common, target, action)
        .prop_map(|(a, b, c)| merged(merged(a, b), c))
        .boxed()
}

fn mcp() -> Values {
    let http = record(vec![("endpoint", endpoint())], vec![("headers", texts())]);
    let stdio = record(
        vec![("command", text())],
        vec![("arguments", list(text())), ("environment", texts())],
    );
    let transport = (
        prop_oneof![one("http", http), one("stdio", stdio)],
        record(vec![], vec![("options", texts())]),
    );
    let client = record(
        vec![("name", text()), ("version", text())],
        vec![("description", text())],
    );
    record(
        vec![
            ("method", words(&["tools/list", "tools/call"])),
            (
                "transport",
                transport.prop_map(|(a, b)| merged(a, b)).boxed(),
            ),
        ],
        vec![
            ("protocolVersion", text()),
            ("parameters", or(object(), text())),
            ("timeout", duration()),
            ("client", client),
        ],
    )
}

fn run() -> Values {
    let lifetime = prop_oneof![
        words_of("cleanup", &["always", "never"]),
        record(
            vec![("cleanup", words(&["eventually"])), ("after", duration())],
            vec![]
        ),
    ];
    let container = record(
        vec![("image", text())],
        vec![
            ("name", text()),
            ("command", text()),
            ("ports", object()),
            ("volumes", object()),
            ("environment", object()),
            ("stdin", text()),
            ("arguments", list(text())),
            ("lifetime", lifetime.boxed()),
            ("pullPolicy", words(&["ifNotPresent", "always", "never"])),
        ],
    );
    let process = |required: Properties| {
        record(
            required,
            vec![
                ("stdin", text()),
                ("arguments", list(text())),
                ("environment", object()),
            ],
        )
    };
    let workflow = record(
        vec![
            ("namespace", name()),
            ("name", name()),
            ("version", words(&["latest", "1.0.0"])),
        ],
        vec![("input", object())],
    );
    let process = prop_oneof![
        one("container", container),
        one(
            "script",
            process(vec![("language", text()), ("code", text())])
        ),
        one(
            "script",
            process(vec![("language", text()), ("source", resource())])
        ),
        one("shell", process(vec![("command", text())])),
        one("workflow", workflow),
    ];
    let common = record(
        vec![],
        vec![
            ("await", boolean()),
            (
                "return",
                words(&["stdout", "stderr", "code", "all", "none"]),
            ),
        ],
    );
    (common, process).prop_map(|(a, b)| merged(a, b)).boxed()
}

fn authentication() -> Values {
    prop_oneof![one("use", filled_text()), policy()].boxed()
}

fn policy() -> Values {
    let user = || record(vec![("username", text()), ("password", text())], vec![]);
    let secret = || one("use", filled_text());
    let token = || record(vec![("token", text()), ("type", text())], vec![]);
    let client = || {
        let methods = words(&["client_secret_basic", "private_key_jwt", "none"]);
        record(
            vec![],
            vec![
                ("id", text()),
                ("secret", text()),
                ("assertion", text()),
                ("authentication", methods),
            ],
        )
    };
    let oidc = || {
        vec![
            ("authority", words(&["https://login.example.com/{tenant}"])),
            ("grant", words(&["authorization_code", "password"])),
            ("client", client()),
            ("request", words_of("encoding", &["application/json"])),
            ("issuers", list(text())),
            ("scopes", list(text())),
            ("audiences", list(text())),
            ("username", text()),
            ("password", text()),
            ("subject", token()),
            ("actor", token()),
        ]
    };
    let mut oauth2 = oidc();
    let endpoints = record(
        vec![],
        vec![
            ("token", text()),
            ("revocation", text()),
            ("introspection", text()),
        ],
    );
    oauth2.push(("endpoints", endpoints));
    prop_oneof![
        one("basic", prop_oneof![user(), secret()].boxed()),
        one("digest", prop_oneof![user(), secret()].boxed()),
        one(
            "bearer",
            prop_oneof![one("token", text()), secret()].boxed()
        ),
        one(
            "oauth2",
            prop_oneof![record(vec![], oauth2), secret()].boxed()
        ),
        one(
            "oidc",
            prop_oneof![record(vec![], oidc()), secret()].boxed()
        ),
    ]
    .boxed()
}

fn endpoint() -> Values {
    let configured = record(
        vec![("uri", uri())],
        vec![("authentication", authentication())],
    );
    prop_oneof![uri(), configured].boxed()
}

fn resource() -> Values {
    record(vec![("endpoint", endpoint())], vec![("name", text())])
}
