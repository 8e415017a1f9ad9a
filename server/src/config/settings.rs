//! Settings as flags, environment and file give them: names, texts and which source wins. What a value must be like is
//! checked once all sources are put together.

use std::path::PathBuf;

use clap::{Args, Parser};
use serde::Deserialize;

use crate::cli::Command;

/// What can be given on the command line.
#[derive(Debug, Parser)]
#[command(
    name = "tillside-server",
    version,
    about = "Real-time, in-memory decisioning for retail, over gRPC. Without a subcommand it serves."
)]
pub struct Cli {
    /// TOML file with settings, named as the flags with underscores.
    #[arg(long, env = "TILLSIDE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the settings that result from flags, environment, file and defaults as TOML, and end.
    #[arg(long)]
    pub print_config: bool,
    /// Once serving, write the addresses as JSON to this file: {"grpc":"127.0.0.1:50051","http":"127.0.0.1:9464"}.
    #[arg(long, value_name = "FILE")]
    pub port_file: Option<PathBuf>,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Settings as one source gives them; what is `None` is left to the next source.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where everything is kept. [default: tillside-data]
    #[arg(long, env = "TILLSIDE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where secret keys are kept; outside the data directory and its backups. [default: the data directory's name and "-keys"]
    #[arg(long, env = "TILLSIDE_KEYS_DIR", value_name = "DIR")]
    pub keys_dir: Option<PathBuf>,
    /// Address of gRPC. Port 0 takes a free one. [default: 127.0.0.1:50051]
    #[arg(long, env = "TILLSIDE_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Address of /metrics, /livez and /readyz. [default: 127.0.0.1:9464]
    #[arg(long, env = "TILLSIDE_HTTP_LISTEN", value_name = "ADDRESS")]
    pub http_listen: Option<String>,
    /// Allow addresses that are not loopback although nothing is encrypted. [default: false]
    #[arg(long, env = "TILLSIDE_ALLOW_PLAINTEXT_BIND", num_args = 0..=1, default_missing_value = "true")]
    pub allow_plaintext_bind: Option<bool>,
    /// Run on a clock that only SimulationService.AdvanceClock moves, starting at this RFC 3339 time or "now".
    #[arg(long, env = "TILLSIDE_SIMULATED_CLOCK", value_name = "TIME", num_args = 0..=1, default_missing_value = "now")]
    pub simulated_clock: Option<String>,
    /// Threads that serve gRPC, each with a runtime of its own. [default: number of cores]
    #[arg(long, env = "TILLSIDE_RUNTIMES", value_name = "N")]
    pub runtimes: Option<usize>,
    /// gRPC connections at a time; more are closed at once. [default: 4096]
    #[arg(long, env = "TILLSIDE_CONNECTIONS_MAX", value_name = "N")]
    pub connections_max: Option<usize>,
    /// Calls at a time on one connection. [default: 256]
    #[arg(long, env = "TILLSIDE_STREAMS_PER_CONNECTION_MAX", value_name = "N")]
    pub streams_per_connection_max: Option<u32>,
    /// Calls at a time on one runtime; more are answered OVERLOADED. [default: 16384]
    #[arg(long, env = "TILLSIDE_CALLS_PER_RUNTIME_MAX", value_name = "N")]
    pub calls_per_runtime_max: Option<usize>,
    /// Bytes of a request of CustomerService, FulfillmentService and OperationsService. [default: 65536]
    #[arg(long, env = "TILLSIDE_HOT_MESSAGE_BYTES_MAX", value_name = "BYTES")]
    pub hot_message_bytes_max: Option<usize>,
    /// Bytes of a request that carries a basket or a list. [default: 524288]
    #[arg(long, env = "TILLSIDE_MESSAGE_BYTES_MAX", value_name = "BYTES")]
    pub message_bytes_max: Option<usize>,
    /// Bytes of a request of CatalogService and IngestService. [default: 16777216]
    #[arg(long, env = "TILLSIDE_BULK_MESSAGE_BYTES_MAX", value_name = "BYTES")]
    pub bulk_message_bytes_max: Option<usize>,
    /// Milliseconds a new connection has to say that it speaks HTTP/2. [default: 5000]
    #[arg(long, env = "TILLSIDE_PREFACE_TIMEOUT_MS", value_name = "MS")]
    pub preface_timeout_ms: Option<u64>,
    /// Milliseconds of silence after which a connection is pinged; 0: never. [default: 60000]
    #[arg(long, env = "TILLSIDE_KEEPALIVE_INTERVAL_MS", value_name = "MS")]
    pub keepalive_interval_ms: Option<u64>,
    /// Milliseconds to wait for the answer to a ping. [default: 20000]
    #[arg(long, env = "TILLSIDE_KEEPALIVE_TIMEOUT_MS", value_name = "MS")]
    pub keepalive_timeout_ms: Option<u64>,
    /// Commands of waiting tills that may queue; more are answered OVERLOADED. [default: 8192]
    #[arg(long, env = "TILLSIDE_INTERACTIVE_QUEUE_MAX", value_name = "N")]
    pub interactive_queue_max: Option<usize>,
    /// Messages of events that may queue; the streams behind wait. [default: 64]
    #[arg(long, env = "TILLSIDE_BULK_QUEUE_MAX", value_name = "N")]
    pub bulk_queue_max: Option<usize>,
    /// Bytes of customer profiles kept in memory; the others are read from disk when needed. 0: all are kept. [default: 0]
    #[arg(long, env = "TILLSIDE_HOT_PROFILES_MAX_BYTES", value_name = "BYTES")]
    pub hot_profiles_max_bytes: Option<u64>,
    /// Bytes of memory to take from the system and touch once, right after the start, so that nobody waits for it later. In
    /// whole 32 MiB. 0: as it is needed. [default: 0]
    #[arg(long, env = "TILLSIDE_MEMORY_READY_BYTES", value_name = "BYTES")]
    pub memory_ready_bytes: Option<u64>,
    /// Milliseconds that calls have to end when the server is stopped. [default: 20000]
    #[arg(long, env = "TILLSIDE_DRAIN_DEADLINE_MS", value_name = "MS")]
    pub drain_deadline_ms: Option<u64>,
    /// "text" or "json". [default: text]
    #[arg(long, env = "TILLSIDE_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// What is logged: error, warn, info, debug, trace, or directives such as "info,tillside_server=debug". [default: info]
    #[arg(long, env = "TILLSIDE_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// ISO country whose national phone numbers are understood. [default: IT]
    #[arg(long, env = "TILLSIDE_PHONE_REGION", value_name = "COUNTRY")]
    pub phone_region: Option<String>,
    /// Prefixes of 13-digit numbers that are loyalty cards and need a right check digit. [default: 020 to 029, 040 to 049]
    #[arg(
        long,
        env = "TILLSIDE_CARD_PREFIXES",
        value_name = "PREFIX",
        value_delimiter = ','
    )]
    pub card_prefixes: Option<Vec<String>>,
    /// Identifiers that are nobody's, for example the cashiers' own card. [default: none]
    #[arg(
        long,
        env = "TILLSIDE_BLOCKED_IDENTIFIERS",
        value_name = "VALUE",
        value_delimiter = ','
    )]
    pub blocked_identifiers: Option<Vec<String>>,
    /// Masks of barcodes with a price or weight: digits, I item, P price, W weight, V, C check digit. [default: 2IIIIIIPPPPPC]
    #[arg(
        long,
        env = "TILLSIDE_BARCODE_MASKS",
        value_name = "MASK",
        value_delimiter = ','
    )]
    pub barcode_masks: Option<Vec<String>>,
    /// Loyalty points a whole currency unit earns. [default: 1]
    #[arg(long, env = "TILLSIDE_POINTS_PER_CURRENCY_UNIT", value_name = "N")]
    pub points_per_currency_unit: Option<u32>,
    /// Where backups go; outside the data directory, better on another disk. Without it there are none. [default: none]
    #[arg(long, env = "TILLSIDE_BACKUP_DIR", value_name = "DIR")]
    pub backup_dir: Option<PathBuf>,
    /// Complete backups that stay; older ones are removed once a new one is complete. [default: 7]
    #[arg(long, env = "TILLSIDE_BACKUPS_KEPT", value_name = "N")]
    pub backups_kept: Option<usize>,
    /// Bytes of the disk kept free: below it no changes are taken, reads go on. 0: none. [default: 1 GiB, at most 5 % of the disk]
    #[arg(long, env = "TILLSIDE_DISK_RESERVE_BYTES", value_name = "BYTES")]
    pub disk_reserve_bytes: Option<u64>,
    /// How long what happened is kept record by record before it is folded into opening balances: "36h", "30d", "52w", at
    /// least 24h, or "forever". [default: 30d]
    #[arg(long, env = "TILLSIDE_LOG_RETENTION", value_name = "DURATION")]
    pub log_retention: Option<String>,
    /// Start although the log ends before what was acknowledged, if it ends exactly at this sequence. What came after is lost.
    #[arg(long, env = "TILLSIDE_ACCEPT_LOSS_AFTER", value_name = "SEQUENCE")]
    pub accept_loss_after: Option<u64>,
}

impl Settings {
    /// These settings, and `other`'s where they say nothing.
    #[must_use]
    pub fn or(self, other: Settings) -> Settings {
        macro_rules! first {
            ($($field:ident)*) => { Settings { $($field: self.$field.or(other.$field)),* } };
        }
        first! {
            data_dir keys_dir listen http_listen allow_plaintext_bind simulated_clock runtimes connections_max
            streams_per_connection_max calls_per_runtime_max hot_message_bytes_max message_bytes_max bulk_message_bytes_max
            preface_timeout_ms keepalive_interval_ms keepalive_timeout_ms interactive_queue_max bulk_queue_max
            hot_profiles_max_bytes memory_ready_bytes drain_deadline_ms log_format log_level phone_region card_prefixes blocked_identifiers barcode_masks
            points_per_currency_unit backup_dir backups_kept disk_reserve_bytes log_retention accept_loss_after
        }
    }
}
