//! The commands of a sentinel: rows of the same kind as the server's, in a table of their own.
//!
//! Names, arity, flags and categories follow redis-sentinel 7.0.15, with the newer names of valkey-sentinel 9.1 beside.

use ochre_command::spec::{Categories, CommandSpec, Flags, Group};
use ochre_engine::registry::runs_in_engine;

const ALWAYS: Flags = Flags::LOADING.union(Flags::STALE).union(Flags::NOSCRIPT);
const ADMIN: Flags = ALWAYS.union(Flags::ADMIN);
const NO_AUTH: Flags = ALWAYS.union(Flags::FAST).union(Flags::NO_AUTH).union(Flags::ALLOW_BUSY);
const LISTEN: Flags = ALWAYS.union(Flags::PUBSUB);

const fn row(name: &'static str, arity: i32, flags: Flags, group: Group) -> CommandSpec {
    CommandSpec::new(name, arity, flags, group, runs_in_engine)
}

const fn admin(name: &'static str, arity: i32) -> CommandSpec {
    row(name, arity, Flags::ADMIN, Group::Server)
}

const fn session(name: &'static str, arity: i32) -> CommandSpec {
    row(name, arity, ALWAYS, Group::Connection).also(Categories::CONNECTION)
}

/// All rows.
pub(super) const COMMANDS: &[CommandSpec] = &[
    row("acl", -2, Flags::empty(), Group::Server).subcommands(&[
        row("cat", -2, ALWAYS, Group::Server),
        row("deluser", -3, ADMIN, Group::Server),
        row("dryrun", -4, ADMIN, Group::Server),
        row("genpass", -2, ALWAYS, Group::Server),
        row("getuser", 3, ADMIN, Group::Server),
        row("list", 2, ADMIN, Group::Server),
        row("load", 2, ADMIN, Group::Server),
        row("save", 2, ADMIN, Group::Server),
        row("setuser", -3, ADMIN, Group::Server),
        row("users", 2, ADMIN, Group::Server),
        row("whoami", 2, ALWAYS, Group::Server),
    ]),
    row("auth", -2, NO_AUTH, Group::Connection).also(Categories::CONNECTION),
    row("client", -2, Flags::empty(), Group::Connection).subcommands(&[
        session("getname", 2),
        session("id", 2),
        session("info", 2),
        row("kill", -3, ADMIN, Group::Connection).also(Categories::CONNECTION),
        row("list", -2, ADMIN, Group::Connection).also(Categories::CONNECTION),
        session("reply", 3),
        session("setinfo", 4),
        session("setname", 3),
    ]),
    row("command", -1, Flags::LOADING.union(Flags::STALE), Group::Server)
        .also(Categories::CONNECTION)
        .subcommands(&[
            session("count", 2),
            session("docs", -2),
            session("info", -2),
            session("list", -2),
        ]),
    row("hello", -1, NO_AUTH, Group::Connection).also(Categories::CONNECTION),
    row("info", -1, Flags::LOADING.union(Flags::STALE), Group::Server).also(Categories::DANGEROUS),
    row("ping", -1, Flags::FAST, Group::Connection).also(Categories::CONNECTION),
    row("psubscribe", -2, LISTEN, Group::Pubsub),
    row("publish", 3, LISTEN.union(Flags::FAST), Group::Pubsub),
    row("punsubscribe", -1, LISTEN, Group::Pubsub),
    row("quit", -1, NO_AUTH, Group::Connection).also(Categories::CONNECTION),
    row("role", 1, ALWAYS.union(Flags::FAST), Group::Server)
        .also(Categories::ADMIN.union(Categories::DANGEROUS)),
    row("sentinel", -2, Flags::ADMIN, Group::Server).subcommands(&[
        admin("ckquorum", 3),
        admin("config", -3),
        admin("debug", -2),
        admin("failover", -3),
        admin("flushconfig", 2),
        admin("get-master-addr-by-name", 3),
        admin("get-primary-addr-by-name", 3),
        row("help", 2, Flags::LOADING.union(Flags::STALE), Group::Server),
        admin("info-cache", -3),
        admin("is-master-down-by-addr", 6),
        admin("is-primary-down-by-addr", 6),
        admin("master", 3),
        admin("masters", 2),
        admin("monitor", 6),
        admin("myid", 2),
        admin("pending-scripts", 2),
        admin("primaries", 2),
        admin("primary", 3),
        admin("remove", 3),
        admin("replicas", 3),
        admin("reset", 3),
        admin("sentinels", 3),
        admin("set", -5),
        admin("simulate-failure", -3),
        admin("slaves", 3),
    ]),
    row("shutdown", -1, ADMIN.union(Flags::NO_MULTI), Group::Server),
    row("subscribe", -2, LISTEN, Group::Pubsub),
    row("unsubscribe", -1, LISTEN, Group::Pubsub),
];
