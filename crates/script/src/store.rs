//! What the process keeps of scripts and libraries, shared by all loops: sources and facts, no
//! compiled code.
//!
//! A script that EVAL brought (not SCRIPT LOAD) may be dropped: beyond [`EVAL_MAX`] of them the one
//! that was used longest ago goes. Loops that have it compiled see [`Script::dropped`]. Libraries have
//! an epoch: a loop that saw an older one loads them anew.
//!
//! Costs: look-ups O(1); dropping looks at all scripts, which are few.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::shebang::Flags;

/// Most scripts that EVAL brought: as Redis 7.4 and Valkey.
pub const EVAL_MAX: usize = 500;

/// A script's name: 40 hexadecimal digits.
pub type Sha = [u8; 40];

/// A script.
#[derive(Debug)]
pub struct Script {
    /// Its name.
    pub sha: Sha,
    /// Its whole text.
    pub source: Vec<u8>,
    /// What its first line says; none without one.
    pub flags: Option<Flags>,
    /// It cannot leave its declared keys.
    pub proven: bool,
    /// It touched a key that it did not declare, once.
    pub widened: AtomicBool,
    /// SCRIPT LOAD brought it: it stays.
    pub loaded: AtomicBool,
    /// It is no longer among the scripts.
    pub dropped: AtomicBool,
    /// When it was last used, in any ascending unit.
    pub used: AtomicU64,
}

/// All scripts.
#[derive(Debug, Default)]
pub struct Scripts {
    by_sha: HashMap<Sha, Arc<Script>>,
    /// Scripts dropped to make room, ever.
    pub evicted: u64,
}

/// Bytes that a script takes beside its text, roughly: its row and its place in the table.
const SCRIPT_OVERHEAD: usize = size_of::<Script>() + size_of::<Sha>() + size_of::<usize>() * 3;

impl Scripts {
    /// A script by its name.
    pub fn find(&self, sha: &Sha) -> Option<Arc<Script>> {
        self.by_sha.get(sha).cloned()
    }

    /// Adds a script, or gives the one that is there. Makes room when EVAL brought too many.
    pub fn add(&mut self, script: Script) -> Arc<Script> {
        if let Some(known) = self.by_sha.get(&script.sha) {
            if script.loaded.load(Ordering::Relaxed) {
                known.loaded.store(true, Ordering::Relaxed);
            }
            return Arc::clone(known);
        }
        let script = Arc::new(script);
        self.by_sha.insert(script.sha, Arc::clone(&script));
        self.make_room(&script.sha);
        script
    }

    fn make_room(&mut self, keep: &Sha) {
        let passing = || self.by_sha.values().filter(|s| !s.loaded.load(Ordering::Relaxed));
        if passing().count() <= EVAL_MAX {
            return;
        }
        let oldest = passing()
            .filter(|script| script.sha != *keep)
            .min_by_key(|script| script.used.load(Ordering::Relaxed))
            .map(|script| script.sha);
        if let Some(script) = oldest.and_then(|sha| self.by_sha.remove(&sha)) {
            script.dropped.store(true, Ordering::Release);
            self.evicted += 1;
        }
    }

