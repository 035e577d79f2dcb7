//! An allocator that counts, for what must not allocate. A program that wants it names it its global allocator.
#![expect(unsafe_code, reason = "an allocator is unsafe to implement; it hands on to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counted for each thread.
#[derive(Debug)]
pub struct Counting;

/// Allocations by this thread so far, those that moved included; always 0 where [`Counting`] is not the allocator.
#[must_use]
pub fn allocations() -> u64 {
    COUNT.get()
}

fn count() {
    // A thread that ends may allocate after its counter is gone.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the same promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the same promises.
        unsafe { System.dealloc(address, layout) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the same promises.
        unsafe { System.realloc(address, layout, size) }
    }
}
