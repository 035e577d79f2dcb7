//! The system calls of the loads, without a library's cache or second thoughts in between.
#![expect(unsafe_code, reason = "the loads are system calls, made as directly as can be")]

use std::ffi::{CString, c_char};
use std::io::Error;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail};

/// Bytes of a page on every machine memwatch runs on.
const PAGE: usize = 4096;

/// `getpid`, a system call that does nothing.
pub(crate) fn getpid() -> Result<()> {
    // SAFETY: takes no argument; past the library, which may remember the answer.
    unsafe { libc::syscall(libc::SYS_getpid) };
    Ok(())
}

/// Closes a descriptor; one that is not open is no error, for closing it is a load.
pub(crate) fn close(fd: i32) -> Result<()> {
    // SAFETY: no descriptor given here is owned by anything else.
    unsafe { libc::syscall(libc::SYS_close, fd) };
    Ok(())
}

/// Another number for an open descriptor.
pub(crate) fn dup(fd: i32) -> Result<i32> {
    // SAFETY: takes a number only.
    match unsafe { libc::dup(fd) } {
        -1 => Err(Error::last_os_error()).context("cannot duplicate a descriptor"),
        copy => Ok(copy),
    }
}

/// Reads RLIMIT_NOFILE by `prlimit64`.
pub(crate) fn read_nofile() -> Result<u64> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a value that outlives the call; a null one sets nothing.
    let result = unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE, std::ptr::null::<u8>(), &raw mut limit)
    };
    if result != 0 {
        return Err(Error::last_os_error()).context("cannot read RLIMIT_NOFILE");
    }
    Ok(limit.rlim_cur)
}

/// The boot clock, which the records carry.
pub(crate) fn boot_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value that outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Private anonymous memory, given back when dropped.
pub(crate) struct Region {
    start: NonNull<u8>,
    length: usize,
}

impl Region {
    /// Maps memory.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn map(length: usize) -> Result<Self> {
        Self::of_kind(length, libc::MAP_PRIVATE, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// Maps address space without access.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn reserve(length: usize) -> Result<Self> {
        Self::of_kind(length, libc::MAP_PRIVATE, libc::PROT_NONE)
    }

    /// Maps memory that is shared with processes forked later.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn shared(length: usize) -> Result<Self> {
        Self::of_kind(length, libc::MAP_SHARED, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// It as atomic numbers, which any process that shares it may change at any time.
    pub(crate) fn numbers(&self) -> &[AtomicU64] {
        // SAFETY: mapped memory starts at a page, is initialised, and lives as long as this value.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.length / 8) }
    }

    fn of_kind(length: usize, sharing: i32, protection: i32) -> Result<Self> {
        let flags = sharing | libc::MAP_ANONYMOUS;
        // SAFETY: asks for fresh memory anywhere, of no file.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(Error::last_os_error()).with_context(|| format!("cannot map {length} bytes"));
        }
        let start = NonNull::new(start.cast()).context("the kernel mapped page 0")?;
        Ok(Self { start, length })
    }

    /// Asks for pages of 4 KiB, so that each is a fault of its own.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn refuse_huge_pages(&self) -> Result<()> {
        // SAFETY: the range is this region.
        let result = unsafe { libc::madvise(self.start.as_ptr().cast(), self.length, libc::MADV_NOHUGEPAGE) };
        // A kernel without huge pages says EINVAL, and needs no asking.
        if result != 0 && Error::last_os_error().raw_os_error() != Some(libc::EINVAL) {
            bail!(Error::last_os_error());
        }
        Ok(())
    }

    /// Writes to every page; gives their number.
    pub(crate) fn touch(&mut self) -> u32 {
        self.touch_and_tell(|_| {});
        u32::try_from(self.length / PAGE).unwrap_or(u32::MAX)
    }

    /// Writes to every page, and tells the bytes so far after each.
    pub(crate) fn touch_and_tell(&mut self, mut tell: impl FnMut(usize)) {
        for offset in (0..self.length).step_by(PAGE) {
            // SAFETY: the offset is within the region; volatile, as nobody reads what is written.
            unsafe { self.start.add(offset).write_volatile(1) };
            tell(offset + PAGE);
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the region is this value's own, and nothing borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// What a flood's processes share with the one that started them.
pub(crate) struct Shared {
    region: Region,
}

#[derive(Default)]
struct Counts {
    released: AtomicUsize,
    finished: AtomicUsize,
    calls: AtomicU64,
}

impl Shared {
    /// Makes it, with nothing done.
    ///
    /// # Errors
    /// The kernel refuses the memory.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { region: Region::shared(PAGE)? })
    }

    fn counts(&self) -> &Counts {
        // SAFETY: the region is a page of zeros, aligned and larger than the counts, which are atomics: any
        // process may change them at any time.
        unsafe { self.region.start.cast().as_ref() }
    }

    /// Lets the processes begin.
    pub(crate) fn release(&self) {
        self.counts().released.store(1, Ordering::Release);
    }

    /// Whether they may begin.
    pub(crate) fn is_released(&self) -> bool {
        self.counts().released.load(Ordering::Acquire) != 0
    }

    /// Tells that one process is done with so many calls.
    pub(crate) fn add_done(&self, calls: u64) {
        self.counts().calls.fetch_add(calls, Ordering::Relaxed);
        self.counts().finished.fetch_add(1, Ordering::Release);
    }

    /// How many processes are done.
    pub(crate) fn finished(&self) -> usize {
        self.counts().finished.load(Ordering::Acquire)
    }

    /// Calls of those that are done.
    pub(crate) fn calls(&self) -> u64 {
        self.counts().calls.load(Ordering::Relaxed)
    }
}

/// Keeps this process, and those it forks, on the processor it is on; what it may use comes back when dropped.
pub(crate) struct Pinned(libc::cpu_set_t);

impl Pinned {
    /// Pins.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn here() -> Result<Self> {
        // SAFETY: all zeros is an empty set.
        let (mut before, mut one): (libc::cpu_set_t, libc::cpu_set_t) = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a set of the size given.
        if unsafe { libc::sched_getaffinity(0, size_of_val(&before), &raw mut before) } != 0 {
            return Err(Error::last_os_error()).context("cannot read the processors allowed");
        }
        // SAFETY: takes no argument; the number is that of a processor, which the set has room for.
        unsafe { libc::CPU_SET(libc::sched_getcpu().cast_unsigned() as usize, &mut one) };
        set_affinity(&one)?;
        Ok(Self(before))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // It was allowed before; a processor that went away meanwhile is left out by the kernel.
        let _ = set_affinity(&self.0);
    }
}

