//! Appending to a file so that it is there after a loss of power, and a failed append leaves nothing behind.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind as Io, Read, Seek, SeekFrom, Write};
use std::path::Path;

use connector::{Error, ErrorKind};

/// Says whether the folder can be written to, as far as that is known without writing.
pub(crate) fn check_folder(folder: &Path) -> Result<(), Error> {
    let meta = fs::metadata(folder).map_err(|error| fault("the folder", folder, error))?;
    if !meta.is_dir() {
        return Err(Error::temporary(ErrorKind::NotFound, format!("{} is not a folder", folder.display())));
    }
    if meta.permissions().readonly() {
        return Err(Error::temporary(ErrorKind::Unauthorized, format!("{} cannot be written to", folder.display())));
    }
    Ok(())
}

/// Appends whole lines to `folder/file` and flushes them to the device.
pub(crate) fn append(folder: &Path, file: &str, text: &[u8]) -> Result<(), Error> {
    check_folder(folder)?;
    let path = folder.join(file);
    make_folders(folder, file).map_err(|error| fault("making the folders of", &path, error))?;
    let fresh = !path.exists();
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(&path)
        .map_err(|error| fault("opening", &path, error))?;
    append_lines(&mut file, text).map_err(|error| fault("appending to", &path, error))?;
    if fresh && let Some(parent) = path.parent() {
        // The name of a new file is in its folder, which has to reach the device as well.
        sync_folder(parent).map_err(|error| fault("flushing the folder of", &path, error))?;
    }
    Ok(())
}

fn append_lines(file: &mut File, text: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    let result = close_torn_line(file, before).and_then(|()| file.write_all(text)).and_then(|()| file.sync_data());
    if result.is_err() {
        // The rows will come again, so half of them must not stay. If this fails too, the first error says why.
        file.set_len(before).ok();
    }
    result
}

/// A crash in the middle of an append may have left half a line; the next line begins on its own.
fn close_torn_line(file: &mut File, len: u64) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(len - 1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

/// Makes the folders between `folder` and the file, each on the device before the next.
fn make_folders(folder: &Path, file: &str) -> io::Result<()> {
    let mut here = folder.to_path_buf();
    let Some((folders, _)) = file.rsplit_once('/') else { return Ok(()) };
    for name in folders.split('/') {
        let parent = here.clone();
        here.push(name);
        match fs::create_dir(&here) {
            Ok(()) => sync_folder(&parent)?,
            Err(error) if error.kind() == Io::AlreadyExists && here.is_dir() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What the file system says, in the contract's terms. Only a name it cannot take is the row's fault; everything else
/// may be mended from outside, and the rows wait.
fn fault(doing: &str, path: &Path, error: io::Error) -> Error {
    let context = format!("{doing} {}: {error}", path.display());
    match error.kind() {
        Io::InvalidFilename => Error::permanent(ErrorKind::Rejected, context),
        Io::NotFound | Io::NotADirectory | Io::IsADirectory => Error::temporary(ErrorKind::NotFound, context),
        Io::PermissionDenied | Io::ReadOnlyFilesystem => Error::temporary(ErrorKind::Unauthorized, context),
        Io::StorageFull | Io::QuotaExceeded => Error::temporary(ErrorKind::Exhausted, context),
        _ => Error::temporary(ErrorKind::Internal, context),
    }
}
