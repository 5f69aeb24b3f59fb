//! The protocol's edges, byte for byte as redis-server 7.0 answers: R2.1.

use crate::redis7_pair;
use ochre_testkit::oracle::Pair;
use ochre_testkit::raw::{encode, wait_until};
use ochre_testkit::{Client, Server, Value};

/// Sends the same bytes to both; what comes until the server closes must be equal. QUIT is added,
/// so that a stream without a protocol error ends too.
fn same_bytes(pair: &mut Pair, stream: &[u8], hello: bool) {
    let mut whole = stream.to_vec();
    whole.extend(b"\r\nQUIT\r\n");
    same_answers(pair, &whole, hello);
}

/// The same for a stream that ends the connection by itself.
fn same_answers(pair: &mut Pair, stream: &[u8], hello: bool) {
    let mut answers = Vec::new();
    for theirs in [false, true] {
        let server = if theirs { pair.theirs() } else { pair.ours() };
        let mut client = server.client();
        if hello {
            client.line("HELLO 3");
        }
        // The server may have closed already; what it said is read in any case.
        let _ = client.try_send_raw(stream);
        client.finish_sending();
        answers.push(client.until_closed());
    }
    if answers[0] != answers[1] {
        let show = |bytes: &[u8]| bytes[..bytes.len().min(400)].escape_ascii().to_string();
        let shown = &stream[..stream.len().min(200)];
        pair.differs(
            &format!("{} to {}", show(&answers[0]), shown.escape_ascii()),
            &show(&answers[1]),
        );
    }
}

#[test]
fn requests_and_protocol_errors() {
    let streams: &[&[u8]] = &[
        b"PING\r\n",
        b"PING\n",
        b"  PING  \r\n",
        b"\r\n\r\nPING\r\n",
        b"SET k \"a b\"\r\nGET k\r\n",
        b"SET k 'a b'\r\nGET k\r\n",
        b"SET k \"\\x00\\n\\\"\"\r\nGET k\r\n",
        b"SET k \"open\r\nPING\r\n",
        b"SET k 'open\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"*0\r\n*1\r\n$4\r\nPING\r\n",
        b"*-1\r\n*1\r\n$4\r\nPING\r\n",
        b"*-5\r\nPING\r\n",
        b"*x\r\n",
        b"*\r\n",
        b"*1048577\r\n",
        b"*2147483648\r\n",
        b"*9999999999999999999\r\n",
        b"*1\r\n4\r\nPING\r\n",
        b"*1\r\nPING\r\n",
        b"*1\r\n\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$\r\n",
        b"*1\r\n$ 4\r\nPING\r\n",
        b"*1\r\n$+4\r\nPING\r\n",
        b"*1\r\n$04\r\nPING\r\n",
        b"*01\r\n$4\r\nPING\r\n",
        b"*+1\r\n$4\r\nPING\r\n",
        b"*1\r\n$0\r\n\r\n",
        b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
        b"*2\r\n$4\r\nECHO\r\n$3\r\n\r\n\n\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$-1\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n*1\r\n$4\r\nPING\r\n",
        b"GET\r\nSET\r\nNOSUCH a b\r\n",
        b"*1\r\n$6\r\nNO\r\nSU\r\n",
        b"POST / HTTP/1.1\r\n\r\n",
        b"MULTI\r\nSET k 1\r\n*1\r\n$x\r\n",
        b"*1\r\n$4\r\nQUIT\r\nPING\r\n",
        b"PING\rPING\r\n",
        b"*1\n$4\nPING\n",
        b"$4\r\nPING\r\n",
        b"+OK\r\n",
        b":1\r\n",
        b"ECHO \"\"\r\n",
        b"ECHO \"\\xzz\\q\"\r\n",
        b"*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n*2\r\n$4\r\nECHO\r\n$5\r\nworld\r\n",
    ];
    let mut pair = redis7_pair(&[]);
    for stream in streams {
        for hello in [false, true] {
            same_bytes(&mut pair, stream, hello);
        }
    }
    pair.finish();
}

/// Where 7.0 is lenient: a bulk string that does not end in CRLF, a quote that ends inside a word.
/// Newer releases refuse the first; either is right, but nothing else.
#[test]
fn broken_line_ends_are_refused_or_taken_as_redis_7_does() {
    let server = Server::ochre(&[]);
    for (stream, either) in [
        (
            &b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n"[..],
            [&b"-ERR Protocol error: invalid CRLF in request\r\n"[..], b"+PONG\r\n+PONG\r\n"],
        ),
        (
            b"SET k \"a\"b\r\n",
            [b"-ERR Protocol error: unbalanced quotes in request\r\n", b"+OK\r\n"],
        ),
    ] {
        let mut client = server.client();
        client.send_raw(stream);
        client.finish_sending();
        let answer = client.until_closed();
        let shown = answer.escape_ascii();
        assert!(either.contains(&&answer[..]), "{} to {}", shown, stream.escape_ascii());
    }
}

