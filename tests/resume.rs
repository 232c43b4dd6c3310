//! Never lose a row: whatever ends a run into a folder, the same command finishes it, and the set is that of an
//! undisturbed run.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use engraft::features::{FeatureSet, Provenance};
use serde_json::Value;
use support::{home, process, says, sorted, stderr, tiny_backbone, tiny_images};

/// Entries of a shard in these tests.
const SHARD: usize = 64;

/// A table of images, some of which cannot be read or decoded, and a backbone that costs nothing.
struct Data {
    folder: tempfile::TempDir,
    table: PathBuf,
    backbone: Vec<String>,
}

/// The row of an id: every 97th image is missing, every 101st broken.
fn row(n: usize) -> String {
    let image = match n {
        _ if n % 97 == 96 => "missing".to_owned(),
        _ if n % 101 == 100 => "broken".to_owned(),
        _ => format!("{:03}", n % 40),
    };
    format!("id-{n:06},{image}.png,{}", n % 3)
}

impl Data {
    fn new(rows: usize) -> Self {
        let folder = tempfile::Builder::new().prefix("resume").tempdir().unwrap();
        tiny_images(folder.path(), 40);
        std::fs::write(folder.path().join("broken.png"), "no image").unwrap();
        let (table, backbone) = (folder.path().join("t.csv"), tiny_backbone(folder.path()));
        let data = Self { folder, table, backbone };
        data.list(0..rows);
        data
    }

