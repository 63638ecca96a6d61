//! The listeners of a worker: a reload adds some and closes others, and connections that came by a
//! listener outlive it.

use std::{
    cell::{Cell, RefCell},
    fmt,
    net::SocketAddr,
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
};

use super::{door::Door, executor::Spawner};
use crate::{
    accept::{self, Admission},
    conn::Via,
    ring::{Ring, TaskId},
};

/// A listener as the worker gets it.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    /// How its connections are served.
    pub(crate) via: Via,
    /// Its address as the configuration has it.
    pub(crate) wanted: SocketAddr,
    /// Where it is bound, by which it is closed again.
    pub(crate) address: SocketAddr,
    /// The socket.
    pub(crate) socket: Arc<OwnedFd>,
}

/// What a configuration changes of a worker's listeners.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    /// These are new.
    pub(crate) opens: Vec<Listener>,
    /// Those of these addresses accept nothing more.
    pub(crate) closes: Vec<(Via, SocketAddr)>,
}

/// The listeners that accept.
pub(super) struct Listeners {
    ring: Rc<Ring>,
    door: Rc<Door>,
    spawner: Spawner,
    open: RefCell<Vec<Rc<Open>>>,
    prepared: RefCell<Option<Change>>,
}

/// One of them.
struct Open {
    via: Via,
    wanted: SocketAddr,
    address: SocketAddr,
    closed: Cell<bool>,
    /// The task that accepts, once it has run.
    task: Cell<Option<TaskId>>,
}

impl Listeners {
    /// None yet.
    pub(super) fn new(ring: &Rc<Ring>, door: &Rc<Door>, spawner: &Spawner) -> Self {
        Self {
            ring: Rc::clone(ring),
            door: Rc::clone(door),
            spawner: spawner.clone(),
            open: RefCell::default(),
            prepared: RefCell::default(),
        }
    }

    /// Accepts on a listener from here on.
    pub(super) fn open(&self, listener: Listener) {
        let Listener { via, wanted, address, socket } = listener;
        let (closed, task) = (Cell::new(false), Cell::new(None));
        let open = Rc::new(Open { via, wanted, address, closed, task });
        self.open.borrow_mut().push(Rc::clone(&open));
        let gate = Gate { ring: Rc::clone(&self.ring), door: Rc::clone(&self.door), open };
        self.spawner.spawn(accept::accept(Rc::clone(&self.ring), socket, gate));
    }

    /// Keeps a change until [`Self::switch`]. What was kept before is given up.
    pub(super) fn prepare(&self, change: Change) {
        self.prepared.replace(Some(change));
    }

    /// Makes the change that is kept.
    pub(super) fn switch(&self) {
        let Some(Change { opens, closes }) = self.prepared.take() else { return };
        self.open.borrow_mut().retain(|open| {
            let closes = closes.contains(&(open.via, open.address));
            if closes {
                open.closed.set(true);
                if let Some(task) = open.task.get() {
                    self.ring.wake(task);
                }
            }
            !closes
        });
        for listener in opens {
            self.open(listener);
        }
    }

    /// Gives up what is kept: listeners that were never listened on are closed.
    pub(super) fn forget(&self) {
        self.prepared.take();
    }
}

/// The door as the connections of one listener come to it.
struct Gate {
    ring: Rc<Ring>,
    door: Rc<Door>,
    open: Rc<Open>,
}

impl Admission for Gate {
    fn room(&self) -> usize {
        self.door.room()
    }

    fn make_room(&self) -> bool {
        self.door.make_room()
    }

    fn close_silent(&self) -> bool {
        self.door.close_silent()
    }

    fn ask_others(&self, wanted: u32) {
        self.door.ask_others(wanted);
    }

    fn is_draining(&self) -> bool {
        self.open.task.set(Some(self.ring.current()));
        self.open.closed.get() || self.door.is_draining()
    }

    fn serve(&self, socket: OwnedFd) -> Result<(), OwnedFd> {
        self.door.serve(socket, self.open.via, Some(&self.open.wanted))
    }

    fn paused(&self) {
        self.door.paused();
    }

    fn warn(&self, what: &dyn fmt::Display) {
        Admission::warn(&self.door, what);
    }
}
