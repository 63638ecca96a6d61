//! Who is polled over HTTP/2: of many answers that are awaited on one connection, those that something
//! has woken, and no others.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, extract::Path, routing::get};
use tokio::sync::Semaphore;

use crate::{
    http2::{client, collect, request},
    server::serve,
};

const STREAMS: usize = 60;

/// Handlers that wait until they are let go, and how often each was polled.
struct Waiting {
    gates: Vec<Semaphore>,
    polls: Vec<AtomicUsize>,
}

impl Waiting {
    fn new() -> Arc<Self> {
        let gates = (0..STREAMS).map(|_| Semaphore::new(0)).collect();
        let polls = (0..STREAMS).map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Self { gates, polls })
    }

    async fn wait(&self, number: usize) {
        let mut gate = pin!(self.gates[number].acquire());
        std::future::poll_fn(|cx| {
            self.polls[number].fetch_add(1, SeqCst);
            gate.as_mut().poll(cx).map(drop)
        })
        .await;
    }

    fn polled(&self) -> usize {
        self.polls.iter().map(|polls| polls.load(SeqCst)).sum()
    }
}

#[test]
fn an_answer_that_waits_is_not_polled_for_others() {
    let waiting = Waiting::new();
    let of = Arc::clone(&waiting);
    let wait = move |Path(number): Path<usize>| {
        let of = Arc::clone(&of);
        async move {
            of.wait(number).await;
            number.to_string()
        }
    };
    let server = serve(Router::new().route("/wait/{number}", get(wait)));
    client(&server, |mut sender| async move {
        let ask = |number| request(axum::http::Method::GET, &format!("/wait/{number}"));
        let mut answers = Vec::new();
        for number in 0..STREAMS {
            answers.push(sender.send_request(ask(number), true).unwrap().0);
        }
        while waiting.polls.iter().any(|polls| polls.load(SeqCst) == 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // In an order of their own, so that it is not the first that is woken.
        for (step, answer) in answers.into_iter().enumerate().rev() {
            waiting.gates[step].add_permits(1);
            let (parts, body) = answer.await.unwrap().into_parts();
            assert_eq!(parts.status, 200);
            assert_eq!(collect(body).await.unwrap().0, step.to_string().as_bytes());
        }
        // Each when it came, and when it was let go; now and then once more, as a stream's neighbours
        // change with it. If each wake polled all of them, it would be some thousand times.
        let polled = waiting.polled();
        assert!((2 * STREAMS..6 * STREAMS).contains(&polled), "{polled} polls");
    });
}
