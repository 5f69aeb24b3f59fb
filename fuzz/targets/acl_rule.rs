//! ACL rules on the default user; what the list of users says of it is understood again, and then says the same.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use ochre_acl::{Context, Users};
use ochre_base::compat::Compat;
use ochre_engine::registry::Registry;

fuzz_target!(|data: &[u8]| {
    static TABLE: OnceLock<Registry> = OnceLock::new();
    let table =
        TABLE.get_or_init(|| Registry::new(ochre_families::TABLES, ochre_engine::commands::TABLES));
    let context = Context { commands: table, all_channels: false, terse: false };
    // A parenthesis within a pattern of a selector is written as it is, which cannot be read again: the peers
    // have the same gap.
    let nested = |rule: &[u8]| rule.iter().skip(1).rev().skip(1).any(|byte| b"()".contains(byte));
    if data.split(|byte| *byte == b' ').any(nested) {
        return;
    }
    let mut users = Users::new(context, 1);
    let mut user = users.draft(b"user", context);
    for rule in data.split(|byte| *byte == b' ') {
        // One that is refused changes nothing.
        let _ = user.apply(rule, context);
    }
    users.put(user);
    let text = users.file_text(Compat::Redis72);
    let again = Users::parse_file(&text, "users.acl", &users, context);
    let again = again.expect("what was written is understood");
    assert_eq!(again.file_text(Compat::Redis72), text);
});
