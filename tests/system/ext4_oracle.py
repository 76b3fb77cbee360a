#!/usr/bin/env python3
"""What other programs think of the images that the ext4 library makes.

Trees are made as tar layers, turned into an image by ext4_tool, and then e2fsck -fn must find
nothing, and debugfs, our own reader and (as root, where loop mounts work) the kernel must see the tree that
an independent model of the layers' rules expects. Needs neither root nor a virtual machine.

  ext4_oracle.py TOOL [--seed N] [--trees N] [--only-random] [--long] [--debian TAR]
"""
import argparse
import io
import os
import random
import re
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import time

GIB = 1 << 30
BLOCK_SIZES = (1024, 2048, 4096)
TYPES = {tarfile.REGTYPE: stat.S_IFREG, tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK,
         tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK, tarfile.FIFOTYPE: stat.S_IFIFO}


def run(*command, check=True):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if check and result.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: status {result.returncode}\n"
                         + result.stdout.decode(errors="replace"))
    return result.stdout


# ---- the model ----

class Node:
    def __init__(self, info, content=b""):
        self.mode = TYPES[info.type] | (info.mode & 0o7777)
        self.uid, self.gid = info.uid, info.gid
        self.mtime_ns = info.mtime_ns
        self.content = content if info.type == tarfile.REGTYPE else b""
        self.target = os.fsencode(info.linkname) if info.type == tarfile.SYMTYPE else b""
        self.rdev = os.makedev(info.devmajor, info.devminor) if info.type in (
            tarfile.CHRTYPE, tarfile.BLKTYPE) else 0
        self.xattrs = dict(info.xattrs)
        self.children = {} if info.type == tarfile.DIRTYPE else None  # name: (node, layer)


def model_of_tar(path):
    """What one layer of somebody else's makes."""
    model = Model()
    model.layer = 1
    with tarfile.open(path, encoding="utf-8", errors="surrogateescape") as archive:
        for member in archive:
            name = member.name.removeprefix("./").strip("/")
            if member.islnk():
                model.link(name, member.linkname.removeprefix("./").strip("/"))
                continue
            seconds, _, fraction = str(member.pax_headers.get("mtime", int(member.mtime))).partition(".")
            prefix = "SCHILY.xattr."
            info = make_info(name, tarfile.REGTYPE if member.isreg() else member.type, mode=member.mode,
                             uid=member.uid, gid=member.gid, link=member.linkname, major=member.devmajor,
                             minor=member.devminor,
                             mtime_ns=int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0")),
                             xattrs={key.removeprefix(prefix): os.fsencode(value)
                                     for key, value in member.pax_headers.items() if key.startswith(prefix)})
            node = Node(info, archive.extractfile(member).read() if member.isreg() else b"")
            if name in ("", "."):
                node.children = model.root.children
                model.root = node
            else:
                model.add(name, node)
    return model


def plain_directory():
    info = make_info("", tarfile.DIRTYPE, mode=0o755)
    info.mtime_ns = 0
    return Node(info)


class Info(tarfile.TarInfo):
    """Takes attributes of ours too."""


def make_info(name, kind, **fields):
    info = Info(name)
    info.type = kind
    info.mode = fields.get("mode", 0o644)
    info.mtime_ns = fields.get("mtime_ns", 1_700_000_000 * 10**9)
    info.uid, info.gid = fields.get("uid", 0), fields.get("gid", 0)
    info.linkname = fields.get("link", "")
    info.devmajor, info.devminor = fields.get("major", 0), fields.get("minor", 0)
    info.xattrs = fields.get("xattrs", {})
    return info


