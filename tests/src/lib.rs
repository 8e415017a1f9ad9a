//! What the end-to-end tests share: a real server process on loopback, gRPC clients to it, and the real data beside the
//! checkout. The binaries must have been built (`make test` does it first).

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tonic::transport::Channel;

pub mod books;
pub mod calls;
pub mod clerk;
pub mod histories;
pub mod raw;
pub mod reference;
pub mod shelf;
pub mod small_world;
pub mod worlds;

/// The folder of the built binaries: the one this test runs from, without `deps`.
fn binaries() -> Result<PathBuf> {
    let mut folder = std::env::current_exe()?;
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    Ok(folder)
}

/// The path of a binary of this workspace.
pub fn binary(name: &str) -> Result<PathBuf> {
    let path = binaries()?.join(name);
    ensure!(
        path.exists(),
        "{} is not built; run `cargo build --release --workspace --bins` first",
        path.display()
    );
    Ok(path)
}

/// The real data: `$TILLSIDE_SHARED_DATA`, or `shared/data` beside the checkout. `None` (said aloud) where absent.
pub fn shared_data() -> Option<PathBuf> {
    let beside = || {
        Some(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .parent()?
                .parent()?
                .join("shared/data"),
        )
    };
    let folder = std::env::var_os("TILLSIDE_SHARED_DATA")
        .map(PathBuf::from)
        .or_else(beside)?;
    let found = folder.join("cj_baskets.csv.gz").exists();
    if !found {
        eprintln!(
            "SKIPPED: the real data is not at {} (set TILLSIDE_SHARED_DATA)",
            folder.display()
        );
    }
    found.then_some(folder)
}

/// A CSV file, plain or gzip, by its name's ending.
pub fn read_csv(path: &Path) -> Result<csv::Reader<Box<dyn std::io::Read>>> {
    let file = fs::File::open(path).with_context(|| path.display().to_string())?;
    let gz = path.extension().is_some_and(|e| e == "gz");
    let source: Box<dyn std::io::Read> = if gz {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    Ok(csv::Reader::from_reader(source))
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    /// Its gRPC address, `127.0.0.1:port`.
    pub grpc: String,
    /// Its HTTP address.
    pub http: String,
}

impl Server {
    /// Starts the server on free loopback ports and waits until it serves.
    pub fn start(data_dir: &Path, extra: &[&str]) -> Result<Self> {
        Self::launch(data_dir, extra)?.serve()
    }

    /// Starts the server and does not wait for anything: what it does before it serves can be watched, or cut short.
    pub fn launch(data_dir: &Path, extra: &[&str]) -> Result<Starting> {
        Self::launch_under(&[], data_dir, extra)
    }

    /// The same, by a program that ends with executing what its last arguments are.
    pub fn launch_under(under: &[&str], data_dir: &Path, extra: &[&str]) -> Result<Starting> {
        let child = command_under(under, data_dir, LOOPBACK, extra)?.spawn()?;
        Ok(Starting { child: Some(child) })
    }

    /// Runs a server that is expected to end by itself; answers its status and what it wrote.
    pub fn run_to_end(data_dir: &Path, listen: &str) -> Result<(ExitStatus, String)> {
        let output = command(data_dir, listen, &[])?
            .stderr(Stdio::piped())
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status, String::from_utf8_lossy(&text).into_owned()))
    }

    /// A channel to it.
    pub async fn channel(&self) -> Result<Channel> {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", self.grpc))?
            .tcp_nodelay(true);
        Ok(endpoint.connect().await?)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it ends by itself, while clients go on being served by this runtime.
    pub async fn wait(mut self) -> Result<ExitStatus> {
        tokio::task::spawn_blocking(move || Ok(self.child.wait()?)).await?
    }

    /// A page of its HTTP side door, head included.
    pub async fn page(&self, path: &str) -> Result<String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(&self.http).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// The value of a metric without labels.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let page = self.page("/metrics").await?;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value
            .with_context(|| format!("no metric {name} in {page}"))?
            .parse()?)
    }

    /// Ends it as a power cut would, for the process at least.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits, while clients go on being served by this runtime.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        tokio::task::spawn_blocking(move || {
            let told = Command::new("kill")
                .args(["-TERM", &self.child.id().to_string()])
                .status()?;
            ensure!(told.success(), "kill -TERM");
            Ok(self.child.wait()?)
        })
        .await?
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended where the test stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that was started and may not serve yet; killed when dropped.
pub struct Starting {
    child: Option<Child>,
}

impl Starting {
    /// Waits until it serves.
    pub fn serve(mut self) -> Result<Server> {
        let mut child = self.child.take().context("it is taken once")?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        // The server prints one line with its addresses once it serves; reading blocks until then.
        let (grpc, http) = loop {
            match lines.next() {
                Some(Ok(line)) => {
                    if let Some((grpc, http)) = line
                        .strip_prefix("serving gRPC on ")
                        .and_then(|l| l.split_once(" and HTTP on "))
                    {
                        break (grpc.to_owned(), http.to_owned());
                    }
                }
                _ => bail!("the server ended before it served: {:?}", child.wait()?),
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Server { child, grpc, http })
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> Result<bool> {
        let ended = self.child.as_mut().map(Child::try_wait).transpose()?;
        Ok(ended.flatten().is_some())
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Already ended where it could not start.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A free port on loopback.
pub const LOOPBACK: &str = "127.0.0.1:0";

fn command(data_dir: &Path, listen: &str, extra: &[&str]) -> Result<Command> {
    command_under(&[], data_dir, listen, extra)
}

fn command_under(under: &[&str], data_dir: &Path, listen: &str, extra: &[&str]) -> Result<Command> {
    let server = binary("tillside-server")?;
    let mut command = match under.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(server);
            command
        }
        None => Command::new(server),
    };
    command
        .arg("--data-dir")
        .arg(data_dir)
        .args(["--listen", listen, "--http-listen", LOOPBACK]);
    command
        .args(extra)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    Ok(command)
}

/// Runs the command line against a server with `--json`; answers exit code and the JSON it printed.
pub fn tillside(server: &Server, args: &[&str]) -> Result<(i32, serde_json::Value)> {
    let mut command = Command::new(binary("tillside")?);
    command
        .args(["--server", &format!("http://{}", server.grpc), "--json"])
        .args(args)
        .stdin(Stdio::null());
    let output = command.stderr(Stdio::inherit()).output()?;
    let printed = String::from_utf8(output.stdout)?;
    let json = serde_json::from_str(&printed)
        .with_context(|| format!("tillside {args:?} printed {printed:?}"))?;
    Ok((output.status.code().context("a code")?, json))
}

/// Runs a subcommand of the server's binary; answers its exit code, and what it printed on stdout and on stderr.
pub fn tillside_server(args: &[&str]) -> Result<(i32, String, String)> {
    let output = Command::new(binary("tillside-server")?)
        .args(args)
        .stdin(Stdio::null())
        .output()?;
    let code = output.status.code().context("a code")?;
    Ok((
        code,
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    ))
}