    fn list(&self, rows: impl IntoIterator<Item = usize>) {
        let rows: Vec<String> = rows.into_iter().map(row).collect();
        std::fs::write(&self.table, format!("id,path,label\n{}\n", rows.join("\n"))).unwrap();
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments(&self, out: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["embed".into(), self.table.clone().into(), "-o".into()];
        let mut folder = out.as_os_str().to_owned();
        folder.push("/");
        arguments.push(folder);
        arguments.extend(self.backbone.iter().map(OsString::from));
        arguments.extend(["--id-column=id".into(), format!("--shard-entries={SHARD}").into(), "--batch-size=8".into()]);
        arguments
    }

    fn process(&self, out: &Path) -> Process {
        let mut command = process(home().path());
        command.args(self.arguments(out)).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn embed(&self, out: &Path) -> Command {
        Command::from_std(self.process(out))
    }

    /// Runs to the end; some inputs are rejects.
    fn finish(&self, out: &Path) -> String {
        stderr(self.embed(out).assert().code(3))
    }

    fn summary(&self, out: &Path) -> Value {
        let output = self.embed(out).arg("--json").assert().code(3).get_output().clone();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// An undisturbed run.
    fn undisturbed(&self) -> (FeatureSet, Vec<Value>) {
        let out = self.out("undisturbed");
        self.finish(&out);
        contents(&out)
    }
}

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// The features and the rejects, by id; where one shard ended and the next began, nobody need know.
fn contents(out: &Path) -> (FeatureSet, Vec<Value>) {
    let mut rejects = lines(&out.join("rejects.jsonl"));
    for reject in &mut rejects {
        reject.as_object_mut().unwrap().remove("part").unwrap();
    }
    rejects.sort_by_key(|reject| reject["id"].as_str().unwrap().to_owned());
    (FeatureSet::read(out).unwrap(), rejects)
}

/// Whole lines of the journal.
fn journaled(out: &Path) -> usize {
    std::fs::read(out.join("journal.jsonl")).map_or(0, |text| text.iter().filter(|&&b| b == b'\n').count())
}

/// Waits until a run has journaled so many lines.
fn wait_for(out: &Path, lines: usize) {
    let begun = Instant::now();
    while journaled(out) < lines {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is journaled");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn signal(child: &Child, name: &str) {
    Command::new("kill").args([name, &child.id().to_string()]).assert().success();
}

fn is_shard(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet")
}

fn check_complete(out: &Path, want: &(FeatureSet, Vec<Value>), when: &str) {
    let got = contents(out);
    let sizes = |of: &(FeatureSet, Vec<Value>)| (of.0.len(), of.1.len());
    assert_eq!(sizes(&got), sizes(want), "{when}");
    assert!(got.0 == want.0, "the rows differ {when}");
    assert!(got.1 == want.1, "the rejects differ {when}");
    let journal = lines(&out.join("journal.jsonl"));
    assert_eq!(journal.last().unwrap()["finished"]["rows"], want.0.len());
    // Nothing lies about: the shards, the journal and the rejects.
    let mut shards: BTreeMap<u64, (u64, Option<&str>)> = BTreeMap::new();
    for line in journal.iter().filter(|line| line["entries"].is_object()) {
        let entry = |side: &str| line["entries"][side].as_u64().unwrap();
        shards.retain(|first, (end, _)| *end <= entry("start") || *first >= entry("end"));
        shards.insert(entry("start"), (entry("end"), line["file"].as_str()));
    }
    let mut names: Vec<String> = shards.values().filter_map(|(_, file)| file.map(str::to_owned)).collect();
    names.extend(["journal.jsonl".to_owned(), "rejects.jsonl".to_owned()]);
    names.sort();
    let there: Vec<String> =
        sorted(out).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(there, names, "{when}");
}

#[test]
fn killed_fifty_times_the_set_is_that_of_an_undisturbed_run() {
    let data = Data::new(6000);
    let begun = Instant::now();
    let mut first = data.process(&data.out("first")).spawn().unwrap();
    wait_for(&data.out("first"), 2);
    // How long it takes on this machine, just now, until there is something to lose.
    let start = begun.elapsed();
    first.kill().unwrap();
    first.wait().unwrap();
    let want = data.undisturbed();
    assert_eq!(want.0.len() + want.1.len(), 6000);

    let mut random = fastrand::Rng::with_seed(3);
    let (mut kills, mut in_the_middle) = (0, 0);
    for round in 0.. {
        let out = data.out(&format!("killed-{round}"));
        loop {
            let longest = (start + Duration::from_millis(150)).as_micros() as u64;
            let mut child = data.process(&out).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(random.u64(20_000..longest.max(300_000))));
            let before = journaled(&out);
            let _ = child.kill();
            match child.wait().unwrap().signal() {
                Some(9) => kills += 1,
                _ => break,
            }
            in_the_middle += usize::from(before > 1);
            if kills == 50 {
                data.finish(&out);
                break;
            }
        }
        check_complete(&out, &want, &format!("after {kills} kills"));
        if kills >= 50 {
            break;
        }
    }
    println!("{kills} kills, {in_the_middle} of them after something was journaled");
    assert!(in_the_middle >= 10, "{in_the_middle}");
}

#[test]
fn what_was_computed_before_ctrl_c_is_kept() {
    let data = Data::new(6000);
    let out = data.out("interrupted");
    let trace = data.out("trace.json");
    let child = data.process(&out).arg("--json").arg("--trace").arg(&trace).spawn().unwrap();
    wait_for(&out, 4);
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("the same command continues") && !said.contains("panicked"), "{said}");
    serde_json::from_slice::<Vec<Value>>(&std::fs::read(&trace).unwrap()).unwrap();
    let kept = FeatureSet::read(&out).unwrap().len();
    assert!(said.contains(&format!(": {kept} rows;")), "{kept}: {said}");
    let stopped: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&stopped["interrupted"], &stopped["rows"]), (&true.into(), &kept.into()), "{stopped}");
    assert_eq!((&stopped["provider"], &stopped["dimension"]), (&"cpu".into(), &3.into()), "{stopped}");
    assert_eq!(stopped["rejects"], lines(&out.join("rejects.jsonl")).len(), "{stopped}");
    let inspected = support::json(support::engraft().arg("inspect").arg(&out));
    assert_eq!((&inspected["run"]["finished"], &inspected["rows"]), (&false.into(), &kept.into()));

    let summary = data.summary(&out);
    let want = data.undisturbed();
    assert_eq!((&summary["resumed_rows"], &summary["rows"]), (&kept.into(), &want.0.len().into()), "{summary}");
    assert_eq!((&summary["rejects"], &summary["dimension"]), (&want.1.len().into(), &3.into()));
    assert_eq!(summary["interrupted"], false);
    assert!(summary["rows_per_second"].as_f64().unwrap() > 0.0 && summary["limited_by"].is_string(), "{summary}");
    check_complete(&out, &want, "after Ctrl-C");

    // Finished is finished: the same numbers and the same exit code, and nothing is written.
    let journal = std::fs::read(out.join("journal.jsonl")).unwrap();
    let again = data.summary(&out);
    assert_eq!((&again["rows"], &again["rejects"]), (&summary["rows"], &summary["rejects"]));
    assert_eq!(again["resumed_rows"], again["rows"]);
    assert_eq!(again["provider"], "cpu", "{again}");
    for unmeasured in ["rows_per_second", "limited_by", "batch_size", "stages"] {
        assert_eq!(again.get(unmeasured), Some(&Value::Null), "{unmeasured}: {again}");
    }
    assert!(data.finish(&out).contains("all of it was there before"));
    assert_eq!(std::fs::read(out.join("journal.jsonl")).unwrap(), journal);
}

