//! What has to be true of every history: what was acknowledged arrives, at QoS 2 once, in order, under one identifier; sessions
//! end when they may; and what is over leaves nothing behind.

use model::Qos;

use super::super::client::{Name, Up, matches};
use super::{CLIENTS, EXPIRY_SECS, World};
use crate::durable::intake::Mode;

impl World {
    /// A client has its CONNACK.
    pub(super) fn connected(&mut self, index: usize, present: bool) {
        let had = self.clients[index].has_session && !self.clients[index].clean;
        let session = self.clients[index].conn.as_ref().map_or(0, |conn| conn.entry.key);
        let present = present && self.clients[index].session == session;
        self.clients[index].session = session;
        self.clients[index].changing = [0; 3];
        if !present {
            if had {
                let (wall, monotonic) = self.now_ms();
                let last = self.clients[index].last_seen_ms;
                let away_ms = (wall - last.0).max(monotonic - last.1);
                assert!(away_ms >= i64::from(EXPIRY_SECS) * 1000, "session of {index} lost after {away_ms} ms");
                self.seen.expired += 1;
            }
            self.forget(index);
        }
        let client = &mut self.clients[index];
        client.has_session = true;
        client.cleaning = false;
        let again = client.repeat();
        for up in &again {
            if let Up::Publish { name, .. } = up
                && let Some(published) = self.published.get_mut(name)
            {
                published.repeated = true;
            }
        }
        if let Some(conn) = &mut client.conn {
            conn.ready = true;
            conn.up.extend(again);
        }
    }

    /// A publisher has its answer: from now on the broker owes the message to whoever was subscribed before it was sent.
    pub(super) fn answered(&mut self, name: Name, taken: bool) {
        let Some(published) = self.published.get_mut(&name) else { return };
        if !taken {
            published.refused = true;
            return;
        }
        self.seen.acknowledged += 1;
        let (topic, sent, qos) = (published.topic, published.step, published.qos);
        for (index, subscriptions) in self.subscriptions.iter().enumerate() {
            if self.clients[index].clean {
                continue;
            }
            let matching =
                subscriptions.iter().filter(|(filter, (_, since))| matches(**filter, topic) && *since < sent);
            let Some(most) = matching.map(|(_, (qos, _))| *qos).max() else { continue };
            if most.min(qos) != Qos::AtMostOnce {
                self.owed[index].insert(name, most.min(qos));
            }
        }
    }

    /// A client has a PUBLISH.
    pub(super) fn delivered(&mut self, index: usize, packet_id: u16, name: Name, qos: Qos, dup: bool) {
        let published = self.published.get(&name).unwrap_or_else(|| panic!("{name:?} was never published"));
        let (topic, sent_qos) = (published.topic, published.qos);
        assert!(qos <= sent_qos, "{name:?} delivered at {qos:?}");
        let durable = !self.clients[index].clean;
        if qos == Qos::AtMostOnce {
            return;
        }
        assert!(!(durable && published.refused), "{name:?} was refused and is delivered to {index}");
        self.seen.delivered += 1;
        let client = &mut self.clients[index];
        let Some(conn) = &mut client.conn else { return };
        let mut fresh = true;
        if qos == Qos::ExactlyOnce {
            fresh = client.received.insert(packet_id);
            conn.answers.push(Up::Pubrec(packet_id));
        } else {
            conn.answers.push(Up::Puback(packet_id));
        }
        if !durable {
            return;
        }
        let got = self.got[index].get(&name).copied();
        if let Some((known_id, _, count)) = got {
            self.seen.repeated += 1;
            // A publisher of QoS 1 may have sent it twice; then it is two messages.
            if sent_qos == Qos::ExactlyOnce {
                assert_eq!(packet_id, known_id, "{name:?} comes again to {index} with another identifier");
                assert!(dup, "{name:?} comes again to {index} without DUP");
            }
            if qos == Qos::ExactlyOnce && sent_qos == Qos::ExactlyOnce {
                assert!(!fresh, "{name:?} is delivered to {index} twice");
            }
            self.got[index].insert(name, (packet_id, qos, count + 1));
            return;
        }
        // Order per topic, publisher and QoS, of first deliveries. A message that was refused while the connection broke is sent
        // again behind those that were taken meanwhile; one of QoS 1 that was sent again may come again at any time; and one that
        // nobody wanted when it came first, and that was sent again, meets who has subscribed since.
        let published = &self.published[&name];
        let mut subscribed = self.subscriptions[index].iter();
        let was_wanted = subscribed
            .any(|(filter, (most, since))| matches(*filter, topic) && *since < published.step && *most >= qos);
        let again = published.repeated && (sent_qos == Qos::AtLeastOnce || !was_wanted);
        if self.full_at >= published.step || again {
            self.got[index].insert(name, (packet_id, qos, 1));
            return;
        }
        let later = self.got[index].iter().find(|(other, (_, other_qos, _))| {
            other.0 == name.0
                && other.1 > name.1
                && *other_qos == qos
                && self.published[other].topic == topic
                && self.published[other].qos == sent_qos
        });
        assert!(later.is_none(), "{name:?} comes to {index} after {:?}", later.map(|(other, _)| other));
        self.got[index].insert(name, (packet_id, qos, 1));
    }

