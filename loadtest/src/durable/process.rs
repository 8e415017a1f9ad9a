//! Servers of this machine that a comparison starts for itself: on a free port of the loopback, in a directory of their
//! own, ended with it.

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a server may take until it listens.
const START_MAX: Duration = Duration::from_secs(60);
/// Users that exist for no other purpose than to have no rights, by preference.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A running server. Dropping it ends it.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Server {
    /// Starts it and waits until it listens on `address`.
    pub(super) async fn start(
        name: &str,
        mut command: Command,
        address: SocketAddr,
    ) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let mut server = Self { child, address };
        let started = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            if let Some(status) = server.child.try_wait()? {
                anyhow::bail!("{name} ended with {status} instead of listening");
            }
            anyhow::ensure!(
                started.elapsed() < START_MAX,
                "{name} does not listen on {address}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // PostgreSQL ends at once with an interrupt, the others too.
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.child.wait();
    }
}

/// A port nobody listens on. Somebody else may take it before it is used; then the server does not start.
pub(super) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

/// A program in `folders` or in the path.
pub(super) fn find(program: impl AsRef<OsStr>, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders
        .iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(program.as_ref()))
        .find(|file| file.is_file())
}

/// `parent`/*/`child`, the last in order first: the newest version.
pub(super) fn folders_of(parent: &str, child: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path().join(child)).collect();
    folders.sort();
    folders.reverse();
    folders
}

/// User and group that a server gets which refuses to run as root; none where this process is not root.
fn unprivileged_ids() -> anyhow::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").context("Reading /etc/passwd")?;
    let ids = |name: &str| {
        let line = users.lines().find(|l| l.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    UNPRIVILEGED
        .into_iter()
        .find_map(ids)
        .context("this is root, and there is no user postgres or nobody to run PostgreSQL as")
        .map(Some)
}

/// Lets a command run without the rights of root.
pub(super) fn unprivileged(command: &mut Command) -> anyhow::Result<()> {
    if let Some((user, group)) = unprivileged_ids()? {
        command.uid(user).gid(group);
    }
    Ok(())
}

/// Makes a directory that such a command can write to; its parents can be passed through.
pub(super) fn make_directory_for_unprivileged(directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)?;
    if let Some((user, group)) = unprivileged_ids()? {
        std::os::unix::fs::chown(directory, Some(user), Some(group))?;
        if let Some(parent) = directory.parent() {
            std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o711))?;
        }
    }
    Ok(())
}
