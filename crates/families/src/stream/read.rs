//! Reading what is new: XREAD and XREADGROUP.
//!
//! XREAD gives what is behind an id. XREADGROUP gives, for `>`, what the group has not read, and notes
//! it as pending for the consumer; for an id, what is pending for the consumer behind it. With CLAIM
//! it first takes over what has been pending for long. Where nothing can be given a command may wait;
//! see [`waiting`](super::waiting) for how it is served.

use ochre_command::Ctx;
use ochre_command::args::{Cursor, int, int_or};
use ochre_command::ctx::{Block, OnTimeout};
use ochre_command::data::Class;
use ochre_command::outcome::{
    NOT_INTEGER, ReplyError, Result, SYNTAX, TIMEOUT_NEGATIVE, TIMEOUT_RANGE,
};
use ochre_command::spec::{Begin, CommandSpec, Find, Flags, Group as Family, KeySpec};
use ochre_command::{Key, Reply};
use ochre_types::stream::{ConsumerId, Order, Pending, Stream, StreamId};
use ochre_types::value::Type;

use super::effects::{self, Claimed};
use super::{Absent, READS, edit, id, no_group, peek, read, write_entry, write_fields, write_id};

const fn keys_behind(from: i32) -> KeySpec {
    KeySpec {
        begin: Begin::Keyword("STREAMS", from),
        find: Find::Range { last: -1, step: 1, limit: 2 },
        flags: READS,
    }
}

const WAITS: Flags = Flags::BLOCKING.union(Flags::MOVABLEKEYS);

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("xread", -4, Flags::READONLY.union(WAITS), Family::Stream, xread)
        .keys(&[keys_behind(1)])
        .docs(
            "5.0.0",
            "Gives the entries of streams behind given ids, waiting for some if need be.",
            "O(N) with N the number of elements returned; XADD pays O(M) for M waiting clients",
            "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
        ),
    CommandSpec::new("xreadgroup", -7, Flags::WRITE.union(WAITS), Family::Stream, xreadgroup)
        .keys(&[keys_behind(4)])
        .docs(
            "5.0.0",
            "Gives a consumer of a group new entries or its pending ones, waiting if need be.",
            "O(M) with M the number of elements returned; XADD pays O(N) for N waiting clients",
            "GROUP group consumer [COUNT count] [BLOCK milliseconds] [CLAIM min-idle-time] [NOACK] \
             STREAMS key [key ...] id [id ...]",
        ),
];

/// Where a stream is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Behind this id; with a group, in the consumer's pending entries.
    After(StreamId),
    /// `>`: what the group has not read.
    Unread,
}

/// A command's arguments.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    /// Group and consumer.
    pub(super) group: Option<(&'a [u8], &'a [u8])>,
    pub(super) keys: &'a [&'a [u8]],
    pub(super) ids: &'a [&'a [u8]],
    /// Entries of one stream; `usize::MAX` for all.
    count: usize,
    /// Milliseconds to wait; 0 for ever.
    block_ms: Option<i64>,
    /// Milliseconds that a pending entry is left with its consumer.
    pub(super) claim_ms: Option<i64>,
    noack: bool,
}

fn unbalanced(is_group: bool) -> ReplyError {
    ReplyError::fixed(if is_group {
        "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be \
         specified."
    } else {
        "ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be \
         specified."
    })
}

