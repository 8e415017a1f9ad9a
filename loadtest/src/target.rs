//! Whom the load goes to. Anything but this machine must be asked for by name: a load test is easily aimed at the wrong
//! server.

use anyhow::Context as _;
use std::net::{SocketAddr, ToSocketAddrs as _};

/// The address of `target` (`http://HOST:PORT` or `HOST:PORT`); refuses other machines unless `allow_remote`.
pub(crate) fn resolve(target: &str, allow_remote: bool) -> anyhow::Result<SocketAddr> {
    let host_port = target
        .strip_prefix("http://")
        .unwrap_or(target)
        .trim_end_matches('/');
    let addresses: Vec<SocketAddr> = host_port
        .to_socket_addrs()
        .with_context(|| format!("{target:?} is no server address; write HOST:PORT"))?
        .collect();
    let address = *addresses
        .first()
        .with_context(|| format!("{target:?} has no address"))?;
    let loopback = addresses.iter().all(|address| address.ip().is_loopback());
    anyhow::ensure!(
        loopback || allow_remote,
        "{target} is not on this machine; a load test against it needs --allow-remote"
    );
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loaded_without_being_asked_for() {
        assert!(resolve("http://127.0.0.1:50051", false).is_ok());
        assert!(resolve("[::1]:50051", false).is_ok());
        let refused = resolve("192.0.2.1:50051", false).expect_err("another machine");
        assert!(refused.to_string().contains("--allow-remote"), "{refused}");
        assert!(resolve("192.0.2.1:50051", true).is_ok());
        assert!(resolve("nowhere", false).is_err());
    }
}
