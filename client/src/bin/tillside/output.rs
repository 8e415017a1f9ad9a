//! What a command prints: a table for people, or the answer's JSON for machines, with the server's own time.
//!
//! The JSON is the protobuf JSON mapping with the field names of the .proto files, all fields present, 64-bit integers as
//! numbers, and `server_time_us` beside them.

use crate::global::GlobalArgs;
use anyhow::Context as _;
use comfy_table::{LineStyle, Table, TableStyle, presets};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;
use std::io::Write as _;
use tillside_client::Answer;

/// Prints an answer whose message is `tillside.v1.<name>`, for people as `human` writes it.
pub(crate) fn show<M: Message>(
    global: &GlobalArgs,
    name: &str,
    answer: &Answer<M>,
    human: impl FnOnce(&M) -> String,
) -> anyhow::Result<()> {
    if global.json {
        let mut value = json(name, &answer.value)?;
        if let Value::Object(fields) = &mut value {
            fields.insert("server_time_us".to_owned(), answer.server_time_us.into());
        }
        return print(&value.to_string());
    }
    print(human(&answer.value).trim_end())?;
    match answer.server_time_us {
        Some(us) => print(&format!("server time {us} µs")),
        None => Ok(()),
    }
}

/// A line on stdout. Unlike `println!` it does not panic where the reader went away.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// A message as JSON.
fn json<M: Message>(name: &str, message: &M) -> anyhow::Result<Value> {
    let pool = DescriptorPool::decode(tillside_proto::FILE_DESCRIPTOR_SET)
        .context("reading the API's description")?;
    let descriptor = pool
        .get_message_by_name(&format!("tillside.v1.{name}"))
        .with_context(|| format!("the API has no message {name}"))?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false)
        .stringify_64_bit_integers(false);
    Ok(message.serialize_with_options(serde_json::value::Serializer, &options)?)
}

/// A rule under the titles and at the end, none between rows.
const RULED: TableStyle = TableStyle::new()
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// A table with column titles.
pub(crate) fn table<const N: usize>(titles: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(RULED).set_header(titles);
    table
}

/// A table of names and values; rows without a value are left out.
pub(crate) fn facts<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (name, value) in rows {
        if !value.is_empty() {
            table.add_row([name.to_owned(), value]);
        }
    }
    table
}

/// An enum value of the API for people: `RECOGNITION_OUTCOME_MATCHED` with its prefix gone, in lower case.
pub(crate) fn word(enum_value: &str, prefix: &str) -> String {
    enum_value
        .strip_prefix(prefix)
        .unwrap_or(enum_value)
        .to_lowercase()
        .replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tillside_client::v1;

    #[test]
    fn every_message_the_commands_print_is_in_the_api() {
        fn check<M: Message + Default>(name: &str) {
            let value = json(name, &M::default()).expect(name);
            assert!(value.is_object(), "{name}: {value}");
        }
        check::<v1::RecognizeCustomerResponse>("RecognizeCustomerResponse");
        check::<v1::CustomerProfile>("CustomerProfile");
        check::<v1::Decision>("Decision");
        check::<v1::FulfillmentPlan>("FulfillmentPlan");
        check::<v1::Reservation>("Reservation");
        check::<v1::ListReservationsResponse>("ListReservationsResponse");
        check::<v1::ReportPickExceptionResponse>("ReportPickExceptionResponse");
        check::<v1::StockLevel>("StockLevel");
        check::<v1::BatchGetAvailabilityResponse>("BatchGetAvailabilityResponse");
        check::<v1::ServerInfo>("ServerInfo");
    }

    #[test]
    fn json_keeps_field_names_numbers_and_enum_names() {
        let level = v1::StockLevel {
            sku: "0042".to_owned(),
            unit: v1::Unit::Kg.into(),
            on_hand_thousandths: -250,
            ..v1::StockLevel::default()
        };
        let value = json("StockLevel", &level).expect("a message of the API");
        assert_eq!(value["sku"], "0042");
        assert_eq!(value["unit"], "UNIT_KG");
        assert_eq!(value["on_hand_thousandths"], -250);
        assert_eq!(value["reserved_thousandths"], 0);
    }
}
