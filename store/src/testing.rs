//! A file system that fails on request, for tests of this room and of those above it.
//!
//! It works on real files in a real folder and only decides which calls reach them. Every fault is set on a handle
//! that is cloned freely, so a test can change the weather under an open queue.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::files::{File, Files, OpenMode, OsFiles};

/// The faulty file system. Without a fault set it behaves as the system's own.
#[derive(Clone, Debug, Default)]
pub struct FaultyFiles {
    weather: Arc<Mutex<Weather>>,
}

#[derive(Debug, Default)]
struct Weather {
    /// Bytes the disk still takes; `None` is no limit.
    room: Option<u64>,
    /// The most one write call writes.
    write_max: Option<usize>,
    write_error: Option<io::ErrorKind>,
    sync_error: Option<io::ErrorKind>,
    set_len_error: Option<io::ErrorKind>,
    /// Flushes asked for, those that failed included.
    syncs: u64,
    /// What would survive a loss of power, by file: its flushed length, or `None` while its name is not flushed.
    flushed: BTreeMap<PathBuf, Flushed>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flushed {
    len: u64,
    named: bool,
}

impl FaultyFiles {
    /// The disk takes `bytes` more and is then full (`ENOSPC`, after a short write); `None` frees it.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.weather.lock().room = bytes;
    }

    /// A write call writes at most `bytes`; `None` is no limit.
    pub fn set_write_max(&self, bytes: Option<usize>) {
        self.weather.lock().write_max = bytes;
    }

    /// Every write fails like this.
    pub fn set_write_error(&self, kind: Option<io::ErrorKind>) {
        self.weather.lock().write_error = kind;
    }

    /// Every flush fails like this.
    pub fn set_sync_error(&self, kind: Option<io::ErrorKind>) {
        self.weather.lock().sync_error = kind;
    }

    /// Every cut of a file fails like this.
    pub fn set_set_len_error(&self, kind: Option<io::ErrorKind>) {
        self.weather.lock().set_len_error = kind;
    }

    /// How many flushes were asked for.
    pub fn syncs(&self) -> u64 {
        self.weather.lock().syncs
    }

    /// Takes away everything that was not flushed: the ends of files, and files whose name was not. To be called when
    /// nothing uses the files any more.
    pub fn cut_power(&self) -> io::Result<()> {
        for (path, flushed) in std::mem::take(&mut self.weather.lock().flushed) {
            if !path.exists() {
                continue;
            }
            if flushed.named {
                std::fs::OpenOptions::new().write(true).open(&path)?.set_len(flushed.len)?;
            } else {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

impl Files for FaultyFiles {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        OsFiles.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        OsFiles.list(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let existed = path.exists();
        let inner = OsFiles.open(path, mode)?;
        let len = inner.size()?;
        let mut weather = self.weather.lock();
        weather.flushed.entry(path.to_owned()).or_insert(Flushed { len, named: existed });
        Ok(Arc::new(FaultyFile { path: path.to_owned(), inner, weather: Arc::clone(&self.weather) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsFiles.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.weather.lock().flushed.remove(path);
        OsFiles.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut weather = self.weather.lock();
        weather.sync()?;
        for (path, flushed) in &mut weather.flushed {
            flushed.named |= path.parent() == Some(dir);
        }
        Ok(())
    }
}

impl Weather {
    fn sync(&mut self) -> io::Result<()> {
        self.syncs += 1;
        self.sync_error.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

#[derive(Debug)]
struct FaultyFile {
    path: PathBuf,
    inner: Arc<dyn File>,
    weather: Arc<Mutex<Weather>>,
}

impl File for FaultyFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let mut weather = self.weather.lock();
        if let Some(kind) = weather.write_error {
            return Err(kind.into());
        }
        let mut len = buf.len().min(weather.write_max.unwrap_or(usize::MAX));
        if let Some(room) = &mut weather.room {
            if *room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            len = len.min(usize::try_from(*room).unwrap_or(usize::MAX));
            *room -= len as u64;
        }
        self.inner.write_at(buf.get(..len).unwrap_or_default(), offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut weather = self.weather.lock();
        weather.sync()?;
        let len = self.inner.size()?;
        weather.flushed.entry(self.path.clone()).or_default().len = len;
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if let Some(kind) = self.weather.lock().set_len_error {
            return Err(kind.into());
        }
        self.inner.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
}
