//! One request to the hub: redirects, the token, and what an answer's status means.

use std::time::Duration;

use ureq::http::{HeaderMap, Method, Request, StatusCode, Uri};

use super::config::HubConfig;
use super::reference::HubRef;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// How often a request that failed for a passing reason is repeated.
const RETRIES: u32 = 3;
const MAX_REDIRECTS: usize = 8;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Without a byte for this long, the connection counts as broken.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a request gave nothing.
pub(super) enum Failure {
    /// The network or the server failed: the same request may work later.
    Passing(Error),
    /// The answer will not change.
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Passing(error) | Failure::Final(error) => error,
        }
    }
}

/// An answer, after redirects.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: ureq::Body,
    /// The headers of the answer and of every redirect before it; of a repeated name the first counts, because the hub
    /// describes a file before it redirects to where the bytes are.
    hops: Vec<HeaderMap>,
}

impl Reply {
    /// The first value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.hops.iter().find_map(|headers| text(headers, name))
    }

    /// The value of a header of the last answer alone.
    pub(super) fn last_header(&self, name: &str) -> Option<&str> {
        self.hops.last().and_then(|headers| text(headers, name))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Sends requests to one endpoint.
pub(super) struct Client {
    agent: ureq::Agent,
    endpoint: Uri,
    bearer: Option<String>,
    backoff: Duration,
}

impl Client {
    pub(super) fn new(config: &HubConfig) -> Result<Self> {
        let wrong = || Error::Usage(format!("HF_ENDPOINT {}: not an http or https address", config.endpoint));
        let endpoint: Uri = config.endpoint.parse().map_err(|_| wrong())?;
        if origin(&endpoint).is_none() {
            return Err(wrong());
        }
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // Followed by hand: only so is the token kept within the endpoint and are the headers of each step seen.
            .max_redirects(0)
            .proxy(config.proxy.clone())
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(STALL_TIMEOUT))
            .timeout_per_read(Some(STALL_TIMEOUT))
            .user_agent(concat!("engraft/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent, endpoint, bearer: config.token.as_ref().map(|t| t.bearer()), backoff: config.backoff })
    }

    /// One request, without repetition; `from` asks for the bytes from there on. An answer of any status is a reply, but
    /// a server that is busy or broken (408, 429, 5xx) is a passing failure.
    pub(super) fn send(&self, method: Method, path: &str, from: Option<u64>) -> Result<Reply, Failure> {
        let start = format!("{}{path}", self.endpoint.to_string().trim_end_matches('/'));
        let passing = |reason: String| Failure::Passing(Error::fetch(&start, reason));
        let endless = || Failure::Final(Error::fetch(&start, "the server redirects without end or to no address"));
        let mut uri: Uri = start.parse().map_err(|e| Failure::Final(Error::fetch(&start, e)))?;
        let mut hops = Vec::new();
        for _ in 0..=MAX_REDIRECTS {
            let request = self.request(&method, &uri, from).map_err(|e| Failure::Final(Error::fetch(&start, e)))?;
            let response = self.agent.run(request).map_err(|e| passing(e.to_string()))?;
            let (parts, body) = response.into_parts();
            let location = text(&parts.headers, "location").map(str::to_owned);
            hops.push(parts.headers);
            let reply = Reply { status: parts.status, body, hops };
            let described = reply.header("x-linked-etag").is_some() && reply.header("x-linked-size").is_some();
            match location.filter(|_| reply.status.is_redirection()) {
                // The hub has said all about the file; where the bytes are need not answer to HEAD.
                Some(_) if method == Method::HEAD && described => return Ok(reply),
                Some(location) => {
                    uri = resolve(&uri, &location).ok_or_else(endless)?;
                    hops = reply.hops;
                }
                None if is_passing(reply.status) => {
                    return Err(passing(format!("the server answered {}", reply.status)));
                }
                None => return Ok(reply),
            }
        }
        Err(endless())
    }

    fn request(&self, method: &Method, uri: &Uri, from: Option<u64>) -> Result<Request<()>, ureq::http::Error> {
        // Unpacked on the way, a body would have another length than the file.
        let mut request = Request::builder().method(method).uri(uri).header("accept-encoding", "identity");
        if let Some(bearer) = self.bearer.as_ref().filter(|_| origin(uri) == origin(&self.endpoint)) {
            request = request.header("authorization", bearer);
        }
        if let Some(from) = from {
            request = request.header("range", format!("bytes={from}-"));
        }
        request.body(())
    }

    /// Repeats `attempt` while it fails for passing reasons, at most [`RETRIES`] times in a row without `advanced`, a
    /// measure of what is done, growing.
    pub(super) fn persist<T>(
        &self,
        progress: &dyn Progress,
        advanced: impl Fn() -> u64,
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (mut failures, mut best) = (0, advanced());
        loop {
            let failure = match attempt() {
                Err(Failure::Passing(error)) => error,
                done => return done,
            };
            let now = advanced();
            failures = if now > best { 0 } else { failures + 1 };
            best = best.max(now);
            if failures > RETRIES {
                return Err(Failure::Passing(failure));
            }
            std::thread::sleep(self.backoff * (1 << failures.saturating_sub(1)));
            if progress.interrupted() {
                return Err(Failure::Final(Error::Interrupted));
            }
        }
    }

    /// The error behind a status that is not a success.
    pub(super) fn refusal(&self, reference: &HubRef, file: Option<&str>, reply: &Reply) -> Error {
        let what = file.map_or(reference.to_string(), |file| format!("{reference}, file {file}"));
        let code = reply.header("x-error-code").unwrap_or_default();
        let repository = reference.repository();
        let revision = &reference.revision;
        let access = match self.bearer {
            Some(_) => "the token that was sent (HF_TOKEN) does not open it",
            None => "set HF_TOKEN to a token that may read it",
        };
        let missing_file = file.map_or("the file".to_owned(), |file| format!("a file {file}"));
        let reason = match (code, reply.status.as_u16()) {
            ("GatedRepo", _) => {
                format!("{repository} is gated: accept its conditions on the hub with your account; {access}")
            }
            // The hub answers so for private repositories too, not to give away that they exist.
            ("RepoNotFound", _) => format!("there is no repository {repository}, or it is private; {access}"),
            ("RevisionNotFound", _) => format!("{repository} has no revision {revision}"),
            ("EntryNotFound", _) => format!("{repository} at {revision} has not {missing_file}"),
            (_, 401 | 403) => format!("{repository} is gated or private; {access}"),
            (_, 404) if file.is_some() => format!("{repository} at {revision} has not {missing_file}"),
            (_, 404) => format!("there is no repository {repository}, or it has no revision {revision}"),
            _ => format!("the server answered {}", reply.status),
        };
        Error::fetch(what, reason)
    }
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT
}

/// Scheme, host and port: what a token belongs to.
fn origin(uri: &Uri) -> Option<(String, String, u16)> {
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
    Some((scheme, host, uri.port_u16().unwrap_or(default_port)))
}

/// Where a `Location` header points, seen from `base` (RFC 3986, the forms servers use).
fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let absolute = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.contains("://") {
        location.to_owned()
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    absolute.parse().ok().filter(|uri| origin(uri).is_some())
}

/// A path component for an address: all but the unreserved characters of RFC 3986 as `%XX`.
pub(super) fn percent(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved() {
        let base: Uri = "http://hub:8080/a/resolve/main/f?x=1".parse().unwrap();
        for (location, want) in [
            ("https://cdn/x?sig=1", "https://cdn/x?sig=1"),
            ("//cdn/x", "http://cdn/x"),
            ("/api/y", "http://hub:8080/api/y"),
            ("g", "http://hub:8080/a/resolve/main/g"),
        ] {
            assert_eq!(resolve(&base, location), Some(want.parse().unwrap()), "{location}");
        }
        for bad in ["ftp://cdn/x", "file:///etc/passwd", "http://"] {
            assert_eq!(resolve(&base, bad), None, "{bad}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let of = |text: &str| origin(&text.parse().unwrap());
        assert_eq!(of("https://Hub/a"), of("https://hub:443/b"));
        assert_ne!(of("https://hub"), of("http://hub"));
        assert_ne!(of("http://hub:1"), of("http://hub:2"));
        assert_ne!(of("http://hub"), of("http://hub.evil"));
    }

    #[test]
    fn addresses_are_escaped() {
        assert_eq!(percent("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(percent("a b#?é.onnx"), "a%20b%23%3F%C3%A9.onnx");
    }
}
