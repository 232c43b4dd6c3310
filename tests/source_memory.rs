//! Listing takes the memory of a sample, not that of the input. One test: memory is the whole process's.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch};
use engraft::source::{Modality, Separator, SourceOptions, TableOptions, open_all};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

const MIB: usize = 1 << 20;

/// Lists an input to its end: the number of entries, and how far memory grew meanwhile.
fn list(input: &Path, modality: Modality, id_column: Option<&str>) -> (usize, usize) {
    let table = TableOptions { id_column: id_column.map(str::to_owned), ..TableOptions::default() };
    let options = SourceOptions { modality, table, keep: Vec::new(), separator: Separator::default() };
    // Resets the peak.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS");
    let entries = open_all(&[input.to_path_buf()], &options).unwrap().list.map(Result::unwrap).count();
    (entries, status("VmHWM").saturating_sub(before))
}

fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn write(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    write(&mut file).unwrap();
    file.into_inner().unwrap();
}

#[test]
fn listing_takes_the_memory_of_a_sample() {
    let root = tempfile::tempdir().unwrap();
    let image = vec![7; MIB];

    // One row group of 96 MiB, whose pages hold one image each, as large ones do.
    let path = root.path().join("images.parquet");
    let properties = WriterProperties::builder().set_dictionary_enabled(false).set_write_batch_size(1).build();
    let batch = |images: &[&[u8]]| {
        let column: ArrayRef = Arc::new(BinaryArray::from_iter_values(images));
        RecordBatch::try_from_iter([("image", column)]).unwrap()
    };
    let file = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch(&[]).schema(), Some(properties)).unwrap();
    (0..96).for_each(|_| writer.write(&batch(&[&image])).unwrap());
    assert_eq!(writer.close().unwrap().num_row_groups(), 1);
    let (entries, grown) = list(&path, Modality::Image, None);
    assert!(entries == 96 && grown < 48 * MIB, "{entries} images of a Parquet file, {} MiB", grown / MIB);

    let path = root.path().join("images.tar");
    let mut archive = tar::Builder::new(File::create(&path).unwrap());
    for i in 0..96 {
        let mut header = tar::Header::new_gnu();
        header.set_size(MIB as u64);
        archive.append_data(&mut header, format!("{i}.jpg"), &image[..]).unwrap();
    }
    archive.finish().unwrap();
    let (entries, grown) = list(&path, Modality::Image, None);
    assert!(entries == 96 && grown < 16 * MIB, "{entries} images of an archive, {} MiB", grown / MIB);

    // A quote that is never closed, and 160 MiB after it.
    let path = root.path().join("open.csv");
    write(&path, |file| {
        file.write_all(b"text\none\n\"two")?;
        (0..160).try_for_each(|_| file.write_all(&image))
    });
    let (entries, grown) = list(&path, Modality::Text, None);
    assert!(entries == 2 && grown < 40 * MIB, "{entries} rows of a CSV file, {} MiB", grown / MIB);

    // Ids that must be remembered: 40 bytes each, not their own length.
    let path = root.path().join("ids.csv");
    write(&path, |file| {
        file.write_all(b"text,key\n")?;
        (0..200_000).try_for_each(|i| writeln!(file, "x,{i:0>200}"))
    });
    let (entries, grown) = list(&path, Modality::Text, Some("key"));
    assert!(entries == 200_000 && grown < 20 * MIB, "{entries} ids, {} MiB", grown / MIB);
}
