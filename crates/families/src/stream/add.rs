//! XADD, and what makes it idempotent: XCFGSET, XIDMPRECORD.
//!
//! An entry is logged with the id it got. Its trim is logged exactly: as a length, or, where groups'
//! references were respected, as the id that the trim looked up to. A message that a producer named is
//! logged as XADD and XIDMPRECORD, and one that was there already as nothing.

use ochre_command::Ctx;
use ochre_command::args::{Cursor, int_or};
use ochre_command::data::Class;
use ochre_command::outcome::{NO_SUCH_KEY, ReplyError, Result, SYNTAX, wrong_arity};
use ochre_command::spec::{CommandSpec, Flags, Group};
use ochre_types::limits::Limits;
use ochre_types::stream::{References, Stream, StreamId, Trimmed, message_id};

use super::options::{NewId, Options, references_word};
use super::{Absent, UPDATE, edit, id, write_id};

const ADDS: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("xadd", -5, ADDS, Group::Stream, xadd)
        .keys(&[UPDATE])
        .tips(&["nondeterministic_output"])
        .docs(
            "5.0.0",
            "Appends an entry to a stream, which it makes if need be.",
            "O(1) when adding a new entry, O(N) when trimming where N being the number of entries \
             evicted.",
            "key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] \
             [IDMPAUTO producer-id | IDMP producer-id idempotent-id] \
             [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value \
             [field value ...]",
        ),
    CommandSpec::new("xcfgset", -2, Flags::WRITE.union(Flags::FAST), Group::Stream, xcfgset)
        .keys(&[UPDATE])
        .docs(
            "8.6.0",
            "Sets how long and how many of producers' messages a stream remembers.",
            "O(1)",
            "key [IDMP-DURATION idmp-duration] [IDMP-MAXSIZE idmp-maxsize]",
        ),
    CommandSpec::new("xidmprecord", 5, ADDS, Group::Stream, xidmprecord).keys(&[UPDATE]).docs(
        "8.8.0",
        "Notes which message of a producer an entry is; for the log.",
        "O(1)",
        "key pid iid stream-id",
    ),
];

/// What XADD did.
enum Added {
    /// An entry is there that was not.
    New(StreamId, Option<Trimmed>),
    /// The producer's message was there.
    Known(StreamId),
}

