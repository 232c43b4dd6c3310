//! What the ids of samples in archives begin with.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use super::folder::printable;
use crate::error::{Error, Result};

/// The archives with the names that their ids begin with: their paths without the folders that all of them lie in. So the
/// ids are the same whether a set of archives is named one by one, by a pattern or by braces.
///
/// # Errors
/// [`Error::Usage`] when one is named twice.
pub(super) fn named(paths: Vec<PathBuf>) -> Result<Vec<(PathBuf, String)>> {
    let mut seen = HashSet::new();
    for path in &paths {
        let whole: PathBuf = std::path::absolute(path).unwrap_or_else(|_| path.clone()).components().collect();
        if !seen.insert(whole) {
            return Err(Error::Usage(format!("the archive {} is named twice", path.display())));
        }
    }
    let first: Vec<Component> = paths.first().map(|path| parts(path).collect()).unwrap_or_default();
    let common = paths.iter().map(|path| {
        let folders = parts(path).count().saturating_sub(1);
        parts(path).zip(&first).take(folders).take_while(|(part, of_first)| part == *of_first).count()
    });
    let common = common.min().unwrap_or(0);
    let name = |path: &Path| printable(parts(path).skip(common).collect::<PathBuf>().as_os_str().as_encoded_bytes());
    let names: Vec<String> = paths.iter().map(|path| name(path)).collect();
    Ok(paths.into_iter().zip(names).collect())
}

fn parts(path: &Path) -> impl Iterator<Item = Component<'_>> {
    path.components().filter(|part| *part != Component::CurDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[&str]) -> Vec<String> {
        named(paths.iter().map(PathBuf::from).collect()).unwrap().into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn common_folders_are_left_out() {
        assert_eq!(names(&["d/e/s-0.tar"]), ["s-0.tar"]);
        assert_eq!(names(&["./d/s-0.tar", "d/s-1.tar"]), ["s-0.tar", "s-1.tar"]);
        assert_eq!(names(&["/d/a/0.tar", "/d/b/0.tar"]), ["a/0.tar", "b/0.tar"]);
        assert_eq!(names(&["d/0.tar", "d/e/0.tar"]), ["0.tar", "e/0.tar"]);
        assert_eq!(names(&["/d/0.tar", "0.tar"]), ["/d/0.tar", "0.tar"]);
    }

    #[test]
    fn an_archive_named_twice_is_refused() {
        let twice = named(vec!["d/0.tar".into(), "./d/0.tar".into()]);
        assert!(matches!(twice, Err(Error::Usage(s)) if s.contains("named twice")));
    }
}