#[test]
fn mended_inputs_are_embedded_when_rejects_are_tried_again() {
    let data = Data::new(6000);
    let out = data.out("retried");
    data.finish(&out);
    let before = contents(&out);
    // Without the flag they stay.
    std::fs::copy(data.out("000.png"), data.out("broken.png")).unwrap();
    assert!(data.finish(&out).contains("all of it was there before"));
    let retry = || {
        let mut process = data.process(&out);
        process.arg("--retry-rejects");
        process
    };
    let want = data.undisturbed();
    assert!(want.0.len() > before.0.len() && !want.1.is_empty());
    // Killed on the way, it loses nothing, and what it has gained stays.
    let mut random = fastrand::Rng::with_seed(5);
    let (mut kills, mut rows) = (0, before.0.len());
    for _ in 0..12 {
        let mut child = retry().spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.u64(5..150)));
        let _ = child.kill();
        if child.wait().unwrap().signal() != Some(9) {
            break;
        }
        kills += 1;
        let got = FeatureSet::read(&out).unwrap();
        let of_got = |id: &String| got.ids.contains(id);
        assert!(before.0.ids.iter().all(of_got) && got.len() >= rows, "after {kills} kills");
        let known: Vec<usize> = (0..want.0.len()).filter(|row| of_got(&want.0.ids[*row])).collect();
        assert!(got == want.0.select(&known), "after {kills} kills");
        rows = got.len();
    }
    assert!(kills > 0);
    let said = stderr(Command::from_std(retry()).assert().code(3));
    assert!(said.contains("are embedded again"), "{said}");
    check_complete(&out, &want, "after rejects were tried again");

    // Nothing is gained: no file is written again.
    let modified =
        || sorted(&out).iter().map(|path| std::fs::metadata(path).unwrap().modified().unwrap()).collect::<Vec<_>>();
    let was = modified();
    Command::from_std(retry()).assert().code(3);
    assert_eq!(modified(), was);
    check_complete(&out, &want, "after rejects were tried in vain");
    // Other inputs than were embedded, in the shards of rejects alone and in all.
    std::fs::copy(data.out("001.png"), data.out("missing.png")).unwrap();
    data.list((0..96).chain(97..6001));
    says(&mut Command::from_std(retry()), 1, &["cannot be continued", "was \"id-000096\""]);
    assert!(contents(&out) == want);
    data.list(0..5990);
    says(&mut Command::from_std(retry()), 1, &["cannot be continued", "inputs have vanished"]);
    assert!(FeatureSet::read(&out).unwrap().len() > want.0.len(), "what was complete before that is kept");
    data.list(0..6000);
    Command::from_std(retry()).assert().success();
    assert_eq!(FeatureSet::read(&out).unwrap().len(), 6000);

    says(data.embed(&out).args(["--retry-rejects", "--overwrite"]), 2, &["cannot be used with"]);
    let mut file = data.arguments(&out);
    file[3] = data.out("file.parquet").into();
    says(Command::from_std(process(home().path())).args(&file).arg("--retry-rejects"), 2, &["--overwrite"]);
}

#[test]
fn no_file_is_lost_to_a_trace_or_to_rejects() {
    let data = Data::new(200);
    let trace = data.out("trace.json");
    let events = || serde_json::from_slice::<Vec<Value>>(&std::fs::read(&trace).unwrap()).unwrap().len();
    let with_trace = |out: &Path, trace: &Path| {
        let mut command = data.embed(out);
        command.arg("--trace").arg(trace);
        command
    };
    let out = data.out("traced");
    with_trace(&out, &trace).assert().code(3);
    let first = events();
    assert!(first > 10);
    // Nothing is left to do: the trace of what was done stays.
    with_trace(&out, &trace).assert().code(3);
    assert_eq!(events(), first);

    for file in
        [data.out("000.png"), data.table.clone(), out.join("journal.jsonl"), out.join("part-000000000000.parquet")]
    {
        let was = std::fs::read(&file).unwrap();
        says(&mut with_trace(&out, &file), 2, &["give another --trace"]);
        says(with_trace(&data.out("fresh"), &file).arg("--overwrite"), 2, &["give another --trace"]);
        assert_eq!(std::fs::read(&file).unwrap(), was);
    }
    let mut arguments = data.arguments(&out);
    let single = data.out("single.parquet");
    arguments[3] = single.clone().into();
    let command = || {
        let mut command = Command::from_std(process(home().path()));
        command.args(&arguments);
        command
    };
    says(command().arg("--trace").arg(&single), 2, &["give another --trace"]);
    says(&mut with_trace(&data.out("fresh"), &data.out("fresh/journal.jsonl")), 2, &["give another --trace"]);
    let rejects = data.out("single.parquet.rejects.jsonl");
    says(command().arg("--trace").arg(&rejects), 2, &["give another --trace"]);
    std::fs::write(&rejects, "dear diary\n").unwrap();
    says(&mut command(), 2, &["single.parquet.rejects.jsonl", "in the way"]);
    says(command().arg("--overwrite"), 2, &["in the way"]);
    assert_eq!(std::fs::read_to_string(&rejects).unwrap(), "dear diary\n");
    assert!(!single.exists());
    std::fs::remove_file(&rejects).unwrap();
    command().assert().code(3);
    command().arg("--overwrite").assert().code(3);
    assert_eq!(lines(&rejects).len(), 3);
}

