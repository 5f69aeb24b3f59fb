//! Tests of CONFIG GET and SET; texts are those of redis-server 7.0.15.

use super::*;
use crate::store::Surroundings;
use proptest::prelude::*;
use std::path::PathBuf;

const HERE: SetContext = SetContext { local_client: true, loading: false };

fn fresh() -> Config {
    Config::new(&Surroundings { cores: 4, folder: PathBuf::from("/start") })
}

fn error_of(config: &mut Config, words: &[&str], context: SetContext) -> String {
    let mut out = Vec::new();
    config.set(words, context).unwrap_err().append_text(&mut out);
    String::from_utf8(out).unwrap()
}

fn get(config: &Config, patterns: &[&str]) -> Vec<(String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    config.get(patterns).into_iter().map(|(n, v)| (text(n), text(v))).collect()
}

#[test]
fn get_by_name_and_pattern() {
    let config = fresh();
    let pair = |n: &str, v: &str| (n.to_string(), v.to_string());
    assert_eq!(get(&config, &["PORT"]), [pair("PORT", "6379")]);
    assert_eq!(get(&config, &["PoR*"]), [pair("port", "6379")]);
    assert_eq!(get(&config, &["port", "p[o]rt", "PORT"]), [pair("port", "6379")]);
    assert_eq!(get(&config, &["nothing", "no*thing"]), []);
    assert_eq!(get(&config, &["watchdog*"]), []);
    assert_eq!(get(&config, &["watchdog-period"]), [pair("watchdog-period", "0")]);
    let both = [pair("replicaof", ""), pair("slaveof", "")];
    assert_eq!(get(&config, &["slaveof", "replicaof"]), both);
    let all = get(&config, &["*"]);
    assert!(all.is_sorted());
    let listed = NAMES.values().filter(|id| !id.directive().hidden).count();
    assert_eq!(all.len(), listed);
}

