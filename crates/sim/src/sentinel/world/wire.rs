//! Connections between the nodes, and the bytes on them.

use ochre_resp::parse::{ReplyParser, Value};
use ochre_resp::{Protocol, Reply};
use ochre_sentinel::LinkId;

use super::{Event, World, now_of, sentinel_ip};
use crate::net::{Arrival, ConnId, End};
use crate::sentinel::server::{Effect, SERVER_PORT, server_at};
use crate::{NodeId, Time};

impl World {
    pub(super) fn open(&mut self, index: usize, link: LinkId, ip: &str, port: u16) {
        let node = self.node(index);
        let life = self.sentinels[index].life;
        let to = match server_at(ip) {
            Some(server) if port == SERVER_PORT => Some(server),
            _ => {
                let host = ip.strip_prefix("10.0.1.").and_then(|host| host.parse::<usize>().ok());
                host.and_then(|host| host.checked_sub(1)).map(|index| self.node(index))
            }
        };
        let to = to.filter(|to| *to < self.up.len() && self.up[*to] && self.net.reaches(node, *to));
        let delay = self.net.delay(&mut self.rng);
        let Some(to) = to else {
            self.queue.after(delay + 50, Event::ConnectFailed(index, life, link));
            return;
        };
        let conn = self.net.connect(node, to, link);
        self.sentinels[index].conns.push((link, conn));
        self.queue.after(2 * delay, Event::Connected(conn));
    }

    pub(super) fn connected(&mut self, id: ConnId) {
        let Some(conn) = self.net.conn(id) else { return };
        let (node, link) = (conn.nodes[0], conn.tag);
        if self.paused_until[node] > self.now() {
            self.queue.at(self.paused_until[node], Event::Connected(id));
            return;
        }
        let index = node - self.servers.len();
        let now = now_of(self.now());
        if let Some(machine) = &mut self.sentinels[index].machine {
            machine.connected(now, link, &sentinel_ip(index));
        }
        self.after_step(index);
    }

    pub(super) fn send(&mut self, conn: ConnId, to: End, bytes: Vec<u8>) {
        let now = self.now();
        if let Some(at) = self.net.send(conn, to, bytes, now, &mut self.rng) {
            self.queue.at(at, Event::Arrive(conn, to));
        }
    }

    pub(super) fn forget(&mut self, conn: ConnId) {
        for server in &mut self.servers {
            server.hung_up(conn);
        }
    }

    /// A connection ends, and the sentinel at its end is told.
    pub(super) fn close(&mut self, id: ConnId) {
        let Some(conn) = self.net.close(id) else { return };
        self.forget(id);
        let Some(index) = conn.nodes[0].checked_sub(self.servers.len()) else { return };
        let now = now_of(self.now());
        let process = &mut self.sentinels[index];
        process.conns.retain(|(_, known)| *known != id);
        if let Some(machine) = &mut process.machine {
            machine.disconnected(now, conn.tag);
        }
    }

    pub(super) fn arrive(&mut self, id: ConnId, end: End) {
        let Some(conn) = self.net.conn(id) else { return };
        let node = conn.nodes[end as usize];
        if self.paused_until[node] > self.now() {
            self.queue.at(self.paused_until[node], Event::Arrive(id, end));
            return;
        }
        let now = self.now();
        match self.net.arrived(id, end, now) {
            Arrival::Nothing => {}
            Arrival::Stalled => {
                let delay = 100 + self.rng.below(200) as Time;
                self.queue.after(delay, Event::Arrive(id, end));
            }
            Arrival::Bytes(bytes) => match end {
                End::Client => self.reply(id, &bytes),
                End::Server => self.request(id, node, &bytes),
            },
        }
    }

    /// Bytes for a sentinel: replies and messages.
    fn reply(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.net.conn(id) else { return };
        let (index, link) = (conn.nodes[0] - self.servers.len(), conn.tag);
        let now = now_of(self.now());
        let mut bytes = bytes;
        let mut parser = ReplyParser::default();
        while !bytes.is_empty() {
            let Ok((taken, Some(value))) = parser.next(bytes) else { break };
            bytes = &bytes[taken..];
            if let Some(machine) = &mut self.sentinels[index].machine {
                machine.reply(now, link, &value);
            }
        }
        self.after_step(index);
    }

    /// Bytes for a server or for a sentinel as a server: one request each.
    fn request(&mut self, id: ConnId, node: NodeId, bytes: &[u8]) {
        let mut parser = ReplyParser::default();
        let Ok((_, Some(Value::Array(items)))) = parser.next(bytes) else { return };
        let args: Vec<Vec<u8>> =
            items.iter().filter_map(|item| item.bytes().map(<[u8]>::to_vec)).collect();
        let mut out = Vec::new();
        if let Some(index) = node.checked_sub(self.servers.len()) {
            self.ask_sentinel(index, &args, &mut out);
            // The reply stands behind what had to be written.
            self.after_step(index);
            if !self.up[node] {
                return;
            }
            self.send(id, End::Client, out);
            return;
        }
        let followers = self.followers(node);
        let now = self.now();
        let effect = self.servers[node].request(id, &args, &followers, now, &mut out);
        self.send(id, End::Client, out);
        match effect {
            Effect::None | Effect::Role => {}
            Effect::Publish(text) => self.publish(node, &text),
            Effect::KillClients => {
                let others: Vec<ConnId> =
                    self.net.of(node).into_iter().filter(|conn| *conn != id).collect();
                others.into_iter().for_each(|conn| self.close(conn));
            }
        }
    }

    fn ask_sentinel(&mut self, index: usize, args: &[Vec<u8>], out: &mut Vec<u8>) {
        let now = now_of(self.now());
        let Some(machine) = &mut self.sentinels[index].machine else { return };
        machine.at(now);
        let mut reply = Reply::new(out, Protocol::Resp2);
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let name = args.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
        match (name.as_slice(), args.as_slice()) {
            (b"sentinel", _) => machine.command(&args, &mut reply),
            (b"publish", [_, channel, text]) => machine.publish(channel, text, &mut reply),
            (b"ping", _) => reply.pong(),
            _ => reply.ok(),
        }
    }

    /// A hello message to whoever listens; sometimes twice, as a message may that comes by two ways.
    fn publish(&mut self, server: usize, text: &[u8]) {
        let mut message = b"*3\r\n$7\r\nmessage\r\n$18\r\n__sentinel__:hello\r\n".to_vec();
        message.extend_from_slice(format!("${}\r\n", text.len()).as_bytes());
        message.extend_from_slice(text);
        message.extend_from_slice(b"\r\n");
        // What a primary hears its replicas hear too.
        let mut servers = vec![server];
        servers.extend(self.followers(server));
        for server in servers {
            let listeners: Vec<ConnId> = self.servers[server].listeners.iter().copied().collect();
            for conn in listeners {
                self.send(conn, End::Client, message.clone());
                if self.rng.below(50) == 0 {
                    self.send(conn, End::Client, message.clone());
                }
            }
        }
    }
}
