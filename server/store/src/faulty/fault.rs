//! What can go wrong with a disk, by name, so that a test can ask for each and count which ones it met.

/// What a write meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The write fails; nothing of it is on the disk.
    FailAppend,
    /// The sync fails. Nobody can know whether the batch is on the disk; here `kept` says it.
    FailSync {
        /// The batch survives all the same.
        kept: bool,
    },
    /// The sync fails and a part of the batch is on the disk, which no medium that keeps its promise of all or nothing
    /// may do: the next opening has to refuse.
    FailSyncPart {
        /// How many of its changes are there: at least one, and never all.
        changes: usize,
    },
    /// The disk is full and stays so until [`super::FaultyDisk::make_room`]: this write fails and every later one.
    FullDisk,
}

/// What a read meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFault {
    /// The medium reports an error.
    Error,
    /// Fewer bytes come back than were written.
    Short,
}

/// What time and bad luck do to a row that was written well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Only the first bytes are left.
    Torn {
        /// How many; at least one is lost.
        bytes: usize,
    },
    /// One bit of the value is another.
    FlippedBit {
        /// Which, counted from the first, around and around.
        bit: usize,
    },
    /// The row is gone.
    Dropped,
    /// The value says it is of another format, and its checksum agrees.
    Version(u8),
}

/// What happens to the mark of what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkDamage {
    /// It is gone.
    Lost,
    /// It says what it said one write before.
    Older,
    /// Its latest write is torn; the one before is still there.
    Torn,
    /// Nothing of it can be read.
    Unreadable,
}

/// Every kind of fault, to count them by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// Batches that were never synced are gone after a crash.
    LostTail,
    /// [`Fault::FailAppend`].
    FailedAppend,
    /// [`Fault::FailSync`], not kept.
    FailedSyncLost,
    /// [`Fault::FailSync`], kept.
    FailedSyncKept,
    /// [`Fault::FailSyncPart`].
    FailedSyncPart,
    /// [`Fault::FullDisk`].
    FullDisk,
    /// [`ReadFault::Error`].
    ReadError,
    /// [`ReadFault::Short`].
    ShortRead,
    /// [`Damage::Torn`].
    TornRow,
    /// [`Damage::FlippedBit`].
    FlippedBit,
    /// [`Damage::Dropped`].
    DroppedRow,
    /// [`Damage::Version`].
    UnknownVersion,
    /// [`MarkDamage::Lost`].
    MarkLost,
    /// [`MarkDamage::Older`].
    MarkOlder,
    /// [`MarkDamage::Torn`].
    MarkTorn,
    /// [`MarkDamage::Unreadable`].
    MarkUnreadable,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 16] = [
        FaultKind::LostTail,
        FaultKind::FailedAppend,
        FaultKind::FailedSyncLost,
        FaultKind::FailedSyncKept,
        FaultKind::FailedSyncPart,
        FaultKind::FullDisk,
        FaultKind::ReadError,
        FaultKind::ShortRead,
        FaultKind::TornRow,
        FaultKind::FlippedBit,
        FaultKind::DroppedRow,
        FaultKind::UnknownVersion,
        FaultKind::MarkLost,
        FaultKind::MarkOlder,
        FaultKind::MarkTorn,
        FaultKind::MarkUnreadable,
    ];
}

impl From<Damage> for FaultKind {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Torn { .. } => FaultKind::TornRow,
            Damage::FlippedBit { .. } => FaultKind::FlippedBit,
            Damage::Dropped => FaultKind::DroppedRow,
            Damage::Version(_) => FaultKind::UnknownVersion,
        }
    }
}

impl From<MarkDamage> for FaultKind {
    fn from(damage: MarkDamage) -> Self {
        match damage {
            MarkDamage::Lost => FaultKind::MarkLost,
            MarkDamage::Older => FaultKind::MarkOlder,
            MarkDamage::Torn => FaultKind::MarkTorn,
            MarkDamage::Unreadable => FaultKind::MarkUnreadable,
        }
    }
}
