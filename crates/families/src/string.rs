//! String commands.

use ochre_command::Ctx;
use ochre_command::outcome::Result;
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_keyspace::db::Text;

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[CommandSpec::new(
    "get",
    2,
    Flags::READONLY.union(Flags::FAST),
    Group::String,
    get,
)
.keys(&[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))])
.docs("1.0.0", "Gives the string value of a key.", "O(1)", "key")];

fn get(ctx: &mut Ctx<'_>) -> Result {
    match ctx.data.text(ctx.data.key(ctx.args[1]))? {
        None => ctx.reply.null(),
        Some(Text::Bytes(bytes)) => ctx.reply.bulk(bytes),
        Some(Text::Int(n)) => ctx.reply.bulk_i64(n),
        Some(Text::Blob(blob)) => ctx.reply.bulk(&blob[..]),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn get_of_an_absent_key_is_null() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("GET k"), "$-1|");
        assert_eq!(
            bench.run("GET"),
            "-ERR wrong number of arguments for 'get' command|"
        );
        assert_eq!(bench.log_text(), "");
    }
}
