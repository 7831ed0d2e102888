//! What a strict server answers to packets that are wrong, by clause. Bytes as on the wire.

use broker::codec::{Reason, Version};

use crate::client::{Client, start};

const MALFORMED: Reason = Reason::MALFORMED_PACKET;
const PROTOCOL: Reason = Reason::PROTOCOL_ERROR;

#[tokio::test]
async fn wrong_packets_end_with_the_reason_and_close() {
    let handle = start();
    for (clause, bytes, reason) in [
        ("MQTT-1.5.5-1: remaining length not minimal", &[0xc0, 0x80, 0x00][..], MALFORMED),
        ("§2.1.4: remaining length of five bytes", &[0x30, 0x80, 0x80, 0x80, 0x80, 0x01], MALFORMED),
        ("§2.1.2: packet type 0", &[0x00, 0], MALFORMED),
        ("MQTT-3.1.0-2: a second CONNECT", b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01c", PROTOCOL),
        ("CONNACK from a client", &[0x20, 3, 0, 0, 0], PROTOCOL),
        ("SUBACK from a client", &[0x90, 4, 0, 1, 0, 0], PROTOCOL),
        ("UNSUBACK from a client", &[0xb0, 4, 0, 1, 0, 0], PROTOCOL),
        ("PINGRESP from a client", &[0xd0, 0], PROTOCOL),
        ("MQTT-3.3.1-4: QoS 3", b"\x36\x06\0\x01t\0\x01\0", MALFORMED),
        ("MQTT-3.3.1-2: DUP with QoS 0", b"\x38\x04\0\x01t\0", MALFORMED),
        ("MQTT-3.3.2-2: a wildcard in the topic name", b"\x30\x04\0\x01+\0", MALFORMED),
        ("MQTT-1.5.4-1: a topic that is not UTF-8", b"\x30\x04\0\x01\xff\0", MALFORMED),
        ("MQTT-1.5.4-1: a surrogate in UTF-8", b"\x30\x06\0\x03\xed\xa0\x80\0", MALFORMED),
        ("MQTT-1.5.4-2: U+0000 in a topic", b"\x30\x04\0\x01\0\0", MALFORMED),
        ("MQTT-2.2.1-3: packet identifier 0", b"\x32\x06\0\x01t\0\0\0", PROTOCOL),
        ("§3.3.2.1: neither topic nor alias", b"\x30\x03\0\0\0", PROTOCOL),
        ("§3.3.2.3.4: an alias that was never set", b"\x30\x06\0\0\x03\x23\0\x01", PROTOCOL),
        ("MQTT-3.3.2-8: topic alias 0", b"\x30\x07\0\x01t\x03\x23\0\0", Reason::TOPIC_ALIAS_INVALID),
        ("MQTT-3.3.2-9: topic alias above the maximum", b"\x30\x07\0\x01t\x03\x23\0\x0b", Reason::TOPIC_ALIAS_INVALID),
        ("MQTT-3.3.4-6: a subscription identifier from a client", b"\x30\x06\0\x01t\x02\x0b\x01", PROTOCOL),
        ("MQTT-3.3.2-14: a wildcard in the response topic", b"\x30\x08\0\x01t\x04\x08\0\x01#", PROTOCOL),
        ("§3.3.2.3.2: payload format indicator 2", b"\x30\x06\0\x01t\x02\x01\x02", PROTOCOL),
        ("§3.3.2.3.2: payload format indicator twice", b"\x30\x08\0\x01t\x04\x01\x01\x01\x01", PROTOCOL),
        ("§2.2.2.2: an unknown property", b"\x30\x06\0\x01t\x02\x04\x01", MALFORMED),
        ("a property list longer than the packet", b"\x30\x05\0\x01t\x05\x01", MALFORMED),
        ("a truncated topic", b"\x30\x03\0\x05t", MALFORMED),
        ("MQTT-3.4.2-1: a reason PUBACK must not carry", &[0x40, 3, 0, 1, 0x01], PROTOCOL),
        ("§3.4.1: flags of PUBACK", &[0x41, 2, 0, 1], MALFORMED),
        ("§3.5.1: flags of PUBREC", &[0x52, 2, 0, 1], MALFORMED),
        ("MQTT-3.6.1-1: flags of PUBREL", &[0x60, 2, 0, 1], PROTOCOL),
        ("§3.7.1: flags of PUBCOMP", &[0x74, 2, 0, 1], MALFORMED),
        ("PUBACK with trailing bytes", &[0x40, 5, 0, 1, 0, 0, 0], MALFORMED),
        ("PUBACK that ends early", &[0x40, 1, 0], MALFORMED),
        ("MQTT-3.8.1-1: flags of SUBSCRIBE", b"\x80\x07\0\x01\0\0\x01t\0", MALFORMED),
        ("MQTT-3.8.3-2: no filter", b"\x82\x03\0\x01\0", MALFORMED),
        ("MQTT-3.8.3-4: QoS 3 requested", b"\x82\x07\0\x01\0\0\x01t\x03", MALFORMED),
        ("MQTT-3.8.3-5: reserved option bits", b"\x82\x07\0\x01\0\0\x01t\x40", MALFORMED),
        ("§3.8.3.1: retain handling 3", b"\x82\x07\0\x01\0\0\x01t\x30", MALFORMED),
        ("MQTT-3.8.3-4: no local on a shared subscription", b"\x82\x10\0\x01\0\0\x0a$share/g/t\x04", PROTOCOL),
        ("MQTT-4.8.2-1: a share name with a wildcard", b"\x82\x10\0\x01\0\0\x0a$share/+/t\x00", PROTOCOL),
        ("MQTT-4.7.1-1: # that is not last", b"\x82\x09\0\x01\0\0\x03#/t\0", MALFORMED),
        ("MQTT-4.7.1-2: + that shares its level", b"\x82\x08\0\x01\0\0\x02t+\0", MALFORMED),
        ("§3.8.2.1.2: subscription identifier 0", b"\x82\x09\0\x01\x02\x0b\x00\0\x01t\0", MALFORMED),
        ("MQTT-3.12: PINGREQ with a body", &[0xc0, 1, 0], MALFORMED),
        ("MQTT-3.14.1-1: flags of DISCONNECT", &[0xe1, 0], MALFORMED),
        ("MQTT-3.14.2-1: a reason DISCONNECT must not carry", &[0xe0, 1, 0x01], PROTOCOL),
        ("MQTT-3.14.2-2: session expiry after none", &[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 1], PROTOCOL),
        ("MQTT-3.15.1-1: flags of AUTH", &[0xf1, 0], PROTOCOL),
        ("MQTT-4.12.0-6: AUTH without method", &[0xf0, 0], PROTOCOL),
    ] {
        let mut client = Client::new(&handle, "c", Version::V5).await;
        client.send_bytes(bytes).await;
        match client.recv_bytes().await {
            Some(answer) => assert_eq!(answer, [0xe0, 1, reason.0], "{clause}"),
            None => panic!("{clause}: closed without a DISCONNECT"),
        }
        assert_eq!(client.recv_bytes().await, None, "{clause}: closed");
    }
}

#[tokio::test]
async fn older_clients_are_closed_for_wrong_packets() {
    let handle = start();
    for (clause, bytes) in [
        ("MQTT-3.3.1-4: QoS 3", &b"\x36\x05\0\x01t\0\x01"[..]),
        ("MQTT-4.7.3-1: an empty topic", b"\x30\x02\0\0"),
        ("MQTT-3.6.1-1: flags of PUBREL", &[0x60, 2, 0, 1]),
        ("a reason code before MQTT 5", &[0x40, 3, 0, 1, 0]),
        ("MQTT-3-8.3-4: reserved bits of the QoS", b"\x82\x06\0\x01\0\x01t\x04"),
        ("a filter without QoS", b"\x82\x05\0\x01\0\x01t"),
        ("DISCONNECT with a body", &[0xe0, 1, 0]),
        ("AUTH", &[0xf0, 0]),
    ] {
        let mut client = Client::new(&handle, "c", Version::V3_1_1).await;
        client.send_bytes(bytes).await;
        assert_eq!(client.recv_bytes().await, None, "{clause}");
    }
    assert_eq!(handle.counters().protocol_errors.get(), 8);
}

#[tokio::test]
async fn acknowledgements_for_the_wrong_exchange_are_protocol_errors() {
    let handle = start();
    for (what, qos, answers) in [
        ("PUBREC for QoS 1", 1, &[&[0x50, 2, 0, 1][..]][..]),
        ("PUBCOMP for QoS 1", 1, &[&[0x70, 2, 0, 1]]),
        ("PUBACK for QoS 2", 2, &[&[0x40, 2, 0, 1]]),
        ("PUBCOMP before PUBREC", 2, &[&[0x70, 2, 0, 1]]),
        ("PUBACK after PUBREC", 2, &[&[0x50, 2, 0, 1], &[0x40, 2, 0, 1]]),
    ] {
        let mut client = Client::new(&handle, "c", Version::V5).await;
        client.subscribe("t", model::Qos::from_u8(qos).unwrap()).await;
        let mut publisher = Client::new(&handle, "p", Version::V3_1_1).await;
        publisher.publish("t", "x", model::Qos::ExactlyOnce, 1).await;
        client.recv_publish().await;
        for answer in answers {
            client.send_bytes(answer).await;
        }
        let mut last = Vec::new();
        while let Some(bytes) = client.recv_bytes().await {
            last = bytes;
        }
        assert_eq!(last, [0xe0, 1, 0x82], "{what}");
    }
}

#[tokio::test]
async fn unknown_identifiers_are_answered_so_that_the_client_can_go_on() {
    let handle = start();
    let mut client = Client::new(&handle, "c", Version::V5).await;
    for (sent, answer) in [
        (&[0x62, 2, 0, 9][..], Some(vec![0x70, 2, 0, 9])),
        (&[0x62, 3, 0, 9, 0x92], Some(vec![0x70, 2, 0, 9])),
        (&[0x50, 2, 0, 9], Some(vec![0x62, 2, 0, 9])),
        (&[0x50, 3, 0, 9, 0x80], None),
        (&[0x40, 2, 0, 9], None),
        (&[0x70, 2, 0, 9], None),
    ] {
        client.send_bytes(sent).await;
        if answer.is_some() {
            assert_eq!(client.recv_bytes().await, answer, "{sent:x?}");
        }
        client.expect_silence().await;
    }
}
