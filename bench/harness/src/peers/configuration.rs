//! The configurations of those peers that have a file for it.

use std::fmt::Write as _;
use std::fs;

use crate::material::{FILES, Material};

/// The size in bytes of a file that is served.
pub(super) fn size(file: &str) -> usize {
    FILES.iter().find(|(name, _)| *name == file).map_or(usize::MAX, |(_, size)| *size)
}

pub(super) fn nginx(material: &Material, listen: &str, ktls: bool) -> String {
    let dir = material.dir().display();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let ktls = if ktls { "ssl_conf_command Options KTLS;" } else { "" };
    format!(
        "{user} worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 16384; multi_accept on; }}
http {{
  include /etc/nginx/mime.types; default_type application/octet-stream;
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;
  keepalive_requests 1000000000; keepalive_timeout 600s;
  open_file_cache max=1000 inactive=600s; open_file_cache_valid 600s;
  ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  ssl_ecdh_curve X25519; ssl_session_tickets on; ssl_conf_command NumTickets 1;
  ssl_session_cache off; {ktls}
  server {{
    listen {listen} ssl http2 backlog=4096; root {dir}/www;
    ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
  }}
}}
"
    )
}

pub(super) fn haproxy(material: &Material, listen: &str, file: &str) -> Result<String, String> {
    let dir = material.dir().display();
    let both = material.dir().join("haproxy.pem");
    let read = |path| fs::read_to_string(path).map_err(|error| error.to_string());
    let pem = read(material.cert())? + &read(material.key())?;
    fs::write(&both, pem).map_err(|error| error.to_string())?;
    let mut config = String::new();
    let _ = write!(
        config,
        "global
  nbthread 1
  maxconn 8000
  tune.bufsize 32768
  tune.ssl.default-dh-param 2048
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-bind-curves X25519
defaults
  mode http
  timeout client 600s
  timeout http-keep-alive 600s
  timeout http-request 60s
  timeout connect 5s
  timeout server 60s
frontend bench
  bind {listen} ssl crt {dir}/haproxy.pem alpn h2,http/1.1 backlog 4096
  http-request return status 200 content-type application/octet-stream file {dir}/www/{file} \
hdr Date %[date(),http_date] hdr Last-Modified \"Thu, 01 Jan 2026 00:00:00 GMT\" hdr ETag \\\"69000000-400\\\"
"
    );
    Ok(config)
}

pub(super) fn h2o(material: &Material, port: u16) -> String {
    let dir = material.dir().display();
    let user = if rustix::process::geteuid().is_root() { "user: root\n" } else { "" };
    format!(
        "{user}num-threads: 1
tcp-fastopen: 0
max-connections: 16384
http1-request-timeout: 60
http2-idle-timeout: 600
pid-file: {dir}/h2o.pid
error-log: {dir}/h2o.log
listen:
  host: 127.0.0.1
  port: {port}
  ssl:
    certificate-file: {dir}/cert.pem
    key-file: {dir}/key.pem
hosts:
  default:
    paths:
      \"/\":
        file.dir: {dir}/www
"
    )
}

pub(super) fn caddy(material: &Material, port: u16) -> String {
    let dir = material.dir().display();
    format!(
        "{{
  admin off
  auto_https off
  default_sni 127.0.0.1
  log default {{
    level ERROR
  }}
  servers {{
    protocols h1 h2
    timeouts {{
      idle 600s
    }}
  }}
}}
https://127.0.0.1:{port} {{
  bind 127.0.0.1
  root * {dir}/www
  tls {dir}/cert.pem {dir}/key.pem {{
    protocols tls1.3
    curves x25519
  }}
  file_server
}}
"
    )
}
