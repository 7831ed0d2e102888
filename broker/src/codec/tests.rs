//! What is encoded decodes to the same, and nothing that comes from outside panics.

use bytes::Bytes;
use model::Qos;
use proptest::prelude::*;

use super::*;

fn qos() -> impl Strategy<Value = Qos> {
    prop::sample::select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(vec![Version::V3_1, Version::V3_1_1, Version::V5])
}

fn user_properties() -> impl Strategy<Value = Vec<Property>> {
    prop::collection::vec(
        ("[a-z]{0,4}", "[^\0]{0,4}").prop_map(|(k, v)| Property::UserProperty(k.into(), v.into())),
        0..3,
    )
}

fn publish_properties() -> impl Strategy<Value = Properties> {
    (
        any::<Option<bool>>(),
        any::<Option<u32>>(),
        prop::option::of("[^\0]{0,8}"),
        any::<Option<Vec<u8>>>(),
        user_properties(),
    )
        .prop_map(|(format, expiry, content_type, correlation, user)| {
            let mut list: Vec<Property> = Vec::new();
            list.extend(format.map(Property::PayloadFormatIndicator));
            list.extend(expiry.map(Property::MessageExpiryInterval));
            list.extend(content_type.map(|text| Property::ContentType(text.into())));
            list.extend(correlation.map(|data| Property::CorrelationData(data.into())));
            list.extend(user);
            Properties(list)
        })
}

fn publish() -> impl Strategy<Value = Packet> {
    (any::<bool>(), qos(), any::<bool>(), "[a-zé/]{1,20}", 1..u16::MAX, publish_properties(), any::<Vec<u8>>())
        .prop_map(|(dup, qos, retain, topic, id, properties, payload)| {
            let packet_id = if qos == Qos::AtMostOnce { 0 } else { id };
            let dup = dup && qos != Qos::AtMostOnce;
            Packet::Publish(Publish {
                header: PublishHeader { dup, qos, retain, topic, packet_id, properties },
                payload: Bytes::from(payload),
            })
        })
}

fn subscribe() -> impl Strategy<Value = Packet> {
    let filter = ("[a-z/]{1,9}", qos(), any::<bool>(), any::<bool>(), 0..3u8).prop_map(
        |(filter, qos, no_local, rap, handling)| {
            let retain_handling =
                [RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never][usize::from(handling)];
            Filter { filter, options: SubscribeOptions { qos, no_local, retain_as_published: rap, retain_handling } }
        },
    );
    (1..u16::MAX, prop::option::of(1..268_435_455u32), prop::collection::vec(filter, 1..5)).prop_map(
        |(packet_id, id, filters)| {
            let properties = Properties(id.into_iter().map(Property::SubscriptionIdentifier).collect());
            Packet::Subscribe(Subscribe { packet_id, properties, filters })
        },
    )
}

fn connect() -> impl Strategy<Value = Packet> {
    let will = (qos(), any::<bool>(), "[a-z/]{1,9}", any::<Vec<u8>>()).prop_map(|(qos, retain, topic, payload)| {
        LastWill { qos, retain, properties: Properties::default(), topic, payload: payload.into() }
    });
    (
        version(),
        any::<(bool, u16)>(),
        "[a-z0-9]{0,30}",
        prop::option::of(will),
        prop::option::of(("[a-z]{0,9}", any::<Vec<u8>>())),
    )
        .prop_map(|(version, (clean_start, keepalive_secs), client_id, will, login)| {
            let (username, password) = login.map(|(name, word)| (name, Bytes::from(word))).unzip();
            let properties = match version {
                Version::V5 => Properties(vec![Property::SessionExpiryInterval(7), Property::ReceiveMaximum(9)]),
                _ => Properties::default(),
            };
            let connect = Connect {
                version,
                is_bridge: false,
                clean_start,
                keepalive_secs,
                properties,
                client_id,
                will,
                username,
                password,
            };
            Packet::Connect(Box::new(connect))
        })
}

fn other() -> impl Strategy<Value = Packet> {
    (1..u16::MAX, user_properties(), 0..12usize).prop_map(|(packet_id, user, which)| {
        let properties = Properties(user);
        let reason = Reason::SUCCESS;
        match which {
            0 => Packet::Puback(Puback { packet_id, reason: Reason::QUOTA_EXCEEDED, properties }),
            1 => Packet::Pubrec(Pubrec { packet_id, reason: Reason::NO_MATCHING_SUBSCRIBERS, properties }),
            2 => Packet::Pubrel(Pubrel { packet_id, reason: Reason::PACKET_IDENTIFIER_NOT_FOUND, properties }),
            3 => Packet::Pubcomp(Pubcomp { packet_id, reason, properties }),
            4 => Packet::Suback(Suback {
                packet_id,
                properties,
                reasons: vec![Reason::GRANTED_QOS_1, Reason::NOT_AUTHORIZED],
            }),
            5 => Packet::Unsuback(Unsuback { packet_id, properties, reasons: vec![Reason::NO_SUBSCRIPTION_EXISTED] }),
            6 => Packet::Unsubscribe(Unsubscribe {
                packet_id,
                properties,
                filters: vec!["a/+".into(), "$share/g/#".into()],
            }),
            7 => Packet::Disconnect(Disconnect { reason: Reason::DISCONNECT_WITH_WILL, properties }),
            8 => Packet::Auth(Auth { reason: Reason::RE_AUTHENTICATE, properties }),
            9 => Packet::Connack(Connack { session_present: true, reason, properties }),
            10 => Packet::Pingreq(Pingreq),
            _ => Packet::Pingresp(Pingresp),
        }
    })
}