#[test]
fn damaged_and_missing_shards_are_found_and_embedded_again() {
    let data = Data::new(1000);
    let out = data.out("damaged");
    data.finish(&out);
    let want = contents(&out);
    let shards: Vec<PathBuf> = sorted(&out).into_iter().filter(|path| is_shard(path)).collect();
    let mut bytes = std::fs::read(&shards[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&shards[1], &bytes).unwrap();
    std::fs::remove_file(&shards[3]).unwrap();
    std::fs::write(&shards[5], "").unwrap();
    // A list of rejects that lost its last line, and what a killed process left over.
    let rejects = std::fs::read_to_string(out.join("rejects.jsonl")).unwrap();
    std::fs::write(out.join("rejects.jsonl"), rejects.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n")
        .unwrap();
    std::fs::write(out.join(".engraft-abc.partial"), "torn").unwrap();
    std::fs::copy(&shards[0], out.join("part-000000000007.parquet")).unwrap();
    let inspect = || {
        let mut command = support::engraft();
        command.arg("inspect").arg(&out);
        command
    };
    let way_out = "3 shards damaged; run the same embed command again: only these stretches are made anew";
    says(&mut inspect(), 1, &[way_out]);
    let told = inspect().assert().code(1).get_output().stdout.clone();
    let told = String::from_utf8(told).unwrap();
    for words in ["damaged shard", "part-000000000064.parquet", "its content is not what was written", "it is missing"]
    {
        assert!(told.contains(words), "{words:?} is not in: {told}");
    }
    let report = inspect().arg("--json").assert().code(1).get_output().stdout.clone();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let found: Vec<&str> = report["damaged"].as_array().unwrap().iter().map(|d| d["shard"].as_str().unwrap()).collect();
    assert_eq!(found, ["part-000000000064.parquet", "part-000000000192.parquet", "part-000000000320.parquet"]);
    assert!(report["damaged"][2]["reason"].as_str().unwrap().contains("0 bytes"), "{report}");
    let sound = |shard: &PathBuf| FeatureSet::read(shard).unwrap().len();
    let rows: usize = shards.iter().enumerate().filter(|(i, _)| ![1, 3, 5].contains(i)).map(|(_, s)| sound(s)).sum();
    assert_eq!((&report["rows"], &report["files"]), (&rows.into(), &(shards.len() - 3).into()));
    let modified = |shard: &PathBuf| std::fs::metadata(shard).unwrap().modified().unwrap();
    let untouched = modified(&shards[2]);

    let said = data.finish(&out);
    for words in
        ["part-000000000064: its content", "part-000000000192: it is missing", "part-000000000320: it has 0 bytes"]
    {
        assert!(said.contains(words), "{words:?} is not in: {said}");
    }
    assert!(said.contains("of 1 reject there are 0 in rejects.jsonl"), "{said}");
    check_complete(&out, &want, "after damage");
    assert_eq!(modified(&shards[2]), untouched);
}

#[test]
fn a_torn_line_of_the_journal_is_cut_off() {
    let data = Data::new(500);
    let out = data.out("torn");
    data.finish(&out);
    let want = contents(&out);
    let journal = std::fs::read_to_string(out.join("journal.jsonl")).unwrap();
    let cut = journal.len() - journal.len() / 3;
    std::fs::write(out.join("journal.jsonl"), &journal[..cut]).unwrap();
    let summary = data.summary(&out);
    let resumed = summary["resumed_rows"].as_u64().unwrap();
    assert!(resumed > 0 && resumed < want.0.len() as u64, "{summary}");
    check_complete(&out, &want, "after a torn line");
}

#[test]
fn another_run_is_refused_and_nothing_is_lost_by_a_failing_start() {
    let data = Data::new(300);
    let out = data.out("taken");
    data.finish(&out);
    let before = contents(&out);
    let words = ["taken", "already exists", "precision was \"f32\", is now \"f16\"", "--overwrite"];
    says(data.embed(&out).args(["--precision", "f16"]), 2, &words);
    says(
        data.embed(&out).args(["--label-column", "path"]),
        2,
        &["source.columns.label_column was null, is now \"path\""],
    );
    // Without a backbone, and with one that cannot run.
    std::fs::write(data.out("bad.onnx"), "no model").unwrap();
    let mut bad = data.arguments(&out);
    bad.retain(|argument| !argument.to_str().unwrap().starts_with("--model="));
    bad.extend(["--overwrite".into(), "--model".into(), data.out("bad.onnx").into()]);
    says(Command::from_std(process(home().path())).args(&bad), 1, &["bad.onnx"]);
    assert_eq!(contents(&out), before);
    // And one that is killed before its first shard is complete.
    let mut killed = data.arguments(&out);
    killed.retain(for_stdin);
    killed[1] = "-".into();
    let mut child = process(home().path());
    child.args(&killed).arg("--overwrite").stdin(Stdio::piped()).stderr(Stdio::null());
    let mut child = child.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for n in 0..40 {
        writeln!(input, "{}", data.out(&format!("{n:03}.png")).display()).unwrap();
    }
    let partial = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().ends_with(".partial");
    let begun = Instant::now();
    while !sorted(&out).iter().any(partial) {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was written");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);
    assert_eq!(contents(&out), before);
    assert!(data.finish(&out).contains("all of it was there before"));
    assert!(!sorted(&out).iter().any(partial));
    // A table that ends before its first shard is complete.
    std::fs::write(data.out("empty.csv"), "id,path\n").unwrap();
    let mut empty = data.arguments(&out);
    empty[1] = data.out("empty.csv").into();
    says(Command::from_std(process(home().path())).args(&empty).arg("--overwrite"), 1, &["no rows"]);
    assert_eq!(contents(&out), before);

    data.list(0..100);
    data.embed(&out).args(["--overwrite", "--precision", "f16"]).assert().code(3);
    let (set, rejects) = contents(&out);
    assert_eq!((set.len() + rejects.len(), set.provenance.unwrap().precision), (100, "f16".to_owned()));
    // Shards of no run, and files of others.
    std::fs::remove_file(out.join("journal.jsonl")).unwrap();
    says(&mut data.embed(&out), 2, &["already exists", "--overwrite"]);
    std::fs::write(out.join("notes.txt"), "mine").unwrap();
    std::fs::write(out.join("mine.parquet"), "mine").unwrap();
    says(data.embed(&out).arg("--overwrite"), 2, &["mine.parquet", "in the way"]);
    std::fs::remove_file(out.join("mine.parquet")).unwrap();
    data.embed(&out).arg("--overwrite").assert().code(3);
    assert_eq!(std::fs::read_to_string(out.join("notes.txt")).unwrap(), "mine");
    for name in ["journal.jsonl", "rejects.jsonl"] {
        let other = data.out(name);
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join(name), "dear diary\n").unwrap();
        says(data.embed(&other).arg("--overwrite"), 2, &["in the way"]);
        assert_eq!(std::fs::read_to_string(other.join(name)).unwrap(), "dear diary\n");
    }
}

#[test]
fn another_input_list_is_refused_by_the_first_id_that_differs() {
    let data = Data::new(300);
    let out = data.out("list");
    data.finish(&out);
    let before = contents(&out);
    data.list((0..130).chain(131..301));
    says(
        &mut data.embed(&out),
        1,
        &["entries 128 to 191", "was \"id-000130\" and is now \"id-000131\"", "--overwrite"],
    );
    data.list(0..200);
    says(&mut data.embed(&out), 1, &["inputs have vanished", "entry 200", "from 192 to 255"]);
    data.list((0..10).chain([11, 10]).chain(12..300));
    says(&mut data.embed(&out), 1, &["entries 0 to 63"]);
    assert_eq!(contents(&out), before);
    // A list that grew at its end goes on there.
    data.list(0..700);
    let summary = data.summary(&out);
    assert_eq!(summary["resumed_rows"], before.0.len());
    let (set, rejects) = contents(&out);
    assert_eq!(set.len() + rejects.len(), 700);
    assert_eq!(set.ids[..before.0.len()], before.0.ids);
    let fresh = data.undisturbed();
    assert_eq!((set, rejects.len()), (fresh.0, fresh.1.len()));
}

#[test]
fn two_at_once_are_refused() {
    let data = Data::new(6000);
    let out = data.out("twice");
    let mut child = data.process(&out).spawn().unwrap();
    wait_for(&out, 2);
    signal(&child, "-STOP");
    says(&mut data.embed(&out), 2, &["another engraft is writing"]);
    says(data.embed(&out).arg("--overwrite"), 2, &["another engraft is writing"]);
    signal(&child, "-CONT");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    check_complete(&out, &data.undisturbed(), "after two at once");
}

#[test]
fn a_full_disk_is_an_error_and_the_run_continues_when_there_is_room() {
    let data = Data::new(12_000);
    let out = data.out("full");
    // No file may grow beyond 12 KiB, or 24 as the shell counts: the journal does in the middle of the run.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 24; exec \"$@\"", "sh"]).arg(env!("CARGO_BIN_EXE_engraft"));
    shell.args(data.arguments(&out)).env("ENGRAFT_HOME", home().path()).env("ENGRAFT_DEVICE", "cpu");
    let said = says(shell.env_remove("ORT_DYLIB_PATH"), 1, &["cannot write", "too large", "journal.jsonl"]);
    assert!(said.contains("the same command continues"), "{said}");
    let kept = lines(&out.join("journal.jsonl")).iter().filter_map(|line| line["rows"].as_u64()).sum::<u64>();
    assert!(kept > 0);
    assert_eq!(data.summary(&out)["resumed_rows"], kept);
    check_complete(&out, &data.undisturbed(), "after a full disk");
}

#[test]
fn files_that_vanish_or_change_while_it_runs_are_rejects() {
    let data = Data::new(1);
    let (images, out) = (data.out("images"), data.out("out"));
    std::fs::create_dir(&images).unwrap();
    for n in 0..3000 {
        std::fs::hard_link(data.out(&format!("{:03}.png", n % 40)), images.join(format!("{n:04}.png"))).unwrap();
    }
    let mut arguments = data.arguments(&out);
    arguments[1] = images.clone().into();
    arguments.retain(|argument| argument != "--id-column=id");
    let child = process(home().path()).args(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&out, 2);
    signal(&child, "-STOP");
    std::fs::remove_file(images.join("2998.png")).unwrap();
    std::fs::remove_file(images.join("2999.png")).unwrap();
    std::fs::write(images.join("2999.png"), "changed").unwrap();
    signal(&child, "-CONT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let (set, rejects) = contents(&out);
    assert_eq!((set.len(), rejects.len()), (2998, 2), "{rejects:?}");
    assert_eq!((&rejects[0]["id"], &rejects[0]["stage"]), (&"2998.png".into(), &"read".into()));
    assert_eq!((&rejects[1]["id"], &rejects[1]["stage"]), (&"2999.png".into(), &"decode".into()));
}

#[test]
fn half_precision_is_stored_in_every_format_and_never_infinite() {
    let data = Data::new(200);
    let out = data.out("f32");
    data.finish(&out);
    let want = FeatureSet::read(&out).unwrap();
    let halves = want.matrix.mapv(|value| half::f16::from_f32(value).to_f32());
    assert_ne!(halves, want.matrix);
    let into = |name: &str| {
        let mut arguments = data.arguments(&data.out(name));
        arguments[3] = data.out(name).into();
        if name.ends_with('/') {
            arguments[3].push("/");
        }
        let mut command = Command::from_std(process(home().path()));
        command.args(&arguments).args(["--precision", "f16"]);
        command
    };
    for name in ["f16/", "f16.parquet", "f16-a.npy", "f16-b.safetensors"] {
        into(name).assert().code(3);
        let got = FeatureSet::read(&data.out(name)).unwrap();
        assert_eq!((&got.ids, &got.labels, &got.contents), (&want.ids, &want.labels, &want.contents), "{name}");
        assert_eq!((&got.matrix, got.provenance.unwrap().precision), (&halves, "f16".to_owned()), "{name}");
    }
    // Channels that are multiplied by 130,000: about half of the means are beyond 65504.
    let limit = 65504.0 / 130_000.0;
    let scaled = into("beyond/").arg(format!("--std={},1,1", 1.0 / 130_000.0)).assert().code(2);
    assert!(stderr(scaled).contains("cannot be used multiple times"));
    let mut arguments = data.arguments(&data.out("beyond"));
    arguments.retain(|argument| argument != "--std=1,1,1");
    arguments.extend([format!("--std={},1,1", 1.0 / 130_000.0).into(), "--precision=f16".into()]);
    Command::from_std(process(home().path())).args(&arguments).assert().code(3);
    let (set, rejects) = contents(&data.out("beyond"));
    let beyond = want.matrix.column(0).iter().filter(|mean| **mean > limit).count();
    assert!(beyond > 0 && beyond < want.len());
    assert_eq!(set.len(), want.len() - beyond);
    assert!(set.matrix.iter().all(|value| value.is_finite()));
    let reasons = rejects.iter().filter(|r| r["reason"].as_str().unwrap().contains("beyond the range of 16-bit"));
    assert_eq!(reasons.count(), beyond);
}

#[test]
fn rows_go_to_standard_output_as_json_lines() {
    let data = Data::new(200);
    data.finish(&data.out("set"));
    let want = FeatureSet::read(&data.out("set")).unwrap();
    let mut arguments = data.arguments(&data.out("x"));
    arguments[3] = "-".into();
    let output = Command::from_std(process(home().path())).args(&arguments).assert().code(3).get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("rejected id-000096: ") && said.contains("rows of 3 values in stdout, 3 rejected"), "{said}");
    // The rows have stdout to themselves.
    let with_json = Command::from_std(process(home().path())).args(&arguments).arg("--json").assert().code(3);
    assert_eq!(with_json.get_output().stdout, output.stdout);
    let said = stderr(with_json);
    let summary: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!((&summary["rows"], &summary["rejects"]), (&want.len().into(), &3.into()), "{said}");
    let rows: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), want.len());
    for (i, row) in rows.iter().enumerate() {
        assert_eq!((&row["id"], &row["label"]), (&want.ids[i].as_str().into(), &want.labels[i].clone().into()));
        let embedding: Vec<f32> = serde_json::from_value(row["embedding"].clone()).unwrap();
        assert_eq!(embedding, want.matrix.row(i).to_vec());
    }
}