    /// Everybody connects, nothing fails any more, and everything that is owed has to arrive.
    pub(crate) fn settle_and_check(&mut self) {
        for round in 0..2_000 {
            self.step += 1;
            for index in 0..CLIENTS {
                if self.clients[index].conn.is_none() {
                    let clean = self.clients[index].clean;
                    self.connect_client(index, clean);
                }
                self.answer_everything(index);
            }
            self.write(false);
            self.turn();
            let quiet = self.clients.iter().all(|client| {
                client.out.is_empty()
                    && client
                        .conn
                        .as_ref()
                        .is_some_and(|conn| conn.up.is_empty() && conn.down.is_empty() && conn.answers.is_empty())
            });
            let idle = self.life.as_ref().is_some_and(|life| life.durable.intake.mode() == Mode::Idle);
            if round > 10 && quiet && idle {
                break;
            }
        }
        self.compare();
        for (index, owed) in self.owed.iter().enumerate() {
            for (name, qos) in owed {
                let got = self.got[index].get(name);
                assert!(got.is_some(), "{name:?} was acknowledged and owed to {index} at {qos:?}, and never came");
            }
        }
        self.check_empty();
    }

    fn answer_everything(&mut self, index: usize) {
        let Some(life) = &self.life else { return };
        let core = life.core.clone();
        for _ in 0..64 {
            let Some(conn) = &mut self.clients[index].conn else { return };
            let answers = std::mem::take(&mut conn.answers);
            conn.up.extend(answers);
            while let Some(up) = conn.up.pop_front() {
                conn.act(&core, up);
            }
            let Some(down) = conn.down.pop_front() else { return };
            self.take(index, down);
        }
    }

    /// When everything is acknowledged nothing is kept: not in the sessions, not among the messages, not on the disk.
    fn check_empty(&mut self) {
        let Some(life) = &mut self.life else { return };
        for entry in life.writer.state.sessions() {
            let inner = entry.inner.lock();
            let kept = inner.kept.as_ref().unwrap();
            let left = (inner.queue.len(), inner.outbound.len(), kept.recorded.len(), kept.inflight_bytes);
            assert_eq!(left, (0, 0, 0, 0), "something is left in {:?}", entry.client_id);
        }
        assert!(life.writer.state.bodies.is_empty(), "messages are left that nobody waits for");
        if let Some(changes) = life.saving.take() {
            self.disk.write_rows(&changes);
        }
        let changes = life.writer.capture();
        self.disk.write_rows(&changes);
        self.disk.trim_to(life.writer.state.next_offset());
        let (rows, batches) = self.disk.sizes();
        assert!(rows <= 1 + 2 * CLIENTS && batches == 0, "{rows} rows and {batches} batches are left on the disk");
    }
}
