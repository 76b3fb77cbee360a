#!/usr/bin/env python3
"""Whether an image made from a directory is that directory, by other people's programs.

The same directory is read by tar, by mke2fs -d, and by the ext4 library. Their trees must agree: by Python's
tarfile (our export against GNU tar's), and by debugfs (our image against mke2fs's). Then a directory that somebody
changes all the time is read: whatever comes out is clean and holds nothing from outside. Needs
neither root nor a virtual machine; as root it has devices and more attributes.

  ext4_directory_oracle.py TOOL
"""
import argparse
import multiprocessing
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

from ext4_reader_oracle import make_tree, run, tree_of_directory, tree_of_tar

BLOCK_SIZES = (1024, 2048, 4096)


def complete_tree(top):
    """What make_tree() leaves out: sockets, ACLs, hard links of nodes, times of before 1970."""
    make_tree(top, xattrs=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{top}/socket")
    os.link(f"{top}/fifo", f"{top}/a/fifo")
    os.utime(f"{top}/sizes/60", ns=(5, -(2**31) * 10**9))
    os.utime(f"{top}/sizes/61", ns=(5, 123456789012345678))
    acl = struct.pack("<IHHIHHIHHIHHIHHI", 2, 1, 7, 0xffffffff, 2, 6, 1000, 4, 5, 0xffffffff, 0x10, 7, 0xffffffff,
                      0x20, 5, 0xffffffff)
    os.setxattr(f"{top}/a", "system.posix_acl_default", acl)
    os.setxattr(f"{top}/a/b", "system.posix_acl_access", acl)
    if os.geteuid() == 0:
        os.setxattr(f"{top}/link60", "trusted.on-a-link", b"v", follow_symlinks=False)
        os.setxattr(f"{top}/sizes/1", "security.capability", struct.pack("<IIIII", 0x2000001, 1, 0, 0, 0))


def debugfs(image, requests):
    with tempfile.NamedTemporaryFile("wb", suffix=".debugfs") as script:
        script.write(b"".join(request.encode("utf-8", "surrogateescape") + b"\n" for request in requests))
        script.flush()
        out = subprocess.run(["debugfs", "-f", script.name, image], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             check=True).stdout
    parts = re.split(rb"^debugfs: ([^\n]*)\n", out, flags=re.M)[1:]
    return [parts[i + 1] for i in range(0, len(parts), 2)]


def tree_by_debugfs(image, directory):
    """path: (mode, uid, gid, size, links, device, target, attributes); of files a dump too."""
    tree, queue = {}, [("", 2)]
    while queue:
        listings = debugfs(image, [f"ls -p <{inode}>" for _, inode in queue])
        following = []
        for (path, _), listing in zip(queue, listings):
            for line in re.findall(rb"^/\d+/\d+/\d*/\d*/(?:[^/]*)/\d*/$", listing, flags=re.M):
                _, inode, mode, uid, gid, name, size, _ = line.split(b"/")
                if inode == b"0" or name in (b".", b".."):
                    continue
                child = f"{path}/{os.fsdecode(name)}"
                tree[child] = (int(inode), int(mode, 8), uid, gid, size)
                if int(mode, 8) & 0o170000 == 0o040000 and child != "/lost+found":
                    following.append((child, int(inode)))
        queue = following
    tree.pop("/lost+found", None)
    paths = sorted(tree)
    requests = []
    for i, path in enumerate(paths):
        inode = tree[path][0]
        # A large hole would become as many zeros; tar has compared its content.
        dump = f"dump <{inode}> {directory}/{i}" if int(tree[path][4] or 0) < 100 << 20 else "pwd"
        requests += [f"stat <{inode}>", f"ea_list <{inode}>", dump]
    outputs = debugfs(image, requests)
    result = {}
    for i, path in enumerate(paths):
        _, mode, uid, gid, size = tree[path]
        text = outputs[3 * i].decode(errors="replace")
        links = re.search(r"Links: (\d+)", text)[1]
        device = re.search(r"Device major/minor number: (\S+)", text)
        target = re.search(r'Fast link dest: "(.*)"', text)
        kind = mode & 0o170000
        content = None
        if kind == 0o100000 and os.path.exists(f"{directory}/{i}"):
            with open(f"{directory}/{i}", "rb") as file:
                content = file.read()
            os.remove(f"{directory}/{i}")
        attributes = sorted(line.strip() for line in outputs[3 * i + 1].splitlines() if b"(" in line)
        # Sizes of directories are each writer's own matter.
        result[path] = (mode, uid, gid, size if kind != 0o040000 else b"", links, device and device[1],
                        target and target[1], tuple(attributes), content)
    return result


class Suite:
    def __init__(self, tool, directory):
        self.tool, self.directory = tool, directory

    def path(self, name):
        return os.path.join(self.directory, name)

    def make(self, top, size=0, *options):
        run(self.tool, "directory", self.path("ours.img"), str(size), *options, top)
        run("e2fsck", "-fn", self.path("ours.img"))

    def by_tar(self, top):
        run(self.tool, "export", self.path("ours.img"), self.path("ours.tar"))
        ours, our_links = tree_of_tar(self.path("ours.tar"))
        expected, links = tree_of_directory(top)
        # tar has no sockets; the link count of the tree's own directory is no matter of content.
        expected.pop("socket")
        assert ours.keys() == expected.keys(), sorted(ours.keys() ^ expected.keys())[:5]
        for path, node in expected.items():
            assert ours[path] == node, (path, ours[path], node)
        # Hard links of what is no regular file are compared with debugfs.
        regular = [group for group in our_links if expected[group[0]]["mode"] & 0o170000 == 0o100000]
        assert regular == links, (our_links, links)

    def by_debugfs(self, top):
        run("mke2fs", "-q", "-t", "ext4", "-d", top, self.path("theirs.img"), "400M")
        os.makedirs(self.path("dump"), exist_ok=True)
        ours = tree_by_debugfs(self.path("ours.img"), self.path("dump"))
        theirs = tree_by_debugfs(self.path("theirs.img"), self.path("dump"))
        os.remove(self.path("theirs.img"))
        assert ours.keys() == theirs.keys(), sorted(ours.keys() ^ theirs.keys())[:5]
        for path, node in theirs.items():
            assert ours[path] == node, (path, ours[path][:8], node[:8])

    def trees(self):
        top = self.path("top")
        os.mkdir(top)
        complete_tree(top)
        for block in BLOCK_SIZES:
            for size in (0, 400 << 20) if block == 4096 else (0,):
                self.make(top, size, f"block-size={block}")
                self.by_tar(top)
                self.by_debugfs(top)
            print(f"ok: a tree as tar and mke2fs -d have it, blocks of {block}", flush=True)
        info = os.stat(self.path("ours.img"))
        assert info.st_blocks * 512 < 60 << 20, "holes became blocks"

    def unquiet(self):
        """Somebody exchanges directories for links out of the tree, and files for others, all the time."""
        top, outside = self.path("unquiet"), self.path("outside")
        os.makedirs(f"{outside}/sub")
        for name in ("secret", "sub/secret"):
            with open(f"{outside}/{name}", "wb") as file:
                file.write(b"SECRET" * 1000)
        os.makedirs(f"{top}/d/sub")
        for i in range(300):
            with open(f"{top}/d/sub/{i}", "wb") as file:
                file.write(b"inside" * i)
        for name in ("secret", "x"):
            with open(f"{top}/d/sub/{name}", "wb") as file:
                file.write(b"inside")
        process = multiprocessing.Process(target=disturb, args=(top, outside), daemon=True)
        process.start()
        results, end = {"made": 0, "refused": 0}, time.monotonic() + 8
        try:
            while time.monotonic() < end:
                image = self.path("unquiet.img")
                made = run(self.tool, "directory", image, "0", top, check=False)
                results["made" if made.returncode == 0 else "refused"] += 1
                assert made.returncode in (0, 1), made.stdout
                if made.returncode == 0:
                    run("e2fsck", "-fn", image)
                with open(image, "rb") as file:
                    assert b"SECRET" not in file.read(), "something from outside is in the image"
        finally:
            process.kill()
            process.join()
        assert results["made"] > 0, results
        print(f"ok: a tree that changes while it is read: {results['made']} images, {results['refused']} refused",
              flush=True)


def disturb(top, outside):
    aside = f"{top}/aside"
    while True:
        for victim in (f"{top}/d/sub", f"{top}/d"):
            os.rename(victim, aside)
            os.symlink(outside if victim.endswith("/d") else f"{outside}/sub", victim)
            os.unlink(victim)
            os.rename(aside, victim)
        for i in range(0, 300, 7):
            name = f"{top}/d/sub/{i}"
            os.unlink(name)
            os.symlink(f"{outside}/secret", name)
            os.unlink(name)
            with open(name, "wb") as file:
                file.write(b"inside" * 5000)
            os.truncate(name, i)
        time.sleep(0.002)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    options = parser.parse_args()
    os.environ["PATH"] += ":/sbin:/usr/sbin"
    for program in ("mke2fs", "e2fsck", "debugfs"):
        if not shutil.which(program):
            print(f"skipped: {program} is not installed (apt-get install e2fsprogs)")
            return 77
    with tempfile.TemporaryDirectory(prefix="ext4-directory-oracle-") as directory:
        suite = Suite(options.tool, directory)
        suite.trees()
        suite.unquiet()
    return 0


if __name__ == "__main__":
    sys.exit(main())
