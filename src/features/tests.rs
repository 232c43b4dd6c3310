use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{Array2, array};
use proptest::prelude::*;

use super::*;
use crate::backbone::{Output, Pooling, RunPrecision};
use crate::error::Error;
use crate::preprocess::{Preprocessing, TextSpec};

fn provenance(dimension: usize) -> Provenance {
    Provenance {
        backbone: "tiny".to_owned(),
        backbone_sha256: "00ff".to_owned(),
        tokenizer_sha256: None,
        preprocessing: Preprocessing::Text(TextSpec { max_length: 8 }),
        output: Output { tensor: "out".to_owned(), pooling: Pooling::Mean, normalize: true },
        dimension,
        provider: "cpu".to_owned(),
        precision: "f32".to_owned(),
        run_precision: RunPrecision::F32,
        engraft_version: "0".to_owned(),
        onnxruntime_version: "1".to_owned(),
    }
}

fn small() -> FeatureSet {
    FeatureSet {
        ids: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
        labels: vec![Some("y".to_owned()), None, Some("x".to_owned())],
        contents: vec![None, Some("d1".to_owned()), Some("d2".to_owned())],
        kept: Kept::new(),
        matrix: array![[1.0, 2.0], [3.0, 4.0], [5.0, f32::MIN_POSITIVE]],
        provenance: Some(provenance(2)),
    }
}

const NAMES: [&str; 3] = ["set.parquet", "set.npy", "set.safetensors"];

fn header(dimension: usize, provenance: Option<Provenance>) -> Header {
    Header { dimension, precision: Precision::F32, kept: Vec::new(), provenance }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/features").join(name)
}

/// Every file below `folder`, relative, sorted.
fn files(folder: &Path) -> Vec<String> {
    let files = walkdir::WalkDir::new(folder).min_depth(1).sort_by_file_name().into_iter();
    files.map(|e| e.unwrap().path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned()).collect()
}

