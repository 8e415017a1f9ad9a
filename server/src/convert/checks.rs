//! Collecting every bad field of a request before it is refused, with the path of each. Paths are only written out for
//! what is wrong, so a good request pays nothing for them.

use std::fmt;
use std::sync::Arc;

use tillside_engine::limits::{
    AMOUNT_MINOR_MAX, ID_BYTES_MAX, QUANTITY_THOUSANDTHS_MAX, TEXT_BYTES_MAX,
};
use tillside_engine::units::{Currency, Money, Time, Unit};
use tillside_proto::v1;

/// Violations named in one refusal: they travel in a header, and many clients take 8 KiB of headers.
const VIOLATIONS_MAX: usize = 16;
/// Bytes of a path or problem that is repeated from the request.
const SHOWN_BYTES_MAX: usize = 160;
/// Seconds of 0001-01-01 and 9999-12-31T23:59:59, the range of a protobuf timestamp.
const SECONDS_RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Where in a request a value stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'static str,
    index: Option<usize>,
}

impl<'a> Path<'a> {
    /// The request itself.
    pub const ROOT: Path<'static> = Path {
        parent: None,
        name: "",
        index: None,
    };

    /// A field of this message.
    #[must_use]
    pub fn field(&'a self, name: &'static str) -> Path<'a> {
        Path {
            parent: Some(self),
            name,
            index: None,
        }
    }

    /// An element of a repeated field of this message.
    #[must_use]
    pub fn item(&'a self, name: &'static str, index: usize) -> Path<'a> {
        Path {
            parent: Some(self),
            name,
            index: Some(index),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else {
            return Ok(());
        };
        parent.fmt(f)?;
        if parent.parent.is_some() {
            f.write_str(".")?;
        }
        f.write_str(self.name)?;
        self.index.map_or(Ok(()), |i| write!(f, "[{i}]"))
    }
}

/// A field that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its path.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// A request that cannot be used: all that is wrong with it, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub Vec<Violation>);

impl Invalid {
    /// One bad field.
    pub fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Invalid(vec![Violation {
            field: field.into(),
            problem: problem.into(),
        }])
    }
}

/// The violations found so far. Conversions go on after one, with a stand-in value that [`Checks::finish`] keeps from use.
#[derive(Debug, Default)]
pub struct Checks(Vec<Violation>);

impl Checks {
    /// Notes a violation.
    pub fn refuse(&mut self, path: Path<'_>, problem: impl fmt::Display) {
        if self.0.len() < VIOLATIONS_MAX {
            self.0.push(Violation {
                field: shown(&path.to_string()),
                problem: shown(&problem.to_string()),
            });
        }
    }

    /// Notes a violation unless `good`.
    pub fn require(&mut self, good: bool, path: Path<'_>, problem: impl fmt::Display) {
        if !good {
            self.refuse(path, problem);
        }
    }

