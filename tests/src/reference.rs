//! The reference's routing questions and answers, and import folders with its outlets and stock. Judges nothing.
//!
//! The reference's stock is a rule for every (outlet, product): sixteen million rows. A question's answer depends on its own
//! products in the outlets within its distance alone, so a folder has those; `TILLSIDE_REFERENCE_STOCK=all` writes every row.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tillside_proto::v1;
use tonic::{Code, Status};

use crate::read_csv;
use crate::shelf::refusal;
use crate::worlds::reference_stock;

/// A line of the reference's questions.
#[derive(Clone, Debug)]
pub struct Query {
    /// The reference's id of it.
    pub id: String,
    /// Which outlets: `it` or `ww`.
    pub set: String,
    /// What it is about.
    pub category: String,
    /// Where the shopper is.
    pub location: v1::LatLng,
    /// The basket.
    pub lines: Vec<v1::FulfillmentLine>,
    /// The limit.
    pub max_distance_meters: f64,
}

/// An answer in the reference's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// `OK`, `PARTIAL`, `NO_STOCK`, `NO_STORE_IN_RANGE`, `INVALID_ARGUMENT` or `UNKNOWN_SKU`.
    pub status: String,
    /// The store of `OK` and `PARTIAL`.
    pub store_id: String,
    /// Its distance.
    pub millimetres: u64,
    /// How many of the products it has in full.
    pub products: usize,
}

/// An outlet of the reference.
#[derive(Clone, Debug)]
pub struct Outlet {
    /// Its id.
    pub store_id: String,
    /// As in the file.
    pub latitude: f64,
    /// As in the file.
    pub longitude: f64,
    /// Whether it trades.
    pub open: bool,
}

/// A part of the earth, and what is asked for there.
#[derive(Clone, Debug)]
pub struct Around {
    /// The middle.
    pub location: v1::LatLng,
    /// How far.
    pub kilometres: f64,
    /// Products.
    pub skus: Vec<u64>,
}

/// The questions with their answers.
pub fn queries(data: &Path) -> Result<Vec<(Query, Answer)>> {
    let folder = data.join("../reference");
    let mut answers = HashMap::new();
    for row in read_csv(&folder.join("bopis_answers_dev.csv"))?.records() {
        let row = row?;
        let answer = Answer {
            status: row[2].to_owned(),
            store_id: row[3].to_owned(),
            millimetres: row[4].parse().unwrap_or(0),
            products: row[5].parse().unwrap_or(0),
        };
        answers.insert(row[0].to_owned(), answer);
    }
    let all: Vec<Value> =
        serde_json::from_reader(File::open(folder.join("bopis_queries_dev.json"))?)?;
    let pair = |query: &Value| {
        let text = |key: &str| query[key].as_str().map(str::to_owned);
        let id = text("query_id").context("query_id")?;
        let answer = answers.get(&id).context("an answer")?.clone();
        let query = Query {
            id,
            set: text("set").context("set")?,
            category: text("category").context("category")?,
            location: location(query)?,
            lines: lines(query)?,
            max_distance_meters: number(query, "max_km")? * 1000.0,
        };
        Ok((query, answer))
    };
    all.iter().map(pair).collect()
}

/// A number of a question or an operation.
pub fn number(of: &Value, key: &str) -> Result<f64> {
    of[key].as_f64().with_context(|| format!("{key} of {of}"))
}

/// Where a question or an operation is asked.
pub fn location(of: &Value) -> Result<v1::LatLng> {
    Ok(v1::LatLng {
        latitude: number(of, "lat")?,
        longitude: number(of, "lon")?,
    })
}

/// Its basket.
pub fn lines(of: &Value) -> Result<Vec<v1::FulfillmentLine>> {
    let line = |l: &Value| v1::FulfillmentLine {
        line_id: String::new(),
        sku: l["sku"].to_string(),
        quantity: l["qty"].as_i64().map(|q| v1::Quantity {
            thousandths: q * 1000,
            unit: 0,
        }),
        ..Default::default()
    };
    Ok(of["lines"]
        .as_array()
        .context("lines")?
        .iter()
        .map(line)
        .collect())
}

impl Query {
    /// What can change its answer.
    pub fn around(&self) -> Around {
        Around {
            location: self.location,
            kilometres: self.max_distance_meters / 1000.0,
            skus: self
                .lines
                .iter()
                .filter_map(|l| l.sku.parse().ok())
                .collect(),
        }
    }
}