/// A backbone and a table of which no image can be read; where the output goes.
fn hopeless(data: &Data, out: &Path) -> Command {
    std::fs::write(data.out("hopeless.csv"), "id,path,label\na,missing.png,0\nb,broken.png,1\n").unwrap();
    let mut arguments = data.arguments(out);
    arguments[1] = data.out("hopeless.csv").into();
    if !is_shard(out) && out != Path::new("-") {
        arguments[3] = format!("{}/", out.display()).into();
    } else {
        arguments[3] = out.into();
    }
    let mut command = Command::from_std(process(home().path()));
    command.args(arguments);
    command
}

#[test]
fn rejects_alone_are_an_outcome_like_others() {
    let data = Data::new(10);
    for (name, rejects) in [("no/", "no/rejects.jsonl"), ("no.parquet", "no.parquet.rejects.jsonl")] {
        let out = data.out(name);
        let words = ["no input could be embedded, 2 rejected; the first, a: ", "2 rejects, more than --max-rejects"];
        says(&mut hopeless(&data, &out), 3, &words);
        assert_eq!(lines(&data.out(rejects)).len(), 2, "{name}");
        assert!(!out.is_file());
        let assert = hopeless(&data, &out).args(["--json", "--max-rejects", "100%"]).assert().code(0);
        let summary: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
        assert_eq!((&summary["rows"], &summary["rejects"]), (&0.into(), &2.into()), "{name}: {summary}");
        assert!(stderr(assert).contains("no input could be embedded"));
        assert_eq!(lines(&data.out(rejects)).len(), 2, "{name}");

        // What is there is worth more.
        let mut good = data.arguments(&out);
        good[3] = out.clone().into();
        Command::from_std(process(home().path())).args(&good).assert().success();
        let before = FeatureSet::read(&out).unwrap();
        let words = ["no input could be embedded", "what was in", "stays"];
        says(hopeless(&data, &out).args(["--overwrite", "--max-rejects", "2"]), 1, &words);
        assert_eq!(FeatureSet::read(&out).unwrap(), before);
    }
    says(&mut hopeless(&data, Path::new("-")), 3, &["no input could be embedded, 2 rejected; the first, a: "]);
}

