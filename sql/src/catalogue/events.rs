//! The events and fields themselves. Only data.

use model::EventKind;

use super::FieldType::{Boolean, Integer, List, Map, Payload, Text};
use super::{EventInfo, FieldInfo, FieldType, Sample};

const fn both(name: &'static str, field_type: FieldType, doc: &'static str, sample: Sample) -> FieldInfo {
    FieldInfo { v5: name, v3: name, field_type, doc, sample }
}

const fn v5(name: &'static str, field_type: FieldType, doc: &'static str, sample: Sample) -> FieldInfo {
    FieldInfo { v5: name, v3: "", field_type, doc, sample }
}

const fn v3(name: &'static str, field_type: FieldType, doc: &'static str, sample: Sample) -> FieldInfo {
    FieldInfo { v5: "", v3: name, field_type, doc, sample }
}

const COMMON: &[FieldInfo] = &[
    both("event", Text, "Name of the event.", Sample::Text("message.publish")),
    both("timestamp", Integer, "When it happened, milliseconds since the epoch.", Sample::Now),
    both("node", Text, "Name of the node it happened on.", Sample::Text("weir@127.0.0.1")),
];

const CLIENT: &[FieldInfo] = &[
    FieldInfo {
        v5: "clientid",
        v3: "client_id",
        field_type: Text,
        doc: "Client identifier.",
        sample: Sample::Text("c_emqx"),
    },
    both("username", Text, "User name of the client.", Sample::Text("u_emqx")),
];

const PEER: &[FieldInfo] = &[
    v5("peerhost", Text, "IP address of the client.", Sample::Text("127.0.0.1")),
    both("peername", Text, "IP address and port of the client.", Sample::Text("127.0.0.1:52918")),
];

const MESSAGE: &[FieldInfo] = &[
    both("id", Text, "Identifier of the message, unique on its node.", Sample::Text("5C0D4B1A2F3E6A0001")),
    both("topic", Text, "Topic of the message.", Sample::Text("t/a")),
    both(
        "payload",
        Payload,
        "Payload as published; a path below it reads it as JSON.",
        Sample::Text("{\"msg\": \"hello\"}"),
    ),
    both("qos", Integer, "QoS, 0 to 2.", Sample::Integer(1)),
    v3("retain", Integer, "RETAIN flag, 0 or 1.", Sample::Integer(0)),
    v5("flags", Map, "Flags of the PUBLISH: retain, dup, sys.", Sample::Json("{\"retain\":false,\"dup\":false}")),
    v5("pub_props", Map, "MQTT 5 properties of the PUBLISH.", Sample::Json("{}")),
    v5("publish_received_at", Integer, "When the broker received it, milliseconds since the epoch.", Sample::Now),
];

const CLIENT_ATTRS: &[FieldInfo] =
    &[v5("client_attrs", Map, "Attributes set when the client was authenticated.", Sample::Json("{}"))];

const SENDER: &[FieldInfo] = &[
    FieldInfo {
        v5: "from_clientid",
        v3: "from_client_id",
        field_type: Text,
        doc: "Client that published.",
        sample: Sample::Text("c_emqx_1"),
    },
    both("from_username", Text, "User name of the client that published.", Sample::Text("u_emqx_1")),
];

const PUBACK: &[FieldInfo] =
    &[v5("puback_props", Map, "MQTT 5 properties of the acknowledgement.", Sample::Json("{}"))];

const REASON: &[FieldInfo] = &[both("reason", Text, "Why.", Sample::Text("no_subscribers"))];

const V3_CLIENT: &[FieldInfo] = &[
    v3("auth_result", Text, "Result of the authentication.", Sample::Text("success")),
    both("mountpoint", Text, "Prefix put before the client's topics.", Sample::Text("")),
];

const CONNECTION: &[FieldInfo] = &[
    v5("sockname", Text, "Address of the listener.", Sample::Text("0.0.0.0:1883")),
    v5("proto_name", Text, "Protocol name.", Sample::Text("MQTT")),
    both("proto_ver", Integer, "Protocol level: 3, 4 or 5.", Sample::Integer(5)),
    both("keepalive", Integer, "Keep alive, seconds.", Sample::Integer(60)),
    both("clean_start", Boolean, "Clean start flag.", Sample::Boolean(true)),
    v5("expiry_interval", Integer, "Session expiry interval, seconds.", Sample::Integer(3600)),
];

