//! Which processes are one server: a program's process and those of the same program that descend from it.

use std::collections::{HashMap, HashSet};

/// Parents of processes, and the program that each runs where it matters.
#[derive(Debug, Default)]
pub struct Kin {
    parents: HashMap<u32, (u32, &'static str)>,
}

impl Kin {
    /// Notes a process that runs `program`.
    pub fn note(&mut self, tgid: u32, parent: u32, program: &'static str) {
        self.parents.insert(tgid, (parent, program));
    }

    /// The eldest of a process's ancestors that runs the same program without another in between; itself if none does.
    #[must_use]
    pub fn eldest(&self, tgid: u32) -> u32 {
        let mut at = tgid;
        // Parents read at different times can form a circle.
        let mut met = HashSet::from([tgid]);
        while let Some(&(parent, program)) = self.parents.get(&at)
            && self.parents.get(&parent).is_some_and(|(_, other)| *other == program)
            && met.insert(parent)
        {
            at = parent;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_its_master_and_all_below() {
        let mut kin = Kin::default();
        for (tgid, parent, program) in
            [(10, 1, "uWSGI"), (11, 10, "uWSGI"), (12, 11, "uWSGI"), (20, 10, "HAProxy"), (21, 20, "uWSGI")]
        {
            kin.note(tgid, parent, program);
        }
        assert_eq!([10, 11, 12].map(|tgid| kin.eldest(tgid)), [10; 3]);
        assert_eq!((kin.eldest(20), kin.eldest(21), kin.eldest(99)), (20, 21, 99));
        kin.note(30, 31, "x");
        kin.note(31, 30, "x");
        assert!([30, 31].contains(&kin.eldest(30)), "a circle ends");
    }
}
