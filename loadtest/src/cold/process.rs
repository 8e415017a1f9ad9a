//! A server process of our own: started on free ports, asked for its metrics and its memory, ended.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// A running server; killed when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) grpc: SocketAddr,
    http: SocketAddr,
}

impl Server {
    /// Starts it on `data` and waits until it serves. Budget 0: all customers in memory.
    pub(super) fn start(
        binary: Option<&Path>,
        data: &Path,
        hot_profiles_max_bytes: u64,
    ) -> anyhow::Result<Self> {
        let binary = match binary {
            Some(binary) => binary.to_owned(),
            None => std::env::current_exe()?.with_file_name("tillside-server"),
        };
        let mut child = Command::new(&binary)
            .arg("--data-dir")
            .arg(data)
            .args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
            .args(["--log-level", "warn"])
            .arg(format!("--hot-profiles-max-bytes={hot_profiles_max_bytes}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", binary.display()))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let addresses = lines.by_ref().find_map(|line| {
            let line = line.ok()?;
            let rest = line.strip_prefix("serving gRPC on ")?;
            let (grpc, http) = rest.split_once(" and HTTP on ")?;
            Some((grpc.parse().ok()?, http.parse().ok()?))
        });
        std::thread::spawn(move || lines.for_each(drop));
        let Some((grpc, http)) = addresses else {
            let _ = child.kill();
            anyhow::bail!("the server ended before it served: {:?}", child.wait()?);
        };
        Ok(Server { child, grpc, http })
    }

    /// Ends it in order.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id())?;
        let pid = rustix::process::Pid::from_raw(pid).context("a process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// Something that reads its metrics, on any thread.
    pub(super) fn metrics_reader(&self) -> MetricsReader {
        MetricsReader(self.http)
    }

    /// One metric now.
    pub(super) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        Ok(self.metrics_reader().read()?.get(name))
    }

    /// What the process takes of the machine's memory.
    pub(super) fn resident_bytes(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib = line.context("no VmRSS; this needs Linux")?;
        let kib: f64 = kib.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib * 1024.0)
    }

    /// What it has read from the disk itself, not from the page cache.
    pub(super) fn disk_read_bytes(&self) -> anyhow::Result<f64> {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.child.id()))?;
        let line = io.lines().find_map(|l| l.strip_prefix("read_bytes:"));
        Ok(line.context("no read_bytes")?.trim().parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended where it was stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads metrics.
pub(super) struct MetricsReader(SocketAddr);

impl MetricsReader {
    /// All of them.
    pub(super) fn read(&self) -> anyhow::Result<Metrics> {
        let mut stream = TcpStream::connect(self.0)?;
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.0
        );
        stream.write_all(request.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let value = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(Metrics(text.lines().filter_map(value).collect()))
    }
}

/// Metrics as they were at one time, by name with labels.
pub(super) struct Metrics(HashMap<String, f64>);

impl Metrics {
    /// One of them; what was never counted is 0.
    pub(super) fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}
