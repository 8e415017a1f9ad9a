//! The cells of a row by column, turned into values; a cell that cannot be is a fault with the column's name.

use super::{records::Record, rejects::Fault};
use crate::{decimal, instant, money};
use prost_types::Timestamp;
use tillside_client::v1::{Identifier, IdentifierType, Money, Quantity};

/// A column a file may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Its name in the header.
    pub(super) name: &'static str,
    /// Whether the file is refused without it.
    pub(super) required: bool,
}

/// A column that must be in the header.
pub(super) const fn required(name: &'static str) -> Column {
    Column {
        name,
        required: true,
    }
}

/// A column that may be missing.
pub(super) const fn optional(name: &'static str) -> Column {
    Column {
        name,
        required: false,
    }
}

/// Where the columns of a kind of file are in this one.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    known: &'static [Column],
    /// Position in the file of each of `known`.
    positions: Vec<Option<usize>>,
    /// Number of columns in the file.
    width: usize,
    /// Columns of the file that nobody reads.
    pub(super) ignored: Vec<String>,
}

impl Columns {
    /// Finds `known` columns in a header row.
    pub(super) fn bind(header: Record<'_>, known: &'static [Column]) -> Result<Self, String> {
        let names: Vec<String> = (0..header.len())
            .map(|index| {
                let name = header.field(index);
                // Spreadsheets put a byte order mark in front.
                let name = name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name);
                String::from_utf8_lossy(name).to_ascii_lowercase()
            })
            .collect();
        let mut positions = Vec::with_capacity(known.len());
        for column in known {
            let mut places = names
                .iter()
                .enumerate()
                .filter(|(_, name)| *name == column.name);
            let position = places.next().map(|(index, _)| index);
            if places.next().is_some() {
                return Err(format!("has two columns {}", column.name));
            }
            if position.is_none() && column.required {
                return Err(format!("has no column {}", column.name));
            }
            positions.push(position);
        }
        let ignored = names
            .iter()
            .filter(|name| known.iter().all(|column| column.name != name.as_str()))
            .cloned()
            .collect();
        Ok(Self {
            known,
            positions,
            width: names.len(),
            ignored,
        })
    }

    /// The cells of a row. A row with more or fewer fields than the header would put values into wrong columns.
    pub(super) fn cells<'a>(&'a self, record: Record<'a>) -> Result<Cells<'a>, Fault> {
        if record.len() != self.width {
            return Err(Fault::new(
                "",
                "FIELD_COUNT",
                format!(
                    "the row has {} fields, the header {}",
                    record.len(),
                    self.width
                ),
            ));
        }
        Ok(Cells {
            columns: self,
            record,
        })
    }
}

/// The cells of one row. Columns are named by their place in the list the file was bound with.
#[derive(Clone, Copy)]
pub(super) struct Cells<'a> {
    columns: &'a Columns,
    record: Record<'a>,
}

