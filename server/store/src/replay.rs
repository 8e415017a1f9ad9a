//! Replay: the log applied from its beginning, to prove that the rows of every batch and `apply` say the same. A start
//! does not need it.

use std::sync::Arc;

use tillside_engine::apply::{Touched, apply};
use tillside_engine::ctx::Ctx;
use tillside_engine::customer::{Customer, Personal};
use tillside_engine::ids::Sequence;
use tillside_engine::state::State;

use crate::error::StoreError;
use crate::log::{Log, Position, follows};
use crate::record;
use crate::table::{Table, Tables};

/// The state after every record of the log. Personal records are not in the log and come from their table.
///
/// # Errors
/// [`StoreError`] at the first record that cannot be used; [`StoreError::HeadFolded`] where the beginning is no longer kept.
pub fn replay(log: &(impl Log + Tables)) -> Result<State, StoreError> {
    let head = log.head();
    if head != Position::default() {
        return Err(StoreError::HeadFolded {
            first: head.sequence.0 + 1,
        });
    }
    let state = State::default();
    let mut personal = log.cursor(Table::Personal, &[], None)?;
    while let Some((key, value)) = personal.next()? {
        let (id, personal) = record::read_row::<Personal>(key, value)?;
        state.customers.insert(
            id,
            Arc::new(Customer {
                personal: Arc::new(personal),
                ..Customer::default()
            }),
        );
    }
    let mut touched = Touched::default();
    let mut last = Position::default();
    for record in log.iterate(Sequence(1)) {
        let record = record?;
        follows(last, &record)?;
        apply(
            &state,
            &record.events,
            &Ctx {
                seq: record.sequence,
                now: record.now,
            },
            &mut touched,
        );
        touched.clear();
        last = record.position();
    }
    Ok(state)
}
