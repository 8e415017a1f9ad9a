//! A small world of stock and holds as one object, written so plainly that it can be believed: what each call may answer,
//! one after the other. It shares no code with the server. Clocks, prices and people are not in it.

use std::collections::BTreeMap;

use todc_utils::specifications::Specification;

/// Stores of a world.
pub const STORES: usize = 2;
/// Products of a world.
pub const SKUS: usize = 3;

/// A level, in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Level {
    /// Physically there.
    pub on_hand: i64,
    /// Held.
    pub reserved: i64,
    /// Confirmed.
    pub committed: i64,
}

/// (store, product).
pub type Cell = (usize, usize);

/// A call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Holds all lines in one store, or nothing.
    Reserve {
        /// The call's own number, by which later calls name the hold.
        hold: usize,
        /// The only store that will do; any, where none is named.
        store: Option<usize>,
        /// (product, pieces), each product once.
        lines: Vec<(usize, i64)>,
    },
    /// Places the order of a hold.
    Confirm {
        /// Which.
        hold: usize,
    },
    /// Gives back what a hold holds.
    Release {
        /// Which.
        hold: usize,
    },
    /// Moves stock.
    Adjust {
        /// Where.
        cell: Cell,
        /// By how much.
        delta: i64,
    },
    /// Counts stock. The clock stands still, so a cell is counted once.
    Count {
        /// Where.
        cell: Cell,
        /// What was found.
        on_hand: i64,
    },
    /// Reads a level.
    Read {
        /// Which.
        cell: Cell,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// Everything is held in this store.
    Held(usize),
    /// Nothing is held.
    NotHeld,
    /// Confirmed, or released.
    Done,
    /// The hold has ended.
    Ended,
    /// The level, after the change where there was one.
    Level(Level),
    /// The cell was counted already.
    CountTooOld,
}

/// A call and its answer; `None` where the answer stayed out, so that it may or may not have happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answered {
    /// The call.
    pub op: Op,
    /// The answer.
    pub reply: Option<Reply>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum HoldState {
    Held,
    Confirmed,
    Released,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Hold {
    store: usize,
    lines: Vec<(usize, i64)>,
    state: HoldState,
}

/// The world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct World {
    levels: BTreeMap<Cell, Level>,
    counted: BTreeMap<Cell, bool>,
    holds: BTreeMap<usize, Hold>,
}

impl World {
    /// A level.
    pub fn level(&self, cell: Cell) -> Level {
        self.levels.get(&cell).copied().unwrap_or_default()
    }

    fn has_all(&self, store: usize, lines: &[(usize, i64)]) -> bool {
        lines.iter().all(|(sku, pieces)| {
            let level = self.level((store, *sku));
            level.on_hand - level.reserved - level.committed >= *pieces
        })
    }

    fn move_held(&mut self, hold: &Hold, reserved: i64, committed: i64) {
        for (sku, pieces) in &hold.lines {
            let level = self.levels.entry((hold.store, *sku)).or_default();
            level.reserved += reserved * pieces;
            level.committed += committed * pieces;
        }
    }

    /// Holds the lines, where they are there.
    pub fn reserve(&mut self, number: usize, store: usize, lines: &[(usize, i64)]) -> bool {
        if !self.has_all(store, lines) {
            return false;
        }
        let hold = Hold {
            store,
            lines: lines.to_vec(),
            state: HoldState::Held,
        };
        self.move_held(&hold, 1, 0);
        self.holds.insert(number, hold);
        true
    }

    /// Confirms a hold; `None` where there is none.
    pub fn confirm(&mut self, number: usize) -> Option<Reply> {
        let mut hold = self.holds.get(&number)?.clone();
        match hold.state {
            HoldState::Held => {
                self.move_held(&hold, -1, 1);
                hold.state = HoldState::Confirmed;
                self.holds.insert(number, hold);
                Some(Reply::Done)
            }
            HoldState::Confirmed => Some(Reply::Done),
            HoldState::Released => Some(Reply::Ended),
        }
    }

    /// Releases a hold; `None` where there is none.
    pub fn release(&mut self, number: usize) -> Option<Reply> {
        let mut hold = self.holds.get(&number)?.clone();
        match hold.state {
            HoldState::Held => self.move_held(&hold, -1, 0),
            HoldState::Confirmed => self.move_held(&hold, 0, -1),
            HoldState::Released => {}
        }
        hold.state = HoldState::Released;
        self.holds.insert(number, hold);
        Some(Reply::Done)
    }

    /// Moves stock.
    pub fn adjust(&mut self, cell: Cell, delta: i64) -> Reply {
        let level = self.levels.entry(cell).or_default();
        level.on_hand += delta;
        Reply::Level(*level)
    }

    /// Counts stock.
    pub fn count(&mut self, cell: Cell, on_hand: i64) -> Reply {
        if self.counted.insert(cell, true).is_some() {
            return Reply::CountTooOld;
        }
        let level = self.levels.entry(cell).or_default();
        level.on_hand = on_hand;
        Reply::Level(*level)
    }

    /// Whether the call may be answered so in this world, which becomes what it is after it.
    fn may(&mut self, op: &Op, reply: Option<&Reply>) -> bool {
        let is = |answer: Option<Reply>| {
            reply.is_none() || (answer.is_some() && answer.as_ref() == reply)
        };
        match op {
            Op::Reserve { hold, store, lines } => match (reply, *store) {
                (Some(Reply::Held(at)), named) => {
                    named.is_none_or(|named| named == *at) && self.reserve(*hold, *at, lines)
                }
                // Stores are planned one after the other, so that all lacked something at one moment is not promised.
                (Some(Reply::NotHeld), None) => true,
                (Some(Reply::NotHeld), Some(named)) => !self.has_all(named, lines),
                (None, Some(named)) => {
                    self.reserve(*hold, named, lines);
                    true
                }
                _ => false,
            },
            Op::Confirm { hold } => is(self.confirm(*hold)),
            Op::Release { hold } => is(self.release(*hold)),
            Op::Adjust { cell, delta } => is(Some(self.adjust(*cell, *delta))),
            Op::Count { cell, on_hand } => is(Some(self.count(*cell, *on_hand))),
            Op::Read { cell } => is(Some(Reply::Level(self.level(*cell)))),
        }
    }
}

/// The specification that histories are checked against.
#[derive(Debug)]
pub struct SmallWorld;

impl Specification for SmallWorld {
    type State = World;
    type Operation = Answered;

    fn init() -> World {
        World::default()
    }

    fn apply(answered: &Answered, world: &World) -> (bool, World) {
        let mut after = world.clone();
        let may = after.may(&answered.op, answered.reply.as_ref());
        (may, after)
    }
}
