//! The files of a directory: which are there, plain or compressed, and whether their headers will do.

use super::{
    catalog,
    cells::{Column, Columns},
    customers, receipts,
    records::{Next, Records},
    stock,
    tally::Tally,
};
use anyhow::{Context as _, bail};
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a directory holds.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) stores: Option<Table>,
    pub(super) products: Option<Table>,
    pub(super) customers: Option<Table>,
    pub(super) stock: Option<Table>,
    pub(super) offers: Option<PathBuf>,
    pub(super) transactions: Option<Table>,
}

impl Directory {
    /// Finds the files and reads their headers. Fails where there is none, or one lacks a column it must have.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if !path.is_dir() {
            bail!("{} is not a directory", path.display());
        }
        let directory = Self {
            stores: Table::find(path, "stores", catalog::STORE_COLUMNS)?,
            products: Table::find(path, "products", catalog::PRODUCT_COLUMNS)?,
            customers: Table::find(path, "customers", customers::COLUMNS)?,
            stock: Table::find(path, "stock", stock::COLUMNS)?,
            offers: find_one(path, &["offers.toml", "offers.json"])?,
            transactions: Table::find(path, "transactions", receipts::COLUMNS)?,
        };
        let tables = [
            &directory.stores,
            &directory.products,
            &directory.customers,
            &directory.stock,
            &directory.transactions,
        ];
        if tables.iter().all(|table| table.is_none()) && directory.offers.is_none() {
            bail!(
                "{} has none of stores, products, customers, stock, transactions (.csv or .csv.gz), offers (.toml or .json)",
                path.display()
            );
        }
        Ok(directory)
    }
}

/// A CSV file whose header is known to be good.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    length_bytes: u64,
    name: String,
    /// Where its columns are.
    pub(super) columns: Columns,
}

/// The rows of a file that is being read.
pub(super) type Rows = Records<Box<dyn Read + Send>>;

impl Table {
    fn find(
        directory: &Path,
        stem: &str,
        known: &'static [Column],
    ) -> anyhow::Result<Option<Self>> {
        let candidates = [format!("{stem}.csv"), format!("{stem}.csv.gz")];
        let Some(path) = find_one(directory, &candidates)? else {
            return Ok(None);
        };
        let name = file_name(&path);
        let length_bytes = std::fs::metadata(&path)
            .with_context(|| format!("Cannot read {}", path.display()))?
            .len();
        let mut rows = open(&path, |_| {})?;
        let columns = match rows
            .next()
            .with_context(|| format!("Cannot read {}", path.display()))?
        {
            Next::Record(header) => Columns::bind(header, known)
                .map_err(|fault| anyhow::anyhow!("{} {fault}", path.display()))?,
            Next::Bad { reason, .. } => bail!(
                "{}: the header cannot be read: {}",
                path.display(),
                reason.1
            ),
            Next::End => bail!("{} is empty: it has no header", path.display()),
        };
        if !columns.ignored.is_empty() {
            eprintln!("{name}: ignoring columns {}", columns.ignored.join(", "));
        }
        Ok(Some(Self {
            path,
            length_bytes,
            name,
            columns,
        }))
    }

    /// Name of the file, without the directory.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Length on disk.
    pub(super) fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// The rows after the header; what is read is counted in `tally`.
    pub(super) fn rows(&self, tally: Arc<Tally>) -> anyhow::Result<Rows> {
        let mut rows = open(&self.path, move |bytes| tally.add_bytes(bytes))?;
        rows.next()
            .with_context(|| format!("Cannot read {}", self.path.display()))?;
        Ok(rows)
    }
}

fn open(path: &Path, count: impl FnMut(u64) + Send + 'static) -> anyhow::Result<Rows> {
    let file = File::open(path).with_context(|| format!("Cannot open {}", path.display()))?;
    let counted = Counted { input: file, count };
    let compressed = path.extension().is_some_and(|extension| extension == "gz");
    Ok(Records::new(if compressed {
        Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(
            128 << 10,
            counted,
        )))
    } else {
        Box::new(counted)
    }))
}

/// At most one of the candidates: two would be a guess about which one is meant.
fn find_one(directory: &Path, candidates: &[impl AsRef<str>]) -> anyhow::Result<Option<PathBuf>> {
    let mut found = candidates
        .iter()
        .map(|name| directory.join(name.as_ref()))
        .filter(|path| path.is_file());
    let first = found.next();
    if let (Some(first), Some(second)) = (&first, found.next()) {
        bail!(
            "{} and {} are both there; keep one",
            first.display(),
            second.display()
        );
    }
    Ok(first)
}

/// Name of a file, without the directory.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Counts what is read of a file, as it is on disk.
struct Counted<R, F> {
    input: R,
    count: F,
}

impl<R: Read, F: FnMut(u64)> Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.input.read(buffer)?;
        (self.count)(bytes as u64);
        Ok(bytes)
    }
}
