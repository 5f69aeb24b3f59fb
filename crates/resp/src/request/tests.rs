//! Tests of the request parser: peers' texts, limits, and that cutting changes nothing.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone, PartialEq)]
enum Event {
    Command(Vec<Vec<u8>>),
    Error(String),
}

/// Feeds `stream` in pieces of the given sizes (then all the rest) as a connection would.
fn feed(stream: &[u8], cuts: &[usize], limits: &Limits) -> Vec<Event> {
    let mut parser = Parser::new();
    let mut args = Args::new();
    let mut buf: Vec<u8> = Vec::new();
    let mut events = Vec::new();
    let mut rest = stream;
    let mut cuts = cuts.iter();
    while !rest.is_empty() {
        let piece = cuts.next().map_or(rest.len(), |&c| c.clamp(1, rest.len()));
        buf.extend_from_slice(&rest[..piece]);
        rest = &rest[piece..];
        loop {
            match parser.next(&mut buf, limits, &mut args) {
                Parsed::Complete { consumed } => {
                    assert!(!args.is_empty() && parser.is_idle());
                    let command = args.iter().map(|a| a.of(&buf).to_vec()).collect();
                    events.push(Event::Command(command));
                    buf.drain(..consumed);
                }
                Parsed::Skipped { consumed } => {
                    assert!(consumed > 0 && parser.is_idle());
                    buf.drain(..consumed);
                }
                Parsed::Incomplete { wanted } => {
                    assert!(wanted > buf.len());
                    assert!(args.is_empty());
                    break;
                }
                Parsed::Error(error) => {
                    events.push(Event::Error(error.to_string()));
                    return events;
                }
            }
        }
    }
    events
}

fn command(words: &[&[u8]]) -> Event {
    Event::Command(words.iter().map(|w| w.to_vec()).collect())
}

fn error(text: &str) -> Event {
    Event::Error(format!("Protocol error: {text}"))
}

