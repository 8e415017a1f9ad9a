//! `offers.toml` and `offers.json`: the API's Offer, written for people. Money is `{ currency, amount = "1.50" }`, enum
//! values lose their prefix, and a word nobody knows is a fault instead of silence.

use super::rejects::Fault;
use crate::{decimal, instant, money};
use serde::Deserialize;
use serde_json::Value;
use tillside_client::v1::{
    Channel, ConsentPurpose, Money, Offer, Reward, RewardComputedBy, reward,
};

/// Key under which the TOML reader hands over its own times.
const TOML_TIME: &str = "$__toml_private_datetime";

/// The entries of a file: each an object, not understood yet.
pub(super) fn entries(text: &str, is_toml: bool) -> Result<Vec<Value>, String> {
    let mut document: Value = if is_toml {
        toml::from_str(text).map_err(|error| error.to_string())?
    } else {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    };
    match document.get_mut("offers").map(Value::take) {
        Some(Value::Array(offers)) => Ok(offers.into_iter().map(plain_times).collect()),
        _ => Err("it has no list named offers".to_owned()),
    }
}

/// TOML has times of its own; from here on a time is a text.
fn plain_times(value: Value) -> Value {
    match value {
        Value::Object(mut fields) => {
            if let Some(time) = fields.remove(TOML_TIME) {
                return time;
            }
            Value::Object(
                fields
                    .into_iter()
                    .map(|(name, value)| (name, plain_times(value)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.into_iter().map(plain_times).collect()),
        value => value,
    }
}

/// An offer as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    offer_id: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    promotion_code: String,
    #[serde(default)]
    computed_by: Option<String>,
    #[serde(default)]
    start_time: Option<String>,
    #[serde(default)]
    end_time: Option<String>,
    #[serde(default)]
    store_ids: Vec<String>,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default)]
    segments: Vec<String>,
    #[serde(default)]
    minimum_basket: Option<Amount>,
    #[serde(default)]
    required_consents: Vec<String>,
    #[serde(default)]
    target_skus: Vec<String>,
    #[serde(default)]
    target_categories: Vec<String>,
    #[serde(default)]
    target_in_basket: bool,
    reward: RewardEntry,
    value: Amount,
    #[serde(default)]
    base_propensity: Option<f64>,
    #[serde(default)]
    lever: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Amount {
    #[serde(default = "euro")]
    currency: String,
    amount: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum RewardEntry {
    PercentOff(String),
    PercentOffBasisPoints(i32),
    AmountOff(Amount),
    ExtraPoints(i64),
}

fn euro() -> String {
    "EUR".to_owned()
}

/// Reads one entry.
pub(super) fn offer(value: Value) -> Result<Offer, Fault> {
    let entry: Entry = serde_json::from_value(value)
        .map_err(|error| Fault::new("", "BAD_OFFER", error.to_string()))?;
    let enum_values =
        |column: &str, prefix: &str, words: &[String], find: fn(&str) -> Option<i32>| {
            words
                .iter()
                .map(|word| {
                    let name = format!("{prefix}{}", word.to_ascii_uppercase());
                    find(&name).ok_or_else(|| {
                        Fault::new(
                            column,
                            "BAD_WORD",
                            format!("{word:?} is not one of the API's values"),
                        )
                    })
                })
                .collect::<Result<Vec<i32>, Fault>>()
        };
    let computed_by: Vec<String> = entry.computed_by.into_iter().collect();
    let computed_by = enum_values("computed_by", "REWARD_COMPUTED_BY_", &computed_by, |name| {
        RewardComputedBy::from_str_name(name).map(i32::from)
    })?;
    Ok(Offer {
        offer_id: entry.offer_id,
        display_name: entry.display_name,
        text: entry.text,
        promotion_code: entry.promotion_code,
        computed_by: computed_by.first().copied().unwrap_or_default(),
        start_time: time("start_time", entry.start_time)?,
        end_time: time("end_time", entry.end_time)?,
        store_ids: entry.store_ids,
        channels: enum_values("channels", "CHANNEL_", &entry.channels, |name| {
            Channel::from_str_name(name).map(i32::from)
        })?,
        segments: entry.segments,
        minimum_basket: entry
            .minimum_basket
            .map(|basket| amount("minimum_basket", basket))
            .transpose()?,
        required_consents: enum_values(
            "required_consents",
            "CONSENT_PURPOSE_",
            &entry.required_consents,
            |name| ConsentPurpose::from_str_name(name).map(i32::from),
        )?,
        target_skus: entry.target_skus,
        target_categories: entry.target_categories,
        target_in_basket: entry.target_in_basket,
        reward: Some(Reward {
            reward: Some(reward_of(entry.reward)?),
        }),
        value: Some(amount("value", entry.value)?),
        base_propensity: entry.base_propensity,
        lever: entry.lever,
        archived: false,
        etag: String::new(),
    })
}

fn reward_of(entry: RewardEntry) -> Result<reward::Reward, Fault> {
    let bad = |message: String| Fault::new("reward", "BAD_DECIMAL", message);
    Ok(match entry {
        RewardEntry::PercentOff(percent) => {
            let basis_points = decimal::parse(percent.as_bytes(), 2)
                .map_err(|error| bad(format!("percent_off {error}")))?;
            reward::Reward::PercentOffBasisPoints(
                i32::try_from(basis_points)
                    .map_err(|_| bad("percent_off is too large".to_owned()))?,
            )
        }
        RewardEntry::PercentOffBasisPoints(basis_points) => {
            reward::Reward::PercentOffBasisPoints(basis_points)
        }
        RewardEntry::AmountOff(entry) => reward::Reward::AmountOff(amount("reward", entry)?),
        RewardEntry::ExtraPoints(points) => reward::Reward::ExtraPoints(points),
    })
}

fn amount(column: &str, entry: Amount) -> Result<Money, Fault> {
    if !money::is_currency_code(entry.currency.as_bytes()) {
        return Err(Fault::new(
            column,
            "BAD_CURRENCY",
            format!(
                "{:?} is not a currency code of three upper-case letters",
                entry.currency
            ),
        ));
    }
    let minor_units = decimal::parse(
        entry.amount.as_bytes(),
        money::minor_digits(&entry.currency),
    )
    .map_err(|error| Fault::new(column, "BAD_DECIMAL", format!("{column} {error}")))?;
    Ok(Money {
        currency_code: entry.currency,
        minor_units,
    })
}

fn time(column: &str, text: Option<String>) -> Result<Option<prost_types::Timestamp>, Fault> {
    text.map(|text| {
        instant::parse(text.as_bytes()).ok_or_else(|| {
            Fault::new(
                column,
                "BAD_TIME",
                format!("{column} is not an RFC 3339 time"),
            )
        })
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = r#"
        [[offers]]
        offer_id = "YOG10"
        text = "Ten percent off yoghurt"
        computed_by = "server"
        start_time = 2026-01-01T00:00:00Z
        end_time = "2027-01-01T00:00:00Z"
        channels = ["store", "app"]
        required_consents = ["profiling"]
        target_categories = ["Food > Dairy"]
        minimum_basket = { amount = "20" }
        reward = { percent_off = "10" }
        value = { currency = "EUR", amount = "1.50" }
        base_propensity = 0.2
    "#;

    #[test]
    fn toml_and_json_say_the_same() {
        let json = serde_json::json!({"offers": [{
            "offer_id": "YOG10",
            "text": "Ten percent off yoghurt",
            "computed_by": "server",
            "start_time": "2026-01-01T00:00:00Z",
            "end_time": "2027-01-01T00:00:00Z",
            "channels": ["store", "app"],
            "required_consents": ["profiling"],
            "target_categories": ["Food > Dairy"],
            "minimum_basket": {"amount": "20"},
            "reward": {"percent_off_basis_points": 1000},
            "value": {"currency": "EUR", "amount": "1.50"},
            "base_propensity": 0.2,
        }]})
        .to_string();
        let mut read = [(TOML, true), (json.as_str(), false)].map(|(text, is_toml)| {
            let mut entries = entries(text, is_toml).expect("a list of offers");
            offer(entries.remove(0)).expect("a good offer")
        });
        assert_eq!(read[0], read[1]);
        let offer = std::mem::take(&mut read[0]);
        assert_eq!(
            offer.start_time.map(|time| time.seconds),
            Some(1_767_225_600)
        );
        assert_eq!(
            offer.channels,
            [i32::from(Channel::Store), i32::from(Channel::App)]
        );
        assert_eq!(
            offer.value.as_ref().map(|value| value.minor_units),
            Some(150)
        );
        assert_eq!(offer.computed_by(), RewardComputedBy::Server);
    }

    #[test]
    fn a_bad_entry_is_a_fault_of_its_own() {
        fn check(change: fn(&mut Value), expect: &str) {
            let mut entry = entries(TOML, true).expect("a list of offers").remove(0);
            change(&mut entry);
            let fault = offer(entry).expect_err("a bad offer");
            assert_eq!(format!("{} {}", fault.column, fault.reason).trim(), expect);
        }
        check(|entry| entry["colour"] = "red".into(), "BAD_OFFER");
        check(|entry| entry["value"] = Value::Null, "BAD_OFFER");
        check(
            |entry| entry["channels"] = vec!["shop"].into(),
            "channels BAD_WORD",
        );
        check(
            |entry| entry["end_time"] = "soon".into(),
            "end_time BAD_TIME",
        );
        check(
            |entry| entry["value"]["amount"] = "1,50".into(),
            "value BAD_DECIMAL",
        );
        check(
            |entry| entry["value"]["currency"] = "euro".into(),
            "value BAD_CURRENCY",
        );
    }
}
