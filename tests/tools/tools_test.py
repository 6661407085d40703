# tests/tools/tools_test.py -- runs each tool by command lines as a user types them: `tools_test.py BIN_DIR [GROUP ...]`.
"""Groups: eval, formulas, bad_input, show, cache, prebuild, bench, tune, suite; all of them when none is named. Exit code 77: not run, and why."""
import importlib
import os
import sys
import unittest

sys.dont_write_bytecode = True  # the source tree stays as it is
GROUPS = ("eval", "formulas", "bad_input", "show", "cache", "prebuild", "bench", "tune", "suite")


def main():
    if len(sys.argv) < 2 or not os.path.isdir(sys.argv[1]):
        sys.exit("usage: tools_test.py BIN_DIR [GROUP ...]   (BIN_DIR holds mhc-eval and the other tools)")
    try:
        import numpy  # noqa: F401
    except ImportError:
        print("not run: this python3 has no numpy; apt-get install python3-numpy")
        sys.exit(77)
    os.environ["MHC_TEST_BIN_DIR"] = os.path.abspath(sys.argv[1])
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    groups = sys.argv[2:] or GROUPS
    suite = unittest.TestSuite()
    for group in groups:
        if group not in GROUPS:
            sys.exit(f"unknown group {group}; groups are {', '.join(GROUPS)}")
        suite.addTests(unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(f"{group}_cases")))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
