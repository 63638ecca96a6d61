//! Paths that a ring looks up are looked up within the domain of the thread that submits, also
//! where the kernel hands the operation to a thread of its own.

use std::{ffi::CString, fs, io::Write, os::unix::ffi::OsStrExt, path::Path, thread};

use io_uring::{IoUring, opcode, squeue::Flags, types};

use crate::privilege::{Allowed, restrict};

/// Opens a file by a ring, on a thread of the kernel if `flags` say so: the result.
fn open(ring: &mut IoUring, path: &Path, flags: Flags) -> i32 {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let how = types::OpenHow::new().flags(libc::O_RDONLY as u64);
    let entry = opcode::OpenAt2::new(types::Fd(libc::AT_FDCWD), path.as_ptr(), &raw const how)
        .build()
        .flags(flags);
    // SAFETY: the path and the rules live until the completion, which is awaited below.
    unsafe { ring.submission().push(&entry).unwrap() };
    ring.submit_and_wait(1).unwrap();
    ring.completion().next().unwrap().result()
}

#[test]
fn a_ring_opens_nothing_that_its_thread_may_not() {
    let place = tempfile::tempdir().unwrap();
    for folder in ["served", "other"] {
        fs::create_dir(place.path().join(folder)).unwrap();
        fs::write(place.path().join(folder).join("file"), b"x").unwrap();
    }
    let (served, other) = (place.path().join("served"), place.path().join("other"));
    let tried = thread::spawn(move || {
        // Made before the thread was confined: what counts is who submits.
        let mut old = IoUring::new(8).unwrap();
        for flags in [Flags::empty(), Flags::ASYNC] {
            assert!(open(&mut old, &other.join("file"), flags) >= 0);
        }
        let allowed = Allowed { read: vec![served.clone()], ..Allowed::default() };
        if let Err(error) = restrict(&allowed) {
            return Err(error.to_string());
        }
        let mut new = IoUring::new(8).unwrap();
        for ring in [&mut old, &mut new] {
            for flags in [Flags::empty(), Flags::ASYNC] {
                assert!(open(ring, &served.join("file"), flags) >= 0);
                assert_eq!(open(ring, &other.join("file"), flags), -libc::EACCES);
            }
        }
        Ok(())
    });
    if let Err(why) = tried.join().unwrap() {
        // Not by a macro, whose output the test runner would keep to itself.
        let line = format!("skipped a_ring_opens_nothing_that_its_thread_may_not: {why}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
