//! Inputs on disk, as users and other programs leave them, become one stream of entries.

use std::fs;
use std::path::{Path, PathBuf};

use engraft::source::{
    Content, Entry, Modality, Sample, Separator, SourceOptions, TableOptions, holds_embeddings, identity, open_all,
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sources").join(name)
}

fn options(modality: Modality) -> SourceOptions {
    SourceOptions { modality, table: TableOptions::default(), keep: Vec::new(), separator: Separator::default() }
}

fn keeping(modality: Modality, keep: &[&str]) -> SourceOptions {
    SourceOptions { keep: keep.iter().map(|name| (*name).to_owned()).collect(), ..options(modality) }
}

/// `id|content|label|kept…` of samples, `id! reason` of rejects.
fn try_list(inputs: &[PathBuf], options: &SourceOptions) -> engraft::Result<Vec<String>> {
    let shown = open_all(inputs, options)?.list.map(|listed| {
        Ok(match listed?.entry {
            Entry::Reject(reject) => format!("{}! {}", reject.id, reject.reason),
            Entry::Sample(Sample { id, content, label, kept }) => {
                let content = match content {
                    Content::Text(text) => text,
                    Content::Bytes(bytes) => format!("<{}>", String::from_utf8_lossy(&bytes)),
                    Content::File(path) => path.file_name().unwrap().to_str().unwrap().to_owned(),
                };
                let values = [label].into_iter().chain(kept).map(|value| value.unwrap_or("-".to_owned()));
                [id, content].into_iter().chain(values).collect::<Vec<_>>().join("|")
            }
        })
    });
    shown.collect()
}

fn list(input: impl Into<PathBuf>, options: &SourceOptions) -> Vec<String> {
    try_list(&[input.into()], options).unwrap()
}

fn failure(input: impl Into<PathBuf>, options: &SourceOptions) -> String {
    try_list(&[input.into()], options).unwrap_err().to_string()
}

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

#[test]
fn parquet_columns_of_every_scalar_type_are_kept_as_text() {
    let all = "bool int8 uint64 half float double decimal date time moment utc string null dictionary";
    let mut with = keeping(Modality::Text, &all.split(' ').collect::<Vec<_>>());
    with.table.label_column = Some("stars".to_owned());
    let want = [
        "texts.parquet:0|one|5|true|-8|18446744073709551615|0.5|0.1|0.1|12.30|2024-02-29|01:02:03|\
         2024-02-29T12:00:00.250|2024-02-29T12:00:00.250Z|-|-|u",
        "texts.parquet:1! `text` is missing",
        "texts.parquet:2! `text` is empty",
    ];
    assert_eq!(list(golden("texts.parquet"), &with), want);
    let nested = failure(golden("texts.parquet"), &keeping(Modality::Text, &["list"]));
    assert!(nested.contains("the column `list`") && nested.contains("expected a text, a number"), "{nested}");
    let absent = failure(golden("texts.parquet"), &keeping(Modality::Text, &["lust"]));
    assert!(absent.contains("no column `lust`"), "{absent}");
    let mut number = options(Modality::Text);
    number.table.text_column = Some("stars".to_owned());
    assert!(failure(golden("texts.parquet"), &number).contains("is Int64, expected a text"));
    let views = ["views.parquet:0|one|x", "views.parquet:1|two, a little longer|y"];
    assert_eq!(list(golden("views.parquet"), &options(Modality::Text)), views);
}

#[test]
fn parquet_images_come_as_bytes_or_paths_and_classes_by_name() {
    let want = [
        "images.parquet:0|<image a>|dog",
        "images.parquet:1|b.png|cat",
        "images.parquet:2! `image` is empty",
        "images.parquet:3! `image` is missing",
        "images.parquet:4|<image e>|-",
        "images.parquet:5! `label` is 2, and there are 2 classes",
    ];
    assert_eq!(list(golden("images.parquet"), &options(Modality::Image)), want);
    let mut bytes = options(Modality::Image);
    bytes.table.path_column = Some("png".to_owned());
    bytes.table.id_column = Some("file".to_owned());
    assert_eq!(list(golden("binary.parquet"), &bytes), ["x|<image x>|-", "binary.parquet:1! `png` is missing"]);
}

