//! actix-web with one worker, files in memory.

#![forbid(unsafe_code)]

use std::error::Error;
use std::time::Duration;

use actix_web::web::Data;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::header, web};
use clap::Parser;
use ringway_bench_peer::{Files, Options, exit_on_error};

fn main() {
    let options = Options::parse();
    exit_on_error(actix_web::rt::System::new().block_on(serve(options)));
}

async fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    let files = Data::new(Files::load(&options.dir)?);
    let server = HttpServer::new(move || {
        App::new().app_data(files.clone()).default_service(web::to(answer))
    });
    server
        .workers(1)
        .keep_alive(Duration::from_secs(600))
        .listen_rustls_0_23(options.listener()?, options.tls()?)?
        .run()
        .await?;
    Ok(())
}

async fn answer(request: HttpRequest, files: Data<Files>) -> HttpResponse {
    let Some(file) = files.get(request.path()) else { return HttpResponse::NotFound().finish() };
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/octet-stream"))
        .insert_header((header::LAST_MODIFIED, file.last_modified.as_str()))
        .insert_header((header::ETAG, file.etag.as_str()))
        .body(file.body.clone())
}
