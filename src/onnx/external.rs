//! Weights that a model keeps in files beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::every_tensor::every_tensor;
use super::model::read_model;
use super::proto::tensor_proto::DataLocation;
use super::proto::{ModelProto, TensorProto};
use crate::error::{Error, Result};
use crate::file::is_inside;

/// The files beside the model that hold its larger weights, as the model names them (relative to its folder),
/// sorted. The names come from the file: [`external_paths`] checks them.
pub fn external_files(model: &ModelProto) -> Vec<String> {
    let locations = every_tensor(model).into_iter().filter(|t| is_external(t)).flat_map(|t| &t.external_data);
    let named: BTreeSet<&str> = locations.filter(|p| p.key() == "location").map(|p| p.value()).collect();
    named.into_iter().map(str::to_owned).collect()
}

/// The same files as paths that may be opened: each lies beside the model `path` or in a folder there. Links count as
/// what they lead to, and so does the model itself: in a hub's cache both are links to one folder of contents.
///
/// # Errors
/// [`Error::Model`] when a file is named that is not there or would be elsewhere; nothing was opened then.
pub fn external_paths(model: &ModelProto, path: &Path) -> Result<Vec<PathBuf>> {
    let names = external_files(model);
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let real = |path: &Path| path.canonicalize().map_err(Error::io("read", path));
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let homes = [Some(real(folder)?), real(path)?.parent().map(Path::to_path_buf)];
    let checked = |name: String| {
        let refuse = |reason: &str| Error::model(path.display(), format!("its weights are in {name:?}, {reason}"));
        let file = folder.join(&name);
        if !is_inside(&name) {
            return Err(refuse("which would leave its folder"));
        }
        if !file.is_file() {
            return Err(refuse("which is not beside it"));
        }
        let target = real(&file)?;
        match homes.iter().flatten().any(|home| target.starts_with(home)) {
            true => Ok(file),
            false => Err(refuse(&format!("a link that leaves its folder for {}", target.display()))),
        }
    };
    names.into_iter().map(checked).collect()
}

/// Bytes of a model with the files of its weights beside it.
///
/// # Errors
/// As [`external_paths`], and when the model cannot be read.
pub fn stored_bytes(path: &Path) -> Result<u64> {
    let size = |path: &Path| std::fs::metadata(path).map(|m| m.len()).map_err(Error::io("read", path));
    external_paths(&read_model(path)?, path)?.iter().try_fold(size(path)?, |sum, beside| Ok(sum + size(beside)?))
}

/// Any location that is not the file itself: other readers may know a number that we do not.
pub(super) fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location.is_some_and(|location| location != DataLocation::Default as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::build;
    use crate::onnx::proto::tensor_proto::DataType;
    use crate::onnx::proto::{AttributeProto, FunctionProto, GraphProto, SparseTensorProto};

    fn external(name: &str, locations: &[&str]) -> TensorProto {
        let location = |l: &&str| build::entry("location", *l);
        TensorProto {
            name: Some(name.into()),
            data_type: Some(DataType::Float as i32),
            dims: vec![1],
            data_location: Some(DataLocation::External as i32),
            external_data: locations.iter().map(location).collect(),
            ..Default::default()
        }
    }

    fn with(tensor: TensorProto) -> ModelProto {
        build::model(GraphProto { initializer: vec![tensor], ..Default::default() })
    }

    #[test]
    fn external_files_are_found_wherever_a_tensor_can_be() {
        let inner = GraphProto { initializer: vec![external("b", &["inner.bin"])], ..Default::default() };
        let branch = AttributeProto { g: Some(inner), ..Default::default() };
        let sparse = SparseTensorProto { indices: Some(external("i", &["sparse.bin"])), ..Default::default() };
        let listed = AttributeProto { tensors: vec![external("t", &["listed.bin"])], ..Default::default() };
        let graph = GraphProto {
            initializer: vec![external("a", &["model.onnx_data"]), external("c", &["model.onnx_data"])],
            sparse_initializer: vec![sparse],
            node: vec![build::node("If", &["c"], &["y"], vec![branch])],
            ..Default::default()
        };
        let mut model = build::model(graph);
        model.functions =
            vec![FunctionProto { node: vec![build::node("F", &[], &[], vec![listed])], ..Default::default() }];
        assert_eq!(external_files(&model), ["inner.bin", "listed.bin", "model.onnx_data", "sparse.bin"]);
    }

    /// ONNX Runtime takes the last of several locations, and reads the enumeration as it was before an unknown number.
    #[test]
    fn no_location_hides_behind_another() {
        assert_eq!(external_files(&with(external("a", &["good.bin", "../bad.bin"]))), ["../bad.bin", "good.bin"]);
        let odd = TensorProto { data_location: Some(99), ..external("a", &["x"]) };
        assert_eq!(external_files(&with(odd)), ["x"]);
        let inside = TensorProto { data_location: Some(DataLocation::Default as i32), ..external("a", &["x"]) };
        assert!(external_files(&with(inside)).is_empty());
    }

    #[test]
    fn what_leaves_the_folder_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("model");
        std::fs::create_dir_all(folder.join("data")).unwrap();
        for file in ["secret", "model/model.onnx", "model/beside.bin", "model/data/below.bin"] {
            std::fs::write(outer.path().join(file), b"x").unwrap();
        }
        let path = folder.join("model.onnx");
        let paths = |location: &str| external_paths(&with(external("w", &[location])), &path);
        assert_eq!(paths("beside.bin").unwrap(), [folder.join("beside.bin")]);
        assert_eq!(paths("data/below.bin").unwrap(), [folder.join("data/below.bin")]);
        assert!(external_paths(&build::model(GraphProto::default()), &path).unwrap().is_empty());

        let absolute = outer.path().join("secret");
        let memory = "*/_ORT_MEM_ADDR_/*";
        for bad in ["../secret", absolute.to_str().unwrap(), "data/../../secret", "", ".", "data", "absent", memory] {
            let error = paths(bad).unwrap_err();
            assert!(matches!(error, Error::Model { .. }), "{bad}: {error:?}");
            assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_count_as_what_they_lead_to() {
        use std::os::unix::fs::symlink;

        // As the hub's cache has it: snapshots/<commit>/<file> → ../../blobs/<digest>.
        let cache = tempfile::tempdir().unwrap();
        let (blobs, snapshot) = (cache.path().join("blobs"), cache.path().join("snapshots/c"));
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::create_dir_all(&snapshot).unwrap();
        for (blob, link) in [("1", "model.onnx"), ("2", "w.bin")] {
            std::fs::write(blobs.join(blob), b"x").unwrap();
            symlink(Path::new("../../blobs").join(blob), snapshot.join(link)).unwrap();
        }
        let path = snapshot.join("model.onnx");
        let paths = |location: &str| external_paths(&with(external("w", &[location])), &path);
        assert_eq!(paths("w.bin").unwrap(), [snapshot.join("w.bin")]);

        std::fs::write(cache.path().join("secret"), b"x").unwrap();
        symlink("../../secret", snapshot.join("out.bin")).unwrap();
        symlink("../..", snapshot.join("up")).unwrap();
        symlink("absent", snapshot.join("dangling.bin")).unwrap();
        assert!(paths("out.bin").unwrap_err().to_string().contains("leaves its folder"));
        assert!(paths("up/secret").unwrap_err().to_string().contains("leaves its folder"));
        assert!(paths("dangling.bin").unwrap_err().to_string().contains("not beside it"));
    }
}