class Model:
    """A root directory and the rules by which layers change it."""

    def __init__(self):
        self.root = plain_directory()
        self.layer = 0

    def locate(self, path, make):
        parts = [p for p in path.split("/") if p]
        stack, followed = [self.root], 0
        while len(parts) > 1:
            part = parts.pop(0)
            if part == "..":
                stack = stack[:-1] or [self.root]
                continue
            here = stack[-1]
            if part not in here.children:
                if not make:
                    return None, None
                here.children[part] = (plain_directory(), self.layer)
            node = here.children[part][0]
            if node.children is not None:
                stack.append(node)
            elif node.target:
                followed += 1
                target = os.fsdecode(node.target)
                if target.startswith("/"):
                    stack = [self.root]
                if followed > 40:
                    raise ValueError("loop")
                parts = [p for p in target.split("/") if p and p != "."] + parts
            else:
                raise ValueError("not a directory")
        return stack[-1], parts[0]

    def add(self, path, node):
        parent, name = self.locate(path, True)
        old = parent.children.get(name)
        if old and old[0].children is not None and node.children is not None:
            node.children = old[0].children
        parent.children[name] = (node, self.layer)

    def link(self, path, target):
        where, name = self.locate(target, False)
        node = where.children[name][0]
        parent, name = self.locate(path, True)
        parent.children[name] = (node, self.layer)

    def white_out(self, parent, name):
        node, layer = parent.children[name]
        if node.children is not None:
            for child in list(node.children):
                self.white_out(node, child)
            if node.children:
                return
        if layer < self.layer:
            del parent.children[name]

    def walk(self):
        def visit(path, node):
            yield path, node
            for name, (child, _) in sorted((node.children or {}).items()):
                yield from visit(f"{path}/{name}", child)
        yield from visit("", self.root)


class Layer:
    """Writes one tar and applies the same to the model."""

    def __init__(self, path, model, compression=""):
        self.model = model
        model.layer += 1
        self.path = path
        self.tar = tarfile.open(path, f"w:{compression}", format=tarfile.PAX_FORMAT,
                                encoding="utf-8", errors="surrogateescape")

    def put(self, info, content=b""):
        if info.mtime_ns % 10**9 or info.mtime_ns < 0:
            sign = "-" if info.mtime_ns < 0 else ""
            seconds, nanos = divmod(abs(info.mtime_ns), 10**9)
            info.pax_headers["mtime"] = f"{sign}{seconds}.{nanos:09}"
            info.mtime = 0
        else:
            info.mtime = info.mtime_ns // 10**9
        for key, value in info.xattrs.items():
            info.pax_headers["SCHILY.xattr." + key] = value.decode("utf-8", "surrogateescape")
        if any(b > 127 for v in info.xattrs.values() for b in v):
            raise ValueError("tarfile writes text only")
        info.size = len(content)
        self.tar.addfile(info, io.BytesIO(content))

    def add(self, info, content=b""):
        self.model.add(info.name, Node(info, content))
        self.put(info, content)

    def file(self, name, content=b"", **fields):
        self.add(make_info(name, tarfile.REGTYPE, **fields), content)

    def link(self, name, target):
        self.model.link(name, target)
        info = make_info(name, tarfile.LNKTYPE, link=target)
        self.put(info)

    def white_out(self, path):
        parent, name = self.model.locate(path, False)
        if parent and name in parent.children:
            self.model.white_out(parent, name)
        head, _, tail = path.rpartition("/")
        self.put(make_info(f"{head}/.wh.{tail}" if head else f".wh.{tail}", tarfile.REGTYPE))

    def opaque(self, path):
        parent, _ = self.model.locate(path + "/x", False)
        for name in list(parent.children) if parent else ():
            self.model.white_out(parent, name)
        self.put(make_info(f"{path}/.wh..wh..opq", tarfile.REGTYPE))

    def close(self):
        self.tar.close()


# ---- the oracles ----

