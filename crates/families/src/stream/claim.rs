//! Taking over pending entries of other consumers: XCLAIM, XAUTOCLAIM.
//!
//! An entry that is pending but gone from the stream is dropped on the way, which is logged as XACK.

use ochre_command::Ctx;
use ochre_command::args::{Cursor, int, int_or, is};
use ochre_command::data::Class;
use ochre_command::outcome::{ReplyError, Result, SYNTAX};
use ochre_command::spec::{CommandSpec, Flags, Group as Family};
use ochre_command::{Data, Key, Reply};
use ochre_types::stream::{ConsumerId, Pending, Stream, StreamId};

use super::effects::{self, Claimed};
use super::{
    DELETE, UPDATE, edit_group, id, interval_start, no_group, peek, write_entry, write_id,
};

const FAST: Flags = Flags::WRITE.union(Flags::FAST);
const VARIES: &[&str] = &["nondeterministic_output"];

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("xclaim", -6, FAST, Family::Stream, xclaim).keys(&[UPDATE]).tips(VARIES).docs(
        "5.0.0",
        "Takes over pending entries of a group for a consumer.",
        "O(log N) with N being the number of messages in the PEL of the consumer group.",
        "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] \
             [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
    ),
    CommandSpec::new("xautoclaim", -6, FAST, Family::Stream, xautoclaim)
        .keys(&[DELETE])
        .tips(VARIES)
        .docs(
            "6.2.0",
            "Takes over those entries of a group that have been pending for long.",
            "O(1) if COUNT is small.",
            "key group consumer min-idle-time start [COUNT count] [JUSTID]",
        ),
];

/// Pending entries that XAUTOCLAIM looks at for one that it gives, with the peers.
const LOOKS_PER_ENTRY: i64 = 10;

/// What a claim did.
#[derive(Debug, Default)]
struct Claims {
    consumer_made: bool,
    claimed: Vec<Claimed>,
    dropped: Vec<StreamId>,
    position: Option<(StreamId, Option<i64>)>,
}

impl Claims {
    fn log(&self, data: &mut Data<'_>, key: Key<'_>, group: &[u8], consumer: &[u8]) {
        if self.consumer_made {
            data.changed(key, Class::Stream, "xgroup-createconsumer");
            effects::consumer_made(data, key, group, consumer);
        }
        data.work.counts.dirty += (self.claimed.len() + self.dropped.len()) as u64;
        effects::acknowledged(data, key, group, &self.dropped);
        effects::claims(data, key, group, consumer, &self.claimed);
        if let Some((last_id, entries_read)) = self.position {
            data.work.counts.dirty += 1;
            effects::position(data, key, group, last_id, entries_read);
        }
    }
}

/// A claim's consumer and its wishes.
struct Claimer<'a> {
    group: &'a [u8],
    owner: ConsumerId,
    now_ms: i64,
    min_idle_ms: i64,
    delivered_ms: i64,
    retries: Option<i64>,
    force: bool,
    just_id: bool,
}

/// What became of one entry.
enum Outcome {
    Claimed,
    Dropped,
    Left,
}

