//! `cargo xtask peers`: other published verifiers over the corpus of forged evidence, and beside ours on one core.
//!
//! Each is installed into `.cache/peers` through the client of its registry, in the version that its lock file
//! names. What they say of single cases is never printed, and written only where `--cases` says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::{Stop, workspace};

/// Where Debian puts the library that tells a program another time.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
/// How many seconds of the processor's time each measurement takes.
const SECONDS: &str = "0.5";
/// How often each case is measured, all libraries in turn.
const ROUNDS: usize = 5;
/// What is measured: the honest cases of the corpus that stand for their kind.
const MEASURED: [&str; 4] = [
    "app-attest/honest-ios-26",
    "app-attest-assertion/honest",
    "android-key/honest-remote-tee",
    "android-key/honest-factory-tee",
];

/// A published verifier.
pub(crate) struct Peer {
    /// Its name and version.
    pub(crate) name: &'static str,
    /// Its folder in `tests/peers`; libraries of the JVM share one.
    pub(crate) folder: &'static str,
    /// What installs it, in its folder's copy.
    pub(crate) install: &'static [&'static [&'static str]],
    /// What runs it.
    pub(crate) run: &'static [&'static str],
    /// Whether it reads the system's clock, which then has to be set. All that do read App Attest alone.
    pub(crate) reads_the_clock: bool,
}

const MAVEN: &[&[&str]] = &[&["mvn", "-q", "-B", "package"]];
const PEERS: [Peer; 6] = [
    Peer {
        name: "appattest 0.1.1 (crate)",
        folder: "appattest",
        install: &[&["cargo", "build", "--release", "--locked", "--quiet"]],
        run: &["target/release/peer-appattest"],
        reads_the_clock: true,
    },
    Peer {
        name: "node-app-attest 1.0.1 (npm)",
        folder: "node-app-attest",
        install: &[&["npm", "ci", "--silent"]],
        run: &["node", "driver.mjs"],
        reads_the_clock: false,
    },
    Peer {
        name: "pyattest 1.0.5 (PyPI)",
        folder: "pyattest",
        install: &[
            &["python3", "-m", "venv", "venv"],
            &["venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"],
        ],
        run: &["venv/bin/python", "driver.py"],
        reads_the_clock: true,
    },
    Peer {
        name: "devicecheck-appattest 0.9.6 (Maven)",
        folder: "jvm",
        install: MAVEN,
        run: &["java", "-cp", "target/peer-jvm-0.jar:target/lib/*", "Driver", "devicecheck-appattest"],
        reads_the_clock: false,
    },
    Peer {
        name: "webauthn4j-appattest 0.31.2 (Maven)",
        folder: "jvm",
        install: MAVEN,
        run: &["java", "-cp", "target/peer-jvm-0.jar:target/lib/*", "Driver", "webauthn4j-appattest"],
        reads_the_clock: true,
    },
    Peer {
        name: "multipaz 0.101.0 (Maven)",
        folder: "jvm",
        install: MAVEN,
        run: &["java", "-cp", "target/peer-jvm-0.jar:target/lib/*", "Driver", "multipaz"],
        reads_the_clock: false,
    },
];

/// Installs and runs the peers named in `arguments`, or all of them.
///
/// # Errors
/// When the command line makes no sense, or a peer cannot be installed or run.
pub(crate) fn run(arguments: &[String]) -> Result<(), Stop> {
    let request = Request::parse(arguments)?;
    if request.bench {
        return bench(&request);
    }
    let corpus = Corpus::read()?;
    let mut listing = String::new();
    println!("{:<36} {:<21} {:>16} {:>16} {:>16}", "", "", "both accept", "both refuse", "differ");
    for peer in request.peers() {
        let folder = install(peer)?;
        let mut answers = BTreeMap::new();
        // Without a clock to set, every case is judged at its own time in one go.
        let times =
            if peer.reads_the_clock { corpus.times.iter().copied().map(Some).collect() } else { vec![None] };
        for time in times {
            let mut command = driver(peer, &folder, time);
            command.arg(corpus_folder()).arg(time.map_or_else(|| "all".to_owned(), |time| time.to_string()));
            answers.extend(lines_of(&workspace::output(command)?));
        }
        for family in corpus.families() {
            let counts = corpus.compare(family, &answers);
            if let Some([accept, refuse, differ]) = counts {
                println!("{:<36} {family:<21} {accept:>16} {refuse:>16} {differ:>16}", peer.name);
            }
        }
        answers
            .iter()
            .for_each(|(case, answer)| listing += &format!("{}\t{case}\t{answer}\n", peer.folder_and_name()));
    }
    if let Some(path) = &request.cases {
        fs::write(path, listing).map_err(|error| Stop::Failed(format!("{}: {error}", path.display())))?;
    }
    println!(
        "\nWhere they differ, they may leave the question to their caller, read an encoding more leniently, or be \
         wrong. Whoever finds\nthat one is wrong tells its authors first: SECURITY.md."
    );
    Ok(())
}