impl<'a> Request<'a> {
    pub(super) fn parse(args: &'a [&'a [u8]], is_group: bool) -> Result<Self> {
        const NO_GROUP: ReplyError = ReplyError::fixed("ERR Missing GROUP option for XREADGROUP");
        const GROUP: ReplyError = ReplyError::fixed(
            "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
        );
        const NOACK: ReplyError = ReplyError::fixed(
            "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
        );
        const CLAIM: ReplyError = ReplyError::fixed(
            "ERR The CLAIM option is only supported by XREADGROUP. You called XREAD instead.",
        );
        const BAD_CLAIM: ReplyError =
            ReplyError::fixed("ERR min-idle-time is not an integer or out of range");
        const NEGATIVE_CLAIM: ReplyError =
            ReplyError::fixed("ERR min-idle-time must be a positive integer");
        let mut request = Self {
            group: None,
            keys: &[],
            ids: &[],
            count: usize::MAX,
            block_ms: None,
            claim_ms: None,
            noack: false,
        };
        let mut cursor = Cursor::new(args, 1);
        while cursor.left() > 0 {
            let more = cursor.left() - 1;
            if more >= 1 && cursor.take("block") {
                request.block_ms = Some(block_ms(cursor.need()?)?);
            } else if more >= 1 && cursor.take("count") {
                request.count = match int_or(cursor.need()?, NOT_INTEGER)? {
                    ..=0 => usize::MAX,
                    n => usize::try_from(n).unwrap_or(usize::MAX),
                };
            } else if more >= 1 && cursor.take("streams") {
                let words = cursor.rest();
                if !words.len().is_multiple_of(2) {
                    return Err(unbalanced(is_group));
                }
                (request.keys, request.ids) = words.split_at(words.len() / 2);
                break;
            } else if more >= 2 && cursor.take("group") {
                if !is_group {
                    return Err(GROUP);
                }
                request.group = Some((cursor.need()?, cursor.need()?));
            } else if cursor.take("noack") {
                if !is_group {
                    return Err(NOACK);
                }
                request.noack = true;
            } else if more >= 1 && cursor.take("claim") {
                if !is_group {
                    return Err(CLAIM);
                }
                let ms = int_or(cursor.need()?, BAD_CLAIM)?;
                request.claim_ms =
                    Some(ms).filter(|ms| *ms >= 0).ok_or(NEGATIVE_CLAIM).map(Some)?;
            } else {
                return Err(SYNTAX);
            }
        }
        if request.keys.is_empty() {
            return Err(SYNTAX);
        }
        if is_group && request.group.is_none() {
            return Err(NO_GROUP);
        }
        Ok(request)
    }

    /// The command to run when one of the keys is ready, with the ids as they are by now.
    fn serve(&self, from: &[From]) -> Vec<Vec<u8>> {
        let mut words: Vec<Vec<u8>> = match self.group {
            None => vec![b"XREAD".to_vec()],
            Some((group, consumer)) => [b"XREADGROUP", &b"GROUP"[..], group, consumer]
                .iter()
                .map(|word| word.to_vec())
                .collect(),
        };
        if self.count < usize::MAX {
            words.extend([b"COUNT".to_vec(), self.count.to_string().into_bytes()]);
        }
        if let Some(ms) = self.claim_ms {
            words.extend([b"CLAIM".to_vec(), ms.to_string().into_bytes()]);
        }
        if self.noack {
            words.push(b"NOACK".to_vec());
        }
        words.push(b"STREAMS".to_vec());
        words.extend(self.keys.iter().map(|key| key.to_vec()));
        words.extend(from.iter().map(|from| match from {
            From::After(id) => id.to_vec(),
            From::Unread => b">".to_vec(),
        }));
        words
    }
}

fn block_ms(arg: &[u8]) -> Result<i64> {
    const NOT_INT: ReplyError = ReplyError::fixed("ERR timeout is not an integer or out of range");
    match int(arg).map_err(|_| NOT_INT)? {
        ..0 => Err(TIMEOUT_NEGATIVE),
        ms => Ok(ms),
    }
}

/// Waits, or answers that there is nothing.
fn wait(ctx: &mut Ctx<'_>, request: &Request<'_>, from: &[From]) -> Result {
    let Some(ms) = request.block_ms.filter(|_| ctx.may_block) else {
        ctx.reply.null_array();
        return Ok(());
    };
    let deadline = match ms {
        0 => None,
        ms => Some(ctx.now().unix_ms.checked_add(ms).ok_or(TIMEOUT_RANGE)?),
    };
    let serve = request.serve(from);
    ctx.block = Some(Block {
        keys: request.keys.iter().map(|key| key.to_vec()).collect(),
        also: Vec::new(),
        key_at: serve.len() - 2 * request.keys.len(),
        serve,
        wants: Type::Stream,
        deadline,
        on_timeout: OnTimeout::NullArray,
    });
    Ok(())
}

