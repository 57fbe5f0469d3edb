//! Runs a program, shows its output as it comes, and hands each line to a reader.

use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

/// How long output may still arrive after the program itself has ended. A server that a failed test left behind
/// holds the pipe open for good; it must not hold us up too.
const AFTER_ITS_END: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Runs `command` without standard input, with standard output and standard error in one stream, in their order.
///
/// # Errors
/// When the program cannot be started or its output cannot be passed on.
pub(crate) fn stream(mut command: Command, mut on_line: impl FnMut(&str)) -> io::Result<ExitStatus> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command keeps our ends of the pipe: while they live, the reader never sees the end.
    drop(command);

    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = Vec::new();
            match reader.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if sender.send(line).is_err() => return,
                Ok(_) => {}
            }
        }
    });

    loop {
        match lines.recv_timeout(LOOK_AGAIN) {
            Ok(line) => pass_on(&line, &mut on_line)?,
            Err(RecvTimeoutError::Disconnected) => return child.wait(),
            Err(RecvTimeoutError::Timeout) if has_ended(&mut child)? => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    while let Ok(line) = lines.recv_timeout(AFTER_ITS_END) {
        pass_on(&line, &mut on_line)?;
    }
    child.wait()
}

/// The line without terminal colours and line ending.
pub(crate) fn plain(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // Control sequence: ESC [ parameters, ended by a letter.
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain.truncate(plain.trim_end().len());
    plain
}

fn pass_on(line: &[u8], on_line: &mut impl FnMut(&str)) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(line)?;
    stdout.flush()?;
    on_line(&plain(line));
    Ok(())
}

fn has_ended(child: &mut Child) -> io::Result<bool> {
    Ok(child.try_wait()?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_off() {
        assert_eq!(
            plain(b"\x1b[1m\x1b[92m     Running\x1b[0m tests/vectors.rs\r\n"),
            "     Running tests/vectors.rs"
        );
    }

    #[cfg(unix)]
    #[test]
    fn both_outputs_arrive_in_order_with_the_status() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; echo three; exit 3"]);
        let mut seen = Vec::new();
        let status = stream(command, |line| seen.push(line.to_owned())).unwrap();
        assert_eq!(seen, ["one", "two", "three"]);
        assert_eq!(status.code(), Some(3));
    }

    #[cfg(unix)]
    #[test]
    fn a_process_left_behind_does_not_hold_up_the_run() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 30 & echo $!; exit 0"]);
        let mut left_behind = String::new();
        let status = stream(command, |line| line.clone_into(&mut left_behind)).unwrap();
        assert!(status.success());
        // Still running: the stream ended before it did.
        assert!(Command::new("kill").arg(&left_behind).status().unwrap().success());
    }
}