fn sets() -> impl Strategy<Value = FeatureSet> {
    let text = || proptest::option::of(proptest::string::string_regex("\\PC{0,6}").unwrap());
    (0..12_usize, 1..9_usize, any::<bool>()).prop_flat_map(move |(n, d, known)| {
        let ids = prop::collection::hash_set("[\\PC\n\"]{0,6}", n).prop_map(Vec::from_iter);
        let texts = || prop::collection::vec(text(), n);
        let values = prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::INFINITE, n * d);
        let kept = prop::collection::btree_map("[\\PC]{0,4}_", texts(), 0..3);
        (ids, texts(), texts(), kept, values).prop_map(move |(ids, labels, contents, kept, values)| FeatureSet {
            ids,
            labels,
            contents,
            kept,
            matrix: Array2::from_shape_vec((n, d), values).unwrap(),
            // Without rows only the provenance of a Parquet file knows the length.
            provenance: (known || n == 0).then(|| provenance(d)),
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_format_gives_back_what_it_took(set in sets()) {
        let folder = tempfile::tempdir().unwrap();
        for name in NAMES {
            let path = folder.path().join(name.replace("set", &name.replace(['.', '/'], "-")));
            set.write(&path, Existing::Refuse).unwrap();
            let keep: Vec<String> = set.kept.keys().cloned().collect();
            let read = FeatureSet::read_keeping(&path, &keep).unwrap();
            prop_assert_eq!(&read, &set, "{}", name);
            let bare = FeatureSet { kept: Kept::new(), ..read };
            prop_assert_eq!(FeatureSet::read(&path).unwrap(), bare, "{}", name);
        }
    }
}

#[test]
fn what_others_wrote_is_read() {
    let matrix = Array2::from_shape_fn((3, 4), |(i, j)| (4 * i + j) as f32 / 4.0);
    let ids = ["a", "b/ü.png", "c 猫"];
    let labels = [Some("x"), None, Some("y")];
    let check = |name: &str, ids: [&str; 3], labels: [Option<&str>; 3]| {
        let set = FeatureSet::read(&golden(name)).unwrap();
        assert_eq!(set.matrix, matrix, "{name}");
        assert_eq!(set.ids, ids, "{name}");
        assert_eq!(set.labels.iter().map(Option::as_deref).collect::<Vec<_>>(), labels, "{name}");
        assert_eq!((set.contents, set.provenance), (vec![None; 3], None), "{name}");
    };
    let (numbers, unknown) = (["0", "1", "2"], [None; 3]);
    check("fixed.parquet", ids, labels);
    check("doubles.parquet", ids, labels);
    check("integers.parquet", ["10", "20", "30"], [Some("true"), None, Some("false")]);
    check("nameless.parquet", numbers, unknown);
    check("floats.npy", ids, labels);
    check("doubles.npy", numbers, unknown);
    check("zstd.parquet", ids, labels);
    check("halves.parquet", ids, labels);
    check("halves.npy", numbers, unknown);
    check("halves.safetensors", numbers, unknown);
    check("single.safetensors", numbers, unknown);
    check("double.safetensors", numbers, unknown);
    assert!(FeatureSet::read(&golden("empty.parquet")).unwrap().is_empty());
}

#[test]
fn what_is_no_feature_set_is_an_error() {
    let bad = golden("bad");
    let names = files(&bad);
    assert_eq!(names.len(), 16);
    for name in names {
        let error = FeatureSet::read(&bad.join(&name)).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{name}: {error:?}");
    }
    assert!(matches!(FeatureSet::read(Path::new("absent.npy")), Err(Error::Io { .. })));
    assert!(matches!(FeatureSet::read(tempfile::tempdir().unwrap().path()), Err(Error::Data(_))));
}

#[test]
fn truncated_and_damaged_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    small().write(&folder.path().join("small.parquet"), Existing::Refuse).unwrap();
    let ours = folder.path().join("small.parquet");
    let sources = ["fixed.parquet", "doubles.npy", "single.safetensors"].map(golden);
    for source in sources.iter().chain([&ours]) {
        let bytes = fs::read(source).unwrap();
        let path = folder.path().join("damaged").with_extension(source.extension().unwrap());
        for length in (0..bytes.len()).step_by(11) {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(FeatureSet::read(&path).is_err(), "{} cut to {length} bytes", source.display());
        }
        for position in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1 << (position % 8);
            fs::write(&path, &damaged).unwrap();
            // Another value may be read, or an error given: either is fine, a panic is not.
            let _ = FeatureSet::read(&path);
        }
    }
}

#[test]
fn headers_that_lie_allocate_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        match FeatureSet::read(&path) {
            Err(Error::Malformed { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    };
    let npy = |shape: &str| {
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", (text.len() as u16).to_le_bytes().as_slice(), text.as_bytes(), &[0; 16]].concat()
    };
    for shape in ["(1000000000000, 384)", "(4294967296, 4294967296)", "(18446744073709551615, 2)", "(1, 3)", "(1, 5)"] {
        let reason = read("lie.npy", &npy(shape));
        assert!(reason.contains("but the values have 16 bytes"), "{shape}: {reason}");
    }
    assert!(read("lie.npy", &npy("(18446744073709551615, 0)")).contains("length 0"));
    assert!(read("lie.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff").contains("4294967295 bytes"));

    let safetensors = |header: &str| [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 16]].concat();
    for (shape, offsets) in [
        ("[2,2]", "[0,1000000000000]"),
        ("[2,2]", "[4,20]"),
        ("[2,2]", "[16,0]"),
        ("[2,2]", "[0,8]"),
        ("[1000000000000,2]", "[0,8000000000000]"),
        ("[4294967296,4294967296]", "[0,16]"),
        ("[4611686018427387904,0]", "[0,0]"),
        ("[4]", "[0,16]"),
        ("[-2,-2]", "[0,16]"),
    ] {
        let header = format!(r#"{{"embedding":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#);
        read("lie.safetensors", &safetensors(&header));
    }
    assert!(read("lie.safetensors", &u64::MAX.to_le_bytes()).contains("header of 18446744073709551615 bytes"));
    assert!(read("lie.safetensors", &5_000_000_u64.to_le_bytes()).contains("ends within"));
}

#[test]
fn an_output_that_is_there_is_kept_unless_it_is_to_be_replaced() {
    for name in NAMES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        small().write(&path, Existing::Refuse).unwrap();
        assert!(matches!(small().write(&path, Existing::Refuse), Err(Error::Exists(_))), "{name}");
        let other = FeatureSet { provenance: None, ..small().select(&[2, 0]) };
        other.write(&path, Existing::Replace).unwrap();
        assert_eq!(FeatureSet::read(&path).unwrap(), other, "{name}");
    }
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing_and_harms_nothing() {
    for (name, format) in NAMES.into_iter().zip([Format::Parquet, Format::Npy, Format::Safetensors]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let begin = |existing| {
            let mut writer = create(&path, format, &header(2, None), existing).unwrap();
            let FeatureSet { ids, labels, contents, matrix, .. } = small();
            writer.append(&Rows { ids, labels, contents, kept: Vec::new(), matrix }).unwrap();
            assert!(Format::detect(&path).is_none() || existing == Existing::Replace, "{name} is there too early");
            writer
        };
        drop(begin(Existing::Refuse));
        assert_eq!(files(folder.path()), Vec::<String>::new(), "{name}");
        small().write(&path, Existing::Refuse).unwrap();
        drop(begin(Existing::Replace));
        assert_eq!(FeatureSet::read(&path).unwrap(), small(), "{name}");
    }
}

#[test]
fn files_that_are_not_ours_are_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("reviews.jsonl"), "{\"id\": \"1\", \"text\": \"fine\"}\n").unwrap();
    assert!(matches!(small().write(&path("reviews.npy"), Existing::Replace), Err(Error::Usage(_))));
    // --overwrite would not help, and is not told of.
    assert!(matches!(small().write(&path("reviews.npy"), Existing::Refuse), Err(Error::Usage(_))));

    small().write(&path("set.npy"), Existing::Refuse).unwrap();
    for existing in [Existing::Refuse, Existing::Replace] {
        let refused = small().write(&path("set.safetensors"), existing);
        assert!(matches!(refused, Err(Error::Usage(s)) if s.contains("differs before the extension")));
    }
    small().write(&path("set-2.safetensors"), Existing::Refuse).unwrap();

    fs::write(path("other.provenance.json"), "{\"mine\": true}").unwrap();
    assert!(matches!(small().write(&path("other.npy"), Existing::Replace), Err(Error::Usage(_))));
    small().write(&path("set.npy"), Existing::Replace).unwrap();

    assert!(matches!(small().write(folder.path(), Existing::Replace), Err(Error::Usage(_))));
    assert_eq!(FeatureSet::read(&path("set.npy")).unwrap(), small());
}

