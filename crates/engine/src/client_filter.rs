//! Which clients CLIENT LIST and CLIENT KILL mean, and how one client is described.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use ochre_base::num::parse_i64;
use ochre_command::args::is;
use ochre_command::outcome::SYNTAX;
use ochre_command::{ReplyError, Result};

use ochre_config::Compat;

use crate::engine::Engine;
use crate::session::{
    ClientInfo, FLAG_BLOCKED, FLAG_CAPA_REDIRECT, FLAG_CLOSING, FLAG_MONITOR, FLAG_MULTI,
    FLAG_NO_EVICT, FLAG_NO_TOUCH, FLAG_PRIMARY, FLAG_PUBSUB, FLAG_REPLICA, FLAG_TRACKING,
    FLAG_TRACKING_BCAST, FLAG_TRACKING_BROKEN,
};

/// One condition, and whether it must hold or must not.
#[derive(Debug, Clone)]
struct Rule {
    test: Test,
    negated: bool,
}

#[derive(Debug, Clone)]
enum Test {
    Id(Vec<u64>),
    Addr(Vec<u8>),
    Laddr(Vec<u8>),
    Ip(Vec<u8>),
    User(Vec<u8>),
    Kind(Kind),
    Flags(Vec<u8>),
    Name(Vec<u8>),
    Idle(i64),
    Db(i64),
    LibName(Vec<u8>),
    LibVer(Vec<u8>),
    Capa(Vec<u8>),
    MaxAge(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Primary,
    Replica,
    Pubsub,
}

/// A set of conditions; a client must meet all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    rules: Vec<Rule>,
    /// This client is left out (SKIPME yes).
    skip: Option<u64>,
}

impl Filter {
    /// The old form of CLIENT KILL.
    pub(crate) fn by_address(address: &[u8]) -> Self {
        let rule = Rule { test: Test::Addr(address.to_vec()), negated: false };
        Self { rules: vec![rule], skip: None }
    }

    /// The options of CLIENT LIST. `known` says whether there is a user.
    pub(crate) fn parse(args: &[&[u8]], me: u64, known: &dyn Fn(&[u8]) -> bool) -> Result<Self> {
        let not_found = ReplyError::fixed("ERR Invalid client ID");
        let mut filter = Self::parse_options(args, me, known)
            .map_err(|error| if error == BAD_ID { not_found } else { error })?;
        // Without SKIPME the list shows the caller.
        if !args.iter().step_by(2).any(|word| is(word, "skipme")) {
            filter.skip = None;
        }
        Ok(filter)
    }

