# tests/tools/prebuild_cases.py -- mhc-prebuild: levels, shapes, variables, exit codes, coverage, and that its databases serve.
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import unittest

from support import ToolCase

SHAPES = """# two small shapes
hidden_dim=64 n_streams=4 dtype=bf16 operators=expand_fwd,post_fwd
hidden_dim=72 n_streams=2 preset=deepseek dtype=fp16 operators=apply_mix_fwd   # a comment
"""


class Prebuild(ToolCase):
    def setUp(self):
        super().setUp()
        self.shapes = self.write("shapes.txt", SHAPES)
        self.out = self.path("out")

    def build(self, *args, archs="gfx942", **options):
        return self.good_json("mhc-prebuild", "--archs", archs, "--shapes", self.shapes, "--out", self.out, *args, **options)

    def file(self, arch="gfx942"):
        return os.path.join(self.out, f"mhc_{arch}.db")

    def test_level_0_is_jit_only(self):
        for env, args in (({}, ["--level", "0"]), ({"PREBUILD_KERNELS": "0"}, []), ({"MHC_PREBUILD_KERNELS": "0", "PREBUILD_KERNELS": "2"}, [])):
            self.assertIn("JIT only", self.good("mhc-prebuild", "--out", self.out, *args, env=env))
        report = self.good_json("mhc-prebuild", "--level", "0")
        self.assertEqual((report["level"], report["complete"], report["targets"]), (0, True, []))
        self.assertFalse(os.path.exists(self.out))

    def test_shapes_for_two_architectures(self):
        report = self.build(archs="gfx942; gfx90a")
        self.assertTrue(report["complete"])
        self.assertEqual([t["target"] for t in report["targets"]], ["gfx942", "gfx90a"])
        for target in report["targets"]:
            self.assertEqual((target["kernels_expected"], target["kernels_produced"], target["kernels_failed"]), (3, 3, 0))
            self.assertEqual(target["bytes"], os.path.getsize(target["database"]))
            with open(target["manifest"]) as file:
                manifest = json.load(file)
            self.assertEqual(len(manifest["kernels"]), 3)
        self.assertEqual(sorted(os.listdir(self.out)), [f"mhc_{a}.{e}" for a in ("gfx90a", "gfx942") for e in ("db", "json")])
        self.assertEqual(len(self.good_json("mhc-cache", "list", "--database", self.file())["objects"]), 3)
        self.assertEqual(self.good_json("mhc-cache", "verify", "--database", self.file())["damaged"], [])

    def files_in(self, folder):
        found = {}
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "rb") as file:
                found[name] = file.read()
        return found

    def test_two_runs_give_equal_files(self):
        here, there = self.path("here"), self.path(os.path.join("a", "longer", "way", "there"))
        for out, jobs, cache in ((here, "1", "one"), (there, "4", "another")):
            self.good("mhc-prebuild", "--archs", "gfx942;host:x86-64-v2", "--shapes", self.shapes, "--out", out, "--jobs", jobs,
                      cache=self.path(cache), cwd=self.dir if jobs == "1" else "/")
        self.assertEqual(sorted(self.files_in(here)), [f"mhc_{a}.{e}" for a in ("gfx942", "host:x86-64-v2") for e in ("db", "json")])
        self.assertEqual(self.files_in(here), self.files_in(there))
        manifest = json.loads(self.files_in(here)["mhc_gfx942.json"])
        self.assertRegex(manifest["compiler"], r"^(clang|hiprtc) \d+")
        self.assertEqual(manifest["database_sha256"], hashlib.sha256(self.files_in(here)["mhc_gfx942.db"]).hexdigest())

    def openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    @unittest.skipUnless(shutil.which("openssl"), "needs the openssl program, which is to agree")
    def test_a_signature_is_openssls_and_is_asked_for_by_a_key(self):
        key, public = self.path("key.pem"), self.path("public.pem")
        self.openssl("genpkey", "-algorithm", "ed25519", "-out", key)
        self.openssl("pkey", "-in", key, "-pubout", "-out", public)
        target = self.build("--sign", key)["targets"][0]
        self.assertEqual(target["signature"], target["manifest"] + ".sig")
        verify = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public, "-in", target["manifest"], "-sigfile"]
        self.openssl(*verify, target["signature"])
        env = {"MHC_JIT_EXTRA_RO": self.out, "MHC_JIT_STRICT": "1", "MHC_JIT_PREBUILT_KEY": public}
        call = ["mhc-show", "--op", "post_fwd", "--hidden-dim", "64", "--dtype", "bf16", "--target", "gfx942"]
        self.good(*call, env=env, cache=self.path("empty"))
        self.good("mhc-cache", "verify", "--database", self.file())

        # One that openssl made is as good; one of another key, or none, is not.
        self.openssl("pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", target["manifest"], "-out", target["signature"])
        self.good(*call, env=env, cache=self.path("empty"))
        self.openssl("genpkey", "-algorithm", "ed25519", "-out", self.path("other.pem"))
        self.good("mhc-prebuild", "--merge", self.file(), "--out", self.out, "--sign", self.path("other.pem"))
        done = self.run_tool(*call, env=env, cache=self.path("empty"))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(target["signature"] + " is not the demanded key's", done.stderr)
        os.remove(target["signature"])
        done = self.run_tool(*call, env=env, cache=self.path("empty"))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(self.file() + " is not signed", done.stderr)
        self.good(*call, env=dict(env, MHC_JIT_PREBUILT_KEY=""), cache=self.path("empty"))

        self.bad(2, "MHC_JIT_PREBUILT_KEY", *call, env=dict(env, MHC_JIT_PREBUILT_KEY=key))
        for wrong in (public, self.path("absent.pem"), self.shapes):
            self.bad(2, "key" if wrong != self.path("absent.pem") else "absent.pem", "mhc-prebuild", "--archs", "gfx942", "--shapes",
                     self.shapes, "--out", self.path("none"), "--sign", wrong)
        self.assertFalse(os.path.exists(self.path("none")))

    def build_parts(self):
        """Two databases, each with a kernel that the other lacks and one that both have."""
        parts = []
        for name, operators in (("one", "expand_fwd,post_fwd"), ("two", "post_fwd,rmsnorm_fwd")):
            shapes = self.write(name + ".txt", f"hidden_dim=64 operators={operators}\n")
            self.good("mhc-prebuild", "--archs", "gfx942", "--shapes", shapes, "--out", self.path(name))
            parts.append(os.path.join(self.path(name), "mhc_gfx942.db"))
        return parts

    def test_merge_is_the_same_in_any_order(self):
        one, two = self.build_parts()
        report = self.good_json("mhc-prebuild", "--merge", one, two, "--out", self.out)
        self.assertEqual((report["kernels_produced"], report["complete"]), (3, True))
        self.good("mhc-prebuild", "--merge", two, one, two, "--out", self.path("again"))
        shapes = self.write("whole.txt", "hidden_dim=64 operators=expand_fwd,post_fwd,rmsnorm_fwd\n")
        self.good("mhc-prebuild", "--archs", "gfx942", "--shapes", shapes, "--out", self.path("whole"))
        for folder in ("again", "whole"):
            self.assertEqual(self.files_in(self.out), self.files_in(self.path(folder)))
        for flags in (["--archs", "gfx942"], ["--check"], ["--shapes", shapes]):
            self.bad(2, "--merge", "mhc-prebuild", "--out", self.path("none"), *flags, "--merge", one)

    def test_merge_names_the_key_that_two_machines_compiled_differently(self):
        one, two = self.build_parts()
        os.remove(os.path.join(self.path("two"), "mhc_gfx942.json"))
        symbol = next(o for o in self.good_json("mhc-cache", "list", "--database", two)["objects"] if o["family"] == "post")
        self.good("mhc-cache", "show", symbol["key"], "--database", two, "--extract", self.path("post.co"))
        with open(self.path("post.co"), "rb") as file:
            code = file.read() + b"\0"  # as good an object, of other bytes
        os.chmod(two, 0o644)
        with contextlib.closing(sqlite3.connect(two)) as database, database:
            database.execute("INSERT INTO code_blob VALUES(?, 0, ?, ?)", (hashlib.sha256(code).digest(), len(code), code))
            database.execute("UPDATE code_object SET blob_sha = ? WHERE family = 'post'", (hashlib.sha256(code).digest(),))
        for files in ((one, two), (two, one)):
            self.bad(2, [symbol["key"], symbol["symbol"], one, two], "mhc-prebuild", "--merge", *files, "--out", self.out)
        with contextlib.closing(sqlite3.connect(two)) as database, database:
            database.execute("UPDATE code_object SET symbol = 'mhc_other' WHERE family = 'post'")
        self.bad(2, [two, "cannot be merged"], "mhc-prebuild", "--merge", two, "--out", self.out)
        self.assertFalse(os.path.exists(self.out))

    def test_variables_and_flags(self):
        call = ["mhc-prebuild", "--shapes", self.shapes, "--out", self.out]
        for env, flags, archs in (({"GPU_ARCHS": "gfx90a"}, [], ["gfx90a"]), ({"GPU_ARCHS": "gfx000", "MHC_GPU_ARCHS": "gfx942"}, [], ["gfx942"]),
                                  ({"GPU_ARCHS": "gfx000"}, ["--archs", "gfx942,gfx90a"], ["gfx942", "gfx90a"])):
            report = self.good_json(*call, *flags, env=dict(env, MAX_JOBS="2"))
            self.assertEqual([t["target"] for t in report["targets"]], archs)

    def test_check_proves_coverage(self):
        self.build()
        self.assertTrue(self.build("--check")["complete"])
        self.assertIn("none missing", self.good("mhc-prebuild", "--archs", "gfx942", "--shapes", self.shapes, "--out", self.out, "--check"))
        more = self.write("more.txt", SHAPES + "hidden_dim=80 operators=rmsnorm_fwd\n")
        done = self.run_tool("mhc-prebuild", "--archs", "gfx942", "--shapes", more, "--out", self.out, "--check")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("1 missing", done.stdout)
        self.assertIn("rmsnorm", done.stdout)
        done = self.run_tool("mhc-prebuild", "--archs", "gfx90a", "--shapes", more, "--out", self.out, "--check")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertFalse(os.path.exists(self.file("gfx90a")), "--check writes nothing")

    def test_check_sees_a_missing_row(self):
        self.build()
        os.chmod(self.file(), 0o644)
        database = sqlite3.connect(self.file())
        database.execute("DELETE FROM code_object WHERE family = 'post'")
        database.commit()
        database.close()
        done = self.run_tool("mhc-prebuild", "--archs", "gfx942", "--shapes", self.shapes, "--out", self.out, "--check", "--json")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertFalse(json.loads(done.stdout)["complete"])

    def test_operators_choose_from_the_catalogue_or_the_shapes(self):
        all_forward = self.write("one.txt", "hidden_dim=64 dtype=bf16\n")
        call = ["mhc-prebuild", "--archs", "gfx942", "--out", self.out, "--shapes", all_forward]
        families = lambda: {o["family"] for o in self.good_json("mhc-cache", "list", "--database", self.file())["objects"]}
        self.good(*call, "--operators", "expand_fwd")
        self.assertEqual(families(), {"expand"})
        done = self.run_tool(*call, "--operators", "forward,tune")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("no tune kernels exist yet", done.stderr)
        self.assertTrue({"expand", "post", "sinkhorn", "rmsnorm", "apply_mix", "layer"} <= families())
        self.assertFalse({family for family in families() if family.endswith("_bwd")})
        self.good(*call, "--operators", "backward")
        self.assertTrue({"expand_bwd", "post_bwd", "sinkhorn_bwd", "pre_tiles_bwd", "static_once_bwd"} <= families())
        self.good(*call, "--level", "1")
        self.assertTrue({"post", "post_bwd"} <= families())
        self.good(*call, "--level", "3")
        self.assertTrue("post" in families() and "layer" not in families())

    def test_an_architecture_no_compiler_here_knows(self):
        unable = [t["name"] for t in self.good_json("mhc-show", "--toolchains")["targets"]
                  if not t["can_compile"] and t["name"].startswith("gfx")]
        if not unable:
            self.skipTest("every architecture compiles here")
        done = self.run_tool("mhc-prebuild", "--archs", f"gfx942;{unable[0]}", "--shapes", self.shapes, "--out", self.out)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(unable[0], done.stderr)
        self.assertTrue(os.path.exists(self.file()), "the others are built all the same")

    def test_the_database_serves_without_a_compiler(self):
        self.build()
        env = {"MHC_JIT_EXTRA_RO": self.out, "MHC_JIT_STRICT": "1"}
        call = ["mhc-show", "--op", "post_fwd", "--hidden-dim", "64", "--dtype", "bf16", "--target", "gfx942"]
        shown = self.good_json(*call, env=env, cache=self.path("empty"))
        self.assertEqual([launch["origin"] for launch in shown["launches"]], ["prebuilt"])
        self.bad(1, ["post", "the nearest that is stored is mhc_post_n4_c64_bf16", "(64 stored, 72 wanted)"], *[a if a != "64" else "72" for a in call], env=env, cache=self.path("empty"))

    def test_an_unwritable_folder(self):
        file = self.write("file", "")
        done = self.run_tool("mhc-prebuild", "--archs", "gfx942", "--shapes", self.shapes, "--out", os.path.join(file, "below"))
        self.assertIn(done.returncode, (1, 2))
        self.assertIn("below", done.stderr)

    def test_progress_is_one_line_rewritten_on_a_terminal(self):
        code, output, screen = self.on_terminal("", "mhc-prebuild", "--archs", "gfx942", "--shapes", self.shapes, "--out", self.out)
        self.assertEqual(code, 0)
        self.assertIn("3 of 3 kernel(s)", output)
        self.assertIn("\r[3/3] gfx942", screen)
        self.assertNotIn("\n", screen)