    /// The end of all checks.
    pub fn finish(self) -> Result<(), Invalid> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Invalid(self.0))
        }
    }

    /// An id of 1 to 128 bytes.
    pub fn id(&mut self, path: Path<'_>, value: &str) -> Arc<str> {
        self.require(!value.is_empty(), path, "is required");
        self.optional_id(path, value)
    }

    /// An id, or nothing.
    pub fn optional_id(&mut self, path: Path<'_>, value: &str) -> Arc<str> {
        self.short(path, value, ID_BYTES_MAX);
        self.require(!value.contains('\0'), path, "has a zero character");
        value.into()
    }

    /// A free text for people.
    pub fn text(&mut self, path: Path<'_>, value: &str) -> Arc<str> {
        self.short(path, value, TEXT_BYTES_MAX);
        value.into()
    }

    /// At most `max` bytes.
    pub fn short(&mut self, path: Path<'_>, value: &str, max: usize) {
        if value.len() > max {
            self.refuse(
                path,
                format_args!("has {} bytes; at most {max} are possible", value.len()),
            );
        }
    }

    /// A list of `min` to `max` elements.
    pub fn count(&mut self, path: Path<'_>, len: usize, min: usize, max: usize) {
        if len < min {
            self.refuse(
                path,
                if min == 1 {
                    "is required: at least one".to_owned()
                } else {
                    format!("needs at least {min}")
                },
            );
        } else if len > max {
            self.refuse(
                path,
                format_args!("has {len} elements; at most {max} are possible"),
            );
        }
    }

    /// A whole number in a range; zero stands for `default`.
    pub fn number_or(&mut self, path: Path<'_>, value: i32, default: usize, max: usize) -> usize {
        match usize::try_from(value) {
            Ok(0) => default,
            Ok(n) if n <= max => n,
            _ => {
                self.refuse(
                    path,
                    format_args!("is {value}; 1 to {max} is possible, unset means {default}"),
                );
                default
            }
        }
    }

    /// An instant, to the millisecond.
    pub fn time(&mut self, path: Path<'_>, value: &prost_types::Timestamp) -> Time {
        if !SECONDS_RANGE.contains(&value.seconds) || !(0..1_000_000_000).contains(&value.nanos) {
            self.refuse(path, "is not a time between the years 1 and 9999");
            return Time(0);
        }
        Time(value.seconds * 1000 + i64::from(value.nanos) / 1_000_000)
    }

    /// An instant, where set.
    pub fn optional_time(
        &mut self,
        path: Path<'_>,
        value: Option<&prost_types::Timestamp>,
    ) -> Option<Time> {
        value.map(|time| self.time(path, time))
    }

    /// An amount of money.
    pub fn money(&mut self, path: Path<'_>, value: &v1::Money) -> Money {
        let currency = Currency::parse(&value.currency_code).unwrap_or_else(|| {
            self.refuse(
                path.field("currency_code"),
                "is not three upper-case letters (ISO 4217), for example EUR",
            );
            Currency::EUR
        });
        if value.minor_units.unsigned_abs() > AMOUNT_MINOR_MAX.unsigned_abs() {
            self.refuse(
                path.field("minor_units"),
                format_args!("is beyond {AMOUNT_MINOR_MAX}"),
            );
            return Money { currency, minor: 0 };
        }
        Money {
            currency,
            minor: value.minor_units,
        }
    }

    /// An amount of money, where set.
    pub fn optional_money(&mut self, path: Path<'_>, value: Option<&v1::Money>) -> Option<Money> {
        value.map(|money| self.money(path, money))
    }

    /// A quantity with its unit, where one is named.
    pub fn quantity(&mut self, path: Path<'_>, value: &v1::Quantity) -> (i64, Option<Unit>) {
        let unit = match v1::Unit::try_from(value.unit) {
            Ok(v1::Unit::Unspecified) => None,
            Ok(v1::Unit::Ea) => Some(Unit::Each),
            Ok(v1::Unit::Kg) => Some(Unit::Kilogram),
            Ok(v1::Unit::L) => Some(Unit::Litre),
            Ok(v1::Unit::M) => Some(Unit::Metre),
            Err(_) => {
                self.refuse(path.field("unit"), "is not a unit this server knows");
                None
            }
        };
        if value.thousandths.unsigned_abs() > QUANTITY_THOUSANDTHS_MAX.unsigned_abs() {
            self.refuse(
                path.field("thousandths"),
                format_args!("is beyond {QUANTITY_THOUSANDTHS_MAX}"),
            );
            return (0, unit);
        }
        (value.thousandths, unit)
    }

    /// A value of an enum; `None` where the number is not one of it, which is noted.
    pub fn known<E: TryFrom<i32>>(&mut self, path: Path<'_>, value: i32) -> Option<E> {
        let known = E::try_from(value).ok();
        self.require(known.is_some(), path, "is not a value this server knows");
        known
    }

    /// The id of a request that changes something.
    pub fn request_id(&mut self, value: &str) {
        let root = Path::ROOT;
        let path = root.field("request_id");
        self.require(
            !value.is_empty(),
            path,
            "is required: a new UUID for each new request, the same one for a retry",
        );
        self.short(path, value, ID_BYTES_MAX);
    }
}

fn shown(text: &str) -> String {
    if text.len() <= SHOWN_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=SHOWN_BYTES_MAX)
        .rev()
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_the_request() {
        let root = Path::ROOT;
        let line = root.item("lines", 3);
        assert_eq!(line.field("quantity").to_string(), "lines[3].quantity");
        assert_eq!(
            root.field("origin").field("location").to_string(),
            "origin.location"
        );
        assert_eq!(root.to_string(), "");
    }

    #[test]
    fn every_bad_field_is_named_and_the_list_is_bounded() {
        let mut checks = Checks::default();
        let root = Path::ROOT;
        checks.id(root.field("sku"), "");
        checks.money(
            root.field("price"),
            &v1::Money {
                currency_code: "eur".into(),
                minor_units: i64::MIN,
            },
        );
        checks.quantity(
            root.field("quantity"),
            &v1::Quantity {
                thousandths: i64::MIN,
                unit: 99,
            },
        );
        checks.time(
            root.field("time"),
            &prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            },
        );
        let fields: Vec<_> = checks.0.iter().map(|v| v.field.as_str()).collect();
        let expect = [
            "sku",
            "price.currency_code",
            "price.minor_units",
            "quantity.unit",
            "quantity.thousandths",
            "time",
        ];
        assert_eq!(fields, expect);
        for i in 0..100 {
            checks.refuse(root.item("lines", i), "x".repeat(1000));
        }
        let Invalid(all) = checks.finish().expect_err("violations");
        assert_eq!(all.len(), VIOLATIONS_MAX);
        assert!(all.iter().all(|v| v.problem.len() <= SHOWN_BYTES_MAX + 3));
    }

    #[test]
    fn times_keep_milliseconds_before_and_after_1970() {
        let check = |seconds, nanos, expect| {
            let mut checks = Checks::default();
            assert_eq!(
                checks.time(Path::ROOT, &prost_types::Timestamp { seconds, nanos }),
                Time(expect)
            );
            assert!(checks.finish().is_ok());
        };
        check(1, 999_999_999, 1999);
        check(-1, 500_000_000, -500);
        check(0, 0, 0);
    }
}
