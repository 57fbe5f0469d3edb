//! Several processes of one app on one folder: real ones, each this test program once more.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use countersign_core::attester::Fetch;
use countersign_ffi::{
    Attester, DevelopmentKeys, DevicePlatform, EvidenceError, EvidenceRequest, EvidenceSource, FileStorage,
    GatheredEvidence, Parts, Ports, ServiceAnswer, ServiceCall, Timer, Transport, TransportError,
};

use crate::phone::{block_on, configuration, request};
use crate::service::{ISSUER, Service};

const SERVICE: &str = "COUNTERSIGN_TEST_SERVICE";
const FOLDER: &str = "COUNTERSIGN_TEST_FOLDER";
const DIES: &str = "COUNTERSIGN_TEST_DIES";

/// The service of the tests on a port of this machine: a line `path length`, then so many bytes; answered likewise.
fn serve() -> (SocketAddr, Arc<Mutex<Service>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let service = Arc::new(Mutex::new(Service::new()));
    let answering = Arc::clone(&service);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            // One that hangs up says nothing.
            let Some((path, body)) = message(&mut reader) else { continue };
            let (method, path) = path.split_once(' ').unwrap();
            let content_type = (!body.is_empty()).then_some("application/cbor");
            let call = Fetch { post: method == "POST", url: format!("{ISSUER}{path}"), content_type, body };
            let answer = answering.lock().unwrap().answer(&call).unwrap();
            let mut connection = connection;
            writeln!(connection, "{} {}", answer.status, answer.body.len()).unwrap();
            connection.write_all(&answer.body).unwrap();
        }
    });
    (address, service)
}

/// What stands before the length, and the bytes.
fn message(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let (first, length) = line.trim_end().rsplit_once(' ')?;
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((first.to_owned(), body))
}

/// The host of one process: everything blocks, because it has one thing to do.
struct Host {
    service: SocketAddr,
    dies: bool,
}

#[async_trait::async_trait]
impl Transport for Host {
    async fn call(&self, call: ServiceCall) -> Result<ServiceAnswer, TransportError> {
        if self.dies && call.url.ends_with("/v1/instances") {
            std::process::abort();
        }
        let path = call.url.strip_prefix(ISSUER).unwrap();
        let mut connection = TcpStream::connect(self.service).map_err(|_| TransportError::Unreached)?;
        let method = if call.post { "POST" } else { "GET" };
        writeln!(connection, "{method} {path} {}", call.body.len()).unwrap();
        connection.write_all(&call.body).unwrap();
        let (status, body) = message(&mut BufReader::new(connection)).ok_or(TransportError::Unreached)?;
        Ok(ServiceAnswer { status: status.parse().unwrap(), retry_after: None, body })
    }
}

#[async_trait::async_trait]
impl Timer for Host {
    async fn sleep(&self, millis: u64) {
        std::thread::sleep(std::time::Duration::from_millis(millis));
    }
}

#[async_trait::async_trait]
impl EvidenceSource for Host {
    async fn make_app_attest_key(&self) -> Result<Vec<u8>, EvidenceError> {
        Err(EvidenceError::Unsupported)
    }

    /// As the service of the tests wants it: what was to be signed.
    async fn gather(&self, request: EvidenceRequest) -> Result<GatheredEvidence, EvidenceError> {
        let EvidenceRequest::DevelopmentKey { mut message } = request else {
            return Err(EvidenceError::Unsupported);
        };
        message.resize(64, 0);
        Ok(GatheredEvidence::DevelopmentKey { key_id: "dev".to_owned(), signature: message })
    }
}

/// What each process does: it proves one request.
fn prove(service: SocketAddr, folder: &Path, dies: bool) {
    let configuration = configuration(DevicePlatform::Development);
    let host = Arc::new(Host { service, dies });
    let storage = Arc::new(FileStorage::new(folder, &configuration));
    let ports = Ports {
        keys: Arc::new(DevelopmentKeys::new(folder)),
        evidence: host.clone(),
        transport: host.clone(),
        storage: storage.clone(),
        timer: host,
    };
    let parts = Parts { enrolment_lock: Some(storage), ..Parts::new(ports) };
    let attester = Attester::from_parts(configuration, parts).unwrap();
    let proof = block_on(attester.prove_when_ready(request())).unwrap();
    // One whose stored challenge another process has used meanwhile proves with the instance key, and renews later.
    let name = proof.fields[0].name.as_str();
    assert!(["attestation-result", "oauth-client-attestation"].contains(&name), "{name}");
}

/// A process that waits for a word.
fn process(service: SocketAddr, folder: &Path, dies: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["processes::the_part_of_one_process", "--exact", "--nocapture"])
        .env(SERVICE, service.to_string())
        .env(FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if dies {
        command.env(DIES, "yes");
    }
    command.spawn().unwrap()
}

/// Starts `count` processes, lets them all begin, and says how many ended well.
fn run_at_once(count: usize, service: SocketAddr, folder: &Path) -> usize {
    let mut processes: Vec<_> = (0..count).map(|_| process(service, folder, false)).collect();
    for process in &mut processes {
        process.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }
    processes.into_iter().filter_map(|mut process| process.wait().ok()).filter(|end| end.success()).count()
}

fn calls(service: &Mutex<Service>, ending: &str) -> usize {
    service.lock().unwrap().calls.iter().filter(|path| path.ends_with(ending)).count()
}

/// As a process of the other tests, or for itself alone.
#[test]
fn the_part_of_one_process() {
    if let (Ok(service), Some(folder)) = (std::env::var(SERVICE), std::env::var_os(FOLDER)) {
        std::io::stdin().lock().read_line(&mut String::new()).unwrap();
        return prove(service.parse().unwrap(), Path::new(&folder), std::env::var_os(DIES).is_some());
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, service) = serve();
    for _ in 0..2 {
        prove(address, folder.path(), false);
    }
    assert_eq!((calls(&service, "/v1/instances"), calls(&service, "/results")), (1, 1));
}

#[test]
fn processes_that_start_together_enrol_once() {
    let folder = tempfile::tempdir().unwrap();
    let (address, service) = serve();
    assert_eq!(run_at_once(4, address, folder.path()), 4);
    assert_eq!(calls(&service, "/v1/instances"), 1);
    // Later ones go on with it, however many.
    assert_eq!(run_at_once(4, address, folder.path()), 4);
    assert_eq!(calls(&service, "/v1/instances"), 1);
}

#[test]
fn a_process_that_dies_while_it_enrols_keeps_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let (address, service) = serve();
    let mut dying = process(address, folder.path(), true);
    dying.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert!(!dying.wait().unwrap().success());
    assert_eq!(calls(&service, "/v1/instances"), 0);
    assert_eq!(run_at_once(2, address, folder.path()), 2);
    assert_eq!(calls(&service, "/v1/instances"), 1);
}
