# tests/tools/suite_cases.py -- tools/bench: its files, their arithmetic, comparisons and limits. No time decides anything.
import importlib.util
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as xml

from support import BIN_DIR, CLEAN, ToolCase, shared_cache

TOOLS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "tools")
QUICK = ["--target", "host", "--warmup", "0", "--iters", "2"]
TINY = ["--op", "post_fwd,sinkhorn_fwd,expand_fwd", "--tokens", "3,5", "--hidden-dim", "40"]


class Suite(ToolCase):
    def script(self, *args, tools=TOOLS, name="bench"):
        place = [] if name != "bench" or tools != TOOLS else ["--bin", BIN_DIR]
        return subprocess.run([sys.executable, os.path.join(tools, name), *place, *map(str, args)], text=True, cwd=self.dir, timeout=300,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=dict(CLEAN, MHC_JIT_DIR=shared_cache()))

    def bench(self, *args, code=0, **options):
        done = self.script(*QUICK, *args, "--output", self.path("out"), **options)
        self.assertEqual(done.returncode, code, done.stderr)
        with open(self.path("out/bench.json")) as file:
            return json.load(file), done.stdout

    def refused(self, words, *args, code=2, **options):
        done = self.script(*args, **options)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        for word in words:
            self.assertIn(word, done.stderr.splitlines()[-1])