/// Streams' names with their entries: a map in RESP3, an array of pairs in RESP2.
struct Served {
    mark: ochre_resp::reply::Deferred,
    start: usize,
    count: usize,
}

impl Served {
    fn begin(reply: &mut Reply<'_>) -> Self {
        let start = reply.len();
        Self { mark: reply.deferred(), start, count: 0 }
    }

    fn name(&mut self, reply: &mut Reply<'_>, key: &[u8]) {
        if !reply.is_resp3() {
            reply.array(2);
        }
        reply.bulk(key);
        self.count += 1;
    }

    /// False, with nothing written, when no stream had anything.
    fn finish(self, reply: &mut Reply<'_>) -> bool {
        match (self.count, reply.is_resp3()) {
            (0, _) => reply.truncate(self.start),
            (count, true) => reply.finish_map(self.mark, count),
            (count, false) => reply.finish_array(self.mark, count),
        }
        self.count > 0
    }
}

fn xread(ctx: &mut Ctx<'_>) -> Result {
    const NEW: ReplyError = ReplyError::fixed(
        "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
         <consumer> option.",
    );
    let request = Request::parse(ctx.args, false)?;
    let mut from = Vec::with_capacity(request.keys.len());
    for (&name, &arg) in request.keys.iter().zip(request.ids) {
        let key = ctx.data.key(name);
        let stream = peek(&mut ctx.data, key)?;
        from.push(match arg {
            b"$" => stream.map_or(StreamId::MIN, |stream| stream.last_id),
            // The last entry: what is behind the id before it.
            b"+" => match stream.and_then(Stream::last) {
                Some(last) => last.id.previous().unwrap_or(StreamId::MIN),
                None => stream.map_or(StreamId::MIN, |stream| stream.last_id),
            },
            b">" => return Err(NEW),
            arg => id(arg, 0)?,
        });
    }
    let mut served = Served::begin(&mut ctx.reply);
    for (&name, &after) in request.keys.iter().zip(&from) {
        let key = Key::new(name);
        let Some(stream) = read(&mut ctx.data, key)? else { continue };
        let Some(start) = after.next() else { continue };
        if stream.last().is_none_or(|last| last.id < start) {
            continue;
        }
        served.name(&mut ctx.reply, name);
        let mark = ctx.reply.deferred();
        let mut count = 0;
        for entry in stream.range(start, StreamId::MAX, Order::Ascending).take(request.count) {
            write_entry(&mut ctx.reply, &entry);
            count += 1;
        }
        ctx.reply.finish_array(mark, count);
    }
    if served.finish(&mut ctx.reply) {
        return Ok(());
    }
    let from: Vec<From> = from.into_iter().map(From::After).collect();
    wait(ctx, &request, &from)
}

fn group_position(arg: &[u8]) -> Result<From> {
    const LAST: ReplyError = ReplyError::fixed(
        "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of \
         this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID \
         would just return an empty result set.",
    );
    const TOP: ReplyError = ReplyError::fixed(
        "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of \
         this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID \
         would just return an empty result set.",
    );
    match arg {
        b"$" => Err(LAST),
        b"+" => Err(TOP),
        b">" => Ok(From::Unread),
        arg => Ok(From::After(id(arg, 0)?)),
    }
}

fn xreadgroup(ctx: &mut Ctx<'_>) -> Result {
    let request = Request::parse(ctx.args, true)?;
    let Some((group, _)) = request.group else { return Err(SYNTAX) };
    let mut from = Vec::with_capacity(request.keys.len());
    for (&name, &arg) in request.keys.iter().zip(request.ids) {
        let key = ctx.data.key(name);
        if peek(&mut ctx.data, key)?.is_none_or(|stream| stream.group(group).is_none()) {
            let error = no_group(name, group);
            return Err(ReplyError::new(format!("{error} in XREADGROUP with GROUP option")));
        }
        from.push(group_position(arg)?);
    }
    let mut served = Served::begin(&mut ctx.reply);
    for (&name, &from) in request.keys.iter().zip(&from) {
        deliver(ctx, &request, name, from, &mut served)?;
    }
    if served.finish(&mut ctx.reply) { Ok(()) } else { wait(ctx, &request, &from) }
}