#[test]
fn parquet_feature_sets_are_told_from_tables() {
    assert!(holds_embeddings(&golden("features.parquet")).unwrap());
    assert!(!holds_embeddings(&golden("texts.parquet")).unwrap());
    assert!(holds_embeddings(&golden("shard-000.tar")).is_err());
}

#[test]
fn damaged_parquet_is_an_error_that_names_the_file() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.parquet");
    let good = fs::read(golden("texts.parquet")).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut failures = 0;
    for round in 0..400 {
        let mut bytes = good.clone();
        match round % 4 {
            0 => bytes.truncate(random.usize(..good.len())),
            // The pages, and anywhere.
            1 => (0..8).for_each(|_| bytes[random.usize(4..600)] = random.u8(..)),
            _ => (0..3).for_each(|_| bytes[random.usize(..good.len())] = random.u8(..)),
        }
        fs::write(&path, &bytes).unwrap();
        if let Err(e) = try_list(std::slice::from_ref(&path), &options(Modality::Text)) {
            assert!(e.to_string().contains("t.parquet"), "{e}");
            failures += 1;
        }
    }
    assert!(failures > 100, "{failures}");
}

#[test]
fn archives_hold_samples_by_key() {
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(120));
    let want = [
        "shard-000.tar/a|<image a>|3|A|7|-".to_owned(),
        "shard-000.tar/b|<image b>|bee|-|-|[1,2]".to_owned(),
        format!("shard-000.tar/{long}|<image n>|-|-|-|-"),
        "shard-000.tar/sub/c! the image is missing".to_owned(),
        "shard-001.tar.gz/a|<image a of 1>|-|-|-|-".to_owned(),
        "shard-001.tar.gz/ü/猫|<image u>|Küche|-|-|-".to_owned(),
    ];
    let with = keeping(Modality::Image, &["caption", "width", "box"]);
    assert_eq!(try_list(&[golden("shard-000.tar"), golden("shard-001.tar.gz")], &with).unwrap(), want);

    let texts = list(golden("shard-000.tar"), &options(Modality::Text));
    assert_eq!(texts.iter().filter(|line| line.ends_with("! `.txt` is missing")).count(), 2, "{texts:?}");
    assert_eq!(texts[2..], [format!("shard-000.tar/{long}|a caption|-"), "shard-000.tar/sub/c|only text|-".to_owned()]);
    let mut by_column = options(Modality::Text);
    by_column.table.text_column = Some("caption".to_owned());
    by_column.table.id_column = Some("width".to_owned());
    assert_eq!(list(golden("shard-000.tar"), &by_column)[0], "7|A|3");
}

#[test]
fn nothing_in_an_archive_leads_out_of_it() {
    let want = [
        "hostile.tar/../up! the name leads out of the archive",
        "hostile.tar//root! the name leads out of the archive",
        "hostile.tar/soft! `.jpg` is a link",
        "hostile.tar/hard! `.jpg` is a link",
        "hostile.tar/tty! `.jpg` is not a regular file",
        "hostile.tar/good|<good>|-",
        "hostile.tar/two! there are several `.png` or like it",
        "hostile.tar/new! this image format cannot be read",
        "hostile.tar/bad! `.json` is not a JSON object",
        "hostile.tar/empty! the image is empty",
        "hostile.tar:10! the key good is used by an earlier sample",
        "hostile.tar/last|<last>|-",
    ];
    let got = list(golden("hostile.tar"), &options(Modality::Image));
    assert_eq!(got.len(), want.len(), "{got:#?}");
    for (got, want) in got.iter().zip(want) {
        assert!(got.starts_with(want), "{got} is not {want}");
    }
}

#[test]
fn ranges_of_archives_go_on_after_a_damaged_one() {
    let root = tempfile::tempdir().unwrap();
    let good = fs::read(golden("hostile.tar")).unwrap();
    let one = |name: &str, bytes: &[u8]| fs::write(root.path().join(name), bytes).unwrap();
    one("s-08.tar", &fs::read(golden("shard-000.tar")).unwrap());
    // Within the content of `good`.
    one("s-09.tar", &good[..512 * 9 + 100]);
    one("s-10.tar", b"no archive");
    one("s-11.tar", &fs::read(golden("shard-000.tar")).unwrap());
    let range = root.path().join("s-{08..11}.tar");
    let got = list(&range, &options(Modality::Image));
    let ids: Vec<&str> = got.iter().map(|line| line.split(['|', '!']).next().unwrap()).collect();
    assert_eq!((got.len(), ids[0], ids[got.len() - 4]), (4 + 7 + 1 + 4, "s-08.tar/a", "s-11.tar/a"), "{got:#?}");
    assert!(got[9].starts_with("s-09.tar/good! the archive cannot be read on within this sample"), "{got:#?}");
    assert!(got[10].starts_with("s-09.tar! the archive cannot be read on after 6 samples: it is cut off"), "{got:#?}");
    assert!(got[11].starts_with("s-10.tar! the archive cannot be read"), "{got:#?}");
    assert!(failure(root.path().join("s-10.tar"), &options(Modality::Image)).contains("no tar archive"));
    // A missing one is known at once.
    let missing = failure(root.path().join("s-{08..12}.tar"), &options(Modality::Image));
    assert!(missing.contains("s-12.tar"), "{missing}");
}

