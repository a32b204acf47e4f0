# SPDX-License-Identifier: ISC
"""Small file systems that can be filled: mounted where only this test program sees them. Root only."""
import contextlib
import ctypes
import errno
import os
import shutil
import subprocess

from tap import Skip

CLONE_NEWNS = 0x00020000


def private_mounts():
    """What is mounted from now on is seen by this process and its children alone."""
    if os.geteuid() != 0:
        raise Skip("mounting needs root")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise Skip(f"no mount namespace of its own: {os.strerror(ctypes.get_errno())}")
    run("mount", "--make-rprivate", "/")


def run(*args):
    if not shutil.which(args[0]):
        raise Skip(f"{args[0]} is not there")
    out = subprocess.run(args, capture_output=True, text=True, check=False)
    if out.returncode != 0:
        raise Skip(f"{args[0]}: {out.stderr.strip()}")


@contextlib.contextmanager
def small_disk(path, kind, mib=6):
    """A file system of that size on a folder, with what was in it: tmpfs or ext4."""
    private_mounts()
    kept = path.rstrip("/") + ".kept"
    os.rename(path, kept)
    os.mkdir(path, 0o700)
    if kind == "tmpfs":
        run("mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "none", path)
    else:
        image = path.rstrip("/") + ".image"
        with open(image, "wb") as f:
            f.truncate(mib << 20)
        run("mkfs.ext4", "-q", "-m", "0", "-N", "2048", "-O", "^has_journal", image)
        run("mount", "-o", "loop", image, path)
    try:
        shutil.copytree(kept, path, dirs_exist_ok=True, ignore=lambda folder, names: [
            n for n in names if n.endswith(".sock")])
        yield
    finally:
        run("umount", "-l", path)


@contextlib.contextmanager
def frozen(path):
    """Whoever writes to the file system on `path` waits; reading goes on."""
    run("fsfreeze", "--freeze", path)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", path], check=True)


def fill(path, leave=0):
    """Takes all the room but about `leave` octets, by one large file and what small ones still find.
    Returns the folder of them, for clear()."""
    folder = os.path.join(path, "filler")
    os.mkdir(folder)
    size = append_all(os.path.join(folder, "large"))
    count = 0
    while append_all(os.path.join(folder, str(count))) > 0:
        count += 1
    if leave:
        os.truncate(os.path.join(folder, "large"), size - leave)
    return folder


def clear(folder):
    shutil.rmtree(folder)


def append_all(name):
    """Octets that go into a new file before there is no room."""
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600)
    except OSError as e:
        assert e.errno == errno.ENOSPC, e
        return 0
    for size in (65536, 4096, 512, 1):
        while True:
            try:
                os.write(fd, b"x" * size)
            except OSError as e:
                assert e.errno == errno.ENOSPC, e
                break
    os.fsync(fd)
    size = os.fstat(fd).st_size
    os.close(fd)
    return size
