//! Records come back as they were written, no bytes make the decoder panic, and every prefix of a log can be replayed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use model::{ClientInfo, Message, MessageId, Origin, ProtocolVersion, PublishProperties, Qos, Str};
use proptest::collection::vec;
use proptest::prelude::*;
use store::Offset;

use super::codec::{VERSION, decode, encode};
use super::record::{Attach, Publish, Receiver, Record};
use super::snapshot::{Changes, Loading, Table};
use super::state::State;
use crate::codec::SubscribeOptions;
use crate::registry::{Subscribed, Will};
use crate::session::QueueLimits;
use crate::settings::QueueFull;

fn text() -> impl Strategy<Value = Str> {
    "[a-zäß/]{0,12}".prop_map(Str::from)
}

fn qos() -> impl Strategy<Value = Qos> {
    (0u8..3).prop_map(|n| Qos::from_u8(n).unwrap())
}

fn version() -> impl Strategy<Value = ProtocolVersion> {
    prop_oneof![Just(ProtocolVersion::V3_1), Just(ProtocolVersion::V3_1_1), Just(ProtocolVersion::V5)]
}

fn client() -> impl Strategy<Value = ClientInfo> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let facts = (any::<u16>(), any::<u32>(), any::<i64>());
    (text(), proptest::option::of(text()), version(), flags, facts, text()).prop_map(
        |(
            client_id,
            username,
            version,
            (peer, clean_start, is_bridge),
            (keepalive_secs, expiry, at_ms),
            mountpoint,
        )| {
            ClientInfo {
                client_id,
                username,
                peer: peer.then(|| "[2001:db8::1]:1883".parse().unwrap()),
                local: None,
                version,
                keepalive_secs,
                clean_start,
                session_expiry_secs: expiry,
                is_bridge,
                mountpoint,
                connected_at_ms: at_ms,
                is_superuser: false,
            }
        },
    )
}