/// Measures them and us, in turn, on one core.
fn bench(request: &Request) -> Result<(), Stop> {
    let corpus = Corpus::read()?;
    let time = corpus.time_of(MEASURED[0])?;
    let ours = ["bench", "--locked", "--quiet", "-p", "countersign-tests", "--bench", "appraisal"];
    let mut build = workspace::cargo(ours);
    build.arg("--no-run");
    workspace::succeed(build)?;
    let peers: Vec<_> = request.peers().collect();
    let folders = peers.iter().map(|peer| install(peer)).collect::<Result<Vec<_>, _>>()?;
    // The same evidence of many phones: the JVM's provider does not verify a certificate again that it has seen before.
    let crowd = workspace::root().join(".cache").join("peers").join("crowd");
    fs::create_dir_all(&crowd).map_err(|error| Stop::Failed(format!("{}: {error}", crowd.display())))?;
    let mut write = workspace::cargo(ours);
    write.args(["--", "--write"]).arg(&crowd);
    workspace::succeed(write)?;
    let mut command = workspace::cargo(ours);
    command.args(["--", "--on-demand", SECONDS]);
    let mut drivers = vec![Driver::start("countersign", command)?];
    for (peer, folder) in peers.iter().zip(&folders) {
        let mut command = driver(peer, folder, Some(time));
        if peer.reads_the_clock {
            // It goes on from there: threads of the JVM that wait for a clock that stands still never sleep.
            command.env("FAKETIME", format!("@{time}"));
        }
        command.arg(&crowd).arg(time.to_string()).arg(SECONDS).args(MEASURED);
        drivers.push(Driver::start(peer.name, command)?);
    }
    for round in 0..ROUNDS {
        for driver in &mut drivers {
            driver.measure()?;
        }
        eprintln!("round {} of {ROUNDS}", round + 1);
    }
    for case in MEASURED {
        println!("\n{case}");
        let ours = drivers[0].rate(case);
        for driver in &drivers {
            if let (Some(ours), Some((median, least, most))) = (ours, driver.rate(case)) {
                println!(
                    "  {:<36} {median:>8.0} a second ({least:.0} to {most:.0})   ours is {:>6.2}x as fast",
                    driver.name,
                    ours.0 / median
                );
            }
        }
    }
    Ok(())
}

/// A library's program, started and warmed up, that measures once for every line it is sent.
pub(crate) struct Driver {
    name: &'static str,
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Accepting calls a second, by case.
    pub(crate) rates: BTreeMap<String, Vec<f64>>,
}

impl Driver {
    pub(crate) fn start(name: &'static str, command: Command) -> Result<Self, Stop> {
        let mut command = on_one_core(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let failed = || Stop::Failed(format!("{name} does not start"));
        let mut process = command.spawn().map_err(|_| failed())?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let (input, output) = input.zip(output).ok_or_else(failed)?;
        let output = BufReader::new(output);
        let mut driver = Self { name, process, input, output, rates: BTreeMap::new() };
        driver.read()?;
        // That was to warm up.
        driver.rates.clear();
        Ok(driver)
    }

    pub(crate) fn measure(&mut self) -> Result<(), Stop> {
        let asked = writeln!(self.input).and_then(|()| self.input.flush());
        asked.map_err(|error| Stop::Failed(format!("{}: {error}", self.name)))?;
        self.read()
    }

    /// Lines of `CASE CALLS SECONDS` up to `end`.
    fn read(&mut self) -> Result<(), Stop> {
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line);
            if !read.is_ok_and(|length| length > 0) {
                return Err(Stop::Failed(format!("{} ended before it had measured", self.name)));
            }
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["end"] => return Ok(()),
                [case, calls, seconds] => {
                    if let (Ok(calls), Ok(seconds)) = (calls.parse::<f64>(), seconds.parse::<f64>()) {
                        self.rates.entry(case.to_owned()).or_default().push(calls / seconds);
                    }
                }
                _ => {}
            }
        }
    }

    /// Median, least and most.
    pub(crate) fn rate(&self, case: &str) -> Option<(f64, f64, f64)> {
        let mut rates = self.rates.get(case)?.clone();
        rates.sort_by(f64::total_cmp);
        Some((*rates.get(rates.len() / 2)?, *rates.first()?, *rates.last()?))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It is one that waits for a line that will not come.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    folders: BTreeSet<String>,
    cases: Option<PathBuf>,
    bench: bool,
}

