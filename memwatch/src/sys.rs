//! The few system calls that no library in use wraps: perf events for tracepoints, detached mounts, signals by pidfd; BPF
//! (`bpf.rs`).
//!
//! All unsafe code of user space that talks to the kernel stands here, each call behind a safe function.
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

pub mod bpf;
pub mod process;
pub mod signals;

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Size of a page in bytes.
#[must_use]
pub fn page_size() -> u64 {
    // SAFETY: sysconf takes no pointer.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

/// `SIOCGSKNS` of include/uapi/linux/sockios.h.
const SIOCGSKNS: libc::c_ulong = 0x894C;

/// Gives this thread the usual priority: it works through much, and no act waits for it. Where the unit's filter of system calls
/// refuses that, it stays as it is.
pub fn usual_priority() {
    if let Err(error) = rustix::process::setpriority_process(None, 0) {
        tracing::debug!("a thread keeps its priority: {error}");
    }
}

/// The network namespace that a socket belongs to, which need not be that of who holds it.
///
/// # Errors
/// What `ioctl(2)` says: EPERM without `CAP_NET_ADMIN` there.
pub fn network_of(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: this request takes no argument, and gives a new descriptor.
    owned(libc::c_long::from(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS as _) }))
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    match libc::c_int::try_from(result) {
        // SAFETY: the system call has just returned this descriptor, and nobody else knows it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `struct perf_event_attr` up to `sample_regs_user` is not needed: the first 64 bytes (`PERF_ATTR_SIZE_VER0`).
#[repr(C)]
struct PerfAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
}

/// Opens a perf event on a trace event, for all tasks. One CPU suffices: a BPF program attached to it runs on all
/// of them (kernel/trace/bpf_trace.c, `perf_event_attach_bpf_prog`).
///
/// # Errors
/// What `perf_event_open(2)` says.
pub fn open_trace_event(id: u64) -> io::Result<OwnedFd> {
    let attr = PerfAttr {
        kind: 2, // PERF_TYPE_TRACEPOINT
        size: 64,
        config: id,
        sample_period: 1,
        sample_type: 0,
        read_format: 0,
        flags: 0,
        wakeup_events: 1,
        bp_type: 0,
        config1: 0,
    };
    // SAFETY: `attr` is valid for the 64 bytes that its size field states.
    owned(unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const attr, -1, 0, -1, 8 /* CLOEXEC */)
    })
}

/// Attaches a BPF program to a perf event and enables it.
///
/// # Errors
/// What `ioctl(2)` says.
pub fn attach_to_event(event: &OwnedFd, program: BorrowedFd<'_>) -> io::Result<()> {
    const SET_BPF: libc::c_ulong = 0x4004_2408;
    const ENABLE: libc::c_ulong = 0x2400;
    for (request, argument) in [(SET_BPF, program.as_raw_fd()), (ENABLE, 0)] {
        // SAFETY: both requests take an integer.
        if unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Mounts a file system without attaching it anywhere: it is reachable through the descriptor only and goes with it.
///
/// # Errors
/// What `fsopen(2)`, `fsconfig(2)` or `fsmount(2)` says.
pub fn detached_mount(file_system: &CStr) -> io::Result<OwnedFd> {
    const FSCONFIG_CMD_CREATE: libc::c_int = 6;
    // SAFETY: the name is a valid C string for the call.
    let context = owned(unsafe {
        libc::syscall(libc::SYS_fsopen, file_system.as_ptr(), 1 /* CLOEXEC */)
    })?;
    // SAFETY: this command takes no key and no value.
    let configured = unsafe {
        libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, 0usize, 0usize, 0)
    };
    if configured < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: integers only.
    owned(unsafe {
        libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 1 /* CLOEXEC */, 0)
    })
}

/// Raises the limit of locked memory as far as allowed: before 5.11 BPF memory counts against it.
pub fn raise_memlock() {
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: both structs are valid for the calls.
    unsafe {
        if libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) == 0 {
            return;
        }
        let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut now) == 0 {
            now.rlim_cur = now.rlim_max;
            libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const now);
        }
    }
}

/// Whether a signal is ignored, as whoever started this program wanted it.
#[must_use]
pub fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: an all-zero sigaction is valid; the call without a new action only writes the one to which the pointer is valid.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
    }
}

/// Boot clock, in nanoseconds.
#[must_use]
pub fn boot_ns() -> u64 {
    clock_ns(libc::CLOCK_BOOTTIME)
}

/// Real-time clock, in nanoseconds since 1970.
#[must_use]
pub fn real_ns() -> u64 {
    clock_ns(libc::CLOCK_REALTIME)
}

/// Monotonic clock, in nanoseconds: that of systemd.
#[must_use]
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// CPU time that this process has taken, in nanoseconds.
#[must_use]
pub fn cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time that the calling thread has taken, in nanoseconds.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for the call, and these clocks exist on every kernel with BPF.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Has large blocks go back to the kernel when they are freed, and grow without a copy. By itself the allocator (glibc) takes
/// the next one of that size from the heap once such a block was freed: reading the kernel's types, which aya does once more,
/// takes 28 MiB then.
pub fn return_large_blocks() {
    const LARGE: libc::c_int = 128 << 10;
    // SAFETY: integers only.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
}

/// Gives memory that parsing needed back to the kernel.
pub fn trim_heap() {
    // SAFETY: no arguments of consequence.
    unsafe { libc::malloc_trim(0) };
}

/// Sends a signal to a child of this process that has not been waited for: its id cannot be another's.
pub fn signal_child(pid: u32, signal: libc::c_int) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // SAFETY: integers only.
    unsafe { libc::kill(pid, signal) };
}

/// Whether a child of this process that has not been waited for is in this process's group.
#[must_use]
pub fn is_in_own_group(pid: u32) -> bool {
    let child = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let of_child = child.and_then(|child| rustix::process::getpgid(Some(child)).ok());
    of_child.is_some_and(|group| rustix::process::getpgid(None) == Ok(group))
}

/// Columns of the terminal on standard output, when it is one.
#[must_use]
pub fn terminal_width() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is valid for the call.
    let told = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (told == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Does what the servers of the incidents do: reads the descriptor limit, asks for one pointer per possible
/// descriptor, and touches all of it.
///
/// # Errors
/// What `getrlimit(2)` or `mmap(2)` says.
pub fn allocate_per_descriptor() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let bytes = usize::try_from(limit.rlim_cur.saturating_mul(8)).unwrap_or(usize::MAX);
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh mapping placed by the kernel overlaps nothing.
    let region = unsafe { libc::mmap(std::ptr::null_mut(), bytes, prot, flags, -1, 0) };
    if region == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the region is writable and at least this long.
    unsafe { std::ptr::write_bytes(region.cast::<u8>(), 1, bytes) };
    Ok(())
}
