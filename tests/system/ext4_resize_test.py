#!/usr/bin/env python3
"""Whether resize2fs, tune2fs and the kernel of a guest change the file systems that the ext4 library makes.

After each change e2fsck -fn must find nothing and our reader must export the same tree as before.

  ext4_resize_test.py TOOL                 resize2fs and tune2fs; needs neither root nor a virtual machine
  ext4_resize_test.py TOOL --guest CPIO    a kernel enlarges what it has mounted; CPIO: ext4_grow_init
"""
import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

MIB, GIB = 1 << 20, 1 << 30
BLOCK_SIZES = (1024, 2048, 4096)


def run(*command, allowed=(0,)):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    if result.returncode not in allowed:
        raise SystemExit(f"{' '.join(command)}: status {result.returncode}\n{result.stdout.decode(errors='replace')}")
    return result.stdout.decode(errors="replace")


class Suite:
    def __init__(self, tool, directory):
        self.tool, self.directory = tool, directory
        self.image = os.path.join(directory, "image")
        self.layer = os.path.join(directory, "layer.tar")
        self.make_layer()

    def make_layer(self):
        source = os.path.join(self.directory, "source")
        os.makedirs(f"{source}/many")
        for i in range(700):
            with open(f"{source}/many/file-with-a-long-name-{i}", "wb") as file:
                file.write(b"x" * (i * 7))
        os.symlink("t" * 200, f"{source}/link")
        with open(f"{source}/fragments", "wb") as file:
            for i in range(900):
                file.seek(i * 8192)
                file.write(b"y" * 4096)
        with tarfile.open(self.layer, "w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(source, ".")
        shutil.rmtree(source)

    def make(self, size, *options):
        run(self.tool, "populate", self.image, str(size), *options, self.layer)

    def tree(self):
        tar = os.path.join(self.directory, "export.tar")
        run(self.tool, "export", self.image, tar)
        with open(tar, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def change(self, *command):
        before = self.tree()
        run(*command, self.image)
        run("e2fsck", "-fn", self.image)
        assert self.tree() == before, f"another tree after {' '.join(command)}"

    def resize(self, size, blocks):
        before = self.tree()
        run("resize2fs", self.image, f"{size // 1024}K")
        run("e2fsck", "-fn", self.image)
        assert self.tree() == before, "another tree"
        found = int(re.search(r"Block count: +(\d+)", run("dumpe2fs", "-h", self.image))[1])
        assert found == blocks, (found, blocks)

    def growing(self):
        for block in BLOCK_SIZES:
            group = 8 * block * block
            for growable in (0, 1):
                for size, larger in ((32 * MIB, 300 * MIB), (group + 40 * block, 5 * group),
                                     (17 * group, 18 * group), (3 * GIB, 70 * GIB)):
                    size, larger = max(size, 32 * MIB), max(larger, 40 * MIB)
                    self.make(size, f"block-size={block}", f"growable={growable}", f"journal={8 * MIB}")
                    self.resize(larger, larger // block)
        self.make(1024 * GIB)
        self.resize(1500 * GIB, 1500 * GIB // 4096)
        print("ok: resize2fs enlarges", flush=True)

    def shrinking(self):
        for block in BLOCK_SIZES:
            self.make(GIB, f"block-size={block}")
            self.resize(100 * MIB, 100 * MIB // block)
        print("ok: resize2fs shrinks", flush=True)

    def tuning(self):
        for block in BLOCK_SIZES:
            self.make(200 * MIB, f"block-size={block}", f"journal={16 * MIB}")
            for change in (["-L", "new-label"], ["-i", "30d"], ["-c", "20"], ["-m", "5"], ["-e", "remount-ro"],
                           ["-O", "^has_journal"], ["-j"], ["-J", "size=8"], ["-U", "random"],
                           ["-O", "metadata_csum_seed"], ["-O", "project,quota"], ["-O", "^project,^quota"],
                           ["-O", "large_dir"], ["-O", "^metadata_csum"]):
                if change[0] == "-J":
                    self.change("tune2fs", "-O", "^has_journal")
                self.change("tune2fs", *change)
        print("ok: tune2fs changes", flush=True)

    def growing_mounted(self, cpio):
        kernel = os.environ.get("BULKHEAD_KERNEL", "")
        for needed, what in ((shutil.which("qemu-system-x86_64"), "qemu-system-x86_64"), (os.path.exists(kernel), kernel)):
            if not needed:
                print(f"skipped: no {what}")
                return 77
        for block in BLOCK_SIZES:
            for size, larger in ((64 * MIB, 200 * MIB), (3 * GIB, 5 * GIB), (10 * GIB, 70 * GIB)):
                self.make(size, "growable=1", f"block-size={block}", f"journal={8 * MIB}")
                os.truncate(self.image, larger)
                out = run("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                          "-M", "microvm,acpi=off,pcie=off,x-option-roms=off,isa-serial=off,rtc=on", "-accel", "tcg",
                          "-cpu", "max", "-m", "256M", "-kernel", kernel, "-initrd", cpio,
                          "-append", "console=hvc0 reboot=t panic=-1 quiet nolapic_timer noreplace-smp",
                          "-chardev", "stdio,id=c,signal=off", "-device", "virtio-serial-device",
                          "-device", "virtconsole,chardev=c",
                          "-drive", f"if=none,id=d,file={self.image},format=raw", "-device", "virtio-blk-device,drive=d")
                assert f"grown to {larger // block} blocks" in out, out
                run("e2fsck", "-fn", self.image)
                tar = os.path.join(self.directory, "export.tar")
                run(self.tool, "export", self.image, tar)
                with tarfile.open(tar) as archive:
                    names = archive.getnames()
                assert sum(name.startswith("file") for name in names) == 500
                assert sum(name.startswith("many/") for name in names) == 700
                print(f"ok: a kernel enlarged {size // MIB} MiB to {larger // MIB}, blocks of {block}", flush=True)
        return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--guest")
    options = parser.parse_args()
    os.environ["PATH"] += ":/sbin:/usr/sbin"
    for program in ("e2fsck", "resize2fs", "tune2fs", "dumpe2fs"):
        if not shutil.which(program):
            print(f"skipped: {program} is not installed (apt-get install e2fsprogs)")
            return 77
    with tempfile.TemporaryDirectory(prefix="ext4-resize-") as directory:
        suite = Suite(options.tool, directory)
        if options.guest:
            return suite.growing_mounted(options.guest)
        suite.growing()
        suite.shrinking()
        suite.tuning()
    return 0


if __name__ == "__main__":
    sys.exit(main())
