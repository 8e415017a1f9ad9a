//! `tillside profile`: everything known about a customer.

use crate::{global::GlobalArgs, inputs::IdentifierArgs, instant, money, output, recognize};
use clap::Args;
use std::process::ExitCode;
use tillside_client::v1::{
    ConsentPurpose, CustomerProfile, Favourite, GetCustomerRequest, ProfileView,
    RecognizeCustomerRequest,
};

/// Arguments of `tillside profile`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("who").required(true).multiple(true).args(["card", "email", "phone", "customer_id"])))]
pub(crate) struct ProfileArgs {
    #[command(flatten)]
    identifiers: IdentifierArgs,
}

/// By customer id the profile itself; by other identifiers a recognition with the full view.
pub(crate) async fn run(args: ProfileArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let client = global.connect().await?;
    let identifiers = args.identifiers.identifiers();
    if let ([customer_id], 1) = (args.identifiers.customer_id.as_slice(), identifiers.len()) {
        let request = GetCustomerRequest {
            customer_id: customer_id.clone(),
            view: ProfileView::Full.into(),
        };
        let answer = client.get_customer(request).await?;
        output::show(global, "CustomerProfile", &answer, human)?;
        return Ok(ExitCode::SUCCESS);
    }
    let request = RecognizeCustomerRequest {
        identifiers,
        view: ProfileView::Full.into(),
        ..RecognizeCustomerRequest::default()
    };
    let answer = client.recognize_customer(request).await?;
    let exit = recognize::exit(&answer.value);
    match &answer.value.customer {
        Some(customer) => {
            let answer = answer.clone().map(|_| customer.clone());
            output::show(global, "CustomerProfile", &answer, human)?;
        }
        None => output::show(
            global,
            "RecognizeCustomerResponse",
            &answer,
            recognize::human,
        )?,
    }
    Ok(exit.into())
}

/// A profile for people; what is not known is left out.
pub(crate) fn human(profile: &CustomerProfile) -> String {
    let contacts = profile.contacts.clone().unwrap_or_default();
    let address = [&contacts.address, &contacts.postal_code, &contacts.town]
        .into_iter()
        .filter(|part| !part.is_empty())
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let identifiers: Vec<&str> = profile
        .identifiers
        .iter()
        .map(|known| known.value.as_str())
        .collect();
    let consents: Vec<String> = profile
        .consents
        .iter()
        .map(|consent| {
            let purpose = ConsentPurpose::try_from(consent.purpose).unwrap_or_default();
            let purpose = output::word(purpose.as_str_name(), "CONSENT_PURPOSE_");
            format!("{purpose} {}", if consent.granted { "yes" } else { "no" })
        })
        .collect();
    let spend: Vec<String> = profile
        .spend
        .iter()
        .map(|total| {
            let average = money::format_optional(total.average_ticket.as_ref());
            format!(
                "{} (average {average})",
                money::format_optional(total.net_amount.as_ref())
            )
        })
        .collect();
    let last = match profile.last_purchase_store_id.as_str() {
        "" => instant::format_optional(profile.last_purchase_time.as_ref()),
        store => format!(
            "{} in store {store}",
            instant::format_optional(profile.last_purchase_time.as_ref())
        ),
    };
    let name = if profile.provisional {
        format!("{} (not enrolled yet)", profile.display_name)
    } else {
        profile.display_name.clone()
    };
    let rhythm = profile
        .days_between_purchases
        .map(|days| format!("every {days:.1} days"));
    output::facts([
        ("customer", profile.customer_id.clone()),
        ("name", name.trim().to_owned()),
        ("address", address),
        ("born", contacts.birth_date),
        ("language", contacts.language),
        ("identifiers", identifiers.join(", ")),
        ("points", profile.points_available.to_string()),
        ("segments", profile.segments.join(", ")),
        ("consents", consents.join(", ")),
        ("preferred store", profile.preferred_store_id.clone()),
        ("purchases", profile.purchase_count.to_string()),
        ("spend", spend.join(", ")),
        (
            "first purchase",
            instant::format_optional(profile.first_purchase_time.as_ref()),
        ),
        ("last purchase", last),
        ("buys", rhythm.unwrap_or_default()),
        (
            "favourite categories",
            favourites(&profile.favourite_categories),
        ),
        (
            "favourite products",
            favourites(&profile.favourite_products),
        ),
    ])
    .to_string()
}

fn favourites(favourites: &[Favourite]) -> String {
    let lines: Vec<String> = favourites
        .iter()
        .map(|favourite| {
            let name = match favourite.display_name.as_str() {
                "" => &favourite.id,
                name => name,
            };
            format!("{name} {:.0} %", favourite.share * 100.0)
        })
        .collect();
    lines.join("\n")
}
