//! What a command does to levels: gathered while its events are applied, and done after the last of them, each level in one
//! step. So no reader finds a level half way, with goods that have left `reserved` and are not in `committed` yet: they
//! would look free.

use crate::ids::CellKey;
use crate::stock_table::StockTable;
use crate::units::Time;

/// What is done to a level; quantities in thousandths.
#[derive(Clone, Copy, Debug)]
pub(super) enum LevelChange {
    /// Goods came, left, or were found damaged.
    Moved {
        /// Of on_hand.
        delta: i64,
        /// Of damaged.
        damaged: i64,
        /// When it happened.
        occurred: Time,
    },
    /// A count was taken.
    Counted {
        /// What is there now.
        on_hand: i64,
        /// The safety stock it gave.
        safety: Option<i64>,
        /// When it was counted.
        as_of: Time,
    },
    /// A reservation holds more or less.
    Promised {
        /// Of reserved.
        reserved: i64,
        /// Of committed.
        committed: i64,
    },
}

/// What the events so far do to levels, in their order.
#[derive(Debug, Default)]
pub(super) struct LevelChanges(Vec<(CellKey, LevelChange)>);

impl LevelChanges {
    pub(super) fn push(&mut self, cell: CellKey, change: LevelChange) {
        self.0.push((cell, change));
    }

    /// Does it all, and forgets it; `changed` is told each level once.
    pub(super) fn carry_out(
        &mut self,
        stock: &StockTable,
        now: Time,
        mut changed: impl FnMut(CellKey),
    ) {
        // Stable: what is done to one level stays in its order.
        self.0.sort_by_key(|(cell, _)| *cell);
        for of_one in self.0.chunk_by(|one, next| one.0 == next.0) {
            let cell = of_one[0].0;
            stock.change(cell, |level| {
                for (_, change) in of_one {
                    match *change {
                        LevelChange::Moved {
                            delta,
                            damaged,
                            occurred,
                        } => {
                            if delta != 0 {
                                level.move_on_hand(delta, occurred, now);
                            }
                            level.damaged += damaged;
                        }
                        LevelChange::Counted {
                            on_hand,
                            safety,
                            as_of,
                        } => level.set_count(on_hand, safety, as_of),
                        LevelChange::Promised {
                            reserved,
                            committed,
                        } => {
                            level.reserved += reserved;
                            level.committed += committed;
                        }
                    }
                }
            });
            changed(cell);
        }
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: CellKey = CellKey(1 << 32 | 7);
    const OTHER: CellKey = CellKey(2 << 32 | 3);

    fn moved(delta: i64) -> LevelChange {
        LevelChange::Moved {
            delta,
            damaged: 0,
            occurred: Time(5),
        }
    }

    fn promised(reserved: i64, committed: i64) -> LevelChange {
        LevelChange::Promised {
            reserved,
            committed,
        }
    }

    fn counted(on_hand: i64) -> LevelChange {
        LevelChange::Counted {
            on_hand,
            safety: None,
            as_of: Time(9),
        }
    }

    /// What a reader may find meanwhile: (level, on_hand, reserved, committed) after each step.
    fn check(changes: &[(CellKey, LevelChange)], expect: &[(CellKey, i64, i64, i64)]) {
        let stock = StockTable::default();
        stock.change(ONE, |level| (level.on_hand, level.reserved) = (6, 2));
        let mut gathered = LevelChanges::default();
        for (cell, change) in changes {
            gathered.push(*cell, *change);
        }
        let mut steps = Vec::new();
        gathered.carry_out(&stock, Time(10), |cell| {
            let level = stock.get(cell).expect("it changed");
            steps.push((cell, level.on_hand, level.reserved, level.committed));
        });
        assert_eq!(steps, expect, "{changes:?}");
        gathered.carry_out(&stock, Time(10), |cell| panic!("{cell:?} again"));
    }

    #[test]
    fn a_level_changes_in_one_step_a_command() {
        check(&[], &[]);
        check(&[(ONE, moved(-1))], &[(ONE, 5, 2, 0)]);
        // Confirmed: out of one sum, into the other.
        let confirmed = [(ONE, promised(-2, 0)), (ONE, promised(0, 2))];
        check(&confirmed, &[(ONE, 6, 0, 2)]);
        // Handed over, with something of another product between.
        let goes = [(ONE, promised(-2, 0)), (OTHER, moved(-1)), (ONE, moved(-2))];
        check(&goes, &[(ONE, 4, 0, 0), (OTHER, -1, 0, 0)]);
        // What is done to one level keeps its order.
        check(&[(ONE, counted(9)), (ONE, moved(-1))], &[(ONE, 8, 2, 0)]);
        check(&[(ONE, moved(-1)), (ONE, counted(9))], &[(ONE, 9, 2, 0)]);
    }
}