fn encoded(packet: &Packet, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes, version);
    bytes
}

fn decoded(bytes: &[u8], version: Version) -> Result<Packet, Error> {
    let found = frame(bytes)?.ok_or(Error::malformed("incomplete"))?;
    let body = bytes.get(found.header_len..found.total_len()).ok_or(Error::malformed("incomplete"))?;
    Packet::decode(found.kind, found.flags, body, version)
}

proptest! {
    #[test]
    fn packets_of_mqtt_5_round_trip(packet in prop_oneof![publish(), subscribe(), connect(), other()]) {
        let version = match &packet { Packet::Connect(connect) => connect.version, _ => Version::V5 };
        let bytes = encoded(&packet, version);
        prop_assert_eq!(frame(&bytes).unwrap().unwrap().total_len(), bytes.len());
        prop_assert_eq!(decoded(&bytes, version).unwrap(), packet);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_what_decodes_re_encodes_to_the_same_packet(
        bytes in prop::collection::vec(any::<u8>(), 0..80), version in version(),
    ) {
        if let Ok(packet) = decoded(&bytes, version) {
            let version = match &packet { Packet::Connect(connect) => connect.version, _ => version };
            prop_assert_eq!(decoded(&encoded(&packet, version), version).unwrap(), packet);
        }
    }

    // Bytes of any kind seldom have a length that fits; these always have, and mostly small numbers, as packets do.
    #[test]
    fn a_body_that_decodes_re_encodes_to_the_same_packet(
        first in any::<u8>(), body in prop::collection::vec(prop_oneof![0..6u8, any::<u8>()], 0..12), version in version(),
    ) {
        let Some(kind) = Kind::of(first) else { return Ok(()) };
        if let Ok(packet) = Packet::decode(kind, first & 15, &body, version) {
            let version = match &packet { Packet::Connect(connect) => connect.version, _ => version };
            prop_assert_eq!(decoded(&encoded(&packet, version), version).unwrap(), packet);
        }
    }

    #[test]
    fn a_damaged_packet_never_panics(
        packet in prop_oneof![publish(), subscribe(), connect(), other()],
        position in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encoded(&packet, Version::V5);
        let at = position.index(bytes.len());
        bytes[at] = byte;
        drop(decoded(&bytes, Version::V5));
        drop(decoded(&bytes[..cut.index(bytes.len())], Version::V5));
        // The same bytes as a body of every kind, whatever the length says.
        for first in 1..16u8 {
            drop(Packet::decode(Kind::of(first << 4).unwrap(), byte & 15, &bytes, Version::V5));
        }
    }
}

/// MQTT-3.9.3-2: 0, 1, 2 and 0x80 are all there is before MQTT 5.
#[test]
fn a_suback_of_mqtt_3_carries_no_reserved_return_code() {
    for (code, good) in [(0, true), (2, true), (0x80, true), (3, false), (0x81, false), (0x87, false)] {
        for version in [Version::V3_1, Version::V3_1_1] {
            assert_eq!(decoded(&[0x90, 3, 0, 1, code], version).is_ok(), good, "{code:#x}");
        }
    }
    assert!(decoded(&[0x90, 4, 0, 1, 0, 0x87], Version::V5).is_ok());
}

/// MQTT 3.1 §3.2: the byte that later says "session present" is reserved and says nothing.
#[test]
fn a_connack_of_mqtt_3_1_has_no_session_present() {
    let session_present = |version| match decoded(&[0x20, 2, 1, 0], version) {
        Ok(Packet::Connack(packet)) => packet.session_present,
        other => panic!("{other:?}"),
    };
    assert!(!session_present(Version::V3_1));
    assert!(session_present(Version::V3_1_1));
}

#[test]
fn lengths_take_as_many_bytes_as_they_need() {
    for (value, len) in [
        (0, 1),
        (127, 1),
        (128, 2),
        (16_383, 2),
        (16_384, 3),
        (2_097_151, 3),
        (2_097_152, 4),
        (MAX_REMAINING_LENGTH, 4),
    ] {
        let mut bytes = vec![0x30];
        put_varint(&mut bytes, value);
        assert_eq!((bytes.len() - 1, varint_len(value)), (len, len), "{value}");
        let found = frame(&bytes).unwrap().unwrap();
        assert_eq!((found.body_len, found.header_len), (value, len + 1));
    }
}
