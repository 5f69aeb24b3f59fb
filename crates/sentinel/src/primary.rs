//! What is known of one primary: itself, its replicas, the other sentinels that watch it, and the failover under way.

use std::collections::BTreeMap;

use ochre_base::clock::Millis;

use crate::addr::Addr;
use crate::link::LinkId;

/// What a server says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It follows another.
    Replica,
}

impl Role {
    /// The word of the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "master",
            Self::Replica => "slave",
        }
    }
}

/// What every instance has.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it is.
    pub addr: Addr,
    /// Its run id; empty when it is not known.
    pub run_id: String,
    /// The link that commands go by.
    pub link: LinkId,
    /// The link that hello messages come by; not of sentinels.
    pub subscription: Option<LinkId>,
    /// Since when it is subjectively down.
    pub sdown_since: Option<Millis>,
    /// When it last went down, also when it is up again.
    pub went_down_at: Option<Millis>,
    /// When the last hello was sent to it.
    pub hello_sent_at: Millis,
    /// Its last INFO, for INFO-CACHE.
    pub info_text: String,
    /// When that came; none before the first.
    pub info_at: Option<Millis>,
    /// When INFO was last asked for.
    pub info_sent_at: Option<Millis>,
    /// What it said that it is.
    pub role: Role,
    /// Since when it says so.
    pub role_at: Millis,
}

impl Node {
    pub(crate) fn new(addr: Addr, role: Role, now: Millis) -> Self {
        Self {
            addr,
            run_id: String::new(),
            link: 0,
            subscription: None,
            sdown_since: None,
            went_down_at: None,
            hello_sent_at: now,
            info_text: String::new(),
            info_at: None,
            info_sent_at: None,
            role,
            role_at: now,
        }
    }

    /// Whether it is subjectively down.
    pub fn is_down(&self) -> bool {
        self.sdown_since.is_some()
    }
}

/// How far a replica is in following a primary that was promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconf {
    /// Nothing was sent.
    None,
    /// REPLICAOF was sent.
    Sent,
    /// It follows the new primary, and is not in step.
    InProgress,
    /// It is in step, or was given up.
    Done,
}

/// A replica.
#[derive(Debug, Clone)]
pub struct Replica {
    /// What every instance has.
    pub node: Node,
    /// `slave_priority`
    pub priority: i64,
    /// `slave_repl_offset`
    pub offset: u64,
    /// `replica_announced`
    pub announced: bool,
    /// Which primary it says it follows.
    pub follows: (String, u16),
    /// Since when it says that.
    pub follows_at: Millis,
    /// Whether its link to its primary is up.
    pub link_up: bool,
    /// How long that link is down, in milliseconds.
    pub link_down_ms: Millis,
    /// It was chosen to be promoted.
    pub promoted: bool,
    /// How far it is.
    pub reconf: Reconf,
    /// When REPLICAOF was sent.
    pub reconf_at: Millis,
}

impl Replica {
    pub(crate) fn new(addr: Addr, now: Millis) -> Self {
        Self {
            node: Node::new(addr, Role::Replica, now),
            priority: 100,
            offset: 0,
            announced: true,
            follows: (String::new(), 0),
            follows_at: now,
            link_up: false,
            link_down_ms: 0,
            promoted: false,
            reconf: Reconf::None,
            reconf_at: now,
        }
    }
}

/// Another sentinel, with what it thinks of this primary.
#[derive(Debug, Clone)]
pub struct Peer {
    /// What every instance has.
    pub node: Node,
    /// When its last hello came.
    pub hello_at: Millis,
    /// It said that the primary is down.
    pub says_down: bool,
    /// When it last answered to being asked.
    pub answered_at: Millis,
    /// When it was last asked.
    pub asked_at: Option<Millis>,
    /// Whom it voted for.
    pub leader: String,
    /// In which epoch.
    pub leader_epoch: u64,
}

/// The steps of a failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// None is under way.
    None,
    /// Waiting to be elected.
    WaitStart,
    /// Choosing a replica.
    SelectReplica,
    /// Telling it to follow nobody.
    SendPromotion,
    /// Waiting until it says that it is a primary.
    WaitPromotion,
    /// Leading the others to it.
    Reconfigure,
    /// Taking over the new configuration.
    UpdateConfig,
}

impl Step {
    /// The name that SENTINEL MASTER shows.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::WaitStart => "wait_start",
            Self::SelectReplica => "select_slave",
            Self::SendPromotion => "send_slaveof_noone",
            Self::WaitPromotion => "wait_promotion",
            Self::Reconfigure => "reconf_slaves",
            Self::UpdateConfig => "update_config",
        }
    }
}

/// Who asked for a failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The primary is down.
    Down,
    /// An operator: no election.
    Forced,
    /// An operator, and the live primary hands over to its replica.
    Coordinated,
}

/// The failover under way, or the last one.
#[derive(Debug, Clone)]
pub struct Failover {
    /// How far it is.
    pub step: Step,
    /// When it came to that step.
    pub step_at: Millis,
    /// Its epoch.
    pub epoch: u64,
    /// When the last one was begun, here or by the sentinel that was voted for; none if there was none.
    pub started_at: Option<Millis>,
    /// Who asked for it.
    pub cause: Cause,
    /// The key of the replica that is promoted.
    pub promoted: Option<String>,
    /// The delay until the next attempt was logged for this start.
    pub delay_logged: Option<Millis>,
}

/// What an operator sets for one primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Sentinels that must agree that it is down.
    pub quorum: u32,
    /// `down-after-milliseconds`
    pub down_after: Millis,
    /// `failover-timeout`, milliseconds.
    pub failover_timeout: Millis,
    /// `parallel-syncs`
    pub parallel_syncs: u32,
    /// `notification-script`
    pub notification_script: Option<String>,
    /// `client-reconfig-script`
    pub reconfig_script: Option<String>,
    /// `auth-user`
    pub auth_user: Option<String>,
    /// `auth-pass`
    pub auth_pass: Option<String>,
    /// `rename-command`: names in lower case to what they are called there.
    pub renames: BTreeMap<String, String>,
    /// `master-reboot-down-after-period`, milliseconds; 0 for off.
    pub reboot_down_after: Millis,
}

/// See the module's head.
#[derive(Debug, Clone)]
pub struct Primary {
    /// Its name.
    pub name: String,
    /// What every instance has.
    pub node: Node,
    /// What an operator sets.
    pub options: Options,
    /// The epoch of the configuration that says where it is.
    pub config_epoch: u64,
    /// Since when it is objectively down.
    pub odown_since: Option<Millis>,
    /// Replicas by where they are.
    pub replicas: BTreeMap<String, Replica>,
    /// Other sentinels by run id.
    pub sentinels: BTreeMap<String, Peer>,
    /// Whom this sentinel voted for.
    pub leader: String,
    /// In which epoch.
    pub leader_epoch: u64,
    /// The failover.
    pub failover: Failover,
    /// It was started anew, since then, and has not answered as a server in working order.
    pub rebooted_at: Option<Millis>,
}

impl Primary {
    /// Whether a failover is under way.
    pub fn is_failing_over(&self) -> bool {
        self.failover.step != Step::None
    }

    /// Where clients should go, and what hello messages announce: the promoted replica as soon as it is one.
    pub fn current_addr(&self) -> &Addr {
        let promoted = || self.replicas.get(self.failover.promoted.as_ref()?);
        match self.failover.step {
            Step::Reconfigure | Step::UpdateConfig => {
                promoted().map_or(&self.node.addr, |replica| &replica.node.addr)
            }
            _ => &self.node.addr,
        }
    }
}