/// What one stream's part of XREADGROUP did.
#[derive(Debug, Default)]
struct Delivery {
    consumer_made: bool,
    /// Pending entries as they are now.
    claimed: Vec<Claimed>,
    /// Pending entries that are no more: their entries were deleted.
    dropped: Vec<StreamId>,
    /// How far the group has read now.
    position: Option<(StreamId, Option<i64>)>,
}

fn deliver(
    ctx: &mut Ctx<'_>,
    request: &Request<'_>,
    name: &[u8],
    from: From,
    served: &mut Served,
) -> Result {
    let Some((group, consumer)) = request.group else { return Err(SYNTAX) };
    let (key, now_ms) = (Key::new(name), ctx.now().unix_ms);
    let Ctx { data, reply, .. } = ctx;
    let done = edit(data, key, Absent::Leave, |stream, _, _| {
        let mut delivery = Delivery::default();
        let Some(readers) = stream.group_mut(group) else { return Ok(delivery) };
        let (owner, made) = readers.add_consumer(consumer, now_ms);
        delivery.consumer_made = made;
        if let Some(reader) = readers.consumer_mut(owner) {
            reader.seen_ms = now_ms;
        }
        let mut reader = Reader { stream, group, owner, request, now_ms, reply, name, served };
        match from {
            From::After(after) => reader.history(after, &mut delivery),
            From::Unread => reader.unread(&mut delivery),
        }
        Ok(delivery)
    })?;
    if let Some((delivery, _)) = done {
        log(ctx, key, group, consumer, &delivery);
    }
    Ok(())
}

fn log(ctx: &mut Ctx<'_>, key: Key<'_>, group: &[u8], consumer: &[u8], delivery: &Delivery) {
    let data = &mut ctx.data;
    if delivery.consumer_made {
        data.changed(key, Class::Stream, "xgroup-createconsumer");
        effects::consumer_made(data, key, group, consumer);
    }
    let changes = delivery.claimed.len() + delivery.dropped.len();
    data.work.counts.dirty += changes as u64 + u64::from(delivery.position.is_some());
    effects::acknowledged(data, key, group, &delivery.dropped);
    effects::claims(data, key, group, consumer, &delivery.claimed);
    if let Some((last_id, entries_read)) = delivery.position {
        effects::position(data, key, group, last_id, entries_read);
    }
}

/// A consumer that reads from one stream.
struct Reader<'r, 'o> {
    stream: &'r mut Stream,
    group: &'r [u8],
    owner: ConsumerId,
    request: &'r Request<'r>,
    now_ms: i64,
    reply: &'r mut Reply<'o>,
    name: &'r [u8],
    served: &'r mut Served,
}

impl Reader<'_, '_> {
    /// What is pending for the consumer behind an id. An entry that is gone shows as null.
    fn history(&mut self, after: StreamId, delivery: &mut Delivery) {
        self.served.name(self.reply, self.name);
        let group = self.stream.group(self.group);
        let consumer = group.and_then(|group| group.consumer(self.owner));
        let ids: Vec<StreamId> = match (consumer, after.next()) {
            (Some(consumer), Some(start)) => {
                consumer.pending_from(start).take(self.request.count).collect()
            }
            _ => Vec::new(),
        };
        self.reply.array(ids.len());
        for id in ids {
            match self.stream.entry(id) {
                Some(entry) => {
                    write_entry(self.reply, &entry);
                    self.take_over(id, delivery);
                }
                None => {
                    self.reply.array(2);
                    write_id(self.reply, id);
                    self.reply.null_array();
                }
            }
        }
    }

