"""paho-mqtt against the broker: `paho_client.py PORT`. Prints `ok` at the end, or says what went wrong and fails."""

import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PORT = int(sys.argv[1])
PATIENCE = 10


class Client:
    """A client whose events wait in queues, so that nothing here sleeps."""

    def __init__(self, name, version, clean=True, expiry=0, will=None):
        v5 = version == mqtt.MQTTv5
        kind = mqtt.CallbackAPIVersion.VERSION2
        self.v5, self.aliases = v5, {}
        self.events = {name: queue.Queue() for name in ("connect", "message", "suback", "publish", "disconnect")}
        self.client = mqtt.Client(kind, name, protocol=version, **({} if v5 else {"clean_session": clean}))
        self.client.on_connect = lambda c, u, flags, reason, props: self.put("connect", (flags, reason, props))
        self.client.on_message = lambda c, u, message: self.put("message", message)
        self.client.on_subscribe = lambda c, u, mid, reasons, props: self.put("suback", reasons)
        self.client.on_publish = lambda c, u, mid, reason, props: self.put("publish", reason)
        self.client.on_disconnect = lambda c, u, flags, reason, props: self.put("disconnect", reason)
        if will:
            self.client.will_set(will, "gone", 1)
        options = {}
        if v5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = expiry
            properties.TopicAliasMaximum = 5
            options = {"clean_start": clean, "properties": properties}
        self.client.connect("127.0.0.1", PORT, 30, **options)
        self.client.loop_start()
        self.flags, reason, self.connack = self.get("connect")
        assert not reason.is_failure, reason

    def put(self, kind, event):
        self.events[kind].put(event)

    def get(self, kind):
        return self.events[kind].get(timeout=PATIENCE)

    def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        assert self.get("suback")[0].value == qos

    def publish(self, topic, payload, qos, **more):
        self.client.publish(topic, payload, qos, **more).wait_for_publish(PATIENCE)
        self.get("publish")

    def expect(self, topic, payload, qos, retain=False):
        message = self.get("message")
        name = self.named(message)
        got = (name, message.payload.decode(), message.qos, bool(message.retain))
        assert got == (topic, payload, qos, retain), got
        return message

    def named(self, message):
        """The topic: paho-mqtt leaves it to the application to resolve the server's aliases."""
        alias = getattr(message.properties, "TopicAlias", None) if self.v5 else None
        if alias is None:
            return message.topic
        if message.topic:
            self.aliases[alias] = message.topic
        return self.aliases[alias]

    def leave(self):
        self.client.disconnect()
        self.get("disconnect")
        self.client.loop_stop()


def every_qos(version):
    listener, speaker = Client("listener", version), Client("speaker", version)
    listener.subscribe("a/+", 2)
    for qos in (0, 1, 2):
        speaker.publish("a/b", f"{qos}", qos)
        listener.expect("a/b", f"{qos}", qos)
    speaker.publish("kept", "r", 1, retain=True)
    listener.subscribe("kept", 1)
    listener.expect("kept", "r", 1, retain=True)
    speaker.publish("kept", "", 1, retain=True)
    listener.expect("kept", "", 1)
    speaker.leave()
    listener.leave()


def a_will(version):
    listener = Client("listener", version)
    listener.subscribe("will", 1)
    doomed = Client("doomed", version, will="will")
    doomed.client.socket().shutdown(2)
    listener.expect("will", "gone", 1)
    doomed.client.loop_stop()
    listener.leave()


def a_session(version):
    session = {"clean": False, "expiry": 60}
    listener = Client("session", version, **session)
    listener.subscribe("s", 2)
    listener.leave()
    speaker = Client("speaker", version)
    for qos in (1, 2):
        speaker.publish("s", f"{qos}", qos)
    speaker.leave()
    listener = Client("session", version, **session)
    assert listener.flags.session_present == (version != mqtt.MQTTv31), "MQTT 3.1 has no word for it"
    for qos in (1, 2):
        listener.expect("s", f"{qos}", qos)
    listener.leave()
    Client("session", version).leave()


def properties():
    listener, speaker = Client("listener", mqtt.MQTTv5), Client("speaker", mqtt.MQTTv5)
    identified = Properties(PacketTypes.SUBSCRIBE)
    identified.SubscriptionIdentifier = 7
    listener.client.subscribe("p", options=SubscribeOptions(qos=1, retainAsPublished=True), properties=identified)
    listener.get("suback")
    sent = Properties(PacketTypes.PUBLISH)
    sent.UserProperty = [("a", "1"), ("b", "2")]
    sent.ContentType, sent.ResponseTopic, sent.CorrelationData = "text/plain", "r", b"id"
    sent.MessageExpiryInterval, sent.PayloadFormatIndicator = 100, 1
    for _ in range(3):
        speaker.publish("p", "x", 1, properties=sent)
        got = listener.expect("p", "x", 1).properties
        assert got.UserProperty == [("a", "1"), ("b", "2")] and got.SubscriptionIdentifier == [7], got
        assert (got.ContentType, got.ResponseTopic, got.CorrelationData) == ("text/plain", "r", b"id"), got
        assert got.MessageExpiryInterval in (99, 100) and got.PayloadFormatIndicator == 1, got
    nobody = Client("nobody", mqtt.MQTTv5)
    nobody.client.publish("no/listener", "x", 1)
    assert nobody.get("publish").value == 0x10
    for client in (nobody, listener, speaker):
        client.leave()


for version in (mqtt.MQTTv31, mqtt.MQTTv311, mqtt.MQTTv5):
    every_qos(version)
    a_will(version)
    a_session(version)
properties()
print("ok")