impl Request {
    fn parse(arguments: &[String]) -> Result<Self, Stop> {
        let mut request = Self { folders: BTreeSet::new(), cases: None, bench: false };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => request.bench = true,
                "--cases" => {
                    let path = arguments.next().map(PathBuf::from);
                    let path =
                        path.ok_or_else(|| Stop::Usage("--cases needs the name of a file".to_owned()))?;
                    request.cases = Some(outside_of_the_repository(&path)?);
                }
                name if PEERS.iter().any(|peer| peer.folder == name) => {
                    request.folders.insert(name.to_owned());
                }
                other => return Err(Stop::Usage(format!("there is no peer `{other}`"))),
            }
        }
        Ok(request)
    }

    fn peers(&self) -> impl Iterator<Item = &'static Peer> {
        PEERS.iter().filter(|peer| self.folders.is_empty() || self.folders.contains(peer.folder))
    }
}

/// What a peer gets wrong is its authors' to hear first: it must not be committed by mistake.
fn outside_of_the_repository(path: &Path) -> Result<PathBuf, Stop> {
    let path = std::path::absolute(path).map_err(|error| Stop::Usage(error.to_string()))?;
    if path.starts_with(workspace::root()) {
        return Err(Stop::Usage("--cases wants a file outside of the repository".to_owned()));
    }
    Ok(path)
}

impl Peer {
    fn folder_and_name(&self) -> String {
        format!("{}\t{}", self.folder, self.name)
    }
}

/// Copies the peer's folder into the cache and installs what it needs there; its copy.
pub(crate) fn install(peer: &Peer) -> Result<PathBuf, Stop> {
    let from = workspace::root().join("tests").join("peers").join(peer.folder);
    let to = workspace::root().join(".cache").join("peers").join(peer.folder);
    copy(&from, &to).map_err(|error| Stop::Failed(format!("{}: {error}", to.display())))?;
    for step in peer.install {
        let mut command = command(&to, step);
        // This workspace's settings of cargo are not the peer's.
        command.env_remove("CARGO_TARGET_DIR");
        workspace::succeed(command)?;
    }
    Ok(to)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

fn command(folder: &Path, words: &[&str]) -> Command {
    let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
    let program = if program.contains('/') { folder.join(program) } else { PathBuf::from(program) };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    command
}

/// What runs the peer, with its clock standing at `time` if it reads one.
pub(crate) fn driver(peer: &Peer, folder: &Path, time: Option<u64>) -> Command {
    let mut command = command(folder, peer.run);
    if let (true, Some(time)) = (peer.reads_the_clock, time) {
        if Path::new(FAKETIME).is_file() {
            command.env("LD_PRELOAD", FAKETIME).env("FAKETIME_FMT", "%s").env("FAKETIME", time.to_string());
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        } else {
            println!(
                "{}: Debian's package faketime is not installed; dates are judged by the real clock",
                peer.name
            );
        }
    }
    command
}

/// The same on the first core alone, where the machine has `taskset`.
fn on_one_core(command: Command) -> Command {
    let Some(taskset) = workspace::program("taskset") else { return command };
    let mut pinned = Command::new(taskset);
    pinned.args(["-c", "0"]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        pinned.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => pinned.env(name, value),
            None => pinned.env_remove(name),
        };
    }
    pinned
}

/// `NAME VALUE` lines.
fn lines_of(output: &str) -> BTreeMap<String, String> {
    let pair =
        |line: &str| line.split_once(' ').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    output.lines().filter_map(pair).collect()
}

fn corpus_folder() -> PathBuf {
    workspace::root().join("tests").join("corpus")
}

