//! Import folders made of the real data: Complete Journey's receipts and the Italian outlets with the reference's stock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};

use crate::read_csv;

/// What the files say about a household, recomputed without the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Household {
    /// Distinct baskets.
    pub baskets: BTreeSet<u64>,
    /// Sum of sales_value in cents.
    pub cents: i64,
    /// Time of the last basket, as in the file.
    pub last: String,
    /// Product -> baskets with it (quantity above zero).
    pub products: HashMap<u64, u32>,
}

/// Cents of a decimal with at most two places.
pub fn cents(text: &str) -> Result<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = format!("{part:0<2}");
    Ok(whole.parse::<i64>()? * 100 + part.get(..2).context("two places")?.parse::<i64>()?)
}

/// Writes Complete Journey as an import folder (products, stores, customers, transactions) and answers what it says
/// about each household. Its stores have no coordinates, so they stand where outlets of the other file stand.
pub fn complete_journey(data: &Path, to: &Path) -> Result<BTreeMap<String, Household>> {
    let mut products = BufWriter::new(File::create(to.join("products.csv"))?);
    writeln!(products, "sku,name,category,brand")?;
    for row in read_csv(&data.join("cj_products.csv.gz"))?.records() {
        let row = row?;
        let quote = |i: usize| row[i].replace('"', "'");
        let path = [2, 4, 5]
            .map(quote)
            .into_iter()
            .filter(|s| !s.is_empty())
            .collect::<Vec<_>>()
            .join(" > ");
        writeln!(
            products,
            "{},\"{}\",\"{path}\",\"{}\"",
            &row[0],
            quote(5),
            quote(3)
        )?;
    }
    products.flush()?;

    let mut baskets: HashMap<u64, (String, String, String)> = HashMap::new();
    let mut stores = BTreeSet::new();
    for row in read_csv(&data.join("cj_baskets.csv.gz"))?.records() {
        let row = row?;
        stores.insert(row[2].to_owned());
        baskets.insert(
            row[0].parse()?,
            (row[1].to_owned(), row[2].to_owned(), row[4].to_owned()),
        );
    }
    let mut file = BufWriter::new(File::create(to.join("stores.csv"))?);
    writeln!(file, "store_id,name,lat,lon,state,time_zone")?;
    let outlets = read_csv(&data.join("stores_us_walmart.csv.gz"))?.into_records();
    for (store, outlet) in stores.iter().zip(outlets) {
        let outlet = outlet?;
        writeln!(
            file,
            "cj-{store},\"{}\",{},{},open,America/Chicago",
            &outlet[2], &outlet[6], &outlet[7]
        )?;
    }
    file.flush()?;

    let mut households: BTreeMap<String, Household> = BTreeMap::new();
    let mut file = BufWriter::new(File::create(to.join("transactions.csv"))?);
    writeln!(
        file,
        "transaction_id,store_id,time,card,sku,quantity,net_amount"
    )?;
    for name in ["cj_lines_w01_26.csv.gz", "cj_lines_w27_53.csv.gz"] {
        let mut reader = read_csv(&data.join(name))?;
        let mut row = csv::StringRecord::new();
        while reader.read_record(&mut row)? {
            let basket: u64 = row[0].parse()?;
            let (household, store, time) = &baskets[&basket];
            writeln!(
                file,
                "{basket},cj-{store},{time},{household},{},{},{}",
                &row[1], &row[2], &row[3]
            )?;
            let known = match households.get_mut(household) {
                Some(known) => known,
                None => households.entry(household.clone()).or_default(),
            };
            known.baskets.insert(basket);
            known.cents += cents(&row[3])?;
            if known.last < *time {
                known.last.clone_from(time);
            }
            if row[2].parse::<f64>()? > 0.0 {
                *known.products.entry(row[1].parse()?).or_default() += 1;
            }
        }
    }
    file.flush()?;

    let mut file = BufWriter::new(File::create(to.join("customers.csv"))?);
    writeln!(file, "customer_id,card,email,consent_profiling")?;
    for household in households.keys() {
        writeln!(
            file,
            "household-{household},{household},household{household}@example.com,true"
        )?;
    }
    file.flush()?;
    Ok(households)
}

/// The reference's hash: FNV-1a finished by splitmix64.
pub fn reference_hash(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    let z = fnv.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Pieces of a product in an outlet, by the reference's rule.
pub fn reference_stock(set: &str, store: &str, sku: u64) -> u64 {
    let hash = reference_hash(&format!("stock|{set}|{store}|{sku}"));
    if hash % 100 < 35 {
        0
    } else {
        1 + (hash / 100) % 12
    }
}

/// Appends the Italian outlets to `stores.csv` and writes the stock of `skus` (products the folder has) in all of them.
pub fn italian_outlets(data: &Path, to: &Path, skus: &BTreeSet<u64>) -> Result<usize> {
    let mut stores = BufWriter::new(File::options().append(true).open(to.join("stores.csv"))?);
    let mut stock = BufWriter::new(File::create(to.join("stock.csv"))?);
    writeln!(stock, "sku,store_id,on_hand")?;
    let mut rows = 0;
    for row in read_csv(&data.join("stores_it_mimit.csv.gz"))?.records() {
        let row = row?;
        let state = if &row[7] == "1" { "open" } else { "closed" };
        writeln!(
            stores,
            "{},\"{}\",{},{},{state},Europe/Rome",
            &row[0],
            row[3].replace('"', "'"),
            &row[5],
            &row[6]
        )?;
        for sku in skus {
            let pieces = reference_stock("it", &row[0], *sku);
            if pieces > 0 {
                writeln!(stock, "{sku},{},{pieces}", &row[0])?;
                rows += 1;
            }
        }
    }
    stores.flush()?;
    stock.flush()?;
    Ok(rows)
}
