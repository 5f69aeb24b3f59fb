//! Planted bugs, for the test of the tests: the simulator must find each of them.
//!
//! They are an argument of the state machine; the server gives none.

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Votes again in an epoch in which it has voted.
    VoteTwice,
    /// Does not write its votes to the configuration, and so forgets them in a crash.
    ForgetVotes,
    /// Takes a plurality for a majority.
    LeadByPlurality,
    /// Follows whatever configuration it hears of, however old.
    FollowOldConfig,
    /// Acts as leader without being elected.
    SkipElection,
    /// Never leads a former primary that comes back to the new one.
    NeverDemote,
    /// Takes a server for down after a single late answer.
    HastyDown,
    /// Promotes the worst of the replicas in working order.
    WrongReplica,
    /// Answers with a vote without having written it; it is written with whatever is written next.
    UnsyncedVote,
    /// Compares replicas by offsets from before the primary was down.
    StaleOffsets,
}
