//! Tests of the configuration file's syntax; error texts are those of redis-server 7.0.15.

use super::*;
use crate::store::Surroundings;
use crate::table::id;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Default)]
struct Fake(BTreeMap<PathBuf, Vec<u8>>);

impl Fake {
    fn with(files: &[(&str, &str)]) -> Fake {
        Fake(files.iter().map(|(p, t)| (PathBuf::from(p), t.as_bytes().to_vec())).collect())
    }
}

impl Files for Fake {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let inside = self.0.keys().filter_map(|p| p.strip_prefix(folder).ok());
        Ok(inside.filter_map(|p| p.iter().next()).map(OsString::from).collect())
    }
}

fn fresh() -> Config {
    Config::new(&Surroundings { cores: 4, folder: PathBuf::from("/start") })
}

fn loaded(text: &str) -> Config {
    let mut config = fresh();
    load(&mut config, text.as_bytes(), &Fake::default()).unwrap();
    config
}

fn shown(config: &Config, name: &str) -> String {
    let (_, id) = find(name.as_bytes()).unwrap();
    String::from_utf8(config.show(id)).unwrap()
}

#[test]
fn a_file_as_people_write_it() {
    let config = loaded(
        "# comment\n\n  PORT 7000\r\nmaxmemory 100MB\nrequirepass \"a \\x41\\\"b\"\n\
         bind 127.0.0.1 ::1\nsave 900 1\nsave 300 10\nclient-output-buffer-limit replica 1mb 0 5\n\
         hash-max-ziplist-entries 7\nclient-output-buffer-limit pubsub 0 0 0\nlogfile ''\n\
         lua-replicate-commands yes\nshutdown-on-sigterm save now\noom-score-adj-values \"0 1 2\"\n",
    );
    for (name, value) in [
        ("port", "7000"),
        ("maxmemory", "104857600"),
        ("requirepass", "a A\"b"),
        ("bind", "127.0.0.1 ::1"),
        ("save", "900 1 300 10"),
        ("client-output-buffer-limit", "normal 0 0 0 slave 1048576 0 5 pubsub 0 0 0"),
        ("hash-max-listpack-entries", "7"),
        ("shutdown-on-sigterm", "save now"),
        ("oom-score-adj-values", "0 1 2"),
    ] {
        assert_eq!(shown(&config, name), value);
    }
}

#[test]
fn save_lines_add_up() {
    for (text, value) in [
        ("", "3600 1 300 100 60 10000"),
        ("save \"\"", ""),
        ("save 1 2", "1 2"),
        ("save 1 2\nsave 3 4 5 6", "1 2 3 4 5 6"),
        ("save 1 2\nsave \"\"\nsave 3 4", "3 4"),
        ("save \"1 2 3 4\"", "1 2 3 4"),
    ] {
        assert_eq!(shown(&loaded(text), "save"), value, "{text}");
    }
}

#[test]
fn errors_as_the_peer_reports_them() {
    for (text, line, message) in [
        ("foo bar", 1, "Bad directive or wrong number of arguments"),
        ("# c\n\nport", 3, "wrong number of arguments"),
        ("port 1 2", 1, "wrong number of arguments"),
        ("port abc", 1, "argument couldn't be parsed into an integer"),
        ("port 70000", 1, "argument must be between 0 and 65535 inclusive"),
        ("maxmemory \"1gb", 1, "Unbalanced quotes in configuration line"),
        ("rdbchecksum maybe", 1, "argument must be 'yes' or 'no'"),
        ("save 900", 1, "Invalid save parameters"),
        ("rename-command GET", 1, "Bad directive or wrong number of arguments"),
        ("user", 1, "Bad directive or wrong number of arguments"),
        ("include a b", 1, "Bad directive or wrong number of arguments"),
        ("sentinel monitor a", 1, "sentinel directive while not in sentinel mode"),
        ("dbfilename a/b", 1, "dbfilename can't be a path, just a filename"),
        ("appenddirname a/b", 1, "appenddirname can't be a path, just a dirname"),
        ("unixsocketperm 999", 1, "argument couldn't be parsed as an octal number"),
        ("unixsocketperm 7777", 1, "argument must be between 0 and 777 inclusive"),
        ("replicaof a", 1, "wrong number of arguments"),
        ("slaveof a 99999", 1, "Invalid master port"),
        ("databases 0", 1, "argument must be between 1 and 2147483647 inclusive"),
        (
            "client-output-buffer-limit normal 1 2",
            1,
            "Wrong number of arguments in buffer limit configuration.",
        ),
    ] {
        let error = load(&mut fresh(), text.as_bytes(), &Fake::default()).unwrap_err();
        assert_eq!((error.line, error.message.as_ref()), (line, message), "{text}");
    }
    let error = load(&mut fresh(), b"\n  foo bar \n", &Fake::default()).unwrap_err();
    assert_eq!(
        error.report("Redis 7.0.15"),
        "\n*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nReading the configuration file, at \
         line 2\n>>> 'foo bar'\nBad directive or wrong number of arguments\n"
    );
}

