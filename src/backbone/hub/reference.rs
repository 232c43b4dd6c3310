//! `hf:owner/name[@revision][:file]`.

use crate::error::{Error, Result};
use crate::file::is_inside;

/// A model repository on the hub, perhaps one file of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRef {
    /// The user or organisation.
    pub owner: String,
    /// The repository's name there.
    pub name: String,
    /// A branch, tag or commit; `main` when none is given.
    pub revision: String,
    /// One file, relative to the repository's root.
    pub file: Option<String>,
}

impl HubRef {
    /// Reads `hf:owner/name[@revision][:file]`.
    ///
    /// # Errors
    /// When a part is missing or could leave its folder (`..`, a backslash, an absolute path).
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |reason: &str| Error::Usage(format!("{text}: {reason}; write hf:owner/name[@revision][:file]"));
        let rest = text.strip_prefix("hf:").ok_or_else(|| wrong("not a reference to the hub"))?;
        let (rest, file) = match rest.split_once(':') {
            Some((rest, file)) => (rest, Some(file)),
            None => (rest, None),
        };
        let (repository, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let (owner, name) = repository.split_once('/').ok_or_else(|| wrong("the owner is missing"))?;
        if !is_part(owner) || !is_part(name) {
            return Err(wrong("owner and name are letters, digits, '-', '_' and '.'"));
        }
        if !is_inside(revision) {
            return Err(wrong("the revision is not usable"));
        }
        if file.is_some_and(|f| !is_inside(f)) {
            return Err(wrong("the file must be a path inside the repository"));
        }
        Ok(Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
            revision: revision.to_owned(),
            file: file.map(str::to_owned),
        })
    }

    /// `owner/name`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// Whether the revision is a full commit, which never comes to mean something else.
    pub(super) fn is_pinned(&self) -> bool {
        is_commit(&self.revision)
    }
}

impl std::fmt::Display for HubRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "hf:{}/{}", self.owner, self.name)?;
        if self.revision != "main" {
            write!(f, "@{}", self.revision)?;
        }
        self.file.iter().try_for_each(|file| write!(f, ":{file}"))
    }
}

/// One component of `owner/name`, as the hub allows them.
fn is_part(text: &str) -> bool {
    let letters = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    letters && !text.is_empty() && text.len() <= 96 && !text.starts_with('.')
}

/// A full git commit in hexadecimal.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_read_and_written_back() {
        let all = HubRef::parse("hf:BAAI/bge-small-en-v1.5@refs/pr/3:onnx/model.onnx").unwrap();
        assert_eq!(all.repository(), "BAAI/bge-small-en-v1.5");
        assert_eq!((all.revision.as_str(), all.file.as_deref()), ("refs/pr/3", Some("onnx/model.onnx")));
        assert_eq!(all.to_string(), "hf:BAAI/bge-small-en-v1.5@refs/pr/3:onnx/model.onnx");
        let short = HubRef::parse("hf:a/b").unwrap();
        assert_eq!(
            (short.revision.as_str(), short.file.as_deref(), short.to_string().as_str()),
            ("main", None, "hf:a/b")
        );
    }

    #[test]
    fn what_could_leave_its_folder_is_refused() {
        for bad in [
            "a/b",
            "hf:",
            "hf:a",
            "hf:/b",
            "hf:a/",
            "hf:../b",
            "hf:a/..",
            "hf:a/b/c",
            "hf:a/b@",
            "hf:a/b@../x",
            "hf:a/b@x/../y",
            "hf:a/b:",
            "hf:a/b:/etc/passwd",
            "hf:a/b:x/../../y",
            "hf:a/b:x\\y",
            "hf:a/b:x//y",
            "hf:a/b:./x",
            "hf:a b/c",
        ] {
            let error = HubRef::parse(bad).unwrap_err();
            assert!(matches!(error, Error::Usage(_)), "{bad}");
            assert!(error.to_string().contains("hf:owner/name"), "{bad}: {error}");
        }
    }
}
