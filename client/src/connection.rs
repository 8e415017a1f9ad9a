//! The connection: one HTTP/2 channel that all clones of a [`Tillside`] share.

use crate::{config::ClientConfig, error::Error};
use std::sync::Arc;
use tonic::transport::{Channel, Endpoint};

/// A connection to a Tillside server. Cloning is cheap and shares the connection; it reconnects by itself.
#[derive(Debug, Clone)]
pub struct Tillside {
    pub(crate) channel: Channel,
    pub(crate) config: Arc<ClientConfig>,
}

impl Tillside {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Config`] where the address cannot be used, [`Error::Connect`] where nothing answers there.
    pub async fn connect(config: ClientConfig) -> Result<Self, Error> {
        let channel = endpoint(&config)?
            .connect()
            .await
            .map_err(|cause| Error::Connect {
                server: config.server.clone(),
                message: root_cause(&cause),
            })?;
        Ok(Self {
            channel,
            config: Arc::new(config),
        })
    }

    /// Prepares a connection that is made with the first call, for programs that start before the server does.
    ///
    /// # Errors
    /// [`Error::Config`] where the address cannot be used.
    pub fn connect_lazy(config: ClientConfig) -> Result<Self, Error> {
        Ok(Self {
            channel: endpoint(&config)?.connect_lazy(),
            config: Arc::new(config),
        })
    }

    /// The configuration this connection was made with.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }
}

fn endpoint(config: &ClientConfig) -> Result<Endpoint, Error> {
    let bad = |cause: &dyn std::fmt::Display| {
        Error::Config(format!(
            "{:?} is no server address ({cause}); write http://HOST:PORT",
            config.server
        ))
    };
    if !config.server.starts_with("http://") {
        return Err(bad(&"it does not begin with http://"));
    }
    Ok(Endpoint::from_shared(config.server.clone())
        .map_err(|cause| bad(&cause))?
        .connect_timeout(config.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(config.keepalive_interval)
        .keep_alive_timeout(config.keepalive_timeout)
        .keep_alive_while_idle(true))
}

/// The innermost message: the outer ones only say "transport error".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
