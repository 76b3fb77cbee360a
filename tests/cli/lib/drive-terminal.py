"""Drives `bulkhead run -it` and `bulkhead stats` through a pseudo terminal, as a person would. usage: CASE IMAGE"""
import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

DEADLINE = 60


class Terminal:
    def __init__(self, argv, rows=24, columns=80):
        self.parent, child = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(child)
        self.child_end = child
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(child, termios.TIOCSCTTY, 0)
            for fd in (0, 1, 2):
                os.dup2(child, fd)
            os.closerange(3, 100)
            os.execvp(argv[0], argv)
        self.seen = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.parent, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text):
        os.write(self.parent, text.encode())

    def expect(self, text):
        """Reads until `text` appears; what stood before it is dropped."""
        wanted = text.encode()
        end = time.monotonic() + DEADLINE
        while wanted not in self.seen:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.parent], [], [], left)[0]:
                sys.exit(f"waited in vain for {text!r}; saw {self.seen[-2000:]!r}")
            try:
                data = os.read(self.parent, 65536)
                self.seen += data
                if b"\x1b[6n" in data:  # where is the cursor? Terminals answer.
                    os.write(self.parent, b"\x1b[1;1R")
            except OSError:
                sys.exit(f"the terminal closed before {text!r}; saw {self.seen[-2000:]!r}")
        self.seen = self.seen[self.seen.index(wanted) + len(wanted):]

    def status(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def shell(image, script="echo rea''dy; while read line; do eval $line; done"):
    terminal = Terminal(["bulkhead", "run", "--rm", "-it", image, "sh", "-c", script], 33, 91)
    terminal.expect("ready")
    return terminal


def size(image):
    terminal = shell(image)
    terminal.send("tty; stty size\r")
    terminal.expect("/dev/")
    terminal.expect("33 91")
    terminal.resize(40, 120)
    time.sleep(1)
    terminal.send("stty size\r")
    terminal.expect("40 120")
    terminal.send("exit 5\r")
    return terminal.status() == 5


def interrupt(image):
    terminal = shell(image, "trap 'echo cau''ght' INT; echo rea''dy; while :; do sleep 0.1; done")
    terminal.send("\x03")
    terminal.expect("caught")
    terminal.send("\x1c")  # SIGQUIT has no handler: ignored by the first process of a container
    os.kill(terminal.pid, 15)
    terminal.send("\x03")
    terminal.expect("caught")
    os.kill(terminal.pid, 9)
    terminal.status()
    return True


def restore(image):
    terminal = shell(image)
    terminal.send("exit\r")
    terminal.status()
    return termios.tcgetattr(terminal.child_end) == terminal.before


def stats(image):
    """A running container is shown in one place, also in a narrow window, until ^C."""
    os.environ["TERM"] = "xterm"
    terminal = Terminal(["bulkhead", "stats"], 24, 60)
    terminal.expect("CONTAINER ID")
    terminal.expect("web")
    terminal.expect("\x1b[4A\rCONTAINER ID")  # two lines, each of two rows
    terminal.expect("web")
    terminal.resize(24, 200)
    terminal.expect("\x1b[2A\rCONTAINER ID")
    terminal.send("\x03")
    return terminal.status() == -2


if __name__ == "__main__":
    case = {"size": size, "interrupt": interrupt, "restore": restore, "stats": stats}[sys.argv[1]]
    sys.exit(0 if case(sys.argv[2]) else 1)