/// What a plan says, in the reference's words.
pub fn in_reference_words(query: &Query, plan: &v1::FulfillmentPlan) -> Answer {
    let answer = |status: &str, store: Option<(&str, f64, usize)>| {
        let (store_id, meters, products) = store.unwrap_or_default();
        Answer {
            status: status.to_owned(),
            store_id: store_id.to_owned(),
            millimetres: (meters * 1e3).round() as u64,
            products,
        }
    };
    match plan.outcome() {
        v1::PlanOutcome::Matched => {
            let leg = &plan.options[0].legs[0];
            let all: BTreeSet<&str> = query.lines.iter().map(|l| l.sku.as_str()).collect();
            answer("OK", Some((&leg.store_id, leg.distance_meters, all.len())))
        }
        v1::PlanOutcome::Partial => {
            let best = &plan.partial_options[0];
            let products = usize::try_from(best.available_sku_count).unwrap_or(0);
            answer(
                "PARTIAL",
                Some((&best.store_id, best.distance_meters, products)),
            )
        }
        v1::PlanOutcome::NoStock => answer("NO_STOCK", None),
        _ => answer("NO_STORE_IN_RANGE", None),
    }
}

/// What a refusal says, in the reference's words.
pub fn refused_in_reference_words(status: &Status) -> Answer {
    let (code, reason) = refusal(status);
    let word = if code == Code::InvalidArgument {
        "INVALID_ARGUMENT".to_owned()
    } else {
        reason
    };
    Answer {
        status: word,
        ..Answer::default()
    }
}

/// The outlets of a set.
pub fn outlets(data: &Path, set: &str) -> Result<Vec<Outlet>> {
    let file = match set {
        "it" => "stores_it_mimit.csv.gz",
        _ => "stores_ww_starbucks.csv.gz",
    };
    let mut reader = read_csv(&data.join(file))?;
    let headers = reader.headers()?.clone();
    let column = |name: &str| {
        let found = headers.iter().position(|header| header == name);
        found.with_context(|| format!("no column {name} in {file}"))
    };
    let columns = [
        column("store_id")?,
        column("lat")?,
        column("lon")?,
        column("is_open")?,
    ];
    let outlet = |row: csv::StringRecord| {
        let [id, latitude, longitude, open] = columns.map(|at| row[at].to_owned());
        Ok(Outlet {
            store_id: id,
            latitude: latitude.parse()?,
            longitude: longitude.parse()?,
            open: open == "1",
        })
    };
    reader.records().map(|row| outlet(row?)).collect()
}

/// Every product of the reference.
pub fn products(data: &Path) -> Result<Vec<u64>> {
    let text = fs::read_to_string(data.join("../reference/bopis_skus.csv"))?;
    let numbers = text.lines().skip(1).map(|line| Ok(line.trim().parse()?));
    numbers.collect()
}

/// Kilometres between two points, well enough to leave out what is far away.
fn kilometres(a: v1::LatLng, b: &Outlet) -> f64 {
    let (lat1, lat2) = (a.latitude.to_radians(), b.latitude.to_radians());
    let half = |x: f64| (x / 2.0).sin().powi(2);
    let h = half(lat2 - lat1)
        + lat1.cos() * lat2.cos() * half(b.longitude.to_radians() - a.longitude.to_radians());
    2.0 * 6371.0088 * h.sqrt().min(1.0).asin()
}

/// Writes an import folder: all outlets of a set, all products, and the stock that can change an answer. Answers the number
/// of stock rows.
pub fn folder(data: &Path, to: &Path, set: &str, asked: &[Around]) -> Result<usize> {
    let everything = std::env::var("TILLSIDE_REFERENCE_STOCK").is_ok_and(|v| v == "all");
    let skus: BTreeSet<u64> = products(data)?.into_iter().collect();
    let mut file = BufWriter::new(File::create(to.join("products.csv"))?);
    writeln!(file, "sku")?;
    skus.iter().try_for_each(|sku| writeln!(file, "{sku}"))?;
    file.flush()?;
    let mut stores = BufWriter::new(File::create(to.join("stores.csv"))?);
    writeln!(stores, "store_id,lat,lon,state")?;
    let mut stock = BufWriter::new(File::create(to.join("stock.csv"))?);
    writeln!(stock, "sku,store_id,on_hand")?;
    let mut rows = 0;
    for outlet in outlets(data, set)? {
        let state = if outlet.open { "open" } else { "closed" };
        let Outlet {
            store_id,
            latitude,
            longitude,
            ..
        } = &outlet;
        // The shortest text that reads back as the same number.
        writeln!(stores, "{store_id},{latitude},{longitude},{state}")?;
        let near =
            |around: &&Around| kilometres(around.location, &outlet) <= around.kilometres + 0.1;
        let here: BTreeSet<u64> = match everything {
            true => skus.iter().copied().collect(),
            false => asked
                .iter()
                .filter(near)
                .flat_map(|a| a.skus.iter().copied())
                .collect(),
        };
        // A question may name a product that does not exist.
        for sku in here.into_iter().filter(|sku| skus.contains(sku)) {
            let pieces = reference_stock(set, store_id, sku);
            if pieces > 0 {
                writeln!(stock, "{sku},{store_id},{pieces}")?;
                rows += 1;
            }
        }
    }
    stores.flush()?;
    stock.flush()?;
    Ok(rows)
}
