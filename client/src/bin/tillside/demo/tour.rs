//! The tour: the three questions with their answers, and the life of a hold, each with the server's own time.

use super::{cast::Cast, paint::Paint};
use crate::{decimal, inputs, money, output, plan};
use anyhow::Context as _;
use tillside_client::{Answer, Tillside, v1};
use tillside_retailer::{BasketItem, World};

/// Calls before the tour, so that it shows a server at work and not one that was never asked anything.
const WARM_UP_CALLS: u32 = 50;
/// Shows everything.
pub(super) async fn tour(world: &World, client: &Tillside, paint: &Paint) -> anyhow::Result<()> {
    let cast = Cast::of(world);
    let tour = Tour {
        world,
        client,
        paint,
        cast,
    };
    tour.warm_up().await?;
    tour.recognise().await?;
    tour.offers().await?;
    tour.route_and_hold().await
}

/// Nearer stores that are listed with the reason they were not taken.
const REJECTED_SHOWN: usize = 5;

struct Tour<'a> {
    world: &'a World,
    client: &'a Tillside,
    paint: &'a Paint,
    cast: Cast,
}

impl Tour<'_> {
    async fn warm_up(&self) -> anyhow::Result<()> {
        for customer in 0..WARM_UP_CALLS.min(self.world.size().customers) {
            let card = self.world.card(customer);
            let _ = self
                .recognition(v1::IdentifierType::LoyaltyCard, &card)
                .await?;
        }
        Ok(())
    }

    async fn recognition(
        &self,
        kind: v1::IdentifierType,
        value: &str,
    ) -> anyhow::Result<Answer<v1::RecognizeCustomerResponse>> {
        let request = v1::RecognizeCustomerRequest {
            identifiers: vec![inputs::identifier(kind, value)],
            store_id: self.world.store_id(self.cast.store).to_owned(),
            channel: v1::Channel::Store.into(),
            view: v1::ProfileView::Checkout.into(),
        };
        Ok(self.client.recognize_customer(request).await?)
    }

    /// The question, about something that has a name, and the server's own time for the answer.
    fn asked(&self, what: &str, name: &str, server_time_us: Option<u64>) -> anyhow::Result<()> {
        let time = server_time_us
            .map(|us| format!("{us} µs"))
            .unwrap_or_default();
        let width = what.chars().count() + name.chars().count();
        let padding = 72_usize.saturating_sub(width);
        say!(
            "  {what}{}{:padding$}{}",
            self.paint.name(name),
            "",
            self.paint.dim(&format!("server {time:>8}"))
        );
        Ok(())
    }

    async fn recognise(&self) -> anyhow::Result<()> {
        self.headline("1  Who is this?")?;
        let card = self.world.card(self.cast.customer);
        let answer = self
            .recognition(v1::IdentifierType::LoyaltyCard, &card)
            .await?;
        self.asked("card ", &card, answer.server_time_us)?;
        let customer = answer
            .value
            .customer
            .context("the customer of the tour is not known")?;
        self.profile(&customer)?;
        let email = self.world.email(self.cast.customer);
        if let Some(email) = email {
            let answer = self.recognition(v1::IdentifierType::Email, &email).await?;
            self.asked("e-mail ", &email, answer.server_time_us)?;
            let same = answer
                .value
                .customer
                .as_ref()
                .is_some_and(|other| other.customer_id == customer.customer_id);
            anyhow::ensure!(same, "the e-mail names somebody else");
            self.answer(&format!("{}, the same person", customer.display_name))?;
        }
        let unknown = self.world.unknown_card();
        let answer = self
            .recognition(v1::IdentifierType::LoyaltyCard, &unknown)
            .await?;
        self.asked("card ", &unknown, answer.server_time_us)?;
        self.answer(&output::word(
            answer.value.outcome().as_str_name(),
            "RECOGNITION_OUTCOME_",
        ))?;
        Ok(())
    }

    fn profile(&self, customer: &v1::CustomerProfile) -> anyhow::Result<()> {
        let spent: Vec<String> = customer
            .spend
            .iter()
            .map(|spend| {
                format!(
                    "{}, {} a time",
                    money::format_optional(spend.net_amount.as_ref()),
                    money::format_optional(spend.average_ticket.as_ref())
                )
            })
            .collect();
        self.answer(&format!(
            "{} ({}), {} points, segments {}",
            customer.display_name,
            customer.customer_id,
            customer.points_available,
            customer.segments.join(", ")
        ))?;
        let rhythm = customer
            .days_between_purchases
            .map_or(String::new(), |days| format!(", every {days:.1} days"));
        self.detail(&format!(
            "{} purchases{rhythm}, {}",
            customer.purchase_count,
            spent.join("; ")
        ))?;
        let names = |favourites: &[v1::Favourite]| {
            let names: Vec<&str> = favourites
                .iter()
                .map(|favourite| favourite.display_name.as_str())
                .collect();
            names.join(" · ")
        };
        self.detail(&format!("often {}", names(&customer.favourite_categories)))?;
        self.detail(&format!("      {}", names(&customer.favourite_products)))?;
        Ok(())
    }

    async fn offers(&self) -> anyhow::Result<()> {
        self.headline("2  What should we offer?")?;
        let world = self.world;
        let lines: Vec<v1::BasketLine> = self
            .cast
            .till_basket
            .iter()
            .map(|item| self.scanned(*item))
            .collect();
        let request = v1::NextBestOfferRequest {
            identifiers: vec![inputs::identifier(
                v1::IdentifierType::LoyaltyCard,
                &world.card(self.cast.customer),
            )],
            store_id: world.store_id(self.cast.store).to_owned(),
            channel: v1::Channel::Store.into(),
            lines: lines.clone(),
            max_offers: 3,
        };
        let answer = self.client.next_best_offer(request).await?;
        self.asked(
            "with this basket, at the till of ",
            world.store_name(self.cast.store),
            answer.server_time_us,
        )?;
        self.basket(&lines, &self.cast.till_basket)?;
        for offer in &answer.value.ranked_offers {
            self.offer(offer)?;
        }
        let left_out: Vec<String> = answer
            .value
            .exclusions
            .iter()
            .map(|exclusion| {
                format!(
                    "{} ({})",
                    exclusion.offer_id,
                    output::word(exclusion.reason().as_str_name(), "EXCLUSION_REASON_")
                )
            })
            .collect();
        for (index, some) in left_out.chunks(4).enumerate() {
            let label = if index == 0 {
                "not offered: "
            } else {
                "             "
            };
            say!(
                "    {}",
                self.paint.dim(&format!("{label}{}", some.join(", ")))
            );
        }
        Ok(())
    }

    fn offer(&self, offer: &v1::RankedOffer) -> anyhow::Result<()> {
        let off: i64 = offer
            .line_rewards
            .iter()
            .flat_map(|reward| &reward.amount)
            .map(|amount| amount.minor_units)
            .sum();
        let off = match off {
            0 => String::new(),
            cents => format!(", {} off now", euro(cents)),
        };
        self.answer(&format!("{}. {}{off}", offer.rank, offer.display_name))?;
        self.detail(&format!(
            "score {:.1} = {:.3} likely × {:.1} fits × {} × {:.1}; {}",
            offer.score,
            offer.propensity,
            offer.context_weight,
            money::format_optional(offer.value.as_ref()),
            offer.lever,
            offer.reasons.join("; ")
        ))?;
        Ok(())
    }

    async fn route_and_hold(&self) -> anyhow::Result<()> {
        self.headline("3  Where can they get it?")?;
        let origin = v1::Place {
            place: Some(v1::place::Place::Location(self.cast.home(self.world))),
            ..Default::default()
        };
        let lines: Vec<v1::FulfillmentLine> = self
            .cast
            .web_basket
            .iter()
            .map(|item| item.fulfillment_line())
            .collect();
        let request = v1::PlanFulfillmentRequest {
            origin: Some(origin.clone()),
            lines: lines.clone(),
            max_distance_meters: Some(300_000.0),
            max_options: 3,
            require_open_now: false,
            ..Default::default()
        };
        let answer = self.client.plan_fulfillment(request).await?;
        let place = self.world.store_place(self.cast.store);
        self.asked(
            "all of this cart, seen from home in ",
            place.town,
            answer.server_time_us,
        )?;
        let cart: Vec<v1::BasketLine> = self
            .cast
            .web_basket
            .iter()
            .map(|item| item.basket_line())
            .collect();
        self.basket(&cart, &self.cast.web_basket)?;
        self.plan(&answer.value)?;
        let Some(store_id) = answer
            .value
            .options
            .first()
            .and_then(|option| option.legs.first())
            .map(|leg| leg.store_id.clone())
        else {
            self.detail("nothing to hold")?;
            return Ok(());
        };
        self.hold(origin, lines, &store_id).await
    }

    fn plan(&self, plan: &v1::FulfillmentPlan) -> anyhow::Result<()> {
        for rejected in plan.rejected_stores.iter().take(REJECTED_SHOWN) {
            say!(
                "    {}",
                self.paint.dim(&format!(
                    "{:>8}  {:<7}{:<32}{}",
                    plan::distance(rejected.distance_meters),
                    rejected.store_id,
                    self.store_name(&rejected.store_id),
                    output::word(rejected.reason().as_str_name(), "STORE_REJECTION_")
                ))
            );
        }
        if let Some(more) = plan
            .rejected_stores
            .get(REJECTED_SHOWN..)
            .filter(|more| !more.is_empty())
        {
            say!(
                "    {}",
                self.paint
                    .dim(&format!("{:>8}  and {} more", "", more.len()))
            );
        }
        for leg in plan.options.iter().flat_map(|option| &option.legs) {
            say!(
                "    {}",
                self.paint.good(&format!(
                    "{:>8}  {:<7}{:<32}pickup {}",
                    plan::distance(leg.distance_meters),
                    leg.store_id,
                    leg.store_display_name,
                    plan::window(leg.pickup_window.as_ref(), &leg.store_time_zone)
                ))
            );
        }
        if plan.options.is_empty() {
            self.answer(&output::word(plan.outcome().as_str_name(), "PLAN_OUTCOME_"))?;
        }
        Ok(())
    }

    fn store_name(&self, store_id: &str) -> &str {
        let count = self.world.size().stores as usize;
        let index = (0..count).find(|&index| self.world.store_id(index) == store_id);
        index.map_or("", |index| self.world.store_name(index))
    }

    async fn hold(
        &self,
        origin: v1::Place,
        lines: Vec<v1::FulfillmentLine>,
        store_id: &str,
    ) -> anyhow::Result<()> {
        let last_sku = lines
            .last()
            .map(|line| line.sku.clone())
            .unwrap_or_default();
        let before = self.free(&last_sku, store_id).await?;
        let request = v1::ReserveFulfillmentRequest {
            order_id: format!("demo-{}", uuid::Uuid::new_v4()),
            origin: Some(origin),
            lines,
            max_distance_meters: Some(300_000.0),
            hold_duration: Some(prost_types::Duration {
                seconds: 900,
                nanos: 0,
            }),
            ..Default::default()
        };
        let answer = self.client.reserve_fulfillment(request).await?;
        self.asked(
            "hold it for 15 minutes, durable before the answer",
            "",
            answer.server_time_us,
        )?;
        let reservation_id = answer.value.reservation_id.clone();
        self.reservation(&answer.value, &last_sku, &before, store_id)
            .await?;
        let request = v1::ConfirmReservationRequest {
            reservation_id: reservation_id.clone(),
            ..Default::default()
        };
        let answer = self.client.confirm_reservation(request).await?;
        self.asked("confirm: the order is placed", "", answer.server_time_us)?;
        self.reservation(&answer.value, &last_sku, &before, store_id)
            .await?;
        let request = v1::ReleaseReservationRequest {
            reservation_id,
            ..Default::default()
        };
        let answer = self.client.release_reservation(request).await?;
        self.asked(
            "release: the customer changed their mind",
            "",
            answer.server_time_us,
        )?;
        self.reservation(&answer.value, &last_sku, &before, store_id)
            .await
    }

    async fn reservation(
        &self,
        reservation: &v1::Reservation,
        sku: &str,
        before: &str,
        store_id: &str,
    ) -> anyhow::Result<()> {
        let leg = reservation
            .legs
            .first()
            .context("the reservation has no leg")?;
        let free = self.free(sku, store_id).await?;
        self.answer(&format!(
            "{} at {} {}; SKU {sku}: {free} left to promise ({before} before)",
            output::word(leg.state().as_str_name(), "RESERVATION_STATE_"),
            leg.store_id,
            self.store_name(&leg.store_id),
        ))?;
        Ok(())
    }

    async fn free(&self, sku: &str, store_id: &str) -> anyhow::Result<String> {
        let request = v1::GetAvailabilityRequest {
            sku: sku.to_owned(),
            store_id: store_id.to_owned(),
        };
        let level = self.client.get_availability(request).await?.value;
        Ok(decimal::format_quantity(level.available_online_thousandths))
    }

    /// What the till's scanner reads: the barcode, or the scale's label with the price in it.
    fn scanned(&self, item: BasketItem) -> v1::BasketLine {
        let world = self.world;
        let cents =
            u64::from(world.price_cents(item.product)) * item.thousandths.unsigned_abs() / 1000;
        let label =
            world.price_embedded_code(item.product, u32::try_from(cents).unwrap_or(u32::MAX));
        let by_piece = label.is_none();
        let code = label
            .or_else(|| world.gtin(item.product))
            .unwrap_or_default();
        v1::BasketLine {
            item: Some(v1::basket_line::Item::ScannedCode(code)),
            // A label says how much it is for; pieces are counted.
            quantity: item.basket_line().quantity.filter(|_| by_piece),
            ..Default::default()
        }
    }

    fn basket(&self, lines: &[v1::BasketLine], items: &[BasketItem]) -> anyhow::Result<()> {
        for (line, item) in lines.iter().zip(items) {
            let code = match &line.item {
                Some(
                    v1::basket_line::Item::ScannedCode(code) | v1::basket_line::Item::Sku(code),
                ) => code,
                None => "",
            };
            say!(
                "    {}",
                self.paint.dim(&format!(
                    "{:>6} × {code:<13}  {}",
                    decimal::format_quantity(item.thousandths),
                    self.world.product_name(item.product)
                ))
            );
        }
        Ok(())
    }

    fn headline(&self, text: &str) -> anyhow::Result<()> {
        say!("\n{}", self.paint.strong(text));
        Ok(())
    }

    fn answer(&self, text: &str) -> anyhow::Result<()> {
        say!("    {}", self.paint.good(text));
        Ok(())
    }

    fn detail(&self, text: &str) -> anyhow::Result<()> {
        say!("      {}", self.paint.dim(text));
        Ok(())
    }
}

fn euro(cents: i64) -> String {
    money::format(&v1::Money {
        currency_code: "EUR".to_owned(),
        minor_units: cents,
    })
}
