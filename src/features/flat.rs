//! Writes files that are a header of fixed length and then the matrix, row by row, with the ids beside them.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::format::{begin, free, make_way};
use super::sidecar::SidecarWriter;
use super::{Existing, FeatureWriter, Header, Provenance, Rows, floats};
use crate::error::{Error, Result};
use crate::file::{AtomicFile, read_at_most};

/// The longest provenance that is read.
const MAX_PROVENANCE: u64 = 1 << 20;

/// What differs between the formats.
pub(super) struct Layout {
    /// The header for a number of rows; its length must not depend on it.
    pub(super) header: Box<dyn Fn(u64) -> Vec<u8> + Send>,
    /// Where the provenance goes.
    pub(super) provenance: Place,
}

/// Where a format keeps the provenance.
pub(super) enum Place {
    /// In the header.
    Header,
    /// In a file beside the array, if there is one.
    Beside(Option<Box<Provenance>>),
}

/// Where a format without metadata keeps the provenance.
fn provenance_path(array: &Path) -> PathBuf {
    array.with_extension("provenance.json")
}

/// Reads the provenance beside an array, if there is one.
pub(super) fn read_provenance(array: &Path) -> Result<Option<Provenance>> {
    let path = provenance_path(array);
    if !path.try_exists().map_err(Error::io("read", &path))? {
        return Ok(None);
    }
    let bytes = read_at_most(&path, MAX_PROVENANCE)?;
    serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::malformed(&path, e))
}

pub(super) struct FlatWriter {
    file: AtomicFile,
    sidecar: SidecarWriter,
    layout: Layout,
    of: Header,
    existing: Existing,
    rows: u64,
}

impl FlatWriter {
    pub(super) fn create(path: &Path, of: &Header, layout: Layout, existing: Existing) -> Result<Self> {
        let mut file = begin(path, existing)?;
        if matches!(layout.provenance, Place::Beside(_)) {
            let beside = provenance_path(path);
            free(&beside, existing)?;
            if read_provenance(path).is_err() {
                let reason = "it holds no provenance, so it is not replaced: give another -o";
                return Err(Error::in_the_way(&beside, reason));
            }
        }
        let sidecar = SidecarWriter::create(path, &of.kept, existing)?;
        file.write_all(&(layout.header)(0)).map_err(Error::io("write", path))?;
        Ok(Self { file, sidecar, layout, of: of.clone(), existing, rows: 0 })
    }
}

impl FeatureWriter for FlatWriter {
    fn append(&mut self, rows: &Rows) -> Result<()> {
        rows.check(&self.of)?;
        self.rows += rows.matrix.nrows() as u64;
        floats::write(&mut self.file, &rows.matrix, self.of.precision).map_err(Error::io("write", self.file.path()))?;
        self.sidecar.append(rows)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Self { mut file, mut sidecar, layout, existing, rows, .. } = *self;
        let path = file.path().to_path_buf();
        let header = (layout.header)(rows);
        file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&header)).map_err(Error::io("write", &path))?;
        file.sync()?;
        sidecar.sync()?;
        let provenance = match &layout.provenance {
            Place::Header | Place::Beside(None) => None,
            Place::Beside(Some(provenance)) => {
                let path = provenance_path(&path);
                let json = serde_json::to_vec_pretty(provenance).map_err(|e| Error::malformed(&path, e))?;
                let mut file = begin(&path, existing)?;
                file.write_all(&json).map_err(Error::io("write", &path))?;
                file.sync()?;
                Some(file)
            }
        };
        // Several files cannot be renamed at once. The array is absent while the others change, and comes last: ids
        // never stand beside the values of another run. All are on the disk by now, so that what is left takes no time
        // in which a process could well be killed, and cannot fail for want of room.
        make_way(&path, existing)?;
        match (&layout.provenance, provenance) {
            (_, Some(file)) => file.commit()?,
            (Place::Beside(_), None) => make_way(&provenance_path(&path), existing)?,
            (Place::Header, None) => {}
        }
        sidecar.commit()?;
        file.commit()
    }
}
