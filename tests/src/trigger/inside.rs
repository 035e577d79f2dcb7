//! Runs a real program apart from the host: another root, mounts, process ids and a loopback network of its own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use memwatch_tests::syscall::process::{self, Forked};
use memwatch_tests::syscall::sandbox;

#[derive(Args)]
pub(crate) struct Inside {
    #[arg(long)]
    root: PathBuf,
    /// Has `/sys` in it, with the cgroup hierarchies, as who starts containers needs it.
    #[arg(long)]
    sys: bool,
    /// Ends everything after this time.
    #[arg(long)]
    seconds: u64,
    /// Program and arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Inside {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        sandbox::unshare().context("get mounts, process ids and a network of one's own")?;
        match process::fork()? {
            Forked::Child => match self.run_as_first() {
                Ok(code) => process::exit_now(code),
                Err(error) => Err(error),
            },
            Forked::Parent(child) => Ok(process::code_of(process::wait(child)?)),
        }
    }

    /// The first process of its name space: when it ends, the kernel kills every other one in there.
    fn run_as_first(&self) -> anyhow::Result<i32> {
        process::die_with_parent()?;
        sandbox::raise_loopback().context("raise the loopback interface")?;
        self.mount()?;
        sandbox::enter(&self.root).with_context(|| format!("enter {}", self.root.display()))?;
        let (program, arguments) = self.command.split_first().context("no command")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(std::process::Stdio::null());
        command.env_clear().envs([
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/tmp"),
            ("LANG", "C"),
        ]);
        let child = command.spawn().with_context(|| format!("start {program}"))?;
        Ok(reap_until(child.id(), Instant::now() + Duration::from_secs(self.seconds)))
    }

    fn mount(&self) -> anyhow::Result<()> {
        let at = |name: &str| self.root.join(name);
        if self.sys {
            // A container gets its root by pivot_root(2), which takes the present one only where something is mounted.
            sandbox::mount(Some(&self.root), &self.root, None, libc::MS_BIND).context("mount the root")?;
            sandbox::mount(Some(Path::new("/sys")), &at("sys"), None, libc::MS_BIND | libc::MS_REC)
                .context("mount /sys")?;
        }
        sandbox::mount(None, &at("proc"), Some("proc"), 0).context("mount /proc")?;
        sandbox::mount(Some(Path::new("/dev")), &at("dev"), None, libc::MS_BIND | libc::MS_REC)
            .context("mount /dev")?;
        for name in ["run", "tmp"] {
            sandbox::mount(None, &at(name), Some("tmpfs"), 0).with_context(|| format!("mount /{name}"))?;
            // Programs that give up root write there too.
            std::fs::set_permissions(at(name), Permissions::from_mode(0o1777))?;
        }
        Ok(())
    }
}

/// Reaps children until the program and, when it went into the background, its descendants ended, or until the deadline.
fn reap_until(program: u32, deadline: Instant) -> i32 {
    let mut code = 0;
    while Instant::now() < deadline {
        match process::reap_any() {
            Some((pid, status)) if pid.unsigned_abs() == program => {
                code = if libc::WIFSIGNALED(status) {
                    128 + libc::WTERMSIG(status)
                } else {
                    libc::WEXITSTATUS(status)
                };
                if code != 0 {
                    return code;
                }
            }
            Some(_) => {}
            None if std::io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) => return code,
            None => sleep(Duration::from_millis(20)),
        }
    }
    code
}
