//! Both parties for tests: commands that are run to their end, and a contributor's server in a process of its own.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod identity;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;

/// A folder of the repository's test data.
pub(crate) fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(path)
}

/// What a command said and how it ended.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// The report of a command that was run with `--json`.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {:?}, stderr {}", self.stdout, self.stderr))
    }

    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, expected, "stdout {}\nstderr {}", self.stdout, self.stderr);
        self
    }

    /// Checks that the error names all of these.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in {:?}", self.stderr);
        }
        self
    }
}

/// Runs `lorica` with these arguments.
pub(crate) fn lorica<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Answer {
    let Output { status, stdout, stderr } =
        Command::new(cargo_bin!("lorica")).args(arguments).output().unwrap();
    Answer {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// Arguments behind one another.
pub(crate) fn join(parts: &[&[std::ffi::OsString]]) -> Vec<std::ffi::OsString> {
    parts.concat()
}

/// The arguments of a command, from texts and paths.
#[macro_export]
macro_rules! args {
    ($($argument:expr),* $(,)?) => {
        &[$(std::ffi::OsString::from($argument)),*]
    };
}

/// An adapter that is committed to and served.
pub(crate) struct Contributor {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) base: PathBuf,
    pub(crate) adapter: PathBuf,
    pub(crate) url: String,
    pub(crate) pin: String,
    child: Child,
}

impl Contributor {
    /// Commits to an adapter of the test data and serves it.
    pub(crate) fn serve(base: &str, adapter: &str) -> Self {
        Self::serve_with(base, adapter, &[])
    }

    pub(crate) fn serve_with(base: &str, adapter: &str, options: &[&str]) -> Self {
        let (base, adapter) = (testdata("models").join(base), testdata("models").join(adapter));
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        let answer = lorica(args!["commit", &adapter, "--base", &base, "--out", &own, "--json"]).code(0);
        let pin = answer.json()["pin"].as_str().unwrap().to_owned();
        let mut child = Command::new(cargo_bin!("lorica"))
            .args(args![
                "serve",
                &adapter,
                "--secret",
                own.join("secret"),
                "--listen",
                "127.0.0.1:0",
                "--json"
            ])
            .args(args!["--sessions", folder.path().join("sessions"), "--end-with-stdin"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let announcement: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(announcement["pin"], pin.as_str());
        let url = announcement["url"].as_str().unwrap().to_owned();
        Self { folder, base, adapter, url, pin, child }
    }

    /// The folder that `commit` wrote.
    pub(crate) fn own(&self) -> PathBuf {
        self.folder.path().join("own")
    }

    /// A path for a user's session.
    pub(crate) fn user(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `lorica run` with the usual arguments and some more.
    pub(crate) fn run(&self, out: &Path, more: &[&str]) -> Answer {
        let mut arguments = args!["run", "--base", &self.base, "--contributor", &self.url, "--json"].to_vec();
        arguments.extend_from_slice(args!["--pin", &self.pin, "--out", out]);
        if !more.contains(&"--combine") {
            arguments.extend_from_slice(args!["--combine", "add-delta"]);
        }
        arguments.extend(more.iter().map(Into::into));
        lorica(&arguments)
    }

    /// `lorica prove` for the session that a user's folder records.
    pub(crate) fn prove(&self, user: &Path, opening: &str) -> Answer {
        let run: Value = serde_json::from_slice(&fs::read(user.join("run.json")).unwrap()).unwrap();
        let session = self.folder.path().join("sessions").join(run["session"].as_str().unwrap());
        lorica(args!["prove", session, "--opening", opening, "--json"])
    }

    /// `lorica verify` with the pinned digest.
    pub(crate) fn verify(&self, user: &Path) -> Answer {
        lorica(args!["verify", "--pin", &self.pin, "--session", user, "--json"])
    }

    /// A proven session over the Spanish text, fetched into a user's folder.
    pub(crate) fn proven(&self, name: &str, more: &[&str]) -> PathBuf {
        let user = self.user(name);
        self.run(&user, more).code(0);
        self.prove(&user, "auto").code(0);
        lorica(args!["fetch", "--session", &user]).code(0);
        user
    }
}

impl Drop for Contributor {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The Spanish text, as arguments of `run`.
pub(crate) fn spanish() -> Vec<String> {
    ["--text", testdata("text/demo-es.txt").to_str().unwrap(), "--window", "256"].map(str::to_owned).into()
}

/// A copy of a folder and everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