/// Shards are as large as may be, and standard input has no columns.
fn for_stdin(argument: &OsString) -> bool {
    let argument = argument.to_str().unwrap();
    !argument.starts_with("--shard-entries=") && !argument.starts_with("--id-column=")
}

/// A run of images that are named on its standard input, so that it is under way for as long as that is open.
fn waiting(data: &Data, out: &str) -> (Child, std::process::ChildStdin) {
    let mut arguments = data.arguments(&data.out("x"));
    arguments.retain(for_stdin);
    (arguments[1], arguments[3]) = ("-".into(), data.out(out).into());
    if out.ends_with('/') {
        arguments[3].push("/");
    }
    let mut command = process(home().path());
    let mut child = command.args(&arguments).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for n in 0..40 {
        writeln!(input, "{}", data.out(&format!("{n:03}.png")).display()).unwrap();
    }
    (child, input)
}

/// The hidden files in a folder.
fn partial(folder: &Path) -> Vec<PathBuf> {
    let hidden = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().ends_with(".partial");
    if folder.is_dir() { sorted(folder).into_iter().filter(hidden).collect() } else { Vec::new() }
}

fn wait_for_partial(folder: &Path) -> Vec<PathBuf> {
    let begun = Instant::now();
    while partial(folder).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was written");
        std::thread::sleep(Duration::from_millis(5));
    }
    partial(folder)
}