impl<'a> Cells<'a> {
    /// The bytes of a cell; empty where the column is missing.
    pub(super) fn bytes(&self, column: usize) -> &'a [u8] {
        match self.columns.positions[column] {
            Some(position) => self.record.field(position),
            None => &[],
        }
    }

    /// A text of at most `bytes_max` bytes; empty where there is none.
    pub(super) fn text(&self, column: usize, bytes_max: usize) -> Result<&'a str, Fault> {
        let bytes = self.bytes(column);
        if bytes.len() > bytes_max {
            return Err(self.fault(
                column,
                "TOO_LONG",
                format!("is longer than {bytes_max} bytes"),
            ));
        }
        std::str::from_utf8(bytes).map_err(|_| self.fault(column, "NOT_UTF8", "is not UTF-8 text"))
    }

    /// An id: 1 to 128 bytes.
    pub(super) fn id(&self, column: usize) -> Result<&'a str, Fault> {
        let text = self.optional_id(column)?;
        if text.is_empty() {
            return Err(self.fault(column, "REQUIRED", "is empty"));
        }
        Ok(text)
    }

    /// An id that may be empty.
    pub(super) fn optional_id(&self, column: usize) -> Result<&'a str, Fault> {
        self.text(column, 128)
    }

    /// A name, address or other text for people.
    pub(super) fn label(&self, column: usize) -> Result<String, Fault> {
        self.text(column, 1024).map(str::to_owned)
    }

    /// A decimal number times ten to the power of `digits`.
    pub(super) fn decimal(&self, column: usize, digits: u32) -> Result<Option<i64>, Fault> {
        let bytes = self.bytes(column);
        if bytes.is_empty() {
            return Ok(None);
        }
        decimal::parse(bytes, digits)
            .map(Some)
            .map_err(|error| self.fault(column, "BAD_DECIMAL", error.to_string()))
    }

    /// A quantity in the product's own unit.
    pub(super) fn quantity(&self, column: usize) -> Result<Option<Quantity>, Fault> {
        let thousandths = self.decimal(column, decimal::QUANTITY_DIGITS)?;
        Ok(thousandths.map(|thousandths| Quantity {
            thousandths,
            ..Quantity::default()
        }))
    }

    /// An amount in the currency that `currency` answered.
    pub(super) fn money(&self, column: usize, currency: &str) -> Result<Option<Money>, Fault> {
        let minor_units = self.decimal(column, money::minor_digits(currency))?;
        Ok(minor_units.map(|minor_units| Money {
            currency_code: currency.to_owned(),
            minor_units,
        }))
    }

    /// A currency; EUR where there is none.
    pub(super) fn currency(&self, column: usize) -> Result<&'a str, Fault> {
        let code = self.bytes(column);
        if code.is_empty() {
            return Ok("EUR");
        }
        if !money::is_currency_code(code) {
            return Err(self.fault(
                column,
                "BAD_CURRENCY",
                "is not a currency code of three upper-case letters",
            ));
        }
        self.text(column, 3)
    }

    /// Degrees, or another number that is measured and not counted.
    pub(super) fn degrees(&self, column: usize, limit: f64) -> Result<f64, Fault> {
        let text = self.text(column, 64)?;
        if text.is_empty() {
            return Err(self.fault(column, "REQUIRED", "is empty"));
        }
        match text.parse::<f64>() {
            Ok(degrees) if degrees.abs() <= limit => Ok(degrees),
            Ok(_) => Err(self.fault(
                column,
                "OUT_OF_RANGE",
                format!("is not between -{limit} and {limit}"),
            )),
            Err(_) => Err(self.fault(
                column,
                "BAD_DECIMAL",
                "is not a number of degrees, for example 43.7696",
            )),
        }
    }

    /// A time.
    pub(super) fn time(&self, column: usize) -> Result<Option<Timestamp>, Fault> {
        let bytes = self.bytes(column);
        if bytes.is_empty() {
            return Ok(None);
        }
        instant::parse(bytes).map(Some).ok_or_else(|| {
            self.fault(
                column,
                "BAD_TIME",
                "is not an RFC 3339 time, for example 2026-03-01T09:30:00Z",
            )
        })
    }

    /// A calendar date; empty where there is none.
    pub(super) fn date(&self, column: usize) -> Result<&'a str, Fault> {
        let bytes = self.bytes(column);
        if !bytes.is_empty() && !instant::is_civil_date(bytes) {
            return Err(self.fault(column, "BAD_DATE", "is not a date like 2026-03-01"));
        }
        self.text(column, 10)
    }

    /// `true` or `false`, also 1 or 0; nothing where there is nothing.
    pub(super) fn flag(&self, column: usize) -> Result<Option<bool>, Fault> {
        match self.bytes(column) {
            b"" => Ok(None),
            b"true" | b"TRUE" | b"True" | b"1" => Ok(Some(true)),
            b"false" | b"FALSE" | b"False" | b"0" => Ok(Some(false)),
            _ => Err(self.fault(column, "BAD_FLAG", "is neither true nor false")),
        }
    }

    /// A whole number.
    pub(super) fn integer(&self, column: usize) -> Result<Option<i64>, Fault> {
        self.decimal(column, 0)
    }

    /// The parts of a list that is written in one cell.
    pub(super) fn list(&self, column: usize, separator: char) -> Result<Vec<String>, Fault> {
        Ok(self
            .text(column, 8192)?
            .split(separator)
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// The identifiers in columns of that kind, left to the server to normalise.
    pub(super) fn identifiers(
        &self,
        kinds: &[(usize, IdentifierType)],
    ) -> Result<Vec<Identifier>, Fault> {
        let mut identifiers = Vec::new();
        for &(column, kind) in kinds {
            let value = self.optional_id(column)?;
            if !value.is_empty() {
                identifiers.push(crate::inputs::identifier(kind, value));
            }
        }
        Ok(identifiers)
    }

    /// A fault of a column.
    pub(super) fn fault(&self, column: usize, reason: &str, message: impl AsRef<str>) -> Fault {
        let name = self.columns.known[column].name;
        Fault::new(name, reason, format!("{name} {}", message.as_ref()))
    }
}
