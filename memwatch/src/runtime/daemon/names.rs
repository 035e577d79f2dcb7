//! Names of containers for what is told of processes in them.

use std::collections::HashMap;
use std::io;

use crate::core::fact::Container;
use crate::core::policy::{Command, Engine, Told, Who};
use crate::enrich::container::container_of;
use crate::enrich::cri::{Containers, Sockets};
use crate::export::decision::{add_naming, concerned};
use crate::export::event::Event;
use crate::export::lost_kinds;
use crate::runtime::losses::{self, Losses};
use crate::runtime::waiting::Waiting;

/// Who is asked, and the events that wait for an answer.
#[derive(Debug)]
pub(super) struct Names {
    sockets: Sockets,
    waiting: Waiting<(Event, String)>,
    /// Containers of those that decisions are about: who has ended by then is still named when that is told.
    victims: HashMap<u64, Container>,
    /// What was told of losses.
    told: Losses,
}

/// Victims that are remembered: more than are ever under way.
const VICTIMS: usize = 4_096;

impl Names {
    pub(super) fn start(sockets: Sockets) -> io::Result<Self> {
        let waiting = Waiting::new(Containers::start(&sockets)?);
        Ok(Self { sockets, waiting, victims: HashMap::new(), told: Losses::default() })
    }

    /// Asks others from now on; what is known of containers goes with those who knew it.
    pub(super) fn change(&mut self, sockets: Sockets) -> io::Result<()> {
        if sockets != self.sockets {
            self.waiting.change(Containers::start(&sockets)?);
            self.sockets = sockets;
        }
        Ok(())
    }

    /// The event with the names of the container that it is about; `None`: it waits for them.
    pub(super) fn name(&mut self, event: Event, command: &Command, engine: &Engine) -> Option<Event> {
        let Some(container) = self.subject(command, engine) else { return Some(event) };
        if self.waiting.awaits(&container) {
            let id = container.id.clone();
            self.waiting.push(&container, (event, id));
            return None;
        }
        Some(self.named(event, &container.id))
    }

    /// The container of the process that a command is told of.
    fn subject(&mut self, command: &Command, engine: &Engine) -> Option<Container> {
        let living = |key| engine.who(key).and_then(container);
        match command.told()? {
            Told::Decided(decision) => {
                let container = living(decision.key)?;
                if self.victims.len() < VICTIMS {
                    self.victims.insert(decision.id, container.clone());
                }
                Some(container)
            }
            Told::Closed(closing) => self.victims.remove(&closing.decision).or_else(|| living(closing.key)),
            Told::Warned(warning) => concerned(warning).and_then(living),
        }
    }

    /// Waits until an event need not wait any more.
    pub(super) async fn ready(&self) {
        self.waiting.ready().await;
    }

    /// Events that need not wait any more; all of them when told so.
    pub(super) fn take_ready(&mut self, all: bool) -> Vec<Event> {
        let mut ready = Vec::new();
        self.waiting.take_ready(all, &mut ready);
        ready.into_iter().map(|(event, id)| self.named(event, &id)).collect()
    }

    /// What could not be named, by kind.
    pub(super) fn losses(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        losses::of_containers(&self.waiting)
    }

    /// Complains of what could not be named; to be called now and then.
    pub(super) fn keep_house(&mut self) {
        for (kind, total) in losses::of_containers(&self.waiting) {
            if let (Some(loss), Some(known)) = (self.told.take(kind, total), lost_kinds::find(kind)) {
                tracing::warn!("{} {}: {}", loss.count, known.meaning, known.remedy);
            }
        }
    }

    fn named(&self, mut event: Event, id: &str) -> Event {
        if let Some(naming) = self.waiting.containers().naming(id) {
            add_naming(&mut event, id, &naming);
        }
        event
    }
}

/// The container of a process, with the runtime that its cgroup path names.
fn container(who: &Who) -> Option<Container> {
    let id = who.container.as_ref()?;
    let named = who.cgroup.as_deref().and_then(container_of).filter(|container| container.id == *id);
    Some(named.unwrap_or_else(|| Container { id: id.clone(), runtime: None }))
}
