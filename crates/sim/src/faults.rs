//! Which faults a history has: drawn from the seed, before it begins.

use ochre_base::rng::Rng;

use crate::net::Weather;
use crate::{NodeId, Time};

/// One fault, at a time.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A process ends at once; it is started again after this time.
    Crash(NodeId, Time),
    /// A process stands still for this time.
    Pause(NodeId, Time),
    /// The network is divided for this time; the side of each node.
    Divide(Vec<u8>, Time),
    /// The network behaves like this for this time.
    Weather(Weather, Time),
    /// All connections of a node are cut.
    Cut(NodeId),
    /// Whatever the workload makes of it: an operator's action.
    Special(u64),
}

impl Fault {
    /// How long it lasts.
    pub fn lasts(&self) -> Time {
        match self {
            Self::Crash(_, for_ms)
            | Self::Pause(_, for_ms)
            | Self::Divide(_, for_ms)
            | Self::Weather(_, for_ms) => *for_ms,
            Self::Cut(_) | Self::Special(_) => 0,
        }
    }
}

/// Which nodes can be hit, and when.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many nodes there are.
    pub nodes: usize,
    /// The first fault comes at the earliest then.
    pub from: Time,
    /// The last one comes at the latest then.
    pub until: Time,
    /// Most faults.
    pub most: u64,
}

impl Plan {
    /// Draws the faults, with their times.
    pub fn draw(&self, rng: &mut Rng) -> Vec<(Time, Fault)> {
        let count = rng.below(self.most + 1);
        (0..count).map(|_| (self.time(rng), self.one(rng))).collect()
    }

    fn time(&self, rng: &mut Rng) -> Time {
        self.from + rng.below((self.until - self.from) as u64) as Time
    }

    fn one(&self, rng: &mut Rng) -> Fault {
        let node = rng.below(self.nodes as u64) as NodeId;
        let long = 200 + rng.below(8000) as Time;
        match rng.below(20) {
            0..=5 => Fault::Crash(node, long),
            6..=8 => Fault::Pause(node, long),
            9..=14 => Fault::Divide((0..self.nodes).map(|_| rng.below(2) as u8).collect(), long),
            15..=16 => {
                let delay_max = 20 + rng.below(1500) as Time;
                let weather = Weather {
                    delay_min: 1,
                    delay_max,
                    loss_one_in: 2 + rng.below(30),
                    repeat_max: 100 + rng.below(2000) as Time,
                };
                Fault::Weather(weather, long)
            }
            17 => Fault::Cut(node),
            _ => Fault::Special(rng.next_u64()),
        }
    }
}
