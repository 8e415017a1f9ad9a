//! The ledgers, checked against the state: for every product in every store the folded opening and the movements of the
//! log since give the level, and for every customer they give the balance of points. It reads everything once and
//! changes nothing; it wants tables that stand still (a closed directory, a snapshot, or a log between two batches).

use std::collections::HashMap;
use std::fmt;

use tillside_engine::ids::{CellKey, CustomerId, Sequence};
use tillside_engine::ledger::{Movement, movements};
use tillside_engine::profile::History;
use tillside_engine::stock::StockLevel;

use crate::error::StoreError;
use crate::log::Records;
use crate::record;
use crate::retention::{PointsOpening, StockOpening, read_head};
use crate::table::{Table, Tables};

/// Violations told at most; all are counted.
const VIOLATIONS_TOLD_MAX: usize = 100;

/// Something that does not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The movements of a product in a store give another on_hand than its level has.
    OnHand {
        /// Product and store.
        cell: CellKey,
        /// What the movements give, in thousandths.
        ledger: i64,
        /// What the level says.
        level: i64,
    },
    /// Likewise for what was found damaged.
    Damaged {
        /// Product and store.
        cell: CellKey,
        /// What the movements give, in thousandths.
        ledger: i64,
        /// What the level says.
        level: i64,
    },
    /// The points given and taken give another balance than the customer has.
    Points {
        /// Whose.
        customer: CustomerId,
        /// What the movements give.
        ledger: i64,
        /// What the history says.
        balance: i64,
    },
    /// An opening holds records that the log does not have yet.
    OpeningAhead {
        /// Its table.
        table: Table,
        /// The sequence it holds through.
        through: Sequence,
        /// The last record of the log.
        last: Sequence,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |cell: &CellKey| {
            format!(
                "product number {} in store number {}",
                cell.sku().0,
                cell.store().0
            )
        };
        match self {
            Violation::OnHand {
                cell,
                ledger,
                level,
            } => write!(
                f,
                "{}: the movements give {ledger} thousandths on hand, the level says {level}",
                place(cell)
            ),
            Violation::Damaged {
                cell,
                ledger,
                level,
            } => write!(
                f,
                "{}: the movements give {ledger} thousandths damaged, the level says {level}",
                place(cell)
            ),
            Violation::Points {
                customer,
                ledger,
                balance,
            } => write!(
                f,
                "customer number {}: the receipts give {ledger} points, the balance says {balance}",
                customer.0
            ),
            Violation::OpeningAhead {
                table,
                through,
                last,
            } => write!(
                f,
                "a row of the table {} holds through sequence {}, but the log ends at {}",
                table.name(),
                through.0,
                last.0
            ),
        }
    }
}

/// What was checked and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// The first record of the log that is kept; 1 where none was folded away.
    pub first: Sequence,
    /// Records read.
    pub records: u64,
    /// Stock levels compared.
    pub levels: u64,
    /// Balances of points compared.
    pub balances: u64,
    /// The first violations; empty where everything adds up.
    pub violations: Vec<Violation>,
    /// All of them.
    pub violations_count: u64,
}

impl Audit {
    fn found(&mut self, violation: Violation) {
        self.violations_count += 1;
        if self.violations.len() < VIOLATIONS_TOLD_MAX {
            self.violations.push(violation);
        }
    }
}