impl Claimer<'_> {
    /// Makes the consumer if need be, and notes that it was seen.
    fn appear(
        stream: &mut Stream,
        group: &[u8],
        consumer: &[u8],
        now_ms: i64,
    ) -> (Option<ConsumerId>, bool) {
        let Some(group) = stream.group_mut(group) else { return (None, false) };
        let (owner, made) = group.add_consumer(consumer, now_ms);
        if let Some(consumer) = group.consumer_mut(owner) {
            consumer.seen_ms = now_ms;
        }
        (Some(owner), made)
    }

    fn claim(&self, stream: &mut Stream, id: StreamId, claims: &mut Claims) -> Outcome {
        let is_there = stream.contains(id);
        let Some(group) = stream.group_mut(self.group) else { return Outcome::Left };
        let old = group.pending(id).copied();
        if !is_there {
            if !group.acknowledge(id) {
                return Outcome::Left;
            }
            claims.dropped.push(id);
            return Outcome::Dropped;
        }
        let old = match old {
            Some(old) => old,
            // As if it had been delivered to nobody.
            None if self.force => Pending { delivered_ms: 0, deliveries: 1, owner: None },
            None => return Outcome::Left,
        };
        let idle_ms = self.now_ms.saturating_sub(old.delivered_ms);
        if old.owner.is_some() && self.min_idle_ms > 0 && idle_ms < self.min_idle_ms {
            return Outcome::Left;
        }
        let more = i64::from(!self.just_id);
        let deliveries = self.retries.unwrap_or(old.deliveries.saturating_add(more));
        let delivered_ms = self.delivered_ms;
        group.pend(id, Pending { delivered_ms, deliveries, owner: Some(self.owner) });
        if let Some(consumer) = group.consumer_mut(self.owner) {
            consumer.active_ms = self.now_ms;
        }
        claims.claimed.push(Claimed { id, delivered_ms, deliveries });
        Outcome::Claimed
    }

    fn write(&self, reply: &mut Reply<'_>, stream: &Stream, id: StreamId) {
        match stream.entry(id) {
            Some(entry) if !self.just_id => write_entry(reply, &entry),
            _ => write_id(reply, id),
        }
    }
}

/// The options of XCLAIM.
#[derive(Debug, Default)]
struct Options {
    delivered_ms: Option<i64>,
    retries: Option<i64>,
    force: bool,
    just_id: bool,
    last_id: StreamId,
}

impl Options {
    fn parse(args: &[&[u8]], at: usize, now_ms: i64) -> Result<Self> {
        const IDLE: ReplyError = ReplyError::fixed("ERR Invalid IDLE option argument for XCLAIM");
        const TIME: ReplyError = ReplyError::fixed("ERR Invalid TIME option argument for XCLAIM");
        const RETRY: ReplyError =
            ReplyError::fixed("ERR Invalid RETRYCOUNT option argument for XCLAIM");
        let mut options = Self::default();
        let mut cursor = Cursor::new(args, at);
        while let Some(word) = cursor.take_next() {
            let more = cursor.left() > 0;
            if is(word, "force") {
                options.force = true;
            } else if is(word, "justid") {
                options.just_id = true;
            } else if more && is(word, "idle") {
                let idle_ms = int_or(cursor.need()?, IDLE)?;
                options.delivered_ms = Some(now_ms.saturating_sub(idle_ms));
            } else if more && is(word, "time") {
                options.delivered_ms = Some(int_or(cursor.need()?, TIME)?);
            } else if more && is(word, "retrycount") {
                let count = int_or(cursor.need()?, RETRY)?;
                options.retries = Some(count).filter(|count| *count >= 0);
            } else if more && is(word, "lastid") {
                options.last_id = id(cursor.need()?, 0)?;
            } else {
                let word = super::shown(word);
                return Err(ReplyError::new(format!("ERR Unrecognized XCLAIM option '{word}'")));
            }
        }
        Ok(options)
    }
}

impl Options {
    /// When the entries count as delivered. A time ahead is taken as now, but for the form that is
    /// logged: a replica whose clock is behind is to have what its primary has.
    fn delivery(&self, now_ms: i64) -> i64 {
        let logged = self.force && self.just_id && self.retries.is_some();
        match self.delivered_ms {
            Some(ms) if ms >= 0 && (ms <= now_ms || logged) => ms,
            _ => now_ms,
        }
    }
}

