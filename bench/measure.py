"""What the measuring scripts beside this file have in common."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
IMAGE = "localhost/busybox:bench"


def enter_own_network(script):
    """Runs the script again, as root, in a network namespace of its own; returns in there."""
    if os.geteuid() != 0:
        sys.exit(f"{os.path.relpath(script, PROJECT)}: must run as root")
    if os.environ.pop("BULKHEAD_BENCH_INSIDE", None) is None:
        os.environ["BULKHEAD_BENCH_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$0" "$@"', script,
                              *sys.argv[1:]])


class Bulkhead:
    """The command line with state and run directories of its own, and a busybox image."""

    def __init__(self):
        build = os.environ.get("BULKHEAD_BUILD_DIR", os.path.join(PROJECT, "build/release"))
        self.program = os.path.join(build, "bin/bulkhead")
        self.work = tempfile.mkdtemp(prefix="bh-bench-")
        self.env = dict(os.environ, BULKHEAD_STATE_DIR=f"{self.work}/state", BULKHEAD_RUN_DIR=f"{self.work}/run")
        self.tar = f"{self.work}/busybox.tar"

    def import_image(self):
        subprocess.run([f"{PROJECT}/scripts/make-busybox-image", self.tar], check=True)
        self.run("image", "import", self.tar, IMAGE)

    def argv(self, *arguments):
        return [self.program, *arguments]

    def run(self, *arguments):
        """Its output; a failure ends the script with what it says."""
        done = subprocess.run(self.argv(*arguments), env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True)
        if done.returncode != 0:
            sys.exit(f"bulkhead {' '.join(arguments)}: status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def state(self, name):
        return json.loads(self.run("inspect", name))[0]["state"]

    def remove_all(self):
        ids = subprocess.run(self.argv("list", "-aq"), env=self.env, capture_output=True, text=True).stdout.split()
        if ids:
            subprocess.run(self.argv("rm", "-f", *ids), env=self.env, capture_output=True)

    def close(self):
        self.remove_all()
        shutil.rmtree(self.work, ignore_errors=True)


def number_in(path, key):
    """The number behind `key` in a file of /proc; 0 when the process has ended."""
    try:
        with open(path) as file:
            for line in file:
                if line.startswith(key):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def pss_kib(pid):
    return number_in(f"/proc/{pid}/smaps_rollup", "Pss:")


def peak_kib(pid):
    return number_in(f"/proc/{pid}/status", "VmHWM:")


def available_kib():
    return number_in("/proc/meminfo", "MemAvailable:")


def children():
    """The processes of the host by their parent."""
    by_parent = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        by_parent.setdefault(parent, []).append(int(name))
    return by_parent


def tree(root, by_parent):
    """`root` and all its descendants."""
    pids = [root]
    for pid in pids:
        pids.extend(by_parent.get(pid, []))
    return pids


def processor_seconds(pids):
    """What the threads of these processes have run so far."""
    total = 0
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                    total += int(file.read().split()[0])
        except OSError:
            pass
    return total / 1e9