fn xadd(ctx: &mut Ctx<'_>) -> Result {
    let options = Options::parse(ctx.args, true, ctx.data.env.limits)?;
    let (new_id, at) = options.new_id.ok_or_else(|| wrong_arity("xadd"))?;
    let pairs = &ctx.args[at..];
    if pairs.len() < 2 || !pairs.len().is_multiple_of(2) {
        return Err(wrong_arity("xadd"));
    }
    if new_id == NewId::Given(StreamId::MIN) {
        return Err(ReplyError::fixed("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let (key, now_ms) = (ctx.key(1), ctx.now().unix_ms);
    let absent = if options.create { Absent::Create } else { Absent::Leave };
    let automatic = message_id(pairs);
    let message = options.message.map(|m| (m.producer, m.id.unwrap_or(&automatic)));
    let done = edit(&mut ctx.data, key, absent, |stream, limits, _| {
        if let Some((producer, message)) = message
            && let Some(id) = known(stream, producer, message, now_ms)
        {
            return Ok((Added::Known(id), stream.len()));
        }
        let id = add(stream, new_id, pairs, limits, now_ms)?;
        if let Some((producer, message)) = message {
            stream.idempotence_mut().record(producer, message, id, now_ms);
        }
        let trimmed = options.trim.map(|trim| stream.trim(&trim));
        Ok((Added::New(id, trimmed), stream.len()))
    })?;
    let Some(((added, len), _)) = done else {
        ctx.reply.null();
        return Ok(());
    };
    let (id, trimmed) = match added {
        Added::Known(id) => {
            write_id(&mut ctx.reply, id);
            // The count of repeats is no change that a log has to carry.
            ctx.data.no_effect();
            return Ok(());
        }
        Added::New(id, trimmed) => (id, trimmed),
    };
    write_id(&mut ctx.reply, id);
    ctx.data.changed(key, Class::Stream, "xadd");
    if trimmed.is_some_and(|trimmed| trimmed.count > 0) {
        ctx.data.tell(key, Class::Stream, "xtrim");
    }
    if ctx.data.env.log.is_on() {
        log(ctx, &options, id, trimmed.unwrap_or_default(), len);
        if let Some((producer, message)) = message {
            let id = id.to_vec();
            ctx.data.effect([b"XIDMPRECORD", key.name, producer, message, &id].iter());
        }
    }
    Ok(())
}

/// The entry that a producer's message became; counts the repeat.
fn known(stream: &mut Stream, producer: &[u8], message: &[u8], now_ms: i64) -> Option<StreamId> {
    let id = stream.idempotence()?.find(producer, message, now_ms)?;
    stream.idempotence_mut().duplicates += 1;
    Some(id)
}

fn add(
    stream: &mut Stream,
    new_id: NewId,
    pairs: &[&[u8]],
    limits: &Limits,
    now_ms: i64,
) -> Result<StreamId> {
    const EXHAUSTED: ReplyError = ReplyError::fixed(
        "ERR The stream has exhausted the last possible ID, unable to add more items",
    );
    const NOT_HIGHER: ReplyError = ReplyError::fixed(
        "ERR The ID specified in XADD is equal or smaller than the target stream top item",
    );
    const TOO_LARGE: ReplyError = ReplyError::fixed("ERR Elements are too large to be stored");
    if stream.last_id == StreamId::MAX {
        return Err(EXHAUSTED);
    }
    let bytes: usize = pairs.iter().map(|text| text.len()).sum();
    if bytes > ochre_types::stream::BlockLimit::BYTES_MAX {
        return Err(TOO_LARGE);
    }
    let last = stream.last_id;
    let id = match new_id {
        NewId::Auto => stream.next_id(now_ms.max(0) as u64).ok_or(EXHAUSTED)?,
        NewId::Within(ms) if ms == last.ms => {
            StreamId::new(ms, last.seq.checked_add(1).ok_or(NOT_HIGHER)?)
        }
        NewId::Within(ms) => StreamId::new(ms, 0),
        NewId::Given(id) => id,
    };
    if stream.append(id, pairs, limits.stream_block()) { Ok(id) } else { Err(NOT_HIGHER) }
}

/// Logs the entry with its id, and its trim in an exact form.
fn log(ctx: &mut Ctx<'_>, options: &Options<'_>, id: StreamId, trimmed: Trimmed, len: u64) {
    let Some((_, at)) = options.new_id else { return };
    let (id, exact) = (id.to_vec(), options.trim.map(|trim| exact_trim(&trim, trimmed, len)));
    let mut words: Vec<&[u8]> = vec![b"XADD", ctx.args[1]];
    if let Some(exact) = &exact {
        words.extend(exact.iter().map(Vec::as_slice));
    }
    words.push(&id);
    words.extend_from_slice(&ctx.args[at..]);
    ctx.data.effect(words.iter());
}

/// The arguments of an exact trim that does what `trim` did. `len` is the length after it.
pub(super) fn exact_trim(
    trim: &ochre_types::stream::Trim,
    trimmed: Trimmed,
    len: u64,
) -> Vec<Vec<u8>> {
    let mut words = Vec::with_capacity(4);
    if trim.references != References::Keep {
        words.push(references_word(trim.references).to_vec());
    }
    let (word, threshold) = match trimmed.looked_before {
        Some(id) => (&b"MINID"[..], id.to_vec()),
        // What goes is a prefix, whatever bound it was cut by.
        None => (&b"MAXLEN"[..], len.to_string().into_bytes()),
    };
    words.extend([word.to_vec(), b"=".to_vec(), threshold]);
    words
}

fn xcfgset(ctx: &mut Ctx<'_>) -> Result {
    const BAD_DURATION: ReplyError =
        ReplyError::fixed("ERR IDMP-DURATION must be between 1 and 86400 seconds");
    const BAD_MAXSIZE: ReplyError =
        ReplyError::fixed("ERR IDMP-MAXSIZE must be between 1 and 10000 entries");
    let within = |arg: &[u8], max: i64, error: ReplyError| match int_or(arg, error.clone())? {
        n if (1..=max).contains(&n) => Ok(n as u32),
        _ => Err(error),
    };
    let (mut duration, mut count) = (None, None);
    let mut options = Cursor::new(ctx.args, 2);
    while options.left() > 0 {
        if options.take("idmp-duration") {
            duration = Some(within(options.need()?, 86_400, BAD_DURATION)?);
        } else if options.take("idmp-maxsize") {
            count = Some(within(options.need()?, 10_000, BAD_MAXSIZE)?);
        } else {
            return Err(SYNTAX);
        }
    }
    if duration.is_none() && count.is_none() {
        return Err(SYNTAX);
    }
    let key = ctx.key(1);
    edit(&mut ctx.data, key, Absent::Leave, |stream, _, _| {
        stream.idempotence_mut().configure(duration, count);
        Ok(())
    })?
    .ok_or(NO_SUCH_KEY)?;
    ctx.data.changed(key, Class::Stream, "xcfgset");
    ctx.reply.ok();
    Ok(())
}

fn xidmprecord(ctx: &mut Ctx<'_>) -> Result {
    const EMPTY: ReplyError = ReplyError::fixed("ERR pid and iid must be non-empty");
    const NO_ENTRY: ReplyError =
        ReplyError::fixed("ERR The specified stream ID does not exist in the stream");
    const OTHER: ReplyError =
        ReplyError::fixed("ERR The pid/iid pair already maps to a different stream ID");
    let (key, producer, message) = (ctx.key(1), ctx.arg(2), ctx.arg(3));
    let entry = id(ctx.arg(4), 0)?;
    if producer.is_empty() || message.is_empty() {
        return Err(EMPTY);
    }
    let now_ms = ctx.now().unix_ms;
    let is_new = edit(&mut ctx.data, key, Absent::Leave, |stream, _, _| {
        if !stream.contains(entry) {
            return Err(NO_ENTRY);
        }
        match stream.idempotence().and_then(|seen| seen.find(producer, message, now_ms)) {
            Some(other) if other != entry => Err(OTHER),
            Some(_) => Ok(false),
            None => {
                stream.idempotence_mut().record(producer, message, entry, now_ms);
                Ok(true)
            }
        }
    })?;
    let (is_new, _) = is_new.ok_or(NO_SUCH_KEY)?;
    if is_new {
        ctx.data.changed(key, Class::Stream, "xidmprecord");
    }
    ctx.reply.ok();
    Ok(())
}
