"""How much a guest executes until its container has written its first output: counts, not times, and so the same on
a machine that is busy or slow. Used by bench/start --exact, under which count.c says how.
"""
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
QEMU = "/usr/bin/qemu-system-x86_64"
IMAGE = "localhost/hello:bench"
MARK_BYTES = 8
FIELDS = 4  # kernel, user, blocks, their instructions
MARKS = ("PID 1 begins", "the container's process begins", "its first output is written")


def symbols(path):
    """Of a program or library: name to address."""
    lines = subprocess.check_output(["nm", path], text=True).splitlines()
    return {words[2]: int(words[0], 16) for words in (line.split() for line in lines) if len(words) == 3}


class Elf:
    """Just enough of a 64-bit program: where it begins, and the bytes at an address."""

    def __init__(self, data):
        self.data = data
        self.entry, table = struct.unpack_from("<QQ", data, 24)
        size, count = struct.unpack_from("<HH", data, 54)
        self.segments = [struct.unpack_from("<II6Q", data, table + i * size) for i in range(count)]

    def bytes_at(self, address):
        for kind, _, offset, virtual, _, in_file, _, _ in self.segments:
            if kind == 1 and virtual <= address < virtual + in_file:
                begin = offset + address - virtual
                return self.data[begin:begin + MARK_BYTES]
        raise ValueError(f"no bytes at {address:#x}")


def init_of(initramfs):
    """The program /init of a cpio archive ("newc")."""
    with open(initramfs, "rb") as file:
        data = file.read()
    at = 0
    while data[at:at + 6] == b"070701":
        size, name_size = (int(data[at + begin:at + begin + 8], 16) for begin in (54, 94))
        name = data[at + 110:at + 110 + name_size - 1].decode()
        content = (at + 110 + name_size + 3) & ~3
        if name.lstrip("./") == "init":
            return data[content:content + size]
        at = (content + size + 3) & ~3
    raise ValueError(f"{initramfs}: no init in it")


def c_mark(elf, address):
    return "{%#x, {%s}}" % (address, ", ".join(str(byte) for byte in elf.bytes_at(address)))


class Counted:
    """A QEMU that counts, in the place of this mount namespace's own; and the image of which it counts."""

    def __init__(self, work, share, base_tar):
        self.library = f"{work}/count.so"
        hello = f"{work}/hello"
        subprocess.run(["gcc", "-O1", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pie",
                        "-no-pie", "-o", hello, f"{HERE}/hello.c"], check=True)
        with open(hello, "rb") as file:
            program = Elf(file.read())
        init = Elf(init_of(f"{share}/initramfs.cpio"))
        marks = [c_mark(init, init.entry), c_mark(program, program.entry),
                 c_mark(program, symbols(hello)["after_output"])]
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", f'-DLIBRARY="{self.library}"', "-DMARKS=" + ", ".join(marks),
                        "-o", self.library, f"{HERE}/count.c"], check=True)
        self.offset = symbols(self.library)["marks"]
        shutil.copy2(QEMU, f"{work}/qemu")
        subprocess.run(["patchelf", "--add-needed", self.library, f"{work}/qemu"], check=True)
        subprocess.run(["mount", "--bind", f"{work}/qemu", QEMU], check=True)
        self.tar = f"{work}/hello.tar"
        shutil.copy(base_tar, self.tar)
        with tarfile.open(self.tar, "a") as tar:
            tar.add(hello, "hello")

    def close(self):
        subprocess.run(["umount", QEMU], capture_output=True)

    def read(self, pid):
        """What has been counted at each mark by now."""
        with open(f"/proc/{pid}/maps") as maps:
            base = min(int(line.split("-")[0], 16) for line in maps if line.rstrip().endswith("/count.so"))
        with open(f"/proc/{pid}/mem", "rb") as memory:
            memory.seek(base + self.offset)
            values = struct.unpack(f"<{len(MARKS) * FIELDS}Q", memory.read(len(MARKS) * FIELDS * 8))
        return [values[i * FIELDS:(i + 1) * FIELDS] for i in range(len(MARKS))]


def count_once(bulkhead, counted, options, env):
    process = subprocess.Popen([bulkhead, "run", "--rm", "-i", "--name", "counted", *options, IMAGE, "/hello"], env=env,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if process.stdout.readline() != b"hello\n":
            sys.exit("bench/start: the counted container does not run")
        state = json.loads(subprocess.check_output([bulkhead, "inspect", "counted"], env=env))[0]["state"]
        return state["warm"], counted.read(state["vm_pid"])
    finally:
        process.stdin.close()
        process.wait()


def spread(values):
    """Median, and how far the others are from it."""
    median = statistics.median(values)
    return f"{median:14,.0f} {min(values) / median * 100 - 100:+7.2f} … {max(values) / median * 100 - 100:+.2f} %"


def report(title, rounds):
    print(f"\n{title}: median, and the spread of {len(rounds)} runs")
    for number, mark in enumerate(MARKS):
        if all(counts[number][2] == 0 for counts in rounds):
            continue
        print(f"  until {mark}")
        for label, value in (("instructions executed", lambda count: count[0] + count[1]),
                             ("  of them the kernel's", lambda count: count[0]),
                             ("  of them programs'", lambda count: count[1]),
                             ("blocks translated", lambda count: count[2]),
                             ("  instructions in them", lambda count: count[3])):
            print(f"    {label:26}{spread([value(counts[number]) for counts in rounds])}")


def exact(bulkhead, share, work, base_tar, runs, env):
    info = json.loads(subprocess.check_output([bulkhead, "system", "info", "--format", "json"], env=env))
    if info["accelerator"]["in_use"] != "tcg":
        print("\nexact counts: skipped, with KVM nothing is translated, and there is nothing that counts")
        return
    for program in ("gcc", "nm", "patchelf"):
        if shutil.which(program) is None:
            print(f"\nexact counts: skipped, {program} is not installed (apt-get install gcc binutils patchelf)")
            return
    counted = Counted(work, share, base_tar)
    try:
        subprocess.run([bulkhead, "image", "import", counted.tar, IMAGE], check=True, env=env,
                       stdout=subprocess.DEVNULL)
        # With one processor nothing waits for another: fewer instructions, and closer to each other.
        for cpus in ("1", "2"):
            subprocess.run([bulkhead, "system", "warm", "-c", cpus], check=True, env=env, stdout=subprocess.DEVNULL)
            for title, more, is_warm in (("cold start", ["--cold"], False), ("warm start", [], True)):
                rounds = []
                for _ in range(runs):
                    warm, counts = count_once(bulkhead, counted, ["-c", cpus, *more], env)
                    if warm != is_warm:
                        sys.exit(f"bench/start: a {title} was none")
                    rounds.append(counts)
                report(f"{title}, CPUs: {cpus}", rounds)
    finally:
        counted.close()
