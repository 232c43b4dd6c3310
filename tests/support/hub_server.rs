//! A hub on loopback: serves the routes of a model hub from a folder, counts requests, and breaks them on demand.
//!
//! A raw listener rather than a server crate, because it must be able to end a connection in the middle of a body.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

/// The commit that `main` is at.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

/// What goes wrong for one file, or for the listing (`"api"`).
#[derive(Debug, Clone)]
pub enum Fault {
    /// The next `times` answers with a body end after this many bytes of it.
    BreakAfter { bytes: usize, times: usize },
    /// The next `times` requests are answered with this status.
    Status { status: u16, times: usize },
    /// HEAD announces this many bytes.
    AnnounceSize(u64),
    /// HEAD names this etag, in quotes.
    Etag(String),
    /// GET is redirected to this address (and HEAD too, with the file described).
    Redirect(String),
    /// Range requests are answered with everything.
    NoRanges,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    faults: HashMap<String, Vec<Fault>>,
    extra_names: Vec<String>,
    token: Option<String>,
}

pub struct HubServer {
    pub url: String,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

impl HubServer {
    /// Serves `root`/owner/name/files as the repository owner/name, at [`COMMIT`].
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (state, stop) = (Arc::new(Mutex::new(State::default())), Arc::new(AtomicBool::new(false)));
        let server = (root.to_path_buf(), Arc::clone(&state), Arc::clone(&stop));
        std::thread::spawn(move || {
            let (root, state, stop) = server;
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let (root, state) = (root.clone(), Arc::clone(&state));
                std::thread::spawn(move || serve(stream, &root, &state));
            }
        });
        Self { url, state, stop }
    }

    pub fn fault(&self, file: &str, fault: Fault) {
        self.state.lock().unwrap().faults.entry(file.to_owned()).or_default().push(fault);
    }

    /// Lists a name that no file has.
    pub fn list_also(&self, name: &str) {
        self.state.lock().unwrap().extra_names.push(name.to_owned());
    }

    /// From now on everything needs this token.
    pub fn require(&self, token: &str) {
        self.state.lock().unwrap().token = Some(token.to_owned());
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// How many requests there were for files, and not for the listing.
    pub fn file_requests(&self) -> usize {
        self.seen().iter().filter(|s| s.path.contains("/resolve/")).count()
    }

    pub fn gets(&self, file: &str) -> Vec<Seen> {
        let end = format!("/{file}");
        self.seen().into_iter().filter(|s| s.method == "GET" && s.path.ends_with(&end)).collect()
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener, so that it sees the flag and the port is closed.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

/// One request a connection: the answer always says `connection: close`.
fn serve(mut stream: TcpStream, root: &Path, state: &Mutex<State>) {
    let Some(seen) = read_request(&stream) else { return };
    state.lock().unwrap().seen.push(seen.clone());
    let token = state.lock().unwrap().token.clone();
    if token.is_some_and(|token| seen.authorization != Some(format!("Bearer {token}"))) {
        return answer(&mut stream, "401 Unauthorized", &["x-error-code: GatedRepo".into()], b"", None);
    }
    let path = seen.path.trim_start_matches('/').to_owned();
    if let Some(rest) = path.strip_prefix("api/models/") {
        return serve_listing(&mut stream, root, state, rest);
    }
    match path.split_once("/resolve/").map(|(repository, rest)| (repository, rest.split_once('/'))) {
        Some((repository, Some((revision, file)))) => {
            serve_file(&mut stream, root, state, &seen, (repository, revision, file))
        }
        _ => answer(&mut stream, "404 Not Found", &[], b"", None),
    }
}

fn read_request(stream: &TcpStream) -> Option<Seen> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut seen = Seen { method, path, range: None, authorization: None };
    for line in lines {
        let line = line.ok()?;
        match line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value)) {
            Some((name, value)) if name == "range" => seen.range = Some(value.to_owned()),
            Some((name, value)) if name == "authorization" => seen.authorization = Some(value.to_owned()),
            Some(_) => {}
            None => break,
        }
    }
    Some(seen)
}

fn serve_listing(stream: &mut TcpStream, root: &Path, state: &Mutex<State>, rest: &str) {
    if let Some(status) = take_status(state, "api") {
        return answer(stream, &format!("{status} Broken"), &[], b"", None);
    }
    let (repository, revision) = rest.split_once("/revision/").unwrap_or((rest, "main"));
    let folder = root.join(repository);
    if !folder.is_dir() {
        return answer(stream, "404 Not Found", &["x-error-code: RepoNotFound".into()], b"{}", None);
    }
    if !is_known(revision) {
        return answer(stream, "404 Not Found", &["x-error-code: RevisionNotFound".into()], b"{}", None);
    }
    let mut names = files(&folder, "");
    names.extend(state.lock().unwrap().extra_names.clone());
    let siblings: Vec<_> = names.iter().map(|name| serde_json::json!({ "rfilename": name })).collect();
    let body =
        serde_json::json!({ "id": repository, "sha": COMMIT, "private": false, "siblings": siblings }).to_string();
    answer(stream, "200 OK", &["content-type: application/json".into()], body.as_bytes(), None);
}

