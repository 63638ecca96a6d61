//! Leases, loans and waiters of a pool.

use super::*;

#[test]
fn every_buffer_goes_out_once_and_comes_back_once() {
    let pool = ReceivePool::new(8, 64).unwrap();
    let mut head = 0;
    let mut leases = Vec::new();
    for round in 0..8_u8 {
        let buffer = pool.fill_next(&mut head, &[round; 16]).unwrap();
        pool.taken();
        leases.push(pool.lease(buffer, 16));
    }
    assert_eq!(pool.fill_next(&mut head, b"x"), None, "all are leased");
    assert_eq!((pool.available(), pool.low_water()), (0, 0));
    for (round, lease) in leases.iter().enumerate() {
        assert_eq!(&lease[..], &[round as u8; 16]);
    }
    drop(leases);
    assert_eq!(pool.published.get(), 0, "returns are published in a batch");
    pool.publish_returns();
    assert_eq!((pool.published.get(), pool.available()), (8, 8));
}

/// Has the kernel fill so many buffers, and gives them all back.
fn turn(pool: &Rc<ReceivePool>, head: &mut u16, filled: usize) -> usize {
    let leases: Vec<_> =
        std::iter::from_fn(|| pool.fill_next(head, b"x").inspect(|_| pool.taken()))
            .take(filled)
            .map(|buffer| pool.lease(buffer, 1))
            .collect();
    let filled = leases.len();
    drop(leases);
    pool.publish_returns();
    filled
}

#[test]
fn as_many_are_published_as_the_load_needs() {
    let pool = ReceivePool::new(1024, 64).unwrap();
    let mut head = 0;
    assert_eq!((pool.published.get(), pool.available()), (64, 1024));
    let filled: Vec<_> = (0..5).map(|_| turn(&pool, &mut head, 600)).collect();
    assert_eq!(filled, [64, 128, 256, 512, 600], "twice as many with each turn that wants more");
    assert_eq!(pool.low_water(), 1024 - 600);
    for _ in 0..2 * REVIEW_AFTER {
        turn(&pool, &mut head, 10);
    }
    assert_eq!(pool.wanted.get(), 512, "half of them were not used for long");
    for _ in 0..4 * REVIEW_AFTER {
        turn(&pool, &mut head, 10);
    }
    assert_eq!(pool.wanted.get(), LEAST_PUBLISHED);
    pool.publish_returns();
    assert_eq!(pool.available(), 1024, "none was lost");
}

#[test]
fn the_tail_wraps() {
    let pool = ReceivePool::new(4, 64).unwrap();
    let mut head = 0;
    for round in 0..100_000_u32 {
        let buffer = pool.fill_next(&mut head, &round.to_le_bytes()).unwrap();
        pool.taken();
        let lease = pool.lease(buffer, 4);
        assert_eq!(lease[..], round.to_le_bytes());
        drop(lease);
        pool.publish_returns();
    }
    assert_eq!(pool.available(), 4);
}

#[test]
fn waiters_are_served_in_order_and_no_more_than_there_are_buffers() {
    let pool = ReceivePool::new(2, 64).unwrap();
    let tasks: Vec<TaskId> = (0..4).map(TaskId::for_test).collect();
    let places: Vec<Place> = tasks.iter().map(|task| pool.join(*task)).collect();
    pool.leave(places[0]);
    let mut woken = Vec::new();
    pool.take_served(|task| woken.push(task));
    assert_eq!(woken, tasks[1..3], "who left takes no turn");
    assert!(!pool.is_waiting(places[1], tasks[1]) && pool.is_waiting(places[3], tasks[3]));
}

fn leased(pool: &Rc<ReceivePool>, head: &mut u16, bytes: &[u8]) -> RecvBuf {
    let buffer = pool.fill_next(head, bytes).unwrap();
    pool.taken();
    pool.lease(buffer, bytes.len() as u32)
}

#[test]
fn a_lent_buffer_comes_back_from_another_thread() {
    let pool = ReceivePool::new(4, 64).unwrap();
    let (mut head, borrower) = (0, Arc::new(()));
    for round in 0..100_u8 {
        let one = leased(&pool, &mut head, &[round; 16]).lend(&borrower).unwrap();
        let two = leased(&pool, &mut head, b"two").lend(&borrower).unwrap();
        let lease = leased(&pool, &mut head, b"three").lend(&borrower).unwrap_err();
        assert_eq!(&lease[..], b"three", "half of the buffers are lent at most");
        assert_eq!((Arc::strong_count(&borrower), pool.available()), (3, 1));
        std::thread::scope(|scope| {
            scope.spawn(move || assert_eq!(one.as_ref(), [round; 16]));
            scope.spawn(move || drop(two));
        });
        drop(lease);
        assert_eq!(pool.available(), 2, "they are collected at the end of a turn");
        pool.publish_returns();
        assert_eq!((Arc::strong_count(&borrower), pool.available()), (1, 4));
    }
}

#[test]
fn a_lent_buffer_outlives_its_pool() {
    let pool = ReceivePool::new(4, 64).unwrap();
    let (mut head, borrower) = (0, Arc::new(()));
    let lent = leased(&pool, &mut head, b"content").lend(&borrower).unwrap();
    let home = Arc::downgrade(&pool.home);
    drop(pool);
    let elsewhere = std::thread::spawn(move || assert_eq!(lent.as_ref(), b"content"));
    elsewhere.join().unwrap();
    assert_eq!(home.strong_count(), 0, "its memory is unmapped with the last");
}

#[test]
fn a_count_that_is_no_power_of_two_is_refused() {
    assert!(ReceivePool::new(3, 64).is_err());
    assert!(ReceivePool::new(0, 64).is_err());
    assert!(ReceivePool::new(4, 0).is_err());
}
