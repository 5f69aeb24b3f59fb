//! A pipelined loader: the same commands in the same order on every run.

use anyhow::{Context, Result, bail};
use ochre_testkit::raw::encode;
use ochre_testkit::{Client, Server, line};

/// Commands of one batch.
const BATCH: usize = 512;

/// Sends `count` commands, the i-th given by `command(i)`, and checks that none is refused.
pub(crate) fn load(
    server: &Server,
    db: u32,
    count: u64,
    command: impl Fn(u64) -> Vec<String>,
) -> Result<()> {
    let mut client = server.client();
    if db > 0 {
        check(&mut client, 1, &[&["SELECT".to_owned(), db.to_string()]])?;
    }
    let mut next = 0;
    while next < count {
        let end = (next + BATCH as u64).min(count);
        let batch: Vec<Vec<String>> = (next..end).map(&command).collect();
        let batch: Vec<&[String]> = batch.iter().map(Vec::as_slice).collect();
        check(&mut client, batch.len(), &batch)?;
        next = end;
    }
    Ok(())
}

fn check(client: &mut Client, replies: usize, batch: &[&[String]]) -> Result<()> {
    let mut out = Vec::new();
    batch.iter().for_each(|command| encode(command, &mut out));
    client.try_send_raw(&out).context("loading")?;
    for _ in 0..replies {
        let reply = client.try_reply().context("loading")?;
        if reply.error().is_some() {
            bail!("loading: {}", line::show(&reply));
        }
    }
    Ok(())
}

/// A bijection on 64 bits that spreads consecutive numbers (the finaliser of SplitMix64).
pub(crate) fn scrambled(i: u64) -> u64 {
    let mut z = i.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