fn set_affinity(set: &libc::cpu_set_t) -> Result<()> {
    // SAFETY: the pointer is to a set of the size given.
    match unsafe { libc::sched_setaffinity(0, size_of_val(set), set) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()).context("cannot choose a processor"),
    }
}

/// What the children that were waited for took: CPU seconds of all, peak of resident memory of the largest in KiB.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn use_of_children() -> Result<(f64, i64)> {
    // SAFETY: all-zero bytes are a valid value of this C struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a value of the type that the call fills.
    let result = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    if result != 0 {
        bail!(Error::last_os_error());
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok((seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss))
}

/// A process that was forked; killed and waited for when dropped.
pub(crate) struct Child(i32);

impl Child {
    /// Its process id.
    pub(crate) const fn id(&self) -> i32 {
        self.0
    }

    /// Whether it has ended. It keeps its id all the same.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn has_ended(&self) -> Result<bool> {
        // SAFETY: all-zero bytes are a valid value of this C struct.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: the pointer is to a value of the type that the call fills.
        let result = unsafe { libc::waitid(libc::P_PID, self.0.cast_unsigned(), &raw mut info, options) };
        if result != 0 {
            return Err(Error::last_os_error()).context("cannot wait for a child");
        }
        // SAFETY: the call has filled it, or left it zero.
        Ok(unsafe { info.si_pid() } == self.0)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: the process is a child that was not waited for, so its id is still its own.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// Forks a process that runs `work` and then waits to be killed.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn fork(work: impl FnOnce()) -> Result<Child> {
    // SAFETY: this program has one thread, so no lock is held by another that is not there after the fork.
    match unsafe { libc::fork() } {
        -1 => Err(Error::last_os_error()).context("cannot fork"),
        0 => {
            // SAFETY: takes numbers only. The destructor that ends this process may never run.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            work();
            loop {
                // SAFETY: takes no argument.
                unsafe { libc::pause() };
            }
        }
        child => Ok(Child(child)),
    }
}

/// A program to fork and execute.
pub(crate) struct Program {
    path: CString,
    arguments: Vec<CString>,
}

impl Program {
    /// The smallest program of any distribution.
    pub(crate) fn smallest() -> Self {
        let path = c"/bin/true".to_owned();
        Self { arguments: [path.clone()].into(), path }
    }

    /// This very program, told to end at once: linked statically, it is at its end before a loader would have begun.
    ///
    /// # Errors
    /// Its path is not known.
    pub(crate) fn nothing() -> Result<Self> {
        let path = std::env::current_exe().context("cannot find the path of this program")?;
        let path = CString::new(path.into_os_string().into_encoded_bytes())?;
        Ok(Self { arguments: [path.clone(), CString::new("nothing")?].into(), path })
    }

    /// Forks, executes, waits for the end.
    ///
    /// # Errors
    /// It cannot be started or fails.
    pub(crate) fn run_to_its_end(&self) -> Result<()> {
        let arguments: Vec<*const c_char> =
            self.arguments.iter().map(|argument| argument.as_ptr()).chain([std::ptr::null()]).collect();
        let environment: [*const c_char; 1] = [std::ptr::null()];
        // SAFETY: see `fork`; the child only executes, on pointers that live here, or ends.
        let child = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::execve(self.path.as_ptr(), arguments.as_ptr(), environment.as_ptr());
                libc::_exit(127);
            }
            child
        };
        if child == -1 {
            return Err(Error::last_os_error()).context("cannot fork");
        }
        let mut status = 0;
        // SAFETY: waits for the own child; the pointer is to a value that outlives the call.
        if unsafe { libc::waitpid(child, &raw mut status, 0) } != child || status != 0 {
            bail!("the small program ended with status {status:#x}");
        }
        Ok(())
    }
}