fn properties() -> impl Strategy<Value = PublishProperties> {
    let texts = (proptest::option::of(text()), proptest::option::of(text()));
    let rest = (proptest::option::of(vec(any::<u8>(), 0..9)), vec((text(), text()), 0..3));
    (proptest::option::of(any::<bool>()), proptest::option::of(any::<u32>()), texts, rest).prop_map(
        |(payload_is_text, message_expiry_secs, (content_type, response_topic), (data, user_properties))| {
            PublishProperties {
                payload_is_text,
                message_expiry_secs,
                content_type,
                response_topic,
                correlation_data: data.map(Bytes::from),
                user_properties,
            }
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let origin = prop_oneof![
        Just(Origin::Client),
        Just(Origin::Will),
        Just(Origin::Api),
        Just(Origin::System),
        vec(text(), 0..3).prop_map(|rules| Origin::Rules(Arc::new(rules))),
    ];
    let publisher = (text(), proptest::option::of(text()), version()).prop_map(|(client_id, username, version)| {
        let bare = bare_client(client_id, version);
        Arc::new(ClientInfo { username, ..bare })
    });
    let head = (any::<u128>(), text(), vec(any::<u8>(), 0..40));
    let flags = (qos(), any::<bool>(), any::<bool>());
    let rest = (proptest::option::of(publisher), proptest::option::of(properties()), any::<i64>(), origin);
    (head, flags, rest).prop_map(
        |((id, topic, payload), (qos, retain, dup), (publisher, properties, received_at_ms, origin))| Message {
            id: MessageId(id),
            topic,
            payload: payload.into(),
            qos,
            retain,
            dup,
            publisher,
            properties: properties.map(Box::new),
            received_at_ms,
            origin,
        },
    )
}

/// A client as a message remembers it.
fn bare_client(client_id: Str, version: ProtocolVersion) -> ClientInfo {
    ClientInfo {
        client_id,
        username: None,
        peer: None,
        local: None,
        version,
        keepalive_secs: 0,
        clean_start: false,
        session_expiry_secs: 0,
        is_bridge: false,
        mountpoint: Str::new(""),
        connected_at_ms: 0,
        is_superuser: false,
    }
}

/// Few sessions and identifiers, so that records meet.
fn session() -> impl Strategy<Value = u64> {
    1u64..5
}

fn packet_id() -> impl Strategy<Value = u16> {
    1u16..9
}

fn limits() -> impl Strategy<Value = QueueLimits> {
    (1usize..6, 20usize..200, any::<bool>()).prop_map(|(messages_max, bytes_max, newest)| QueueLimits {
        messages_max,
        bytes_max,
        when_full: if newest { QueueFull::DropNewest } else { QueueFull::DropOldest },
    })
}

fn publish() -> impl Strategy<Value = Publish> {
    let receiver = (session(), 1u8..3, any::<bool>(), vec(1u32..9, 0..3)).prop_map(|(session, qos, retain, ids)| {
        let identifiers = (!ids.is_empty()).then(|| ids.into_boxed_slice());
        Receiver { session, qos: Qos::from_u8(qos).unwrap(), retain, identifiers }
    });
    let from = proptest::option::of((session(), packet_id()));
    (message(), vec(receiver, 0..4), from, proptest::option::of(session()), any::<bool>()).prop_map(
        |(message, receivers, from, will_of, retained)| Publish {
            message: Arc::new(message),
            receivers,
            from,
            will_of,
            retained,
        },
    )
}

fn subscription() -> impl Strategy<Value = (Str, Subscribed)> {
    (text(), 0u8..3, proptest::option::of(1u32..99)).prop_map(|(filter, bits, identifier)| {
        (filter, Subscribed { options: SubscribeOptions::of_bits(bits | 0x28).unwrap(), identifier })
    })
}

fn record() -> impl Strategy<Value = Record> {
    let attach = (session(), any::<bool>(), client(), any::<i64>(), 1u16..4, limits(), proptest::option::of(message()));
    let attach = attach.prop_map(|(session, is_new, info, at_ms, window, limits, will)| {
        let will = will.map(|message| Box::new(Will { message, delay_secs: 7, publish_delay_secs: Some(3) }));
        Record::Attach(Box::new(Attach { session, is_new, info: Arc::new(info), at_ms, window, limits, will }))
    });
    prop_oneof![
        6 => publish().prop_map(|publish| Record::Publish(Box::new(publish))),
        4 => attach,
        1 => (session(), any::<i64>(), any::<u32>(), any::<bool>()).prop_map(|(session, at_ms, expiry_secs, will_void)| {
            Record::Detach { session, at_ms, expiry_secs, will_void }
        }),
        1 => session().prop_map(|session| Record::End { session }),
        1 => (session(), vec(subscription(), 0..3))
            .prop_map(|(session, subscriptions)| Record::Subscribe { session, subscriptions }),
        1 => (session(), vec(text(), 0..3)).prop_map(|(session, filters)| Record::Unsubscribe { session, filters }),
        3 => (session(), vec(packet_id(), 0..4))
            .prop_map(|(session, packet_ids)| Record::Acknowledged { session, packet_ids }),
        2 => (session(), packet_id()).prop_map(|(session, packet_id)| Record::Received { session, packet_id }),
        1 => (session(), packet_id()).prop_map(|(session, packet_id)| Record::Released { session, packet_id }),
        1 => session().prop_map(|session| Record::WillDone { session }),
        1 => vec(text(), 0..3).prop_map(|topics| Record::Unretain { topics }),
        1 => any::<i64>().prop_map(|at_ms| Record::Tick { at_ms }),
        1 => any::<i64>().prop_map(|at_ms| Record::Restart { at_ms }),
    ]
}

/// Applies records as batches of one.
fn fold(state: &mut State, from: usize, records: &[Record]) {
    for (n, record) in records.iter().enumerate() {
        let offset = Offset((from + n) as u64);
        state.apply(offset, record, &mut Vec::new());
        state.applied(offset);
    }
}

type Rows = BTreeMap<(Table, Bytes), Bytes>;

fn write(rows: &mut Rows, changes: Changes) {
    for (table, key, value) in changes.rows {
        match value {
            Some(value) => rows.insert((table, key), value),
            None => rows.remove(&(table, key)),
        };
    }
}

fn load(rows: &Rows) -> State {
    let mut loading = Loading::new();
    for table in Loading::TABLES {
        let of_table = rows.iter().filter(|((of, _), _)| *of == table);
        loading.take(table, of_table.map(|((_, key), value)| (key.clone(), value.clone())).collect()).unwrap();
    }
    loading.finish().unwrap().0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_record_comes_back(record in record()) {
        let bytes = encode(&record);
        prop_assert_eq!(decode(VERSION, &bytes), Ok(record));
    }

    #[test]
    fn a_cut_or_lengthened_record_is_malformed(record in record(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&record);
        let cut = cut.index(bytes.len());
        prop_assert!(decode(VERSION, &bytes.slice(..cut)).is_err());
        let mut longer = bytes.to_vec();
        longer.push(0);
        prop_assert!(decode(VERSION, &longer.into()).is_err());
    }

    #[test]
    fn any_bytes_decode_or_not_without_a_panic(bytes in vec(any::<u8>(), 0..80), tag in 1u8..14) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = tag;
        }
        decode(VERSION, &bytes.into()).ok();
    }

    /// Records in any order, also those no broker writes: the fold takes them all, every prefix of them, and a snapshot
    /// anywhere in between changes nothing.
    #[test]
    fn any_prefix_can_be_replayed_and_a_snapshot_is_as_good_as_its_log(
        records in vec(record(), 0..60),
        cuts in vec(any::<prop::sample::Index>(), 2),
    ) {
        let mut live = State::new();
        let mut rows = Rows::new();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(records.len() + 1)).collect();
        cuts.sort_unstable();
        let (first, second) = (cuts[0], cuts[1]);
        fold(&mut live, 0, &records[..first]);
        write(&mut rows, live.capture());
        fold(&mut live, first, &records[first..second]);
        write(&mut rows, live.capture());
        prop_assert_eq!(load(&rows).fingerprint(), live.fingerprint());
        fold(&mut live, second, &records[second..]);
        let mut replayed = load(&rows);
        fold(&mut replayed, second, &records[second..]);
        prop_assert_eq!(replayed.fingerprint(), live.fingerprint());
        let mut from_nothing = State::new();
        fold(&mut from_nothing, 0, &records);
        prop_assert_eq!(from_nothing.fingerprint(), live.fingerprint());
        write(&mut rows, live.capture());
        prop_assert_eq!(load(&rows).fingerprint(), live.fingerprint());
    }

    /// What was applied is not applied again.
    #[test]
    fn a_batch_that_comes_twice_changes_nothing(records in vec(record(), 1..20)) {
        let mut state = State::new();
        fold(&mut state, 0, &records);
        let before = state.fingerprint();
        for (n, record) in records.iter().enumerate() {
            state.apply(Offset(n as u64), record, &mut Vec::new());
        }
        prop_assert_eq!(state.fingerprint(), before);
    }
}

#[test]
fn another_version_says_so() {
    assert!(decode(VERSION + 1, &Bytes::from_static(&[12, 0, 0, 0, 0, 0, 0, 0, 0])).is_err());
}

#[test]
fn a_declared_length_of_the_whole_address_space_allocates_nothing() {
    let bytes = [6, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert!(decode(VERSION, &Bytes::copy_from_slice(&bytes)).is_err());
}