/// Each stream was sent to redis-server 7.0.15.
#[test]
fn streams_as_the_peer_reads_them() {
    let ping = || command(&[b"PING"]);
    for (stream, events) in [
        (&b"*1\r\n$4\r\nPING\r\n"[..], vec![ping()]),
        (b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", vec![command(&[b"ECHO", b""])]),
        (b"PING\r\nPING\n", vec![ping(), ping()]),
        (b"\r\n \r\n\n*0\r\n*-1\r\nPING\r\n", vec![ping()]),
        (b"*1\r\n$4\r\nPINGxxPING\r\n", vec![ping(), ping()]),
        (b"*1\rx$4\rxPING\r\n", vec![ping()]),
        (b"ECHO \"a\\n\" 'b'\r\nPING\r\n", vec![command(&[b"ECHO", b"a\n", b"b"]), ping()]),
        (b"*a\r\n", vec![error("invalid multibulk length")]),
        (b"*\r\n", vec![error("invalid multibulk length")]),
        (b"*01\r\n", vec![error("invalid multibulk length")]),
        (b"*+1\r\n", vec![error("invalid multibulk length")]),
        (b"* 1\r\n", vec![error("invalid multibulk length")]),
        (b"*2147483648\r\n", vec![error("invalid multibulk length")]),
        (b"*2147483647\r\n", vec![]),
        (b"*99999999999999999999\r\n", vec![error("invalid multibulk length")]),
        (b"*-99999999999999999999\r\n", vec![error("invalid multibulk length")]),
        (b"*1\r\n:4\r\n", vec![error("expected '$', got ':'")]),
        (b"*1\r\n\r\nx", vec![error("expected '$', got '\r'")]),
        (b"*1\r\nPING\r\n", vec![error("expected '$', got 'P'")]),
        (b"*1\r\n$-1\r\n", vec![error("invalid bulk length")]),
        (b"*1\r\n$\r\n", vec![error("invalid bulk length")]),
        (b"*1\r\n$04\r\n", vec![error("invalid bulk length")]),
        (b"*1\r\n$536870913\r\n", vec![error("invalid bulk length")]),
        (b"*1\r\n$536870912\r\n", vec![]),
        (b"GET \"abc\r\n", vec![error("unbalanced quotes in request")]),
    ] {
        let limits = Limits::default();
        assert_eq!(feed(stream, &[], &limits), events, "{:?}", String::from_utf8_lossy(stream));
        let ones = vec![1; stream.len()];
        assert_eq!(feed(stream, &ones, &limits), events, "{:?}", String::from_utf8_lossy(stream));
    }
}

#[test]
fn unauthenticated_clients_get_little() {
    let limits = Limits { authenticated: false, ..Limits::default() };
    assert_eq!(feed(b"*10\r\n", &[], &limits), vec![]);
    assert_eq!(feed(b"*11\r\n", &[], &limits), vec![error("unauthenticated multibulk length")]);
    assert_eq!(feed(b"*1\r\n$16384\r\n", &[], &limits), vec![]);
    assert_eq!(feed(b"*1\r\n$16385\r\n", &[], &limits), vec![error("unauthenticated bulk length")]);
}

/// A line may have 64 KB; one byte more without an end is refused, however it arrives.
#[test]
fn long_lines_are_refused() {
    let limits = Limits::default();
    for (head, text) in [
        (&b""[..], "too big inline request"),
        (b"*", "too big mbulk count string"),
        (b"*1\r\n$", "too big bulk count string"),
    ] {
        let line = if head.is_empty() { 0 } else { 1 };
        for (count, refused) in [(LINE_BYTES_MAX - line, false), (LINE_BYTES_MAX + 1 - line, true)]
        {
            let mut stream = head.to_vec();
            stream.resize(head.len() + count, b'1');
            let expected = if refused { vec![error(text)] } else { vec![] };
            assert_eq!(feed(&stream, &[], &limits), expected);
            assert_eq!(feed(&stream, &[40_000, 20_000], &limits), expected);
            if refused {
                stream.extend_from_slice(b"\r\n");
                assert_eq!(feed(&stream, &[], &limits), expected);
            }
        }
    }
}

/// The reader learns the whole size of a big argument as soon as its line is there.
#[test]
fn big_arguments_announce_themselves() {
    let mut parser = Parser::new();
    let mut args = Args::new();
    let mut buf = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nabc".to_vec();
    let wanted = buf.len() - 3 + 100_000 + 2;
    let limits = Limits::default();
    assert_eq!(parser.next(&mut buf, &limits, &mut args), Parsed::Incomplete { wanted });
    assert_eq!(parser.bulk_under_way(), Some(100_000));
    buf.resize(wanted - 1, b'x');
    assert_eq!(parser.next(&mut buf, &limits, &mut args), Parsed::Incomplete { wanted });
    buf.resize(wanted, b'\n');
    assert_eq!(parser.next(&mut buf, &limits, &mut args), Parsed::Complete { consumed: wanted });
    assert_eq!(args.len(), 3);
    assert_eq!(args[2].of(&buf).len(), 100_000);
    assert!(parser.is_idle());
}

/// A count is only a claim: it reserves little before arguments arrive.
#[test]
fn a_hostile_count_costs_nothing() {
    let mut parser = Parser::new();
    let mut args = Args::new();
    let mut buf = b"*2147483647\r\n".to_vec();
    parser.next(&mut buf, &Limits::default(), &mut args);
    assert!(parser.partial.capacity() <= ARGS_RESERVE_MAX + 8);
}

/// Many arguments in many pieces: nothing is lost across calls that share one `Args`.
#[test]
fn many_arguments_in_pieces() {
    let mut stream = b"*5000\r\n".to_vec();
    for i in 0..5000 {
        stream.extend_from_slice(b"$4\r\n");
        stream.extend_from_slice(format!("{i:04}\r\n").as_bytes());
    }
    let events = feed(&stream, &vec![7; 9000], &Limits::default());
    let [Event::Command(words)] = &events[..] else { panic!("{}", events.len()) };
    assert!(words.iter().enumerate().all(|(i, w)| w == format!("{i:04}").as_bytes()));
}

fn encode(words: &[Vec<u8>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn words() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..12)
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same_commands(
        commands in prop::collection::vec(words(), 0..8),
        cuts in prop::collection::vec(1usize..40, 0..60),
    ) {
        let stream: Vec<u8> = commands.iter().flat_map(|c| encode(c)).collect();
        let expected: Vec<Event> = commands.into_iter().map(Event::Command).collect();
        prop_assert_eq!(feed(&stream, &cuts, &Limits::default()), expected);
    }

    #[test]
    fn noise_never_panics_and_cutting_changes_nothing(
        stream in prop::collection::vec(prop::sample::select(&b"*$1203-a\r\n \"'\\x\0"[..]), 0..80),
        cuts in prop::collection::vec(1usize..6, 0..80),
    ) {
        let limits = Limits::default();
        prop_assert_eq!(feed(&stream, &cuts, &limits), feed(&stream, &[], &limits));
    }

    #[test]
    fn random_bytes_never_panic(stream in prop::collection::vec(any::<u8>(), 0..200)) {
        feed(&stream, &[3, 50], &Limits::default());
    }
}
