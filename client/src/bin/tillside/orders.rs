//! `tillside orders`: what a store does with an order, from its list of work to the handover.

use crate::{decimal, global::GlobalArgs, output, reservation};
use clap::{Args, Subcommand, ValueEnum};
use std::process::ExitCode;
use tillside_client::v1::{
    AcknowledgePickRequest, CancelOrderRequest, ConfirmHandoverRequest, ConfirmPutBackRequest,
    HandedOverLine, ListReservationsRequest, ListReservationsResponse, MarkReadyForPickupRequest,
    MarkShippedRequest, PickExceptionReason, PickedLine, Quantity, ReportPickExceptionRequest,
    ReportPickExceptionResponse, Reservation, StartPickingRequest,
};

/// Arguments of `tillside orders`.
#[derive(Debug, Args)]
pub(crate) struct OrdersArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// A store's work, or all reservations of an order
    #[command(group(clap::ArgGroup::new("of").required(true)))]
    List {
        /// What this store has to do
        #[arg(long, value_name = "ID", group = "of")]
        store: Option<String>,
        /// Reservations of this order
        #[arg(long, value_name = "ID", group = "of")]
        order: Option<String>,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 100)]
        max: i32,
        /// Where the list before ended
        #[arg(long, value_name = "TOKEN")]
        page: Option<String>,
    },
    /// The store has seen the order
    Ack(One),
    /// The store picks the order
    Pick(One),
    /// The order waits for its customer
    Ready(One),
    /// The goods go to the customer, all or line by line
    Handover {
        #[command(flatten)]
        one: One,
        /// The customer's pickup code
        #[arg(long, value_name = "CODE", required_unless_present = "without_code")]
        code: Option<String>,
        /// You know who it is in another way
        #[arg(long)]
        without_code: bool,
        /// The customer takes no more: the rest has to be put back
        #[arg(long)]
        last: bool,
        /// What is handed over; all that is left where none is named
        #[arg(value_name = "LINE[:QTY]", value_parser = line)]
        lines: Vec<Line>,
    },
    /// Not all of it could be picked
    Short {
        #[command(flatten)]
        one: One,
        /// What became of the rest
        #[arg(long, value_enum, default_value_t = Reason::NotFound)]
        reason: Reason,
        /// Move the order to the next store that has everything
        #[arg(long = "move")]
        move_to_next: bool,
        /// The lines that are short, with what was found of them
        #[arg(required = true, value_name = "LINE[:FOUND]", value_parser = line)]
        lines: Vec<Line>,
    },
    /// The goods left with a carrier
    Ship {
        #[command(flatten)]
        one: One,
        /// Who carries them
        #[arg(long, value_name = "NAME", default_value = "")]
        carrier: String,
        /// Their number there
        #[arg(long, value_name = "NUMBER", default_value = "")]
        tracking: String,
    },
    /// The goods of an order that has ended are on the shelf again
    PutBack(One),
    /// End an order, however far it is
    Cancel {
        /// The order
        #[arg(value_name = "ORDER_ID")]
        order: String,
    },
}

/// A reservation.
#[derive(Debug, Args)]
struct One {
    /// The reservation
    #[arg(value_name = "RESERVATION_ID")]
    reservation: String,
}

/// Why a line is short.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Reason {
    /// It is not on the shelf
    NotFound,
    /// It is there and cannot be sold
    Damaged,
    /// It is there and not picked
    Declined,
}

/// A line of a reservation, with how much of it.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    id: String,
    quantity: Option<i64>,
}

/// `LINE` or `LINE:QTY`.
fn line(text: &str) -> Result<Line, String> {
    let (id, quantity) = match text.rsplit_once(':') {
        Some((id, quantity)) => {
            let parsed = decimal::parse(quantity.as_bytes(), decimal::QUANTITY_DIGITS);
            (id, Some(parsed.map_err(|e| format!("the quantity {e}"))?))
        }
        None => (text, None),
    };
    if id.is_empty() {
        return Err("names no line".to_owned());
    }
    Ok(Line {
        id: id.to_owned(),
        quantity,
    })
}

fn wire(quantity: Option<i64>) -> Option<Quantity> {
    quantity.map(|thousandths| Quantity {
        thousandths,
        ..Quantity::default()
    })
}

