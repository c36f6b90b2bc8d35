//! A journal on disk: what was written is there, whenever the power goes.

use std::fs::{self, File};
use std::io::{ErrorKind, Result, Write as _};
use std::path::Path;

use callboard::store::journal::Frame;

/// The bytes of the file; none when there is no file yet.
pub fn read(file: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Appends the frame to the file or puts it in the file's place, and makes that durable.
pub fn write(file: &Path, frame: &Frame) -> Result<()> {
    if !frame.replace {
        // Not created: without the frames before it, this one is worth nothing.
        let mut old = File::options().append(true).open(file)?;
        old.write_all(&frame.bytes)?;
        return old.sync_data();
    }
    let beside = file.with_extension("tmp");
    let mut new = File::create(&beside)?;
    new.write_all(&frame.bytes)?;
    new.sync_all()?;
    fs::rename(&beside, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
