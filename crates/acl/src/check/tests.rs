//! Checks against a naive model, and the peers' corner cases.

use proptest::prelude::*;

use super::*;
use crate::commands::Commands;
use crate::testing::Table;

fn user(table: &Table, rules: &[&str]) -> User {
    let mut user = User::new(1, b"u", table.context());
    for rule in rules {
        user.apply(rule.as_bytes(), table.context()).unwrap();
    }
    user
}

fn check(table: &Table, user: &User, line: &str) -> Result<(), Denied> {
    check_in(table, user, line, 0)
}

fn check_in(table: &Table, user: &User, line: &str, db: u32) -> Result<(), Denied> {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let full = [words[0], b"|", words.get(1).copied().unwrap_or_default()].concat();
    let row = table.by_name(&full).or(table.by_name(words[0])).unwrap();
    user.check(&Request { row, spec: table.spec(row), args: &words, db })
}

#[test]
fn commands_and_first_arguments() {
    let table = Table::new();
    let user = user(&table, &["+select|0", "+@string", "-set", "+config|get", "allkeys"]);
    assert_eq!(check(&table, &user, "select 0"), Ok(()));
    assert_eq!(check(&table, &user, "select 1"), Err(Denied::Command));
    assert_eq!(check(&table, &user, "select"), Err(Denied::Command));
    assert_eq!(check(&table, &user, "get a"), Ok(()));
    assert_eq!(check(&table, &user, "set a b"), Err(Denied::Command));
    assert_eq!(check(&table, &user, "config get x"), Ok(()));
    assert_eq!(check(&table, &user, "config set x y"), Err(Denied::Command));
    assert_eq!(check(&table, &user, "auth x"), Ok(()));
}

#[test]
fn keys_by_what_is_done_with_them() {
    let table = Table::new();
    let user = user(&table, &["+@all", "%R~r*", "%W~w*", "~b"]);
    assert_eq!(check(&table, &user, "get r1"), Ok(()));
    assert_eq!(check(&table, &user, "get w1"), Err(Denied::Key(1)));
    assert_eq!(check(&table, &user, "set w1 x"), Ok(()));
    assert_eq!(check(&table, &user, "set w1 x get"), Ok(()), "the key flags are fixed here");
    assert_eq!(check(&table, &user, "strlen w1"), Ok(()));
    assert_eq!(check(&table, &user, "strlen n"), Err(Denied::Key(1)));
    assert_eq!(check(&table, &user, "copy r w"), Ok(()));
    assert_eq!(check(&table, &user, "copy w r"), Err(Denied::Key(1)));
    assert_eq!(check(&table, &user, "copy b b"), Ok(()));
}

#[test]
fn the_selector_that_got_furthest_tells_why() {
    let table = Table::new();
    let user = user(&table, &["+mget", "~key", "(+mget ~key ~other)"]);
    assert_eq!(check(&table, &user, "get key"), Err(Denied::Command));
    assert_eq!(check(&table, &user, "mget other some"), Err(Denied::Key(2)));
    assert_eq!(check(&table, &user, "mget key other some"), Err(Denied::Key(3)));
    assert_eq!(check(&table, &user, "mget key other"), Ok(()));
}

#[test]
fn channels_by_pattern_and_patterns_by_text() {
    let table = Table::new();
    let user = user(&table, &["+@all", "&news*"]);
    assert_eq!(check(&table, &user, "publish news1 x"), Ok(()));
    assert_eq!(check(&table, &user, "publish x news"), Err(Denied::Channel(1)));
    assert_eq!(check(&table, &user, "psubscribe news*"), Ok(()));
    assert_eq!(check(&table, &user, "psubscribe news* news1"), Err(Denied::Channel(2)));
}

#[test]
fn databases() {
    let table = Table::new();
    let user = user(&table, &["+@all", "~*", "&*", "db=3"]);
    assert_eq!(check(&table, &user, "get k"), Err(Denied::Database(0)));
    assert_eq!(check_in(&table, &user, "get k", 3), Ok(()));
    assert_eq!(check(&table, &user, "select 3"), Ok(()));
    assert_eq!(check(&table, &user, "select 4"), Err(Denied::Database(1)));
    assert_eq!(check(&table, &user, "select x"), Ok(()));
    assert_eq!(check(&table, &user, "swapdb 3 4"), Err(Denied::Database(2)));
    assert_eq!(check_in(&table, &user, "flushall", 3), Err(Denied::Database(0)));
    assert_eq!(check_in(&table, &user, "copy a b db 3", 3), Ok(()));
    assert_eq!(check_in(&table, &user, "copy a b db 4", 3), Err(Denied::Database(4)));
    assert_eq!(check(&table, &user, "ping"), Ok(()));
}

#[test]
fn reading_everything_needs_all_keys_in_one_selector() {
    let table = Table::new();
    let words: [&[u8]; 2] = [b"get", b"list"];
    let spec = table.spec(0);
    let request = Request { row: 0, spec, args: &words, db: 0 };
    for (rules, expected) in [
        (&["+get", "~list"][..], false),
        (&["(+get ~list ~v*)"], false),
        (&["(+get ~list %W~*)"], false),
        (&["(+get ~list)", "(~*)"], false),
        (&["(+get ~list %R~*)"], true),
        (&["+get", "allkeys"], true),
        (&["+@all", "&*", "~*"], true),
    ] {
        assert_eq!(user(&table, rules).reads_everything(&request), expected, "{rules:?}");
    }
}

/// Commands of the model: a read, a write, and whether both keys of a copy.
fn model(read: &[char], write: &[char], line: &[&str]) -> bool {
    let may = |list: &[char], key: &str| list.iter().any(|c| key.starts_with(*c));
    match line[0] {
        "get" => may(read, line[1]),
        "set" => may(write, line[1]),
        "strlen" => may(read, line[1]) || may(write, line[1]),
        _ => may(read, line[1]) && may(write, line[2]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn keys_agree_with_a_naive_model(
        read in prop::collection::vec(prop::char::range('a', 'd'), 0..4),
        write in prop::collection::vec(prop::char::range('a', 'd'), 0..4),
        command in prop::sample::select(vec!["get", "set", "strlen", "copy"]),
        one in "[a-e]{1,3}",
        two in "[a-e]{1,3}",
    ) {
        let table = Table::new();
        let mut user = user(&table, &["+@all", "-config"]);
        for (list, mark) in [(&read, "%R~"), (&write, "%W~")] {
            for first in list {
                user.apply(format!("{mark}{first}*").as_bytes(), table.context()).unwrap();
            }
        }
        let line = format!("{command} {one} {two}");
        let words: Vec<&str> = line.split(' ').collect();
        let allowed = check(&table, &user, &line).is_ok();
        prop_assert_eq!(allowed, model(&read, &write, &words), "{}", line);
    }

    #[test]
    fn the_last_rule_for_a_command_counts(
        rules in prop::collection::vec(("[+-]", prop::sample::select(vec!["get", "set", "@read", "@write", "@all"])), 0..12)
    ) {
        let table = Table::new();
        let mut user = user(&table, &["allkeys"]);
        let (mut get, mut set) = (false, false);
        for (sign, name) in &rules {
            user.apply(format!("{sign}{name}").as_bytes(), table.context()).unwrap();
            let on = sign == "+";
            if matches!(*name, "get" | "@read" | "@all") {
                get = on;
            }
            if matches!(*name, "set" | "@write" | "@all") {
                set = on;
            }
        }
        prop_assert_eq!(check(&table, &user, "get a").is_ok(), get);
        prop_assert_eq!(check(&table, &user, "set a b").is_ok(), set);
    }
}