    /// The options of CLIENT KILL: the caller is left out unless SKIPME says no.
    pub(crate) fn parse_kill(
        args: &[&[u8]],
        me: u64,
        known: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Self> {
        Self::parse_options(args, me, known)
    }

    fn parse_options(args: &[&[u8]], me: u64, known: &dyn Fn(&[u8]) -> bool) -> Result<Self> {
        let mut filter = Self { rules: Vec::new(), skip: Some(me) };
        let mut at = 0;
        while at < args.len() {
            let lower = args[at].to_ascii_lowercase();
            let (word, negated) = match lower.strip_prefix(b"not-") {
                Some(rest) => (rest, true),
                None => (&lower[..], false),
            };
            let value = *args.get(at + 1).ok_or(SYNTAX)?;
            at += 2;
            let text = || value.to_vec();
            let test = match word {
                b"id" => {
                    let mut ids = vec![client_id(value)?];
                    // LIST and newer KILL take several.
                    while let Some(id) = args.get(at).and_then(|arg| parse_i64(arg)) {
                        ids.push(u64::try_from(id).map_err(|_| BAD_ID)?);
                        at += 1;
                    }
                    Test::Id(ids)
                }
                b"addr" => Test::Addr(text()),
                b"laddr" => Test::Laddr(text()),
                b"ip" => Test::Ip(text()),
                b"user" => {
                    if !known(value) {
                        let user = String::from_utf8_lossy(value);
                        return Err(ReplyError::new(format!("ERR No such user '{user}'")));
                    }
                    Test::User(text())
                }
                b"type" => Test::Kind(kind(value)?),
                b"flags" => Test::Flags(text()),
                b"name" => Test::Name(text()),
                b"lib-name" => Test::LibName(text()),
                b"lib-ver" => Test::LibVer(text()),
                b"capa" => Test::Capa(text()),
                b"idle" => Test::Idle(number(value, "idle")?),
                b"db" => Test::Db(number(value, "DB")?),
                b"maxage" if !negated => Test::MaxAge(max_age(value)?),
                b"skipme" if !negated => {
                    filter.skip = if is(value, "yes") {
                        Some(me)
                    } else if is(value, "no") {
                        None
                    } else {
                        return Err(SYNTAX);
                    };
                    continue;
                }
                _ => return Err(SYNTAX),
            };
            filter.rules.push(Rule { test, negated });
        }
        Ok(filter)
    }

    /// Whether a client meets all conditions; `now` in Unix seconds.
    pub(crate) fn accepts(&self, info: &ClientInfo, now: i64) -> bool {
        self.skip != Some(info.id)
            && self.rules.iter().all(|rule| holds(&rule.test, info, now) != rule.negated)
    }
}

const BAD_ID: ReplyError = ReplyError::fixed("ERR client-id should be greater than 0");

fn client_id(value: &[u8]) -> Result<u64> {
    match parse_i64(value) {
        Some(id) if id > 0 => Ok(id as u64),
        _ => Err(BAD_ID),
    }
}

fn number(value: &[u8], what: &str) -> Result<i64> {
    parse_i64(value)
        .filter(|n| *n >= 0)
        .ok_or_else(|| ReplyError::new(format!("ERR {what} is not an integer or out of range")))
}

fn max_age(value: &[u8]) -> Result<i64> {
    match parse_i64(value) {
        Some(age) if age > 0 => Ok(age),
        Some(_) => Err(ReplyError::fixed("ERR maxage should be greater than 0")),
        None => Err(ReplyError::fixed("ERR maxage is not an integer or out of range")),
    }
}

fn kind(value: &[u8]) -> Result<Kind> {
    match value.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(Kind::Normal),
        b"master" | b"primary" => Ok(Kind::Primary),
        b"slave" | b"replica" => Ok(Kind::Replica),
        b"pubsub" => Ok(Kind::Pubsub),
        _ => {
            let given = String::from_utf8_lossy(value);
            Err(ReplyError::new(format!("ERR Unknown client type '{given}'")))
        }
    }
}

fn holds(test: &Test, info: &ClientInfo, now: i64) -> bool {
    match test {
        Test::Id(ids) => ids.contains(&info.id),
        Test::Addr(addr) => info.addr.as_bytes() == addr,
        Test::Laddr(addr) => info.laddr.as_bytes() == addr,
        Test::Ip(ip) => {
            let host = info.addr.rsplit_once(':').map_or("", |(host, _)| host);
            host.trim_matches(['[', ']']).as_bytes() == ip
        }
        Test::User(user) => **user == *info.user(),
        Test::Kind(kind) => match kind {
            Kind::Normal => {
                [FLAG_PUBSUB, FLAG_REPLICA, FLAG_PRIMARY].iter().all(|f| !info.has_flag(*f))
            }
            Kind::Replica => info.has_flag(FLAG_REPLICA),
            Kind::Pubsub => info.has_flag(FLAG_PUBSUB),
            Kind::Primary => info.has_flag(FLAG_PRIMARY),
        },
        Test::Flags(wanted) => {
            let have = flags_of(info);
            wanted.iter().all(|flag| have.as_bytes().contains(flag))
        }
        Test::Name(name) => info.names().name.as_bytes() == name,
        Test::LibName(name) => info.names().lib_name.as_bytes() == name,
        Test::LibVer(version) => info.names().lib_ver.as_bytes() == version,
        Test::Capa(capa) => {
            let have = if info.has_flag(FLAG_CAPA_REDIRECT) { &b"r"[..] } else { b"" };
            capa.iter().all(|flag| have.contains(flag))
        }
        Test::Idle(seconds) => now - info.last_seen.load(Ordering::Relaxed) >= *seconds,
        Test::Db(db) => i64::from(info.db.load(Ordering::Relaxed)) == *db,
        Test::MaxAge(seconds) => now - info.created >= *seconds,
    }
}

