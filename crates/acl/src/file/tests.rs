//! The file of users: whole or not at all, with the peers' messages.

use super::*;
use crate::testing::Table;

fn load(text: &str) -> Result<Vec<String>, String> {
    let table = Table::new();
    let before = Users::new(table.context(), 0);
    let users = Users::parse_file(text.as_bytes(), "f", &before, table.context())?;
    let lines = users.lines(Compat::Valkey9);
    Ok(lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect())
}

const DEFAULT_LINE: &str = "user default on nopass ~* &* +@all";

#[test]
fn files_are_read() {
    assert_eq!(load("\n\r\n").unwrap(), [DEFAULT_LINE]);
    assert_eq!(
        load("  user x  on   ~k  \r\nuser a on (~a +get) (+set )").unwrap(),
        [
            "user a on resetchannels -@all (~a resetchannels -@all +get) (resetchannels -@all +set)",
            DEFAULT_LINE,
            "user x on ~k resetchannels -@all"
        ]
    );
    assert_eq!(load("user default on ~a").unwrap(), ["user default on ~a resetchannels -@all"]);
}

#[test]
fn what_is_wrong_is_told() {
    for (text, expected) in [
        ("user x on ~k nosuch", "f:1: Syntax error. "),
        ("\nuser x nosuch also", "f:2: Syntax error. "),
        ("user x on\nuser x off", "WARNING: Duplicate user 'x' found on line 2. "),
        (
            "user default on\nuser default off",
            "WARNING: Duplicate user 'default' found on line 2. ",
        ),
        ("# c", "f:1 should start with user keyword followed by the username. "),
        ("user", "f:1 should start with user keyword followed by the username. "),
        ("user x\ty on", "'f:1: username 'x\ty' contains invalid characters. "),
        (
            "user x +@nosuch bad -none",
            "f:1: Error in applying operation '+@nosuch': Unknown command or category name in ACL. \
             f:1: Syntax error. \
             f:1: Error in applying operation '-none': Unknown command or category name in ACL. ",
        ),
        ("user x (~a", "f:1: Unmatched parenthesis in selector definition. "),
    ] {
        assert_eq!(load(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn a_user_that_stays_keeps_its_number() {
    let table = Table::new();
    let mut before = Users::new(table.context(), 0);
    let draft = before.draft(b"x", table.context());
    let x = before.put(draft).id;
    let again = Users::parse_file(b"user x on\nuser y on", "f", &before, table.context()).unwrap();
    assert_eq!(again.find(b"x").unwrap().id, x);
    assert!(again.find(b"y").unwrap().id > x);
}

#[test]
fn lines_of_the_configuration() {
    let table = Table::new();
    let load = |lines: &[&[&str]]| {
        let mut users = Users::new(table.context(), 0);
        let lines: Vec<Vec<Vec<u8>>> = lines
            .iter()
            .map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect())
            .collect();
        users.add_lines(&lines, table.context()).map(|()| users.file_text(Compat::Valkey9))
    };
    assert_eq!(
        load(&[&["foo", "on", "(~a", "+get)"]]).unwrap(),
        format!("{DEFAULT_LINE}\nuser foo on resetchannels -@all (~a resetchannels -@all +get)\n")
            .as_bytes()
    );
    let wrong = |lines: &[&[&str]]| load(lines).unwrap_err().message;
    assert_eq!(
        wrong(&[&["foo"], &["foo"]]),
        "Error in user declaration 'foo': Duplicate user found. A user can only be defined once in \
         config files"
    );
    assert_eq!(wrong(&[&["a b"]]), "Spaces not allowed in ACL usernames");
    assert_eq!(wrong(&[&["a", "x"]]), "Error in user declaration 'x': Syntax error");
    assert_eq!(wrong(&[&["a", "(x"]]), "Error in user declaration '(x': Wrong format");
}

#[test]
fn only_the_plain_default_user_is_default() {
    let table = Table::new();
    let mut users = Users::new(table.context(), 0);
    assert!(users.are_default(b"", table.context()));
    let mut user = users.draft(b"default", table.context());
    user.set_password(b"p");
    users.put(user.clone());
    assert!(users.are_default(b"p", table.context()));
    user.set_password(b"");
    user.apply(b"-get", table.context()).unwrap();
    users.put(user);
    assert!(!users.are_default(b"", table.context()));
}