class Files(Suite):
    def test_rows_and_their_arithmetic(self):
        report, text = self.bench(*TINY, "--set", "preset=deepseek")
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["bench.json", "bench.md", "roofline.svg"])
        self.assertEqual(report["target"], "host")
        self.assertRegex(report["date"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertTrue(report["command"].startswith("tools/bench "))
        self.assertEqual([(row["op"], row["tokens"]) for row in report["rows"]],
                         [(op, T) for op in ("post_fwd", "sinkhorn_fwd", "expand_fwd") for T in (3, 5)])
        for row in report["rows"]:
            self.assertAlmostEqual(row["ratio_to_floor"], row["median_us"] / row["floor_us"])
            self.assertAlmostEqual(row["share_of_copy"], row["gbps"] / row["copy_gbps"], delta=1e-9)
            self.assertEqual((row["settings"], row["peer"]), (["preset=deepseek"], None))
        post = report["rows"][0]
        self.assertAlmostEqual(post["flop_per_byte"], 40 * (4 + 2 * 16) / (9 * 40 * 2 + 20 * 4))
        self.assertIsNone(report["rows"][-1]["flop_per_byte"], "expand_fwd has no arithmetic that is counted")
        with open(self.path("out/bench.md")) as file:
            self.assertEqual(file.read(), text)
        self.assertIn("`mhc-bench --target host --op post_fwd,sinkhorn_fwd,expand_fwd --tokens 3,5 --hidden-dim 40 --set preset=deepseek`", text)
        self.assertIn("| operator | 3 x 40 | 5 x 40 |", text)
        self.assertIn(f"| `post_fwd` | {post['median_us']:.2f} / {post['floor_us']:.2f} = {post['ratio_to_floor']:.2f}, ", text)

    def test_the_roofline_has_a_point_an_operator_and_shape(self):
        report, _ = self.bench(*TINY, "--n-streams", "2,4")
        root = xml.parse(self.path("out/roofline.svg")).getroot()
        titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
        shown = [row for row in report["rows"] if row["flop_per_byte"]]
        self.assertEqual(len(titles), len(shown))
        self.assertEqual(len(shown), 8)
        for row in shown:
            self.assertTrue([title for title in titles if title.startswith(f"{row['op']} {row['tokens']} x 40")])
        words = " ".join(text.text for text in root.iter("{http://www.w3.org/2000/svg}text"))
        for word in ("FLOP a byte", "GB/s", "copy", "floor kernel", report["device"], "No roof of arithmetic was measured"):
            self.assertIn(word, words)
        for point in root.iter("{http://www.w3.org/2000/svg}circle"):
            self.assertTrue(0 <= float(point.get("cx")) <= 900 and 0 <= float(point.get("cy")) <= 560)

    def test_the_copy_in_the_build_folder_finds_the_tools_beside_it(self):
        tools = os.path.join(BIN_DIR, "..", "tools")
        report, _ = self.bench("--op", "expand_fwd", "--tokens", "2", "--hidden-dim", "8", tools=tools)
        self.assertEqual(len(report["rows"]), 1)

    def test_an_operator_that_fails_costs_no_other(self):
        report, text = self.bench("--op", "post_fwd,post_fw,expand_fwd", "--tokens", "2", "--hidden-dim", "8", code=1)
        self.assertEqual([row["op"] for row in report["rows"]], ["post_fwd", "expand_fwd"])
        self.assertEqual([entry["command"] for entry in report["not_run"]],
                         ["mhc-bench --target host --op post_fw --tokens 2 --hidden-dim 8"])
        self.assertIn("post_fw", report["not_run"][0]["why"])
        self.assertIn("`mhc-bench --target host --op post_fwd,expand_fwd --tokens 2 --hidden-dim 8`", text)
        self.assertIn(report["not_run"][0]["why"], text)

    def test_the_time_limit_is_said(self):
        done = self.script(*QUICK, "--seconds", "1", "--output", self.path("out"))
        if done.returncode == 1:  # a busy machine: not one part could begin
            self.assertIn("nothing was measured: ", done.stderr)
            self.assertIn("--seconds 1", done.stderr.splitlines()[-1])
            return
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.path("out/bench.json")) as file:
            not_run = json.load(file)["not_run"]
        self.assertTrue(not_run)
        self.assertIn("--seconds 1", not_run[-1]["why"])
        self.assertIn("### Not run", done.stdout)


class Peers(Suite):
    def peers(self, *rows):
        shape = {"tokens": 3, "hidden_dim": 40, "n_streams": 4, "dtype": "bf16"}
        return self.write("peers.json", json.dumps({"rows": [{**shape, **row} for row in rows]}))

    def test_the_best_peer_is_compared_and_a_loss_is_marked(self):
        file = self.peers({"name": "slow", "op": "post_fwd", "us": 1e9}, {"name": "quick", "op": "post_fwd", "us": 1e-6},
                          {"name": "floored", "op": "sinkhorn_fwd", "us": 1e9, "floor_us": 1.0})
        report, text = self.bench(*TINY, "--peers", file)
        post, other, sinkhorn = report["rows"][:3]
        self.assertEqual((post["peer"]["name"], post["peer"]["lost"], post["peer"]["compared_by"]), ("quick", True, "time"))
        self.assertAlmostEqual(post["peer"]["theirs_by_ours"], 1e-6 / post["median_us"])
        self.assertIsNone(other["peer"], "5 tokens are another shape")
        self.assertEqual((sinkhorn["peer"]["lost"], sinkhorn["peer"]["compared_by"]), (False, "ratio to the floor"))
        self.assertAlmostEqual(sinkhorn["peer"]["theirs_by_ours"], 1e9 / sinkhorn["ratio_to_floor"], delta=1)
        self.assertEqual(text.count("**lost**"), 1)
        self.assertIn("1 ahead, 1 lost", text)
        self.assertIn("| quick | **lost by ", text)

    def test_the_file_that_is_kept_is_one(self):
        kept = os.path.join(os.path.dirname(TOOLS), "docs", "peers-h200.json")
        report, _ = self.bench("--op", "expand_fwd", "--tokens", "2", "--hidden-dim", "8", "--peers", kept)
        self.assertEqual(len(report["peers"]), 4 * 8)
        for peer in report["peers"]:
            self.assertTrue(peer["floor_us"] < 1.05 * peer["us"], peer)

    def test_files_that_are_none(self):
        for content, words in (("{", ["is no JSON"]), ('{"rows": 3}', ["rows"]), ("[3]", ["row 1", "no object"]),
                               ('[{"name": "a"}]', ["row 1", "op = null", "text"])):
            self.refused(["bench: --peers", "peers.json", *words], *QUICK, "--peers", self.write("peers.json", content))
        self.refused(["row 1: us = 0", "above 0"], *QUICK, "--peers", self.peers({"name": "a", "op": "post_fwd", "us": 0}))
        self.refused(["none.json", "No such file"], *QUICK, "--peers", self.path("none.json"))


class Refusals(Suite):
    def test_arguments(self):
        self.refused(["mhc-bench is not in", "--bin"], "--bin", self.dir)
        self.refused(["gfx12345"], "--target", "gfx12345")
        self.refused(["emu:gfx942", "no times"], "--target", "emu:gfx942")
        self.refused(["--seconds -1"], "--seconds", "-1")
        self.refused(["file"], *QUICK, *TINY, "--output", os.path.join(self.write("file", ""), "out"))
        self.refused(["post_fw", "post_fwd"], *QUICK, "--op", "post_fw", "--output", self.path("out"), code=1)

    def test_help_and_version(self):
        text = self.script("--help").stdout
        for word in ("bench.md", "bench.json", "roofline.svg", "--peers", "--torch", "--seconds", "Example:", "Exit codes:"):
            self.assertIn(word, text)
        self.assertRegex(self.script("--version").stdout, r"^bench \d+\.\d+\.\d+\n$")

    def test_torch_that_is_not_here(self):
        if importlib.util.find_spec("torch"):
            self.skipTest("torch is here")
        self.refused(["torch is not here"], "--output", self.path("torch.json"), code=1, name="bench-peers")
        report, text = self.bench("--op", "expand_fwd", "--tokens", "2", "--hidden-dim", "8", "--torch")
        self.assertEqual(report["not_run"][0]["command"], "tools/bench-peers")
        self.assertIn("torch is not here", text)
        self.assertIn("torch.compile", self.script("--help", name="bench-peers").stdout)
