#!/usr/bin/env python3
"""Whether the ext4 library reads other programs' images as they do.

mke2fs makes images of one tree with many features; debugfs makes what mke2fs does not (unwritten
extents, transactions in a journal), e2fsck -D makes hash trees. ext4_tool exports each as tar, which
must hold the tree, by Python's tarfile, and be read alike by GNU tar and bsdtar. A dirty image must
export the same before and after e2fsck replays its journal. Needs neither root nor a virtual machine.

  ext4_reader_oracle.py TOOL [--only formats|readers|unwritten|dirty]
"""
import argparse
import hashlib
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile

FORMATS = {
    "ext4": "",
    "ext4 1 KiB": "-b 1024",
    "ext4 2 KiB": "-b 2048",
    "ext4 64 KiB": "-b 65536",
    "no checksums": "-O ^metadata_csum",
    "group checksums": "-O ^metadata_csum,uninit_bg",
    "32 bits": "-O ^64bit",
    "seed": "-O metadata_csum_seed",
    "no flex_bg": "-O ^flex_bg",
    "meta_bg": "-b 1024 -O meta_bg,^resize_inode",
    "sparse_super2": "-O sparse_super2",
    "inline data": "-O inline_data -I 1024",
    "inline data, 256": "-O inline_data",
    "clusters": "-O bigalloc -C 16384",
    "values in inodes": "-O ea_inode",
    "large_dir": "-O large_dir",
    "casefold": "-O casefold",
    "small inodes": "-I 128 -O ^extra_isize",
    "no extents": "-O ^extents,^64bit",
    "no filetype": "-O ^filetype",
    "ext3": "-t ext3",
    "ext3 1 KiB": "-t ext3 -b 1024",
    "ext2": "-t ext2",
    "revision 0": "-t ext2 -r 0 -O none",
    "no journal": "-O ^has_journal",
}


def run(*command, check=True, **options):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if check and result.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: status {result.returncode}\n"
                         + result.stdout.decode(errors="replace"))
    return result


