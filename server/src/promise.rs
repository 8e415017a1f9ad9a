//! How well promises to shoppers are kept, counted as they are made, kept and broken. Counts of what was decided; they
//! decide nothing.

use metrics::{Counter, Histogram, Unit};
use tillside_engine::command::{Command, Timer};
use tillside_engine::ctx::Ctx;
use tillside_engine::event::Event;
use tillside_engine::order::PickProblem;
use tillside_engine::order_command::OrderStep;
use tillside_engine::own_holds::Own;
use tillside_engine::reservation::{Reservation, ReservationState};
use tillside_engine::routing::on_the_shelf;
use tillside_engine::state::State;

/// Says what the metrics mean.
pub fn describe() {
    metrics::describe_counter!(
        "tillside_holds_total",
        "Holds made, by choice: at the first store of the plan, or at a later one because it was taken meanwhile (fallback)."
    );
    metrics::describe_counter!(
        "tillside_fallback_steps_total",
        "Better stores passed over: at holds, and whenever an order moved to another store."
    );
    metrics::describe_counter!("tillside_holds_expired_total", "Holds that ran out.");
    metrics::describe_counter!(
        "tillside_orders_moved_total",
        "Orders that moved to another store, by cause: a pick exception, or a store that did not acknowledge in time."
    );
    metrics::describe_counter!(
        "tillside_pick_exceptions_total",
        "Lines that a store could not pick in full, by reason."
    );
    metrics::describe_counter!(
        "tillside_no_shows_total",
        "Ready orders whose customer did not come within the store's grace."
    );
    metrics::describe_counter!(
        "tillside_orders_ready_total",
        "Orders made ready, by whether that was within the promised pickup window (in_time) or after it (late)."
    );
    metrics::describe_histogram!(
        "tillside_ready_after_promise_seconds",
        Unit::Seconds,
        "From the start of the promised pickup window to when the goods were ready; 0 where they were ready before."
    );
    metrics::describe_counter!(
        "tillside_oversold_total",
        "Lines that were promised beyond what may be promised online. Anything but 0 is a defect."
    );
}

/// Counts promises.
pub struct Promises {
    first_choice: Counter,
    fallback_choice: Counter,
    fallback_steps: Counter,
    expired: Counter,
    moved_by_exception: Counter,
    moved_by_silence: Counter,
    not_found: Counter,
    damaged: Counter,
    declined: Counter,
    no_shows: Counter,
    ready_in_time: Counter,
    ready_late: Counter,
    ready_after: Histogram,
    oversold: Counter,
}

impl Default for Promises {
    fn default() -> Self {
        use metrics::counter;
        let (holds, moved) = ("tillside_holds_total", "tillside_orders_moved_total");
        let (short, ready) = (
            "tillside_pick_exceptions_total",
            "tillside_orders_ready_total",
        );
        Promises {
            first_choice: counter!(holds, "choice" => "first"),
            fallback_choice: counter!(holds, "choice" => "fallback"),
            fallback_steps: counter!("tillside_fallback_steps_total"),
            expired: counter!("tillside_holds_expired_total"),
            moved_by_exception: counter!(moved, "cause" => "pick_exception"),
            moved_by_silence: counter!(moved, "cause" => "not_acknowledged"),
            not_found: counter!(short, "reason" => "not_found"),
            damaged: counter!(short, "reason" => "damaged"),
            declined: counter!(short, "reason" => "declined"),
            no_shows: counter!("tillside_no_shows_total"),
            ready_in_time: counter!(ready, "promise" => "in_time"),
            ready_late: counter!(ready, "promise" => "late"),
            ready_after: metrics::histogram!("tillside_ready_after_promise_seconds"),
            oversold: counter!("tillside_oversold_total"),
        }
    }
}

impl Promises {
    /// `command` led to `events`, which are in the state.
    pub fn note(&self, state: &State, command: &Command, events: &[Event], ctx: &Ctx) {
        for event in events {
            match event {
                Event::ReservationHeld { reservation } => {
                    let steps = reservation.handling.fallback_steps;
                    if steps == 0 {
                        self.first_choice.increment(1);
                    } else {
                        self.fallback_choice.increment(1);
                    }
                    self.fallback_steps.increment(u64::from(steps));
                    self.promised(state, reservation);
                }
                Event::ReservationExpired { .. } => self.expired.increment(1),
                Event::ReservationPut { reservation } => {
                    self.changed(state, command, reservation, ctx);
                }
                _ => {}
            }
        }
        if let Command::Order(order) = command
            && let OrderStep::PickException(found) = &order.step
        {
            for line in &found.lines {
                let reason = match line.problem {
                    PickProblem::NotFound => &self.not_found,
                    PickProblem::Damaged => &self.damaged,
                    PickProblem::Declined => &self.declined,
                };
                reason.increment(1);
            }
        }
    }

    fn changed(&self, state: &State, command: &Command, reservation: &Reservation, ctx: &Ctx) {
        let by_timer = matches!(command, Command::Timer(Timer::Reservation(_)));
        let moves = by_timer
            || matches!(command, Command::Order(order) if matches!(order.step, OrderStep::PickException(_)));
        if moves
            && reservation.handling.replaces.is_some()
            && reservation.state == ReservationState::Confirmed
            && (reservation.created, reservation.handling.acknowledge_missed) == (ctx.now, false)
        {
            let cause = if by_timer {
                &self.moved_by_silence
            } else {
                &self.moved_by_exception
            };
            cause.increment(1);
            self.fallback_steps.increment(1);
            self.promised(state, reservation);
        }
        if by_timer && reservation.state == ReservationState::NeedsPutBack {
            self.no_shows.increment(1);
        }
        let made_ready =
            matches!(command, Command::Order(order) if matches!(order.step, OrderStep::MarkReady));
        if let (true, Some(ready)) = (made_ready, reservation.handling.ready) {
            let (from, until) = reservation.window.unwrap_or((reservation.created, ready));
            let in_time = if ready <= until {
                &self.ready_in_time
            } else {
                &self.ready_late
            };
            in_time.increment(1);
            let from = from.max(reservation.created);
            self.ready_after
                .record((ready.0 - from.0).max(0) as f64 / 1000.0);
        }
    }

    /// Checks what was promised against what there is, in the one place all promises pass.
    fn promised(&self, state: &State, reservation: &Reservation) {
        for line in reservation.lines.iter().filter(|l| l.held > 0) {
            let (sku, store) = (line.sku, reservation.store);
            let left = if line.claimed() > 0 {
                // What is promised of a delivery may not be more than that brings.
                state.available_online(sku, store) + state.inbound.incoming(sku, store).0
            } else {
                on_the_shelf(state, Own::default(), store, sku)
            };
            if left < 0 {
                self.oversold.increment(1);
                tracing::error!(reservation = %reservation.id, "promised more than there is: this is a defect of the server");
            }
        }
    }
}