#[test]
fn archives_of_any_bytes_end() {
    let root = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(2);
    for name in ["hostile.tar", "shard-000.tar", "shard-001.tar.gz"] {
        let (good, path) = (fs::read(golden(name)).unwrap(), root.path().join(name));
        for _ in 0..150 {
            let mut bytes = good.clone();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..good.len());
                bytes[at] = random.u8(..);
                // Headers whose checksum is right are read further.
                if let Some(header) = bytes.get_mut(at / 512 * 512..at / 512 * 512 + 512).filter(|_| random.bool()) {
                    let mut fixed = tar::Header::from_byte_slice(header).clone();
                    fixed.set_cksum();
                    header.copy_from_slice(fixed.as_bytes());
                }
            }
            fs::write(&path, &bytes).unwrap();
            if let Ok(got) = try_list(std::slice::from_ref(&path), &options(Modality::Image)) {
                assert!(got.len() < 40);
            }
        }
    }
}

#[test]
fn image_folders_with_metadata_are_tables() {
    let table = "file_name,label,caption\na.png,cat,A\nsub/b.png,dog,\nabsent.png,,x\na.png,cat,twice\n";
    let root = tree(&[("a.png", ""), ("unlisted.png", ""), ("sub/b.png", ""), ("metadata.csv", table)]);
    let want = [
        "a.png|a.png|cat|A",
        "sub/b.png|b.png|dog|-",
        "absent.png|absent.png|-|x",
        "metadata.csv:5! the id a.png is used by an earlier row",
    ];
    assert_eq!(list(root.path(), &keeping(Modality::Image, &["caption"])), want);

    let split = "{\"file_name\": \"1.png\", \"label\": 1}\n{\"nothing\": 0}\n";
    let root = tree(&[("train/1.png", ""), ("train/2.png", ""), ("train/metadata.jsonl", split), ("wild/3.png", "")]);
    let want = ["train/1.png|1.png|1", "train/metadata.jsonl:2! `file_name` is missing", "wild/3.png|3.png|wild"];
    assert_eq!(list(root.path(), &options(Modality::Image)), want);

    let root = tree(&[("a.png", ""), ("metadata.csv", "image_id\na\n")]);
    let error = failure(root.path(), &options(Modality::Image));
    assert!(error.contains("no column `file_name`") && error.contains("--path-column"), "{error}");
    fs::write(root.path().join("metadata.jsonl"), "{}").unwrap();
    assert!(failure(root.path(), &options(Modality::Image)).contains("keep one"));
}

#[test]
fn a_folder_of_70000_files_is_listed_whole() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("class");
    fs::create_dir(&folder).unwrap();
    for i in 0..70_000 {
        fs::write(folder.join(format!("{i}.png")), b"").unwrap();
    }
    fs::create_dir(folder.join("deeper")).unwrap();
    fs::write(folder.join("deeper/x.png"), b"").unwrap();
    fs::write(root.path().join("z.png"), b"").unwrap();
    let source = open_all(&[root.path().to_path_buf()], &options(Modality::Image)).unwrap();
    let mut ids: Vec<String> = Vec::new();
    for listed in source.list {
        let listed = listed.unwrap();
        let Entry::Sample(sample) = listed.entry else { panic!("{listed:?}") };
        assert_eq!(listed.position, ids.len() as u64);
        assert_eq!(sample.label.is_some(), sample.id != "z.png");
        ids.push(sample.id);
    }
    assert_eq!(ids.last().unwrap(), "z.png");
    assert_eq!(list(root.path(), &options(Modality::Image)).len(), 70_002);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 70_002);
}