    /// Drops all.
    pub fn clear(&mut self) {
        for (_, script) in self.by_sha.drain() {
            script.dropped.store(true, Ordering::Release);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_sha.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_sha.is_empty()
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        self.by_sha.values().map(|script| script.source.len() + SCRIPT_OVERHEAD).sum()
    }
}

/// A library's function.
#[derive(Debug)]
pub struct FunctionFacts {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it may do.
    pub flags: Flags,
    /// It touched a key that it did not declare, once.
    pub widened: AtomicBool,
}

/// A library.
#[derive(Debug)]
pub struct Library {
    /// Its name.
    pub name: String,
    /// Its whole text.
    pub code: Vec<u8>,
    /// Its functions, in the order of their registration.
    pub functions: Vec<Arc<FunctionFacts>>,
}

/// All libraries.
#[derive(Debug, Default)]
pub struct Libraries {
    by_name: BTreeMap<String, Arc<Library>>,
    /// From a function's name in lower case to its library's name.
    by_function: HashMap<String, (String, Arc<FunctionFacts>)>,
    /// Grows with every change.
    pub epoch: u64,
}

impl Libraries {
    /// Adds a library. The error is a reply; then nothing is changed.
    pub fn add(&mut self, library: Library, replace: bool) -> Result<(), String> {
        let old = self.by_name.get(&library.name);
        if old.is_some() && !replace {
            return Err(format!("ERR Library {} already exists", library.name));
        }
        for function in &library.functions {
            let taken = self.by_function.get(&function.name.to_ascii_lowercase());
            if taken.is_some_and(|(owner, _)| *owner != library.name) {
                return Err(format!("ERR Function {} already exists", function.name));
            }
        }
        self.remove(&library.name.clone());
        for function in &library.functions {
            let owner = (library.name.clone(), Arc::clone(function));
            self.by_function.insert(function.name.to_ascii_lowercase(), owner);
        }
        self.by_name.insert(library.name.clone(), Arc::new(library));
        self.epoch += 1;
        Ok(())
    }

    /// Removes a library; false when there is none of that name.
    pub fn remove(&mut self, name: &str) -> bool {
        let removed = self.by_name.remove(name).is_some();
        if removed {
            self.by_function.retain(|_, (owner, _)| owner != name);
            self.epoch += 1;
        }
        removed
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.by_name.clear();
        self.by_function.clear();
        self.epoch += 1;
    }

    /// All libraries, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Library>> {
        self.by_name.values()
    }

    /// Libraries and functions.
    pub fn counts(&self) -> (usize, usize) {
        (self.by_name.len(), self.by_function.len())
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        let library = |library: &Arc<Library>| {
            let functions: usize = library.functions.iter().map(|f| f.name.len()).sum();
            size_of::<Library>()
                + library.code.len()
                + functions
                + library.functions.len() * size_of::<FunctionFacts>()
        };
        self.by_name.values().map(library).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(n: usize, loaded: bool) -> Script {
        let source = format!("return {n}").into_bytes();
        Script {
            sha: crate::sha1_hex(&source),
            source,
            flags: None,
            proven: false,
            widened: AtomicBool::new(false),
            loaded: AtomicBool::new(loaded),
            dropped: AtomicBool::new(false),
            used: AtomicU64::new(n as u64),
        }
    }

    #[test]
    fn scripts_that_eval_brought_make_room() {
        let mut scripts = Scripts::default();
        let kept = scripts.add(script(0, true));
        let first = scripts.add(script(1, false));
        for n in 2..=EVAL_MAX + 1 {
            scripts.add(script(n, false));
        }
        assert_eq!((scripts.len(), scripts.evicted), (EVAL_MAX + 1, 1));
        assert!(first.dropped.load(Ordering::Relaxed) && scripts.find(&first.sha).is_none());
        assert!(!kept.dropped.load(Ordering::Relaxed));
        scripts.clear();
        assert!(scripts.is_empty() && kept.dropped.load(Ordering::Relaxed));
    }

    fn library(name: &str, functions: &[&str]) -> Library {
        let facts = |name: &&str| {
            Arc::new(FunctionFacts {
                name: (*name).to_owned(),
                description: None,
                flags: Flags::default(),
                widened: AtomicBool::new(false),
            })
        };
        Library {
            name: name.to_owned(),
            code: Vec::new(),
            functions: functions.iter().map(facts).collect(),
        }
    }

    #[test]
    fn libraries_own_their_functions() {
        let mut all = Libraries::default();
        all.add(library("a", &["f", "g"]), false).unwrap();
        assert_eq!(
            all.add(library("a", &["f"]), false),
            Err("ERR Library a already exists".into())
        );
        assert_eq!(
            all.add(library("b", &["F"]), false),
            Err("ERR Function F already exists".into())
        );
        all.add(library("a", &["f"]), true).unwrap();
        assert_eq!(all.counts(), (1, 1));
        all.add(library("b", &["g"]), false).unwrap();
        assert!(all.remove("a") && !all.remove("a"));
        assert_eq!(all.counts(), (1, 1));
    }
}