#[test]
fn values_are_refused_in_the_peers_words() {
    for (name, value, message) in [
        ("maxmemory", "abc", "argument must be a memory value"),
        ("maxmemory", "-1", "argument must be a memory value"),
        ("maxmemory", "1tb", "argument must be a memory value"),
        ("maxmemory", " 1", "argument must be a memory value"),
        ("port", "abc", "argument couldn't be parsed into an integer"),
        ("port", "80 90", "argument couldn't be parsed into an integer"),
        ("port", "70000", "argument must be between 0 and 65535 inclusive"),
        ("timeout", "01", "argument couldn't be parsed into an integer"),
        ("timeout", "+1", "argument couldn't be parsed into an integer"),
        ("databases", "5", "can't set immutable config"),
        ("dir", "/x", "can't set protected config"),
        ("rdbcompression", "maybe", "argument must be 'yes' or 'no'"),
        ("maxclients", "0", "argument must be between 1 and 4294967295 inclusive"),
        (
            "proto-max-bulk-len",
            "100",
            "argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        (
            "slowlog-log-slower-than",
            "-2",
            "argument must be between -1 and 9223372036854775807 inclusive",
        ),
        (
            "maxmemory-policy",
            "foo",
            "argument(s) must be one of the following: volatile-lru, volatile-lfu, \
             volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction",
        ),
        (
            "shutdown-on-sigint",
            "foo",
            "argument(s) must be one of the following: default, save, nosave, now, force",
        ),
        ("save", "abc", "Invalid save parameters"),
        ("save", "900", "Invalid save parameters"),
        ("save", "0 1", "Invalid save parameters"),
        ("save", "900  1", "Invalid save parameters"),
        (
            "client-output-buffer-limit",
            "foo 1 2 3",
            "Invalid client class specified in buffer limit configuration.",
        ),
        (
            "client-output-buffer-limit",
            "normal 1 2",
            "Wrong number of arguments in buffer limit configuration.",
        ),
        (
            "client-output-buffer-limit",
            "normal 1 2 -3",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        ),
        ("notify-keyspace-events", "KEZ", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        ("oom-score-adj-values", "1 2", "wrong number of arguments"),
        (
            "oom-score-adj-values",
            "1 2 3000",
            "Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
        ),
        ("maxmemory-clients", "101%", "percentage argument must be less or equal to 100"),
        ("maxmemory-clients", "5x", "argument must be a memory or percent value"),
        (
            "latency-tracking-info-percentiles",
            "50 abc",
            "Invalid latency-tracking-info-percentiles parameters",
        ),
        (
            "latency-tracking-info-percentiles",
            "101",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        ),
        (
            "proc-title-template",
            "{foo}",
            "template format is invalid or contains unknown variables",
        ),
    ] {
        let expected =
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {message}");
        let upper = name.to_uppercase();
        assert_eq!(error_of(&mut fresh(), &[&upper, value], HERE), expected);
    }
}

#[test]
fn the_form_of_the_command_is_checked_in_order() {
    let mut config = fresh();
    let config = &mut config;
    assert_eq!(error_of(config, &["maxmemory"], HERE), "ERR syntax error");
    let unknown = "ERR Unknown option or number of arguments for CONFIG SET - 'FOO'";
    assert_eq!(error_of(config, &["maxmemory", "x", "FOO", "2", "bar", "3"], HERE), unknown);
    let text = error_of(config, &["databases", "1", "foo", "2"], HERE);
    assert!(text.ends_with("'databases') - can't set immutable config"));
    let text = error_of(config, &["maxmemory", "1", "MAXMEMORY", "2"], HERE);
    assert!(text.ends_with("'maxmemory') - duplicate parameter"));
    let loading = SetContext { local_client: true, loading: true };
    assert!(error_of(config, &["appendonly", "no"], loading).starts_with("LOADING "));
    let text = error_of(config, &["min-replicas-max-lag", "x"], HERE);
    assert!(text.contains("'min-replicas-max-lag')"), "{text}");
}

#[test]
fn all_or_nothing() {
    let mut config = fresh();
    error_of(&mut config, &["maxmemory", "1gb", "port", "abc"], HERE);
    assert_eq!(get(&config, &["maxmemory"])[0].1, "0");
    let words = [
        "maxmemory",
        "1gb",
        "hz",
        "10",
        "list-max-ziplist-size",
        "5",
        "list-max-listpack-size",
        "6",
    ];
    let change = config.set(&words, HERE).unwrap();
    let names: Vec<&str> = change.changed.iter().map(|id| id.directive().name).collect();
    // `hz` has the value already; the list's size was set by two names, the last one holds.
    assert_eq!(names, ["maxmemory", "list-max-listpack-size", "list-max-listpack-size"]);
    assert_eq!(get(&config, &["list-max-ziplist-size"])[0].1, "6");
    config.roll_back(change);
    assert_eq!(get(&config, &["maxmemory"])[0].1, "0");
    assert_eq!(get(&config, &["list-max-ziplist-size"])[0].1, "-2");
}

#[test]
fn values_are_shown_as_the_peer_shows_them() {
    let mut config = fresh();
    for (name, value, shown) in [
        ("hz", "100000", "500"),
        ("hz", "0", "1"),
        ("maxmemory", "1Gb", "1073741824"),
        ("maxmemory", "", "0"),
        ("save", "", ""),
        ("save", "900 1 300 10", "900 1 300 10"),
        ("latency-tracking-info-percentiles", "50 99.99", "50 99.99"),
        ("latency-tracking-info-percentiles", "", ""),
        ("oom-score-adj-values", "10 5 3", "10 5 3"),
        ("shutdown-on-sigint", "save now", "save now"),
        ("shutdown-on-sigint", "DEFAULT", "default"),
        ("bind", "127.0.0.1 ::1", "127.0.0.1 ::1"),
        ("bind", "", ""),
        (
            "client-output-buffer-limit",
            "replica 1mb 2 3 pubsub 1 2 3",
            "normal 0 0 0 slave 1048576 2 3 pubsub 1 2 3",
        ),
        ("requirepass", "a b", "a b"),
        ("maxmemory-policy", "ALLKEYS-LRU", "allkeys-lru"),
    ] {
        config.set(&[name, value], HERE).unwrap();
        assert_eq!(get(&config, &[name])[0].1, shown, "{name} {value}");
    }
}

#[test]
fn guards() {
    let guard = id("enable-protected-configs");
    for (value, local, allowed) in
        [(0, true, false), (1, false, true), (GUARD_LOCAL, true, true), (GUARD_LOCAL, false, false)]
    {
        let mut config = fresh();
        config.replace(guard, Value::Int(value));
        let context = SetContext { local_client: local, loading: false };
        assert_eq!(config.set(&["dbfilename", "x.rdb"], context).is_ok(), allowed);
    }
}

proptest! {
    /// Whatever is accepted is shown in a form that is accepted again with the same result.
    #[test]
    fn shown_values_are_accepted_again(
        name in prop::sample::select(NAMES.keys().copied().collect::<Vec<_>>()),
        value in prop_oneof![
            "(yes|no|save|[0-9]{1,5}|[0-9]{1,3}(kb|mb|%)|[a-z ]{0,9})",
            "([0-9]{1,3} [0-9]{1,3}( [0-9]{1,3})?|[KEAgx]{0,4})",
        ],
    ) {
        let name = std::str::from_utf8(name).unwrap();
        let mut config = fresh();
        let Ok(change) = config.set(&[name, &value], HERE) else { return Ok(()) };
        prop_assert!(change.changed.len() <= 1);
        let before = get(&config, &[name]);
        let shown = before[0].1.clone();
        let again = config.set(&[name, &shown], HERE);
        // What names a file is put into effect again, whatever it is.
        let volatile = change.changed.first().is_some_and(|id| id.directive().volatile);
        let unchanged = again.is_ok_and(|c| c.changed.is_empty() || volatile);
        prop_assert!(unchanged, "{} {:?}", name, shown);
        prop_assert_eq!(get(&config, &[name]), before);
    }
}