#[test]
fn what_comes_to_be_there_while_a_set_is_written_stays() {
    for name in ["a.parquet", "b.npy", "c.safetensors"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let format = Format::from_path(&path).unwrap();
        let mut writer = create(&path, format, &header(2, None), Existing::Refuse).unwrap();
        let FeatureSet { ids, labels, contents, matrix, .. } = small();
        writer.append(&Rows { ids, labels, contents, kept: Vec::new(), matrix }).unwrap();
        fs::write(&path, "another's").unwrap();
        assert!(matches!(writer.finish(), Err(Error::Exists(_))), "{name}");
        assert_eq!(fs::read(&path).unwrap(), b"another's", "{name}");
        assert_eq!(files(folder.path()), [name]);
    }
}

#[test]
fn half_precision_and_kept_columns_are_stored() {
    let folder = tempfile::tempdir().unwrap();
    let set = FeatureSet {
        matrix: array![[1.0, -65504.0], [0.5, 6e-8], [0.0, f32::INFINITY]],
        provenance: Some(Provenance { precision: "f16".to_owned(), ..provenance(2) }),
        ..small()
    };
    let exact = FeatureSet { matrix: set.matrix.mapv(|v| half::f16::from_f32(v).to_f32()), ..set.clone() };
    assert_ne!(exact.matrix, set.matrix);
    for name in NAMES {
        let path = folder.path().join(name.replace("set", &name.replace(['.', '/'], "-")));
        set.write(&path, Existing::Refuse).unwrap();
        assert_eq!(FeatureSet::read(&path).unwrap(), exact, "{name}");
        let mut beyond = set.clone();
        beyond.matrix[[1, 0]] = 65520.0;
        assert!(matches!(beyond.write(&path, Existing::Replace), Err(Error::Data(s)) if s.contains("of b is beyond")));
    }
    let kept = vec!["note".to_owned(), "stars".to_owned()];
    let header = Header { kept: kept.clone(), ..header(2, None) };
    let FeatureSet { ids, labels, contents, matrix, .. } = small();
    let contents = contents.into_iter().map(|_| Some("0".repeat(32))).collect();
    let text = |value: &str| Some(value.to_owned());
    let rows = Rows { ids, labels, contents, kept: vec![vec![text("n"), None, text("m")], vec![text("5"); 3]], matrix };
    for (name, format) in [("kept.parquet", Format::Parquet), ("kept.npy", Format::Npy)] {
        // The second time what is there is known as ours.
        for existing in [Existing::Refuse, Existing::Replace] {
            let mut writer = create(&folder.path().join(name), format, &header, existing).unwrap();
            assert!(matches!(writer.append(&Rows { kept: Vec::new(), ..rows.clone() }), Err(Error::Mismatch { .. })));
            writer.append(&rows).unwrap();
            writer.finish().unwrap();
        }
        let read = FeatureSet::read_keeping(&folder.path().join(name), &kept[1..]).unwrap();
        assert_eq!((read.ids, read.kept), (rows.ids.clone(), Kept::from([(kept[1].clone(), rows.kept[1].clone())])));
    }
    let lines = fs::read_to_string(folder.path().join("kept.jsonl")).unwrap();
    assert!(lines.lines().next().unwrap().ends_with(r#","note":"n","stars":"5"}"#), "{lines}");
    for names in [&["id"][..], &["embedding"], &["a", "a"]] {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert!(matches!(check_kept(&names), Err(Error::Usage(_))));
    }
}

#[test]
fn kept_columns_travel_with_their_rows_and_missing_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let site = |values: [&str; 3]| values.map(|v| Some(v.to_owned())).to_vec();
    let set = FeatureSet { kept: Kept::from([("site".to_owned(), site(["p", "q", "r"]))]), ..small() };
    let more = FeatureSet { ids: vec!["d".to_owned(), "e".to_owned(), "f".to_owned()], ..set.clone() };
    let both = FeatureSet::concat(vec![set.clone(), more]).unwrap();
    assert_eq!(both.select(&[4, 0, 2]).kept["site"], site(["q", "p", "r"]));
    let bare = FeatureSet { ids: vec!["d".to_owned(), "e".to_owned(), "f".to_owned()], ..small() };
    let error = FeatureSet::concat(vec![set.clone(), bare]).unwrap_err();
    assert!(matches!(&error, Error::Mismatch { what, .. } if what == "the kept columns"), "{error}");
    let keep = |name: &str| [name.to_owned()];
    for name in NAMES {
        let path = folder.path().join(name.replace("set", &name.replace(['.', '/'], "-")));
        set.write(&path, Existing::Refuse).unwrap();
        for (column, says) in
            [("place", "no column `place`; it has `site`"), ("label", "features have one of this name")]
        {
            let error = FeatureSet::read_keeping(&path, &keep(column)).unwrap_err();
            assert!(matches!(&error, Error::Usage(text) if text.contains(says)), "{name}: {error}");
        }
    }
    let alone = folder.path().join("alone.npy");
    small().write(&alone, Existing::Refuse).unwrap();
    fs::remove_file(alone.with_extension("jsonl")).unwrap();
    let error = FeatureSet::read_keeping(&alone, &keep("site")).unwrap_err();
    assert!(matches!(&error, Error::Usage(text) if text.contains("nor any other")), "{error}");
    // Lines of others: numbers are texts, what is missing is unknown, a list is no value.
    let lines = |third: &str| {
        let lines = format!("{{\"id\":1,\"site\":7}}\n{{\"id\":2}}\n{{\"id\":3,\"site\":{third}}}\n");
        fs::write(alone.with_extension("jsonl"), lines).unwrap();
        FeatureSet::read_keeping(&alone, &keep("site"))
    };
    assert_eq!(lines("true").unwrap().kept["site"], [Some("7".to_owned()), None, Some("true".to_owned())]);
    assert!(matches!(lines("[1]"), Err(Error::Malformed { reason, .. }) if reason.contains("line 3 has a `site`")));
}

#[test]
fn rows_of_another_shape_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.parquet");
    let mut writer = create(&path, Format::Parquet, &header(3, None), Existing::Refuse).unwrap();
    let FeatureSet { ids, labels, contents, matrix, .. } = small();
    let rows = Rows { ids, labels, contents, kept: Vec::new(), matrix };
    assert!(matches!(writer.append(&rows), Err(Error::Mismatch { .. })));
    let few = Rows { ids: vec![], matrix: Array2::zeros((3, 3)), ..rows };
    assert!(matches!(writer.append(&few), Err(Error::Mismatch { .. })));
    let wrong = create(&path, Format::Parquet, &header(3, Some(provenance(4))), Existing::Refuse).map(|_| ());
    assert!(matches!(wrong, Err(Error::Mismatch { .. })));
    assert!(create(&path, Format::Parquet, &header(0, None), Existing::Refuse).is_err());
}

