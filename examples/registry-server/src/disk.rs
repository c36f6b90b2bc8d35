//! A file that is either the old one or the new one.

use std::fs::{self, File};
use std::io::{ErrorKind, Result, Write as _};
use std::path::Path;

/// The bytes of the file; none when there is no file yet.
pub fn read(file: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes beside the file, makes that durable, puts it in the file's place and makes the new name durable.
pub fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let beside = file.with_extension("tmp");
    let mut new = File::create(&beside)?;
    new.write_all(bytes)?;
    new.sync_all()?;
    fs::rename(&beside, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
