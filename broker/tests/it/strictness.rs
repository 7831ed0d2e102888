//! Acknowledgements that belong to no exchange, or to another. What is wrong in itself is in `tests/cases`.

use broker::codec::Version;

use crate::client::{Client, start};

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
