//! What call tasks call.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::auth::ReferenceableAuthentication;
use super::endpoint::{Endpoint, ExternalResource};
use super::event::SubscriptionIterator;
use super::mistake::Place;
use super::parse::Node;
use super::record::{Closed, Fields, Open, Part, Reader, record, words};
use super::text::{Host, RuntimeExpression};
use super::timeout::Duration;
use super::union::{ObjectOrText, TextsOrExpression, one_of};

/// A call: what is called, and with what.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Call {
    AsyncApi(Box<AsyncApiArguments>),
    Grpc(Box<GrpcArguments>),
    Http(Box<HttpArguments>),
    OpenApi(Box<OpenApiArguments>),
    A2a(Box<A2aArguments>),
    Mcp(Box<McpArguments>),
    Function {
        name: String,
        with: Option<Map<String, Value>>,
    },
}

record! {
    HttpArguments: Closed, "an http call" {
        required method: String = "method",
        required endpoint: Endpoint = "endpoint",
        optional headers: TextsOrExpression = "headers",
        optional body: Value = "body",
        optional query: TextsOrExpression = "query",
        optional output: OutputFormat = "output",
        optional redirect: bool = "redirect",
    }
}

record! {
    OpenApiArguments: Closed, "an openapi call" {
        required document: ExternalResource = "document",
        required operation_id: String = "operationId",
        optional parameters: Map<String, Value> = "parameters",
        optional authentication: ReferenceableAuthentication = "authentication",
        optional output: OutputFormat = "output",
        optional redirect: bool = "redirect",
    }
}

words! {
    /// What of a response is given on.
    OutputFormat, "output format" {
        Raw = "raw",
        Content = "content",
        Response = "response",
    }
}

record! {
    GrpcArguments: Closed, "a grpc call" {
        required proto: ExternalResource = "proto",
        required service: GrpcService = "service",
        required method: String = "method",
        optional arguments: Map<String, Value> = "arguments",
    }
}

record! {
    GrpcService: Closed, "a grpc service" {
        required name: String = "name",
        required host: Host = "host",
        optional port: Port = "port",
        optional authentication: ReferenceableAuthentication = "authentication",
    }
}

/// A port number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port(pub(crate) u16);

impl Part for Port {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let number = i64::read(node, reader)?;
        match u16::try_from(number) {
            Ok(port) => Some(Self(port)),
            Err(_) => {
                let message = format!("{number} is no port");
                reader.report("out_of_range", message, "use a number from 0 to 65535");
                None
            }
        }
    }

    fn write(&self) -> Value {
        Value::from(self.0)
    }
}

record! {
    AsyncApiProperties: Closed, "an asyncapi call" {
        required document: ExternalResource = "document",
        optional channel: String = "channel",
        optional operation: String = "operation",
        optional server: AsyncApiServer = "server",
        optional protocol: AsyncApiProtocol = "protocol",
        optional message: AsyncApiMessage = "message",
        optional subscription: AsyncApiSubscription = "subscription",
        optional authentication: ReferenceableAuthentication = "authentication",
    }
}

/// Has either an operation or a channel, and either a message or a subscription.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AsyncApiArguments(pub(crate) AsyncApiProperties);

record! {
    AsyncApiServer: Closed, "the server" {
        required name: String = "name",
        optional variables: Map<String, Value> = "variables",
    }
}

record! {
    AsyncApiMessage: Closed, "the message" {
        optional payload: Map<String, Value> = "payload",
        optional headers: Map<String, Value> = "headers",
    }
}

record! {
    AsyncApiSubscription: Closed, "the subscription" {
        optional filter: RuntimeExpression = "filter",
        required consume: Consumption = "consume",
        optional foreach: SubscriptionIterator = "foreach",
    }
}

record! {
    ConsumptionProperties: Closed, "the consumption" {
        optional duration: Duration = "for",
        optional amount: i64 = "amount",
        optional condition: RuntimeExpression = "while",
        optional until: RuntimeExpression = "until",
    }
}

/// Has one of amount, while and until.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Consumption(pub(crate) ConsumptionProperties);

words! {
    AsyncApiProtocol, "protocol" {
        Amqp = "amqp",
        Amqp1 = "amqp1",
        AnypointMq = "anypointmq",
        GooglePubSub = "googlepubsub",
        Http = "http",
        IbmMq = "ibmmq",
        Jms = "jms",
        Kafka = "kafka",
        Mercure = "mercure",
        Mqtt = "mqtt",
        Mqtt5 = "mqtt5",
        Nats = "nats",
        Pulsar = "pulsar",
        Redis = "redis",
        Sns = "sns",
        Solace = "solace",
        Sqs = "sqs",
        Stomp = "stomp",
        Ws = "ws",
    }
}

record! {
    A2aArguments: Closed, "an a2a call" {
        optional agent_card: ExternalResource = "agentCard",
        optional server: Endpoint = "server",
        required method: A2aMethod = "method",
        optional parameters: ObjectOrText = "parameters",
    }
}

