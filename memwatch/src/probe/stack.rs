//! The room that programs take on the kernel's stack, read from the object: a guard for kernels that the tests may not be
//! running on.

use std::collections::BTreeMap;

use aya_obj::Object;
use aya_obj::generated::bpf_insn;

use super::attach::OBJECT;

/// Of a program and all that it calls, before 6.8 (`MAX_BPF_STACK`, kernel/bpf/verifier.c, check_max_stack_depth).
const STACK_BYTES: i32 = 512;
/// What each frame is rounded up to.
const ROUNDING: i32 = 32;

/// The frame pointer, and codes of instructions (include/uapi/linux/bpf.h).
const R10: u8 = 10;
const CALL: u8 = 0x85;
const PSEUDO_CALL: u8 = 1;
const COPY: u8 = 0xbf;
const ADD: u8 = 0x07;
const CLASS: u8 = 0x07;
const LOAD: u8 = 0x01;
const STORE: [u8; 2] = [0x02, 0x03];
const ARITHMETIC: [u8; 2] = [0x04, 0x07];

/// A program's functions by the place of their first instruction.
struct Functions<'a> {
    code: &'a [bpf_insn],
    frames: BTreeMap<usize, i32>,
}

impl<'a> Functions<'a> {
    fn of(code: &'a [bpf_insn]) -> Self {
        let mut starts: Vec<usize> = (0..code.len()).filter_map(|at| called(code, at)).chain([0]).collect();
        starts.sort_unstable();
        let ends = starts.iter().skip(1).copied().chain([code.len()]);
        let frames =
            starts.iter().zip(ends).map(|(start, end)| (*start, frame(&code[*start..end]))).collect();
        Self { code, frames }
    }

    /// Bytes of a function and of the deepest chain of what it calls.
    fn depth(&self, start: usize) -> i32 {
        let end = self.frames.range(start + 1..).next().map_or(self.code.len(), |(next, _)| *next);
        let called = (start..end).filter_map(|at| called(self.code, at)).map(|callee| self.depth(callee));
        (self.frames[&start].max(1) + ROUNDING - 1) / ROUNDING * ROUNDING + called.max().unwrap_or(0)
    }
}

/// The function that an instruction calls.
fn called(code: &[bpf_insn], at: usize) -> Option<usize> {
    let is_call = code[at].code == CALL && code[at].src_reg() == PSEUDO_CALL;
    is_call.then(|| usize::try_from(at as i64 + 1 + i64::from(code[at].imm)).unwrap())
}

/// The lowest place below the frame pointer that a function reaches.
fn frame(code: &[bpf_insn]) -> i32 {
    let mut copies = [false; 11];
    let mut depth = 0;
    for it in code {
        let (to, from, class) = (usize::from(it.dst_reg()), it.src_reg(), it.code & CLASS);
        if (STORE.contains(&class) && it.dst_reg() == R10) || (class == LOAD && from == R10) {
            depth = depth.max(-i32::from(it.off));
        }
        if it.code == COPY && from == R10 {
            copies[to] = true;
        } else if ARITHMETIC.contains(&class) {
            if copies[to] && it.code == ADD {
                depth = depth.max(-it.imm);
            }
            copies[to] = false;
        }
    }
    depth
}

#[test]
fn programs_fit_the_stack_of_old_kernels() {
    let mut object = Object::parse(OBJECT).unwrap();
    let text = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_calls(&text).unwrap();
    assert!(!object.programs.is_empty());
    for (name, program) in &object.programs {
        let code = &object.functions[&program.function_key()].instructions;
        let depth = Functions::of(code).depth(0);
        assert!(depth <= STACK_BYTES, "{name} and what it calls take {depth} bytes of stack");
    }
}
