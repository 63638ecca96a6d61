//! The op table and the two pools by themselves, without a ring: what the micro-benchmarks run.
//!
//! Each call is a whole round trip and leaves everything as it was, so it can be repeated for ever.

use std::{io, rc::Rc};

use super::{
    TaskId,
    op::{Completion, Kind},
    receive_pool::ReceivePool,
    send_pool::{SendClass, SendPool},
    table::{OpTable, Payload},
};

/// A worker's table and pools.
#[derive(Debug)]
pub struct Parts {
    table: OpTable,
    receive: Rc<ReceivePool>,
    head: u16,
    send: Rc<SendPool>,
}

impl Parts {
    /// A table in which so many other operations are in flight, and pools of a usual size.
    ///
    /// # Errors
    /// There is no memory for the pools.
    pub fn new(others: u32) -> io::Result<Self> {
        let mut table = OpTable::new(1 << 16, 16);
        for _ in 0..others {
            let inserted = table.insert(Kind::Plain, TaskId::first(1), None, Payload::Nothing);
            debug_assert!(inserted.is_ok(), "the table holds 65,536");
        }
        let (receive, send) = (ReceivePool::new(256, 16 << 10)?, SendPool::new(4 << 20)?);
        Ok(Self { table, receive, head: 0, send })
    }

    /// An operation takes a slot, completes, wakes its task and is collected. Its result.
    pub fn operation(&mut self, result: i32) -> Option<i32> {
        let task = TaskId::first(0);
        let id = self.table.insert(Kind::Plain, task, None, Payload::Nothing).ok()?;
        self.table.complete(Completion { id, result, more: false, buffer: None }, &self.receive);
        let landed = self.table.landed(id, task);
        landed.inspect(|_| drop(self.table.collect(id)))
    }

    /// A send buffer is taken, with an operation that owns it until it completes, and given back.
    /// Whether there was one.
    pub fn send_buffer(&mut self, class: SendClass) -> bool {
        let Some(buffer) = self.send.try_take(class) else { return false };
        let task = TaskId::first(0);
        let Ok(id) = self.table.insert(Kind::Plain, task, None, Payload::Buffer(buffer)) else {
            return false;
        };
        self.table.complete(Completion { id, result: 1, more: false, buffer: None }, &self.receive);
        self.table.landed(id, task) == Some(1)
            && matches!(self.table.collect(id), Payload::Buffer(_))
    }

    /// A receive buffer is filled with `bytes`, leased, given back and published again, as in a
    /// worker's turn. Whether there was one.
    pub fn lease(&mut self, bytes: &[u8]) -> bool {
        let Some(buffer) = self.receive.fill_next(&mut self.head, bytes) else { return false };
        self.receive.taken();
        let lease = self.receive.lease(buffer, bytes.len() as u32);
        let whole = lease.len() == bytes.len();
        drop(lease);
        self.receive.publish_returns();
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_trip_leaves_all_as_it_was() {
        let mut parts = Parts::new(100).unwrap();
        for round in 0..1000 {
            assert_eq!(parts.operation(round), Some(round));
            assert!(parts.send_buffer(SendClass::Small) && parts.send_buffer(SendClass::Bulk));
            assert!(parts.lease(b"GET / HTTP/1.1\r\n"));
        }
        assert_eq!(parts.table.occupied(), 100);
        assert!(parts.send.is_whole());
        assert_eq!(parts.receive.available(), parts.receive.count());
    }
}
