// mqtt.js against the broker: `mqttjs.js URL`. Prints `ok` at the end, or says what went wrong and fails.
// The module is found through NODE_PATH.
'use strict'

const assert = require('node:assert')
const mqtt = require('mqtt')

const URL = process.argv[2]
const deadline = setTimeout(() => { throw new Error('the broker said nothing for too long') }, 30000)

// A client with what it received, so that every wait is for an event.
async function connect (version, options = {}) {
  // Not connectAsync: the messages of a session come before its promise is looked at.
  const client = mqtt.connect(URL, {
    protocolVersion: version,
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    reconnectPeriod: 0,
    ...options
  })
  const inbox = []
  const waiting = []
  client.on('message', (topic, payload, packet) => {
    const message = { topic, payload: payload.toString(), packet }
    waiting.length > 0 ? waiting.shift()(message) : inbox.push(message)
  })
  client.receive = () => inbox.length > 0
    ? Promise.resolve(inbox.shift())
    : new Promise((resolve) => waiting.push(resolve))
  await new Promise((resolve, reject) => {
    client.once('connect', resolve)
    client.once('error', reject)
  })
  return client
}

async function expect (client, topic, payload, qos, retain = false) {
  const message = await client.receive()
  const got = [message.topic, message.payload, message.packet.qos, message.packet.retain]
  assert.deepStrictEqual(got, [topic, payload, qos, retain])
  return message.packet
}

async function everyQos (version) {
  const listener = await connect(version, { clientId: 'listener' })
  const speaker = await connect(version, { clientId: 'speaker' })
  await listener.subscribeAsync('a/+', { qos: 2 })
  for (const qos of [0, 1, 2]) {
    await speaker.publishAsync('a/b', `${qos}`, { qos })
    await expect(listener, 'a/b', `${qos}`, qos)
  }
  await speaker.publishAsync('kept', 'r', { qos: 1, retain: true })
  await listener.subscribeAsync('kept', { qos: 1 })
  await expect(listener, 'kept', 'r', 1, true)
  await speaker.publishAsync('kept', '', { qos: 1, retain: true })
  await expect(listener, 'kept', '', 1)
  await speaker.endAsync()
  await listener.endAsync()
}

async function aWill (version) {
  const listener = await connect(version, { clientId: 'listener' })
  await listener.subscribeAsync('will', { qos: 1 })
  const doomed = await connect(version, {
    clientId: 'doomed', will: { topic: 'will', payload: Buffer.from('gone'), qos: 1, retain: false }
  })
  doomed.stream.destroy()
  await expect(listener, 'will', 'gone', 1)
  await listener.endAsync()
}

async function aSession (version) {
  const kept = { clientId: 'session', clean: false }
  if (version === 5) kept.properties = { sessionExpiryInterval: 60 }
  let listener = await connect(version, kept)
  await listener.subscribeAsync('s', { qos: 2 })
  await listener.endAsync()
  const speaker = await connect(version, { clientId: 'speaker' })
  await speaker.publishAsync('s', '1', { qos: 1 })
  await speaker.publishAsync('s', '2', { qos: 2 })
  await speaker.endAsync()
  listener = await connect(version, kept)
  await expect(listener, 's', '1', 1)
  await expect(listener, 's', '2', 2)
  await listener.endAsync()
  await (await connect(version, { clientId: 'session' })).endAsync()
}

async function properties () {
  const listener = await connect(5, { clientId: 'listener', properties: { topicAliasMaximum: 5 } })
  const speaker = await connect(5, { clientId: 'speaker' })
  await listener.subscribeAsync('p', { qos: 1, properties: { subscriptionIdentifier: 7 } })
  const sent = {
    payloadFormatIndicator: true,
    messageExpiryInterval: 100,
    contentType: 'text/plain',
    responseTopic: 'r',
    correlationData: Buffer.from('id'),
    userProperties: { a: '1' }
  }
  for (let round = 0; round < 3; round++) {
    await speaker.publishAsync('p', 'x', { qos: 1, properties: sent })
    const got = (await expect(listener, 'p', 'x', 1)).properties
    assert.strictEqual(got.subscriptionIdentifier, 7)
    assert.deepStrictEqual({ ...got.userProperties }, { a: '1' })
    assert.strictEqual(got.contentType, 'text/plain')
    assert.strictEqual(got.responseTopic, 'r')
    assert.deepStrictEqual(got.correlationData, Buffer.from('id'))
  }
  await speaker.endAsync()
  await listener.endAsync()
}

async function main () {
  for (const version of [3, 4, 5]) {
    await everyQos(version)
    await aWill(version)
    await aSession(version)
  }
  await properties()
  clearTimeout(deadline)
  console.log('ok')
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
