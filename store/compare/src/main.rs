//! redb and fjall as the embedded store, doing what this store is used for: small durable writes, batches, scans, opening.
//!
//! `cargo run --release --manifest-path store/compare/Cargo.toml`; the folder is `WEIR_BENCH_DIR` or the system's temporary
//! one, which must be on a real disk for the flushes to mean anything. The result goes to standard output as a table.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const KEYS: u64 = 100_000;
const VALUE_BYTES: usize = 300;
const SINGLE_PUTS: usize = 300;
const BATCHES: usize = 100;
const BATCH_PUTS: usize = 100;
const SCANS: usize = 20;
const OPENS: usize = 10;

/// What a candidate must do. A put or batch is on the device when it returns.
trait Candidate: Sized {
    const NAME: &'static str;
    fn open(dir: &Path) -> Result<Self>;
    fn put_durably(&self, pairs: &[([u8; 8], Vec<u8>)]) -> Result<()>;
    fn get(&self, key: &[u8]) -> Result<Option<usize>>;
    /// Walks over everything; returns how many there were and their bytes.
    fn scan(&self) -> Result<(u64, usize)>;
}

struct Redb(redb::Database);

const TABLE: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("t");

impl Candidate for Redb {
    const NAME: &'static str = "redb 4.6.0";

    fn open(dir: &Path) -> Result<Self> {
        Ok(Self(redb::Database::create(dir.join("store.redb"))?))
    }

    fn put_durably(&self, pairs: &[([u8; 8], Vec<u8>)]) -> Result<()> {
        let txn = self.0.begin_write()?;
        {
            let mut table = txn.open_table(TABLE)?;
            for (key, value) in pairs {
                table.insert(key.as_slice(), value.as_slice())?;
            }
        }
        Ok(txn.commit()?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>> {
        use redb::{ReadableDatabase, ReadableTable};
        let table = self.0.begin_read()?.open_table(TABLE)?;
        Ok(ReadableTable::get(&table, key)?.map(|value| value.value().len()))
    }

    fn scan(&self) -> Result<(u64, usize)> {
        use redb::{ReadableDatabase, ReadableTable};
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let mut found = (0, 0);
        for pair in ReadableTable::iter(&table)? {
            let (key, value) = pair?;
            found = (found.0 + 1, found.1 + key.value().len() + value.value().len());
        }
        Ok(found)
    }
}

struct Fjall {
    db: fjall::Database,
    keys: fjall::Keyspace,
}

impl Candidate for Fjall {
    const NAME: &'static str = "fjall 3.1.13";

    fn open(dir: &Path) -> Result<Self> {
        let db = fjall::Database::builder(dir.join("store.fjall")).open()?;
        let keys = db.keyspace("t", fjall::KeyspaceCreateOptions::default)?;
        Ok(Self { db, keys })
    }

    fn put_durably(&self, pairs: &[([u8; 8], Vec<u8>)]) -> Result<()> {
        let mut batch = self.db.batch().durability(Some(fjall::PersistMode::SyncData));
        for (key, value) in pairs {
            batch.insert(&self.keys, key.as_slice(), value.as_slice());
        }
        Ok(batch.commit()?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>> {
        Ok(self.keys.get(key)?.map(|value| value.len()))
    }

    fn scan(&self) -> Result<(u64, usize)> {
        let mut found = (0, 0);
        for pair in self.keys.iter() {
            let (key, value) = pair.into_inner()?;
            found = (found.0 + 1, found.1 + key.len() + value.len());
        }
        Ok(found)
    }
}

fn main() -> Result<()> {
    println!("| measured | {} | {} |", Redb::NAME, Fjall::NAME);
    println!("|---|---|---|");
    let (redb, fjall) = (measure::<Redb>()?, measure::<Fjall>()?);
    for ((what, redb), (_, fjall)) in redb.iter().zip(&fjall) {
        println!("| {what} | {redb} | {fjall} |");
    }
    Ok(())
}

fn measure<C: Candidate>() -> Result<Vec<(String, String)>> {
    let parent = std::env::var_os("WEIR_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(parent)?;
    let mut rows = Vec::new();
    let store = C::open(dir.path())?;

    let mut filling = Vec::new();
    for first in (0..KEYS).step_by(1000) {
        let pairs: Vec<_> = (first..first + 1000).map(pair).collect();
        filling.push(timed(|| store.put_durably(&pairs))?.0);
    }
    let total: Duration = filling.iter().sum();
    rows.push((format!("fill {KEYS} keys, batches of 1000"), format!("{:.2} s", total.as_secs_f64())));

    let mut single = Vec::new();
    for n in 0..SINGLE_PUTS as u64 {
        let one = [pair(n * 331 % KEYS)];
        single.push(timed(|| store.put_durably(&one))?.0);
    }
    rows.push(("one durable put, p50 / p99".to_owned(), percentiles(single)));

    let mut batches = Vec::new();
    for n in 0..BATCHES as u64 {
        let pairs: Vec<_> = (0..BATCH_PUTS as u64).map(|m| pair((n * 7919 + m * 101) % KEYS)).collect();
        batches.push(timed(|| store.put_durably(&pairs))?.0);
    }
    rows.push((format!("a durable batch of {BATCH_PUTS}, p50 / p99"), percentiles(batches)));

    let (took, found) = timed(|| {
        let mut found = 0;
        for n in 0..KEYS {
            found += usize::from(store.get(&key(n * 7919 % KEYS))?.is_some());
        }
        Ok(found)
    })?;
    assert_eq!(found as u64, KEYS);
    rows.push(("a get, mean".to_owned(), format!("{:.2} µs", took.as_secs_f64() * 1e6 / KEYS as f64)));

    let mut scans = Vec::new();
    for _ in 0..SCANS {
        let (took, (count, _)) = timed(|| store.scan())?;
        assert_eq!(count, KEYS);
        scans.push(took);
    }
    rows.push((format!("a scan of {KEYS}, p50 / p99"), percentiles(scans)));
    drop(store);

    let mut opens = Vec::new();
    for _ in 0..OPENS {
        let (took, store) = timed(|| C::open(dir.path()))?;
        opens.push(took);
        drop(store);
    }
    rows.push(("open after a clean end, p50 / p99".to_owned(), percentiles(opens)));
    rows.push(("on disk".to_owned(), format!("{:.1} MB", disk_bytes(dir.path())? as f64 / 1e6)));
    Ok(rows)
}

fn key(n: u64) -> [u8; 8] {
    // Spread, as ids are.
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

/// A value that does not compress to nothing: its bytes come from a small generator.
fn pair(n: u64) -> ([u8; 8], Vec<u8>) {
    let mut state = n | 1;
    let value = (0..VALUE_BYTES)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'a' + (state % 26) as u8
        })
        .collect();
    (key(n), value)
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    let start = Instant::now();
    let result = work()?;
    Ok((start.elapsed(), result))
}

fn percentiles(mut took: Vec<Duration>) -> String {
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3;
    format!("{:.2} / {:.2} ms", at(0.5), at(0.99))
}

fn disk_bytes(path: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { disk_bytes(&entry.path())? } else { std::os::unix::fs::MetadataExt::blocks(&meta) * 512 };
    }
    Ok(bytes)
}
