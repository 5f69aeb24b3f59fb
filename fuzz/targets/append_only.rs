//! Append-only files, and manifests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ochre_aof::manifest::Manifest;
use ochre_aof::walk::{Step, Walk};

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(manifest) = Manifest::parse(text)
    {
        // What is written is read again, unless nothing was written or a name grew too long by its escapes.
        let written = manifest.to_string();
        match Manifest::parse(&written) {
            Ok(again) => assert_eq!(again.to_string(), written),
            Err(_) => assert!(written.is_empty() || written.lines().any(|line| line.len() > 1024)),
        }
    }
    let mut walk = Walk::new(data, Vec::new(), 0);
    let mut before = 0;
    while let Ok(step) = walk.step(16) {
        assert!(walk.good() <= data.len() as u64 && walk.good() >= before);
        before = walk.good();
        if matches!(step, Step::End | Step::Cut | Step::Broken(_)) {
            return;
        }
    }
});
