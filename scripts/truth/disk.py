"""A disk that takes its time: a FUSE file system whose reads wait, and a file that is not in the page cache."""

import ctypes, errno, os, stat, struct, threading, time

import rows
from client import answer, get

DELAY = 0.3
SIZE = 64 << 10
HEADER = struct.Struct("<IIQQIIIHH")
LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, OPENDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = (
    1, 2, 3, 14, 15, 17, 18, 25, 26, 27, 29, 36, 42)
MS_NOSUID, MS_NODEV, MNT_DETACH = 2, 4, 2


class SlowDisk:
    """A file system with the files 1.bin to 99.bin (fuse(4), include/uapi/linux/fuse.h). The first read of
    each open file waits."""

    def __init__(self, place):
        self.place = place
        os.makedirs(place, exist_ok=True)
        self.device = os.open("/dev/fuse", os.O_RDWR)
        self.libc = ctypes.CDLL(None, use_errno=True)
        data = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if self.libc.mount(b"truth", place.encode(), b"fuse", MS_NOSUID | MS_NODEV, data):
            code = ctypes.get_errno()
            os.close(self.device)
            raise OSError(code, os.strerror(code))
        self.began = int(time.time()) - 3600
        self.waited = set()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                request = os.read(self.device, 1 << 20)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                return
            _, opcode, unique, node, *_ = HEADER.unpack_from(request)
            if opcode not in (FORGET, INTERRUPT, BATCH_FORGET):
                result = self.answer(opcode, node, request[HEADER.size:])
                error, content = (result, b"") if isinstance(result, int) else (0, result)
                try:
                    os.write(self.device, struct.pack("<IiQ", 16 + len(content), -error, unique) + content)
                except OSError:
                    return

    def attributes(self, node):
        mode = stat.S_IFDIR | 0o755 if node == 1 else stat.S_IFREG | 0o644
        return struct.pack("<6Q3I7I", node, SIZE, SIZE // 512, self.began, self.began, self.began, 0, 0, 0, mode, 1, 0, 0,
                           0, 4096, 0)

    def answer(self, opcode, node, body):
        if opcode == INIT:
            return struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0, 0, *[0] * 7)
        if opcode == LOOKUP:
            name = body.split(b"\0")[0]
            number = name.removesuffix(b".bin")
            if not (name.endswith(b".bin") and number.isdigit()):
                return errno.ENOENT
            return struct.pack("<QQQQII", 1 + int(number), 1, 60, 60, 0, 0) + self.attributes(1 + int(number))
        if opcode == GETATTR:
            return struct.pack("<QII", 60, 0, 0) + self.attributes(node)
        if opcode in (OPEN, OPENDIR):
            return struct.pack("<QII", node, 0, 0)
        if opcode == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            if node not in self.waited:
                self.waited.add(node)
                time.sleep(DELAY)
            return b"x" * max(0, min(size, SIZE - offset))
        if opcode == STATFS:
            return struct.pack("<5Q10I", 1, 1, 1, 1, 1, 4096, 255, 4096, *[0] * 7)
        if opcode in (RELEASE, FLUSH, RELEASEDIR):
            return b""
        return errno.ENOSYS

    def close(self):
        self.libc.umount2(self.place.encode(), MNT_DETACH)
        os.close(self.device)


def slow(server, site, table):
    """Mounted before the server started."""
    number = iter(range(1, 99))

    def act(client):
        client.sendall(get(f"/slow/{next(number)}.bin"))
        return answer(client)

    rows.injected(server, table, "slow disk, a read of 300 ms", act, ("process", "first_write", "last_write"), "server")


def cold(server, site, table):
    """A file that is not in the page cache: how slow that is depends on the disk."""
    path = os.path.join(site, "cold.bin")

    def act(client):
        client.sendall(get("/cold.bin"))
        return answer(client)

    def once():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.utime(path)
        found = []
        rows.injected(server, rows.Kept(table, found), "", act)
        return found[0]

    table.tried("cold file of 1 MB", once)
