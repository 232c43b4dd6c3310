//! Models from the hub, against a real HTTP server on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/hub_server.rs"]
mod hub_server;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engraft::Error;
use engraft::backbone::hub::{Hub, HubConfig, HubRef, Network, Token, fetch_model};
use engraft::backbone::{Pooling, folder};
use engraft::onnx::build::{self, Dim};
use engraft::onnx::proto::tensor_proto::{DataLocation, DataType};
use engraft::onnx::proto::{GraphProto, TensorProto};
use engraft::onnx::write_model;
use engraft::progress::Progress;
use hub_server::{COMMIT, Fault, HubServer};

/// A server with one repository, `ada/tiny`, and an empty cache.
struct World {
    _folder: tempfile::TempDir,
    cache: PathBuf,
    repository: PathBuf,
    server: HubServer,
}

/// A large file: longer than any buffer on the way, and not periodic.
fn large() -> Vec<u8> {
    (0u32..100_000).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("remote");
        let repository = root.join("ada/tiny");
        std::fs::create_dir_all(repository.join("1_Pooling")).unwrap();
        std::fs::write(repository.join("config.json"), r#"{"max_position_embeddings": 128}"#).unwrap();
        std::fs::write(repository.join("README.md"), "not fetched").unwrap();
        std::fs::write(repository.join("data.bin"), large()).unwrap();
        let cache = folder.path().join("cache");
        Self { server: HubServer::start(&root), cache, repository, _folder: folder }
    }

    fn config(&self) -> HubConfig {
        HubConfig { backoff: Duration::from_millis(1), ..HubConfig::new(&self.cache, &self.server.url) }
    }

    fn hub(&self) -> Hub {
        Hub::new(self.config()).unwrap()
    }

    fn offline(&self) -> Hub {
        Hub::new(HubConfig { network: Network::Offline, ..self.config() }).unwrap()
    }

    fn blobs(&self) -> Vec<String> {
        let folder = self.cache.join("models--ada--tiny/blobs");
        let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A text model as sentence-transformers publishes them, with external weights and files that are not needed.
    fn add_model(&self) {
        let location = build::entry("location", "model.onnx_data");
        let weights = TensorProto {
            name: Some("w".into()),
            dims: vec![1],
            data_type: Some(DataType::Float as i32),
            data_location: Some(DataLocation::External as i32),
            external_data: vec![location],
            ..Default::default()
        };
        let (batch, sequence) = (Dim::Named("batch"), Dim::Named("sequence"));
        let graph = GraphProto {
            input: vec![build::value("input_ids", DataType::Int64, &[batch, sequence])],
            output: vec![build::value("last_hidden_state", DataType::Float, &[batch, sequence, Dim::Fixed(4)])],
            initializer: vec![weights],
            ..Default::default()
        };
        for (name, text) in [
            ("tokenizer.json", r#"{"truncation": null}"#),
            ("modules.json", r#"[{"path": "", "type": "x.Transformer"}, {"path": "1_Pooling", "type": "x.Pooling"}]"#),
            ("1_Pooling/config.json", r#"{"pooling_mode_mean_tokens": true}"#),
            ("model.safetensors", "unused"),
            ("onnx/model.onnx_data", "0123"),
            ("onnx/model_q4.onnx", "unused"),
        ] {
            let path = self.repository.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        write_model(&build::model(graph), &self.repository.join("onnx/model.onnx")).unwrap();
    }
}

fn tiny() -> HubRef {
    HubRef::parse("hf:ada/tiny").unwrap()
}

fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn files_come_into_the_hubs_own_layout_and_only_once() {
    let world = World::new();
    let files = ["config.json", "data.bin"];
    let folder = world.hub().fetch(&tiny(), &files, &()).unwrap();
    let root = world.cache.join("models--ada--tiny");
    assert_eq!(folder, root.join("snapshots").join(COMMIT));
    assert_eq!(std::fs::read(folder.join("data.bin")).unwrap(), large());
    assert_eq!(std::fs::read_to_string(root.join("refs/main")).unwrap(), COMMIT);
    let link = std::fs::read_link(folder.join("data.bin")).unwrap();
    assert!(link.is_relative() && link.starts_with("../../blobs"), "{}", link.display());
    assert_eq!(world.blobs().len(), 2, "{:?}", world.blobs());
    assert_eq!(world.server.file_requests(), 4, "HEAD and GET for each");

    world.hub().fetch(&tiny(), &files, &()).unwrap();
    assert_eq!(world.server.file_requests(), 4, "nothing is asked for again");
    let pinned = HubRef::parse(&format!("hf:ada/tiny@{COMMIT}")).unwrap();
    let before = world.server.seen().len();
    world.hub().fetch(&pinned, &files, &()).unwrap();
    assert_eq!(world.server.seen().len(), before, "a full commit that is here needs no request at all");
}

#[test]
fn a_revision_with_slashes_is_escaped_and_remembered() {
    let world = World::new();
    let reference = HubRef::parse("hf:ada/tiny@refs/pr/1").unwrap();
    world.hub().fetch(&reference, &["config.json"], &()).unwrap();
    let noted = world.cache.join("models--ada--tiny/refs/refs/pr/1");
    assert_eq!(std::fs::read_to_string(noted).unwrap(), COMMIT);
    world.offline().fetch(&reference, &["config.json"], &()).unwrap();
}

#[test]
fn offline_uses_the_cache_and_nothing_else() {
    let world = World::new();
    let error = message(world.offline().fetch(&tiny(), &["config.json"], &()));
    assert!(error.contains("HF_HUB_OFFLINE") && error.contains("not in the cache"), "{error}");
    assert!(world.server.seen().is_empty());

    world.hub().fetch(&tiny(), &["config.json"], &()).unwrap();
    let before = world.server.seen().len();
    world.offline().fetch(&tiny(), &["config.json"], &()).unwrap();
    let error = message(world.offline().fetch(&tiny(), &["config.json", "data.bin"], &()));
    assert!(error.contains("data.bin") && error.contains("HF_HUB_OFFLINE"), "{error}");
    assert_eq!(world.server.seen().len(), before);
}

#[test]
fn without_a_network_the_cache_serves_and_says_so() {
    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);
    impl Progress for Notes {
        fn note(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }
    let world = World::new();
    world.hub().fetch(&tiny(), &["config.json"], &()).unwrap();
    // A port where nothing listens any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = HubConfig { endpoint: format!("http://{gone}"), ..world.config() };
    let notes = Notes::default();
    Hub::new(config.clone()).unwrap().fetch(&tiny(), &["config.json"], &notes).unwrap();
    assert!(notes.0.lock().unwrap()[0].contains(COMMIT));
    let empty = HubConfig { cache: world.cache.join("other"), ..config };
    let error = message(Hub::new(empty).unwrap().fetch(&tiny(), &["config.json"], &()));
    assert!(error.contains("not in the cache") && error.contains(&gone.to_string()), "{error}");
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    #[derive(Default)]
    struct Bytes(AtomicU64);
    impl Progress for Bytes {
        fn advance(&self, done: u64) {
            self.0.fetch_add(done, Ordering::SeqCst);
        }
    }
    let world = World::new();
    world.server.fault("data.bin", Fault::BreakAfter { bytes: 150_000, times: 1 });
    let bytes = Bytes::default();
    let folder = world.hub().fetch(&tiny(), &["data.bin"], &bytes).unwrap();
    assert_eq!(std::fs::read(folder.join("data.bin")).unwrap(), large());
    let ranges: Vec<Option<String>> = world.server.gets("data.bin").into_iter().map(|s| s.range).collect();
    assert_eq!(ranges, [None, Some("bytes=150000-".to_owned())]);
    assert_eq!(bytes.0.load(Ordering::SeqCst), large().len() as u64);
}

#[test]
fn what_came_is_kept_for_the_next_run() {
    let world = World::new();
    // The first answer breaks in the middle, every later one at once.
    world.server.fault("data.bin", Fault::BreakAfter { bytes: 100_000, times: 1 });
    world.server.fault("data.bin", Fault::BreakAfter { bytes: 0, times: 4 });
    let error = message(world.hub().fetch(&tiny(), &["data.bin"], &()));
    assert!(error.contains("run the command again"), "{error}");
    assert_eq!(world.blobs().len(), 1);
    assert!(world.blobs()[0].ends_with(".incomplete"), "{:?}", world.blobs());
    assert!(!world.cache.join("models--ada--tiny/refs/main").exists(), "an unfinished snapshot is not the one to use");

    let folder = world.hub().fetch(&tiny(), &["data.bin"], &()).unwrap();
    assert_eq!(std::fs::read(folder.join("data.bin")).unwrap(), large());
    let gets = world.server.gets("data.bin");
    assert_eq!(gets.last().unwrap().range.as_deref(), Some("bytes=100000-"));
    assert!(!world.blobs()[0].ends_with(".incomplete"));
}

#[test]
fn a_server_without_ranges_starts_over() {
    let world = World::new();
    world.server.fault("data.bin", Fault::NoRanges);
    world.server.fault("data.bin", Fault::BreakAfter { bytes: 100_000, times: 1 });
    let folder = world.hub().fetch(&tiny(), &["data.bin"], &()).unwrap();
    assert_eq!(std::fs::read(folder.join("data.bin")).unwrap(), large());
}

#[test]
fn a_wrong_size_is_not_accepted() {
    for announced in [large().len() as u64 + 10, large().len() as u64 - 10] {
        let world = World::new();
        world.server.fault("data.bin", Fault::AnnounceSize(announced));
        let error = message(world.hub().fetch(&tiny(), &["data.bin"], &()));
        assert!(error.contains("run the command again"), "{error}");
        assert!(world.blobs().iter().all(|name| name.ends_with(".incomplete")), "{:?}", world.blobs());
        assert!(!world.cache.join("models--ada--tiny/snapshots").join(COMMIT).join("data.bin").exists());
    }
}

#[test]
fn a_wrong_sha256_is_refused_and_not_kept() {
    let world = World::new();
    let expected = "0".repeat(64);
    world.server.fault("data.bin", Fault::Etag(expected.clone()));
    match world.hub().fetch(&tiny(), &["data.bin"], &()) {
        Err(Error::Checksum { expected: told, got, .. }) => assert!(told == expected && got.len() == 64),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.blobs(), Vec::<String>::new());
}

#[test]
fn an_etag_that_is_no_file_name_is_refused() {
    let world = World::new();
    world.server.fault("data.bin", Fault::Etag("../../../evil".into()));
    assert!(message(world.hub().fetch(&tiny(), &["data.bin"], &())).contains("unusable etag"));
}

#[test]
fn missing_things_are_told_apart() {
    let world = World::new();
    let fetch =
        |reference: &str, file: &str| message(world.hub().fetch(&HubRef::parse(reference).unwrap(), &[file], &()));
    let error = fetch("hf:ada/nothing", "config.json");
    assert!(error.contains("no repository ada/nothing") && error.contains("HF_TOKEN"), "{error}");
    assert!(fetch("hf:ada/tiny@v9", "config.json").contains("ada/tiny has no revision v9"));
    assert!(fetch("hf:ada/tiny", "nothing.json").contains("no such file"));
    // Listed, and gone when it is asked for.
    world.server.list_also("ghost.bin");
    let error = fetch("hf:ada/tiny", "ghost.bin");
    assert!(error.contains("has not a file ghost.bin"), "{error}");
    assert_eq!(world.server.seen().iter().filter(|s| s.path.ends_with("ghost.bin")).count(), 1, "404 is not repeated");
}

#[test]
fn a_gated_repository_wants_a_token_that_opens_it() {
    let world = World::new();
    world.server.require("hf_good");
    let with = |token: Option<&str>| {
        let token = token.map(|t| Token::new(t).unwrap());
        Hub::new(HubConfig { token, ..world.config() }).unwrap().fetch(&tiny(), &["config.json"], &())
    };
    let error = message(with(None));
    assert!(error.contains("gated") && error.contains("set HF_TOKEN"), "{error}");
    let error = message(with(Some("hf_bad")));
    assert!(error.contains("does not open it") && !error.contains("hf_bad"), "{error}");
    with(Some("hf_good")).unwrap();
    assert_eq!(world.server.seen().last().unwrap().authorization.as_deref(), Some("Bearer hf_good"));
}

#[test]
fn the_token_stays_with_the_hub_when_it_redirects() {
    let world = World::new();
    let elsewhere = World::new();
    world.server.require("hf_good");
    let target = format!("{}/ada/tiny/resolve/main/data.bin", elsewhere.server.url);
    world.server.fault("data.bin", Fault::Redirect(target));
    let moved = format!("/ada/tiny/resolve/{COMMIT}/data.bin");
    world.server.fault("config.json", Fault::Redirect(moved));
    let config = HubConfig { token: Some(Token::new("hf_good").unwrap()), ..world.config() };
    let folder = Hub::new(config).unwrap().fetch(&tiny(), &["data.bin"], &()).unwrap();
    assert_eq!(std::fs::read(folder.join("data.bin")).unwrap(), large());
    let there = elsewhere.server.seen();
    assert_eq!(there.len(), 1, "HEAD stops where the hub described the file: {there:?}");
    assert_eq!((there[0].method.as_str(), there[0].authorization.as_deref()), ("GET", None));
    assert!(world.server.seen().iter().all(|s| s.authorization.as_deref() == Some("Bearer hf_good")));
}

#[test]
fn redirects_within_the_hub_keep_the_token_and_may_not_go_round() {
    let world = World::new();
    world.server.require("hf_good");
    std::fs::copy(world.repository.join("data.bin"), world.repository.join("moved-data.bin")).unwrap();
    world.server.fault("data.bin", Fault::Redirect("moved-data.bin".into()));
    world.server.fault("config.json", Fault::Redirect("config.json".into()));
    let hub = Hub::new(HubConfig { token: Some(Token::new("hf_good").unwrap()), ..world.config() }).unwrap();
    let folder = hub.fetch(&tiny(), &["data.bin"], &()).unwrap();
    assert_eq!(std::fs::read(folder.join("data.bin")).unwrap(), large());
    let moved = world.server.gets("moved-data.bin");
    assert_eq!(moved[0].authorization.as_deref(), Some("Bearer hf_good"));
    assert!(message(hub.fetch(&tiny(), &["config.json"], &())).contains("redirects without end"));
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let world = World::new();
    world.server.fault("api", Fault::Status { status: 503, times: 2 });
    world.server.fault("data.bin", Fault::Status { status: 500, times: 3 });
    world.hub().fetch(&tiny(), &["data.bin"], &()).unwrap();

    let world = World::new();
    world.server.fault("config.json", Fault::Status { status: 500, times: 99 });
    let error = message(world.hub().fetch(&tiny(), &["config.json"], &()));
    assert!(error.contains("500"), "{error}");
    assert_eq!(world.server.file_requests(), 4, "the request and three repetitions");
}

#[test]
fn hostile_names_are_refused() {
    for name in ["../outside.bin", "/etc/passwd", "a\\b.bin", "a//b.bin", "a/../../b.bin", ""] {
        let world = World::new();
        world.server.list_also(name);
        let error = message(world.hub().fetch(&tiny(), &["config.json"], &()));
        assert!(error.contains("leave the cache"), "{name}: {error}");
        assert!(!world.cache.exists(), "{name}: nothing was written");
    }
}

#[test]
fn an_interrupted_download_stops_and_resumes() {
    /// Stops once bytes have come.
    #[derive(Default)]
    struct Stop(AtomicU64);
    impl Progress for Stop {
        fn advance(&self, done: u64) {
            self.0.fetch_add(done, Ordering::SeqCst);
        }
        fn interrupted(&self) -> bool {
            self.0.load(Ordering::SeqCst) > 0
        }
    }
    let world = World::new();
    assert!(matches!(world.hub().fetch(&tiny(), &["data.bin"], &Stop::default()), Err(Error::Interrupted)));
    assert!(world.blobs()[0].ends_with(".incomplete"));
    world.hub().fetch(&tiny(), &["data.bin"], &()).unwrap();
    assert!(world.server.gets("data.bin").last().unwrap().range.is_some());
}

#[test]
fn two_at_once_fetch_once() {
    let world = World::new();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| world.hub().fetch(&tiny(), &["data.bin"], &()))).collect();
        runs.into_iter().for_each(|run| {
            let folder = run.join().unwrap().unwrap();
            assert_eq!(std::fs::read(folder.join("data.bin")).unwrap(), large());
        });
    });
    assert_eq!(world.server.gets("data.bin").len(), 1);
}

#[test]
fn a_model_comes_with_what_it_needs_and_works_offline() {
    let world = World::new();
    world.add_model();
    let model = fetch_model(&tiny(), &world.hub(), &()).unwrap();
    assert_eq!(model.onnx, "onnx/model.onnx");
    let mut names: Vec<String> = walk(&model.folder);
    names.sort();
    let wanted = [
        "1_Pooling/config.json",
        "config.json",
        "modules.json",
        "onnx/model.onnx",
        "onnx/model.onnx_data",
        "tokenizer.json",
    ];
    assert_eq!(names, wanted);

    let before = world.server.seen().len();
    assert_eq!(fetch_model(&tiny(), &world.offline(), &()).unwrap(), model);
    assert_eq!(world.server.seen().len(), before);

    let overrides = folder::Overrides { onnx_file: Some(model.onnx.clone()), ..Default::default() };
    let backbone = folder::open(&model.folder, &overrides, "hf:ada/tiny").unwrap();
    assert_eq!((backbone.output.pooling, backbone.name.as_str()), (Pooling::Mean, "hf:ada/tiny"));
    assert_eq!(backbone.tokenizer, Some(model.folder.join("tokenizer.json")));

    // Without its weights the snapshot is not complete.
    std::fs::remove_file(model.folder.join("onnx/model.onnx_data")).unwrap();
    let error = message(fetch_model(&tiny(), &world.offline(), &()));
    assert!(error.contains("onnx/model.onnx_data") && error.contains("HF_HUB_OFFLINE"), "{error}");
}

#[test]
fn a_named_file_of_a_model_is_the_one_that_comes() {
    let world = World::new();
    world.add_model();
    std::fs::copy(world.repository.join("onnx/model.onnx"), world.repository.join("onnx/model_q4.onnx")).unwrap();
    let reference = HubRef::parse("hf:ada/tiny:onnx/model_q4.onnx").unwrap();
    let model = fetch_model(&reference, &world.hub(), &()).unwrap();
    assert_eq!(model.onnx, "onnx/model_q4.onnx");
    assert!(!model.folder.join("onnx/model.onnx").exists());
    let missing = HubRef::parse("hf:ada/tiny:onnx/none.onnx").unwrap();
    let error = message(fetch_model(&missing, &world.hub(), &()));
    assert!(error.contains("no file onnx/none.onnx") && error.contains("onnx/model_q4.onnx"), "{error}");
}

#[test]
fn an_endpoint_that_is_no_address_is_wrong_usage() {
    for endpoint in ["", "huggingface", "ftp://hub", "file:///etc"] {
        assert!(matches!(Hub::new(HubConfig::new("cache", endpoint)), Err(Error::Usage(_))), "{endpoint}");
    }
}

/// The files below a folder, links followed, with `/`.
fn walk(root: &Path) -> Vec<String> {
    let below = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            walk(&path).into_iter().map(|inner| format!("{name}/{inner}")).collect()
        } else {
            vec![name]
        }
    };
    std::fs::read_dir(root).unwrap().flat_map(|entry| below(entry.unwrap().path())).collect()
}