/// Checks both ledgers. Memory: about 60 bytes for each level and each customer with points.
///
/// # Errors
/// [`StoreError`] where something cannot be read, or the log is not whole from its head on.
pub fn audit(tables: &(impl Tables + ?Sized)) -> Result<Audit, StoreError> {
    let head = read_head(tables)?;
    let mut audit = Audit {
        first: Sequence(head.sequence.0 + 1),
        ..Audit::default()
    };
    let mut stock: HashMap<CellKey, StockOpening> = HashMap::new();
    let mut cursor = tables.cursor(Table::StockOpenings, &[], None)?;
    while let Some((key, value)) = cursor.next()? {
        let (cell, opening) = record::read_row::<StockOpening>(key, value)?;
        stock.insert(cell, opening);
    }
    let mut points: HashMap<CustomerId, PointsOpening> = HashMap::new();
    let mut cursor = tables.cursor(Table::PointsOpenings, &[], None)?;
    while let Some((key, value)) = cursor.next()? {
        let (customer, opening) = record::read_row::<PointsOpening>(key, value)?;
        points.insert(customer, opening);
    }
    drop(cursor);
    let mut last = head.sequence;
    for record in Records::of(tables, head, Sequence(0)) {
        let record = record?;
        (last, audit.records) = (record.sequence, audit.records + 1);
        for event in &record.events {
            movements(event, &mut |movement| match movement {
                Movement::Moved { cell, .. } | Movement::Counted { cell, .. } => {
                    stock.entry(cell).or_default().enter(last, movement);
                }
                Movement::Points {
                    customer,
                    points: by,
                } => {
                    points.entry(customer).or_default().enter(last, by);
                }
            });
        }
    }
    let through = |table, through| Violation::OpeningAhead {
        table,
        through,
        last,
    };
    for ahead in stock.values().filter(|o| o.through > last) {
        audit.found(through(Table::StockOpenings, ahead.through));
    }
    for ahead in points.values().filter(|o| o.through > last) {
        audit.found(through(Table::PointsOpenings, ahead.through));
    }
    compare_levels(tables, stock, &mut audit)?;
    compare_balances(tables, points, &mut audit)?;
    Ok(audit)
}

fn compare_levels(
    tables: &(impl Tables + ?Sized),
    mut ledger: HashMap<CellKey, StockOpening>,
    audit: &mut Audit,
) -> Result<(), StoreError> {
    let mut compare = |cell, opening: StockOpening, on_hand, damaged| {
        if opening.on_hand != on_hand {
            audit.found(Violation::OnHand {
                cell,
                ledger: opening.on_hand,
                level: on_hand,
            });
        }
        if opening.damaged != damaged {
            audit.found(Violation::Damaged {
                cell,
                ledger: opening.damaged,
                level: damaged,
            });
        }
    };
    let mut levels = 0;
    let mut cursor = tables.cursor(Table::Stock, &[], None)?;
    while let Some((key, value)) = cursor.next()? {
        let (cell, level) = record::read_row::<StockLevel>(key, value)?;
        let opening = ledger.remove(&cell).unwrap_or_default();
        compare(cell, opening, level.on_hand, level.damaged);
        levels += 1;
    }
    // What never got a level: in a fixed order, so that two runs say the same.
    let mut rest: Vec<_> = ledger.into_iter().collect();
    rest.sort_unstable_by_key(|(cell, _)| *cell);
    for (cell, opening) in rest {
        compare(cell, opening, 0, 0);
    }
    audit.levels = levels;
    Ok(())
}

fn compare_balances(
    tables: &(impl Tables + ?Sized),
    mut ledger: HashMap<CustomerId, PointsOpening>,
    audit: &mut Audit,
) -> Result<(), StoreError> {
    let mut compare = |customer, ledger, balance| {
        if ledger != balance {
            audit.found(Violation::Points {
                customer,
                ledger,
                balance,
            });
        }
    };
    let mut balances = 0;
    let mut cursor = tables.cursor(Table::Histories, &[], None)?;
    while let Some((key, value)) = cursor.next()? {
        let (customer, history) = record::read_row::<History>(key, value)?;
        let opening = ledger.remove(&customer).unwrap_or_default();
        compare(customer, opening.points, history.points);
        balances += 1;
    }
    let mut rest: Vec<_> = ledger.into_iter().collect();
    rest.sort_unstable_by_key(|(customer, _)| *customer);
    for (customer, opening) in rest {
        compare(customer, opening.points, 0);
    }
    audit.balances = balances;
    Ok(())
}