#[test]
fn shards_of_different_making_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, id: &str, provenance| {
        let set = FeatureSet { ids: vec![id.to_owned()], provenance, ..small().select(&[0]) };
        set.write(&folder.path().join(name), Existing::Replace).unwrap();
    };
    write("1.parquet", "a", Some(provenance(2)));
    write("2.parquet", "b", Some(Provenance { provider: "cuda".to_owned(), ..provenance(2) }));
    assert_eq!(FeatureSet::read(folder.path()).unwrap().ids, ["a", "b"]);
    let output = Output { pooling: Pooling::Gap, ..provenance(2).output };
    let other = Provenance { backbone: "other".to_owned(), backbone_sha256: "11".to_owned(), output, ..provenance(2) };
    write("2.parquet", "b", Some(other));
    for said in [FeatureSet::read(folder.path()).unwrap_err(), Survey::of(folder.path(), &()).unwrap_err()] {
        assert!(matches!(said, Error::Mismatch { .. }));
        let said = said.to_string();
        let pooling = |p: Pooling| format!("output.pooling {}", serde_json::to_string(&p).unwrap());
        let words = ["up to", "2.parquet", "backbone \"other\"", "backbone_sha256 \"11\"", &pooling(Pooling::Gap)];
        for words in words.into_iter().chain([&*pooling(provenance(2).output.pooling)]) {
            assert!(said.contains(words), "{words} is not in: {said}");
        }
        assert!(!said.contains("preprocessing") && !said.contains("tensor"), "{said}");
    }
    write("2.parquet", "b", None);
    assert!(matches!(FeatureSet::read(folder.path()), Err(Error::Mismatch { .. })));
    write("2.parquet", "a", Some(provenance(2)));
    assert!(matches!(FeatureSet::read(folder.path()), Err(Error::Malformed { .. })));
}

