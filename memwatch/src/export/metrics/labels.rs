//! Labels of things that a host makes at will: so many of them have their own, the others share one.

use std::collections::HashSet;

use super::OTHER;

/// Names that have a label.
#[derive(Debug)]
pub(super) struct Labels {
    bound: usize,
    own: HashSet<String>,
}

impl Labels {
    pub(super) fn new(bound: usize) -> Self {
        Self { bound, own: HashSet::new() }
    }

    pub(super) const fn set_bound(&mut self, bound: usize) {
        self.bound = bound;
    }

    /// The label of a name: a counter that has one keeps it.
    pub(super) fn of<'n>(&mut self, name: &'n str) -> &'n str {
        if self.own.contains(name) {
            return name;
        }
        if self.own.len() >= self.bound {
            return OTHER;
        }
        self.own.insert(name.to_owned());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_beyond_the_bound_share_a_label() {
        let mut labels = Labels::new(2);
        let given: Vec<_> = ["/a", "/b", "/c", "/a", "/d"].into_iter().map(|name| labels.of(name)).collect();
        assert_eq!(given, ["/a", "/b", OTHER, "/a", OTHER]);
    }
}
