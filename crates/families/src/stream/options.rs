//! The options that XADD and XTRIM share.

use ochre_command::args::{int, is};
use ochre_command::outcome::{ReplyError, Result, SYNTAX};
use ochre_types::limits::Limits;
use ochre_types::stream::{Bound, References, StreamId, Trim};

use super::id;

/// Entries that an approximate trim without LIMIT may remove: this many blocks' worth.
const BLOCKS_PER_TRIM: u64 = 100;
/// The same when blocks have no bound of entries.
const UNBOUNDED_TRIM: u64 = 10_000;
const TRIM_MAX: u64 = 1_000_000;

/// How XADD gets the new entry's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NewId {
    /// `*`
    Auto,
    /// `ms-*`
    Within(u64),
    /// `ms-seq`
    Given(StreamId),
}

/// Which message a producer says an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) producer: &'a [u8],
    /// None: from what the message says.
    pub(super) id: Option<&'a [u8]>,
}

/// What stands before the id of XADD, or behind the key of XTRIM.
#[derive(Debug, Clone)]
pub(super) struct Options<'a> {
    pub(super) create: bool,
    pub(super) trim: Option<Trim>,
    pub(super) message: Option<Message<'a>>,
    /// XADD: the id, and where the fields begin.
    pub(super) new_id: Option<(NewId, usize)>,
    references: Option<References>,
    limit: Option<u64>,
}

impl<'a> Options<'a> {
    /// Reads the options from argument 2 on; `adding` for XADD, which stops at the id.
    pub(super) fn parse(args: &[&'a [u8]], adding: bool, limits: &Limits) -> Result<Self> {
        let mut options = Self {
            create: true,
            trim: None,
            message: None,
            new_id: None,
            references: None,
            limit: None,
        };
        let mut at = 2;
        while let Some(&arg) = args.get(at) {
            let rest = &args[at + 1..];
            at += 1;
            if adding && arg == b"*" {
                options.new_id = Some((NewId::Auto, at));
                break;
            } else if super::is_any(arg, &["maxlen", "minid"]) && !rest.is_empty() {
                at += options.bound(is(arg, "maxlen"), rest)?;
            } else if is(arg, "limit") && !rest.is_empty() {
                options.limit = Some(limit(rest[0])?);
                at += 1;
            } else if let Some(references) = references(arg) {
                options.references = Some(references);
            } else if adding && is(arg, "nomkstream") {
                options.create = false;
            } else if adding && is(arg, "idmpauto") && !rest.is_empty() {
                options.name_message(rest[0], None)?;
                at += 1;
            } else if adding && is(arg, "idmp") && rest.len() >= 2 {
                options.name_message(rest[0], Some(rest[1]))?;
                at += 2;
            } else if adding {
                options.new_id = Some((new_id(arg)?, at));
                break;
            } else {
                return Err(SYNTAX);
            }
        }
        options.finish(adding, limits)?;
        Ok(options)
    }

    /// Reads `[= | ~] threshold`; gives how many arguments that were.
    fn bound(&mut self, by_count: bool, rest: &[&[u8]]) -> Result<usize> {
        const BOTH: ReplyError = ReplyError::fixed(
            "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
        );
        const NEGATIVE: ReplyError = ReplyError::fixed("ERR The MAXLEN argument must be >= 0.");
        if self.trim.is_some() {
            return Err(BOTH);
        }
        let signed = rest.len() >= 2 && matches!(rest[0], b"~" | b"=");
        let threshold = rest[usize::from(signed)];
        let bound = if by_count {
            Bound::Count(u64::try_from(int(threshold)?).map_err(|_| NEGATIVE)?)
        } else {
            Bound::From(id(threshold, 0)?)
        };
        let approximate = signed && rest[0] == b"~";
        self.trim = Some(Trim { bound, approximate, limit: 0, references: References::Keep });
        Ok(1 + usize::from(signed))
    }

    fn name_message(&mut self, producer: &'a [u8], message: Option<&'a [u8]>) -> Result {
        const TWICE: ReplyError = ReplyError::fixed("ERR IDMP/IDMPAUTO specified multiple times");
        const EMPTY: ReplyError =
            ReplyError::fixed("ERR IDMP/IDMPAUTO requires a non-empty producer ID");
        const EMPTY_MESSAGE: ReplyError =
            ReplyError::fixed("ERR IDMP requires a non-empty idempotent ID");
        if self.message.is_some() {
            return Err(TWICE);
        }
        if producer.is_empty() {
            return Err(EMPTY);
        }
        if message.is_some_and(<[u8]>::is_empty) {
            return Err(EMPTY_MESSAGE);
        }
        self.message = Some(Message { producer, id: message });
        Ok(())
    }

    fn finish(&mut self, adding: bool, limits: &Limits) -> Result {
        const NO_BOUND: ReplyError = ReplyError::fixed(
            "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
        );
        const NO_STRATEGY: ReplyError =
            ReplyError::fixed("ERR syntax error, XTRIM must be called with a trimming strategy");
        const EXACT: ReplyError = ReplyError::fixed(
            "ERR syntax error, LIMIT cannot be used without the special ~ option",
        );
        const GIVEN_ID: ReplyError =
            ReplyError::fixed("ERR IDMP/IDMPAUTO can be used only with auto-generated IDs");
        if self.message.is_some() && !matches!(self.new_id, None | Some((NewId::Auto, _))) {
            return Err(GIVEN_ID);
        }
        let Some(trim) = &mut self.trim else {
            if self.limit.is_some_and(|limit| limit > 0) {
                return Err(NO_BOUND);
            }
            return if adding { Ok(()) } else { Err(NO_STRATEGY) };
        };
        if self.limit.is_some() && !trim.approximate {
            return Err(EXACT);
        }
        trim.references = self.references.unwrap_or_default();
        if trim.approximate {
            let blocks = (limits.stream_node_max_entries as u64).saturating_mul(BLOCKS_PER_TRIM);
            let usual = if blocks == 0 { UNBOUNDED_TRIM } else { blocks.min(TRIM_MAX) };
            trim.limit = self.limit.unwrap_or(usual);
        }
        Ok(())
    }
}

/// What becomes of references, when the argument says so.
pub(super) fn references(arg: &[u8]) -> Option<References> {
    if is(arg, "keepref") {
        Some(References::Keep)
    } else if is(arg, "delref") {
        Some(References::Remove)
    } else if is(arg, "acked") {
        Some(References::Respect)
    } else {
        None
    }
}

/// The word for it.
pub(super) fn references_word(references: References) -> &'static [u8] {
    match references {
        References::Keep => b"KEEPREF",
        References::Remove => b"DELREF",
        References::Respect => b"ACKED",
    }
}

fn limit(arg: &[u8]) -> Result<u64> {
    const NEGATIVE: ReplyError = ReplyError::fixed("ERR The LIMIT argument must be >= 0.");
    u64::try_from(int(arg)?).map_err(|_| NEGATIVE)
}

fn new_id(arg: &[u8]) -> Result<NewId> {
    match arg.strip_suffix(b"-*") {
        // Milliseconds alone: `id` would also take a number behind a dash.
        Some(ms) if !ms.contains(&b'-') => Ok(NewId::Within(id(ms, 0)?.ms)),
        _ => Ok(NewId::Given(id(arg, 0)?)),
    }
}
