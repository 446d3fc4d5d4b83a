//! Rules about the sources that the compiler does not check: where `unsafe` may stand, and how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

/// Where `unsafe` may stand: vector instructions.
const UNSAFE_PLACES: [&str; 1] = ["crates/algebra/src/kernels/"];
/// The crate that holds them; its root denies `unsafe`, so that each place must ask for it.
const CRATES_WITH_UNSAFE: [&str; 1] = ["algebra"];
const LONGEST_FILE: usize = 800;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

/// All Rust files of the repository, with their paths from its root and their text.
fn sources() -> Vec<(String, String)> {
    let root = workspace();
    let mut found = Vec::new();
    let mut folders = vec![root.join("crates"), root.join("fuzz")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("below the root").display().to_string();
                found.push((name, fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    assert!(found.len() > 100, "only {} files were found", found.len());
    found
}

/// Whether a line of code uses the keyword; what follows `//` is comment.
fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
}

#[test]
fn unsafe_code_stands_in_the_kernels_alone() {
    let own = "crates/testkit/tests/source_rules.rs";
    for (name, text) in sources() {
        if name == own || UNSAFE_PLACES.iter().any(|place| name.starts_with(place)) {
            continue;
        }
        if let Some(line) = text.lines().position(has_unsafe) {
            panic!(
                "{name}:{} uses unsafe, which may stand only in {}",
                line + 1,
                UNSAFE_PLACES.join(" and ")
            );
        }
    }
}

#[test]
fn the_keyword_is_told_from_words_like_it() {
    for code in ["    unsafe { f() }", "pub unsafe fn f() {}", "unsafe{", "#[unsafe(no_mangle)]"] {
        assert!(has_unsafe(code), "{code}");
    }
    for code in ["#![forbid(unsafe_code)]", "// an unsafe call", "f(); // unsafe", "fn unsafe_f() {}"] {
        assert!(!has_unsafe(code), "{code}");
    }
}

#[test]
fn every_other_crate_forbids_unsafe_code() {
    for entry in fs::read_dir(workspace().join("crates")).expect("crates") {
        let folder = entry.expect("an entry").path();
        let name = folder.file_name().expect("a name").to_str().expect("UTF-8");
        let expected = if CRATES_WITH_UNSAFE.contains(&name) {
            "#![deny(unsafe_code)]"
        } else {
            "#![forbid(unsafe_code)]"
        };
        let roots = ["src/lib.rs", "src/main.rs"].map(|file| folder.join(file));
        let roots: Vec<_> = roots.into_iter().filter(|root| root.exists()).collect();
        assert!(!roots.is_empty(), "crates/{name} has neither src/lib.rs nor src/main.rs");
        for root in roots {
            let text = fs::read_to_string(&root).expect("UTF-8");
            let found = text.lines().any(|line| line == expected);
            assert!(found, "{} lacks the line {expected}", root.display());
        }
    }
}

#[test]
fn no_file_is_longer_than_the_ceiling() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        assert!(
            lines <= LONGEST_FILE,
            "{name} has {lines} lines, at most {LONGEST_FILE} are allowed: split it"
        );
    }
}
