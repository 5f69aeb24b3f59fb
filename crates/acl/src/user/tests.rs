//! Rules become text and back; the peers' texts and errors.

use proptest::prelude::*;

use super::*;
use crate::testing::Table;

fn user(table: &Table, rules: &[&str]) -> User {
    let mut user = User::new(1, b"u", table.context());
    for rule in rules {
        user.apply(rule.as_bytes(), table.context()).unwrap();
    }
    user
}

fn text(user: &User) -> String {
    String::from_utf8(user.text(Compat::Valkey9)).unwrap()
}

#[test]
fn texts_are_those_of_the_peers() {
    let table = Table::new();
    for (rules, expected) in [
        (&[][..], "u off resetchannels -@all"),
        (&["on", "nopass", "+@all", "~*", "&*"], "u on nopass ~* &* +@all"),
        (
            &["+@string", "-@all", "+get", "+@read", "-get", "+get", "-@read", "+@read"],
            "u off resetchannels -@all +get +@read",
        ),
        (&["+get|A", "+get|b", "-get", "+get|C"], "u off resetchannels -@all -get +get|c"),
        (&["+@read", "+get|a", "+@read"], "u off resetchannels -@all +get|a +@read"),
        (
            &["+config|get", "+config", "-config|set", "-config"],
            "u off resetchannels -@all -config",
        ),
        (&["%R~r", "%w~w", "~a", "%R~a"], "u off %R~r %W~w ~a resetchannels -@all"),
        (&["%R~x", "%W~x", "%RW~y"], "u off ~x ~y resetchannels -@all"),
        (&["&a", "&b*", "&a"], "u off resetchannels &a &b* -@all"),
        (&["db=2,0,2"], "u off resetchannels db=0,2 -@all"),
        (&["DB=2", "RESETDBS"], "u off resetchannels resetdbs -@all"),
        (&["db=2", "alldbs"], "u off resetchannels -@all"),
        (
            &["( +GET  ~x   )", "()", "(&b %R~c db=1)"],
            "u off resetchannels -@all (~x resetchannels -@all +get) (resetchannels -@all) \
          (%R~c resetchannels &b db=1 -@all)",
        ),
        (&["+select|0", "nopass", ">x", "reset"], "u off resetchannels -@all"),
        (&["+@ALL", "-@Read", "+config|GET"], "u off resetchannels +@all -@read +config|get"),
    ] {
        let mut user = user(&table, rules);
        assert_eq!(text(&user), expected, "{rules:?}");
        user.apply(b"reset", table.context()).unwrap();
        assert_eq!(text(&user), "u off resetchannels -@all");
    }
}

#[test]
fn terse_users_forget_what_changes_nothing() {
    let table = Table::new();
    let context = Context { terse: true, ..table.context() };
    let mut user = User::new(1, b"u", context);
    for (rules, expected) in [
        (&["+config|get"][..], "-@all +config|get"),
        (&["+config"], "-@all +config"),
        (&["+@all", "+config|get", "+get|x"], "+@all"),
        (&["-config|get"], "+@all -config|get"),
        (&["-@all", "-get"], "-@all"),
    ] {
        for rule in rules {
            user.apply(rule.as_bytes(), context).unwrap();
        }
        assert_eq!(text(&user), format!("u off resetchannels {expected}"));
    }
}

#[test]
fn flags_are_shown_as_each_family_does() {
    let table = Table::new();
    let fresh = user(&table, &["on"]);
    let reset = user(&table, &["reset"]);
    let skips = user(&table, &["skip-sanitize-payload"]);
    for (compat, expected) in [
        (Compat::Redis70, [vec!["on"], vec!["off", "sanitize-payload"]]),
        (Compat::Redis72, [vec!["on", "sanitize-payload"], vec!["off", "sanitize-payload"]]),
        (Compat::Valkey9, [vec!["on"], vec!["off"]]),
    ] {
        assert_eq!([fresh.flags(compat), reset.flags(compat)], expected);
    }
    assert_eq!(skips.flags(Compat::Redis8), ["off", "skip-sanitize-payload"]);
}