pub(crate) async fn run(args: OrdersArgs, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
    let client = global.connect().await?;
    let stepped = match args.action {
        Action::List {
            store,
            order,
            max,
            page,
        } => {
            let request = ListReservationsRequest {
                store_id: store.unwrap_or_default(),
                order_id: order.unwrap_or_default(),
                page_size: max,
                page_token: page.unwrap_or_default(),
                ..Default::default()
            };
            let answer = client.list_reservations(request).await?;
            output::show(global, "ListReservationsResponse", &answer, list)?;
            return Ok(ExitCode::SUCCESS);
        }
        Action::Short {
            one,
            reason,
            move_to_next,
            lines,
        } => {
            let reason = match reason {
                Reason::NotFound => PickExceptionReason::NotFound,
                Reason::Damaged => PickExceptionReason::Damaged,
                Reason::Declined => PickExceptionReason::Declined,
            };
            let line = |line: Line| PickedLine {
                line_id: line.id,
                quantity_found: wire(line.quantity),
                reason: reason.into(),
            };
            let request = ReportPickExceptionRequest {
                reservation_id: one.reservation,
                lines: lines.into_iter().map(line).collect(),
                move_to_next,
                ..Default::default()
            };
            let answer = client.report_pick_exception(request).await?;
            output::show(global, "ReportPickExceptionResponse", &answer, short)?;
            return Ok(ExitCode::SUCCESS);
        }
        Action::Ack(one) => {
            let request = AcknowledgePickRequest {
                reservation_id: one.reservation,
                ..Default::default()
            };
            client.acknowledge_pick(request).await?
        }
        Action::Pick(one) => {
            let request = StartPickingRequest {
                reservation_id: one.reservation,
                ..Default::default()
            };
            client.start_picking(request).await?
        }
        Action::Ready(one) => {
            let request = MarkReadyForPickupRequest {
                reservation_id: one.reservation,
                ..Default::default()
            };
            client.mark_ready_for_pickup(request).await?
        }
        Action::Handover {
            one,
            code,
            without_code,
            last,
            lines,
        } => {
            let line = |line: Line| HandedOverLine {
                line_id: line.id,
                quantity: wire(line.quantity),
            };
            let request = ConfirmHandoverRequest {
                reservation_id: one.reservation,
                lines: lines.into_iter().map(line).collect(),
                pickup_code: code.unwrap_or_default(),
                without_code,
                is_last: last,
                ..Default::default()
            };
            client.confirm_handover(request).await?
        }
        Action::Ship {
            one,
            carrier,
            tracking,
        } => {
            let request = MarkShippedRequest {
                reservation_id: one.reservation,
                carrier,
                tracking_number: tracking,
                ..Default::default()
            };
            client.mark_shipped(request).await?
        }
        Action::PutBack(one) => {
            let request = ConfirmPutBackRequest {
                reservation_id: one.reservation,
                ..Default::default()
            };
            client.confirm_put_back(request).await?
        }
        Action::Cancel { order } => {
            let request = CancelOrderRequest {
                order_id: order,
                ..Default::default()
            };
            client.cancel_order(request).await?
        }
    };
    output::show(global, "Reservation", &stepped, reservation::human)?;
    Ok(ExitCode::SUCCESS)
}

/// A line for each line of each reservation.
fn list(page: &ListReservationsResponse) -> String {
    let mut table = output::table([
        "reservation",
        "order",
        "part",
        "store",
        "state",
        "payment",
        "line",
        "sku",
        "held",
    ]);
    for one in &page.reservations {
        for leg in &one.legs {
            for line in &leg.lines {
                let held = line.quantity_reserved.as_ref();
                table.add_row([
                    one.reservation_id.clone(),
                    one.order_id.clone(),
                    part(one),
                    leg.store_id.clone(),
                    output::word(leg.state().as_str_name(), "RESERVATION_STATE_"),
                    output::word(one.payment_state().as_str_name(), "PAYMENT_STATE_"),
                    line.line_id.clone(),
                    line.sku.clone(),
                    held.map(|q| decimal::format_quantity(q.thousandths))
                        .unwrap_or_default(),
                ]);
            }
        }
    }
    let mut text = table.to_string();
    if !page.next_page_token.is_empty() {
        text.push_str(&format!("\nmore follow: --page {}", page.next_page_token));
    }
    text
}

/// Which part of its order a reservation is: `1 of 2`. Empty where it is the only one.
fn part(reservation: &Reservation) -> String {
    let parts = &reservation.part_reservation_ids;
    let at = parts
        .iter()
        .position(|id| *id == reservation.reservation_id);
    at.map_or_else(String::new, |at| format!("{} of {}", at + 1, parts.len()))
}

/// What became of an order that could not be picked.
fn short(told: &ReportPickExceptionResponse) -> String {
    let mut text = told
        .reservation
        .as_ref()
        .map(reservation::human)
        .unwrap_or_default();
    if let Some(moved) = &told.moved_to {
        text.push_str("\nmoved to\n");
        text.push_str(&reservation::human(moved));
        return text;
    }
    let stores: Vec<&str> = told
        .alternatives
        .iter()
        .flat_map(|option| &option.legs)
        .map(|leg| leg.store_id.as_str())
        .collect();
    text.push('\n');
    if stores.is_empty() {
        text.push_str("no other store has everything");
    } else {
        text.push_str(&format!("others have everything: {}", stores.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_say_how_much() {
        let of = |id: &str, quantity| {
            Ok(Line {
                id: id.to_owned(),
                quantity,
            })
        };
        assert_eq!(line("1"), of("1", None));
        assert_eq!(line("a:b:1.5"), of("a:b", Some(1500)));
        assert!(line(":1").is_err());
        assert!(line("1:x").is_err());
    }
}