class Image:
    def __init__(self, path):
        self.path = path

    def check(self):
        run("e2fsck", "-fn", self.path)

    def debugfs(self, requests):
        """Output of each request."""
        with tempfile.NamedTemporaryFile("wb", suffix=".debugfs") as script:
            script.write(b"".join(r.encode("utf-8", "surrogateescape") + b"\n" for r in requests))
            script.flush()
            out = run("debugfs", "-f", script.name, self.path)
        parts = re.split(rb"^debugfs: ([^\n]*)\n", out, flags=re.M)[1:]
        return [parts[i + 1] for i in range(0, len(parts), 2)]

    def compare_with_debugfs(self, model, sample):
        seen, queue = {}, [("", 2)]
        while queue:
            listings = self.debugfs([f"ls -p <{inode}>" for _, inode in queue])
            following = []
            for (path, _), listing in zip(queue, listings):
                for line in listing.splitlines():
                    fields = line.split(b"/")
                    # Inode 0: the dummy entry of an index block.
                    if len(fields) < 7 or fields[1] == b"0" or fields[5] in (b".", b".."):
                        continue
                    inode, mode = int(fields[1]), int(fields[2], 8)
                    uid, gid = (int(f) & 0xffffffff for f in fields[3:5])  # printed signed
                    child = f"{path}/{os.fsdecode(fields[5])}"
                    seen[child] = (inode, mode, uid, gid, fields[6])
                    if stat.S_ISDIR(mode):
                        following.append((child, inode))
            queue = following
        expected = {path: node for path, node in model.walk() if path}
        assert seen.keys() == expected.keys(), (
            "debugfs sees other names", sorted(seen.keys() ^ expected.keys())[:5])
        for path, node in expected.items():
            inode, mode, uid, gid, size = seen[path]
            assert (mode, uid, gid) == (node.mode, node.uid, node.gid), (path, oct(mode), uid, gid)
            if stat.S_ISREG(mode):
                assert int(size) == len(node.content), path
        chosen = sample(sorted(expected))
        with tempfile.TemporaryDirectory() as directory:
            requests = []
            for i, path in enumerate(chosen):
                inode = seen[path][0]
                requests += [f"stat <{inode}>", f"dump <{inode}> {directory}/{i}"]
            outputs = self.debugfs(requests)
            for i, path in enumerate(chosen):
                node, text = expected[path], outputs[2 * i].decode(errors="replace")
                if stat.S_ISREG(node.mode):
                    with open(f"{directory}/{i}", "rb") as file:
                        assert file.read() == node.content, ("content", path)
                if node.target and len(node.target) < 60:
                    assert f'Fast link dest: "{os.fsdecode(node.target)}"' in text, (path, text)
                field = re.search(r"mtime: 0x([0-9a-f]+)(?::([0-9a-f]+))?", text)
                seconds, extra = int(field[1], 16), int(field[2] or "0", 16)
                seconds = (seconds ^ 0x80000000) - 0x80000000 + ((extra & 3) << 32)
                assert seconds * 10**9 + (extra >> 2) == node.mtime_ns, ("mtime", path, text)
                for name, value in node.xattrs.items():
                    got = self.debugfs([f"ea_get -V <{seen[path][0]}> {name}"])[0]
                    if not name.startswith("system."):
                        assert got.rstrip(b"\n") == value.rstrip(b"\n"), ("xattr", path, name, got)

    def compare_with_reader(self, model, tool):
        """Our own reader, by the tar that it exports."""
        exported = f"{self.path}.tar"
        run(tool, "export", self.path, exported)
        seen, content = {}, {}
        with tarfile.open(exported, encoding="utf-8", errors="surrogateescape") as archive:
            for member in archive:
                path = "/" + member.name.removeprefix("./").rstrip("/") if member.name != "." else ""
                if member.islnk():
                    seen[path] = seen["/" + member.linkname]
                    continue
                seen[path] = member
                if member.isreg():
                    # tarfile needs a minute for a file with a thousand holes.
                    content[id(member)] = bytearray(member.size)
                    with open(exported, "rb") as file:
                        file.seek(member.offset_data)
                        for offset, size in member.sparse or [(0, member.size)]:
                            content[id(member)][offset:offset + size] = file.read(size)
        expected = dict(model.walk())
        assert seen.keys() == expected.keys(), (
            "our reader sees other names", sorted(seen.keys() ^ expected.keys())[:5])
        same = {}
        for path, node in expected.items():
            member = seen[path]
            assert same.setdefault(id(node), id(member)) == id(member), ("hard link", path)
            mode = TYPES[tarfile.REGTYPE if member.isreg() else member.type] | member.mode
            assert (mode, member.uid, member.gid) == (node.mode, node.uid, node.gid), path
            seconds, _, fraction = str(member.pax_headers.get("mtime", int(member.mtime))).partition(".")
            assert int(seconds) * 10**9 + int(fraction.ljust(9, "0")) == node.mtime_ns, ("mtime", path)
            if member.isreg():
                assert content[id(member)] == node.content, ("content", path)
            if node.target:
                assert os.fsencode(member.linkname) == node.target, ("target", path)
            if node.rdev:
                assert os.makedev(member.devmajor, member.devminor) == node.rdev, ("device", path)
            prefix = "SCHILY.xattr."
            xattrs = {key.removeprefix(prefix): os.fsencode(value)
                      for key, value in member.pax_headers.items() if key.startswith(prefix)}
            assert xattrs == node.xattrs, ("xattrs", path, xattrs, node.xattrs)
        os.remove(exported)

    def compare_with_kernel(self, model, mount_point, sample):
        run("mount", "-o", "loop,ro", self.path, mount_point)
        try:
            links = {}
            expected = dict(model.walk())
            seen = [""]
            for base, directories, files in os.walk(mount_point):
                here = base[len(mount_point):]
                seen += [f"{here}/{name}" for name in directories + files]
            assert set(seen) == expected.keys(), (
                "the kernel sees other names", sorted(set(seen) ^ expected.keys())[:5])
            for path in sample(sorted(expected)):
                node, full = expected[path], mount_point + path
                info = os.lstat(full)
                assert info.st_mode == node.mode, (path, oct(info.st_mode), oct(node.mode))
                assert (info.st_uid, info.st_gid) == (node.uid, node.gid), path
                assert info.st_mtime_ns == node.mtime_ns, (path, info.st_mtime_ns, node.mtime_ns)
                assert info.st_rdev == node.rdev, path
                if stat.S_ISLNK(node.mode):
                    assert os.fsencode(os.readlink(full)) == node.target, path
                if stat.S_ISREG(node.mode):
                    with open(full, "rb") as file:
                        assert file.read() == node.content, ("content", path)
                if node.children is None:
                    links.setdefault(id(node), set()).add(info.st_ino)
                names = {n for n in os.listxattr(full, follow_symlinks=False)}
                assert names == set(node.xattrs), (path, names)
                for name in names:
                    value = os.getxattr(full, name, follow_symlinks=False)
                    assert value == node.xattrs[name], (path, name, value)
            assert all(len(inodes) == 1 for inodes in links.values()), "hard links became files"
            inodes = [next(iter(i)) for i in links.values()]
            assert len(inodes) == len(set(inodes)), "files share an inode"
        finally:
            run("umount", mount_point)


