//! Amounts of money: how many decimal places a currency has, and amounts for people.

use crate::decimal;
use tillside_client::v1::Money;

/// Decimal places of the minor unit of a currency (ISO 4217).
pub(crate) fn minor_digits(currency_code: &str) -> u32 {
    match currency_code {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// Whether `code` looks like an ISO 4217 code: three upper-case letters.
pub(crate) fn is_currency_code(code: &[u8]) -> bool {
    code.len() == 3 && code.iter().all(u8::is_ascii_uppercase)
}

/// An amount for people, for example "12.50 EUR".
pub(crate) fn format(money: &Money) -> String {
    let amount = decimal::format(money.minor_units, minor_digits(&money.currency_code));
    format!("{amount} {}", money.currency_code)
}

/// The same where there may be none.
pub(crate) fn format_optional(money: Option<&Money>) -> String {
    money.map(format).unwrap_or_default()
}
