# memsnap-test: once
"""The manual page and the completions, which the program makes of the description of its options, in the shells they are for."""

import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import time
import unittest

import harness
from harness import Target, memsnap

ENVIRONMENT = {**os.environ, "PATH": "%s:%s" % (pathlib.Path(harness.MEMSNAP).parent, os.environ["PATH"]), "LC_ALL": "C.UTF-8", "TERM": "dumb"}

# Asks bash for completions as readline does: words parted at COMP_WORDBREAKS, the last one is completed.
ASK_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_memsnap memsnap "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def needs(program):
    return unittest.skipUnless(shutil.which(program), "%s is not installed" % program)


def options_of(command):
    """The long options that the help of a command lists."""
    text = memsnap("help", command).out.split("\nOptions:")[-1].split("\nExamples:")[0]
    return set(re.findall(r"(?m)^  (?:-\w, )?(--[a-z-]+)", text))


def commands():
    return re.findall(r"(?m)^  ([a-z]+) ", memsnap("help").out.split("Commands:")[1].split("Global options:")[0])


class Terminal:
    """A shell at a terminal."""

    def __init__(self, test, command, folder):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(command[0], command, {**ENVIRONMENT, "HOME": str(folder), "PS1": "$ "})
        test.addCleanup(self.close)
        self.seen = ""

    def close(self):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.fd)

    def expect(self, pattern):
        deadline = time.monotonic() + harness.PATIENCE
        while not re.search(pattern, self.seen):
            if time.monotonic() > deadline or not select.select([self.fd], [], [], harness.PATIENCE)[0]:
                raise harness.Failed("the shell showed %r where %r was expected" % (self.seen, pattern))
            self.seen += os.read(self.fd, 65536).decode(errors="replace")

    def type(self, text, pattern):
        self.seen = ""
        os.write(self.fd, text.encode())
        self.expect(pattern)