class Suite:
    def __init__(self, tool, directory, seed):
        self.tool, self.directory, self.seed = tool, directory, seed
        self.mount_point = os.path.join(directory, "mount")
        os.mkdir(self.mount_point)
        self.can_mount = self.try_mount()
        self.cases = 0

    def path(self, name):
        return os.path.join(self.directory, name)

    def try_mount(self):
        if os.geteuid() != 0:
            print("the kernel's view is skipped: not root")
            return False
        probe = self.path("probe.img")
        run(self.tool, "populate", probe, "0")
        if subprocess.run(["mount", "-o", "loop,ro", probe, self.mount_point],
                          stderr=subprocess.DEVNULL).returncode != 0:
            print("the kernel's view is skipped: loop mounts do not work here")
            return False
        run("umount", self.mount_point)
        return True

    def verify(self, name, model, layers, size=0, sample=lambda paths: paths, options=()):
        start = time.monotonic()
        image = Image(self.path("image.img"))
        run(self.tool, "populate", image.path, str(size), *options, *layers)
        image.check()
        image.compare_with_debugfs(model, sample)
        image.compare_with_reader(model, self.tool)
        if self.can_mount:
            image.compare_with_kernel(model, self.mount_point, sample)
        self.cases += 1
        print(f"ok: {name} ({time.monotonic() - start:.1f} s)", flush=True)

    # -- cases --

    def empty_sizes(self):
        image = Image(self.path("empty.img"))
        for block in BLOCK_SIZES:
            group = 8 * block * block
            # At the edges of groups the last one is too short for its own metadata.
            for size in (1 << 20, (1 << 20) + 12345, 64 << 20, group, group + block, group + 40 * block,
                         3 * group + 2048 * block, 17 * group + block, 10 * GIB, 1024 * GIB):
                for journal in (0,) if size < 64 << 20 else (0, 8 << 20, 40 << 20):
                    run(self.tool, "empty", image.path, str(size), f"journal={journal}", f"block-size={block}")
                    image.check()
                    assert os.stat(image.path).st_size == size // block * block, size
                    self.cases += 1
                run(self.tool, "empty", image.path, str(size), "growable=1", f"block-size={block}")
                image.check()
                # The first copy of the superblock is as good as the original.
                if size > group + 40 * block:
                    copy = run("dumpe2fs", "-h", "-o", f"superblock={group // block + (block == 1024)}", "-o",
                               f"blocksize={block}", image.path)
                    assert b"Filesystem state:         clean" in copy, copy
                run(self.tool, "empty", image.path, str(size), f"block-size={block}")
                if size == 1024 * GIB and block == 4096:
                    assert os.stat(image.path).st_blocks * 512 <= 600 << 10
                os.remove(image.path)
        image = Image(self.path("scratch.img"))
        run(self.tool, "scratch", image.path, str(10 * GIB))
        image.check()
        assert os.stat(image.path).st_blocks * 512 <= 64 << 10
        if self.can_mount:
            self.write_to_scratch(image)
            for block in BLOCK_SIZES:
                run(self.tool, "empty", image.path, str(GIB + block), f"journal={16 << 20}", f"block-size={block}")
                self.write_to_scratch(image)
        os.remove(image.path)
        print("ok: empty file systems and the scratch disk", flush=True)

    def write_to_scratch(self, image):
        run("mount", "-o", "loop", image.path, self.mount_point)
        try:
            for i in range(3000):
                with open(f"{self.mount_point}/file{i}", "wb") as file:
                    file.write(b"x" * (i % 9000))
            os.mkdir(f"{self.mount_point}/d")
            os.setxattr(f"{self.mount_point}/d", "trusted.overlay.opaque", b"y")
            run("sync", "-f", self.mount_point)
            # A copy of a mounted image is what a killed machine leaves behind.
            killed = Image(self.path("killed.img"))
            run("cp", "--sparse=always", image.path, killed.path)
        finally:
            run("umount", self.mount_point)
        image.check()
        # Our reader sees it before the kernel's replay as it does after.
        assert b"needs_recovery" in run("dumpe2fs", "-h", killed.path)
        run(self.tool, "export", killed.path, self.path("before.tar"))
        run("mount", "-o", "loop", killed.path, self.mount_point)
        try:
            assert len(os.listdir(self.mount_point)) == 3001
        finally:
            run("umount", self.mount_point)
        killed.check()
        run(self.tool, "export", killed.path, self.path("after.tar"))
        with open(self.path("before.tar"), "rb") as before, open(self.path("after.tar"), "rb") as after:
            assert before.read() == after.read(), "the journal was read unlike the kernel reads it"
        os.remove(killed.path)

    def every_kind(self, block):
        model = Model()
        layer = Layer(self.path("kinds.tar"), model)
        acl = struct.pack("<IHHIHHIHHIHHIHHI", 2, 1, 7, 0xffffffff, 2, 6, 1000, 4, 5, 0xffffffff, 0x10, 7,
                          0xffffffff, 0x20, 5, 0xffffffff)
        layer.add(make_info("d", tarfile.DIRTYPE, mode=0o1777, uid=2**32 - 2, gid=70000))
        layer.file("d/" + "n" * 255, b"long name")
        layer.file("d/caf\u00e9", b"utf-8")
        layer.file("d/cafe\u0301", b"other utf-8")
        layer.file("suid", b"x", mode=0o6755, uid=1000)
        for i, seconds in enumerate((-2**31, -1, 0, 2**31 - 1, 2**31, 2**32, 2**34 - 2**31 - 1)):
            layer.file(f"time{i}", mtime_ns=seconds * 10**9 + (999_999_999 if seconds >= 0 else 0))
        for size in (1, 59, 60, 61, 255, block - 96, block - 1):
            target = ("x/" * size)[:size]
            layer.add(make_info(f"link{size}", tarfile.SYMTYPE, link=target, mode=0o777))
        for i, (major, minor) in enumerate(((1, 3), (255, 255), (256, 0), (0, 256), (4095, 2**20 - 1))):
            layer.add(make_info(f"char{i}", tarfile.CHRTYPE, major=major, minor=minor))
            layer.add(make_info(f"block{i}", tarfile.BLKTYPE, major=major, minor=minor))
        layer.add(make_info("fifo", tarfile.FIFOTYPE))
        layer.link("hard", "suid")
        layer.link("d/hard", "suid")
        for size in (0, 1, 4095, 4096, 4097, 1_000_000):
            layer.file(f"size{size}", bytes(i % 251 + 1 for i in range(size)))
        layer.file("holes", (b"\0" * 4096 + b"x" * 4096) * 5 + b"\0" * 9000)
        layer.file("zeros", b"\0" * 1_000_000)
        layer.file("x-inode", b"1", xattrs={"user.a": b"small", "security.x": b""})
        layer.file("x-block", b"2", xattrs={"user.large": b"v" * 300, "trusted.t": b"w" * 77})
        layer.file("x-both", b"3", xattrs={"user.large": b"v" * (block - 106), "user.small": b"w" * 40})
        layer.add(make_info("x-dir", tarfile.DIRTYPE, mode=0o755, xattrs={"user.d": b"z" * 100}))
        for i in range(2500):
            layer.file(f"shared/{i:04}", b"", xattrs={"user.shared": b"s" * 200})
        layer.close()
        self.verify(f"every kind of inode, blocks of {block}", model, [layer.path],
                    sample=lambda paths: [p for p in paths if not p.startswith("/shared/") or p.endswith("07")],
                    options=[f"block-size={block}"])
        self.acl(acl)

    def acl(self, value):
        # tarfile writes attributes as text, so this header is written by hand.
        record = b"SCHILY.xattr.system.posix_acl_access=" + value + b"\n"
        length = len(record) + 3
        record = b"%d " % length + record
        assert len(record) == length
        header = tarfile.TarInfo("pax")
        header.type, header.size = tarfile.XHDTYPE, len(record)
        info = make_info("acl", tarfile.REGTYPE, mode=0o675)
        info.mtime = 1
        info.mtime_ns = 10**9
        info.xattrs = {"system.posix_acl_access": value}
        with open(self.path("acl.tar"), "wb") as file:
            file.write(header.tobuf(tarfile.USTAR_FORMAT) + record + b"\0" * (-len(record) % 512)
                       + info.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 1024)
        model = Model()
        model.layer = 1
        model.add("acl", Node(info))
        self.verify("a POSIX ACL", model, [self.path("acl.tar")])

    def deep_extents(self):
        model = Model()
        layer = Layer(self.path("extents.tar"), model)
        for count in (4, 5, 340, 341, 1360, 1361, 6000):
            layer.file(f"extents{count}", (b"x" * 4096 + b"\0" * 4096) * count)
        layer.close()
        for block in BLOCK_SIZES:
            self.verify(f"extent trees of depth 0, 1 and 2, blocks of {block}", model, [layer.path],
                        options=[f"block-size={block}"])

    def large_directories(self):
        model = Model()
        layer = Layer(self.path("large.tar"), model)
        for i in range(100_000):
            layer.file(f"many/entry-number-{i:06}")
        for i in range(8000):  # an index of two levels
            layer.file("long/" + f"{i:05}".ljust(255, "-"))
        for i in range(65_100):
            layer.add(make_info(f"dirs/{i}", tarfile.DIRTYPE, mode=0o755))
        layer.file("links/first", b"one of many")
        for i in range(1, 65_000):  # more ext4 does not have
            layer.link(f"links/{i}", "links/first")
        layer.close()
        self.verify("100,000 files and 65,100 directories in one directory each, 65,000 links to a file", model,
                    [layer.path], sample=lambda paths: paths[::5000])
        model = Model()
        layer = Layer(self.path("large.tar"), model)
        for i in range(1000):
            layer.file("two-levels/" + f"{i:05}".ljust(255, "-"))
        for i in range(50_000):  # more than two levels hold with blocks of 1 KiB
            layer.file("none/" + f"{i:05}".ljust(255, "-"))
        layer.close()
        for block in (1024, 2048):
            self.verify(f"large directories, blocks of {block}", model, [layer.path],
                        sample=lambda paths: paths[::5000], options=[f"block-size={block}"])

    def million(self):
        model = Model()
        layer = Layer(self.path("million.tar"), model)
        for i in range(1_000_000):
            layer.file(f"many/entry-number-{i:07}")
        layer.close()
        self.verify("1,000,000 files in one directory", model, [layer.path], sample=lambda paths: paths[::50_000])

    def sparse(self):
        """100 GiB, of which four pieces are there: what is compared is the pieces and the holes around them."""
        size, directory = 100 * GIB, self.path("sparse")
        pieces = {at: bytes([65 + i]) * 4096 for i, at in enumerate((0, 12 << 10, 33 * GIB + 8192, size - 4096))}
        os.mkdir(directory)
        with open(os.path.join(directory, "huge"), "wb") as file:
            file.truncate(size)
            for at, piece in pieces.items():
                file.seek(at)
                file.write(piece)
        run("tar", "-C", directory, "--format=posix", "--sparse", "-cf", self.path("sparse.tar"), "huge")
        image = Image(self.path("image.img"))
        for block in BLOCK_SIZES:
            for command, source in (("populate", self.path("sparse.tar")), ("directory", directory)):
                start = time.monotonic()
                run(self.tool, command, image.path, "0", f"block-size={block}", source)
                image.check()
                assert os.stat(image.path).st_blocks * 512 < 256 << 10, os.stat(image.path).st_blocks
                self.compare_sparse(image, block, size, pieces)
                self.cases += 1
                print(f"ok: a file of 100 GiB with four pieces, {command}, blocks of {block} "
                      f"({time.monotonic() - start:.1f} s)", flush=True)
        shutil.rmtree(directory)

    def compare_sparse(self, image, block, size, pieces):
        text, extents = (out.decode() for out in image.debugfs(["stat /huge", "dump_extents /huge"]))
        assert f"Size: {size}" in text, text
        seen = {}
        with open(image.path, "rb") as file:
            for line in extents.splitlines():
                match = re.match(r" *(\d+)/ *(\d+) +\d+/ *\d+ +(\d+) - +\d+ +(\d+) - +\d+ +(\d+)", line)
                if match and match[1] == match[2]:
                    logical, physical, length = (int(match[i]) * block for i in (3, 4, 5))
                    file.seek(physical)
                    seen[logical] = file.read(length)
        assert seen == pieces, ("debugfs", extents)
        exported = self.path("exported.tar")
        run(self.tool, "export", image.path, exported)
        assert os.stat(exported).st_size < 1 << 20
        with tarfile.open(exported) as archive, open(exported, "rb") as file:
            member = archive.getmember("huge")
            assert member.size == size
            seen = {}
            for offset, length in member.sparse:
                # The last may be empty and say nothing but where the file ends.
                if length > 0:
                    file.seek(member.offset_data + sum(map(len, seen.values())))
                    seen[offset] = file.read(length)
        assert seen == pieces, "our reader"
        if self.can_mount:
            self.compare_sparse_with_kernel(image, size, pieces)

    def compare_sparse_with_kernel(self, image, size, pieces):
        run("mount", "-o", "loop,ro", image.path, self.mount_point)
        try:
            with open(f"{self.mount_point}/huge", "rb") as file:
                assert os.fstat(file.fileno()).st_size == size
                seen, at = {}, 0
                while at < size:
                    begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
                    at = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
                    file.seek(begin)
                    seen[begin] = file.read(at - begin)
            assert seen == pieces, "the kernel"
        finally:
            run("umount", self.mount_point)

    def debian(self, tar):
        self.verify("the Debian image", model_of_tar(tar), [tar], sample=lambda paths: paths[::10])

    def layers(self):
        model = Model()
        one = Layer(self.path("1.tar"), model, "gz")
        one.file("etc/passwd", b"root" * 2000)
        one.file("etc/gone", b"x" * 9000)
        one.file("var/old/a", b"a")
        one.file("var/old/b", b"b")
        one.add(make_info("bin", tarfile.SYMTYPE, link="usr/bin", mode=0o777))
        one.file("usr/bin/tool", b"tool" * 5000)
        one.file("replaced/by/file", b"x" * 100_000)
        one.file("becomes-dir", b"y" * 50_000)
        one.close()
        two = Layer(self.path("2.tar"), model, "xz")
        two.white_out("etc/gone")
        two.file("var/old/c", b"c")
        two.opaque("var/old")
        two.file("bin/other", b"through the link")
        two.link("usr/bin/copy", "bin/tool")
        two.file("replaced", b"now a file")
        two.add(make_info("becomes-dir", tarfile.DIRTYPE, mode=0o711))
        two.file("becomes-dir/inside", b"in")
        two.add(make_info("d", tarfile.SYMTYPE, link="/tmp/../../probe", mode=0o777))
        two.file("d/x", b"stays inside")
        two.close()
        three = Layer(self.path("3.tar"), model, "bz2")
        three.white_out("d/x")
        three.white_out("bin/tool")
        three.file("etc/passwd", b"shorter")
        three.close()
        paths = [one.path, two.path, three.path]
        self.verify("three layers", model, paths)
        self.verify("three layers in a file system of a given size", model, paths, size=32 << 20)

    def reproducible(self):
        images = []
        for name in ("first.img", "second.img"):
            run(self.tool, "populate", self.path(name), "0", self.path("1.tar"), self.path("2.tar"))
            with open(self.path(name), "rb") as file:
                images.append(file.read())
        assert images[0] == images[1], "the same layers made different images"
        print("ok: the same layers make the same bytes", flush=True)

    def random_tree(self, seed):
        chance = random.Random(seed)
        model, paths, layers = Model(), [], []
        block = chance.choice(BLOCK_SIZES)
        names = ["a", "b", "lib", "x" * 200, "\u00fc", "e\u0301", "sp ace", "q'uote", "-dash"] + [
            f"n{i}" for i in range(20)]
        for number in range(chance.randint(1, 4)):
            layer = Layer(self.path(f"random{number}.tar"), model, chance.choice(["", "gz", "xz", "bz2"]))
            for _ in range(chance.randint(1, 250)):
                path = "/".join(chance.choice(names) for _ in range(chance.randint(1, 4)))
                try:
                    self.random_entry(chance, layer, path, paths, block)
                except ValueError:
                    continue  # a loop, or through a file: the importer refuses it, so it is left out
                paths.append(path)
            layer.close()
            layers.append(layer.path)
        size = chance.choice([0, 0, 128 << 20, 300 << 20])
        options = [f"block-size={block}"]
        if size and chance.random() < 0.5:
            options.append(f"journal={chance.choice([4, 16, 50]) << 20}")
        if size and chance.random() < 0.5:
            options.append("growable=1")
        try:
            self.verify(f"random tree, seed {seed}, {size} bytes, {' '.join(options)}", model, layers, size,
                        options=options)
        except BaseException:
            print(f"FAILED: random tree, --seed {seed} --trees 1", flush=True)
            raise

    def random_entry(self, chance, layer, path, paths, block):
        layer.model.locate(path, False)
        fields = {"mode": chance.randrange(0o10000), "uid": chance.choice([0, 1000, 2**31, 2**32 - 2]),
                  "gid": chance.choice([0, 5, 2**32 - 2]),
                  "mtime_ns": chance.randrange(0, 2**33) * 10**9 + chance.choice([0, 1, 10**9 - 1])}
        kind = chance.random()
        if chance.random() < 0.2:
            # The kernel shows user attributes of files and directories only.
            space = "user" if kind < 0.65 else "trusted"
            fields["xattrs"] = {f"{space}.{chance.choice('abcdef')}": b"v" * chance.randrange(block // 10)
                                for _ in range(chance.randint(1, 4))}
        if kind < 0.45:
            content = b"".join(chance.choice([b"\0" * 4096, chance.randbytes(chance.randrange(9000)), b"y" * 4096])
                               for _ in range(chance.randrange(8)))
            layer.file(path, content, **fields)
        elif kind < 0.65:
            layer.add(make_info(path, tarfile.DIRTYPE, **fields))
        elif kind < 0.75:
            target = chance.choice(["/", "../../..", "a", "/lib/n1", "n" * chance.randint(1, 200)])
            layer.add(make_info(path, tarfile.SYMTYPE, link=target, **fields))
        elif kind < 0.80:
            layer.add(make_info(path, chance.choice([tarfile.CHRTYPE, tarfile.BLKTYPE]), major=chance.randrange(4096),
                                minor=chance.randrange(2**20), **fields))
        elif kind < 0.90 and paths:
            target = chance.choice(paths)
            where, name = layer.model.locate(target, False)
            inside = path.startswith(target + "/") or target.startswith(path + "/")
            if where and name in where.children and where.children[name][0].children is None and not inside:
                layer.link(path, target)
        elif kind < 0.97:
            layer.white_out(chance.choice(paths + [path]))
        else:
            parent, _ = layer.model.locate(path + "/x", False)
            if parent:
                layer.opaque(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trees", type=int, default=25)
    parser.add_argument("--only-random", action="store_true")
    parser.add_argument("--long", action="store_true", help="also what takes minutes")
    parser.add_argument("--debian", metavar="TAR", help="only this root file system of somebody else's")
    options = parser.parse_args()
    if options.debian and not os.path.exists(options.debian):
        print(f"skipped: {options.debian} does not exist (tests/system/lib/debian-image makes it)")
        return 77
    for program in ("e2fsck", "debugfs"):
        if not shutil.which(program, path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin"):
            print(f"skipped: {program} is not installed (apt-get install e2fsprogs)")
            return 77
    os.environ["PATH"] += ":/sbin:/usr/sbin"
    with tempfile.TemporaryDirectory(prefix="ext4-oracle-") as directory:
        suite = Suite(options.tool, directory, options.seed)
        if options.debian:
            suite.debian(options.debian)
            options.trees = 0
        elif not options.only_random:
            suite.empty_sizes()
            for block in BLOCK_SIZES:
                suite.every_kind(block)
            suite.deep_extents()
            suite.layers()
            suite.reproducible()
            suite.sparse()
            suite.large_directories()
        if options.long:
            suite.million()
        for i in range(options.trees):
            suite.random_tree(options.seed + i)
        print(f"{suite.cases} images, kernel's view {'compared' if suite.can_mount else 'skipped'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