const CONNECTED: &[FieldInfo] = &[
    v5("receive_maximum", Integer, "Receive maximum of the client.", Sample::Integer(32)),
    both("is_bridge", Boolean, "Whether the client is a bridge.", Sample::Boolean(false)),
    both("connected_at", Integer, "When it connected, milliseconds since the epoch.", Sample::Now),
    v3("connack", Integer, "Result code of the CONNACK.", Sample::Integer(0)),
    v5("conn_props", Map, "MQTT 5 properties of the CONNECT.", Sample::Json("{}")),
];

const DISCONNECTED: &[FieldInfo] = &[
    FieldInfo {
        v5: "reason",
        v3: "reason_code",
        field_type: Text,
        doc: "Why the connection ended.",
        sample: Sample::Text("normal"),
    },
    v5("sockname", Text, "Address of the listener.", Sample::Text("0.0.0.0:1883")),
    v5("proto_name", Text, "Protocol name.", Sample::Text("MQTT")),
    v5("proto_ver", Integer, "Protocol level: 3, 4 or 5.", Sample::Integer(5)),
    v5("disconn_props", Map, "MQTT 5 properties of the DISCONNECT.", Sample::Json("{}")),
    v5("connected_at", Integer, "When it connected, milliseconds since the epoch.", Sample::Now),
    v5("disconnected_at", Integer, "When it disconnected, milliseconds since the epoch.", Sample::Now),
];

const CONNACK: &[FieldInfo] = &[
    both("reason_code", Text, "Result of the CONNECT.", Sample::Text("success")),
    both("connected_at", Integer, "When it connected, milliseconds since the epoch.", Sample::Now),
    v5("conn_props", Map, "MQTT 5 properties of the CONNECT.", Sample::Json("{}")),
];

const SUBSCRIBE: &[FieldInfo] = &[
    both(
        "topic_filters",
        List,
        "The filters of the packet: topic, qos and options of each.",
        Sample::Json("[{\"topic\":\"t/a\",\"qos\":1}]"),
    ),
    both("topic", Text, "The first filter.", Sample::Text("t/a")),
    both("qos", Integer, "The first filter's QoS.", Sample::Integer(1)),
];

const SUBSCRIBED: &[FieldInfo] = &[
    both("topic", Text, "The filter.", Sample::Text("t/a")),
    both("qos", Integer, "Its QoS.", Sample::Integer(1)),
    v5("sub_props", Map, "MQTT 5 properties of the SUBSCRIBE.", Sample::Json("{}")),
];

const UNSUBSCRIBED: &[FieldInfo] = &[
    both("topic", Text, "The filter.", Sample::Text("t/a")),
    both("qos", Integer, "Its QoS.", Sample::Integer(1)),
    v5("unsub_props", Map, "MQTT 5 properties of the UNSUBSCRIBE.", Sample::Json("{}")),
];

const AUTHZ: &[FieldInfo] = &[
    both("topic", Text, "The topic that was asked for.", Sample::Text("t/1")),
    both("action", Text, "publish or subscribe.", Sample::Text("publish")),
    both("authz_source", Text, "Which source decided.", Sample::Text("file")),
    both("result", Text, "allow or deny.", Sample::Text("allow")),
];

const AUTHN: &[FieldInfo] = &[
    both("reason_code", Text, "Result of the authentication.", Sample::Text("success")),
    both("is_superuser", Boolean, "Whether access control is skipped for the client.", Sample::Boolean(true)),
    both("is_anonymous", Boolean, "Whether nobody vouched for the client.", Sample::Boolean(false)),
];

const VALIDATION: &[FieldInfo] = &[v5("validation", Text, "Name of the validation.", Sample::Text("my_validation"))];
const TRANSFORMATION: &[FieldInfo] =
    &[v5("transformation", Text, "Name of the transformation.", Sample::Text("my_transformation"))];