fn xclaim(ctx: &mut Ctx<'_>) -> Result {
    const BAD_IDLE: ReplyError = ReplyError::fixed("ERR Invalid min-idle-time argument for XCLAIM");
    let (key, name, consumer) = (ctx.key(1), ctx.arg(2), ctx.arg(3));
    let now_ms = ctx.now().unix_ms;
    if peek(&mut ctx.data, key)?.is_none_or(|stream| stream.group(name).is_none()) {
        return Err(no_group(key.name, name));
    }
    let min_idle_ms = int_or(ctx.arg(4), BAD_IDLE)?.max(0);
    let ids: Vec<StreamId> = ctx.args[5..].iter().map_while(|arg| id(arg, 0).ok()).collect();
    let options = Options::parse(ctx.args, 5 + ids.len(), now_ms)?;
    let mark = ctx.reply.deferred();
    let Ctx { data, reply, .. } = ctx;
    let (claims, written) = edit_group(data, key, name, |stream| {
        let mut claims = Claims::default();
        if let Some(group) = stream.group_mut(name)
            && options.last_id > group.last_id
        {
            group.last_id = options.last_id;
            claims.position = Some((group.last_id, group.entries_read));
        }
        let (owner, made) = Claimer::appear(stream, name, consumer, now_ms);
        claims.consumer_made = made;
        let Some(owner) = owner else { return Ok((claims, 0)) };
        let delivered_ms = options.delivery(now_ms);
        let Options { retries, force, just_id, .. } = options;
        let claimer = Claimer {
            group: name,
            owner,
            now_ms,
            min_idle_ms,
            delivered_ms,
            retries,
            force,
            just_id,
        };
        let mut written = 0;
        for &id in &ids {
            if let Outcome::Claimed = claimer.claim(stream, id, &mut claims) {
                claimer.write(reply, stream, id);
                written += 1;
            }
        }
        Ok((claims, written))
    })?;
    ctx.reply.finish_array(mark, written);
    claims.log(&mut ctx.data, key, name, consumer);
    Ok(())
}

fn xautoclaim(ctx: &mut Ctx<'_>) -> Result {
    const BAD_IDLE: ReplyError =
        ReplyError::fixed("ERR Invalid min-idle-time argument for XAUTOCLAIM");
    const BAD_COUNT: ReplyError = ReplyError::fixed("ERR COUNT must be > 0");
    let (key, name, consumer) = (ctx.key(1), ctx.arg(2), ctx.arg(3));
    let now_ms = ctx.now().unix_ms;
    let min_idle_ms = int_or(ctx.arg(4), BAD_IDLE)?.max(0);
    let start = interval_start(ctx.arg(5))?;
    let (mut count, mut just_id) = (100, false);
    let mut options = Cursor::new(ctx.args, 6);
    while options.left() > 0 {
        if options.left() > 1 && options.take("count") {
            count = int(options.need()?).map_err(|_| BAD_COUNT)?;
            // What the peers could still hold in memory.
            if !(1..=i64::MAX / 16).contains(&count) {
                return Err(BAD_COUNT);
            }
        } else if options.take("justid") {
            just_id = true;
        } else {
            return Err(SYNTAX);
        }
    }
    let Ctx { data, reply, .. } = ctx;
    // Where the walk ends is known behind the entries, but stands before them.
    let mut entries = Vec::new();
    let mut body = Reply::new(&mut entries, reply.protocol());
    let (claims, next, written) = edit_group(data, key, name, |stream| {
        let mut claims = Claims::default();
        let (owner, made) = Claimer::appear(stream, name, consumer, now_ms);
        claims.consumer_made = made;
        let Some(owner) = owner else { return Ok((claims, StreamId::MIN, 0)) };
        let claimer = Claimer {
            group: name,
            owner,
            now_ms,
            min_idle_ms,
            delivered_ms: now_ms,
            retries: None,
            force: false,
            just_id,
        };
        let (mut left, mut looks) = (count, count.saturating_mul(LOOKS_PER_ENTRY));
        let (mut at, mut written) = (Some(start), 0);
        let mut next = StreamId::MIN;
        while let Some(from) = at {
            let pending =
                stream.group(name).and_then(|group| group.pending_in(from..=StreamId::MAX).next());
            let Some((id, _)) = pending else { break };
            if left == 0 || looks == 0 {
                next = id;
                break;
            }
            looks -= 1;
            match claimer.claim(stream, id, &mut claims) {
                Outcome::Claimed => {
                    claimer.write(&mut body, stream, id);
                    written += 1;
                    left -= 1;
                }
                Outcome::Dropped => left -= 1,
                Outcome::Left => {}
            }
            at = id.next();
        }
        Ok((claims, next, written))
    })?;
    reply.array(3);
    write_id(reply, next);
    reply.array(written);
    reply.raw(body.buffer());
    reply.array(claims.dropped.len());
    claims.dropped.iter().for_each(|id| write_id(reply, *id));
    claims.log(data, key, name, consumer);
    Ok(())
}
