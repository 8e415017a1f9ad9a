//! The server itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tillside_engine::limits::ID_BYTES_MAX;
use tillside_engine::state::read;
use tillside_engine::units::Time;
use tillside_proto::v1::{self, operations_service_server::OperationsService};
use tillside_store::BackupManifest;
use tonic::{Request, Response, Status};

use tillside_store::TableSpace;

use crate::app::App;
use crate::backups::{Backups, Operation, Refused};
use crate::convert::checks::{Checks, Path};
use crate::convert::values::timestamp;
use crate::disk;
use crate::errors;
use crate::gate::{Gate, Phase};
use crate::server::FORMAT_VERSION;

/// Handlers of `OperationsService`.
#[derive(Debug)]
pub struct Handlers {
    pub(super) app: Arc<App>,
    pub(super) gate: Arc<Gate>,
}

#[tonic::async_trait]
impl OperationsService for Handlers {
    async fn get_server_info(
        &self,
        request: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::ServerInfo>, Status> {
        let app = &*self.app;
        let (state_digest, state_digest_sequence) = if request.get_ref().include_state_digest {
            app.digest().await?
        } else {
            (String::new(), 0)
        };
        Ok(Response::new(v1::ServerInfo {
            version: env!("CARGO_PKG_VERSION").into(),
            format_version: FORMAT_VERSION,
            durable_sequence: app.sequencer.durable_sequence().0,
            state_digest,
            state_digest_sequence,
            counts: Some(app.counts()),
            start_time: Some(timestamp(app.about.started)),
            now: Some(timestamp(app.now())),
            simulated_clock: app.clock.is_simulated(),
            recovery_duration: prost_types::Duration::try_from(app.about.recovery).ok(),
            storage: Some(app.storage().await?),
        }))
    }

    async fn create_backup(
        &self,
        request: Request<v1::CreateBackupRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let request_id = request.into_inner().request_id;
        let mut checks = Checks::default();
        checks.request_id(&request_id);
        checks.finish()?;
        let backups = self.backups()?;
        match self.gate.phase() {
            Phase::Failed => return Err(errors::storage_failed()),
            Phase::Draining => return Err(errors::not_ready("the server is stopping")),
            Phase::Loading | Phase::Serving => {}
        }
        let begun = aside(move || backups.create(&request_id)).await?;
        match begun {
            Ok(operation) => Ok(Response::new(self::operation(operation))),
            Err(Refused::Running(id)) => Err(errors::backup_running(&id)),
            Err(Refused::Stopping) => Err(errors::not_ready("the server is stopping")),
            Err(Refused::NoThread(error)) => {
                tracing::error!(%error, "no thread for a backup");
                Err(errors::overloaded())
            }
        }
    }

    async fn get_operation(
        &self,
        request: Request<v1::GetOperationRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let id = request.into_inner().operation_id;
        let mut checks = Checks::default();
        let path = Path::ROOT.field("operation_id");
        checks.require(!id.is_empty(), path, "is required");
        checks.short(path, &id, ID_BYTES_MAX);
        checks.finish()?;
        let Some(backups) = self.app.backups.clone() else {
            return Err(errors::unknown_operation(&id));
        };
        let asked = id.clone();
        let found = aside(move || backups.operation(&asked)).await?;
        let found = found.ok_or_else(|| errors::unknown_operation(&id))?;
        Ok(Response::new(operation(found)))
    }

    async fn list_backups(
        &self,
        _: Request<v1::ListBackupsRequest>,
    ) -> Result<Response<v1::ListBackupsResponse>, Status> {
        let backups = self.backups()?;
        let list = aside(move || backups.list()).await?.map_err(|error| {
            tracing::error!(%error, "the backups cannot be listed");
            errors::backups_unreadable(&error)
        })?;
        Ok(Response::new(v1::ListBackupsResponse {
            backups: list.backups.into_iter().map(backup).collect(),
            problems: list.damaged.iter().map(problem).collect(),
        }))
    }
}

impl Handlers {
    fn backups(&self) -> Result<Arc<Backups>, Status> {
        let backups = self.app.backups.clone();
        backups.ok_or_else(errors::backup_not_configured)
    }
}

/// Looks at files where waiting harms nobody.
async fn aside<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(look)
        .await
        .map_err(|_| errors::defect("a thread that looked after backups ended with a panic"))
}