const ALARM: &[FieldInfo] = &[
    both("name", Text, "Name of the alarm.", Sample::Text("high_cpu_usage")),
    both("details", Map, "Facts about it.", Sample::Json("{}")),
    both("message", Text, "What to tell a person.", Sample::Text("cpu usage too high")),
    both("activated_at", Integer, "When it was raised, microseconds since the epoch.", Sample::Now),
];
const ALARM_OVER: &[FieldInfo] =
    &[both("deactivated_at", Integer, "When it was over, microseconds since the epoch.", Sample::Now)];

/// Names in the style of events that are known and never fire: a publish is selected by its topic.
pub const NEVER_FIRE: &[&str] =
    &["$events/message_published", "$events/message/published", "$events/message_publish", "$events/message/publish"];

/// Every event.
pub const EVENTS: &[EventInfo] = &[
    EventInfo {
        kind: EventKind::MessagePublish,
        v3_names: &["message.publish"],
        v5_names: &[],
        doc: "A client published a message.",
        groups: &[MESSAGE, CLIENT, PEER, CLIENT_ATTRS, COMMON],
    },
    EventInfo {
        kind: EventKind::MessageDelivered,
        v3_names: &["message.deliver", "message.delivered"],
        v5_names: &["$events/message/delivered", "$events/message_delivered"],
        doc: "A message was delivered to a client.",
        groups: &[MESSAGE, SENDER, CLIENT, PEER, V3_CLIENT, COMMON],
    },
    EventInfo {
        kind: EventKind::MessageAcked,
        v3_names: &["message.acked"],
        v5_names: &["$events/message/acked", "$events/message_acked"],
        doc: "A client acknowledged a message.",
        groups: &[MESSAGE, SENDER, CLIENT, PEER, PUBACK, COMMON],
    },
    EventInfo {
        kind: EventKind::MessageDropped,
        v3_names: &["message.dropped"],
        v5_names: &["$events/message/dropped", "$events/message_dropped"],
        doc: "A message was dropped before it was routed.",
        groups: &[REASON, MESSAGE, CLIENT, PEER, CLIENT_ATTRS, COMMON],
    },
    EventInfo {
        kind: EventKind::MessageDeliveryDropped,
        v3_names: &["delivery.dropped", "message.delivery_dropped"],
        v5_names: &["$events/message/delivery_dropped", "$events/delivery_dropped", "$events/message_delivery_dropped"],
        doc: "A message was dropped on its way to one client.",
        groups: &[REASON, MESSAGE, SENDER, CLIENT, PEER, COMMON],
    },
    EventInfo {
        kind: EventKind::ClientConnected,
        v3_names: &["client.connected"],
        v5_names: &["$events/client/connected", "$events/client_connected"],
        doc: "A client connected.",
        groups: &[CLIENT, PEER, V3_CLIENT, CONNECTION, CONNECTED, CLIENT_ATTRS, COMMON],
    },
    EventInfo {
        kind: EventKind::ClientDisconnected,
        // The manual spells the name in three ways (§7.2.3, §7.2.4).
        v3_names: &["client.disconnected", "client.disconnectd", "client.disconnect"],
        v5_names: &["$events/client/disconnected", "$events/client_disconnected"],
        doc: "A client's connection ended.",
        groups: &[DISCONNECTED, CLIENT, PEER, V3_CLIENT, CLIENT_ATTRS, COMMON],
    },
    EventInfo {
        kind: EventKind::ClientConnack,
        v3_names: &["client.connack"],
        v5_names: &["$events/client/connack", "$events/client_connack"],
        doc: "The broker answered a CONNECT.",
        groups: &[CONNACK, CLIENT, PEER, CONNECTION, COMMON],
    },
    EventInfo {
        kind: EventKind::ClientPing,
        v3_names: &["client.ping"],
        v5_names: &["$events/client/ping", "$events/client_ping"],
        doc: "A client sent a PINGREQ.",
        groups: &[CLIENT, PEER, CONNECTION, COMMON],
    },
    EventInfo {
        kind: EventKind::ClientSubscribe,
        v3_names: &["client.subscribe"],
        v5_names: &["$events/client/subscribe", "$events/client_subscribe"],
        doc: "A client asked to subscribe.",
        groups: &[CLIENT, PEER, V3_CLIENT, SUBSCRIBE, COMMON],
    },
    EventInfo {
        kind: EventKind::ClientUnsubscribe,
        v3_names: &["client.unsubscribe"],
        v5_names: &["$events/client/unsubscribe", "$events/client_unsubscribe"],
        doc: "A client asked to unsubscribe.",
        groups: &[CLIENT, PEER, V3_CLIENT, SUBSCRIBE, COMMON],
    },
    EventInfo {
        kind: EventKind::ClientCheckAuthzComplete,
        v3_names: &["client.check_authz_complete"],
        v5_names: &[
            "$events/auth/check_authz_complete",
            "$events/client_check_authz_complete",
            "$events/client/check_authz_complete",
        ],
        doc: "It was decided whether a client may publish or subscribe.",
        groups: &[AUTHZ, CLIENT, PEER, CLIENT_ATTRS, COMMON],
    },
    EventInfo {
        kind: EventKind::ClientCheckAuthnComplete,
        v3_names: &["client.check_authn_complete"],
        v5_names: &[
            "$events/auth/check_authn_complete",
            "$events/client_check_authn_complete",
            "$events/client/check_authn_complete",
        ],
        doc: "It was decided whether a client may connect.",
        groups: &[AUTHN, CLIENT, PEER, CLIENT_ATTRS, COMMON],
    },
    EventInfo {
        kind: EventKind::SessionCreated,
        v3_names: &["session.created"],
        v5_names: &["$events/session/created", "$events/session_created"],
        doc: "A session began.",
        groups: &[CLIENT, PEER, COMMON],
    },
    EventInfo {
        kind: EventKind::SessionResumed,
        v3_names: &["session.resumed"],
        v5_names: &["$events/session/resumed", "$events/session_resumed"],
        doc: "A client came back to its session.",
        groups: &[CLIENT, PEER, COMMON],
    },
    EventInfo {
        kind: EventKind::SessionTerminated,
        v3_names: &["session.terminated"],
        v5_names: &["$events/session/terminated", "$events/session_terminated"],
        doc: "A session ended.",
        groups: &[REASON, CLIENT, PEER, COMMON],
    },
    EventInfo {
        kind: EventKind::SessionSubscribed,
        v3_names: &["session.subscribed"],
        v5_names: &["$events/session/subscribed", "$events/session_subscribed"],
        doc: "A subscription was made.",
        groups: &[SUBSCRIBED, CLIENT, PEER, CLIENT_ATTRS, COMMON],
    },
    EventInfo {
        kind: EventKind::SessionUnsubscribed,
        v3_names: &["session.unsubscribed"],
        v5_names: &["$events/session/unsubscribed", "$events/session_unsubscribed"],
        doc: "A subscription was ended.",
        groups: &[UNSUBSCRIBED, CLIENT, PEER, CLIENT_ATTRS, COMMON],
    },
    EventInfo {
        kind: EventKind::SchemaValidationFailed,
        v3_names: &["schema.validation_failed"],
        v5_names: &["$events/schema_validation/failed", "$events/schema_validation_failed"],
        doc: "A message did not pass a schema validation.",
        groups: &[VALIDATION, MESSAGE, CLIENT, PEER, CLIENT_ATTRS, COMMON],
    },
    EventInfo {
        kind: EventKind::MessageTransformationFailed,
        v3_names: &["message.transformation_failed"],
        v5_names: &["$events/message_transformation/failed", "$events/message_transformation_failed"],
        doc: "A message transformation failed.",
        groups: &[TRANSFORMATION, MESSAGE, CLIENT, PEER, CLIENT_ATTRS, COMMON],
    },
    EventInfo {
        kind: EventKind::AlarmActivated,
        v3_names: &["alarm.activated"],
        v5_names: &["$events/sys/alarm_activated", "$events/alarm_activated"],
        doc: "An alarm was raised.",
        groups: &[ALARM, COMMON],
    },
    EventInfo {
        kind: EventKind::AlarmDeactivated,
        v3_names: &["alarm.deactivated"],
        v5_names: &["$events/sys/alarm_deactivated", "$events/alarm_deactivated"],
        doc: "An alarm is over.",
        groups: &[ALARM, ALARM_OVER, COMMON],
    },
];
