//! A real Redis (or Valkey) on a free port of 127.0.0.1, which keeps nothing on disk and ends with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running server.
pub(crate) struct Redis {
    pub(crate) port: u16,
    process: Child,
    options: Vec<String>,
    directory: TempDir,
}

/// A server with these options, or `None`, having said so, where there is no program and none is required.
pub(crate) fn start(options: &[&str]) -> Option<Redis> {
    let Some(program) = program() else {
        let required = std::env::var("COUNTERSIGN_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|group| group == "many-edges"),
            "redis-server is required and not here"
        );
        // Past the capture of the test harness, for the table of `cargo xtask test`.
        let mut terminal = std::io::stderr();
        let _ = writeln!(
            terminal,
            "SKIPPED many-edges: redis-server is not installed (cargo xtask setup many-edges)"
        );
        return None;
    };
    let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
    // Another process may take the port between our letting go and the server's taking it.
    for _ in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if let Some(process) = spawn(program, port, &options, &directory) {
            return Some(Redis { port, process, options, directory });
        }
    }
    panic!("{program} does not start");
}

impl Redis {
    /// Ends it at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again where it was, empty.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(program().unwrap(), self.port, &self.options, &self.directory).unwrap();
    }

    /// The answer to one command without spaces in its words; an error of the server fails the test.
    pub(crate) fn command(&self, words: &str) -> String {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (&stream).write_all(format!("{words}\r\n").as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(!line.starts_with('-'), "{words}: {line}");
        let Some(length) = line.strip_prefix('$') else { return line.trim_end().to_owned() };
        let mut bulk = vec![0; length.trim_end().parse().unwrap()];
        reader.read_exact(&mut bulk).unwrap();
        String::from_utf8(bulk).unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Option<&'static str> {
    let starts = |name: &&str| {
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    ["redis-server", "valkey-server"].into_iter().find(starts)
}

fn spawn(program: &str, port: u16, options: &[String], directory: &TempDir) -> Option<Child> {
    let mut process = Command::new(program)
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(directory.path())
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline && process.try_wait().unwrap().is_none() {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Some(process);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = process.kill();
    let _ = process.wait();
    None
}
