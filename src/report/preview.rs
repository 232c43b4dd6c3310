//! What rows were made from, as a page shows it.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::chart::shorten;
use crate::error::{Error, Result};
use crate::file;
use crate::preprocess::thumbnail;
use crate::source::{Content, MAX_IMAGE_BYTES};

/// The longest side of a picture, in pixels.
const SIDE: u32 = 96;
/// Letters of a text that are shown.
const MOST_LETTERS: usize = 600;

/// What a row was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preview {
    /// A picture as a `data:` URI.
    Picture(String),
    /// A text.
    Text(String),
}

impl Preview {
    /// The preview of an input: a picture of at most 96 pixels a side, or the beginning of a text. `expected` is the digest
    /// that the row has of its content, by [`file::content_digest`].
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read; [`Error::Data`] when an image cannot be decoded, or the content is no longer
    /// what the row was made from.
    pub fn of(content: &Content, expected: Option<&str>) -> Result<Self> {
        let bytes: Cow<[u8]> = match content {
            Content::File(path) => Cow::Owned(file::read_at_most(path, MAX_IMAGE_BYTES)?),
            Content::Bytes(bytes) => Cow::Borrowed(bytes),
            Content::Text(text) => Cow::Borrowed(text.as_bytes()),
        };
        if expected.is_some_and(|expected| expected != file::content_digest(&bytes)) {
            return Err(Error::Data("the content is not what the features were made from".into()));
        }
        match content {
            Content::Text(text) => Ok(Self::Text(shorten(text, MOST_LETTERS))),
            Content::File(_) | Content::Bytes(_) => {
                let jpeg = thumbnail(&bytes, SIDE).map_err(Error::Data)?;
                Ok(Self::Picture(format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_content_that_the_row_was_made_from_is_shown() {
        let text = Content::Text("a <b>\u{202e}c".into());
        let digest = file::content_digest("a <b>\u{202e}c".as_bytes());
        assert_eq!(Preview::of(&text, Some(&digest)).unwrap(), Preview::Text("a <b>\u{fffd}c".into()));
        assert!(Preview::of(&text, Some("00")).unwrap_err().to_string().contains("not what"));
        let long = Content::Text("word ".repeat(10_000));
        assert!(matches!(Preview::of(&long, None).unwrap(), Preview::Text(text) if text.chars().count() == 600));
        assert!(Preview::of(&Content::Bytes(b"no image".to_vec()), None).is_err());
        assert!(Preview::of(&Content::File("absent.png".into()), None).is_err());
    }
}
