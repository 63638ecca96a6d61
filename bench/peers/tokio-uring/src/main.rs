//! A small HTTP responder on tokio-uring and rustls: single-shot operations, owned buffers.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io;
use std::rc::Rc;

use clap::Parser;
use ringway_bench_peer::{Files, Options, Responder, exit_on_error};
use tokio_uring::net::{TcpListener, TcpStream};

const INPUT: usize = 16 << 10;

fn main() {
    let options = Options::parse();
    exit_on_error(tokio_uring::builder().entries(4096).start(serve(options)));
}

async fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    let files = Rc::new(Files::load(&options.dir)?);
    let config = options.shared_tls()?;
    // tokio-uring waits for readiness itself.
    let listener = options.listener()?;
    listener.set_nonblocking(false)?;
    let listener = TcpListener::from_std(listener);
    loop {
        let (socket, _) = listener.accept().await?;
        let responder = Responder::new(&config, &files)?;
        tokio_uring::spawn(async move {
            // A client may break off at any time.
            let _ = connection(socket, responder).await;
        });
    }
}

async fn connection(socket: TcpStream, mut responder: Responder) -> io::Result<()> {
    let mut input = vec![0; INPUT];
    let mut output = Vec::new();
    loop {
        let (result, buffer) = socket.read(input).await;
        input = buffer;
        let len = result?;
        if len == 0 {
            return Ok(());
        }
        let received = responder.receive(&input[..len]);
        loop {
            output.clear();
            responder.produce(&mut output)?;
            if output.is_empty() {
                break;
            }
            let (result, buffer) = socket.write_all(output).await;
            output = buffer;
            result?;
        }
        received?;
    }
}