#[cfg(unix)]
#[test]
fn rings_of_links_and_deep_trees_end() {
    use std::os::unix::fs::symlink;
    let root = tree(&[("a/1.png", ""), ("b/2.png", "")]);
    let at = |name: &str| root.path().join(name);
    symlink(at("b"), at("a/to-b")).unwrap();
    symlink(at("a"), at("b/to-a")).unwrap();
    symlink("ring-2.png", at("ring-1.png")).unwrap();
    symlink("ring-1.png", at("ring-2.png")).unwrap();
    let got = list(root.path(), &options(Modality::Image));
    let want = [
        "a/1.png|1.png|a",
        "a/to-b/2.png|2.png|a",
        "a/to-b/to-a! a symbolic link back to",
        "b/2.png|2.png|b",
        "b/to-a/1.png|1.png|b",
        "b/to-a/to-b! a symbolic link back to",
        "ring-1.png! cannot be read",
        "ring-2.png! cannot be read",
    ];
    assert_eq!(got.len(), want.len(), "{got:#?}");
    for (got, want) in got.iter().zip(want) {
        assert!(got.starts_with(want), "{got} is not {want}");
    }

    let root = tree(&[("top.png", "")]);
    let mut folder = root.path().to_path_buf();
    for _ in 0..400 {
        folder.push("d");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("x.png"), b"").unwrap();
    }
    let got = list(root.path(), &options(Modality::Image));
    // The root is one of the 256.
    assert_eq!(got.len(), 255 + 1 + 1);
    assert!(got.iter().any(|line| line.contains("! lies more than 256 folders deep")), "{:?}", got.last());
}

#[cfg(unix)]
#[test]
fn pipes_and_sockets_are_rejects() {
    let root = tree(&[("a.png", "")]);
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("b.png")).unwrap();
    assert_eq!(list(root.path(), &options(Modality::Image)), ["a.png|a.png|-", "b.png! not a regular file"]);
    assert!(failure(root.path().join("b.png"), &options(Modality::Image)).contains("not a regular file"));
}

#[test]
fn patterns_are_several_inputs() {
    let root = tree(&[
        ("x/1.png", ""),
        ("x/2.PNG", ""),
        ("x/.hidden.png", ""),
        ("x/3.heic", ""),
        ("x/notes.txt", ""),
        ("x/y/4.png", ""),
        ("t.csv", "path\nx/1.png\n"),
    ]);
    let at = |name: &str| root.path().join(name);
    let shown = root.path().to_str().unwrap();
    let image = options(Modality::Image);
    assert_eq!(list(at("x/?.png"), &image), [format!("{shown}/x/1.png|1.png|-")]);
    let got = list(at("*/*"), &image);
    assert_eq!(got[..2], [format!("{shown}/x/1.png|1.png|-"), format!("{shown}/x/2.PNG|2.PNG|-")]);
    assert!(got.len() == 3 && got[2].starts_with(&format!("{shown}/x/3.heic! this image format")), "{got:?}");
    assert_eq!(list(at("**/4.*"), &image), [format!("{shown}/x/y/4.png|4.png|-")]);
    assert_eq!(list(at("[t].csv"), &image), [format!("{shown}/t.csv/t.csv:2|1.png|-")]);
    for (pattern, reason) in [("x/*.bmp", "nothing matches"), ("x/*.txt", "none of the 1 matches"), ("x/[", "pattern")]
    {
        let error = failure(at(pattern), &image);
        assert!(error.contains(reason), "{error}");
    }
    let twice = try_list(&[at("x/*.png"), at("x/1.*")], &image).unwrap();
    assert_eq!(twice[1], format!("input:2! {shown}/x/1.png was given before"));
    assert!(failure(at("x/*.png"), &options(Modality::Text)).contains("reads texts"));
}

#[test]
fn columns_are_kept_in_the_order_asked_for() {
    let root = tree(&[
        ("t.csv", "a,text,b,label\n1,x,,l\n"),
        ("t.jsonl", "{\"text\": \"x\", \"b\": {\"c\": [1]}, \"label\": \"l\", \"a\": 1.50}\n"),
    ]);
    let with = keeping(Modality::Text, &["b", "a", "label"]);
    assert_eq!(list(root.path().join("t.csv"), &with), ["t.csv:2|x|l|-|1|l"]);
    assert_eq!(list(root.path().join("t.jsonl"), &with), ["t.jsonl:1|x|l|{\"c\":[1]}|1.5|l"]);
}