/// What is not there yet is refused unless it asks for the default; what has no effect is noted.
#[test]
fn standing_of_directives() {
    let config = loaded("appendonly no\ncluster-enabled no\ntls-port 0\nport 1\n");
    assert_eq!(shown(&config, "appendonly"), "no");
    for text in ["cluster-enabled yes", "mptcp yes"] {
        let error = load(&mut fresh(), text.as_bytes(), &Fake::default()).unwrap_err();
        assert!(error.message.contains("supported yet"), "{}", error.message);
    }
    let mut config = fresh();
    let text = b"locale-collate C\nappendfsync always\nappendfsync everysec\n";
    let loaded = load(&mut config, text, &Fake::default()).unwrap();
    let notices: Vec<String> = loaded.notices.iter().map(Notice::to_string).collect();
    assert_eq!(notices, ["'locale-collate' has no effect: texts are compared byte by byte"]);
}

#[test]
fn lines_that_are_no_directives_are_handed_over() {
    let text = b"user alice on >pw\nrename-command FLUSHALL \"\"\nrename-command GET G\n";
    let loaded = load(&mut fresh(), text, &Fake::default()).unwrap();
    assert_eq!(loaded.users, [[b"alice".to_vec(), b"on".to_vec(), b">pw".to_vec()]]);
    let renames = [(b"FLUSHALL".to_vec(), vec![]), (b"GET".to_vec(), b"G".to_vec())];
    assert_eq!(loaded.renames, renames);
}

#[test]
fn includes() {
    let files = Fake::with(&[
        ("/etc/a.conf", "port 1\n"),
        ("/etc/b.conf", "port 2\nhz 50"),
        ("/etc/b.txt", "port 3\n"),
        ("/etc/.c.conf", "port 4\n"),
        ("/bad.conf", "\nfoo\n"),
        ("/loop.conf", "include /loop.conf\n"),
    ]);
    let mut config = fresh();
    load(&mut config, b"include /etc/*.conf\n", &files).unwrap();
    assert_eq!(shown(&config, "port"), "2");
    assert_eq!(shown(&config, "hz"), "50");
    load(&mut config, b"include /etc/*.conf\nport 9\n", &files).unwrap();
    assert_eq!(shown(&config, "port"), "9");
    load(&mut config, b"include /no/*.conf\ninclude /e*c/a.co?f\n", &files).unwrap();
    assert_eq!(shown(&config, "port"), "1");
    let error = load(&mut config, b"port 1\ninclude /bad.conf\n", &files).unwrap_err();
    assert_eq!((error.file, error.line), (Some(PathBuf::from("/bad.conf")), 2));
    let error = load(&mut config, b"include /none.conf", &files).unwrap_err();
    assert!(error.message.starts_with("Fatal error, can't open config file '/none.conf'"));
    let error = load(&mut config, b"include /loop.conf", &files).unwrap_err();
    assert_eq!(error.message, "files include one another too deeply");
}

#[test]
fn options_are_lines() {
    let text = options_text(&["--port", "7000", "--save", "--bind", "::1", "a\"b", "--SAVE", ""]);
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "port \"7000\"\nsave \"\"\nbind \"::1\" \"a\\\"b\"\nSAVE \"\"\n"
    );
    assert_eq!(options_text(&["extra", "--port"]), b"\"extra\"\nport\n");
    // The peer counts lines in the same way: the option of a file of one line stands in line 3.
    let text = joined(b"port 1\n", b"", &options_text(&["--port", "abc"]));
    let error = load(&mut fresh(), &text, &Fake::default()).unwrap_err();
    assert_eq!((error.line, error.text.as_slice()), (3, &b"port \"abc\""[..]));
}

proptest! {
    #[test]
    fn noise_never_panics(
        text in "(port|save|bind|include|client-output-buffer-limit|\"| |[0-9]|kb|\n|#|x){0,40}",
    ) {
        let _ = load(&mut fresh(), text.as_bytes(), &Fake::default());
    }

    #[test]
    fn quoted_text_is_read_back(password in prop::collection::vec(any::<u8>(), 0..30)) {
        let line = [b"requirepass ".as_slice(), &crate::value::quoted(&password)].concat();
        let mut config = fresh();
        load(&mut config, &line, &Fake::default()).unwrap();
        prop_assert_eq!(config.text(id("requirepass")), password);
    }
}

/// A sentinel's lines are handed on with their numbers; the other directives are read as ever.
#[test]
fn lines_of_a_sentinel() {
    let mut config = fresh();
    let text = b"port 1\n\nsentinel monitor m 127.0.0.1 6379 2\nsentinel auth-pass m \"a b\"";
    let loaded = load_sentinel(&mut config, text, &Fake::with(&[])).unwrap();
    assert_eq!(shown(&config, "port"), "1");
    let lines: Vec<(usize, Vec<u8>)> =
        loaded.sentinel.iter().map(|(at, words)| (*at, words.join(&b'|'))).collect();
    let expected = [(3, &b"monitor|m|127.0.0.1|6379|2"[..]), (4, b"auth-pass|m|a b")];
    assert_eq!(lines, expected.map(|(at, words)| (at, words.to_vec())));
}
