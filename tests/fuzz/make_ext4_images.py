#!/usr/bin/env python3
"""Makes tests/fuzz/images/ext4: what other people's programs make and our formatter does not.

Run by hand when one shall be added; the images are kept, because those of another e2fsprogs may
differ. Each is the number of its blocks of 1 KiB (4 bytes, little-endian), then those that are not
zero, each behind its own number.

  make_ext4_images.py DIRECTORY
"""
import os
import re
import struct
import subprocess
import sys
import tempfile

UNIT = 1024
# Without checksums, apart from one: damage then needs no repair to be seen.
COMMON = ["-q", "-F", "-b", "1024", "-N", "256", "-U", "00112233-4455-6677-8899-aabbccddeeff",
          "-E", "lazy_itable_init=1,hash_seed=01112233-4455-6677-8899-aabbccddeeff"]


def run(*command, data=None, statuses=(0,)):
    result = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode not in statuses:
        raise SystemExit(f"{' '.join(command)}: status {result.returncode}\n{result.stdout.decode()}")
    return result.stdout.decode(errors="replace")


def debugfs(image, *requests):
    return run("debugfs", "-w", "-f", "-", image, data="\n".join(requests).encode())


class Maker:
    def __init__(self, work, out):
        self.work, self.out = work, out

    def path(self, name):
        return os.path.join(self.work, name)

    def tree(self, *files, links=True):
        """Files: (name, offsets of single blocks)."""
        top = tempfile.mkdtemp(dir=self.work)
        os.chmod(top, 0o755)
        os.makedirs(f"{top}/d/deeper")
        with open(f"{top}/d/small", "wb") as file:
            file.write(b"content")
        if links:
            os.symlink("d/small", f"{top}/short")
            os.symlink("l" * 100, f"{top}/long")
            os.link(f"{top}/d/small", f"{top}/hard")
            os.mkfifo(f"{top}/fifo")
        for name, offsets in files:
            with open(f"{top}/{name}", "wb") as file:
                for offset in offsets:
                    file.seek(offset)
                    file.write(b"d" * UNIT)
        for directory, names, rest in os.walk(top):
            for name in names + rest:
                os.utime(os.path.join(directory, name), (10**9, 10**9), follow_symlinks=False)
        os.utime(top, (10**9, 10**9))
        return top

    def make(self, size_kib, tree, *options):
        image = self.path("image")
        if os.path.exists(image):
            os.remove(image)
        run("mke2fs", *COMMON, *options, "-d", tree, image, str(size_kib))
        run("e2fsck", "-fn", image)
        return image

    def keep(self, name, image, left_out=()):
        """Blocks of content may be left out: there need be nothing in them."""
        with open(image, "rb") as file:
            content = file.read()
        parts = [struct.pack("<I", len(content) // UNIT)]
        for number in range(len(content) // UNIT):
            block = content[number * UNIT:(number + 1) * UNIT]
            if number not in left_out and block.strip(b"\0"):
                parts.append(struct.pack("<I", number) + block)
        with open(os.path.join(self.out, name), "wb") as file:
            file.write(b"".join(parts))
        print(f"{name}: {len(parts) - 1} blocks, {sum(map(len, parts))} bytes")

    def ext2(self):
        # The last is behind blocks of pointers to pointers to pointers.
        offsets = (0, 20 << 10, 1 << 20, 70 << 20)
        image = self.make(1024, self.tree(("holes", offsets)), "-t", "ext2")
        assert "(TIND)" in debugfs(image, "stat /holes")
        self.keep("ext2", image)

    def ext3(self):
        image = self.make(4096, self.tree(), "-t", "ext3", "-J", "size=1")
        before = open(image, "rb").read()
        debugfs(image, "mkdir /new", f"write {self.path('some')} /new/file", "rm /hard", "ln /d/small /new/link",
                "sif /d/small links_count 2")
        after = open(image, "rb").read()
        changed = [n for n in range(len(before) // UNIT)
                   if before[n * UNIT:(n + 1) * UNIT] != after[n * UNIT:(n + 1) * UNIT]]
        with open(image, "wb") as file:
            file.write(before)
        with open(self.path("blocks"), "wb") as file:
            file.write(b"".join(after[n * UNIT:(n + 1) * UNIT] for n in changed))
        numbers = ",".join(map(str, changed))
        debugfs(image, "jo", f"jw -r {numbers} /dev/null", f"jw -b {numbers} {self.path('blocks')}", "jc")
        debugfs(image, "jo", f"jw -b {numbers} {self.path('blocks')}", "jc")
        assert "needs_recovery" in run("dumpe2fs", "-h", image)
        self.keep("ext3-journal", image)
        run("e2fsck", "-fy", "-E", "journal_only", image, statuses=(0, 1))
        run("e2fsck", "-fn", image)
        assert "link" in debugfs(image, "ls /new"), "nothing was replayed"

    def inline_data(self):
        image = self.make(1024, self.tree(), "-t", "ext4", "-I", "256", "-O",
                          "inline_data,^has_journal,^metadata_csum,^resize_inode")
        assert "0x1000000" in debugfs(image, "stat /d/small"), "nothing is in the inode"
        self.keep("inline-data", image)

    def ea_inode(self):
        image = self.make(1024, self.tree(), "-t", "ext4", "-O",
                          "ea_inode,^has_journal,^metadata_csum,^resize_inode")
        with open(self.path("value"), "wb") as file:
            file.write(b"v" * UNIT)
        debugfs(image, f"ea_set -f {self.path('value')} /d/small user.large",
                f"ea_set -f {self.path('value')} /d user.large", "ea_set /d user.small 1")
        # With its header longer than a block, so that it has an inode of its own.
        assert f"user.large ({UNIT})" in debugfs(image, "ea_list /d/small")
        self.keep("ea-inode", image)

    def deep(self):
        offsets = range(0, 400 * 2 * UNIT, 2 * UNIT)
        image = self.make(1024, self.tree(("deep", offsets)), "-t", "ext4", "-O",
                          "^has_journal,^metadata_csum,^64bit,^resize_inode")
        extents = debugfs(image, "dump_extents /deep")
        leaves = [int(match[1]) for match in re.finditer(r"^ *2/ *2 .*?- +\d+ +(\d+) - +\d+ +1", extents, re.M)]
        assert len(leaves) == 400, extents
        self.keep("deep-extents", image, set(leaves))

    def checksums(self):
        names = [(f"d/entry-{i:03}-" + "n" * 60, ()) for i in range(100)]
        image = self.make(1024, self.tree(*names), "-t", "ext4", "-O", "^has_journal,^resize_inode")
        run("e2fsck", "-fyD", image, statuses=(0, 1))
        assert "Flags: 0x81000" in debugfs(image, "stat /d"), "no index"
        self.keep("checksums-index", image)


def main():
    os.environ["PATH"] += ":/sbin:/usr/sbin"
    os.environ["E2FSPROGS_FAKE_TIME"] = "1700000000"
    os.environ["TZ"] = "UTC"
    out = os.path.abspath(sys.argv[1])
    os.makedirs(out, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        maker = Maker(work, out)
        with open(maker.path("some"), "wb") as file:
            file.write(b"s" * 2000)
        for make in (maker.ext2, maker.ext3, maker.inline_data, maker.ea_inode, maker.deep, maker.checksums):
            make()


if __name__ == "__main__":
    main()