class CompletionTest(harness.LiveTest):
    def made(self, shell):
        result = memsnap("help", "--completion", shell)
        self.assertEqual((0, ""), (result.status, result.err))
        name = self.folder / ("_memsnap" if shell == "zsh" else "memsnap." + shell)
        name.write_text(result.out)
        return name

    def check_shell(self, ask):
        """`ask(words)` gives what a shell offers for the last of the words."""
        self.assertEqual(sorted(commands()), sorted(ask(["memsnap", ""])))
        self.assertEqual(["snapshot"], ask(["memsnap", "sna"]))
        self.assertEqual(["snapshot"], ask(["memsnap", "--color", "never", "-v", "sna"]))
        self.assertEqual(["always", "auto", "never"], sorted(ask(["memsnap", "--color", ""])))
        self.assertEqual(["--largest"], ask(["memsnap", "roots", "--larg"]))
        self.assertEqual(["--largest"], ask(["memsnap", "why", "--larg"]))
        self.assertEqual([], ask(["memsnap", "tree", "--larg"]))
        self.assertEqual(["hash", "names", "none", "prefix="], sorted(ask(["memsnap", "attach", "--strings", ""])))
        self.assertEqual(["malloc,python"], ask(["memsnap", "attach", "--allocators", "malloc,py"]))
        self.assertEqual(["diff"], ask(["memsnap", "help", "dif"]))
        self.assertEqual(["root"], [name for name in ask(["memsnap", "ps", "-u", "roo"]) if name == "root"])
        self.assertEqual([], ask(["memsnap", "summary", "--min", ""]))
        for name in ("one.msnap", "two.txt"):
            (self.folder / name).touch()
        self.assertEqual(["one.msnap"], [name for name in ask(["memsnap", "tree", "on"])])
        with Target("import os\nos.write(1, b'ready\\n')\nos.read(0, 1)\n") as target:
            for words in (["snapshot", ""], ["summary", ""], ["ps", "--tree", ""], ["attach", "-q", "--for", "1s", ""]):
                self.assertIn(str(target.pid), ask(["memsnap", *words]))

    @needs("bash")
    def test_bash(self):
        made = self.made("bash")
        subprocess.run(["bash", "-n", made], check=True)

        def ask(words):
            done = subprocess.run(["bash", "--norc", "-c", ASK_BASH, "bash", made, *words], cwd=self.folder, env=ENVIRONMENT, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
            self.assertEqual((0, ""), (done.returncode, done.stderr))
            return done.stdout.split()

        self.check_shell(ask)
        self.assertEqual(["never"], ask(["memsnap", "--color", "=", "ne"]))
        self.assertEqual(["--color=never"], ask(["memsnap", "--color=ne"]))
        self.assertEqual(["auto", "freeze"], ask(["memsnap", "attach", "--method", "="])[:2])
        for command in commands():
            self.assertLessEqual(options_of(command), set(ask(["memsnap", command, "--"])))

    @needs("bash")
    def test_bash_at_a_terminal(self):
        made = self.made("bash")
        shell = Terminal(self, ["bash", "--norc", "--noprofile", "-i"], self.folder)
        shell.expect(r"\$ ")
        shell.type("bind 'set enable-bracketed-paste off'; source ./%s; echo so''urced\n" % made.name, "sourced")
        shell.type("memsnap sna\t", "memsnap snapshot ")
        shell.type("--meth\t", "--method ")
        shell.type("fre\t", "freeze ")

    @needs("zsh")
    def test_zsh_at_a_terminal(self):
        made = self.made("zsh")
        subprocess.run(["zsh", "-n", made], check=True)
        (self.folder / "one.msnap").touch()
        shell = Terminal(self, ["zsh", "-f", "-i"], self.folder)
        shell.type("PROMPT='> ' fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; unsetopt zle_bracketed_paste; echo lo''aded\n", "loaded\r?\n")
        shell.type("memsnap sna\t", "snapshot ")
        shell.type("--meth\t", "--method=?")
        shell.type("fre\t", "freeze")
        shell.type("\x15memsnap --color nev\t", "never ")
        shell.type("why --larg\t", "largest ")
        shell.type("on\t", "one.msnap")
        shell.type("\x15memsnap attach --allocators malloc,py\t", "malloc,python")
        with Target("import os\nos.write(1, b'ready\\n')\nos.read(0, 1)\n") as target:
            number = str(target.pid)
            shell.type("\x15memsnap summary %s\t" % number[:-1], r"\b%s\b" % number)  # completed, or one of those listed

    @needs("fish")
    def test_fish(self):
        made = self.made("fish")

        def ask(words):
            script = "source %s; complete -C '%s'" % (made, " ".join(words))
            done = subprocess.run(["fish", "--no-config", "-c", script], cwd=self.folder, env={**ENVIRONMENT, "HOME": str(self.folder)},
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertEqual((0, ""), (done.returncode, done.stderr))
            return [line.split("\t")[0] for line in done.stdout.splitlines()]

        self.check_shell(ask)
        self.assertEqual(["--color=never"], ask(["memsnap", "--color=ne"]))
        for command in commands():
            self.assertLessEqual(options_of(command), set(ask(["memsnap", command, "--"])))

    def test_zsh_and_the_manual_page_have_every_option(self):
        zsh, manual = self.made("zsh").read_text(), memsnap("help", "--man").out
        for command in commands():
            of_command = zsh.split("\n    %s" % command)[-1].split("\n      ;;")[0]
            in_manual = manual.split("\n.SS %s\n" % command)[1].split("\n.SS ")[0]
            for option in options_of(command) - options_of("info"):
                self.assertRegex(of_command, "'[^']*%s=?\\[" % option)
                self.assertIn(option.replace("-", "\\-"), in_manual)


class ManualPage(unittest.TestCase):
    @needs("man")
    def test_man_shows_it_without_a_warning(self):
        page = memsnap("help", "--man").out
        shown = subprocess.run(["man", "--warnings", "--local-file", "-"], input=page, env={**ENVIRONMENT, "MANWIDTH": "100", "MANPAGER": "cat"},
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual((0, ""), (shown.returncode, shown.stderr))
        text = re.sub(".\b", "", shown.stdout)
        for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "GLOBAL OPTIONS", "COMMANDS", "EXIT STATUS", "ENVIRONMENT", "FILES"):
            self.assertRegex(text, r"(?m)^%s$" % section)
        self.assertIn("--strings none|names|prefix=N|hash", text)

    @needs("mandoc")
    def test_mandoc_finds_nothing_wrong(self):
        page = memsnap("help", "--man").out
        linted = subprocess.run(["mandoc", "-T", "lint", "-W", "warning"], input=page, stdout=subprocess.PIPE, text=True)
        self.assertEqual((0, ""), (linted.returncode, linted.stdout))


if __name__ == "__main__":
    harness.main()