#[test]
fn limits() {
    let mut pair = redis7_pair(&[]);
    // An inline line beyond 64 KB, and one just below.
    let mut line = b"ECHO ".to_vec();
    line.extend(vec![b'x'; 65_000]);
    same_bytes(&mut pair, &[&line[..], b"\r\n"].concat(), false);
    // Beyond it only what has no end of line is sure to be refused: with one it depends on how
    // much came in one read.
    line.extend(vec![b'x'; 70_000]);
    same_answers(&mut pair, &line, false);
    // A number's line that does not end.
    same_answers(&mut pair, &[b"*".to_vec(), vec![b'1'; 140_000]].concat(), false);
    same_answers(&mut pair, &[b"*1\r\n$".to_vec(), vec![b'1'; 140_000]].concat(), false);
    pair.script("CONFIG SET proto-max-bulk-len 2mb");
    same_bytes(&mut pair, b"*2\r\n$4\r\nECHO\r\n$2097153\r\n", false);
    pair.script("SETRANGE k 2097150 xxx\nSET k v\nSETRANGE k 2097149 xxx");
    pair.finish();
}

#[test]
fn limits_before_authentication() {
    let mut pair = redis7_pair(&["--requirepass", "secret"]);
    for stream in [
        &b"*11\r\n"[..],
        b"*10\r\n$4\r\nAUTH\r\n",
        b"*2\r\n$16385\r\n",
        b"*2\r\n$4\r\nAUTH\r\n$16384\r\n",
        b"PING\r\n",
        b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n*11\r\n$4\r\nPING\r\n",
    ] {
        same_bytes(&mut pair, stream, false);
    }
    pair.finish();
}

#[test]
fn deep_pipelines_and_every_split() {
    let server = Server::ochre(&["--io-threads", "2"]);
    let mut client = server.client();
    let (mut request, mut expected) = (Vec::new(), Vec::new());
    for i in 0..20_000 {
        encode(&["SET", &format!("k{}", i % 100), &i.to_string()], &mut request);
        encode(&["GET", &format!("k{}", i % 100)], &mut request);
        expected.extend(b"+OK\r\n");
        expected.extend(format!("${}\r\n{i}\r\n", i.to_string().len()).bytes());
    }
    std::thread::scope(|scope| {
        let mut writer = server.client();
        std::mem::swap(&mut writer, &mut client);
        let request = &request;
        let expected = &expected;
        let handle = std::thread::Builder::new()
            .name("pipeline".into())
            .spawn_scoped(scope, move || {
                writer.send_raw(request);
                assert!(writer.raw(expected.len()) == *expected, "the replies differ");
            })
            .unwrap();
        handle.join().unwrap();
    });
    // A command cut at each of its bytes, with a round trip of another client in between.
    let mut bytes = Vec::new();
    encode(&["SET", "split", "a\r\nb"], &mut bytes);
    for cut in 1..bytes.len() {
        let (mut slow, mut other) = (server.client(), server.client());
        slow.send_raw(&bytes[..cut]);
        other.cmd(&["PING"]);
        slow.send_raw(&bytes[cut..]);
        assert_eq!(slow.reply(), Value::Status(b"OK".to_vec()), "cut at {cut}");
    }
    assert_eq!(client.cmd(&["GET", "split"]), Value::Bulk(b"a\r\nb".to_vec()));
}

#[test]
fn large_values_whole_and_in_pieces() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    for size in [16_383usize, 16_384, 65_536, 1 << 20, 20 << 20] {
        let value: Vec<u8> = (0..size).map(|i| (i * 31 % 251) as u8).collect();
        assert_eq!(client.cmd(&[b"SET", b"big", &value[..]]), Value::Status(b"OK".to_vec()));
        let Value::Bulk(back) = client.cmd(&["GET", "big"]) else { panic!("no bulk") };
        assert!(back == value, "{size} bytes came back changed");
        client.cmd(&["APPEND", "big", "!"]);
        assert_eq!(client.integer("STRLEN big"), size as i64 + 1);
    }
    // Several large replies in one pipeline keep their order and their bytes.
    client.cmd(&[&b"SET"[..], b"one", &vec![b'1'; 300_000]]);
    client.cmd(&[&b"SET"[..], b"two", &[b'2'; 5]]);
    for _ in 0..50 {
        client.send(&["MGET", "one", "two", "one"]);
    }
    for _ in 0..50 {
        let reply = client.reply();
        let lens: Vec<_> =
            reply.items().unwrap().iter().map(|v| v.bytes().unwrap().len()).collect();
        assert_eq!(lens, [300_000, 5, 300_000]);
    }
}

#[test]
fn a_query_buffer_beyond_its_limit_ends_the_connection() {
    let server = Server::ochre(&["--client-query-buffer-limit", "1mb"]);
    let mut control = server.client();
    let mut client = server.client();
    client.send_raw(b"*2\r\n$4\r\nECHO\r\n$4000000\r\n");
    let block = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while client.try_send_raw(&block).is_ok() && sent < 4_000_000 {
        sent += block.len();
    }
    wait_until("the connection is closed", || {
        (control.info("clients", "connected_clients") == "1").then_some(())
    });
}

#[test]
fn half_closed_connections_get_their_replies() {
    let server = Server::ochre(&[]);
    let mut client: Client = server.client();
    client.send_raw(b"SET k v\r\nGET k\r\n");
    client.finish_sending();
    assert_eq!(client.until_closed(), b"+OK\r\n$1\r\nv\r\n");
}
