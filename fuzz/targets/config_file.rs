//! Configuration files: what is accepted can be written and read again.
#![no_main]

use std::ffi::OsString;
use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use ochre_config::parse::{self, Files};
use ochre_config::{Config, Settings, Surroundings};

struct Nothing;

impl Files for Nothing {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<OsString>> {
        Ok(Vec::new())
    }
}

fuzz_target!(|data: &[u8]| {
    let mut config = Config::new(&Surroundings { cores: 2, folder: "/".into() });
    if parse::load(&mut config, data, &Nothing).is_ok() {
        drop(Settings::of(&config));
    }
});
