//! CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO.

use ochre_command::args::{Cursor, is};
use ochre_command::outcome::SYNTAX;
use ochre_command::{ReplyError, Result};

use crate::registry::Row;
use crate::tracking::{self, Tracking};
use crate::turn::Turn;

pub(super) fn tracking(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let asked = parse(turn, args)?;
    if is(args[2], "off") {
        tracking::stop(turn.engine, turn.session);
    } else if is(args[2], "on") {
        let wanted = combine(turn.session.tracking.as_deref(), asked)?;
        tracking::start(turn.engine, turn.session, wanted);
    } else {
        return Err(SYNTAX);
    }
    turn.reply().ok();
    Ok(())
}

/// The options, whatever the present mode.
fn parse(turn: &Turn<'_>, args: &[&[u8]]) -> Result<Tracking> {
    let mut asked = Tracking::default();
    let mut options = Cursor::new(args, 3);
    while options.left() > 0 {
        if options.take("redirect") {
            if asked.redirect != 0 {
                return Err(ReplyError::fixed(
                    "ERR A client can only redirect to a single other client",
                ));
            }
            let id = options.need_int()?;
            asked.redirect = u64::try_from(id).unwrap_or(0);
            if turn.engine.clients.by_id(asked.redirect).is_none() {
                return Err(ReplyError::fixed(
                    "ERR The client ID you want redirect to does not exist",
                ));
            }
        } else if options.take("bcast") {
            asked.bcast = true;
        } else if options.take("optin") {
            asked.optin = true;
        } else if options.take("optout") {
            asked.optout = true;
        } else if options.take("noloop") {
            asked.noloop = true;
        } else if options.take("prefix") {
            asked.prefixes.push(options.need()?.to_vec());
        } else {
            return Err(SYNTAX);
        }
    }
    Ok(asked)
}

/// What tracking becomes when `asked` comes on top of what is on already.
fn combine(present: Option<&Tracking>, mut asked: Tracking) -> Result<Tracking> {
    if !asked.bcast && !asked.prefixes.is_empty() {
        return Err(ReplyError::fixed("ERR PREFIX option requires BCAST mode to be enabled"));
    }
    if present.is_some_and(|present| present.bcast != asked.bcast) {
        return Err(ReplyError::fixed(
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and \
             then re-enabling it with a different mode.",
        ));
    }
    if asked.bcast && (asked.optin || asked.optout) {
        return Err(ReplyError::fixed("ERR OPTIN and OPTOUT are not compatible with BCAST"));
    }
    if asked.optin && asked.optout {
        return Err(ReplyError::fixed("ERR You can't specify both OPTIN mode and OPTOUT mode"));
    }
    let switches =
        |present: &Tracking| (asked.optin && present.optout) || (asked.optout && present.optin);
    if present.is_some_and(switches) {
        return Err(ReplyError::fixed(
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and \
             then re-enabling it with a different mode.",
        ));
    }
    if asked.bcast {
        let had = present.map(|present| &present.prefixes[..]).unwrap_or_default();
        check_overlap(had, &asked.prefixes)?;
        if asked.prefixes.is_empty() && had.is_empty() {
            asked.prefixes.push(Vec::new());
        }
        asked.prefixes.extend_from_slice(had);
        asked.prefixes.sort_unstable();
        asked.prefixes.dedup();
    }
    Ok(asked)
}

/// No two prefixes of a client may match one key: it would be told twice.
fn check_overlap(had: &[Vec<u8>], new: &[Vec<u8>]) -> Result {
    let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
    let refuse = |a: &[u8], b: &[u8], which: &str| {
        let (a, b) = (String::from_utf8_lossy(a), String::from_utf8_lossy(b));
        Err(ReplyError::new(format!(
            "ERR Prefix '{a}' overlaps with {which} prefix '{b}'. Prefixes for a single client must \
             not overlap."
        )))
    };
    for (at, prefix) in new.iter().enumerate() {
        if let Some(other) = had.iter().find(|other| overlap(prefix, other)) {
            return refuse(prefix, other, "an existing");
        }
        if let Some(other) = new[at + 1..].iter().find(|other| overlap(prefix, other)) {
            return refuse(prefix, other, "another provided");
        }
    }
    Ok(())
}

pub(super) fn caching(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    const NOT_NOW: ReplyError = ReplyError::fixed(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
         OPTOUT mode enabled",
    );
    const NOT_OPTIN: ReplyError = ReplyError::fixed(
        "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
    );
    const NOT_OPTOUT: ReplyError = ReplyError::fixed(
        "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
    );
    let tracking = turn.session.tracking.as_mut().ok_or(NOT_NOW)?;
    if is(args[2], "yes") {
        if !tracking.optin {
            return Err(NOT_OPTIN);
        }
        tracking.caching = Some(true);
    } else if is(args[2], "no") {
        if !tracking.optout {
            return Err(NOT_OPTOUT);
        }
        tracking.caching = Some(false);
    } else {
        return Err(SYNTAX);
    }
    turn.reply().ok();
    Ok(())
}

pub(super) fn getredir(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let id = turn.session.tracking.as_ref().map_or(-1, |tracking| tracking.redirect as i64);
    turn.reply().integer(id);
    Ok(())
}

pub(super) fn trackinginfo(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let tracking = turn.session.tracking.clone();
    let mut flags = Vec::new();
    match &tracking {
        None => flags.push("off"),
        Some(tracking) => {
            flags.push("on");
            for (is_on, flag) in [
                (tracking.bcast, "bcast"),
                (tracking.optin, "optin"),
                (tracking.caching == Some(true), "caching-yes"),
                (tracking.optout, "optout"),
                (tracking.caching == Some(false), "caching-no"),
                (tracking.noloop, "noloop"),
                (tracking.broken, "broken_redirect"),
            ] {
                if is_on {
                    flags.push(flag);
                }
            }
        }
    }
    let mut reply = turn.reply();
    reply.map(3);
    reply.bulk("flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag));
    reply.bulk("redirect");
    reply.integer(tracking.as_ref().map_or(-1, |tracking| tracking.redirect as i64));
    reply.bulk("prefixes");
    let prefixes = tracking.map(|tracking| tracking.prefixes).unwrap_or_default();
    reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    Ok(())
}
