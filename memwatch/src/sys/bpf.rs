//! BPF programs and types that are loaded without aya, and what the kernel tells of programs.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::bpf_prog_info;

use super::owned;

/// `struct bpf_insn`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Instruction {
    /// Opcode.
    pub code: u8,
    /// Destination register in the low half, source in the high.
    pub registers: u8,
    /// Signed offset.
    pub offset: i16,
    /// Signed immediate.
    pub immediate: i32,
}

/// A program to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its name, of which the kernel keeps 15 bytes.
    pub name: &'a str,
    /// All of it, with what it calls.
    pub instructions: &'a [Instruction],
    /// Which functions are in it; without them the verifier goes through a global function again at each call.
    pub functions: Option<Functions<'a>>,
}

/// Where functions begin and of which types they are.
#[derive(Clone, Copy, Debug)]
pub struct Functions<'a> {
    /// The types, as [`load_types`] gave them.
    pub types: BorrowedFd<'a>,
    /// `struct bpf_func_info` of each function.
    pub records: &'a [u8],
    /// Bytes of one.
    pub record_bytes: u32,
}

/// Hands the types of an object to the kernel.
///
/// # Errors
/// What `bpf(2)` says.
pub fn load_types(types: &[u8]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct TypesAttr {
        types: u64,
        log: u64,
        size: u32,
        log_size: u32,
        log_level: u32,
        pad: u32,
    }
    let attr = TypesAttr {
        types: types.as_ptr() as u64,
        log: 0,
        size: u32::try_from(types.len()).unwrap_or(u32::MAX),
        log_size: 0,
        log_level: 0,
        pad: 0,
    };
    // SAFETY: `attr` and the types are valid for the call; BPF_BTF_LOAD (18) reads `size` bytes of them.
    owned(unsafe { libc::syscall(libc::SYS_bpf, 18, &raw const attr, size_of::<TypesAttr>()) })
}

/// The first fields of `union bpf_attr` for `BPF_PROG_LOAD`, up to `attach_btf_id`.
#[repr(C)]
struct LoadAttr {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
    btf_fd: u32,
    func_info_size: u32,
    func_info: u64,
    func_info_count: u32,
    line_info_size: u32,
    line_info: u64,
    line_info_count: u32,
    attach_btf_id: u32,
}

/// Bytes kept of a verifier's log.
const LOG_BYTES: usize = 256 << 10;

/// What a tracing program does at its function; the numbers are those of `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Trampoline {
    /// Runs at the return.
    Exit = 25,
    /// Runs before, and may replace the result.
    ModifyReturn = 26,
}

impl Functions<'_> {
    fn count(self) -> u32 {
        let records = self.records.len().checked_div(self.record_bytes as usize).unwrap_or(0);
        u32::try_from(records).unwrap_or(u32::MAX)
    }
}

/// Loads a tracing program for the function with this BTF id.
///
/// # Errors
/// What `bpf(2)` says, with the verifier's last lines.
pub fn load_tracing(source: Source<'_>, kind: Trampoline, function: u32) -> Result<OwnedFd, String> {
    let Source { name, instructions, functions } = source;
    let mut kept = [0; 16];
    kept.iter_mut().zip(name.bytes().take(15)).for_each(|(to, from)| *to = from);
    let mut attr = LoadAttr {
        kind: 26, // BPF_PROG_TYPE_TRACING
        instruction_count: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: kept,
        interface: 0,
        expected_attach_type: kind as u32,
        btf_fd: functions.map_or(0, |functions| functions.types.as_raw_fd().cast_unsigned()),
        func_info_size: functions.map_or(0, |functions| functions.record_bytes),
        func_info: functions.map_or(0, |functions| functions.records.as_ptr() as u64),
        func_info_count: functions.map_or(0, Functions::count),
        line_info_size: 0,
        line_info: 0,
        line_info_count: 0,
        attach_btf_id: function,
    };
    let load = |attr: &LoadAttr| {
        // SAFETY: every pointer in `attr` is valid for the call and the lengths given with them.
        owned(unsafe { libc::syscall(libc::SYS_bpf, 5, std::ptr::from_ref(attr), size_of::<LoadAttr>()) })
    };
    let first = match load(&attr) {
        Ok(program) => return Ok(program),
        Err(first) => first,
    };
    // Once more with the log, which the kernel does not write unless asked.
    let mut log = vec![0u8; LOG_BYTES];
    (attr.log_level, attr.log_size, attr.log) = (1, LOG_BYTES as u32, log.as_mut_ptr() as u64);
    load(&attr).map_err(|_| {
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<_> = text.trim_end_matches('\0').lines().collect();
        let last = lines.iter().rev().take(8).rev().copied().collect::<Vec<_>>().join("\n    ");
        if last.is_empty() { format!("load: {first}") } else { format!("load: {first}\n    {last}") }
    })
}

/// Whether the kernel takes trampolines at all: loads and attaches a program that does nothing to this function.
///
/// # Errors
/// What `bpf(2)` says.
pub fn try_trampoline(function: u32) -> Result<(), String> {
    let nothing = [
        Instruction { code: 0xb7, registers: 0, offset: 0, immediate: 0 }, // r0 = 0
        Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 }, // exit
    ];
    let source = Source { name: "memwatch_nothing", instructions: &nothing, functions: None };
    let program = load_tracing(source, Trampoline::Exit, function)?;
    attach_tracing(&program).map(drop).map_err(|e| format!("attach: {e}"))
}

/// Attaches a tracing program to the function it was loaded for; the link ends with the descriptor.
///
/// # Errors
/// What `bpf(2)` says.
pub fn attach_tracing(program: &OwnedFd) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct OpenAttr {
        name: u64,
        program: u32,
        pad: u32,
    }
    let attr = OpenAttr { name: 0, program: program.as_raw_fd().cast_unsigned(), pad: 0 };
    // SAFETY: `attr` is valid for the call; BPF_RAW_TRACEPOINT_OPEN (17) without a name attaches to the BTF id.
    owned(unsafe { libc::syscall(libc::SYS_bpf, 17, &raw const attr, size_of::<OpenAttr>()) })
}

/// What the kernel tells of a loaded program.
///
/// # Errors
/// What `bpf(2)` says.
pub fn program_info(program: BorrowedFd<'_>) -> io::Result<bpf_prog_info> {
    #[repr(C)]
    struct InfoAttr {
        program: u32,
        length: u32,
        info: u64,
    }
    // SAFETY: it holds integers only.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let attr = InfoAttr {
        program: program.as_raw_fd().cast_unsigned(),
        length: size_of::<bpf_prog_info>() as u32,
        info: std::ptr::from_mut(&mut info) as u64,
    };
    // SAFETY: `attr` and `info` are valid for the call; BPF_OBJ_GET_INFO_BY_FD (15) writes at most `length` bytes, of which
    // an older kernel leaves the last as they are, zero.
    let result = unsafe { libc::syscall(libc::SYS_bpf, 15, &raw const attr, size_of::<InfoAttr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(info) }
}
