//! Pages of Ringway's own: listings and fixed answers.

use super::*;
use crate::configured::Configured;

#[test]
fn listings_and_fixed_answers_are_compressed_like_all_others() {
    let long = "a fixed answer, again and again. ".repeat(60);
    let text = format!(
        "[[site]]\ncompress = true\n\
         [[site.route]]\nfiles = 'www'\nlisting = true\n\
         [[site.route]]\npath = '/fixed'\nrespond = '{long}'\n\
         [[site.route]]\npath = '/short'\nrespond = 'short'\n\
         [[site.route]]\npath = '/image'\nrespond = '{long}'\ntype = 'image/png'\n\
         [[site.route]]\npath = '/plain'\nrespond = '{long}'\ncompress = false\n\
         [[site.route]]\npath = '/gone'\nstatus = 404\nrespond = '{long}'\n\
         [observe]\naccess_log = 'access'\n"
    );
    let server = Configured::start(&text, |folder| {
        std::fs::create_dir_all(folder.join("www/folder")).unwrap();
        for number in 0..900 {
            std::fs::write(folder.join(format!("www/folder/file {number}.html")), "x").unwrap();
        }
    });
    let mut client = server.connect();
    for path in ["/folder/", "/fixed", "/gone"] {
        let plain = client.get(path);
        assert!(
            plain.field("Content-Encoding").is_none() && plain.lists("Vary", "Accept-Encoding")
        );
        for coding in ["zstd", "br", "gzip"] {
            for _ in 0..2 {
                let coded = until_coded(&mut client, path, coding);
                assert_eq!(coded.field("Content-Encoding"), Some(coding), "{path}");
                assert_eq!(coded.promised(), coded.body.len() as u64);
                assert!(coded.lists("Vary", "Accept-Encoding"), "{path}");
                assert!(coded.body.len() < plain.body.len() / 2, "{path}");
                assert_eq!((coded.status, decoded(&coded)), (plain.status, plain.body.clone()));
            }
            let accept = format!("Accept-Encoding: {coding}\r\n");
            let deadline = Instant::now() + PATIENCE;
            while client.request("HEAD", path, &accept).field("Content-Encoding") != Some(coding) {
                assert!(Instant::now() < deadline, "{path}: a HEAD is not that of a GET");
                sleep(Duration::from_millis(10));
            }
        }
        // A fixed answer that was compressed once is so for all.
        if path != "/folder/" {
            for _ in 0..100 {
                let coded = get(&mut client, path, "gzip");
                assert_eq!(coded.field("Content-Encoding"), Some("gzip"), "{path}");
            }
        }
    }
    for path in ["/short", "/image", "/plain"] {
        let same = get(&mut client, path, "gzip, br, zstd");
        assert_eq!((same.field("Content-Encoding"), same.field("Vary")), (None, None), "{path}");
    }
    // The time of the encoder is a stage, over either protocol.
    let deadline = Instant::now() + PATIENCE;
    while !clients::curls(&server, "--http2", &["/folder/"])[0].0.contains("content-encoding: ") {
        assert!(Instant::now() < deadline, "a listing is never compressed over HTTP/2");
    }
    client.close();
    expect_stage(&server, "/folder/ HTTP/1.1");
    expect_stage(&server, "/folder/ HTTP/2");
}

#[test]
fn what_has_no_content_of_its_own_cannot_be_compressed() {
    let server = Configured::start("[[site]]\n[[site.route]]\nrespond = 'x'\n", |_| {});
    for action in ["redirect = 'https://a.example/'", "ready = true"] {
        let wrong = format!("[[site]]\n[[site.route]]\n{action}\ncompress = true\n");
        crate::configured::write(server.folder.path(), &wrong);
        let check = Command::new(crate::server::PROGRAM)
            .arg("check")
            .arg(server.folder.path().join("ringway.toml"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[check.stdout, check.stderr].concat()).into_owned();
        assert_eq!(check.status.code(), Some(2), "{said}");
        assert!(said.contains("redirects and readiness are not compressed"), "{said}");
    }
}