#[test]
fn a_run_that_has_kept_nothing_yet_is_told_as_such() {
    let data = Data::new(10);
    let (mut child, input) = waiting(&data, "live/");
    let live = data.out("live");
    wait_for_partial(&live);
    let report = support::json(support::engraft().arg("inspect").arg(&live));
    assert_eq!((&report["rows"], &report["run"]["finished"]), (&0.into(), &false.into()), "{report}");
    let told = support::engraft().arg("inspect").arg(&live).assert().success().get_output().stdout.clone();
    assert!(String::from_utf8(told).unwrap().contains("nothing is kept yet"));
    let said = FeatureSet::read(&live).unwrap_err().to_string();
    assert!(said.contains("no row is kept yet") && said.contains("under way"), "{said}");
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);
}

#[test]
fn what_a_killed_run_into_a_file_left_is_removed_by_the_next_one() {
    let data = Data::new(10);
    std::fs::create_dir(data.out("single")).unwrap();
    let (mut child, _input) = waiting(&data, "single/set.parquet");
    let single = data.out("single");
    let left = wait_for_partial(&single);
    // One that lives is left alone.
    let (mut second, _input) = waiting(&data, "single/set.parquet");
    let begun = Instant::now();
    while partial(&single).len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the second has not begun, or the first was removed");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(left.iter().all(|path| path.exists()));
    for child in [&mut child, &mut second] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(partial(&single).len(), 2);
    std::fs::write(single.join(".engraft-of-another.partial"), "torn").unwrap();
    let mut arguments = data.arguments(&single);
    arguments[3] = single.join("set.parquet").into();
    Command::from_std(process(home().path())).args(&arguments).assert().success();
    assert_eq!(partial(&single), [single.join(".engraft-of-another.partial")]);
}

