//! Replies of a server, as a client reads them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ochre_resp::parse::ReplyParser;

fuzz_target!(|data: &[u8]| {
    let (mut parser, mut at) = (ReplyParser::default(), 0);
    while let Ok((taken, value)) = parser.next(&data[at..]) {
        at += taken;
        if value.is_none() && taken == 0 {
            return;
        }
    }
});
