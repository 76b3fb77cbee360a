"""Other people's programs that start containers, each with directories of its own and, where it needs one, a daemon
of its own, in the network and mount namespace of the benchmark. Nothing of the machine's own installation is used.
"""
import glob
import os
import shlex
import shutil
import subprocess
import time

from measure import IMAGE

# The distribution's programs first: what lies in /usr/local is anybody's.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", "")


class Unavailable(Exception):
    """Why a peer is not measured."""


def program(name, package):
    path = shutil.which(name, path=PATH)
    if path is None:
        raise Unavailable(f"{name} is not installed (apt-get install {package})")
    return path


def quietly(argv, **more):
    result = subprocess.run(argv, capture_output=True, text=True, **more)
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no message"]
        raise Unavailable(f"{os.path.basename(argv[0])} does not run here: {lines[-1]}")
    return result.stdout


def cgroup(work):
    """The parent of a peer's cgroups, in all hierarchies."""
    return "/" + os.path.basename(work)


def remove_cgroups(work):
    for directory in glob.glob(f"/sys/fs/cgroup{cgroup(work)}") + glob.glob(f"/sys/fs/cgroup/*{cgroup(work)}"):
        for path, _, _ in os.walk(directory, topdown=False):
            try:
                os.rmdir(path)
            except OSError:  # of a named hierarchy that is seen twice, it is gone already
                pass


class Daemon:
    """A process of our own that answers when `probe` succeeds."""

    def __init__(self, argv, log, probe):
        self.log = log
        with open(log, "w") as file:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                            env=dict(os.environ, PATH=PATH))
        deadline = time.monotonic() + 60
        while subprocess.run(probe, capture_output=True).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.end()
                with open(log) as file:
                    lines = file.read().strip().splitlines() or ["no message"]
                raise Unavailable(f"{os.path.basename(argv[0])} does not start here: {lines[-1]}")
            time.sleep(0.1)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Podman:
    label = "podman, runc, bridge"

    def __init__(self, work, tar, options):
        self.work = work
        self.base = [program("podman", "podman netavark aardvark-dns"), "--root", f"{work}/podman", "--runroot",
                     f"{work}/podman-run", "--network-config-dir", f"{work}/podman-net", "--cgroup-manager",
                     "cgroupfs"]
        self.parent = ["--cgroup-parent", cgroup(work)]
        self.options = []
        quietly([*self.base, "import", "-q", tar, IMAGE])
        plain = ["--runtime", "runc", "--network", "bridge"]
        candidates = ([shlex.split(options)] if options is not None
                      # Where limits may not be raised, podman's own defaults fail.
                      else [plain, [*plain, "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]])
        for number, self.options in enumerate(candidates, 1):
            try:
                quietly(self.run("true"))
                break
            except Unavailable:
                if number == len(candidates):
                    self.end()
                    raise
        print("peer: podman run", " ".join(self.options))

    def run(self, *command):
        return [*self.base, "run", "--rm", *self.parent, *self.options, IMAGE, *command]

    def start_idle(self):
        quietly([*self.base, "run", "-d", "--name", "idle", *self.parent, *self.options, IMAGE, "sleep", "1000"])

    def exec(self, *command):
        return [*self.base, "exec", "idle", *command]

    def end(self):
        subprocess.run([*self.base, "rm", "-f", "-t", "0", "idle"], capture_output=True)
        subprocess.run([*self.base, "rmi", "-f", IMAGE], capture_output=True)
        for mount in reversed(glob.glob(f"{self.work}/podman/*")
                              + glob.glob(f"{self.work}/podman/overlay*/*/merged")):
            subprocess.run(["umount", "-l", mount], capture_output=True)


class Docker:
    label = "docker, runc, bridge"

    def __init__(self, work, tar):
        socket = f"unix://{work}/docker.sock"
        self.base = [program("docker", "docker.io"), "-H", socket]
        self.daemon = Daemon([program("dockerd", "docker.io"), "-H", socket, "--data-root", f"{work}/docker",
                              "--exec-root", f"{work}/docker-run", "--pidfile", f"{work}/docker.pid",
                              "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", cgroup(work)], f"{work}/dockerd.log",
                             [*self.base, "info"])
        try:
            quietly([*self.base, "import", tar, IMAGE])
            quietly(self.run("true"))
        except Unavailable:
            self.end()
            raise

    def run(self, *command):
        return [*self.base, "run", "--rm", IMAGE, *command]

    def start_idle(self):
        quietly([*self.base, "run", "-d", "--name", "idle", IMAGE, "sleep", "1000"])

    def exec(self, *command):
        return [*self.base, "exec", "idle", *command]

    def end(self):
        subprocess.run([*self.base, "rm", "-f", "idle"], capture_output=True)
        self.daemon.end()


class Containerd:
    label = "ctr, containerd, runc, no network"

    def __init__(self, work, archive):
        """`archive` is an OCI archive of the image."""
        config = f"{work}/containerd.toml"
        socket = f"{work}/containerd.sock"
        with open(config, "w") as file:
            file.write(f'version = 2\nroot = "{work}/containerd"\nstate = "{work}/containerd-run"\n'
                       'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                       f'[grpc]\n  address = "{socket}"\n')
        self.base = [program("ctr", "containerd"), "--address", socket]
        self.snapshotter = "overlayfs"
        self.parent = f"{cgroup(work)}/ctr"
        program("runc", "runc")
        self.daemon = Daemon([program("containerd", "containerd"), "--config", config], f"{work}/containerd.log",
                             [*self.base, "version"])
        try:
            try:
                self.prepare(archive)
            except Unavailable:
                # On top of an overlay there is no other.
                self.snapshotter = "native"
                self.prepare(archive)
        except Unavailable:
            self.end()
            raise
        print(f"peer: ctr run, snapshotter {self.snapshotter}")

    def prepare(self, archive):
        quietly([*self.base, "images", "import", "--snapshotter", self.snapshotter, archive])
        quietly(self.run("true"))

    def run(self, *command):
        return [*self.base, "run", "--rm", "--cgroup", self.parent, "--snapshotter", self.snapshotter, IMAGE, "bench", *command]

    def end(self):
        self.daemon.end()