words! {
    A2aMethod, "a2a method" {
        MessageSend = "message/send",
        MessageStream = "message/stream",
        TasksGet = "tasks/get",
        TasksList = "tasks/list",
        TasksCancel = "tasks/cancel",
        TasksResubscribe = "tasks/resubscribe",
        PushSet = "tasks/pushNotificationConfig/set",
        PushGet = "tasks/pushNotificationConfig/get",
        PushList = "tasks/pushNotificationConfig/list",
        PushDelete = "tasks/pushNotificationConfig/delete",
        ExtendedCard = "agent/getAuthenticatedExtendedCard",
    }
}

record! {
    McpArguments: Open, "an mcp call" {
        optional protocol_version: String = "protocolVersion",
        required method: McpMethod = "method",
        optional parameters: ObjectOrText = "parameters",
        optional timeout: Duration = "timeout",
        required transport: McpTransport = "transport",
        optional client: McpClient = "client",
    }
}

words! {
    McpMethod, "mcp method" {
        ToolsList = "tools/list",
        ToolsCall = "tools/call",
        PromptsList = "prompts/list",
        PromptsGet = "prompts/get",
        ResourcesList = "resources/list",
        ResourcesRead = "resources/read",
        ResourceTemplatesList = "resources/templates/list",
    }
}

record! {
    McpTransportProperties: Open, "the transport" {
        optional http: McpHttp = "http",
        optional stdio: McpStdio = "stdio",
        optional options: IndexMap<String, String> = "options",
    }
}

/// Has one of http and stdio.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct McpTransport(pub(crate) McpTransportProperties);

record! {
    McpHttp: Open, "the http transport" {
        required endpoint: Endpoint = "endpoint",
        optional headers: IndexMap<String, String> = "headers",
    }
}

record! {
    McpStdio: Open, "the stdio transport" {
        required command: String = "command",
        optional arguments: Vec<String> = "arguments",
        optional environment: IndexMap<String, String> = "environment",
    }
}

record! {
    McpClient: Open, "the client" {
        required name: String = "name",
        required version: String = "version",
        optional description: String = "description",
    }
}

/// Makes the reader of a type that adds a check for exactly one of some properties.
macro_rules! exactly_one_of {
    ($name:ident($inner:ident), $what:literal, $( [$( $key:literal ),*] ),*) => {
        impl Part for $name {
            fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
                let mut complete = true;
                $( complete &= one_of(&mut reader.fields(node, $what)?, &[$( $key ),*]).is_some(); )*
                let properties = $inner::read(node, reader)?;
                complete.then_some(Self(properties))
            }

            fn write(&self) -> Value {
                self.0.write()
            }
        }
    };
}

exactly_one_of!(
    AsyncApiArguments(AsyncApiProperties),
    "an asyncapi call",
    ["operation", "channel"],
    ["message", "subscription"]
);
exactly_one_of!(
    Consumption(ConsumptionProperties),
    "the consumption",
    ["amount", "while", "until"]
);
exactly_one_of!(
    McpTransport(McpTransportProperties),
    "the transport",
    ["http", "stdio"]
);

impl Call {
    /// Takes `call` and `with` of a task.
    pub(crate) fn take(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let name: String = fields.required("call")?;
        match name.as_str() {
            "asyncapi" => fields.required("with").map(Self::AsyncApi),
            "grpc" => fields.required("with").map(Self::Grpc),
            "http" => fields.required("with").map(Self::Http),
            "openapi" => fields.required("with").map(Self::OpenApi),
            "a2a" => fields.required("with").map(Self::A2a),
            "mcp" => fields.required("with").map(Self::Mcp),
            _ => {
                let with = fields.optional("with");
                if name.is_empty() {
                    fields.reader.within("call", |reader| {
                        let message = "the name of the function is empty".to_owned();
                        reader.report_at("empty_text", Place::Value, message, "give a name");
                    });
                    return None;
                }
                Some(Self::Function { name, with })
            }
        }
    }

    /// Gives the name of what is called.
    pub(crate) fn function(&self) -> &str {
        match self {
            Self::AsyncApi(_) => "asyncapi",
            Self::Grpc(_) => "grpc",
            Self::Http(_) => "http",
            Self::OpenApi(_) => "openapi",
            Self::A2a(_) => "a2a",
            Self::Mcp(_) => "mcp",
            Self::Function { name, .. } => name,
        }
    }

    /// Gives the arguments as JSON.
    pub(crate) fn arguments(&self) -> Option<Value> {
        match self {
            Self::AsyncApi(with) => Some(with.write()),
            Self::Grpc(with) => Some(with.write()),
            Self::Http(with) => Some(with.write()),
            Self::OpenApi(with) => Some(with.write()),
            Self::A2a(with) => Some(with.write()),
            Self::Mcp(with) => Some(with.write()),
            Self::Function { with, .. } => with.as_ref().map(Part::write),
        }
    }

    pub(crate) fn put(&self, object: &mut Map<String, Value>) {
        object.insert("call".to_owned(), Value::String(self.function().to_owned()));
        if let Some(arguments) = self.arguments() {
            object.insert("with".to_owned(), arguments);
        }
    }
}