fn serve_file(
    stream: &mut TcpStream,
    root: &Path,
    state: &Mutex<State>,
    seen: &Seen,
    (repository, revision, file): (&str, &str, &str),
) {
    if let Some(status) = take_status(state, file) {
        return answer(stream, &format!("{status} Broken"), &[], b"", None);
    }
    let missing = |code: &str| ["x-error-code: ".to_owned() + code];
    if !is_known(revision) {
        return answer(stream, "404 Not Found", &missing("RevisionNotFound"), b"", None);
    }
    let Ok(content) = std::fs::read(root.join(repository).join(file)) else {
        return answer(stream, "404 Not Found", &missing("EntryNotFound"), b"", None);
    };
    let faults = state.lock().unwrap().faults.get(file).cloned().unwrap_or_default();
    let mut etag = etag(file, &content);
    let mut size = content.len() as u64;
    let mut headers = vec![format!("x-repo-commit: {COMMIT}")];
    let (mut redirect, mut ranges) = (None, true);
    for fault in &faults {
        match fault {
            Fault::AnnounceSize(n) => size = *n,
            Fault::Etag(other) => etag = other.clone(),
            Fault::Redirect(to) => redirect = Some(to.clone()),
            Fault::NoRanges => ranges = false,
            Fault::BreakAfter { .. } | Fault::Status { .. } => {}
        }
    }
    headers.push(format!("etag: \"{etag}\""));
    if let Some(to) = redirect {
        headers.extend([
            format!("x-linked-etag: \"{etag}\""),
            format!("x-linked-size: {size}"),
            format!("location: {to}"),
        ]);
        return answer(stream, "302 Found", &headers, b"", None);
    }
    if seen.method == "HEAD" {
        headers.push(format!("content-length: {size}"));
        return head(stream, "200 OK", &headers);
    }
    let from = seen
        .range
        .as_deref()
        .filter(|_| ranges)
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let cut = take_break(state, file);
    match from {
        Some(from) if from >= content.len() => {
            headers.push(format!("content-range: bytes */{}", content.len()));
            answer(stream, "416 Range Not Satisfiable", &headers, b"", None);
        }
        Some(from) => {
            headers.push(format!("content-range: bytes {from}-{}/{}", content.len() - 1, content.len()));
            answer(stream, "206 Partial Content", &headers, &content[from..], cut);
        }
        None => answer(stream, "200 OK", &headers, &content, cut),
    }
}

/// As the hub: of large files the SHA-256, of small ones something else (there, the git hash).
fn etag(file: &str, content: &[u8]) -> String {
    let digest: String = Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect();
    if file.ends_with(".onnx") || file.contains("data") { digest } else { digest[..40].to_owned() }
}

fn is_known(revision: &str) -> bool {
    ["main", COMMIT, "refs%2Fpr%2F1"].contains(&revision)
}

fn take_status(state: &Mutex<State>, file: &str) -> Option<u16> {
    state.lock().unwrap().faults.get_mut(file)?.iter_mut().find_map(|fault| match fault {
        Fault::Status { status, times } if *times > 0 => {
            *times -= 1;
            Some(*status)
        }
        _ => None,
    })
}

fn take_break(state: &Mutex<State>, file: &str) -> Option<usize> {
    state.lock().unwrap().faults.get_mut(file)?.iter_mut().find_map(|fault| match fault {
        Fault::BreakAfter { bytes, times } if *times > 0 => {
            *times -= 1;
            Some(*bytes)
        }
        _ => None,
    })
}

fn files(folder: &Path, prefix: &str) -> Vec<String> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    let named = entries.iter().flat_map(|path| {
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() { files(path, &format!("{name}/")) } else { vec![name] }
    });
    named.collect()
}

fn head(stream: &mut TcpStream, status: &str, headers: &[String]) {
    let lines: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nconnection: close\r\n{lines}\r\n").as_bytes());
}

/// Announces the whole body, and sends the first `cut` bytes of it.
fn answer(stream: &mut TcpStream, status: &str, headers: &[String], body: &[u8], cut: Option<usize>) {
    let mut headers = headers.to_vec();
    headers.push(format!("content-length: {}", body.len()));
    head(stream, status, &headers);
    let _ = stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())]);
}
