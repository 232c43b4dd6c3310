//! Where the hub and its cache are. The only place that reads the hub's environment variables.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

/// The public hub; `HF_ENDPOINT` names another.
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Where the hub and its cache are, and whether the network may be used.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// The folder of `models--owner--name` folders, shared with every program that uses the hub's cache layout.
    pub cache: PathBuf,
    /// Scheme and host of the hub, without a slash at the end.
    pub endpoint: String,
    /// Sent to the endpoint as a bearer token, and to no other host.
    pub token: Option<Token>,
    /// Whether requests may be made.
    pub network: Network,
    /// The proxy requests go through.
    pub proxy: Option<ureq::Proxy>,
    /// The pause before the first repetition of a failed request; it doubles each time.
    pub backoff: Duration,
}

/// Whether requests may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// They may.
    Online,
    /// Only what is in the cache is used.
    Offline,
}

/// A secret: its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes a token as it stands in a variable or a file; white space around it is dropped.
    ///
    /// # Errors
    /// When it holds characters that no HTTP header can carry. The message does not repeat it.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::Usage("the hub's token (HF_TOKEN) is empty or holds characters no token has".into()));
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl HubConfig {
    /// A cache and an endpoint, online, without token or proxy, half a second before the first repetition.
    pub fn new(cache: impl Into<PathBuf>, endpoint: &str) -> Self {
        Self {
            cache: cache.into(),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: None,
            network: Network::Online,
            proxy: None,
            backoff: Duration::from_millis(500),
        }
    }

    /// Reads `HF_HOME`, `HF_HUB_CACHE` (or its older name `HUGGINGFACE_HUB_CACHE`), `HF_ENDPOINT`, `HF_TOKEN` (else the file
    /// `token` in `HF_HOME`), `HF_HUB_OFFLINE` (1, true, yes or on) and the usual proxy variables. Empty counts as unset.
    /// Defaults: the cache is `hub` in `HF_HOME`, which is `huggingface` in `XDG_CACHE_HOME`, else in `~/.cache`.
    ///
    /// # Errors
    /// When there is neither one of these folders nor a home folder, or the token cannot be one.
    pub fn from_env() -> Result<Self> {
        let mut config = Self::from_variables(|name| std::env::var_os(name).map(PathBuf::from), dirs::home_dir())?;
        config.proxy = ureq::Proxy::try_from_env();
        Ok(config)
    }

    fn from_variables(variable: impl Fn(&str) -> Option<PathBuf>, home: Option<PathBuf>) -> Result<Self> {
        let folder = |name: &str| variable(name).filter(|value| !value.as_os_str().is_empty());
        let text = |name: &str| folder(name).map(|value| value.to_string_lossy().into_owned());
        let hf_home = folder("HF_HOME").or_else(|| {
            let caches = folder("XDG_CACHE_HOME").or_else(|| home.map(|h| h.join(".cache")));
            caches.map(|c| c.join("huggingface"))
        });
        let cache = folder("HF_HUB_CACHE")
            .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| hf_home.as_ref().map(|h| h.join("hub")))
            .ok_or_else(|| Error::Usage("there is no home folder to keep the hub's cache in: set HF_HOME".into()))?;
        let endpoint = text("HF_ENDPOINT");
        let mut config = Self::new(cache, endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT));
        config.token = match text("HF_TOKEN") {
            Some(token) => Some(Token::new(&token)?),
            None => hf_home.as_deref().and_then(token_file).map(|token| Token::new(&token)).transpose()?,
        };
        let offline = text("HF_HUB_OFFLINE").is_some_and(|value| is_yes(&value));
        config.network = if offline { Network::Offline } else { Network::Online };
        Ok(config)
    }
}

/// A missing, unreadable or empty token file means no token.
fn token_file(hf_home: &Path) -> Option<String> {
    std::fs::read_to_string(hf_home.join("token")).ok().filter(|text| !text.trim().is_empty())
}

fn is_yes(value: &str) -> bool {
    ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> HubConfig {
        let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v));
        HubConfig::from_variables(lookup, Some(PathBuf::from("/home/ada"))).unwrap()
    }

    #[test]
    fn the_cache_is_found_in_the_hubs_order() {
        let xdg = ("XDG_CACHE_HOME", "/xdg");
        let home = ("HF_HOME", "/hf");
        let older = ("HUGGINGFACE_HUB_CACHE", "/older");
        let newer = ("HF_HUB_CACHE", "/newer");
        assert_eq!(config(&[]).cache, Path::new("/home/ada/.cache/huggingface/hub"));
        assert_eq!(config(&[xdg]).cache, Path::new("/xdg/huggingface/hub"));
        assert_eq!(config(&[xdg, home]).cache, Path::new("/hf/hub"));
        assert_eq!(config(&[home, older]).cache, Path::new("/older"));
        assert_eq!(config(&[home, older, newer]).cache, Path::new("/newer"));
        assert_eq!(config(&[home, ("HF_HUB_CACHE", "")]).cache, Path::new("/hf/hub"));
        assert!(HubConfig::from_variables(|_| None, None).unwrap_err().to_string().contains("HF_HOME"));
    }

    #[test]
    fn endpoint_and_offline_are_read() {
        assert_eq!(config(&[]).endpoint, DEFAULT_ENDPOINT);
        assert_eq!(config(&[("HF_ENDPOINT", "http://mirror:8080/")]).endpoint, "http://mirror:8080");
        for (value, want) in [("1", Network::Offline), ("TRUE", Network::Offline), ("on", Network::Offline)] {
            assert_eq!(config(&[("HF_HUB_OFFLINE", value)]).network, want);
        }
        for value in ["", "0", "no", "false"] {
            assert_eq!(config(&[("HF_HUB_OFFLINE", value)]).network, Network::Online);
        }
    }

    #[test]
    fn the_token_comes_from_the_variable_or_the_file_and_is_not_shown() {
        let home = tempfile::tempdir().unwrap();
        let hf_home = ("HF_HOME", home.path().to_str().unwrap());
        assert_eq!(config(&[hf_home]).token, None);
        std::fs::write(home.path().join("token"), "hf_file\n").unwrap();
        assert_eq!(config(&[hf_home]).token, Some(Token("hf_file".into())));
        let both = config(&[hf_home, ("HF_TOKEN", " hf_variable ")]);
        assert_eq!(both.token, Some(Token("hf_variable".into())));
        assert!(!format!("{both:?}").contains("hf_variable"));
        let error = Token::new("secret\r\nX-Other: 1").unwrap_err().to_string();
        assert!(error.contains("HF_TOKEN") && !error.contains("secret"));
    }
}