#[test]
fn shards_of_several_precisions_are_told_and_read_as_the_wider() {
    let folder = tempfile::tempdir().unwrap();
    for (name, id, precision) in [("1.parquet", "a", "f16"), ("2.parquet", "b", "f32")] {
        let provenance = Some(Provenance { precision: precision.to_owned(), ..provenance(2) });
        let set = FeatureSet { ids: vec![id.to_owned()], provenance, ..small().select(&[0]) };
        set.write(&folder.path().join(name), Existing::Refuse).unwrap();
    }
    let survey = Survey::of(folder.path(), &()).unwrap();
    assert_eq!(survey.precisions.into_iter().collect::<Vec<_>>(), ["f16", "f32"]);
    assert_eq!(survey.provenance.unwrap().precision, "f32");
    // Written again, no value loses bits.
    let read = |name: &str| FeatureSet::read(&folder.path().join(name)).unwrap();
    let both = FeatureSet::concat(vec![read("1.parquet"), read("2.parquet")]).unwrap();
    for set in [FeatureSet::read(folder.path()).unwrap(), both] {
        assert_eq!(set.provenance.unwrap().precision, "f32");
    }
}

#[test]
fn shards_without_a_journal_that_cannot_be_read_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    small().write(&folder.path().join("1.parquet"), Existing::Refuse).unwrap();
    fs::write(folder.path().join("2.parquet"), "torn").unwrap();
    let survey = Survey::of(folder.path(), &()).unwrap();
    assert_eq!((survey.rows, survey.files, survey.damaged.len()), (small().len() as u64, 1, 1));
    assert_eq!(survey.damaged[0].shard, "2.parquet");
    assert!(FeatureSet::read(folder.path()).is_err());
}

#[test]
fn a_sidecar_must_have_a_line_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.npy");
    small().write(&path, Existing::Refuse).unwrap();
    let sidecar = folder.path().join("set.jsonl");
    for text in ["{\"id\":\"a\"}\n", "{\"id\":\"a\"}\n{\"id\":\"b\"}\n{}\n", "no json\n"] {
        fs::write(&sidecar, text).unwrap();
        let error = FeatureSet::read(&path).unwrap_err();
        assert!(matches!(&error, Error::Malformed { path, .. } if *path == sidecar), "{error:?}");
    }
    fs::write(&sidecar, "{\"id\":1,\"label\":2}\n{\"id\":\"b\",\"label\":true}\n{\"id\":\"c\"}").unwrap();
    let set = FeatureSet::read(&path).unwrap();
    assert_eq!(set.ids, ["1", "b", "c"]);
    assert_eq!(set.labels, [Some("2".to_owned()), Some("true".to_owned()), None]);
}

#[test]
fn classes_are_sorted_and_indexed() {
    let set = small();
    assert_eq!(set.class_names(), ["x", "y"]);
    assert!(matches!(set.class_indices(&set.class_names()), Err(Error::Data(s)) if s.contains("b has no label")));
    let labelled = set.select(&[2, 0, 2]);
    assert_eq!(labelled.class_indices(&set.class_names()).unwrap(), [0, 1, 0]);
    assert_eq!((labelled.ids[1].as_str(), labelled.matrix.row(1)), ("a", set.matrix.row(0)));
    assert!(matches!(labelled.class_indices(&["x".to_owned()]), Err(Error::Data(s)) if s.contains("`y`")));
}
