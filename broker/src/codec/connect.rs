//! CONNECT: opens a connection (MQTT 5.0 §3.1, MQTT 3.1.1 §3.1, MQTT 3.1 §3.1).

use bytes::Bytes;
use model::Qos;

use super::read::{Reader, as_name};
use super::write::{put_binary, put_string, put_u16, with_length};
use super::{Carrier, Error, Properties, Property, Reason, Version};

/// The first packet of a connection.
#[derive(Clone, PartialEq)]
pub struct Connect {
    /// The version that the rest of the connection speaks.
    pub version: Version,
    /// The high bit of the protocol level, which bridges set.
    pub is_bridge: bool,
    /// Clean session (MQTT 3) or clean start (MQTT 5).
    pub clean_start: bool,
    /// Seconds; 0 = none.
    pub keepalive_secs: u16,
    /// MQTT 5 properties.
    pub properties: Properties,
    /// Client identifier; may be empty.
    pub client_id: String,
    /// Will message.
    pub will: Option<LastWill>,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Bytes>,
}

/// The will as it stands in CONNECT.
#[derive(Clone, Debug, PartialEq)]
pub struct LastWill {
    /// QoS to publish it with.
    pub qos: Qos,
    /// Publish it as retained message.
    pub retain: bool,
    /// MQTT 5 properties.
    pub properties: Properties,
    /// Topic name.
    pub topic: String,
    /// Payload.
    pub payload: Bytes,
}

const USERNAME: u8 = 0x80;
const PASSWORD: u8 = 0x40;
const WILL_RETAIN: u8 = 0x20;
const WILL: u8 = 0x04;
const CLEAN_START: u8 = 0x02;

impl Connect {
    /// Reads the body of a frame.
    ///
    /// What has the outline of a CONNECT and a wrong content is an error to be answered with CONNACK. Where the outline
    /// itself is broken the error is silent: it is as likely that the peer speaks another protocol.
    pub fn decode(flags: u8, body: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(body);
        let (version, is_bridge) = version(&mut reader)?;
        // MQTT 3.1 gives these bits a meaning in other packets and none in this one.
        if flags != 0 && version != Version::V3_1 {
            return Err(Error::malformed("reserved flags are not zero").silently());
        }
        let bits = reader.u8().map_err(Error::silently)?;
        check_bits(bits, version).map_err(Error::silently)?;
        let keepalive_secs = reader.u16().map_err(Error::silently)?;
        let v5 = version == Version::V5;
        let mut properties = Properties::default();
        if v5 {
            properties = Properties::decode(&mut reader, Carrier::Connect)?;
            check_properties(&properties)?;
        }
        let client_id = client_id(&mut reader)?;
        let will = if bits & WILL == 0 { None } else { Some(LastWill::decode(bits, &mut reader, v5)?) };
        let (mut username, mut password) = (None, None);
        if bits & USERNAME != 0 {
            username = Some(reader.name().map_err(Error::silently)?.to_owned());
        }
        if bits & PASSWORD != 0 {
            password = Some(Bytes::copy_from_slice(reader.binary().map_err(Error::silently)?));
        }
        reader.end()?;
        let clean_start = bits & CLEAN_START != 0;
        Ok(Self { version, is_bridge, clean_start, keepalive_secs, properties, client_id, will, username, password })
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let will_bits = |will: &LastWill| WILL | (will.qos as u8) << 3 | if will.retain { WILL_RETAIN } else { 0 };
        let bits = if self.clean_start { CLEAN_START } else { 0 }
            | self.will.as_ref().map_or(0, will_bits)
            | if self.username.is_some() { USERNAME } else { 0 }
            | if self.password.is_some() { PASSWORD } else { 0 };
        with_length(out, 0x10, |out| {
            put_string(out, if self.version == Version::V3_1 { "MQIsdp" } else { "MQTT" });
            out.push(self.version as u8 | if self.is_bridge { 0x80 } else { 0 });
            out.push(bits);
            put_u16(out, self.keepalive_secs);
            if self.version == Version::V5 {
                self.properties.encode(out);
            }
            put_string(out, &self.client_id);
            if let Some(will) = &self.will {
                if self.version == Version::V5 {
                    will.properties.encode(out);
                }
                put_string(out, &will.topic);
                put_binary(out, &will.payload);
            }
            if let Some(username) = &self.username {
                put_string(out, username);
            }
            if let Some(password) = &self.password {
                put_binary(out, password);
            }
        });
    }

