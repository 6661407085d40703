# tests/tools/support.py -- a folder of its own for each test, a clean environment, and one way to run a tool.
import json
import os
import pty
import shutil
import subprocess
import tempfile
import unittest

import numpy as np

BIN_DIR = os.environ["MHC_TEST_BIN_DIR"]
# Whatever the caller's shell says must not change what is tested.
OWN_VARIABLES = ("MHC_", "AITER_", "GPU_ARCHS", "PREBUILD_KERNELS", "MAX_JOBS", "XDG_CACHE_HOME")
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(OWN_VARIABLES)}

_shared = None


def shared_cache():
    """One database for all tests of a run that are not about databases: every kernel is compiled once."""
    global _shared
    if _shared is None:
        _shared = tempfile.TemporaryDirectory(prefix="mhc_tools_cache_")
    return _shared.name


class ToolCase(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="mhc_tools_test_")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.rng = np.random.default_rng(20251224)

    def path(self, name):
        return os.path.join(self.dir, name)

    def save(self, name, array):
        """Writes NAME.npy as float32 and returns `NAME=FILE` for --in."""
        np.save(self.path(name + ".npy"), np.asarray(array, dtype=np.float32, order="C"))
        return f"{name}={self.path(name + '.npy')}"

    def write(self, name, text):
        with open(self.path(name), "wb" if isinstance(text, bytes) else "w") as file:
            file.write(text)
        return self.path(name)

    def normal(self, *shape, scale=1.0):
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def run_tool(self, *args, env=None, cache=None, **process_options):
        """The finished process. A signal, a traceback of a sanitizer or of the C++ runtime fails the test at once."""
        environment = dict(CLEAN, MHC_JIT_DIR=cache or shared_cache(), **(env or {}))
        command = [os.path.join(BIN_DIR, args[0]), *map(str, args[1:])]
        pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        done = subprocess.run(command, env=environment, text=True, timeout=300,
                              **{"cwd": self.dir, **pipes, **process_options})
        self.assertGreaterEqual(done.returncode, 0, f"ended by a signal: {command}\n{done.stderr}")
        for mark in ("terminate called", "AddressSanitizer", "runtime error:", "LeakSanitizer"):
            self.assertNotIn(mark, done.stderr)
        return done

    def on_terminal(self, answer, *args, cache=None):
        """Runs a tool with a terminal as standard input and error, and types the answer: exit code, output, terminal's text."""
        master, terminal = pty.openpty()
        try:
            command = [os.path.join(BIN_DIR, args[0]), *map(str, args[1:])]
            process = subprocess.Popen(command, env=dict(CLEAN, MHC_JIT_DIR=cache or shared_cache()), cwd=self.dir, stdin=terminal,
                                       stdout=subprocess.PIPE, stderr=terminal, text=True)
            os.write(master, answer.encode())
            output = process.communicate(timeout=300)[0]
            return process.returncode, output, os.read(master, 1 << 16).decode()
        finally:
            os.close(terminal)
            os.close(master)

    def good(self, *args, **options):
        done = self.run_tool(*args, **options)
        self.assertEqual(done.returncode, 0, f"{args}\n{done.stderr}{done.stdout}")
        return done.stdout

    def good_json(self, *args, **options):
        return json.loads(self.good(*args, "--json", **options))

    def bad(self, code, words, *args, **options):
        """Fails with `code`, nothing on standard output, and one line on standard error that has every word."""
        done = self.run_tool(*args, **options)
        self.assertEqual(done.returncode, code, f"{args}\n{done.stderr}{done.stdout}")
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, f"not one line: {args}\n{done.stderr}")
        self.assertTrue(done.stderr.startswith(args[0] + ": "), done.stderr)
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, done.stderr)
        return done.stderr

    def evaluate(self, op, inputs, *settings, cache=None, extra=()):
        """Runs mhc-eval on arrays by name; the results by name, and the report."""
        given = [part for name, array in inputs.items() for part in ("--in", self.save(name, array))]
        chosen = [part for setting in settings for part in ("--set", setting)]
        report = self.good_json("mhc-eval", op, "--target", "host", *given, *chosen, "--out-dir", self.path("out"), *extra,
                                cache=cache)
        return {name: np.load(out["file"]) for name, out in report["outputs"].items()}, report
