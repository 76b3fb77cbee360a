#!/usr/bin/env python3
"""Types a line and TAB into an interactive shell, and looks whether the line becomes what it should.

usage: press-tab.py bash|zsh SETUP-COMMAND… LINE EXPECTED
"""
import os
import pty
import re
import select
import signal
import sys
import time

SHELLS = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}
PROMPT = "ready>"


def read_until(terminal, is_enough, seconds):
    """What the terminal says until it is enough, without escape sequences."""
    text = ""
    deadline = time.monotonic() + seconds
    while not is_enough(text) and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            text += os.read(terminal, 65536).decode(errors="replace")
            text = re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>]|\][^\x07]*\x07)|\x07", "", text)
    return text


def main():
    shell, *setup, line, expected = sys.argv[1:]
    pid, terminal = pty.fork()
    if pid == 0:
        # A bell, a theme or a wrapped line would stand between the words.
        os.environ.update(PS1=PROMPT, TERM="xterm", INPUTRC="/dev/null", COLUMNS="200")
        os.execvp(shell, SHELLS[shell])
    try:
        read_until(terminal, lambda text: PROMPT in text, 20)
        for number, command in enumerate(setup):
            os.write(terminal, f"{command}; stty cols 200; echo set''up-{number}\n".encode())
            read_until(terminal, lambda text: f"setup-{number}" in text and text.rstrip().endswith(PROMPT), 20)
        os.write(terminal, f"{line}\t".encode())
        shown = read_until(terminal, lambda text: expected in text, 20)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    if expected not in shown:
        sys.exit(f"press-tab: {line!r} became {shown!r}, not {expected!r}")


if __name__ == "__main__":
    main()