fn operation(operation: Operation) -> v1::Operation {
    let (end_time, outcome) = operation.ended.unzip();
    let state = match &outcome {
        None => v1::OperationState::Running,
        Some(Ok(_)) => v1::OperationState::Succeeded,
        Some(Err(_)) => v1::OperationState::Failed,
    };
    let mut answer = v1::Operation {
        operation_id: operation.id,
        state: state.into(),
        start_time: Some(timestamp(operation.started)),
        end_time: end_time.map(timestamp),
        bytes_done: operation.bytes_done,
        bytes_expected: operation.bytes_expected,
        ..v1::Operation::default()
    };
    match outcome {
        Some(Ok(manifest)) => answer.backup = Some(backup(manifest)),
        Some(Err(error)) => answer.problem = Some(problem(&error)),
        None => {}
    }
    answer
}

fn backup(manifest: BackupManifest) -> v1::Backup {
    v1::Backup {
        backup_id: manifest.backup_id,
        create_time: Some(timestamp(Time(manifest.create_time_ms))),
        duration: prost_types::Duration::try_from(Duration::from_millis(manifest.duration_ms)).ok(),
        sequence: manifest.sequence,
        format_version: manifest.format_version,
        key_fingerprint: manifest.key_fingerprint.unwrap_or_default(),
        bytes: manifest.bytes,
        new_bytes: manifest.new_bytes,
        files: manifest.files,
    }
}

fn problem(error: &impl ToString) -> v1::Problem {
    v1::Problem {
        reason: "BACKUP_FAILED".into(),
        field: String::new(),
        message: error.to_string(),
    }
}

impl App {
    /// Asks the database and the file system's last word on a thread where waiting harms nobody.
    async fn storage(&self) -> Result<v1::StorageInfo, Status> {
        let storage = self.storage.clone();
        let report = match tokio::task::spawn_blocking(move || storage.space.report()).await {
            Ok(Ok(report)) => report,
            Ok(Err(error)) => {
                tracing::error!(%error, "the database does not tell what it takes on disk");
                return Err(errors::storage_failed());
            }
            Err(_) => return Err(errors::defect("the storage report ended with a panic")),
        };
        let room = &self.storage.room;
        let table = |t: &TableSpace| v1::TableStorage {
            table: t.table.name().into(),
            live_bytes: t.live_bytes,
            file_bytes: t.file_bytes,
        };
        Ok(v1::StorageInfo {
            database_bytes: report.total_bytes,
            wal_bytes: report.wal_bytes,
            memtable_bytes: disk::memtable_bytes(&report),
            pending_compaction_bytes: disk::pending_compaction_bytes(&report),
            tables: report.tables.iter().map(table).collect(),
            log_first_sequence: report.log_first,
            log_last_sequence: report.log_last,
            disk_available_bytes: room.available_bytes(),
            disk_total_bytes: room.total_bytes(),
            disk_reserve_bytes: room.reserve_bytes(),
            disk_full: room.is_full(),
            writes_stopped: report.write_stopped,
            writes_delayed_bytes_per_second: report.delayed_write_rate,
        })
    }

    /// Reads every row on a thread where waiting harms nobody.
    async fn digest(&self) -> Result<(String, u64), Status> {
        let digester = Arc::clone(&self.digester);
        match tokio::task::spawn_blocking(move || digester.digest()).await {
            Ok(Ok(digest)) => Ok(digest),
            Ok(Err(error)) => {
                tracing::error!(%error, "the state digest could not be computed");
                Err(errors::storage_failed())
            }
            Err(_) => Err(errors::defect("the digest's thread ended with a panic")),
        }
    }

    fn counts(&self) -> v1::EntityCounts {
        let state = &self.state;
        v1::EntityCounts {
            stores: state.stores.len() as u64,
            products: state.products.len() as u64,
            customers: state.customer_count(),
            provisional_customers: read(&state.provisional).len() as u64,
            stock_levels: state.stock.len() as u64,
            offers: state.offers.len() as u64,
            reservations: state.reservations.len() as u64,
            transactions: state.transactions.load(Ordering::Acquire),
            quarantined_lines: read(&state.quarantine).len() as u64,
        }
    }
}
