//! Lines on standard output, whatever that is: a pipe, a terminal, a file.

use std::collections::VecDeque;
use std::io::{self, Stdout};
use std::sync::Arc;

use super::lines::Lines;
use super::{Peer, Trouble};
use crate::export::event::Event;
use crate::export::route::Route;
use crate::runtime::outlet::{Outlet, Progress};

pub(super) struct StandardOutput {
    lines: Lines,
    outlet: Outlet<Stdout>,
}

impl StandardOutput {
    pub(super) fn new(route: &Arc<Route>, progress: Arc<Progress>) -> Self {
        Self { lines: Lines::new(route), outlet: Outlet::new(io::stdout(), progress) }
    }
}

impl Peer for StandardOutput {
    fn deliver(&mut self, batch: &mut VecDeque<Arc<Event>>) -> Result<(), Trouble> {
        let (bytes, result) = self.outlet.write(self.lines.rest(batch));
        self.lines.written(bytes, batch);
        Ok(result?)
    }
}
