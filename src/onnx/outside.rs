//! Weights between a model and the files beside it: brought into the model, and put outside of one that would be too large.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use prost::Message;
use prost::bytes::Bytes;

use super::build::entry;
use super::every_tensor::{change_every_tensor, raw_bytes};
use super::external::{external_paths, is_external};
use super::proto::tensor_proto::{DataLocation, DataType};
use super::proto::{ModelProto, TensorProto};
use crate::error::{Error, Result};
use crate::file::{self, AtomicFile};

/// Weights of less stay in the model, where they can be looked at.
const SMALLEST: usize = 1024;
/// Behind the name of a model that does not hold all its weights.
const BESIDE: &str = "_data";
/// Where each tensor begins: readers map pages of this size.
const ALIGNMENT: u64 = 4096;

/// Brings the weights of the model at `path` in that lie in other files. Each such file is read once, and tensors are views into it.
///
/// # Errors
/// [`Error::Model`] when a file is not beside the model or in a folder there; [`Error::Malformed`] when a tensor is said to be beyond
/// the end of its file, or to be of another size than its dimensions ask for, or a file does not fit in memory.
pub(super) fn bring_in(model: &mut ModelProto, path: &Path) -> Result<()> {
    let mut files = HashMap::new();
    let names = super::external::external_files(model);
    for (name, file) in names.into_iter().zip(external_paths(model, path)?) {
        files.insert(name, Bytes::from(file::read_at_most(&file, u64::MAX)?));
    }
    change_every_tensor(model, &mut |tensor| match is_external(tensor) {
        true => {
            let refused = |reason| Error::malformed(path, format!("tensor {} {reason}", tensor.name()));
            let bytes = place(tensor, &files).map_err(refused)?;
            tensor.external_data.clear();
            tensor.data_location = None;
            tensor.raw_data = Some(bytes);
            Ok(())
        }
        false => Ok(()),
    })
}

/// The bytes of a tensor in its file.
fn place(tensor: &TensorProto, files: &HashMap<String, Bytes>) -> Result<Bytes, String> {
    // The last of several is what ONNX Runtime takes.
    let said = |key: &str| tensor.external_data.iter().rev().find(|e| e.key() == key).map(|e| e.value());
    let number = |key: &str| match said(key) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| format!("has the {key} {text:?} in its file")),
    };
    let location = said("location").ok_or("is in another file, and does not say in which")?;
    let file = files.get(location).ok_or_else(|| format!("is in {location:?}, which was not read"))?;
    let kind = tensor.data_type();
    let length = raw_bytes(tensor)
        .ok_or_else(|| format!("of element type {kind} and dimensions {:?} cannot be in another file", tensor.dims))?;
    let told = number("length")?.unwrap_or(length);
    if told != length {
        return Err(format!("has {told} bytes in {location:?}, and its dimensions {:?} ask for {length}", tensor.dims));
    }
    let start = number("offset")?.unwrap_or(0);
    let end = start.checked_add(length).filter(|&end| end <= file.len() as u64);
    let end = end.ok_or_else(|| {
        format!("is said to have {length} bytes from {start} on in {location:?}, which has {}", file.len())
    })?;
    // Both are within the file's length.
    Ok(file.slice(start as usize..end as usize))
}

/// Where [`write_model`](super::write_model) puts the weights of a model that is too large for one file.
pub fn weights_beside(model: &Path) -> PathBuf {
    let mut name = model.file_name().unwrap_or_default().to_owned();
    name.push(BESIDE);
    model.with_file_name(name)
}

/// Writes a model of more than `limit` bytes as two files: the larger constants in `<file name>_data` beside it, each at a multiple of 4,096
/// bytes. The model comes last, and is not there before its weights are.
pub(super) fn write_outside(model: &ModelProto, path: &Path, limit: u64) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let location = format!("{name}{BESIDE}");
    let beside = path.with_file_name(&location);
    let mut outside = model.clone();
    let mut data = AtomicFile::create(&beside)?;
    let mut end = 0_u64;
    for tensor in outside.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
        let Some(bytes) = values(tensor).filter(|bytes| bytes.len() >= SMALLEST) else { continue };
        let start = end.next_multiple_of(ALIGNMENT);
        let gap = vec![0; usize::try_from(start - end).unwrap_or_default()];
        data.write_all(&gap).and_then(|()| data.write_all(&bytes)).map_err(Error::io("write", &beside))?;
        end = start + bytes.len() as u64;
        tensor.raw_data = None;
        tensor.float_data.clear();
        tensor.data_location = Some(DataLocation::External as i32);
        tensor.external_data = vec![
            entry("location", location.as_str()),
            entry("offset", start.to_string()),
            entry("length", bytes.len().to_string()),
        ];
    }
    if outside.encoded_len() as u64 > limit {
        let reason = format!("without its larger weights it would still have more than {} MiB", limit >> 20);
        return Err(Error::malformed(path, reason));
    }
    let mut file = AtomicFile::create(path)?;
    file.write_all(&outside.encode_to_vec()).map_err(Error::io("write", path))?;
    file.sync()?;
    data.sync()?;
    // An old model must not be seen with the new weights.
    file::remove_if_there("replace", path)?;
    data.commit()?;
    file.commit()
}