fn flags_of(info: &ClientInfo) -> String {
    let letters = [
        (FLAG_REPLICA, 'S'),
        (FLAG_PRIMARY, 'M'),
        (FLAG_MONITOR, 'O'),
        (FLAG_PUBSUB, 'P'),
        (FLAG_MULTI, 'x'),
        (FLAG_BLOCKED, 'b'),
        (FLAG_CLOSING, 'c'),
        (FLAG_TRACKING, 't'),
        (FLAG_TRACKING_BROKEN, 'R'),
        (FLAG_TRACKING_BCAST, 'B'),
        (FLAG_NO_EVICT, 'e'),
        (FLAG_NO_TOUCH, 'T'),
    ];
    let mut flags: String =
        letters.iter().filter(|(bit, _)| info.has_flag(*bit)).map(|(_, letter)| *letter).collect();
    if info.is_unix {
        flags.push('U');
    }
    if flags.is_empty() {
        flags.push('N');
    }
    flags
}

/// Appends the line of a client; `now` in Unix seconds.
pub(crate) fn describe(engine: &Engine, info: &ClientInfo, now: i64, out: &mut String) {
    let load = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    let names = info.names();
    let row = info.last_row.load(Ordering::Relaxed);
    let command = match row.checked_sub(1) {
        Some(id) => engine.registry.row(id).full_name.as_str(),
        None => "NULL",
    };
    let multi = i64::from(info.multi.load(Ordering::Relaxed)) - 1;
    let user = info.user();
    let user = String::from_utf8_lossy(&user);
    // Tools of the older families match the line as a whole.
    let compat = engine.live().0.settings.compat;
    let capa = match (compat, info.has_flag(FLAG_CAPA_REDIRECT)) {
        (Compat::Valkey9, true) => " capa=r",
        (Compat::Valkey9, false) => " capa=",
        _ => "",
    };
    let watch = match compat {
        Compat::Redis70 | Compat::Redis72 => String::new(),
        _ => format!(" watch={}", info.watching.load(Ordering::Relaxed)),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={}{capa} db={} sub={} \
         psub={} ssub={} multi={multi}{watch} qbuf={} qbuf-free={} argv-mem=0 multi-mem={} rbs=0 \
         rbp=0 obl={} oll=0 omem={} tot-mem={} events=r cmd={command} user={user} redir={} \
         resp={} lib-name={} lib-ver={} tot-net-in={} tot-net-out={} tot-cmds={}",
        info.id,
        info.addr,
        info.laddr,
        info.fd,
        names.name,
        now - info.created,
        now - info.last_seen.load(Ordering::Relaxed),
        flags_of(info),
        info.db.load(Ordering::Relaxed),
        info.subscriptions[0].load(Ordering::Relaxed),
        info.subscriptions[1].load(Ordering::Relaxed),
        info.subscriptions[2].load(Ordering::Relaxed),
        load(&info.query_bytes),
        load(&info.query_room),
        load(&info.multi_bytes),
        load(&info.output_bytes),
        load(&info.output_bytes),
        load(&info.memory) + load(&info.multi_bytes),
        info.redirect.load(Ordering::Relaxed),
        info.protocol.load(Ordering::Relaxed),
        names.lib_name,
        names.lib_ver,
        load(&info.net_in),
        load(&info.net_out),
        load(&info.commands),
    );
}
