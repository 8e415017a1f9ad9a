//! The server the demo starts: beside this executable, on loopback, in a process group of its own so that Ctrl-C reaches the
//! demo alone, which then stops the server by SIGTERM and looks at its exit status.

use super::directory::Directory;
use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Ports that the documentation names; taken where they are free.
const GRPC_PORT: u16 = 50_051;
const HTTP_PORT: u16 = 9_464;

/// How long the server may take to load its data.
const READY_MAX: Duration = Duration::from_secs(120);
/// How long it may take to drain.
const STOP_MAX: Duration = Duration::from_secs(30);
/// How often its state is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A running server. Dropping it ends it without waiting long.
#[derive(Debug)]
pub(super) struct ServerProcess {
    child: Child,
    grpc_port: u16,
    http_port: u16,
    log: PathBuf,
}

impl ServerProcess {
    /// Starts the server on the directory's data.
    pub(super) fn start(directory: &Directory, port: Option<u16>) -> anyhow::Result<Self> {
        let program = beside_this_one()?;
        let grpc_port = match port {
            Some(port) if port != 0 => port,
            _ => free_port(GRPC_PORT)?,
        };
        let http_port = free_port(HTTP_PORT)?;
        let log = directory.log();
        let log_file =
            File::create(&log).with_context(|| format!("Cannot write {}", log.display()))?;
        let child = Command::new(&program)
            .arg("--data-dir")
            .arg(directory.data())
            .arg("--keys-dir")
            .arg(directory.keys())
            .args(["--listen", &format!("127.0.0.1:{grpc_port}")])
            .args(["--http-listen", &format!("127.0.0.1:{http_port}")])
            // Its log goes to a file.
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("Cannot start {}", program.display()))?;
        Ok(Self {
            child,
            grpc_port,
            http_port,
            log,
        })
    }

    /// Where it answers gRPC.
    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc_port)
    }

    /// Where it answers HTTP.
    pub(super) fn http_address(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// Until the server's health service says SERVING.
    pub(super) async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_MAX;
        let channel = Endpoint::from_shared(self.address())?.connect_lazy();
        let mut health = HealthClient::new(channel);
        loop {
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!(
                    "the server ended at once ({status}); the end of its log:\n{}",
                    self.log_end()
                );
            }
            let answer = health.check(HealthCheckRequest::default()).await;
            if answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving) {
                return Ok(());
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "the server was not ready after {} s; its log is {}",
                READY_MAX.as_secs(),
                self.log.display()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Until the server ends by itself.
    pub(super) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(POLL * 10).await;
        }
    }

    /// Ends the server by SIGTERM and answers its exit status.
    pub(super) async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        kill_process(self.pid()?, Signal::TERM).context("Cannot signal the server")?;
        tokio::time::timeout(STOP_MAX, self.ended())
            .await
            .with_context(|| {
                format!(
                    "the server had not ended {} s after SIGTERM",
                    STOP_MAX.as_secs()
                )
            })?
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("the server has no usable process id")
    }

    fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

impl Drop for ServerProcess {
    /// After an error nobody waits for the drain: what was acknowledged is durable anyway.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None))
            && let Ok(pid) = self.pid()
        {
            let _ = kill_process(pid, Signal::TERM);
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(POLL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn beside_this_one() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("Cannot tell where this program lies")?;
    let program = this.with_file_name("tillside-server");
    anyhow::ensure!(
        program.is_file(),
        "there is no tillside-server in {}; build it, or use a running one with --running --server URL",
        program.parent().unwrap_or(&program).display()
    );
    Ok(program)
}

/// `wanted` where nobody listens there, else any free port.
fn free_port(wanted: u16) -> anyhow::Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = bind(wanted).or_else(|_| bind(0))?;
    Ok(listener.local_addr()?.port())
}
