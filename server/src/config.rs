//! Configuration: flags, then `TILLSIDE_*` environment, then a TOML file, then defaults. Every setting has one name in
//! three spellings (`--data-dir`, `TILLSIDE_DATA_DIR`, `data_dir`). A value that cannot be used is refused with the name of
//! its setting; nothing is guessed and nothing is ignored.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use serde::Serialize;
use tillside_engine::barcode::BarcodeMask;
use tillside_engine::identity::IdentityRules;
use tillside_engine::limits::REQUEST_WINDOW_MS;
use tillside_engine::units::Time;

pub use self::settings::{Cli, Settings};

mod settings;

/// Bytes of a configuration file: a larger one is a mistaken path.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The settings that hold, checked. Serialises to the file format; there are no secrets in it.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "each field is documented in Settings")]
pub struct Config {
    pub data_dir: PathBuf,
    pub keys_dir: PathBuf,
    pub listen: SocketAddr,
    pub http_listen: SocketAddr,
    pub allow_plaintext_bind: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulated_clock: Option<String>,
    pub runtimes: usize,
    pub connections_max: usize,
    pub streams_per_connection_max: u32,
    pub calls_per_runtime_max: usize,
    pub hot_message_bytes_max: usize,
    pub message_bytes_max: usize,
    pub bulk_message_bytes_max: usize,
    pub preface_timeout_ms: u64,
    pub keepalive_interval_ms: u64,
    pub keepalive_timeout_ms: u64,
    pub interactive_queue_max: usize,
    pub bulk_queue_max: usize,
    pub hot_profiles_max_bytes: u64,
    pub memory_ready_bytes: u64,
    pub drain_deadline_ms: u64,
    pub log_format: LogFormat,
    pub log_level: String,
    pub phone_region: String,
    pub card_prefixes: Vec<String>,
    pub blocked_identifiers: Vec<String>,
    pub barcode_masks: Vec<String>,
    pub points_per_currency_unit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_dir: Option<PathBuf>,
    pub backups_kept: usize,
    pub disk_reserve_bytes: Option<u64>,
    pub log_retention: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_loss_after: Option<u64>,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file is not what it should be.
    #[error("the configuration file {path} is wrong: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A value cannot be used.
    #[error("{key} (flag --{}): {problem}", key.replace('_', "-"))]
    Invalid {
        /// The setting.
        key: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// When the simulated clock starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockStart {
    /// The machine's clock at start.
    Now,
    /// This instant.
    At(Time),
}

impl Config {
    /// The settings of a command line (environment included) and of the file it names.
    pub fn load(cli: &Cli) -> Result<Config, ConfigError> {
        let file = cli
            .config
            .as_deref()
            .map(read_file)
            .transpose()?
            .unwrap_or_default();
        Config::from_settings(cli.settings.clone().or(file))
    }