#[test]
fn wrong_rules_are_refused_and_change_nothing() {
    let table = Table::new();
    for (before, rule, error) in [
        ("", "nosuch", RuleError::Syntax),
        ("", "+nosuch", RuleError::Unknown),
        ("", "-get|a", RuleError::Unknown),
        ("", "+get|a|b", RuleError::Unknown),
        ("", "+config|get|a", RuleError::FirstArgOfSubcommand),
        ("", "+config|none", RuleError::Unknown),
        ("", "+get|", RuleError::Syntax),
        ("", "+|x", RuleError::Unknown),
        ("", "+@nosuch", RuleError::Unknown),
        ("", "-@nosuch", RuleError::Unknown),
        ("", "%~a", RuleError::Syntax),
        ("", "%RR~a", RuleError::Syntax),
        ("", "%X~a", RuleError::Syntax),
        ("", "~a b", RuleError::Syntax),
        ("~*", "~a", RuleError::KeyAfterAll),
        ("allkeys", "%R~a", RuleError::KeyAfterAll),
        ("&*", "&a b", RuleError::ChannelAfterAll),
        ("", "<none", RuleError::NoSuchPassword),
        ("", "#abc", RuleError::BadHash),
        ("", "!zz", RuleError::BadHash),
        ("", "db=", RuleError::Syntax),
        ("", "db=1,,2", RuleError::Syntax),
        ("", "db=-1", RuleError::DatabaseRange),
        ("", "db=2147483648", RuleError::DatabaseRange),
        ("", "(on)", RuleError::Syntax),
        ("", "(allkeys ~x)", RuleError::KeyAfterAll),
        ("", "(+nosuch)", RuleError::Unknown),
        ("", " () ", RuleError::Syntax),
        ("", ")", RuleError::Syntax),
    ] {
        let mut user = user(&table, &[before]);
        let was = text(&user);
        assert_eq!(user.apply(rule.as_bytes(), table.context()), Err(error), "{rule}");
        assert_eq!(text(&user), was, "{rule}");
    }
}

#[test]
fn words_of_selectors_are_put_together() {
    let merge = |words: &[&str]| {
        merged(words).map(|rules| {
            rules.into_iter().map(|rule| String::from_utf8(rule).unwrap()).collect::<Vec<_>>()
        })
    };
    assert_eq!(
        merge(&["on", "(~a", "+get)", "(", ")"]),
        Ok(vec!["on".into(), "(~a +get)".into(), "( )".into()])
    );
    assert_eq!(merge(&["()"]), Ok(vec!["()".into()]));
    assert_eq!(merge(&["on", "()x", "on"]), Err(1));
    assert_eq!(merge(&["("]), Err(0));
}

#[test]
fn passwords_open_enabled_users_only() {
    let table = Table::new();
    let digest = Digest::of(b"p");
    assert!(!user(&table, &[">p"]).accepts(&digest));
    assert!(user(&table, &["on", ">p", ">q"]).accepts(&digest));
    assert!(user(&table, &["on", "nopass"]).accepts(&digest));
    assert!(!user(&table, &["on", "nopass", ">q"]).accepts(&digest));
    assert!(!user(&table, &["on", ">p", "<p"]).accepts(&digest));
    assert!(!user(&table, &["on", ">p", "resetpass"]).accepts(&digest));
    assert!(user(&table, &["on", &format!("#{digest}")]).accepts(&digest));
    assert!(User::default_user(0, table.context()).is_unrestricted());
}

#[test]
fn fewer_channels_are_noticed() {
    let table = Table::new();
    let of = |rules: &[&str]| user(&table, rules);
    assert!(of(&["&a", "&b"]).keeps_channels_of(&of(&["&a"])));
    assert!(of(&["&*"]).keeps_channels_of(&of(&["&a"])));
    assert!(of(&["(&a)"]).keeps_channels_of(&of(&["&a"])));
    assert!(!of(&["&b"]).keeps_channels_of(&of(&["&a"])));
    assert!(!of(&["&a"]).keeps_channels_of(&of(&["&*"])));
    assert!(of(&["&a*"]).may_listen(b"ab", false) && !of(&["&a*"]).may_listen(b"ab", true));
}

/// Any rule that is valid on its own.
fn rule() -> impl Strategy<Value = String> {
    let selector_rule = prop_oneof![
        "[+-](get|set|mget|config|config\\|get|config\\|set|select|ping|@read|@write|@string|@slow|@all)",
        "\\+(get|set|select)\\|[abAB0-2]",
        "[%][RW]~[a-c]\\*?",
        "~[a-c]",
        "&[a-c]\\*?",
        "db=[0-3](,[0-3]){0,2}",
        Just("resetkeys".to_owned()),
        Just("resetchannels".to_owned()),
        Just("allkeys".to_owned()),
        Just("allchannels".to_owned()),
        Just("alldbs".to_owned()),
        Just("resetdbs".to_owned()),
    ];
    prop_oneof![
        20 => selector_rule.clone(),
        1 => "(on|off|nopass|resetpass|reset|clearselectors|>[a-c]|sanitize-payload)",
        2 => prop::collection::vec(selector_rule, 0..4)
            .prop_map(|rules| format!("({})", rules.join(" "))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_users_text_makes_the_same_user(rules in prop::collection::vec(rule(), 0..24)) {
        let table = Table::new();
        let mut user = User::new(1, b"u", table.context());
        for rule in &rules {
            // Rules that do not fit the ones before are refused, which changes nothing.
            let _ = user.apply(rule.as_bytes(), table.context());
        }
        let line = user.text(Compat::Redis72);
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').skip(1).collect();
        let mut again = User::new(1, b"u", table.context());
        for rule in merged(&words).unwrap() {
            again.apply(&rule, table.context()).unwrap();
        }
        prop_assert_eq!(again.text(Compat::Redis72), line);
        prop_assert_eq!(again.root(), user.root());
        prop_assert_eq!(again.selectors(), user.selectors());
        prop_assert_eq!(again.is_unrestricted(), user.is_unrestricted());
    }
}
