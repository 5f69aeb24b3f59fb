//! Connections between nodes, as TCP gives them: bytes arrive in order and once, or not any more.
//!
//! Within a connection nothing is lost or reordered; delay differs from message to message, so that messages of different
//! connections overtake one another. What the network loses shows as a stall: the sender repeats until it gets through,
//! or until one end gives the connection up. A partition stalls all connections that cross it.

use std::collections::{BTreeMap, VecDeque};

use ochre_base::rng::Rng;

use crate::{NodeId, Time};

/// Number of a connection, never used twice.
pub type ConnId = u64;

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The one that connected.
    Client = 0,
    /// The one that accepted.
    Server = 1,
}

impl End {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Conn {
    /// The nodes at both ends.
    pub nodes: [NodeId; 2],
    /// What is on its way to each end, with the time of its arrival.
    on_way: [VecDeque<(Time, Vec<u8>)>; 2],
    /// What the owner of the client's end calls it.
    pub tag: u64,
}

/// How the network behaves.
#[derive(Debug, Clone)]
pub struct Weather {
    /// Shortest time on the way.
    pub delay_min: Time,
    /// Longest time on the way, most of the time.
    pub delay_max: Time,
    /// One message in so many is lost and repeated; 0 for none.
    pub loss_one_in: u64,
    /// Time until a lost message is repeated, at most.
    pub repeat_max: Time,
}

impl Weather {
    /// A local network on a good day.
    pub fn fair() -> Self {
        Self { delay_min: 1, delay_max: 5, loss_one_in: 0, repeat_max: 0 }
    }
}

/// See the module's head.
#[derive(Debug)]
pub struct Net {
    conns: BTreeMap<ConnId, Conn>,
    next: ConnId,
    /// The side of the partition that each node is on; connections within a side work.
    sides: Vec<u8>,
    /// How it behaves at the moment.
    pub weather: Weather,
}

impl Net {
    /// A network of so many nodes.
    pub fn new(nodes: usize) -> Self {
        Self { conns: BTreeMap::new(), next: 0, sides: vec![0; nodes], weather: Weather::fair() }
    }

    /// Puts each node on a side; nodes on different sides do not hear of one another.
    pub fn divide(&mut self, sides: Vec<u8>) {
        debug_assert_eq!(sides.len(), self.sides.len());
        self.sides = sides;
    }

    /// Ends the partition.
    pub fn heal(&mut self) {
        self.sides.fill(0);
    }

    /// Whether a message gets from one node to the other.
    pub fn reaches(&self, from: NodeId, to: NodeId) -> bool {
        self.sides[from] == self.sides[to]
    }

    /// A time on the way.
    pub fn delay(&self, rng: &mut Rng) -> Time {
        let Weather { delay_min, delay_max, loss_one_in, repeat_max } = self.weather;
        let mut delay = delay_min + rng.below((delay_max - delay_min + 1) as u64) as Time;
        if loss_one_in > 0 && rng.below(loss_one_in) == 0 {
            delay += rng.below(repeat_max as u64 + 1) as Time;
        }
        delay
    }

    /// A new connection.
    pub fn connect(&mut self, client: NodeId, server: NodeId, tag: u64) -> ConnId {
        self.next += 1;
        let conn = Conn { nodes: [client, server], on_way: Default::default(), tag };
        self.conns.insert(self.next, conn);
        self.next
    }

    /// A connection, if it is there.
    pub fn conn(&self, id: ConnId) -> Option<&Conn> {
        self.conns.get(&id)
    }

    /// Sends bytes to an end; gives when they arrive, if nothing stops them.
    pub fn send(
        &mut self,
        id: ConnId,
        to: End,
        bytes: Vec<u8>,
        now: Time,
        rng: &mut Rng,
    ) -> Option<Time> {
        let delay = self.delay(rng);
        let conn = self.conns.get_mut(&id)?;
        let on_way = &mut conn.on_way[to as usize];
        let at = (now + delay).max(on_way.back().map_or(0, |(at, _)| *at));
        on_way.push_back((at, bytes));
        Some(at)
    }

    /// Takes what has arrived at an end by now.
    pub fn arrived(&mut self, id: ConnId, to: End, now: Time) -> Arrival {
        let Some(conn) = self.conns.get_mut(&id) else { return Arrival::Nothing };
        let (from, at) = (conn.nodes[to.other() as usize], conn.nodes[to as usize]);
        if self.sides[from] != self.sides[at] {
            return Arrival::Stalled;
        }
        match conn.on_way[to as usize].front() {
            Some((due, _)) if *due <= now => match conn.on_way[to as usize].pop_front() {
                Some((_, bytes)) => Arrival::Bytes(bytes),
                None => Arrival::Nothing,
            },
            _ => Arrival::Nothing,
        }
    }

    /// Ends a connection; what was on its way is lost.
    pub fn close(&mut self, id: ConnId) -> Option<Conn> {
        self.conns.remove(&id)
    }

    /// The connections that a node is an end of.
    pub fn of(&self, node: NodeId) -> Vec<ConnId> {
        let is_end = |(_, conn): &(&ConnId, &Conn)| conn.nodes.contains(&node);
        self.conns.iter().filter(is_end).map(|(id, _)| *id).collect()
    }

    /// All connections.
    pub fn all(&self) -> Vec<ConnId> {
        self.conns.keys().copied().collect()
    }
}

/// What is there at an end.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Nothing yet.
    Nothing,
    /// It waits behind a partition.
    Stalled,
    /// One message.
    Bytes(Vec<u8>),
}
