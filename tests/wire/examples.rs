//! The examples of the documentation and those for containers, each served as it stands, with folders and
//! files of the test's own; and the unit of systemd.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use crate::{host::skip, identity::Identity, server::PROGRAM};

/// Makes what an example names: folders with a page, certificates with their keys, pages of errors.
fn fill(text: &str, identity: &Identity) {
    for line in text.lines() {
        let key = line.split(" = ").next().unwrap().trim();
        for path in
            line.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/')).map(Path::new)
        {
            let Some(parent) = path.parent() else { continue };
            if key == "files" {
                fs::create_dir_all(path).unwrap();
                fs::write(path.join("index.html"), "a page").unwrap();
            } else if parent.starts_with("/tmp") || key == "errors" {
                fs::create_dir_all(parent).unwrap();
                let is_key = path.ends_with("privkey.pem")
                    || path.extension().is_some_and(|extension| extension == "key");
                let content = if is_key { &identity.key } else { &identity.cert };
                fs::copy(content, path).unwrap();
            }
        }
    }
}

#[test]
fn every_example_is_served() {
    let document = include_str!("../../docs/configuration.md");
    let readme = include_str!("../../README.md");
    let mut examples: Vec<_> = document.split("```toml\n").skip(1).collect();
    examples.extend(readme.split("```toml\n").filter(|text| text.starts_with("# /etc/ringway")));
    assert!(examples.len() > 10, "{}", examples.len());
    let (_, map) =
        include_str!("../../deploy/kubernetes/ringway.yaml").split_once(": |\n").unwrap();
    let map: Vec<_> = map.lines().take_while(|line| *line != "---").map(str::trim_start).collect();
    let map = map.join("\n");
    examples.extend([include_str!("../../deploy/container/ringway.toml"), &map]);
    for example in examples {
        let example = example.split("```").next().unwrap();
        let folder = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        let place = folder.path().display().to_string();
        let identity = Identity::ecdsa(folder.path());
        let mut text = String::from("workers = 1\npin = false\n");
        if !example.lines().any(|line| line.starts_with("listen = ")) {
            text += "listen = '127.0.0.1:0'\n";
        }
        for line in example.lines() {
            let key = line.split(" = ").next().unwrap();
            let line = match key {
                "listen" | "redirect" if !line.contains('{') && !line.contains("/\"") => {
                    format!("{key} = '127.0.0.1:0'")
                }
                // The start block is waited for below.
                "format" => String::from("format = 'text'"),
                _ => line.replace("\"/srv/", &format!("\"{place}/srv/")),
            };
            text += &line.replace("\"/etc/", &format!("\"{place}/etc/"));
            text.push('\n');
        }
        fill(&text, &identity);
        let file = folder.path().join("ringway.toml");
        fs::write(&file, &text).unwrap();
        let log = folder.path().join("log");
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--config"])
            .arg(&file)
            .env("XDG_STATE_HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let serves = lines.map_while(Result::ok).any(|line| line.trim_start().starts_with("stop "));
        let _ = child.kill();
        let _ = child.wait();
        assert!(serves, "{text}\n{}", fs::read_to_string(log).unwrap());
    }
}

#[test]
fn systemd_finds_no_fault_with_the_unit() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return skip("this host has no systemd-analyze");
    }
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        // It looks for the programs.
        fs::write(&file, text.replace("/usr/local/bin/ringway", PROGRAM)).unwrap();
        file
    };
    let unit = put("ringway.service", include_str!("../../deploy/ringway.service"));
    let verify = || {
        let mut command = Command::new("systemd-analyze");
        let output = command.args(["verify", "--man=no"]).arg(&unit).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !said.contains("ringway"), "{said}");
    };
    verify();
    put("ringway.service.d/file.conf", include_str!("../../deploy/ringway-file.conf"));
    verify();
}