def make_tree(top, xattrs):
    """A tree that needs every way of storing something."""
    chance = random.Random(1)

    def path(name):
        full = os.path.join(top, name)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        return full

    def file(name, content):
        with open(path(name), "wb") as out:
            out.write(content)

    for size in (0, 1, 59, 60, 61, 100, 150, 900, 1023, 1024, 4095, 4096, 4097, 100_000, 20_000_000):
        file(f"sizes/{size}", chance.randbytes(size))
    for fragments in (3, 5, 400, 2000):  # trees of every depth, with blocks of 1 and 4 KiB
        with open(path(f"fragments/{fragments}"), "wb") as out:
            for i in range(fragments):
                out.seek(i * 8192)
                out.write(chance.randbytes(4096))
    with open(path("holes"), "wb") as out:  # as far as the pointers of ext2 with 1 KiB reach
        for offset in (0, 50_000, 5 << 20, 150 << 20):
            out.seek(offset)
            out.write(b"data")
        out.truncate((160 << 20) + 17)
    for size in (1, 59, 60, 61, 100, 500, 1000):
        os.symlink("t" * size, path(f"link{size}"))
    for i in range(2500):
        file(f"many/entry-{i:05}-" + "n" * (i % 90), b"")
    for name in (b"\xff\xfe", "\u00fc".encode(), b"n" * 255, b"with blank", b"new\nline", b"back\\slash", b"=%3D"):
        file("names/" + os.fsdecode(name), b"x")
    os.link(path("sizes/60"), path("hard"))
    os.mkfifo(path("fifo"))
    os.makedirs(path("empty"))
    os.makedirs(path("a/b/c/d/e/f/g/h"))
    os.chmod(path("sizes/1"), 0o6751)
    os.chmod(path("empty"), 0o1777)
    os.utime(path("sizes/1"), (1, 2**31 - 1))
    if os.geteuid() == 0:
        os.mknod(path("char"), stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.mknod(path("block"), stat.S_IFBLK | 0o600, os.makedev(259, 70000))
        os.chown(path("sizes/61"), 70000, 4_000_000_000)
    if xattrs:
        for i, size in enumerate((0, 1, 30, 200)):
            os.setxattr(path("sizes/59"), f"user.x{i}", b"\xffv" * size)
        os.setxattr(path("empty"), "user.on-a-directory", b"v" * 100)
        os.setxattr(path("sizes/1"), "user.a=b%", b"v")


def digest_of(read):
    sha = hashlib.sha256()
    while chunk := read(1 << 20):
        sha.update(chunk)
    return sha.hexdigest()


def tree_of_directory(top):
    """path: everything about it, as tree_of_tar() has it."""
    tree, links = {}, {}
    for directory, names, files in os.walk(top):
        for name in names + files + [""]:
            full = os.path.join(directory, name) if name else directory
            path = os.path.relpath(full, top)
            info = os.lstat(full)
            kind = stat.S_IFMT(info.st_mode)
            node = {"mode": info.st_mode, "owner": (info.st_uid, info.st_gid)}
            # mke2fs 1.47.0 leaves out fractions of seconds, and the root's time.
            node["mtime"] = int(info.st_mtime) if path != "." else None
            if kind == stat.S_IFREG:
                with open(full, "rb") as content:
                    node["content"] = (info.st_size, digest_of(content.read))
                if info.st_nlink > 1:
                    links.setdefault(info.st_ino, []).append(path)
            elif kind == stat.S_IFLNK:
                node["target"] = os.readlink(full)
            elif kind in (stat.S_IFCHR, stat.S_IFBLK):
                node["device"] = (os.major(info.st_rdev), os.minor(info.st_rdev))
            node["xattrs"] = {key: os.getxattr(full, key, follow_symlinks=False)
                              for key in os.listxattr(full, follow_symlinks=False)}
            tree[path] = node
    return tree, sorted(sorted(group) for group in links.values())


KINDS = {tarfile.REGTYPE: stat.S_IFREG, tarfile.GNUTYPE_SPARSE: stat.S_IFREG, tarfile.DIRTYPE: stat.S_IFDIR,
         tarfile.SYMTYPE: stat.S_IFLNK, tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK,
         tarfile.FIFOTYPE: stat.S_IFIFO}


def tree_of_tar(path):
    tree, links = {}, {}
    with tarfile.open(path, encoding="utf-8", errors="surrogateescape") as archive:
        for member in archive:
            name = member.name.removeprefix("./").rstrip("/") or "."
            if member.islnk():
                links.setdefault(member.linkname, [member.linkname]).append(name)
                tree[name] = tree[member.linkname]
                continue
            node = {"mode": KINDS[member.type] | member.mode, "owner": (member.uid, member.gid)}
            node["mtime"] = int(member.mtime) if name != "." else None
            if member.isreg():
                node["content"] = (member.size, digest_of(archive.extractfile(member).read))
            elif member.issym():
                node["target"] = member.linkname
            elif member.isdev() and not member.isfifo():
                node["device"] = (member.devmajor, member.devminor)
            prefix = "SCHILY.xattr."
            node["xattrs"] = {
                key.removeprefix(prefix).replace("%3D", "=").replace("%25", "%"): os.fsencode(value)
                for key, value in member.pax_headers.items() if key.startswith(prefix)}
            tree[name] = node
    return tree, sorted(sorted(group) for group in links.values())


def compare(name, wanted, found):
    for path in sorted(set(wanted[0]) | set(found[0])):
        if wanted[0].get(path) != found[0].get(path):
            raise SystemExit(f"{name}: {path!r}:\n  wanted {wanted[0].get(path)}\n  found  {found[0].get(path)}")
    if wanted[1] != found[1]:
        raise SystemExit(f"{name}: hard links:\n  wanted {wanted[1]}\n  found  {found[1]}")


class Suite:
    def __init__(self, tool, directory):
        self.tool, self.directory = tool, directory
        self.tree = os.path.join(directory, "tree")
        os.mkdir(self.tree)
        probe = os.path.join(directory, "probe")
        open(probe, "wb").close()
        try:
            os.setxattr(probe, "user.probe", b"")
            self.xattrs = True
        except OSError:
            self.xattrs = False
            print("extended attributes are left out: the file system here has none")
        make_tree(self.tree, self.xattrs)
        self.wanted = tree_of_directory(self.tree)

    def path(self, name):
        return os.path.join(self.directory, name)

    def export(self, image):
        tar = self.path("export.tar")
        run(self.tool, "export", image, tar)
        tree, links = tree_of_tar(tar)
        tree.pop("lost+found", None)
        return tree, links

    def debugfs(self, image, *commands):
        result = run("debugfs", "-w", "-f", "-", image, input="\n".join(commands).encode(), check=False)
        if b"Usage" in result.stdout or b"not found" in result.stdout:
            raise SystemExit(result.stdout.decode(errors="replace"))
        return result.stdout

    def make(self, name, options, tree=None, size=600 << 20):
        image = self.path(name)
        with open(image, "wb") as out:
            out.truncate(size)
        run("mke2fs", "-q", "-F", *([] if "-t " in options else ["-t", "ext4"]), *options.split(), "-d", tree or self.tree, image)
        return image

    def formats(self):
        for name, options in FORMATS.items():
            image = self.make("image", options)
            wanted, found = self.wanted, self.export(image)
            if "inline_data" in options:
                # mke2fs 1.47.0 cuts files with holes there, as debugfs shows.
                wanted = ({path: node for path, node in wanted[0].items() if path != "holes"}, wanted[1])
                found[0].pop("holes")
            if "-r 0" in options:  # mke2fs leaves attributes out
                wanted = ({path: {**node, "xattrs": {}} for path, node in wanted[0].items()}, wanted[1])
            compare(name, wanted, found)
            # Hash trees, which mke2fs does not make.
            if run("e2fsck", "-fyD", image, check=False).returncode > 1:
                raise SystemExit(f"{name}: e2fsck -D failed")
            indexed = self.export(image)
            indexed[0].pop("holes", None) if "inline_data" in options else None
            compare(name + ", with indexes", wanted, indexed)
            print(f"ok: {name}", flush=True)

    def other_readers(self):
        image = self.make("image", "")
        run(self.tool, "export", image, self.path("export.tar"))
        as_root = ["--same-owner"] if os.geteuid() == 0 else []
        for program, options in (("tar", ["--xattrs", "--xattrs-include=*"]), ("bsdtar", ["--xattrs"])):
            if not shutil.which(program):
                print(f"{program} is not installed: skipped")
                continue
            out = self.path(program)
            os.mkdir(out)
            run(program, "-xpf", self.path("export.tar"), "-C", out, *as_root, *options)
            if os.path.isdir(os.path.join(out, "lost+found")):
                os.rmdir(os.path.join(out, "lost+found"))
            found, wanted = tree_of_directory(out), self.wanted
            # bsdtar does not know the escape of "=".
            if program == "bsdtar" and self.xattrs:
                found[0]["sizes/1"]["xattrs"] = wanted[0]["sizes/1"]["xattrs"]
            compare(program, wanted, found)
            sparse = os.stat(os.path.join(out, "holes"))
            assert sparse.st_blocks * 512 < 1 << 20, (program, sparse.st_blocks)
            shutil.rmtree(out)
            print(f"ok: {program} reads the export", flush=True)

    def unwritten(self):
        image = self.make("image", "-b 1024")
        self.debugfs(image, "fallocate /sizes/0 0 100", "sif /sizes/0 size 102400", "fallocate /holes 0 60")
        found = self.export(image)
        zeros = (102400, hashlib.sha256(b"\0" * 102400).hexdigest())
        assert found[0]["sizes/0"]["content"] == zeros, found[0]["sizes/0"]
        assert found[0]["holes"]["content"] == self.wanted[0]["holes"]["content"]
        print("ok: unwritten extents", flush=True)

    def dirty(self, name, options, journal_options):
        """Changes are put into the journal of an image that does not have them otherwise."""
        small = self.path("small")
        if not os.path.isdir(small):
            for i in range(300):
                os.makedirs(f"{small}/d{i % 7}", exist_ok=True)
                with open(f"{small}/d{i % 7}/f{i}", "wb") as out:
                    out.write(b"%d" % i * 500)
        image = self.make("before", options, small, 64 << 20)
        block_size = int(run("dumpe2fs", "-h", image).stdout.split(b"Block size:")[1].split()[0])
        steps = [image]
        for step in range(3):
            after = self.path(f"after{step}")
            shutil.copy(steps[-1], after)
            magic = self.path("magic")
            with open(magic, "wb") as out:  # blocks that look like the journal's own
                out.write((bytes.fromhex("c03b3998") + b"%d" % step * 3000)[:block_size] * 3)
            self.debugfs(after, f"mkdir /new{step}", f"write {magic} /new{step}/magic", f"rm /d{step}/f{step}",
                         f"write {small}/d1/f1 /d3/late{step}", f"ln /d4/f4 /new{step}/link",
                         f"sif /d5/f5 mode 01006{step}4", f"sif /d4/f4 links_count {step + 2}")
            steps.append(after)
        dirty = self.path("dirty")
        shutil.copy(image, dirty)
        for number, (old, new) in enumerate(zip(steps, steps[1:])):
            self.journal(dirty, block_size, old, new, journal_options, number)
        with open(self.path("replay"), "wb") as out:  # the one that is not committed
            out.write(b"\xff" * block_size)
        self.debugfs(dirty, f"jo {journal_options}", f"jw -b 1 -c {self.path('replay')}", "jc")
        assert b"needs_recovery" in run("dumpe2fs", "-h", dirty).stdout
        before = self.export(image)
        found = self.export(dirty)
        wanted = self.export(steps[-1])
        assert found != before and found != self.export(steps[-2]), "nothing was replayed"
        compare(name + ", by debugfs", wanted, found)
        run("e2fsck", "-fy", "-E", "journal_only", dirty, check=False)
        assert b"needs_recovery" not in run("dumpe2fs", "-h", dirty).stdout
        compare(name + ", by e2fsck", self.export(dirty), found)
        print(f"ok: {name}: a journal that was not replayed", flush=True)

    def journal(self, dirty, block_size, old, new, options, number):
        changed, content = [], b""
        with open(old, "rb") as a, open(new, "rb") as b:
            block = 0
            while chunk := b.read(block_size):
                if a.read(block_size) != chunk:
                    changed.append(block)
                    content += chunk
                block += 1
        with open(self.path("replay"), "wb") as out:
            out.write(content)
        # What is revoked in one transaction and written in a later one counts again.
        revoke = [f"jw -r {','.join(map(str, changed))} /dev/null"] if number == 0 else []
        self.debugfs(dirty, f"jo {options}", *revoke,
                     f"jw -b {','.join(map(str, changed))} {self.path('replay')}", "jc")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--only", choices=("formats", "readers", "unwritten", "dirty"))
    options = parser.parse_args()
    os.environ["PATH"] += ":/sbin:/usr/sbin"
    for program in ("mke2fs", "e2fsck", "debugfs", "dumpe2fs"):
        if not shutil.which(program):
            print(f"skipped: {program} is not installed (apt-get install e2fsprogs)")
            return 77
    # mke2fs and e2fsck wait for the disk, which says nothing here.
    memory = "/dev/shm"
    fits = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30
    with tempfile.TemporaryDirectory(prefix="ext4-reader-oracle-", dir=memory if fits else None) as directory:
        suite = Suite(options.tool, directory)
        if options.only in (None, "formats"):
            suite.formats()
        if options.only in (None, "readers"):
            suite.other_readers()
        if options.only in (None, "unwritten"):
            suite.unwritten()
        if options.only in (None, "dirty"):
            suite.dirty("ext4", "", "")
            suite.dirty("ext4, checksums", "", "-c")
            suite.dirty("4 KiB, checksums", "-b 4096", "-c")
            suite.dirty("32 bits", "-O ^64bit,^metadata_csum", "")
            suite.dirty("ext3", "-t ext3", "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
