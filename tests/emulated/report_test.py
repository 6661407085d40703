# tests/emulated/report_test.py -- tools/amd-report from its command line to the file it leaves, on a GPU that is the emulator.
#
# Arguments: the repository, the build folder, the folder of the look-alike HIP runtime.
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest

ROOT, BUILD, LOOK_ALIKE = sys.argv[1:4]


class Report(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="mhc_report_test_")
        self.addCleanup(folder.cleanup)
        self.dir = folder.name
        self.file = os.path.join(self.dir, "report.tar.gz")

    def report(self, *args, build=BUILD, has_gpu=True):
        environment = dict(os.environ)
        if has_gpu:
            environment["LD_LIBRARY_PATH"] = LOOK_ALIKE
        command = [os.path.join(ROOT, "tools", "amd-report"), "--quick", "--build", build, "--output", self.file, *args]
        return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=1500, cwd=self.dir)

    def contents(self):
        with tarfile.open(self.file) as archive:
            return {os.path.basename(one.name): archive.extractfile(one).read().decode() for one in archive if one.isfile()}

    def test_everything_is_in_it(self):
        done = self.report()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        found = self.contents()
        self.assertEqual(set(found), {"system.txt", "tests.txt", "bench.json", "bench.txt", "resources.txt"})
        self.assertIn("gfx942", found["system.txt"])
        self.assertIn("Status: SUCCESS!", found["tests.txt"])
        self.assertRegex(found["tests.txt"], r"pre_fwd +[1-9]\d* +0 ")
        rows = json.loads(found["bench.json"])["rows"]
        self.assertEqual([(row["op"], row["target"]) for row in rows], [("post_fwd", "gfx942"), ("pre_fwd", "gfx942")])
        self.assertTrue(all(row["median_us"] > 0 and row["floor_us"] > 0 for row in rows))
        self.assertIn("waves/SIMD", found["resources.txt"])

    def test_what_fails_is_said_and_the_report_is_made(self):
        planted = os.path.join(self.dir, "build")
        os.makedirs(os.path.join(planted, "bin"))
        for name in ("mhc-show", "mhc-bench"):
            with open(os.path.join(planted, "bin", name), "w") as script:
                script.write(f'#!/bin/sh\nexec {BUILD}/bin/{name} "$@"\n')
        with open(os.path.join(planted, "bin", "mhc_gpu_tests"), "w") as script:
            script.write("#!/bin/sh\necho 'post_fwd n=4: out[0] is 1, the reference 2'\nexit 1\n")
        for name in os.listdir(os.path.join(planted, "bin")):
            os.chmod(os.path.join(planted, "bin", name), 0o755)
        done = self.report(build=planted)
        self.assertEqual(done.returncode, 1)
        self.assertIn("FAILED", done.stdout)
        self.assertIn("the reference 2", done.stdout)
        self.assertIn("error: something above FAILED", done.stderr)
        self.assertIn("the reference 2", self.contents()["tests.txt"])
        self.assertEqual(len(json.loads(self.contents()["bench.json"])["rows"]), 2)  # the rest goes on

    def test_without_a_gpu_one_line_says_why(self):
        done = self.report(has_gpu=False)
        if done.returncode == 0:
            self.skipTest("an AMD GPU is here")
        self.assertRegex(done.stderr, r"^error: no AMD GPU can be used here: .+\n$")
        self.assertFalse(os.path.exists(self.file))

    def test_bad_arguments(self):
        for args, word in ((["--frob"], "--frob"), (["--output", "x.zip"], ".tar.gz"), (["--output"], "--output needs"),
                           (["--output", "/no/such/x.tar.gz"], "/no/such"), (["--build", "/no/such"], "bin/mhc-show")):
            done = self.report(*args)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, rf"^error: [^\n]*{word}[^\n]*\n$")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