    /// Fills in defaults and checks every value.
    pub fn from_settings(settings: Settings) -> Result<Config, ConfigError> {
        let defaults = IdentityRules::default();
        let data_dir = settings
            .data_dir
            .unwrap_or_else(|| PathBuf::from("tillside-data"));
        let config = Config {
            keys_dir: settings.keys_dir.unwrap_or_else(|| beside(&data_dir)),
            listen: address(
                "listen",
                settings.listen.as_deref().unwrap_or("127.0.0.1:50051"),
            )?,
            http_listen: address(
                "http_listen",
                settings.http_listen.as_deref().unwrap_or("127.0.0.1:9464"),
            )?,
            allow_plaintext_bind: settings.allow_plaintext_bind.unwrap_or(false),
            simulated_clock: settings.simulated_clock,
            runtimes: settings.runtimes.unwrap_or_else(cores),
            connections_max: settings.connections_max.unwrap_or(4096),
            streams_per_connection_max: settings.streams_per_connection_max.unwrap_or(256),
            calls_per_runtime_max: settings.calls_per_runtime_max.unwrap_or(16_384),
            hot_message_bytes_max: settings.hot_message_bytes_max.unwrap_or(64 << 10),
            message_bytes_max: settings.message_bytes_max.unwrap_or(512 << 10),
            bulk_message_bytes_max: settings.bulk_message_bytes_max.unwrap_or(16 << 20),
            preface_timeout_ms: settings.preface_timeout_ms.unwrap_or(5_000),
            keepalive_interval_ms: settings.keepalive_interval_ms.unwrap_or(60_000),
            keepalive_timeout_ms: settings.keepalive_timeout_ms.unwrap_or(20_000),
            interactive_queue_max: settings.interactive_queue_max.unwrap_or(8_192),
            bulk_queue_max: settings.bulk_queue_max.unwrap_or(64),
            // Everything: what the server promises of its speed it promises of memory, and no fixed number would fit
            // both a shop and a chain. Who has more customers than memory says how much of it they may take.
            hot_profiles_max_bytes: settings.hot_profiles_max_bytes.unwrap_or(0),
            memory_ready_bytes: settings.memory_ready_bytes.unwrap_or(0),
            drain_deadline_ms: settings.drain_deadline_ms.unwrap_or(20_000),
            log_format: log_format(settings.log_format.as_deref().unwrap_or("text"))?,
            log_level: settings.log_level.unwrap_or_else(|| "info".into()),
            phone_region: settings.phone_region.unwrap_or(defaults.phone_region),
            card_prefixes: settings.card_prefixes.unwrap_or(defaults.card_prefixes),
            blocked_identifiers: settings.blocked_identifiers.unwrap_or_default(),
            barcode_masks: settings
                .barcode_masks
                .unwrap_or_else(|| vec!["2IIIIIIPPPPPC".into()]),
            points_per_currency_unit: settings.points_per_currency_unit.unwrap_or(1),
            backup_dir: settings.backup_dir,
            backups_kept: settings.backups_kept.unwrap_or(7),
            disk_reserve_bytes: settings.disk_reserve_bytes,
            log_retention: settings.log_retention.unwrap_or_else(|| "30d".into()),
            accept_loss_after: settings.accept_loss_after,
            data_dir,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        for (key, address) in [("listen", self.listen), ("http_listen", self.http_listen)] {
            if !address.ip().is_loopback() && !self.allow_plaintext_bind {
                let problem = format!(
                    "{address} is reachable from other machines and nothing is encrypted yet; \
                     give --allow-plaintext-bind if the network is private, or bind 127.0.0.1"
                );
                return Err(ConfigError::Invalid { key, problem });
            }
        }
        within("runtimes", self.runtimes, 1, 256)?;
        within("connections_max", self.connections_max, 1, 1 << 20)?;
        within(
            "streams_per_connection_max",
            self.streams_per_connection_max as usize,
            1,
            1 << 16,
        )?;
        within(
            "calls_per_runtime_max",
            self.calls_per_runtime_max,
            1,
            1 << 20,
        )?;
        for (key, bytes) in [
            ("hot_message_bytes_max", self.hot_message_bytes_max),
            ("message_bytes_max", self.message_bytes_max),
            ("bulk_message_bytes_max", self.bulk_message_bytes_max),
        ] {
            within(key, bytes, 1 << 10, 1 << 30)?;
        }
        within(
            "interactive_queue_max",
            self.interactive_queue_max,
            1,
            1 << 20,
        )?;
        within("bulk_queue_max", self.bulk_queue_max, 1, 1 << 16)?;
        within(
            "preface_timeout_ms",
            self.preface_timeout_ms as usize,
            1,
            3_600_000,
        )?;
        within(
            "keepalive_interval_ms",
            self.keepalive_interval_ms as usize,
            0,
            86_400_000,
        )?;
        within(
            "keepalive_timeout_ms",
            self.keepalive_timeout_ms as usize,
            1,
            86_400_000,
        )?;
        within(
            "hot_profiles_max_bytes",
            usize::try_from(self.hot_profiles_max_bytes).unwrap_or(usize::MAX),
            0,
            1 << 44,
        )?;
        within(
            "memory_ready_bytes",
            usize::try_from(self.memory_ready_bytes).unwrap_or(usize::MAX),
            0,
            1 << 40,
        )?;
        within(
            "drain_deadline_ms",
            self.drain_deadline_ms as usize,
            0,
            3_600_000,
        )?;
        within(
            "points_per_currency_unit",
            self.points_per_currency_unit as usize,
            0,
            1_000,
        )?;
        if self.keys_dir.starts_with(&self.data_dir) {
            let problem = "must lie outside the data directory, so that a copy of the data tells nobody's identifiers".into();
            return Err(ConfigError::Invalid {
                key: "keys_dir",
                problem,
            });
        }
        within("backups_kept", self.backups_kept, 1, 10_000)?;
        if let Some(backups) = &self.backup_dir {
            let inside = [&self.data_dir, &self.keys_dir]
                .into_iter()
                .any(|other| backups.starts_with(other) || other.starts_with(backups));
            if inside {
                let problem =
                    "must lie apart from the data directory and the keys directory: what happens to one must not reach the other"
                        .into();
                return Err(ConfigError::Invalid {
                    key: "backup_dir",
                    problem,
                });
            }
        }
        if self.phone_region.len() != 2
            || !self.phone_region.bytes().all(|b| b.is_ascii_uppercase())
        {
            let problem = format!(
                "{:?} is not a country of two upper-case letters",
                self.phone_region
            );
            return Err(ConfigError::Invalid {
                key: "phone_region",
                problem,
            });
        }
        for prefix in &self.card_prefixes {
            if prefix.is_empty() || prefix.len() > 12 || !prefix.bytes().all(|b| b.is_ascii_digit())
            {
                let problem = format!("{prefix:?} is not a prefix of 1 to 12 digits");
                return Err(ConfigError::Invalid {
                    key: "card_prefixes",
                    problem,
                });
            }
        }
        self.clock_start()?;
        self.log_retention_ms()?;
        self.masks()?;
        crate::logging::filter(&self.log_level).map_err(|problem| ConfigError::Invalid {
            key: "log_level",
            problem,
        })?;
        Ok(())
    }

    /// How many bytes of customers may be in memory; `None`: all.
    pub fn hot_profiles_max_bytes(&self) -> Option<u64> {
        (self.hot_profiles_max_bytes > 0).then_some(self.hot_profiles_max_bytes)
    }

    /// How identifiers are read.
    pub fn identity_rules(&self) -> IdentityRules {
        IdentityRules {
            phone_region: self.phone_region.clone(),
            card_prefixes: self.card_prefixes.clone(),
            blocked: self
                .blocked_identifiers
                .iter()
                .cloned()
                .collect::<BTreeSet<_>>(),
        }
    }

    /// The masks, parsed.
    pub fn masks(&self) -> Result<Vec<BarcodeMask>, ConfigError> {
        let parse = |mask: &String| {
            BarcodeMask::parse(mask).map_err(|problem| ConfigError::Invalid {
                key: "barcode_masks",
                problem,
            })
        };
        self.barcode_masks.iter().map(parse).collect()
    }

    /// Milliseconds that records are kept; `None`: for ever.
    pub fn log_retention_ms(&self) -> Result<Option<i64>, ConfigError> {
        retention_ms(&self.log_retention).map_err(|problem| ConfigError::Invalid {
            key: "log_retention",
            problem,
        })
    }

    /// Whether and when a simulated clock starts.
    pub fn clock_start(&self) -> Result<Option<ClockStart>, ConfigError> {
        let Some(text) = self.simulated_clock.as_deref() else {
            return Ok(None);
        };
        if text == "now" {
            return Ok(Some(ClockStart::Now));
        }
        let parsed = text.parse::<jiff::Timestamp>();
        let problem =
            || format!("{text:?} is neither \"now\" nor a time such as 2026-11-22T09:00:00Z");
        let time = parsed.map_err(|_| ConfigError::Invalid {
            key: "simulated_clock",
            problem: problem(),
        })?;
        Ok(Some(ClockStart::At(Time(time.as_millisecond()))))
    }

    /// The settings as the file that would give them.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

/// Reads the command line; usage errors end the process with clap's own message.
pub fn parse_cli(args: impl IntoIterator<Item = OsString>) -> Cli {
    Cli::parse_from(args)
}

pub(crate) fn read_file(path: &Path) -> Result<Settings, ConfigError> {
    let unreadable = |e: std::io::Error| ConfigError::Unreadable {
        path: path.into(),
        reason: e.to_string(),
    };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        let reason = format!("it has {bytes} bytes; at most {FILE_BYTES_MAX} are read");
        return Err(ConfigError::Unreadable {
            path: path.into(),
            reason,
        });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    toml::from_str(&text).map_err(|e| ConfigError::Malformed {
        path: path.into(),
        reason: e.to_string(),
    })
}

pub(crate) fn beside(data_dir: &Path) -> PathBuf {
    let mut name = data_dir
        .file_name()
        .map_or_else(|| OsString::from("tillside-data"), ToOwned::to_owned);
    name.push("-keys");
    data_dir.with_file_name(name)
}

fn cores() -> usize {
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(256)
}

fn address(key: &'static str, text: &str) -> Result<SocketAddr, ConfigError> {
    let problem = || format!("{text:?} is not an address such as 127.0.0.1:50051");
    text.parse().map_err(|_| ConfigError::Invalid {
        key,
        problem: problem(),
    })
}

fn log_format(text: &str) -> Result<LogFormat, ConfigError> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(ConfigError::Invalid {
            key: "log_format",
            problem: format!("{text:?} is neither \"text\" nor \"json\""),
        }),
    }
}

/// "36h", "30d", "52w" or "forever"; never less than a retry may take to ask for its first answer.
fn retention_ms(text: &str) -> Result<Option<i64>, String> {
    if text == "forever" {
        return Ok(None);
    }
    let parsed = text.char_indices().last().and_then(|(at, unit)| {
        let hours = match unit {
            'h' => 1,
            'd' => 24,
            'w' => 7 * 24,
            _ => return None,
        };
        let digits = &text[..at];
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<i64>().ok()?.checked_mul(hours * 3_600_000))?
    });
    match parsed {
        Some(ms) if ms >= REQUEST_WINDOW_MS => Ok(Some(ms)),
        Some(_) => Err(format!(
            "{text:?} is less than 24h, within which a retry may ask for its first answer"
        )),
        None => Err(format!(
            "{text:?} is neither \"forever\" nor a duration such as 36h, 30d or 52w"
        )),
    }
}

fn within(key: &'static str, value: usize, min: usize, max: usize) -> Result<(), ConfigError> {
    let problem = || format!("{value} is not between {min} and {max}");
    (min..=max)
        .contains(&value)
        .then_some(())
        .ok_or_else(|| ConfigError::Invalid {
            key,
            problem: problem(),
        })
}

#[cfg(test)]
mod tests;