    /// One more delivery of a pending entry, to this consumer.
    fn take_over(&mut self, id: StreamId, delivery: &mut Delivery) {
        let Some(group) = self.stream.group_mut(self.group) else { return };
        let before = group.pending(id).map_or(0, |pending| pending.deliveries);
        let (delivered_ms, deliveries) = (self.now_ms, before.saturating_add(1));
        group.pend(id, Pending { delivered_ms, deliveries, owner: Some(self.owner) });
        delivery.claimed.push(Claimed { id, delivered_ms, deliveries });
    }

    /// What the group has not read, behind what CLAIM takes over.
    fn unread(&mut self, delivery: &mut Delivery) {
        let due = self.due(delivery);
        let Some(group) = self.stream.group(self.group) else { return };
        let (mut last_id, mut entries_read) = (group.last_id, group.entries_read);
        let is_new = self.stream.last().is_some_and(|last| last.id > last_id);
        let room = self.request.count.saturating_sub(due.len());
        if due.is_empty() && !is_new {
            return;
        }
        self.served.name(self.reply, self.name);
        let mark = self.reply.deferred();
        for id in &due {
            self.write_due(*id);
            self.take_over(*id, delivery);
        }
        let mut fresh = Vec::new();
        let start = last_id.next().unwrap_or(StreamId::MAX);
        for entry in self.stream.range(start, StreamId::MAX, Order::Ascending).take(room) {
            if self.request.claim_ms.is_some() {
                self.reply.array(4);
                write_id(self.reply, entry.id);
                write_fields(self.reply, &entry);
                self.reply.integer(0);
                self.reply.integer(0);
            } else {
                write_entry(self.reply, &entry);
            }
            entries_read = self.stream.advance(entries_read, last_id, entry.id);
            last_id = entry.id;
            fresh.push(entry.id);
        }
        self.reply.finish_array(mark, due.len() + fresh.len());
        self.note(&fresh, last_id, entries_read, delivery);
    }

    /// Notes new entries as delivered.
    fn note(
        &mut self,
        fresh: &[StreamId],
        last_id: StreamId,
        entries_read: Option<i64>,
        delivery: &mut Delivery,
    ) {
        let Some(group) = self.stream.group_mut(self.group) else { return };
        if let Some(consumer) = group.consumer_mut(self.owner) {
            consumer.active_ms = self.now_ms;
        }
        if fresh.is_empty() {
            return;
        }
        (group.last_id, group.entries_read) = (last_id, entries_read);
        delivery.position = Some((last_id, entries_read));
        if self.request.noack {
            return;
        }
        let (delivered_ms, deliveries) = (self.now_ms, 1);
        for &id in fresh {
            group.pend(id, Pending { delivered_ms, deliveries, owner: Some(self.owner) });
            delivery.claimed.push(Claimed { id, delivered_ms, deliveries });
        }
    }

    /// Entries that CLAIM takes over, the longest pending first. Those that are gone from the stream
    /// are dropped.
    fn due(&mut self, delivery: &mut Delivery) -> Vec<StreamId> {
        let Some(ms) = self.request.claim_ms else { return Vec::new() };
        let latest_ms = self.now_ms.saturating_sub(ms);
        loop {
            let Some(group) = self.stream.group_mut(self.group) else { return Vec::new() };
            let due = group.oldest(latest_ms, self.request.count);
            let gone: Vec<StreamId> =
                due.iter().copied().filter(|id| !self.stream.contains(*id)).collect();
            if gone.is_empty() {
                return due;
            }
            if let Some(group) = self.stream.group_mut(self.group) {
                for id in &gone {
                    group.acknowledge(*id);
                }
            }
            delivery.dropped.extend(gone);
        }
    }

    fn write_due(&mut self, id: StreamId) {
        let pending = self.stream.group(self.group).and_then(|group| group.pending(id));
        let (Some(pending), Some(entry)) = (pending, self.stream.entry(id)) else { return };
        self.reply.array(4);
        write_id(self.reply, id);
        write_fields(self.reply, &entry);
        self.reply.integer(super::pending::idle_ms(pending, self.now_ms));
        self.reply.integer(pending.deliveries);
    }
}
