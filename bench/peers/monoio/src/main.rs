//! A small HTTP responder on monoio (io_uring) and rustls.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io;
use std::rc::Rc;

use clap::Parser;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};
use ringway_bench_peer::{Files, Options, Responder, exit_on_error};

const INPUT: usize = 16 << 10;

fn main() {
    let options = Options::parse();
    let runtime = RuntimeBuilder::<IoUringDriver>::new().with_entries(4096).build();
    exit_on_error(exit_on_error(runtime.map_err(Into::into)).block_on(serve(options)));
}

async fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    let files = Rc::new(Files::load(&options.dir)?);
    let config = options.shared_tls()?;
    let listener = TcpListener::from_std(options.listener()?)?;
    loop {
        let (socket, _) = listener.accept().await?;
        let responder = Responder::new(&config, &files)?;
        monoio::spawn(async move {
            // A client may break off at any time.
            let _ = connection(socket, responder).await;
        });
    }
}

async fn connection(mut socket: TcpStream, mut responder: Responder) -> io::Result<()> {
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
