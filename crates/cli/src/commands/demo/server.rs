//! The contributor's server as a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;

use crate::error::CliError;

/// How long a server may take to end.
const PATIENCE: Duration = Duration::from_secs(4);

/// A running `lorica serve`. It ends when this is dropped, or when this process ends in any way: its stdin closes then.
pub(super) struct ServerProcess {
    child: Child,
    pub(super) url: String,
}

#[derive(Deserialize)]
struct Announcement {
    url: String,
}

impl ServerProcess {
    pub(super) fn start(adapter: &Path, secret: &Path, sessions: &Path) -> Result<Self, CliError> {
        let program = std::env::current_exe().map_err(CliError::io("find", "this program"))?;
        let mut child = Command::new(&program)
            .arg("serve")
            .arg(adapter)
            .arg("--secret")
            .arg(secret)
            .arg("--sessions")
            .arg(sessions)
            .args(["--listen", "127.0.0.1:0", "--json", "--quiet", "--end-with-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(CliError::io("start", &program))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(CliError::io("read from", &program))?;
        }
        let mut server = Self { child, url: String::new() };
        match serde_json::from_str::<Announcement>(&line) {
            Ok(Announcement { url }) => server.url = url,
            Err(_) => return Err(CliError::ServerProcess { found: line.trim().to_owned() }),
        }
        Ok(server)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(5)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