/// The bytes of a constant that may lie in another file.
fn values(tensor: &TensorProto) -> Option<Bytes> {
    if is_external(tensor) || tensor.data_type() == DataType::String as i32 {
        return None;
    }
    if tensor.data_type() == DataType::Float as i32 && !tensor.float_data.is_empty() {
        return Some(tensor.float_data.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into());
    }
    tensor.raw_data.clone()
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, attr_tensor, node, tensor_f32, tensor_i64};
    use super::super::model::{read_model, read_whole_model, write_model, write_model_within};
    use super::super::proto::GraphProto;
    use super::*;

    const LIMIT: u64 = 4096;

    fn model() -> ModelProto {
        let ramp = |n: usize| (0..n).map(|i| i as f32).collect::<Vec<f32>>();
        let listed = TensorProto { raw_data: None, float_data: ramp(600), ..tensor_f32("listed", &[600], &[]) };
        let inner = tensor_f32("", &[256], &ramp(256));
        build::model(GraphProto {
            initializer: vec![
                tensor_f32("small", &[255], &ramp(255)),
                tensor_f32("large", &[3, 500], &ramp(1500)),
                listed,
                tensor_i64("whole", &[128], &[7; 128]),
            ],
            node: vec![node("Constant", &[], &["c"], vec![attr_tensor("value", inner)])],
            ..Default::default()
        })
    }

    #[test]
    fn large_weights_lie_beside_the_model_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        write_model_within(&model(), &path, LIMIT).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() <= LIMIT);
        let outside = read_model(&path).unwrap();
        let places: Vec<Vec<&str>> = outside
            .graph
            .iter()
            .flat_map(|g| &g.initializer)
            .map(|t| t.external_data.iter().map(|e| e.value()).collect())
            .collect();
        let expected: [&[&str]; 4] =
            [&[], &["m.onnx_data", "0", "6000"], &["m.onnx_data", "8192", "2400"], &["m.onnx_data", "12288", "1024"]];
        assert_eq!(places, expected);
        let whole = read_whole_model(&path).unwrap();
        // The same but for the form of the list of floats.
        let mut wanted = model();
        let listed = &mut wanted.graph.as_mut().unwrap().initializer[2];
        *listed = tensor_f32("listed", &[600], &listed.float_data.clone());
        assert_eq!(whole, wanted);

        let files = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
        assert_eq!(files(folder.path()), 2);
        write_model(&model(), &path).unwrap();
        assert_eq!(read_model(&path).unwrap(), model());
        let error = write_model_within(&model(), &path, 64).unwrap_err().to_string();
        assert!(error.contains("without its larger weights"), "{error}");
        // What was there before is still there.
        assert_eq!((read_model(&path).unwrap(), files(folder.path())), (model(), 2));
    }

    #[test]
    fn tensors_that_are_not_whole_in_their_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        std::fs::write(folder.path().join("w.bin"), [1_u8; 64]).unwrap();
        let read = |entries: &[(&str, &str)], dims: &[i64], kind: DataType| {
            let tensor = TensorProto {
                name: Some("w".into()),
                dims: dims.to_vec(),
                data_type: Some(kind as i32),
                data_location: Some(DataLocation::External as i32),
                external_data: entries.iter().map(|(key, value)| entry(key, *value)).collect(),
                ..Default::default()
            };
            let graph = GraphProto { initializer: vec![tensor], ..Default::default() };
            write_model(&build::model(graph), &path).unwrap();
            let model = read_whole_model(&path).map_err(|e| e.to_string())?;
            Ok::<usize, String>(model.graph.unwrap().initializer[0].raw_data().len())
        };
        let place = |more: &[(&'static str, &'static str)]| [&[("location", "w.bin")], more].concat();
        let float = DataType::Float;
        assert_eq!(read(&place(&[]), &[2, 8], float), Ok(64));
        assert_eq!(read(&place(&[("offset", "32"), ("length", "32")]), &[8], float), Ok(32));
        assert_eq!(read(&place(&[("offset", "64"), ("length", "0")]), &[0], float), Ok(0));
        assert_eq!(read(&place(&[]), &[127], DataType::Int4), Ok(64));
        let refused = |entries: &[(&'static str, &'static str)], dims: &[i64], kind, reason: &str| {
            let error = read(&place(entries), dims, kind).unwrap_err();
            assert!(error.contains("m.onnx") && error.contains("tensor w") && error.contains(reason), "{error}");
        };
        refused(&[], &[17], float, "68 bytes from 0 on in \"w.bin\", which has 64");
        refused(&[("offset", "60")], &[2], float, "8 bytes from 60 on");
        refused(&[("offset", "18446744073709551615")], &[2], float, "18446744073709551615");
        refused(&[("offset", "-4")], &[1], float, "the offset \"-4\"");
        refused(&[("length", "8")], &[1], float, "has 8 bytes");
        refused(&[], &[-1], float, "impossible");
        refused(&[], &[1 << 40], float, "4398046511104 bytes from 0 on");
        refused(&[], &[1], DataType::String, "cannot be in another file");
        let nowhere = read(&[("offset", "0")], &[1], float).unwrap_err();
        assert!(nowhere.contains("does not say in which"), "{nowhere}");
        assert!(read(&[("location", "../w.bin")], &[1], float).unwrap_err().contains("leave its folder"));
    }
}
