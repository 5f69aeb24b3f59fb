//! Conversations, with the primary's bytes cut at every offset.

use super::*;

fn id(byte: char) -> String {
    byte.to_string().repeat(40)
}

fn someone() -> Introduction {
    Introduction { port: 7000, timeout_ms: 60_000, ..Introduction::default() }
}

/// What a conversation came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    events: Vec<Event>,
    payload: Vec<u8>,
    stream: Vec<u8>,
    sent: String,
}

/// Gives the link the pieces one after another; a snapshot that is complete counts as loaded at 100.
fn converse(who: &Introduction, pieces: &[&[u8]]) -> Result<Outcome, Failure> {
    let mut sent = Vec::new();
    let mut link = Link::connected(who.clone(), 0, &mut sent);
    let (mut held, mut outcome) = (Vec::new(), Outcome::default());
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            let Received { consumed, event } = link.receive(&held, 1, &mut sent)?;
            let stop = consumed == 0 && event.is_none();
            match event {
                Some(Event::Payload { bytes, is_last }) => {
                    outcome.payload.extend_from_slice(&held[..bytes]);
                    if is_last {
                        link.loaded(100, None, 2, &mut sent);
                    }
                }
                Some(Event::Stream) => outcome.stream.extend_from_slice(&held[..consumed]),
                Some(event) => outcome.events.push(event),
                None => {}
            }
            held.drain(..consumed);
            if stop {
                break;
            }
        }
    }
    outcome.sent = String::from_utf8_lossy(&sent).replace("\r\n", " ");
    Ok(outcome)
}