/// Verdicts and times of the corpus, by `family/id`.
struct Corpus {
    accepted: BTreeMap<String, bool>,
    verify_at: BTreeMap<String, u64>,
    /// Those of App Attest.
    times: BTreeSet<u64>,
}

impl Corpus {
    fn read() -> Result<Self, Stop> {
        let mut corpus =
            Self { accepted: BTreeMap::new(), verify_at: BTreeMap::new(), times: BTreeSet::new() };
        for family in ["app-attest", "app-attest-assertion", "android-key"] {
            let path = corpus_folder().join(format!("{family}.json"));
            let text = fs::read_to_string(&path)
                .map_err(|error| Stop::Failed(format!("{}: {error}", path.display())))?;
            corpus.read_family(family, &text);
        }
        Ok(corpus)
    }

    /// Our own files, one member a line: three of them are all that is wanted here.
    fn read_family(&mut self, family: &str, text: &str) {
        let mut case = String::new();
        for line in text.lines().map(str::trim) {
            let member = |name: &str| {
                line.strip_prefix(&format!("\"{name}\": ")).map(|value| value.trim_end_matches(','))
            };
            if let Some(id) = member("id") {
                case = format!("{family}/{}", id.trim_matches('"'));
            } else if let Some(verdict) = member("verdict") {
                self.accepted.insert(case.clone(), verdict == "\"accept\"");
            } else if let Some(time) = member("verify_at").and_then(|time| time.parse().ok()) {
                if !family.starts_with("android") {
                    self.times.insert(time);
                }
                self.verify_at.insert(case.clone(), time);
            }
        }
    }

    fn families(&self) -> BTreeSet<&str> {
        self.accepted.keys().filter_map(|case| case.split('/').next()).collect()
    }

    fn time_of(&self, case: &str) -> Result<u64, Stop> {
        self.verify_at
            .get(case)
            .copied()
            .ok_or_else(|| Stop::Failed(format!("the corpus has no case {case}")))
    }

    /// How many cases of a family both accept, both refuse, and judge differently; `None` if the peer reads none.
    fn compare(&self, family: &str, answers: &BTreeMap<String, String>) -> Option<[usize; 3]> {
        let mut counts = [0; 3];
        for (case, answer) in answers.iter().filter(|(case, _)| case.starts_with(&format!("{family}/"))) {
            let accepted = *self.accepted.get(case)?;
            counts[match (accepted, answer == "accept") {
                (true, true) => 0,
                (false, false) => 1,
                _ => 2,
            }] += 1;
        }
        (counts != [0; 3]).then_some(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Result<Request, Stop> {
        Request::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn without_a_name_every_peer_runs() {
        assert_eq!(request("").unwrap().peers().count(), PEERS.len());
        assert_eq!(request("jvm").unwrap().peers().count(), 3);
    }

    #[test]
    fn a_command_line_that_makes_no_sense_is_a_usage_error() {
        for line in ["everything", "--cases", "jvm --cases"] {
            assert!(matches!(request(line), Err(Stop::Usage(_))), "{line}");
        }
    }

    #[test]
    fn what_peers_say_of_single_cases_is_not_written_into_the_repository() {
        let inside = workspace::root().join("docs/peers.txt");
        assert!(matches!(request(&format!("--cases {}", inside.display())), Err(Stop::Usage(_))));
        assert!(request("--cases /elsewhere/peers.txt").is_ok());
    }

    #[test]
    fn agreement_is_counted_by_family() {
        let mut corpus =
            Corpus { accepted: BTreeMap::new(), verify_at: BTreeMap::new(), times: BTreeSet::new() };
        corpus.read_family(
            "f",
            "\"id\": \"a\",\n\"verdict\": \"accept\",\n\"verify_at\": 7\n\"id\": \"b\",\n\"verdict\": \"invalid\",\n\"verify_at\": 8",
        );
        assert_eq!(corpus.times, BTreeSet::from([7, 8]));
        assert_eq!(corpus.compare("f", &lines_of("f/a accept\nf/b reject")), Some([1, 1, 0]));
        assert_eq!(corpus.compare("f", &lines_of("f/a reject\nf/b accept")), Some([0, 0, 2]));
        assert_eq!(corpus.compare("g", &lines_of("f/a reject")), None);
    }

    #[test]
    fn every_peer_has_its_folder() {
        for peer in &PEERS {
            assert!(workspace::root().join("tests/peers").join(peer.folder).is_dir(), "{}", peer.name);
        }
    }
}
