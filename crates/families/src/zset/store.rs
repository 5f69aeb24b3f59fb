//! Storing a result: what ZRANGESTORE, ZUNIONSTORE, ZINTERSTORE and ZDIFFSTORE have in common.

use ochre_command::data::Class;
use ochre_command::{Ctx, Key};
use ochre_keyspace::db::NewValue;
use ochre_types::value::Value;
use ochre_types::zset::Zset;

/// Puts `result` under a key, whatever was there, and answers how many members it has. An empty result
/// deletes the key.
pub(super) fn store(ctx: &mut Ctx<'_>, target: Key<'_>, result: Zset, event: &'static str) {
    let len = result.len();
    if len > 0 {
        let slot = ctx.data.find(target);
        ctx.data.put(target, slot, NewValue::Whole(Value::Zset(result)), None);
        ctx.data.changed(target, Class::Zset, event);
    } else if ctx.data.delete(target) {
        ctx.data.changed(target, Class::Generic, "del");
    }
    ctx.reply.integer(len as i64);
}