/// The same whatever the cut.
fn everywhere(who: &Introduction, bytes: &[u8]) -> Outcome {
    let whole = converse(who, &[bytes]).unwrap();
    for cut in 0..bytes.len() {
        let outcome = converse(who, &[&bytes[..cut], &bytes[cut..]]).unwrap();
        assert_eq!(outcome, whole, "cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(converse(who, &single).unwrap(), whole);
    whole
}

#[test]
fn a_full_synchronisation_by_file() {
    let answers = format!(
        "+PONG\r\n+OK\r\n+OK\r\n\n\n+FULLRESYNC {} 42\r\n\n\n$9\r\nREDIS0011*1\r\n$4\r\nPING\r\n",
        id('a')
    );
    let outcome = everywhere(&someone(), answers.as_bytes());
    let full = Event::FullSync { id: id('a'), offset: 42 };
    assert_eq!(outcome.events, [full, Event::PayloadBegins { total: Some(9) }]);
    assert_eq!(outcome.payload, b"REDIS0011");
    assert_eq!(outcome.stream, b"*1\r\n$4\r\nPING\r\n");
    assert_eq!(
        outcome.sent,
        "*1 $4 PING *3 $8 REPLCONF $14 listening-port $4 7000 *5 $8 REPLCONF $4 capa $3 eof $4 capa \
         $6 psync2 *3 $5 PSYNC $1 ? $2 -1 *3 $8 REPLCONF $3 ACK $3 100 "
    );
}

#[test]
fn a_full_synchronisation_on_the_way() {
    let mark = "0123456789abcdef0123456789abcdef01234567";
    let answers = format!(
        "+PONG\r\n-ERR unknown\r\n+OK\r\n+OK\r\n+FULLRESYNC {} 0\r\n$EOF:{mark}\r\nREDIS{}{mark}*1\r\n",
        id('b'),
        &mark[..30]
    );
    let who = Introduction { ip: Some("10.0.0.1".into()), ..someone() };
    let outcome = everywhere(&who, answers.as_bytes());
    assert_eq!(outcome.payload, format!("REDIS{}", &mark[..30]).as_bytes());
    assert_eq!(outcome.stream, b"*1\r\n");
    assert!(outcome.sent.contains("$10 ip-address $8 10.0.0.1"));
}

#[test]
fn going_on_with_and_without_another_name() {
    let who = Introduction { resume: Some((id('c'), 99)), ..someone() };
    for (line, expected) in [
        ("+CONTINUE".to_owned(), None),
        (format!("+CONTINUE {}", id('c')), None),
        (format!("+CONTINUE {}", id('d')), Some(id('d'))),
    ] {
        let answers = format!("+PONG\r\n+OK\r\n+OK\r\n{line}\r\nrest");
        let outcome = everywhere(&who, answers.as_bytes());
        assert_eq!(outcome.events, [Event::Continue { id: expected }]);
        assert_eq!(outcome.stream, b"rest");
        assert!(outcome.sent.ends_with(&format!("$5 PSYNC $40 {} $3 100 ", id('c'))));
    }
}

#[test]
fn a_password_is_given_after_the_greeting() {
    let who =
        Introduction { user: Some(b"u".to_vec()), password: Some(b"p".to_vec()), ..someone() };
    let outcome = everywhere(&who, b"-NOAUTH Authentication required.\r\n+OK\r\n+OK\r\n+OK\r\n");
    assert!(outcome.sent.starts_with("*1 $4 PING *3 $4 AUTH $1 u $1 p *3 $8 REPLCONF"));
    let wrong = converse(&who, &[b"+PONG\r\n-WRONGPASS no\r\n"]);
    assert_eq!(
        wrong,
        Err(Failure::Refused(
            "Unable to AUTH to MASTER: it was answered with: WRONGPASS no".into()
        ))
    );
}

#[test]
fn a_primary_that_is_not_ready_is_asked_again_later() {
    for words in ["NOMASTERLINK Can't SYNC", "LOADING Redis is loading", "BUSY a script"] {
        let answers = format!("+PONG\r\n+OK\r\n+OK\r\n-{words}\r\n");
        let failure = converse(&someone(), &[answers.as_bytes()]);
        assert_eq!(failure, Err(Failure::NotReady(words.into())));
    }
}

#[test]
fn nonsense_ends_the_link() {
    let after = |answer: &str| {
        let answers = format!("+PONG\r\n+OK\r\n+OK\r\n{answer}\r\n");
        converse(&someone(), &[answers.as_bytes()]).unwrap_err()
    };
    for answer in [
        "+FULLRESYNC",
        "+FULLRESYNC short 1",
        "+CONTINUE",
        "+HELLO",
        ":1",
        &format!("+FULLRESYNC {} -1", id('a')),
        &format!("+FULLRESYNC {} 1\r\n$x", id('a')),
        &format!("+FULLRESYNC {} 1\r\n+OK", id('a')),
    ] {
        assert!(matches!(after(answer), Failure::Nonsense(_)), "{answer}");
    }
    let long = vec![b'+'; LINE_MAX];
    assert!(matches!(converse(&someone(), &[&long]), Err(Failure::Nonsense(_))));
}

#[test]
fn acknowledgements_and_silence() {
    let mut out = Vec::new();
    let who = Introduction { resume: Some((id('a'), 7)), ..someone() };
    let mut link = Link::connected(who, 0, &mut out);
    let mut bytes: &[u8] = b"+PONG\r\n+OK\r\n+OK\r\n+CONTINUE\r\n";
    while !bytes.is_empty() {
        let consumed = link.receive(bytes, 10, &mut out).unwrap().consumed;
        bytes = &bytes[consumed..];
    }
    out.clear();
    link.tick(7, None, 500, &mut out).unwrap();
    assert!(out.is_empty());
    link.tick(7, Some(5), 1000, &mut out).unwrap();
    let text = String::from_utf8_lossy(&out).replace("\r\n", " ");
    assert_eq!(text, "*5 $8 REPLCONF $3 ACK $1 7 $4 FACK $1 5 ");
    assert_eq!(link.tick(7, None, 60_010, &mut out), Ok(()));
    assert_eq!(link.tick(7, None, 60_011, &mut out), Err(Failure::TimedOut));
}