    /// The version a CONNECT claims, where the rest may be broken: it decides the form of the refusal.
    pub fn peek_version(body: &[u8]) -> Option<Version> {
        version(&mut Reader::new(body)).ok().map(|(version, _)| version)
    }

    /// The protocol level of a CONNECT whose protocol name is right, known or not.
    pub fn peek_level(body: &[u8]) -> Option<u8> {
        let mut reader = Reader::new(body);
        matches!(reader.binary(), Ok(b"MQTT" | b"MQIsdp")).then(|| reader.u8().ok()).flatten()
    }
}

impl LastWill {
    fn decode(bits: u8, reader: &mut Reader<'_>, v5: bool) -> Result<Self, Error> {
        let qos = Qos::from_u8(bits >> 3 & 3).ok_or(Error::malformed("will QoS 3 [MQTT-3.1.2-12]").silently())?;
        let properties = if v5 { Properties::decode(reader, Carrier::Will)? } else { Properties::default() };
        let topic = reader.name()?;
        model::validate_topic(topic).map_err(|error| match error {
            model::TopicError::Empty => Error::protocol("an empty will topic [MQTT-4.7.3-1]"),
            _ => Error::malformed("the will topic is no topic name [MQTT-3.1.2-9]"),
        })?;
        let payload = Bytes::copy_from_slice(reader.binary()?);
        Ok(Self { qos, retain: bits & WILL_RETAIN != 0, properties, topic: topic.to_owned(), payload })
    }
}

/// The password stays out of every log.
impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("clean_start", &self.clean_start)
            .field("keepalive_secs", &self.keepalive_secs)
            .field("properties", &self.properties)
            .field("will", &self.will)
            .finish_non_exhaustive()
    }
}

fn version(reader: &mut Reader<'_>) -> Result<(Version, bool), Error> {
    let name = reader.binary().map_err(Error::silently)?;
    let level = reader.u8().map_err(Error::silently)?;
    let is_bridge = level & 0x80 != 0;
    let version = match (name, level & 0x7f) {
        (b"MQIsdp", 3) => Version::V3_1,
        (b"MQTT", 4) => Version::V3_1_1,
        (b"MQTT", 5) if !is_bridge => Version::V5,
        (b"MQTT" | b"MQIsdp", _) => {
            return Err(Error::with(Reason::UNSUPPORTED_PROTOCOL_VERSION, "an unknown protocol level [MQTT-3.1.2-2]"));
        }
        _ => {
            let unknown =
                Error::with(Reason::UNSUPPORTED_PROTOCOL_VERSION, "the protocol name is not MQTT [MQTT-3.1.2-1]");
            return Err(unknown.silently());
        }
    };
    Ok((version, is_bridge))
}

/// A client identifier that is there and is no acceptable text has a reason code of its own.
fn client_id(reader: &mut Reader<'_>) -> Result<String, Error> {
    let name = as_name(reader.binary().map_err(Error::silently)?);
    Ok(name.map_err(|error| Error::with(Reason::CLIENT_IDENTIFIER_NOT_VALID, error.what))?.to_owned())
}

fn check_bits(bits: u8, version: Version) -> Result<(), Error> {
    if bits & 1 != 0 && version != Version::V3_1 {
        return Err(Error::malformed("the reserved connect flag is set [MQTT-3.1.2-3]"));
    }
    if bits & WILL == 0 && bits & 0x38 != 0 && version != Version::V3_1 {
        return Err(Error::malformed("will QoS or will retain without will [MQTT-3.1.2-11]"));
    }
    if version == Version::V3_1_1 && bits & USERNAME == 0 && bits & PASSWORD != 0 {
        return Err(Error::malformed("a password without user name [MQTT-3.1.2-22]"));
    }
    Ok(())
}

fn check_properties(properties: &Properties) -> Result<(), Error> {
    let method = properties.find(|property| matches!(property, Property::AuthenticationMethod(_)).then_some(()));
    let data = properties.find(|property| matches!(property, Property::AuthenticationData(_)).then_some(()));
    if data.is_some() && method.is_none() {
        return Err(Error::protocol("authentication data without method (§3.1.2.11.10)"));
    }
    Ok(())
}
