//! What a program writes to of its table, and what becomes resident elsewhere meanwhile.

use std::fs::File;
use std::thread::{self, sleep};
use std::time::Duration;

use clap::Args;
use memwatch_tests::syscall::memory::{self, PAGE};

use crate::mapping::Region;

const STEP: u64 = 1 << 20;
/// A huge page.
const HUGE: u64 = 2 << 20;

#[derive(Args)]
pub(crate) struct Touch {
    /// Bytes of the first array to write to.
    #[arg(long, default_value_t = 0)]
    touch: u64,
    /// Bytes to write to that are no table's, meanwhile and afterwards.
    #[arg(long, default_value_t = 0)]
    touch_elsewhere: u64,
    /// Wait between steps of a mebibyte while touching.
    #[arg(long, default_value_t = 0)]
    step_ms: u64,
    /// Ask for huge pages for the table.
    #[arg(long)]
    huge: bool,
    /// After each page have the kernel fill so many bytes of other memory.
    #[arg(long, default_value_t = 0)]
    read_between: u64,
    /// Meanwhile another thread gets so many huge pages elsewhere, one a millisecond, as this one gets pages.
    #[arg(long, default_value_t = 0)]
    huge_beside: u64,
    /// Have the kernel fill so many bytes of the table.
    #[arg(long, default_value_t = 0)]
    read_into: u64,
    /// Write to the table by two threads at once.
    #[arg(long)]
    by_two: bool,
}

impl Touch {
    /// Does it to a table at `address` of `length` bytes.
    pub(crate) fn run(&self, address: u64, length: u64) -> std::io::Result<()> {
        if self.huge {
            memory::want_huge_pages(address.next_multiple_of(PAGE), length)?;
        } else if self.touch > 0 {
            // All of it: advice about a part would cut the region in two, which mremap(2) refuses.
            memory::forbid_huge_pages(address.next_multiple_of(PAGE), length)?;
        }
        if self.read_into > 0 {
            memory::forbid_huge_pages(address.next_multiple_of(PAGE), length)?;
            return memory::fill(&File::open("/dev/zero")?, address, self.read_into);
        }
        if self.read_between > 0 {
            return self.with_reads(address);
        }
        if self.huge_beside > 0 {
            return self.beside_huge_pages(address);
        }
        if self.by_two {
            let half = (self.touch / 2).next_multiple_of(PAGE);
            return thread::scope(|scope| {
                scope.spawn(|| memory::touch(address + half, self.touch - half));
                memory::touch(address, half);
                Ok(())
            });
        }
        let elsewhere = Region::Private.map(self.touch_elsewhere.max(PAGE))?;
        memory::forbid_huge_pages(elsewhere, self.touch_elsewhere)?;
        let (mut done, mut done_elsewhere) = (0, 0);
        while done < self.touch {
            let step = STEP.min(self.touch - done);
            memory::touch(address + done, step);
            done += step;
            if done_elsewhere < self.touch_elsewhere {
                memory::touch(elsewhere + done_elsewhere, PAGE);
                done_elsewhere += PAGE;
            }
            if self.step_ms > 0 {
                sleep(Duration::from_millis(self.step_ms));
            }
        }
        memory::touch(elsewhere + done_elsewhere, self.touch_elsewhere - done_elsewhere);
        Ok(())
    }

    fn with_reads(&self, address: u64) -> std::io::Result<()> {
        let pages = self.touch / PAGE;
        let buffer = Region::Private.map(self.read_between * pages)?;
        memory::forbid_huge_pages(buffer, self.read_between * pages)?;
        let zeros = File::open("/dev/zero")?;
        for page in 0..pages {
            memory::touch(address + page * PAGE, PAGE);
            memory::fill(&zeros, buffer + page * self.read_between, self.read_between)?;
        }
        Ok(())
    }

    fn beside_huge_pages(&self, address: u64) -> std::io::Result<()> {
        const PAUSE: Duration = Duration::from_millis(1);
        let bytes = self.huge_beside * HUGE;
        let other = Region::Private.map(bytes + HUGE)?.next_multiple_of(HUGE);
        memory::want_huge_pages(other, bytes)?;
        thread::scope(|scope| {
            scope.spawn(|| {
                for page in 0..self.huge_beside {
                    memory::touch(other + page * HUGE, PAGE);
                    sleep(PAUSE);
                }
            });
            for page in 0..self.touch / PAGE {
                memory::touch(address + page * PAGE, PAGE);
                sleep(PAUSE);
            }
        });
        Ok(())
    }
}
