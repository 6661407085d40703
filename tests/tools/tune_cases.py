# tests/tools/tune_cases.py -- mhc-tune: what it measures, stores, takes in and gives out. No time decides a test.
import concurrent.futures
import json
import math
import os

import numpy as np
from support import ToolCase

HEAD = "target,operator,n_streams,hidden_dim,dtype,block,vectors,groups,resident,us,default_us"
QUICK = ["--target", "host", "--warmup", "0", "--iters", "2"]
TINY = ["--shapes", "4x512xbf16", "--tokens", "3,5"]


class Tune(ToolCase):
    def setUp(self):
        super().setUp()
        self.cache = self.path("cache")
        self.table = os.path.join(self.cache, "mhc_tuned.csv")

    def tune(self, *args):
        return self.good_json("mhc-tune", *args, cache=self.cache)

    def lines(self, file):
        with open(file) as stream:
            return stream.read().splitlines()

    def put(self, *lines):
        return self.good("mhc-tune", "--import", self.write("table.csv", "\n".join([HEAD, *lines]) + "\n"), cache=self.cache)

    def plan_of(self, op, *args):
        launches = self.good_json("mhc-show", "--op", op, "--target", "host", *args, cache=self.cache)["launches"]
        return launches[0]["plan"]


class Measurements(Tune):
    def test_fields_and_arithmetic(self):
        report = self.tune(*QUICK, "--op", "post_fwd,expand_fwd", *TINY)
        self.assertRegex(report["version"], r"^\d+\.\d+\.\d+$")
        self.assertRegex(report["date"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual((report["target"], report["table"]), ("host", self.table))
        self.assertEqual([result["op"] for result in report["results"]], ["post_fwd", "expand_fwd"])
        for result in report["results"]:
            self.assertEqual((result["n_streams"], result["hidden_dim"], result["dtype"], result["tokens"]), (4, 512, "bf16", [3, 5]))
            candidates = result["candidates"]
            self.assertEqual(candidates[0]["choices"], {})
            self.assertEqual(candidates[0]["ratio_to_default"], 1)
            self.assertTrue(2 <= len(candidates) <= 16)
            seen = [json.dumps(one["choices"]) for one in candidates]
            self.assertEqual(len(set(seen)), len(seen))
            for one in candidates:
                self.assertEqual(len(one["median_us"]), 2)
                self.assertGreater(min(one["median_us"]), 0)
                ratio = math.exp(sum(math.log(a / b) for a, b in zip(one["median_us"], candidates[0]["median_us"])) / 2)
                self.assertAlmostEqual(one["ratio_to_default"], ratio, delta=1e-9 * ratio)
            self.assertGreaterEqual(result["spread_of_default"], 0)
            self.assertEqual(result["wins"], candidates[result["best"]]["ratio_to_default"] < 1 - result["spread_of_default"])
            self.assertEqual(result["stored"], result["wins"])
        stored = [result for result in report["results"] if result["stored"]]
        rows = self.lines(self.table)[1:] if os.path.exists(self.table) else []
        self.assertEqual([row.split(",")[1] for row in rows], [result["op"] for result in stored])

    def test_all_takes_the_operators_that_have_a_choice(self):
        report = self.tune(*QUICK, "--op", "all", "--shapes", "512", "--tokens", "2", "--no-store")
        ops = [result["op"] for result in report["results"]]
        self.assertIn("post_fwd", ops)
        self.assertIn("rmsnorm_fwd", ops)
        self.assertFalse([op for op in ops if op.endswith("_bwd") or op == "sinkhorn_fwd"])
        self.assertFalse(os.path.exists(self.table))
        self.assertFalse([result for result in report["results"] if result["stored"]])

    def test_an_operator_without_choices(self):
        text = self.good("mhc-tune", *QUICK, "--op", "sinkhorn_fwd", "--shapes", "8", "--tokens", "2", cache=self.cache)
        self.assertIn("nothing to choose", text)

    def test_shapes(self):
        report = self.tune(*QUICK, "--op", "expand_fwd", "--shapes", "64,2x64,1x64xfp32", "--tokens", "2", "--no-store")
        self.assertEqual([(r["n_streams"], r["hidden_dim"], r["dtype"]) for r in report["results"]],
                         [(4, 64, "bf16"), (2, 64, "bf16"), (1, 64, "fp32")])

    def test_the_table_for_people(self):
        text = self.good("mhc-tune", *QUICK, "--op", "post_fwd", *TINY, cache=self.cache)
        for word in ("host: ", "candidate", "T=3 us", "T=5 us", "x default", "vectors=16", "two timings of the default differ by"):
            self.assertIn(word, text)

    def test_help(self):
        text = self.good("mhc-tune", "--help")
        for flag in ("--op", "--target", "--shapes", "--tokens", "--set", "--warmup", "--iters", "--no-store", "--import", "--export",
                     "--json", "--cache-dir", "Example:", "Exit codes:"):
            self.assertIn(flag, text)
        self.assertTrue(text.isascii())
        self.assertRegex(self.good("mhc-tune", "--version"), r"^mhc-tune \d+\.\d+\.\d+\n$")


class Tables(Tune):
    def test_imported_choices_are_planned_by_and_change_no_bit(self):
        shape = ["--hidden-dim", "512", "--n-streams", "4", "--dtype", "bf16"]
        self.assertIn("chunk=512 ", self.plan_of("expand_fwd", *shape))
        self.assertIn("1 lines stored", self.put("host,expand_fwd,4,512,bf16,,16,,,1.5,2.5"))
        self.assertIn("chunk=256 ", self.plan_of("expand_fwd", *shape))
        self.assertIn("chunk=512 ", self.plan_of("expand_fwd", "--hidden-dim", "512", "--n-streams", "2", "--dtype", "bf16"))

        arrays = {"y": self.normal(5, 512), "x": self.normal(5, 4, 512), "post": self.normal(5, 4), "mix": self.normal(5, 4, 4)}
        before, _ = self.evaluate("post_fwd", arrays, "dtype=fp32", cache=self.cache)
        self.put("host,post_fwd,4,512,fp32,,16,4,,,")
        after, _ = self.evaluate("post_fwd", arrays, "dtype=fp32", cache=self.cache)
        self.assertIn("chunk=256 ", self.plan_of("post_fwd", "--hidden-dim", "512", "--n-streams", "4", "--dtype", "fp32"))
        self.assertEqual(before["out"].tobytes(), after["out"].tobytes())
        self.assertGreater(np.abs(before["out"]).max(), 0)

    def test_export_is_what_was_imported(self):
        rows = ["gfx942,post_fwd,4,4096,bf16,128,2,,,12.25,13.50", "host,expand_fwd,4,512,bf16,,16,,,,"]
        self.put(*rows)
        report = self.tune("--export", self.path("a/folder/out.csv"))
        self.assertEqual((report["exported"], report["results"]), (2, []))
        self.assertEqual(self.lines(self.path("a/folder/out.csv")), [HEAD, *rows])
        self.put("gfx942,post_fwd,4,4096,bf16,64,,,,,")
        self.assertEqual(self.lines(self.table), [HEAD, rows[1], "gfx942,post_fwd,4,4096,bf16,64,,,,,"])
        self.good("mhc-tune", "--import", self.path("a/folder/out.csv"), "--export", self.path("b.csv"), cache=self.path("other"))
        self.assertEqual(self.lines(self.path("b.csv")), [HEAD, *rows])

    def test_tools_that_store_at_once_take_turns(self):
        files = [self.write(f"{C}.csv", f"{HEAD}\nsm_90,post_fwd,4,{C},bf16,64,,,,,\n") for C in range(64, 576, 64)]
        with concurrent.futures.ThreadPoolExecutor(len(files)) as pool:
            list(pool.map(lambda file: self.good("mhc-tune", "--import", file, cache=self.cache), files))
        rows = self.lines(self.table)[1:]
        self.assertEqual(sorted(int(row.split(",")[3]) for row in rows), list(range(64, 576, 64)))

    def test_bad_lines_are_said_and_the_others_stored(self):
        file = self.write("table.csv", "\n".join([HEAD, "gfx942,post_fwd,4,4096,bf16,48,,,,,", "host,expand_fwd,4,512,bf16,,16,,,,",
                                                  "host,expand,4,512,bf16,,16,,,,"]) + "\n")
        done = self.run_tool("mhc-tune", "--import", file, cache=self.cache)
        self.assertEqual(done.returncode, 1)
        errors = done.stderr.splitlines()
        self.assertEqual(len(errors), 2, done.stderr)
        for error, words in zip(errors, (["line 2", "block = 48", "64 to 512"], ["line 4", "expand", "expand_fwd"])):
            self.assertTrue(error.startswith(f"mhc-tune: --import {file}: "))
            for word in words:
                self.assertIn(word, error)
        self.assertEqual(self.lines(self.table), [HEAD, "host,expand_fwd,4,512,bf16,,16,,,,"])

    def test_a_bad_line_of_the_users_table_warns_other_tools_and_stops_this_one(self):
        os.mkdir(self.cache, 0o700)
        with open(self.table, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(HEAD + "\nhost,expand_fwd,4,512,bf16,,many,,,,\n")
        self.bad(2, ["mhc_tuned.csv", "line 2", "vectors = 'many'", "0 to 4096"], "mhc-tune", "--target", "host", "--op", "expand_fwd",
                 "--cache-dir", self.cache, env={"MHC_LOG_LEVEL": "off"})
        done = self.run_tool("mhc-bench", *QUICK, "--op", "expand_fwd", "--tokens", "2", "--hidden-dim", "512", cache=self.cache)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr.count("vectors = 'many'"), 1, done.stderr)


class Refusals(Tune):
    def refused(self, words, *args, code=2, **options):
        self.bad(code, words, "mhc-tune", *args, cache=self.cache, **options)
        self.assertFalse(os.path.exists(self.table))

    def test_values(self):
        for shape in ("0", "x", "4x", "4x0", "33x64", "4x64xint8", "4x64xbf16x1", "-1x64", "4x16777217"):
            self.refused(["--shapes", f"'{shape}'", "N_STREAMSxHIDDEN_DIM"], "--target", "host", f"--shapes={shape}")
        self.refused(["--shapes ''"], "--target", "host", "--shapes", "64,")
        self.refused(["post_fw", "post_fwd"], "--target", "host", "--op", "post_fw")
        self.refused(["--tokens", "0", "1 to"], "--target", "host", "--tokens", "0")
        self.refused(["--iters", "0"], "--target", "host", "--iters", "0")
        self.refused(["colour", "sinkhorn_eps"], "--target", "host", "--set", "colour=red")
        self.refused("gfx12345", "--target", "gfx12345")
        self.refused("mhc-tune --help", "--colour", "red")

    def test_files(self):
        self.refused(["none.csv", "No such file"], "--import", self.path("none.csv"))
        self.refused(["--import", self.dir], "--import", self.dir)
        self.refused(["empty.csv", "no lines"], "--import", self.write("empty.csv", HEAD + "\n"))
        self.refused(["out.csv", "no directory"], "--export", os.path.join(self.write("file", ""), "out.csv"))

    def test_a_place_that_is_not_to_be_written(self):
        self.refused(["MHC_JIT_READONLY", "--no-store"], "--target", "host", "--op", "expand_fwd", *TINY,
                     env={"MHC_JIT_READONLY": "1"})

    def test_emulated_targets_have_no_times(self):
        done = self.run_tool("mhc-tune", "--target", "emu:gfx942", "--op", "expand_fwd", *TINY, cache=self.cache)
        if "the emulator is not installed" in done.stderr:
            self.skipTest("no emulator")
        self.refused(["emu:gfx942", "no times", "mhc-bench"], "--target", "emu:gfx942", "--op", "expand_fwd", *TINY)