#[test]
fn the_extent_ends_at_the_whole() {
    let root = tree(&[("f/a.png", ""), ("f/b.png", ""), ("t.csv", "path\nf/a.png\n")]);
    let at = |name: &str| root.path().join(name);
    let end = |inputs: &[PathBuf]| {
        let mut source = open_all(inputs, &options(Modality::Image)).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        // Of folders it is counted in a thread, which ends with the list.
        while source.extent.fraction().is_none() && inputs.len() == 1 && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        source.list.by_ref().for_each(|listed| drop(listed.unwrap()));
        source.extent.fraction()
    };
    for input in [at("f"), at("t.csv"), at("f/*.png"), golden("images.parquet")] {
        assert_eq!(end(std::slice::from_ref(&input)), Some(1.0), "{}", input.display());
    }
    // What fills the last blocks of an archive is not read.
    assert!(end(&[golden("shard-000.tar")]).unwrap() > 0.2);
    assert_eq!(end(&[at("f"), at("t.csv")]), None);
}

#[test]
fn an_identity_tells_lists_apart() {
    let root = tree(&[("t.csv", "text\na\n"), ("u.csv", "text\na\n")]);
    let of = |name: &str, keep: &[&str]| identity(&[root.path().join(name)], &keeping(Modality::Text, keep)).unwrap();
    assert_eq!(of("t.csv", &[]), of("./t.csv", &[]));
    assert_ne!(of("t.csv", &[]), of("u.csv", &[]));
    assert_ne!(of("t.csv", &[]), of("t.csv", &["text"]));
    let archive = identity(&[golden("hostile.tar")], &options(Modality::Image)).unwrap();
    assert_eq!(archive.inputs[0].bytes, Some(20480));
    let json = serde_json::to_string(&archive).unwrap();
    assert_eq!(serde_json::from_str::<engraft::source::Identity>(&json).unwrap(), archive);
}

/// An archive of one image `a.png`, whose `.json` is given.
fn archive(path: &Path, json: &str) {
    let mut builder = tar::Builder::new(fs::File::create(path).unwrap());
    for (name, content) in [("a.png", "image"), ("a.json", json)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    builder.finish().unwrap();
}

#[test]
fn archives_have_the_same_ids_however_they_are_named() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("d")).unwrap();
    for i in 0..3 {
        archive(&at(&format!("d/s-{i}.tar")), "{}");
    }
    fs::write(at("d/notes.txt"), "x").unwrap();
    let image = options(Modality::Image);
    let ids = |inputs: &[&str]| -> Vec<String> {
        let inputs: Vec<PathBuf> = inputs.iter().map(|name| at(name)).collect();
        let lines = try_list(&inputs, &image).unwrap();
        lines.into_iter().map(|line| line.split('|').next().unwrap().to_owned()).collect()
    };
    let want = ["s-0.tar/a", "s-1.tar/a", "s-2.tar/a"];
    assert_eq!(ids(&["d/s-0.tar"]), want[..1]);
    assert_eq!(ids(&["d/s-0.tar", "d/s-1.tar", "d/s-2.tar"]), want);
    assert_eq!(ids(&["d/s-*.tar"]), want);
    assert_eq!(ids(&["d/s-[0-2].*"]), want);
    assert_eq!(ids(&["d/s-{0..2}.tar"]), want);
    assert_eq!(ids(&["d/s-0.tar", "d/s-{1..2}.tar"]), want);
    // Beside another input, by the path as given.
    fs::write(at("x.png"), "").unwrap();
    let shown = root.path().to_str().unwrap();
    let mixed = [format!("{shown}/x.png"), format!("{shown}/d/s-0.tar/a"), format!("{shown}/d/s-1.tar/a")];
    assert_eq!(ids(&["x.png", "d/s-{0..1}.tar"]), mixed);
    let twice = try_list(&[at("d/s-0.tar"), at("d/s-*.tar")], &image).unwrap_err().to_string();
    assert!(twice.contains("s-0.tar is named twice"), "{twice}");
}

