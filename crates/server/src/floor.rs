//! `ochre-server --ok`: one loop that answers OK to every command. It shows what the kernel and the
//! protocol cost on a machine: the floor under every figure of the benchmark.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use mio::{Events, Poll, Token};
use ochre_net::listener::Listener;
use ochre_net::socket::Socket;
use ochre_resp::request::Args;
use ochre_resp::{Limits, Parsed, Parser};

const LISTENER: Token = Token(usize::MAX - 1);

/// Serves until the process is killed.
pub(crate) fn serve(port: u16) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = Listener::tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), port, 511)?;
    listener.register(poll.registry(), LISTENER)?;
    let mut events = Events::with_capacity(256);
    let mut clients: Vec<Option<Socket>> = Vec::new();
    let mut scratch = vec![0; 64 * 1024];
    let mut out = Vec::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Some(mut socket) = listener.accept()? {
                    socket.prepare(0)?;
                    socket.register(poll.registry(), Token(clients.len()))?;
                    clients.push(Some(socket));
                }
                continue;
            }
            let slot = &mut clients[event.token().0];
            let gone = match slot {
                Some(socket) => !answer(socket, &mut scratch, &mut out),
                None => false,
            };
            if gone {
                *slot = None;
            }
        }
    }
}

/// One read, one write; false when the client is gone. A command cut in two by the read is dropped,
/// which a benchmark client with small requests does not notice.
fn answer(socket: &mut Socket, scratch: &mut [u8], out: &mut Vec<u8>) -> bool {
    let bytes = match socket.read(scratch) {
        Ok(Some(0)) | Err(_) => return false,
        Ok(None) => return true,
        Ok(Some(bytes)) => bytes,
    };
    let (mut parser, mut args, mut at) = (Parser::new(), Args::new(), 0);
    out.clear();
    loop {
        match parser.next(&mut scratch[at..bytes], &Limits::default(), &mut args) {
            Parsed::Complete { consumed } => {
                at += consumed;
                out.extend_from_slice(b"+OK\r\n");
            }
            Parsed::Skipped { consumed } => at += consumed,
            Parsed::Incomplete { .. } | Parsed::Error(_) => break,
        }
    }
    out.is_empty() || socket.write(out).is_ok()
}
