//! The members of a tar archive, one after the other. Nothing is ever extracted, and memory is bounded whatever the archive
//! says of itself. (The tar crate, whose headers are read here, holds long names whole, whatever their length.)

use std::io::{Error, ErrorKind, Read, Result};

use tar::{Header, PaxExtensions};

const BLOCK: usize = 512;

/// The greatest size of what describes a member: long names, attributes.
const MAX_DESCRIPTION: u64 = 1 << 20;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    File,
    Folder,
    Link,
    /// A file with holes, whose content is stored in pieces.
    Sparse,
    /// A device, a pipe, or a kind that is not known.
    Other,
}

/// A member as its header has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) what: What,
    /// In bytes, as the header claims.
    pub(super) size: u64,
}

/// Reads an archive from front to back.
pub(super) struct Members<R> {
    reader: R,
    /// Bytes of the current member's content, and of what fills its last block, that have not been read.
    content: u64,
    fill: u64,
}

impl<R: Read> Members<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, content: 0, fill: 0 }
    }

    /// The next member; `None` at the end of the archive.
    ///
    /// # Errors
    /// When the archive is damaged or cut off: nothing can be read after it.
    pub(super) fn advance(&mut self) -> Result<Option<Member>> {
        let (mut name, mut size, mut sparse) = (None, None, false);
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            self.expect(header.entry_size()?);
            let kind = header.entry_type();
            if kind.is_gnu_longname() {
                let mut long = self.description()?;
                long.truncate(long.iter().position(|byte| *byte == 0).unwrap_or(long.len()));
                name = Some(long);
            } else if kind.is_pax_local_extensions() {
                for pair in PaxExtensions::new(&self.description()?) {
                    let pair = pair?;
                    match pair.key_bytes() {
                        b"path" => name = Some(pair.value_bytes().to_vec()),
                        b"size" => {
                            let number = pair.value().ok().and_then(|value| value.parse().ok());
                            size = Some(number.ok_or_else(|| damaged("a size is no number"))?);
                        }
                        key => sparse |= key.starts_with(b"GNU.sparse."),
                    }
                }
            } else if !(kind.is_gnu_longlink() || kind.is_pax_global_extensions()) {
                if kind.is_gnu_sparse() {
                    self.skip_sparse_map(&header)?;
                }
                let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
                let size = size.unwrap_or(self.content);
                self.expect(size);
                let what = if kind.is_gnu_sparse() || sparse {
                    What::Sparse
                } else if kind.is_dir() || (kind.is_file() && name.ends_with(b"/")) {
                    What::Folder
                } else if kind.is_file() || kind.is_contiguous() {
                    What::File
                } else if kind.is_symlink() || kind.is_hard_link() {
                    What::Link
                } else {
                    What::Other
                };
                return Ok(Some(Member { name, what, size }));
            }
        }
    }

    /// The content of the current member, which the caller has found to be small enough.
    pub(super) fn read(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(self.content).read_to_end(&mut bytes)? as u64;
        if read < self.content {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.content = 0;
        Ok(bytes)
    }

    fn expect(&mut self, size: u64) {
        self.content = size;
        self.fill = size.wrapping_neg() % BLOCK as u64;
    }

    fn description(&mut self) -> Result<Vec<u8>> {
        match self.content {
            size if size > MAX_DESCRIPTION => Err(damaged(&format!("a member's name or attributes take {size} bytes"))),
            _ => self.read(),
        }
    }

    /// Passes over what is left of the current member.
    fn skip(&mut self) -> Result<()> {
        for left in [&mut self.content, &mut self.fill] {
            let wanted = std::mem::take(left);
            if std::io::copy(&mut self.reader.by_ref().take(wanted), &mut std::io::sink())? < wanted {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// The next header; `None` where the file or the archive ends.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut block = Vec::with_capacity(BLOCK);
        self.reader.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
        if block.iter().all(|byte| *byte == 0) && (block.is_empty() || block.len() == BLOCK) {
            return Ok(None);
        }
        let block: [u8; BLOCK] = block.try_into().map_err(|_| Error::from(ErrorKind::UnexpectedEof))?;
        let header = Header::from_byte_slice(&block).clone();
        // The checksum counts its own eight bytes as spaces.
        let (before, after) = (&block[..148], &block[156..]);
        let sum = before.iter().chain(after).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
        match header.cksum() {
            Ok(told) if told == sum => Ok(Some(header)),
            _ => Err(damaged("a header's checksum is wrong")),
        }
    }

    /// Of a sparse member, further blocks of its map may come before its content.
    fn skip_sparse_map(&mut self, header: &Header) -> Result<()> {
        let mut more = header.as_gnu().is_some_and(|header| header.is_extended());
        let mut block = [0; BLOCK];
        while more {
            self.reader.read_exact(&mut block)?;
            more = block[504] == 1;
        }
        Ok(())
    }
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(String, What, u64)>> {
        let mut members = Members::new(bytes);
        let mut found = Vec::new();
        while let Some(member) = members.advance()? {
            found.push((String::from_utf8(member.name).unwrap(), member.what, member.size));
        }
        Ok(found)
    }

    fn header(kind: tar::EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_path("x.jpg").unwrap();
        header.set_cksum();
        header
    }

    #[test]
    fn long_names_and_every_kind_are_read() {
        let mut archive = tar::Builder::new(Vec::new());
        let long = format!("{}/{}.jpg", "d".repeat(200), "n".repeat(200));
        let append = |archive: &mut tar::Builder<Vec<u8>>, name: &str, kind, content: &[u8]| {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            header.set_link_name("elsewhere").unwrap();
            archive.append_data(&mut header, name, content).unwrap();
        };
        append(&mut archive, "d/", tar::EntryType::Directory, b"");
        append(&mut archive, &long, tar::EntryType::Regular, b"content");
        append(&mut archive, "l.jpg", tar::EntryType::Symlink, b"");
        append(&mut archive, "h.jpg", tar::EntryType::Link, b"");
        append(&mut archive, "c.jpg", tar::EntryType::Char, b"");
        archive.append_pax_extensions([("path", "påx.jpg".as_bytes()), ("mtime", b"1.5")]).unwrap();
        append(&mut archive, "short.jpg", tar::EntryType::Regular, b"pax");
        archive.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).unwrap();
        append(&mut archive, "s.jpg", tar::EntryType::Regular, b"map and pieces");
        let want = [
            ("d/", What::Folder, 0),
            (&long, What::File, 7),
            ("l.jpg", What::Link, 0),
            ("h.jpg", What::Link, 0),
            ("c.jpg", What::Other, 0),
            ("påx.jpg", What::File, 3),
            ("s.jpg", What::Sparse, 14),
        ];
        let want = want.map(|(name, what, size)| (name.to_owned(), what, size));
        assert_eq!(all(&archive.into_inner().unwrap()).unwrap(), want);
    }

    #[test]
    fn lies_about_sizes_are_errors_and_take_no_memory() {
        for size in [1 << 40, u64::MAX, u64::MAX - 100] {
            let cut = [header(tar::EntryType::Regular, size).as_bytes().as_slice(), &[7; 700]].concat();
            let mut members = Members::new(&cut[..]);
            assert_eq!(members.advance().unwrap().unwrap().size, size);
            assert_eq!(members.advance().unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
        for kind in [tar::EntryType::GNULongName, tar::EntryType::XHeader] {
            let endless = [header(kind, 1 << 40).as_bytes().as_slice(), &[7; 700]].concat();
            assert!(all(&endless).unwrap_err().to_string().contains("1099511627776 bytes"));
        }
    }

    #[test]
    fn damage_is_noticed() {
        let good = [header(tar::EntryType::Regular, 3).as_bytes().as_slice(), b"abc", &[0; 509]].concat();
        assert_eq!(all(&good).unwrap(), [("x.jpg".to_owned(), What::File, 3)]);
        assert_eq!(all(&[&good[..], &[0; 1024], b"after the end"].concat()).unwrap().len(), 1);
        assert!(all(&good[..700]).is_err() && all(&good[..100]).is_err() && all(&[7; 512]).is_err());
        let mut flipped = good.clone();
        flipped[3] ^= 1;
        assert!(all(&flipped).unwrap_err().to_string().contains("checksum"));
    }
}