#[test]
fn columns_that_cannot_be_kept_are_refused() {
    let binary = failure(golden("binary.parquet"), &{
        let mut with = keeping(Modality::Image, &["png"]);
        with.table.path_column = Some("file".to_owned());
        with
    });
    assert!(binary.contains("the column `png`") && binary.contains("is Binary, expected a text"), "{binary}");

    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    archive(&at("s-0.tar"), "{\"note\": null, \"size\": 1}");
    archive(&at("s-1.tar"), "{}");
    let of = |name: &str, keep: &[&str]| try_list(&[at(name)], &keeping(Modality::Image, keep));
    assert_eq!(of("s-{0..1}.tar", &["note", "size"]).unwrap(), ["s-0.tar/a|<image>|-|-|1", "s-1.tar/a|<image>|-|-|-"]);
    for name in ["s-0.tar", "s-{0..1}.tar"] {
        let error = of(name, &["size", "nope"]).unwrap_err();
        assert!(matches!(&error, engraft::Error::Usage(s) if s.contains("no sample of s-0.tar")), "{error}");
    }
}

#[test]
fn images_that_metadata_leaves_out_are_counted_and_none_is_taken_from_elsewhere() {
    let table = "file_name,label\n./a.png,cat\nsub/../b.png,dog\n../out.png,cat\n/etc/x.png,cat\n";
    let root = tree(&[
        ("f/a.png", ""),
        ("f/b.png", ""),
        ("f/c.png", ""),
        ("f/sub/d.heic", ""),
        ("f/notes.txt", ""),
        ("f/metadata.csv", table),
        ("out.png", ""),
        ("g/train/metadata.jsonl", "{\"file_name\": \"1.png\"}"),
        ("g/train/1.png", ""),
        ("g/train/2.png", ""),
        ("g/wild/3.png", ""),
    ]);
    let counted = |name: &str| {
        let source = open_all(&[root.path().join(name)], &options(Modality::Image)).unwrap();
        assert_eq!(source.extent.left_out(), 0);
        source.list.for_each(|listed| drop(listed.unwrap()));
        source.extent.left_out()
    };
    assert_eq!(counted("f"), 2);
    assert_eq!(counted("g"), 1);
    assert_eq!(counted("f/sub/../../g/wild"), 0);
    let got = list(root.path().join("f"), &options(Modality::Image));
    let want = [
        "./a.png|a.png|cat",
        "sub/../b.png|b.png|dog",
        "../out.png! the path leads out of the table's folder",
        "/etc/x.png! the path leads out of the table's folder",
    ];
    assert_eq!(got, want);
}

#[test]
fn a_column_called_id_holds_the_ids() {
    let root = tree(&[
        ("t.csv", "id,text\nx,a\ny,b\nx,c\n"),
        ("t.jsonl", "{\"id\": 7, \"text\": 5}\n{\"id\": \"b\", \"text\": true}\n"),
        ("u.csv", "id,key,text\nx,k,a\n"),
    ]);
    let text = options(Modality::Text);
    assert_eq!(
        list(root.path().join("t.csv"), &text),
        ["x|a|-", "y|b|-", "t.csv:4! the id x is used by an earlier row"]
    );
    // Numbers and booleans are taken as their text.
    assert_eq!(list(root.path().join("t.jsonl"), &text), ["7|5|-", "b|true|-"]);
    let mut named = text;
    named.table.id_column = Some("key".to_owned());
    assert_eq!(list(root.path().join("u.csv"), &named), ["k|a|-"]);
}

#[test]
fn what_is_wrongly_named_is_wrong_usage() {
    let root = tree(&[("t.csv", "text,stars\nx,1\n")]);
    let usage = |name: &str, change: fn(&mut SourceOptions), words: &str| {
        let mut text = options(Modality::Text);
        change(&mut text);
        let error = try_list(&[root.path().join(name)], &text).unwrap_err();
        assert!(matches!(&error, engraft::Error::Usage(s) if s.contains(words)), "{error:?}");
    };
    usage("absent.csv", |_| {}, "there is no input");
    usage("s-{0..1}.tar", |_| {}, "there is no input");
    usage("*.json", |_| {}, "nothing matches");
    usage("t.csv", |o| o.table.label_column = Some("star".into()), "no column `star`");
    usage("t.csv", |o| o.keep = vec!["star".into()], "no column `star`");
    usage("t.csv", |o| o.separator = Separator::Nul, "-0 has no effect");
    usage("t.csv", |o| o.table.path_column = Some("text".into()), "--path-column has no effect");
}
