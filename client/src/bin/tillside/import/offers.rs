//! Offers are few: read whole, put one by one.

use super::{Job, events::Desk, offer_file, rejects::Fault, source::file_name, tally::Tally};
use anyhow::{Context as _, bail};
use std::{path::Path, sync::Arc};
use tillside_client::{
    Error, Tillside,
    v1::{GetOfferRequest, Offer, PutOfferRequest},
};
use tonic::Code;

/// An offer takes a few hundred bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Puts the offers of a file; in a dry run only reads it. "Line" in the rejects file is the offer's position, from 1.
pub(super) async fn put(job: &Job, path: &Path, tally: &Arc<Tally>) -> anyhow::Result<()> {
    let desk = Desk {
        tally: tally.clone(),
        rejects: job.rejects.clone(),
    };
    let length = std::fs::metadata(path).map(|metadata| metadata.len());
    if length.as_ref().is_ok_and(|length| *length > FILE_BYTES_MAX) {
        bail!("{} is longer than {FILE_BYTES_MAX} bytes", path.display());
    }
    let text =
        std::fs::read_to_string(path).with_context(|| format!("Cannot read {}", path.display()))?;
    let is_toml = path
        .extension()
        .is_some_and(|extension| extension == "toml");
    let entries = match offer_file::entries(&text, is_toml) {
        Ok(entries) => entries,
        Err(message) => {
            tally.add_rows(1);
            let fault = Fault::new(
                "",
                "BAD_FILE",
                format!("{} cannot be read: {message}", file_name(path)),
            );
            desk.reject(1, b"", &fault);
            return Ok(());
        }
    };
    for (line, entry) in (1..).zip(entries) {
        tally.add_rows(1);
        let raw = entry.to_string();
        let offer = match offer_file::offer(entry) {
            Ok(offer) => offer,
            Err(fault) => {
                desk.reject(line, raw.as_bytes(), &fault);
                continue;
            }
        };
        tally.add_sent(1);
        let Some(client) = &job.client else {
            tally.add_accepted(1);
            continue;
        };
        match put_one(client, offer).await {
            Ok(true) => tally.add_accepted(1),
            Ok(false) => tally.add_unchanged(1),
            Err(error) if is_about_the_offer(&error) => {
                desk.reject(line, raw.as_bytes(), &fault_of(&error))
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether the offer is new or different now. The server keeps an etag that only a change moves.
async fn put_one(client: &Tillside, offer: Offer) -> Result<bool, Error> {
    let request = GetOfferRequest {
        offer_id: offer.offer_id.clone(),
    };
    let before = match client.get_offer(request).await {
        Ok(answer) => Some(answer.value.etag),
        Err(error) if error.code() == Code::NotFound || error.code() == Code::InvalidArgument => {
            None
        }
        Err(error) => return Err(error),
    };
    let request = PutOfferRequest {
        request_id: String::new(),
        offer: Some(offer),
        validate_only: false,
    };
    let after = client.put_offer(request).await?.value.etag;
    Ok(before.as_ref() != Some(&after))
}

fn is_about_the_offer(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::AlreadyExists
            | Code::NotFound
            | Code::OutOfRange
            | Code::Aborted
    )
}

fn fault_of(error: &Error) -> Fault {
    match error.field_violations().first() {
        Some(violation) => Fault::new(
            violation
                .field
                .strip_prefix("offer.")
                .unwrap_or(&violation.field),
            error.reason(),
            violation.description.clone(),
        ),
        None => Fault::new("", error.reason(), error.to_string()),
    }
}