#[test]
fn kept_columns_cannot_have_our_names() {
    let data = Data::new(10);
    for names in [["--keep=embedding", "--keep=a"], ["--keep=a", "--keep=a"]] {
        says(data.embed(&data.out("kept")).args(names), 2, &["the column `"]);
    }
    assert!(!data.out("kept").exists());
}

#[test]
fn inspect_tells_what_a_folder_holds() {
    let data = Data::new(300);
    let out = data.out("inspected");
    data.finish(&out);
    let (set, rejects) = contents(&out);
    let report = support::json(support::engraft().arg("inspect").arg(&out));
    assert_eq!((&report["rows"], &report["rejects"]), (&set.len().into(), &rejects.len().into()), "{report}");
    assert_eq!((&report["dimension"], &report["files"]), (&3.into(), &5.into()));
    assert_eq!(report["run"]["finished"], true);
    assert_eq!(report["run"]["entries"], 300);
    let made: Option<Provenance> = serde_json::from_value(report["provenance"].clone()).unwrap();
    assert_eq!((&made, &report["providers"][0]), (&set.provenance, &"cpu".into()));
    let labelled = set.labels.iter().filter(|label| label.as_deref() == Some("1")).count();
    assert_eq!((&report["labels"]["1"], &report["unlabelled"]), (&labelled.into(), &0.into()));
    // There are 40 images.
    assert_eq!(report["duplicate_contents"], set.len() - 40);
    assert_eq!((&report["duplicate_ids"], &report["zero_rows"]), (&0.into(), &0.into()));
    assert!(report["norms"]["min"].as_f64().unwrap() < report["norms"]["max"].as_f64().unwrap());
    let output = support::engraft().arg("inspect").arg(&out).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    for words in ["tiny", "finished", "pooling none", "repeated inputs", "engraft "] {
        assert!(text.contains(words), "{words:?} is not in: {text}");
    }
    let file = data.out("one.npy");
    let mut arguments = data.arguments(&file);
    arguments[3] = file.clone().into();
    Command::from_std(process(home().path())).args(&arguments).assert().code(3);
    let report = support::json(support::engraft().arg("inspect").arg(&file));
    assert_eq!((&report["rejects"], &report["run"]), (&rejects.len().into(), &Value::Null));
}
