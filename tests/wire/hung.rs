//! A disk that does not answer: a FUSE file system without a server, mounted below the site.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::Signal;

use crate::host::skip;
use crate::server::Server;
use crate::site::{HELLO, Site};

/// An open below it waits until this is dropped, which ends the file system.
struct Hung {
    place: PathBuf,
    _device: File,
}

impl Hung {
    /// # Errors
    /// The host has no FUSE, or does not let the test mount it.
    fn mount(place: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(place)?;
        let device = File::options().read(true).write(true).open("/dev/fuse")?;
        let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let data = std::ffi::CString::new(data)?;
        mount("hung", place, c"fuse", MountFlags::NOSUID | MountFlags::NODEV, data.as_c_str())?;
        Ok(Self { place: place.to_owned(), _device: device })
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.place, UnmountFlags::DETACH) {
            eprintln!("{} stays mounted: {error}", self.place.display());
        }
    }
}

#[test]
fn a_disk_that_does_not_answer_costs_a_503_and_nothing_else() {
    costs_a_503_and_nothing_else(Server::start(Site::new(), &OPTIONS));
}

/// For a server that is started with these.
pub(crate) const OPTIONS: [&str; 3] = ["--listing", "--process-timeout", "300ms"];

pub(crate) fn costs_a_503_and_nothing_else(mut server: Server) {
    // Dropped before the site, which could not be removed else.
    let _hung = match Hung::mount(&server.site.root().join("hung")) {
        Ok(hung) => hung,
        Err(error) => return skip(&format!("FUSE cannot be mounted: {error}")),
    };
    let mut beside = server.connect();
    for _ in 0..3 {
        for path in ["/hung/page", "/hung/", "/hung/folder/page.html"] {
            let mut waiting = server.connect();
            waiting.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
            // Others do not notice.
            assert_eq!(beside.get("/hello.txt").body, HELLO);
            let response = waiting.response("GET");
            assert_eq!(response.status, 503, "{path}");
            assert!(response.field("Retry-After").is_some());
            assert_eq!(beside.get("/hello.txt").body, HELLO);
        }
    }
    server.expect_logged("opening a file: not done after 300ms", 1);
    // Nor does the end wait for it.
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}
