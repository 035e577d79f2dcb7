//! The second guard: whatever the policy decided, these are not touched.
//!
//! It reads `/proc` anew for each act and shares with the policy only the list of programs and what `[[protect]]` says. What it
//! cannot read of a process counts against acting. Only where something is protected by name does a look make memory, a few
//! short texts.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::core::fact::ProcessKey;
use crate::core::policy::{MOVED, Outcome, Protect, Reach, Who, guarded_path, unit};
use crate::enrich::cgroup::{folder_of, parse_mounts};
use crate::enrich::container::{is_in_container, unit_of};
use crate::enrich::guarded_files::GuardedFiles;
use crate::enrich::identify::Identifier;
use crate::enrich::proc::{Living, ProcFs, ProcessDir, ReadError, StatLine, scan_cgroups, scan_stat};
use crate::measure::oom_score_adj;

/// Bytes read of a file, and of a path, at most.
const ROOM: usize = 8192;
/// Generations walked up from a process at most.
const GENERATIONS: usize = 64;
/// `OOM_SCORE_ADJ_MIN` of include/uapi/linux/oom.h.
const UNKILLABLE: i32 = -1000;

/// Why nothing is done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is pid 1.
    #[error("it is pid 1")]
    Init,
    /// It is this program.
    #[error("it is memwatch itself")]
    Own,
    /// This program is its descendant.
    #[error("memwatch was started by it")]
    Supervisor,
    /// It is a thread of the kernel.
    #[error("it is a thread of the kernel")]
    Kernel,
    /// Its `oom_score_adj` is -1000.
    #[error("its oom_score_adj is -1000")]
    Unkillable,
    /// A program that the host stands on.
    #[error("its program is {0} of this host")]
    Program(&'static str),
    /// `[[protect]]` names it.
    #[error("[[protect]] names it")]
    Protected,
    /// It lies outside of what the daemon is bound to.
    #[error("it is outside of every scope")]
    OutOfScope,
    /// Something of it cannot be read.
    #[error("its {0} cannot be read; run as root in the host's pid namespace")]
    Unknown(&'static str),
}

/// What acting is bound to.
#[derive(Clone, Debug)]
enum Bound {
    Cgroup(String),
    /// A root that had ended when the guard was made bounds to nothing.
    Tree(Option<ProcessKey>),
}

/// Tells who descends from whom by the forks that were seen, whether those in between live or not.
pub trait Lineage: std::fmt::Debug {
    /// The process that was the root of the tree of this id when it was first named.
    fn root(&self, tgid: u32) -> Option<ProcessKey>;

    /// Whether the holder of a process id descends from a root.
    fn descends(&self, tgid: u32, root: ProcessKey) -> bool;
}

/// The second guard.
#[derive(Debug)]
pub struct Guard {
    proc: ProcFs,
    own: u32,
    /// Empty: the whole host.
    files: GuardedFiles,
    bounds: Vec<Bound>,
    lineage: Option<Arc<dyn Lineage>>,
    protect: Protect,
    identifier: Identifier,
    room: Box<[u8; ROOM]>,
}

impl Guard {
    /// A guard that lets acts through to processes within any of `reaches`; without any, and with the host among them, on the
    /// whole host.
    ///
    /// Whether a process belongs to a tree is told by its living ancestors alone: a descendant whose parent has ended counts as
    /// outside.
    ///
    /// # Errors
    /// When `/proc` cannot be opened.
    pub fn new<'a>(reaches: impl IntoIterator<Item = &'a Reach>) -> io::Result<Self> {
        Self::with_lineage(reaches, None)
    }

    /// The same, with descent told by the forks that were seen as well.
    ///
    /// # Errors
    /// When `/proc` cannot be opened.
    pub fn with_lineage<'a>(
        reaches: impl IntoIterator<Item = &'a Reach>,
        lineage: Option<Arc<dyn Lineage>>,
    ) -> io::Result<Self> {
        let proc = ProcFs::open(Path::new("/proc"))?;
        let mut guard = Self {
            files: GuardedFiles::find(&proc),
            identifier: Identifier::new(&proc)?,
            protect: Protect::default(),
            proc,
            own: std::process::id(),
            bounds: Vec::new(),
            lineage,
            room: Box::new([0; ROOM]),
        };
        for reach in reaches {
            let bound = match reach {
                Reach::Host => {
                    guard.bounds.clear();
                    break;
                }
                Reach::Cgroup(path) => Bound::Cgroup(path.clone()),
                Reach::Tree(root) => {
                    let known = guard.lineage.as_ref().and_then(|lineage| lineage.root(*root));
                    Bound::Tree(known.or_else(|| guard.stat_of(*root).ok().map(|(key, _)| key)))
                }
            };
            guard.bounds.push(bound);
        }
        Ok(guard)
    }

    /// The same, which spares whom the configuration protects as well.
    #[must_use]
    pub fn protecting(self, protect: &Protect) -> Self {
        Self { protect: protect.clone(), ..self }
    }

    /// A descriptor of the process, when it runs and may be acted on; else what becomes of the act.
    ///
    /// The descriptor is opened before anything is looked at: if the id is given to another process in between, what was
    /// looked at is the other and the descriptor that of one that has ended, which no signal reaches.
    ///
    /// # Errors
    /// [`Outcome::Gone`], [`Outcome::Guarded`] or [`Outcome::Failed`].
    pub fn admit(&mut self, key: ProcessKey) -> Result<OwnedFd, Outcome> {
        let pid = i32::try_from(key.tgid).ok().and_then(Pid::from_raw).ok_or(Outcome::Gone)?;
        let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| match errno.raw_os_error() {
            // The id is that of a thread by now (EINVAL; ENOENT from 6.15 on), so no longer that of the process.
            libc::ESRCH | libc::EINVAL | libc::ENOENT => Outcome::Gone,
            other => Outcome::Failed(other),
        })?;
        match self.check(key) {
            Ok(Ok(())) => Ok(process),
            Ok(Err(refusal)) => {
                tracing::warn!("nothing is done to process {}: {refusal}", key.tgid);
                Err(Outcome::Guarded)
            }
            Err(ReadError::Gone { .. } | ReadError::Recycled { .. }) => Err(Outcome::Gone),
            Err(ReadError::Io { source, .. }) => {
                Err(source.raw_os_error().map_or(Outcome::Guarded, Outcome::Failed))
            }
            Err(ReadError::Parse { .. }) => Err(Outcome::Guarded),
        }
    }

    /// Whether the process may be acted on.
    ///
    /// # Errors
    /// When it is gone, or cannot be read.
    pub fn check(&mut self, key: ProcessKey) -> Result<Result<(), Refusal>, ReadError> {
        let Living { dir, is_kernel } = self.proc.living(key, self.room.as_mut())?;
        let checked = self.check_same(&dir, key, is_kernel);
        if let Err(Refusal::Unknown(_)) = checked {
            // What ended meanwhile tells nothing of itself, which is no reason to spare it.
            self.proc.living(key, self.room.as_mut())?;
        }
        Ok(checked)
    }

    fn check_same(&mut self, dir: &ProcessDir, key: ProcessKey, is_kernel: bool) -> Result<(), Refusal> {
        if key.tgid == 1 {
            return Err(Refusal::Init);
        }
        if is_kernel {
            return Err(Refusal::Kernel);
        }
        self.check_kin(key.tgid)?;
        self.check_score(dir)?;
        self.check_program(dir)?;
        self.check_scope(dir, key)?;
        self.check_protected(key.tgid)
    }

    /// Not this program, nor what started it.
    fn check_kin(&mut self, tgid: u32) -> Result<(), Refusal> {
        if tgid == self.own {
            return Err(Refusal::Own);
        }
        let mut is_ours = || self.descends_from(self.own, |ancestor| ancestor.tgid == tgid);
        // An ancestor may end during the walk: the second one finds who took its place.
        match is_ours().or_else(is_ours) {
            Some(false) => Ok(()),
            Some(true) => Err(Refusal::Supervisor),
            None => Err(Refusal::Unknown("relation to memwatch")),
        }
    }

    fn check_score(&mut self, dir: &ProcessDir) -> Result<(), Refusal> {
        match oom_score_adj(dir, self.room.as_mut()) {
            Some(UNKILLABLE) => Err(Refusal::Unkillable),
            Some(_) => Ok(()),
            None => Err(Refusal::Unknown("oom_score_adj")),
        }
    }

    fn check_program(&mut self, dir: &ProcessDir) -> Result<(), Refusal> {
        let unknown = Refusal::Unknown("executable");
        let exe = dir.exe_into(self.room.as_mut()).ok_or(unknown)?;
        // None of the guarded paths has bytes that are not text.
        let by_path = std::str::from_utf8(exe).ok().and_then(guarded_path);
        let kind = match self.files.is_run_by(dir, exe) {
            Some(true) => Some(by_path.unwrap_or(MOVED)),
            Some(false) => None,
            None => by_path,
        };
        let Some(kind) = kind else { return Ok(()) };
        let path = self.cgroup_path(dir).ok_or(Refusal::Unknown("cgroup"))?;
        if is_in_container(path) { Ok(()) } else { Err(Refusal::Program(kind)) }
    }

    fn check_scope(&mut self, dir: &ProcessDir, key: ProcessKey) -> Result<(), Refusal> {
        // Taken out for the walk, which needs the buffer.
        let bounds = std::mem::take(&mut self.bounds);
        let is_in = bounds.is_empty()
            || bounds.iter().any(|bound| match bound {
                Bound::Cgroup(root) => self.cgroup_path(dir).is_some_and(|path| is_below(path, root)),
                Bound::Tree(root) => root.is_some_and(|root| {
                    key.is_same(root)
                        || self.lineage.as_ref().is_some_and(|lineage| lineage.descends(key.tgid, root))
                        || self.descends_from(key.tgid, |ancestor| ancestor.is_same(root)) == Some(true)
                }),
            });
        self.bounds = bounds;
        if is_in { Ok(()) } else { Err(Refusal::OutOfScope) }
    }

    fn check_protected(&mut self, tgid: u32) -> Result<(), Refusal> {
        if self.protect.matching.is_empty() {
            return Ok(());
        }
        let who = self.who(tgid).ok_or(Refusal::Unknown("identity"))?;
        // What is not known of it would match nothing.
        if who.exe.is_none() || who.cgroup.is_none() || who.uid.is_none() {
            return Err(Refusal::Unknown("identity"));
        }
        let by_parent = self.protect.matching.iter().any(|matching| !matching.parent_exe.is_empty());
        let parent = match who.parent.filter(|parent| by_parent && *parent > 0) {
            Some(parent) => Some(self.who(parent).ok_or(Refusal::Unknown("parent"))?),
            None => None,
        };
        if self.protect.covers(&who, parent.as_ref()) { Err(Refusal::Protected) } else { Ok(()) }
    }

    /// A process as the policy would see it.
    fn who(&mut self, tgid: u32) -> Option<Who> {
        let identity = self.identifier.identify(&self.proc.process(tgid).ok()?).ok()?;
        Some(Who::new(&identity, None, false))
    }

    /// The folder of a process's cgroup below `/sys/fs/cgroup`, or wherever its hierarchy is mounted; `None` when it cannot be
    /// told, and for the root of what is mounted.
    pub(super) fn cgroup_folder(&mut self, tgid: u32) -> Option<PathBuf> {
        let dir = self.proc.process(tgid).ok()?;
        let text = dir.read_into("cgroup", self.room.as_mut()).ok()?;
        folder_of(&parse_mounts(&self.proc.mountinfo().ok()?), text)
    }

    /// The unit that a process is in, and the folder of its cgroup; `None` where the host's systemd stops none.
    pub(super) fn unit_of(&mut self, tgid: u32) -> Option<(String, PathBuf)> {
        let dir = self.proc.process(tgid).ok()?;
        let text = dir.read_into("cgroup", self.room.as_mut()).ok()?;
        let folder = folder_of(&parse_mounts(&self.proc.mountinfo().ok()?), text)?;
        let path = telling_path(text)?;
        let unit = unit_of(path)?;
        let below = Path::new(path).strip_prefix(unit::cgroup_of(path, &unit)?).ok()?;
        Some((unit, folder.ancestors().nth(below.components().count())?.to_owned()))
    }

    /// The process that has this id now.
    pub(super) fn key_of(&mut self, tgid: u32) -> Result<ProcessKey, ReadError> {
        self.stat_of(tgid).map(|(key, _)| key)
    }

    /// The path that the policy knows the process's cgroup by; `None` when it cannot be read as text.
    fn cgroup_path(&mut self, dir: &ProcessDir) -> Option<&str> {
        telling_path(dir.read_into("cgroup", self.room.as_mut()).ok()?)
    }

    /// Whether one of a process's ancestors is the one that is looked for; `None` when that cannot be told.
    fn descends_from(&mut self, tgid: u32, is_it: impl Fn(ProcessKey) -> bool) -> Option<bool> {
        let (_, mut next) = self.stat_of(tgid).ok()?;
        for _ in 0..GENERATIONS {
            if next == 0 {
                return Some(false);
            }
            let (key, parent) = self.stat_of(next).ok()?;
            if is_it(key) {
                return Some(true);
            }
            next = parent;
        }
        None
    }

    /// A process and its parent.
    fn stat_of(&mut self, tgid: u32) -> Result<(ProcessKey, u32), ReadError> {
        let dir = self.proc.process(tgid)?;
        let stat = stat_in(&dir, tgid, self.room.as_mut())?;
        Ok((stat.key(), stat.parent_pid))
    }
}

/// Whether a cgroup is `root` or below it.
fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn stat_in<'a>(dir: &ProcessDir, tgid: u32, room: &'a mut [u8]) -> Result<StatLine<'a>, ReadError> {
    scan_stat(dir.read_into("stat", room)?).map_err(|source| ReadError::Parse { tgid, source })
}

/// The path that says most of a process's place, by the text of its `/proc/PID/cgroup`.
fn telling_path(memberships: &[u8]) -> Option<&str> {
    let (_, path) = scan_cgroups(memberships).ok()?.telling_path()?;
    std::str::from_utf8(path).ok()
}
